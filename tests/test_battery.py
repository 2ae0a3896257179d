"""The battery: its cells against one lumped cell, connections, conservation, ranks, restart, input it refuses."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI
from si import particles
from wavy import NO_DOUBLE_LAYER, conserves, follow, simulate, wavy_run

from dfx_homog.dimensionless.twin import in_scales
from dfx_homog.errors import BadInput, StoppedEarly
from dfx_homog.models import in_units
from dfx_homog.models.battery.model import BatteryModel
from dfx_homog.runfile import Run, require
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies.battery import BatteryProblem, describe
from dfx_homog.studies.checkpoints import Checkpoints
from dfx_homog.studies.interrupt import Interrupt
from dfx_homog.studies.march import march
from dfx_homog.studies.outcome import March
from dfx_homog.studies.progress import Log
from dfx_homog.studies.setup import Problem

WORLD = MPI.COMM_WORLD
BATTERY = "cells = 8, size = [4.0, 4.0], elements = [6, 2, 2]"
WARM = ("parameters.activation.G_n=8", "parameters.activation.D_L=5", "parameters.gamma=1.0")
COLUMNS = ("current", "voltage", "T_mean", "T_max", "T_min", "soc_n", "current_min", "current_max", "heat")


def battery_run(keys: str, *overrides: str, steps: int = 3) -> Run:
    """`wavy-2d` with few meso elements and [battery]; keys in TOML."""
    table = f"battery={{{BATTERY}, {keys}}}"
    return wavy_run("homogenised.elements=2", table, *overrides, steps=steps)


def battery(run: Run, comm: MPI.Intracomm = WORLD) -> BatteryModel:
    require(run, "homogenised")
    problem = Problem(comm, run)
    cells = problem.unit_cells()
    problem = problem.scaled(cells)
    return BatteryProblem(problem, cells, problem.effective_media(cells)).model()


def history(run: Run, comm: MPI.Intracomm = WORLD) -> March:
    model = battery(run, comm)
    try:
        return follow(model, run)
    finally:
        model.destroy()


def difference(a: March, b: March, columns: tuple[str, ...] = COLUMNS) -> float:
    assert len(a.rows) == len(b.rows)
    return max(abs(x[c] - y[c]) for x, y in zip(a.rows, b.rows, strict=True) for c in columns)


COLD = "groups = [3, 1, 1], h = { x1_low = 2.0 }"


@pytest.mark.mpi
@pytest.mark.parametrize("connection", ["prescribed", "parallel"])
def test_insulated_battery_is_a_lumped_cell(connection: str) -> None:
    """Uniform, without exchange: one cell that conducts so well that T is the same everywhere in it, to 1e-9."""
    best = [f"microstructure.{r}.k_e=1e7" for r in ("negative", "separator", "positive")]
    best += [f"microstructure.{r}.k_s=1e7" for r in ("negative", "positive")]
    run = battery_run(f'groups = [2, 1, 1], connection = "{connection}"', *WARM)
    lumped = simulate(
        wavy_run("homogenised.elements=2", "parameters.h=0", *best, *WARM, steps=3),
        "homogenised",
        MPI.COMM_SELF,
    )
    found = history(run)
    names = ("current", "voltage", "T_mean", "T_max", "T_min", "c_e_max", "soc_n")
    assert difference(found, lumped, names) < 1e-9
    assert found.rows[-1]["T_max"] > 1e-3 and conserves(found)


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize(
    ("connection", "change"),
    [
        ("prescribed", ()),
        ("parallel", (*NO_DOUBLE_LAYER, 'time.scheme="bdf2"')),
        ("parallel", ("homogenised.wall_law=true", 'cell.lateral="periodic"')),
        ("parallel", ("protocol.steps=[{voltage=0.6, duration=0.04}, {power=0.1, duration=0.04}]",)),
        ("prescribed", ("protocol.steps=[{voltage=0.6, duration=0.04}, {power=0.1, duration=0.04}]",)),
    ],
)
def test_conserves_and_does_not_depend_on_ranks(connection: str, change: tuple[str, ...]) -> None:
    run = battery_run(f'{COLD}, connection = "{connection}"', *WARM, *change)
    here, alone = history(run), history(run, MPI.COMM_SELF)
    assert difference(here, alone) < 1e-9
    for row in here.rows[1:]:
        assert max(row["lithium_error"], row["charge_error"], row["energy_error"]) < 1e-10
        assert row["coupling_error"] <= 1e-10 and row["coupling"] <= 10
        assert row["T_min"] < row["T_max"]
    last = here.rows[-1]
    if "steps" not in "".join(change):
        assert last["current"] == pytest.approx(0.2, abs=1e-10)
    else:
        assert here.rows[2]["voltage"] == pytest.approx(0.6, abs=1e-10)
        assert last["current"] * last["voltage"] == pytest.approx(0.1, abs=1e-9)


def test_connections() -> None:
    """In parallel V agrees and the warm cells take more current; in series the current agrees and they have more V."""
    found = {
        c: history(battery_run(f'{COLD}, connection = "{c}"', *WARM)) for c in ("prescribed", "parallel")
    }
    for row in found["parallel"].rows[1:]:
        assert row["voltage_max"] - row["voltage_min"] < 1e-10
        assert row["current_min"] < row["current"] < row["current_max"]
        assert row["hot_spot_x1"] > 4.0 and row["T_gradient_through"] == pytest.approx(row["T_gradient_max"])
    for row in found["prescribed"].rows[1:]:
        assert row["current_min"] == row["current_max"] == pytest.approx(0.2, abs=1e-14)
        assert row["voltage_min"] < row["voltage"] < row["voltage_max"]
    model = battery(battery_run(f'{COLD}, connection = "parallel"', *WARM))
    follow(model, battery_run(COLD, *WARM))
    order = np.argsort(model.temperature)
    assert (np.diff(model.by_group()["current"][order]) > 0).all()
    model.destroy()


def test_symmetric_groups_share_equally() -> None:
    """Cooled alike on both sides, the outer groups carry the same current, less than the inner one."""
    keys = 'groups = [3, 1, 1], h = { x1_low = 1.0, x1_high = 1.0 }, connection = "parallel"'
    run = battery_run(keys, *WARM)
    model = battery(run)
    follow(model, run)
    current = model.by_group()["current"]
    model.destroy()
    assert current[0] == pytest.approx(current[2], abs=1e-11) and current[1] > current[0] + 1e-7


def test_extra_layers_dilute_the_heat() -> None:
    """A layer as thick as the cell that holds as much heat: without exchange T rises by half, to first order."""
    run = battery_run("groups = [1, 1, 1]")
    model = battery(run)
    theta = model.heat.theta
    model.destroy()
    layer = f"layers = [{{ thickness = 1.0, k = 5.0, rho_cp = {theta!r} }}]"
    plain, thick = history(run), history(battery_run(f"groups = [1, 1, 1], {layer}"))
    assert thick.rows[-1]["T_mean"] == pytest.approx(0.5 * plain.rows[-1]["T_mean"], rel=1e-3)
    assert conserves(thick)


def test_wound_battery_and_chosen_steps() -> None:
    """A cylinder cooled at its mantle, with steps that the estimated error chooses, to a limit of T."""
    table = 'shape = "cylinder", cells = 4, size = [3.0], inner_radius = 1.0, elements = [3, 12, 1], groups = [3, 1, 1]'
    run = wavy_run(
        "homogenised.elements=2",
        f'battery={{{table}, h = {{ outer = 1.0 }}, connection = "parallel"}}',
        "time.adaptive=true",
        "time.tolerance=1e-3",
        'time.scheme="bdf2"',
        "protocol.T_max=0.004",
        *WARM,
        steps=10,
    )
    found = history(run)
    last = found.rows[-1]
    assert found.stopped and last["T_max"] == pytest.approx(0.004, rel=1e-4)
    assert np.hypot(last["hot_spot_x1"], last["hot_spot_x2"]) == pytest.approx(1.0)
    assert last["energy_error"] < 1e-10


def test_in_si_the_scales_do_not_matter() -> None:
    """A battery in SI with other scales than its own: the same numbers in SI, of the effective coefficients too."""
    table = "cells=5, size=[2e-3, 3e-3], elements=[4, 2, 2], groups=[2, 1, 1], connection='parallel'"
    more = "h={x1_low=200.0}, T_ambient={x1_low=290.0}, layers=[{thickness=2e-5, k=300.0, rho_cp=3e6}]"
    run = particles(
        f"battery={{{table}, {more}}}", "protocol.steps=[{current=20.0, duration=8.0}]", "output={}"
    )
    problem = Problem(MPI.COMM_SELF, run)
    own = problem.scaled({})
    assert own.twin is not None
    other = in_scales(run, replace(own.twin.scales, c0=350.0, Phi0=0.3, i0=7.0, rho_cp0=9e5))
    found = []
    for twin in (own.twin, other):
        battery_problem = BatteryProblem(replace(problem, run=twin.run, twin=twin), {}, {})
        model, stack = battery_problem.model(), battery_problem.stack()
        rows = follow(model, twin.run).rows
        facts = describe(model, stack, run.battery, twin.si)
        model.destroy()
        found.append(([in_units.row(twin.si, row) for row in rows], facts))
    (rows, facts), (others, same) = found
    for row, theirs in zip(rows, others, strict=True):
        for name in COLUMNS:
            assert row[name] == pytest.approx(theirs[name], rel=1e-8), name
    assert facts["K_batt"][1] == pytest.approx(same["K_batt"][1], rel=1e-12)
    assert facts["theta_batt"] == pytest.approx(same["theta_batt"], rel=1e-12)
    assert facts["volume"] == pytest.approx(5 * 1.8e-4 * 6e-6, rel=1e-12)
    assert facts["K_batt"][1][1] == pytest.approx((14e-5 * 1.2 + 2e-5 * 0.3 + 2e-5 * 300) / 18e-5, rel=1e-12)
    assert 290.0 < rows[-1]["T_min"] < rows[-1]["T_max"]


def go(
    run: Run, folder: Path, comm: MPI.Intracomm, *, restart: bool = False, on_state: Callable | None = None
) -> March:
    model = battery(run, comm)
    opts = RunOptions(folder, quiet=True, restart=restart)
    try:
        with Log(comm, folder, quiet=True) as log, Interrupt(comm, opts) as interrupt:
            keeper = Checkpoints(run, folder / "checkpoint", opts, comm, log, interrupt)
            return march(model, run, folder / "history.csv", log, "test", on_state, keeper)
    finally:
        model.destroy()


@pytest.mark.mpi
def test_restart_on_other_ranks(tmp_path: Path) -> None:
    """Stopped on all ranks, gone on on one: as an uninterrupted run."""
    folder = WORLD.bcast(tmp_path, root=0)
    run = battery_run(f'{COLD}, connection = "parallel"', *WARM, 'time.scheme="bdf2"', steps=4)

    def interrupt(index: int, _time: float) -> None:
        if index == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedEarly, match="SIGTERM"):
        go(run, folder, WORLD, on_state=interrupt)
    if WORLD.rank == 0:
        (folder / "whole").mkdir()
        reference = go(run, folder / "whole", MPI.COMM_SELF)
        assert difference(go(run, folder, MPI.COMM_SELF, restart=True), reference) < 1e-10
    WORLD.barrier()


@pytest.mark.parametrize(
    ("table", "key", "reason"),
    [
        ('shape = "box", cells = 4', "battery.size", "needs it"),
        ("cells = 4, size = [1.0]", "battery.size", "two lengths"),
        ("cells = 4, size = [1.0, 1.0], inner_radius = 1.0", "battery.inner_radius", "no meaning"),
        ("cells = 4, size = [1.0, 1.0], groups = [9, 1, 1]", "battery.groups[0]", "9 groups of 8"),
        ("cells = 4, size = [1.0, 1.0], h = { top = 1.0 }", "battery.h.top", "x1_low"),
        ("cells = 4, size = [1.0, 1.0], h = { x1_low = -1.0 }", "battery.h", "out of range"),
        ('shape = "mesh", cells = 4', "battery.file", "needs it"),
        ('cells = 4, size = [1.0, 1.0], connection = "serial"', "battery.connection", "parallel"),
        ('cells = 4, size = [1.0, 1.0], frame = "cylindrical"', "battery.frame", "mesh"),
    ],
)
def test_refused(table: str, key: str, reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        wavy_run(f"battery={{{table}}}")
    assert key in str(caught.value) and reason in str(caught.value)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("parameters.isothermal=true", r"parameters\.isothermal"),
        ("homogenised.dim=2", r"homogenised\.dim"),
    ],
)
def test_cells_that_a_battery_cannot_have(override: str, key: str) -> None:
    with pytest.raises(BadInput, match=key):
        require(battery_run(COLD, override), "homogenised")
