"""One march of a model through a protocol: its clock, its history, and steps with all that can happen in them."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mpi4py import MPI

from dfx_homog.errors import SolverFailure
from dfx_homog.io.history_file import HistoryFile
from dfx_homog.models import in_units
from dfx_homog.models.history import MORE_COLUMNS, Ledger, Row
from dfx_homog.models.marched import Marched
from dfx_homog.parameters.units import DIMENSIONLESS, Units
from dfx_homog.runfile import Run
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.events import bracket_event, event_width
from dfx_homog.solvers.newton import SolveInfo
from dfx_homog.solvers.timestepping import Quotient, TimeStep, euler, quotient
from dfx_homog.studies.checkpoints import Checkpoints
from dfx_homog.studies.outcome import March, Taken
from dfx_homog.studies.progress import Log
from dfx_homog.studies.stages import TOGETHER, Limit, Observed, Stage, stages, step_count

HALVINGS = 4  # times that a step is halved where Newton's method fails
UNCHANGED = 1e-12  # largest change of a row in which nothing changes any more
IDLE = 20  # such rows, after which a condition that is not met will never be
CHANGING = ("voltage", "T_mean", "c_e_min", "c_e_max", "soc_n", "soc_p")


@dataclass
class Clock:
    """Where a march is: with the model's state, all that the steps to come depend on. Checkpoints have it.

    time:  of the model's old state; index: of the last row; stage, start: the present stage and when it began
    leg:   time of the last moment that was hit, done: equal steps since then
    sizes: of the last steps of this stage, newest first; observed: V, I, T of the old state as far as limits ask
    size, error: of the step-size controller; idle: rows in which nothing has changed
    """

    time: float = 0.0
    index: int = 0
    stage: int = 0
    start: float = 0.0
    leg: float = 0.0
    done: int = 0
    sizes: list[float] = field(default_factory=list)
    observed: Observed = field(default_factory=dict)
    size: float = 0.0
    error: float = 0.0
    idle: int = 0


@dataclass(frozen=True)
class Hop:
    """A solved step whose new state is not yet accepted; limit: what it met, the step then ends there."""

    step: TimeStep
    info: SolveInfo
    limit: Limit | None = None


class Marching:
    """The state of a march.

    outputs: moments that steps end at besides those of the protocol; bounded: whether limits are looked at;
    followed: whether another march is to take the same steps, after a restart too; units: of the rows and messages
    """

    def __init__(
        self,
        model: Marched,
        run: Run,
        log: Log,
        label: str,
        keeper: Checkpoints | None,
        outputs: tuple[float, ...] = (),
        bounded: bool = True,
        followed: bool = False,
        units: Units = DIMENSIONLESS,
    ):
        self.units = units
        self.model, self.run, self.log, self.label, self.keeper = model, run, log, label, keeper
        self.outputs, self.bounded, self.followed = outputs, bounded, followed
        self.stages = stages(run.protocol)
        self.total = step_count(run)
        self.clock = Clock()
        self.out = March()
        self.tick = time.perf_counter()
        self._moments: tuple[int, tuple[float, ...]] = (-1, ())
        self._viewed = False  # whether a verbose log has the solver

    # beginning and checkpoints ---------------------------------------------------------------------------------------

    def begin(self, history: Path | None, control: Control | None = None) -> bool:
        """Initial state, or that of the checkpoint to go on from; returns whether there was one.

        control: what is applied first, default: what the protocol begins with
        """
        model, isothermal = self.model, self.run.parameters.isothermal
        facts = self.keeper.resume(model) if self.keeper else None
        columns = (*model.columns, *MORE_COLUMNS)
        if facts:
            self.file = HistoryFile(history, columns, model.comm, keep=facts["rows"])
            self.out.rows = self.file.kept
            self.out.krylov = list(facts["krylov"])
            self.out.end, self.out.stopped = facts["end"], facts["stopped"]
            self.out.rejected = facts["rejected"]
            self.out.taken = [Taken.from_json(step) for step in facts["taken"]]
            self.clock = Clock(**facts["clock"])
            self.ledger = Ledger(tuple(facts["lithium"]), isothermal=isothermal, **facts["ledger"])
            model.set_current(facts["current"])  # where Newton's method starts
            return True
        self.file = HistoryFile(history, columns, model.comm)
        self.ledger = Ledger(model.lithium(), isothermal=isothermal)
        info = model.switch_on(control or self.stages[0].control(0.0, 0.0))
        self.write(0.0, info or SolveInfo(0, [], 0.0), self.ledger.first(model.current))
        self.clock.observed = self.observe()
        return False

    def facts(self) -> dict[str, Any]:
        """What goes on after a checkpoint besides the model's state."""
        return {
            "time": self.clock.time,
            "current": self.model.current,
            "rows": len(self.out.rows),
            "krylov": list(self.out.krylov),
            "lithium": list(self.ledger.start),
            "ledger": self.ledger.largest(),
            "clock": asdict(self.clock),
            "end": self.out.end,
            "stopped": self.out.stopped,
            "rejected": self.out.rejected,
            "taken": [taken.to_json() for taken in self.out.taken] if self.followed else [],
        }

    # where the march is ----------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether the protocol has come to its end."""
        return self.clock.stage >= len(self.stages)

    @property
    def stage(self) -> Stage:
        """The present stage."""
        return self.stages[self.clock.stage]

    @property
    def limits(self) -> tuple[Limit, ...]:
        """What ends the present stage early."""
        return self.stage.limits if self.bounded and not self.over else ()

    def next_moment(self, after: float) -> float | None:
        """The next time that a step ends at; None if nothing is known to come."""
        clock, dt = self.clock, self.run.time.dt
        if self._moments[0] != clock.stage:
            self._moments = (clock.stage, self.stage.moments(clock.start, self.outputs, dt))
        moments = self._moments[1]
        position = bisect_right(moments, after + TOGETHER * dt)
        return moments[position] if position < len(moments) else None

    def observe(self) -> Observed:
        """V, I and largest T of the new state, as far as limits ask. Collective."""
        wanted = {limit.quantity for limit in self.limits}
        found: Observed = {}
        if "V" in wanted:
            found["V"] = self.model.voltage
        if "I" in wanted:
            found["I"] = self.model.current
        if "T" in wanted:
            found["T"] = self.model.extreme("T", MPI.MAX)
        return found

    # steps -----------------------------------------------------------------------------------------------------------

    def step_to(self, target: float, dt: float, rule: Callable[[float], Quotient] | None = None) -> TimeStep:
        """The step of size dt that ends at `target`; rule: its quotient as a function of its size."""
        clock = self.clock
        q = rule(dt) if rule else quotient(self.run.time.scheme, dt, clock.sizes)
        control = self.stage.control(target, clock.start)
        return TimeStep(clock.index + 1, target, dt, control, q, clock.stage)

    def hop(self, step: TimeStep, rule: Callable[[float], Quotient] | None = None) -> Hop:
        """Solve a step; where its new state is past a limit, a shorter one that ends just past it."""
        return self.within_limits(Hop(step, self.model.advance(step)), rule)

    @property
    def passed(self) -> bool:
        """Whether the new state is past a limit. Collective."""
        return bool(self.limits) and self._excess() > 0

    def _excess(self) -> float:
        observed = self.observe()
        return max(limit.excess(observed) for limit in self.limits)

    def within_limits(self, hop: Hop, rule: Callable[[float], Quotient] | None = None) -> Hop:
        """A solved step as it is, or if it went past a limit, repeated with other sizes until it ends just past it."""
        if not self.passed:
            return hop
        clock, last = self.clock, hop

        def excess(dt: float) -> float:
            nonlocal last
            shorter = self.step_to(clock.time + dt, dt, rule)
            last = Hop(shorter, self.model.advance(shorter))
            self.out.rejected += 1
            return self._excess()

        width = event_width(self.run.time.dt)
        low, below, high, above = 0.0, 0.0, hop.step.dt, self._excess()
        if clock.time > clock.start:
            below = max(limit.excess(clock.observed) for limit in self.limits)
        elif high > width:
            # just after a jump of what is applied: the old state does not tell on which side of the limit this one is
            found = excess(width)
            low, below, high, above = (0.0, 0.0, width, found) if found > 0 else (width, found, high, above)
        low, high = bracket_event(excess, low, below, high, above, width)
        if last.step.dt != high:
            excess(high)
        observed = self.observe()
        return replace(last, limit=next(limit for limit in self.limits if limit.excess(observed) > 0))

    def reach(self, step: TimeStep) -> Hop:
        """A step; where Newton's method fails, in 2, 4, … parts of Euler's, the last of them not yet accepted.

        Raises SolverFailure if that does not help; model and clock are then as they were before the step.
        """
        try:
            return self.hop(step)
        except SolverFailure as error:
            failure = error
        kept, clock = self.kept()
        for halvings in range(1, HALVINGS + 1):
            self.put_back(kept, clock)
            self.log.say(f"{self.label}, {self.at(step.time)}: {failure}; again in {2**halvings} parts")
            self.out.rejected += 1
            try:
                return self._in_parts(step, 2**halvings)
            except SolverFailure as error:
                failure = error
        self.model.begin_again()
        self.out.end = self.model.exhausted()  # as far as the smallest parts got
        self.put_back(kept, clock)
        raise SolverFailure(f"{self.label}, {self.at(step.time)} (step {step.index}): {failure}")

    def at(self, time: float) -> str:
        """A time in words, in the units of the run file."""
        return f"t = {self.units.text('time', time)}"

    def kept(self) -> tuple[dict[str, Any], Clock]:
        """Copies of the model's old states and of the clock."""
        tables = {name: table.values.copy() for name, table in self.model.state().items()}
        return tables, replace(self.clock, sizes=list(self.clock.sizes))

    def put_back(self, kept: dict[str, Any], clock: Clock) -> None:
        """Go back to what `kept` returned."""
        self.model.restore(kept)
        self.clock = replace(clock, sizes=list(clock.sizes))
        while self.out.taken and self.out.taken[-1].step.time > clock.time:
            self.out.taken.pop()

    def _in_parts(self, step: TimeStep, count: int) -> Hop:
        begin, dt = self.clock.time, step.dt / count
        total = SolveInfo(0, [], 0.0)
        for number in range(1, count + 1):
            target = begin + number * dt if number < count else step.time
            hop = self.hop(self._part(step, target, dt), euler)
            info = hop.info
            total = SolveInfo(total.newton + info.newton, total.krylov + info.krylov, info.residual)
            if number == count or hop.limit:
                return replace(hop, info=total)
            self.accept(hop.step, recorded=False)
        raise AssertionError("a step has at least one part")

    def _part(self, step: TimeStep, target: float, dt: float) -> TimeStep:
        """Part of a step; the march that follows another one takes what is applied from there."""
        control = self.stage.control(target, self.clock.start) if self.bounded else step.control
        return replace(step, time=target, dt=dt, control=replace(control, time=target), quotient=euler(dt))

    def accept(self, step: TimeStep, *, recorded: bool) -> None:
        """Make the new state the old one."""
        observed = self.observe()
        self.model.accept()
        clock = self.clock
        clock.time, clock.observed = step.time, observed
        clock.sizes = [step.dt, *clock.sizes][:2]
        self.out.taken.append(Taken(step, recorded))

    # rows ------------------------------------------------------------------------------------------------------------

    def write(self, t: float, info: SolveInfo, errors: Row) -> None:
        """A row of the history for the new state."""
        row = {"time": t, "current": self.model.current, **self.model.observe(), **errors}
        now = time.perf_counter()
        row |= {"newton": float(info.newton), "krylov": float(sum(info.krylov)), "seconds": now - self.tick}
        self.tick = now
        row = in_units.row(self.units, row)
        self.out.rows.append(row)
        self.file.add(row)

    def complete(self, hop: Hop) -> None:
        """Record and accept a step, and go on to the next stage if this one is over.

        Raises SolverFailure if nothing changes any more while the stage waits for a condition to be met.
        """
        step, info, model, clock = hop.step, hop.info, self.model, self.clock
        self.out.krylov += info.krylov
        self.write(step.time, info, self.ledger.errors(model.balance(), model.current))
        self.accept(step, recorded=True)
        clock.index += 1
        self._tell(hop)
        if hop.limit is not None and hop.limit.stop:
            self._stop(hop.limit)
        elif hop.limit is not None or self._at_end():
            self._next_stage()
        else:
            self._watch()

    def _at_end(self) -> bool:
        end = self.stage.end(self.clock.start)
        return self.bounded and end is not None and self.clock.time >= end - TOGETHER * self.run.time.dt

    def _next_stage(self) -> None:
        clock = self.clock
        clock.stage += 1
        clock.start = clock.leg = clock.time
        clock.done, clock.idle, clock.sizes = 0, 0, []

    def _stop(self, limit: Limit) -> None:
        value = self.units.text(limit.kind, self.clock.observed[limit.quantity], ".9g")
        now = self.units.text("time", self.clock.time, ".9g")
        self.out.end = f"{limit.stop}: {limit.said(self.units)}, {limit.quantity} = {value} at t = {now}"
        self.out.stopped = True
        self.log.say(f"{self.label} ends: {self.out.end}")
        self.clock.stage = len(self.stages)

    def _watch(self) -> None:
        if not self.bounded or self.stage.end(self.clock.start) is not None:
            return
        now, before = self.out.rows[-1], self.out.rows[-2]
        change = max(abs(now[c] - before[c]) / max(1.0, abs(now[c])) for c in CHANGING)
        self.clock.idle = self.clock.idle + 1 if change < UNCHANGED else 0
        if self.clock.idle >= IDLE:
            raise SolverFailure(
                f"{self.label}, {self.at(self.clock.time)}: nothing changes any more, and step {self.clock.stage + 1} "
                f"of the protocol waits for {' or '.join(limit.said(self.units) for limit in self.limits)}"
            )

    def _tell(self, hop: Hop) -> None:
        step, row = hop.step, self.out.rows[-1]
        self.log.detail(
            f"{self.label}, step {step.index}: Newton {hop.info.newton}, Krylov {hop.info.krylov}, "
            f"residual {hop.info.residual:.1e} ({hop.info.ended}), energy error {row['energy_error']:.1e}"
        )
        if self.log.verbose and not self._viewed:
            self._viewed = True
            for line in self.model.solver_view():
                self.log.detail(f"  {line}")
        seconds, volts = (self.units.symbol(kind) for kind in ("time", "voltage"))
        words = f"t = {row['time']:.4g} {seconds}".rstrip() + f"  V = {row['voltage']:.5f} {volts}".rstrip()
        if hop.limit is not None:
            words += f"  ({hop.limit.said(self.units)})"
        self.log.step(self.label, step.index, self.total, words)
