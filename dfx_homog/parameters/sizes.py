"""Particle-size distributions as a few sizes with their shares."""

from __future__ import annotations

import numpy as np


def lognormal(mean: float, std: float, sizes: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Radii r_i and volume shares f_i (sum 1) of a lognormal distribution by volume.

    The logarithm of the radius is normal by volume, with mean m = ln(mean) - s^2/2 and variance
    s^2 = ln(1 + (std/mean)^2); Gauss-Hermite quadrature with points x_i and weights w_i (of exp(-x^2)) has
    r_i = exp(m + sqrt(2) s x_i), f_i = w_i/sqrt(pi). With `sizes` points it is exact for polynomials of degree
    2 sizes - 1 in ln r.
    """
    variance = np.log1p((std / mean) ** 2)
    points, weights = np.polynomial.hermite.hermgauss(sizes)
    radii = mean * np.exp(np.sqrt(2.0 * variance) * points - 0.5 * variance)
    shares = weights / weights.sum()
    return tuple(radii.tolist()), tuple(shares.tolist())
