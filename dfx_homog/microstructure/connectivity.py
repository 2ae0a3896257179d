"""Which parts of solid and pores can carry current through the battery cell, in one unit cell and in copies of it.

Solid islands and closed pores exchange no net current (MODEL section 4). In the periodic medium these are the parts
whose closed paths do not advance along direction 1. In the resolved domain, which ends, more is cut off: solid that was
joined to the rest through the absent next tile only, and likewise pores. What is cut off lies within O(delta) of the
ends. Parts are joined through facets, not through single nodes.

The domain is decided on the graph of (tile, piece), pieces being the connected parts of the unit cell cut open along
its faces, so that the cost is that of the tiles, whatever their meshes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse import csgraph

from dfx_homog.microstructure.components import connected_components
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, Floats, Ints, UnitCell

Flags = NDArray[np.bool_]
PHASES = (SOLID, ELECTROLYTE)


def advances(windings: Ints, lateral_periodic: bool) -> bool:
    """Whether closed paths with these windings (k, d) carry current along direction 1.

    Between insulated sides a path must do so without advancing across: e_1 in the span of the windings.
    """
    if lateral_periodic or not windings.size:
        return bool(windings[:, 0].any())
    vectors = np.asarray(windings, dtype=np.float64)
    forward = np.eye(vectors.shape[1])[:1]
    return bool(np.linalg.matrix_rank(np.vstack([vectors, forward])) == np.linalg.matrix_rank(vectors))


def transporting(cell: UnitCell, lateral_periodic: bool) -> Flags:
    """(m,) cells of the periodic medium that belong to parts, of either phase, that carry current along direction 1."""
    out = np.zeros(len(cell.cells), dtype=bool)
    for part in connected_components(cell):
        out[part.cells] = advances(part.windings, lateral_periodic)
    return out


@dataclass(frozen=True, eq=False)
class Pieces:
    """Connected pieces of both phases of a unit cell that is cut open along its faces.

    label     (m,) piece of each cell
    phase     (k,) of each piece;  volume (k,) its share of the unit cell
    links     per direction, (l, 2): the first piece goes on, in the next tile, as the second
    contacts  (c, 2 + d): a solid and an electrolyte piece with a common surface, and the step to the latter's tile
    area      (c,) of that surface
    faces     the pieces at the facets of z1 = 0 and z1 = 1, facet by facet, in an order that depends on the nodes only
    """

    label: Ints
    phase: NDArray[np.int8]
    volume: Floats
    links: tuple[Ints, ...]
    contacts: Ints
    area: Floats
    faces: tuple[Ints, Ints]

    @property
    def count(self) -> int:
        """Number of pieces."""
        return len(self.phase)

    def at_face(self, side: int) -> Flags:
        """(k,) whether a piece reaches the face z1 = side."""
        out = np.zeros(self.count, dtype=bool)
        out[self.faces[side]] = True
        return out


def pieces_of(cell: UnitCell) -> Pieces:
    """The pieces of a unit cell."""
    facets, m = cell.torus_facets, len(cell.cells)
    inner = ~facets.shift.any(axis=1)
    same = cell.phase[facets.cell] == cell.phase[facets.other]
    joined = np.flatnonzero(inner & same)
    label = _components(m, facets.cell[joined], facets.other[joined])
    phase = np.zeros(int(label.max(initial=-1)) + 1, dtype=np.int8)
    phase[label] = cell.phase
    links = []
    for direction in range(cell.dim):
        crossing = np.flatnonzero(same & (facets.shift[:, direction] != 0))
        ends = np.column_stack([label[facets.cell[crossing]], label[facets.other[crossing]]])
        back = facets.shift[crossing, direction] < 0
        ends[back] = ends[back][:, ::-1]
        links.append(np.unique(ends, axis=0))
    surface = cell.interface_facets()
    rows = np.column_stack([label[surface.solid], label[surface.electrolyte], surface.shift])
    contacts, which = np.unique(rows, axis=0, return_inverse=True)
    return Pieces(
        label=label,
        phase=phase,
        volume=_sums(label, cell.cell_measures, len(phase)),
        links=tuple(links),
        contacts=contacts.astype(np.int64),
        area=_sums(which.ravel(), cell.interface_measures(), len(contacts)),
        faces=(label[_face_cells(cell, 0)], label[_face_cells(cell, 1)]),
    )


def _sums(which: Ints, values: Floats, count: int) -> Floats:
    """(count,) sums of the values by number."""
    return np.asarray(np.bincount(which, weights=values, minlength=count), dtype=np.float64)


def _components(count: int, one: NDArray[np.integer[Any]], two: NDArray[np.integer[Any]]) -> Ints:
    """(count,) number of the connected component of each node of a graph with edges one - two."""
    graph = sp.coo_matrix((np.ones(len(one), dtype=np.int8), (one, two)), shape=(count, count))
    return np.asarray(csgraph.connected_components(graph, directed=False)[1], dtype=np.int64)


def _face_cells(cell: UnitCell, side: int) -> Ints:
    """Cells at the facets of z1 = side, in the order of the facets' vertices in cell.end_nodes."""
    place = np.full(len(cell.points), -1)
    nodes = cell.end_nodes(side)
    place[nodes] = np.arange(len(nodes))
    where, local = cell.face_facets(0, side)
    columns = np.array([cell.facet_nodes(i)[: cell.dim] for i in range(cell.dim + 1)])[local]
    vertices = np.sort(place[cell.cells[where[:, None], columns]], axis=1)
    return np.asarray(where[np.lexsort(vertices.T)], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Connected:
    """Parts of the resolved domain that take part in the electrochemistry; the rest carries heat only.

    sections  (region, unit cell) of each run of equal tiles along direction 1: one a region, or two where its last
              period has a unit cell of its own (UnitCell.closing); unit cells in the numbers of TiledMesh.units
    pieces    of each section's unit cell;  counts, lateral: tiles along direction 1 by section, and across
    periodic  lateral directions that are
    active    per section, (tiles, pieces); tiles in the order of their positions, the last direction fastest
    """

    sections: tuple[tuple[int, int], ...]
    pieces: tuple[Pieces, ...]
    counts: tuple[int, ...]
    lateral: tuple[int, ...]
    periodic: tuple[int, ...]
    active: tuple[Flags, ...]

    def cells(self, kind: int, tile: NDArray[np.integer], unit: NDArray[np.integer]) -> Flags:
        """Whether cells `unit` (n,) of a unit cell (its number), in tiles (n, d) of the domain, take part.

        Positions across that lie outside are taken periodically; those along direction 1 must be the unit cell's.
        """
        if not len(unit):
            return np.zeros(0, dtype=bool)
        section = [k for _, k in self.sections].index(kind)
        shape = (self.counts[section], *self.lateral)
        position = tile - np.array([sum(self.counts[:section]), *([0] * len(self.lateral))])
        number = np.ravel_multi_index(tuple((position % shape).T), shape)
        return np.asarray(self.active[section][number, self.pieces[section].label[unit]])

    def _of_region(self, region: int) -> list[int]:
        return [section for section, (r, _) in enumerate(self.sections) if r == region]

    @property
    def usable(self) -> tuple[tuple[bool, bool], ...]:
        """Per region, whether some solid and some electrolyte takes part."""
        each = [
            [bool(a[:, p.phase == phase].any()) for phase in (SOLID, ELECTROLYTE)]
            for a, p in zip(self.active, self.pieces, strict=True)
        ]
        parts = [self._of_region(region) for region in range(self.sections[-1][0] + 1)]
        return tuple((any(each[s][0] for s in part), any(each[s][1] for s in part)) for part in parts)

    def left_out(self, region: int) -> dict[str, float]:
        """Shares of the solid's and the electrolyte's volume and of the surface of a region that take no part."""
        kept, whole = np.zeros(3), np.zeros(3)
        for section in self._of_region(region):
            active, pieces = self.active[section], self.pieces[section]
            for number, phase in enumerate((SOLID, ELECTROLYTE)):
                volume = np.where(pieces.phase == phase, pieces.volume, 0.0)
                kept[number] += float((active @ volume).sum())
                whole[number] += len(active) * float(volume.sum())
            shape = (self.counts[section], *self.lateral)
            for solid, pore, area in _touching(pieces, shape, self.periodic):
                whole[2] += float(area.sum()) * (len(solid) // len(area))
                both = active.ravel()[solid] & active.ravel()[pore]
                kept[2] += float((both.reshape(-1, len(area)) @ area).sum())
        names = ("solid", "electrolyte", "surface")
        return {n: 1.0 - float(k / w) if w > 0.0 else 0.0 for n, k, w in zip(names, kept, whole, strict=True)}


def _neighbours(shape: tuple[int, ...], step: Ints, periodic: tuple[int, ...]) -> tuple[Ints, Ints]:
    """Tiles of a box, and their neighbours one step away where there is one; numbers in the box."""
    here = np.arange(int(np.prod(shape))).reshape(shape)
    there = here
    for direction, by in enumerate(int(s) for s in step):
        if by == 0:
            continue
        there = np.roll(there, -by, axis=direction)
        if direction not in periodic:
            inside = slice(0, -1) if by > 0 else slice(1, None)
            cut = tuple(inside if d == direction else slice(None) for d in range(len(shape)))
            here, there = here[cut], there[cut]
    return here.ravel(), there.ravel()


def _touching(
    pieces: Pieces, shape: tuple[int, ...], periodic: tuple[int, ...]
) -> Iterator[tuple[Ints, Ints, Floats]]:
    """Contacts in the tiles of one region, one step after another: solid and electrolyte numbers tile by tile
    (tile * pieces + piece), and the areas of the contacts of one tile."""
    for step in np.unique(pieces.contacts[:, 2:], axis=0):
        rows = np.all(pieces.contacts[:, 2:] == step, axis=1)
        here, there = _neighbours(shape, step, periodic)
        solid, pore = pieces.contacts[rows, 0], pieces.contacts[rows, 1]
        yield (
            (here[:, None] * pieces.count + solid).ravel(),
            (there[:, None] * pieces.count + pore).ravel(),
            pieces.area[rows],
        )


def connect(
    cells: tuple[UnitCell, ...], counts: tuple[int, ...], lateral: tuple[int, ...], periodic: tuple[int, ...]
) -> Connected:
    """The parts that take part in negative electrode, separator and positive electrode.

    cells, counts  unit cells of the regions and how many of each, one after another along direction 1
    lateral        unit cells across; periodic: directions (1, 2) whose sides are periodic, the others are insulated

    Solid takes part where it leads from its collector to the separator, in a part of the unit cell that goes on along
    direction 1; electrolyte where it leads from one electrode into the other; both only where they have a common
    surface with what takes part of the other. (Solid that touches the collector alone, a stub of what the face cuts,
    would have to pass its share of the current through a surface of O(delta).)
    """
    sections = _sections(cells, counts)
    last = len(cells) - 1
    regions = tuple((r, k) for r, k, _, _ in sections)
    cells, counts = tuple(s[2] for s in sections), tuple(s[3] for s in sections)
    pieces = tuple(pieces_of(cell) for cell in cells)
    shapes = [(count, *lateral) for count in counts]
    sizes = [int(np.prod(shape)) * p.count for shape, p in zip(shapes, pieces, strict=True)]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    edges = [
        start + edge
        for start, shape, p in zip(starts, shapes, pieces, strict=False)
        for edge in _edges(p, shape, periodic)
    ]
    edges += [_across(pieces, shapes, starts, r) for r in range(len(cells) - 1)]
    one, two = np.concatenate(edges, axis=1)
    label = _components(int(starts[-1]), one, two)
    parts = [label[a:b].reshape(-1, p.count) for a, b, p in zip(starts, starts[1:], pieces, strict=False)]
    good = _leading(cells, pieces, shapes, parts, lateral_periodic=len(periodic) == len(lateral))
    good = _in_contact(good, pieces, shapes, parts, periodic)
    active = [
        good[part] & ((region in (0, last)) | (p.phase == ELECTROLYTE))
        for part, p, (region, _) in zip(parts, pieces, regions, strict=True)
    ]
    return Connected(regions, pieces, counts, lateral, periodic, tuple(active))


def _sections(cells: tuple[UnitCell, ...], counts: tuple[int, ...]) -> list[tuple[int, int, UnitCell, int]]:
    """Region, number of the unit cell, unit cell and tiles along direction 1 of each run of equal tiles."""
    out, number = [], len(cells)
    for region, (cell, count) in enumerate(zip(cells, counts, strict=True)):
        closing = cell.closing
        if closing is None or region == len(cells) - 1:
            out.append((region, region, cell, count))
            continue
        if count > 1:
            out.append((region, region, cell, count - 1))
        out.append((region, number, closing, 1))
        number += 1
    return out


def _edges(pieces: Pieces, shape: tuple[int, ...], periodic: tuple[int, ...]) -> Iterator[Ints]:
    """(2, e) numbers (tile * pieces + piece) of pieces of one region that go on in the next tile, by direction."""
    for direction, links in enumerate(pieces.links):
        step = np.eye(len(shape), dtype=np.int64)[direction]
        here, there = _neighbours(shape, step, periodic)
        ends = np.stack([here, there])[:, :, None] * pieces.count + links.T[:, None, :]
        yield ends.reshape(2, -1)


def _across(pieces: tuple[Pieces, ...], shapes: list[tuple[int, ...]], starts: Ints, region: int) -> Ints:
    """(2, e) numbers of electrolyte pieces that go on from the last tiles of a region into the next region."""
    this, following = pieces[region], pieces[region + 1]
    pairs = np.column_stack([this.faces[1], following.faces[0]])
    wet = (this.phase[pairs[:, 0]] == ELECTROLYTE) & (following.phase[pairs[:, 1]] == ELECTROLYTE)
    pairs = np.unique(pairs[wet], axis=0)
    rows = np.arange(int(np.prod(shapes[region][1:])))
    last = rows + (shapes[region][0] - 1) * len(rows)
    return np.stack(
        [
            (starts[region] + last[:, None] * this.count + pairs[:, 0]).ravel(),
            (starts[region + 1] + rows[:, None] * following.count + pairs[:, 1]).ravel(),
        ]
    )


def _leading(
    cells: tuple[UnitCell, ...],
    pieces: tuple[Pieces, ...],
    shapes: list[tuple[int, ...]],
    parts: Sequence[Ints],
    *,
    lateral_periodic: bool,
) -> Flags:
    """(components,) that lead through their electrode (solid), or from one electrode into the other (electrolyte)."""
    total = 1 + max(int(p.max(initial=-1)) for p in parts)
    ends = (0, len(cells) - 1)
    solid, wet = np.zeros(total, dtype=bool), np.ones(total, dtype=bool)
    for region in ends:
        p, part = pieces[region], parts[region]
        goes_on = np.zeros(p.count, dtype=bool)
        goes_on[p.label[transporting(cells[region], lateral_periodic)]] = True
        rows = len(part) // shapes[region][0]
        reached = []
        for side, tiles in ((0, slice(0, rows)), (1, slice(len(part) - rows, None))):
            here = np.zeros(total, dtype=bool)
            here[part[tiles][:, p.at_face(side) & goes_on & (p.phase == SOLID)]] = True
            reached.append(here)
        solid |= reached[0] & reached[1]
        present = np.zeros(total, dtype=bool)
        present[part[:, p.phase == ELECTROLYTE]] = True
        wet &= present
    kept: Flags = solid | wet
    return kept


def _in_contact(
    good: Flags,
    pieces: tuple[Pieces, ...],
    shapes: list[tuple[int, ...]],
    parts: Sequence[Ints],
    periodic: tuple[int, ...],
) -> Flags:
    """Those components of `good` whose surface faces another one of them: in both electrodes, for the electrolyte."""
    ends = (0, len(parts) - 1)
    pairs = {}
    for region in ends:
        flat = parts[region].ravel()
        found = [
            np.unique(np.stack([flat[a], flat[b]]), axis=1)
            for a, b, _ in _touching(pieces[region], shapes[region], periodic)
        ]
        pairs[region] = np.concatenate([np.zeros((2, 0), dtype=np.int64), *found], axis=1)
    while True:
        solid, wet = np.zeros(len(good), dtype=bool), np.ones(len(good), dtype=bool)
        for region in ends:
            a, b = pairs[region][:, good[pairs[region]].all(axis=0)]
            solid[a] = True
            here = np.zeros(len(good), dtype=bool)
            here[b] = True
            wet &= here
        found_now = good & (solid | wet)
        if np.array_equal(found_now, good):
            return good
        good = found_now
