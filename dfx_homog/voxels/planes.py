"""Planes of an image distributed over slabs of axis 0: fetching those of others, and samples of the whole image.

Every rank has planes [start, start + k) of the image; the slabs follow one another in the order of the ranks, and
some may be empty.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def fetch(comm: MPI.Intracomm, own: NDArray[Scalar], start: int, first: int, last: int) -> NDArray[Scalar]:
    """Planes [first, last) of the image, from whichever ranks have them; own (k, …) are planes [start, start + k).

    Each rank asks for its own range, possibly an empty one. Collective.
    """
    asked = comm.allgather((start, start + len(own), first, max(first, last)))
    out = np.empty((max(last - first, 0), *own.shape[1:]), dtype=own.dtype)
    requests: list[Any] = []
    kept: list[NDArray[Scalar]] = []  # what is being sent must stay alive until it has arrived
    for rank, (theirs, end, wants_first, wants_last) in enumerate(asked):
        low, high = max(theirs, first), min(end, last)
        if low < high and rank == comm.rank:
            out[low - first : high - first] = own[low - start : high - start]
        elif low < high:
            requests.append(comm.Irecv(out[low - first : high - first], rank))
        low, high = max(start, wants_first), min(start + len(own), wants_last)
        if low < high and rank != comm.rank:
            kept.append(np.ascontiguousarray(own[low - start : high - start]))
            requests.append(comm.Isend(kept[-1], rank))
    MPI.Request.Waitall(requests)
    return out


def with_halo(
    comm: MPI.Intracomm, own: NDArray[Scalar], start: int, planes: int, width: int
) -> tuple[NDArray[Scalar], int]:
    """Own planes and `width` more on either side, cut off at the ends of the image; and how many come before.

    The halo may reach over several slabs. A rank without planes gets none. Collective.
    """
    stop = start + len(own)
    first, last = (max(start - width, 0), min(stop + width, planes)) if len(own) else (start, start)
    return fetch(comm, own, start, first, last), start - first


def strides(shape: tuple[int, ...], limit: int) -> tuple[int, ...]:
    """Steps along the axes that leave at most about `limit` voxels of an image, spread evenly."""
    step = max(1, int(np.ceil((np.prod(shape, dtype=float) / limit) ** (1 / len(shape)))))
    return tuple(min(step, n) for n in shape)


def sample(
    comm: MPI.Intracomm, own: NDArray[Scalar], start: int, shape: tuple[int, ...], limit: int
) -> NDArray[Scalar] | None:
    """Values on a lattice of at most about `limit` voxels, the same for any number of ranks; None but on rank 0.

    Collective.
    """
    steps = strides(shape, limit)
    first = -start % steps[0]
    parts = comm.gather(own[first :: steps[0], *(slice(None, None, s) for s in steps[1:])].ravel(), root=0)
    return None if parts is None else np.concatenate(parts)


def mid_plane(
    comm: MPI.Intracomm, own: NDArray[Scalar], start: int, shape: tuple[int, ...], pixels: int
) -> NDArray[Scalar] | None:
    """The plane in the middle of axis 0 of a 3D image, or the whole 2D image, thinned to at most `pixels` along
    each edge; None but on rank 0. Collective."""
    if len(shape) == 3:
        middle = shape[0] // 2
        mine = comm.rank == 0
        plane = fetch(comm, own, start, middle if mine else 0, middle + 1 if mine else 0)
        thin = tuple(slice(None, None, -(-n // pixels)) for n in shape[1:])
        return np.ascontiguousarray(plane[0][thin]) if mine else None
    rows, columns = (-(-n // pixels) for n in shape)
    parts = comm.gather(np.ascontiguousarray(own[-start % rows :: rows, ::columns]), root=0)
    return None if parts is None else np.concatenate(parts)
