"""Variable-step difference quotients, error estimates, the step-size controller and the search for events."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from dfx_homog.solvers.events import EVENT_WIDTH, bracket_event
from dfx_homog.solvers.stepsize import LARGEST_GROWTH, RUNG, SAFETY, StepSize
from dfx_homog.solvers.timestepping import bdf2, equal_steps, euler, predictor, quotient


@pytest.mark.parametrize("ratio", [0.01, 0.5, 1.0, 1.7, 2.4])
def test_variable_bdf2_is_exact_for_parabolas(ratio: float) -> None:
    t, dt = 0.7, 0.1
    q = bdf2(dt, ratio)
    for degree in range(3):
        found = q.a0 * t**degree + q.a1 * (t - dt) ** degree + q.a2 * (t - dt - dt / ratio) ** degree
        assert found == pytest.approx(degree * t ** (degree - 1), abs=1e-9 / ratio)


def test_which_quotient() -> None:
    assert quotient("bdf2", 0.1, []) == quotient("backward-euler", 0.1, [0.1]) == euler(0.1)
    assert quotient("bdf2", 0.1, [0.1 * (1 + 1e-12)]) == bdf2(0.1)
    assert quotient("bdf2", 0.1, [0.05]) == bdf2(0.1, 2.0)
    assert quotient("bdf2", 0.1, [0.04]) == euler(0.1)  # not zero-stable
    assert [equal_steps(length, 0.02) for length in (0.1, 0.11, 0.01, 0.02 * 7, 0.3)] == [5, 6, 1, 7, 15]


@pytest.mark.parametrize("order", [1, 2])
def test_predictor_and_error_for_the_next_power(order: int) -> None:
    """The extrapolation is exact up to t^order; for t^(order + 1) the estimate is the corrector's error itself."""
    dt, sizes = 0.13, [0.1, 0.07]
    times = np.cumsum([0.4, sizes[1], sizes[0], dt])[::-1]  # new, old, older, oldest
    p = predictor(dt, sizes, order)
    for degree in range(order + 1):
        assert np.dot(p.weights, times[1 : 2 + order] ** degree) == pytest.approx(times[0] ** degree)
    power = order + 1
    q = quotient("bdf2" if order == 2 else "backward-euler", dt, sizes)
    known = q.a1 * times[1] ** power + (q.a2 * times[2] ** power if order == 2 else 0.0)
    corrected = (power * times[0] ** (power - 1) - known) / q.a0
    predicted = np.dot(p.weights, times[1 : 2 + order] ** power)
    assert p.factor * (corrected - predicted) == pytest.approx(corrected - times[0] ** power)


def integrate(
    rate: Callable[[float], float], jacobian: float, u: float, end: float, tolerance: float, dt: float
) -> tuple[int, int, float]:
    """u' = jacobian u + rate(t) by variable-step BDF2: steps, rejected ones, final value."""
    control = StepSize(dt, 2)
    times, values, rejected = [0.0], [u], 0

    def solve(t: float, q: object, values: list[float]) -> float:
        a0, a1, a2 = q.a0, q.a1, q.a2  # type: ignore[attr-defined]
        older = values[-2] if len(values) > 1 else 0.0
        return (rate(t) - a1 * values[-1] - a2 * older) / (a0 - jacobian)

    for k in (1, 2):  # the start is not what is tested
        times.append(k * 1e-4)
        values.append(solve(times[-1], euler(1e-4), values[-1:]))
    while times[-1] < end * (1 - 1e-12):
        sizes = [b - a for a, b in itertools.pairwise(times[-3:])][::-1]
        step = min(control.size, LARGEST_GROWTH * sizes[0], end - times[-1])
        t = times[-1] + step
        new = solve(t, quotient("bdf2", step, sizes), values)
        p = predictor(step, sizes, 2)
        error = p.factor * abs(new - np.dot(p.weights, values[-1:-4:-1])) / tolerance
        if error > 1:
            control.reject(step, error)
            rejected += 1
            continue
        control.accept(step, error)
        times.append(t)
        values.append(new)
    return len(times), rejected, values[-1]


def test_error_follows_the_tolerance() -> None:
    """A stiff linear problem with a transient: few rejections, error as tolerance^(2/3), steps as tolerance^(-1/3)."""

    def rate(t: float) -> float:
        return 50.0 * math.cos(t) - math.sin(t)

    tolerances = [10.0**-k for k in (3, 4, 5, 6, 7)]
    found = [integrate(rate, -50.0, 0.0, 2.0, tol, 1e-3) for tol in tolerances]
    counts = np.array([f[0] for f in found])
    errors = np.array([abs(f[2] - math.cos(2.0)) for f in found])
    assert all(rejected <= 0.1 * count for count, rejected, _ in found)
    assert np.all(errors < 3 * np.array(tolerances) ** (2 / 3))
    slopes = [np.polyfit(np.log(tolerances), np.log(v), 1)[0] for v in (errors, counts)]
    assert slopes == pytest.approx([2 / 3, -1 / 3], abs=0.1)


def test_sizes_stay_on_a_ladder_and_change_only_when_worth_it() -> None:
    control = StepSize(0.1, 2)
    control.accept(0.1, 0.7)
    assert control.size == 0.1  # next to nothing to gain
    control.accept(0.1, 1e-3)
    assert control.size == pytest.approx(0.1 * LARGEST_GROWTH)
    control.accept(0.05, 0.5)  # cut short at a moment
    assert control.size == pytest.approx(0.2)
    control.reject(0.2, 3.0)
    assert math.log(control.size / 0.1, RUNG) == pytest.approx(round(math.log(control.size / 0.1, RUNG)))
    assert 0.2 / RUNG**4 < control.size <= 0.2 * SAFETY * 3.0 ** (-1 / 3)
    control.reject(control.size, math.inf)
    assert control.size < 0.075 and not control.too_small
    for _ in range(60):
        control.reject(control.size, 1e9)
    assert control.too_small
    control.restart()
    assert (control.size, control.error) == (0.1, 0.0)


@pytest.mark.parametrize(
    ("excess", "most"),
    [
        (lambda t: t - 0.3, 3),
        (lambda t: math.sqrt(t) - math.sqrt(0.3), 14),
        (lambda t: math.expm1(3 * (t - 0.3)), 14),
        (lambda t: max(t - 0.3, 5 * (t - 0.6)), 14),
        (lambda t: math.expm1(40 * (t - 0.3)), 75),
        (lambda t: -math.expm1(-40 * (t - 0.3)), 75),
        (lambda t: math.copysign(abs(t - 0.3) ** (1 / 3), t - 0.3), 75),
        (lambda t: (t - 0.3) ** 3, 75),
        (lambda t: 1.0 if t > 0.3 else -1e-9, 75),
    ],
)
def test_events_are_bracketed(excess: Callable[[float], float], most: int) -> None:
    trials: list[float] = []

    def counted(t: float) -> float:
        trials.append(t)
        return excess(t)

    low, high = bracket_event(counted, 0.0, excess(0.0), 1.0, excess(1.0))
    assert 0 < high - low <= EVENT_WIDTH
    assert excess(low) <= 0 < excess(high) and low <= 0.3 <= high
    assert len(trials) <= most
