"""What the command line adds to a run file."""

from __future__ import annotations

import time
from argparse import ArgumentTypeError
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class RunOptions:
    """Options of one call.

    out      directory of the results, exists; None: nothing is written, no signal caught
    quiet    nothing on the terminal but errors
    verbose  solver iterations too
    petsc    words after `--`, PETSc options that go on top of the preset
    restart  go on from the newest good checkpoint in `out`
    wall_time  minutes after `start` before which the run has to have ended with a checkpoint
    levels  of `convergence`: end after so many levels, 0: after the homogenised run; None: all, and the comparison
    share   (K, N) of `rve`: solve the K-th of N shares of the samples only; None: all, and their statistics
    compile_only  compile the forms that the run will need, and end
    start    when the program started, as time.perf_counter() has it
    """

    out: Path | None = None
    quiet: bool = False
    verbose: bool = False
    petsc: tuple[str, ...] = ()
    restart: bool = False
    wall_time: float | None = None
    levels: int | None = None
    share: tuple[int, int] | None = None
    compile_only: bool = False
    start: float = field(default_factory=time.perf_counter)


def minutes(text: str) -> float:
    """A time limit in minutes, for argparse."""
    found = float(text)
    if not 0.0 < found < float("inf"):
        raise ArgumentTypeError("must be minutes, a number > 0")
    return found


def level_count(text: str) -> int:
    """A number of levels, for argparse."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no number of levels (allowed: 0, 1, 2, …)")
    return int(text)


def share(text: str) -> tuple[int, int]:
    """K/N, the K-th of N shares, for argparse."""
    number, _, count = (part.strip() for part in text.partition("/"))
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ArgumentTypeError(f"{text!r} is no share (allowed: K/N with 1 <= K <= N, like 2/4)")
    return int(number), int(count)
