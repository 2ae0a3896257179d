"""Tables as formulas: through their points, smooth, monotone, the same in every way out of an expression."""

from __future__ import annotations

import numpy as np
import pytest
import ufl
from test_expression import run_program
from ufl.algorithms.apply_derivatives import apply_derivatives

from dfx_homog.parameters.expression import Expression
from dfx_homog.parameters.sets import SETS
from dfx_homog.parameters.table import ACCURACY, MOST_KNOTS, RELATIVE, interpolate

GRAPHITE = Expression.parse(SETS["chen2020"].parameters["negative"]["ocp"])
X = np.array([0.0, 0.1, 0.15, 0.4, 0.7, 1.0])
Y = np.array([1.5, 0.6, 0.3, 0.2, 0.1, 0.05])


def test_goes_through_its_points_in_any_order() -> None:
    f, error = interpolate(X[::-1].tolist(), Y[::-1].tolist())
    assert error < 1e-15
    assert f.numpy(c=X) == pytest.approx(Y, abs=1e-15)


def test_is_smooth_and_monotone() -> None:
    f, _ = interpolate(X, Y, extend=True)
    c = np.linspace(-0.1, 1.1, 2401) + 1e-7
    assert (np.diff(f.numpy(c=c)) < 0).all()
    slope = f.diff("c").numpy(c=c)
    assert slope == pytest.approx((f.numpy(c=c + 1e-6) - f.numpy(c=c - 1e-6)) / 2e-6, abs=2e-3)
    around = [f.diff("c").numpy(c=X[1:-1] + side) for side in (-1e-9, 0.0, 1e-9)]
    assert around[0] == pytest.approx(around[2], rel=1e-5)
    assert around[1] == pytest.approx(around[2], rel=1e-5)


def test_goes_on_outside() -> None:
    straight, _ = interpolate(X, Y, extend=True)
    a, b, c = straight.numpy(c=[-0.2, -0.1, 0.0])
    assert a - b == pytest.approx(b - c)
    assert a > b + 0.1
    flat, _ = interpolate(X, Y)
    assert flat.numpy(c=[-1.0, 0.0, 1.0, 2.0]) == pytest.approx([1.5, 1.5, 0.05, 0.05], rel=1e-14)


@pytest.mark.parametrize("c", [-0.05, 0.0, 0.07, 0.15, 0.33, 0.7, 1.0, 1.02])
def test_the_same_in_numpy_ufl_and_program(c: float) -> None:
    """Values, and the slopes of UFL and of the tree; at knots too. (Native min and max: tests/test_particle.py.)"""
    f, _ = interpolate(X, Y, extend=True)
    value, slope = float(f.numpy(c=c)), float(f.diff("c").numpy(c=c))
    v = ufl.variable(ufl.as_ufl(c))
    assert float(f.ufl(c=c)) == pytest.approx(value, rel=1e-14)
    assert run_program(f, c, 0.0) == pytest.approx(value, rel=1e-14)
    assert float(apply_derivatives(ufl.diff(f.ufl(c=v), v))) == pytest.approx(slope, rel=1e-12)


def test_long_tables_are_thinned() -> None:
    x = np.linspace(0.005, 0.995, 2000)
    y = GRAPHITE.numpy(c=x)
    f, error = interpolate(x, y)
    assert np.abs(f.numpy(c=x) - y).max() == error <= ACCURACY * np.ptp(y)
    assert str(f).count("min") < 3 * 80
    assert Expression.parse(str(f)) == f


def test_values_over_orders_of_magnitude() -> None:
    x = np.linspace(0.0, 1.0, 300)
    y = 1e-14 * 10 ** (-4 * x)
    f, _ = interpolate(x, y, relative=True)
    assert (np.abs(f.numpy(c=x) / y - 1) <= RELATIVE * (1 + 1e-9)).all()
    assert (f.numpy(c=np.linspace(0, 1, 5001)) > 0).all()


def test_constant_table_is_a_number() -> None:
    f, error = interpolate([0.0, 0.5, 1.0], [0.3, 0.3, 0.3], extend=True)
    assert (str(f), error) == ("0.3", 0.0)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ([0.0], [1.0], "from 2 to"),
        ([0.0, 1.0], [1.0, 2.0, 3.0], "2 and 3"),
        ([0.0, 0.5, 0.5, 1.0], [3.0, 2.0, 1.0, 0.0], "same x twice"),
        ([0.0, float("nan")], [1.0, 2.0], "not finite"),
        (np.linspace(0, 1, 9 * MOST_KNOTS), np.sin(1e4 * np.linspace(0, 1, 9 * MOST_KNOTS)), "smooth it"),
    ],
)
def test_refused(x: list[float], y: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        interpolate(x, y)
    with pytest.raises(ValueError, match="not positive"):
        interpolate([0.0, 1.0], [1e-14, 0.0], relative=True)
