"""Whether the ranks are still together after an error: all raise it, or one has failed alone and the others wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from dfx_homog.errors import BadInput

Result = TypeVar("Result")

PATIENCE = 3.0  # seconds that ranks wait for the others to fail as well


def all_arrive(comm: Any, patience: float = PATIENCE) -> bool:
    """True if every rank calls this within `patience` seconds. Does not block longer than that."""
    request = comm.Ibarrier()
    deadline = time.monotonic() + patience
    while not request.Test():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def from_rank_0(comm: Any, action: Callable[[], Any]) -> Any:
    """The result of `action`, which rank 0 alone carries out, on all ranks; BadInput is raised on all. Collective."""
    outcome: tuple[Any, BadInput | None] = (None, None)
    if comm.rank == 0:
        try:
            outcome = (action(), None)
        except BadInput as error:
            outcome = (None, error)
    result, error_there = comm.bcast(outcome, root=0)
    if error_there is not None:
        raise error_there
    return result


def agreed(comm: Any, work: Callable[[], Result]) -> Result:
    """What `work` returns on this rank; if it raises BadInput on some rank, all raise the first. Collective."""
    result: Result | None = None
    message = ""
    try:
        result = work()
    except BadInput as error:
        message = str(error)
    except OSError as error:
        message = f"file: {error.filename}: cannot be read: {error.strerror}"
    for found in comm.allgather(message):
        if found:
            raise BadInput(found)
    assert result is not None
    return result
