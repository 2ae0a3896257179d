"""The applied current as one more unknown of a nonlinear system, and the bordered linear systems of Newton's method.

Unknowns (u, i), residual (F(u) + i b, r(i, V)) with V = w.u and b = w: the current that leaves through the positive tab
is weighted like the voltage that is measured there. A Newton step solves

    [A       b] [du]     [F + i b]
    [r_V w^T r_i] [di] = - [r      ]

by a Krylov method on the bordered operator. With M ~ A the preconditioner of the fields alone, x = M^-1 b kept for as
long as M, block elimination gives y = M^-1 f, di = (g - r_V w.y)/(r_i - r_V w.x), du = y - di x: the inverse if M = A,
so that the border costs no iterations. If the current is given, the last row is di = 0.
"""

from __future__ import annotations

import numpy as np
from mpi4py import MPI
from petsc4py import PETSc

from dfx_homog._compat import FloatArray
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.layout import Layout, Transfer
from dfx_homog.timing import count, timed

SETUP = 10  # iterations that take as long as setting up a preconditioner: measured, docs/performance.md
RATE_RATIO = 2.0  # change of the coefficient of d_t for which a preconditioner is not kept


class Border:
    """The last unknown, at the end of the last rank, so that the fields keep their global numbers.

    weights: this rank's contributions to w, as a function's local array; None: no current acts on the fields
    control: what is applied; slopes: of its residual in V and i at the present iterate
    """

    def __init__(self, layout: Layout, transfer: Transfer, weights: FloatArray | None):
        self.comm, self.layout = layout.comm, layout
        self.here = layout.comm.rank == layout.comm.size - 1
        self.size = layout.local_size
        self.control = Control("current", 0.0)
        self.slopes = self.control.slopes(0.0, 0.0)
        vector = layout.create_vector()
        if weights is not None:
            transfer.add_to_vector(weights, vector)
        self.rows = np.flatnonzero(vector.array_r)
        self.weights = vector.array_r[self.rows].copy()
        vector.destroy()

    def create_vector(self) -> PETSc.Vec:
        """Vector of all unknowns (u, i)."""
        vec = PETSc.Vec().create(self.comm)
        vec.setSizes((self.size + self.here, PETSc.DETERMINE))
        vec.setUp()
        return vec

    def view(self, vec: PETSc.Vec) -> PETSc.Vec:
        """A vector of the fields alone in the memory of (u, i)."""
        sizes = (self.size, self.layout.global_size)
        return PETSc.Vec().createWithArray(vec.array_r[: self.size], size=sizes, comm=self.comm)

    def sums(self, array: FloatArray) -> tuple[float, float]:
        """w.u and i of a local array of (u, i), on all ranks."""
        local = np.array([self.weights @ array[self.rows], array[self.size] if self.here else 0.0])
        total = np.empty(2)
        self.comm.Allreduce(local, total, op=MPI.SUM)
        return float(total[0]), float(total[1])

    def add(self, array: FloatArray, factor: float) -> None:
        """array += factor w."""
        array[self.rows] += factor * self.weights

    def set_last(self, array: FloatArray, value: float) -> None:
        """The entry of the current, where it is."""
        if self.here:
            array[self.size] = value


class BorderedOperator:
    """PETSc context: (u, i) -> (A u + i b, r_V w.u + r_i i)."""

    def __init__(self, border: Border, matrix: PETSc.Mat, scratch: PETSc.Vec):
        self._border, self._matrix = border, matrix
        self._x, self._y = border.view(scratch), border.view(scratch)

    def mult(self, _mat: PETSc.Mat, x: PETSc.Vec, y: PETSc.Vec) -> None:
        border = self._border
        source, target = x.array_r, y.array_w
        self._x.placeArray(source[: border.size])
        self._y.placeArray(target[: border.size])
        self._matrix.mult(self._x, self._y)
        self._x.resetArray()
        self._y.resetArray()
        if border.control.finds_current:
            voltage, current = border.sums(source)
            border.add(target, current)
            border.set_last(target, border.slopes[0] * voltage + border.slopes[1] * current)
        elif border.here:
            target[border.size] = source[border.size]

    def destroy(self, _mat: PETSc.Mat | None = None) -> None:
        self._x.destroy()
        self._y.destroy()


class BorderedPreconditioner:
    """PETSc context: block elimination with the preconditioner `inner` of the fields.

    kept: whether `inner` may be kept from one linear system to the next, over Newton steps and time steps, until the
          iterations that it takes beyond those when it was new add up to the cost of a new one; else it is set up
          for every system
    """

    def __init__(self, border: Border, inner: PETSc.PC, scratch: PETSc.Vec, *, kept: bool):
        self._border, self.inner, self.kept = border, inner, kept
        self._x, self._y = border.view(scratch), border.view(scratch)
        self._column: PETSc.Vec | None = None  # M^-1 b
        self._resistance = 0.0  # w.M^-1 b ~ -dV/di
        self._stale = True
        self._forced = True
        self._applied = 0  # times for the present system
        self._new = 0  # times for the system that `inner` was set up for
        self._excess = 0  # times beyond that since then
        self._rate = 0.0  # coefficient of d_t of that system
        self.rate = 0.0  # that of the present one
        self.setups = 0
        self.held = False  # whether `inner` is that of an earlier system
        self.shares: list[float] = []  # pivots of the systems so far, as shares of |r_i|

    @property
    def pivot(self) -> float:
        """r_i - r_V w.M^-1 b, the derivative of the control's residual in the current along F = 0."""
        return self._border.slopes[1] - self._border.slopes[0] * self._resistance

    def renew(self) -> None:
        """Set `inner` up for the next system whatever it took."""
        self._forced = True

    @timed("preconditioner")
    def setUp(self, _pc: PETSc.PC) -> None:
        if not self.held:
            self._new, self._excess = self._applied, 0
        self._excess += max(self._applied - self._new, 0)
        near = self._rate / RATE_RATIO <= self.rate <= self._rate * RATE_RATIO
        self.held = self.kept and near and self._excess < SETUP and not self._forced
        # before its first set-up a field split has no parts
        if self.setups and self.inner.getType() == "fieldsplit":
            for ksp in self.inner.getFieldSplitSubKSP():
                ksp.pc.setReusePreconditioner(self.held)
        elif self.setups:
            self.inner.setReusePreconditioner(self.held)
        self.inner.setUp()
        self.inner.setUpOnBlocks()
        self._applied = 0
        if not self.held:
            count(setups=1)
            self.setups, self._rate, self._forced = self.setups + 1, self.rate, False
        # the pivot of a given power says how near the limit is
        self._stale = self._stale or not self.held or self._border.control.kind == "power"

    def _solve_column(self) -> None:
        border = self._border
        load = border.layout.create_vector()
        if self._column is None:
            self._column = border.layout.create_vector()
        border.add(load.array_w, 1.0)
        self.inner.apply(load, self._column)
        load.destroy()
        local = np.array([border.weights @ self._column.array_r[border.rows]])
        total = np.empty(1)
        border.comm.Allreduce(local, total, op=MPI.SUM)
        self._resistance = float(total[0])
        self._stale = False
        if border.slopes[1] != 0:
            self.shares.append(self.pivot / abs(border.slopes[1]))

    def resistance(self) -> float:
        """w.M^-1 b ~ -dV/di of the present system. Collective."""
        if self._stale:
            self._solve_column()
        return self._resistance

    def apply(self, _pc: PETSc.PC, x: PETSc.Vec, y: PETSc.Vec) -> None:
        border = self._border
        if border.control.finds_current and self._stale:
            self._solve_column()
        self._applied += 1
        source, target = x.array_r, y.array_w
        self._x.placeArray(source[: border.size])
        self._y.placeArray(target[: border.size])
        self.inner.apply(self._x, self._y)
        self._x.resetArray()
        self._y.resetArray()
        border.set_last(target, source[border.size] if border.here else 0.0)
        if border.control.finds_current:
            voltage, last = border.sums(target)
            step = (last - border.slopes[0] * voltage) / self.pivot
            assert self._column is not None
            target[: border.size] -= step * self._column.array_r
            border.set_last(target, step)

    def destroy(self, _pc: PETSc.PC | None = None) -> None:
        for obj in (self._x, self._y, self.inner, self._column):
            if obj is not None:
                obj.destroy()
