"""Cell problems in three dimensions, on copies, and under conditions other than periodic ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from mpi4py import MPI
from scipy.sparse.csgraph import connected_components

from dfx_homog.microstructure import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.models.cell_parts import find_parts
from dfx_homog.models.cell_problem import CONDITIONS, CellProblem, Homogenised
from dfx_homog.solvers.presets import ELLIPTIC, ELLIPTIC_3D
from dfx_homog.verification.problems import SEPARATOR, WAVY, disks, laminate, unit_cell
from dfx_homog.verification.tetrahedra import kuhn

BOTH = [1.0, 10.0]
PORES = [1.0, None]


def ball(z: np.ndarray) -> np.ndarray:
    """Solid in the middle, off the centre so that the cell has no symmetry."""
    return np.linalg.norm(z - [0.45, 0.55, 0.5], axis=1) < 0.34


def layers(axis: int) -> Any:
    return lambda z: z[:, axis] < 0.5


def solve(cell: UnitCell, coefficient: list[Any], condition: str, copies: int = 1) -> Homogenised:
    return CellProblem(MPI.COMM_WORLD, cell, copies=copies, condition=condition, preset="direct").solve(
        coefficient
    )


def smallest(matrix: np.ndarray) -> float:
    return float(np.linalg.eigvalsh(0.5 * (matrix + matrix.T))[0])


# three dimensions ------------------------------------------------------------


@pytest.mark.mpi
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_laminates_are_exact(axis: int, order: int) -> None:
    """Harmonic mean across, arithmetic mean along; S and B without the part across."""
    cell = kuhn(4 // order, layers(axis), order)
    across = np.eye(3)[axis]
    found = solve(cell, [0.5, 4.0], "periodic")
    assert np.abs(found.tensor - np.diag(2.25 * (1 - across) + across / 1.125)).max() < 1e-12
    assert np.abs(found.energy - found.tensor).max() < 1e-12
    found = solve(cell, [None, 3.0], "periodic")
    assert np.abs(found.tensor - np.diag(1.5 * (1 - across))).max() < 1e-12


def test_laminate_of_tensors() -> None:
    """Layers across z3 with full tensors: n.A^-1 n averaged, and so on (Milton 2002, 9.1)."""
    rng = np.random.default_rng(1)
    phases = []
    for _ in range(2):
        root = rng.standard_normal((3, 3))
        phases.append(root @ root.T + np.eye(3))
    n = np.eye(3)[2]
    a33 = 1 / np.mean([1 / A[2, 2] for A in phases])
    flux = a33 * np.mean([A @ n / A[2, 2] for A in phases], axis=0)
    exact = np.mean([A - np.outer(A @ n, A @ n) / A[2, 2] for A in phases], axis=0)
    exact += np.outer(flux, flux) / a33
    found = solve(kuhn(2, layers(2)), [phases[1], phases[0]], "periodic")
    assert np.abs(found.tensor - exact).max() < 1e-12


def test_elements_of_order_two_are_better() -> None:
    """The same geometry, an energy that falls: richer spaces give smaller tensors."""
    cubes = [
        kuhn(n, lambda z: np.all(np.abs(z - 0.5) < 0.25, axis=1), order)
        for n, order in ((8, 1), (8, 2), (16, 1))
    ]
    coarse, quadratic, fine = (solve(c, PORES, "periodic").tensor for c in cubes)
    assert smallest(coarse - fine) > 0
    assert smallest(fine - quadratic) > 0


# conditions ------------------------------------------------------------

CELLS = {
    "disk": lambda: unit_cell({"geometry": "ellipse", "semi_axes": [0.4, 0.2], "angle": 30.0}, 0.12, 2),
    "ball": lambda: kuhn(6, ball),
}


@pytest.mark.mpi
@pytest.mark.parametrize("coefficient", [BOTH, PORES], ids=["both", "pores"])
@pytest.mark.parametrize("name", CELLS)
def test_order_of_conditions(name: str, coefficient: list[Any]) -> None:
    """flux <= periodic <= dirichlet as quadratic forms (Huet 1990), for one cell and for 2^d; they come closer.

    `through` leaves the sides free, so that its energy is below that of `dirichlet`, and its resistance is below
    that under uniform flux.
    """
    cell = CELLS[name]()
    gaps = []
    for copies in (1, 2):
        found = {c: solve(cell, coefficient, c, copies) for c in CONDITIONS}
        low, middle, high = (found[c].tensor for c in ("flux", "periodic", "dirichlet"))
        assert smallest(middle - low) > 1e-4
        assert smallest(high - middle) > 1e-4
        through = np.diag(found["through"].tensor)
        assert np.all(through < np.diag(high))
        assert np.all(through > 1 / np.diag(np.linalg.inv(low)))
        assert np.isnan(found["through"].tensor[~np.eye(cell.dim, dtype=bool)]).all()
        gaps.append(np.abs(high - low).max())
        for h in found.values():  # Hill-Mandel, for all of them
            assert np.nanmax(np.abs(h.energy - h.tensor)) < 1e-12 * np.nanmax(h.tensor)
            assert np.nanmax(np.abs(h.tensor - h.tensor.T)) < 1e-12 * np.nanmax(h.tensor)
    assert gaps[1] < 0.7 * gaps[0]


@pytest.mark.parametrize("cell", [unit_cell(WAVY, 0.15), kuhn(4, ball)], ids=["2d", "3d"])
def test_copies_of_a_periodic_cell_are_the_cell(cell: UnitCell) -> None:
    for coefficient in (BOTH, PORES):
        one, many = (solve(cell, coefficient, "periodic", n) for n in (1, 2))
        assert np.abs(one.tensor - many.tensor).max() < 1e-12
        assert np.abs(one.energy - many.energy).max() < 1e-12
        assert many.correctors.shape == (0, cell.dim)


def test_uniform_medium() -> None:
    """W = 0 under every condition, for a full tensor."""
    full = np.array([[1.0, 0.3], [0.3, 2.0]])
    for condition in ("periodic", "dirichlet", "flux"):
        found = solve(unit_cell(SEPARATOR, 0.25, 2), [full, None], condition, 2)
        assert np.abs(found.tensor - full).max() < 1e-12
    # with insulated sides the flux is along the axis: the resistance is (A^-1)_ii
    found = solve(unit_cell(SEPARATOR, 0.25, 2), [2.0, None], "through", 2)
    assert np.abs(np.diag(found.tensor) - 2.0).max() < 1e-12


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_layers_through(axis: int) -> None:
    """In series and side by side, exactly; nothing through a phase that is interrupted."""
    cell = kuhn(4, layers(axis))
    across = np.eye(3)[axis]
    found = np.diag(solve(cell, [0.5, 4.0], "through", 2).tensor)
    assert found == pytest.approx(2.25 * (1 - across) + across / 1.125, abs=1e-12)
    found = np.diag(solve(cell, [1.0, None], "through", 2).tensor)
    assert found == pytest.approx(0.5 * (1 - across), abs=1e-12)


def test_flux_needs_conductors_on_the_faces() -> None:
    """What insulates there lets no uniform flux in: zero. In the middle it does no harm."""
    cell = unit_cell(disks(0.3), 0.15)
    assert np.array_equal(solve(cell, [None, 1.0], "flux").tensor, np.zeros((2, 2)))
    assert smallest(solve(cell, PORES, "flux", 2).tensor) > 0.3
    assert np.array_equal(
        solve(unit_cell(laminate((1, 0), 0.4), 0.2), PORES, "flux").tensor, np.zeros((2, 2))
    )


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("condition", CONDITIONS)
def test_same_on_any_number_of_ranks(condition: str) -> None:
    """With multigrid, against one rank alone."""
    cell = kuhn(6, ball)
    for coefficient in (BOTH, PORES):
        together, alone = (
            CellProblem(comm, cell, condition=condition, rtol=1e-12).solve(coefficient)
            for comm in (MPI.COMM_WORLD, MPI.COMM_SELF)
        )
        assert np.nanmax(np.abs(together.tensor - alone.tensor)) < 1e-10
        assert together.dofs == alone.dofs
        assert max(together.residuals) < 1e-12
        assert max(together.iterations) < 30


def test_tolerance_is_that_of_the_residual() -> None:
    """rtol bounds the Euclidean residual; the energy's error is of second order in it."""
    cell = kuhn(6, ball)
    loose, tight = (CellProblem(MPI.COMM_WORLD, cell, rtol=r).solve(BOTH) for r in (1e-5, 1e-13))
    assert 1e-9 < max(loose.residuals) < 1e-5
    assert max(tight.residuals) < 1e-13
    assert 0 < np.abs(loose.energy - tight.energy).max() < 1e-8
    assert set(ELLIPTIC) == set(ELLIPTIC_3D)  # options of one are all overwritten by those of the other


# parts ------------------------------------------------------------


@pytest.mark.parametrize("condition", ["periodic", "dirichlet", "through"])
@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("copies", [1, 2])
def test_pins(dim: int, copies: int, condition: str) -> None:
    """One node in each part without a Dirichlet value, found by brute force; phases thrown like dice."""
    rng = np.random.default_rng(3)
    for trial in range(6):
        cell = unit_cell(SEPARATOR, 0.12) if dim == 2 else kuhn(5, ball)
        cell = replace(cell, phase=np.where(rng.random(len(cell.cells)) < 0.12, SOLID, ELECTROLYTE))
        if trial == 0:  # opposite corners only: one point of the torus
            corner = [(cell.points[cell.cells] == side).all(axis=2).any(axis=1) for side in (0.0, 1.0)]
            cell = replace(cell, phase=np.where(corner[0] | corner[1], SOLID, ELECTROLYTE))
        problem = CellProblem(MPI.COMM_SELF, cell, copies=copies, condition=condition)
        keys, tiled = problem.keys, problem.tiled
        rows = keys[problem.space.dofmap.list[tiled.phase == SOLID]]
        edges = np.stack([np.broadcast_to(rows[:, :1], rows.shape), rows]).reshape(2, -1)
        size = int(keys.max()) + 1
        _, label = connected_components(sp.coo_matrix((np.ones(edges.shape[1]), edges), shape=(size, size)))
        held = {"periodic": (), "dirichlet": tuple(range(dim)), "through": (1,)}[condition]
        on_face = np.zeros(len(keys), dtype=bool)
        for d in held:
            on_face |= tiled.on_faces(keys, d)
        free = np.setdiff1d(label[rows.ravel()], label[np.intersect1d(rows, keys[on_face])])
        conducts = np.array([False, True, False])
        parts = find_parts(MPI.COMM_SELF, tiled, conducts, condition == "periodic")
        pins = parts.pins(held)
        if condition == "periodic":
            pins = tiled.periodic_keys(pins, tuple(range(dim)))
        assert np.array_equal(np.sort(label[pins]), free)
        assert trial > 0 or condition != "periodic" or len(free) == copies**dim
