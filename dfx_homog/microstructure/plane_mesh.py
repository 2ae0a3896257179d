"""Unit cells of the two-dimensional families.

The straight mesh of gmsh is mirrored where the geometry allows it, its nodes on the faces and on the interface are
put exactly where they belong, and for order 2 the midpoints are added in numpy: on the exact curve along the
interface, half-way elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.families2d import FAMILIES, PlaneGeometry
from dfx_homog.microstructure.gmsh_model import Triangulation, intervals, mirror, triangulate
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, Floats, Ints, UnitCell

# Smallest angle of a triangle, degrees: below it the mesh is called a sliver mesh and refused.
MIN_ANGLE = 5.0
# Smallest local over mean area scaling of a curved triangle.
MIN_JACOBIAN = 0.1
# Positions on a face closer than this are the same; closer than MIN_SEGMENT mesh sizes they are refused.
SAME = 1e-9
MIN_SEGMENT = 0.05


def geometry_of(spec: Any) -> PlaneGeometry:
    """The geometry of a family; raises BadInput for what has no good mesh."""
    return FAMILIES[spec.geometry](spec)


def _ends(breaks: Sequence[float]) -> list[float]:
    """0, the breaks, 1; breaks closer than SAME are one."""
    ends = [0.0]
    for b in sorted(breaks):
        if SAME < b < 1.0 - SAME and b - ends[-1] > SAME:
            ends.append(float(b))
    return [*ends, 1.0]


def face_nodes(breaks: Sequence[float], size: float) -> Floats:
    """Vertices on a face: 0, the breaks, 1, each segment divided uniformly into ceil(length/size) intervals.

    Raises BadInput for segments shorter than MIN_SEGMENT * size.
    """
    ends = _ends(breaks)
    nodes: list[Floats] = [np.zeros(1)]
    for a, b in pairwise(ends):
        if b - a < MIN_SEGMENT * size:
            raise BadInput(
                f"interfaces meet the cell's face at {a:.6g} and {b:.6g}, nearer than {MIN_SEGMENT} mesh "
                "sizes; make them meet, or move them apart"
            )
        nodes.append(np.asarray(np.linspace(a, b, intervals(b - a, size) + 1)[1:], dtype=np.float64))
    return np.concatenate(nodes)


def _is_mirrored(nodes: Floats) -> bool:
    return bool(np.all(np.abs(nodes + nodes[::-1] - 1.0) < SAME) and np.any(np.abs(nodes - 0.5) < SAME))


def _snap_to_faces(points: Floats, faces: tuple[Floats, Floats]) -> None:
    """Moves the nodes on the faces (by rounding errors) to their prescribed positions."""
    for axis in (0, 1):
        for side in (0.0, 1.0):
            on_face = np.flatnonzero(np.abs(points[:, axis] - side) < 1e-7)
            points[on_face, axis] = side
            along = points[on_face, 1 - axis]
            on_face = on_face[np.argsort(along)]
            if len(on_face) != len(faces[axis]) or np.any(np.abs(np.sort(along) - faces[axis]) > 1e-6):
                raise RuntimeError(f"gmsh's nodes on the face z{axis + 1} = {side:g} are not those asked for")
            points[on_face, 1 - axis] = faces[axis]


def _phases(mesh: Triangulation, geometry: PlaneGeometry) -> Ints:
    """Phase of every triangle: that of most of its surface, by the exact indicator at centroids."""
    corner = mesh.points[mesh.triangles]
    u, v = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    area = 0.5 * (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])
    solid = np.bincount(mesh.region, weights=area * geometry.is_solid(corner.mean(axis=1)))
    whole = np.bincount(mesh.region, weights=area)
    share = np.divide(solid, whole, out=np.full_like(solid, 0.5), where=whole > 0.0)
    if np.any((share > 0.1) & (share < 0.9)):
        raise BadInput("mesh_size: too coarse to follow the interface; use a smaller one")
    return np.where(share > 0.5, SOLID, ELECTROLYTE)[mesh.region]


def _inner_edges(triangles: Ints) -> tuple[Ints, Ints, Ints]:
    """Edges (e, 2), the edge opposite every vertex (m, 3), and the two triangles of an edge (-1 outside)."""
    pairs = np.sort(triangles[:, [[1, 2], [0, 2], [0, 1]]], axis=2).reshape(-1, 2)
    edges, number = np.unique(pairs, axis=0, return_inverse=True)
    number = number.reshape(-1, 3)
    sides = np.full((len(edges), 2), -1)
    flat, owner = number.ravel(), np.repeat(np.arange(len(triangles)), 3)
    order = np.argsort(flat, kind="stable")
    first = np.searchsorted(flat[order], np.arange(len(edges)))
    count = np.bincount(flat)
    sides[:, 0] = owner[order[first]]
    sides[count == 2, 1] = owner[order[first[count == 2] + 1]]
    return edges, number, sides


def _to_nodes(mesh: Triangulation, phase: Ints, geometry: PlaneGeometry, order: int) -> tuple[Floats, Ints]:
    """Points and cells of the given order, with the interface's nodes on the exact curve."""
    points = mesh.points.copy()
    edges, number, sides = _inner_edges(mesh.triangles)
    interface = edges[(sides[:, 1] >= 0) & (phase[sides[:, 0]] != phase[sides[:, 1]])]
    nodes = np.unique(interface)
    nodes = nodes[np.all((points[nodes] > 0.0) & (points[nodes] < 1.0), axis=1)]
    points[nodes] = geometry.to_interface(points[nodes], points[nodes])
    if order == 1:
        return points, mesh.triangles
    middle = 0.5 * (points[edges[:, 0]] + points[edges[:, 1]])
    curved = (sides[:, 1] >= 0) & (phase[sides[:, 0]] != phase[sides[:, 1]])
    middle[curved] = geometry.to_interface(points[edges[curved, 0]], points[edges[curved, 1]])
    return np.vstack([points, middle]), np.hstack([mesh.triangles, len(points) + number])


def _sorted(points: Floats, cells: Ints, phase: Ints) -> tuple[Floats, Ints, Ints]:
    """Cells sorted by x (then y) of the centroid, nodes in order of their first cell."""
    # Rounded, so that mirror images with equal x do not change places with the last digit.
    centroid = np.round(points[cells[:, :3]].mean(axis=1), 9)
    order = np.lexsort((centroid[:, 1], centroid[:, 0]))
    cells, phase = cells[order], phase[order]
    nodes, first = np.unique(cells, return_index=True)
    nodes = nodes[np.argsort(first)]
    new = np.empty(len(points), dtype=np.int64)
    new[nodes] = np.arange(len(nodes))
    return points[nodes], new[cells], phase


def _pairs(points: Floats, axis: int) -> Ints:
    sides = [np.flatnonzero(points[:, axis] == side) for side in (0.0, 1.0)]
    lower, upper = (nodes[np.argsort(points[nodes, 1 - axis])] for nodes in sides)
    return np.column_stack([lower, upper])


def plane_cell(name: str, spec: Any, breaks: Sequence[float], face_size: float) -> UnitCell:
    """Mesh of a two-dimensional family, with further nodes on the faces z1 = 0 and 1; see build.build_unit_cell.

    Raises BadInput, or RuntimeError if gmsh fails.
    """
    geometry = geometry_of(spec)
    all_breaks = ((*geometry.breaks[0], *breaks), geometry.breaks[1])
    faces = face_nodes(all_breaks[0], face_size), face_nodes(all_breaks[1], spec.mesh_size)
    mirrored = geometry.mirror[0] and _is_mirrored(faces[1]), geometry.mirror[1] and _is_mirrored(faces[0])
    box = 0.5 if mirrored[0] else 1.0, 0.5 if mirrored[1] else 1.0
    ends = [_ends(b) for b in all_breaks]
    straight = triangulate(name, geometry.draw, box, ends, (face_size, spec.mesh_size), geometry.narrow)
    phase = _phases(straight, geometry)
    for axis in (0, 1):
        if mirrored[axis]:
            straight = mirror(straight, axis)
            phase = np.tile(phase, 2)
    _snap_to_faces(straight.points, faces)
    points, cells, phase = _sorted(*_to_nodes(straight, phase, geometry, spec.order), phase)
    periodic = _pairs(points, 0), _pairs(points, 1)
    cell = UnitCell(name, 2, spec.order, points, cells, phase.astype(np.int8), periodic)
    if (angle := cell.min_angle()) < MIN_ANGLE:
        raise BadInput(
            f"mesh_size: {spec.mesh_size} gives triangles with an angle of {angle:.2g} degrees; allowed: "
            f"{MIN_ANGLE:g} or more; use a smaller one, or avoid narrow passages"
        )
    if cell.min_jacobian() < MIN_JACOBIAN:
        raise BadInput(
            f"mesh_size: {spec.mesh_size} is too coarse for the curved interface; use a smaller one"
        )
    cell.check()
    return cell
