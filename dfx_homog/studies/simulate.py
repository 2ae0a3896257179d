"""`dfx-homog resolved` and `dfx-homog homogenised`: one model through the run file's protocol."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mpi4py import MPI

from dfx_homog.io.fields import FieldWriter
from dfx_homog.io.results import write_arrays, write_json
from dfx_homog.models import losses
from dfx_homog.models.interface_statistics import summary
from dfx_homog.models.transient import TransientModel
from dfx_homog.runfile import Run
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies import pictures
from dfx_homog.studies.checkpoints import Checkpoints
from dfx_homog.studies.interrupt import Interrupt
from dfx_homog.studies.march import march
from dfx_homog.studies.progress import begin, finish
from dfx_homog.studies.reference import take_state
from dfx_homog.studies.regions import Json, geometry, lines
from dfx_homog.studies.setup import Problem
from dfx_homog.studies.stages import moments


def run_resolved(run: Run, out: Path, opts: RunOptions) -> None:
    """The resolved model with cell.periods unit cells."""
    comm = MPI.COMM_WORLD
    with Interrupt(comm, opts) as interrupt:
        problem = Problem(comm, run, opts.petsc)
        cells = problem.unit_cells()
        model = problem.resolved(cells, run.cell.periods)

        def arrays() -> pictures.Arrays:
            return pictures.unit_cells(cells) | pictures.resolved_mesh(model) | pictures.interface(model)

        found = geometry(run, cells, model.forms.connected)
        _simulate(model, run, out, opts, "resolved", arrays, found, interrupt)


def run_homogenised(run: Run, out: Path, opts: RunOptions) -> None:
    """The homogenised model; tensors from the cell problems of the same run."""
    comm = MPI.COMM_WORLD
    with Interrupt(comm, opts) as interrupt:
        problem = Problem(comm, run, opts.petsc)
        cells = problem.unit_cells()
        model = problem.homogenised(cells, problem.effective_media(cells))

        def arrays() -> pictures.Arrays:
            return pictures.unit_cells(cells) | pictures.meso(take_state(model))

        _simulate(model, run, out, opts, "homogenised", arrays, geometry(run, cells), interrupt)


def _simulate(
    model: TransientModel,
    run: Run,
    out: Path,
    opts: RunOptions,
    label: str,
    arrays: Callable[[], pictures.Arrays],
    found: Json,
    interrupt: Interrupt,
) -> None:
    """Run, write results; `arrays` (collective) gives the final state for the report's pictures, `found` the geometry
    of the regions."""
    with begin(run, out, opts, model.comm) as log:
        keeper = Checkpoints(run, out / "checkpoint", opts, model.comm, log, interrupt)
        log.say(f"{label}: {model.dofs} unknowns, {model.comm.size} ranks")
        for line in lines(found):
            log.say(line)
        wanted = moments(run, run.output.moments, run.output.times or ())
        with FieldWriter(model, out, active=bool(run.output.moments or run.output.times)) as fields:

            def write(index: int, time: float) -> None:
                if (index, time) in wanted:
                    fields.write(time)

            result = march(model, run, out / "history.csv", log, label, write, keeper, outputs=wanted.times)
            fields.write(result.rows[-1]["time"])  # however it ended
        write_arrays(out / "fields.npz", arrays(), model.comm)
        entries = result.result(model.dofs, model.comm.size) | {"geometry": found}
        entries |= summary(result.rows, run.time.scheme) | losses.summary(result.rows[-1])
        write_json(out / "result.json", entries, model.comm)
        log.say(f"V = {result.rows[-1]['voltage']:.6f} at t = {result.rows[-1]['time']:g}")
        finish(out, model.comm, log)
    model.destroy()
