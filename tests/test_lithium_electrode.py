"""The overpotential measured against a lithium electrode: kinetics, heat, and the equivalent problem of the paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mpi4py import MPI
from test_particle import A0, ELECTRODE, GAMMA, LAM, differences, geometry, scalars
from wavy import (
    NO_DOUBLE_LAYER,
    assert_newton_is_quadratic,
    build,
    conserves,
    largest_difference,
    simulate,
    wavy_run,
)

from dfx_homog.models.particle import ParticleProblems

OPTION = 'parameters.overpotential="lithium-electrode"'
FILM = ("parameters.negative.film_resistance=0.5", "parameters.positive.film_resistance=0.3")
C_REF = 1.3


def problems(c_e_ref: float | None, R_f: float) -> ParticleProblems:
    """At the beginning of a step from a state that is not uniform."""
    e = replace(ELECTRODE, film_resistance=R_f)
    found = ParticleProblems(geometry(), e, LAM, GAMMA, 4, c_e_ref=c_e_ref)
    random = np.random.default_rng(2)
    found.c = found.c + 0.05 * random.standard_normal(found.c.shape)
    found.begin_step(A0, A0 * found.c, 0.5 * random.standard_normal(4) - A0)
    return found


@pytest.mark.parametrize("R_f", [0.0, 0.7])
def test_it_is_the_potential_of_a_lithium_electrode(R_f: float) -> None:
    """Currents are those at a lower potential of the solid, and the heat keeps Phi_s - Phi_e - U + Pi; derivatives."""
    against, paper = problems(C_REF, R_f), problems(None, R_f)
    p = scalars(4, spread=0.5)
    psi = (1 + GAMMA * p[3]) / LAM * np.log(p[2] / C_REF)
    lowered = p - np.array([[1.0], [0.0], [0.0], [0.0]]) * psi
    found, expected = against.evaluate_frozen(*p), paper.evaluate_frozen(*lowered)
    assert found.faradaic == pytest.approx(expected.faradaic, rel=1e-13)
    assert found.q == pytest.approx(expected.q + LAM * psi * found.faradaic, rel=1e-12)
    for evaluate in (against.evaluate_frozen, against.evaluate):
        response, reference = evaluate(*p), differences(evaluate, p)
        assert response.complaint() is None
        assert response.dJ == pytest.approx(reference[:, 0].T, rel=1e-7, abs=1e-8)
        assert response.dq == pytest.approx(reference[:, 1].T, rel=1e-7, abs=1e-8)
    at = against.surface_values(*p)
    assert at.eta == pytest.approx(paper.surface_values(*lowered).eta, abs=1e-13)


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("model", ["resolved", "homogenised"])
def test_conservation(model: str) -> None:
    """Lithium, charge and energy with a film, a double layer and activation; the same on any number of ranks."""
    run = wavy_run(OPTION, *FILM, "parameters.activation.G_n=5", "parameters.c_e0=1.1")
    here = simulate(run, model)
    assert conserves(here)
    assert max(row["energy_error"] for row in here.rows[1:]) < 1e-10
    assert largest_difference(here, simulate(run, model, MPI.COMM_SELF)) < 1e-9
    for row in here.rows[1:]:
        assert row["heat_irreversible_n"] > 0
        assert row["heat_irreversible_p"] > 0


@pytest.mark.parametrize(("model", "tolerance"), [("resolved", 5e-4), ("homogenised", 1e-7)])
def test_equivalent_problem(model: str, tolerance: float) -> None:
    """Without double layer, at a uniform T, Phi_e + psi obeys the paper's equations with other diffusivities.

    grad c_e = c_e grad ln c_e turns lambda mu c_e grad Phi_e into lambda mu c_e grad(Phi_e + psi) - (1 + gamma T) mu
    grad c_e: D_L falls and D_A rises by (1 + gamma T) mu. ln c_e is no polynomial, so that meshes leave a difference.
    """
    common = [
        *NO_DOUBLE_LAYER,
        "parameters.T_initial=2.0",
        "parameters.isothermal=true",
        "parameters.c_e0=1.2",
    ]
    mobilities = ["parameters.mu_L=1.0", "parameters.mu_A=1.5"]
    against = simulate(
        wavy_run(*common, *mobilities, OPTION, "parameters.D_L=2.2", "parameters.D_A=1.5"), model
    )
    paper = simulate(wavy_run(*common, *mobilities, "parameters.D_L=1.0", "parameters.D_A=3.3"), model)
    without = simulate(wavy_run(*common, *mobilities, "parameters.D_L=2.2", "parameters.D_A=1.5"), model)
    assert largest_difference(against, paper, ("voltage", "c_e_max", "soc_n")) < tolerance
    assert largest_difference(against, without, ("voltage",)) > 5e-3


def test_newton_converges_quadratically() -> None:
    assert_newton_is_quadratic(build(wavy_run(OPTION, 'solver.preset="direct"')))


@pytest.mark.slow
def test_resolved_approaches_homogenised() -> None:
    """First order in delta, as with the paper's overpotential."""
    limit = simulate(wavy_run(OPTION, order=2), "homogenised").rows[-1]["voltage"]
    levels = [wavy_run(OPTION, f"cell.periods=[{2 * m},{m},{2 * m}]", order=2) for m in (1, 2)]
    errors = [simulate(run).rows[-1]["voltage"] - limit for run in levels]
    assert 0.9 < np.log2(errors[0] / errors[1]) < 1.3
