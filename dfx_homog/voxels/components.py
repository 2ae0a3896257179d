"""Connected clusters of voxels: detached islands, closed pores, and the directions in which clusters percolate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog._native import label_box, weighted_components
from dfx_homog.microstructure.components import lattice_basis
from dfx_homog.timing import timed
from dfx_homog.voxels.grid import VoxelGrid, neighbour_planes

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Clusters:
    """Clusters of the conducting voxels, joined through faces (6 neighbours, 4 in 2D).

    All but `labels` is the same on every rank. Clusters are numbered by falling size, those of one size by their
    first voxel in memory order, so that numbers do not depend on the number of ranks.

    periodic  whether the image goes on periodically
    labels    (own planes, n2, n3) int32 cluster of each own voxel, -1 where it does not conduct
    sizes     (n,) voxels of each cluster
    windings  n arrays (rank, dim): integer basis of the lattice of vectors, in periods of the image, by which closed
              paths inside the cluster advance in the periodic medium; no rows where not periodic
    touches   (n, dim, 2) bool: has a voxel at the first, at the last end of the image per direction
    """

    periodic: bool
    labels: NDArray[np.int32]
    sizes: Ints
    windings: list[Ints]
    touches: Flags

    @property
    def spans(self) -> Flags:
        """(n, dim): touches both ends of the image in a direction."""
        return np.logical_and(self.touches[:, :, 0], self.touches[:, :, 1])

    @property
    def percolates(self) -> Flags:
        """(n, dim): goes on for ever in a direction (periodic), or from end to end of the image (not periodic)."""
        if not self.periodic:
            return self.spans
        found = np.zeros(self.touches.shape[:2], dtype=bool)
        for cluster, basis in enumerate(self.windings):
            if len(basis):
                found[cluster] = np.any(basis != 0, axis=0)
        return found

    def mask(self, chosen: Flags) -> Flags:
        """Own voxels, shaped as `labels`, that belong to clusters with chosen (n,) true."""
        return np.append(chosen, False)[self.labels]  # label -1 is the last one

    def voxels(self, chosen: Flags) -> int:
        """Number of voxels of the whole image in the chosen (n,) clusters."""
        return int(self.sizes[chosen].sum())


@timed("mesh")
def voxel_components(grid: VoxelGrid, conducts: Sequence[bool] | Flags, periodic: bool) -> Clusters:
    """Clusters of the voxels whose code conducts; conducts (codes,) bool.

    Each slab is labelled by itself; its clusters are the nodes of a graph whose links join faces of neighbouring
    slabs and, where periodic, opposite ends of the image. Only planes and the different links of that graph are
    exchanged. Every rank must have a plane (VoxelGrid.busy). Collective.
    """
    table = np.zeros(256, dtype=np.uint8)
    table[: len(conducts)] = np.asarray(conducts, dtype=bool)
    labels = np.empty(grid.codes.shape, dtype=np.int32)
    sizes, first = label_box(grid.codes, table, labels)
    first = first + grid.start * grid.shape[1] * grid.shape[2]
    counts = grid.comm.allgather(len(sizes))
    base = sum(counts[: grid.comm.rank])
    links = _links(grid, labels, base, periodic)
    number, sizes, windings = _merge(grid, links, base, sizes, first)
    ends = _ends(grid, labels, number, len(sizes))
    final = np.append(number, -1).astype(np.int32)
    for plane in labels:
        plane[:] = final[plane]
    return Clusters(periodic, labels, sizes, windings, ends)


def _links(grid: VoxelGrid, labels: NDArray[np.int32], base: int, periodic: bool) -> Ints:
    """Different links (m, 2 + dim) of all ranks: clusters a and b and the periods from a to b.

    Clusters are numbered through all slabs, those of this rank from `base` on.
    """
    outer = labels[[0, -1]].astype(np.int64)
    outer[outer >= 0] += base
    before, _ = neighbour_planes(grid.comm, outer, periodic)
    own: list[Ints] = [np.zeros((0, 2 + grid.dim), dtype=np.int64)]
    if before is not None:
        own.append(_different(before, outer[0], grid.dim, 0 if grid.comm.rank == 0 else None))
    if periodic:
        for direction, axis in enumerate(grid.axes):
            if axis > 0:
                last, first = (_face(labels, axis, end).astype(np.int64) for end in (1, 0))
                link = _different(last, first, grid.dim, direction)
                link[:, :2] += base
                own.append(link)
    mine = np.ascontiguousarray(np.concatenate(own))
    sizes = np.array(grid.comm.allgather(mine.size))
    everyone = np.empty(int(sizes.sum()), dtype=np.int64)
    grid.comm.Allgatherv(mine, (everyone, sizes))
    return everyone.reshape(-1, 2 + grid.dim)


def _different(a: Ints, b: Ints, dim: int, direction: int | None) -> Ints:
    """Each pair of clusters in facing planes once, with one period along the direction, or none."""
    both = (a >= 0) & (b >= 0)
    low, high = a[both], b[both]
    width = int(high.max(initial=0)) + 1
    key = np.unique(low * width + high)
    links = np.zeros((len(key), 2 + dim), dtype=np.int64)
    links[:, 0], links[:, 1] = np.divmod(key, width)
    if direction is not None:
        links[:, 2 + direction] = 1
    return links


def _merge(
    grid: VoxelGrid, links: Ints, base: int, sizes: Ints, first: Ints
) -> tuple[Ints, Ints, list[Ints]]:
    """Number of the cluster of each of the slab's clusters, and sizes and windings of all clusters."""
    comm = grid.comm
    nodes, ends = np.unique(links[:, :2], return_inverse=True)
    ends = ends.reshape(-1, 2)
    component, _, (wound, winding) = weighted_components(
        len(nodes),
        np.ascontiguousarray(ends[:, 0]),
        np.ascontiguousarray(ends[:, 1]),
        np.ascontiguousarray(links[:, 2:]),
        grid.dim,
    )
    joined = int(component.max(initial=-1)) + 1
    mine = slice(*np.searchsorted(nodes, [base, base + len(sizes)]))
    local = nodes[mine] - base  # clusters of this slab that have links
    size, origin = np.zeros(joined, dtype=np.int64), np.full(joined, grid.voxels, dtype=np.int64)
    np.add.at(size, component[mine], sizes[local])
    np.minimum.at(origin, component[mine], first[local])
    comm.Allreduce(MPI.IN_PLACE, size, MPI.SUM)
    comm.Allreduce(MPI.IN_PLACE, origin, MPI.MIN)
    alone = np.ones(len(sizes), dtype=bool)
    alone[local] = False
    others = comm.allgather((sizes[alone], first[alone]))
    all_sizes = np.concatenate([size, *(s for s, _ in others)])
    all_first = np.concatenate([origin, *(f for _, f in others)])
    order = np.lexsort((all_first, -all_sizes))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    number: Ints = np.empty(len(sizes), dtype=np.int64)
    number[local] = place[component[mine]]
    begin = joined + sum(len(s) for s, _ in others[: comm.rank])
    number[alone] = place[begin : begin + int(alone.sum())]
    windings: list[Ints] = [np.zeros((0, grid.dim), dtype=np.int64)] * len(order)
    for cluster in np.unique(wound):
        windings[place[cluster]] = lattice_basis(winding[wound == cluster])
    return number, all_sizes[order], windings


def _ends(grid: VoxelGrid, labels: NDArray[np.int32], number: Ints, clusters: int) -> Flags:
    """(clusters, dim, 2) whether a cluster has voxels at the ends of the image."""
    touches = np.zeros((clusters, grid.dim, 2), dtype=bool)
    for direction, end, plane in _end_planes(grid, labels):
        found = np.unique(plane)
        touches[number[found[found >= 0]], direction, end] = True
    grid.comm.Allreduce(MPI.IN_PLACE, touches, MPI.LOR)
    return touches


def _end_planes(grid: VoxelGrid, labels: NDArray[np.int32]) -> Iterator[tuple[int, int, NDArray[np.int32]]]:
    """Direction, end (0 or 1) and the part of this slab there."""
    for direction, axis in enumerate(grid.axes):
        for end in (0, 1):
            here = axis > 0 or grid.comm.rank == (0, grid.comm.size - 1)[end]
            if here:
                yield direction, end, _face(labels, axis, end)


def _face(labels: NDArray[np.int32], axis: int, end: int) -> NDArray[np.int32]:
    """The first (end 0) or last (end 1) plane across an axis."""
    face: NDArray[np.int32] = np.moveaxis(labels, axis, 0)[-end]
    return face
