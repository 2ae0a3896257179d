"""A model through a protocol: time steps, history rows, what the checks found."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dfx_homog.errors import SolverFailure
from dfx_homog.io.history_file import HistoryFile
from dfx_homog.models.history import Ledger, Row
from dfx_homog.models.transient import TransientModel
from dfx_homog.runfile import Run
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.newton import SolveInfo
from dfx_homog.solvers.timestepping import TimeStep, euler, time_steps
from dfx_homog.studies.checkpoints import Checkpoints
from dfx_homog.studies.progress import Log

HALVINGS = 4  # times that a step is halved where Newton's method fails
MOMENTS = 10  # states that are written or compared as fields, the last step included


def protocol_steps(run: Run) -> list[TimeStep]:
    """All time steps of a run file."""
    protocol = [(Control("current", s.current), s.duration) for s in run.protocol.steps]
    return list(time_steps(protocol, run.time.dt, run.time.scheme))


def step_count(run: Run) -> int:
    """Number of time steps of a run file."""
    return len(protocol_steps(run))


def moments(steps: int) -> set[int]:
    """At most MOMENTS step numbers, evenly spread, the last one included."""
    count = min(steps, MOMENTS)
    return {round(steps * k / count) for k in range(1, count + 1)}


@dataclass
class March:
    """Result of a run in time.

    rows: history, the first at t = 0; krylov: Krylov iterations of every Newton step
    end:  what ran out before the end of the protocol, None if nothing did
    """

    rows: list[Row] = field(default_factory=list)
    krylov: list[int] = field(default_factory=list)
    seconds: float = 0.0
    end: str | None = None

    def checks(self) -> dict[str, Any]:
        """Largest conservation errors and iteration counts over the run."""
        steps = self.rows[1:]
        return {
            "lithium_error": max(r["lithium_error"] for r in self.rows),
            "charge_error": max((r["charge_error"] for r in steps), default=0.0),
            "energy_error": max((r["energy_error"] for r in steps), default=0.0),
            "newton_max": max((int(r["newton"]) for r in steps), default=0),
            "krylov_max": max(self.krylov, default=0),
            "krylov_mean": sum(self.krylov) / max(len(self.krylov), 1),
        }

    def result(self, dofs: int, ranks: int) -> dict[str, Any]:
        """result.json of a single run."""
        return {
            "dofs": dofs,
            "ranks": ranks,
            "steps": len(self.rows) - 1,
            "seconds": self.seconds,
            "ended_early": self.end,
            "final": json_row(self.rows[-1]),
            "checks": json_row(self.checks()),
        }


def json_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row for JSON: null for what is not defined (energy_error of an isothermal run)."""
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}


class _Marching:
    """One march: history, conservation and progress of a model that goes through the steps of a protocol."""

    def __init__(self, model: TransientModel, run: Run, log: Log, label: str, keeper: Checkpoints | None):
        self.model, self.run, self.log, self.label, self.keeper = model, run, log, label, keeper
        self.out = March()
        self.steps = protocol_steps(run)
        self.split = (
            False  # whether the last step was done in parts, so that a multistep scheme has no history
        )
        self.tick = time.perf_counter()

    def begin(self, history: Path) -> int:
        """Initial state, or that of the checkpoint to go on from; returns the number of its step."""
        model, isothermal = self.model, self.run.parameters.isothermal
        facts = self.keeper.resume(model) if self.keeper else None
        if facts:
            self.file = HistoryFile(history, model.columns, model.comm, keep=facts["rows"])
            self.out.rows = self.file.kept
            self.out.krylov = list(facts["krylov"])
            self.split = facts["split"]
            self.ledger = Ledger(
                tuple(facts["lithium"]), isothermal=isothermal, largest_term=facts["largest_term"]
            )
            return int(facts["step"])
        self.file = HistoryFile(history, model.columns, model.comm)
        self.ledger = Ledger(model.lithium(), isothermal=isothermal)
        info = model.switch_on(self.steps[0].control)
        self.record(0.0, info or SolveInfo(0, [], 0.0), self.ledger.first())
        return 0

    def record(self, t: float, info: SolveInfo, errors: Row) -> None:
        row = {"time": t, "current": self.model.current, **self.model.observe(), **errors}
        now = time.perf_counter()
        row |= {"newton": float(info.newton), "krylov": float(sum(info.krylov)), "seconds": now - self.tick}
        self.tick = now
        self.out.rows.append(row)
        self.file.add(row)

    def facts(self, t: float) -> dict[str, Any]:
        """What goes on after a checkpoint besides the model's state."""
        return {
            "time": t,
            "rows": len(self.out.rows),
            "krylov": list(self.out.krylov),
            "lithium": list(self.ledger.start),
            "largest_term": self.ledger.largest_term,
            "split": self.split,
        }

    def go(self, step: TimeStep) -> None:
        """One step of the protocol: solved, recorded, accepted."""
        if self.split:
            step = replace(step, quotient=euler(step.dt))
        info = self.advance(step)
        self.out.krylov += info.krylov
        errors = self.ledger.errors(self.model.balance(), self.model.current)
        self.record(step.time, info, errors)
        self.model.accept()
        row = self.out.rows[-1]
        self.log.detail(
            f"{self.label}, step {step.index}: Newton {info.newton}, Krylov {info.krylov}, "
            f"residual {info.residual:.1e}, energy error {row['energy_error']:.1e}"
        )
        self.log.step(
            self.label, step.index, len(self.steps), f"t = {step.time:.4g}  V = {row['voltage']:.5f}"
        )

    def advance(self, step: TimeStep) -> SolveInfo:
        """The step; where Newton's method fails, in 2, 4, … parts.

        Raises SolverFailure if that does not help; the model has the state before the step then.
        """
        self.split = False
        try:
            return self.model.advance(step)
        except SolverFailure as error:
            failure = error
        self.split = True
        kept = {name: table.values.copy() for name, table in self.model.state().items()}
        for halvings in range(1, HALVINGS + 1):
            self.model.restore(kept)
            self.log.say(f"{self.label}, t = {step.time:g}: {failure}; again in {2**halvings} parts")
            try:
                return self.in_parts(step, 2**halvings)
            except SolverFailure as error:
                failure = error
        self.model.restore({name: table.values for name, table in self.model.state().items()})
        self.out.end = self.model.exhausted()  # as far as the smallest parts got
        self.model.restore(kept)
        raise SolverFailure(f"{self.label}, t = {step.time:g} (step {step.index}): {failure}")

    def in_parts(self, step: TimeStep, count: int) -> SolveInfo:
        """A step as `count` Euler steps, all but the last accepted."""
        total = SolveInfo(0, [], 0.0)
        dt = step.dt / count
        for number in range(1, count + 1):
            now = step.time - step.dt + number * dt
            control = replace(step.control, time=now)
            part = replace(step, time=now, dt=dt, control=control, quotient=euler(dt))
            info = self.model.advance(part)
            total = SolveInfo(total.newton + info.newton, total.krylov + info.krylov, info.residual)
            if number < count:
                self.model.accept()
        return total


def march(
    model: TransientModel,
    run: Run,
    history: Path,
    log: Log,
    label: str,
    on_state: Callable[[int, float], None] | None = None,
    keeper: Checkpoints | None = None,
) -> March:
    """Run the protocol. `on_state(index, time)` sees every accepted state, the initial one included.

    With `keeper` checkpoints are written, and a restart goes on from the newest.
    Ends before a step that cannot be done because a particle is full or empty or the electrolyte depleted.
    Raises SolverFailure with the time at which the solver gave up; history and state up to there are on disk.
    Raises StoppedEarly if the keeper is told to stop.
    """
    start = time.perf_counter()
    marching = _Marching(model, run, log, label, keeper)
    done = marching.begin(history)
    last = len(marching.steps)
    try:
        if done == 0 and on_state:
            on_state(0, 0.0)
        if keeper and done == 0:
            keeper.keep(model, 0, last=False, facts=marching.facts(0.0))
        for step in marching.steps[done:]:
            before = marching.facts(step.time - step.dt)
            try:
                marching.go(step)
            except SolverFailure:
                if keeper:
                    keeper.write(model, step.index - 1, before)
                if marching.out.end is None:
                    raise
                log.say(f"{label} ends at t = {before['time']:g}: {marching.out.end}")
                break
            if on_state:
                on_state(step.index, step.time)
            if keeper:
                keeper.keep(model, step.index, last=step.index == last, facts=marching.facts(step.time))
    finally:
        marching.file.close()
    marching.out.seconds = time.perf_counter() - start
    return marching.out
