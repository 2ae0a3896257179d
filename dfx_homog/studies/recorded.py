"""A march that leaves a history, fields for ParaView and checkpoints behind, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mpi4py import MPI

from dfx_homog.io.disk import below
from dfx_homog.io.fields import FieldFunctions, FieldWriter
from dfx_homog.io.results import stored
from dfx_homog.models import in_units
from dfx_homog.models.history import Row
from dfx_homog.models.marched import Marched
from dfx_homog.models.medium import Medium
from dfx_homog.parameters.units import Units
from dfx_homog.runfile import Run
from dfx_homog.studies.checkpoints import Checkpoints
from dfx_homog.studies.march import march
from dfx_homog.studies.outcome import March
from dfx_homog.studies.progress import Log
from dfx_homog.studies.results import EffectiveCoefficients, ModelResult, columns
from dfx_homog.studies.setup import Problem
from dfx_homog.studies.stages import moments

Json = dict[str, Any]
NONE: Mapping[str, Medium] = MappingProxyType({})


def recorded_march(
    model: Marched, problem: Problem, run: Run, out: Path | None, log: Log, label: str, keeper: Checkpoints
) -> March:
    """Take a model through the protocol of the problem, which has no units; `run` is as the user has it. Collective."""
    units, scaled = problem.units, problem.run
    wanted = moments(scaled, scaled.output.moments, scaled.output.times or ())
    active = bool(run.output.moments or run.output.times)
    with FieldWriter(model, out, active=active, units=units) as fields:

        def write(index: int, time: float) -> None:
            if (index, time) in wanted:
                fields.write(units.value("time", time))

        history = below(out, "history.csv")
        result = march(model, scaled, history, log, label, write, keeper, outputs=wanted.times, units=units)
        fields.write(result.rows[-1]["time"])  # however it ended
    return result


def model_result(
    model: Marched, units: Units, rows: list[Row], entries: Json, media: Mapping[str, Medium] = NONE
) -> ModelResult:
    """What a run gives back. entries: result.json; media: effective coefficients, without units. Collective."""
    fields = FieldFunctions(model, units)
    fields.update()
    return ModelResult(
        entries,
        columns(rows),
        {function.name: function for function in fields.functions},
        coefficients(units, media, model.comm),
        model,
        units,
    )


def coefficients(
    units: Units, media: Mapping[str, Medium], comm: MPI.Intracomm
) -> dict[str, EffectiveCoefficients]:
    """Effective coefficients in the units of the run file, by region. media: without units. Collective."""
    found = {name: in_units.medium(units, medium.to_json(), name) for name, medium in media.items()}
    return {name: EffectiveCoefficients.from_json(name, entry) for name, entry in stored(found, comm).items()}
