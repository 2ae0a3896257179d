"""dfx-homog with a fault on one rank: `python faulty.py RANK module:function NUMBER KIND WORDS …`.

The fault happens on that rank when the function is called for the NUMBER-th time (with a minus sign: after that call,
with its result lost). The file FAULT_TIME names in the environment gets the moment as its time of modification.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from mpi4py import MPI

from dfx_homog import _native
from dfx_homog.cli import main
from dfx_homog.errors import BadInput, SolverFailure


def throws(error: BaseException) -> Callable[[], NoReturn]:
    def throw() -> NoReturn:
        raise error

    return throw


def hang() -> None:
    while True:
        time.sleep(1)


#: What can go wrong; "native" is an exception that comes out of a kernel in C++.
KINDS: dict[str, Callable[[], object]] = {
    "bug": throws(RuntimeError("injected")),
    "exit": throws(SystemExit(0)),
    "memory": throws(MemoryError("injected")),
    "full": throws(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "injected")),
    "denied": throws(PermissionError(errno.EACCES, os.strerror(errno.EACCES), "injected")),
    "bad": throws(BadInput("injected")),
    "solver": throws(SolverFailure("injected")),
    "native": lambda: _native.ParticleKernel("injected"),
    "segv": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "abort": os.abort,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": hang,
}


def inject(module: str, path: str, number: int, fault: Callable[[], object]) -> None:
    """Replaces `module:object.function` by one in which the fault happens at its NUMBER-th call."""
    owner: Any = importlib.import_module(module)
    *parts, name = path.split(".")
    for part in parts:
        owner = getattr(owner, part)
    function, calls = getattr(owner, name), iter(range(1, sys.maxsize))

    def fails(*args: Any, **more: Any) -> Any:
        now = next(calls) == abs(number)
        result = function(*args, **more) if number < 0 or not now else None
        if now:
            Path(os.environ["FAULT_TIME"]).touch()
            fault()
        return result

    setattr(owner, name, fails)


rank, where, count, kind, *words = sys.argv[1:]
home, _, path = where.partition(":")
importlib.import_module(home)  # on all ranks: PETSc starts in it, which is collective
if MPI.COMM_WORLD.rank == int(rank):
    inject(home, path, int(count), KINDS[kind])
sys.argv = ["dfx-homog", *words]
sys.exit(main())
