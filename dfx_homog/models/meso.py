"""The homogenised model on its meso domain: weak form without the interface terms, and coefficients of the regions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem

from dfx_homog import _compat
from dfx_homog._compat import FloatArray
from dfx_homog.dimensionless.physics import Physics
from dfx_homog.models.meso_domain import (
    LATERAL_FACE,
    NEGATIVE_FACE,
    NEGATIVE_TAB,
    POSITIVE_FACE,
    POSITIVE_TAB,
    MesoDomain,
)
from dfx_homog.models.resolved_forms import cellwise
from dfx_homog.parameters.expression import Expression
from dfx_homog.physics import heat, temperature, transport
from dfx_homog.runfile.given import Effective, Particle

PHI_S, C_E, PHI_E, TEMP = range(4)
NAMES = ("Phi_s", "c_e", "Phi_e", "T")
GROUPS: dict[str, tuple[int, ...]] = {"phi": (PHI_S, PHI_E), "ce": (C_E,), "T": (TEMP,)}
ELECTRODE = 1
TENSOR_CELLS = ("interval", "quadrilateral", "hexahedron")
COOLED = (NEGATIVE_FACE, POSITIVE_FACE, LATERAL_FACE)


@dataclass(frozen=True)
class MesoCoefficients:
    """Effective coefficients of one region: tensors S (None in the separator), B, K, each (d, d) in d meso dimensions,
    and phi_e, theta."""

    S: FloatArray | None
    B: FloatArray
    K: FloatArray
    phi_e: float
    theta: float

    @property
    def largest(self) -> float:
        """Largest entry of S and K."""
        return float(max(np.abs(t).max() for t in (self.S, self.K) if t is not None))


class MesoForms:
    """Weak form of MODEL section 5 without the interface terms, on one blocked space (Phi_s, c_e, Phi_e, T), per |F|.

    Heat exchange and an uneven current are interpolated at the nodes.
    """

    def __init__(self, domain: MesoDomain, physics: Physics, regions: tuple[MesoCoefficients, ...]):
        mesh, region, dim = domain.mesh, domain.region, domain.dim
        self.domain, self.physics, self.mesh = domain, physics, mesh
        self.space = fem.functionspace(mesh, ("Lagrange", domain.order, (4,)))
        self.u, self.u1, self.u2 = (fem.Function(self.space) for _ in range(3))
        self.a0, self.a1, self.a2 = (self._constant(0.0) for _ in range(3))
        self.current = self._constant(0.0)
        nodal = fem.functionspace(mesh, ("Lagrange", domain.order))
        self._places = {f"y{i + 1}": nodal.tabulate_dof_coordinates()[:, i] for i in range(dim)}
        self._profile = fem.Function(nodal)
        self._cooling = {
            face: (fem.Function(nodal), formula)
            for face, formula in zip(
                COOLED, (physics.h_negative, physics.h_positive, physics.h_lateral), strict=True
            )
        }
        self.weight = cellwise(mesh, [1.0, 1.0, 1.0], region, dim)
        self.negative = cellwise(mesh, [1.0, 0.0, 0.0], region, dim)
        self._coefficient = {
            name: cellwise(mesh, [getattr(r, name) for r in regions], region, dim)
            for name in ("S", "B", "K", "phi_e", "theta")
        }
        self._contact = dict.fromkeys(COOLED, 0.0)
        self._measures()
        self.tab_area = 1.0
        self.tab_area = float(domain.comm.allreduce(fem.assemble_scalar(self._compiled_area())))
        self._build()

    def _constant(self, value: float) -> fem.Constant:
        return fem.Constant(self.mesh, np.float64(value))

    def _activated(self, value: Any, energy: float, T: Any) -> Any:
        if energy == 0:
            return value
        return temperature.arrhenius(value, self._constant(energy), self._constant(self.physics.gamma), T)

    def _measures(self) -> None:
        domain = self.domain
        electrode = np.flatnonzero(np.isin(domain.region, (0, 2))).astype(np.int32)
        separator = np.flatnonzero(domain.region == 1).astype(np.int32)
        # quadratic elements: products of three fields with one slope, exact in one dimension for constant coefficients
        degree = {"quadrature_degree": 2 * domain.order + 1}
        self.dx = ufl.Measure(
            "dx", self.mesh, subdomain_data=[(ELECTRODE, electrode), (2, separator)], metadata=degree
        )
        facets = [(tag, f.ravel()) for tag, f in sorted(domain.facets.items())]
        self.ds = ufl.Measure("ds", self.mesh, subdomain_data=facets, metadata=degree)
        self.per_area = self._constant(1 / domain.area)

    def _compiled_area(self) -> fem.Form:
        return _compat.compile_form(self._constant(1.0) * self.ds(POSITIVE_TAB))

    def _build(self) -> None:
        p, dx, ds = self.physics, self.dx, self.ds
        everywhere = dx((ELECTRODE, 2))
        v = ufl.TestFunction(self.space)
        phi_s, c_e, phi_e, T = (self.u[i] for i in range(4))
        rate = [self.a0 * self.u[i] + self.a1 * self.u1[i] + self.a2 * self.u2[i] for i in range(4)]
        lam, gamma = self._constant(p.lam), self._constant(p.gamma)
        D_L = self._activated(self._constant(p.D_L), p.E_D_L, T)
        D_A = self._activated(self._constant(p.D_A), p.E_D_A, T)
        mu_L = temperature.einstein_mobility(D_L, gamma, T) if p.mu_L is None else self._constant(p.mu_L)
        mu_A = temperature.einstein_mobility(D_A, gamma, T) if p.mu_A is None else self._constant(p.mu_A)
        k = self._coefficient
        S = k["S"]
        if p.negative.E_sigma or p.positive.E_sigma:
            energy = self.negative * self._constant(p.negative.E_sigma)
            energy += (1 - self.negative) * self._constant(p.positive.E_sigma)
            S = temperature.arrhenius(S, energy, gamma, T)
        i_s = transport.ohmic_current(S, phi_s)
        N_e = transport.species_flux(D_L, mu_L, lam, c_e, phi_e, k["B"])
        i_e = transport.electrolyte_current(D_L, D_A, mu_L, mu_A, lam, c_e, phi_e, k["B"])
        joule_s, joule_e = heat.joule(lam, i_s, phi_s), heat.joule(lam, i_e, phi_e)
        self._joule_terms = joule_s * v[TEMP] * dx(ELECTRODE) + joule_e * v[TEMP] * everywhere
        # Constants throughout, no numbers: all cases share one compilation
        tab = self._constant(1 / self.tab_area)
        F = (
            transport.divergence(i_s, v[PHI_S], dx(ELECTRODE))
            + transport.outflow(self.current * tab / self.per_area, v[PHI_S], ds(POSITIVE_TAB))
            + transport.storage(k["phi_e"] * rate[C_E], v[C_E], everywhere)
            + transport.divergence(N_e, v[C_E], everywhere)
            + transport.divergence(i_e, v[PHI_E], everywhere)
            + transport.storage(k["theta"] * rate[TEMP], v[TEMP], everywhere)
            + transport.divergence(heat.conduction(k["K"], T), v[TEMP], everywhere)
            + self._heat_exchange(T, v[TEMP])
            - self._joule_terms
        )
        self.weak = F = self.per_area * F
        self.residual = _compat.compile_form(F)
        self.jacobian = _compat.compile_form(ufl.derivative(F, self.u))
        self._cellwise = fem.functionspace(self.mesh, ("DG", 0, (2,)))
        cell = ufl.TestFunction(self._cellwise)
        per_cell = joule_s * cell[0] * dx(ELECTRODE) + joule_e * cell[1] * everywhere
        self._joule = _compat.compile_form(self.per_area * per_cell)
        self._volume = _compat.compile_form(self.per_area * self.weight * v[0] * everywhere)
        self._tab = _compat.compile_form(tab * v[0] * ds(POSITIVE_TAB))
        self._load = _compat.compile_form(tab * self._profile * v[0] * ds(POSITIVE_TAB))
        self.cooling = _compat.compile_form(self.per_area * self._heat_exchange(T, self._constant(1.0)))

    def _heat_exchange(self, T: Any, test: Any) -> Any:
        """int h (T - T_ambient) v over collectors and lateral faces."""
        excess = T - self._constant(self.physics.T_ambient)
        return sum(
            transport.outflow(h * excess, test, self.ds(face))
            for face, (h, _) in self._cooling.items()
            if face != LATERAL_FACE or self.domain.dim > 1
        )

    def set_time(self, time: float) -> None:
        """Heat exchange h(t, y) of all faces at time t."""
        for face, (h, formula) in self._cooling.items():
            h.x.array[:] = formula.numpy(t=time, **self._places)
            h.x.array[:] /= 1.0 + self._contact[face] * h.x.array

    def set_contact(self, face: int, resistance: float) -> None:
        """A resistance r to heat between a face and what h counts from: h becomes h/(1 + r h)."""
        self._contact[face] = resistance

    def profile_load(self, profile: Expression, time: float) -> FloatArray:
        """(nodes,) this rank's int i_app(t, y) v_i over the positive tab, over |F_tab|."""
        self._profile.x.array[:] = profile.numpy(t=time, **self._places)
        return self._assemble(self._load)

    def volume_weights(self, by_region: tuple[float, float, float]) -> FloatArray:
        """(nodes,) this rank's part of int f v_i dy for f constant in each region."""
        region = self.domain.region
        cells = self.weight.function_space.dofmap.list[: len(region), 0]
        self.weight.x.array[cells] = np.asarray(by_region)[region]
        return self._assemble(self._volume)

    def tab_weights(self) -> FloatArray:
        """(nodes,) this rank's part of the mean of v_i over the positive tab."""
        return self._assemble(self._tab)

    def facet_closure(self) -> npt.NDArray[np.int32]:
        """(facets, k) nodes on each facet of a cell, vertices first."""
        dim, layout = self.domain.dim, self.space.dofmap.dof_layout
        tensor = self.mesh.topology.cell_name() in TENSOR_CELLS
        count = 2 * dim if tensor else dim + 1
        return np.array([layout.entity_closure_dofs(dim - 1, i) for i in range(count)])

    def negative_tab(self) -> npt.NDArray[np.bool_]:
        """(nodes,) whether a node is on a facet of the negative tab, seen from this rank."""
        facets = self.domain.facets[NEGATIVE_TAB]
        here = np.zeros(len(self.u.x.array) // 4, dtype=bool)
        here[self.space.dofmap.list[facets[:, :1], self.facet_closure()[facets[:, 1]]]] = True
        return here

    def joule_heat(self) -> FloatArray:
        """(2, regions) this rank's Joule heat of the solid and of the electrolyte of each region."""
        space = self._cellwise
        cells = np.zeros(2 * (space.dofmap.index_map.size_local + space.dofmap.index_map.num_ghosts))
        _compat.assemble_vector(self._joule, cells)
        inside = np.flatnonzero(self.domain.region >= 0)
        heat = cells.reshape(-1, 2)[space.dofmap.list[inside, 0]]
        return np.array([np.bincount(self.domain.region[inside], column, 3) for column in heat.T])

    @cached_property
    def _joule_form(self) -> fem.Form:
        return _compat.compile_form(self.per_area * self._joule_terms)

    def joule_load(self) -> FloatArray:
        """(nodes,) this rank's part of int q v_i for the Joule heat q of both phases."""
        return self._assemble(self._joule_form, TEMP)

    def _assemble(self, form: fem.Form, component: int = 0) -> FloatArray:
        out = np.zeros_like(self.u.x.array)
        _compat.assemble_vector(form, out)
        nodal: FloatArray = out.reshape(-1, 4)[:, component].copy()
        return nodal


def coefficients(medium: Any, *, separator: bool, dim: int = 1) -> MesoCoefficients:
    """Effective coefficients of a computed microstructure (models.effective.EffectiveMedium) in `dim` dimensions."""
    S, B, K = (None if (t := medium.tensor(n)) is None else t[:dim, :dim] for n in ("S", "B", "K"))
    assert B is not None and K is not None
    return MesoCoefficients(None if separator else S, B, K, float(medium.phi_e), float(medium.theta))


def given_coefficients(spec: Particle | Effective, dim: int = 1) -> MesoCoefficients:
    """Effective coefficients in `dim` dimensions of a medium that the run file gives by its numbers."""

    def tensor(value: Any) -> FloatArray:
        given = np.asarray(value, dtype=float)
        return given[:dim, :dim] if given.ndim == 2 else given * np.eye(dim)

    S = tensor(spec.S) if isinstance(spec, Particle) else None
    return MesoCoefficients(S, tensor(spec.B), tensor(spec.K), spec.phi_e, spec.theta)
