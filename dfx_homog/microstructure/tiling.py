"""Distributed meshes made of copies of unit cells.

A strip (or box) of unit cells, one kind per region along direction 1, becomes one conforming mesh without any rank
ever holding it whole: every rank writes down its own copies. Node numbers are arithmetic in (tile, node of the unit
cell) and so do not depend on the number of ranks; a node on an upper face of a tile belongs to the next tile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import numpy.typing as npt
from dolfinx import mesh as dmesh
from mpi4py import MPI

from dfx_homog import _compat
from dfx_homog._compat import FloatArray
from dfx_homog.microstructure.unitcell import UnitCell

Ints = npt.NDArray[np.int64]
CHUNK = 200_000  # cells
CELL_NAMES = {2: "triangle", 3: "tetrahedron"}
Activity = Callable[[int, npt.NDArray[np.integer], npt.NDArray[np.integer]], npt.NDArray[np.bool_]]


class _Nodes:
    """Numbering of one unit cell's nodes within a tile.

    base[n]: the node on the lower faces that node n coincides with, up to a shift; shift[n] in {0, 1}^d.
    kept[mask]: base nodes that a tile carries of its own when it is a mere boundary layer in the directions of `mask`
    (then only nodes on those lower faces exist); place[mask][n]: their position, -1 if absent.
    """

    def __init__(self, cell: UnitCell):
        n = len(cell.points)
        self.base = np.arange(n)
        self.shift = np.zeros((n, cell.dim), dtype=np.int64)
        on_lower = np.zeros((n, cell.dim), dtype=bool)
        for d, pairs in enumerate(cell.periodic):
            down = np.arange(n)
            down[pairs[:, 1]] = pairs[:, 0]
            self.base = down[self.base]
            self.shift[pairs[:, 1], d] = 1
            on_lower[pairs[:, 0], d] = True
        is_base = ~self.shift.any(axis=1)
        self.kept: dict[tuple[int, ...], Ints] = {}
        self.place: dict[tuple[int, ...], Ints] = {}
        for mask in product((0, 1), repeat=cell.dim):
            keep = np.flatnonzero(is_base & on_lower[:, [d for d in range(cell.dim) if mask[d]]].all(axis=1))
            place = np.full(n, -1)
            place[keep] = np.arange(len(keep))
            self.kept[mask], self.place[mask] = keep, place


@dataclass
class TiledMesh:
    """Mesh of tiles in lengths of `scale` per unit cell (scale = delta: meso coordinates; 1: micro).

    cell_region: (cells,) index into `cells` of the unit cell each local mesh cell is a copy of
    cell_unit:   (cells,) which cell of that unit cell
    cell_tile:   (cells, d) lattice position of its tile
    node_id:     (nodes,) rank-independent number of each local node of the order-k Lagrange space
    """

    mesh: dmesh.Mesh
    cells: tuple[UnitCell, ...]
    counts: tuple[int, ...]
    lateral: tuple[int, ...]
    scale: float
    cell_region: npt.NDArray[np.int32]
    cell_unit: npt.NDArray[np.int32]
    cell_tile: npt.NDArray[np.int32]
    _lattice: _Lattice

    @property
    def order(self) -> int:
        return self.cells[0].order

    @cached_property
    def phase(self) -> Ints:
        """(cells,) phase of each local cell."""
        out = np.empty(len(self.cell_unit), dtype=np.int64)
        for region, unit in enumerate(self.cells):
            here = self.cell_region == region
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
        return nodes.base, nodes.shift

    def unit_nodes(self, ids: Ints) -> Ints:
        """Node of the unit cell, on its lower faces where it is on any, that each numbered node is a copy of."""
        return self._lattice.locate(ids)[2]

    def on_faces(self, ids: Ints, direction: int) -> npt.NDArray[np.bool_]:
        """(n,) whether numbered nodes are on the first or the last face of the domain normal to a direction."""
        tile, _, node = self._lattice.locate(ids)
        column = self._lattice.tiles[tile, direction]
        lower = np.zeros(len(self.cells[0].points), dtype=bool)
        lower[self.cells[0].periodic[direction][:, 0]] = True
        return ((column == 0) & lower[node]) | (column == self._lattice.inner[direction])

    def _copies(self, region: int, unit_cells: Ints) -> tuple[Ints, Ints]:
        """All local copies of the given cells of a unit cell: (position in unit_cells, local cell)."""
        local = np.flatnonzero(self.cell_region == region)
        local = local[np.argsort(self.cell_unit[local], kind="stable")]
        sorted_units = self.cell_unit[local]
        low = np.searchsorted(sorted_units, unit_cells, side="left")
        count = np.searchsorted(sorted_units, unit_cells, side="right") - low
        which = np.repeat(np.arange(len(unit_cells)), count)
        within = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
        return which, local[low[which] + within]

    def interface_facets(
        self, region: int, periodic: tuple[int, ...], active: Activity | None = None
    ) -> npt.NDArray[np.int32]:
        """(k, 2) of (solid cell, local facet) on Gamma in a region, each on the rank that owns the solid cell.

        A facet at the end of a region faces another region and is not part of Gamma; at a side it is, if the
        direction is periodic. `active` tells of the cells `unit` (n,) of a region's unit cell, in tiles (n, d),
        whether they take part; a facet does where the cells on both its sides do.
        """
        solid, facet, electrolyte, shift = self.cells[region].interface_facets()
        which, local = self._copies(region, np.asarray(solid, dtype=np.int64))
        tile = self.cell_tile[local] + np.asarray(shift, dtype=np.int64)[which]
        start = sum(self.counts[:region])
        keep = np.ones(len(which), dtype=bool)
        if not (0 in periodic and len(self.cells) == 1):
            keep &= (tile[:, 0] >= start) & (tile[:, 0] < start + self.counts[region])
        for d, count in enumerate(self.lateral, start=1):
            if d not in periodic:
                keep &= (tile[:, d] >= 0) & (tile[:, d] < count)
        if active is not None:
            here = np.flatnonzero(keep)
            keep[here] = active(region, self.cell_tile[local[here]], solid[which[here]])
            here = here[keep[here]]
            keep[here] = active(region, tile[here], electrolyte[which[here]])
        return np.column_stack([local, np.asarray(facet)[which]])[keep].astype(np.int32)

    def end_facets(self, side: int) -> npt.NDArray[np.int32]:
        """(k, 2) of (cell, local facet) on the face y1 = 0 (side 0) or y1 = end (side 1)."""
        region = 0 if side == 0 else len(self.cells) - 1
        column = 0 if side == 0 else sum(self.counts) - 1
        return self._face_facets(region, 0, side, column)

    def side_facets(self, direction: int) -> npt.NDArray[np.int32]:
        """(k, 2) of (cell, local facet) on the lateral face y_direction = 0, all regions."""
        return np.concatenate([self._face_facets(r, direction, 0, 0) for r in range(len(self.cells))])

    def _face_facets(self, region: int, direction: int, side: int, layer: int) -> npt.NDArray[np.int32]:
        """(cell, local facet) of one region on a face of its unit cells, in one layer of tiles along `direction`."""
        cells, facets = self.cells[region].face_facets(direction, side)
        which, local = self._copies(region, np.asarray(cells, dtype=np.int64))
        keep = self.cell_tile[local, direction] == layer
        return np.column_stack([local, np.asarray(facets)[which]])[keep].astype(np.int32)


class _Lattice:
    """Arithmetic of tiles: the lattice is extended by one layer at each upper end for the closing faces."""

    def __init__(self, cells: tuple[UnitCell, ...], counts: tuple[int, ...], lateral: tuple[int, ...]):
        self.cells = cells
        self.nodes = [_Nodes(c) for c in cells]
        self.inner = np.array([sum(counts), *lateral], dtype=np.int64)
        self.shape = self.inner + 1
        self.column_region = np.append(np.repeat(np.arange(len(cells)), counts), len(cells) - 1)
        tiles = np.indices([int(n) for n in self.shape]).reshape(len(self.shape), -1).T
        masks = (tiles == self.inner).astype(np.int64)
        weights = 2 ** np.arange(len(self.shape))
        self.tile_kind = masks @ weights
        self.masks = {int(np.array(m) @ weights): m for m in product((0, 1), repeat=len(self.shape))}
        self.tile_region = self.column_region[tiles[:, 0]]
        own = np.array([[len(n.kept[self.masks[k]]) for k in range(len(self.masks))] for n in self.nodes])
        self.offset = np.concatenate([[0], np.cumsum(own[self.tile_region, self.tile_kind])])
        self.tiles = tiles
        # the lower z1-face of region r, node by node, in the numbering of region s
        self.face = [np.asarray(c.periodic[0][:, 0]) for c in cells]

    @property
    def node_count(self) -> int:
        return int(self.offset[-1])

    def tile_number(self, tile: Ints) -> Ints:
        return np.ravel_multi_index(tuple(tile.T), tuple(self.shape))

    def _to_region(self, node: Ints, source: int, target: int) -> Ints:
        """A node of the lower z1-face of one unit cell, as node of another's: faces match by construction."""
        if source == target:
            return node
        table = np.full(len(self.cells[source].points), -1)
        table[self.face[source]] = self.face[target]
        return table[node]

    def number(self, tile: Ints, region: int, node: Ints) -> Ints:
        """Rank-independent number of node `node` (n,) of the unit cell `region` in tile `tile` (n, d)."""
        table = self.nodes[region]
        target = tile + table.shift[node]
        base = table.base[node]
        t = self.tile_number(target)
        out = np.empty(len(node), dtype=np.int64)
        for r in range(len(self.cells)):
            for kind, mask in self.masks.items():
                here = (self.tile_region[t] == r) & (self.tile_kind[t] == kind)
                if here.any():
                    local = self._to_region(base[here], region, r)
                    out[here] = self.offset[t[here]] + self.nodes[r].place[mask][local]
        return out

    def locate(self, ids: Ints) -> tuple[Ints, Ints, Ints]:
        """Tile number, region and base node of each node number."""
        t = np.searchsorted(self.offset, ids, side="right") - 1
        region = self.tile_region[t]
        node = np.empty(len(ids), dtype=np.int64)
        for r in range(len(self.cells)):
            for kind, mask in self.masks.items():
                here = (region == r) & (self.tile_kind[t] == kind)
                node[here] = self.nodes[r].kept[mask][(ids - self.offset[t])[here]]
        return t, region, node

    def coordinates(self, ids: Ints) -> FloatArray:
        t, region, node = self.locate(ids)
        points = np.empty((len(ids), len(self.shape)))
        for r, cell in enumerate(self.cells):
            here = region == r
            points[here] = cell.points[node[here]]
        return points + self.tiles[t]

    def wrap(self, ids: Ints, directions: tuple[int, ...]) -> Ints:
        t, region, node = self.locate(ids)
        tile = self.tiles[t].copy()
        for d in directions:
            tile[tile[:, d] == self.inner[d], d] = 0
        out = np.empty(len(ids), dtype=np.int64)
        for r in range(len(self.cells)):
            here = region == r
            out[here] = self.number(tile[here], r, node[here])
        return out


def tile_mesh(
    comm: MPI.Intracomm,
    cells: tuple[UnitCell, ...],
    counts: tuple[int, ...],
    lateral: tuple[int, ...],
    scale: float,
) -> TiledMesh:
    """Mesh of counts[r] tiles of cells[r] one after another along direction 1, `lateral` tiles across.

    Each rank makes an equal, contiguous share of the cells in the order of the tiles.
    """
    lattice = _Lattice(cells, counts, lateral)
    rows = int(np.prod(lateral))
    per_column = np.repeat([len(c.cells) * rows for c in cells], counts)
    starts = np.concatenate([[0], np.cumsum(per_column)])
    total = int(starts[-1])
    mine = np.arange(total * comm.rank // comm.size, total * (comm.rank + 1) // comm.size)
    numbers = np.empty((len(mine), cells[0].cells.shape[1]), dtype=np.int64)
    for part in _chunks(len(mine)):
        numbers[part] = _node_numbers(mine[part], starts, lattice, lateral)
    count = lattice.node_count
    points = lattice.coordinates(
        np.arange(count * comm.rank // comm.size, count * (comm.rank + 1) // comm.size)
    )
    mesh = _compat.create_mesh(comm, numbers, points * scale, CELL_NAMES[cells[0].dim], cells[0].order)
    del numbers, points, mine

    local = int(mesh.topology.index_map(mesh.topology.dim).size_local)
    region, unit = np.empty(local, dtype=np.int32), np.empty(local, dtype=np.int32)
    tile = np.empty((local, cells[0].dim), dtype=np.int32)
    for part in _chunks(local):
        original = np.asarray(mesh.topology.original_cell_index[part], dtype=np.int64)
        tile[part], region[part], unit[part] = _decode_cells(original, starts, lattice, lateral)
    return TiledMesh(mesh, cells, counts, lateral, scale, region, unit, tile, lattice)


def _chunks(count: int) -> list[slice]:
    """Pieces of CHUNK of a long array: what is worked out for each piece would be many times its size."""
    return [slice(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]


def _node_numbers(index: Ints, starts: Ints, lattice: _Lattice, lateral: tuple[int, ...]) -> Ints:
    """(n, k) node numbers of cells (n,) in tile-major order."""
    tile, region, unit = _decode_cells(index, starts, lattice, lateral)
    numbers = np.empty((len(index), lattice.cells[0].cells.shape[1]), dtype=np.int64)
    for r, cell in enumerate(lattice.cells):
        here = np.flatnonzero(region == r)
        nodes = cell.cells[unit[here]]
        tiles = np.repeat(tile[here], nodes.shape[1], axis=0)
        numbers[here] = lattice.number(tiles, r, nodes.ravel()).reshape(nodes.shape)
    return numbers


def _decode_cells(
    index: Ints, starts: Ints, lattice: _Lattice, lateral: tuple[int, ...]
) -> tuple[Ints, Ints, Ints]:
    """Tile position, region and unit-cell cell of each cell in tile-major order."""
    column = np.searchsorted(starts, index, side="right") - 1
    region = lattice.column_region[column]
    size = np.array([len(c.cells) for c in lattice.cells])[region]
    within = index - starts[column]
    row, unit = within // size, within % size
    tile = np.column_stack([column, *np.unravel_index(row, lateral)]) if lateral else column[:, None]
    return tile.astype(np.int64), region, unit
