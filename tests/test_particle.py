"""The condensed particle problems against uncondensed ones, differences and manufactured solutions."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import basix
import numpy as np
import pytest
from test_particle_geometry import slab

from dfx_homog.dimensionless.physics import Electrode
from dfx_homog.errors import BadInput
from dfx_homog.microstructure.unitcell import SOLID, UnitCell
from dfx_homog.models.particle import ParticleProblems, ParticleResponse
from dfx_homog.models.particle_geometry import ParticleGeometry, particle_geometry
from dfx_homog.parameters.expression import Expression

LAM, GAMMA = 2.0, 0.1
OCP = "1.0 - 0.4*(c - 0.5) - 0.1*tanh(4*(c - 0.5)) + 0.2*T*c - 0.05*T**2"
GRAPHITE = (  # Chen et al. 2020, volts
    "1.9793*exp(-39.3631*c) + 0.2482 - 0.0909*tanh(29.8538*(c - 0.1234)) - 0.04478*tanh(14.9159*(c - 0.2769))"
    " - 0.0205*tanh(30.4444*(c - 0.6103))"
)
ELECTRODE = Electrode(
    D_s=Expression.parse(0.6),
    G=1.3,
    C=0.02,
    beta=0.4,
    c_max=1.2,
    c_s0=0.4,
    ocp=Expression.parse(OCP),
    Pi=Expression.parse("0.05*c - 0.1*T + 0.02"),
    E_G=3.0,
)
A0 = 40.0


def geometry(n: int = 8, order: int = 1, bend: float = 0.08) -> ParticleGeometry:
    return particle_geometry(slab(n, order, bend), 2 * order, 2 * order + 1)


def scalars(points: int, seed: int = 1, spread: float = 1.0) -> np.ndarray:
    """(4, points) Phi_s, Phi_e, c_e, T around equilibrium, with overpotentials of some spread/lambda."""
    r = np.random.default_rng(seed).random((4, points)) - 0.5
    return np.stack([1.0 + spread * r[0], 0.4 * spread * r[1], 1.0 + 0.4 * r[2], 0.05 + 0.5 * r[3]])


def flux(e: Electrode, c: np.ndarray, p: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Flux and faradaic heat at one point, MODEL section 3, written once more."""
    Phi_s, Phi_e, c_e, T = p
    eta = Phi_s - Phi_e - e.ocp.numpy(c=c / e.c_max, T=T)
    s = LAM * eta / (1 + GAMMA * T)
    g = c**e.beta * (1 - c / e.c_max) ** (1 - e.beta) * c_e ** (1 - e.beta)
    g = g * (np.exp((1 - e.beta) * s) - np.exp(-e.beta * s))
    g = e.G * np.exp(e.E_G * GAMMA * T / (1 + GAMMA * T)) * g
    return g + e.G * e.C * rate, LAM * g * (eta + e.Pi.numpy(c=c / e.c_max, T=T))


def uncondensed(
    g: ParticleGeometry, e: Electrode, a0: float, h: np.ndarray, d: float, p: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """c, J and q of one point by Newton's method for all nodes, the slope of the flux by differences."""
    A = (a0 * g.M + float(e.D_s.numpy(c=0, T=0)) * g.K).tocsr()
    c = np.full(A.shape[0], h.mean() / a0)
    nodes, load, rate = g.trace[g.facets], g.M @ h, a0 * (p[0] - p[1]) + d
    for _ in range(40):
        at = c[nodes] @ g.shape.T
        j, heat = flux(e, at, p, rate)
        step = 1e-6
        slope = (flux(e, at + step, p, rate)[0] - flux(e, at - step, p, rate)[0]) / (2 * step)
        residual = A @ c - load
        np.add.at(residual, nodes, (j * g.weights) @ g.shape)
        local = np.einsum("fq,qk,ql->fkl", slope * g.weights, g.shape, g.shape)
        jacobian = A.toarray()
        np.add.at(jacobian, (nodes[:, :, None], nodes[:, None, :]), local)
        update = np.linalg.solve(jacobian, -residual)
        c = c + update
        if np.abs(update).max() < 1e-15:
            break
    at = c[nodes] @ g.shape.T
    j, heat = flux(e, at, p, rate)
    return c, float((j * g.weights).sum()), float((heat * g.weights).sum())


def begun(g: ParticleGeometry, points: int, e: Electrode = ELECTRODE) -> tuple[ParticleProblems, np.ndarray]:
    """Particle problems at the beginning of a step from a non-uniform state, and d_hist."""
    problems = ParticleProblems(g, e, LAM, GAMMA, points)
    random = np.random.default_rng(2)
    problems.c = problems.c + 0.05 * random.standard_normal(problems.c.shape)
    d_hist = 0.5 * random.standard_normal(points) - A0
    problems.begin_step(A0, A0 * problems.c, d_hist)
    return problems, d_hist


def relative(a: Any, b: Any) -> float:
    return float(np.abs(np.asarray(a) - b).max() / np.abs(b).max())


@pytest.mark.parametrize("order", [1, 2])
def test_agrees_with_the_uncondensed_problem(order: int) -> None:
    g, points = geometry(8, order), 4
    problems, d_hist = begun(g, points)
    before, p = problems.c.copy(), scalars(points)
    response = problems.evaluate(*p)
    assert response.complaint() is None
    c = problems.finish_step()
    for i in range(points):
        c_i, J, q = uncondensed(g, ELECTRODE, A0, A0 * before[i], d_hist[i], p[:, i])
        assert relative(c[i], c_i) < 1e-12
        assert response.J[i] == pytest.approx(J, rel=1e-11)
        assert response.q[i] == pytest.approx(q, rel=1e-11)


def differences(evaluate: Any, p: np.ndarray, step: float = 1e-4) -> np.ndarray:
    """(4, 3, P) derivatives of J, q and faradaic by differences of fourth order."""

    def shifted(k: int, by: float) -> np.ndarray:
        at = p.copy()
        at[k] += by
        r = evaluate(*at)
        assert r.complaint() is None
        return np.stack([r.J, r.q, r.faradaic])

    return np.stack(
        [
            (8 * (shifted(k, step) - shifted(k, -step)) - (shifted(k, 2 * step) - shifted(k, -2 * step)))
            / (12 * step)
            for k in range(4)
        ]
    )


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("speed", [1.0, 1e4])
def test_derivatives(frozen: bool, speed: float) -> None:
    """Also for reactions so fast that J's derivative is a small difference of large numbers."""
    e = replace(ELECTRODE, G=speed * ELECTRODE.G, C=ELECTRODE.C / speed)
    problems, _ = begun(geometry(), 5, e)
    evaluate = problems.evaluate_frozen if frozen else problems.evaluate
    p = scalars(5, spread=0.3)
    response: ParticleResponse = evaluate(*p)
    reference = differences(evaluate, p)
    for derivative, expected in ((response.dJ, reference[:, 0].T), (response.dq, reference[:, 1].T)):
        # fast reactions: the derivative in c_e is 1e-4 of the others, and differences see J's rounding errors
        scale = np.abs(expected).max(axis=0 if speed == 1.0 else None)
        assert (np.abs(derivative - expected) / scale).max() < 1e-7


def test_newton_with_these_derivatives_is_quadratic() -> None:
    """Finding Phi_s with a given J: the error is squared in every step."""
    problems, _ = begun(geometry(), 3)
    Phi_s, Phi_e, c_e, T = scalars(3)
    target = problems.evaluate(Phi_s, Phi_e, c_e, T).J
    guess, errors = Phi_s + 0.2, []
    for _ in range(6):
        errors.append(np.abs(guess - Phi_s).max())
        response = problems.evaluate(guess, Phi_e, c_e, T)
        guess = guess - (response.J - target) / response.dJ[:, 0]
    assert errors[4] < 1e-12
    assert all(b < 2.0 * a**2 + 1e-13 for a, b in pairwise(errors))
    near = problems.evaluate(guess + 1e-5, Phi_e - 1e-5, c_e + 1e-5, T)
    assert near.iterations.max() <= 2  # the start predicted from the last solution is right to 1e-9


@pytest.mark.parametrize("order", [1, 2])
def test_lithium_is_conserved_exactly(order: int) -> None:
    problems = ParticleProblems(geometry(8, order), ELECTRODE, LAM, GAMMA, 3)
    start, taken, jump = problems.lithium, np.zeros(3), np.full(3, 1.0)
    older, older_jump = problems.c, jump
    for step in range(6):
        p = scalars(3, seed=step, spread=0.4)
        a = (A0, -A0, 0.0) if step == 0 else (1.5 * A0, -2.0 * A0, 0.5 * A0)  # Euler, then BDF2
        now, now_jump = problems.c, jump
        before = problems.lithium, (problems.geometry.M @ older.T).sum(axis=0)
        problems.begin_step(a[0], -(a[1] * now + a[2] * older), a[1] * now_jump + a[2] * older_jump)
        response = problems.evaluate(*p)
        assert response.complaint() is None
        problems.finish_step()
        rate = a[0] * problems.lithium + a[1] * before[0] + a[2] * before[1]
        assert np.abs(rate + response.J).max() / A0 < 1e-14
        older, older_jump, jump = now, now_jump, p[0] - p[1]
        taken += np.abs(response.J) / A0
    assert np.abs(problems.lithium - start).max() > 1e-3 * taken.max()
    assert problems.soc == pytest.approx(problems.lithium / (0.5 * ELECTRODE.c_max), rel=1e-3)


@pytest.mark.parametrize("order", [1, 2])
def test_manufactured_diffusion(order: int) -> None:
    """c = 0.4 + 0.1 cos(3 (z2 - 1/2)) with the overpotential that its flux on Gamma needs: order k + 1."""
    k, D = 3.0, 0.6
    e = replace(ELECTRODE, C=0.0, beta=0.5, D_s=Expression.parse(D), ocp=Expression.parse("0.5 - 0.2*c"))
    edge = 0.4 + 0.1 * np.cos(k / 4)
    out = 0.1 * D * k * np.sin(k / 4)
    exchange = e.G * np.sqrt(edge * (1 - edge / e.c_max))
    Phi_s = float(e.ocp.numpy(c=edge / e.c_max, T=0)) + 2 / LAM * np.arcsinh(out / (2 * exchange))
    errors = []
    for n in (8, 16, 32):
        cell = slab(n, order)
        g = particle_geometry(cell, 2 * order + 2, 2 * order + 1)
        problems = ParticleProblems(g, e, LAM, GAMMA, 1)
        y = np.zeros(g.M.shape[0])
        y[g.solid_nodes[g.solid_nodes >= 0]] = cell.points[g.solid_nodes >= 0, 1]
        wave = 0.1 * np.cos(k * (y - 0.5))
        problems.begin_step(A0, (A0 * 0.4 + (A0 + D * k**2) * wave)[None], np.zeros(1))
        assert problems.evaluate(*np.array([[Phi_s], [0.0], [1.0], [0.0]])).complaint() is None
        errors.append(l2_error(cell, g, problems.finish_step()[0], k))
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert orders == pytest.approx(order + 1, abs=0.1)


def l2_error(cell: UnitCell, g: ParticleGeometry, c: np.ndarray, k: float) -> float:
    points, weights = basix.make_quadrature(basix.CellType.triangle, 8)
    element = basix.create_element(
        basix.ElementFamily.P, basix.CellType.triangle, cell.order, basix.LagrangeVariant.gll_warped
    )
    shape = element.tabulate(0, points)[0, :, :, 0]
    nodes = cell.cells[cell.phase == SOLID]
    exact = 0.4 + 0.1 * np.cos(k * (cell.points[nodes, 1] @ shape.T - 0.5))
    area = 2 * cell.cell_measures[cell.phase == SOLID]
    return float(np.sqrt((((c[g.solid_nodes[nodes]] @ shape.T - exact) ** 2) @ weights) @ area))


def test_no_points() -> None:
    problems = ParticleProblems(geometry(), ELECTRODE, LAM, GAMMA, 0)
    nothing = np.zeros(0)
    problems.begin_step(A0, A0 * problems.c, nothing)
    for response in (problems.evaluate(*[nothing] * 4), problems.evaluate_frozen(*[nothing] * 4)):
        assert response.J.shape == (0,)
        assert response.dq.shape == (0, 4)
        assert response.complaint() is None
    assert problems.finish_step().shape == (0, problems.geometry.M.shape[0])
    assert problems.soc.shape == problems.lithium.shape == (0,)


@pytest.mark.parametrize(
    ("row", "value", "reason"),
    [(2, -0.1, "c_e"), (2, 0.0, "c_e"), (3, -1 / GAMMA, "gamma"), (0, np.nan, "finite"), (0, 1e4, "flux")],
)
def test_bad_values_are_reported_and_forgotten(row: int, value: float, reason: str) -> None:
    problems, _ = begun(geometry(), 4)
    p = scalars(4)
    good = problems.evaluate(*p)
    bad = p.copy()
    bad[row, 2] = value
    for response in (problems.evaluate(*bad), problems.evaluate_frozen(*bad)):
        assert list(np.flatnonzero(response.failed)) == [2]
        assert "point 2 (1 failed)" in str(response.complaint())
        assert all(np.isfinite(a).all() for a in (response.J, response.q, response.dJ, response.dq))
    response = problems.evaluate(*bad)
    assert reason in str(response.complaint())
    assert np.delete(response.J, 2) == pytest.approx(np.delete(good.J, 2), rel=1e-11)
    with pytest.raises(RuntimeError, match="every point"):
        problems.finish_step()
    assert relative(problems.evaluate(*p).J, good.J) < 1e-11


def test_far_start_and_nearly_empty_surface() -> None:
    """A large overpotential empties the surface to 1e-6 of c_max, one the other way fills it again."""
    g = geometry()
    e = replace(ELECTRODE, C=0.0)
    problems, _ = begun(g, 1, e)
    high, low = np.array([[6.0], [0.0], [1.0], [0.0]]), np.array([[-4.0], [0.0], [1.0], [0.0]])
    for p in (high, low, high):
        response = problems.evaluate(*p)
        assert response.complaint() is None
        assert response.J[0] * p[0, 0] > 1.0
    c = problems.finish_step()
    assert 0.0 < c[0, g.trace].min() < 1e-5 * e.c_max


@pytest.mark.parametrize("value", [1e-15, 1.2 - 1e-15, -1.0, 5.0, np.nan])
@pytest.mark.parametrize("order", [1, 2])
def test_any_start_leads_to_the_solution(order: int, value: float) -> None:
    """Also from where the slope of g is so large that no update moves the surface concentration."""
    problems, _ = begun(geometry(4, order), 4)
    good = problems.evaluate(*scalars(4))
    other, _ = begun(problems.geometry, 4)
    step: Any = other._begun()
    step.prediction.x[:] = value
    response = other.evaluate(*scalars(4))
    assert response.complaint() is None
    assert relative(response.J, good.J) < 1e-10


@pytest.mark.parametrize(("G", "c", "updates"), [(0.01, 0.05, 12), (0.01, 0.9, 20), (1.0, 0.3, 20)])
def test_graphite_far_from_equilibrium(G: float, c: float, updates: int) -> None:
    """Overpotentials of 0.4 V either way, in volts: surfaces run full and empty, J increases with Phi_s throughout."""
    e = replace(
        ELECTRODE, G=G, C=0.0, beta=0.5, c_max=33.0, c_s0=33.0 * c, ocp=Expression.parse(GRAPHITE), E_G=0.0
    )
    problems = ParticleProblems(geometry(10), e, 38.9, 0.01, 81)
    problems.begin_step(0.5, 0.5 * problems.c, np.zeros(81))
    eta = np.linspace(-0.4, 0.4, 81)
    Phi_s = eta + e.ocp.numpy(c=c, T=0)
    response = problems.evaluate(Phi_s, 0 * eta, 1 + 0 * eta, 0 * eta)
    assert response.complaint() is None
    assert np.diff(response.J).min() > -1e-8 * np.abs(response.J).max()
    assert np.abs(response.J[40]) < 1e-12
    assert (response.J * eta >= 0).all()
    assert response.iterations.mean() < updates


def test_steps_of_any_size() -> None:
    """More step sizes than factorisations are kept, and one of them again."""
    problems = ParticleProblems(geometry(), ELECTRODE, LAM, GAMMA, 1)
    diffusion: Any = problems._diffusion
    J = []
    for a0 in (10.0, 20.0, 40.0, 80.0, 160.0, 10.0):
        p = np.array([[1.1], [0.0], [1.0], [0.0]])
        problems.begin_step(a0, a0 * problems.c, -a0 * (p[0] - p[1]))
        J.append(problems.evaluate(*p).J[0])
        assert len(diffusion._condensed) <= 4
    assert J[-1] == pytest.approx(J[0], rel=1e-13)
    assert all(abs(a) < abs(b) for a, b in pairwise(J[:-1]))  # shorter steps deplete less
    with pytest.raises(ValueError, match="positive"):
        problems.begin_step(0.0, problems.c, np.zeros(1))


@pytest.mark.parametrize(
    "text",
    [
        "c", "T", "0.3", "2 + c*T - c/(1 + T)", "c**2", "c**3 - (0.2 - c)**3", "c**0.3", "c**T",
        "-c - -(T - 2)", "(1 + c)**(c*T)", "sin(3*c + T)", "cos(c*T)*2", "exp(-2*c)*T", "log(0.1 + c)",
        "sqrt(c*(1.3 + T))", "tanh(5*(c - 0.5)) + tanh(T)", "1 - " + "(" * 40 + "c" + ")*0.9" * 40,
        "cosh(2*c - T)", "max(c*T, 0.21) + min(0.5 + T, c)", "min(max(c, 0.3), 0.55)**2 - sign(c - 0.41)*T*(c - 0.41)",
    ],
)  # fmt: skip
def test_expressions(text: str) -> None:
    """Every operation of the programs: its value in J and q, its derivatives in theirs."""
    f = Expression.parse(text)
    e = replace(ELECTRODE, ocp=0.8 - 0.3 * f, Pi=0.5 * f + 0.01, C=0.0)
    g = geometry(4)
    problems = ParticleProblems(g, e, LAM, GAMMA, 2)
    problems.c = problems.c + np.linspace(-0.2, 0.4, problems.c.size).reshape(problems.c.shape)
    p = np.array([[0.7, 0.2], [0.1, 0.0], [1.1, 0.9], [0.3, 0.5]])
    response = problems.evaluate_frozen(*p)
    for i in range(2):
        j, heat = flux(e, problems.c[i, g.trace][g.facets] @ g.shape.T, p[:, i], 0.0)
        assert response.J[i] == pytest.approx((j * g.weights).sum(), rel=1e-12)
        assert response.q[i] == pytest.approx((heat * g.weights).sum(), rel=1e-12)
    reference = differences(problems.evaluate_frozen, p)
    problems.begin_step(A0, A0 * problems.c, np.zeros(2))
    condensed, through_c = problems.evaluate(*p), differences(problems.evaluate, p)
    for k in range(4):
        assert response.dq[:, k] == pytest.approx(reference[k, 1], rel=1e-7, abs=1e-8)
        assert condensed.dq[:, k] == pytest.approx(through_c[k, 1], rel=1e-7, abs=1e-8)
        assert condensed.dJ[:, k] == pytest.approx(through_c[k, 0], rel=1e-7, abs=1e-8)


def test_undefined_expression_is_a_failure() -> None:
    """log of a negative number at some surface point: reported, no NaN."""
    e = replace(ELECTRODE, ocp=Expression.parse("log(c - 0.5)"))
    problems = ParticleProblems(geometry(4), e, LAM, GAMMA, 1)
    response = problems.evaluate_frozen(*np.array([[0.5], [0.0], [1.0], [0.0]]))
    assert response.failed[0]
    assert response.J[0] == 0.0


def test_refusals() -> None:
    g = geometry(4)
    with pytest.raises(BadInput, match=r"parameters\.negative\.D_s.*positive"):
        ParticleProblems(g, replace(ELECTRODE, D_s=Expression.parse(-1.0)), LAM, GAMMA, 1)
    with pytest.raises(ValueError, match="elements"):
        ParticleProblems(g, replace(ELECTRODE, E_D=2.0), LAM, GAMMA, 1)
    with pytest.raises(BadInput, match="c_s0"):
        ParticleProblems(g, replace(ELECTRODE, c_s0=1.2), LAM, GAMMA, 1)
    with pytest.raises(RuntimeError, match="begin_step"):
        ParticleProblems(g, ELECTRODE, LAM, GAMMA, 1).finish_step()
