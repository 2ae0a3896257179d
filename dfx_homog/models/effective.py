"""Effective coefficients of one meshed microstructure: all tensors, bounds and geometry numbers (MODEL section 4)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from dfx_homog._compat import FloatArray
from dfx_homog.microstructure.components import Component, connected_components
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.models.bounds import bounds, phase_bounds
from dfx_homog.models.cell_problem import CellProblem, Homogenised
from dfx_homog.models.medium import PHASES, Medium, heat_capacity, path_projection, peak_memory

Flags = npt.NDArray[np.bool_]

__all__ = ["EffectiveMedium", "Topology", "bounds", "effective_medium", "topology"]


@dataclass(frozen=True)
class Topology:
    """Volumes, surface and connections of a unit cell's phases.

    volume:     per phase, its share
    kept:       per phase, the share of its transporting parts: those that percolate, all if none does
    windings:   per phase, (k, d) windings of all its closed paths
    percolates: per phase and direction
    a, a_total: |Gamma|/|Omega| between transporting parts, and of all of it
    """

    volume: dict[int, float]
    kept: dict[int, float]
    windings: dict[int, FloatArray]
    percolates: dict[int, list[bool]]
    a: float
    a_total: float


@dataclass(frozen=True)
class EffectiveMedium(Medium):
    """Effective coefficients of one unit cell."""

    cell: UnitCell
    problems: dict[str, Homogenised]


def effective_medium(
    comm: MPI.Intracomm,
    cell: UnitCell,
    material: Any,
    *,
    preset: str = "iterative",
    rtol: float = 1e-13,
    correctors: bool = True,
    active: Flags | None = None,
    user: tuple[str, ...] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> EffectiveMedium:
    """Solve the cell problems of one microstructure. Collective.

    material:   has sigma_s, k_s, k_e, rho_cp_s, rho_cp_e (numbers, tensors or None)
    rtol:       relative residual of the linear solves
    correctors: keep the fields W_j at all nodes, on every rank
    active:     (m,) cells of the parts that transport, default: those of each phase that percolate. Where it is given
                the others are absent from S and B, even where they touch transporting parts in single nodes
    tell:       gets a line for each step
    """
    start, dim = time.perf_counter(), cell.dim
    found = topology(comm, cell, active)
    tell("volumes, surface and connected parts")
    problem = CellProblem(comm, cell, preset=preset, rtol=rtol, user=user)
    problems: dict[str, Homogenised] = {}
    limits: dict[str, dict[str, float | None]] = {}
    for name, (coefficient, phase) in _wanted(cell, material).items():
        within = cell if active is None or phase is None else without(cell, phase, ~active)
        one = problem if within is cell else CellProblem(comm, within, preset=preset, rtol=rtol, user=user)
        solved = one.solve(coefficient, correctors=correctors)
        tell(f"{name}: {solved.dofs} unknowns, iterations {list(solved.iterations)}")
        problems[name] = solved if phase is None else _along_paths(solved, found.windings[phase], dim)
        shares = [found.volume[ELECTROLYTE], found.volume[SOLID]]
        limits[name] = phase_bounds([0.0 if c is None else c for c in coefficient], shares, dim)

    return EffectiveMedium(
        dim=dim,
        phi_e=found.kept[ELECTROLYTE],
        phi_e_total=found.volume[ELECTROLYTE],
        a=found.a,
        a_total=found.a_total,
        theta=heat_capacity(
            [material.rho_cp_s, material.rho_cp_e], [found.volume[SOLID], found.volume[ELECTROLYTE]]
        ),
        problems=problems,
        bounds=limits,
        percolates={name: found.percolates[p] for p, name in PHASES.items()},
        islands={
            name: 1 - found.kept[p] / found.volume[p] if found.volume[p] > 0 else 0.0
            for p, name in PHASES.items()
        },
        seconds=time.perf_counter() - start,
        memory=peak_memory(comm),
        cell=cell,
    )


def _wanted(cell: UnitCell, material: Any) -> dict[str, tuple[list[Any], int | None]]:
    """Tensors that the material's numbers suffice for: coefficients in electrolyte and solid, and the only phase."""
    has = {p: bool((cell.phase == p).any()) for p in PHASES}
    sigma, k_s = (material.sigma_s, material.k_s) if has[SOLID] else (None, None)
    k_e = material.k_e if has[ELECTROLYTE] else None
    wanted: dict[str, tuple[list[Any], int | None]] = {}
    if sigma is not None:
        wanted["S"] = ([None, sigma], SOLID)
    if has[ELECTROLYTE]:
        wanted["B"] = ([1.0, None], ELECTROLYTE)
    if (k_s is not None or not has[SOLID]) and (k_e is not None or not has[ELECTROLYTE]):
        wanted["K"] = ([k_e, k_s], None)
    return wanted


def _along_paths(solved: Homogenised, windings: FloatArray, dim: int) -> Homogenised:
    """The tensor of one phase, projected on where its closed paths lead (`path_projection`)."""
    project = path_projection(windings, dim)
    if not np.any(project != np.eye(dim)):
        return solved
    tensor, energy = (project @ m @ project for m in (solved.tensor, solved.energy))
    return replace(solved, tensor=tensor, energy=energy)


def without(cell: UnitCell, phase: int, left_out: Flags) -> UnitCell:
    """The unit cell whose cells (m,) `left_out` of a phase belong to the other phase; itself if there are none."""
    moved = left_out & (cell.phase == phase)
    if not moved.any():
        return cell
    other = ELECTROLYTE if phase == SOLID else SOLID
    return replace(cell, phase=np.where(moved, other, cell.phase).astype(np.int8))


def topology(comm: MPI.Intracomm, cell: UnitCell, active: Flags | None = None) -> Topology:
    """Found on rank 0, for the sake of memory; the same on all ranks. Collective.

    active: (m,) cells of the parts that transport, default: those of each phase that percolate
    """
    result: Topology | Exception | None = None
    if comm.rank == 0:
        try:
            result = _topology(cell, active)
        except Exception as error:  # the other ranks wait for the broadcast
            result = error
    result = comm.bcast(result)
    if isinstance(result, Exception):
        raise result
    assert result is not None
    return result


def _topology(cell: UnitCell, active: Flags | None) -> Topology:
    found = connected_components(cell)
    components = {p: [c for c in found if c.phase == p] for p in PHASES}
    if active is None:
        kept = {p: _transporting(parts) for p, parts in components.items()}
    else:
        components = kept = {p: [c for c in parts if active[c.cells[0]]] for p, parts in components.items()}
    none = np.zeros((0, cell.dim))
    return Topology(
        volume={p: cell.phase_fraction(p) for p in PHASES},
        kept={p: float(sum(c.volume for c in parts)) for p, parts in kept.items()},
        windings={p: np.concatenate([none, *[c.windings for c in components[p]]]) for p in PHASES},
        percolates={
            p: [any(c.percolates[d] for c in components[p]) for d in range(cell.dim)] for p in PHASES
        },
        a=_surface(cell, kept),
        a_total=cell.interface_measure(),
    )


def _transporting(components: list[Component]) -> list[Component]:
    """Components that percolate; all of them if none does (then the phase as a whole conducts nothing)."""
    return [c for c in components if any(c.percolates)] or components


def _surface(cell: UnitCell, kept: dict[int, list[Component]]) -> float:
    """|Gamma|/|Omega| between transporting components; islands and closed pores exchange no net current."""
    inside = np.zeros(len(cell.cells), dtype=bool)
    for parts in kept.values():
        for component in parts:
            inside[component.cells] = True
    facets = cell.interface_facets()
    return cell.interface_measure(inside[facets.solid] & inside[facets.electrolyte])
