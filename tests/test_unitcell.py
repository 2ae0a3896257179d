"""Unit-cell meshes: areas, lengths, periodicity, conformity, symmetry, joined faces, and what is refused."""

from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import gmsh
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi4py import MPI

from dfx_homog.errors import BadInput
from dfx_homog.microstructure import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.microstructure.gmsh_model import Triangulation, mirror
from dfx_homog.microstructure.plane_mesh import face_nodes
from dfx_homog.studies.unit_cells import build_unit_cell, face_breaks

WAVY: dict[str, Any] = {"geometry": "wavy", "w0": 0.27, "w1": 0.12, "w2": 0.0}
SKEW: dict[str, Any] = {"geometry": "wavy", "w0": 0.27, "w1": 0.1, "w2": 0.06}
DISK: dict[str, Any] = {"geometry": "disks", "radius": 0.3, "lattice": "square"}
# One disk over the face z1 = 0, one over a corner.
CROSSING: dict[str, Any] = {"geometry": "disks", "centres": [[0.1, 0.55], [0.6, 0.05]], "radii": [0.25, 0.2]}
CORNER: dict[str, Any] = {"geometry": "disks", "centres": [[0.0, 0.0], [0.5, 0.5]], "radii": [0.3, 0.25]}
ELLIPSE: dict[str, Any] = {"geometry": "ellipse", "semi_axes": [0.4, 0.2], "angle": 30.0}
CHECKERBOARD: dict[str, Any] = {"geometry": "checkerboard"}
ELECTROLYTE_ONLY: dict[str, Any] = {"geometry": "electrolyte"}


def laminate(n: tuple[int, int], f: float) -> dict[str, Any]:
    return {"geometry": "laminate", "normal": list(n), "solid_fraction": f}


EVERY = {
    "electrolyte": ELECTROLYTE_ONLY,
    "wavy": WAVY,
    "skew": SKEW,
    "disk": DISK,
    "crossing": CROSSING,
    "corner": CORNER,
    "ellipse": ELLIPSE,
    "checkerboard": CHECKERBOARD,
    "laminate 1 0": laminate((1, 0), 0.4),
    "laminate 0 1": laminate((0, 1), 0.3),
    "laminate 1 1": laminate((1, 1), 0.4),
    "laminate 3 -2": laminate((3, -2), 0.45),
}


def build(keys: dict[str, Any], h: float = 0.1, order: int = 1, **more: Any) -> UnitCell:
    spec = SimpleNamespace(**{"mesh_size": h, "order": order, "dim": 2} | keys)
    return build_unit_cell("cell", spec, MPI.COMM_SELF, **more)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("keys", EVERY.values(), ids=EVERY)
def test_periodic_conforming_positive(keys: dict[str, Any], order: int) -> None:
    """Computed here from points and cells alone, not with the mesh's own checks."""
    cell = build(keys, order=order)
    assert cell.cells.shape[1] == (3 if order == 1 else 6)
    assert np.unique(cell.cells).size == len(cell.points)
    corner = cell.points[cell.cells[:, :3]]
    u, v = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    assert (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]).min() > 0.0
    assert np.all(np.diff(corner.mean(axis=1)[:, 0]) > -1e-8)
    assert cell.cell_measures.sum() == pytest.approx(1.0, abs=1e-13)
    assert cell.min_angle() > 15.0
    for d, pairs in enumerate(cell.periodic):
        other = 1 - d
        assert np.all(cell.points[pairs[:, 0], d] == 0.0)
        assert np.all(cell.points[pairs[:, 1], d] == 1.0)
        assert np.array_equal(cell.points[pairs[:, 0], other], cell.points[pairs[:, 1], other])
        assert np.all(np.diff(cell.points[pairs[:, 0], other]) > 0.0)
        assert len(pairs) == np.count_nonzero(cell.points[:, d] == 0.0)
    # On the torus V - E + F = 0, each edge belongs to two triangles.
    vertices = np.unique(cell.canonical[cell.cells[:, :3]]).size
    assert len(cell.torus_facets.cell) == vertices + len(cell.cells)
    assert 2 * len(cell.torus_facets.cell) == 3 * len(cell.cells)


@pytest.mark.parametrize("keys", [WAVY, CROSSING, CHECKERBOARD, laminate((1, 0), 0.4)])
def test_interface_facets_lie_between_the_phases(keys: dict[str, Any]) -> None:
    cell = build(keys, order=2)
    facets = cell.interface_facets()
    assert np.all(cell.phase[facets.solid] == SOLID)
    assert np.all(cell.phase[facets.electrolyte] == ELECTROLYTE)
    for solid, local, electrolyte, shift in zip(*facets, strict=True):
        mine = cell.points[cell.cells[solid][cell.facet_nodes(local)]]
        theirs = cell.points[cell.cells[electrolyte]] + shift
        distance = np.linalg.norm(mine[:, None] - theirs[None], axis=2)
        assert np.all(distance.min(axis=1) == 0.0)
    across = {tuple(int(s) for s in shift) for shift in facets.shift}
    expected = {(0, 0)}
    if keys is CHECKERBOARD:
        expected |= {(1, 0), (-1, 0), (0, 1), (0, -1)}
    if keys["geometry"] == "laminate":
        expected |= {(-1, 0)}
    assert across == expected


def test_midpoints_are_numbered_opposite_to_their_vertex() -> None:
    cell = build(DISK, order=2)
    straight = build(DISK, order=1)
    assert np.array_equal(np.sort(cell.phase), np.sort(straight.phase))
    p = cell.points[cell.cells]
    for i in range(3):
        middle = 0.5 * (p[:, (i + 1) % 3] + p[:, (i + 2) % 3])
        length = np.linalg.norm(p[:, (i + 1) % 3] - p[:, (i + 2) % 3], axis=1)
        assert np.all(np.linalg.norm(p[:, 3 + i] - middle, axis=1) < 0.1 * length)


@pytest.mark.parametrize(
    ("keys", "level"),
    [
        (DISK, lambda p: np.hypot(p[:, 0] - 0.5, p[:, 1] - 0.5) - 0.3),
        (SKEW, lambda p: np.abs(p[:, 1] - 0.5) - _half_width(p[:, 0])),
    ],
)
def test_interface_nodes_lie_on_the_curve(keys: dict[str, Any], level: Any) -> None:
    cell = build(keys, order=2)
    facets = cell.interface_facets()
    nodes = np.concatenate(
        [cell.cells[facets.solid[facets.local == i]][:, cell.facet_nodes(i)].ravel() for i in range(3)]
    )
    assert np.abs(level(cell.points[nodes])).max() < 1e-15


def _half_width(x: Any) -> Any:
    return 0.27 + 0.1 * np.cos(2 * np.pi * x) + 0.06 * np.sin(4 * np.pi * x)


AREAS = [
    (DISK, math.pi * 0.09, 2 * math.pi * 0.3),
    (CROSSING, math.pi * (0.25**2 + 0.2**2), 2 * math.pi * 0.45),
    (ELLIPSE, math.pi * 0.08, None),
    (SKEW, 0.54, None),
    (WAVY, 0.54, 2.25947),
]


@pytest.mark.parametrize(("keys", "area", "length"), AREAS)
@pytest.mark.parametrize("order", [1, 2])
def test_curved_areas_and_lengths_converge(
    keys: dict[str, Any], area: float, length: float | None, order: int
) -> None:
    """Chords lose h^2/12 times the integral of the curvature, pi h^2/6 per closed curve; arcs err as h^4.

    For the wavy strip the curvature integrates to zero.
    """
    sizes = (0.08, 0.04, 0.02)
    cells = [build(keys, h, order) for h in sizes]
    errors = np.array([area - c.phase_fraction(SOLID) for c in cells])
    if order == 1:
        closed = 0 if keys["geometry"] == "wavy" else len(keys.get("radii", [0]))
        loss = closed * math.pi * np.square(sizes) / 6  # for edges of length h; gmsh rounds their number up
        assert np.all(errors < 1.01 * loss + 1e-5)
        assert np.all(errors > 0.75 * loss - 1e-5)
    else:
        assert abs(errors[-1]) < 1e-7
        assert abs(errors[-1]) < abs(errors[0]) / 2**7 + 1e-14
    if length is not None:
        wrong = abs(cells[-1].interface_measure() - length) / length
        assert wrong < (5e-4 if order == 1 else 2e-6)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    n=st.tuples(st.integers(-3, 3), st.integers(-3, 3)).filter(lambda n: n != (0, 0)),
    f=st.floats(0.15, 0.85),
)
def test_laminates_are_exact(n: tuple[int, int], f: float) -> None:
    cell = build(laminate(n, f))
    assert cell.phase_fraction(SOLID) == pytest.approx(f, abs=1e-13)
    assert cell.interface_measure() == pytest.approx(2 * math.hypot(*n), abs=1e-12)
    centroid = cell.points[cell.cells].mean(axis=1)
    assert np.array_equal(cell.phase == SOLID, np.mod(centroid @ n, 1.0) < f)


def test_checkerboard_is_exact() -> None:
    cell = build(CHECKERBOARD, order=2)
    assert cell.phase_fraction(SOLID) == pytest.approx(0.5, abs=1e-14)
    assert cell.interface_measure() == pytest.approx(4.0, abs=1e-13)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    centres=st.lists(st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)), min_size=1, max_size=4),
    radii=st.lists(st.floats(0.06, 0.3), min_size=4, max_size=4),
    order=st.sampled_from([1, 2]),
)
def test_any_disks_give_a_good_mesh_or_are_refused(
    centres: list[tuple[float, float]], radii: list[float], order: int
) -> None:
    keys = {"geometry": "disks", "centres": centres, "radii": radii[: len(centres)]}
    try:
        cell = build(keys, 0.07, order)
    except BadInput:
        return
    grid = (np.arange(200) + 0.5) / 200
    x, y = np.meshgrid(grid, grid)
    solid = np.zeros_like(x, dtype=bool)
    for (a, b), r in zip(centres, radii, strict=False):
        dx, dy = (np.minimum(np.abs(v), 1 - np.abs(v)) for v in (x - a, y - b))
        solid |= dx * dx + dy * dy < r * r
    assert cell.phase_fraction(SOLID) == pytest.approx(solid.mean(), abs=0.03)


def test_overlapping_disks() -> None:
    """Two disks of radius r at distance d: the lens is counted once, re-entrant corners stay in place."""
    r, d = 0.22, 0.3
    lens = 2 * r * r * math.acos(d / (2 * r)) - 0.5 * d * math.sqrt(4 * r * r - d * d)
    keys = {"geometry": "disks", "centres": [[0.35, 0.5], [0.65, 0.5]], "radii": [r, r]}
    cell = build(keys, 0.05, 2)
    assert cell.phase_fraction(SOLID) == pytest.approx(2 * math.pi * r * r - lens, abs=1e-5)
    arcs = 2 * r * (2 * math.pi - 2 * math.acos(d / (2 * r)))
    assert cell.interface_measure() == pytest.approx(arcs, rel=1e-5)


@pytest.mark.parametrize("order", [1, 2])
def test_three_regions_have_the_same_nodes_on_their_faces(order: int) -> None:
    regions = [
        WAVY | {"mesh_size": 0.1},
        ELECTROLYTE_ONLY | {"mesh_size": 0.12},
        CROSSING | {"mesh_size": 0.08},
    ]
    specs = [SimpleNamespace(order=order, dim=2, **keys) for keys in regions]
    breaks = sorted({b for spec in specs for b in face_breaks(spec)})
    root = math.sqrt(0.25**2 - 0.1**2)
    assert breaks == pytest.approx(sorted([0.11, 0.5, 0.89, 0.55 - root, 0.55 + root]), abs=1e-14)
    cells = [build_unit_cell("region", spec, MPI.COMM_SELF, breaks, 0.08) for spec in specs]
    expected = face_nodes(breaks, 0.08)
    ends = [0.0, *breaks, 1.0]
    counts = [math.ceil((b - a) / 0.08) for a, b in pairwise(ends)]
    assert len(expected) == sum(counts) + 1
    if order == 2:
        expected = np.sort(np.append(expected, 0.5 * (expected[1:] + expected[:-1])))
    for cell in cells:
        for side in (0, 1):
            assert np.array_equal(cell.points[cell.periodic[0][:, side], 1], expected)


def test_breaks_of_the_families() -> None:
    def of(keys: dict[str, Any]) -> tuple[float, ...]:
        return face_breaks(SimpleNamespace(mesh_size=0.1, order=1, dim=2, **keys))

    assert of(ELECTROLYTE_ONLY) == ()
    assert of(laminate((1, 0), 0.4)) == ()
    assert of(laminate((0, 1), 0.3)) == (0.3,)
    assert of(laminate((3, -2), 0.4)) == pytest.approx((0.3, 0.5, 0.8))
    assert of(CHECKERBOARD) == (0.5,)
    assert of(SKEW) == pytest.approx((0.13, 0.5, 0.87))
    assert of(CORNER) == pytest.approx((0.3, 0.7))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("keys", [WAVY, DISK, ELECTROLYTE_ONLY])
def test_symmetric_geometries_have_symmetric_meshes(keys: dict[str, Any], order: int) -> None:
    cell = build(keys, order=order)
    centroids = np.column_stack([cell.points[cell.cells].mean(axis=1), cell.phase])
    for axis in (0, 1):
        for table, columns in ((cell.points, 2), (centroids, 3)):
            image = table.copy()
            image[:, axis] = 1.0 - image[:, axis]
            both = [np.round(t, 10) + 0.0 for t in (table, image)]
            a, b = (t[np.lexsort([t[:, i] for i in range(columns)])] for t in both)
            assert np.array_equal(a, b)


def test_mirror_keeps_orientation_and_joins_the_plane() -> None:
    triangle = Triangulation(
        np.array([[0.0, 0.0], [0.5, 0.0], [0.5, 1.0]]), np.array([[0, 1, 2]]), np.array([0])
    )
    both = mirror(triangle, 0)
    assert len(both.points) == 4
    a, b, c = (both.points[both.triangles[:, i]] for i in range(3))
    u, v = b - a, c - a
    assert np.allclose(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0], 0.5)


def test_canonical_nodes_and_faces() -> None:
    cell = build(CROSSING, order=2)
    difference = cell.points - cell.points[cell.canonical]
    assert set(np.unique(difference)) == {0.0, 1.0}
    assert np.all(cell.points[cell.canonical] < 1.0)
    assert np.array_equal(cell.canonical[cell.canonical], cell.canonical)
    on_face = np.any((cell.points == 0.0) | (cell.points == 1.0), axis=1)
    assert np.array_equal(cell.boundary_nodes, np.flatnonzero(on_face))
    for direction in (0, 1):
        for side in (0, 1):
            cells, local = cell.face_facets(direction, side)
            for c, f in zip(cells, local, strict=True):
                assert np.all(cell.points[cell.cells[c][cell.facet_nodes(f)], direction] == side)
            assert len(cells) == (len(cell.periodic[direction]) - 1) // 2


def test_the_same_input_gives_the_same_mesh() -> None:
    one, two = build(CROSSING), build(CROSSING)
    assert np.array_equal(one.points, two.points)
    assert np.array_equal(one.cells, two.cells)


def test_another_gmsh_session_is_left_alone() -> None:
    gmsh.initialize(readConfigFiles=False, interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.model.add("theirs")
        gmsh.option.setNumber("Mesh.Algorithm", 5)
        build(WAVY)
        assert gmsh.isInitialized()
        assert gmsh.model.getCurrent() == "theirs"
        assert gmsh.option.getNumber("Mesh.Algorithm") == 5
    finally:
        gmsh.finalize()


REFUSED = [
    (DISK | {"radius": 0.4999}, "touching the face"),
    (DISK | {"radius": 0.5005}, "touching the face"),
    (DISK | {"radius": -0.1}, "sizes from"),
    ({"geometry": "disks", "centres": [[0.3, 0.5], [0.701, 0.5]], "radii": [0.2, 0.2]}, "within 0.001"),
    ({"geometry": "disks", "centres": [[0.3, 0.5], [0.699, 0.5]], "radii": [0.2, 0.2]}, "nearly tangent"),
    ({"geometry": "disks", "radius": 0.3, "lattice": "hexagonal"}, "lattice"),
    ({"geometry": "disks", "centres": [[0.3, 0.5]], "radii": [0.2, 0.2]}, "radii"),
    (WAVY | {"w1": 0.27}, "neck"),
    (WAVY | {"w0": 0.4}, "neck"),
    (laminate((0, 0), 0.5), "normal"),
    (laminate((1, 0), 1.0), "solid_fraction"),
    (WAVY | {"mesh_size": 0.0}, "mesh_size"),
    (WAVY | {"order": 3}, "order"),
    (CHECKERBOARD | {"dim": 3}, "dim"),
    ({"geometry": "gyroid"}, "allowed: electrolyte, laminate"),
    (DISK | {"radius": 0.488, "mesh_size": 0.3}, "mesh_size"),
    (SKEW | {"mesh_size": 0.2, "order": 2}, "too coarse"),
]


@pytest.mark.parametrize(("keys", "message"), REFUSED)
def test_bad_geometries_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        build(keys)
    assert str(caught.value).startswith("[microstructure.cell] ")


def test_breaks_that_nearly_meet_are_refused() -> None:
    with pytest.raises(BadInput, match="nearer than"):
        build(WAVY, face_breaks=[0.111])


@pytest.mark.mpi
@pytest.mark.mpi3
def test_every_rank_has_the_same_mesh_or_the_same_error() -> None:
    comm = MPI.COMM_WORLD
    spec = SimpleNamespace(mesh_size=0.1, order=2, dim=2, **CROSSING)
    cell = build_unit_cell("cell", spec, comm)
    first = comm.bcast((cell.points, cell.cells, cell.phase, cell.periodic))
    assert np.array_equal(first[0], cell.points)
    assert np.array_equal(first[1], cell.cells)
    assert np.array_equal(first[2], cell.phase)
    assert all(np.array_equal(a, b) for a, b in zip(first[3], cell.periodic, strict=True))
    spec.radii = [0.25, 0.4495]
    with pytest.raises(BadInput):
        build_unit_cell("cell", spec, comm)
