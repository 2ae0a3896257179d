"""One implicit time step of the particle problems of many meso points, for constant and for varying diffusivity.

With d_t c = a0 c - h, R_i = int_Gamma j phi_i dA and p = (Phi_s, Phi_e, c_e, T):

constant D_s      (up to LARGEST_TRACE nodes on Gamma)
                  (a0 M + D_s K) c = M h - R(c on Gamma; p), linear and the same at all points: with A = a0 M + D_s K,
                  c* = A^-1 M h and S = (A^-1) on Gamma x Gamma it condenses exactly to the nodes of Gamma,
                      S^-1 (x - c*) + R(x; p) = 0,
                  S^-1 symmetric positive definite and shared by all points.
otherwise         a0 M d + int D_s(c, T) grad c . grad phi_i + R(c on Gamma; p) = 0, c = h/a0 + d, for all nodes of the
                  solid, eight points at a time with one sparse pattern.

The native kernels solve by Newton's method and differentiate the maps p -> J, q exactly. Nothing here is collective.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy.linalg
import scipy.sparse.linalg

from dfx_homog import _native
from dfx_homog.dimensionless.physics import Electrode
from dfx_homog.models.particle_geometry import Floats, ParticleGeometry
from dfx_homog.parameters.expression import constant

FACTORISATIONS_KEPT = 4  # Euler and BDF2 at the present and at a rejected step size


class Step(Protocol):
    """A step begun: any number of `evaluate`, then `finish`; the last evaluate is the one that counts."""

    def evaluate(self, p: Floats) -> _native.TraceSolution:
        """Solve at the scalars p (P, 4). A failed point keeps its last good solution as the next start."""

    def finish(self) -> Floats:
        """(P, n_s) concentration at the end. RuntimeError unless every point was solved in the last evaluate."""


class Diffusion(Protocol):
    """How the particle problems of an electrode are solved."""

    def begin(self, a0: float, c: Floats, hist_c: Floats, d_hist: Floats) -> Step:
        """Begin the step d_t c = a0 c - hist_c, d_t D = a0 D + d_hist from the present state c."""


class _Prediction:
    """Start values of the next solution along the last one's derivative: their error is quadratic in the change of p.

    x (P, n) last good solutions, x_p (P, n, 3) their derivatives in Phi_s - Phi_e, c_e and T at p (P, 4)
    """

    def __init__(self, x: Floats) -> None:
        self.x: Floats = x
        self.p: Floats = np.zeros((len(x), 4))
        self.x_p: Floats = np.zeros((*x.shape, 3))
        self.complete = False

    def at(self, p: Floats) -> Floats:
        change = p - self.p
        change[:, 1] = change[:, 0] - change[:, 1]
        return np.ascontiguousarray(self.x + np.matmul(self.x_p, change[:, 1:, None])[:, :, 0])

    def keep(self, solution: _native.TraceSolution, p: Floats) -> None:
        good = solution.failed == 0
        self.complete = bool(good.all())
        if self.complete:
            self.x, self.p, self.x_p = solution.x, p, solution.x_p
            return
        self.x = np.where(good[:, None], solution.x, self.x)
        self.p = np.where(good[:, None], p, self.p)
        self.x_p = np.where(good[:, None, None], solution.x_p, self.x_p)

    def require_complete(self) -> None:
        if not self.complete:
            raise RuntimeError("finish_step needs an evaluate in which every point was solved")


@dataclass(frozen=True, eq=False)
class _Condensed:
    """A = a0 M + D_s K factorised, and the inverse of its condensation S to Gamma."""

    lu: Any
    stiffness: Floats


class ConstantDiffusion:
    """D_s constant: condensed to the nodes of Gamma."""

    def __init__(self, geometry: ParticleGeometry, kernel: _native.ParticleKernel, D_s: float) -> None:
        self.geometry, self.kernel, self.D_s = geometry, kernel, D_s
        self._condensed: OrderedDict[float, _Condensed] = OrderedDict()

    def begin(self, a0: float, c: Floats, hist_c: Floats, d_hist: Floats) -> Step:
        """As in `Diffusion`."""
        return _CondensedStep(self, self._factorise(a0), a0, c, hist_c, d_hist)

    def _factorise(self, a0: float) -> _Condensed:
        if a0 in self._condensed:
            self._condensed.move_to_end(a0)
            return self._condensed[a0]
        geometry = self.geometry
        A = (a0 * geometry.M + self.D_s * geometry.K).tocsc()
        # A is symmetric positive definite: no pivoting, an ordering of A + A^T
        lu = scipy.sparse.linalg.splu(
            A, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )
        columns = np.zeros((A.shape[0], len(geometry.trace)))
        columns[geometry.trace, np.arange(len(geometry.trace))] = 1.0
        S = lu.solve(columns)[geometry.trace]
        stiffness = scipy.linalg.inv(0.5 * (S + S.T))
        self._condensed[a0] = _Condensed(lu, np.ascontiguousarray(0.5 * (stiffness + stiffness.T)))
        if len(self._condensed) > FACTORISATIONS_KEPT:
            self._condensed.popitem(last=False)
        return self._condensed[a0]


class _CondensedStep:
    def __init__(
        self,
        problem: ConstantDiffusion,
        condensed: _Condensed,
        a0: float,
        c: Floats,
        hist_c: Floats,
        d_hist: Floats,
    ) -> None:
        self.kernel, self.trace = problem.kernel, problem.geometry.trace
        self.a0, self.condensed, self.d_hist = a0, condensed, d_hist
        self.load = problem.geometry.M @ hist_c.T
        self.c_star = np.ascontiguousarray(_solve(condensed.lu, self.load)[self.trace].T)
        self.prediction = _Prediction(np.ascontiguousarray(c[:, self.trace]))
        self.R = np.zeros_like(self.c_star)

    def evaluate(self, p: Floats) -> _native.TraceSolution:
        solution = self.kernel.solve(
            start=self.prediction.at(p),
            c_star=self.c_star,
            stiffness=self.condensed.stiffness,
            p=p,
            d_hist=self.d_hist,
            a0=self.a0,
        )
        self.prediction.keep(solution, p)
        self.R = solution.R
        return solution

    def finish(self) -> Floats:
        """c = A^-1 (M h - R). Lithium is conserved whatever the error of the trace: a0 1^T M c = 1^T M h - J."""
        self.prediction.require_complete()
        self.load[self.trace] -= self.R.T
        return np.ascontiguousarray(_solve(self.condensed.lu, self.load).T)


class VariableDiffusion:
    """D_s(c, T), or a solid of very many nodes on Gamma: Newton's method for all nodes of the solid."""

    def __init__(
        self, geometry: ParticleGeometry, kernel: _native.ParticleKernel, electrode: Electrode
    ) -> None:
        """Raises ValueError for a geometry without elements."""
        elements, D_s = geometry.elements, electrode.D_s
        if elements is None:
            raise ValueError(
                "a diffusivity in c or T, or many nodes on Gamma, need a geometry with its elements"
            )
        formula = constant(1.0) if isinstance(D_s, tuple) else D_s
        ops, args = formula.program(("c", "T"))
        self.kernel = _native.VariableDiffusion(
            kernel=kernel,
            cells=elements.cells,
            shape=elements.shape,
            weights=elements.weights,
            slopes=elements.slopes,
            trace=geometry.trace.astype(np.int32),
            nodes=geometry.M.shape[0],
            D_ops=ops,
            D_args=args,
            E_D=electrode.E_D,
            depends_on_c=formula.depends_on("c"),
        )

    def begin(self, a0: float, c: Floats, hist_c: Floats, d_hist: Floats) -> Step:
        """As in `Diffusion`."""
        return _FieldStep(self.kernel, a0, c, hist_c, d_hist)


class _FieldStep:
    """x = d, the change of c from c0 = h/a0: J = -a0 int d has no rounding errors of c, however short the step."""

    def __init__(
        self, kernel: _native.VariableDiffusion, a0: float, c: Floats, hist_c: Floats, d_hist: Floats
    ) -> None:
        self.kernel, self.a0, self.d_hist = kernel, a0, d_hist
        self.c0 = np.ascontiguousarray(hist_c / a0)
        self.prediction = _Prediction(c - self.c0)

    def evaluate(self, p: Floats) -> _native.TraceSolution:
        solution = self.kernel.solve(
            start=self.prediction.at(p), c0=self.c0, p=p, d_hist=self.d_hist, a0=self.a0
        )
        self.prediction.keep(solution, p)
        return solution

    def finish(self) -> Floats:
        self.prediction.require_complete()
        return np.asarray(self.c0 + self.prediction.x)


def _solve(lu: Any, load: Floats) -> Floats:
    """A^-1 load for (n_s, P) right-hand sides; SuperLU does not take P = 0."""
    return np.asarray(lu.solve(load)) if load.shape[1] else load.copy()
