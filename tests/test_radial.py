"""The sphere of the DFN model: exact matrices, eigenvalues, and the step response at a given flux."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from dfx_homog.models.radial import sphere_geometry

ROOTS = np.array([4.493409457909064, 7.725251836937707, 10.904121659428899])  # tan x = x


def test_volume_and_surface() -> None:
    g = sphere_geometry("negative", 1.8)
    assert g.volume == pytest.approx(0.6, rel=1e-14)
    assert g.surface == 1.8
    np.testing.assert_allclose(g.K @ np.ones(g.M.shape[0]), 0, atol=1e-12)


def test_radius() -> None:
    """Lengths scale: volume a R/3, and eigenvalues as 1/R^2."""
    g, unit = sphere_geometry("negative", 1.2, 2.0), sphere_geometry("negative", 1.2)
    assert g.volume == pytest.approx(0.8, rel=1e-14)
    np.testing.assert_allclose(g.M.toarray(), 2 * unit.M.toarray(), rtol=1e-13)
    np.testing.assert_allclose(g.K.toarray(), unit.K.toarray() / 2, rtol=1e-13)


@pytest.mark.parametrize(("elements", "order", "error"), [(1, 12, 5e-9), (4, 6, 5e-7), (8, 8, 1e-10)])
def test_eigenvalues(elements: int, order: int, error: float) -> None:
    """Modes sin(x r)/r with tan x = x have no flux at r = 1."""
    g = sphere_geometry("negative", 3.0, elements=elements, order=order)
    found = scipy.linalg.eigh(g.K.toarray(), g.M.toarray(), eigvals_only=True)
    assert abs(found[0]) < 1e-10
    np.testing.assert_allclose(found[1:4], ROOTS**2, rtol=error)


def test_surface_concentration_at_constant_flux() -> None:
    """c(1) - c0 = -j/D (3 tau + 1/5 - 2 sum exp(-x^2 tau)/x^2), tau = D t (Crank, Mathematics of Diffusion, 6.45)."""
    g, D, j, dt = sphere_geometry("negative", 3.0), 0.7, 0.2, 1e-4
    M, K = g.M.toarray(), g.K.toarray()
    load = np.zeros(len(M))
    load[g.trace] = 3.0 * j
    # Crank-Nicolson keeps the time error far below the assertion
    left, right = scipy.linalg.lu_factor(M / dt + D * K / 2), M / dt - D * K / 2
    c = np.zeros(len(M))
    for _ in range(3000):
        c = scipy.linalg.lu_solve(left, right @ c - load)
    tau = D * 0.3
    series = 2 * sum(np.exp(-(x**2) * tau) / x**2 for x in ROOTS)
    assert c[g.trace[0]] == pytest.approx(-j / D * (3 * tau + 0.2 - series), rel=1e-5)
