"""A limit on the time of every test, so that a deadlock ends the run and shows where each rank is.

A rank that reaches the limit prints the Python stacks of all its threads, whatever it waits for: its watchdog
in C (faulthandler) needs neither the interpreter nor a return from the native call (petsc4py keeps the lock while PETSc
solves). GRACE seconds later, when the other ranks have printed theirs, SIGALRM ends it, and mpirun the others.

Ordinary tests have LIMIT seconds and slow ones SLOW_LIMIT; `@pytest.mark.time_limit(SECONDS)` sets another one. What
lies between tests (collection, the ends of session and process) has LIMIT too.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from collections.abc import Generator, Iterable
from typing import Any

import pytest

LIMIT = 400.0  # more than any one call of a child process may take (commands.LIMIT)
SLOW_LIMIT = 1400.0  # less than a stage of ./dfx test may take
GRACE = 2.0  # seconds that ranks may reach their limit after each other

_stderr: int | None = None


def _begin(seconds: float) -> None:
    if _stderr is not None:
        faulthandler.dump_traceback_later(seconds, file=_stderr)
        signal.setitimer(signal.ITIMER_REAL, seconds + GRACE)  # its default action is the end of the process


def pytest_configure(config: pytest.Config) -> None:
    """Begins to watch, unless somebody looks on with a debugger."""
    global _stderr
    if config.getoption("usepdb", False):
        return
    _stderr = os.dup(2)  # the real one: pytest does not capture yet
    faulthandler.register(signal.SIGUSR2, file=_stderr, all_threads=True)
    _begin(LIMIT)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """The limit of this test, of its fixtures and of what the ranks agree on after it."""
    marker = item.get_closest_marker("time_limit")
    usual = SLOW_LIMIT if item.get_closest_marker("slow") else LIMIT
    _begin(float(marker.args[0]) if marker else usual)
    try:
        return (yield)
    finally:
        _begin(LIMIT)


def print_stacks(processes: Iterable[int]) -> None:
    """Lets other ranks of this machine print where they are."""
    for process in processes:
        os.kill(process, signal.SIGUSR2)
    time.sleep(0.5)
