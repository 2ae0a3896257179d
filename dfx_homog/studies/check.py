"""What a run file would run: unit cells, unknowns, memory, steps. Meshes the unit cells, solves nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from mpi4py import MPI

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.build import build_unit_cell, face_breaks
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.runfile import ELECTRODES, REGIONS, Run, suited_to
from dfx_homog.solvers.timestepping import time_steps

#: Memory per unknown of the resolved model, by preset and order. A row of the P1 Jacobian couples 7 nodes of
#: about 3 fields each, of P2 12 nodes on average: 250 and 430 bytes in compressed rows. They are there about
#: 5 times (matrix, its blocks for the preconditioner, multigrid levels) next to 120 GMRES vectors (1 kB); the
#: factors of a direct solver take about 20 times the matrix in 2D.
BYTES_PER_UNKNOWN = {("iterative", 1): 2300, ("iterative", 2): 3200, ("direct", 1): 5500, ("direct", 2): 9000}
#: What each rank takes before any mesh: Python, DOLFINx, PETSc.
BYTES_PER_RANK = 300e6
#: Unit cells of more triangles than this in all are not meshed, only estimated from the mesh size.
MESHED = 200_000


def check_geometries(run: Run) -> None:
    """Raises BadInput for a microstructure that has no good mesh, as far as that shows without meshing."""
    for name, spec in run.microstructure.items():
        try:
            face_breaks(spec)
        except BadInput as error:
            raise run.problem(f"microstructure.{name}", str(error)) from None


def unit_cells(run: Run, comm: Any) -> dict[str, UnitCell]:
    """Meshes of all microstructures; the three regions have the same nodes on their common faces.

    Collective on `comm`, the same on all its ranks. Raises BadInput.
    """
    specs = run.microstructure
    joined = set(REGIONS) <= set(specs)
    breaks = sorted({b for name in REGIONS for b in face_breaks(specs[name])}) if joined else []
    size = min(specs[name].mesh_size for name in REGIONS) if joined else None
    cells: dict[str, UnitCell] = {}
    for name, spec in specs.items():
        face: tuple[Any, ...] = (breaks, size) if joined and name in REGIONS else ()
        try:
            cells[name] = build_unit_cell(name, spec, comm, *face)
        except BadInput as error:
            raise BadInput(f"{run.source}: {error}") from None
    return cells


def _triangles(mesh_size: float) -> int:
    """Equilateral triangles of this edge in the unit square."""
    return math.ceil(4 / (3**0.5 * mesh_size**2))


def _nodes(cell: UnitCell, phase: int | None = None) -> int:
    """Nodes of one tile, those on upper faces left to the next one; of one phase or of all."""
    cells = cell.cells if phase is None else cell.cells[cell.phase == phase]
    return len(np.unique(cell.canonical[cells]))


def tile_unknowns(cell: UnitCell, *, inert: bool, isothermal: bool) -> int:
    """Unknowns of the resolved model in one unit cell: c_s, Phi_s; c_e, Phi_e; T. Inert solid has only T."""
    solid = 0 if inert else 2 * _nodes(cell, SOLID)
    return solid + 2 * _nodes(cell, ELECTROLYTE) + (0 if isothermal else _nodes(cell))


def describe(run: Run) -> str:
    """The report of `check`. Raises BadInput for a microstructure that cannot be meshed."""
    estimates = {name: _triangles(spec.mesh_size) for name, spec in run.microstructure.items()}
    cells = unit_cells(run, MPI.COMM_SELF) if sum(estimates.values()) <= MESHED else None
    reasons = suited_to(run)
    lines = [f"{run.source}: valid", f"suits: {', '.join(c for c, reason in reasons.items() if not reason)}"]
    lines += [f"not {c}: {r.removeprefix(f'{run.source}: ')}" for c, r in reasons.items() if r]
    for name, spec in run.microstructure.items():
        text = f"unit cell {name}: {spec.geometry}, order {spec.order}, mesh size {spec.mesh_size:g}"
        if cells is None:
            lines.append(f"{text}, about {estimates[name]} triangles")
        else:
            size = f"{len(cells[name].cells)} triangles, {len(cells[name].points)} nodes"
            lines.append(f"{text}, {size}, solid fraction {cells[name].phase_fraction(SOLID):.4f}")
    if not reasons["homogenised"]:
        lines += [_describe_time(run), *_describe_models(run, cells, levels=not reasons["convergence"])]
    return "\n".join(lines)


def _describe_time(run: Run) -> str:
    steps = [(s.current, s.duration) for s in run.protocol.steps]
    count = sum(1 for _ in time_steps(steps, run.time.dt, run.time.scheme))
    end = sum(duration for _, duration in steps)
    return f"time: {count} steps of at most {run.time.dt:g} to t = {end:g}, {run.time.scheme}"


def _describe_models(run: Run, cells: dict[str, UnitCell] | None, levels: bool) -> list[str]:
    if cells is None:
        return [f"unknowns and memory: not counted for unit cells of over {MESHED} triangles"]
    isothermal = run.parameters.isothermal
    each = [tile_unknowns(cells[n], inert=n not in ELECTRODES, isothermal=isothermal) for n in REGIONS]
    order, preset = run.microstructure["negative"].order, run.solver.preset
    lines = []
    for periods in run.convergence.periods if levels else [run.cell.periods]:
        unknowns = math.prod(run.cell.lateral_periods) * sum(
            n * p for n, p in zip(each, periods, strict=True)
        )
        memory = _bytes(unknowns * BYTES_PER_UNKNOWN[preset, order])
        lines.append(
            f"resolved, delta = 1/{sum(periods)}: about {unknowns} unknowns, {preset} solver, "
            f"memory about {memory} in all and {_bytes(BYTES_PER_RANK)} a rank"
        )
    # quadratic meso elements, a particle at every node of an electrode
    nodes = 2 * run.homogenised.elements + 1
    particles = ", ".join(f"{nodes} of {_nodes(cells[name], SOLID)} unknowns ({name})" for name in ELECTRODES)
    lines.append(f"homogenised: {3 * run.homogenised.elements} meso elements, particle problems: {particles}")
    return lines


def _bytes(amount: float) -> str:
    return f"{amount / 1e9:.1f} GB" if amount >= 1e9 else f"{max(amount / 1e6, 1):.0f} MB"
