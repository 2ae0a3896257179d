"""Weak form of the resolved model (MODEL section 3) on one blocked space, with every coefficient a Constant or DG0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem

from dfx_homog._compat import compile_form
from dfx_homog.dimensionless.physics import Electrode, Physics
from dfx_homog.microstructure.connectivity import connect
from dfx_homog.microstructure.tiling import TiledMesh
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID
from dfx_homog.models.fields import C_E, C_S, PHI_E, PHI_S, TEMP, quadrature_degrees
from dfx_homog.parameters.expression import Expression
from dfx_homog.physics import heat, kinetics, temperature, transport

INERT = 3  # beside SOLID and ELECTROLYTE: solid in the separator, islands, closed pores; they carry heat only
GAMMA, NEGATIVE_FACE, POSITIVE_FACE, NEGATIVE_TAB, POSITIVE_TAB = 1, 2, 3, 4, 5


@dataclass(frozen=True)
class Material:
    """Coefficients of one region: numbers or (d, d) tensors; None where the phase is absent."""

    sigma_s: Any
    k_s: Any
    k_e: Any
    rho_cp_s: float | None
    rho_cp_e: float | None


def cellwise(mesh: Any, values: list[Any], index: npt.NDArray[np.integer], dim: int) -> fem.Function:
    """Piecewise constant function with values[index[cell]]; a tensor if any value is one. None counts as 0."""
    arrays = [np.asarray(0.0 if v is None else v, dtype=float) for v in values]
    if any(a.ndim == 2 for a in arrays):
        arrays = [a if a.ndim == 2 else a * np.eye(dim) for a in arrays]
        space = fem.functionspace(mesh, ("DG", 0, (dim, dim)))
    else:
        space = fem.functionspace(mesh, ("DG", 0))
    out = fem.Function(space)
    table = np.stack([a.ravel() for a in arrays])
    block = out.x.array.reshape(-1, table.shape[1])
    block[space.dofmap.list[: len(index), 0]] = table[index]
    return out


@dataclass(frozen=True)
class Terms:
    """UFL of every flux and source at the new state, in meso lengths; [H] 6-8, MODEL section 3.

    N_s, i_s, N_e, i_e, K: fluxes (vectors); joule_s, joule_e: heat per volume of each phase.
    Per area of Gamma, with j = G g and eta the overpotential:
    interface: delta (j + G C d_t D), flux of lithium and charge out of the solid
    faradaic: delta j; eta: the overpotential
    irreversible_heat: delta lambda j eta; reversible_heat: delta lambda j (Pi + psi); film_heat: delta lambda R_f j^2,
    None without a film; psi of `kinetics.lithium_electrode`, 0 unless eta is measured against one
    interface_work: delta j (U - Pi); capacitor_work: delta G C D d_t D
    """

    N_s: Any
    i_s: Any
    N_e: Any
    i_e: Any
    K: Any
    joule_s: Any
    joule_e: Any
    interface: Any
    faradaic: Any
    eta: Any
    irreversible_heat: Any
    reversible_heat: Any
    film_heat: Any | None
    interface_work: Any
    capacitor_work: Any

    @property
    def reaction_heat(self) -> Any:
        """Heat per area of Gamma, all its parts: delta lambda j (Phi_s - Phi_e - U + Pi)."""
        heat_of_reaction = self.irreversible_heat + self.reversible_heat
        return heat_of_reaction if self.film_heat is None else heat_of_reaction + self.film_heat


class ResolvedForms:
    """Residual F, Jacobian dF/du and scalar functionals of the resolved model.

    u, u1, u2: fields at the new time and the two before; components c_s, Phi_s, c_e, Phi_e, T
    a0, a1, a2: coefficients of the difference quotient; current: i_app; time: t of h(t, y); all Constants.
    part: (cells,) SOLID, ELECTROLYTE or INERT
    terms: fluxes and sources in UFL, to integrate or to plot over dx and ds(GAMMA)
    The residual is divided by the collector's area |F|.
    """

    def __init__(
        self, tiled: TiledMesh, physics: Physics, materials: tuple[Material, ...], periodic: tuple[int, ...]
    ):
        mesh = tiled.mesh
        self.mesh, self.tiled, self.physics = mesh, tiled, physics
        self.delta = tiled.scale
        self.area = float(np.prod(tiled.lateral)) * tiled.scale ** (mesh.geometry.dim - 1)
        self.space = fem.functionspace(mesh, ("Lagrange", tiled.order, (5,)))
        self.u, self.u1, self.u2 = (fem.Function(self.space) for _ in range(3))
        self.a0, self.a1, self.a2 = (self._constant(0.0) for _ in range(3))
        self.current, self.time = self._constant(0.0), self._constant(0.0)
        self._place = {f"y{i + 1}": x for i, x in enumerate(ufl.SpatialCoordinate(mesh))}
        self._profiles: dict[Expression, fem.Form] = {}
        dim = mesh.geometry.dim
        kind = tiled.cell_region * 2 + (tiled.phase == SOLID)
        region_values = [(m.k_e, m.k_s) for m in materials]
        self.k = cellwise(mesh, [v for pair in region_values for v in pair], kind, dim)
        self.rho_cp = cellwise(mesh, [v for m in materials for v in (m.rho_cp_e, m.rho_cp_s)], kind, dim)
        self.sigma = cellwise(mesh, [m.sigma_s for m in materials], tiled.cell_region, dim)
        self.negative = cellwise(mesh, [1.0] + [0.0] * (len(materials) - 1), tiled.cell_region, dim)
        self.weight = fem.Function(self.negative.function_space)
        self._measures(periodic)
        self._build()

    def _constant(self, value: float) -> fem.Constant:
        return fem.Constant(self.mesh, np.float64(value))

    def _measures(self, periodic: tuple[int, ...]) -> None:
        tiled = self.tiled
        degree_volume, degree_surface = quadrature_degrees(tiled.order)
        last = len(tiled.cells) - 1
        self.connected = connect(tiled.cells, tiled.counts, tiled.lateral, periodic)
        active = self.connected.cells
        self.part = np.full(len(tiled.phase), INERT)
        for kind in range(len(tiled.units)):
            here = np.flatnonzero(tiled.cell_kind == kind)
            here = here[active(kind, tiled.cell_tile[here], tiled.cell_unit[here])]
            self.part[here] = tiled.phase[here]
        parts = [(p, np.flatnonzero(self.part == p).astype(np.int32)) for p in (SOLID, ELECTROLYTE, INERT)]
        self.dx = ufl.Measure(
            "dx", self.mesh, subdomain_data=parts, metadata={"quadrature_degree": degree_volume}
        )
        faces = {NEGATIVE_FACE: tiled.end_facets(0), POSITIVE_FACE: tiled.end_facets(1)}
        tabs = {
            tab: faces[face][self.part[faces[face][:, 0]] == SOLID]
            for tab, face in ((NEGATIVE_TAB, NEGATIVE_FACE), (POSITIVE_TAB, POSITIVE_FACE))
        }
        gamma = np.concatenate([tiled.interface_facets(r, periodic, active) for r in sorted({0, last})])
        self.facets = {GAMMA: gamma, **faces, **tabs}
        self.ds = ufl.Measure(
            "ds",
            self.mesh,
            subdomain_data=[(tag, f.ravel()) for tag, f in self.facets.items()],
            metadata={"quadrature_degree": degree_surface},
        )
        tab = fem.assemble_scalar(compile_form(self._constant(1.0) * self.ds(POSITIVE_TAB)))
        self.tab_area = float(self.mesh.comm.allreduce(tab))

    def _pick(self, name: str) -> Any:
        """A number of the electrode that the cell belongs to."""
        n, p = getattr(self.physics.negative, name), getattr(self.physics.positive, name)
        return self.negative * self._constant(n) + (1 - self.negative) * self._constant(p)

    def _pick_expression(self, name: str, c_s: Any, T: Any) -> Any:
        """An expression of the electrode that the cell belongs to; the other's is taken at its initial state.

        There it is defined, which it may not be at this electrode's c_s. No conditional: FFCx cannot compile the
        derivative of one whose branches do not both depend on T.
        """
        n, p = self.physics.negative, self.physics.positive
        if getattr(n, name) == getattr(p, name) and n.c_max == p.c_max:
            return getattr(n, name).ufl(c=c_s / self._constant(n.c_max), T=T)

        def value(electrode: Electrode, here: Any) -> Any:
            c_max, c_s0 = self._constant(electrode.c_max), self._constant(electrode.c_s0)
            c = (here * c_s + (1 - here) * c_s0) / c_max
            T_here = here * T + (1 - here) * self._constant(self.physics.T_initial)
            return here * getattr(electrode, name).ufl(c=c, T=T_here)

        return value(n, self.negative) + value(p, 1 - self.negative)

    def _diffusivity(self, c_s: Any, T: Any) -> Any:
        """D_s of the electrode that the cell belongs to, without activation; a tensor if one electrode's is."""
        n, p, dim = self.physics.negative, self.physics.positive, self.mesh.geometry.dim
        if not isinstance(n.D_s, tuple) and not isinstance(p.D_s, tuple):
            return self._pick_expression("D_s", c_s, T)

        def value(electrode: Electrode) -> Any:
            if isinstance(electrode.D_s, tuple):
                return fem.Constant(self.mesh, np.array(electrode.D_s))
            return electrode.D_s.ufl(c=c_s / self._constant(electrode.c_max), T=T) * ufl.Identity(dim)

        return self.negative * value(n) + (1 - self.negative) * value(p)

    def _exchange_current(self, T: Any) -> Any:
        return self._electrode_activation(self._pick("G"), "E_G", T)

    def _film_overpotential(self) -> Any:
        """eta = Phi_s - Phi_e - U - psi - R_f G g: the reaction's current passes a film, the double layer's does not.

        A copy of u that shares its values, but is not differentiated, carries the iterations to the root.
        """
        gamma, lam = self._constant(self.physics.gamma), self._constant(self.physics.lam)
        R_f, beta, c_max = (self._pick(name) for name in ("film_resistance", "beta", "c_max"))

        def state(u: Any) -> tuple[Any, Any]:
            c_s, phi_s, c_e, phi_e, T = (u[i] for i in range(5))
            slope = lam / (1 + gamma * T)
            rate = self._exchange_current(T) * kinetics.exchange_rate(c_s, c_e, beta, c_max)
            U = self._pick_expression("ocp", c_s, T) + self._lithium_electrode(c_e, T)
            driving = kinetics.overpotential(phi_s, phi_e, U)
            return slope * driving, slope * R_f * rate

        frozen = fem.Function(self.space, self.u.x)
        s = kinetics.through_film(*state(self.u), beta, *state(frozen))
        return s * (1 + gamma * self.u[TEMP]) / lam

    def _lithium_electrode(self, c_e: Any, T: Any) -> Any:
        """psi, 0 with the paper's overpotential."""
        p = self.physics
        if not p.lithium_electrode:
            return 0
        c_e0, lam, gamma = (self._constant(v) for v in (p.c_e0, p.lam, p.gamma))
        return kinetics.lithium_electrode(c_e, T, c_e0, lam, gamma)

    def _in_time_and_place(self, formula: Expression) -> Any:
        """A formula in t and y; a plain number as a Constant."""
        if formula.op == "const":
            return self._constant(formula.value)
        return formula.ufl(t=self.time, **self._place)

    def profile(self, formula: Expression) -> fem.Form:
        """int f v_Phi_s over the positive tab/|F_s|: what a current density f(t, y) adds to the residual."""
        if formula not in self._profiles:
            weight = self._constant(1 / self.tab_area) * self._in_time_and_place(formula)
            outflow = transport.outflow(weight, self._test[PHI_S], self.ds(POSITIVE_TAB))
            self._profiles[formula] = compile_form(outflow)
        return self._profiles[formula]

    def _cooling(self, test: Any) -> Any:
        """int h (T - T_ambient) v over both collector faces."""
        p, excess = self.physics, self.u[TEMP] - self._constant(self.physics.T_ambient)
        return sum(
            transport.outflow(self._in_time_and_place(h) * excess, test, self.ds(face))
            for h, face in ((p.h_negative, NEGATIVE_FACE), (p.h_positive, POSITIVE_FACE))
        )

    def _rate(self, component: int) -> Any:
        return self.a0 * self.u[component] + self.a1 * self.u1[component] + self.a2 * self.u2[component]

    def _terms(self) -> Terms:
        """Fluxes, kinetics and heat sources at the new state."""
        p, u, delta = self.physics, self.u, self._constant(self.delta)
        gamma, lam = self._constant(p.gamma), self._constant(p.lam)
        c_s, phi_s, c_e, phi_e, T = (u[i] for i in range(5))
        D_L = self._with_activation(p.D_L, p.E_D_L, T)
        D_A = self._with_activation(p.D_A, p.E_D_A, T)
        mu_L = temperature.einstein_mobility(D_L, gamma, T) if p.mu_L is None else self._constant(p.mu_L)
        mu_A = temperature.einstein_mobility(D_A, gamma, T) if p.mu_A is None else self._constant(p.mu_A)
        D_s = self._electrode_activation(self._diffusivity(c_s, T), "E_D", T)
        sigma = self._electrode_activation(self.sigma, "E_sigma", T)
        G = self._exchange_current(T)
        GC = self._pick("C") * self._pick("G")
        U, Pi = self._pick_expression("ocp", c_s, T), self._pick_expression("Pi", c_s, T)
        psi = self._lithium_electrode(c_e, T)
        eta = self._film_overpotential() if p.has_film else kinetics.overpotential(phi_s, phi_e, U + psi)
        g = kinetics.butler_volmer(c_s, c_e, eta, T, self._pick("beta"), self._pick("c_max"), lam, gamma)
        R_f = self._pick("film_resistance")
        jump_rate = self._rate(PHI_S) - self._rate(PHI_E)
        i_s = transport.ohmic_current(sigma, phi_s)
        i_e = transport.electrolyte_current(D_L, D_A, mu_L, mu_A, lam, c_e, phi_e)
        return Terms(
            N_s=transport.particle_flux(D_s, c_s, delta),
            i_s=i_s,
            N_e=transport.species_flux(D_L, mu_L, lam, c_e, phi_e),
            i_e=i_e,
            K=heat.conduction(self.k, T),
            interface=delta * kinetics.interface_flux(G, g, GC, jump_rate),
            joule_s=heat.joule(lam, i_s, phi_s),
            joule_e=heat.joule(lam, i_e, phi_e),
            faradaic=delta * G * g,
            eta=eta,
            irreversible_heat=delta * heat.reaction_heat(lam, G, g, eta, 0),
            reversible_heat=delta * heat.reaction_heat(lam, G, g, psi, Pi),
            film_heat=delta * heat.film_heat(lam, G, g, R_f) if p.has_film else None,
            interface_work=delta * G * g * (U - Pi),
            capacitor_work=delta * GC * (phi_s - phi_e) * jump_rate,
        )

    def _weak(self, t: Terms) -> Any:
        """The residual, all five conservation laws, divided by |F|."""
        dx, ds, v = self.dx, self.ds, self._test
        everywhere = dx((SOLID, ELECTROLYTE, INERT))
        # Constants throughout, no numbers: all levels of a study share one compilation
        tab_current = self.current * self._constant(self.area / self.tab_area)
        F = (
            transport.storage(self._rate(C_S), v[C_S], dx(SOLID))
            + transport.divergence(t.N_s, v[C_S], dx(SOLID))
            + transport.divergence(t.i_s, v[PHI_S], dx(SOLID))
            + transport.outflow(tab_current, v[PHI_S], ds(POSITIVE_TAB))
            + transport.storage(self._rate(C_E), v[C_E], dx(ELECTROLYTE))
            + transport.divergence(t.N_e, v[C_E], dx(ELECTROLYTE))
            + transport.divergence(t.i_e, v[PHI_E], dx(ELECTROLYTE))
            + transport.storage(self.rho_cp * self._rate(TEMP), v[TEMP], everywhere)
            + transport.divergence(t.K, v[TEMP], everywhere)
            + self._cooling(v[TEMP])
            - t.joule_s * v[TEMP] * dx(SOLID)
            - t.joule_e * v[TEMP] * dx(ELECTROLYTE)
            + (t.interface * (v[C_S] + v[PHI_S] - v[C_E] - v[PHI_E]) - t.reaction_heat * v[TEMP]) * ds(GAMMA)
        )
        return self._constant(1 / self.area) * F

    def _build(self) -> None:
        self._test = ufl.TestFunction(self.space)
        self.terms = terms = self._terms()
        ds, v = self.ds, self._test
        self.weak = self._weak(terms)
        self.residual = compile_form(self.weak)
        self.tangent = ufl.derivative(self.weak, self.u)
        self.jacobian = compile_form(self.tangent, any_order=True)
        per_area = self.weight * self._constant(1 / self.area)
        self.interface_current = compile_form(per_area * terms.interface * ds(GAMMA))
        self.interface_work = compile_form(per_area * terms.interface_work * ds(GAMMA))
        self.capacitor_work = compile_form(per_area * terms.capacitor_work * ds(GAMMA))
        everywhere = self.dx((SOLID, ELECTROLYTE, INERT))
        self.volume_functional = compile_form(per_area * v[0] * everywhere)
        self.tab_functional = compile_form(self._constant(1 / self.tab_area) * v[0] * ds(POSITIVE_TAB))
        self.cooling = compile_form(self._constant(1 / self.area) * self._cooling(self._constant(1.0)))

    def _with_activation(self, value: float, energy: float, T: Any) -> Any:
        reference = self._constant(value)
        if energy == 0:
            return reference
        return temperature.arrhenius(reference, self._constant(energy), self._constant(self.physics.gamma), T)

    def _electrode_activation(self, value: Any, name: str, T: Any) -> Any:
        if getattr(self.physics.negative, name) == getattr(self.physics.positive, name) == 0:
            return value
        return temperature.arrhenius(value, self._pick(name), self._constant(self.physics.gamma), T)
