"""What a run in time leaves behind: its rows, its steps and the numbers of result.json."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from dfx_homog.models.history import Row
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.timestepping import Quotient, TimeStep


@dataclass(frozen=True)
class Taken:
    """A step that was accepted; recorded: whether its new state is a row of the history."""

    step: TimeStep
    recorded: bool

    def to_json(self) -> dict[str, Any]:
        """For a checkpoint; `from_json` takes it. What is applied must be the same all over the collector."""
        control = {"kind": self.step.control.kind, "value": self.step.control.value}
        return {**asdict(self.step), "control": control, "recorded": self.recorded}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Taken:
        """What `to_json` gave."""
        entries = {**found, "quotient": Quotient(**found["quotient"])}
        recorded = entries.pop("recorded")
        return cls(
            TimeStep(**entries | {"control": Control(**found["control"], time=found["time"])}), recorded
        )


@dataclass
class March:
    """Result of a run in time.

    rows:  history, the first at t = 0; krylov: Krylov iterations of every Newton step
    end:   why it ended before the end of the protocol, None if it did not; stopped: one of the protocol's own limits
    taken: every step, for another model to follow; rejected: steps that were tried and taken back
    """

    rows: list[Row] = field(default_factory=list)
    krylov: list[int] = field(default_factory=list)
    seconds: float = 0.0
    end: str | None = None
    stopped: bool = False
    taken: list[Taken] = field(default_factory=list)
    rejected: int = 0

    def checks(self) -> dict[str, Any]:
        """Largest conservation errors and iteration counts over the run."""
        steps = self.rows[1:]
        return {
            "lithium_error": max(r["lithium_error"] for r in self.rows),
            "charge_error": max((r["charge_error"] for r in steps), default=0.0),
            "charge_error_run": max((r["charge_error_run"] for r in steps), default=0.0),
            "energy_error": max((r["energy_error"] for r in steps), default=0.0),
            "newton_max": max((int(r["newton"]) for r in steps), default=0),
            "krylov_max": max(self.krylov, default=0),
            "krylov_mean": sum(self.krylov) / max(sum(r["newton"] for r in steps), 1),
            "rejected": self.rejected,
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
