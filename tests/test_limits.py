"""Events in time: conditions of protocol steps, limits of the run, and what is held between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI
from wavy import build, follow, simulate, wavy_run

import dfx_homog.report
from dfx_homog.errors import SolverFailure
from dfx_homog.runfile import Run
from dfx_homog.runoptions import RunOptions
from dfx_homog.solvers.events import EVENT_WIDTH
from dfx_homog.studies.outcome import March
from dfx_homog.studies.simulate import run_homogenised

CHOSEN = ("time.adaptive=true", 'time.scheme="bdf2"', "time.tolerance=3e-3")
CYCLE = (
    "{current=0.2, until='V<0.6'}, {voltage=0.9, until='I>-0.05', duration=1.0}, "
    "{power=0.1, duration=0.03}, {current=0.0, duration=0.04}"
)


def protocol(steps: str, *overrides: str) -> Run:
    return wavy_run(f"protocol.steps=[{steps}]", "homogenised.elements=5", *overrides, h=0.3)


def column(result: March, name: str) -> np.ndarray:
    return np.array([row[name] for row in result.rows])


@pytest.mark.mpi
@pytest.mark.parametrize("model", ["resolved", "homogenised"])
@pytest.mark.parametrize("time", [(), CHOSEN], ids=["equal steps", "chosen steps"])
def test_current_voltage_power_rest(model: str, time: tuple[str, ...]) -> None:
    """Every event is a row with its limit just met; between events what is held is held; charge and energy balance."""
    result = simulate(protocol(CYCLE, *time), model)
    t, V, current = (column(result, name) for name in ("time", "voltage", "current"))
    first = int(np.flatnonzero(V < 0.6)[0])  # end of the discharge
    held = np.flatnonzero(np.abs(V - 0.9) < 1e-9)
    last = held[-1]
    assert np.array_equal(held, np.arange(first + 1, last + 1)) and len(held) >= 2
    slopes = np.abs(np.diff(V) / np.diff(t)), np.abs(np.diff(current) / np.diff(t))
    assert 0.6 - 2 * EVENT_WIDTH * slopes[0][first - 1] < V[first] < 0.6
    assert -0.05 < current[last] < -0.05 + 4 * EVENT_WIDTH * slopes[1][last - 1]
    assert np.all(current[held[:-1]] <= -0.05) and np.all(np.diff(current[held]) > 0)
    power = np.flatnonzero(np.abs(V * current - 0.1) < 1e-9)
    assert power[0] == last + 1 and t[power[-1]] == pytest.approx(t[last] + 0.03, abs=1e-12)
    rest = np.arange(power[-1] + 1, len(t))
    assert np.all(current[rest] == 0.0) and t[-1] == pytest.approx(t[power[-1]] + 0.04, abs=1e-12)
    assert result.end is None and not result.stopped
    assert column(result, "charge_error_run").max() < 1e-10
    assert column(result, "energy_error").max() < 1e-8


@pytest.mark.parametrize(
    ("key", "value", "name", "sense"),
    [("v_min", 0.7, "voltage", -1), ("v_max", 0.995, "voltage", 1), ("T_max", 0.002, "T_max", 1)],
)
def test_limits_of_the_run(key: str, value: float, name: str, sense: int) -> None:
    """The run ends there, the last row just past the limit, whatever of the protocol is left."""
    current = -0.2 if key == "v_max" else 0.2
    steps = f"{{current={current}, duration=0.2}}, {{current=0.0, duration=1.0}}"
    if key == "v_max":  # the voltage relaxes upwards
        steps = f"{{current=0.2, duration=0.04}}, {steps}"
    result = simulate(protocol(steps, f"protocol.{key}={value}"), "homogenised")
    assert result.stopped and result.end is not None and result.end.startswith(f"{key}: ")
    found = column(result, name)
    assert np.all(sense * (found[1:-1] - value) <= 0)
    assert 0 < sense * (found[-1] - value) < 1e-4
    exact = f"at t = {result.rows[-1]['time']:.9g}"
    assert result.end.endswith(exact)


def test_the_time_of_an_event_does_not_depend_on_the_step_that_met_it() -> None:
    """C = 0, one Euler step from the start: the event is where a step of that size meets the limit."""
    no_layer = ("parameters.negative.C=0", "parameters.positive.C=0", "protocol.v_min=0.45")
    found = []
    for dt in (0.5, 0.3, 0.17):
        result = simulate(protocol("{current=0.2, duration=1.0}", *no_layer, f"time.dt={dt}"), "homogenised")
        assert len(result.rows) == 2 and result.stopped
        found.append(result.rows[-1]["time"])
    assert max(found) - min(found) < EVENT_WIDTH
    t = found[0]
    before, after = (
        simulate(protocol(f"{{current=0.2, duration={t + d!r}}}", *no_layer[:2], "time.dt=1"), "homogenised")
        for d in (-EVENT_WIDTH, EVENT_WIDTH)
    )
    assert after.rows[-1]["voltage"] < 0.45 < before.rows[-1]["voltage"]


@pytest.mark.parametrize("time", [(), CHOSEN], ids=["equal steps", "chosen steps"])
def test_a_condition_that_is_met_already(time: tuple[str, ...]) -> None:
    """The step ends after EVENT_WIDTH in time, and the next one begins."""
    result = simulate(
        protocol("{current=0.2, until='V<3'}, {current=0.0, duration=0.04}", *time), "homogenised"
    )
    assert result.rows[1]["time"] <= EVENT_WIDTH and result.rows[1]["current"] == 0.2
    assert result.rows[-1]["time"] == pytest.approx(0.04, abs=2 * EVENT_WIDTH)
    assert result.rows[-1]["current"] == 0.0


def test_a_condition_that_is_never_met() -> None:
    """Nothing changes any more in a rest: the run gives up and says what it waited for."""
    run = protocol("{current=0.2, duration=0.02}, {current=0.0, until='V<0'}", *CHOSEN)
    with pytest.raises(
        SolverFailure, match="nothing changes any more, and step 2 of the protocol waits for V < 0"
    ):
        simulate(run, "homogenised")


def test_limits_within_parts_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that Newton's method fails to do at once meets its limit all the same."""
    run = protocol("{current=0.2, until='V<0.7'}, {current=0.0, duration=0.02}")
    model = build(run, "homogenised")
    reference = follow(model, run)
    model.set_initial()
    advance = type(model).advance

    def fails(self: object, step: object) -> object:
        if step.dt > 0.011:  # type: ignore[attr-defined]
            raise SolverFailure("too long")
        return advance(self, step)

    monkeypatch.setattr(type(model), "advance", fails)
    result = follow(model, run)
    model.destroy()
    event = next(i for i, row in enumerate(result.rows) if row["voltage"] < 0.7)
    assert result.rows[event]["voltage"] > 0.7 - 1e-5
    assert result.rows[event]["time"] == pytest.approx(reference.rows[event]["time"], abs=5e-3)
    assert [row["current"] for row in result.rows[event:]] == [0.2, 0.0]


@pytest.mark.mpi
def test_fields_at_chosen_moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps end at the moments; the start and the end are written too; 0 fields: none."""
    from dfx_homog.io.fields import FieldWriter

    out = MPI.COMM_WORLD.bcast(tmp_path, root=0)
    written: list[float] = []
    write = FieldWriter.write

    def spy(self: FieldWriter, time: float) -> None:
        written.append(time)
        write(self, time)

    monkeypatch.setattr(FieldWriter, "write", spy)
    monkeypatch.setattr(dfx_homog.report, "write_report", lambda _out: None)
    run = protocol("{current=0.2, duration=0.1}", "output.times=[0.033, 0.05]", *CHOSEN, "protocol.v_min=0.6")
    run_homogenised(run, out, RunOptions(out, quiet=True))
    assert written[:3] == [0.0, 0.033, 0.05] and 0.05 < written[3] < 0.1 and len(written) == 4
    assert (out / "fields.bp").exists()
    none = MPI.COMM_WORLD.bcast(tmp_path / "none", root=0)
    if MPI.COMM_WORLD.rank == 0:
        none.mkdir()
    MPI.COMM_WORLD.barrier()
    run_homogenised(
        protocol("{current=0.2, duration=0.04}", "output.fields=0"), none, RunOptions(none, quiet=True)
    )
    assert not (none / "fields.bp").exists()
