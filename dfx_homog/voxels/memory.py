"""What fits into this machine, asked before it is taken."""

from __future__ import annotations

import os

from dfx_homog.errors import BadInput


def memory() -> int:
    """Bytes that this machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_room(what: str, needed: float, instead: str) -> None:
    """Raises BadInput if a rank would need more bytes than this machine has. what: key, and how many of what."""
    if needed > memory():
        raise BadInput(
            f"{what} need {needed / 2**30:.3g} GiB a rank, this machine has {memory() / 2**30:.3g}; use "
            f"{instead} or more machines"
        )
