"""The study: orders in delta, Richardson's limit, names of result.json; and each of its parts on made-up data."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from wavy import wavy_run

import dfx_homog.report
from dfx_homog.models.fields import C_E, C_S, PHI_E, PHI_S, TEMP
from dfx_homog.runfile import REGIONS, Run
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies.comparison import FIELDS, Comparison
from dfx_homog.studies.convergence import extrapolate, order, orders, richardson, run_convergence
from dfx_homog.studies.reference import MesoState, take_state
from dfx_homog.studies.setup import Problem
from dfx_homog.studies.stages import moments

NORMS = ("l2", "l2_corrected", "h1", "h1_corrected", "h1_corrected_interior")
LEVELS = "convergence.periods=[[2,1,2],[4,2,4],[8,4,8]]"


@cache
def study(
    order: int = 1,
    h: float = 0.2,
    steps: int = 5,
    levels: str = LEVELS,
    alone: bool = False,
    more: tuple[str, ...] = (),
) -> dict[str, Any]:
    """result.json of a study of `wavy-2d`, on all ranks; `alone`: every rank makes its own. Without the report."""
    comm = MPI.COMM_SELF if alone else MPI.COMM_WORLD
    out = Path(comm.bcast(mkdtemp(prefix="study-") if comm.rank == 0 else None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dfx_homog.report, "write_report", lambda _out: None)
        run = wavy_run(levels, *more, order=order, h=h, steps=steps)
        run_convergence(run, out, RunOptions(out, quiet=True), comm)
    result = json.loads((out / "result.json").read_text())
    result["files"] = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    result["history"] = (out / "resolved-5" / "history.csv").read_text().splitlines()
    comm.barrier()
    if comm.rank == 0:
        rmtree(out)
    return result


def check_orders(result: dict[str, Any]) -> None:
    """The issue's targets between N = 10 and 20."""
    found = {(field, norm): result["orders"][field][norm][1] for field in FIELDS for norm in NORMS}
    assert 1.0 <= result["orders"]["voltage"][1] <= 1.2
    for field in ("Phi_s", "Phi_e", "c_e", "T"):
        assert found[field, "l2"] >= 0.95
    for field in ("Phi_s", "Phi_e"):
        assert found[field, "h1_corrected_interior"] >= 0.9
        # without corrector the gradient does not converge
        assert found[field, "h1"] < 0.3
    assert 0.42 <= found["Phi_e", "h1_corrected"] <= 0.65
    assert found["c_s", "l2"] >= 1.0


def check_limits(result: dict[str, Any], voltage: float) -> None:
    """Richardson's limits against the homogenised values: V, mean Phi_e, T and c_e."""
    difference = result["richardson_difference"]
    assert set(difference) == set(result["richardson"]) == set(result["homogenised"]["means"])
    for key, value in difference.items():
        allowed = 6e-5 if key.startswith("c_e") else 2e-5 if key == "T_mean" else voltage
        assert abs(value) < allowed, key
    for level in result["levels"]:
        # the limit is an extrapolation, not one of the levels
        assert abs(level["voltage_error"]) > 10 * abs(difference["voltage"])


@pytest.mark.mpi
def test_orders_and_limits() -> None:
    result = study()
    check_orders(result)
    check_limits(result, 5e-5)
    assert [level["delta"] for level in result["levels"]] == [1 / 5, 1 / 10, 1 / 20]
    for level in result["levels"]:
        assert level["checks"]["lithium_error"] < 1e-10
        assert level["checks"]["charge_error"] < 1e-10
        assert level["checks"]["energy_error"] < 1e-8
        assert level["checks"]["newton_max"] <= 5


@pytest.mark.slow
@pytest.mark.mpi
def test_orders_and_limits_of_the_quickstart() -> None:
    result = study(order=2, h=0.1, steps=25)
    check_orders(result)
    check_limits(result, 1e-4)


@pytest.mark.mpi
def test_names_of_the_result() -> None:
    result = study()
    for level in result["levels"]:
        assert {"delta", "dofs", "errors", "errors_max_over_time", "voltage_error"} <= set(level)
        for errors in (level["errors"], level["errors_max_over_time"]):
            assert set(errors) == set(FIELDS)
            for field in FIELDS:
                assert set(errors[field]) == set(NORMS)
                defined = NORMS if field != "c_s" else ("l2", "h1")
                assert all(0 < errors[field][norm] < 5 for norm in defined)
                assert all(errors[field][norm] is None for norm in NORMS if norm not in defined)
        for field in FIELDS:
            for norm, last in level["errors"][field].items():
                largest = level["errors_max_over_time"][field][norm]
                assert (last is None and largest is None) or largest >= last
    assert set(result["orders"]) == {*FIELDS, "voltage"}
    for field in FIELDS:
        assert set(result["orders"][field]) == set(NORMS)
        assert all(len(result["orders"][field][norm]) == 2 for norm in NORMS)
    assert len(result["orders"]["voltage"]) == 2
    assert "voltage" in result["richardson"]
    last = dict(
        zip(result["history"][0].split(","), map(float, result["history"][-1].split(",")), strict=True)
    )
    difference = last["voltage"] - result["homogenised"]["final"]["voltage"]
    assert result["levels"][0]["voltage_error"] == pytest.approx(difference, abs=1e-12)
    for file in (
        "result.json",
        "log.txt",
        "fields.npz",
        "homogenised/history.csv",
        "resolved-20/history.csv",
    ):
        assert file in result["files"]


def numbers(value: Any, path: str = "") -> dict[str, float]:
    """All numbers of a result that do not say how and where it was found."""
    if isinstance(value, dict):
        skip = (
            "seconds",
            "timing",
            "memory",
            "ranks",
            "iterations",
            "krylov",
            "newton",
            "checks",
            "hill_mandel",
            "files",
            "history",
        )
        parts = [
            numbers(v, f"{path}.{k}")
            for k, v in value.items()
            if not k.startswith(skip) and not k.endswith("_error")
        ]
        parts += [{f"{path}.voltage_error": value["voltage_error"]}] if "voltage_error" in value else []
    elif isinstance(value, list):
        parts = [numbers(v, f"{path}[{i}]") for i, v in enumerate(value)]
    elif isinstance(value, int | float):
        return {path: float(value)}
    else:
        return {}
    return {key: number for part in parts for key, number in part.items()}


@pytest.mark.mpi
@pytest.mark.mpi3
def test_the_same_on_any_number_of_ranks() -> None:
    keys = {"order": 2, "steps": 3, "levels": "convergence.periods=[[2,1,2],[4,2,4]]"}
    here, alone = numbers(study(**keys)), numbers(study(**keys, alone=True))
    assert set(here) == set(alone)
    assert len(here) > 150
    differences = {key: abs(here[key] - alone[key]) for key in here}
    worst = max(differences, key=lambda key: differences[key])
    assert differences[worst] < 1e-8, worst


# parts -----------------------------------------------------------------------------------------------------------


def made_up_levels(powers: dict[str, float]) -> list[dict[str, Any]]:
    """Levels whose errors are delta^p, with a sign that changes for V."""
    levels = []
    for k in range(3):
        delta = 0.2 / 2**k
        errors = {f: {"l2": delta**p, "h1": None} for f, p in powers.items()}
        levels.append({"errors": errors, "voltage_error": (-1) ** k * 0.3 * delta})
    return levels


def test_orders() -> None:
    powers = {"Phi_s": 1.0, "Phi_e": 0.5, "c_e": 2.0, "c_s": 1.4, "T": 0.0}
    found = orders(made_up_levels(powers))
    for field, p in powers.items():
        assert found[field] == {"l2": pytest.approx([p, p]), "h1": [None, None]}
    assert found["voltage"] == pytest.approx([1.0, 1.0])
    assert order(0.0, 1.0) is None and order(1.0, 0.0) is None
    assert order(-4.0, 1.0) == 2.0


def test_extrapolation_is_exact_for_two_terms() -> None:
    q = [3.0 + 2.0 * d - 5.0 * d * d for d in (0.4, 0.2, 0.1, 0.05)]
    assert extrapolate(q) == pytest.approx(3.0, abs=1e-13)
    assert extrapolate(q[:3]) == pytest.approx(3.0, abs=1e-13)
    assert extrapolate([3.0 + 2.0 * d for d in (0.2, 0.1)]) == pytest.approx(3.0, abs=1e-13)
    levels = [{"means": {"voltage": v, "T_mean": 2 * v}} for v in q]
    found = richardson(levels, {"voltage": 2.5, "T_mean": 6.0})
    assert found["richardson"] == pytest.approx({"voltage": 3.0, "T_mean": 6.0})
    assert found["richardson_difference"] == pytest.approx({"voltage": 0.5, "T_mean": 0.0}, abs=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11, 25, 250])
def test_moments(steps: int) -> None:
    wanted = moments(wavy_run(steps=steps), 10)
    found = [index for index in range(1, steps + 1) if (index, 0.02 * index) in wanted]
    assert (0, 0.0) in wanted
    assert len(found) == min(steps, 10)
    assert found[-1] == steps and found[0] >= 1
    gaps = np.diff([0, *found])
    assert gaps.max() - gaps.min() <= 1


def meso_state(functions: Any, particles: Any = lambda electrode, y, node: 0.5 + 0 * node) -> MesoState:
    """A state with given functions of (y, region), one for each of Phi_s, c_e, Phi_e, T, on 2 elements per region.

    Values at the faces of the separator are those of the separator (c_e, Phi_e, T) and of the electrode (Phi_s).
    """
    ends = np.array([0.0, 0.4, 0.6, 1.0])
    y = np.concatenate([np.linspace(a, b, 5)[:-1] for a, b in pairwise(ends)] + [[1.0]])
    region = np.repeat([0, 1, 2], [4, 5, 4])
    electrode = np.repeat([0, 1, 2], [5, 3, 5])
    values = np.column_stack([f(y, electrode if i == 0 else region) for i, f in enumerate(functions)])
    number = np.arange(500)  # at least as many as a particle problem here has nodes
    c = [np.array([particles(e, v, number) for v in y[first : first + 5]]) for e, first in ((0, 0), (1, 8))]
    return MesoState((y,), 2, values, (c[0], c[1]), (0, 8), ends)


def test_meso_state_is_exact_on_quadratics() -> None:
    """Values and slopes of functions that are quadratic in each region and continuous with a kink between them."""
    slopes, bends = np.array([1.0, -3.0, 0.5]), np.array([2.0, 7.0, -1.0])
    start, at = np.array([0.3, 1.02, 0.7]), np.array([0.0, 0.4, 0.6])
    start[1] = start[0] + slopes[0] * 0.4 + bends[0] * 0.4**2
    start[2] = start[1] + slopes[1] * 0.2 + bends[1] * 0.2**2

    def value(y: Any, r: Any) -> Any:
        return start[r] + slopes[r] * (y - at[r]) + bends[r] * (y - at[r]) ** 2

    state = meso_state([value, lambda y, r: y, value, lambda y, r: y * y])
    y = np.array([[0.0, 0.13, 0.2, 0.4], [0.4, 0.41, 0.5, 0.6], [0.6, 0.77, 0.8, 1.0]])
    region = np.broadcast_to([[0], [1], [2]], y.shape)
    for component in (0, 2):
        use = slice(0, 3, 2) if component == 0 else slice(0, 3)
        found, slope = state.evaluate(component, y[use][..., None], region[use])
        r = region[use]
        assert found == pytest.approx(value(y[use], r), abs=1e-14)
        assert slope[..., 0] == pytest.approx(slopes[r] + 2 * bends[r] * (y[use] - at[r]), abs=1e-12)
    assert state.evaluate(3, y[..., None], region)[1] == pytest.approx(2 * y[..., None], abs=1e-13)


def test_two_scale_concentration_is_exact_on_quadratics() -> None:
    def c(electrode: int, y: Any, node: Any) -> Any:
        return 0.1 * (1 + electrode) * (y + y * y * (1 + node))

    state = meso_state([lambda y, r: y] * 4, c)
    node = np.array([[0, 1, 2], [2, 2, 0]])
    for electrode, y in (
        (0, [[0.0, 0.05, 0.4], [0.2, 0.31, 0.39]]),
        (1, [[0.6, 0.65, 1.0], [0.8, 0.71, 0.99]]),
    ):
        found = state.concentration(electrode, np.array(y)[..., None], node)
        assert found == pytest.approx(c(electrode, np.array(y), node), abs=1e-14)


@pytest.mark.mpi
@pytest.mark.mpi3
def test_taken_state_is_the_model() -> None:
    """The copy on all ranks has the model's own values, one position after the other."""
    problem = Problem(MPI.COMM_WORLD, wavy_run("homogenised.elements=2"))
    cells = problem.unit_cells()
    model = problem.homogenised(cells, problem.effective_media(cells))
    for i in range(4):
        model.values[:, i] = np.cos((i + 1) * model.coordinates[:, 0])
    for points in model.points:
        points.particles.c = np.exp(model.coordinates[:, 0][points.nodes])[:, None] * np.linspace(
            0.1, 0.2, points.particles.c.shape[1]
        )
    state = take_state(model)
    size = model.points[0].particles.c.shape[1]
    model.destroy()
    assert state.grids[0] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert state.values == pytest.approx(np.cos(np.outer(state.grids[0], [1, 2, 3, 4])), abs=1e-14)
    for electrode, part in ((0, slice(0, 5)), (1, slice(8, 13))):
        expected = np.exp(state.grids[0][part])[:, None] * np.linspace(0.1, 0.2, size)
        assert state.particles[electrode] == pytest.approx(expected, abs=1e-14)


class Compared:
    """A resolved model of `wavy-2d`, P2, and its comparison; every field can be set at will."""

    def __init__(self, run: Run):
        problem = Problem(MPI.COMM_WORLD, run)
        cells = problem.unit_cells()
        self.media = problem.effective_media(cells)
        meso = problem.homogenised(cells, self.media)
        self.solid_nodes = tuple(p.particles.geometry.solid_nodes for p in meso.points)
        meso.destroy()
        self.model = problem.resolved(cells, run.cell.periods)
        self.comparison = Comparison(self.model, tuple(self.media[n] for n in REGIONS), self.solid_nodes)
        self.y = self.model.coordinates[:, 0]
        self.region = np.digitize(self.y, [0.4 - 1e-9, 0.6 + 1e-9])


@cache
def compared() -> Compared:
    return Compared(wavy_run(order=2))


def quadratic(y: Any, _region: Any = None) -> Any:
    return 1.0 + 0.3 * y - 0.7 * y * y


@pytest.mark.mpi
def test_comparison_is_a_relative_norm() -> None:
    """u = u0: no error; u = 1.02 u0: errors of 2 % in both norms, in every field."""
    it = compared()
    state = meso_state([quadratic] * 4, lambda e, y, node: 0.5 + 0.1 * y * y + 0.2 * np.sin(node))
    for field in (PHI_S, PHI_E, C_E, TEMP):
        it.model.values[:, field] = quadratic(it.y)
    it.model.values[:, C_S] = two_scale(it, state)
    keep = it.model.values.copy()
    errors = it.comparison.errors(state)
    for field in FIELDS:
        assert errors[field]["l2"] == pytest.approx(0, abs=1e-13)
        assert errors[field]["h1"] == pytest.approx(0, abs=1e-11)
    it.model.values[:] = 1.02 * keep
    errors = it.comparison.errors(state)
    for field in FIELDS:
        assert errors[field]["l2"] == pytest.approx(0.02, rel=1e-10)
        assert errors[field]["h1"] == pytest.approx(0.02, rel=1e-8)


def two_scale(it: Compared, state: MesoState) -> np.ndarray:
    """c_s(y1, z = y/delta) at the resolved model's nodes in the solid; one value in the pores."""
    tiled, out = it.model.tiled, np.full(it.model.nodes, 0.7)
    for electrode in (0, 1):
        cells = np.flatnonzero((tiled.cell_region == 2 * electrode) & (tiled.phase == 1))
        dofs = it.model.forms.space.dofmap.list[cells]
        unit = tiled.cells[2 * electrode].cells[tiled.cell_unit[cells]]
        out[dofs] = state.concentration(electrode, it.y[dofs][:, :, None], it.solid_nodes[electrode][unit])
    return out


@pytest.mark.mpi
def test_corrector_is_added_with_the_right_sign_and_scale() -> None:
    """u = u0 + delta W du0/dy1 with u0 linear in each electrode: the corrected errors vanish, the others do not."""
    it = compared()
    slopes = np.array([1.0, 0.0, -2.0])

    def linear(y: Any, r: Any) -> Any:
        return 0.3 * r + slopes[r] * y

    state = meso_state([linear, quadratic, quadratic, quadratic])
    tiled = it.model.tiled
    for region, name in ((0, "negative"), (2, "positive")):
        cells = np.flatnonzero((tiled.cell_region == region) & (tiled.phase == 1))
        W = it.media[name].problems["S"].correctors[:, 0]
        corrector = W[tiled.cells[region].cells[tiled.cell_unit[cells]]]
        dofs = it.model.forms.space.dofmap.list[cells]
        it.model.values[dofs, PHI_S] = linear(it.y[dofs], region) + 0.2 * slopes[region] * corrector
    errors = it.comparison.errors(state)["Phi_s"]
    assert errors["l2_corrected"] == pytest.approx(0, abs=1e-12)
    assert errors["h1_corrected"] == pytest.approx(0, abs=1e-10)
    assert errors["h1_corrected_interior"] == pytest.approx(0, abs=1e-10)
    assert errors["l2"] > 1e-3
    # Hill-Mandel: the corrected gradient has the energy S, the corrector alone what is missing to Voigt's bound
    entry = it.media["negative"].to_json()
    share = entry["S"][0][0] / (10.0 * (1 - entry["phi_e"]))
    assert errors["h1"] == pytest.approx(np.sqrt(1 - share), rel=1e-2)
    # 5 % more of everything: relative to the homogenised gradient on the same domain
    it.model.values[:] *= 1.05
    errors = it.comparison.errors(state)["Phi_s"]
    assert errors["h1_corrected"] == pytest.approx(0.05 * np.sqrt(share), rel=1e-2)
    assert errors["h1_corrected_interior"] == pytest.approx(0.05 * np.sqrt(share), rel=5e-2)


@pytest.mark.mpi
def test_interior_leaves_out_the_layers() -> None:
    """A disturbance at the separator's face is not in the interior; one in the middle of the electrode is."""
    it = compared()
    state = meso_state([quadratic] * 4)
    for centre, inside in ((0.4, False), (0.0, False), (0.2, True)):
        bump = 0.1 * np.maximum(0, 1 - np.abs(it.y - centre) / 0.05)
        for field, column in (("Phi_e", PHI_E), ("T", TEMP)):
            it.model.values[:, column] = quadratic(it.y) + bump
            found = it.comparison.errors(state)[field]
            it.model.values[:, column] = quadratic(it.y)
            base = it.comparison.errors(state)[field]
            assert found["h1"] > 0.1
            changed = abs(found["h1_corrected_interior"] - base["h1_corrected_interior"]) > 1e-10
            assert changed == inside
