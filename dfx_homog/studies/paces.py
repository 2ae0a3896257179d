"""How a march chooses its steps: equal ones, by the estimated error, or those of another march."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from dfx_homog.errors import SolverFailure
from dfx_homog.models.local_error import distance
from dfx_homog.solvers.newton import SolveInfo
from dfx_homog.solvers.stepsize import LARGEST_GROWTH, StepSize
from dfx_homog.solvers.timestepping import equal_steps, euler, predictor
from dfx_homog.studies.marching import Hop, Marching
from dfx_homog.studies.outcome import Taken

FAILURES = 8  # halvings in a row where Newton's method fails
DEEPEST_CUT = 0.01  # of a first step that is rejected


class Pace(ABC):
    """Takes a march from row to row."""

    def __init__(self, marching: Marching):
        self.m = marching

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.m.over

    @abstractmethod
    def go(self) -> None:
        """On to the next row. Raises SolverFailure; the model then has the state of the last row."""


class EqualSteps(Pace):
    """Every leg between two moments divided into equal steps not longer than dt."""

    def go(self) -> None:
        """One step of the leg."""
        m, clock, dt = self.m, self.m.clock, self.m.run.time.dt
        end = m.next_moment(clock.leg)
        if end is None:
            last, size = False, dt
        else:
            count = equal_steps(end - clock.leg, dt)
            last, size = clock.done + 1 == count, (end - clock.leg) / count
        target = end if last and end is not None else clock.leg + (clock.done + 1) * size
        hop = m.reach(m.step_to(target, size))
        clock = m.clock  # that of the step's parts, if there were any
        clock.leg, clock.done = (target, 0) if last else (clock.leg, clock.done + 1)
        m.complete(hop)


class ChosenSteps(Pace):
    """Steps whose estimated local error is below the tolerance.

    Backward Euler or variable-step BDF2; the error is estimated by Milne's device from an extrapolation through the
    states before, for the first steps after a jump of what is applied, which are Euler's, from one step against two
    of half its size.
    """

    def __init__(self, marching: Marching):
        super().__init__(marching)
        time, clock = marching.run.time, marching.clock
        self.order = 2 if time.scheme == "bdf2" else 1
        self.control = StepSize(time.dt, self.order, clock.size, clock.error)
        self.tolerance = time.tolerance

    def go(self) -> None:
        """One step; after a jump two, with one row."""
        m = self.m
        if not m.clock.sizes:
            self.control.restart()
            hop = self._first()
        else:
            hop = self._next()
        m.complete(hop)
        m.clock.size, m.clock.error = self.control.size, self.control.error

    def _aim(self) -> tuple[float, float]:
        """Size and end of the step to try: the size wanted, or what leads to the next moment in equal steps."""
        m, clock, size = self.m, self.m.clock, self.control.size
        if clock.sizes:
            size = min(size, LARGEST_GROWTH * clock.sizes[0])
        end = m.next_moment(clock.time)
        left = math.inf if end is None else end - clock.time
        if end is not None and left <= size * (1 + 1e-6):
            return left, end
        if left < 2 * size:
            size = 0.5 * left
        return size, clock.time + size

    def _next(self) -> Hop:
        failures = 0
        while True:
            dt, target = self._aim()
            try:
                step = self.m.step_to(target, dt)
                hop = Hop(step, self.m.model.advance(step))
                error = self._milne(dt)
                if error <= 1:
                    hop = self.m.within_limits(hop)
            except SolverFailure as failure:
                failures += 1
                self._failed(failure, dt, failures)
                continue
            if error <= 1:
                self.control.accept(dt, error)
                return hop
            self.control.reject(dt, error)
            self._take_back(f"estimated error {error:.2g} times the tolerance")

    def _milne(self, dt: float) -> float:
        quantities, p = self.m.model.memory(), predictor(dt, self.m.clock.sizes, self.order)
        predicted = [quantity.combined(p.weights) for quantity in quantities]
        return p.factor * distance(self.m.model.comm, quantities, predicted) / self.tolerance

    def _take_back(self, why: str) -> None:
        """Raises SolverFailure if no smaller step is worth trying: the solution ends here."""
        m = self.m
        m.model.begin_again()
        m.out.rejected += 1
        m.log.detail(f"{m.label}, t = {m.clock.time:g}: step taken back, {why}")
        if self.control.too_small:
            m.out.end = m.model.exhausted()
            raise SolverFailure(
                f"{m.label}, t = {m.clock.time:g} (step {m.clock.index + 1}): no step is small enough"
            )

    def _failed(self, failure: SolverFailure, dt: float, failures: int) -> None:
        """Newton's method failed: half the step, some times."""
        m = self.m
        if failures > FAILURES:
            m.model.begin_again()
            m.out.end = m.model.exhausted()
            raise SolverFailure(f"{m.label}, t = {m.clock.time:g} (step {m.clock.index + 1}): {failure}")
        self.control.reject(dt, math.inf)
        self._take_back(str(failure))

    def _first(self) -> Hop:
        """After a jump: two Euler steps of half the size, whose difference from one is their error.

        After the jump the solution moves like a power of t that is not known; the exponent of the error in the step
        size comes from two trials.
        """
        m, trials, failures = self.m, list[tuple[float, float]](), 0
        kept, clock = m.kept()
        while True:
            dt, target = self._aim()
            try:
                hop, error = self._halves(dt, target)
            except SolverFailure as failure:
                failures += 1
                m.put_back(kept, clock)
                self._failed(failure, dt, failures)
                continue
            if error <= 1:
                self.control.accept(dt, error, order=1)
                return hop
            m.put_back(kept, clock)
            trials.append((dt, error))
            self.control.shorten(dt, _cut(trials))
            self._take_back(f"first step, estimated error {error:.2g} times the tolerance")

    def _halves(self, dt: float, target: float) -> tuple[Hop, float]:
        """Two Euler steps in place of one and the error over the tolerance; the first is accepted, the last is not.

        Only one if a limit is met in it.
        """
        m = self.m
        kept, clock = m.kept()
        m.model.advance(m.step_to(target, dt, euler))
        whole = [quantity.states[0].copy() for quantity in m.model.memory()]
        m.model.begin_again()
        first = m.step_to(m.clock.time + 0.5 * dt, 0.5 * dt, euler)
        info = m.model.advance(first)
        over = m.passed
        m.accept(first, recorded=False)
        second = m.step_to(target, 0.5 * dt, euler)
        more = m.model.advance(second)
        error = distance(m.model.comm, m.model.memory(), whole) / self.tolerance
        both = SolveInfo(info.newton + more.newton, info.krylov + more.krylov, more.residual)
        if error > 1:
            return Hop(second, both), error
        if over:
            m.put_back(kept, clock)
            return m.hop(m.step_to(first.time, first.dt, euler), euler), error
        return m.within_limits(Hop(second, both), euler), error


def _cut(trials: list[tuple[float, float]]) -> float:
    """By which factor to shorten a first step after these trials (size, error over the tolerance)."""
    exponent, (dt, error) = 1.0, trials[-1]
    if len(trials) > 1:
        before, worse = trials[-2]
        exponent = min(max(math.log(worse / error) / math.log(before / dt), 0.5), 2.0)
    cut: float = 0.8 * error ** (-1 / exponent)
    return max(DEEPEST_CUT, cut)


class SameSteps(Pace):
    """The steps of another march, so that both can be compared; limits were its own."""

    def __init__(self, marching: Marching, taken: list[Taken]):
        super().__init__(marching)
        self._taken = [t for t in reversed(taken) if t.step.time > marching.clock.time]

    @property
    def over(self) -> bool:
        """Whether every step has been taken."""
        return not self._taken

    def go(self) -> None:
        """Up to the next step that the other march has recorded."""
        while True:
            taken = self._taken.pop()
            if taken.step.protocol_step != self.m.clock.stage:
                self.m.clock.sizes = []
                self.m.clock.stage = taken.step.protocol_step
            hop = self.m.reach(taken.step)
            if taken.recorded:
                self.m.complete(hop)
                return
            self.m.accept(hop.step, recorded=False)
