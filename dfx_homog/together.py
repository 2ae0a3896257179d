"""Whether the ranks are still together after an error, or one has failed alone and the others wait for it."""

from __future__ import annotations

import time
from typing import Any

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
