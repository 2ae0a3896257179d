"""Wall laws in the homogenised model: jumps, conservation, Newton's method, restart, ranks, second order in delta."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from test_convergence import numbers, study
from wavy import (
    NO_DOUBLE_LAYER,
    assert_newton_is_quadratic,
    conserves,
    follow,
    largest_difference,
    protocol_steps,
    simulate,
    wavy_run,
    with_parameters,
)

import dfx_homog.report
from dfx_homog.errors import BadInput
from dfx_homog.models.excess import StripResistances
from dfx_homog.models.meso import C_E, PHI_E, PHI_S, TEMP
from dfx_homog.models.walled import WalledModel
from dfx_homog.models.walled_line import WalledLine
from dfx_homog.runfile import Run, load
from dfx_homog.runfile.require import require
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies.convergence import run_convergence
from dfx_homog.studies.outcome import March
from dfx_homog.studies.reference import take_state
from dfx_homog.studies.setup import Problem

WALLS = ("homogenised.wall_law=true", 'cell.lateral="periodic"', "homogenised.elements=5")
#: Resistances of both signs, none equal to another.
STRONG = {"r_e": (0.9, -0.3), "r_T": (0.2, 0.5), "r_c": (0.3, -0.1), "r_s": (0.04, -0.02)}
NOTHING = dict.fromkeys(STRONG, (0.0, 0.0))
#: Activation energies of all that a wall law knows.
ACTIVATED = tuple(
    f"parameters.activation.{name}={energy}"
    for name, energy in {"D_L": 6.0, "D_A": 3.0, "sigma_n": 7.0, "sigma_p": 11.0}.items()
)


def resistances(**changes: tuple[float, float]) -> StripResistances:
    return StripResistances(
        **(NOTHING | changes), cells=4, truncation=0.0, asymmetry=0.0, dofs=0, iterations=0
    )


def walled(run: Run, comm: MPI.Comm = MPI.COMM_WORLD, **changes: tuple[float, float]) -> Any:
    """The homogenised model with given resistances at delta = 1/5, none by default."""
    problem = Problem(comm, run)
    cells = problem.unit_cells()
    return problem.homogenised(cells, problem.effective_media(cells), resistances(**changes))


def run_walled(run: Run, comm: MPI.Comm = MPI.COMM_WORLD, **changes: tuple[float, float]) -> March:
    model = walled(run, comm, **changes)
    try:
        return follow(model, run)
    finally:
        model.destroy()


@cache
def plain(*overrides: str) -> March:
    return simulate(wavy_run(*WALLS, *overrides), "homogenised")


@pytest.mark.mpi
@pytest.mark.parametrize("overrides", [(), ("parameters.isothermal=true", *NO_DOUBLE_LAYER)])
def test_without_resistance_nothing_changes(overrides: tuple[str, ...]) -> None:
    found = run_walled(wavy_run(*WALLS, *overrides))
    columns = ("voltage", "T_mean", "T_min", "c_e_min", "c_e_max", "soc_n", "loss_electrolyte_ohmic")
    assert largest_difference(found, plain(*overrides), columns) < 1e-12


@pytest.mark.mpi
def test_solid_walls_are_in_series() -> None:
    """V = V_hom - delta (r_s at both collectors) i_app, where the heat has no effect."""
    found = run_walled(wavy_run(*WALLS, "parameters.isothermal=true"), r_s=(0.4, 0.9))
    for mine, theirs in zip(found.rows[1:], plain("parameters.isothermal=true").rows[1:], strict=True):
        assert mine["voltage"] == pytest.approx(theirs["voltage"] - 0.2 * 1.3 * 0.2, abs=1e-12)


@pytest.mark.mpi
def test_voltage_is_held_behind_the_walls() -> None:
    run = wavy_run(*WALLS, "protocol.steps=[{voltage=0.9, duration=0.06}]")
    found = run_walled(run, r_s=(0.4, 0.9))
    assert [row["voltage"] for row in found.rows[1:]] == pytest.approx([0.9] * 3, abs=1e-10)
    without = simulate(run, "homogenised")
    assert abs(found.rows[1]["current"]) < 0.99 * abs(without.rows[1]["current"])


@pytest.mark.mpi
def test_cooling_through_a_wall() -> None:
    """h becomes h/(1 + delta r_c h)."""
    warm = ("parameters.T_initial=0.5", "parameters.h_negative=2.0", "parameters.h_positive=1.0")
    found = run_walled(wavy_run(*WALLS, *warm), r_c=(3.0, 1.5))
    less = [f"parameters.h_negative={2.0 / (1 + 0.6 * 2.0)!r}", f"parameters.h_positive={1.0 / 1.3!r}"]
    assert largest_difference(found, plain(*warm[:1], *less), ("T_mean", "T_max", "T_min")) < 1e-12
    assert found.rows[-1]["T_mean"] > plain(*warm).rows[-1]["T_mean"] + 1e-2


def at_faces(model: WalledModel) -> np.ndarray:
    """(4, 3, 4) values left of, in and right of the four faces, the same on all ranks."""
    line = model.domain
    assert isinstance(line, WalledLine)
    elements = (line.elements + 1) * np.arange(4)
    wanted = 2 * elements[:, None] + np.arange(3)
    found = np.full((*wanted.shape, 4), -np.inf)
    place = {int(n): i for i, n in enumerate(model.numbers)}
    for index in np.ndindex(wanted.shape):
        if wanted[index] in place:
            found[index] = model.values[place[wanted[index]]]
    MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, found, op=MPI.MAX)
    return found


@pytest.mark.mpi
def test_jumps() -> None:
    """The laws themselves, from the values beside the faces and the fluxes through them; delta = 1/5."""
    run = with_parameters(wavy_run(*WALLS, *ACTIVATED, "parameters.T_initial=0.3"), mu_L=None, mu_A=None)
    model = walled(run, **STRONG)
    follow(model, run)
    values = at_faces(model)
    model.destroy()
    lam, gamma, delta = 2.0, 0.1, 0.2
    for face in (1, 2):
        left, flux, right = values[face]
        jump, mean = right - left, 0.5 * (left + right)
        T, c = mean[TEMP], mean[C_E]
        D_L, D_A = (D * np.exp(E * gamma * T / (1 + gamma * T)) for D, E in ((1.0, 6.0), (1.5, 3.0)))
        mu_L, mu_A = D_L / (1 + gamma * T), D_A / (1 + gamma * T)
        r_e, r_T = STRONG["r_e"][face - 1], STRONG["r_T"][face - 1]
        species = D_L * jump[C_E] + lam * mu_L * c * jump[PHI_E]
        charge = (D_L - D_A) * jump[C_E] + lam * (mu_L + mu_A) * c * jump[PHI_E]
        assert species == pytest.approx(-delta * r_e * flux[C_E], abs=1e-12)
        assert charge == pytest.approx(-delta * r_e * flux[PHI_E], abs=1e-12)
        assert flux[PHI_E] == pytest.approx(0.2, abs=1e-11)  # all of the current
        assert jump[TEMP] == pytest.approx(-delta * r_T * flux[TEMP], abs=1e-12)
        assert abs(jump[C_E]) > 1e-3
    # discharge: the current flows out of the negative electrode through the electrolyte; negative r: a gain
    assert values[1, 2, PHI_E] < values[1, 0, PHI_E] and values[2, 2, PHI_E] > values[2, 0, PHI_E]
    for face, side, inner, E in ((0, 0, 2, 7.0), (3, 1, 0, 11.0)):
        left, flux, right = values[face]
        T = values[face, inner, TEMP]
        growth = np.exp(E * gamma * T / (1 + gamma * T))
        fall = -delta * STRONG["r_s"][side] * flux[PHI_S]
        assert growth * (right - left)[PHI_S] == pytest.approx(fall, abs=1e-12)
        assert flux[PHI_S] == pytest.approx(0.2, abs=1e-11)


@pytest.mark.mpi
@pytest.mark.parametrize("scheme", ["backward-euler", "bdf2"])
def test_conservation(scheme: str) -> None:
    run = wavy_run(*WALLS, *ACTIVATED, f'time.scheme="{scheme}"', "parameters.T_initial=0.3", current=0.4)
    found = run_walled(run, **STRONG)
    assert conserves(found)
    assert max(row["energy_error"] for row in found.rows[1:]) < 1e-10
    assert abs(found.rows[-1]["voltage"] - plain("parameters.T_initial=0.3").rows[-1]["voltage"]) > 1e-2


@pytest.mark.mpi
def test_newton_is_quadratic() -> None:
    assert_newton_is_quadratic(walled(wavy_run(*WALLS, *ACTIVATED, steps=1), **STRONG))


@pytest.mark.mpi
@pytest.mark.mpi3
def test_the_same_on_any_number_of_ranks() -> None:
    run = wavy_run(*WALLS, *ACTIVATED)
    here, alone = run_walled(run, **STRONG), run_walled(run, MPI.COMM_SELF, **STRONG)
    columns = ("voltage", "T_max", "T_min", "c_e_min", "c_e_max", "soc_n", "loss_electrolyte_ohmic")
    assert largest_difference(here, alone, columns) < 1e-10


@pytest.mark.mpi
def test_restored_state_goes_on_the_same() -> None:
    whole = run_walled(wavy_run(*WALLS, steps=4), **STRONG)
    first = walled(wavy_run(*WALLS, steps=2), **STRONG)
    follow(first, wavy_run(*WALLS, steps=2))
    state = first.state()
    second = walled(wavy_run(*WALLS, steps=2), **STRONG)
    second.restore({name: table.values for name, table in state.items()})
    for step in protocol_steps(wavy_run(*WALLS, steps=4))[2:]:
        second.advance(step)
        voltage = second.voltage
        second.accept()
    first.destroy()
    second.destroy()
    assert voltage == pytest.approx(whole.rows[-1]["voltage"], abs=1e-12)


@pytest.mark.mpi
@pytest.mark.mpi3
def test_state_for_comparison_has_both_sides_of_the_faces() -> None:
    model = walled(wavy_run(*WALLS, "homogenised.elements=2"))
    line = model.domain
    side = np.searchsorted(line.spans[1:, 0], model.numbers, side="right")  # region that a node belongs to
    model.values[:] = (model.coordinates[:, 0] + 10.0 * side)[:, None]
    for points in model.points:
        points.particles.c[:] = model.coordinates[points.nodes, :1]
    state = take_state(model)
    model.destroy()
    y = np.array([[0.0, 0.17, 0.4], [0.4, 0.5, 0.6], [0.6, 0.77, 1.0]])
    region = np.broadcast_to([[0], [1], [2]], y.shape)
    value, slope = state.evaluate(C_E, y[..., None], region)
    assert value == pytest.approx(y + 10.0 * region, abs=1e-12)
    assert slope[..., 0] == pytest.approx(np.ones_like(y), abs=1e-11)
    for electrode in (0, 1):
        at = y[2 * electrode]
        found = state.concentration(electrode, at[:, None], np.zeros(3, dtype=np.int64))
        assert found == pytest.approx(at, abs=1e-12)


LEVELS = "convergence.periods=[[2,1,2],[4,2,4]]"


@pytest.mark.mpi
def test_second_order() -> None:
    """V, mean T and the means in the electrodes, where the cell is mirror symmetric; VERIFICATION section 2."""
    result = study(levels=LEVELS, more=WALLS[:2])
    assert 1.9 < result["orders_wall_law"]["voltage"][0] < 2.3
    assert result["orders"]["voltage"][0] < 1.3
    for key in ("voltage", "T_mean", "c_e_negative", "c_e_positive", "Phi_e_positive"):
        assert result["orders_means_wall_law"][key][0] > 1.85, key
        assert result["orders_means"][key][0] < 1.3, key
    assert result["walls"]["symmetric"]
    for level in result["levels"]:
        checks = level["wall_law"]["checks"]
        assert max(checks[k] for k in ("lithium_error", "charge_error", "energy_error")) < 1e-10
        walled_errors, errors = level["wall_law"]["errors"], level["errors"]
        for field in ("Phi_e", "c_e", "T"):
            assert walled_errors[field]["l2_corrected"] < 0.5 * errors[field]["l2_corrected"]


@pytest.mark.slow
@pytest.mark.mpi
def test_second_order_of_the_reference_problem() -> None:
    """max_t |V error| of VERIFICATION section 2: 1.36e-3, 3.4e-4, 8.3e-5 for N = 5, 10, 20."""
    levels = "convergence.periods=[[2,1,2],[4,2,4],[8,4,8]]"
    result = study(order=2, h=0.1, steps=25, levels=levels, more=WALLS[:2])
    largest = [level["wall_law"]["voltage_error_max_over_time"] for level in result["levels"]]
    assert largest == pytest.approx([1.36e-3, 3.4e-4, 8.3e-5], rel=0.03)
    assert largest[1] < 5e-4
    assert np.log2(largest[1] / largest[2]) > 1.9
    assert result["orders_wall_law"]["voltage"][1] > 1.9


@pytest.mark.slow
def test_unsymmetric_cell_is_reported() -> None:
    bent = tuple(f"microstructure.{n}.w2=0.06" for n in ("negative", "positive"))
    result = study(levels=LEVELS, more=(*WALLS[:2], *bent))
    assert not result["walls"]["symmetric"]
    for level in result["levels"]:
        assert abs(level["wall_law"]["voltage_error"]) < 0.5 * abs(level["voltage_error"])


def test_restarted_study_is_the_same(tmp_path: Path) -> None:
    """A study that lost its last level, and the last steps of both models of it."""
    run = wavy_run(LEVELS, *WALLS, "checkpoint.every=1")
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dfx_homog.report, "write_report", lambda _out: None)
        for restart in (False, True):
            run_convergence(run, tmp_path, RunOptions(tmp_path, quiet=True, restart=restart))
            found.append(json.loads((tmp_path / "result.json").read_text()))
            (tmp_path / "resolved-10" / "level.kept").unlink()
            for name in ("homogenised-10", "resolved-10"):
                for file in (tmp_path / name / "checkpoint").glob("step-000000005.*"):
                    file.unlink()
            (tmp_path / "homogenised-10" / "state-000000005.kept").unlink()
    whole, again = (numbers(result) for result in found)
    assert set(whole) == set(again)
    assert max(abs(whole[key] - again[key]) for key in whole) < 1e-9
    log = (tmp_path / "log.txt").read_text()
    assert log.count("going on from step 4") == 2
    assert log.count("delta = 1/5: finished already") == 1


def test_what_has_no_walls_is_refused() -> None:
    shipped = Path(__file__).resolve().parents[1] / "runs" / "wall-law.toml"
    require(load(shipped), "convergence")
    with pytest.raises(BadInput, match=r"wall_law.*meso dimensions"):
        require(load(shipped, ["homogenised.dim=2"]), "homogenised")
    path = Path(__file__).resolve().parents[1] / "runs" / "dfn-lgm50.toml"
    with pytest.raises(BadInput, match="wall_law"):
        require(load(path, ["homogenised.wall_law=true"]), "homogenised")
    run = wavy_run("homogenised.wall_law=true")
    cell = run.cell.model_copy(update={"periods": None, "thickness": (0.4, 0.2, 0.4)})
    with pytest.raises(BadInput, match="wall_law"):
        require(run.model_copy(update={"cell": cell}), "homogenised")


@pytest.mark.mpi
def test_losses_at_the_walls() -> None:
    """They close the sum and are the current times the resistances where nothing else varies."""
    run = wavy_run(*WALLS, *ACTIVATED, "parameters.D_L=1.5", "parameters.mu_L=1.5", "parameters.gamma=0.5")
    found = run_walled(run, **STRONG).rows
    for row in found:
        lost = [value for name, value in row.items() if name.startswith("loss_")]
        assert row["open_circuit"] - sum(lost) == pytest.approx(row["voltage"], abs=1e-12)
    assert found[-1]["loss_walls"] > 1e-4
    cold = wavy_run(*WALLS, "parameters.isothermal=true", "parameters.D_L=1.5", "parameters.mu_L=1.5")
    last = run_walled(cold, r_s=(0.4, 0.9)).rows[-1]
    assert last["loss_walls"] == pytest.approx(0.2 * 1.3 * 0.2, abs=1e-12)
    assert "loss_walls" not in simulate(cold, "homogenised").rows[-1]
    # i = -lambda (mu_L + mu_A) c [psi]/(delta r_e) with c the mean of both sides
    both = run_walled(cold, r_e=(0.9, -0.3)).rows[-1]
    assert both["loss_walls"] == pytest.approx(0.2 * 0.2 * 0.6 / (2.0 * 3.0), rel=0.05)
