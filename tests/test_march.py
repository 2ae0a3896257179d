"""history.csv and result.json of a single run, the order of events in it, and what a failing solver leaves behind."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import time_steps
from mpi4py import MPI
from wavy import NO_DOUBLE_LAYER, build, wavy_run

from dfx_homog.errors import SolverFailure
from dfx_homog.models.history import COLUMNS, MORE_COLUMNS, Balance, Ledger
from dfx_homog.runfile import Run
from dfx_homog.runoptions import RunOptions
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.timestepping import TimeStep, bdf2, euler
from dfx_homog.studies.march import march
from dfx_homog.studies.outcome import March
from dfx_homog.studies.progress import Log
from dfx_homog.studies.simulate import run_homogenised, run_resolved

INTERFACE = (
    "time,current,voltage,T_mean,T_max,T_min,c_e_min,c_e_max,soc_n,soc_p,"
    "lithium_error,charge_error,energy_error,newton,krylov,seconds"
)


def shared(tmp_path: Path) -> Path:
    """Rank 0's folder, on all ranks."""
    return MPI.COMM_WORLD.bcast(tmp_path, root=0)


def study(model: str, run: Run, out: Path, *petsc: str) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Run `dfx-homog MODEL` and read its files, on all ranks."""
    {"resolved": run_resolved, "homogenised": run_homogenised}[model](
        run, out, RunOptions(out, quiet=True, petsc=petsc)
    )
    MPI.COMM_WORLD.barrier()
    lines = (out / "history.csv").read_text().splitlines()
    assert lines[0].startswith(INTERFACE + ",rate_mean_n,")
    rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(lines)]
    return json.loads((out / "result.json").read_text()), rows


@pytest.mark.mpi
@pytest.mark.parametrize("model", ["resolved", "homogenised"])
@pytest.mark.parametrize("capacitance", [True, False])
def test_history_and_result(model: str, capacitance: bool, tmp_path: Path) -> None:
    run = wavy_run(*(() if capacitance else NO_DOUBLE_LAYER), steps=3)
    result, rows = study(model, run, shared(tmp_path))
    assert set(result) >= {"dofs", "ranks", "steps", "seconds", "final", "checks"}
    assert (result["ranks"], result["steps"]) == (MPI.COMM_WORLD.size, 3)
    assert result["dofs"] > 500
    assert [row["time"] for row in rows] == pytest.approx([0, 0.02, 0.04, 0.06])
    assert all(row["current"] == 0.2 for row in rows)
    assert set(result["final"]) == set(rows[0]) > set(COLUMNS)
    # 15 digits in the file
    assert all(result["final"][k] == pytest.approx(rows[-1][k], rel=1e-13) for k in COLUMNS)
    checks = result["checks"]
    for key in ("lithium_error", "charge_error", "energy_error"):
        assert checks[key] == pytest.approx(max(row[key] for row in rows), rel=1e-13)
    assert checks["newton_max"] == max(row["newton"] for row in rows[1:])
    assert all(row["krylov"] >= row["newton"] >= 2 for row in rows[1:])
    assert checks["krylov_mean"] == pytest.approx(
        sum(row["krylov"] for row in rows[1:]) / sum(row["newton"] for row in rows[1:])
    )
    # the first row: equilibrium with a double layer, the state just after switching on without
    equilibrium = 1.08 + 0.1 * np.tanh(0.8) - 0.16
    first = rows[0]
    assert first["T_min"] == first["T_max"] == 0
    assert first["c_e_min"] == first["c_e_max"] == 1
    assert (first["soc_n"], first["soc_p"]) == pytest.approx((0.8, 0.3), abs=1e-13)
    if capacitance:
        assert first["voltage"] == pytest.approx(equilibrium, abs=1e-13)
        assert first["newton"] == first["krylov"] == 0
    else:
        assert first["voltage"] < equilibrium - 0.4
        assert first["newton"] >= 2 and first["krylov"] >= first["newton"]


def test_isothermal_has_no_energy_error(tmp_path: Path) -> None:
    """Not a number in the table, null in JSON."""
    result, rows = study("homogenised", wavy_run("parameters.isothermal=true", steps=2), tmp_path)
    assert all(np.isnan(row["energy_error"]) for row in rows)
    assert result["final"]["energy_error"] is None and result["checks"]["energy_error"] is None
    assert result["final"]["charge_error"] < 1e-10


@pytest.mark.mpi
@pytest.mark.parametrize("model", ["resolved", "homogenised"])
def test_failure_says_when_and_keeps_the_history(model: str, tmp_path: Path) -> None:
    """Too few Newton iterations: all ranks raise, with the time; the rows up to there are on disk, and the state."""
    out = shared(tmp_path)
    with pytest.raises(SolverFailure, match=rf"{model}, t = 0\.02 \(step 1\)"):
        study(model, wavy_run(), out, f"-{model}_snes_max_it", "1")
    MPI.COMM_WORLD.barrier()
    lines = (out / "history.csv").read_text().splitlines()
    assert lines[0].startswith(INTERFACE + ",rate_mean_n,")
    assert len(lines) == 2
    assert [p.name for p in (out / "checkpoint").glob("*.h5")] == ["step-000000000.h5"]
    assert not (out / "result.json").exists()
    if MPI.COMM_WORLD.rank == 0:
        assert "stopped:" in (out / "log.txt").read_text()


@pytest.mark.mpi
def test_failure_in_a_particle_problem_is_a_solver_failure() -> None:
    """PETSc wraps what its callbacks raise; out comes the particle's own message, on all ranks."""
    model = build(wavy_run(), "homogenised")
    model.switch_on(Control("current", 3.0))

    def empty_the_particles() -> None:
        for step in time_steps([(Control("current", 3.0), 1.0)], 0.05, "backward-euler"):
            model.advance(step)
            model.accept()

    with pytest.raises(SolverFailure, match="particle problem of point"):
        empty_the_particles()


class Recorder:
    """A model that only counts: rows of numbers, no equations."""

    comm = MPI.COMM_SELF
    columns = COLUMNS
    current = 0.0

    def __init__(self, balances: list[Balance]):
        self.balances = balances
        self.calls: list[str] = []

    def lithium(self) -> tuple[float, float]:
        return 2.0, 4.0

    def switch_on(self, control: Control) -> None:
        self.current = control.value
        self.calls.append(f"on {control.value:g}")

    def observe(self) -> dict[str, float]:
        return dict.fromkeys(COLUMNS[2:10], 0.5)

    def advance(self, step: Any) -> Any:
        from dfx_homog.solvers.newton import SolveInfo

        self.current = step.control.value
        self.calls.append(f"step {step.index} {self.current:g}")
        return SolveInfo(2, [5, 7])

    def balance(self) -> Balance:
        return self.balances.pop(0)

    def accept(self) -> None:
        self.calls.append("accept")


def test_order_of_events_and_columns(tmp_path: Path) -> None:
    balance = Balance((2.0 + 2e-6, 4.0 - 8e-6), (0.3 + 3e-5, -0.3 + 6e-5), (1.0, -0.6, -0.4 + 1e-7, 0.0, 0.0))
    model = Recorder([balance, balance])
    run = wavy_run("protocol.steps=[{current=0.3, duration=0.02}, {current=0.1, duration=0.02}]")
    states: list[tuple[int, float]] = []
    with Log(MPI.COMM_SELF, tmp_path, quiet=True) as log:
        result = march(model, run, tmp_path / "h.csv", log, "x", lambda i, t: states.append((i, t)))  # type: ignore[arg-type]
    assert model.calls == ["on 0.3", "step 1 0.3", "accept", "step 2 0.1", "accept"]
    assert states == [(0, 0.0), (1, 0.02), (2, 0.04)]
    assert [set(row) for row in result.rows] == [{*COLUMNS, *MORE_COLUMNS}] * 3
    assert (tmp_path / "h.csv").read_text().splitlines()[0] == ",".join((INTERFACE, *MORE_COLUMNS))
    assert ",".join(COLUMNS) == INTERFACE
    first, second, third = result.rows
    assert (first["newton"], first["krylov"], first["lithium_error"]) == (0, 0, 0)
    assert (second["newton"], second["krylov"]) == (2, 12)
    assert second["lithium_error"] == pytest.approx(2e-6)
    assert second["charge_error"] == pytest.approx(2e-4)
    assert second["energy_error"] == pytest.approx(1e-7)
    assert third["charge_error"] == pytest.approx(2.0, rel=1e-3)  # the same balance, another current
    assert result.krylov == [5, 7, 5, 7]


def test_ledger() -> None:
    """Errors relative to the inventory, the current, and the largest heat and current so far."""
    ledger = Ledger((2.0, -4.0), isothermal=False)
    names = ("lithium_error", "charge_error", "energy_error", "charge_error_run")
    assert ledger.first(0.5) == dict.fromkeys(names, 0.0)
    found = ledger.errors(Balance((2.0, -4.4), (0.0, 0.0), (10.0, -9.0)), 1.0)
    assert found == pytest.approx(dict(zip(names, (0.1, 1.0, 0.1, 1.0), strict=True)))
    later = ledger.errors(Balance((2.0, -4.0), (-0.1, 0.1), (2.0, -1.0)), -0.2)
    assert later == pytest.approx(dict(zip(names, (0.0, 0.5, 0.1, 0.1), strict=True)))
    rest = ledger.errors(Balance((2.0, -4.0), (1e-9, 0.0), (2.0, -2.0)), 0.0)
    assert rest == pytest.approx(dict(zip(names, (0.0, 1e3, 0.0, 1e-9), strict=True)))
    again = Ledger((2.0, -4.0), isothermal=False, **ledger.largest())
    assert again.errors(Balance((2.0, -4.0), (0.1, 0.0), (1.0, 0.0)), 0.0) == pytest.approx(
        dict(zip(names, (0.0, 1e11, 0.1, 0.1), strict=True))
    )
    assert np.isnan(
        Ledger((1.0, 1.0), isothermal=True).errors(Balance((1.0, 1.0), (1.0, -1.0), (1.0,)), 1.0)[
            "energy_error"
        ]
    )


def test_checks_leave_out_the_first_state() -> None:
    first = {**dict.fromkeys((*COLUMNS, *MORE_COLUMNS), 0.0), "newton": 9.0}
    second = {**dict.fromkeys((*COLUMNS, *MORE_COLUMNS), 0.0), "newton": 2.0, "charge_error": 1e-12}
    found = March([first, second], [4, 6], 1.0).checks()
    assert (found["newton_max"], found["charge_error"]) == (2, 1e-12)
    assert (found["krylov_max"], found["krylov_mean"]) == (6, 5.0)


class Counter(Recorder):
    """A model that takes any number of steps and keeps them."""

    def __init__(self) -> None:
        super().__init__([])
        self.steps: list[TimeStep] = []

    def advance(self, step: TimeStep) -> Any:
        self.steps.append(step)
        return super().advance(step)

    def balance(self) -> Balance:
        return Balance((2.0, 4.0), (0.0, 0.0), (1.0, -1.0))


@pytest.mark.parametrize("scheme", ["backward-euler", "bdf2"])
@pytest.mark.parametrize(
    ("duration", "count"), [(0.1, 5), (0.11, 6), (0.01, 1), (0.02 * 7, 7), (0.1 + 0.2, 15)]
)
def test_every_protocol_step_is_divided_evenly(
    duration: float, count: int, scheme: str, tmp_path: Path
) -> None:
    """Whole numbers of steps, no longer than dt; each protocol step starts with Euler; times add up."""
    steps = f"{{current=1.0, duration={duration!r}}}, {{current=0.0, duration=0.04}}"
    run, model = wavy_run(f"protocol.steps=[{steps}]", f'time.scheme="{scheme}"'), Counter()
    with Log(MPI.COMM_SELF, tmp_path, quiet=True) as log:
        march(model, run, tmp_path / "h.csv", log, "x")  # type: ignore[arg-type]
    taken = model.steps
    assert [s.protocol_step for s in taken] == [0] * count + [1, 1]
    assert [s.index for s in taken] == list(range(1, count + 3))
    assert [s.control.value for s in taken] == [1.0] * count + [0.0, 0.0]
    assert [s.control.time for s in taken] == [s.time for s in taken]
    assert taken[count - 1].time == duration
    assert taken[-1].time == pytest.approx(duration + 0.04)
    assert all(s.dt <= 0.02 * (1 + 1e-8) for s in taken)
    assert np.diff([0.0, *(s.time for s in taken)]) == pytest.approx([s.dt for s in taken])
    for s in taken:
        first = s.index in (1, count + 1) or scheme == "backward-euler"
        assert s.quotient == (euler if first else bdf2)(s.dt)
