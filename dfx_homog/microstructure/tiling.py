"""Distributed meshes made of copies of unit cells.

A strip (or box) of unit cells, one kind per region along direction 1, becomes one conforming mesh without any rank
ever holding it whole: every rank writes down its own copies (partition), with node numbers that are arithmetic in
(tile, node of the unit cell) and so do not depend on the number of ranks (lattice).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from dolfinx import mesh as dmesh
from mpi4py import MPI

from dfx_homog import _compat
from dfx_homog._compat import FloatArray
from dfx_homog.microstructure.lattice import Lattice
from dfx_homog.microstructure.partition import shares
from dfx_homog.microstructure.unitcell import UnitCell
from dfx_homog.timing import timed

Ints = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int32]
CHUNK = 200_000  # cells
CELL_NAMES = {2: "triangle", 3: "tetrahedron"}
Activity = Callable[[int, npt.NDArray[np.integer], npt.NDArray[np.integer]], npt.NDArray[np.bool_]]


@dataclass
class TiledMesh:
    """Mesh of tiles in lengths of `scale` per unit cell (scale = delta: meso coordinates; 1: micro).

    cells:       unit cell of each region
    cell_region: (cells,) region of each local mesh cell
    cell_kind:   (cells,) index into `units` of the unit cell it is a copy of: its region, or one beyond the regions
                 in the last period of a region that the next does not fit (UnitCell.closing)
    cell_unit:   (cells,) which cell of that unit cell
    cell_tile:   (cells, d) lattice position of its tile
    node_id:     (nodes,) rank-independent number of each local node of the order-k Lagrange space
    """

    mesh: dmesh.Mesh
    cells: tuple[UnitCell, ...]
    counts: tuple[int, ...]
    lateral: tuple[int, ...]
    scale: float
    cell_region: Indices
    cell_kind: Indices
    cell_unit: Indices
    cell_tile: Indices
    _lattice: Lattice

    @property
    def order(self) -> int:
        return self.cells[0].order

    @property
    def units(self) -> tuple[UnitCell, ...]:
        """The different unit cells: those of the regions, then those that close a region."""
        return self._lattice.units

    @cached_property
    def phase(self) -> Ints:
        """(cells,) phase of each local cell."""
        out = np.empty(len(self.cell_unit), dtype=np.int64)
        for kind, unit in enumerate(self.units):
            here = self.cell_kind == kind
            out[here] = unit.phase[self.cell_unit[here]]
        return out

    @property
    def node_count(self) -> int:
        """Nodes of the whole mesh, all ranks; node_ids are below it."""
        return self._lattice.node_count

    def node_ids(self, dofmap: npt.NDArray[np.int32], nodes: int) -> Ints:
        """Rank-independent numbers of the local nodes of the Lagrange space of the mesh's own order."""
        geometry = self.mesh.geometry
        ids = np.empty(nodes, dtype=np.int64)
        ids[dofmap] = geometry.input_global_indices[_compat.geometry_nodes(self.mesh)[: len(dofmap)]]
        return ids

    def periodic_keys(self, ids: Ints, directions: tuple[int, ...]) -> Ints:
        """Node numbers with the upper faces of `directions` identified with the lower ones."""
        return self._lattice.wrap(ids, directions)

    def points(self, ids: Ints) -> FloatArray:
        """(n, d) coordinates, in the mesh's lengths, of numbered nodes, whichever rank has them."""
        return self._lattice.coordinates(ids) * self.scale

    def node_numbers(self, tile: Ints, node: Ints) -> Ints:
        """Numbers, as node_ids gives them, of nodes (n,) of the first region's unit cell in tiles (n, d)."""
        return self._lattice.number(tile, 0, node)

    def unit_images(self) -> tuple[Ints, Ints]:
        """For each node of the first region's unit cell: the node on its lower faces that is the same up to a shift
        by whole cells, (n,), and that shift in {0, 1}^d, (n, d)."""
        nodes = self._lattice.nodes[0]
        return nodes.base(nodes), nodes.shift

    def unit_nodes(self, ids: Ints) -> Ints:
        """Node of the unit cell, on its lower faces where it is on any, that each numbered node is a copy of."""
        return self._lattice.locate(ids)[2]

    def on_faces(self, ids: Ints, direction: int) -> npt.NDArray[np.bool_]:
        """(n,) whether numbered nodes are on the first or the last face of the domain normal to a direction."""
        return self._lattice.on_faces(ids, direction)

    def _copies(self, kind: int, unit_cells: Ints) -> tuple[Ints, Ints]:
        """All local copies of the given cells of a unit cell: (position in unit_cells, local cell)."""
        local = np.flatnonzero(self.cell_kind == kind)
        local = local[np.argsort(self.cell_unit[local], kind="stable")]
        sorted_units = self.cell_unit[local]
        low = np.searchsorted(sorted_units, unit_cells, side="left")
        count = np.searchsorted(sorted_units, unit_cells, side="right") - low
        which = np.repeat(np.arange(len(unit_cells)), count)
        within = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
        return which, local[low[which] + within]

    def interface_facets(
        self, region: int, periodic: tuple[int, ...], active: Activity | None = None
    ) -> Indices:
        """(k, 2) of (solid cell, local facet) on Gamma in a region, each on the rank that owns the solid cell.

        A facet at the end of a region faces another region and is not part of Gamma; at a side it is, if the
        direction is periodic. `active` tells of the cells `unit` (n,) of a unit cell (its number in `units`), in
        tiles (n, d), whether they take part; a facet does where the cells on both its sides do.
        """
        start, stop = sum(self.counts[:region]), sum(self.counts[: region + 1])
        found = []
        for kind in self._kinds(region):
            solid, facet, electrolyte, shift = self.units[kind].interface_facets()
            which, local = self._copies(kind, np.asarray(solid, dtype=np.int64))
            tile = self.cell_tile[local] + np.asarray(shift, dtype=np.int64)[which]
            keep = np.ones(len(which), dtype=bool)
            if not (0 in periodic and len(self.cells) == 1):
                keep &= (tile[:, 0] >= start) & (tile[:, 0] < stop)
            for d, count in enumerate(self.lateral, start=1):
                if d not in periodic:
                    keep &= (tile[:, d] >= 0) & (tile[:, d] < count)
            if active is not None:
                here = np.flatnonzero(keep)
                keep[here] = active(kind, self.cell_tile[local[here]], solid[which[here]])
                here = here[keep[here]]
                keep[here] = active(kind, tile[here], electrolyte[which[here]])
            found.append(np.column_stack([local, np.asarray(facet)[which]])[keep])
        facets: Indices = np.concatenate(found).astype(np.int32)
        return facets

    def _kinds(self, region: int) -> list[int]:
        """Unit cells that a region is made of."""
        return [k for k, unit in enumerate(self.units) if k == region or unit is self.cells[region].closing]

    def end_facets(self, side: int) -> Indices:
        """(k, 2) of (cell, local facet) on the face y1 = 0 (side 0) or y1 = end (side 1)."""
        column = 0 if side == 0 else sum(self.counts) - 1
        return self._face_facets(0 if side == 0 else len(self.cells) - 1, 0, side, column)

    def side_facets(self, direction: int) -> Indices:
        """(k, 2) of (cell, local facet) on the lateral face y_direction = 0, all regions."""
        return np.concatenate([self._face_facets(k, direction, 0, 0) for k in range(len(self.units))])

    def _face_facets(self, kind: int, direction: int, side: int, layer: int) -> Indices:
        """(cell, local facet) on a face of one unit cell's copies, in one layer of tiles along `direction`."""
        cells, facets = self.units[kind].face_facets(direction, side)
        which, local = self._copies(kind, np.asarray(cells, dtype=np.int64))
        keep = self.cell_tile[local, direction] == layer
        pairs: Indices = np.column_stack([local, np.asarray(facets)[which]])[keep].astype(np.int32)
        return pairs


@timed("mesh")
def tile_mesh(
    comm: MPI.Intracomm,
    cells: tuple[UnitCell, ...],
    counts: tuple[int, ...],
    lateral: tuple[int, ...],
    scale: float,
) -> TiledMesh:
    """Mesh of counts[r] tiles of cells[r] one after another along direction 1, `lateral` tiles across.

    The last tiles before the next region are of a unit cell's `closing` one, if it has one. Each rank makes a compact
    block.
    """
    closing = {r: c.closing for r, c in enumerate(cells[:-1]) if c.closing is not None}
    units = (*cells, *closing.values())
    columns = np.repeat(np.arange(len(cells)), counts)
    for number, r in enumerate(closing, start=len(cells)):
        columns[sum(counts[: r + 1]) - 1] = number
    lattice = Lattice(units, columns, lateral)
    numbers, kind, unit, tile = _own_cells(comm, lattice, columns, lateral)
    count = lattice.node_count
    points = lattice.coordinates(
        np.arange(count * comm.rank // comm.size, count * (comm.rank + 1) // comm.size)
    )
    mesh = _compat.create_mesh(comm, numbers, points * scale, CELL_NAMES[cells[0].dim], cells[0].order)
    first = comm.scan(len(numbers)) - len(numbers)
    del numbers, points
    order = np.asarray(mesh.topology.original_cell_index) - first
    tile, kind, unit = tile[order], kind[order], unit[order]
    region = np.repeat(np.arange(len(cells), dtype=np.int32), counts)[tile[:, 0]]
    return TiledMesh(mesh, cells, counts, lateral, scale, region, kind, unit, tile, lattice)


def _own_cells(
    comm: MPI.Intracomm, lattice: Lattice, columns: Ints, lateral: tuple[int, ...]
) -> tuple[Ints, Indices, Indices, Indices]:
    """This rank's cells: (n, k) node numbers, unit cell, its cell, and (n, d) tile."""
    mine = list(shares(lattice.units, columns, lateral, comm.rank, comm.size))
    total = sum(len(s.tiles) * len(s.cells) for s in mine)
    numbers = np.empty((total, lattice.units[0].cells.shape[1]), dtype=np.int64)
    kind, unit = np.empty(total, dtype=np.int32), np.empty(total, dtype=np.int32)
    tile = np.empty((total, len(lattice.shape)), dtype=np.int32)
    start = 0
    for share in mine:
        nodes = lattice.units[share.unit].cells[share.cells]
        size, batch = len(nodes), max(1, CHUNK // len(nodes))
        for first in range(0, len(share.tiles), batch):
            tiles = share.tiles[first : first + batch]
            here = slice(start, start + len(tiles) * size)
            numbers[here] = lattice.tile_nodes(tiles)[:, nodes].reshape(-1, nodes.shape[1])
            kind[here], unit[here] = share.unit, np.tile(share.cells, len(tiles))
            tile[here] = np.repeat(tiles, size, axis=0)
            start = here.stop
    return numbers, kind, unit, tile
