"""Exit statuses, and which one an error ends a run with."""

from __future__ import annotations

from dfx_homog.errors import BadInput, SolverFailure, StoppedEarly
from dfx_homog.io.disk import DISK

BUG, BAD_INPUT, SOLVER_GAVE_UP, STOPPED_EARLY = 1, 2, 3, 75
PETSC_ERR_MEM = 55  # petscerror.h


def ending(error: BaseException) -> tuple[BaseException, int]:
    """What to tell of an error, and the exit status.

    Whatever a machine may run out of or refuse (disk, permission, memory) is no bug; an exit from inside the work is.
    """
    cause = _cause(error)
    if isinstance(cause, BadInput):
        return cause, BAD_INPUT
    if isinstance(cause, SolverFailure):
        return cause, SOLVER_GAVE_UP
    if isinstance(cause, StoppedEarly):
        return cause, STOPPED_EARLY
    if isinstance(cause, OSError) and cause.errno in DISK:
        return SolverFailure(f"{cause.filename}: {cause.strerror}"), SOLVER_GAVE_UP
    if isinstance(cause, MemoryError) or getattr(cause, "ierr", None) == PETSC_ERR_MEM:
        more = f": {cause}" if isinstance(cause, MemoryError) and str(cause) else ""
        return SolverFailure(f"out of memory{more} (more machines, or a coarser problem)"), SOLVER_GAVE_UP
    return error, BUG


def _cause(error: BaseException) -> BaseException:
    """What a callback raised, where PETSc reports that it did."""
    while hasattr(error, "ierr") and error.__cause__ is not None:
        error = error.__cause__
    return error
