"""What cases of the book check at length, in short: manufactured solutions and orders in time; the heat's sign.

The cases mms-* and time-* of runs/verification/ have all terms, both element orders and more levels.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import ufl
from mpi4py import MPI
from wavy import TOP

from dfx_homog.physics import heat, kinetics
from dfx_homog.runfile import load
from dfx_homog.solvers.timestepping import Quotient, bdf2, euler
from dfx_homog.studies.setup import Problem
from dfx_homog.verification import mms_resolved, time_order
from dfx_homog.verification.problems import slope


@pytest.mark.parametrize("order", [1, pytest.param(2, marks=pytest.mark.mpi)])
def test_five_fields(order: int) -> None:
    """Orders 2 and 3 in L2 of the coupled resolved model; the error of T is that of the Joule heat, an energy."""
    coarse, fine = {1: (0.1, 0.06), 2: (0.2, 0.1)}[order]
    sizes, errors = zip(*(mms_resolved.solve(h, order, True) for h in (coarse, fine)), strict=True)
    fitted = slope(sizes, errors)
    assert np.all(fitted > order + 1 - 0.25), (fitted, errors)
    assert np.all(fitted[:4] < order + 1 + 0.7), (fitted, errors)


@pytest.mark.parametrize("scheme", ["euler", "bdf2"])
def test_order_in_time_of_the_resolved_model(scheme: str) -> None:
    case = time_order.manufactured_model(0.05)
    errors = [time_order.manufactured_errors(case, scheme, count) for count in (8, 16)]
    case.destroy()
    fitted = slope([1 / 8, 1 / 16], errors)
    assert np.all(np.abs(fitted - time_order.ORDER[scheme]) < 0.3), (fitted, errors)


@pytest.mark.mpi
def test_order_in_time_of_the_homogenised_model() -> None:
    run = load(TOP / "runs" / "verification" / "time-both-models.toml", [])
    problem = Problem(MPI.COMM_WORLD, run)
    cells = problem.unit_cells()
    model = problem.homogenised(cells, problem.effective_media(cells))
    values = np.array([time_order.outcome(model, "bdf2", count) for count in (8, 16, 32)])
    model.destroy()
    fitted = slope([1 / 8, 1 / 16], np.abs(np.diff(values, axis=0)))
    assert np.all(np.abs(fitted - 2) < 0.4), fitted


def test_quotients_are_exact_for_polynomials() -> None:
    """Euler for degree 1, BDF2 for degree 2 and no further."""

    def applied(q: Quotient, degree: int, t: float, dt: float) -> float:
        return q.a0 * t**degree + q.a1 * (t - dt) ** degree + q.a2 * (t - 2 * dt) ** degree

    t, dt = 0.7, 0.1
    for scheme, q in ((1, euler(dt)), (2, bdf2(dt))):
        for degree in range(scheme + 1):
            assert applied(q, degree, t, dt) == pytest.approx(degree * t ** (degree - 1), abs=1e-12)
        assert abs(applied(q, scheme + 1, t, dt) - (scheme + 1) * t**scheme) > 1e-3


def test_heat_of_reaction_is_positive_out_of_equilibrium() -> None:
    """lambda G g eta >= 0 for both signs of eta; Pi counts with the sign of g."""

    def number(eta: float, Pi: float) -> float:
        g = kinetics.butler_volmer(0.5, 1.0, ufl.as_ufl(eta), 0.0, 0.5, 1.0, 2.0, 0.1)
        return float(heat.reaction_heat(2.0, 1.5, g, eta, Pi))

    for eta in (-0.2, 0.2):
        g = 0.5 * 2 * math.sinh(2.0 * eta / 2)
        assert number(eta, 0.0) == pytest.approx(2.0 * 1.5 * g * eta)
        assert g * eta > 0
        assert number(eta, 0.3) - number(eta, 0.0) == pytest.approx(2.0 * 1.5 * g * 0.3)
