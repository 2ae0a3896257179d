"""`dfx-homog cell`: effective tensors of every microstructure of a run file, meshes and voxel images alike."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mpi4py import MPI

from dfx_homog.export.write import write_exports
from dfx_homog.io import kept
from dfx_homog.io.disk import below, make_folder
from dfx_homog.io.results import write_arrays, write_result
from dfx_homog.microstructure.unitcell import UnitCell
from dfx_homog.models.medium import Json
from dfx_homog.runfile import Run
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies import pictures
from dfx_homog.studies.checkpoints import fingerprint
from dfx_homog.studies.interrupt import Interrupt
from dfx_homog.studies.progress import Log, begin, finish
from dfx_homog.studies.results import CellResult
from dfx_homog.studies.setup import Panels, Problem
from dfx_homog.voxels.grid import VoxelGrid

WORLD = MPI.COMM_WORLD
Geometries = dict[str, UnitCell | VoxelGrid]


def run_cell(run: Run, out: Path | None, opts: RunOptions, comm: MPI.Intracomm = WORLD) -> CellResult:
    """Solve all cell problems; result.json as docs/results.md says.

    What is finished is kept in out/cells, and not solved again by a restart of the same run file.
    """
    with Interrupt(comm, opts) as interrupt:
        problem = Problem(comm, run, opts.petsc)
        cells = problem.unit_cells(out, tiled=False)
        images = problem.grids()
        with begin(run, out, opts, comm) as log:
            write_arrays(below(out, "fields.npz"), lambda: _arrays(cells, images), comm)
            geometries: Geometries = {**cells, **{n: grid for n, (grid, _) in images.items()}}
            entries = _entries(problem, geometries, below(out, "cells"), opts, log, interrupt)
            found = {"ranks": comm.size, "microstructures": entries}
            result = CellResult.of(write_result(out, found, comm))
            for line in write_exports(run, entries, out, comm):
                log.say(line)
            finish(run, out, comm, log)
    return result


def _arrays(
    cells: dict[str, UnitCell], images: dict[str, tuple[VoxelGrid, Panels | None]]
) -> pictures.Arrays:
    """What the report shows of the geometries. Collective."""
    arrays = pictures.unit_cells(cells)
    for name, (grid, panels) in images.items():
        arrays |= _pictures(grid)
        if panels is not None:
            arrays |= pictures.segmentation(name, panels)
    return arrays


def _entries(
    problem: Problem,
    geometries: Geometries,
    folder: Path | None,
    opts: RunOptions,
    log: Log,
    interrupt: Interrupt,
) -> Json:
    """The tensors of every microstructure, solved or, in a restart, as kept."""
    run, comm = problem.run, problem.comm
    key = fingerprint(run, comm)
    make_folder(folder, comm)
    entries: Json = {}
    for name, spec in run.microstructure.items():
        if spec.is_given:
            log.say(f"{name}: effective numbers are given")
            continue
        path = below(folder, f"{name}.kept")
        log.say(f"{name}: {_size(geometries[name])}")
        if finished := kept.load(path, comm, key) if opts.restart else None:
            log.say(f"{name}: solved already")
            entries[name] = finished[0]
        else:
            interrupt.stop_before(f"{name} was solved")
            entries[name] = problem.medium(name, geometries[name], partial(_tell, log, name)).to_json()
            kept.save(path, comm, key, entries[name])
        _summary(log, name, entries[name])
    return entries


def _pictures(grid: VoxelGrid) -> pictures.Arrays:
    """Slices of an image. Collective; ranks without planes have none."""
    busy = grid.busy()
    if busy is None:
        return {}
    arrays = pictures.voxel_slices(busy)
    if busy.comm is not grid.comm:
        busy.comm.Free()
    return arrays


def _tell(log: Log, name: str, text: str) -> None:
    log.say(f"{name}: {text}")


def _size(geometry: UnitCell | VoxelGrid) -> str:
    if isinstance(geometry, UnitCell):
        kind = {2: "triangles", 3: "tetrahedra"}[geometry.dim]
        return f"{len(geometry.cells)} {kind} of order {geometry.order}, {len(geometry.points)} nodes"
    return f"{' x '.join(str(geometry.shape[axis]) for axis in geometry.axes)} voxels"


def _summary(log: Log, name: str, entry: Json) -> None:
    log.say(f"{name}: phi_e = {entry['phi_e']:.6g}, a = {entry['a']:.6g}, theta = {entry['theta']}")
    for tensor in ("S", "B", "K"):
        log.say(f"  {tensor} = {entry[tensor]}")
    for tensor, (low, high) in entry.get("bracket", {}).items():
        log.say(f"  diagonal of {tensor} from {low} (fv) to {high} (q1)")
