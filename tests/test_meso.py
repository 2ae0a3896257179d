"""The meso model in two and three dimensions: tensors, tabs, cooling, ranks, the iterative solver."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from meso_cell import TABS, B, K, S, meso_run
from mpi4py import MPI
from numpy.typing import ArrayLike
from wavy import QUICKSTART, build, conserves, follow, largest_difference, simulate, wavy_run

from dfx_homog.dimensionless.twin import dimensionless
from dfx_homog.errors import BadInput
from dfx_homog.io import checkpoint
from dfx_homog.models import homogenised
from dfx_homog.models.homogenised import HomogenisedModel
from dfx_homog.models.meso import MesoCoefficients
from dfx_homog.models.meso_domain import MesoBox, Side
from dfx_homog.runfile import REGIONS, Run, load, require
from dfx_homog.runoptions import RunOptions
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.timestepping import TimeStep, euler
from dfx_homog.studies.convergence import run_convergence

COLUMNS = ("voltage", "T_mean", "T_max", "T_min", "c_e_min", "c_e_max", "soc_n", "soc_p", "plating_min")
FULL: dict[str, Any] = {"S": S, "B": B, "K": K}
UNEVEN = (
    *TABS,
    "parameters.h_lateral='0.5*(1 + y1)*(1 + 10*t)'",
    "parameters.h_positive='1 + cos(2*y2)'",
    "protocol.steps=[{current='0.4*(1 + y2)', duration=0.06}]",
)


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(
    "across", [("[0.7]", "[3]"), pytest.param(("[0.7, 0.4]", "[3, 1]"), marks=pytest.mark.slow)]
)
def test_what_does_not_vary_across_is_that_of_the_line(across: tuple[str, str], order: int) -> None:
    """Also with off-diagonal terms if the sides are periodic. Linear elements converge to the line."""
    size, count = across
    dim = 1 + size.count(",") + 1
    tensors = FULL if dim == 2 else {}
    box = [f"homogenised.dim={dim}", f"cell.lateral_size={size}", f"homogenised.lateral_elements={count}"]
    line = simulate(meso_run(**tensors), "homogenised")
    run = meso_run(*box, f"homogenised.order={order}", elements=3 if order == 2 else 24, **tensors)
    found = simulate(run, "homogenised")
    assert conserves(found)
    assert largest_difference(found, line, COLUMNS) < (1e-12 if order == 2 else 1e-3)


@pytest.mark.mpi
@pytest.mark.mpi3
def test_tabs_uneven_current_and_cooling() -> None:
    """Everything at once: conserved, the same on any number of ranks, and the current takes the way from tab to tab."""
    run = meso_run(*UNEVEN, **FULL)
    here, alone = simulate(run, "homogenised"), simulate(run, "homogenised", MPI.COMM_SELF)
    assert conserves(here)
    assert largest_difference(here, alone, COLUMNS) < 1e-9
    assert here.rows[-1]["current"] == pytest.approx(0.4 * 1.6, abs=1e-12)
    assert {"plating_y2", "hot_y2"} <= set(here.rows[-1])
    even = simulate(
        meso_run(*TABS[:3], *UNEVEN[5:], "homogenised.dim=2", **FULL), "homogenised", MPI.COMM_SELF
    )
    assert here.rows[-1]["voltage"] < even.rows[-1]["voltage"] - 0.01  # the longer way takes more volts


def test_a_tab_over_all_of_a_collector_is_none() -> None:
    sides = [*TABS[:3], "homogenised.dim=2"]
    whole = [*sides, "cell.tab_negative=[[0.0, 0.8]]", "cell.tab_positive=[[0.0, 0.8]]"]
    a, b = (simulate(meso_run(*c, **FULL), "homogenised") for c in (sides, whole))
    assert largest_difference(a, b, COLUMNS) < 1e-13


def test_mirror_image_across() -> None:
    """Tabs and off-diagonal terms mirrored in y2: the same V."""
    flip = np.array([[1.0, -1.0], [-1.0, 1.0]])
    image = {
        "S": tuple(np.multiply(s, flip) for s in S),
        "B": np.multiply(B, flip),
        "K": np.multiply(K, flip),
    }
    there = simulate(meso_run(*TABS, **FULL), "homogenised")
    tabs = ("cell.tab_negative=[[0.4, 0.8]]", "cell.tab_positive=[[0.0, 0.4]]")
    back = simulate(meso_run(*TABS[:3], *tabs, **image), "homogenised")
    assert largest_difference(there, back, COLUMNS) < 1e-11
    same = simulate(meso_run(*TABS[:3], *tabs, **FULL), "homogenised")
    assert abs(same.rows[-1]["voltage"] - there.rows[-1]["voltage"]) > 1e-3


def test_refinement() -> None:
    """V with tabs converges; grading towards their ends gets nearer with as many elements."""
    found = {}
    for n, grading in ((4, 1), (8, 1), (8, 4), (32, 4)):
        across = [f"homogenised.lateral_elements=[{n}]", f"homogenised.lateral_grading={grading}"]
        run = meso_run(*TABS, *across, elements=max(n // 2, 2), steps=1)
        found[n, grading] = simulate(run, "homogenised").rows[-1]["voltage"]
    error = {k: abs(v - found[32, 4]) for k, v in found.items()}
    assert error[8, 1] < 0.6 * error[4, 1]
    assert error[8, 4] < error[8, 1]


class Turned(MesoBox):
    """A box whose mesh is turned; nodes are numbered where they were."""

    def turn(self, rotation: np.ndarray) -> None:
        self.rotation = np.eye(3)
        self.rotation[:2, :2] = rotation
        x = self.mesh.geometry.x
        x[:] = x @ self.rotation.T

    def indices(self, points: np.ndarray) -> np.ndarray:
        return super().indices(points @ self.rotation)


def tensor_model(
    rotation: np.ndarray, order: int = 2, comm: MPI.Intracomm = MPI.COMM_WORLD
) -> HomogenisedModel:
    """A box with tabs, turned, with tensors turned alike."""
    base = build(meso_run(*TABS, **FULL), "homogenised", comm)
    sides = (Side(0.8, 4, 2.0, (0.4,)),)
    box = Turned(
        comm, (0.4, 0.2, 0.4), 2, sides, order=order, periodic=False, tabs=(((0.0, 0.4),), ((0.4, 0.8),))
    )
    box.turn(rotation)

    def turned(r: MesoCoefficients) -> MesoCoefficients:
        S, B, K = (None if t is None else rotation @ t @ rotation.T for t in (r.S, r.B, r.K))
        assert B is not None and K is not None
        return MesoCoefficients(S, B, K, r.phi_e, r.theta)

    solids = (base.points[0].particles.geometry, base.points[1].particles.geometry)
    regions = tuple(turned(r) for r in base.regions)
    physics = base.physics
    base.destroy()
    return HomogenisedModel(comm, physics, solids, regions, box)


@pytest.mark.mpi
def test_turning_the_cell_changes_nothing() -> None:
    """The mesh turned by 35 degrees, and every tensor with it: the same fields at every node."""
    run = meso_run(*TABS, **FULL)
    c, s = np.cos(np.radians(35)), np.sin(np.radians(35))
    found = []
    for rotation in (np.eye(2), np.array([[c, -s], [s, c]])):
        model = tensor_model(rotation)
        rows = follow(model, run).rows
        order = np.argsort(model.numbers)
        found.append((rows[-1]["voltage"], model.values[order], model.visible[order]))
        model.destroy()
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-11)
    assert np.abs(np.where(found[0][2], found[0][1] - found[1][1], 0.0)).max() < 1e-10


@pytest.mark.mpi
@pytest.mark.mpi3
def test_restart_on_other_ranks(tmp_path: Path) -> None:
    """From all ranks to one, with periodic sides, where the nodes of both sides are one."""
    folder = MPI.COMM_WORLD.bcast(tmp_path, root=0)
    periodic = ("homogenised.dim=2", "cell.lateral_size=[0.8]", "homogenised.lateral_elements=[3]")
    run = meso_run(*periodic, "protocol.steps=[{current='0.4*(1 + cos(2.5*pi*y2))', duration=0.06}]", **FULL)
    model = build(run, "homogenised")
    rows = follow(model, run).rows
    checkpoint.save(folder, MPI.COMM_WORLD, 3, {"time": 0.06}, model.state())
    found, _ = checkpoint.newest(folder, MPI.COMM_WORLD)
    assert found is not None
    alone = build(run, "homogenised", MPI.COMM_SELF)
    alone.restore(checkpoint.load(found, MPI.COMM_SELF, alone.state()))
    assert alone.voltage == pytest.approx(rows[-1]["voltage"], abs=1e-12)
    for both in (model, alone):
        control = Control("current", 0.4)
        both.advance(TimeStep(4, 0.08, 0.02, control, euler(0.02), 0))
    assert alone.voltage == pytest.approx(model.voltage, abs=1e-10)
    for both in (model, alone):
        both.destroy()


@pytest.mark.mpi
def test_iterations_stay_with_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Multigrid gives what the factorisation gives, in as many iterations on 16 times as many unknowns."""
    direct = simulate(meso_run(*UNEVEN, **FULL), "homogenised")
    monkeypatch.setattr(homogenised, "SMALL", 0)
    iterative = simulate(meso_run(*UNEVEN, **FULL), "homogenised")
    assert largest_difference(direct, iterative, COLUMNS) < 1e-9
    assert conserves(iterative)
    most = []
    for n in (2, 8):
        run = meso_run(*TABS, f"homogenised.lateral_elements=[{4 * n}]", elements=n, steps=1, **FULL)
        most.append(max(row["krylov"] / max(row["newton"], 1) for row in simulate(run, "homogenised").rows))
    assert most[1] < 15
    assert most[1] <= most[0] + 3


@pytest.mark.slow
def test_the_limit_of_insulated_sides_with_off_diagonal_terms(tmp_path: Path) -> None:
    """wavy-2d with a solid whose heat conduction is turned: two meso dimensions, chosen by themselves, and order 1."""
    turned = [f"microstructure.{r}.k_s=[[6.0, 3.0], [3.0, 4.0]]" for r in ("negative", "positive")]
    run = wavy_run(
        *turned,
        'cell.lateral="insulated"',
        "cell.lateral_periods=[2]",
        "convergence.periods=[[2,1,2],[4,2,4]]",
        "parameters.T_initial=0.3",
        "parameters.h_negative=4.0",
        "parameters.h_positive=0.0",
        "homogenised.elements=4",
        "homogenised.lateral_elements=[6]",
        h=0.15,
        order=2,
        steps=3,
    )
    run_convergence(run, tmp_path, RunOptions(tmp_path, quiet=True))
    result = json.loads((tmp_path / "result.json").read_text())
    coarse, fine = (level["errors"]["T"] for level in result["levels"])
    assert 0.7 < result["orders"]["T"]["l2"][0] < 1.6
    assert fine["h1_corrected"] < 0.75 * coarse["h1_corrected"]
    assert fine["h1_corrected"] < 0.6 * fine["h1"]
    assert abs(result["levels"][1]["voltage_error"]) < 0.7 * abs(result["levels"][0]["voltage_error"])


def test_lengths_across_in_si() -> None:
    """Metres over the thickness, as everything else of the twin."""
    lengths = [
        "cell.lateral_size=[3.456e-4]",
        "cell.tab_positive=[[0.864e-4, 1.728e-4]]",
        'cell.lateral="insulated"',
    ]
    run = load(QUICKSTART.with_name("dfn-lgm50.toml"), [*lengths, "parameters.h_lateral=5.0"])
    require(run, "homogenised")
    twin = dimensionless(run, dict.fromkeys(REGIONS, 1e6))
    assert twin.run.cell.lateral_size == pytest.approx((2.0,))
    assert twin.run.cell.tab_positive is not None
    assert twin.run.cell.tab_positive[0] == pytest.approx((0.5, 1.0))
    assert float(twin.run.parameters.h_lateral) == pytest.approx(5.0 / twin.scales.heat_exchange)


def refused(run: Run) -> str:
    def use() -> None:
        require(run, "homogenised")
        build(run, "homogenised").destroy()

    with pytest.raises(BadInput) as caught:
        use()
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "tensors", "says"),
    [
        ((*TABS, "homogenised.dim=1"), {}, "cell.tab_negative: needs more than one meso dimension"),
        ((*TABS[:3], "cell.tab_positive=[[0.5, 0.9]]"), {}, "reaches beyond the cell's 0.8"),
        (("cell.lateral_size=[0.8]", *TABS[3:]), {}, "needs a cell with sides"),
        ((*TABS, "cell.tab_negative=[[0.0, 0.1], [0.0, 0.1]]"), {}, "2 intervals for 1 lateral"),
        (("parameters.h_lateral=1.0", "homogenised.dim=2"), {}, "h_lateral needs a cell with sides"),
        ((*TABS, "parameters.h_lateral='y2 - 0.5'"), {}, "parameters.h_lateral: is -0.5"),
        ((*TABS, "parameters.h_lateral='y3'"), {}, "does not know y3"),
        (("homogenised.dim=3",), FULL, "the effective tensors have 2 dimensions"),
        (("homogenised.dim=1", 'cell.lateral="insulated"'), FULL, "off-diagonal S_1j in negative"),
    ],
)
def test_refused(change: tuple[str, ...], tensors: dict[str, ArrayLike], says: str) -> None:
    assert says in refused(meso_run(*change, **tensors))  # type: ignore[arg-type]


def test_tab_on_a_solid_that_does_not_conduct_across() -> None:
    run = wavy_run(*TABS, "homogenised.elements=2")
    assert "cell.tab_negative: the solid of its unit cell does not percolate across" in refused(run)


def test_other_models_refuse_what_they_do_not_know() -> None:
    for key in (TABS[1], TABS[3], "parameters.h_lateral=1.0"):
        with pytest.raises(BadInput, match="resolved does not know it"):
            require(wavy_run(key), "resolved")
