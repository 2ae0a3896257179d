"""A model through a protocol: time steps, history rows, what the checks found."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dfx_homog.models.history import COLUMNS, Ledger, Row
from dfx_homog.models.transient import TransientModel
from dfx_homog.runfile import Run
from dfx_homog.solvers.timestepping import TimeStep, time_steps
from dfx_homog.studies.progress import Log

MOMENTS = 10  # states that are written or compared as fields, the last step included


def protocol_steps(run: Run) -> list[TimeStep]:
    """All time steps of a run file."""
    protocol = [(s.current, s.duration) for s in run.protocol.steps]
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
    """

    rows: list[Row] = field(default_factory=list)
    krylov: list[int] = field(default_factory=list)
    seconds: float = 0.0

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
            "final": json_row(self.rows[-1]),
            "checks": json_row(self.checks()),
        }


def json_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row for JSON: null for what is not defined (energy_error of an isothermal run)."""
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}


class HistoryFile:
    """history.csv, one row at a time, so that a running study can be looked at; written by rank 0."""

    def __init__(self, path: Path, active: bool):
        self._file = path.open("w", encoding="utf-8", newline="") if active else None
        self._writer = csv.writer(self._file) if self._file else None
        if self._writer:
            self._writer.writerow(COLUMNS)

    def add(self, row: Row) -> None:
        if self._writer and self._file:
            self._writer.writerow([f"{row[c]:.15g}" for c in COLUMNS])
            self._file.flush()

    def close(self) -> None:
        if self._file:
            self._file.close()


def march(
    model: TransientModel,
    run: Run,
    history: Path,
    log: Log,
    label: str,
    on_state: Callable[[int, float], None] | None = None,
) -> March:
    """Run the protocol. `on_state(index, time)` sees every accepted state, the initial one included.

    Raises SolverFailure with the time at which the solver gave up; the history up to there is on disk.
    """
    from dfx_homog.errors import SolverFailure

    out = March()
    file = HistoryFile(history, model.comm.rank == 0)
    ledger = Ledger(model.lithium(), isothermal=run.parameters.isothermal)
    steps = protocol_steps(run)
    first = run.protocol.steps[0].current
    start = tick = time.perf_counter()

    def record(t: float, current: float, newton: int, krylov: list[int], *, step: bool) -> None:
        nonlocal tick
        row = {"time": t, "current": current, **model.observe()}
        row |= ledger.errors(model.balance(), current) if step else ledger.first()
        now = time.perf_counter()
        row |= {"newton": float(newton), "krylov": float(sum(krylov)), "seconds": now - tick}
        tick = now
        out.rows.append(row)
        file.add(row)

    try:
        info = model.switch_on(first)
        record(0.0, first, info.newton if info else 0, info.krylov if info else [], step=False)
        if on_state:
            on_state(0, 0.0)
        for step in steps:
            try:
                info = model.advance(step)
            except SolverFailure as error:
                raise SolverFailure(f"{label}, t = {step.time:g} (step {step.index}): {error}") from error
            out.krylov += info.krylov
            record(step.time, step.current, info.newton, info.krylov, step=True)
            model.accept()
            if on_state:
                on_state(step.index, step.time)
            row = out.rows[-1]
            log.detail(
                f"{label}, step {step.index}: Newton {info.newton}, Krylov {info.krylov}, "
                f"residual {info.residual:.1e}, energy error {row['energy_error']:.1e}"
            )
            log.step(label, step.index, len(steps), f"t = {step.time:.4g}  V = {row['voltage']:.5f}")
    finally:
        file.close()
    out.seconds = time.perf_counter() - start
    return out
