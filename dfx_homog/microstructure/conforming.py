"""Two-phase mesh of the torus: the background mesh moved onto and cut along a level set.

Vertices that the interface passes closely are moved onto it along an edge (Labelle and Shewchuk, Isosurface
stuffing, ACM Trans. Graph. 26, 2007, there for one phase and without faces); the tetrahedra that it still
crosses are split by templates. Everything is decided on the canonical vertices and edges of the torus, so
opposite faces match to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dfx_homog.microstructure.background import Background, background
from dfx_homog.microstructure.level_set import LevelFunction, project, zeros_on_segments
from dfx_homog.microstructure.tet_templates import EDGES, oriented, split
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, Floats, Ints, Phases

Bools = NDArray[np.bool_]

#: A cut nearer to a vertex than this share of the edge moves the vertex onto the interface, by length of the
#: edge in units of h: centre to face centre, face centre to corner, centre to corner, edges of the lattice.
#: Found by trial on 100 random geometries: no dihedral angle below 9 degrees away from the faces of the unit cell
#: and none below 5 at them.
NEAR = ((0.5, 0.25), (np.sqrt(0.5), 0.28), (np.sqrt(0.75), 0.36), (1.0, 0.24))
#: Vertices on a face of the unit cell that no edge in the face brings onto the interface: how far (in h) they may be
#: moved in the face, and, where that is not enough, the part of the share above below which they become vertices of
#: the interface where they are. Those are less than h/6 (h/3) off the interface; this happens only where it nearly
#: touches a face, on an area of O(h), so the error in volume is O(h^2). Ways below h/4 never flatten a triangle of
#: the face (its height is h/2). The pairs are tried in turn until no sliver remains.
STUCK = ((0.32, 0.5), (0.24, 0.75), (0.24, 1.0))


@dataclass
class TorusMesh:
    """Straight conforming two-phase mesh.

    points (v, 3); cells (m, 4) positive; phase (m,); canonical (v,): representative on the lower faces;
    on_interface (v,): vertices of the interface
    """

    points: Floats
    cells: Ints
    phase: Phases
    canonical: Ints
    on_interface: Bools

    def place(self, canonical: Ints, positions: Floats) -> None:
        """Moves canonical vertices, and their periodic copies with them to the last bit."""
        self.points[canonical] = positions
        upper = self.points == 1.0
        self.points = np.where(upper & (self.points[self.canonical] == 0.0), 1.0, self.points[self.canonical])


@dataclass(frozen=True)
class _Edges:
    """Edges of the torus from below to above: canonical ends, start, vector, cut parameter and its share."""

    ends: Ints
    start: Floats
    vector: Floats
    at: Floats
    number: Ints  # of every given edge of the mesh
    key: Ints


def _torus_edges(mesh: Background, pairs: Ints) -> tuple[Ints, Ints, Ints]:
    """Of (e, 2) edges: keys of the torus's edges, one representative of each (lowest in space), its number."""
    ends = np.sort(mesh.canonical[pairs], axis=1)
    key = ends[:, 0] * len(mesh.points) + ends[:, 1]
    order = np.argsort(mesh.points[pairs].sum(axis=(1, 2)), kind="stable")
    unique, first, number = np.unique(key[order], return_index=True, return_inverse=True)
    back = np.empty_like(number)
    back[order] = number
    return unique, order[first], back


def _crossing(cells: Ints, sign: Phases) -> Bools:
    """Cells with vertices on both sides."""
    s = sign[cells]
    crossing: Bools = (s.min(axis=1) < 0) & (s.max(axis=1) > 0)
    return crossing


def _cut_edges(mesh: Background, cells: Ints, sign: Phases, level: LevelFunction) -> _Edges:
    pairs: Ints = cells[:, EDGES].reshape(-1, 2)
    pairs = pairs[sign[pairs[:, 0]] * sign[pairs[:, 1]] < 0]
    pairs = np.where((sign[pairs[:, 0]] < 0)[:, None], pairs, pairs[:, ::-1])
    key, chosen, number = _torus_edges(mesh, pairs)
    start, end = mesh.points[pairs[chosen, 0]], mesh.points[pairs[chosen, 1]]
    at = zeros_on_segments(level, start, end)
    return _Edges(mesh.canonical[pairs[chosen]], start, end - start, at, number, key)


def _near(vector: Floats, h: float) -> Floats:
    """Share of the edge below which a cut is near."""
    lengths, shares = (np.array(v) for v in zip(*NEAR, strict=True))
    length = np.linalg.norm(vector, axis=1) / h
    return np.asarray(shares[np.argmin(np.abs(length[:, None] - lengths), axis=1)])


def _snap(
    mesh: Background, edges: _Edges, level: LevelFunction, h: float, stuck: tuple[float, float]
) -> tuple[Ints, Floats]:
    """Canonical vertices that go onto the interface, and their positions."""
    free = mesh.points[mesh.canonical] != 0.0
    near = _near(edges.vector, h)
    vertex: Ints = edges.ends.T.ravel()
    share = np.concatenate([edges.at / near, (1.0 - edges.at) / near])
    vector = np.concatenate([edges.vector * edges.at[:, None], edges.vector * (edges.at - 1.0)[:, None]])
    close = share < 1.0
    vertex, share, vector = vertex[close], share[close], vector[close]
    allowed = np.all((vector == 0.0) | free[vertex], axis=1)
    # One claim for each vertex: the nearest that it may follow, else the nearest.
    order = np.lexsort((share, ~allowed, vertex))
    vertex, first = np.unique(vertex[order], return_index=True)
    vector, allowed = vector[order[first]], allowed[order[first]]
    position = mesh.points[vertex] + np.where(allowed[:, None], vector, 0.0)
    left = np.flatnonzero(~allowed)
    position[left], reached = project(level, position[left], free[vertex[left]], stuck[0] * h)
    keep = np.ones(len(vertex), dtype=bool)
    keep[left] = reached | (share[order[first]][left] < stuck[1])
    return vertex[keep], position[keep]


def conforming_mesh(level: LevelFunction, n: int, stuck: tuple[float, float] = STUCK[0]) -> TorusMesh:
    """Background of n^3 cubes moved onto and cut along f = 0; solid where f < 0. stuck: see STUCK."""
    mesh = background(n)
    points, h = mesh.points, 1.0 / n
    value = level.value(points[mesh.canonical])
    sign = np.sign(value).astype(np.int8)
    edges = _cut_edges(mesh, mesh.cells[_crossing(mesh.cells, sign)], sign, level)
    vertex, position = _snap(mesh, edges, level, h, stuck)
    on = sign == 0
    on[vertex] = True
    on = on[mesh.canonical]
    straight = TorusMesh(points, mesh.cells, np.zeros(0, np.int8), mesh.canonical, on)
    straight.place(vertex, position)
    sign[on] = 0

    cut = _crossing(mesh.cells, sign)
    crossed, whole = mesh.cells[cut], mesh.cells[~cut]
    phase = np.where(sign[whole].min(axis=1) < 0, SOLID, ELECTROLYTE)
    flat = np.flatnonzero(~sign[whole].any(axis=1))
    if len(flat):
        inside = level.value(straight.points[whole[flat]].mean(axis=1)) < 0.0
        phase[flat] = np.where(inside, SOLID, ELECTROLYTE)
    return _split(straight, crossed, whole, phase, sign, np.abs(value), edges, len(points))


def _split(
    mesh: TorusMesh,
    crossed: Ints,
    whole: Ints,
    phase: Ints,
    sign: Phases,
    size: Floats,
    edges: _Edges,
    v: int,
) -> TorusMesh:
    """Splits the crossed cells; the vertex farther from the interface has the higher priority."""
    order = np.lexsort((mesh.canonical, -size))
    rank: Ints = np.empty(v, dtype=np.int64)
    rank[mesh.canonical[order][::-1]] = np.arange(v)[::-1]
    rank = rank[mesh.canonical]
    by_sign = np.argsort(sign[crossed].astype(np.int64) * (2 * v) + rank[crossed], axis=1)
    crossed = np.take_along_axis(crossed, by_sign, axis=1)
    local = sign[crossed]

    pairs = crossed[:, EDGES]
    has_cut = local[:, EDGES].prod(axis=2) < 0
    ends, which = np.unique(np.sort(pairs[has_cut], axis=1), axis=0, return_inverse=True)
    which = which.ravel()
    torus = np.sort(mesh.canonical[ends], axis=1)
    key = np.searchsorted(edges.key, torus[:, 0] * v + torus[:, 1])
    cut = edges.start[key] + edges.at[key, None] * edges.vector[key]
    cut = np.where((mesh.points[ends] == 1.0).all(axis=1), 1.0, cut)
    own = ~((mesh.points[ends] == 1.0).all(axis=1)).any(axis=1)
    representative = np.zeros(len(edges.key), dtype=np.int64)
    representative[key[own]] = np.flatnonzero(own)

    points = np.vstack([mesh.points, cut])
    nodes = np.zeros((len(crossed), 10), dtype=np.int64)
    nodes[:, :4] = crossed
    nodes[:, 4:][has_cut] = v + which
    pieces, _, side = split(local, nodes, _shorter(points, nodes, local))
    cells = np.vstack([whole, pieces])
    return TorusMesh(
        points,
        oriented(points, cells),
        np.concatenate([phase, np.where(side < 0, SOLID, ELECTROLYTE)]).astype(np.int8),
        np.concatenate([mesh.canonical, v + representative[key]]),
        np.concatenate([mesh.on_interface, np.ones(len(cut), dtype=bool)]),
    )


def _shorter(points: Floats, nodes: Ints, sign: Phases) -> Bools:
    """Where two vertices lie on each side (a, b below, c, d above): whether cuts ad, bc are nearer than ac, bd."""
    at = {edge: 4 + i for i, edge in enumerate(EDGES)}
    two = np.all(sign == np.array([-1, -1, 1, 1]), axis=1)
    ac, ad, bc, bd = (points[nodes[:, at[e]]] for e in ((0, 2), (0, 3), (1, 2), (1, 3)))
    shorter: Bools = two & (np.linalg.norm(ad - bc, axis=1) < np.linalg.norm(ac - bd, axis=1))
    return shorter
