"""The meso domain of the homogenised model: a line through negative electrode, separator and positive electrode."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from mpi4py import MPI

from dfx_homog import _compat
from dfx_homog._compat import FloatArray
from dfx_homog.models.resolved_forms import Material, cellwise
from dfx_homog.parameters.physics import Physics
from dfx_homog.physics import heat, temperature, transport
from dfx_homog.runfile.given import Effective, Particle

PHI_S, C_E, PHI_E, TEMP = range(4)
NAMES = ("Phi_s", "c_e", "Phi_e", "T")
GROUPS: dict[str, tuple[int, ...]] = {"phi": (PHI_S, PHI_E), "ce": (C_E,), "T": (TEMP,)}
ORDER = 2
NEGATIVE_FACE, POSITIVE_FACE = 1, 2
COLLECTORS = {NEGATIVE_FACE: 0.0, POSITIVE_FACE: 1.0}  # y1
ELECTRODE = 1


@dataclass(frozen=True)
class MesoCoefficients:
    """Effective coefficients of one region along y1: S_11 (None in the separator), B_11, K_11, phi_e, theta."""

    S: float | None
    B: float
    K: float
    phi_e: float
    theta: float


class MesoLine:
    """Mesh of quadratic elements over [0, 1], `elements` in each region, cells spread over the ranks.

    A node and a Gauss-Lobatto point are the same thing here (three per element), so that a reaction term int J v
    integrated by Lobatto's rule is the sum over nodes of w_i J_i v_i: particles sit at the nodes, one fewer per
    element than with Gauss points, and at the faces of the separator and the collectors as well.
    """

    def __init__(self, comm: MPI.Intracomm, thickness: tuple[float, ...], elements: int):
        self.comm, self.thickness = comm, thickness
        ends = np.concatenate([[0.0], np.cumsum(thickness)])
        self.ends = ends / ends[-1]
        self.ends[-1] = 1.0
        grid = np.concatenate(
            [np.linspace(self.ends[r], self.ends[r + 1], elements + 1)[:-1] for r in range(3)] + [[1.0]]
        )
        count = 3 * elements
        low, high = (count * (comm.rank + i) // comm.size for i in (0, 1))
        cells = np.column_stack([np.arange(low, high), np.arange(low + 1, high + 1)]).astype(np.int64)
        first, last = ((count + 1) * (comm.rank + i) // comm.size for i in (0, 1))
        self.grid = grid
        self.mesh = _compat.create_mesh(comm, cells, grid[first:last, None].copy(), "interval", 1)
        local = int(self.mesh.topology.index_map(1).size_local)
        self.element = np.asarray(self.mesh.topology.original_cell_index[:local], dtype=np.int64)
        self.region = self.element // elements

    @cached_property
    def node_grid(self) -> FloatArray:
        """y1 of all 2 * 3 * elements + 1 nodes from left to right."""
        grid = np.empty(2 * len(self.grid) - 1)
        grid[::2] = self.grid
        grid[1::2] = 0.5 * (self.grid[1:] + self.grid[:-1])
        return grid

    def end_facets(self) -> dict[int, npt.NDArray[np.int32]]:
        """(cell, local facet) of the collectors."""
        first = np.flatnonzero(self.element == 0)
        last = np.flatnonzero(self.element == len(self.grid) - 2)
        return {
            NEGATIVE_FACE: np.array([[c, 0] for c in first], dtype=np.int32).reshape(-1, 2),
            POSITIVE_FACE: np.array([[c, 1] for c in last], dtype=np.int32).reshape(-1, 2),
        }


class MesoForms:
    """Weak form of MODEL section 5 without the interface terms, on one blocked space (Phi_s, c_e, Phi_e, T)."""

    def __init__(self, line: MesoLine, physics: Physics, regions: tuple[MesoCoefficients, ...]):
        mesh = line.mesh
        self.line, self.physics, self.mesh = line, physics, mesh
        self.space = fem.functionspace(mesh, ("Lagrange", ORDER, (4,)))
        self.u, self.u1, self.u2 = (fem.Function(self.space) for _ in range(3))
        self.a0, self.a1, self.a2 = (self._constant(0.0) for _ in range(3))
        self.current = self._constant(0.0)
        self.h = {face: self._constant(0.0) for face in COLLECTORS}
        self.weight = cellwise(mesh, [1.0, 1.0, 1.0], line.region, 1)
        self.negative = cellwise(mesh, [1.0, 0.0, 0.0], line.region, 1)
        self._coefficient = {
            name: cellwise(mesh, [getattr(r, name) for r in regions], line.region, 1)
            for name in ("S", "B", "K", "phi_e", "theta")
        }
        self._build()

    def _constant(self, value: float) -> fem.Constant:
        return fem.Constant(self.mesh, np.float64(value))

    def _activated(self, value: Any, energy: float, T: Any) -> Any:
        if energy == 0:
            return value
        return temperature.arrhenius(value, self._constant(energy), self._constant(self.physics.gamma), T)

    def _build(self) -> None:
        p, line = self.physics, self.line
        electrode = np.flatnonzero(line.region != 1).astype(np.int32)
        separator = np.flatnonzero(line.region == 1).astype(np.int32)
        # products of three quadratic fields with one slope: degree 5 is exact for constant coefficients
        dx = ufl.Measure(
            "dx",
            self.mesh,
            subdomain_data=[(ELECTRODE, electrode), (2, separator)],
            metadata={"quadrature_degree": 5},
        )
        ds = ufl.Measure(
            "ds",
            self.mesh,
            subdomain_data=[(tag, f.ravel()) for tag, f in line.end_facets().items()],
            metadata={"quadrature_degree": 1},  # a facet is a point
        )
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
        ambient = self._constant(p.T_ambient)
        F = (
            transport.divergence(i_s, v[PHI_S], dx(ELECTRODE))
            + transport.outflow(self.current, v[PHI_S], ds(POSITIVE_FACE))
            + transport.storage(k["phi_e"] * rate[C_E], v[C_E], everywhere)
            + transport.divergence(N_e, v[C_E], everywhere)
            + transport.divergence(i_e, v[PHI_E], everywhere)
            + transport.storage(k["theta"] * rate[TEMP], v[TEMP], everywhere)
            + transport.divergence(heat.conduction(k["K"], T), v[TEMP], everywhere)
            + transport.outflow(self.h[NEGATIVE_FACE] * (T - ambient), v[TEMP], ds(NEGATIVE_FACE))
            + transport.outflow(self.h[POSITIVE_FACE] * (T - ambient), v[TEMP], ds(POSITIVE_FACE))
            - joule_s * v[TEMP] * dx(ELECTRODE)
            - joule_e * v[TEMP] * everywhere
        )
        self.weak = F
        self.residual = _compat.compile_form(F)
        self.jacobian = _compat.compile_form(ufl.derivative(F, self.u))
        cell = ufl.TestFunction(fem.functionspace(self.mesh, ("DG", 0, (2,))))
        self._joule = _compat.compile_form(joule_s * cell[0] * dx(ELECTRODE) + joule_e * cell[1] * everywhere)
        self._volume = _compat.compile_form(self.weight * v[0] * everywhere)
        self._ends = {face: _compat.compile_form(v[0] * ds(face)) for face in (NEGATIVE_FACE, POSITIVE_FACE)}

    def set_cooling(self, time: float) -> None:
        """Heat exchange of both collectors at time t: h(t, y1)."""
        for face, h in ((NEGATIVE_FACE, self.physics.h_negative), (POSITIVE_FACE, self.physics.h_positive)):
            self.h[face].value = float(h.numpy(t=time, y1=COLLECTORS[face]))

    def volume_weights(self, by_region: tuple[float, float, float]) -> FloatArray:
        """(nodes,) this rank's part of int f v_i dy for f constant in each region."""
        cells = self.weight.function_space.dofmap.list[: len(self.line.region), 0]
        self.weight.x.array[cells] = np.asarray(by_region)[self.line.region]
        return self._assemble(self._volume)

    def end_weights(self, face: int) -> FloatArray:
        """(nodes,) v_i at a collector."""
        return self._assemble(self._ends[face])

    def joule_heat(self) -> FloatArray:
        """(2, regions) this rank's Joule heat of the solid and of the electrolyte of each region."""
        space = self._joule.function_spaces[0]
        cells = np.zeros(2 * (space.dofmap.index_map.size_local + space.dofmap.index_map.num_ghosts))
        _compat.assemble_vector(self._joule, cells)
        heat = cells.reshape(-1, 2)[: len(self.line.region)]
        return np.array([np.bincount(self.line.region, column, 3) for column in heat.T])

    def _assemble(self, form: fem.Form) -> FloatArray:
        out = np.zeros_like(self.u.x.array)
        _compat.assemble_vector(form, out)
        return out.reshape(-1, 4)[:, 0].copy()

    def sum_over_ranks(self, weights: FloatArray) -> FloatArray:
        """Complete weights at this rank's own nodes; zero at ghosts."""
        f = fem.Function(self.space)
        f.x.array.reshape(-1, 4)[:, 0] = weights
        f.x.scatter_reverse(_compat.INSERT_ADD)
        total = f.x.array.reshape(-1, 4)[:, 0].copy()
        total[self.space.dofmap.index_map.size_local :] = 0
        return total


def coefficients(medium: Any, material: Material, *, separator: bool) -> MesoCoefficients:
    """Effective coefficients along y1 of a computed microstructure (models.effective.EffectiveMedium)."""
    S, B, K = (medium.tensor(n) for n in ("S", "B", "K"))
    return MesoCoefficients(
        S=None if separator or S is None else float(S[0, 0]),
        B=float(B[0, 0]),
        K=float(K[0, 0]),
        phi_e=float(medium.phi_e),
        theta=float(medium.theta),
    )


def given_coefficients(spec: Particle | Effective) -> MesoCoefficients:
    """Effective coefficients along y1 of a medium that the run file gives by its numbers."""

    def along(value: Any) -> float:
        return float(np.atleast_2d(np.asarray(value, dtype=float))[0, 0])

    S = along(spec.S) if isinstance(spec, Particle) else None
    return MesoCoefficients(S, along(spec.B), along(spec.K), spec.phi_e, spec.theta)
