"""Unit cells of the three-dimensional families: gmsh's straight tetrahedra, put on the exact interface, periodic.

An octant of a mirror-symmetric geometry is meshed and mirrored three times, so that its faces match by construction.
For order 2 the midpoints are added in numpy: on the exact surface along the interface, half-way elsewhere.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.bodies import PLANES
from dfx_homog.microstructure.caps import without_caps
from dfx_homog.microstructure.facets import facet_groups
from dfx_homog.microstructure.families3d import FAMILIES, SpaceGeometry
from dfx_homog.microstructure.gmsh_model import TOLERANCE
from dfx_homog.microstructure.gmsh_model3d import NoMesh, Tetrahedra, tetrahedralise
from dfx_homog.microstructure.periodic import edge_numbers, pair_edges, pair_vertices, unit_cell
from dfx_homog.microstructure.reference_element import FACET_EDGES, FACETS
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, Floats, Ints, Phases, UnitCell

# Smallest dihedral angle, degrees: below it the mesh is called a sliver mesh and refused.
MIN_DIHEDRAL = 5.0
# Edges around a full turn of a curved surface: none asked for first, then more where cells would fold.
AROUND = (0, 9, 12, 16)
# Smallest local over mean volume scaling of a curved tetrahedron.
MIN_JACOBIAN = 0.1
# Share of the interface's edges that may stay straight where they would fold a cell: below the first a mesh is taken
# at once, below the second it is taken if no finer one is better.
ACCEPTED = (0.002, 0.05)


def geometry_of(spec: Any) -> SpaceGeometry:
    """The geometry of a family; raises BadInput for what has no good mesh."""
    return FAMILIES[spec.geometry](spec)


def _phases(mesh: Tetrahedra, geometry: SpaceGeometry) -> Phases:
    """Phase of every tetrahedron: that of most of its volume, by the exact indicator at centroids."""
    a, b, c, d = (mesh.points[mesh.tetrahedra[:, i]] for i in range(4))
    volume = np.einsum("ij,ij->i", np.cross(b - a, c - a), d - a)
    solid = np.bincount(mesh.region, weights=volume * geometry.is_solid(0.25 * (a + b + c + d)))
    share = solid / np.bincount(mesh.region, weights=volume)
    if np.any((share > 0.1) & (share < 0.9)):
        raise BadInput("mesh_size: too coarse to follow the interface; use a smaller one")
    return np.where(share > 0.5, SOLID, ELECTROLYTE)[mesh.region].astype(np.int8)


def _interface(cells: Ints, phase: Phases) -> tuple[Ints, Ints]:
    """(cell, local facet) of the facets between the phases inside the box."""
    inner, _ = facet_groups(cells, 3)
    differ = phase[inner[:, 0] // 4] != phase[inner[:, 1] // 4]
    return inner[differ, 0] // 4, inner[differ, 0] % 4


def _curve(
    points: Floats, cells: Ints, phase: Phases, geometry: SpaceGeometry, order: int, pairs: tuple[Ints, ...]
) -> tuple[Floats, Ints, tuple[Ints, ...], float]:
    """Points, cells and pairs of the given order, the interface's nodes on the exact surface.

    A curved edge that would fold a cell stays straight; the last value is the share of the interface's edges that do.
    """
    union = geometry.curved
    cell, local = _interface(cells, phase)
    facets = cells[cell[:, None], FACETS[3][local]]
    if union is not None and len(facets):
        on = np.unique(facets)
        points[on] = union.to_nodes(points[on])
    if order == 1:
        return points, cells, pairs, 0.0
    edges, number = edge_numbers(cells, 3)
    straight = 0.5 * (points[edges[:, 0]] + points[edges[:, 1]])
    middle = straight.copy()
    edge_pairs, share = pair_edges(edges, pairs, len(points)), 0.0
    if union is not None and len(facets):
        facet_edges = number[cell[:, None], FACET_EDGES[3][local]]
        curved, position = np.unique(facet_edges, return_inverse=True)
        middle[curved] = union.to_midpoints(
            points, facets, position.reshape(facet_edges.shape), edges[curved]
        )
        bent = int(np.count_nonzero(np.any(middle != straight, axis=1)))
        _straighten(points, cells, number, middle, straight, edge_pairs)
        share = 1.0 - int(np.count_nonzero(np.any(middle != straight, axis=1))) / max(bent, 1)
    nodes = np.hstack([cells, len(points) + number])
    joined = tuple(np.vstack([v, len(points) + e]) for v, e in zip(pairs, edge_pairs, strict=True))
    return np.vstack([points, middle]), nodes, joined, share


def _straighten(
    points: Floats, cells: Ints, number: Ints, middle: Floats, straight: Floats, pairs: tuple[Ints, ...]
) -> None:
    """Edges of cells that curved edges fold become straight, with their periodic partners, until none folds."""
    moved: NDArray[np.bool_] = np.asarray(np.any(middle != straight, axis=1))
    near = np.flatnonzero(moved[number].any(axis=1))
    while len(near):
        nodes = np.hstack([cells[near], len(points) + number[near]])
        part = UnitCell("", 3, 2, np.vstack([points, middle]), nodes, np.zeros(len(near), dtype=np.int8), ())
        folded = near[part.cell_jacobian() < MIN_JACOBIAN]
        if not len(folded):
            return
        back: NDArray[np.bool_] = np.zeros(len(middle), dtype=bool)
        back[number[folded].ravel()] = True
        for p in (*pairs, *pairs):
            back[p] = np.any(back[p], axis=1, keepdims=True)
        middle[back] = straight[back]
        near = np.flatnonzero((back & moved)[number].any(axis=1))


def _mirror(points: Floats, cells: Ints, phase: Phases, axis: int) -> tuple[Floats, Ints, Phases]:
    """The mesh of [0, 1/2] in direction `axis` and its mirror image in z_axis = 1/2, joined."""
    shared = points[:, axis] == 0.5
    image = np.where(shared, np.arange(len(points)), len(points) + np.cumsum(~shared) - 1)
    reflected = points[~shared].copy()
    reflected[:, axis] = 1.0 - reflected[:, axis]
    # exchanging vertices 2 and 3 turns the cells back; midpoints (1,3) and (1,2), (0,3) and (0,2) follow
    turned = [0, 1, 3, 2, 4, 6, 5, 8, 7, 9][: cells.shape[1]]
    return (
        np.vstack([points, reflected]),
        np.vstack([cells, image[cells][:, turned]]),
        np.tile(phase, 2),
    )


def _assemble(
    name: str, order: int, mesh: Tetrahedra, geometry: SpaceGeometry, bisect: bool
) -> tuple[UnitCell, float]:
    """The unit cell, and the share of the interface's edges that had to stay straight."""
    phase, points = _phases(mesh, geometry), mesh.points.copy()
    for value in PLANES:
        points[np.abs(points - value) < TOLERANCE] = value
    cells = mesh.tetrahedra
    if bisect:
        on_face = np.any((points == 0.0) | (points == 1.0), axis=1) & (not geometry.mirror)
        points, cells, phase = without_caps(points, cells, phase, on_face)
    pairs = () if geometry.mirror else pair_vertices(points)
    points, cells, pairs, share = _curve(points, cells, phase, geometry, order, pairs)
    if geometry.mirror:
        for axis in range(3):
            points, cells, phase = _mirror(points, cells, phase, axis)
        pairs = pair_vertices(points)
    return unit_cell(name, order, points, cells, phase, pairs), share


def space_cell(name: str, spec: Any) -> UnitCell:
    """Mesh of a three-dimensional family; finer along curved surfaces than mesh_size where that takes a better mesh.

    Raises BadInput, or RuntimeError if gmsh fails.
    """
    geometry, order, size = geometry_of(spec), int(spec.order), float(spec.mesh_size)
    around = AROUND if geometry.curved is not None else AROUND[:1]
    side = 0.5 if geometry.mirror else 1.0
    best, least = None, ACCEPTED[1]
    failure: Exception = BadInput(
        f"mesh_size: {size} is too coarse for the curved interface; use a smaller one"
    )
    with closing(
        tetrahedralise(name, geometry.draw, side, size, geometry.sizes(size, order), around)
    ) as meshes:
        for mesh, bisect in ((m, b) for m in meshes for b in ((False, True) if order == 2 else (False,))):
            if isinstance(mesh, NoMesh):
                failure = BadInput(f"mesh_size: {size}: {mesh}; use a smaller one")
                continue
            try:
                cell, share = _assemble(name, order, mesh, geometry, bisect)
                check_quality(cell, f"mesh_size: {size}")
            except BadInput as error:
                failure = error
                continue
            if share <= ACCEPTED[0]:
                return cell
            if share < least:
                best, least = cell, share
    if best is None:
        raise failure
    return best


def check_quality(cell: UnitCell, what: str) -> None:
    """Raises BadInput for slivers and folded cells, RuntimeError for what is not a periodic mesh."""
    if (angle := cell.min_angle()) < MIN_DIHEDRAL:
        raise BadInput(
            f"{what} gives tetrahedra with a dihedral angle of {angle:.2g} degrees; allowed: "
            f"{MIN_DIHEDRAL:g} or more; use a smaller one, or avoid narrow passages"
        )
    if cell.min_jacobian() < MIN_JACOBIAN:
        raise BadInput(f"{what} is too coarse for the curved interface; use a smaller one")
    cell.check()
