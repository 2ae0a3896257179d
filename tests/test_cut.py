"""Conforming cuts: templates, quality, exact areas and volumes, periodicity, order 2, effective tensors, errors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.background import background
from dfx_homog.microstructure.cut import MIN_DIHEDRAL, MIN_JACOBIAN, cut_unit_cell, level_function
from dfx_homog.microstructure.level_set import LevelFunction, SphereUnion, zeros_on_segments
from dfx_homog.microstructure.tet_templates import EDGES, TEMPLATES, split, volumes
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, UnitCell

P = "cos(2*pi*x) + cos(2*pi*y) + cos(2*pi*z)"
GYROID = "sin(2*pi*x)*cos(2*pi*y) + sin(2*pi*y)*cos(2*pi*z) + sin(2*pi*z)*cos(2*pi*x)"
P_AREA, P_TENSOR = 2.3525668, 0.329467


def spec(expression: str = P, n: int = 8, order: int = 1, threshold: float = 0.0) -> Any:
    return SimpleNamespace(
        geometry="level_set", expression=expression, threshold=threshold, mesh_size=1.0 / n, order=order
    )


def cut(expression: str = P, n: int = 8, order: int = 1, threshold: float = 0.0) -> UnitCell:
    return cut_unit_cell("cut", spec(expression, n, order, threshold))


def balls(centres: Any, radii: Any, n: int, order: int) -> UnitCell:
    return cut_unit_cell("balls", spec("0", n, order), SphereUnion(centres, radii))


def random_expression(seed: int) -> str:
    """A trigonometric polynomial of six waves, the long ones strongest."""
    random = np.random.default_rng(seed)
    terms = []
    for _ in range(6):
        k = random.integers(-1, 2, 3)
        size = random.normal() / (1.0 + (k**2).sum())
        terms.append(f"{size:.4f}*cos(2*pi*({k[0]}*x + {k[1]}*y + {k[2]}*z) + {6.28 * random.random():.4f})")
    return " + ".join(terms)


def mean_level(expression: str) -> float:
    line = np.arange(24) / 24.0
    grid = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    return float(np.median(level_function(spec(expression)).value(grid)))


@pytest.mark.parametrize("n", [3, 5])
def test_background_fills_the_cube_and_is_periodic(n: int) -> None:
    mesh = background(n)
    assert len(mesh.cells) == 12 * n**3 + 12 * n**2
    assert np.abs(volumes(mesh.points, mesh.cells)).sum() == pytest.approx(1.0, abs=1e-14)
    step = mesh.points - mesh.points[mesh.canonical]
    assert np.array_equal(step, (mesh.points == 1.0).astype(float))
    assert len(np.unique(mesh.canonical)) == 2 * n**3 + 3 * n**2


@pytest.mark.parametrize("pattern", TEMPLATES)
def test_templates_fill_the_tetrahedron_with_the_right_sides(pattern: Any) -> None:
    signs, swap = pattern
    corner = np.random.default_rng(3).random((4, 3))
    value = np.array(signs) * np.array([0.3, 0.7, 0.4, 0.9])
    cuts = [
        corner[i]
        + (corner[j] - corner[i]) * (value[i] / (value[i] - value[j]) if signs[i] * signs[j] < 0 else 0.5)
        for i, j in EDGES
    ]
    points = np.vstack([corner, cuts])
    local = np.array([signs], dtype=np.int8)
    cells, _, side = split(local, np.arange(10)[None], np.array([swap]))
    size = np.abs(volumes(points, cells))
    assert size.min() > 1e-6
    assert size.sum() == pytest.approx(abs(volumes(points, np.arange(4)[None])[0]), rel=1e-12)
    # the linear function through the values has the sign of its piece at every centroid
    slope = np.linalg.solve(corner[1:] - corner[0], value[1:] - value[0])
    level = value[0] + (points[cells].mean(axis=1) - corner[0]) @ slope
    assert np.array_equal(np.sign(level), side)


def test_zeros_on_segments_of_a_steep_function() -> None:
    class Cubic:
        def value(self, points: Any) -> Any:
            return (points[:, 0] - 0.3) ** 3 + 1e-3 * (points[:, 0] - 0.3)

    start = np.zeros((5, 3))
    end = np.linspace(0.31, 1.0, 5)[:, None] * np.eye(3)[0]
    t = zeros_on_segments(Cubic(), start, end)  # type: ignore[arg-type]
    assert t * end[:, 0] == pytest.approx(0.3, abs=1e-12)


@pytest.mark.parametrize("radii", [[0.2, 0.2, 0.2], [0.1, 0.3, 0.2]])
def test_union_of_balls_is_the_least_over_all_copies(radii: list[float]) -> None:
    random = np.random.default_rng(5)
    centres, points = random.random((3, 3)), random.random((400, 3))
    steps = np.array(np.meshgrid(*[[-1, 0, 1]] * 3)).reshape(3, -1).T
    every = (
        np.linalg.norm(points[:, None, None] - centres[:, None] - steps, axis=3) - np.array(radii)[:, None]
    )
    assert SphereUnion(centres, radii).value(points) == pytest.approx(every.min(axis=(1, 2)), abs=1e-14)


def test_schwarz_p_halves_the_cell_and_its_area_converges_at_second_order() -> None:
    error = []
    for n in (8, 16):
        cell = cut(n=n)
        assert cell.phase_fraction(SOLID) == pytest.approx(0.5, abs=0.05 / n**2)
        error.append(abs(cell.interface_measure() / P_AREA - 1.0))
    assert np.log2(error[0] / error[1]) > 1.7


@pytest.mark.parametrize(("n", "tolerance"), [(8, 2e-5), (12, 1e-5)])
def test_schwarz_p_of_order_two(n: int, tolerance: float) -> None:
    cell = cut(n=n, order=2)
    assert cell.phase_fraction(ELECTROLYTE) == pytest.approx(0.5, abs=tolerance)
    assert cell.interface_measure() == pytest.approx(P_AREA, rel=2.0 * tolerance)


def test_interface_nodes_lie_on_the_level_set() -> None:
    cell, level = cut(P, n=10, order=2), level_function(spec(P))
    facets = cell.interface_facets()
    solid = facets.solid[:, None].astype(int)
    nodes = np.unique(cell.cells[solid, np.stack([cell.facet_nodes(i) for i in range(4)])[facets.local]])
    assert np.abs(level.value(cell.points[nodes])).max() < 1e-10
    assert len(nodes) > 2000


@pytest.mark.parametrize("order", [1, 2])
def test_a_ball_has_its_volume_and_area(order: int) -> None:
    radius, tolerance = 0.3, {1: 0.02, 2: 2e-4}[order]
    cell = balls([[0.48, 0.53, 0.51]], [radius], 12, order)
    assert cell.phase_fraction(SOLID) == pytest.approx(4.0 / 3.0 * np.pi * radius**3, rel=2.0 * tolerance)
    assert cell.interface_measure() == pytest.approx(4.0 * np.pi * radius**2, rel=tolerance)


def test_balls_that_overlap_across_the_faces() -> None:
    """Simple cubic, radius 0.55: the necks lie in the faces; exact values."""
    cell = balls([[0.5, 0.5, 0.5]], [0.55], 10, 2)
    assert cell.phase_fraction(ELECTROLYTE) == pytest.approx(0.32822277, abs=3e-5)
    assert cell.interface_measure() == pytest.approx(2.76460152, rel=3e-5)


@pytest.mark.parametrize(
    "seed", [*range(9, 19), *(pytest.param(s, marks=pytest.mark.slow) for s in range(9))]
)
def test_quality_for_random_level_sets(seed: int) -> None:
    """cut_unit_cell has run UnitCell.check(): positive, conforming, periodic to the last bit, volume one."""
    expression = random_expression(seed)
    cell = cut(expression, n=12, order=2, threshold=round(mean_level(expression), 4))
    assert cell.min_angle() >= MIN_DIHEDRAL
    assert cell.min_jacobian() >= MIN_JACOBIAN
    assert cell.phase_fraction(SOLID) == pytest.approx(0.5, abs=0.02)


def test_cells_are_sorted_and_both_signs_give_the_same_interface() -> None:
    one, two = cut(P, 8, 2, threshold=0.4), cut(f"-({P})", 8, 2, threshold=-0.4)
    x = one.points[one.cells[:, :4]].mean(axis=1)[:, 0]
    assert np.all(np.diff(x) > -1e-8)
    assert one.phase_fraction(SOLID) == pytest.approx(two.phase_fraction(ELECTROLYTE), abs=1e-4)
    assert one.interface_measure() == pytest.approx(two.interface_measure(), rel=1e-4)


@pytest.mark.mpi
def test_schwarz_p_conducts_alike_in_both_phases() -> None:
    from dfx_homog.models.cell_problem import CellProblem

    problem = CellProblem(MPI.COMM_WORLD, cut(n=8, order=2))
    for coefficient in ([1.0, None], [None, 1.0]):
        tensor = problem.solve(coefficient).tensor
        assert np.diag(tensor) == pytest.approx(P_TENSOR, rel=1e-3)
        assert np.abs(tensor - np.diag(np.diag(tensor))).max() < 1e-6


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (spec("cos(2*pi*x) + 0.1*y"), "not periodic"),
        (spec(threshold=4.0), "all is solid"),
        (spec(threshold=-4.0), "all is electrolyte"),
        (spec("1/cos(2*pi*x)*0 + log(x - 0.5)"), "no finite value"),
        (spec("cos(2*pi*x) + w"), "expression"),
        (spec("cos(16*pi*x) + cos(16*pi*y) + 0.4*cos(14*pi*z)", n=6), "mesh_size"),
        (SimpleNamespace(geometry="cone", mesh_size=0.1, order=1), "geometry"),
    ],
)
def test_bad_level_sets_are_named(made: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        cut_unit_cell("bad", made)


def test_level_functions_have_the_right_gradients() -> None:
    points = np.random.default_rng(1).random((50, 3))
    functions: list[LevelFunction] = [
        level_function(spec(GYROID)),
        SphereUnion([[0.2, 0.3, 0.4], [0.7, 0.6, 0.8]], [0.2, 0.3]),
    ]
    for function in functions:
        slope, h = function.gradient(points), 1e-6
        for d in range(3):
            step = h * np.eye(3)[d]
            difference = (function.value(points + step) - function.value(points - step)) / (2.0 * h)
            assert difference == pytest.approx(slope[:, d], abs=1e-6)
