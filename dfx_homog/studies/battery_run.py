"""`dfx-homog homogenised` of a run file with [battery]: the battery through the protocol."""

from __future__ import annotations

from pathlib import Path

from mpi4py import MPI

from dfx_homog.io.disk import below
from dfx_homog.io.results import write_arrays, write_result
from dfx_homog.models import in_units
from dfx_homog.runfile import Run
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies import battery_pictures, pictures
from dfx_homog.studies.battery import BatteryProblem, describe, outcome, warning
from dfx_homog.studies.checkpoints import Checkpoints
from dfx_homog.studies.interrupt import Interrupt
from dfx_homog.studies.progress import begin, finish
from dfx_homog.studies.recorded import model_result, recorded_march
from dfx_homog.studies.regions import Json, geometry, lines
from dfx_homog.studies.results import ModelResult
from dfx_homog.studies.setup import Problem

LABEL = "homogenised"


def run_battery(run: Run, out: Path | None, opts: RunOptions, comm: MPI.Intracomm) -> ModelResult:
    """Heat equation of the battery and its cell models; history.csv, result.json, fields, report."""
    with Interrupt(comm, opts) as interrupt:
        problem = Problem(comm, run, opts.petsc)
        cells = problem.unit_cells()
        problem = problem.scaled(cells)
        units = problem.units
        battery = BatteryProblem(problem, cells, problem.effective_media(cells))
        model, stack = battery.model(), battery.stack()
        found = in_units.geometry(units, geometry(run, cells))
        facts = describe(model, stack, run.battery, units)
        with begin(run, out, opts, comm) as log:
            keeper = Checkpoints(run, below(out, "checkpoint"), opts, comm, log, interrupt, units=units)
            log.say(f"{LABEL}: {model.dofs} unknowns, {comm.size} ranks")
            walls = battery.strips.lines() if battery.strips else []
            for line in [
                summary(facts),
                *lines(found),
                *(problem.twin.lines() if problem.twin else []),
                *walls,
            ]:
                log.say(line)
            result = recorded_march(model, problem, run, out, log, LABEL, keeper)
            write_arrays(
                below(out, "fields.npz"),
                lambda: pictures.unit_cells(cells) | battery_pictures.arrays(model, units),
                comm,
            )
            entries = result.result(model.dofs, comm.size) | {"geometry": found}
            entries["battery"] = facts | outcome(model, result.rows, run.battery, units)
            entries |= {"walls": in_units.walls(units, battery.strips)} if battery.strips else {}
            entries |= problem.twin.to_json() if problem.twin else {}
            written = write_result(out, entries, comm)
            outcome_of_run = model_result(model, units, result.rows, written, battery.media)
            last = result.rows[-1]
            log.say(f"V = {last['voltage']:.6f}, T up to {last['T_max']:.6g} at t = {last['time']:g}")
            if complaint := warning(result.rows):
                log.say(complaint)
            finish(run, out, comm, log)
        model.destroy()
    return outcome_of_run


def summary(facts: Json) -> str:
    """One line on the battery, of what `describe` found."""
    K = ", ".join(f"{facts['K_batt'][i][i]:.6g}" for i in range(3))
    return (
        f"battery: {facts['elements']} elements, {facts['groups']} cell models, {facts['connection']}, "
        f"K_batt = {K}, theta_batt = {facts['theta_batt']:.6g}"
    )
