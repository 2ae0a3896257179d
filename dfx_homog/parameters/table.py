"""Measured curves as formulas: monotone cubic interpolation, made of pieces that stop at their ends.

With the knots x_0 < … < x_n, the values y_i and slopes m_i of Fritsch and Butland (SIAM Journal on
Scientific and Statistical Computing 5 (1984) 300), which keep what is monotone monotone and positive what is positive,

    f(c) = y_0 + sum_i p_i(t_i),   t_i = min(max(c, x_i), x_{i+1}) - x_i

where the cubic p_i has p_i(0) = 0, p_i'(0) = m_i, p_i(h_i) = y_{i+1} - y_i, p_i'(h_i) = m_{i+1}. A piece is exactly 0
before its interval and exactly constant behind it: nothing cancels, and f has one derivative everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from dfx_homog.parameters.expression import Expression, apply, constant, variable

ACCURACY = 1e-4  # of the range of a table's values: points are left out as long as all are met this well
RELATIVE = 1e-3  # of each value, where a table goes over orders of magnitude
MOST_KNOTS = 100  # of one formula; forms of the resolved model take long to compile with more
MOST_POINTS = 100_000

Points = NDArray[np.float64]


def interpolate(
    x: Sequence[float], y: Sequence[float], *, extend: bool = False, relative: bool = False
) -> tuple[Expression, float]:
    """A formula in c through the points of a table, and its largest distance from them.

    Knots are those points that it takes to come within ACCURACY (relative: RELATIVE) of all. extend: outside, go on
    with the slope at the end, else with the value. Raises ValueError where the table is no function, or too fine.
    """
    at, values = _sorted(x, y)
    if relative and not (values > 0.0).all():
        raise ValueError("the table has values that are not positive")
    knots = _knots(at, values, RELATIVE * values if relative else np.full_like(at, ACCURACY * np.ptp(values)))
    formula = _formula(at[knots], values[knots], extend=extend)
    return formula, float(np.abs(formula.numpy(c=at) - values).max())


def _sorted(x: Sequence[float], y: Sequence[float]) -> tuple[Points, Points]:
    if not 2 <= len(x) == len(y) <= MOST_POINTS:
        raise ValueError(f"a table needs as many x as y, from 2 to {MOST_POINTS}, not {len(x)} and {len(y)}")
    at, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if not (np.isfinite(at).all() and np.isfinite(values).all()):
        raise ValueError("the table has numbers that are not finite")
    order = np.argsort(at, kind="stable")
    at, values = at[order], values[order]
    if not (np.diff(at) > 1e-9 * (at[-1] - at[0])).all():
        raise ValueError("the table has the same x twice")
    return at, values


def _knots(x: Points, y: Points, allowed: Points) -> NDArray[np.int64]:
    """Positions of the knots: the ends, and again and again the point that is missed most."""
    knots = np.array([0, len(x) - 1])
    while True:
        excess = np.abs(PchipInterpolator(x[knots], y[knots])(x) - y) - allowed
        excess[knots] = 0.0
        if not (excess > 0.0).any():
            return knots
        if len(knots) == MOST_KNOTS:
            raise ValueError(
                f"{MOST_KNOTS} points of the table do not give the others within {allowed.min():.2g}: smooth it"
            )
        knots = np.sort(np.append(knots, (excess / np.maximum(allowed, 1e-300)).argmax()))


def _formula(x: Points, y: Points, *, extend: bool) -> Expression:
    slopes = PchipInterpolator(x, y).derivative()(x)
    c = variable("c")
    pieces = [constant(y[0])]
    if extend and slopes[0]:
        pieces.append(constant(slopes[0]) * (apply("min", c, constant(x[0])) - float(x[0])))
    for a, b, rise, m, n in zip(x[:-1], x[1:], np.diff(y), slopes[:-1], slopes[1:], strict=True):
        if rise == 0.0 and m == 0.0 and n == 0.0:
            continue
        h = b - a
        square, cube = (3 * rise / h - 2 * m - n) / h, (m + n - 2 * rise / h) / h**2
        t = apply("min", apply("max", c, constant(a)), constant(b)) - float(a)
        pieces.append(t * (float(m) + t * (float(square) + t * float(cube))))
    if extend and slopes[-1]:
        pieces.append(constant(slopes[-1]) * (apply("max", c, constant(x[-1])) - float(x[-1])))
    return _sum(pieces)


def _sum(terms: list[Expression]) -> Expression:
    """The sum as a balanced tree."""
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return _sum(terms[:half]) + _sum(terms[half:])
