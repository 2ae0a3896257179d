"""What a run file would run: unit cells, unknowns, memory, steps. Meshes the unit cells, solves nothing."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mpi4py import MPI

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.runfile import (
    ELECTRODES,
    REGIONS,
    GaussianField,
    Image,
    LevelSet,
    MeshFile,
    MeshGeometry,
    RandomSpheres,
    Run,
    Spheres,
    VoxelGeometry,
    suited_to,
)
from dfx_homog.runfile.battery import Battery
from dfx_homog.runfile.meso import LATERAL_ELEMENTS, meso_dimension
from dfx_homog.runfile.require import MODELS
from dfx_homog.studies.unit_cells import validate

if TYPE_CHECKING:
    from dfx_homog.studies.setup import Problem

#: Memory per unknown of the resolved model, by dimension, preset, order: slope of the peak memory of one rank between
#: 8e3 and 6.6e4 (order 1) or 3.2e4 and 2.6e5 unknowns (order 2) on wavy cells, 2.0, 2.4, 2.8 and 4.0 kB, and
#: a tenth more. The factors of the direct solver grow a little faster than the unknowns. In space, overlapping balls
#: between 2.6e4 and 4.5e5 unknowns, 2.7 kB; the other combinations are not measured there, and not stated.
BYTES_PER_UNKNOWN = {
    (2, "iterative", 1): 2200,
    (2, "iterative", 2): 2700,
    (2, "direct", 1): 3100,
    (2, "direct", 2): 4400,
    (3, "iterative", 1): 3000,
}
#: What each rank takes before any mesh (Python, DOLFINx, PETSc), measured in the same runs.
BYTES_PER_RANK = 220e6
#: Unit cells of more triangles than this in all are not meshed, only estimated from the mesh size.
MESHED = 200_000
#: Tetrahedra in the unit cube times mesh_size^3, measured on each family at mesh sizes from 0.2 to 0.07: 5 to 15 by
#: gmsh (over 60 where balls overlap, whose necks are graded), 15 to 20 where a background mesh is cut.
TETRAHEDRA, TETRAHEDRA_CUT = 10, 15
#: Memory a voxel, by discretisation: slope of the peak memory of one rank between 96^3 and 160^3 voxels of a Gaussian
#: field with S, B and K, 96 (fv) and 143 (q1).
BYTES_PER_VOXEL = {"fv": 100, "q1": 150, "both": 150}


def check_geometries(run: Run) -> None:
    """Raises BadInput for a microstructure that has no good mesh or file, as far as that shows without making it."""
    for name, spec in run.microstructure.items():
        try:
            if isinstance(spec, Image):
                image_edges(spec)
            elif name in run.meshes():
                if isinstance(spec, MeshFile):
                    _check_file(spec)
                validate(run.meshes()[name])
        except BadInput as error:
            raise run.problem(f"microstructure.{name}", str(error)) from None


def _check_file(spec: MeshFile) -> None:
    path = Path(spec.file)
    if not path.is_file():
        raise BadInput(f"file: {path}: no such file")
    if not os.access(path, os.R_OK):
        raise BadInput(f"file: {path}: cannot be read")


def image_edges(spec: Image) -> tuple[int, ...]:
    """Voxels along each axis of the (cropped) image; reads the file's header only. Raises BadInput."""
    from dfx_homog.voxels.image_file import (
        open_image,
    )  # its library takes long to import

    whole = open_image(Path(spec.file), spec.shape, spec.dtype).shape
    for key in ("crop", "voxel_size"):
        given = getattr(spec, key)
        if given is not None and len(given) != len(whole):
            raise BadInput(f"{key}: has {len(given)} entries, the image has {len(whole)} axes")
    if spec.crop is None:
        return whole
    for (first, end), edge in zip(spec.crop, whole, strict=True):
        if end > edge:
            raise BadInput(f"crop: [{first}, {end}] reaches beyond an axis of {edge} voxels")
    return tuple(end - first for first, end in spec.crop)


def _elements(spec: MeshGeometry) -> int:
    """Equilateral triangles of this edge in the unit square, or tetrahedra of about this edge in the unit cube."""
    if spec.dim == 3:
        cut = isinstance(spec, LevelSet | RandomSpheres)
        return math.ceil((TETRAHEDRA_CUT if cut else TETRAHEDRA) / spec.mesh_size**3)
    return math.ceil(4 / (3**0.5 * spec.mesh_size**2))


def _cells(run: Run, name: str) -> int:
    """About how many triangles or tetrahedra a unit cell would have; of a mesh file, as if it were small."""
    spec = run.microstructure[name]
    if name in run.images():
        shape = _shape(run.images()[name])
        return math.prod(shape) * math.factorial(len(shape))
    return 0 if isinstance(spec, MeshFile) or spec.is_given else _elements(run.meshes()[name])


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
    # only here: refusing a run file must not wait for DOLFINx
    from dfx_homog.models import in_units
    from dfx_homog.studies import regions
    from dfx_homog.studies.setup import Problem
    from dfx_homog.studies.stages import step_count

    meshes, problem, reasons = run.meshes(), Problem(MPI.COMM_SELF, run), suited_to(run)
    plane = len(meshes) == len(run.microstructure) and all(spec.dim == 2 for spec in meshes.values())
    models = not reasons["homogenised"]
    cells = None
    if (plane or models) and sum(_cells(run, name) for name in run.microstructure) <= MESHED:
        try:
            cells = problem.unit_cells()
            if models:
                study = run.convergence if not reasons["convergence"] else None
                levels = study.periods if study is not None else ()
                domains = (run.cell.periods, *levels) if not reasons["resolved"] else ()
                problem.check_paths(cells, *domains)
        except BadInput as error:
            if (plane and cells is None) or not str(error).startswith(run.source):
                raise  # there is no mesh; else what there is does not suit the models
            reasons |= dict.fromkeys(MODELS, str(error))
            models = False
    lines = [f"{run.source}: valid", f"suits: {', '.join(c for c, reason in reasons.items() if not reason)}"]
    lines += run.notes
    lines += [f"not {c}: {r.removeprefix(f'{run.source}: ')}" for c, r in reasons.items() if r]
    for name in run.microstructure:
        if run.microstructure[name].is_given:
            lines.append(f"unit cell {name}: none, effective numbers are given")
        elif name in meshes:
            lines.append(_describe_mesh(name, meshes[name], cells))
        else:
            lines.append(_describe_voxels(run, name))
    if models and cells is not None:
        found = problem.scaled(cells)
        lines += regions.lines(in_units.geometry(found.units, regions.geometry(run, cells)))
        lines += found.twin.lines() if found.twin else []
    if not reasons["rve"]:
        lines.append(_describe_samples(run))
    if models:
        lines.append(_describe_time(run, step_count(run)))
        lines += _describe_models(
            problem, cells, levels=not reasons["convergence"] and run.convergence is not None
        )
        if run.battery is not None:
            lines.append(_describe_battery(run.battery))
    return "\n".join(lines)


def _describe_battery(table: Battery) -> str:
    """Shape, elements and cell models of a battery; a mesh tells its own when it is read."""
    models = math.prod(table.groups)
    if table.shape == "mesh":
        return f"battery: mesh {table.file}, at most {models} cell models, {table.connection}"
    return (
        f"battery: {table.shape} of {table.cells} cells, {math.prod(table.elements)} elements, {models} cell models, "
        f"{table.connection}"
        + (f"; stacks of {', '.join(map(str, table.levels))} cells" if table.levels else "")
    )


def _describe_time(run: Run, count: int | None) -> str:
    """Steps and end of the protocol, as far as they are known beforehand."""
    protocol, time = run.protocol, run.time
    early = any(step.until for step in protocol.steps) or any(
        limit is not None for limit in (protocol.v_min, protocol.v_max, protocol.T_max)
    )
    most, unit = "at most " if early else "", " s" if run.in_si else ""
    dt = f"{time.dt:g}{unit}"
    if time.adaptive:
        steps = (
            f"steps chosen for a local error of {time.tolerance:g}, {dt} tried first, their number unknown"
        )
    elif count is None:
        steps = f"steps of {dt}, their number unknown"
    else:
        steps = f"{most}{count} steps of at most {dt}"
    end = (
        "to conditions without a limit in time"
        if protocol.longest is None
        else f"to t = {protocol.longest:g}{unit}"
    )
    return f"time: {steps} {end}{' or a limit before' if early and protocol.longest is not None else ''}, {time.scheme}"


def _describe_mesh(name: str, spec: MeshGeometry, cells: dict[str, UnitCell] | None) -> str:
    text = f"unit cell {name}: {spec.geometry}, order {spec.order}, mesh size {spec.mesh_size:g}"
    if isinstance(spec, MeshFile):
        text = f"unit cell {name}: mesh, order {spec.order}, from {spec.file}"
        if cells is None:
            return text
    if cells is None or name not in cells:
        more = ", more where balls overlap" if isinstance(spec, Spheres) else ""
        return f"{text}, about {_elements(spec)} {'triangles' if spec.dim == 2 else 'tetrahedra'}{more}"
    kind = {2: "triangles", 3: "tetrahedra"}[cells[name].dim]
    size = f"{len(cells[name].cells)} {kind}, {len(cells[name].points)} nodes"
    return f"{text}, {size}, solid fraction {cells[name].phase_fraction(SOLID):.4f}"


def _describe_voxels(run: Run, name: str) -> str:
    spec = run.images()[name]
    shape = _shape(spec)
    text = f"unit cell {name}: {spec.geometry}, {spec.discretisation}, "
    memory = _bytes(math.prod(shape) * BYTES_PER_VOXEL[spec.discretisation])
    size = " x ".join(map(str, shape))
    return f"{text}{size} voxels, memory about {memory} in all and {_bytes(BYTES_PER_RANK)} a rank"


def _shape(spec: VoxelGeometry) -> tuple[int, ...]:
    """Voxels along each axis of the image that is used."""
    if isinstance(spec, RandomSpheres):
        return (spec.voxels or 0,) * 3
    if isinstance(spec, GaussianField):
        return (spec.voxels,) * spec.dim
    return image_edges(spec)


def _describe_samples(run: Run) -> str:
    """Sizes x realisations x conditions of every microstructure."""
    rve = run.rve
    of = len(rve.sizes) * rve.realisations
    samples = of * len(rve.conditions) * len(run.microstructure)
    sizes = ", ".join(f"{size:g}" for size in rve.sizes)
    return (
        f"rve: {samples} apparent {rve.quantity} of {of * len(run.microstructure)} samples "
        f"(sizes {sizes}; {rve.realisations} of each; {', '.join(rve.conditions)})"
    )


def _describe_models(problem: Problem, cells: dict[str, UnitCell] | None, levels: bool) -> list[str]:
    run = problem.run
    if any(run.microstructure[name].is_given for name in REGIONS):
        return [_describe_meso(run)]
    if cells is None:
        return [f"unknowns and memory: not counted for unit cells of over {MESHED} triangles or tetrahedra"]
    isothermal, dim = run.parameters.isothermal, cells["negative"].dim
    each = [tile_unknowns(cells[n], inert=n not in ELECTRODES, isothermal=isothermal) for n in REGIONS]
    order, preset = cells["negative"].order, run.solver.preset
    lines = []
    for periods in run.convergence.periods if levels else [run.cell.periods]:
        unknowns = math.prod(problem.lateral_periods(cells)) * sum(
            n * p for n, p in zip(each, periods, strict=True)
        )
        memory = ""
        if each_takes := BYTES_PER_UNKNOWN.get((dim, preset, order)):
            needed = _bytes(unknowns * each_takes)
            memory = f", memory about {needed} in all and {_bytes(BYTES_PER_RANK)} a rank"
        lines.append(
            f"resolved, delta = 1/{sum(periods)}: about {unknowns} unknowns, {preset} solver{memory}"
        )
    particles = ", ".join(f"{_nodes(cells[name], SOLID)} unknowns ({name})" for name in ELECTRODES)
    lines.append(f"{_describe_meso(run)} of {particles}")
    return lines


def _describe_meso(run: Run) -> str:
    """Meso elements and particles, as far as they are known before the cell problems are solved."""
    h, dim = run.homogenised, meso_dimension(run)
    if h.mesh is not None:
        return f"homogenised: meso elements of {h.mesh}, a particle at every node of an electrode"
    order = 2 if dim == 1 else h.order or 2
    across = (h.lateral_elements or (LATERAL_ELEMENTS,)) * (dim - 1)
    periodic = run.cell.lateral == "periodic"
    nodes = math.prod(order * n + (not periodic) for n in across[: dim - 1]) * (order * h.elements + 1)
    shape = " x ".join(str(n) for n in (3 * h.elements, *across[: dim - 1]))
    more = ", more dimensions where sides are insulated and tensors not diagonal"
    unknown = more if dim == 1 and run.homogenised.dim is None and not periodic else ""
    return f"homogenised: {shape} meso elements of order {order}{unknown}, particle problems: {nodes} each electrode"


def _bytes(amount: float) -> str:
    return f"{amount / 1e9:.1f} GB" if amount >= 1e9 else f"{max(amount / 1e6, 1):.0f} MB"
