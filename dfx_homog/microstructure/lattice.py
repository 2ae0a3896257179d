"""Arithmetic of nodes on a lattice of unit-cell copies.

Columns of tiles stand side by side along direction 1, each made of copies of one unit cell; neighbouring columns may
have different unit cells, as long as the nodes of the one's face z1 = 1 are those of the other's face z1 = 0, in
order. A node on an upper face of a tile belongs to the next tile, so that every node has one number, which does not
depend on the number of ranks. The lattice is extended by one layer at each upper end for the closing faces.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from dfx_homog._compat import FloatArray
from dfx_homog.microstructure.unitcell import UnitCell

Ints = npt.NDArray[np.int64]


class _Nodes:
    """Numbering of one unit cell's nodes within a tile.

    lateral[n]: the node on the lower lateral faces that node n coincides with, up to a shift
    shift[n]:   in {0, 1}^d, the tile that the node belongs to, seen from its own
    place_on_upper[n]: position of node n in the list of the face z1 = 1, -1 off it
    kept[kind]: nodes that a tile carries of its own when it is a mere boundary layer in the directions whose bits are
    set in `kind` (then only nodes on those lower faces exist); place[kind][n]: their position, -1 if absent.
    """

    def __init__(self, cell: UnitCell):
        n = len(cell.points)
        self.lower, upper = cell.end_nodes(0), cell.end_nodes(1)
        self.place_on_upper = _inverse(upper, n)
        self.place_on_lower = _inverse(self.lower, n)
        self.lateral = np.arange(n)
        self.shift = np.zeros((n, cell.dim), dtype=np.int64)
        self.shift[upper, 0] = 1
        self.on_lower = np.zeros((n, cell.dim), dtype=bool)
        self.on_lower[self.lower, 0] = True
        for d, pairs in enumerate(cell.periodic[1:], start=1):
            down = np.arange(n)
            down[pairs[:, 1]] = pairs[:, 0]
            self.lateral = down[self.lateral]
            self.shift[pairs[:, 1], d] = 1
            self.on_lower[pairs[:, 0], d] = True
        first = ~self.shift.any(axis=1)
        self.kept: list[Ints] = []
        self.place: list[npt.NDArray[np.int32]] = []
        for kind in range(2**cell.dim):
            directions = [d for d in range(cell.dim) if kind >> d & 1]
            keep = np.flatnonzero(first & self.on_lower[:, directions].all(axis=1))
            self.kept.append(keep)
            self.place.append(_inverse(keep, n).astype(np.int32))

    def base(self, following: _Nodes) -> Ints:
        """(n,) each node as node of the unit cell of the tile it belongs to; `following`: in the next column."""
        out = self.lateral.copy()
        upper = self.shift[:, 0] == 1
        out[upper] = following.lower[self.place_on_upper[self.lateral[upper]]]
        return out


def _inverse(nodes: Ints, n: int) -> Ints:
    place = np.full(n, -1)
    place[nodes] = np.arange(len(nodes))
    return place


class Lattice:
    """Numbers, places and periodic images of the nodes of all tiles.

    units:   the different unit cells
    columns: (n,) which of them each column is made of; the last must have equal faces z1 = 0 and 1
    lateral: tiles across, for each lateral direction
    """

    def __init__(self, units: tuple[UnitCell, ...], columns: Ints, lateral: tuple[int, ...]):
        self.units = units
        self.nodes = [_Nodes(c) for c in units]
        self.inner = np.array([len(columns), *lateral], dtype=np.int64)
        self.shape = tuple(int(n) + 1 for n in self.inner)
        self.strides = np.array([int(np.prod(self.shape[d + 1 :])) for d in range(len(self.shape))])
        self.column_unit = np.append(columns, columns[-1]).astype(np.int64)
        kinds = 2 ** len(self.shape)
        own = np.array([[len(n.kept[k]) for k in range(kinds)] for n in self.nodes])
        kind: Ints = np.zeros(self.shape, dtype=np.int64)
        for d, n in enumerate(self.inner):
            np.moveaxis(kind, d, 0)[n] |= 1 << d
        unit = self.column_unit.reshape(-1, *(1,) * len(lateral))
        self.offset = np.concatenate([[0], np.cumsum(own[unit, kind])])
        self._kept = np.concatenate([keep for n in self.nodes for keep in n.kept])
        self._kept_start = (np.cumsum(own.ravel()) - own.ravel()).reshape(own.shape)

    @property
    def node_count(self) -> int:
        return int(self.offset[-1])

    def _kind(self, tile: Ints) -> Ints:
        """Bits of the directions in which tiles (n, d) are closing layers."""
        kind: Ints = (tile == self.inner) @ (1 << np.arange(len(self.shape)))
        return kind

    def tiles(self, t: Ints) -> Ints:
        """(n, d) positions of tiles by number."""
        return np.column_stack(np.unravel_index(t, self.shape)).astype(np.int64)

    def tile_nodes(self, tiles: Ints) -> Ints:
        """(n, nodes) numbers of all nodes of the unit cell in tiles (n, d).

        The tiles' columns have one unit cell, and their next columns another; each is, or is not, the last one in
        each direction like the first of them.
        """
        first = tiles[0]
        unit, following = self.column_unit[first[0]], self.column_unit[first[0] + 1]
        nodes, behind = self.nodes[unit], self.nodes[following]
        base = nodes.base(behind)
        kind = (nodes.shift * (first == self.inner - 1)) @ (1 << np.arange(len(self.shape)))
        slot = np.empty(len(base), dtype=np.int64)
        for crossing, k in product((0, 1), range(2 ** len(self.shape))):
            here = (nodes.shift[:, 0] == crossing) & (kind == k)
            slot[here] = (behind if crossing else nodes).place[k][base[here]]
        step = nodes.shift @ self.strides
        ids: Ints = self.offset[(tiles @ self.strides)[:, None] + step] + slot
        return ids

    def number(self, tile: Ints, unit: int, node: Ints) -> Ints:
        """Number of node `node` (n,) of a unit cell in tile `tile` (n, d), whose columns are made of it."""
        nodes = self.nodes[unit]
        shift = nodes.shift[node]
        target, base = tile + shift, nodes.lateral[node]
        t, kind, units = target @ self.strides, self._kind(target), self.column_unit[target[:, 0]]
        out = np.empty(len(node), dtype=np.int64)
        for u, k in {(int(u), int(k)) for u, k in np.unique(np.column_stack([units, kind]), axis=0)}:
            here = (units == u) & (kind == k)
            crossed = shift[here, 0] == 1
            local = base[here]
            local[crossed] = self.nodes[u].lower[nodes.place_on_upper[local[crossed]]]
            out[here] = self.offset[t[here]] + self.nodes[u].place[k][local]
        return out

    def locate(self, ids: Ints) -> tuple[Ints, Ints, Ints]:
        """Position (n, d) of the tile, unit cell, and its node, of each node number."""
        t = np.searchsorted(self.offset, ids, side="right") - 1
        tile = self.tiles(t)
        unit = self.column_unit[tile[:, 0]]
        node = self._kept[self._kept_start[unit, self._kind(tile)] + ids - self.offset[t]]
        return tile, unit, node

    def coordinates(self, ids: Ints) -> FloatArray:
        """(n, d) in lengths of the unit cell."""
        tile, unit, node = self.locate(ids)
        points = np.empty(tile.shape)
        for u, cell in enumerate(self.units):
            here = unit == u
            points[here] = cell.points[node[here]]
        return points + tile

    def wrap(self, ids: Ints, directions: tuple[int, ...]) -> Ints:
        """Numbers with the closing faces of `directions` identified with the first ones."""
        tile, unit, node = self.locate(ids)
        back = np.zeros(tile.shape, dtype=bool)
        back[:, directions] = tile[:, directions] == self.inner[list(directions)]
        moved = np.flatnonzero(back.any(axis=1))
        tile, unit, node = np.where(back[moved], 0, tile[moved]), unit[moved], node[moved]
        target = self.column_unit[tile[:, 0]]
        out = ids.copy()
        for u, w in {(int(u), int(w)) for u, w in np.unique(np.column_stack([unit, target]), axis=0)}:
            here = (unit == u) & (target == w)
            local = node[here]
            if u != w:
                local = self.nodes[w].lower[self.nodes[u].place_on_lower[local]]
            out[moved[here]] = self.number(tile[here], w, local)
        return out

    def on_faces(self, ids: Ints, direction: int) -> npt.NDArray[np.bool_]:
        """(n,) whether nodes are on the first or the last face of the domain normal to a direction."""
        tile, unit, node = self.locate(ids)
        lower = np.zeros(len(ids), dtype=bool)
        for u, nodes in enumerate(self.nodes):
            here = unit == u
            lower[here] = nodes.on_lower[node[here], direction]
        on: npt.NDArray[np.bool_] = ((tile[:, direction] == 0) & lower) | (
            tile[:, direction] == self.inner[direction]
        )
        return on
