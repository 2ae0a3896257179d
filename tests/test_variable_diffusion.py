"""Particle problems with D_s(c, T): against constant ones, an independent solution, differences, manufactured ones."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import basix
import numpy as np
import pytest
from mpi4py import MPI
from test_particle import (
    A0,
    ELECTRODE,
    GAMMA,
    GRAPHITE,
    LAM,
    begun,
    differences,
    flux,
    l2_error,
    relative,
    scalars,
)
from test_particle_geometry import slab

from dfx_homog.dimensionless.physics import Electrode, Tensor
from dfx_homog.models.particle import ParticleProblems
from dfx_homog.models.particle_geometry import LARGEST_TRACE, ParticleGeometry, particle_geometry
from dfx_homog.models.particle_steps import ConstantDiffusion
from dfx_homog.models.radial import sphere_geometry
from dfx_homog.parameters.expression import Expression
from dfx_homog.runfile import load
from dfx_homog.studies.unit_cells import build_unit_cell

TENSOR = ((0.6, 0.2), (0.2, 1.5))
VARIES = replace(ELECTRODE, D_s=Expression.parse("(0.1 + 0.9*c**2)*(1 + 0.4*T)"), E_D=4.0)


def geometry(n: int = 8, order: int = 1, tensor: Tensor | None = None) -> ParticleGeometry:
    cell = slab(n, order, 0.08)
    return particle_geometry(cell, 2 * order, 2 * order + 1, tensor=tensor, keep_elements=True)


def shapes(order: int) -> list[ParticleGeometry]:
    return [geometry(8, order), sphere_geometry("negative", 1.8)]


@pytest.mark.parametrize("trick", ["0.6*(1 + c - c)", "0.6*(1 + T - T)"])
@pytest.mark.parametrize("order", [1, 2])
def test_a_constant_written_as_a_formula(trick: str, order: int) -> None:
    """Points that do not fill the last batch, several steps, every number of the response."""
    for g in shapes(order):
        found = []
        for e in (ELECTRODE, replace(ELECTRODE, D_s=Expression.parse(trick))):
            problems, d_hist = begun(g, 11, e)
            numbers = []
            for seed in range(3):
                r = problems.evaluate(*scalars(11, seed, 0.5))
                assert r.complaint() is None
                numbers += [r.J, r.faradaic, r.q, r.dJ.ravel(), r.dq.ravel(), problems.finish_step().ravel()]
                problems.begin_step(A0, A0 * problems.c, d_hist)
            found.append(numbers)
        assert max(relative(b, a) for a, b in zip(*found, strict=True)) < 1e-11


def independent(
    g: ParticleGeometry, e: Electrode, h: np.ndarray, d: float, p: np.ndarray
) -> tuple[np.ndarray, float]:
    """c and J of one point by fixed-point iterations of D_s with Newton's method for the flux, all nodes."""
    assert g.elements is not None and isinstance(e.D_s, Expression)
    c, T, cells = np.full(g.M.shape[0], h.mean() / A0), p[3], g.elements.cells
    activation = np.exp(e.E_D * GAMMA * T / (1 + GAMMA * T))
    nodes = g.trace[g.facets]
    for _ in range(400):
        D = e.D_s.numpy(c=c[cells] @ g.elements.shape.T / e.c_max, T=T) * activation
        K = np.einsum("cq,cqki,cqli->ckl", D, g.elements.slopes, g.elements.slopes)
        J = (A0 * g.M + g.elements.assembled(K, len(c))).toarray()
        at, step = c[nodes] @ g.shape.T, 1e-6
        j, up, down = (flux(e, at + s, p, A0 * (p[0] - p[1]) + d)[0] for s in (0.0, step, -step))
        residual = J @ c - g.M @ h
        np.add.at(residual, nodes, (j * g.weights) @ g.shape)
        slope = np.einsum("fq,qk,ql->fkl", (up - down) / (2 * step) * g.weights, g.shape, g.shape)
        np.add.at(J, (nodes[:, :, None], nodes[:, None, :]), slope)
        update = np.linalg.solve(J, -residual)
        c = c + update
        if np.abs(update).max() < 1e-14:
            break
    j = flux(e, c[nodes] @ g.shape.T, p, A0 * (p[0] - p[1]) + d)[0]
    return c, float((j * g.weights).sum())


@pytest.mark.parametrize("order", [1, 2])
def test_agrees_with_an_independent_solution(order: int) -> None:
    for g in (geometry(4, order), sphere_geometry("negative", 1.8)):
        problems, d_hist = begun(g, 3, VARIES)
        before, p = problems.c.copy(), scalars(3)
        response = problems.evaluate(*p)
        assert response.complaint() is None
        c = problems.finish_step()
        for i in range(3):
            c_i, J = independent(g, VARIES, A0 * before[i], d_hist[i], p[:, i])
            assert relative(c[i], c_i) < 1e-11
            assert response.J[i] == pytest.approx(J, rel=1e-10)


@pytest.mark.parametrize("speed", [1.0, 1e4])
@pytest.mark.parametrize(
    ("D_s", "E_D"),
    [("(0.1 + 0.9*c**2)*(1 + 0.4*T)", 4.0), ("0.5 + T", 0.0), ("exp(-2*c)", 0.0), (TENSOR, 5.0)],
)
def test_derivatives(D_s: Any, E_D: float, speed: float) -> None:
    tensor = D_s if isinstance(D_s, tuple) else None
    e = replace(ELECTRODE, D_s=tensor or Expression.parse(D_s), E_D=E_D, G=speed * 1.3, C=0.02 / speed)
    for g in [geometry(8, 2, tensor)] + [sphere_geometry("negative", 1.8)] * (tensor is None):
        problems, _ = begun(g, 5, e)
        p = scalars(5, spread=0.3)
        response = problems.evaluate(*p)
        reference = differences(problems.evaluate, p)
        for derivative, expected in ((response.dJ, reference[:, 0].T), (response.dq, reference[:, 1].T)):
            scale = np.abs(expected).max(axis=0 if speed == 1.0 else None)
            assert (np.abs(derivative - expected) / scale).max() < 1e-7


def test_newton_with_these_derivatives_is_quadratic() -> None:
    """Finding Phi_s with a given J: the error is squared in every step."""
    problems, _ = begun(geometry(), 9, VARIES)
    Phi_s, Phi_e, c_e, T = scalars(9)
    target = problems.evaluate(Phi_s, Phi_e, c_e, T).J
    guess, errors = Phi_s + 0.1, []
    for _ in range(6):
        errors.append(np.abs(guess - Phi_s).max())
        response = problems.evaluate(guess, Phi_e, c_e, T)
        guess = guess - (response.J - target) / response.dJ[:, 0]
    assert errors[4] < 1e-12
    assert all(b < 2.0 * a**2 + 1e-13 for a, b in pairwise(errors))
    near = problems.evaluate(guess + 1e-5, Phi_e - 1e-5, c_e + 1e-5, T + 1e-5)
    assert near.iterations.max() <= 2


@pytest.mark.parametrize("dt", [1e-9, 1 / A0, 10.0])
def test_lithium_is_conserved_exactly(dt: float) -> None:
    """The current of a step is what the solid loses in it, however short the step."""
    for g in shapes(2):
        problems = ParticleProblems(g, VARIES, LAM, GAMMA, 3)
        for seed in range(4):
            before, c = problems.lithium, problems.c
            problems.begin_step(1 / dt, c / dt, np.full(3, -1 / dt))
            response = problems.evaluate(*scalars(3, seed, 0.05))
            assert response.complaint() is None
            problems.finish_step()
            assert np.abs(problems.lithium - before + dt * response.J).max() < 1e-14


@pytest.mark.parametrize("order", [1, 2])
def test_manufactured_diffusion(order: int) -> None:
    """c = 0.4 + 0.1 cos(3 (z2 - 1/2)), D_s = 0.4 + c: order k + 1 (as test_particle's, whose D_s is constant)."""
    k, c_max = 3.0, ELECTRODE.c_max
    D = Expression.parse(f"0.4 + {c_max}*c")
    e = replace(ELECTRODE, C=0.0, beta=0.5, D_s=D, ocp=Expression.parse("0.5 - 0.2*c"))
    edge = 0.4 + 0.1 * np.cos(k / 4)
    out = 0.1 * (0.4 + edge) * k * np.sin(k / 4)
    exchange = e.G * np.sqrt(edge * (1 - edge / c_max))
    Phi_s = float(e.ocp.numpy(c=edge / c_max, T=0)) + 2 / LAM * np.arcsinh(out / (2 * exchange))
    errors = []
    for n in (8, 16, 32):
        cell = slab(n, order)
        g = particle_geometry(cell, 2 * order + 2, 2 * order + 1, keep_elements=True)
        problems = ParticleProblems(g, e, LAM, GAMMA, 1)
        y = np.zeros(g.M.shape[0])
        y[g.solid_nodes[g.solid_nodes >= 0]] = cell.points[g.solid_nodes >= 0, 1]
        c, slope = 0.4 + 0.1 * np.cos(k * (y - 0.5)), -0.1 * k * np.sin(k * (y - 0.5))
        problems.begin_step(A0, (A0 * c - slope**2 + (0.4 + c) * k**2 * (c - 0.4))[None], np.zeros(1))
        assert problems.evaluate(*np.array([[Phi_s], [0.0], [1.0], [0.0]])).complaint() is None
        errors.append(l2_error(cell, g, problems.finish_step()[0], k))
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert orders == pytest.approx(order + 1, abs=0.1)


def radial_error(order: int) -> float:
    """Largest error at the nodes of c = 0.4 + 0.1 cos(2 r) in a sphere with D_s = 1 + c, at the flux that it needs."""
    c_max, k = ELECTRODE.c_max, 2.0
    D_s, ocp = Expression.parse(f"1 + {c_max}*c"), Expression.parse("0.5 - 0.2*c")
    e = replace(ELECTRODE, C=0.0, beta=0.5, D_s=D_s, ocp=ocp)
    g = sphere_geometry("negative", 1.8, order=order)
    assert g.elements is not None
    volumes = np.cumsum(g.elements.weights.sum(axis=1))
    ends = np.concatenate([[0.0], np.cbrt(volumes / volumes[-1])])
    r = np.zeros(g.M.shape[0])
    nodes = basix.create_element(
        basix.ElementFamily.P, basix.CellType.interval, order, basix.LagrangeVariant.gll_warped
    ).points[:, 0]
    r[g.elements.cells] = ends[:-1, None] + np.diff(ends)[:, None] * nodes
    c, slope, second = (
        0.4 + 0.1 * np.cos(k * r),
        -0.1 * k * np.sin(k * r),
        -0.1 * k**2 * np.cos(k * r),
    )
    over_r = np.where(r > 0, slope / np.maximum(r, 1e-30), second)
    divergence = slope**2 + (1 + c) * (second + 2 * over_r)
    edge = 0.4 + 0.1 * np.cos(k)
    exchange = e.G * np.sqrt(edge * (1 - edge / c_max))
    out = 0.1 * k * np.sin(k) * (1 + edge)
    Phi_s = float(ocp.numpy(c=edge / c_max, T=0)) + 2 / LAM * np.arcsinh(out / (2 * exchange))
    problems = ParticleProblems(g, e, LAM, GAMMA, 1)
    problems.begin_step(A0, (A0 * c - divergence)[None], np.zeros(1))
    assert problems.evaluate(*np.array([[Phi_s], [0.0], [1.0], [0.0]])).complaint() is None
    return float(np.abs(problems.finish_step()[0] - c).max())


def test_manufactured_sphere() -> None:
    """Errors fall exponentially with the order of the elements."""
    errors = [radial_error(order) for order in (2, 4, 6, 10)]
    assert errors[-1] < 1e-11
    assert all(fine < 0.1 * coarse for coarse, fine in pairwise(errors))


def test_order_in_time() -> None:
    """A sphere with D_s(c, T) while the potential rises from equilibrium, BDF2: order 2 in the step."""
    g, found, e = sphere_geometry("negative", 1.8), [], replace(VARIES, C=0.0)
    rest = float(e.ocp.numpy(c=e.c_s0 / e.c_max, T=0.3))
    for steps in (80, 160, 320):
        a0 = steps / 0.2
        problems = ParticleProblems(g, e, LAM, GAMMA, 1)
        older = now = problems.c
        for n in range(steps):
            first, a1, a2 = (a0, -a0, 0.0) if n == 0 else (1.5 * a0, -2 * a0, 0.5 * a0)
            problems.begin_step(first, -(a1 * now + a2 * older), np.zeros(1))
            p = np.array([[rest + 10 * ((n + 1) / a0) ** 2], [0.0], [1.0], [0.3]])
            assert problems.evaluate(*p).complaint() is None
            older, now = now, problems.finish_step()
        found.append(problems.lithium[0])
    assert np.log2((found[1] - found[0]) / (found[2] - found[1])) == pytest.approx(2.0, abs=0.25)


def test_far_starts_and_graphite() -> None:
    """Overpotentials of 0.4 V either way with D_s that falls twentyfold where the particle is full (Ecker 2015)."""
    D_s = Expression.parse("8.4e-1*exp(-3*c)")
    e = replace(
        ELECTRODE, G=0.01, C=0.0, beta=0.5, c_max=33.0, c_s0=16.5, ocp=Expression.parse(GRAPHITE), E_G=0.0
    )
    for g in shapes(1):
        problems = ParticleProblems(g, replace(e, D_s=D_s), 38.9, 0.01, 81)
        problems.begin_step(0.5, 0.5 * problems.c, np.zeros(81))
        eta = np.linspace(-0.4, 0.4, 81)
        response = problems.evaluate(eta + e.ocp.numpy(c=0.5, T=0), 0 * eta, 1 + 0 * eta, 0 * eta)
        assert response.complaint() is None
        assert np.diff(response.J).min() > -1e-8 * np.abs(response.J).max()
        assert (response.J * eta >= -1e-12).all()
        assert response.iterations.mean() < 25


@pytest.mark.parametrize(
    ("row", "value", "reason"),
    [(2, -0.1, "c_e"), (3, -1 / GAMMA, "gamma"), (0, np.nan, "finite"), (0, 1e4, "flux"), (3, -5.0, "flux")],
)
def test_bad_values_are_reported_and_forgotten(row: int, value: float, reason: str) -> None:
    """At T = -5 the formula of D_s is negative."""
    for g in shapes(1):
        problems, _ = begun(g, 11, VARIES)
        p = scalars(11, spread=0.5)
        good = problems.evaluate(*p)
        bad = p.copy()
        bad[row, 2] = value
        response = problems.evaluate(*bad)
        assert list(np.flatnonzero(response.failed)) == [2]
        assert reason in str(response.complaint())
        assert all(np.isfinite(a).all() for a in (response.J, response.q, response.dJ, response.dq))
        assert np.delete(response.J, 2) == pytest.approx(np.delete(good.J, 2), rel=1e-10)
        with pytest.raises(RuntimeError, match="every point"):
            problems.finish_step()
        assert relative(problems.evaluate(*p).J, good.J) < 1e-10


@pytest.mark.parametrize("value", [1e-15, 1.2 - 1e-15, -1.0, 5.0, np.nan])
def test_any_start_leads_to_the_solution(value: float) -> None:
    for g in shapes(2):
        found = []
        for start in (None, value):
            problems, _ = begun(g, 9, VARIES)
            step: Any = problems._begun()
            if start is not None:
                step.prediction.x[:] = start - step.c0
            response = problems.evaluate(*scalars(9, spread=0.5))
            assert response.complaint() is None
            found.append(response.J)
        assert relative(*found) < 1e-10


def test_no_points() -> None:
    problems = ParticleProblems(geometry(), VARIES, LAM, GAMMA, 0)
    nothing = np.zeros(0)
    problems.begin_step(A0, A0 * problems.c, nothing)
    response = problems.evaluate(*[nothing] * 4)
    assert response.complaint() is None and response.dJ.shape == (0, 4)
    assert problems.finish_step().shape == (0, problems.geometry.M.shape[0])


@pytest.mark.parametrize("D_s", ["0.6", "(0.1 + 0.9*c**2)*(1 + 0.4*T)"])
def test_solid_in_space(D_s: str) -> None:
    """Overlapping balls with 1070 nodes, 580 on Gamma, solved by GMRES: against condensation, or differences."""
    run = load(Path(__file__).resolve().parents[1] / "runs" / "delta-3d.toml")
    cell = build_unit_cell("negative", run.microstructure["negative"], MPI.COMM_SELF)
    g = particle_geometry(cell, 2, 3, keep_elements=True)
    assert len(g.trace) > LARGEST_TRACE
    e = replace(ELECTRODE, D_s=Expression.parse(D_s))
    problems, d_hist = begun(g, 3, e)
    before, p = problems.c, scalars(3, spread=0.5)
    response = problems.evaluate(*p)
    assert response.complaint() is None
    if e.constant_diffusivity:
        condensed = ConstantDiffusion(g, problems._kernel, 0.6).begin(A0, before, A0 * before, d_hist)
        expected = condensed.evaluate(np.ascontiguousarray(p.T))
        for name in ("J", "faradaic", "q", "dJ", "dq"):
            assert relative(getattr(response, name), getattr(expected, name)) < 1e-9
        assert relative(problems.finish_step(), condensed.finish()) < 1e-11
    else:
        reference = differences(problems.evaluate, p)
        for k in range(4):
            assert response.dJ[:, k] == pytest.approx(reference[k, 0], rel=1e-7, abs=1e-8)
            assert response.dq[:, k] == pytest.approx(reference[k, 1], rel=1e-7, abs=1e-8)
        lithium = problems.lithium
        problems.evaluate(*p)
        problems.finish_step()
        assert np.abs(A0 * (problems.lithium - lithium) + response.J).max() < 1e-12
