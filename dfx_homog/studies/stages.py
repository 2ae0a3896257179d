"""The protocol of a run file as stages: what is applied when, what ends it, and which moments steps end at."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from dfx_homog.parameters.expression import Expression
from dfx_homog.parameters.units import Units
from dfx_homog.runfile import Run
from dfx_homog.runfile.current_file import DriveCycle
from dfx_homog.runfile.protocol import Protocol, Step
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.timestepping import equal_steps

TOGETHER = 1e-9  # of dt: moments nearer than this are one
STOPS = (("v_min", "V", -1), ("v_max", "V", 1), ("T_max", "T", 1))

Observed = dict[str, float]  # "V", "I", "T" of a state


@dataclass(frozen=True)
class Limit:
    """quantity "V", "I" or "T" (its maximum) below (sense -1) or above (+1) a value.

    stop: the key of [protocol] that ends the run; None: it ends its protocol step
    """

    quantity: str
    sense: int
    value: float
    stop: str | None = None

    def excess(self, observed: Observed) -> float:
        """How far the limit is passed; <= 0: it is not."""
        return self.sense * (observed[self.quantity] - self.value)

    @property
    def kind(self) -> str:
        """Kind of the quantity, as parameters/units.py has them."""
        return {"V": "voltage", "I": "current", "T": "temperature"}[self.quantity]

    def said(self, units: Units) -> str:
        """The limit in the units of the run file."""
        return f"{self.quantity} {'<' if self.sense < 0 else '>'} {units.text(self.kind, self.value)}"


@dataclass(frozen=True)
class Stage:
    """One protocol step. Times are of the run; `start` is when the stage begins."""

    number: int
    step: Step
    limits: tuple[Limit, ...]

    def control(self, time: float, start: float) -> Control:
        """What is applied at a time."""
        kind, applied = self.step.kind, self.step.applied
        if isinstance(applied, DriveCycle):
            return Control("current", applied.current(time - start), time=time)
        if not isinstance(applied, Expression):
            return Control("power" if kind == "power" else "voltage", applied, time=time)
        if self.step.varies_in_place:
            return Control("current", 0.0, applied, time)
        return Control("current", float(applied.numpy(t=time)), time=time)

    def end(self, start: float) -> float | None:
        """When it ends at the latest; None without limit."""
        return None if self.step.longest is None else start + self.step.longest

    def moments(self, start: float, outputs: tuple[float, ...], dt: float) -> tuple[float, ...]:
        """Times in (start, end] that steps end at: rows of a file, outputs, the stage's own end."""
        end, together = self.end(start), TOGETHER * dt
        applied = self.step.applied
        rows = tuple(start + t for t in applied.times) if isinstance(applied, DriveCycle) else ()
        # they increase: only those of this stage are looked at
        outputs = outputs[bisect_right(outputs, start) : None if end is None else bisect_left(outputs, end)]
        found: list[float] = []
        for time in sorted((*rows, *outputs)):
            if time > (found[-1] if found else start) + together and (end is None or time < end - together):
                found.append(time)
        return (*found, *(() if end is None else (end,)))


def stages(protocol: Protocol) -> list[Stage]:
    """Stages of a protocol. Limits on what a stage holds itself are left out: they were checked with the run file."""
    stops = [
        Limit(quantity, sense, value, stop=key)
        for key, quantity, sense in STOPS
        if (value := getattr(protocol, key)) is not None
    ]
    found = []
    for number, step in enumerate(protocol.steps):
        own = [Limit(c.quantity, c.sense, c.value) for c in step.conditions]
        held = stops if step.voltage is None else [limit for limit in stops if limit.quantity != "V"]
        found.append(Stage(number, step, (*own, *held)))
    return found


def legs(run: Run, outputs: tuple[float, ...]) -> Iterator[tuple[float, float, int]]:
    """(start, end, equal steps) from moment to moment of a protocol all of whose lengths are known."""
    start = 0.0
    for stage in stages(run.protocol):
        end = stage.end(start)
        assert end is not None
        before = start
        for moment in stage.moments(start, outputs, run.time.dt):
            yield before, moment, equal_steps(moment - before, run.time.dt)
            before = moment
        start = end


def step_count(run: Run) -> int | None:
    """Number of time steps of a run file, at most; None where it is not known beforehand."""
    if run.time.adaptive or run.protocol.longest is None:
        return None
    return sum(count for _, _, count in legs(run, run.output.times or ()))


@dataclass(frozen=True)
class Moments:
    """Which states are written or compared as fields: steps by number, or moments that steps end at, and the ends."""

    numbers: frozenset[int]
    times: tuple[float, ...]
    dt: float

    def __contains__(self, state: tuple[int, float]) -> bool:
        """state: (number of the step, time)"""
        index, time = state
        return (
            index == 0
            or index in self.numbers
            or any(abs(time - t) <= 2 * TOGETHER * self.dt for t in self.times)
        )


def moments(run: Run, count: int, times: tuple[float, ...] = ()) -> Moments:
    """`count` evenly spread moments, the last one included, and given times.

    Where the steps are known beforehand the moments are steps, at most as many as there are, and change nothing;
    else they are times that steps end at. A protocol without limit in time has given times only.
    """
    known, end = step_count(run), run.protocol.longest
    numbers: frozenset[int] = frozenset()
    spread: tuple[float, ...] = ()
    if known is not None:
        count = min(known, count)
        numbers = frozenset(round(known * k / count) for k in range(1, count + 1))
    elif end is not None:
        spread = tuple(end * k / count for k in range(1, count + 1))
    return Moments(numbers, tuple(sorted({*spread, *times})), run.time.dt)
