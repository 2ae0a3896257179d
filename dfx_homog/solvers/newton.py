"""Newton's method (PETSc SNES) for one blocked field on a `Layout`, with exact Jacobian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from petsc4py import PETSc

from dfx_homog._compat import FloatArray
from dfx_homog.errors import SolverFailure
from dfx_homog.solvers.layout import Layout, Transfer
from dfx_homog.solvers.presets import DIRECT, NEWTON, block_preconditioner, set_options

# A line search that gets stuck this near to the tolerance has met rounding: the step is solved.
ROUNDING = 20.0

Groups = dict[str, tuple[int, ...]]


@dataclass
class SolveInfo:
    """Iterations of one nonlinear solve: Newton steps, Krylov iterations of each, final residual norm."""

    newton: int = 0
    krylov: list[int] = field(default_factory=list)
    residual: float = 0.0


def round_off(unknowns: int, entry: float) -> float:
    """Absolute tolerance on a residual's Euclidean norm, about twice what rounding leaves of it.

    Rows of the residual are sums of terms of the size of a matrix entry times O(1) unknowns; each leaves about
    machine epsilon of that (measured: 0.2 to 0.3 of epsilon on the reference problem, both models, 5 to 40 unit cells).
    """
    return float(0.4 * np.finfo(float).eps * entry * np.sqrt(unknowns))


class NewtonSolver:
    """Solves residual(u) = 0 for the unknowns of a layout.

    values:   local array of the function that holds all fields (read and written in place)
    residual: adds this rank's residual contributions for the current `values` to a local array
    jacobian: adds the derivative to a PETSc matrix made by `layout.create_matrix`
    groups:   named groups of fields for the block preconditioner (preset "iterative")
    atol:     absolute tolerance on the residual's Euclidean norm
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
        user_options: tuple[str, ...] = (),
    ):
        self.layout, self.values = layout, values
        self._residual, self._jacobian = residual, jacobian
        self.transfer = Transfer(layout)
        self.x = layout.create_vector()
        self._f = layout.create_vector()
        self._matrix = layout.create_matrix()
        self._local = np.zeros_like(values)
        self._atol = atol
        self._krylov: list[int] = []
        self._complaint: SolverFailure | None = None

        self.snes = PETSc.SNES().create(layout.comm)
        self.snes.setOptionsPrefix(prefix)
        groups = {n: g for n, g in groups.items() if layout.comm.allreduce(sum(layout.sizes[list(g)])) > 0}
        linear = DIRECT if preset == "direct" else block_preconditioner(tuple(groups))
        set_options(prefix, {**NEWTON, "snes_atol": atol, **linear}, user_options)
        self.snes.setFunction(self._evaluate, self._f)
        self.snes.setJacobian(self._linearise, self._matrix)
        self.snes.ksp.setMonitor(self._count)
        if preset != "direct":
            pc = self.snes.ksp.pc
            pc.setType("fieldsplit")
            pc.setFieldSplitIS(*[(name, layout.index_set(fields)) for name, fields in groups.items()])
        self.snes.setFromOptions()

    def _count(self, _ksp: PETSc.KSP, iteration: int, _norm: float) -> None:
        if iteration == 0:
            self._krylov.append(0)
        else:
            self._krylov[-1] = iteration

    def _evaluate(self, _snes: PETSc.SNES, x: PETSc.Vec, f: PETSc.Vec) -> None:
        self.transfer.to_function(x, self.values)
        self._local[:] = 0
        f.set(0)
        try:
            self._residual(self._local)
        except SolverFailure as error:
            # raised on all ranks alike; through PETSc's own stack it would leave vectors locked
            self._complaint = error
            f.set(np.inf)
            return
        self.transfer.add_to_vector(self._local, f)

    def _linearise(self, _snes: PETSc.SNES, x: PETSc.Vec, A: PETSc.Mat, _P: PETSc.Mat) -> None:
        self.transfer.to_function(x, self.values)
        A.zeroEntries()
        self._jacobian(A)
        A.assemble()

    def limit_residual(self, limit: float) -> None:
        """From now on stop at the smaller of `limit` and the tolerance given at the start."""
        self.snes.setTolerances(atol=min(self._atol, limit))

    def solve(self) -> SolveInfo:
        """Solve from the current values; they hold the solution afterwards.

        Raises SolverFailure if Newton does not converge.
        """
        self._krylov, self._complaint = [], None
        self.transfer.to_vector(self.values, self.x)
        self.snes.solve(None, self.x)
        if self._complaint is not None:
            raise self._complaint
        self.transfer.to_function(self.x, self.values)
        reason = self.snes.getConvergedReason()
        info = SolveInfo(self.snes.getIterationNumber(), self._krylov, self.snes.getFunctionNorm())
        if reason < 0 and not info.residual <= ROUNDING * self._atol:
            ksp = self.snes.ksp.getConvergedReason()
            raise SolverFailure(
                f"Newton's method failed after {info.newton} iterations "
                f"(residual {info.residual:.2e}, SNES reason {reason}, KSP reason {ksp})"
            )
        return info

    def destroy(self) -> None:
        """Free the PETSc objects (collective)."""
        self.transfer.destroy()
        for obj in (self.snes, self.x, self._f, self._matrix):
            obj.destroy()
