"""The homogenised model with particles whose diffusivity depends on c and T."""

from __future__ import annotations

import numpy as np
import pytest
from mpi4py import MPI
from wavy import (
    QUICKSTART,
    assert_newton_is_quadratic,
    build,
    conserves,
    largest_difference,
    simulate,
    voltages,
    wavy_run,
)

from dfx_homog.runfile import Run, load

COLUMNS = ("voltage", "T_mean", "T_max", "c_e_min", "c_e_max", "soc_n", "soc_p")
#: D_s of both electrodes: falls with c in one, rises in the other, and both rise with T.
VARYING = (
    'parameters.negative.D_s="0.3*(1 + 3*(1 - c)**2)*(1 + 0.5*T)"',
    'parameters.positive.D_s="0.1 + 0.9*c"',
    "parameters.activation.D_s_n=6",
    "parameters.activation.D_s_p=12",
)


def varying(*overrides: str, order: int = 1, steps: int = 5, current: float = 0.2) -> Run:
    return wavy_run(*VARYING, *overrides, order=order, steps=steps, current=current)


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("scheme", ["backward-euler", "bdf2"])
def test_conserves_on_any_number_of_ranks(scheme: str) -> None:
    run = varying(f'time.scheme="{scheme}"', order=2)
    here = simulate(run, "homogenised")
    assert conserves(here)
    assert max(row["newton"] for row in here.rows) <= 5
    alone = simulate(run, "homogenised", MPI.COMM_SELF)
    assert largest_difference(here, alone, COLUMNS) < 1e-9


def test_newton_converges_quadratically() -> None:
    """The derivatives of the particle problems are exact through D_s(c, T) too."""
    assert_newton_is_quadratic(build(varying(), "homogenised"))


def test_tensor_with_activation() -> None:
    """An isotropic tensor is its number, with the same activation energy."""
    found = [
        simulate(wavy_run(f"parameters.negative.D_s={D_s}", VARYING[2]), "homogenised")
        for D_s in ("0.7", "[[0.7, 0.0], [0.0, 0.7]]")
    ]
    assert largest_difference(*found, COLUMNS) < 1e-11


def test_diffusivity_counts() -> None:
    """The voltage is that of neither electrode's smallest nor largest D_s, but lies between them."""
    V = [
        simulate(wavy_run(*D_s, current=0.5), "homogenised").rows[-1]["voltage"]
        for D_s in (
            ("parameters.negative.D_s=0.3", "parameters.positive.D_s=0.3"),
            VARYING[:2],
            ("parameters.negative.D_s=1.2", "parameters.positive.D_s=1.0"),
        )
    ]
    assert V[0] + 1e-3 < V[1] < V[2] - 1e-3


@pytest.mark.slow
def test_first_order_in_delta() -> None:
    """Resolved against homogenised, the same mesh of the unit cell and the same steps: V converges with N."""
    homogenised = voltages(simulate(varying(), "homogenised"), (0.02, 0.1))
    errors = [
        np.abs(
            np.subtract(
                voltages(simulate(varying(f"cell.periods={p}"), "resolved"), (0.02, 0.1)), homogenised
            )
        )
        for p in ("[2,1,2]", "[4,2,4]", "[8,4,8]")
    ]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (orders > 0.85).all(), orders
    assert (errors[-1] < 5e-3).all()


SPHERE = "{{geometry='particle', {sizes}, phi_e=0.45, B=0.3, S=5.0, K=1.0, theta=1.2}}"
BETWEEN = "{geometry='effective', phi_e=0.5, B=0.4, K=1.0, theta=1.0}"


@pytest.mark.parametrize("D_s", [(), VARYING])
@pytest.mark.parametrize(
    "sizes",
    ["radius=0.3", "radius=[0.1, 0.3, 0.5], fractions=[0.2, 0.5, 0.3]", "radius_mean=0.3, radius_std=0.1"],
)
def test_newton_converges_quadratically_with_spheres(D_s: tuple[str, ...], sizes: str) -> None:
    sphere = SPHERE.format(sizes=sizes)
    cells = [f"microstructure.{name}={sphere}" for name in ("negative", "positive")]
    run = load(QUICKSTART, [*cells, f"microstructure.separator={BETWEEN}", *D_s])
    assert_newton_is_quadratic(build(run, "homogenised"))
