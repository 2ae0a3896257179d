"""Particle problems of the homogenised model: diffusion in the unit cell's solid at every meso point.

    d_t c = div(D_s grad c) in the solid,  -D_s grad c . n = j on Gamma,  j = Gh(T) g + G C d_t(Phi_s - Phi_e)

with eta = Phi_s - Phi_e - U - R_f Gh g behind a film, which the kernel solves for at every quadrature point (MODEL
section 5, [H] 1a with 73-76; or less psi of `kinetics.lithium_electrode`), discretised by the finite elements of the
unit-cell mesh. Diffusion is linear and the same at all points, so one step condenses exactly to the nodes of Gamma:

    (a0 M + D_s K) c = M h - R(c on Gamma; p),   R_i = int_Gamma j phi_i dA,   p = (Phi_s, Phi_e, c_e, T),
    A = a0 M + D_s K,  c* = A^-1 M h,  S = (A^-1) on Gamma x Gamma:   S^-1 (x - c*) + R(x; p) = 0.

S^-1 is symmetric positive definite and shared by all points; the native kernel solves for the traces x by
Newton's method and differentiates the condensed maps p -> J, q exactly. Everything is dimensionless.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import basix
import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import ArrayLike, NDArray

from dfx_homog import _native
from dfx_homog.errors import BadInput
from dfx_homog.microstructure.reference_element import metric
from dfx_homog.microstructure.unitcell import SOLID, UnitCell
from dfx_homog.parameters.physics import Electrode, Tensor

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FAILURES = {
    1: "c_e and 1 + gamma T must be positive and all values finite",
    2: "the flux is not finite, or the surface concentration would leave 0 < c_s < c_max",
    3: "the maximum number of Newton iterations is reached",
}
SIMPLEX = {1: basix.CellType.interval, 2: basix.CellType.triangle, 3: basix.CellType.tetrahedron}
FACTORISATIONS_KEPT = 4  # Euler and BDF2 at the present and at a rejected step size


@dataclass(frozen=True, eq=False)
class ParticleGeometry:
    """The solid of a unit cell as matrices, periodic nodes eliminated; |Omega| = 1, lengths in unit cells.

    name        region or microstructure of the run file
    M, K        (n_s, n_s) CSR: int phi_i phi_j and int grad phi_i . A grad phi_j over the solid, A = `tensor` or 1
    solid_nodes (n,) index of every unit-cell node among the n_s nodes of the solid, -1 outside it
    trace       (nG,) the nodes on Gamma, as indices among the n_s
    facets      (nf, npf) nodes of every facet of Gamma, as indices into `trace`
    shape       (nq, npf) basis functions of a facet at its quadrature points
    weights     (nf, nq) quadrature weights times the facet's Jacobian
    tensor      (d, d) diffusivity that K carries, None for a scalar D_s, which it does not
    """

    name: str
    M: Any
    K: Any
    solid_nodes: Ints
    trace: Ints
    facets: NDArray[np.int32]
    shape: Floats
    weights: Floats
    tensor: Tensor | None = None

    @cached_property
    def mass(self) -> Floats:
        """(n_s,) int phi_i over the solid."""
        return np.asarray(self.M.sum(axis=0)).ravel()

    @property
    def volume(self) -> float:
        """Share of the unit cell that the solid takes."""
        return float(self.mass.sum())

    @property
    def surface(self) -> float:
        """|Gamma|/|Omega| = a."""
        return float(self.weights.sum())


def particle_geometry(
    cell: UnitCell,
    degree_volume: int,
    degree_surface: int,
    active: NDArray[np.bool_] | None = None,
    tensor: Tensor | None = None,
) -> ParticleGeometry:
    """Matrices of the solid of `cell` with DOLFINx's own elements and quadrature of the given degrees.

    `active` (m,) marks the cells that take part: solid islands and closed pores carry no net current and are
    left out (MODEL section 4). `tensor` is a diffusivity for K to carry. Raises BadInput if no interface is left.
    """
    if active is None:
        active = np.ones(len(cell.cells), dtype=bool)
    interface = cell.interface_facets()
    used = active[interface.solid] & active[interface.electrolyte]
    if not used.any():
        raise BadInput(
            f"microstructure {cell.name}: an electrode needs an interface of solid and electrolyte"
        )
    nodes = cell.canonical[cell.cells]
    solid = (cell.phase == SOLID) & active
    present = np.unique(nodes[solid])
    solid_nodes = np.full(len(cell.points), -1, dtype=np.int64)
    solid_nodes[present] = np.arange(len(present))
    rows = solid_nodes[nodes[solid]]
    M, K = _volume_matrices(cell, rows, cell.cells[solid], len(present), degree_volume, tensor)

    on_facet = np.stack([cell.facet_nodes(local) for local in range(cell.dim + 1)])[interface.local[used]]
    rows = cell.cells[interface.solid[used][:, None], on_facet]
    trace, facets = np.unique(solid_nodes[cell.canonical[rows]], return_inverse=True)
    points, reference = basix.make_quadrature(SIMPLEX[cell.dim - 1], degree_surface)
    shape, slopes = _lagrange(SIMPLEX[cell.dim - 1], cell.order, points)
    tangents = np.einsum("fkd,jqk->fqjd", cell.points[rows], slopes)
    return ParticleGeometry(
        name=cell.name,
        M=M,
        K=K,
        solid_nodes=solid_nodes[cell.canonical],
        trace=trace,
        facets=np.ascontiguousarray(facets.reshape(rows.shape), dtype=np.int32),
        shape=shape,
        weights=np.ascontiguousarray(metric(tangents) * reference),
        tensor=tensor,
    )


def _lagrange(cell_type: basix.CellType, order: int, points: Floats) -> tuple[Floats, Floats]:
    """Values (nq, k) and reference gradients (dim, nq, k) of the Lagrange basis in DOLFINx's node order."""
    element = basix.create_element(basix.ElementFamily.P, cell_type, order, basix.LagrangeVariant.gll_warped)
    table = element.tabulate(1, points)[:, :, :, 0]
    return np.ascontiguousarray(table[0]), np.ascontiguousarray(table[1:])


def _volume_matrices(
    cell: UnitCell, rows: Ints, nodes: Ints, n: int, degree: int, tensor: Tensor | None
) -> tuple[Any, Any]:
    """M and K over cells with unit-cell nodes `nodes` and matrix rows `rows`, both (m_s, k)."""
    points, reference = basix.make_quadrature(SIMPLEX[cell.dim], degree)
    shape, slopes = _lagrange(SIMPLEX[cell.dim], cell.order, points)
    jacobian = np.einsum("cki,jqk->cqij", cell.points[nodes], slopes)
    weights = np.abs(np.linalg.det(jacobian)) * reference
    gradient = np.einsum("jqk,cqji->cqki", slopes, np.linalg.inv(jacobian))
    mass = np.einsum("cq,qk,ql->ckl", weights, shape, shape)
    flux = gradient if tensor is None else gradient @ np.array(tensor)
    stiffness = np.einsum("cq,cqki,cqli->ckl", weights, flux, gradient)
    k = rows.shape[1]
    i, j = np.repeat(rows, k, axis=1).ravel(), np.tile(rows, (1, k)).ravel()

    def assembled(values: Floats) -> Any:
        return scipy.sparse.coo_matrix((values.ravel(), (i, j)), shape=(n, n)).tocsr()

    return assembled(mass), assembled(stiffness)


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


@dataclass(frozen=True, eq=False)
class _Condensed:
    """A = a0 M + D_s K factorised, and the inverse of its condensation S to Gamma."""

    lu: Any
    stiffness: Floats


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

        Raises BadInput for what the condensation cannot do.
        """
        key, e = f"parameters.{geometry.name}", electrode
        formula = None if isinstance(e.D_s, tuple) else e.D_s
        if e.E_D != 0.0 or (formula and (formula.depends_on("c") or formula.depends_on("T"))):
            raise BadInput(f"{key}.D_s: must be constant here, without c, T and activation energy")
        if (e.D_s if formula is None else None) != geometry.tensor:
            raise ValueError("the geometry's matrix K carries another tensor than D_s")
        self.geometry = geometry
        self.c_max = e.c_max
        self.D_s = float(formula.numpy(c=0.0, T=0.0)) if formula else 1.0
        if not self.D_s > 0.0:
            raise BadInput(f"{key}.D_s = {self.D_s:g}: must be positive")
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
        self._condensed: OrderedDict[float, _Condensed] = OrderedDict()
        self._step: _Step | None = None

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
        condensed = self._factorise(a0)
        load = self.geometry.M @ hist_c.T
        c_star = _solve(condensed.lu, load)
        trace = self.geometry.trace
        self._step = _Step(
            a0=a0,
            condensed=condensed,
            load=load,
            c_star=np.ascontiguousarray(c_star[trace].T),
            d_hist=np.ascontiguousarray(d_hist, dtype=np.float64),
            x=np.ascontiguousarray(self.c[:, trace]),
            p=np.zeros((len(self.c), 4)),
            x_p=np.zeros((len(self.c), len(trace), 3)),
        )

    def evaluate(self, Phi_s: Floats, Phi_e: Floats, c_e: Floats, T: Floats) -> ParticleResponse:
        """Solve all particle problems of the step begun for the given scalars, each (P,).

        Failures are reported in the response, not raised: ranks must agree on what to do. A failed point
        keeps its last good trace as the next start.
        """
        step = self._begun()
        p = _scalars(Phi_s, Phi_e, c_e, T)
        # Start from the prediction along the last derivative: its error is quadratic in the change of p.
        change = p - step.p
        change[:, 1] = change[:, 0] - change[:, 1]
        solution = self._kernel.solve(
            start=step.x + np.einsum("pik,pk->pi", step.x_p, change[:, 1:]),
            c_star=step.c_star,
            stiffness=step.condensed.stiffness,
            p=p,
            d_hist=step.d_hist,
            a0=step.a0,
        )
        good = (solution.failed == 0)[:, None]
        step.x = np.where(good, solution.x, step.x)
        step.p = np.where(good, p, step.p)
        step.x_p = np.where(good[:, :, None], solution.x_p, step.x_p)
        step.R = solution.R if good.all() else None
        return _response(solution)

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
        """Recover c = A^-1 (M h - R) with the fluxes of the last evaluate, and make it the present state.

        Lithium is conserved whatever the error of the trace: a0 1^T M c = 1^T M h - J, since K 1 = 0.
        """
        step = self._begun()
        if step.R is None:
            raise RuntimeError("finish_step needs an evaluate in which every point was solved")
        load = step.load
        load[self.geometry.trace] -= step.R.T
        self.c = np.ascontiguousarray(_solve(step.condensed.lu, load).T)
        self._step = None
        return self.c

    def _begun(self) -> _Step:
        if self._step is None:
            raise RuntimeError("begin_step has not been called")
        return self._step

    def _factorise(self, a0: float) -> _Condensed:
        if a0 in self._condensed:
            self._condensed.move_to_end(a0)
            return self._condensed[a0]
        if not (np.isfinite(a0) and a0 > 0.0):
            raise ValueError(f"a0 = {a0}: must be positive")
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


@dataclass(eq=False)
class _Step:
    """Data of the step in progress, and what the last evaluate found.

    x (P, nG) traces of the last good solutions, x_p (P, nG, 3) their derivatives in Phi_s - Phi_e, c_e and T
    at p (P, 4); R (P, nG) fluxes, None unless every point was solved.
    """

    a0: float
    condensed: _Condensed
    load: Floats
    c_star: Floats
    d_hist: Floats
    x: Floats
    p: Floats
    x_p: Floats
    R: Floats | None = None


def _solve(lu: Any, load: Floats) -> Floats:
    """A^-1 load for (n_s, P) right-hand sides; SuperLU does not take P = 0."""
    return np.asarray(lu.solve(load)) if load.shape[1] else load.copy()


def _scalars(*columns: ArrayLike) -> Floats:
    return np.column_stack([np.asarray(a, dtype=np.float64).reshape(-1) for a in columns])


def _response(solution: _native.TraceSolution) -> ParticleResponse:
    s = solution
    return ParticleResponse(s.J, s.faradaic, s.q, s.dJ, s.dq, s.iterations, s.failed)
