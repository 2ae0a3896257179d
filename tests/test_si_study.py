"""What a study in SI leaves behind: history, result.json, run.toml, fields, pictures; restart and convergence."""

from __future__ import annotations

import base64
import csv
import json
import math
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from si import EFFORT, LENGTH, particles, unit_cells

from dfx_homog.errors import StoppedEarly
from dfx_homog.models.in_units import COLUMN_KINDS
from dfx_homog.parameters.scaling import FARADAY
from dfx_homog.runfile import Run, load
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies.check import describe
from dfx_homog.studies.convergence import run_convergence
from dfx_homog.studies.setup import Problem
from dfx_homog.studies.simulate import run_homogenised, run_resolved

WORLD = MPI.COMM_WORLD


class Recorder:
    """In place of the writer of fields.bp: times, places and values of what it is told to write."""

    def __init__(self, functions: list[Any], stop_at: float):
        self.functions, self.stop_at = functions, stop_at
        self.states: list[tuple[float, np.ndarray, dict[str, np.ndarray]]] = []

    def write(self, time: float) -> None:
        places = self.functions[0].function_space.mesh.geometry.x.copy()
        values = {f.name: f.x.array[np.isfinite(f.x.array)] for f in self.functions}
        self.states.append((time, places, values))
        if time == pytest.approx(self.stop_at):
            os.kill(os.getpid(), signal.SIGUSR1)

    def close(self) -> None:
        """Nothing is open."""


def study(
    command: Any,
    run: Run,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop_at: float = math.nan,
    report: bool = False,
    **options: Any,
) -> Recorder:
    """Runs a study on all ranks; what it writes for ParaView is recorded."""
    recorders: list[Recorder] = []

    def writer(_comm: Any, _path: Path, functions: list[Any]) -> Recorder:
        recorders.append(Recorder(functions, stop_at))
        return recorders[-1]

    monkeypatch.setattr("dfx_homog._compat.vtx_writer", writer)
    if not report:
        monkeypatch.setattr("dfx_homog.studies.simulate.finish", lambda *_: None)
    if WORLD.rank == 0:
        out.mkdir(exist_ok=True)
    WORLD.barrier()
    try:
        command(run, out, RunOptions(out, quiet=True, **options))
    except StoppedEarly:
        assert not math.isnan(stop_at)
    return recorders[0]


def rows(out: Path) -> list[dict[str, float]]:
    with (out / "history.csv").open(newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("command", "run", "length"),
    [(run_homogenised, particles(), 1.6e-4), (run_resolved, unit_cells(), 5 * LENGTH)],
    ids=["homogenised", "resolved"],
)
def test_study_and_restart(
    command: Any, run: Run, length: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is in SI; a run that is stopped and goes on gives the same."""
    out = WORLD.bcast(tmp_path, root=0)
    fields = study(command, run, out / "whole", monkeypatch)
    for time, places, values in fields.states:
        assert time in (0.0, pytest.approx(10.0), pytest.approx(40.0))
        ends = WORLD.allreduce(places[:, 0].min(), MPI.MIN), WORLD.allreduce(places[:, 0].max(), MPI.MAX)
        assert ends == (0.0, pytest.approx(length))
        assert (np.abs(values["c_e"] - 1000.0) < 300.0).all()
        assert (np.abs(values["T"] - 295.0) < 5.0).all()
        assert (np.abs(values["eta"]) < 0.3).all()
    assert len(fields.states) == 3
    # the places are those without units again
    assert fields.functions[0].function_space.mesh.geometry.x.max() <= 1.0
    study(command, run, out / "parts", monkeypatch, stop_at=10.0)
    study(command, run, out / "parts", monkeypatch, restart=True)
    whole, parts = rows(out / "whole"), rows(out / "parts")
    assert len(whole) == len(parts)
    for one, other in zip(whole, parts, strict=True):
        for name in (
            "time",
            "current",
            "voltage",
            "T_mean",
            "c_e_min",
            "soc_p",
            "rate_mean_n",
            "heat_joule_e_s",
        ):
            assert one[name] == pytest.approx(other[name], rel=1e-9, abs=1e-9)
    assert whole[-1]["time"] == pytest.approx(40.0, rel=1e-12)
    # lithium that left the negative electrode, by charge: soc_n falls by q/(F c_max thickness of solid)
    text = (out / "parts" / "log.txt").read_text(encoding="utf-8")
    assert "going on from step" in text and " s" in text and "scales: L = " in text
    result = json.loads((out / "whole" / "result.json").read_text(encoding="utf-8"))
    assert result["final"]["T_mean"] == whole[-1]["T_mean"]
    assert result["scales"]["L"] == pytest.approx(length) and result["scales"]["c0"] == 1000.0
    assert result["groups"]["negative"]["c_max"] == 30.0
    assert load(out / "whole" / "run.toml").model_dump() == run.model_dump()


def test_charge_is_conserved_in_si(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What leaves the negative particles is current over Faraday's constant; the reaction's rate is per surface."""
    protocol = "protocol={steps=[{current=20.0, duration=40.0}]}"
    run = particles(protocol, "parameters.negative.C_dl=0.0", "parameters.positive.C_dl=0.0")
    study(run_homogenised, run, tmp_path, monkeypatch, report=True)
    found = rows(tmp_path)
    charge = 20.0 * 40.0 / FARADAY  # mol/m2
    # spheres of 0.6 of 80 um and of 60 um
    for soc, sign, c_max, thickness in (("soc_n", -1, 3e4, 8e-5), ("soc_p", 1, 5e4, 6e-5)):
        change = found[-1][soc] - found[0][soc]
        assert change == pytest.approx(sign * charge / (c_max * 0.6 * thickness), rel=1e-9)
    area = 3 * 0.6 / 6e-6 * 8e-5
    assert found[-1]["rate_mean_n"] == pytest.approx(20.0 / area, rel=1e-9)
    # most of what the voltage loses is heat; mixing of what is uneven is no mechanism of its own
    heat = sum(value for name, value in found[-1].items() if name.startswith("heat_"))
    lost = found[-1]["open_circuit"] - found[-1]["voltage"]
    reversible = found[-1]["heat_reversible_n"] + found[-1]["heat_reversible_p"]
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    pictures = re.findall(r"data:image/svg\+xml;base64,([^\"]*)", text)
    text += "".join(base64.b64decode(picture).decode() for picture in pictures)
    for words in (
        "(J/m²)",
        "Scales of the run",
        "mol/m³",
        "time $t$ (s)",
        "$y_1$ (µm)",
        "voltage $V$ (V)",
        "(A/m²)",
    ):
        assert words in text
    assert "(dimensionless)" not in text
    assert heat - reversible == pytest.approx(20.0 * lost, rel=0.1)


def test_battery_in_si(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A battery and its dimensionless twin: every column."""
    battery = (
        "battery={cells=20, size=[0.01, 0.02], elements=[3,2,1], groups=[2,1,1], h={x1_low=20.0}, "
        "connection='parallel', T_ambient=290.0, layers=[{thickness=1.2e-5, k=400.0, rho_cp=3.4e6}]}"
    )
    run = particles(
        "protocol={steps=[{current=20.0, duration=40.0}]}",
        "time.dt=20.0",
        "homogenised.elements=2",
        battery,
    )
    monkeypatch.setattr("dfx_homog.studies.battery_run.finish", lambda *_: None)
    fields = study(run_homogenised, run, tmp_path / "si", monkeypatch)
    assert fields.states[-1][1].max(axis=0) == pytest.approx([20 * 1.72e-4, 0.01, 0.02])
    twin = Problem(WORLD, run).scaled({}).twin
    assert twin is not None
    (tmp_path / "twin.toml").write_text(twin.run.to_toml(), encoding="utf-8")
    study(run_homogenised, load(tmp_path / "twin.toml"), tmp_path / "plain", monkeypatch)
    for one, other in zip(rows(tmp_path / "si"), rows(tmp_path / "plain"), strict=True):
        for name, value in one.items():
            if name not in EFFORT:
                expected = twin.si.value(COLUMN_KINDS[name], other[name])
                assert value == pytest.approx(expected, rel=1e-10, abs=1e-12, nan_ok=True), name
    found = json.loads((tmp_path / "si" / "result.json").read_text(encoding="utf-8"))["battery"]
    # in parallel along the layers: arithmetic mean
    along = (80 * 1.2 + 20 * 0.3 + 60 * 1.2 + 12 * 400.0) / 172
    assert found["K_batt"][1][1] == pytest.approx(along, rel=1e-9)
    assert 280.0 < rows(tmp_path / "si")[-1]["T_min"] < 298.0


def test_convergence_in_si(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative errors have no unit; voltages, means and tensors have theirs."""
    run = unit_cells(
        "protocol={steps=[{current=20.0, duration=12.0}]}", "convergence.periods=[[2,1,2],[4,2,4]]"
    )
    monkeypatch.setattr("dfx_homog.studies.convergence.finish", lambda *_: None)
    run_convergence(run, tmp_path, RunOptions(tmp_path, quiet=True))
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert [level["delta"] for level in result["levels"]] == [0.2, 0.1]
    assert 0.7 < result["orders"]["voltage"][0] < 1.5
    assert result["levels"][1]["means"]["T_mean"] == pytest.approx(296.0, abs=2.0)
    assert result["homogenised"]["means"]["c_e_separator"] == pytest.approx(1000.0, abs=20.0)
    tensors = result["homogenised"]["tensors"]["negative"]
    shares = tensors["phi_e"]
    assert (
        0.5 * 50 * (1 - shares)
        < tensors["S"][0][0]
        < 50 * (1 - shares)
        == pytest.approx(tensors["bounds"]["S"]["voigt"])
    )
    assert 0.6 < tensors["K"][0][0] < 2.0
    assert tensors["theta"] == pytest.approx(2e6 + 1e6 * (1 - shares))
    assert tensors["a"] == pytest.approx(result["geometry"]["negative"]["a"], rel=1e-9)
    assert 1.5 / LENGTH < tensors["a"] < 3.0 / LENGTH
    with np.load(tmp_path / "fields.npz") as arrays:
        assert arrays["meso_ends"] == pytest.approx(np.array([0, 2, 3, 5]) * LENGTH)
        assert arrays["mesh_points"].max() == pytest.approx(5 * LENGTH)
        assert np.nanmax(arrays["mesh_values"][..., 0]) < 5e4
        assert arrays["cell_negative_points"].max() == pytest.approx(1.0)


def test_check_in_si() -> None:
    text = describe(unit_cells())
    assert "time: " in text and "of at most 4 s to t = 40 s" in text
    assert "scales: L = 0.0001 m" in text
    assert "groups, negative: delta = 0.2" in text
