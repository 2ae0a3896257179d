"""A unit cell of the separator between two given face meshes: one electrode's at z1 = 0, the other's at z1 = 1.

Meshes of faces in space cannot be made equal as those in the plane are, so the last period of a separator leads from
one to the other: gmsh fills the unit cube from its surface, which is given. The lateral faces are triangulated once
for both sides. Solid that touches no face (balls of an inert separator) is kept, and gmsh fills what is around it.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.extrude import face_mesh
from dfx_homog.microstructure.facets import packed_keys
from dfx_homog.microstructure.gmsh_model import fill_polygon
from dfx_homog.microstructure.gmsh_model3d import NoMesh, fill_surface
from dfx_homog.microstructure.periodic import edge_numbers, pair_vertices, unit_cell
from dfx_homog.microstructure.reference_element import EDGES, FACETS
from dfx_homog.microstructure.space_mesh import check_quality
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, Floats, Ints, Phases, UnitCell

# What is tried, in this order: finer meshes inside than asked for, by gmsh's Mesh.Algorithm3D HXT and Delaunay. (The
# surface stays as it is; what helps is another arrangement of the tetrahedra next to it.)
ATTEMPTS = ((1.0, 10.0), (1.0, 1.0), (0.8, 10.0), (0.65, 10.0), (0.65, 1.0), (0.5, 10.0))


def solid_inside(cell: UnitCell) -> bool:
    """Whether no solid touches a face of the unit cell."""
    solid = cell.cells[cell.phase == SOLID]
    return not np.isin(solid, cell.boundary_nodes).any()


def transition_cell(
    name: str, before: UnitCell, after: UnitCell, mesh_size: float, inside: UnitCell | None = None
) -> UnitCell:
    """Unit cell in space whose faces z1 = 0 and 1 are the faces z1 = 0 of `before` and `after`, node by node.

    inside: its solid is kept (`solid_inside`), all else is electrolyte. If before is after, the cell is periodic in
    direction 1 too; else it has `ends`. Curved edges of the faces and of the solid stay curved.
    Raises BadInput where gmsh finds no mesh, or none of sufficient quality.
    """
    ends = [_Given.of_face(before, 0.0), _Given.of_face(after, 1.0)]
    given = [*ends, *([] if inside is None else [_Given.of_solid(inside)])]
    failure: Exception = BadInput("no mesh")
    for factor, algorithm in ATTEMPTS:
        size = factor * mesh_size
        outside = [*((g.points, g.facets) for g in ends), *_sides(name, ends, size)]
        shells = [_Surface(outside), *(_Surface([(g.points, g.facets)]) for g in given[2:])]
        try:
            cell = _filled(name, before, after, size, given, shells, algorithm)
            check_quality(cell, f"mesh_size: {mesh_size}")
        except (NoMesh, BadInput) as error:
            failure = error
        else:
            return cell
    raise BadInput(f"the separator cannot be joined to the electrodes' faces: {failure}")


class _Given:
    """Part of the mesh that is given: vertices, facets towards what is to be filled, cells, midpoints of edges."""

    def __init__(self, points: Floats, facets: Ints, cells: Ints, edges: Ints, middle: Floats):
        self.points, self.facets, self.cells, self.edges, self.middle = points, facets, cells, edges, middle

    @classmethod
    def of_face(cls, cell: UnitCell, z: float) -> _Given:
        """The face z1 = 0 of a unit cell, put at z1 = z."""
        lower = cell.end_nodes(0)
        place = cell.points[lower].copy()
        place[:, 0] = z
        facets, middle = face_mesh(cell, lower)
        edges = np.column_stack(np.divmod(middle["edges"], len(lower)))
        used = np.unique(facets)
        number = np.full(len(lower), -1)
        number[used] = np.arange(len(used))
        nothing = np.zeros((0, 4), dtype=np.int64)
        return cls(place[used], number[facets], nothing, number[edges], place[middle["nodes"]])

    @classmethod
    def of_solid(cls, cell: UnitCell) -> _Given:
        """The solid of a unit cell."""
        solid = cell.cells[cell.phase == SOLID]
        used = np.unique(solid[:, :4])
        number = np.full(len(cell.points), -1)
        number[used] = np.arange(len(used))
        found = cell.interface_facets()
        facets = cell.cells[found.solid[:, None], FACETS[3][found.local]]
        corners = number[solid[:, :4]]
        edges, middle = np.zeros((0, 2), dtype=np.int64), np.zeros((0, 3))
        if cell.order == 2:
            edges, middle = corners[:, EDGES[3]].reshape(-1, 2), cell.points[solid[:, 4:]].reshape(-1, 3)
        return cls(cell.points[used], number[facets], corners, edges, middle)


class _Surface:
    """Triangles of several pieces, whose common points are exactly equal, as one surface."""

    def __init__(self, pieces: list[tuple[Floats, Ints]]):
        start = np.cumsum([0, *(len(p) for p, _ in pieces)])
        triangles = np.vstack([t + s for (_, t), s in zip(pieces, start[:-1], strict=True)])
        used, triangles = np.unique(triangles, return_inverse=True)
        points = np.vstack([p for p, _ in pieces])[used]
        self.points, number = np.unique(points, axis=0, return_inverse=True)
        self.triangles = number.ravel()[triangles.reshape(-1, 3)]


def _sides(name: str, ends: list[_Given], mesh_size: float) -> list[tuple[Floats, Ints]]:
    """Triangulations of the lateral faces, equal on opposite ones."""
    count = math.ceil(1.0 / mesh_size - 1e-9)
    along = np.arange(1, count) / count
    pieces: list[tuple[Floats, Ints]] = []
    for d, other in ((1, 2), (2, 1)):
        low, high = (np.sort(g.points[g.points[:, d] == 0.0, other]) for g in ends)
        ring = np.vstack(
            [
                np.column_stack([np.zeros_like(low), low]),
                np.column_stack([along, np.ones_like(along)]),
                np.column_stack([np.ones_like(high), high[::-1]]),
                np.column_stack([along[::-1], np.zeros_like(along)]),
            ]
        )
        flat, triangles = fill_polygon(name, ring, mesh_size)
        for side in (0.0, 1.0):
            points = np.full((len(flat), 3), side)
            points[:, [0, other]] = flat
            pieces.append((points, triangles))
    return pieces


def _find(points: Floats, wanted: Floats) -> Ints:
    """Positions of points that are exactly equal to the wanted ones. Raises NoMesh."""
    if not len(wanted):
        return np.zeros(0, dtype=np.int64)
    distance, position = cKDTree(points).query(wanted)
    if distance.max() > 0.0:
        raise NoMesh("nodes of the given faces are missing")
    return np.asarray(position, dtype=np.int64)


def _filled(
    name: str,
    before: UnitCell,
    after: UnitCell,
    mesh_size: float,
    given: list[_Given],
    shells: list[_Surface],
    algorithm: float,
) -> UnitCell:
    """The space between the shells filled by gmsh, given solids added, midpoints and periodic pairs found."""
    start = np.cumsum([0, *(len(s.points) for s in shells)])
    surface = np.vstack([s.points for s in shells])
    triangles = [s.triangles + first for s, first in zip(shells, start[:-1], strict=True)]
    filled, cells = fill_surface(name, surface, triangles, mesh_size, algorithm)
    points = np.unique(np.vstack([filled, *(g.points for g in given)]), axis=0)
    places = [_find(points, g.points) for g in given]
    solid = np.vstack([p[g.cells] for p, g in zip(places, given, strict=True)])
    cells = np.vstack([_find(points, filled)[cells], solid])
    phase: Phases = np.full(len(cells), ELECTROLYTE, dtype=np.int8)
    phase[len(cells) - len(solid) :] = SOLID
    if before.order == 2:
        points, cells = _with_midpoints(points, cells, given, places)
    periodic = before is after
    pairs = pair_vertices(points, directions=(1, 2))
    ends = [_at_end(points, c, z) for c, z in ((before, 0.0), (after, 1.0))]
    if periodic:
        pairs = (np.column_stack(ends), *pairs[1:])
    cell = unit_cell(name, before.order, points, cells, phase, pairs)
    if periodic:
        return cell
    lower, upper = (_at_end(cell.points, c, z) for c, z in ((before, 0.0), (after, 1.0)))
    return replace(cell, ends=(lower, upper))


def _at_end(points: Floats, cell: UnitCell, z: float) -> Ints:
    """Nodes that the nodes of the face z1 = 0 of a unit cell become at z1 = z."""
    wanted = cell.points[cell.end_nodes(0)].copy()
    wanted[:, 0] = z
    return _find(points, wanted)


def _with_midpoints(
    points: Floats, cells: Ints, given: list[_Given], places: list[Ints]
) -> tuple[Floats, Ints]:
    """Points and cells of order 2: given midpoints where there are some, half-way ones elsewhere."""
    edges, number = edge_numbers(cells, 3)
    middle = 0.5 * (points[edges[:, 0]] + points[edges[:, 1]])
    keys = packed_keys(edges, len(points))
    order = np.argsort(keys)
    for part, place in zip(given, places, strict=True):
        wanted = packed_keys(place[part.edges], len(points))
        at = order[np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)]
        if np.any(keys[at] != wanted):
            raise NoMesh("edges of the given faces are missing")
        middle[at] = part.middle
    return np.vstack([points, middle]), np.hstack([cells, len(points) + number])
