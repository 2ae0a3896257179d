"""A march that leaves a history, fields for ParaView and checkpoints behind."""

from __future__ import annotations

from pathlib import Path

from dfx_homog.io.fields import FieldWriter
from dfx_homog.models.marched import Marched
from dfx_homog.runfile import Run
from dfx_homog.studies.checkpoints import Checkpoints
from dfx_homog.studies.march import march
from dfx_homog.studies.outcome import March
from dfx_homog.studies.progress import Log
from dfx_homog.studies.setup import Problem
from dfx_homog.studies.stages import moments


def recorded_march(
    model: Marched, problem: Problem, run: Run, out: Path, log: Log, label: str, keeper: Checkpoints
) -> March:
    """Take a model through the protocol of the problem, which has no units; `run` is as the user has it. Collective."""
    units, scaled = problem.units, problem.run
    wanted = moments(scaled, scaled.output.moments, scaled.output.times or ())
    active = bool(run.output.moments or run.output.times)
    with FieldWriter(model, out, active=active, units=units) as fields:

        def write(index: int, time: float) -> None:
            if (index, time) in wanted:
                fields.write(units.value("time", time))

        history = out / "history.csv"
        result = march(model, scaled, history, log, label, write, keeper, outputs=wanted.times, units=units)
        fields.write(result.rows[-1]["time"])  # however it ended
    return result
