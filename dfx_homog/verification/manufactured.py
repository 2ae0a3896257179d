"""Manufactured solutions of the resolved model: sources from the strong equations of MODEL section 3.

Nothing of dfx_homog.physics is used for the sources: a volume source for every equation in every phase of every
region, and at every piece of boundary the amount by which the exact solution misses the condition there. They go to
the right-hand side of the compiled residual of `ResolvedForms`, which is solved with its compiled Jacobian.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from ufl import div, dot, exp, grad

from dfx_homog import _compat
from dfx_homog._compat import FloatArray
from dfx_homog.microstructure.reference_element import FACETS
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID
from dfx_homog.models.fields import GROUPS
from dfx_homog.models.resolved import ResolvedModel
from dfx_homog.models.resolved_forms import GAMMA
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.newton import NewtonSolver, SolveInfo
from dfx_homog.solvers.timestepping import Quotient
from dfx_homog.verification.problems import l2

C_S, PHI_S, C_E, PHI_E, TEMP = range(5)
Law = Callable[..., Any]
# five fields from (ufl or numpy, y1, y2, …)
Fields = Callable[..., list[Any]]


@dataclass(frozen=True)
class ElectrodeLaws:
    """Coefficients of one electrode as functions; U and Pi of (c_s, T)."""

    D_s: Law
    sigma: Law
    G: Law
    GC: float
    beta: float
    c_max: float
    U: Law
    Pi: Law


@dataclass(frozen=True)
class Laws:
    """The coefficients once more, written down for the strong equations; keys of k, rho_cp are (region, phase).

    h of both faces and the current density in the positive tab are functions of y1, y2, …
    """

    electrode: dict[int, ElectrodeLaws]
    D_L: Law
    D_A: Law
    mu_L: Law
    mu_A: Law
    lam: float
    gamma: float
    h: tuple[Law, Law]
    T_ambient: float
    tab_current: Law
    k: dict[tuple[int, int], Any]
    rho_cp: dict[tuple[int, int], float]


def tensor(value: Any, dim: int = 2) -> Any:
    full = np.asarray(value, dtype=float) * (np.eye(dim) if np.ndim(value) == 0 else 1.0)
    return ufl.as_matrix(full.tolist())


class Manufactured:
    """Fields base + s growth with a number s for each time level, and the model driven to them.

    degrees: quadrature degrees of the sources in volumes and on facets
    """

    def __init__(
        self, model: ResolvedModel, laws: Laws, base: Fields, growth: Fields, degrees: tuple[int, int]
    ):
        self.model, self.laws = model, laws
        forms = model.forms
        self.mesh, self.delta = forms.mesh, model.delta
        self.dim = self.mesh.geometry.dim
        self.place = tuple(ufl.SpatialCoordinate(self.mesh))
        self.s, self.s_rate = (fem.Constant(self.mesh, np.float64(0)) for _ in range(2))
        rise = growth(ufl, *self.place)
        self.exact = [b + self.s * g for b, g in zip(base(ufl, *self.place), rise, strict=True)]
        self.rate = [self.s_rate * g for g in rise]
        points = model.coordinates[:, : self.dim].T
        constant = np.zeros(model.nodes)
        self._base, self._growth = (
            np.column_stack([f + constant for f in fields(np, *points)]) for fields in (base, growth)
        )
        self._measures(degrees)
        self.load_form = _compat.compile_form(self._source())
        self.load = np.zeros_like(forms.u.x.array)
        self.solver = NewtonSolver(
            model.layout,
            forms.u.x.array,
            self._residual,
            lambda A: _compat.assemble_matrix(A, forms.jacobian),
            GROUPS,
            preset="direct",
            prefix="manufactured_",
            atol=1e-12,
        )

    # measures -------------------------------------------------------------------------------------------------------

    def _measures(self, degrees: tuple[int, int]) -> None:
        tiled = self.model.tiled
        regions = range(len(tiled.cells))
        self.parts = [(r, p) for r in regions for p in (SOLID, ELECTROLYTE)]
        self.kind = {part: 1 + i for i, part in enumerate(self.parts)}
        of_cell = np.array(
            [self.kind[r, p] for r, p in zip(tiled.cell_region, tiled.phase, strict=True)], dtype=int
        )
        volumes = [(i, np.flatnonzero(of_cell == i).astype(np.int32)) for i in self.kind.values()]

        gamma = self.model.forms.facets[GAMMA]
        tags: dict[tuple[Any, ...], Any] = {
            ("gamma", r): gamma[tiled.cell_region[gamma[:, 0]] == r] for r in regions
        }
        ends = np.cumsum([0, *tiled.counts]) * self.delta
        sides = [(i + 1, at) for i, n in enumerate(tiled.lateral) for at in (0.0, n * self.delta)]
        for r, p in self.parts:
            for side in (0, 1):
                faces = self._facets_at(0, ends[r + side])
                tags["end", r, p, side] = faces[of_cell[faces[:, 0]] == self.kind[r, p]]
            if not self.model.periodic:
                faces = np.concatenate([self._facets_at(axis, at) for axis, at in sides])
                tags["side", r, p] = faces[of_cell[faces[:, 0]] == self.kind[r, p]]
        self.tags = {key: i + 1 for i, key in enumerate(tags)}
        facets = [
            (self.tags[key], np.ascontiguousarray(f, dtype=np.int32).ravel()) for key, f in tags.items()
        ]
        self.dx = ufl.Measure(
            "dx", self.mesh, subdomain_data=volumes, metadata={"quadrature_degree": degrees[0]}
        )
        self.ds = ufl.Measure(
            "ds", self.mesh, subdomain_data=facets, metadata={"quadrature_degree": degrees[1]}
        )

    def _facets_at(self, axis: int, position: float) -> npt.NDArray[np.int64]:
        """(k, 2) facets, from every cell that has them, with all vertices on a line or plane."""
        cells = _compat.geometry_nodes(self.mesh)[: len(self.model.tiled.phase), : self.dim + 1]
        corners = self.mesh.geometry.x[cells, axis]
        on = np.abs(corners - position) < 1e-9
        return np.argwhere(on[:, FACETS[self.dim]].all(axis=2))

    # strong equations -----------------------------------------------------------------------------------------------

    def fluxes(self, region: int, phase: int) -> list[Any]:
        """Exact N_s, i_s, N_e, i_e, K in one phase of one region; None where there is no such field."""
        laws = self.laws
        c_s, phi_s, c_e, phi_e, T = self.exact
        K = -tensor(laws.k[region, phase], self.dim) * grad(T)
        if phase == SOLID:
            law = laws.electrode[region]
            return [
                -(self.delta**2) * law.D_s(c_s, T) * grad(c_s),
                -law.sigma(T) * grad(phi_s),
                None,
                None,
                K,
            ]
        # cations of charge +1, anions of charge -1
        cations = -(laws.D_L(T) * grad(c_e) + laws.lam * laws.mu_L(T) * c_e * grad(phi_e))
        anions = -(laws.D_A(T) * grad(c_e) - laws.lam * laws.mu_A(T) * c_e * grad(phi_e))
        return [None, None, cations, cations - anions, K]

    def volume_sources(self, region: int, phase: int) -> list[Any]:
        """Strong left-hand side minus right-hand side of the five equations."""
        q = self.fluxes(region, phase)
        out = [None if flux is None else div(flux) for flux in q]
        storing, potential = (C_S, PHI_S) if phase == SOLID else (C_E, PHI_E)
        out[storing] += self.rate[storing]
        joule = -self.laws.lam * dot(q[potential], grad(self.exact[potential]))
        out[TEMP] += self.laws.rho_cp[region, phase] * self.rate[TEMP] - joule
        return out

    def interface_sources(self, region: int, n: Any) -> list[Any]:
        """What the conditions on Gamma miss, outward normal flux minus reaction; n points out of the solid.

        Heat leaves through both sides: K_s.n_s + K_e.n_e = -(heat of the reaction), which is MODEL's condition.
        """
        laws, law = self.laws, self.laws.electrode[region]
        c_s, phi_s, c_e, phi_e, T = self.exact
        eta = phi_s - phi_e - law.U(c_s, T)
        f = laws.lam * eta / (1 + laws.gamma * T)
        beta = law.beta
        g = c_s**beta * ((1 - c_s / law.c_max) * c_e) ** (1 - beta) * (exp(f) - 1) * exp(-beta * f)
        faradaic = self.delta * law.G(T) * g
        reaction = faradaic + self.delta * law.GC * (self.rate[PHI_S] - self.rate[PHI_E])
        solid, pore = self.fluxes(region, SOLID), self.fluxes(region, ELECTROLYTE)
        return [
            dot(solid[C_S], n) - reaction,
            dot(solid[PHI_S], n) - reaction,
            dot(pore[C_E], -n) + reaction,
            dot(pore[PHI_E], -n) + reaction,
            dot(solid[TEMP] - pore[TEMP], n) + laws.lam * faradaic * (eta + law.Pi(c_s, T)),
        ]

    def face_sources(self, key: tuple[Any, ...], n: Any) -> list[Any]:
        """What the conditions on outer faces and at the separator miss: no flux, tabs, cooling."""
        _, region, phase, *side = key
        out = [None if q is None else dot(q, n) for q in self.fluxes(region, phase)]
        last = len(self.model.tiled.cells) - 1
        if [region, *side] in ([0, 0], [last, 1]):
            out[TEMP] -= self.laws.h[side[0]](*self.place) * (self.exact[TEMP] - self.laws.T_ambient)
        if [region, phase, *side] == [last, SOLID, 1]:
            out[PHI_S] -= self.laws.tab_current(*self.place)
        return out

    def _source(self) -> ufl.Form:
        n = ufl.FacetNormal(self.mesh)
        v = ufl.TestFunction(self.model.forms.space)
        form = 0
        present = [(r, p) for r, p in self.parts if (self.model.tiled.cells[r].phase == p).any()]
        for part in present:
            for i, f in enumerate(self.volume_sources(*part)):
                form += 0 if f is None else f * v[i] * self.dx(self.kind[part])
        for key, tag in self.tags.items():
            if key[0] == "gamma":
                misses = self.interface_sources(key[1], n) if key[1] in self.laws.electrode else []
            else:
                misses = self.face_sources(key, n) if key[1:3] in present else []
            for i, m in enumerate(misses):
                form -= 0 if m is None else m * v[i] * self.ds(tag)
        return 1 / self.model.forms.area * form

    # solving --------------------------------------------------------------------------------------------------------

    def _residual(self, out: FloatArray) -> None:
        _compat.assemble_vector(self.model.forms.residual, out)
        out -= self.load
        if self.model._uneven is not None:
            out += self.model._uneven

    def nodal(self, s: float) -> FloatArray:
        """Exact values at the nodes, in the order of a function's array."""
        return (self._base + s * self._growth).ravel()

    def start(self, s: float, s_before: float) -> None:
        """Exact values at the last two times."""
        self.model.forms.u1.x.array[:] = self.nodal(s)
        self.model.forms.u2.x.array[:] = self.nodal(s_before)
        self.model.forms.u.x.array[:] = self.nodal(s)

    def solve(self, s: float, rate: float, quotient: Quotient, control: Control) -> SolveInfo:
        """One implicit step to the time at which the exact fields have this s and its derivative."""
        forms = self.model.forms
        self.s.value, self.s_rate.value = s, rate
        forms.a0.value, forms.a1.value, forms.a2.value = quotient.a0, quotient.a1, quotient.a2
        forms.time.value = control.time
        forms.current.value = self.model.spread(control).value
        self.load[:] = 0
        _compat.assemble_vector(self.load_form, self.load)
        return self.solver.solve()

    def where(self, field: int) -> Any:
        """The measure over which a field lives."""
        phases = {C_S: (SOLID,), PHI_S: (SOLID,), C_E: (ELECTROLYTE,), PHI_E: (ELECTROLYTE,)}
        return self.dx(
            tuple(i for (_, p), i in self.kind.items() if p in phases.get(field, (SOLID, ELECTROLYTE)))
        )

    def errors(self) -> list[float]:
        """L2 errors of the five fields."""
        u = self.model.forms.u
        return [l2(self.mesh.comm, u[i] - e, self.where(i)) for i, e in enumerate(self.exact)]

    def destroy(self) -> None:
        self.solver.destroy()
        self.model.destroy()
