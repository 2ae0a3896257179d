"""Connected parts of the conducting phase as finite elements see them: sharing a node is being connected.

Each part that no Dirichlet value holds has a constant of its own, which the cell problem fixes at one node. Parts are
found once for the unit cell cut open along its faces; copies are joined by arithmetic on the lattice of tiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from mpi4py import MPI
from scipy.sparse.csgraph import connected_components

from dfx_homog.microstructure.tiling import TiledMesh
from dfx_homog.microstructure.unitcell import UnitCell

Ints = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]
CHUNK = 500_000  # cells that are looked at together: bounds the memory


def _merge(label: Labels, one: npt.NDArray[np.integer], two: npt.NDArray[np.integer]) -> Labels:
    """Labels (n,) after the classes one[i] and two[i] became one class."""
    count = int(label.max(initial=-1)) + 1
    graph = sp.coo_matrix((np.ones(len(one), dtype=np.int8), (one, two)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int32)[label]


def cut_labels(comm: MPI.Intracomm, cell: UnitCell, conducts: Flags) -> Labels:
    """(nodes,) part of each node in the unit cell cut open along its faces, -1 at nodes of no conducting cell.

    conducts: per phase number, whether a cell of this phase conducts. Each rank looks at its share of the cells, then
    neighbours merge pairwise. The same array on every rank. Collective.
    """
    n, m = len(cell.points), len(cell.cells)
    label: Labels = np.arange(n, dtype=np.int32)
    used = np.zeros(n, dtype=np.int8)
    stop = m * (comm.rank + 1) // comm.size
    for first in range(m * comm.rank // comm.size, stop, CHUNK):
        last = min(first + CHUNK, stop)
        rows = cell.cells[first:last][conducts[cell.phase[first:last]]]
        used[rows] = 1
        classes = label[rows]
        label = _merge(label, np.repeat(classes[:, 0], rows.shape[1] - 1), classes[:, 1:].ravel())
    distance = 1
    while distance < comm.size:
        if comm.rank % (2 * distance) == distance:
            comm.Send(label, comm.rank - distance)
        elif comm.rank % (2 * distance) == 0 and comm.rank + distance < comm.size:
            other = np.empty(n, dtype=np.int32)
            comm.Recv(other, comm.rank + distance)
            # nodes of one class there are one class here: link each to the first of them
            first_of = np.zeros(int(other.max(initial=-1)) + 1, dtype=np.int64)
            first_of[other[::-1]] = np.arange(n)[::-1]
            label = _merge(label, label, label[first_of[other]])
        distance *= 2
    comm.Bcast(label, root=0)
    comm.Allreduce(MPI.IN_PLACE, used, op=MPI.MAX)
    inside = used > 0
    out = np.full(n, -1, dtype=np.int32)
    out[inside] = np.unique(label[inside], return_inverse=True)[1]
    return out


@dataclass(frozen=True)
class Parts:
    """Parts of a conducting phase in copies of a unit cell.

    label:    (nodes,) part of the cut unit cell at each of its nodes, -1 where nothing conducts
    joined:   (tiles, cut parts) part of the whole domain that each cut part of each tile belongs to
    first:    (cut parts,) a node of each
    conducts: per phase number
    """

    tiled: TiledMesh
    label: Labels
    joined: Ints
    first: Ints
    conducts: Flags

    @property
    def counts(self) -> tuple[int, ...]:
        """Tiles along each direction."""
        return (*self.tiled.counts, *self.tiled.lateral)

    def pins(self, held: tuple[int, ...]) -> Ints:
        """Node numbers (TiledMesh.node_ids), one in each part that touches no face normal to a direction in `held`."""
        if self.joined.size == 0:
            return np.zeros(0, dtype=np.int64)
        cell, counts = self.tiled.cells[0], self.counts
        tiles = np.indices(counts).reshape(cell.dim, -1).T
        touches = np.zeros(self.joined.shape, dtype=bool)
        for d in held:
            for side, column in ((0, 0), (1, counts[d] - 1)):
                here = self.label[cell.periodic[d][:, side]]
                at = np.zeros(self.joined.shape[1], dtype=bool)
                at[here[here >= 0]] = True
                touches |= at & (tiles[:, d] == column)[:, None]
        free = np.ones(int(self.joined.max()) + 1, dtype=bool)
        free[self.joined[touches]] = False
        numbers, where = np.unique(self.joined, return_index=True)
        tile, part = np.unravel_index(where[free[numbers]], self.joined.shape)
        return self.tiled.node_numbers(tiles[tile], self.first[part])


def find_parts(comm: MPI.Intracomm, tiled: TiledMesh, conducts: Flags, periodic: bool) -> Parts:
    """Parts of the conducting phases of a mesh of copies of one unit cell. Collective.

    conducts: per phase number; periodic: whether opposite faces of the whole domain are the same
    """
    cell = tiled.cells[0]
    label = cut_labels(comm, cell, conducts)
    count = int(label.max(initial=-1)) + 1
    first = np.zeros(count, dtype=np.int64)
    inside = np.flatnonzero(label >= 0)[::-1]
    first[label[inside]] = inside
    shape = (*tiled.counts, *tiled.lateral)
    tiles = np.indices(shape).reshape(cell.dim, -1).T
    one, two, step = _links(tiled, label)
    target = tiles[None] + step[:, None]
    inside_domain = np.all((target >= 0) & (target < shape), axis=2)
    link, tile = np.nonzero(np.ones_like(inside_domain) if periodic else inside_domain)
    other = np.ravel_multi_index(tuple(np.moveaxis(target % shape, 2, 0)), shape)[link, tile]
    joined: Labels = np.arange(len(tiles) * count, dtype=np.int32)
    joined = _merge(joined, tile * count + one[link], other * count + two[link])
    return Parts(tiled, label, joined.reshape(len(tiles), count).astype(np.int64), first, conducts)


def _links(tiled: TiledMesh, label: Labels) -> tuple[Ints, Ints, Ints]:
    """Distinct links: part one[i] of a tile has a node in common with part two[i] of the tile at + shift[i]."""
    cell = tiled.cells[0]
    base, shift = tiled.unit_images()
    nodes = cell.boundary_nodes
    nodes = nodes[label[nodes] >= 0]
    nodes = nodes[np.argsort(base[nodes], kind="stable")]
    new = np.append(True, base[nodes][1:] != base[nodes][:-1])[: len(nodes)]
    leader = nodes[np.maximum.accumulate(np.where(new, np.arange(len(nodes)), 0))]
    links = np.column_stack([label[leader], label[nodes], shift[leader] - shift[nodes]])
    links = np.unique(links, axis=0).astype(np.int64)
    return links[:, 0], links[:, 1], links[:, 2:]
