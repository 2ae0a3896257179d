"""Effective coefficients of one microstructure: all tensors, bounds and geometry numbers (MODEL section 4)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mpi4py import MPI

from dfx_homog._compat import FloatArray
from dfx_homog.microstructure.components import connected_components
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.models.cell_problem import CellProblem, Homogenised

Json = dict[str, Any]
ONE_PHASE = 1e-12  # a phase with a smaller share is rounding of none


@dataclass(frozen=True)
class EffectiveMedium:
    """Effective coefficients of one unit cell; a tensor is None where its coefficient is not given.

    S: electronic, in units of sigma_s's scale; B: geometry of the electrolyte; K: thermal; theta = <rho cp>;
    phi_e, a: transporting porosity and specific surface in 1/(unit-cell length).
    """

    cell: UnitCell
    phi_e: float
    a: float
    theta: float | None
    problems: dict[str, Homogenised]
    bounds: dict[str, dict[str, float]]
    extra: Json = field(default_factory=dict)
    seconds: float = 0.0

    def tensor(self, name: str) -> FloatArray | None:
        """S, B or K as (d, d) array."""
        return self.problems[name].tensor if name in self.problems else None

    def to_json(self) -> Json:
        """The entry of result.json for this microstructure."""
        B = self.tensor("B")
        out: Json = {"dim": self.cell.dim, "phi_e": self.phi_e, "a": self.a, "theta": self.theta}
        for name in ("S", "B", "K"):
            tensor = self.tensor(name)
            out[name] = None if tensor is None else tensor.tolist()
        for name, source in (("Q_s", "S"), ("Q_e", "B")):
            out[name] = joule_tensor(self.problems.get(source))
        out["tortuosity"] = None if B is None else [self.phi_e / b if b > 0 else None for b in np.diag(B)]
        out["macmullin"] = None if B is None else [1 / b if b > 0 else None for b in np.diag(B)]
        out["bruggeman"] = (
            None
            if B is None or not ONE_PHASE < self.phi_e < 1 - ONE_PHASE
            else [float(np.log(b) / np.log(self.phi_e)) if b > 0 else None for b in np.diag(B)]
        )
        out["bounds"] = self.bounds
        out["hill_mandel"] = {n: float(np.abs(h.energy - h.tensor).max()) for n, h in self.problems.items()}
        out["dofs"] = {n: h.dofs for n, h in self.problems.items()}
        out["iterations"] = {n: list(h.iterations) for n, h in self.problems.items()}
        out["seconds"] = self.seconds
        return {**out, **self.extra}


def joule_tensor(problem: Homogenised | None) -> Any:
    """Q = A_eff^-1 <A F F^T>, the identity by Hill-Mandel; None where A_eff is singular."""
    if problem is None:
        return None
    values = np.linalg.eigvalsh(0.5 * (problem.tensor + problem.tensor.T))
    if values[0] <= 1e-12 * max(values[-1], 1e-300):
        return None
    return np.linalg.solve(problem.tensor, problem.energy).tolist()


def bounds(k1: float, k2: float, f1: float, dim: int) -> dict[str, float]:
    """Voigt, Reuss and Hashin-Shtrikman bounds of a two-phase medium of fractions f1, 1 - f1 (Torquato 2002)."""
    f2 = 1 - f1
    voigt = f1 * k1 + f2 * k2
    reuss = 0.0 if min(k1, k2) == 0 else 1 / (f1 / k1 + f2 / k2)
    (low, f_low), (high, f_high) = sorted([(k1, f1), (k2, f2)])
    if low == high or min(f1, f2) < ONE_PHASE:
        return {"voigt": voigt, "reuss": reuss, "hs_lower": voigt, "hs_upper": voigt}
    lower = 0.0 if low == 0 else low + f_high / (1 / (high - low) + f_low / (dim * low))
    upper = high + f_low / (1 / (low - high) + f_high / (dim * high))
    return {"voigt": voigt, "reuss": reuss, "hs_lower": lower, "hs_upper": upper}


def _without_point_contacts(problem: Homogenised, windings: FloatArray) -> Homogenised:
    """Set to zero what is zero by topology: A_eff n = 0 for every n orthogonal to all closed paths of the phase.

    Removes rounding, and what finite elements conduct through a single node where two particles touch in a point
    (the checkerboard): a point carries no current, and the discrete value only goes to zero like 1/log(1/h).
    """
    dim = problem.tensor.shape[0]
    rank = np.linalg.matrix_rank(windings) if windings.size else 0
    if rank == dim:
        return problem
    basis = np.linalg.qr(windings.T)[0][:, :rank] if rank else np.zeros((dim, 0))
    project = basis @ basis.T
    tensor, energy = (project @ m @ project for m in (problem.tensor, problem.energy))
    return Homogenised(tensor, energy, problem.correctors, problem.iterations, problem.dofs)


def effective_medium(
    comm: MPI.Intracomm,
    cell: UnitCell,
    material: Any,
    *,
    preset: str = "iterative",
    user: tuple[str, ...] = (),
) -> EffectiveMedium:
    """Solve the cell problems of one microstructure.

    material: has sigma_s, k_s, k_e, rho_cp_s, rho_cp_e (numbers, tensors or None)
    """
    start = time.perf_counter()
    dim = cell.dim
    has_solid = bool((cell.phase == SOLID).any())
    has_electrolyte = bool((cell.phase == ELECTROLYTE).any())
    problem = CellProblem(comm, cell, preset=preset, user=user)
    problems: dict[str, Homogenised] = {}
    limits: dict[str, dict[str, float]] = {}
    extra: Json = {"percolates": {}, "islands": {}}
    found = connected_components(cell)
    components = {p: [c for c in found if c.phase == p] for p in (SOLID, ELECTROLYTE)}
    volume = {p: cell.phase_fraction(p) for p in (SOLID, ELECTROLYTE)}

    sigma = material.sigma_s if has_solid else None
    k_s = material.k_s if has_solid else None
    k_e = material.k_e if has_electrolyte else None
    wanted: dict[str, tuple[list[Any], int | None]] = {}
    if sigma is not None:
        wanted["S"] = ([None, sigma], SOLID)
    if has_electrolyte:
        wanted["B"] = ([1.0, None], ELECTROLYTE)
    if (k_s is not None or not has_solid) and (k_e is not None or not has_electrolyte):
        wanted["K"] = ([k_e, k_s], None)
    for name, (coefficient, phase) in wanted.items():
        solved = problem.solve(coefficient)
        if phase is not None:
            windings = np.concatenate([np.zeros((0, dim)), *[c.windings for c in components[phase]]])
            solved = _without_point_contacts(solved, windings)
        problems[name] = solved
        if all(c is None or np.ndim(c) == 0 for c in coefficient):
            e, s = (0.0 if c is None else float(c) for c in coefficient)
            limits[name] = bounds(e, s, volume[ELECTROLYTE], dim)

    transporting = {p: _transporting(components[p]) for p in components}
    for p, label in ((SOLID, "solid"), (ELECTROLYTE, "electrolyte")):
        extra["percolates"][label] = [any(c.percolates[d] for c in components[p]) for d in range(dim)]
        kept = sum(components[p][i].volume for i in transporting[p])
        extra["islands"][label] = 1 - kept / volume[p] if volume[p] > 0 else 0.0
    phi_e = sum(components[ELECTROLYTE][i].volume for i in transporting[ELECTROLYTE])
    a = _surface(cell, components, transporting)
    rho = (material.rho_cp_s if has_solid else 0.0, material.rho_cp_e if has_electrolyte else 0.0)
    theta = None if None in rho else float(rho[0] * volume[SOLID] + rho[1] * volume[ELECTROLYTE])
    extra["a_total"] = cell.interface_measure()
    return EffectiveMedium(cell, phi_e, a, theta, problems, limits, extra, time.perf_counter() - start)


def _transporting(components: list[Any]) -> list[int]:
    """Components that percolate; all of them if none does (then the phase as a whole conducts nothing)."""
    through = [i for i, c in enumerate(components) if any(c.percolates)]
    return through or list(range(len(components)))


def _surface(cell: UnitCell, components: dict[int, list[Any]], transporting: dict[int, list[int]]) -> float:
    """|Gamma|/|Omega| between transporting components; islands and closed pores exchange no net current."""
    facets = cell.interface_facets()
    keep = np.ones(len(facets.solid), dtype=bool)
    for phase, side in ((SOLID, facets.solid), (ELECTROLYTE, facets.electrolyte)):
        inside = np.zeros(len(cell.cells), dtype=bool)
        for i in transporting[phase]:
            inside[components[phase][i].cells] = True
        keep &= inside[side]
    return cell.interface_measure(keep)
