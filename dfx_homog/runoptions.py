"""What the command line adds to a run file."""

from __future__ import annotations

import time
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
    start    when the program started, as time.perf_counter() has it
    """

    out: Path | None = None
    quiet: bool = False
    verbose: bool = False
    petsc: tuple[str, ...] = ()
    restart: bool = False
    wall_time: float | None = None
    start: float = field(default_factory=time.perf_counter)
