"""Unit cells cut out of a periodic background mesh along a level set: `level_set` and `random_spheres`.

The background is the body-centred lattice of n^3 cubes with edge h = 1/n, n = ceil(1/mesh_size): mesh_size bounds
the longest edge of the tetrahedra away from the interface (edges h and 0.87 h, some 12 n^3 tetrahedra). Features
thinner than about 2 h are lost; balls with a gap below h are joined by a neck.

Order 2: the midpoints of the interface's edges are put on the interface by Newton steps along the gradient, within
the face for edges on a face of the unit cell. Edges that would fold a tetrahedron are bent less or stay straight, as do
those that need a way longer than REACH of their length (at the necks of balls, where the interface has a kink).
"""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.background import FEWEST
from dfx_homog.microstructure.conforming import STUCK, conforming_mesh
from dfx_homog.microstructure.level_set import ExpressionLevel, LevelFunction, SphereUnion, project
from dfx_homog.microstructure.periodic import edge_numbers, pair_edges, pair_vertices, unit_cell
from dfx_homog.microstructure.reference_element import FACET_EDGES, FACETS
from dfx_homog.microstructure.spec import Spec
from dfx_homog.microstructure.unitcell import SOLID, Floats, Ints, UnitCell
from dfx_homog.parameters.expression import Expression

#: Smallest dihedral angle of the straight tetrahedra, degrees, and smallest local over mean volume scaling of the
#: curved ones: what every mesh of this module keeps.
MIN_DIHEDRAL = 5.0
MIN_JACOBIAN = 0.1
#: How often the bend of an edge that folds a cell is halved before it is given up.
HALVINGS = 3
#: Longest way of a midpoint to the interface, in lengths of its edge.
REACH = 0.25
#: Points along each direction at which the level function is looked at.
SAMPLES = 64
#: A phase whose share is this far (relatively) from that of the samples is not resolved.
RESOLVED = 0.05
#: Largest difference between opposite faces, relative to the function's range.
PERIODIC = 1e-9


def level_function(spec: Any) -> LevelFunction:
    """The level function of a `level_set` (expression, threshold) or `random_spheres`; raises BadInput."""
    if spec.geometry == "level_set":
        try:
            return ExpressionLevel(Expression.of_position(spec.expression) - spec.threshold)
        except ValueError as error:
            raise BadInput(f"expression: {error}") from error
    if spec.geometry == "random_spheres":
        from dfx_homog.microstructure.packing import pack

        return SphereUnion(*pack(spec))
    raise BadInput(f"geometry: {spec.geometry!r} is not cut; allowed: level_set, random_spheres")


def _sampled_fraction(level: LevelFunction, geometry: str) -> float:
    """Share of the solid by samples; raises BadInput for functions that are not periodic or give one phase."""
    line = (np.arange(SAMPLES) + 0.5) / SAMPLES
    x, y, z = np.meshgrid(line, line, line, indexing="ij")
    with np.errstate(all="ignore"):
        values = level.value(np.column_stack([x.ravel(), y.ravel(), z.ravel()]))
    if not np.isfinite(values).all():
        raise BadInput(f"{geometry}: the level function has no finite value at some points of the unit cell")
    span = float(np.ptp(values))
    for axis, name in enumerate("xyz"):
        face = np.insert(
            np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2), axis, 0.0, axis=1
        )
        with np.errstate(all="ignore"):
            jump = np.abs(level.value(face) - level.value(face + np.eye(3)[axis])).max()
        if not jump <= PERIODIC * span:
            raise BadInput(
                f"{geometry}: not periodic, it differs by {jump:.3g} between {name} = 0 and {name} = 1"
            )
    fraction = float(np.mean(values < 0.0))
    if not 0.0 < fraction < 1.0:
        raise BadInput(f"{geometry}: all is {'solid' if fraction else 'electrolyte'}; both phases are needed")
    return fraction


def cut_unit_cell(name: str, spec: Spec, level: LevelFunction | None = None) -> UnitCell:
    """Conforming periodic mesh of both phases for `level_set` or `random_spheres`, order 1 or 2.

    spec   geometry, mesh_size, order and the keys of the geometry
    level  the level function to use instead of the one of the spec
    Every mesh returned has passed UnitCell.check(), dihedral angles of at least MIN_DIHEDRAL and scaled Jacobians of
    at least MIN_JACOBIAN. Raises BadInput for level functions that are not periodic, give one phase only, or are not
    resolved by mesh_size.
    """
    level = level_function(spec) if level is None else level
    wanted = _sampled_fraction(level, spec.geometry)
    n = max(FEWEST, ceil(1.0 / spec.mesh_size - 1e-9))
    for stuck in STUCK:
        torus = conforming_mesh(level, n, stuck)
        cell = unit_cell(name, 1, torus.points, torus.cells, torus.phase, pair_vertices(torus.points))
        if (angle := cell.min_angle()) >= MIN_DIHEDRAL:
            break
    else:
        raise BadInput(
            f"mesh_size: {spec.mesh_size} gives tetrahedra with a dihedral angle of {angle:.2g} degrees; allowed: "
            f"{MIN_DIHEDRAL:g} or more; use another one"
        )
    found = cell.phase_fraction(SOLID)
    if abs(found - wanted) > RESOLVED * min(wanted, 1.0 - wanted):
        raise BadInput(
            f"mesh_size: {spec.mesh_size} is too coarse, the mesh has {found:.4g} of solid and the geometry "
            f"{wanted:.4g}; use a smaller one"
        )
    if spec.order == 2:
        cell = _curved(cell, level)
    cell.check()
    return cell


def _curved(cell: UnitCell, level: LevelFunction) -> UnitCell:
    """The mesh of order 2, its interface on the level set where that folds nothing."""
    points, cells = cell.points, cell.cells
    edges, number = edge_numbers(cells, 3)
    edge_pairs = pair_edges(edges, cell.periodic, len(points))
    canonical = np.arange(len(edges))
    for pairs in edge_pairs:
        lower = np.arange(len(edges))
        lower[pairs[:, 1]] = pairs[:, 0]
        canonical = lower[canonical]

    facets = cell.interface_facets()
    solid, local = facets.solid.astype(np.int64), facets.local.astype(np.int64)
    curved = np.unique(canonical[number[solid[:, None], FACET_EDGES[3][local]]])
    curved = curved[
        _on_level(level, points, cells[solid[:, None], FACETS[3][local]])[edges[curved]].all(axis=1)
    ]
    straight = 0.5 * (points[edges[:, 0]] + points[edges[:, 1]])
    length = np.linalg.norm(points[edges[curved, 1]] - points[edges[curved, 0]], axis=1)
    target, _ = project(level, straight[curved], straight[curved] != 0.0, REACH * length)
    offset = np.zeros_like(straight)
    offset[curved] = target - straight[curved]
    middle = straight + offset[canonical]
    middle = np.where(straight == 1.0, 1.0, middle)
    _unfold(points, cells, number, middle, straight, canonical)
    nodes = np.hstack([cells, len(points) + number])
    joined = tuple(np.vstack([v, len(points) + e]) for v, e in zip(cell.periodic, edge_pairs, strict=True))
    return unit_cell(cell.name, 2, np.vstack([points, middle]), nodes, cell.phase, joined)


def _on_level(level: LevelFunction, points: Floats, facets: Ints) -> NDArray[np.bool_]:
    """(points,) whether a vertex of the facets lies on the level set; those stuck on a face do not."""
    vertices = np.unique(facets)
    slope = np.linalg.norm(level.gradient(points[vertices]), axis=1)
    on = np.zeros(len(points), dtype=bool)
    on[vertices] = np.abs(level.value(points[vertices])) <= 1e-9 * slope
    return on


def _unfold(
    points: Floats, cells: Ints, number: Ints, middle: Floats, straight: Floats, canonical: Ints
) -> None:
    """Halves, HALVINGS times, then removes the bend of the edges of folded cells and of their periodic copies."""
    bent = np.any(middle != straight, axis=1)
    near = np.flatnonzero(bent[number].any(axis=1))
    times = np.zeros(len(middle), dtype=np.int64)
    while len(near):
        nodes = np.hstack([cells[near], len(points) + number[near]])
        part = UnitCell("", 3, 2, np.vstack([points, middle]), nodes, np.zeros(len(near), dtype=np.int8), ())
        folded = near[part.cell_jacobian() < MIN_JACOBIAN]
        back = np.zeros(len(middle), dtype=bool)
        back[canonical[number[folded]]] = True
        back = back[canonical] & bent
        times[back] += 1
        keep = np.where(times[back] > HALVINGS, 0.0, 0.5)[:, None]
        middle[back] = straight[back] + keep * (middle[back] - straight[back])
        near = np.flatnonzero(back[number].any(axis=1))
        bent &= times <= HALVINGS
