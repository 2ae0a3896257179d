"""Voxel grids distributed over the ranks in slabs: contiguous planes of axis 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog.voxels.planes import fetch


def slab(planes: int, size: int, rank: int, block: int = 4) -> tuple[int, int]:
    """Planes [start, stop) of `rank` when `planes` planes are shared by `size` ranks as evenly as `block` allows.

    The boundaries are multiples of `block` where planes >= block*size (so that the first coarse grids of a
    multigrid method keep the distribution), else of 1. No slab is empty if planes >= size; with fewer planes
    the first `planes` ranks have one each and the others none.
    """
    if planes < size:
        return min(rank, planes), min(rank + 1, planes)
    width = block if planes >= block * size else 1

    def boundary(r: int) -> int:
        # the multiple of `width` nearest to planes*r/size: neighbours differ by `width` at least
        return planes if r == size else width * ((2 * planes * r + size * width) // (2 * size * width))

    return boundary(rank), boundary(rank + 1)


def with_planes(comm: MPI.Intracomm, planes: int) -> MPI.Intracomm | None:
    """The ranks that have planes: `comm` itself if all do, else a new communicator of the first `planes` ranks.

    None on idle ranks. Collective. A communicator other than `comm` belongs to the caller, who may free it.
    """
    if planes >= comm.size:
        return comm
    part = comm.Split(0 if comm.rank < planes else MPI.UNDEFINED, comm.rank)
    return None if part == MPI.COMM_NULL else part


@dataclass(frozen=True, eq=False)
class VoxelGrid:
    """The phases of a voxel image, each rank with its slab.

    comm     the ranks that share the image
    name     of the microstructure, for messages
    dim      2 or 3
    shape    (n1, n2, n3) voxels of the whole image; (n1, 1, n2) in two dimensions
    spacing  edge lengths of a voxel along the array axes in unit-cell lengths: the sample's edge along direction 1
             has length 1, so spacing_i = voxel_size_i / (n_1 voxel_size_1); 1.0 in the middle of two dimensions
    start, stop  this rank's planes of axis 0
    codes    (stop - start, shape[1], shape[2]) uint8, C-contiguous: index into `values` of every own voxel
    values   label in the file of each code
    solid    per code, True for the solid and False for the electrolyte
    """

    comm: MPI.Intracomm
    name: str
    dim: int
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    start: int
    stop: int
    codes: NDArray[np.uint8]
    values: tuple[int, ...]
    solid: tuple[bool, ...]

    @property
    def axes(self) -> tuple[int, ...]:
        """Array axes of the directions 1 .. dim."""
        return (0, 1, 2) if self.dim == 3 else (0, 2)

    @property
    def edges(self) -> tuple[float, ...]:
        """Edge lengths of the image along the directions 1 .. dim, in unit-cell lengths."""
        return tuple(self.shape[axis] * self.spacing[axis] for axis in self.axes)

    @property
    def volume(self) -> float:
        """|Omega| in unit-cell lengths to the power dim; 1 for a cube."""
        return float(np.prod(self.edges))

    @property
    def voxels(self) -> int:
        """Number of voxels of the whole image."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def is_solid(self) -> NDArray[np.bool_]:
        """Table (codes,) of `solid`: is_solid[codes] is the mask of the solid voxels."""
        return np.array(self.solid, dtype=bool)

    def counts(self) -> NDArray[np.int64]:
        """(codes,) number of voxels of each code in the whole image. Collective."""
        counts: NDArray[np.int64] = self.comm.allreduce(code_counts(self.codes)[: len(self.values)])
        return counts

    def busy(self) -> VoxelGrid | None:
        """The grid on the ranks that have planes (itself if all have); None on idle ranks. Collective."""
        part = with_planes(self.comm, self.shape[0])
        return None if part is None else self if part is self.comm else replace(self, comm=part)


def code_counts(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(256,) number of voxels of each code, in pieces: numpy's bincount widens its argument to 8 bytes a voxel."""
    flat, piece = codes.reshape(-1), 1 << 20
    counts = np.zeros(256, dtype=np.int64)
    for first in range(0, flat.size, piece):
        counts += np.bincount(flat[first : first + piece], minlength=256)
    return counts


def neighbour_planes(comm: MPI.Intracomm, own: NDArray[Any], periodic: bool) -> tuple[Any, Any]:
    """The plane before the first and the plane after the last one of own (planes, …), from the neighbouring ranks.

    None at the ends of an image that is not periodic. Every rank must have a plane. Collective.
    """
    before, after = np.empty_like(own[0]), np.empty_like(own[0])
    previous, following = (comm.rank - 1) % comm.size, (comm.rank + 1) % comm.size
    first, last = np.ascontiguousarray(own[0]), np.ascontiguousarray(own[-1])
    comm.Sendrecv(last, following, 0, before, previous, 0)
    comm.Sendrecv(first, previous, 1, after, following, 1)
    at_start, at_end = comm.rank == 0, comm.rank == comm.size - 1
    return (
        None if at_start and not periodic else before,
        None if at_end and not periodic else after,
    )


def unit_spacing(shape: tuple[int, int, int], voxel_size: Sequence[float]) -> tuple[float, float, float]:
    """Edges of a voxel in unit-cell lengths, from voxel_size (dim,) in any unit; 1.0 for the middle axis in 2D."""
    unit = shape[0] * float(voxel_size[0])
    first, *others = (float(size) / unit for size in voxel_size)
    return (first, others[0], others[1]) if len(others) == 2 else (first, 1.0, others[0])


def cut(grid: VoxelGrid, window: Sequence[tuple[int, int]]) -> VoxelGrid:
    """The voxels [first, end) per direction of a grid, as a grid of its own whose edge along direction 1 is the unit.

    The planes move to the ranks that `slab` gives them. Raises ValueError for a window that is not in the image.
    Collective.
    """
    box = [window[grid.axes.index(axis)] if axis in grid.axes else (0, 1) for axis in range(3)]
    if not all(0 <= a < b <= n for (a, b), n in zip(box, grid.shape, strict=True)):
        raise ValueError(f"window {list(window)} is not in an image of {grid.shape} voxels")
    n1, n2, n3 = (b - a for a, b in box)
    start, stop = slab(n1, grid.comm.size, grid.comm.rank)
    (first, _), (a, b), (c, d) = box
    part = np.ascontiguousarray(grid.codes[:, a:b, c:d])
    codes = fetch(grid.comm, part, grid.start, first + start, first + stop)
    size = [grid.spacing[axis] for axis in grid.axes]
    return replace(
        grid,
        shape=(n1, n2, n3),
        spacing=unit_spacing((n1, n2, n3), size),
        start=start,
        stop=stop,
        codes=codes,
    )
