"""Runs from named sets and BPX files: the same as with everything written out, on any number of ranks."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI

from dfx_homog import cli
from dfx_homog.parameters.expression import Expression
from dfx_homog.runfile import load, require

HERE = Path(__file__).parent
RUNS = HERE.parent / "runs"
STEPS = """
[protocol]
steps = [{ current = 48.685492, duration = 60.0 }]
[time]
dt = 20.0
[homogenised]
elements = 4
[output]
report = false
"""
SET = f'[parameters]\nset = "chen2020"\n{STEPS}'
BPX = f"""
[parameters]
bpx = "{HERE / "data" / "lgm50.json"}"
[parameters.negative]
c_s0 = 29866.0
[parameters.positive]
c_s0 = 17038.0
{STEPS}
"""


def voltages(folder: Path, name: str, text: str) -> list[float]:
    """Those that a run file gives. Collective."""
    path, out = folder / f"{name}.toml", folder / name
    if MPI.COMM_WORLD.rank == 0:
        path.write_text(text)
    assert cli.main(["homogenised", str(path), "--out", str(out), "--quiet"]) == 0
    with (out / "history.csv").open() as file:
        return [float(row["voltage"]) for row in csv.DictReader(file)]


@pytest.mark.mpi
@pytest.mark.mpi3
def test_the_same_cell_by_name_and_from_a_file(tmp_path: Path) -> None:
    folder = MPI.COMM_WORLD.bcast(tmp_path, root=0)
    named = voltages(folder, "set", SET)
    assert len(named) == 4
    assert named[0] == pytest.approx(4.0459, abs=1e-3)
    # the file has no heat capacity, which counts for nothing here
    assert voltages(folder, "bpx", BPX) == pytest.approx(named, rel=1e-10)


@pytest.mark.slow
def test_tables_run_like_the_formulas_they_are_of(tmp_path: Path) -> None:
    """Open-circuit potentials as tables of 200 points, which are met within 0.2 mV."""
    data = json.loads((HERE / "data" / "lgm50.json").read_text())
    x = np.linspace(0.002, 0.998, 200)
    for side in ("Negative electrode", "Positive electrode"):
        electrode = data["Parameterisation"][side]
        curve = Expression.parse(electrode["OCP [V]"], ("x",)).numpy(x=x)
        electrode["OCP [V]"] = {"x": x.tolist(), "y": curve.tolist()}
    (tmp_path / "tables.json").write_text(json.dumps(data))
    tables = BPX.replace(str(HERE / "data" / "lgm50.json"), "tables.json")
    assert voltages(tmp_path, "tables", tables) == pytest.approx(voltages(tmp_path, "bpx", BPX), abs=5e-4)


def test_run_toml_is_the_whole_input(tmp_path: Path) -> None:
    for name, text in {"set": SET, "bpx": BPX}.items():
        path = tmp_path / f"{name}.toml"
        path.write_text(text)
        first = load(path)
        require(first, "homogenised")
        (tmp_path / "run.toml").write_text(first.to_toml())
        again = load(tmp_path / "run.toml")
        assert again.model_dump() == first.model_dump()
        assert again.parameters.origin == ("chen2020" if name == "set" else "lgm50.json")
        assert first.notes
        assert not again.notes
