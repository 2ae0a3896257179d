"""Newton's method (PETSc SNES) for one blocked field on a `Layout`, with exact Jacobian."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from petsc4py import PETSc

from dfx_homog._compat import FloatArray
from dfx_homog.errors import SolverFailure
from dfx_homog.solvers.border import Border, BorderedOperator, BorderedPreconditioner
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.guard import Bounds, Guard, Places, largest_entry
from dfx_homog.solvers.layout import Layout, Transfer
from dfx_homog.solvers.presets import DIRECT, NEWTON, Options, block_preconditioner, set_options
from dfx_homog.timing import count, phase, timed

# A line search that gets stuck this near to the tolerance has met rounding: the step is solved.
ROUNDING = 20.0
# An update too small to count (snes_stol) is convergence only if the residual has fallen by this factor, or is near the
# tolerance: a step that a line search or a bound has cut to nothing is none.
STALLED = 1e-4
# Under a given power: d(i V)/di as a share of V, from which on more current hardly gives more power.
LIMIT_OF_POWER = 0.1

_Reason = PETSc.SNES.ConvergedReason
REASONS = {  # by number, for PETSc 3.25 has other names
    4: "the steps have become too small",
    -1: "it cannot be evaluated any more",
    -3: "the linear solver failed",
    -4: "it is not finite any more",
    -5: "no more are allowed",
    -6: "no step makes it smaller",
}

Groups = dict[str, tuple[int, ...]]


@dataclass
class SolveInfo:
    """Iterations of one nonlinear solve: Newton steps, Krylov iterations of each, final residual norm.

    reasons: PETSc's, why Newton's method ended and why the last linear solve did
    """

    newton: int = 0
    krylov: list[int] = field(default_factory=list)
    residual: float = 0.0
    reasons: tuple[int, int] = (0, 0)

    @property
    def ended(self) -> str:
        """The reasons by PETSc's names."""
        kinds = (PETSc.SNES.ConvergedReason, PETSc.KSP.ConvergedReason)
        return ", ".join(reason_name(kind, n) for kind, n in zip(kinds, self.reasons, strict=True))


def reason_name(kind: type, number: int) -> str:
    """PETSc's name of a reason to end, of SNES or KSP; the number where this PETSc has no name for it."""
    return next(
        (name for name, value in vars(kind).items() if value == number and name.isupper()), str(number)
    )


def round_off(unknowns: int, entry: float) -> float:
    """Absolute tolerance on a residual's Euclidean norm, about twice what rounding leaves of it.

    Rows of the residual are sums of terms of the size of a matrix entry times O(1) unknowns; each leaves about
    machine epsilon of that (measured: 0.2 to 0.3 of epsilon on the reference problem, both models, 5 to 40 unit cells).
    """
    return float(0.4 * np.finfo(float).eps * entry * np.sqrt(unknowns))


@dataclass(frozen=True)
class AppliedCurrent:
    """How the applied current enters the residual F(u) + i b, and the voltage V = w.u with w = b.

    weights: this rank's contributions to w, as a function's local array; set: puts a current into the residual
    """

    weights: FloatArray
    set: Callable[[float], None]


class NewtonSolver:
    """Solves residual(u) = 0 for the unknowns of a layout, with the applied current as one more unknown.

    values:   local array of the function that holds all fields (read and written in place)
    residual: adds this rank's residual contributions for the current `values` to a local array
    jacobian: adds the derivative to the matrix
    groups:   named groups of fields for the block preconditioner (preset "iterative")
    atol:     absolute tolerance on the residual's Euclidean norm
    matrix:   of the layout's size, destroyed with the solver (default: made by `layout.create_matrix`)
    newton:   PETSc options of Newton's method
    applied:  the applied current, if there is one
    bounds:   open intervals that the iterates stay in
    places:   names and coordinates, for messages

    PETSc options under `prefix` are those of the system of the fields alone; the border is handled around them.
    """

    def __init__(
        self,
        layout: Layout,
        values: FloatArray,
        residual: Callable[[FloatArray], None],
        jacobian: Callable[[PETSc.Mat], None],
        groups: Groups,
        *,
        preset: str,
        prefix: str,
        atol: float,
        matrix: PETSc.Mat | None = None,
        user_options: tuple[str, ...] = (),
        newton: Options = NEWTON,
        applied: AppliedCurrent | None = None,
        bounds: Bounds | None = None,
        places: Places | None = None,
    ):
        self.layout, self.values = layout, values
        self._residual, self._jacobian = residual, jacobian
        self._applied, self._places = applied, places
        self.transfer = Transfer(layout)
        self.border = Border(layout, self.transfer, applied.weights if applied else None)
        self.x, self._f = self.border.create_vector(), self.border.create_vector()
        self._u, self._fu = self.border.view(self.x), self.border.view(self._f)
        self._matrix = layout.create_matrix() if matrix is None else matrix
        self._local = np.zeros_like(values)
        self._guard = Guard(layout, self.transfer, bounds) if bounds else None
        self._atol = atol
        self._krylov: list[int] = []
        self._residuals: list[float] = []
        self._complaint: SolverFailure | None = None
        self._configure({**newton, "snes_atol": atol}, groups, preset, prefix, user_options)

    def _configure(
        self, newton: Options, groups: Groups, preset: str, prefix: str, user_options: tuple[str, ...]
    ) -> None:
        layout, comm = self.layout, self.layout.comm
        groups = layout.present(groups)
        linear = DIRECT if preset == "direct" else block_preconditioner(tuple(groups))
        set_options(prefix, {**newton, **linear}, user_options)
        inner = PETSc.PC().create(comm)
        inner.setOptionsPrefix(prefix)
        inner.setOperators(self._matrix, self._matrix)
        if preset != "direct":
            inner.setType("fieldsplit")
            inner.setFieldSplitIS(*[(name, layout.index_set(fields)) for name, fields in groups.items()])
        inner.setFromOptions()
        self._preconditioner = BorderedPreconditioner(self.border, inner, self.x, kept=preset != "direct")
        self._operator = PETSc.Mat().createPython(
            (self.x.getSizes(), self.x.getSizes()),
            BorderedOperator(self.border, self._matrix, self.x),
            comm=comm,
        )
        self._operator.setUp()

        self.snes = PETSc.SNES().create(comm)
        self.snes.setOptionsPrefix(prefix)
        self.snes.setFunction(self._evaluate, self._f)
        self.snes.setJacobian(self._linearise, self._operator)
        self.snes.setMonitor(self._record)
        self.snes.ksp.setMonitor(self._count)
        # the options of the user's and the preset's preconditioner are those of `inner`
        self.snes.ksp.pc.setOptionsPrefix(f"{prefix}bordered_")
        self.snes.ksp.pc.setType("python")
        self.snes.ksp.pc.setPythonContext(self._preconditioner)
        self.snes.setFromOptions()
        if self._guard:
            self.snes.setLineSearchPreCheck(self._shorten)

    # callbacks ------------------------------------------------------------------------------------------------

    def _record(self, _snes: PETSc.SNES, _iteration: int, norm: float) -> None:
        self._residuals.append(norm)

    def _count(self, _ksp: PETSc.KSP, iteration: int, _norm: float) -> None:
        if iteration == 0:
            self._krylov.append(0)
        else:
            self._krylov[-1] = iteration

    def _take(self, x: PETSc.Vec) -> None:
        """Fields and, if it is unknown, current of an iterate."""
        border = self.border
        self._u.placeArray(x.array_r[: border.size])
        self.transfer.to_function(self._u, self.values)
        self._u.resetArray()
        if border.control.finds_current and self._applied:
            self._voltage, self._current = border.sums(x.array_r)
            self._applied.set(self._current)

    def _evaluate(self, _snes: PETSc.SNES, x: PETSc.Vec, f: PETSc.Vec) -> None:
        border = self.border
        self._take(x)
        self._local[:] = 0
        f.set(0)
        try:
            with phase("assembly"):
                self._residual(self._local)
        except SolverFailure as error:
            # raised on all ranks alike; a line search takes a shorter step where the residual is infinite
            self._complaint = error
            f.set(np.inf)
            return
        target = f.array_w
        self._fu.placeArray(target[: border.size])
        self.transfer.add_to_vector(self._local, self._fu)
        self._fu.resetArray()
        if border.control.finds_current:
            border.set_last(target, border.control.residual(self._current, self._voltage))

    def _linearise(self, _snes: PETSc.SNES, x: PETSc.Vec, J: PETSc.Mat, _P: PETSc.Mat) -> None:
        self._take(x)
        if self.border.control.finds_current:
            self.border.slopes = self.border.control.slopes(self._current, self._voltage)
        with phase("assembly"):
            self._matrix.zeroEntries()
            self._jacobian(self._matrix)
            self._matrix.assemble()
        J.assemble()

    def _shorten(self, x: PETSc.Vec, step: PETSc.Vec) -> bool:
        """Keep the update x - step within the bounds."""
        assert self._guard is not None
        changed = self._guard.limit(x.array_r, step.array_w)
        if changed:
            step.stateIncrease()
        return changed

    # solving --------------------------------------------------------------------------------------------------

    def limit_residual(self, limit: float) -> None:
        """From now on stop at the smaller of `limit` and the tolerance given at the start."""
        self.snes.setTolerances(atol=min(self._atol, limit))

    @timed("solve")
    def solve(self, control: Control | None = None, current: float = 0.0, rate: float = 0.0) -> SolveInfo:
        """Solve from the present values; they and the applied current hold the solution afterwards.

        control: what is applied; if it leaves the current to be found, that begins at `current`. None: nothing is to
        be found but the fields. rate: coefficient of d_t; where it
        has changed much, the preconditioner is not kept. Raises SolverFailure if Newton does not converge.
        """
        self._krylov, self._residuals, self._complaint = [], [], None
        self._preconditioner.rate = rate
        border = self.border
        border.control = control or Control("current", current)
        border.slopes = border.control.slopes(current, 0.0)
        self._preconditioner.shares = []
        self._newton = 0
        target = self.x.array_w
        border.set_last(target, current)
        self._u.placeArray(target[: border.size])
        self.transfer.to_vector(self.values, self._u)
        self._u.resetArray()
        del target
        info, reason = self._iterate(whole=False)
        if reason == _Reason.DIVERGED_LINEAR_SOLVE and self._preconditioner.held:
            self._preconditioner.renew()
            info, reason = self._iterate(whole=False)
        if reason == _Reason.DIVERGED_LINE_SEARCH and self._guard and self._guard.active:
            info, reason = self._iterate(whole=True)
        count(newton=info.newton, linear=len(info.krylov), krylov=sum(info.krylov))
        failure = None if self._converged(reason, info.residual) else self._failure(reason, info)
        if failure is None and self._share_of_power() < -LIMIT_OF_POWER:
            failure = SolverFailure(f"Newton's method found the lower of two voltages: {self._at_limit()}")
        if failure:
            raise failure
        self._take(self.x)
        return info

    def voltage_slope(self) -> float:
        """dV/di along F = 0 at the solution, from the last factorisation if there was one. Collective."""
        if self._newton == 0 or self._preconditioner.setups == 0:
            self._linearise(self.snes, self.x, self._operator, self._operator)
            self._preconditioner.renew()
            self._preconditioner.setUp(self.snes.ksp.pc)
        return -self._preconditioner.resistance()

    def _iterate(self, *, whole: bool) -> tuple[SolveInfo, int]:
        """Newton's method from the present x; iterations, and PETSc's reason for stopping."""
        if self._guard:
            self._guard.whole = whole
        self.snes.solve(None, self.x)
        # not PETSc's norm, which is an old one where the first residual is infinite
        norm = self._residuals[-1] if self._residuals else np.inf
        self._newton += self.snes.getIterationNumber()
        reason = self.snes.getConvergedReason()
        info = SolveInfo(self._newton, self._krylov, norm, (reason, self.snes.ksp.getConvergedReason()))
        return info, reason

    def _converged(self, reason: int, residual: float) -> bool:
        near = residual <= ROUNDING * self._atol
        if reason == _Reason.CONVERGED_SNORM_RELATIVE:
            return near or residual <= STALLED * self._residuals[0]
        return reason > 0 or near

    def _failure(self, reason: int, info: SolveInfo) -> SolverFailure:
        """What failed, and where."""
        if min(self._preconditioner.shares, default=1.0) < LIMIT_OF_POWER:
            return SolverFailure(f"Newton's method failed after {info.newton} iterations: {self._at_limit()}")
        if self._complaint is not None:
            return self._complaint
        why = REASONS.get(reason, f"SNES reason {reason}")
        text = f"Newton's method failed after {info.newton} iterations (residual {info.residual:.2e}, {why}"
        if reason == _Reason.DIVERGED_LINEAR_SOLVE:
            text += f", KSP reason {self.snes.ksp.getConvergedReason()}"
        text += ")"
        if self._places:
            rows = self._f.array_r[: self.border.size]
            text += f": {largest_entry(self.layout, rows, self._places)}"
            if self._guard:
                text += self._guard.complaint(self._places)
        return SolverFailure(text)

    def _share_of_power(self) -> float:
        """d(i V)/di of the last Newton step, as a share of V; 1 if no power is given."""
        shares = self._preconditioner.shares
        return shares[-1] if shares else 1.0

    def _at_limit(self) -> str:
        return (
            f"the power {self.border.control.value:g} is beyond or near the most that the cell gives (at i_app = "
            f"{self._current:.4g}, V = {self._voltage:.4g} more current hardly gives more power)"
        )

    def view(self) -> list[str]:
        """PETSc's description of the solver: SNES, KSP and the preconditioner of the fields. Collective.

        Lines on rank 0, none on the others; after a solve, before which PETSc has not set up what there is to see.
        """
        comm = self.layout.comm
        with tempfile.TemporaryDirectory() as folder:
            path = Path(comm.bcast(folder)) / "view.txt"  # PETSc writes it on rank 0
            viewer = PETSc.Viewer().createASCII(str(path), comm=comm)
            self.snes.view(viewer)
            self._preconditioner.inner.view(viewer)
            viewer.destroy()
            lines = path.read_text().splitlines() if comm.rank == 0 else []
        return [line for line in lines if "INFOG(" not in line]  # forty numbers of MUMPS

    def destroy(self) -> None:
        """Free the PETSc objects (collective)."""
        self.transfer.destroy()
        self._operator.getPythonContext().destroy()
        self._preconditioner.destroy()
        for obj in (self.snes, self._operator, self._u, self._fu, self.x, self._f, self._matrix):
            obj.destroy()
