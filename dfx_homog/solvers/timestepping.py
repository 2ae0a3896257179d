"""Implicit difference quotients for d_t and the walk through a protocol."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from dfx_homog.solvers.control import Control


@dataclass(frozen=True)
class Quotient:
    """d_t u at the new time = a0 u + a1 u_n + a2 u_{n-1}; coefficients in 1/time.

    Euler: (1, -1, 0)/dt, order 1. BDF2 at constant step: (3/2, -2, 1/2)/dt, order 2.
    """

    a0: float
    a1: float
    a2: float


def euler(dt: float) -> Quotient:
    return Quotient(1 / dt, -1 / dt, 0.0)


def bdf2(dt: float) -> Quotient:
    return Quotient(1.5 / dt, -2 / dt, 0.5 / dt)


@dataclass(frozen=True)
class TimeStep:
    """One step of a protocol: new time, step size, what is applied, quotient, and which protocol step it is in."""

    index: int
    time: float
    dt: float
    control: Control
    quotient: Quotient
    protocol_step: int


def time_steps(protocol: list[tuple[Control, float]], dt: float, scheme: str) -> Iterator[TimeStep]:
    """Steps through (control, duration) pairs, dt shrunk so that each duration is a whole number of steps.

    BDF2 starts with one Euler step at every protocol step: after a jump of what is applied the solution moves like
    sqrt(t), and the old history is of no use.
    """
    start, index = 0.0, 0
    for number, (control, duration) in enumerate(protocol):
        count = max(1, math.ceil(duration / dt * (1 - 1e-9)))
        step = duration / count
        for k in range(count):
            quotient = bdf2(step) if scheme == "bdf2" and k > 0 else euler(step)
            index += 1
            time = start + (k + 1) * step
            yield TimeStep(index, time, step, replace(control, time=time), quotient, number)
        start += duration
