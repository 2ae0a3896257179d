"""Use of the fields: statistics of the reaction over Gamma, plating, heat by mechanism, hot spot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from wavy import (
    NO_DOUBLE_LAYER,
    build,
    follow,
    largest_difference,
    mirrored,
    protocol_steps,
    simulate,
    wavy_run,
)

from dfx_homog import _compat
from dfx_homog.models.fields import PHI_E, PHI_S
from dfx_homog.models.history import COLUMNS
from dfx_homog.models.interface_statistics import (
    Samples,
    distribution,
    least,
    moments,
    summary,
    time_integral,
)
from dfx_homog.models.resolved import ResolvedModel
from dfx_homog.runfile import Run
from dfx_homog.solvers.control import Control

MODELS = ("resolved", "homogenised")
#: Laws that make every mechanism of heat depend on the temperature.
WARM = (
    'parameters.negative.ocp="0.25 - 0.3*(c - 0.5) + 0.4*T*c"',
    'parameters.negative.Pi="auto"',
    "parameters.T_initial=0.3",
    "parameters.gamma=0.5",
    *(f"parameters.activation.{key}=5" for key in ("G_n", "G_p", "D_L", "sigma_n")),
)


#: A film on the particles of one electrode.
FILM = ("parameters.negative.film_resistance=0.7",)


def areas(model: Any) -> list[float]:
    """Area of the interface of each electrode in lengths of the unit cell times delta, per collector area."""
    if isinstance(model, ResolvedModel):
        on = model.interface
        return [model.delta * model.sum(on.weights[on.electrode == e].sum()) for e in (0, 1)]
    return [model.sum(p.weights.sum()) * p.particles.geometry.surface for p in model.points]


def heat_sum(row: dict[str, float]) -> float:
    return sum(value for name, value in row.items() if name.startswith("heat_"))


@pytest.mark.mpi
def test_moments_of_numbers() -> None:
    """Weights 1, 2, 3 on values 2, 2, 2 and 1, -1, 3, dealt to the ranks."""
    comm = MPI.COMM_WORLD
    mine = slice(comm.rank, None, comm.size)
    w, same, other = np.array([1.0, 2.0, 3.0])[mine], np.full(3, 2.0)[mine], np.array([1.0, -1.0, 3.0])[mine]
    n, p = moments(comm, [Samples(w, same, other), Samples(w, other, 0 * same)])
    assert (n.area, n.mean[0], n.std[0], n.least[0], n.most[0]) == (6.0, 2.0, 0.0, 2.0, 2.0)
    assert n.mean[1] == p.mean[0] == pytest.approx(8 / 6)
    assert p.std[0] == pytest.approx(np.sqrt((1 + 2 + 27) / 6 - (8 / 6) ** 2))
    assert (p.least[0], p.most[0]) == (-1.0, 3.0)
    row = distribution([n, p], (1.0, 1.0))
    assert row["rate_cv_n"] == 0.0
    assert row["rate_cv_p"] == pytest.approx(p.std[0] / (8 / 6))
    assert row["eta_std_p"] == 0.0
    assert np.isnan(distribution([n, p], (1e10, 1.0))["rate_cv_n"])


@pytest.mark.mpi
def test_places_do_not_depend_on_ranks() -> None:
    """Of the nodes that share a minimum up to solver accuracy it is the first; a uniform field has no place."""
    comm = MPI.COMM_WORLD
    mine = slice(comm.rank, None, comm.size)
    values = np.array([3.0, 1.0 + 1e-9, 2.0, 1.0, 1.1])
    assert least(comm, values[mine], np.arange(5)[mine] + 7) == (1.0, 8)
    assert least(comm, -values[mine], np.arange(5)[mine]) == (-3.0, 0)
    assert least(comm, np.full(5, 0.3)[mine], np.arange(5)[mine]) == (0.3, None)
    low, node = least(comm, np.zeros(0), np.zeros(0, dtype=np.int64))
    assert np.isnan(low) and node is None


@pytest.mark.mpi
@pytest.mark.parametrize("name", MODELS)
def test_uniform_state(name: str) -> None:
    """Potentials shifted from equilibrium by numbers: g is that of one formula all over Gamma, and does not vary."""
    model = build(wavy_run(), name)
    row = model.interface.row()
    assert abs(row["rate_mean_n"]) < 1e-14
    assert np.isnan(row["rate_cv_n"]) and np.isnan(row["rate_cv_p"])
    phi_e = model.component("Phi_e")
    model.values[:, phi_e] -= 0.1
    row = model.interface.row()
    for e, G, c in (("n", 1.5, 0.8), ("p", 1.0, 0.3)):
        rate = G * np.sqrt(c * (1 - c)) * 2 * np.sinh(0.5 * 2.0 * 0.1)
        for what in ("mean", "min", "max"):
            assert row[f"rate_{what}_{e}"] == pytest.approx(rate, rel=1e-12)
            assert row[f"eta_{what}_{e}"] == pytest.approx(0.1, abs=1e-13)
        assert row[f"rate_cv_{e}"] < 1e-13
        assert row[f"eta_std_{e}"] < 1e-13
    assert row["plating_min"] == pytest.approx(0.16 + 0.1, abs=1e-13)
    assert np.isnan(row["plating_y1"]) and np.isnan(row["hot_y1"])
    on = {key: field[np.isfinite(field)] for key, field in model.interface.nodal().items()}
    assert np.ptp(on["eta"]) < 1e-13 if len(on["eta"]) else True
    assert model.comm.allreduce(len(on["rate"])) == model.comm.allreduce(len(on["jump"])) > 0
    model.destroy()


@pytest.mark.mpi
@pytest.mark.parametrize("name", MODELS)
def test_mean_rate_is_the_current(name: str) -> None:
    """Without a double layer the reaction alone carries the current, which enters at one electrode and leaves at the
    other; the interface per collector area is that of the forms."""
    run = wavy_run(*NO_DOUBLE_LAYER, steps=2)
    model = build(run, name)
    rows = follow(model, run).rows
    surfaces = areas(model)
    model.destroy()
    for row in rows:
        for e, area, current in zip("np", surfaces, (0.2, -0.2), strict=True):
            assert row[f"rate_mean_{e}"] * area == pytest.approx(current, rel=1e-9)
            assert row[f"rate_min_{e}"] < row[f"rate_mean_{e}"] < row[f"rate_max_{e}"]
            assert row[f"rate_cv_{e}"] == pytest.approx(row[f"rate_std_{e}"] / abs(row[f"rate_mean_{e}"]))
            assert row[f"double_layer_{e}"] == 0.0
            assert np.sign(row[f"eta_min_{e}"]) == np.sign(row[f"eta_max_{e}"]) == np.sign(current)


@pytest.mark.mpi
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("change", [(), (*WARM, 'time.scheme="bdf2"'), FILM])
def test_heat_by_mechanism_is_all_heat(name: str, change: tuple[str, ...]) -> None:
    """The sum over mechanisms is the source of the heat equation: what is stored and lost, less what Newton left."""
    run = wavy_run(*change, steps=3)
    model = build(run, name)
    temperature = model.component("T")
    for step in protocol_steps(run):
        model.advance(step)
        row, terms = model.observe(), model.balance().heating
        if name == "resolved":
            left = np.zeros_like(model.forms.u.x.array)
            _compat.assemble_vector(model.forms.residual, left)
            left_over = model.sum(left.reshape(-1, 5)[:, temperature].sum())
        else:
            left_over = 0.0
        assert heat_sum(row) == pytest.approx(terms[0] + terms[1] - left_over, abs=1e-13)
        assert row["double_layer_n"] + row["double_layer_p"] == pytest.approx(terms[4], abs=1e-13)
        model.accept()
    if change == FILM:
        square = row["rate_mean_n"] ** 2 + row["rate_std_n"] ** 2
        assert row["heat_film_n"] == pytest.approx(2.0 * 0.7 * areas(model)[0] * square, rel=1e-12)
        assert row["heat_film_n"] > 5e-3 and row["heat_film_p"] == 0.0
    for name in ("joule_s_n", "joule_s_p", "joule_e_s", "irreversible_n", "irreversible_p"):
        assert row[f"heat_{name}"] > 0
    model.destroy()


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("name", MODELS)
def test_the_same_on_any_number_of_ranks(name: str) -> None:
    run = wavy_run("cell.lateral_periods=[2]", steps=3)
    here, alone = simulate(run, name), simulate(run, name, comm=MPI.COMM_SELF)
    further = tuple(c for c in here.rows[0] if c not in COLUMNS and "_cv_" not in c)
    assert len(further) >= 30
    assert largest_difference(here, alone, further) < 1e-9
    for a, b in zip(here.rows[1:], alone.rows[1:], strict=True):
        assert a["rate_cv_n"] == pytest.approx(b["rate_cv_n"], abs=1e-8)
    last = here.rows[-1]
    assert 0 <= last["plating_y1"] <= 0.4
    assert 0 <= last["hot_y1"] <= 1
    if name == "resolved":
        assert last["plating_y2"] <= 0.2, "the second row of cells has the same minimum"


def test_mirror_image() -> None:
    """Electrodes and current exchanged: the statistics change their electrode."""
    there, back = (simulate(run).rows[1:] for run in mirrored())
    for a, b in zip(there, back, strict=True):
        for what in ("rate_mean", "rate_min", "rate_max", "rate_std", "rate_cv", "eta_mean", "eta_max"):
            assert a[f"{what}_n"] == pytest.approx(b[f"{what}_p"], abs=2e-4)
            assert a[f"{what}_p"] == pytest.approx(b[f"{what}_n"], abs=2e-4)
        for mechanism in ("joule_s", "joule_e", "irreversible", "reversible"):
            assert a[f"heat_{mechanism}_n"] == pytest.approx(b[f"heat_{mechanism}_p"], abs=2e-4)


@pytest.mark.mpi
def test_smallest_potential_difference_of_a_constructed_field() -> None:
    """Phi_s - Phi_e with its minimum at a node of the negative surface; what the separator or the positive electrode
    has does not count."""
    model = build(wavy_run())
    y = model.coordinates
    surface = model.interface._negative
    target = np.array([0.27, 0.05])
    distance = np.linalg.norm(y[surface, :2] - target, axis=1)
    _, nearest = model.comm.allreduce(
        (
            float(distance.min(initial=np.inf)),
            tuple(y[surface[distance.argmin()], :2]) if len(surface) else (),
        ),
        op=MPI.MIN,
    )
    model.values[:, PHI_E] = 0.0
    model.values[:, PHI_S] = np.linalg.norm(y[:, :2] - nearest, axis=1) - 0.07
    model.values[y[:, 0] > 0.45, PHI_S] = -5.0
    row = model.interface.row()
    model.destroy()
    assert row["plating_min"] == pytest.approx(-0.07, abs=1e-14)
    assert (row["plating_y1"], row["plating_y2"]) == pytest.approx(nearest, abs=1e-14)


def balls(order: int) -> list[str]:
    """Overrides: overlapping balls, whose surface is curved in two directions."""
    materials = "sigma_s = 10.0, k_s = 2.0, k_e = 0.6, rho_cp_s = 1.5, rho_cp_e = 1.0"
    ball = f'{{geometry = "spheres", lattice = "sc", radius = 0.55, mesh_size = 0.4, order = {order}, {materials}}}'
    separator = (
        f'{{geometry = "electrolyte", dim = 3, mesh_size = 0.4, order = {order}, k_e = 0.6, rho_cp_e = 1.0}}'
    )
    periods = ["cell.periods=[1,1,1]", "cell.lateral_periods=[1,1]", "convergence.periods=[[1,1,1],[2,2,2]]"]
    electrodes = [f"microstructure.{name}={ball}" for name in ("negative", "positive")]
    return [*electrodes, f"microstructure.separator={separator}", *periods]


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("dim", "order"), [(2, 1), (2, 2), (3, 1), pytest.param(3, 2, marks=pytest.mark.slow)]
)
def test_quadrature_on_gamma_is_that_of_the_forms(dim: int, order: int) -> None:
    """Sums over the points of Gamma are the assembled integrals, on curved facets too, and by electrode."""
    overrides = ["cell.lateral_periods=[2]"] if dim == 2 else balls(order)
    run = wavy_run(*overrides, order=order, steps=1)
    model = build(run)
    model.advance(protocol_steps(run)[0])
    on, G, C = model.interface, (1.5, 1.0), 0.05
    at = on.densities()
    rate = model.rates()[:, PHI_S] - model.rates()[:, PHI_E]
    jump_rate = np.einsum("qn,fn->fq", on.shape, rate[on.nodes])
    for e in (0, 1):
        total = on.weights * (at[:, :, 0] + G[e] * C * jump_rate) * model.delta
        mine = total[on.electrode == e].sum()
        assert model.sum(mine) == pytest.approx(model._interface(model.forms.interface_current, e), abs=1e-14)
    model.destroy()


def test_integrals_over_time() -> None:
    time, values = np.array([0.0, 1.0, 3.0]), np.array([7.0, 2.0, 4.0])
    assert time_integral(time, values, "backward-euler") == 10.0
    assert time_integral(time, values, "bdf2") == 10.5


def test_heat_of_a_run_is_the_rise_of_temperature() -> None:
    """Nothing leaves and rho cp = 1: the heat of all mechanisms is the mean T; shares add up to 100 %."""
    changes = [f"microstructure.{r}.rho_cp_e=1.0" for r in ("negative", "separator", "positive")]
    changes += [f"microstructure.{r}.rho_cp_s=1.0" for r in ("negative", "positive")]
    rows = simulate(wavy_run(*changes, "parameters.h=0")).rows
    found = summary(rows, "backward-euler")
    heat = found["heat"]
    assert heat["total"] == pytest.approx(rows[-1]["T_mean"], abs=1e-12)
    assert sum(heat["shares_percent"].values()) == pytest.approx(100)
    worst = max(rows[1:], key=lambda row: row["rate_cv_n"])
    index = found["interface"]["negative"]
    assert (index["rate_cv_max"], index["rate_cv_max_time"]) == (worst["rate_cv_n"], worst["time"])
    plating = min(rows, key=lambda row: row["plating_min"])
    assert (index["plating_min"], index["plating_min_time"]) == (plating["plating_min"], plating["time"])
    assert plating is rows[0], "from here on the negative electrode is emptied"
    assert index["plating_min_place"] == [None, None], "a uniform state has no place of its minimum"


def test_isothermal_has_heat_but_no_hot_spot() -> None:
    run: Run = wavy_run("parameters.isothermal=true", *NO_DOUBLE_LAYER, steps=1)
    model = build(run)
    model.switch_on(Control("current", 0.2))
    row = model.observe()
    model.destroy()
    assert row["heat_irreversible_n"] > 0 and row["heat_joule_e_s"] > 0
    assert np.isnan(row["hot_y1"]) and np.isnan(row["hot_y2"])
