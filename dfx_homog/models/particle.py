"""Particle problems of the homogenised model: diffusion in the unit cell's solid at every meso point.

    d_t c = div(D_s grad c) in the solid,  -D_s grad c . n = j on Gamma,  j = Gh(T) g + G C d_t(Phi_s - Phi_e)

with eta = Phi_s - Phi_e - U - R_f Gh g behind a film, which the kernel solves for at every quadrature point (MODEL
section 5, [H] 1a with 73-76; or less psi of `kinetics.lithium_electrode`), discretised by the finite elements of the
unit-cell mesh. D_s is constant or depends on c and T; models/particle_steps.py says how a step is solved in either
case. Everything is dimensionless.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfx_homog import _native
from dfx_homog.dimensionless.physics import Electrode
from dfx_homog.errors import BadInput
from dfx_homog.models.particle_geometry import LARGEST_TRACE, Floats, ParticleGeometry
from dfx_homog.models.particle_steps import ConstantDiffusion, Diffusion, Step, VariableDiffusion

FAILURES = {
    1: "c_e and 1 + gamma T must be positive and all values finite",
    2: "the flux is not finite, or the surface concentration would leave 0 < c_s < c_max",
    3: "the maximum number of Newton iterations is reached",
}


@dataclass(frozen=True, eq=False)
class ParticleResponse:
    """What P meso points take from their particle problems, (P,) unless said otherwise.

    J         (1/|Omega|) int_Gamma (Gh g + G C d_t D) dA, the interfacial current
    faradaic  (1/|Omega|) int_Gamma Gh g dA; J - faradaic is the double layer's part
    q         (1/|Omega|) int_Gamma lambda Gh g (Phi_s - Phi_e - U + Pi) dA, the interfacial heat
    dJ, dq    (P, 4) exact derivatives of J and q in (Phi_s, Phi_e, c_e, T), through the surface concentration
    failed    0 where solved, else a key of FAILURES; the numbers of that point are zero and must not be used
    """

    J: Floats
    faradaic: Floats
    q: Floats
    dJ: Floats
    dq: Floats
    iterations: NDArray[np.int32]
    failed: NDArray[np.int32]

    def complaint(self) -> str | None:
        """What went wrong at the first failed point of this rank, None if nothing did."""
        points = np.flatnonzero(self.failed)
        if not len(points):
            return None
        reason = FAILURES[int(self.failed[points[0]])]
        return f"particle problem of point {points[0]} ({len(points)} failed): {reason}"


@dataclass(frozen=True, eq=False)
class SurfaceValues:
    """Gh g, eta and the heat of P points at the quadrature points of Gamma, (P, nf nq) each."""

    faradaic: Floats
    eta: Floats
    heat: Floats


class ParticleProblems:
    """The particle problems of the P meso points of one rank (P = 0 is fine); nothing here is collective.

    A time step is begin_step, any number of evaluate, finish_step; the last evaluate is the one that counts.
    `c` (P, n_s) is the concentration at the end of the last finished step and may be set to restore a state.
    """

    def __init__(
        self,
        geometry: ParticleGeometry,
        electrode: Electrode,
        lam: float,
        gamma: float,
        points: int,
        *,
        c_e_ref: float | None = None,
    ) -> None:
        """Uniform start c = c_s0; eta is measured against a lithium electrode at c_e_ref, None: as in the paper.

        Raises BadInput for values without meaning, ValueError for the geometry of another D_s.
        """
        key, e = f"parameters.{geometry.name}", electrode
        if (e.D_s if isinstance(e.D_s, tuple) else None) != geometry.tensor:
            raise ValueError("the geometry's matrix K carries another tensor than D_s")
        self.geometry = geometry
        self.c_max = e.c_max
        if not 0.0 < e.c_s0 < e.c_max:
            raise BadInput(f"{key}.c_s0 = {e.c_s0:g}: must lie between 0 and c_max = {e.c_max:g}")
        ocp, Pi = e.ocp.program(("c", "T")), e.Pi.program(("c", "T"))
        self._kernel = _native.ParticleKernel(
            facets=geometry.facets,
            shape=geometry.shape,
            weights=geometry.weights,
            trace_nodes=len(geometry.trace),
            G=e.G,
            GC=e.G * e.C,
            beta=e.beta,
            c_max=e.c_max,
            E_G=e.E_G,
            lam=lam,
            gamma=gamma,
            R_f=e.film_resistance,
            c_e_ref=c_e_ref or 0.0,
            ocp_ops=ocp[0],
            ocp_args=ocp[1],
            Pi_ops=Pi[0],
            Pi_args=Pi[1],
        )
        self.c = np.full((points, geometry.M.shape[0]), e.c_s0)
        self._diffusion: Diffusion
        if e.constant_diffusivity:
            D_s = 1.0 if isinstance(e.D_s, tuple) else float(e.D_s.numpy(c=0.0, T=0.0))
            if not D_s > 0.0:
                raise BadInput(f"{key}.D_s = {D_s:g}: must be positive")
        if e.constant_diffusivity and len(geometry.trace) <= LARGEST_TRACE:
            self._diffusion = ConstantDiffusion(geometry, self._kernel, D_s)
        else:
            self._diffusion = VariableDiffusion(geometry, self._kernel, e)
        self._step: Step | None = None

    @property
    def lithium(self) -> Floats:
        """(P,) lithium in the solid per volume of the unit cell, (1/|Omega|) int c dz."""
        return np.asarray(self.c @ self.geometry.mass)

    @property
    def soc(self) -> Floats:
        """(P,) mean of c/c_max over the solid."""
        return np.asarray(self.lithium / (self.c_max * self.geometry.volume))

    def begin_step(self, a0: float, hist_c: Floats, d_hist: Floats) -> None:
        """Begin the step d_t c = a0 c - hist_c, d_t D = a0 D + d_hist with D = Phi_s - Phi_e.

        a0 = 1/dt for Euler, 3/(2 dt) for BDF2; hist_c (P, n_s) = -(a1 c_n + a2 c_(n-1)), for Euler c_n/dt;
        d_hist (P,) = a1 D_n + a2 D_(n-1), for Euler -D_n/dt.
        """
        if not (np.isfinite(a0) and a0 > 0.0):
            raise ValueError(f"a0 = {a0}: must be positive")
        d_hist = np.ascontiguousarray(d_hist, dtype=np.float64)
        self._step = self._diffusion.begin(a0, self.c, hist_c, d_hist)

    def evaluate(self, Phi_s: Floats, Phi_e: Floats, c_e: Floats, T: Floats) -> ParticleResponse:
        """Solve all particle problems of the step begun for the given scalars, each (P,).

        Failures are reported in the response, not raised: ranks must agree on what to do. A failed point
        keeps its last good trace as the next start.
        """
        return _response(self._begun().evaluate(_scalars(Phi_s, Phi_e, c_e, T)))

    def evaluate_frozen(self, Phi_s: Floats, Phi_e: Floats, c_e: Floats, T: Floats) -> ParticleResponse:
        """Faradaic response at the present concentration, as just after switching a current on (C = 0)."""
        trace = np.ascontiguousarray(self.c[:, self.geometry.trace])
        return _response(self._kernel.evaluate(x=trace, p=_scalars(Phi_s, Phi_e, c_e, T)))

    def surface_values(self, Phi_s: Floats, Phi_e: Floats, c_e: Floats, T: Floats) -> SurfaceValues:
        """Reaction at the quadrature points of Gamma at the present concentration, for scalars (P,)."""
        trace = np.ascontiguousarray(self.c[:, self.geometry.trace])
        values = self._kernel.at_quadrature_points(x=trace, p=_scalars(Phi_s, Phi_e, c_e, T))
        return SurfaceValues(values.faradaic, values.eta, values.heat)

    def finish_step(self) -> Floats:
        """The concentration of the last evaluate becomes the present state. Lithium is conserved: K 1 = 0.

        RuntimeError unless every point was solved.
        """
        self.c = self._begun().finish()
        self._step = None
        return self.c

    def _begun(self) -> Step:
        if self._step is None:
            raise RuntimeError("begin_step has not been called")
        return self._step


def _scalars(*columns: ArrayLike) -> Floats:
    return np.column_stack([np.asarray(a, dtype=np.float64).reshape(-1) for a in columns])


def _response(solution: _native.TraceSolution) -> ParticleResponse:
    s = solution
    return ParticleResponse(s.J, s.faradaic, s.q, s.dJ, s.dq, s.iterations, s.failed)
