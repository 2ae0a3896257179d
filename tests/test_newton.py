"""Newton's method on a `Layout`: bounds, trial points that cannot be evaluated, and what failures say.

The problem is log(u_i) = t_i at every node, whose full Newton step from u = 10 goes to 10 - 10 (log 10 - t) < 0.
"""

from __future__ import annotations

import numpy as np
import pytest
from mpi4py import MPI
from petsc4py import PETSc

from dfx_homog.errors import SolverFailure
from dfx_homog.solvers.guard import Bounds, Guard, Places, largest_entry
from dfx_homog.solvers.layout import Transfer, build_layout
from dfx_homog.solvers.newton import NewtonSolver

pytestmark = [pytest.mark.mpi, pytest.mark.mpi3]
NODES = 5  # a rank


class Logarithms:
    """log(a_i) = t_i and b_i = a_i for the fields a, b at NODES nodes a rank, with or without bounds a > 0, b > 0."""

    def __init__(self, *, bounds: bool, strict: bool = False, line_search: str = "basic"):
        comm = MPI.COMM_WORLD
        self.keys = comm.rank * NODES + np.arange(NODES)
        self.target = 0.1 * self.keys / comm.size
        self.strict = strict
        self.values = np.full(2 * NODES, 10.0)
        active = np.ones((NODES, 2), dtype=bool)
        self.layout = build_layout(comm, self.keys.astype(np.int64), active)
        low = np.zeros((NODES, 2))
        self.solver = NewtonSolver(
            self.layout,
            self.values,
            self.residual,
            self.jacobian,
            {"all": (0, 1)},
            preset="direct",
            prefix=f"log_{bounds}_{strict}_{line_search}_",
            atol=1e-12,
            user_options=(f"-log_{bounds}_{strict}_{line_search}_snes_linesearch_type", line_search),
            bounds=Bounds(low, np.full_like(low, np.inf)) if bounds else None,
            places=Places(("a", "b"), np.column_stack([self.keys / 10, 0 * self.keys])),
        )

    def residual(self, out: np.ndarray) -> None:
        a, b = self.values.reshape(-1, 2).T
        if self.strict and MPI.COMM_WORLD.allreduce(bool((a <= 0).any()), op=MPI.LOR):
            raise SolverFailure("a logarithm of a negative number")
        with np.errstate(invalid="ignore"):
            out.reshape(-1, 2)[:] += np.column_stack([np.log(a) - self.target, b - a])

    def jacobian(self, A: PETSc.Mat) -> None:
        numbers = self.layout.numbers.astype(PETSc.IntType)
        for row, a in zip(numbers, self.values[::2], strict=True):
            A.setValues(row, row, np.array([[1 / a, 0], [-1, 1]]), addv=PETSc.InsertMode.ADD)

    def solved(self) -> bool:
        return bool(np.allclose(self.values.reshape(-1, 2).T, np.exp(self.target), rtol=1e-10))


def test_undamped_steps_leave_the_domain() -> None:
    problem = Logarithms(bounds=False)
    with pytest.raises(SolverFailure, match=r"not finite any more\): largest residual in a at y = \(0, 0\)"):
        problem.solver.solve()
    problem.solver.destroy()


def test_bounds_keep_steps_within_the_domain() -> None:
    problem = Logarithms(bounds=True)
    info = problem.solver.solve()
    assert problem.solved() and info.newton <= 8
    problem.solver.destroy()


def test_a_point_that_cannot_be_evaluated_shortens_the_step() -> None:
    problem = Logarithms(bounds=False, strict=True, line_search="bt")
    problem.solver.solve()
    assert problem.solved()
    problem.solver.destroy()


def test_failure_of_every_point_is_reported() -> None:
    problem = Logarithms(bounds=False, strict=True)
    problem.values[:] = -1.0
    with pytest.raises(SolverFailure, match="a logarithm of a negative number"):
        problem.solver.solve()
    problem.solver.destroy()


def test_guard() -> None:
    """Entries beyond nine tenths of the way to a bound are cut; a whole step by the smallest share of them."""
    comm = MPI.COMM_WORLD
    keys = np.arange(comm.rank * 2, comm.rank * 2 + 2, dtype=np.int64)
    layout = build_layout(comm, keys, np.ones((2, 2), dtype=bool))
    transfer = Transfer(layout)
    lower, upper = np.full((2, 2), -np.inf), np.full((2, 2), np.inf)
    lower[:, 0], upper[:, 0] = 0.0, 1.0
    guard = Guard(layout, transfer, Bounds(lower, upper))
    x = np.array([0.5, 0.5, 7.0, 7.0])  # field by field
    assert not guard.limit(x, step := np.array([0.4, -0.44, 100.0, -100.0]))
    assert guard.complaint(Places(("c", "d"), np.zeros((2, 1)))) == ""
    last = comm.rank == comm.size - 1
    step = np.array([0.4, -2.0 if last else 0.0, 100.0, 0.0])  # the update is x - step
    assert guard.limit(x, step)
    assert step == pytest.approx([0.4, -0.45 if last else 0.0, 100.0, 0.0])
    points = 0.5 * keys[:, None]
    expected = f"; c at y = ({0.5 * (2 * comm.size - 1):.3g}) is held off its bound 1"
    assert guard.complaint(Places(("c", "d"), points)) == expected
    guard.whole = True
    step = np.array([0.4, -2.0 if last else 0.0, 100.0, 0.0])
    assert guard.limit(x, step)
    assert step == pytest.approx(np.array([0.4, -2.0 if last else 0.0, 100.0, 0.0]) * 0.225)
    transfer.destroy()


def test_place_of_the_largest_residual() -> None:
    """It is on the last rank; NaN counts as larger than any number."""
    comm = MPI.COMM_WORLD
    keys = np.arange(comm.rank * 2, comm.rank * 2 + 2, dtype=np.int64)
    layout = build_layout(comm, keys, np.ones((2, 2), dtype=bool))
    places = Places(("c", "d"), np.column_stack([keys, keys + 0.25]))
    residual = np.array([0.1, 0.2, 0.3, -1.0 - comm.rank])
    top = 2 * comm.size - 1
    assert largest_entry(layout, residual, places) == f"largest residual in d at y = ({top}, {top + 0.25})"
    if comm.rank == 0:
        residual[1] = np.nan
    assert largest_entry(layout, residual, places) == "largest residual in c at y = (1, 1.25)"
