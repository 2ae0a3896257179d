"""Domains that are no strips: current and cooling that vary over the collector and in time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from wavy import build, conserves, simulate, wavy_run

from dfx_homog.errors import BadInput
from dfx_homog.models.fields import PHI_S, TEMP
from dfx_homog.models.history import Ledger
from dfx_homog.parameters.expression import Expression
from dfx_homog.runfile import Run
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.timestepping import TimeStep, euler

WIDTH = 0.8  # four of five unit cells across
WIDE = ("cell.lateral_periods=[4]",)
DT = 0.02


def driven(
    run: Run, profile: str, steps: int, comm: MPI.Comm = MPI.COMM_WORLD
) -> tuple[Any, list[dict[str, float]]]:
    """A model after Euler steps under a current density, and what each state says of conservation."""
    model = build(run, comm=comm)
    formula = Expression.of_time_and_place(profile)
    ledger = Ledger(model.lithium(), isothermal=False)
    model.switch_on(Control("current", 0.0, formula, 0.0))
    rows = []
    for index in range(1, steps + 1):
        control = Control("current", 0.0, formula, DT * index)
        model.advance(TimeStep(index, DT * index, DT, control, euler(DT), 0))
        rows.append(
            {**ledger.errors(model.balance(), model.current), "current": model.current, "V": model.voltage}
        )
        model.accept()
    return model, rows


def across(model: Any, field: int, y1: float) -> tuple[np.ndarray, np.ndarray]:
    """y2 and values of a field at the nodes with this y1 where it lives; one rank."""
    at = (np.abs(model.coordinates[:, 0] - y1) < 1e-9) & model.visible[:, field]
    return model.coordinates[at, 1], model.values[at, field]


def test_a_uniform_profile_is_a_current() -> None:
    """Also where it is written as a formula in t: taken at the new time of a step."""
    model, rows = driven(wavy_run(), "10*t", 3)
    model.destroy()
    steps = ", ".join(f"{{current={10 * DT * k!r}, duration={DT}}}" for k in (1, 2, 3))
    plain = simulate(wavy_run(f"protocol.steps=[{steps}]"))
    assert [r["current"] for r in rows] == pytest.approx([0.2, 0.4, 0.6], abs=1e-14)
    assert [r["V"] for r in rows] == pytest.approx([r["voltage"] for r in plain.rows[1:]], abs=1e-11)


@pytest.mark.mpi
@pytest.mark.mpi3
def test_uneven_current() -> None:
    """Charge, lithium and energy are balanced; the solid's potential falls where the current is large."""
    profile = f"0.2*(1 + 0.5*cos(2*pi*y2/{WIDTH}))"
    model, rows = driven(wavy_run(*WIDE), profile, 3)
    for row in rows:
        assert row["current"] == pytest.approx(0.2, abs=1e-12)
        assert max(row["lithium_error"], row["charge_error"]) < 1e-10 and row["energy_error"] < 1e-8
    own, w = model.values[:, PHI_S], model.voltage_weights
    assert model.sum(w.sum()) == pytest.approx(1.0, abs=1e-12)
    assert model.voltage == pytest.approx(model.sum(w @ own), abs=1e-13)
    lone, alone = driven(wavy_run(*WIDE), profile, 3, MPI.COMM_SELF)
    assert [r["V"] for r in rows] == pytest.approx([r["V"] for r in alone], abs=1e-9)
    y2, phi = across(lone, PHI_S, 1.0)
    strong, weak = phi[(y2 < 0.2) | (y2 > 0.6)].mean(), phi[(y2 > 0.2) & (y2 < 0.6)].mean()
    assert strong < weak - 1e-4
    for m in (model, lone):
        m.destroy()


def test_a_profile_that_does_not_act() -> None:
    """The mean is what is applied: V under an odd deviation of a symmetric cell changes in second order only."""
    results = [driven(wavy_run(*WIDE), f"0.2 + {a}*sin(2*pi*y2/{WIDTH})", 2) for a in (0.0, 0.02, -0.02)]
    for model, _ in results:
        model.destroy()
    V = [rows[-1]["V"] for _, rows in results]
    assert V[1] == pytest.approx(V[2], abs=1e-9)
    assert 0 < abs(V[1] - V[0]) < 1e-4


@pytest.mark.mpi
def test_uneven_cooling() -> None:
    """T at the collector is lowest where it is cooled most, and the energy identity counts h(t, y2) as it acts."""
    cooling = f"5*(1 + cos(2*pi*y2/{WIDTH}))*(1 + 20*t)"
    warm = (*WIDE, "parameters.T_initial=0.3", f'parameters.h_positive="{cooling}"')
    assert conserves(simulate(wavy_run(*warm, steps=4)))
    model, _ = driven(wavy_run(*warm), "0.2", 4, MPI.COMM_SELF)
    y2, T = across(model, TEMP, 1.0)
    model.destroy()
    order = np.argsort(y2)
    middle = 0.5 * WIDTH
    assert T[order][0] < T[np.argmin(np.abs(y2 - middle))] - 0.01
    # mirror symmetry about the middle
    mirrored = np.interp(WIDTH - y2[order], y2[order], T[order])
    assert np.abs(mirrored - T[order]).max() < 2e-3


def test_cooling_in_time_is_that_of_the_new_time() -> None:
    """One Euler step with h(t) is one with the number h(dt)."""
    for model in ("resolved", "homogenised"):
        formula, number = (
            simulate(wavy_run("parameters.T_initial=0.3", f"parameters.h={h}", steps=1), model).rows[-1]
            for h in ('"100*t*t + y1"', "0.04")
        )
        both = simulate(
            wavy_run("parameters.T_initial=0.3", "parameters.h=0.04", "parameters.h_positive=1.04", steps=1),
            model,
        ).rows[-1]
        assert formula["T_mean"] == pytest.approx(both["T_mean"], abs=1e-12)
        assert formula["T_mean"] < number["T_mean"] - 1e-4


def test_refused() -> None:
    with pytest.raises(BadInput, match=r"parameters\.h: is -0\.5.*>= 0"):
        simulate(wavy_run(*WIDE, 'parameters.h="0.5*cos(2*pi*y2/0.8)"'))
    with pytest.raises(BadInput, match="y3"):
        simulate(wavy_run('parameters.h="y3"'))
    with pytest.raises(BadInput, match=r"D_s: is not a 2 x 2 tensor"):
        simulate(wavy_run("parameters.negative.D_s=[[1,0,0],[0,1,0],[0,0,1]]"))
