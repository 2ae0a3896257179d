"""Files that are written whole or not at all, and a full disk that is one message on all ranks."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dfx_homog.errors import SolverFailure

if TYPE_CHECKING:
    from mpi4py import MPI  # only the type: commands that start ranks must not start MPI

#: What says that it is the disk and not the program: full, over quota, too large a file, broken, read-only, gone from
#: the network, permission lost.
DISK = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.ESTALE,
    errno.EACCES,
    errno.EPERM,
)


def below(folder: Path | None, *names: str) -> Path | None:
    """A place in a directory of results; None where results are not written."""
    return None if folder is None else folder.joinpath(*names)


def make_folder(folder: Path | None, comm: MPI.Comm) -> None:
    """A folder of a directory of results, if there is one. Collective. Raises SolverFailure as `on_rank_0`."""
    if folder is not None:
        on_rank_0(comm, folder, lambda: folder.mkdir(exist_ok=True))


def on_rank_0(comm: MPI.Comm, path: Path, action: Callable[[], object], remark: str = "") -> None:
    """File work of rank 0. Collective.

    Raises SolverFailure on all ranks, naming `path`, where the disk is full or refuses.
    """
    problem = None
    if comm.rank == 0:
        try:
            action()
        except OSError as error:
            problem = f"{path}: {error.strerror or error}{remark}"
    problem = comm.bcast(problem, root=0)
    if problem is not None:
        raise SolverFailure(problem)


def replace(path: Path, data: bytes) -> None:
    """The file's new content, through a part file that is on the disk before it takes the name. Raises OSError."""
    part = path.with_name(path.name + ".part")
    try:
        part.unlink(missing_ok=True)
        with part.open("xb") as file:  # new, so that no link leads elsewhere
            file.write(data)
        flush(part)
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def reserve(path: Path, size: int) -> None:
    """A file that takes `size` bytes of the disk. Raises OSError, and leaves no file, where there is no such room."""
    try:
        path.unlink(missing_ok=True)
        with path.open("xb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def check_room(path: Path, size: int) -> None:
    """Raises OSError if `size` bytes do not fit on the disk now; `path` is a name that is free."""
    reserve(path, size)
    path.unlink()


def flush(path: Path) -> None:
    """Waits until a file or a folder is on the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
