"""`dfx-homog resolved` and `dfx-homog homogenised`: one model through the run file's protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mpi4py import MPI

from dfx_homog.io.disk import below
from dfx_homog.io.results import write_arrays, write_result
from dfx_homog.models import in_units, losses
from dfx_homog.models.excess import StripResistances
from dfx_homog.models.interface_statistics import summary
from dfx_homog.models.marched import Marched
from dfx_homog.models.medium import Medium
from dfx_homog.runfile import Run
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies import meso_pictures, pictures
from dfx_homog.studies.battery_run import run_battery
from dfx_homog.studies.checkpoints import Checkpoints
from dfx_homog.studies.interrupt import Interrupt
from dfx_homog.studies.progress import begin, finish
from dfx_homog.studies.recorded import NONE, model_result, recorded_march
from dfx_homog.studies.regions import Json, geometry, lines
from dfx_homog.studies.results import ModelResult
from dfx_homog.studies.setup import Problem

WORLD = MPI.COMM_WORLD


def run_resolved(run: Run, out: Path | None, opts: RunOptions, comm: MPI.Intracomm = WORLD) -> ModelResult:
    """The resolved model with cell.periods unit cells."""
    with Interrupt(comm, opts) as interrupt:
        problem = Problem(comm, run, opts.petsc)
        cells = problem.unit_cells()
        problem = problem.scaled(cells)
        model = problem.resolved(cells, run.cell.periods)

        def arrays() -> pictures.Arrays:
            found = pictures.resolved_mesh(model) | pictures.interface(model)
            return pictures.unit_cells(cells) | pictures.in_units(problem.units, found)

        found = geometry(run, cells, model.forms.connected)
        return _simulate(model, problem, run, out, opts, "resolved", arrays, found, interrupt)


def run_homogenised(run: Run, out: Path | None, opts: RunOptions, comm: MPI.Intracomm = WORLD) -> ModelResult:
    """The homogenised model; tensors from the cell problems of the same run. With [battery], the battery."""
    if run.battery is not None:
        return run_battery(run, out, opts, comm)
    with Interrupt(comm, opts) as interrupt:
        problem = Problem(comm, run, opts.petsc)
        cells = problem.unit_cells()
        problem = problem.scaled(cells)
        media = problem.effective_media(cells)
        strips = problem.strips(cells, media)
        model = problem.homogenised(cells, media, strips)

        def arrays() -> pictures.Arrays:
            return pictures.unit_cells(cells) | pictures.in_units(problem.units, meso_pictures.arrays(model))

        found = geometry(run, cells)
        return _simulate(
            model, problem, run, out, opts, "homogenised", arrays, found, interrupt, strips, media
        )


def _simulate(
    model: Marched,
    problem: Problem,
    run: Run,
    out: Path | None,
    opts: RunOptions,
    label: str,
    arrays: Callable[[], pictures.Arrays],
    found: Json,
    interrupt: Interrupt,
    strips: StripResistances | None = None,
    media: Mapping[str, Medium] = NONE,
) -> ModelResult:
    """Run, write results.

    problem: without units, that of the model; run: as the user has it; arrays: (collective) gives the final state for
    the report's pictures; found: the geometry of the regions; strips: the excess resistances of wall laws;
    media: effective coefficients, without units
    """
    with begin(run, out, opts, model.comm) as log:
        units = problem.units
        keeper = Checkpoints(run, below(out, "checkpoint"), opts, model.comm, log, interrupt, units=units)
        log.say(f"{label}: {model.dofs} unknowns, {model.comm.size} ranks")
        found, walls = in_units.geometry(units, found), strips.lines() if strips else []
        for line in [*lines(found), *(problem.twin.lines() if problem.twin else []), *walls]:
            log.say(line)
        result = recorded_march(model, problem, run, out, log, label, keeper)
        write_arrays(below(out, "fields.npz"), arrays, model.comm)
        entries = result.result(model.dofs, model.comm.size) | {"geometry": found}
        entries |= {"walls": in_units.walls(units, strips)} if strips else {}
        entries |= summary(result.rows, run.time.scheme) | losses.summary(result.rows)
        entries |= problem.twin.to_json() if problem.twin else {}
        written = write_result(out, entries, model.comm)
        outcome = model_result(model, units, result.rows, written, media)
        last, volts, seconds = result.rows[-1], units.symbol("voltage"), units.symbol("time")
        log.say(
            f"V = {last['voltage']:.6f} {volts}".rstrip() + f" at t = {last['time']:g} {seconds}".rstrip()
        )
        log.say(losses.describe(result.rows, volts))
        finish(run, out, model.comm, log)
    model.destroy()
    return outcome
