"""What the command line adds to a run file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunOptions:
    """Options of one call.

    out      directory of the results, exists
    quiet    nothing on the terminal but errors
    verbose  solver iterations too
    petsc    words after `--`, PETSc options that go on top of the preset
    """

    out: Path
    quiet: bool = False
    verbose: bool = False
    petsc: tuple[str, ...] = ()
