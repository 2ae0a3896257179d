"""Implicit difference quotients for d_t, their local errors, and the division of time into equal steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dfx_homog.solvers.control import Control

#: Largest ratio of a step to the one before it at which BDF2 is taken. Zero-stable up to 1 + sqrt(2), Grigorieff,
#: Numer. Math. 42 (1983) 359; a step beyond is one of Euler's.
LARGEST_RATIO = 2.4


@dataclass(frozen=True)
class Quotient:
    """d_t u at the new time = a0 u + a1 u_n + a2 u_{n-1}; coefficients in 1/time.

    Euler: (1, -1, 0)/dt, order 1. BDF2, r the ratio of dt to the step before:
    ((1 + 2r)/(1 + r), -(1 + r), r^2/(1 + r))/dt, the derivative of the parabola through the three values, order 2.
    """

    a0: float
    a1: float
    a2: float


def euler(dt: float) -> Quotient:
    return Quotient(1 / dt, -1 / dt, 0.0)


def bdf2(dt: float, ratio: float = 1.0) -> Quotient:
    if ratio == 1.0:
        return Quotient(1.5 / dt, -2 / dt, 0.5 / dt)
    return Quotient((1 + 2 * ratio) / ((1 + ratio) * dt), -(1 + ratio) / dt, ratio**2 / ((1 + ratio) * dt))


def quotient(scheme: str, dt: float, sizes: Sequence[float]) -> Quotient:
    """The scheme's quotient for a step dt after steps of these sizes since the last jump, newest first."""
    if scheme == "bdf2" and sizes and dt <= LARGEST_RATIO * sizes[0]:
        # equal up to rounding of the times: the same numbers, and the same factorisations, as at a constant step
        return bdf2(dt) if math.isclose(dt, sizes[0], rel_tol=1e-9) else bdf2(dt, dt / sizes[0])
    return euler(dt)


@dataclass(frozen=True)
class Predictor:
    """Extrapolation u_P = sum w_i u_{n-i} to the new time, and what it says of the error: factor (u - u_P).

    With the polynomial through as many values as the corrector's order p + 1, both errors are proportional to
    d^(p+1) u/dt^(p+1) (Milne's device): factor = C_p/(C_p + C_P) for local errors C_p, -C_P of corrector, predictor.
    """

    weights: tuple[float, ...]
    factor: float


def predictor(dt: float, sizes: Sequence[float], order: int) -> Predictor:
    """For a step dt of Euler's method (order 1) or BDF2 (order 2) after `order` steps or more of these sizes."""
    h = sizes[0]
    if order == 1:
        return Predictor((1 + dt / h, -dt / h), dt / (2 * dt + h))
    # Lagrange's polynomials of the times 0, -h, -(h + g) at dt
    g = sizes[1]
    weights = (
        (dt + h) * (dt + h + g) / (h * (h + g)),
        -dt * (dt + h + g) / (h * g),
        dt * (dt + h) / ((h + g) * g),
    )
    ratio = dt / h
    corrector = dt * (1 + ratio) / (1 + 2 * ratio)
    return Predictor(weights, corrector / (corrector + dt + h + g))


@dataclass(frozen=True)
class TimeStep:
    """One step of a protocol: new time, step size, what is applied, quotient, and which protocol step it is in."""

    index: int
    time: float
    dt: float
    control: Control
    quotient: Quotient
    protocol_step: int


def equal_steps(length: float, dt: float) -> int:
    """The least number of equal steps through `length` that are not longer than dt."""
    return max(1, math.ceil(length / dt * (1 - 1e-9)))
