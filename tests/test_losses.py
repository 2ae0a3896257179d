"""Where the volts go: the split of the loss of voltage is exact, has the right limits, and is one in both models."""

from __future__ import annotations

from typing import Any

import pytest
from meso_cell import TABS, B, K, S, meso_run
from mpi4py import MPI
from wavy import NO_DOUBLE_LAYER, largest_difference, mirrored, simulate, warm_numbers, wavy_run

from dfx_homog.models.history import Row
from dfx_homog.models.losses import describe, limiting, summary

MODELS = ("resolved", "homogenised")
#: Electrodes of different thickness.
ONE_LONGER = ("cell.periods=[2,1,1]", "convergence.periods=[[2,1,1],[4,2,2]]")
#: Everything at once: heat with U(c, T), a film, activation energies, different electrodes, a double layer.
ALL = (
    'parameters.negative.ocp="0.25 - 0.3*(c - 0.5) + 0.4*T*c"',
    'parameters.negative.Pi="auto"',
    "parameters.T_initial=0.3",
    "parameters.gamma=0.5",
    "parameters.negative.film_resistance=0.7",
    "parameters.positive.film_resistance=0.2",
    *ONE_LONGER,
    *(f"parameters.activation.{key}=5" for key in ("G_n", "G_p", "D_L", "sigma_n")),
)
#: Overpotentials without the part that a lithium electrode would see.
LITHIUM = ('parameters.overpotential="lithium-electrode"',)
#: Discharge, then rest.
REST = "protocol.steps=[{current=0.2,duration=0.06},{current=0.0,duration=0.06}]"


def closure(row: Row) -> float:
    """What is left of V = open circuit - losses."""
    return row["voltage"] + lost(row) - row["open_circuit"]


def lost(row: Row, *names: str) -> float:
    """Sum of the losses, all or those whose names contain one of the given words."""
    return sum(
        value
        for name, value in row.items()
        if name.startswith("loss_") and (not names or any(word in name for word in names))
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "change", [LITHIUM, NO_DOUBLE_LAYER, ALL, (*ALL, REST, "parameters.isothermal=true")]
)
def test_the_losses_add_up(name: str, change: tuple[str, ...]) -> None:
    """At every time, in discharge and at rest, from the first state on."""
    rows = simulate(wavy_run(*change, steps=3), name).rows
    assert max(abs(closure(row)) for row in rows) < 1e-12
    first, last = rows[0], rows[-1]
    assert abs(closure({**last, "loss_reaction_n": 0.0})) > 1e-3
    if change != NO_DOUBLE_LAYER:  # with one nothing happens until the first step
        assert abs(lost(first)) < 1e-12
        assert first["open_circuit"] == pytest.approx(first["voltage"], abs=1e-12)
    film = ["film"] * (change[: len(ALL)] == ALL)
    for mechanism in ["particle", "reaction", "electrolyte_ohmic", "electrolyte_diffusion", *film]:
        assert abs(lost(last, mechanism)) > 1e-5, mechanism
    assert (abs(lost(last, "temperature")) > 1e-5) == (change == ALL)
    if REST not in change:
        assert lost(last, "electronic") > 1e-3


def last_rows(*overrides: str, steps: int = 3) -> dict[str, Row]:
    """Last row of both models."""
    run = wavy_run(*overrides, steps=steps)
    return {name: simulate(run, name).rows[-1] for name in MODELS}


def run_down() -> list[Row]:
    """V falls with a constant slope, in the last tenth by one loss alone."""
    rows = []
    for k in range(11):
        row = {
            "time": k / 10,
            "open_circuit": 2.0 - 0.01 * min(k, 9),
            "loss_reaction_n": 0.2,
            "loss_film_p": -0.3,
        }
        rows.append({**row, "loss_particle_p": 0.15 + 0.01 * (k == 10)})
    return [{**row, "voltage": row["open_circuit"] - lost(row)} for row in rows]


def test_summary() -> None:
    """The largest loss is that with the sign of the sum: charging, the overpotentials raise V."""
    rows = run_down()
    found = summary(rows)["losses"]
    assert found["total"] == pytest.approx(0.06)
    assert (found["largest"], found["film_p"], found["open_circuit"]) == ("reaction_n", -0.3, 1.91)
    assert (found["limiting"], found["limiting_percent"]) == ("particle_p", pytest.approx(100))
    assert limiting(rows[:9]) == ("open_circuit", pytest.approx(1))
    assert limiting(rows[:3]) is None
    assert limiting([{**row, "voltage": 1.0} for row in rows]) is None
    assert summary([{**rows[0], "loss_film_p": -0.5}])["losses"]["largest"] == "film_p"
    assert describe(rows) == (
        "loss of voltage 0.06, of it 0.2 by reaction, negative electrode; "
        "in the last tenth of the run V moved with diffusion in the particles, positive electrode (100 %)"
    )
    assert describe([{"voltage": 2.0, "open_circuit": 2.0, "loss_film_p": 0.0}]) == "no loss of voltage"


@pytest.fixture(scope="module")
def before() -> dict[str, Row]:
    """Without double layers, whose current would flow however fast the kinetics are."""
    return last_rows(*NO_DOUBLE_LAYER)


@pytest.mark.parametrize(
    ("change", "names", "ratio"),
    [
        ([f"microstructure.{r}.sigma_s=1e6" for r in ("negative", "positive")], ["electronic"], 1e-4),
        (["parameters.negative.G=1500", "parameters.positive.G=1000"], ["reaction"], 2e-3),
        (["parameters.negative.D_s=1e4", "parameters.positive.D_s=1e4"], ["particle"], 1e-3),
        (["parameters.mu_L=1e4", "parameters.mu_A=1.5e4"], ["electrolyte"], 1e-3),
        (["parameters.D_L=1.5", "parameters.mu_L=1.5"], ["diffusion"], 1e-12),
        (
            [*LITHIUM, "parameters.D_A=1e-10", "parameters.mu_A=1e-10"],
            ["diffusion"],
            1e-8,
        ),  # only lithium moves
    ],
)
def test_limits(before: dict[str, Row], change: list[str], names: list[str], ratio: float) -> None:
    """A transport that is free, or kinetics that are fast, cost nothing; equal diffusivities make no potential."""
    after = last_rows(*NO_DOUBLE_LAYER, *change)
    for model in MODELS:
        assert abs(lost(before[model], *names)) > 1e-3
        assert abs(lost(after[model], *names)) < ratio * abs(lost(before[model], *names))
        assert abs(closure(after[model])) < 1e-10


def test_an_even_reaction_turns_losses_into_heat() -> None:
    """Where the reaction is even over Gamma, the current times a loss is the heat of its mechanism over lambda."""
    free = ["parameters.mu_L=1e3", "parameters.mu_A=1.5e3"]
    free += [f"microstructure.{r}.sigma_s=1e4" for r in ("negative", "positive")]
    free += ["parameters.negative.D_s=1e3", "parameters.positive.D_s=1e3"]
    film = ["parameters.negative.film_resistance=0.7", "parameters.positive.film_resistance=0.2"]
    for row in last_rows(*NO_DOUBLE_LAYER, *free, *film, steps=1).values():
        for loss, heat in (
            ("reaction", "heat_irreversible"),
            ("film", "heat_film"),
            ("electronic", "heat_joule_s"),
            ("electrolyte", "heat_joule_e"),
        ):
            warmth = sum(value for name, value in row.items() if name.startswith(heat))
            assert 2.0 * 0.2 * lost(row, loss) == pytest.approx(warmth, rel=2e-3)


def test_the_resolved_losses_approach_the_homogenised_ones() -> None:
    """Each difference at least halves from 5 to 10 unit cells."""
    homogenised = simulate(wavy_run(h=0.1), "homogenised").rows[-1]
    coarse, fine = (
        simulate(wavy_run(f"cell.periods={periods}", h=0.1)).rows[-1] for periods in ([2, 1, 2], [4, 2, 4])
    )
    for name, value in homogenised.items():
        if name.startswith("loss_"):
            small = abs(value) < 1e-5  # both electrodes are loaded evenly, and no potential depends on T
            assert small == name.startswith(("loss_uneven", "loss_temperature")), name
            assert abs(fine[name] - value) < max(0.52 * abs(coarse[name] - value), 1e-6 * small), name
            assert abs(fine[name] - value) < 0.09 * abs(value) + 1e-5 * small, name


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("name", MODELS)
def test_the_same_on_any_number_of_ranks(name: str) -> None:
    run = wavy_run(*ALL, steps=2)
    here, alone = simulate(run, name), simulate(run, name, comm=MPI.COMM_SELF)
    names = tuple(c for c in here.rows[0] if c.startswith("loss_"))
    assert len(names) == 14
    assert largest_difference(here, alone, (*names, "open_circuit")) < 1e-9


def test_mirror_image() -> None:
    """Electrodes and current exchanged: the losses change electrode and sign."""
    there, back = (simulate(run).rows[1:] for run in mirrored())
    for a, b in zip(there, back, strict=True):
        for name in (c for c in a if c.startswith("loss_")):
            other = {"n": "p", "p": "n"}.get(name[-1]) if name[-2] == "_" else None
            image = name[:-1] + other if other else name
            assert a[name] == pytest.approx(-b[image], abs=2e-4)


def test_the_diffusion_potential_of_a_warm_electrolyte() -> None:
    """alpha is that of the laws in T: uniform temperature, mobilities of Einstein against numbers."""
    laws, numbers = (simulate(run, "homogenised").rows[-1] for run in warm_numbers())
    for name in ("loss_electrolyte_ohmic", "loss_electrolyte_diffusion"):
        assert laws[name] == pytest.approx(numbers[name], rel=1e-9)


@pytest.mark.mpi
def test_a_way_from_tab_to_tab_costs_electronic_volts() -> None:
    """In two meso dimensions the sum is exact too; tabs at opposite ends lengthen the way through the solid."""
    tensors: dict[str, Any] = {"S": S, "B": B, "K": K}
    tabs, even = (
        simulate(meso_run(*overrides, **tensors), "homogenised").rows
        for overrides in (TABS, [*TABS[:3], "homogenised.dim=2"])
    )
    assert max(abs(closure(row)) for row in [*tabs, *even]) < 1e-12
    more = {name: tabs[-1][name] - even[-1][name] for name in even[-1] if name.startswith("loss_")}
    voltage = even[-1]["voltage"] - tabs[-1]["voltage"]
    assert more["loss_electronic_n"] + more["loss_electronic_p"] > 0.7 * voltage > 0.01
