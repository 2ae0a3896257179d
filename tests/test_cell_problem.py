"""Effective tensors against exact values, identities, bounds and symmetries (VERIFICATION sections 3, 4 and 6)."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from dfx_homog.microstructure import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.models.cell_problem import CellProblem, Homogenised
from dfx_homog.models.effective import EffectiveMedium, bounds, effective_medium
from dfx_homog.verification.problems import CHECKERBOARD, SEPARATOR, WAVY, disks, laminate, unit_cell

ELLIPSE: dict[str, Any] = {"geometry": "ellipse", "semi_axes": [0.4, 0.2], "angle": 30.0}
CROSSING: dict[str, Any] = {"geometry": "disks", "centres": [[0.2, 0.5], [0.65, 0.55]], "radii": [0.23, 0.17]}


def problem(keys: dict[str, Any], h: float, order: int = 1, preset: str = "direct") -> CellProblem:
    return CellProblem(MPI.COMM_WORLD, unit_cell(keys, h, order), preset=preset)


def tensor(keys: dict[str, Any], coefficient: list[Any], h: float, order: int = 1) -> np.ndarray:
    return problem(keys, h, order).solve(coefficient).tensor


def medium(keys: dict[str, Any], h: float, order: int = 1, **material: Any) -> EffectiveMedium:
    values: dict[str, Any] = {"sigma_s": 1.0, "k_s": 2.0, "k_e": 0.6, "rho_cp_s": 1.5, "rho_cp_e": 1.0}
    return effective_medium(
        MPI.COMM_WORLD, unit_cell(keys, h, order), SimpleNamespace(**{**values, **material}), preset="direct"
    )


# exact values ------------------------------------------------------------


def layered(f: float, solid: float, pore: float, n: tuple[int, int]) -> np.ndarray:
    """Harmonic mean across the layers, arithmetic mean along them, rotated."""
    normal = np.array(n) / np.hypot(*n)
    across = 0.0 if 0 in (solid, pore) else 1 / (f / solid + (1 - f) / pore)
    along = f * solid + (1 - f) * pore
    return along * np.eye(2) + (across - along) * np.outer(normal, normal)


@pytest.mark.mpi
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("n", "f"), [((1, 0), 0.3), ((0, 1), 0.6), ((1, 1), 0.4), ((2, -1), 0.35)])
def test_laminates_are_exact(n: tuple[int, int], f: float, order: int) -> None:
    """The correctors are piecewise linear, hence in the finite-element space; off-diagonals included."""
    cells = problem(laminate(n, f), 0.15, order)
    assert np.abs(cells.solve([0.7, 5.0]).tensor - layered(f, 5.0, 0.7, n)).max() < 1e-10
    assert np.abs(cells.solve([1.0, None]).tensor - layered(f, 0.0, 1.0, n)).max() < 1e-10
    assert np.abs(cells.solve([None, 3.0]).tensor - layered(f, 3.0, 0.0, n)).max() < 1e-10
    W = cells.solve([0.7, 5.0]).correctors
    assert np.abs(W @ np.array([-n[1], n[0]])).max() < 1e-9


def test_laminate_of_tensors() -> None:
    """Layers across z1 with full tensors: A_11 harmonic, the others by the classical formula (Milton 2002, 9.1)."""
    f, s, e = 0.3, np.array([[3.0, 0.8], [0.8, 2.0]]), np.array([[1.0, -0.2], [-0.2, 0.5]])
    found = tensor(laminate((1, 0), f), [e, s], 0.2)

    def mean(a: Any, b: Any) -> Any:
        return f * a + (1 - f) * b

    a11 = 1 / mean(1 / s[0, 0], 1 / e[0, 0])
    a12 = a11 * mean(s[0, 1] / s[0, 0], e[0, 1] / e[0, 0])
    a22 = mean(s[1, 1] - s[0, 1] ** 2 / s[0, 0], e[1, 1] - e[0, 1] ** 2 / e[0, 0]) + a12**2 / a11
    assert np.abs(found - [[a11, a12], [a12, a22]]).max() < 1e-10


@pytest.mark.parametrize("order", [1, 2])
def test_reference_problem(order: int) -> None:
    """Unit cell of `wavy-2d` (VERIFICATION section 4)."""
    h, tolerance = ((0.015, 4e-4), (0.05, 1.2e-5))[order - 1]
    m = medium(WAVY, h, order, sigma_s=10.0)
    found = [m.tensor("S")[0, 0] / 10, m.tensor("B")[0, 0], m.tensor("K")[0, 0]]
    assert found == pytest.approx([0.452133, 0.366429, 1.28913], abs=tolerance)
    assert (m.phi_e, m.theta) == pytest.approx((0.46, 1.27), abs=tolerance)
    assert m.a == pytest.approx(2.25947, abs=tolerance)
    assert m.tensor("S")[1, 1] == m.tensor("B")[1, 1] == 0.0


# identities, bounds, symmetries ------------------------------------------------------------

CASES: list[tuple[dict[str, Any], list[Any]]] = [
    (ELLIPSE, [1.0, None]),
    (ELLIPSE, [1.0, 20.0]),
    (WAVY, [None, 10.0]),
    (WAVY, [0.6, 2.0]),
    (CROSSING, [1.0, 0.1]),
    (laminate((2, -1), 0.35), [1.0, np.array([[3.0, 0.8], [0.8, 2.0]])]),
    (CHECKERBOARD, [1.0, 9.0]),
    (disks(0.3), [np.array([[1.0, 0.3], [0.3, 2.0]]), None]),
]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("keys", "coefficient"), CASES)
def test_symmetry_and_hill_mandel(keys: dict[str, Any], coefficient: list[Any], order: int) -> None:
    """A_eff is symmetric, positive, and <A F F^T>; the sum with the other index of F would be off."""
    h = problem(keys, 0.12, order).solve(coefficient)
    scale = np.abs(h.tensor).max()
    assert np.abs(h.tensor - h.tensor.T).max() < 1e-12 * scale
    assert np.abs(h.energy - h.tensor).max() < 1e-12 * scale
    assert np.linalg.eigvalsh(h.tensor).min() > -1e-12


def flux_and_energy(cell: UnitCell, h: Homogenised, coefficient: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """<A (I + grad W)> and <A F F^T> from the correctors at the nodes of linear triangles, in numpy."""
    corner = cell.points[cell.cells]
    edges = np.stack([corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]], axis=1)
    slopes = np.linalg.solve(edges, h.correctors[cell.cells][:, 1:] - h.correctors[cell.cells][:, :1])
    F = np.eye(2) + slopes  # F_kj = delta_kj + d_k W_j
    A = (
        np.array([0.0 if c is None else c for c in coefficient])[(cell.phase == SOLID).astype(int)]
        * cell.cell_measures
    )
    return np.einsum("c,cij->ij", A, F), np.einsum("c,cki,ckj->ij", A, F, F)


@pytest.mark.mpi
@pytest.mark.parametrize("coefficient", [[1.0, None], [None, 2.0], [1.0, 7.0]])
def test_correctors(coefficient: list[Any]) -> None:
    """Correctors are periodic, have mean zero over the conducting phase, and give tensor and energy back."""
    keys = {**WAVY, "w2": 0.05, "w1": 0.1}
    cell = unit_cell(keys, 0.1)
    h = problem(keys, 0.1).solve(coefficient)
    for pairs in cell.periodic:
        assert np.array_equal(h.correctors[pairs[:, 0]], h.correctors[pairs[:, 1]])
    conducts = np.array([c is not None for c in coefficient])[(cell.phase == SOLID).astype(int)]
    mean = np.einsum("ck,ckj->j", cell.nodal_weights()[conducts], h.correctors[cell.cells[conducts]])
    assert np.abs(mean).max() < 1e-12
    flux, energy = flux_and_energy(cell, h, coefficient)
    assert np.abs(flux - h.tensor).max() < 1e-10
    assert np.abs(energy - h.tensor).max() < 1e-10


@pytest.mark.parametrize("keys", [ELLIPSE, CROSSING, WAVY, CHECKERBOARD, disks(0.5), laminate((1, 1), 0.4)])
def test_voigt_and_reuss(keys: dict[str, Any]) -> None:
    """Eigenvalues between harmonic and arithmetic mean, reached by laminates."""
    m = medium(keys, 0.12, k_s=5.0, k_e=0.5)
    limits = m.bounds["K"]
    values = np.linalg.eigvalsh(m.tensor("K"))
    assert limits["reuss"] - 1e-12 <= values[0] <= values[1] <= limits["voigt"] + 1e-12
    assert 0.5 <= limits["reuss"] <= limits["hs_lower"] <= limits["hs_upper"] <= limits["voigt"] <= 5.0


@pytest.mark.parametrize("contrast", [0.02, 0.5, 10.0])
@pytest.mark.parametrize("area", [0.5, 0.3])
def test_hashin_shtrikman(area: float, contrast: float) -> None:
    """Isotropic media lie between the bounds; disks near that of coated disks with the electrolyte outside."""
    m = medium(disks(area), 0.07, 2, k_s=contrast, k_e=1.0)
    limits, K = m.bounds["K"], m.tensor("K")[0, 0]
    assert limits["hs_lower"] <= K <= limits["hs_upper"]
    coated = "hs_upper" if contrast < 1 else "hs_lower"
    assert abs(K - limits[coated]) < 0.2 * (limits["hs_upper"] - limits["hs_lower"])
    assert limits["reuss"] < limits["hs_lower"]
    assert limits["hs_upper"] < limits["voigt"]
    B = m.tensor("B")[0, 0]
    phi = 1 - area
    assert m.bounds["B"]["hs_upper"] >= B
    assert m.bounds["B"]["hs_upper"] == pytest.approx(phi / (2 - phi), abs=1e-4)  # Maxwell, in two dimensions


def test_bounds_formulas() -> None:
    """Two phases 1 and 4, equal shares, two dimensions (Torquato 2002, 21.1); order of phases does not matter."""
    b = bounds(1.0, 4.0, 0.5, 2)
    assert (b["voigt"], b["reuss"]) == pytest.approx((2.5, 1.6))
    shtrikman = 1 + 0.5 / (1 / 3 + 0.5 / 2), 4 + 0.5 / (-1 / 3 + 0.5 / 8)
    assert (b["hs_lower"], b["hs_upper"]) == pytest.approx(shtrikman)
    assert bounds(4.0, 1.0, 0.5, 2) == pytest.approx(b)
    assert b["hs_lower"] * b["hs_upper"] == pytest.approx(4.0)  # dual to each other at equal shares


def test_quarter_turn_of_the_geometry() -> None:
    """Ellipse at 120 instead of 30 degrees, layers (-1, 2) instead of (2, 1): meshed again, so only nearly equal."""
    R = np.array([[0.0, -1.0], [1.0, 0.0]])
    A, B = (tensor({**ELLIPSE, "angle": a}, [1.0, 20.0], 0.06, 2) for a in (30.0, 120.0))
    assert np.abs(B - R @ A @ R.T).max() < 1e-4
    assert abs(A[0, 1]) > 0.05
    A, B = (tensor(laminate(n, 0.4), [1.0, 20.0], 0.2) for n in ((2, 1), (-1, 2)))
    assert np.abs(B - R @ A @ R.T).max() < 1e-10


def test_scaling() -> None:
    """A_eff is linear in A; a uniform medium is itself, with W = 0."""
    cells = problem(CROSSING, 0.12)
    assert np.abs(cells.solve([2.0, 6.0]).tensor - 2 * cells.solve([1.0, 3.0]).tensor).max() < 1e-11
    full = np.array([[1.0, 0.3], [0.3, 2.0]])
    uniform = cells.solve([full, full])
    assert np.abs(uniform.tensor - full).max() < 1e-13
    assert np.abs(uniform.correctors).max() < 1e-12
    empty = problem(SEPARATOR, 0.25).solve([1.0, None])
    assert np.abs(empty.tensor - np.eye(2)).max() < 1e-14


def test_tensor_valued_conductivity() -> None:
    """S for sigma_s a tensor: isotropic ones as numbers, and straight channels along z1 by the formula."""
    number, full = (medium(WAVY, 0.1, sigma_s=s).tensor("S") for s in (3.0, np.diag([3.0, 3.0])))
    assert np.abs(number - full).max() < 1e-12
    sigma = np.array([[3.0, 0.8], [0.8, 2.0]])
    S = medium(laminate((0, 1), 0.4), 0.2, sigma_s=sigma).tensor("S")
    # no current leaves the channel: sigma_11 - sigma_12^2/sigma_22 along it
    assert np.abs(S - [[0.4 * (3.0 - 0.64 / 2.0), 0], [0, 0]]).max() < 1e-11


# phases that do not conduct everywhere ------------------------------------------------------------


@pytest.mark.mpi
@pytest.mark.parametrize("preset", ["direct", "iterative"])
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (disks(0.3), [False, False]),
        (CROSSING, [False, False]),
        (WAVY, [True, False]),
        (laminate((1, 0), 0.3), [False, True]),
    ],
    ids=["disk", "disks over faces", "wavy", "layers"],
)
def test_solid_that_does_not_percolate(keys: dict[str, Any], expected: list[bool], preset: str) -> None:
    """S is zero, exactly, in the directions without a path; several components are no problem."""
    material = SimpleNamespace(sigma_s=2.0, k_s=2.0, k_e=0.6, rho_cp_s=1.5, rho_cp_e=1.0)
    m = effective_medium(MPI.COMM_WORLD, unit_cell(keys, 0.1), material, preset=preset)
    S = m.tensor("S")
    assert (np.diag(S) > 1e-3).tolist() == expected
    assert np.all(S[~np.outer(expected, expected)] == 0)
    assert m.to_json()["percolates"]["solid"] == expected
    assert m.to_json()["Q_s"] is None
    assert np.linalg.eigvalsh(m.tensor("K")).min() > 0.6


def test_oblique_layers_have_rank_one() -> None:
    """S n = 0 for layers with normal n, although all entries of S are different from zero."""
    n = np.array([2.0, 1.0])
    m = medium(laminate((2, 1), 0.4), 0.15)
    S = m.tensor("S")
    assert np.abs(S @ n).max() < 1e-12
    assert np.abs(S).min() > 0.05
    assert m.to_json()["Q_s"] is None


@pytest.mark.mpi
def test_separator_without_solid() -> None:
    m = medium(SEPARATOR, 0.25, sigma_s=None, k_s=None, rho_cp_s=None)
    assert m.tensor("S") is None
    assert np.abs(m.tensor("B") - np.eye(2)).max() < 1e-14
    assert np.abs(m.tensor("K") - 0.6 * np.eye(2)).max() < 1e-14
    assert (m.phi_e, m.a, m.theta) == pytest.approx((1.0, 0.0, 1.0))


def test_isolated_disks_have_all_their_surface() -> None:
    """Where no solid percolates nothing is left out."""
    m = medium({"geometry": "disks", "radius": 0.2, "lattice": "square"}, 0.1, 2)
    assert m.a == pytest.approx(2 * np.pi * 0.2, rel=1e-4)
    assert m.to_json()["a_total"] == pytest.approx(m.a)


def test_islands_and_closed_pores_are_left_out() -> None:
    """One triangle of solid in the electrolyte of `wavy-2d` and one of electrolyte in its solid."""
    cell = unit_cell(WAVY, 0.1)
    facets = cell.interface_facets()
    touched = np.isin(cell.cells, cell.cells[np.concatenate([facets.solid, facets.electrolyte])]).any(axis=1)
    touched |= np.isin(cell.cells, cell.boundary_nodes).any(axis=1)
    island, pore = (np.flatnonzero((cell.phase == p) & ~touched)[0] for p in (ELECTROLYTE, SOLID))
    phase = cell.phase.copy()
    phase[[island, pore]] = SOLID, ELECTROLYTE
    other = replace(cell, phase=phase)
    material = SimpleNamespace(sigma_s=1.0, k_s=2.0, k_e=0.6, rho_cp_s=1.5, rho_cp_e=1.0)
    before, m = (effective_medium(MPI.COMM_WORLD, c, material, preset="direct") for c in (cell, other))
    area = cell.cell_measures
    assert m.a == pytest.approx(before.a, abs=1e-13)
    assert m.to_json()["a_total"] > m.a + 0.1
    assert m.phi_e == pytest.approx(before.phi_e - area[island], abs=1e-13)
    assert m.theta == pytest.approx(before.theta + 0.5 * (area[island] - area[pore]), abs=1e-13)
    assert m.to_json()["islands"]["solid"] == pytest.approx(
        area[island] / (0.54 + area[island] - area[pore]), rel=1e-2
    )
    assert m.to_json()["islands"]["electrolyte"] > 0
    for name in ("S", "B"):  # a hole in the conducting phase
        assert m.tensor(name)[0, 0] < before.tensor(name)[0, 0] - 1e-4


# any number of ranks ------------------------------------------------------------


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("preset", ["direct", "iterative"])
def test_same_tensor_on_any_number_of_ranks(preset: str) -> None:
    """Against one rank alone; correctors are complete on every rank."""
    cell = unit_cell({**WAVY, "w2": 0.05, "w1": 0.1}, 0.07, 2)
    together, alone = (CellProblem(comm, cell, preset=preset) for comm in (MPI.COMM_WORLD, MPI.COMM_SELF))
    for coefficient in ([1.0, None], [None, 10.0], [0.6, 2.0]):
        a, b = together.solve(coefficient), alone.solve(coefficient)
        assert np.abs(a.tensor - b.tensor).max() < 1e-10
        assert np.abs(a.energy - b.energy).max() < 1e-10
        assert np.abs(a.correctors - b.correctors).max() < 1e-8
        assert a.dofs == b.dofs
        assert max(a.iterations) < 30
