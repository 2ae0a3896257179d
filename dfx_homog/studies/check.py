"""What a run file would run: unit cells, unknowns, memory, steps. Meshes the unit cells, solves nothing."""

from __future__ import annotations

import math

import numpy as np
from mpi4py import MPI

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.build import face_breaks
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.runfile import ELECTRODES, REGIONS, Run, suited_to

#: Memory per unknown of the resolved model, by preset and order: slope of the peak memory of one rank between
#: 8e3 and 6.6e4 (order 1) or 3.2e4 and 2.6e5 unknowns (order 2) on wavy cells, 2.0, 2.4, 2.8 and 4.0 kB, and
#: a tenth more. The factors of the direct solver grow a little faster than the unknowns.
BYTES_PER_UNKNOWN = {("iterative", 1): 2200, ("iterative", 2): 2700, ("direct", 1): 3100, ("direct", 2): 4400}
#: What each rank takes before any mesh (Python, DOLFINx, PETSc), measured in the same runs.
BYTES_PER_RANK = 220e6
#: Unit cells of more triangles than this in all are not meshed, only estimated from the mesh size.
MESHED = 200_000


def check_geometries(run: Run) -> None:
    """Raises BadInput for a microstructure that has no good mesh, as far as that shows without meshing."""
    for name, spec in run.microstructure.items():
        try:
            face_breaks(spec)
        except BadInput as error:
            raise run.problem(f"microstructure.{name}", str(error)) from None


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
    from dfx_homog.studies.march import step_count
    from dfx_homog.studies.setup import Problem  # only here: refusing a run file must not wait for DOLFINx

    estimates = {name: _triangles(spec.mesh_size) for name, spec in run.microstructure.items()}
    problem = Problem(MPI.COMM_SELF, run)
    cells = problem.unit_cells() if sum(estimates.values()) <= MESHED else None
    reasons = suited_to(run)
    lines = [f"{run.source}: valid", f"suits: {', '.join(c for c, reason in reasons.items() if not reason)}"]
    lines += [f"not {c}: {r.removeprefix(f'{run.source}: ')}" for c, r in reasons.items() if r]
    for name, spec in run.microstructure.items():
        text = f"unit cell {name}: {spec.geometry}, order {spec.order}, mesh size {spec.mesh_size:g}"
        if cells is None or name not in cells:
            lines.append(f"{text}, about {estimates[name]} triangles")
        else:
            size = f"{len(cells[name].cells)} triangles, {len(cells[name].points)} nodes"
            lines.append(f"{text}, {size}, solid fraction {cells[name].phase_fraction(SOLID):.4f}")
    if not reasons["homogenised"]:
        end = sum(step.duration for step in run.protocol.steps)
        steps = f"{step_count(run)} steps of at most {run.time.dt:g}"
        lines.append(f"time: {steps} to t = {end:g}, {run.time.scheme}")
        lines += _describe_models(run, cells, levels=not reasons["convergence"])
    return "\n".join(lines)


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
