"""Time steps through a protocol, for several tests."""

from __future__ import annotations

from dataclasses import replace

from dfx_homog.solvers.control import Control
from dfx_homog.solvers.timestepping import Quotient, TimeStep, equal_steps, quotient


def step(index: int, dt: float, current: float, quotient: Quotient) -> TimeStep:
    return TimeStep(index, index * dt, dt, Control("current", current), quotient, 0)


def time_steps(protocol: list[tuple[Control, float]], dt: float, scheme: str) -> list[TimeStep]:
    """Steps through (control, duration) pairs, each divided into equal ones; BDF2 starts each with an Euler step."""
    steps: list[TimeStep] = []
    start = 0.0
    for number, (control, duration) in enumerate(protocol):
        count = equal_steps(duration, dt)
        size = duration / count
        for k in range(count):
            time = start + (k + 1) * size
            q = quotient(scheme, size, [size] if k else [])
            steps.append(TimeStep(len(steps) + 1, time, size, replace(control, time=time), q, number))
        start += duration
    return steps
