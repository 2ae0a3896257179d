"""The homogenised model: tabulated voltages, conservation, convergence in elements, ranks, input it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from mpi4py import MPI
from wavy import (
    NO_DOUBLE_LAYER,
    assert_newton_is_quadratic,
    build,
    conserves,
    follow,
    largest_difference,
    layered,
    mirrored,
    simulate,
    solid,
    voltages,
    warm_numbers,
    wavy_run,
    with_parameters,
)

from dfx_homog.errors import BadInput
from dfx_homog.models.meso import C_E, PHI_E, PHI_S, TEMP

#: VERIFICATION section 4, V at TIMES.
TABLE = (0.81180, 0.53973, 0.38874, 0.27897, 0.17316, 0.06253)
COLUMNS = ("voltage", "T_mean", "T_max", "T_min", "c_e_min", "c_e_max", "soc_n", "soc_p")


def extremes_of_particles(model: object) -> list[tuple[float, float]]:
    """Smallest and largest c_s in each electrode, all ranks."""
    found = []
    for points in model.points:  # type: ignore[attr-defined]
        c = points.particles.c
        low, high = c.min(initial=np.inf), c.max(initial=-np.inf)
        found.append((MPI.COMM_WORLD.allreduce(low, MPI.MIN), MPI.COMM_WORLD.allreduce(high, MPI.MAX)))
    return found


@pytest.mark.mpi
@pytest.mark.mpi3
def test_values_of_the_table() -> None:
    run = wavy_run(h=0.1, order=2, steps=25)
    model = build(run, "homogenised")
    result = follow(model, run)
    particles = extremes_of_particles(model)
    model.destroy()
    assert np.abs(np.subtract(voltages(result), TABLE)).max() < 2e-5
    last = result.rows[-1]
    assert [last[k] for k in ("T_min", "T_max")] == pytest.approx([0.04607, 0.05262], abs=2e-5)
    assert [last[k] for k in ("c_e_min", "c_e_max")] == pytest.approx([0.93589, 1.06410], abs=2e-5)
    assert particles[0] == pytest.approx((0.2833, 0.3625), abs=2e-4)
    assert particles[1] == pytest.approx((0.7291, 0.8251), abs=2e-4)
    assert conserves(result)
    assert max(row["newton"] for row in result.rows) <= 5


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("change", [(), (*NO_DOUBLE_LAYER, 'time.scheme="bdf2"')])
def test_the_same_on_any_number_of_ranks(change: tuple[str, ...]) -> None:
    here = simulate(wavy_run(*change, order=2), "homogenised")
    alone = simulate(wavy_run(*change, order=2), "homogenised", MPI.COMM_SELF)
    assert largest_difference(here, alone, COLUMNS) < 1e-9
    assert conserves(here)


@pytest.mark.mpi
@pytest.mark.mpi3
def test_more_ranks_than_elements() -> None:
    """A rank without elements, or without particles, takes part all the same."""
    run = wavy_run("homogenised.elements=1", steps=2)
    here, alone = simulate(run, "homogenised"), simulate(run, "homogenised", MPI.COMM_SELF)
    assert largest_difference(here, alone, COLUMNS) < 1e-9


def test_order_in_the_meso_element() -> None:
    """Quadratic elements with Lobatto's rule: V converges with order 4."""
    found = {
        n: voltages(simulate(wavy_run(f"homogenised.elements={n}"), "homogenised"), (0.02, 0.1))
        for n in (2, 4, 32)
    }
    coarse, fine = (np.abs(np.subtract(found[n], found[32])) for n in (2, 4))
    assert (np.log2(coarse / fine) > 3.7).all()
    assert (fine < 2e-6).all()


def test_newton_converges_quadratically() -> None:
    """The condensed Jacobian is exact: each residual is bounded by the square of the one before."""
    run = with_parameters(
        wavy_run("parameters.activation.D_L=4", "parameters.activation.G_n=6"), mu_L=None, mu_A=None
    )
    model = build(run, "homogenised")
    assert_newton_is_quadratic(model)


@pytest.mark.mpi
@pytest.mark.parametrize("scheme", ["backward-euler", "bdf2"])
def test_current_and_rest(scheme: str) -> None:
    """Lithium moves with the current exactly, and not at all in a rest; heat and charge are balanced throughout."""
    steps = "protocol.steps=[{current=0.3, duration=0.08}, {current=0, duration=0.08}, {current=-0.1, duration=0.04}]"
    run = wavy_run(steps, f'time.scheme="{scheme}"')
    model = build(run, "homogenised")
    interface = []
    accept = model.accept
    # the rates that `balance` needs are gone once a state is accepted: look before
    model.accept = lambda: (interface.append(model.balance().interface), accept())
    rows = follow(model, run).rows
    volumes = [p.particles.geometry.volume * 0.4 for p in model.points]
    model.destroy()
    moved = np.cumsum([0.0] + [0.02 * row["current"] for row in rows[1:]])
    assert [row["soc_n"] for row in rows] == pytest.approx(0.8 - moved / volumes[0], abs=1e-11)
    assert [row["soc_p"] for row in rows] == pytest.approx(0.3 + moved / volumes[1], abs=1e-11)
    for row, (n, p) in zip(rows[1:], interface, strict=True):
        assert (n, p) == pytest.approx((row["current"], -row["current"]), abs=1e-11)
    assert max(row["lithium_error"] for row in rows) < 1e-11
    assert max(row["energy_error"] for row in rows) < 1e-9
    v = [row["voltage"] for row in rows]
    assert v[4] < v[5] < v[6] < v[7] < v[8] < v[9]


@pytest.mark.mpi
def test_start_without_double_layer() -> None:
    """C = 0: the potentials are those of the applied current, everything else is still as it was."""
    run = wavy_run(*NO_DOUBLE_LAYER)
    model = build(run, "homogenised")
    before = model.values.copy()
    seen = []

    def look(index: int, _time: float) -> None:
        if index == 0:
            seen.append((model.balance().interface, model.values.copy(), extremes_of_particles(model)))

    result = follow(model, run, look)
    model.destroy()
    current, after, particles = seen[0]
    assert current == pytest.approx((0.2, -0.2), abs=1e-11)
    for field in (C_E, TEMP):
        assert np.array_equal(after[:, field], before[:, field])
    for field in (PHI_S, PHI_E):
        assert not np.array_equal(after[:, field], before[:, field])
    assert particles == [(0.8, 0.8), (0.3, 0.3)]
    first = result.rows[0]
    assert first["newton"] >= 2 and first["time"] == 0 and first["voltage"] < 0.6
    assert conserves(result)
    short = simulate(
        wavy_run(*NO_DOUBLE_LAYER, "time.dt=1e-7", "protocol.steps.0.duration=1e-7"), "homogenised"
    )
    assert short.rows[0]["voltage"] == pytest.approx(first["voltage"], abs=1e-12)
    assert short.rows[1]["voltage"] == pytest.approx(first["voltage"], abs=1e-4)
    assert abs(first["voltage"] - result.rows[1]["voltage"]) > 1e-2


def test_mirror_image() -> None:
    """Electrodes, cooling and current exchanged: -V, and everything else as before."""
    there, back = (simulate(run, "homogenised").rows for run in mirrored())
    same = [
        ("T_mean", "T_mean"),
        ("T_max", "T_max"),
        ("c_e_min", "c_e_min"),
        ("soc_n", "soc_p"),
        ("soc_p", "soc_n"),
    ]
    for a, b in zip(there, back, strict=True):
        assert a["voltage"] == pytest.approx(-b["voltage"], abs=1e-10)
        for x, y in same:
            assert a[x] == pytest.approx(b[y], abs=1e-10)
    assert there[-1]["voltage"] > 0.1


def test_laws_in_temperature_have_the_values_they_should() -> None:
    laws, numbers = warm_numbers()
    a, b = simulate(laws, "homogenised"), simulate(numbers, "homogenised")
    assert largest_difference(a, b) < 1e-9
    assert abs(a.rows[-1]["voltage"] - simulate(wavy_run(), "homogenised").rows[-1]["voltage"]) > 1e-2


def test_reversible_heat() -> None:
    """Without exchange, and T without effect on V: constant Pi heat the cell by lambda i t (Pi_n - Pi_p)."""
    changes = [f"microstructure.{r}.rho_cp_e=1.0" for r in ("negative", "separator", "positive")]
    changes += [f"microstructure.{r}.rho_cp_s=1.0" for r in ("negative", "positive")]
    changes += ["parameters.gamma=0", "parameters.h=0", *NO_DOUBLE_LAYER]
    nothing = ("parameters.negative.Pi=0", "parameters.positive.Pi=0")
    without = simulate(wavy_run(*changes, *nothing), "homogenised").rows
    for row, other in zip(simulate(wavy_run(*changes), "homogenised").rows, without, strict=True):
        gained = row["T_mean"] - other["T_mean"]
        assert gained == pytest.approx(2.0 * 0.2 * row["time"] * (0.05 + 0.03), abs=1e-12)
        assert row["voltage"] == pytest.approx(other["voltage"], abs=1e-11)


def test_everything_at_once_is_conservative() -> None:
    run = wavy_run(
        *layered("[1, 2]", 0.25, ("[[10.0, 2.0], [2.0, 4.0]]", "[[5.0, -1.0], [-1.0, 6.0]]")),
        'parameters.negative.ocp="0.25 - 0.3*(c - 0.5) + 0.4*T*c"',
        'parameters.negative.Pi="auto"',
        *(f"parameters.activation.{key}=5" for key in ("G_n", "G_p", "D_L", "D_A", "sigma_n", "sigma_p")),
        "parameters.gamma=0.5",
        "parameters.negative.beta=0.4",
        "parameters.positive.c_max=1.3",
        "parameters.T_initial=0.3",
        "parameters.h_negative=2.0",
        'time.scheme="bdf2"',
        current=0.5,
    )
    result = simulate(with_parameters(run, mu_L=None, mu_A=None), "homogenised")
    assert conserves(result)
    assert (result.rows[0]["soc_n"], result.rows[0]["soc_p"]) == pytest.approx((0.8, 0.3 / 1.3), abs=1e-12)
    assert max(row["newton"] for row in result.rows) <= 5


def test_isothermal() -> None:
    changes = ("parameters.isothermal=true", "parameters.T_initial=0.2")
    for row in simulate(wavy_run(*changes, steps=2), "homogenised").rows:
        assert row["T_mean"] == pytest.approx(0.2, abs=1e-14)
        assert row["T_min"] == row["T_max"] == 0.2
        assert np.isnan(row["energy_error"])
        assert max(row["lithium_error"], row["charge_error"]) < 1e-10


ACROSS = 'geometry = "laminate", normal = [1, 0], solid_fraction = 0.5'
CHECKERBOARD = 'geometry = "checkerboard"'


def chain(*others: str) -> str:
    """Overlapping disks that percolate along z1, with other disks beside them."""
    centres = ", ".join(("[0.25, 0.5]", "[0.75, 0.5]", *(f"[{c}]" for c in others)))
    radii = ", ".join(("0.3", "0.3", *("0.08" for _ in others)))
    return solid(f'geometry = "disks", centres = [{centres}], radii = [{radii}]', 0.1)


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("change", "key", "reason"),
    [
        (
            [f"microstructure.negative={solid(ACROSS, 0.2)}"],
            "microstructure.negative.geometry",
            "percolate in direction 1",
        ),
        (
            [f"microstructure.positive={solid(CHECKERBOARD, 0.2)}"],
            "microstructure.positive.geometry",
            "solid does not percolate",
        ),
        (
            [*layered("[1, 2]", 0.2), 'cell.lateral="insulated"'],
            "microstructure.negative.geometry",
            "percolate in direction 1",
        ),
        (
            [
                "microstructure.negative.k_s=[[2.0, 0.5], [0.5, 1.0]]",
                'cell.lateral="insulated"',
                "homogenised.dim=1",
            ],
            "cell.lateral",
            "off-diagonal K_1j in negative",
        ),
    ],
)
def test_refused(change: list[str], key: str, reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        build(wavy_run(*change), "homogenised")
    assert key in str(caught.value)
    assert reason in str(caught.value)


def test_chain_of_disks_with_an_island() -> None:
    """The island is left out: it takes pore from the electrolyte, and no lithium."""
    alone, beside = (
        simulate(wavy_run(f"microstructure.positive={chain(*others)}", steps=2), "homogenised")
        for others in ((), ("0.5, 0.0",))
    )
    assert conserves(alone) and conserves(beside)
    assert alone.rows[-1]["soc_p"] == pytest.approx(beside.rows[-1]["soc_p"], abs=2e-4)
    assert 0 < alone.rows[-1]["voltage"] - beside.rows[-1]["voltage"] < 0.01
