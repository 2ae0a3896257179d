"""The resolved model: tabulated voltages, conservation, iterations, and cases whose answer is known otherwise."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from helpers import time_steps
from mpi4py import MPI
from wavy import (
    NO_DOUBLE_LAYER,
    STIFF,
    assert_newton_is_quadratic,
    build,
    conserves,
    follow,
    largest_difference,
    layered,
    mirrored,
    simulate,
    voltages,
    warm_numbers,
    wavy_run,
    with_parameters,
)

from dfx_homog.dimensionless.physics import physics_from_run
from dfx_homog.models.fields import C_E, C_S, PHI_E, PHI_S, TEMP
from dfx_homog.models.history import Row
from dfx_homog.runfile import REGIONS, Run
from dfx_homog.solvers.control import Control
from dfx_homog.studies.outcome import March

#: VERIFICATION section 4: V at TIMES for N = 5 and 10 unit cells.
TABLE = {
    5: (0.80471, 0.53204, 0.38045, 0.27032, 0.16432, 0.05357),
    10: (0.80853, 0.53618, 0.38492, 0.27498, 0.16909, 0.05840),
}


@cache
def reference() -> March:
    """Five steps of the coarse `wavy-2d` that many tests compare with."""
    return simulate(wavy_run())


@pytest.mark.mpi
@pytest.mark.parametrize("n", [5, pytest.param(10, marks=pytest.mark.slow)])
def test_voltages_of_the_table(n: int) -> None:
    m = n // 5
    result = simulate(wavy_run(f"cell.periods=[{2 * m},{m},{2 * m}]", h=0.1, order=2, steps=25))
    assert np.abs(np.subtract(voltages(result), TABLE[n])).max() < 5e-4
    assert conserves(result)
    assert max(row["newton"] for row in result.rows) <= 5
    # beyond the homogenised ranges by the constriction at the separator, which takes heat and concentration
    last = result.rows[-1]
    assert [last[k] for k in ("T_min", "T_max")] == pytest.approx([0.04607, 0.05262], abs=0.0075 / n)
    assert [last[k] for k in ("c_e_min", "c_e_max")] == pytest.approx([0.93589, 1.06410], abs=0.04 / n)
    assert last["c_e_min"] < 0.93589 and last["c_e_max"] > 1.06410 and last["T_max"] > 0.05262


@pytest.mark.parametrize(
    "change",
    [
        pytest.param((), marks=pytest.mark.mpi),
        STIFF,
        NO_DOUBLE_LAYER,
        pytest.param((*STIFF, *NO_DOUBLE_LAYER), marks=pytest.mark.mpi),
    ],
)
@pytest.mark.parametrize("order", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_iterations_do_not_grow_with_the_number_of_cells(order: int, change: tuple[str, ...]) -> None:
    means = []
    for m in (1, 2, 4, 8):
        result = simulate(wavy_run(f"cell.periods=[{2 * m},{m},{2 * m}]", *change, order=order, steps=2))
        assert max(row["newton"] for row in result.rows) <= 5
        means.append(float(np.mean(result.krylov)))
    assert max(means) < 1.25 * min(means)
    assert max(means) < (20 if set(STIFF) <= set(change) else 12)


@pytest.mark.mpi
def test_iterations_depend_neither_on_the_mesh_nor_on_ranks() -> None:
    """Within a quarter: mesh sizes 0.2, 0.1, 0.05 on all ranks, and the middle one on one rank."""
    sizes = {h: simulate(wavy_run(h=h, steps=2)).krylov for h in (0.2, 0.1, 0.05)}
    alone = simulate(wavy_run(h=0.1, steps=2), comm=MPI.COMM_SELF).krylov
    means = [float(np.mean(k)) for k in (*sizes.values(), alone)]
    assert max(means) < 1.25 * min(means)
    assert max(means) < 12


@pytest.mark.mpi
@pytest.mark.mpi3
def test_the_same_on_any_number_of_ranks() -> None:
    here = simulate(wavy_run('time.scheme="bdf2"', order=2))
    alone = simulate(wavy_run('time.scheme="bdf2"', order=2), comm=MPI.COMM_SELF)
    columns = ("voltage", "T_mean", "T_max", "T_min", "c_e_min", "c_e_max", "soc_n", "soc_p")
    assert largest_difference(here, alone, columns) < 1e-9
    assert conserves(here)


@pytest.mark.mpi
def test_conditions_on_the_sides() -> None:
    """Mirror symmetry: insulated is periodic; periodicity: two rows of cells are one."""
    for change in ('cell.lateral="insulated"', "cell.lateral_periods=[2]"):
        assert largest_difference(reference(), simulate(wavy_run(change))) < 1e-10


def test_presets_agree() -> None:
    direct = simulate(wavy_run('solver.preset="direct"'))
    assert largest_difference(reference(), direct) < 1e-9
    assert set(direct.krylov) == {1}
    assert conserves(direct)


def test_newton_converges_quadratically() -> None:
    """The Jacobian is exact: with a direct solver each residual is bounded by the square of the one before."""
    changes = (
        'parameters.positive.D_s="0.6 - 0.2*c"',
        "parameters.activation.D_L=4",
        'solver.preset="direct"',
    )
    model = build(with_parameters(wavy_run(*changes), mu_L=None, mu_A=None))
    assert_newton_is_quadratic(model)


@pytest.mark.mpi
@pytest.mark.parametrize("scheme", ["backward-euler", "bdf2"])
def test_current_and_rest(scheme: str) -> None:
    """Lithium moves with the current exactly, and not at all in a rest; heat and charge are balanced throughout."""
    steps = "protocol.steps=[{current=0.3, duration=0.08}, {current=0, duration=0.08}, {current=-0.1, duration=0.04}]"
    run = wavy_run(steps, f'time.scheme="{scheme}"')
    model = build(run)
    interface = []

    def collect(index: int, _time: float) -> None:
        interface.append((index, model.balance().interface))

    # the rates that `balance` needs are gone once a state is accepted: look before
    accept = model.accept
    model.accept = lambda: (collect(0, 0.0), accept())
    result = follow(model, run)
    rows = result.rows
    solid = model.sum(model._w_solid[0].sum())
    model.destroy()
    moved = np.cumsum([0.0] + [0.02 * row["current"] for row in rows[1:]])
    assert [row["soc_n"] for row in rows] == pytest.approx(0.8 - moved / solid, abs=1e-12)
    assert [row["soc_p"] for row in rows] == pytest.approx(0.3 + moved / solid, abs=1e-12)
    for row, (_, (n, p)) in zip(rows[1:], interface, strict=True):
        assert (n, p) == pytest.approx((row["current"], -row["current"]), abs=1e-11)
    assert max(row["lithium_error"] for row in rows) < 1e-12
    assert max(row["energy_error"] for row in rows) < 1e-10
    # V jumps up by the ohmic part, then relaxes upwards; the cell heats only under current
    v = [row["voltage"] for row in rows]
    assert v[4] < v[5] < v[6] < v[7] < v[8] < v[9]
    assert rows[4]["T_mean"] > 0


def test_bdf2_starts_again_at_every_protocol_step() -> None:
    quotients = [
        step.quotient
        for step in time_steps([(Control("current", 1.0), 0.3), (Control("current", 0.0), 0.2)], 0.1, "bdf2")
    ]
    assert [q.a2 != 0 for q in quotients] == [False, True, True, False, True]


@pytest.mark.mpi
def test_start_without_double_layer() -> None:
    """C = 0: the potentials are those of the applied current, everything else is still as it was."""
    run = wavy_run(*NO_DOUBLE_LAYER)
    model = build(run)
    before = model.values.copy()
    seen = []

    def look(index: int, _time: float) -> None:
        if index == 0:
            seen.append((model.balance().interface, model.values.copy()))

    result = follow(model, run, look)
    active = model.active.copy()
    model.destroy()
    ((n, p), after) = seen[0]
    assert (n, p) == pytest.approx((0.2, -0.2), abs=1e-11)
    for field in (C_S, C_E, TEMP):
        assert np.array_equal(after[:, field], before[:, field])
    changed = np.abs(after - before)
    for field, least in ((PHI_S, 0.3), (PHI_E, 0.05)):
        assert model.comm.allreduce(float(changed[active[:, field], field].max(initial=0.0)), MPI.MAX) > least
    first = result.rows[0]
    assert first["newton"] >= 2 and first["krylov"] > 0 and first["time"] == 0
    assert first["charge_error"] == first["lithium_error"] == first["energy_error"] == 0
    assert conserves(result)
    # a very short step changes nothing: V is continuous from there on
    short = simulate(wavy_run(*NO_DOUBLE_LAYER, "time.dt=1e-7", "protocol.steps.0.duration=1e-7"))
    assert short.rows[0]["voltage"] == pytest.approx(first["voltage"], abs=1e-12)
    assert short.rows[1]["voltage"] == pytest.approx(first["voltage"], abs=1e-4)
    assert abs(first["voltage"] - result.rows[1]["voltage"]) > 1e-2


def test_start_with_double_layer() -> None:
    """C > 0: the first row is the equilibrium, U_p(0.3) - U_n(0.8)."""
    first = reference().rows[0]
    assert first["voltage"] == pytest.approx(1.08 + 0.1 * np.tanh(0.8) - 0.16, abs=1e-12)
    assert first["newton"] == first["krylov"] == 0
    assert first["current"] == 0.2


def test_equilibrium_stays() -> None:
    rows = simulate(wavy_run(current=0.0, steps=3)).rows
    for key in ("voltage", "T_mean", "c_e_min", "c_e_max", "soc_n", "soc_p"):
        assert [row[key] for row in rows] == pytest.approx([rows[0][key]] * 4, abs=1e-11)


def test_reversed_current() -> None:
    """For small currents charge is the mirror image of discharge, up to terms of second order."""
    plus, minus, rest = (simulate(wavy_run(current=i)).rows for i in (1e-3, -1e-3, 0.0))
    for a, b, c in zip(plus, minus, rest, strict=True):
        assert a["voltage"] + b["voltage"] - 2 * c["voltage"] == pytest.approx(0, abs=2e-6)
        assert a["soc_n"] + b["soc_n"] - 2 * c["soc_n"] == pytest.approx(0, abs=1e-12)
    assert plus[-1]["voltage"] < rest[-1]["voltage"] - 1e-3
    assert (
        plus[-1]["T_mean"] * minus[-1]["T_mean"] < 0
    )  # the heat is Peltier's at this current, and changes sign


def test_mirror_image() -> None:
    """Electrodes and current exchanged: -V, up to Phi_s = 0 on one collector and a uniform current on the other."""
    there, back = (simulate(run).rows for run in mirrored())
    for a, b in zip(there, back, strict=True):
        assert a["voltage"] == pytest.approx(-b["voltage"], abs=1e-4)
        for x, y in (("T_mean", "T_mean"), ("T_max", "T_max"), ("T_min", "T_min"), ("c_e_max", "c_e_max")):
            assert a[x] == pytest.approx(b[y], abs=1e-5)
        for x, y in (("soc_n", "soc_p"), ("soc_p", "soc_n")):
            assert a[x] == pytest.approx(b[y], abs=1e-12)


def test_isothermal() -> None:
    rows = simulate(wavy_run("parameters.isothermal=true", "parameters.T_initial=0.2", steps=2)).rows
    for row in rows:
        assert row["T_mean"] == pytest.approx(0.2, abs=1e-14)
        assert row["T_min"] == row["T_max"] == 0.2
        assert np.isnan(row["energy_error"])
    assert max(max(row["lithium_error"], row["charge_error"]) for row in rows) < 1e-10
    assert rows[2]["voltage"] != pytest.approx(reference().rows[2]["voltage"], abs=1e-4)


def test_laws_in_temperature_have_the_values_they_should() -> None:
    laws, numbers = warm_numbers()
    a, b = simulate(laws), simulate(numbers)
    assert largest_difference(a, b) < 1e-9
    assert abs(a.rows[-1]["voltage"] - reference().rows[-1]["voltage"]) > 1e-2


def everything() -> Run:
    """All that makes the equations nonlinear or anisotropic at once, on layers that cross the sides obliquely."""
    tensors = ("[[10.0, 2.0], [2.0, 4.0]]", "[[5.0, -1.0], [-1.0, 6.0]]")
    run = wavy_run(
        *layered("[1, 2]", 0.25, tensors),
        "microstructure.negative.k_s=[[2.0, 0.5], [0.5, 1.0]]",
        'parameters.negative.ocp="0.25 - 0.3*(c - 0.5) + 0.4*T*c"',
        'parameters.negative.Pi="auto"',
        'parameters.negative.D_s="1.0 - 0.5*c*c + 0.1*T"',
        *(
            f"parameters.activation.{key}=5"
            for key in ("D_s_n", "D_s_p", "G_n", "G_p", "D_L", "D_A", "sigma_n", "sigma_p")
        ),
        "parameters.gamma=0.5",
        "parameters.negative.beta=0.4",
        "parameters.positive.c_max=1.3",
        "parameters.T_initial=0.3",
        'parameters.h_negative="2.0*(1 + 5*t)*(1 + sin(2*pi*y2/0.2))"',
        "parameters.negative.film_resistance=0.4",
        "parameters.positive.D_s=[[0.6, 0.2], [0.2, 0.3]]",
        'time.scheme="bdf2"',
        current=0.5,
    )
    return with_parameters(run, mu_L=None, mu_A=None)


@pytest.mark.mpi
def test_everything_at_once_is_conservative() -> None:
    run = everything()
    result = simulate(run)
    assert conserves(result)
    assert max(row["newton"] for row in result.rows) <= 5
    assert (result.rows[0]["soc_n"], result.rows[0]["soc_p"]) == pytest.approx((0.8, 0.3 / 1.3), abs=1e-12)
    T = np.array([0.0, 0.7])
    Pi = physics_from_run(run).negative.Pi.numpy(c=0.6, T=T)
    assert Pi == pytest.approx((1 + 0.5 * T) / 0.5 * 0.4 * 0.6, rel=1e-14)


def test_reversible_heat() -> None:
    """Without exchange, and T without effect on V: constant Pi heat the cell by lambda i t (Pi_n - Pi_p)."""
    changes = [f"microstructure.{r}.rho_cp_e=1.0" for r in ("negative", "separator", "positive")]
    changes += [f"microstructure.{r}.rho_cp_s=1.0" for r in ("negative", "positive")]
    changes += ["parameters.gamma=0", "parameters.h=0", *NO_DOUBLE_LAYER]
    without = simulate(wavy_run(*changes, "parameters.negative.Pi=0", "parameters.positive.Pi=0")).rows
    for row, other in zip(simulate(wavy_run(*changes)).rows, without, strict=True):
        gained = row["T_mean"] - other["T_mean"]
        assert gained == pytest.approx(2.0 * 0.2 * row["time"] * (0.05 + 0.03), abs=1e-12)
        assert row["voltage"] == pytest.approx(other["voltage"], abs=1e-11)


#: One kind of T, so that a cooled face has no layer of its own, and every law that both models know.
LAWS = (
    *(f"microstructure.{region}.k_s=0.6" for region in REGIONS),
    *(f"microstructure.{region}.rho_cp_s=1.0" for region in REGIONS),
    *(f"parameters.activation.{key}=5" for key in ("G_n", "G_p", "D_L", "D_A", "sigma_n", "sigma_p")),
    'parameters.negative.ocp="0.25 - 0.3*(c - 0.5) + 0.4*T*c"',
    'parameters.negative.Pi="auto"',
    "parameters.gamma=0.5",
    "parameters.negative.beta=0.4",
    "parameters.positive.c_max=1.3",
    "parameters.T_initial=0.3",
    "parameters.T_ambient=-0.2",
    'parameters.h_negative="2.0*(1 + 5*t)"',
    "parameters.negative.film_resistance=0.4",
    "parameters.positive.film_resistance=0.2",
    # diffusion in layers is across them: the first entry is of no effect
    "parameters.positive.D_s=[[0.1, 0.0], [0.0, 0.6]]",
    'time.scheme="bdf2"',
    "protocol.steps.0.current=0.5",
)


@pytest.mark.parametrize("laws", [(), LAWS])
def test_straight_channels_through_the_cell(laws: tuple[str, ...]) -> None:
    """Layers along y1, through the separator too: no constriction, so the two models differ by delta^2 only.

    They share no code for the reaction, the particles and the interfacial heat.
    """
    mobilities = {"mu_L": None, "mu_A": None} if laws else {}

    def run(m: int, model: str) -> list[Row]:
        periods = f"cell.periods=[{2 * m},{m},{2 * m}]"
        result = simulate(
            with_parameters(wavy_run(*layered("[0, 1]", 0.2), *laws, periods), **mobilities), model
        )
        assert conserves(result)
        return result.rows[1:]

    homogenised = run(1, "homogenised")
    columns = ("voltage", "T_mean", "c_e_max")
    errors = [
        [[a[k] - b[k] for k in columns] for a, b in zip(run(m, "resolved"), homogenised, strict=True)]
        for m in (1, 2, 4)
    ]
    worst = np.abs(errors).max(axis=1)
    assert (worst[0] < [1e-3, 5e-5, 1e-3]).all()
    assert (worst[2] < [6e-5, 3e-6, 6e-5]).all()
    orders = np.log2(worst[:-1] / worst[1:])
    assert (np.abs(orders - 2) < 0.25).all()


def test_oblique_layers() -> None:
    """Layers that cross the sides: off-diagonal tensors, and periodicity in the interface; V as with S_11 and B_11."""
    homogenised = voltages(simulate(wavy_run(*layered("[1, 2]", 0.2)), "homogenised"), (0.02, 0.1))
    errors = []
    for m in (1, 2, 4):
        result = simulate(wavy_run(*layered("[1, 2]", 0.2), f"cell.periods=[{2 * m},{m},{2 * m}]"))
        assert conserves(result)
        errors.append(np.abs(np.subtract(voltages(result, (0.02, 0.1)), homogenised)).max())
    assert errors[0] < 4e-4 and errors[2] < 7e-5
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_tensor_conductivity() -> None:
    """In layers along y1 a tilted conductivity acts as s11 - s12^2/s22, which the limit of small cells shows."""
    tilted, plain = "[[1.0, 0.8], [0.8, 1.0]]", "1.0"
    expected = simulate(wavy_run(*layered("[0, 1]", 0.2, ("0.36", "0.36"))), "homogenised")
    found = {}
    for sigma in (tilted, plain, "[[1.0, 0.0], [0.0, 1.0]]"):
        layers = layered("[0, 1]", 0.2, (sigma, sigma))
        coarse, fine = (
            voltages(simulate(wavy_run(*layers, f"cell.periods=[{2 * m},{m},{2 * m}]")), (0.02, 0.1))
            for m in (1, 2)
        )
        found[sigma] = 2 * np.array(fine) - np.array(coarse)
    limit = np.array(voltages(expected, (0.02, 0.1)))
    assert np.abs(found[tilted] - limit).max() < 1e-3
    assert np.abs(found[plain] - limit).max() > 0.1
    assert np.abs(found[plain] - found["[[1.0, 0.0], [0.0, 1.0]]"]).max() < 1e-10
