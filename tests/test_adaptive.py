"""Steps chosen by the estimated error: accuracy for a tolerance, restarts, ranks, and a study that follows them."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI
from test_checkpoint import go
from wavy import build, follow, simulate, wavy_run

import dfx_homog.report
from dfx_homog.errors import StoppedEarly
from dfx_homog.runfile import Run
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies.convergence import run_convergence
from dfx_homog.studies.outcome import March

WORLD = MPI.COMM_WORLD
CHOSEN = ("time.adaptive=true", 'time.scheme="bdf2"')


def chosen(tolerance: float, *overrides: str, duration: float = 0.5) -> Run:
    steps = f"protocol.steps=[{{current=0.2, duration={duration}}}]"
    return wavy_run(
        steps, "homogenised.elements=5", *CHOSEN, f"time.tolerance={tolerance}", *overrides, h=0.3
    )


def largest_error(result: March, times: np.ndarray, values: np.ndarray) -> float:
    """In V over all rows but the first two; between the reference's rows in the square root of time."""
    t, V = (np.array([row[name] for row in result.rows[2:]]) for name in ("time", "voltage"))
    return float(np.abs(V - np.interp(np.sqrt(t), np.sqrt(times), values)).max())


def test_error_follows_the_tolerance() -> None:
    """With a double layer from t = 0 on: V within a few tolerances at all times, error as tolerance^(2/3) or better.

    Equal steps of the same scheme need several times as many for the same error.
    """
    model = build(chosen(1e-3), "homogenised")
    fine = follow(model, chosen(2e-5))
    times, values = (np.array([row[name] for row in fine.rows]) for name in ("time", "voltage"))
    tolerances, errors, counts = (1e-2, 1e-3, 2e-4), [], []
    for tolerance in tolerances:
        model.set_initial()
        result = follow(model, chosen(tolerance))
        errors.append(largest_error(result, times, values))
        counts.append(len(result.rows) - 1)
        assert result.rejected <= 8
    equal = wavy_run(
        "protocol.steps=[{current=0.2, duration=0.5}]", 'time.scheme="bdf2"', "time.dt=0.0033", h=0.3
    )
    model.set_initial()
    model._oldest = None
    plain = follow(model, equal)
    model.destroy()
    assert all(error < 4 * tolerance for error, tolerance in zip(errors, tolerances, strict=True)), errors
    slope = np.polyfit(np.log(tolerances), np.log(errors), 1)[0]
    assert 0.5 < slope < 1.0, errors
    assert counts[1] < 60 and len(plain.rows) - 1 > 2.5 * counts[1]
    assert largest_error(plain, times, values) > errors[1]


@pytest.mark.mpi
@pytest.mark.parametrize("model", ["resolved", "homogenised"])
def test_stopped_and_restarted(model: str, tmp_path: Path) -> None:
    """A restart in the middle takes the same steps to the same numbers, bit by bit on one rank."""
    folder = WORLD.bcast(tmp_path, root=0)
    steps = "{current=0.2, until='V<0.75'}, {current=0.0, duration=0.02}"
    run = chosen(1e-3, f"protocol.steps=[{steps}]", 'solver.preset="direct"')
    if WORLD.rank == 0:
        (folder / "whole").mkdir()
    WORLD.barrier()
    reference = go(run, model, folder / "whole", WORLD)
    assert len(reference.rows) > 8

    def interrupt(index: int, _time: float) -> None:
        if index == 4 and WORLD.rank == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedEarly):
        go(run, model, folder, WORLD, on_state=interrupt)
    result = go(run, model, folder, WORLD, restart=True)
    assert len(result.rows) == len(reference.rows) and result.rejected == reference.rejected
    for mine, theirs in zip(result.rows, reference.rows, strict=True):
        for name in ("time", "voltage", "T_mean", "c_e_max", "soc_n", "newton"):
            # on several, the factorisation of the resolved Jacobian is not the same up to rounding from run to run
            tolerance = 0.0 if WORLD.size == 1 or model == "homogenised" else 1e-10
            assert mine[name] == pytest.approx(theirs[name], rel=tolerance, abs=tolerance), (
                name,
                mine["time"],
            )


@pytest.mark.mpi
def test_ranks_take_the_same_steps() -> None:
    run = chosen(5e-3, 'solver.preset="direct"', duration=0.1)
    together, alone = simulate(run), simulate(run, comm=MPI.COMM_SELF)
    assert [row["time"] for row in together.rows] == pytest.approx(
        [row["time"] for row in alone.rows], rel=1e-9
    )
    for name in ("voltage", "T_mean", "c_e_max", "soc_n"):
        assert [row[name] for row in together.rows] == pytest.approx(
            [row[name] for row in alone.rows], rel=1e-9
        )


def test_without_a_double_layer_and_with_euler() -> None:
    """C = 0: no fast start, the first step is as tried or a few times smaller; Euler needs more steps than BDF2."""
    no_layer = ("parameters.negative.C=0", "parameters.positive.C=0")
    second = simulate(chosen(1e-3, *no_layer), "homogenised")
    first = simulate(chosen(1e-3, *no_layer, 'time.scheme="backward-euler"'), "homogenised")
    assert len(second.rows) < len(first.rows)
    assert abs(second.rows[-1]["voltage"] - first.rows[-1]["voltage"]) < 2e-3
    assert second.rows[1]["time"] > 1e-4


def test_a_study_compares_at_the_steps_of_the_homogenised_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resolved levels take the homogenised run's steps, those of a step cut short at a condition too; order 1 in V."""
    monkeypatch.setattr(dfx_homog.report, "write_report", lambda _out: None)
    steps = "{current=0.2, until='V<0.7'}, {current=0.0, duration=0.05}"
    levels = ("cell.periods=[2,1,2]", "convergence.periods=[[2,1,2],[4,2,4]]")
    run = chosen(2e-3, f"protocol.steps=[{steps}]", *levels)
    run_convergence(run, tmp_path, RunOptions(tmp_path, quiet=True))
    result = json.loads((tmp_path / "result.json").read_text())
    columns = [
        [float(line.split(",")[0]) for line in (tmp_path / name / "history.csv").read_text().splitlines()[1:]]
        for name in ("homogenised", "resolved-5", "resolved-10")
    ]
    assert columns[0] == columns[1] == columns[2] and len(columns[0]) > 8
    assert result["orders"]["voltage"][0] == pytest.approx(1.0, abs=0.3)
    assert result["homogenised"]["ended_early"] is None
