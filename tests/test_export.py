"""Computed microstructures as BPX files and as parameter values of PyBaMM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from pybamm_venv import run_in_pybamm

from dfx_homog import cli
from dfx_homog.export.bpx import bpx_document
from dfx_homog.export.pybamm import pybamm_module
from dfx_homog.export.values import cell_values
from dfx_homog.parameters.bpx_file import read_bpx
from dfx_homog.parameters.expression import Expression
from dfx_homog.runfile import Run, load

HERE = Path(__file__).parent
WAVY = HERE.parent / "runs" / "lgm50-wavy.toml"
LGM50 = HERE / "data" / "lgm50.json"


def tensor(value: float) -> list[list[float]]:
    return [[value, 0.0], [0.0, 0.5 * value]]


#: Entries of result.json as far as they count here.
ENTRIES: dict[str, Any] = {
    name: {
        "phi_e": 0.3,
        "phi_e_total": 0.32,
        "a": 2.0,
        "theta": 2e6,
        "S": tensor(S),
        "B": tensor(0.2),
        "K": None,
        "islands": {"solid": 0.1, "electrolyte": 0.05},
    }
    for name, S in (("negative", 200.0), ("positive", 0.2))
}


def run_of(folder: Path, *overrides: str, bpx: bool = False) -> Run:
    """The shipped run file, on the BPX file if asked for."""
    path = WAVY
    if bpx:
        path = folder / "wavy.toml"
        path.write_text(WAVY.read_text().replace('set = "chen2020"', f'bpx = "{LGM50}"'))
    return load(path, overrides)


def exported(folder: Path, *overrides: str, bpx: bool = False) -> dict[str, Any]:
    run = run_of(folder, *overrides, bpx=bpx)
    return bpx_document(cell_values(run, ENTRIES), run.given)


def test_effective_transport_takes_the_place_of_the_sets(tmp_path: Path) -> None:
    found = exported(tmp_path)["Parameterisation"]["Negative electrode"]
    assert found["Porosity"] == 0.3
    assert found["Transport efficiency"] == 0.2
    assert found["Conductivity [S.m-1]"] == 200.0
    assert found["Surface area per unit volume [m-1]"] == pytest.approx(2.0 / 10e-6)
    # spheres of the volume of the solid that is connected, and of its surface
    active = found["Surface area per unit volume [m-1]"] * found["Particle radius [m]"] / 3
    assert active == pytest.approx((1 - 0.32) * (1 - 0.1))
    assert found["Thickness [m]"] == pytest.approx(85.2e-6)
    assert exported(tmp_path)["Parameterisation"]["Separator"]["Transport efficiency"] == pytest.approx(
        0.47**1.5
    )


@pytest.mark.parametrize("bpx", [False, True], ids=["set", "bpx"])
def test_is_read_back(tmp_path: Path, bpx: bool) -> None:
    pytest.importorskip("bpx")
    path = tmp_path / "effective.bpx.json"
    path.write_text(json.dumps(exported(tmp_path, bpx=bpx)))
    run, back = run_of(tmp_path, bpx=bpx), read_bpx(path)
    for name in ("negative", "positive"):
        mine, theirs = getattr(run.parameters, name), back.parameters[name]
        assert [theirs["K"], theirs["c_s0"]] == pytest.approx([mine.K, mine.c_s0], rel=1e-9)
        c = np.linspace(0.01, 0.99, 50)
        assert Expression.parse(theirs["ocp"]).numpy(c=c) == pytest.approx(
            Expression.parse(mine.ocp).numpy(c=c)
        )
    diffusivity = back.electrolyte.D_L
    assert diffusivity == pytest.approx(run.parameters.D_L, rel=1e-12)
    assert back.electrolyte.kappa == pytest.approx(0.9488, rel=2e-4)
    assert back.thickness == pytest.approx(run.cell.thickness, rel=1e-12)
    assert (back.v_min, back.v_max) == (2.5, 4.2)


def test_file_under_the_run_stays_as_it_is(tmp_path: Path) -> None:
    own, found = json.loads(LGM50.read_text()), exported(tmp_path, "parameters.negative.D_s=1e-14", bpx=True)
    assert found["Parameterisation"]["Electrolyte"] == own["Parameterisation"]["Electrolyte"]
    assert found["Parameterisation"]["Cell"] == own["Parameterisation"]["Cell"]
    n = found["Parameterisation"]["Negative electrode"]
    assert n["OCP [V]"] == own["Parameterisation"]["Negative electrode"]["OCP [V]"]
    assert n["Diffusivity [m2.s-1]"] == 1e-14  # the run file's
    assert n["Reaction rate constant activation energy [J.mol-1]"] == 35000.0
    cold = exported(tmp_path, "parameters.activation.G_n=0.0", bpx=True)["Parameterisation"][
        "Negative electrode"
    ]
    assert cold["Reaction rate constant activation energy [J.mol-1]"] == 0.0


def test_formulas_that_bpx_does_not_know_become_tables(tmp_path: Path) -> None:
    text = "min(1e-14, 2e-14*c) + 1e-15*sqrt(c + T - 298.15)"
    found = exported(tmp_path, f"parameters.negative.D_s='{text}'")
    table = found["Parameterisation"]["Negative electrode"]["Diffusivity [m2.s-1]"]
    assert np.interp(0.25, table["x"], table["y"]) == pytest.approx(5.5e-15, rel=1e-4)


def test_own_diffusivities_replace_the_electrolyte(tmp_path: Path) -> None:
    e = exported(tmp_path, "parameters.D_L=1e-10", "parameters.D_A=3e-10")["Parameterisation"]["Electrolyte"]
    assert e["Diffusivity [m2.s-1]"] == pytest.approx(1.5e-10)
    assert e["Cation transference number"] == pytest.approx(0.25)
    assert Expression.parse(e["Conductivity [S.m-1]"], ("x",)).numpy(x=1000.0) == pytest.approx(
        1.502, rel=1e-3
    )


def test_stoichiometries_at_the_voltage_limits(tmp_path: Path) -> None:
    values = cell_values(run_of(tmp_path, "protocol.v_min=3.0"), ENTRIES)  # which ends the run, not the cell
    n, p = values.windows
    for x, y, limit in ((n[0], p[1], 2.5), (n[1], p[0], 4.2)):
        voltage = values.positive.ocp.numpy(c=y) - values.negative.ocp.numpy(c=x)
        assert voltage == pytest.approx(limit, abs=1e-9)
        lithium = sum(
            e.active * e.thickness * e.c_max * at for e, at in ((values.negative, x), (values.positive, y))
        )
        start = sum(e.active * e.thickness * e.c_s0 for e in (values.negative, values.positive))
        assert lithium == pytest.approx(start, rel=1e-12)
    assert values.implied_capacity > 0


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["parameters.negative.film_resistance=1e-3"], "film_resistance has no counterpart"),
        (["parameters.mu_L=1e-14"], "mobilities"),
        (["parameters.activation.D_L=1e4"], "both D_L and D_A"),
        (["parameters.positive.beta=0.4"], "beta must be 0.5"),
        (["parameters.positive.D_s=[[1e-14,0.0],[0.0,1e-14]]"], "tensor"),
    ],
)
def test_what_has_no_counterpart_is_named(tmp_path: Path, overrides: list[str], words: str) -> None:
    run = run_of(tmp_path, *overrides)
    with pytest.raises(ValueError, match=words):
        bpx_document(cell_values(run, ENTRIES), run.given)


def test_closed_pores_are_named(tmp_path: Path) -> None:
    entries = ENTRIES | {"negative": ENTRIES["negative"] | {"B": tensor(0.0)}}
    with pytest.raises(ValueError, match="does not percolate"):
        cell_values(run_of(tmp_path), entries)


def test_module_is_python(tmp_path: Path) -> None:
    """Names in it, and what can be computed without PyBaMM."""
    text = pybamm_module(cell_values(run_of(tmp_path), ENTRIES))
    head, functions = text.split("from pybamm import maximum as max, minimum as min\n")
    names: dict[str, Any] = {"exp": np.exp, "tanh": np.tanh}
    exec(compile(functions, "module", "exec"), names)
    values = names["get_parameter_values"]()
    assert "get_parameter_values" in head
    assert values["Negative electrode active material volume fraction"] == pytest.approx(0.68 * 0.9)
    assert values["Thermodynamic factor"] == pytest.approx((1 - 0.2594 / 0.7406) / 2)
    b, porosity = (
        values[f"Negative electrode {k}"] for k in ("Bruggeman coefficient (electrolyte)", "porosity")
    )
    assert porosity**b == pytest.approx(0.2)
    j0 = values["Negative electrode exchange-current density [A.m-2]"](1000.0, 16566.5, 33133.0, 298.15)
    assert j0 == pytest.approx(6.48e-7 * np.sqrt(1000.0 * 16566.5 * 16566.5))
    ratio = (
        values["Negative electrode exchange-current density [A.m-2]"](1000.0, 16566.5, 33133.0, 308.15) / j0
    )
    assert ratio == pytest.approx(np.exp(35000 / 8.31446261815324 * (1 / 298.15 - 1 / 308.15)))


@pytest.mark.mpi
def test_cell_writes_both(tmp_path: Path) -> None:
    folder = MPI.COMM_WORLD.bcast(tmp_path, root=0)
    out = folder / "out"
    coarse = ("--set", "microstructure.negative.order=1", "--set", "microstructure.positive.order=1")
    assert cli.main(["cell", str(WAVY), "--out", str(out), "--quiet", *coarse]) == 0
    entry = json.loads((out / "result.json").read_text())["microstructures"]["negative"]
    found = json.loads((out / "effective.bpx.json").read_text())["Parameterisation"]["Negative electrode"]
    assert found["Transport efficiency"] == entry["B"][0][0]
    assert found["Conductivity [S.m-1]"] == entry["S"][0][0]
    assert found["Surface area per unit volume [m-1]"] == pytest.approx(entry["a"] / 10e-6)
    compile((out / "effective_pybamm.py").read_text(), "effective_pybamm.py", "exec")
    assert "effective_pybamm: " in (out / "log.txt").read_text()


SCRIPT = """
import importlib.util
import pathlib

import numpy as np
import pybamm

pathlib.Path("effective_pybamm.py").write_text(data["module"])
spec = importlib.util.spec_from_file_location("effective_pybamm", "effective_pybamm.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
pathlib.Path("effective.bpx.json").write_text(data["bpx"])
cases = {
    "module": pybamm.ParameterValues(module.get_parameter_values()),
    "bpx": pybamm.ParameterValues.create_from_bpx("effective.bpx.json"),
}
result = {}
for name, values in cases.items():
    points = {"x_n": 60, "x_s": 30, "x_p": 60, "r_n": 60, "r_p": 60}
    model = pybamm.lithium_ion.DFN()
    solver = pybamm.IDAKLUSolver(rtol=1e-8, atol=1e-8)
    simulation = pybamm.Simulation(model, parameter_values=values, var_pts=points, solver=solver)
    solution = simulation.solve([0, 1800], t_interp=np.array([60.0, 600.0, 1800.0]))
    result[name] = [float(v) for v in solution["Voltage [V]"](np.array([60.0, 600.0, 1800.0]))]
"""


@pytest.mark.slow
def test_pybamm_runs_the_lgm50() -> None:
    """All given: voltages of VERIFICATION section 5 from the module. BPX has the paper's electrolyte."""
    run = load(HERE.parent / "runs" / "chen2020.toml")
    values = cell_values(run, {})
    data = {"module": pybamm_module(values), "bpx": json.dumps(bpx_document(values, run.given))}
    found = run_in_pybamm(SCRIPT, data)
    # PyBaMM is of first order across the regions
    assert found["module"] == pytest.approx([3.968880, 3.843999, 3.544490], abs=4e-4)
    assert found["bpx"] == pytest.approx(found["module"], abs=0.05)


@pytest.mark.slow
def test_pybamm_runs_computed_microstructures(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    values = cell_values(run, ENTRIES)
    found = run_in_pybamm(
        SCRIPT, {"module": pybamm_module(values), "bpx": json.dumps(bpx_document(values, run.given))}
    )
    for voltages in found.values():
        assert all(2.5 < v < 4.2 for v in voltages)
        assert sorted(voltages, reverse=True) == voltages
