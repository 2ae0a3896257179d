"""Films on particles: the scalar equation, native derivatives, known voltage drops, conservation, iterations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import ufl
from dolfinx import fem
from dolfinx.mesh import create_interval
from mpi4py import MPI
from test_particle import ELECTRODE, GAMMA, LAM, begun, differences, geometry, scalars
from wavy import (
    NO_DOUBLE_LAYER,
    STIFF,
    assert_newton_is_quadratic,
    build,
    conserves,
    largest_difference,
    simulate,
    wavy_run,
)

from dfx_homog import _compat
from dfx_homog.dimensionless.physics import Electrode
from dfx_homog.physics import kinetics
from dfx_homog.runfile import Run

FILM = ("parameters.negative.film_resistance=0.5", "parameters.positive.film_resistance=0.3")


def root(y: Any, A: Any, b: Any) -> np.ndarray:
    """s + A [exp((1-b) s) - exp(-b s)] = y by bisection."""
    low, high = np.minimum(y, 0.0), np.maximum(y, 0.0)
    for _ in range(200):
        s = 0.5 * (low + high)
        below = s + A * (np.exp((1 - b) * s) - np.exp(-b * s)) < y
        low, high = np.where(below, s, low), np.where(below, high, s)
    return np.asarray(0.5 * (low + high))


def test_root_of_the_scalar_equation() -> None:
    """Over 80 thermal voltages either way, all strengths of the film, none included, and transfer coefficients."""
    size = np.array([1e-6, 1e-3, 0.1, 0.5, 3.0, 12.0, 40.0, 80.0])
    axes = np.meshgrid(
        np.concatenate([-size, [0.0], size]), [0.0, *10.0 ** np.arange(-8, 9)], [0.1, 0.3, 0.5, 0.9]
    )
    y, A, b = (axis.ravel() for axis in axes)
    mesh = create_interval(MPI.COMM_SELF, len(y), (0.0, float(len(y))))
    space = fem.functionspace(mesh, ("DG", 0))
    functions = [fem.Function(space) for _ in range(3)]
    for function, values in zip(functions, (y, A, b), strict=True):
        function.x.array[:] = values
    y_, A_, b_ = functions
    s = kinetics.through_film(y_, A_, b_, y_, A_) * ufl.TestFunction(space)
    found = np.zeros(len(y))
    _compat.assemble_vector(_compat.compile_form(s * ufl.dx(metadata={"quadrature_degree": 0})), found)
    exact = root(y, A, b)
    assert (np.abs(found - exact) <= 1e-12 * np.abs(exact) + 1e-14).all()


def flux(e: Electrode, c: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """G g and heat lambda G g (Phi_s - Phi_e - U + Pi) behind a film at one meso point, written once more."""
    Phi_s, Phi_e, c_e, T = p
    slope = LAM / (1 + GAMMA * T)
    exchange = e.G * np.exp(e.E_G * GAMMA * T / (1 + GAMMA * T))
    exchange = exchange * c**e.beta * ((1 - c / e.c_max) * c_e) ** (1 - e.beta)
    driving = Phi_s - Phi_e - e.ocp.numpy(c=c / e.c_max, T=T)
    s = root(slope * driving, slope * e.film_resistance * exchange, e.beta)
    j = exchange * (np.exp((1 - e.beta) * s) - np.exp(-e.beta * s))
    assert driving == pytest.approx(s / slope + e.film_resistance * j, abs=1e-12)
    return j, LAM * j * (driving + e.Pi.numpy(c=c / e.c_max, T=T))


@pytest.mark.parametrize("R_f", [1e-3, 0.7, 50.0])
def test_particles_with_a_film(R_f: float) -> None:
    """Current and heat at given concentrations, and all derivatives there and through the condensed problem."""
    e, g = replace(ELECTRODE, film_resistance=R_f), geometry()
    problems, _ = begun(g, 4, e)
    p = scalars(4, spread=0.5)
    frozen, condensed = problems.evaluate_frozen(*p), problems.evaluate(*p)
    assert frozen.complaint() is None and condensed.complaint() is None
    for i in range(4):
        j, heat = flux(e, problems.c[i, g.trace][g.facets] @ g.shape.T, p[:, i])
        assert frozen.faradaic[i] == pytest.approx((j * g.weights).sum(), rel=1e-11)
        assert frozen.q[i] == pytest.approx((heat * g.weights).sum(), rel=1e-11)
    for response, evaluate in ((frozen, problems.evaluate_frozen), (condensed, problems.evaluate)):
        reference = differences(evaluate, p)
        for derivative, expected in ((response.dJ, reference[:, 0].T), (response.dq, reference[:, 1].T)):
            assert (np.abs(derivative - expected) / np.abs(expected).max(axis=0)).max() < 1e-7


def well_mixed(*overrides: str) -> Run:
    """Both phases conduct so well that the reaction is uniform; no double layer."""
    fast = [f"microstructure.{e}.sigma_s=1e7" for e in ("negative", "positive")]
    fast += ["parameters.mu_L=1e7", "parameters.mu_A=1e7", *NO_DOUBLE_LAYER]
    return wavy_run(
        *fast, *overrides, 'solver.preset="direct"', "time.dt=1e-6", "protocol.steps.0.duration=1e-6"
    )


@pytest.mark.parametrize("model", ["resolved", "homogenised"])
def test_drop_over_the_film(model: str) -> None:
    """Just after switching on, concentrations are uniform: V falls by R_f j of both electrodes, and heat appears."""
    plain, film = (simulate(well_mixed(*more), model).rows[0] for more in ((), FILM))
    for name in ("rate_mean_n", "rate_mean_p"):
        assert film[name] == pytest.approx(plain[name], rel=1e-5)
    drop = 0.5 * film["rate_mean_n"] - 0.3 * film["rate_mean_p"]
    assert drop > 0.1
    assert plain["voltage"] - film["voltage"] == pytest.approx(drop, rel=1e-5)
    # lambda i R_f j per collector area: the current of each electrode is 0.2
    assert film["heat_film_n"] == pytest.approx(2.0 * 0.2 * 0.5 * film["rate_mean_n"], rel=1e-5)
    assert film["heat_film_p"] == pytest.approx(-2.0 * 0.2 * 0.3 * film["rate_mean_p"], rel=1e-5)
    assert film["heat_irreversible_n"] == pytest.approx(plain["heat_irreversible_n"], rel=1e-4)


def test_conservation_and_heat() -> None:
    """The energy identity has no term for the film, whose heat is what the voltage loses."""
    plain, film = simulate(wavy_run()), simulate(wavy_run(*FILM))
    assert conserves(film)
    assert (
        max(row["energy_error"] for row in film.rows)
        < 10 * max(row["energy_error"] for row in plain.rows) + 1e-12
    )
    assert film.rows[-1]["voltage"] < plain.rows[-1]["voltage"] - 0.01
    weak = [f"{key}=1e-7" for key in (f.partition("=")[0] for f in FILM)]
    assert largest_difference(plain, simulate(wavy_run(*weak))) < 1e-7


def test_newton_converges_quadratically() -> None:
    model = build(wavy_run(*FILM, 'solver.preset="direct"'))
    assert_newton_is_quadratic(model)


@pytest.mark.parametrize("change", [(), STIFF])
def test_iterations_do_not_grow(change: tuple[str, ...]) -> None:
    """Films up to R_f G = 10, and 500 for fast reactions: no more iterations than without, for any number of cells."""
    film = ("parameters.negative.film_resistance=6.7", "parameters.positive.film_resistance=10.0")
    plain = simulate(wavy_run(*change, steps=3))
    means = []
    for m in (1, 2, 4):
        result = simulate(wavy_run(*change, *film, f"cell.periods=[{2 * m},{m},{2 * m}]", steps=3))
        assert max(row["newton"] for row in result.rows) <= 5
        means.append(float(np.mean(result.krylov)))
    assert max(means) < 1.25 * min(means)
    assert max(means) < float(np.mean(plain.krylov)) + 2


@pytest.mark.mpi
@pytest.mark.mpi3
def test_the_same_on_any_number_of_ranks() -> None:
    run = wavy_run(*FILM, 'parameters.h_positive="1.0 + cos(2*pi*y2/0.2)*t"', steps=3)
    here, alone = simulate(run), simulate(run, comm=MPI.COMM_SELF)
    assert largest_difference(here, alone, ("voltage", "T_max", "c_e_max", "soc_n", "heat_film_n")) < 1e-9
    assert conserves(here)


def test_no_film_no_column() -> None:
    """No column for a film where there is none."""
    assert not any("film" in name for name in simulate(wavy_run(steps=1)).rows[-1])
