"""One run at a time in a directory of results, and no rank that outlives its run to write into the next one."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import time
from pathlib import Path

from dfx_homog.errors import BadInput

NAME = ".lock"
PATIENCE = 20.0  # seconds that the ranks of a killed run have to vanish
BUSY = (errno.EACCES, errno.EAGAIN)
PR_SET_PDEATHSIG = 1  # of prctl(2)

_held: list[int] = []  # handles of the locks; however a process ends, that gives them back


def take(out: Path) -> None:
    """Locks the directory for this run, on rank 0, once no rank of an earlier run is left in it.

    Every rank holds one byte of the file. File systems without locks are trusted. Raises BadInput.
    """
    try:
        handle = os.open(out / NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise BadInput(f"--out {out}: {error.strerror} (allowed: a directory to write into)") from None
    deadline = time.monotonic() + PATIENCE
    while not _lock(handle, 0, 0):
        if time.monotonic() > deadline:
            raise BadInput(
                f"--out {out}: another run is at work there (allowed: another directory, or later)"
            )
        time.sleep(0.05)
    with contextlib.suppress(OSError):
        fcntl.lockf(handle, fcntl.LOCK_UN, 0, 1)
    _held.append(handle)


def share(out: Path, rank: int) -> None:
    """The other ranks' part, after rank 0 has locked the directory."""
    handle = os.open(out / NAME, os.O_RDWR)
    _lock(handle, 1, rank)
    _held.append(handle)


def _lock(handle: int, length: int, start: int) -> bool:
    """Whether the bytes are ours now; length 0: up to the end."""
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
    except OSError as error:
        return error.errno not in BUSY
    return True


def release() -> None:
    """Gives this rank's locks back."""
    while _held:
        os.close(_held.pop())


def end_with_parent() -> None:
    """Linux kills this process when the one that started it dies, so that no rank outlives mpirun."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
