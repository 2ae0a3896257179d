"""Stacks of meso-resolved cells against the battery equation: orders in eps, conservation, restart, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI

from dfx_homog.errors import BadInput
from dfx_homog.models.battery.stack import ResolvedStack
from dfx_homog.runfile import Run, load, require
from dfx_homog.runoptions import RunOptions
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.timestepping import TimeStep, euler
from dfx_homog.studies.battery import BatteryProblem
from dfx_homog.studies.convergence import run_convergence
from dfx_homog.studies.setup import Problem
from dfx_homog.studies.stacks import corrector, stacked

WORLD = MPI.COMM_WORLD
RUN = Path(__file__).resolve().parents[1] / "runs" / "stack.toml"
QUICK = (
    "protocol.steps.0.duration=0.1",
    "homogenised.elements=2",
    "battery.elements=[12, 1, 1]",
    "battery.levels=[2, 4]",
)
LAYER = "battery.layers=[{ thickness = 0.2, k = 900.0, rho_cp = 2.0 }]"


def quick(*overrides: str) -> Run:
    run = load(RUN, [*QUICK, *overrides])
    require(run, "convergence")
    return run


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def stack_of(run: Run, count: int, comm: MPI.Intracomm = MPI.COMM_SELF) -> ResolvedStack:
    return stacked(BatteryProblem(Problem(comm, run), {}, {}), count)


def advance(stack: ResolvedStack, steps: int = 2, current: float = 0.3) -> TimeStep:
    control = Control("current", current)
    stack.cells.switch_on(control)
    for n in range(1, steps + 1):
        step = TimeStep(n, 0.05 * n, 0.05, control, euler(0.05), 0)
        stack.advance(step)
        if n < steps:
            stack.accept()
    return step


@pytest.mark.mpi
def test_study_and_restart(tmp_path: Path) -> None:
    """First order already in a small case; a restart does not repeat what is finished."""
    folder = WORLD.bcast(tmp_path, root=0)
    run_convergence(quick(), folder, RunOptions(folder, quiet=True))
    WORLD.barrier()
    found = result(folder)
    assert [level["cells"] for level in found["levels"]] == [2, 4]
    for level in found["levels"]:
        assert level["energy_error"] < 1e-10 and level["coupling_most"] < 10
    assert 0.7 < found["orders"]["T"]["l2"][0] < 1.6
    assert 0.7 < found["orders"]["T"]["h1_corrected"][0] < 1.6
    assert abs(found["orders"]["T"]["h1"][0]) < 0.5
    report = (folder / "report.html").read_text()
    assert "Error against ε" in report and "temperature through the stacks" in report
    WORLD.barrier()
    run_convergence(quick(), folder, RunOptions(folder, quiet=True, restart=True))
    WORLD.barrier()
    assert result(folder)["levels"] == found["levels"]
    assert "finished already" in (folder / "log.txt").read_text()


@pytest.mark.slow
def test_orders_in_eps(tmp_path: Path) -> None:
    """T and its corrected slope of first order, its plain slope of none, V of first order, as in delta."""
    run = load(RUN, [])
    run_convergence(run, tmp_path, RunOptions(tmp_path, quiet=True))
    found = result(tmp_path)["orders"]
    assert min(*found["T"]["l2"], *found["T"]["h1_corrected"], *found["voltage"]) > 0.9
    assert max(map(abs, found["T"]["h1"])) < 0.2


@pytest.mark.mpi
def test_does_not_depend_on_ranks() -> None:
    """With an extra layer; heat flows through it, and all of it is accounted for."""
    here, alone = (stack_of(quick(LAYER), 3, comm) for comm in (WORLD, MPI.COMM_SELF))
    step = advance(here)
    advance(alone)
    np.testing.assert_allclose(here.T, alone.T, atol=1e-12)
    assert here.energy_error(step) < 1e-10
    assert here.y[-1] == pytest.approx(3.6) and np.ptp(here.T) > 1e-3
    for stack in (here, alone):
        stack.destroy()


def test_one_cell_is_the_homogenised_model() -> None:
    """The stack of one cell and the meso model with heat are the same equations, assembled apart."""
    run = quick("battery.cells=1", "parameters.h_negative=2.0", "parameters.h_positive=20.0")
    stack = stack_of(run, 1)
    model = Problem(MPI.COMM_SELF, run).homogenised({}, {})
    model.switch_on(Control("current", 0.3))
    for n in (1, 2):
        step = TimeStep(n, 0.05 * n, 0.05, Control("current", 0.3), euler(0.05), 0)
        model.advance(step)
        model.accept()
    advance(stack)
    order = np.argsort(model.points_of_nodes[:, 0])
    np.testing.assert_allclose(stack.T, model.values[order, model.component("T")], atol=1e-9)
    assert stack.voltage == pytest.approx(model.voltage, abs=1e-9)
    stack.destroy()
    model.destroy()


def test_corrector_has_no_mean_and_makes_the_flux_continuous() -> None:
    stack = stack_of(quick(LAYER), 2)
    W = corrector(stack)
    assert abs(stack.volumes @ W) < 1e-12
    length = stack.y[2::2] - stack.y[:-2:2]
    slope = (W[2::2] - W[:-2:2]) / length
    K = np.array([layer.K[0, 0] for layer in stack.unit.layers])
    flux = {
        round(float(k * (1 + s)), 9) for s in slope for k in K if abs(k * (1 + s) - stack.unit.K[0, 0]) < 1e-9
    }
    assert len(flux) == 1
    stack.destroy()


@pytest.mark.parametrize(
    ("override", "key", "reason"),
    [
        ("battery.levels=[4, 6]", "battery.levels", "not twice"),
        ("battery.levels=[4]", "battery.levels", "one level"),
        ('battery.connection="parallel"', "battery.levels", "same current"),
        ("battery.h=1.0", "battery.h", "x1_low and x1_high only"),
        ("battery.h={ x2_low = 1.0 }", "battery.h", "x1_low and x1_high only"),
    ],
)
def test_refused(override: str, key: str, reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        load(RUN, [override])
    assert key in str(caught.value) and reason in str(caught.value)
