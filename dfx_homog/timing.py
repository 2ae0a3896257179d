"""Where the time of a run goes: wall time by phase, iterations and memory, for "timing" in result.json.

    mesh            unit cells, images and their connected parts, tiles, meso meshes
    assembly        compiled forms, numbering, sparsity; residuals and matrices, particle problems included
    preconditioner  set-up: multigrid hierarchies, factorisations
    solve           what is left of linear and nonlinear solves: iterations
    output          histories, fields, checkpoints, arrays, results
    other           the rest: diagnostics of every step, pictures' arrays, starting up

Phases exclude each other: the clock of an outer one stands while an inner one runs. A rank that waits for others in a
collective call counts that in the phase it waits in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

PHASES = ("mesh", "assembly", "preconditioner", "solve", "output", "other")
#: newton: steps of Newton's method; linear: linear systems; krylov: their iterations; setups: of preconditioners
COUNTS = ("newton", "linear", "krylov", "setups")

P = ParamSpec("P")
R = TypeVar("R")


def peak_memory() -> int:
    """Bytes of this process in memory when they were most (VmHWM of Linux; 0 where that is not known)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


class Clock:
    """Seconds by phase and counts since `begin`, of this process."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """All at zero; what is under way counts from here on."""
        self.start = self.since = time.perf_counter()
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.counts = dict.fromkeys(COUNTS, 0)
        self.memory = peak_memory()
        self.now = "other"

    def turn(self, name: str) -> str:
        """Goes on in phase `name`; returns the one before."""
        here = time.perf_counter()
        self.seconds[self.now] += here - self.since
        before, self.now, self.since = self.now, name, here
        return before


_clock = Clock()


def begin() -> None:
    """A new run begins."""
    _clock.begin()


@contextmanager
def phase(name: str) -> Iterator[None]:
    """The block belongs to this phase, as far as inner ones do not take it over."""
    before = _clock.turn(name)
    try:
        yield
    finally:
        _clock.turn(before)


def timed(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The function belongs to this phase."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            before = _clock.turn(name)
            try:
                return function(*args, **kwargs)
            finally:
                _clock.turn(before)

        return inside

    return decorate


def count(**numbers: int) -> None:
    """Adds to COUNTS; all ranks that work on it together add the same."""
    for name, number in numbers.items():
        _clock.counts[name] += number


def entry(comm: Any) -> dict[str, Any]:
    """Entry "timing" of result.json: from `begin` to here. Collective on a communicator of mpi4py.

    seconds  by phase and "total": largest over the ranks; mean: their mean
    counts   largest over the ranks (they differ where ranks solve different samples)
    memory   bytes: "rank" peak of the rank that took most, "ranks" sum of all peaks, "start" peak of the rank that
             had taken most at `begin`: Python, libraries and what ran before
    """
    import numpy as np
    from mpi4py import MPI

    _clock.turn(_clock.now)
    counts = [float(_clock.counts[name]) for name in COUNTS]
    seconds = [*_clock.seconds.values(), _clock.since - _clock.start]
    mine = np.array([*seconds, *counts, float(peak_memory()), float(_clock.memory)])
    largest, total = np.empty_like(mine), np.empty_like(mine)
    comm.Allreduce(mine, largest, op=MPI.MAX)
    comm.Allreduce(mine, total, op=MPI.SUM)
    names, k = (*PHASES, "total"), len(PHASES) + 1
    return {
        "seconds": dict(zip(names, largest[:k].tolist(), strict=True)),
        "mean": dict(zip(names, (total[:k] / comm.size).tolist(), strict=True)),
        "counts": {name: int(value) for name, value in zip(COUNTS, largest[k:-2], strict=True)},
        "memory": {"rank": int(largest[-2]), "ranks": int(total[-2]), "start": int(largest[-1])},
    }
