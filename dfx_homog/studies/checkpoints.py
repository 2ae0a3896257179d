"""When a run writes checkpoints, where it goes on after a restart, and how it is stopped from outside."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpi4py import MPI

from dfx_homog.errors import BadInput, StoppedEarly
from dfx_homog.io import checkpoint
from dfx_homog.models.marched import Marched
from dfx_homog.parameters.units import DIMENSIONLESS, Units
from dfx_homog.runfile import Run
from dfx_homog.runfile.identity import FREE, digest
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies.interrupt import Interrupt
from dfx_homog.studies.progress import Log
from dfx_homog.timing import timed
from dfx_homog.together import agreed

Json = dict[str, Any]


def fingerprint(run: Run, comm: MPI.Intracomm) -> str:
    """Checksum of what a run computes; a checkpoint fits the same one only. Collective. Raises BadInput."""
    return str(comm.bcast(agreed(comm, lambda: digest(run) if comm.rank == 0 else "")))


@dataclass(eq=False)
class Checkpoints:
    """Checkpoints of one model's run in `folder`; None: there are none.

    before: go on only from a checkpoint of an earlier step than this, because later ones miss what belongs to them
    notes:  what a study has found so far; every checkpoint has it as it was then, and `resume` brings it back
    units:  of messages
    """

    run: Run
    folder: Path | None
    opts: RunOptions
    comm: MPI.Intracomm
    log: Log
    interrupt: Interrupt
    before: int | None = None
    notes: Json = field(default_factory=dict)
    units: Units = DIMENSIONLESS

    def __post_init__(self) -> None:
        self._key = fingerprint(self.run, self.comm)
        self._written: tuple[int, float] = (-1, time.perf_counter())

    def resume(self, model: Marched) -> Json | None:
        """Put the newest good checkpoint into the model: what `keep` was told then, None to start at t = 0.

        Raises BadInput if the checkpoint belongs to another run file. Collective.
        """
        self.interrupt.begin()
        self._written = (-1, time.perf_counter())
        if not self.opts.restart or self.folder is None:
            return None
        found, damaged = checkpoint.newest(self.folder, self.comm, self.before)
        for sentence in damaged:
            self.log.say(sentence)
        if found is None:
            self.log.say(f"no checkpoint in {self.folder} to go on from: starting at t = 0")
            return None
        if found.facts.get("run") != self._key or not checkpoint.fits(found, model.state()):
            raise BadInput(
                f"--restart: {self.folder} belongs to another run file, model or version of dfx-homog (allowed: the "
                f"same run, where only [{'], ['.join(FREE)}] may differ)"
            )
        model.restore(checkpoint.load(found, self.comm, model.state()))
        self.notes.clear()
        self.notes.update(found.facts["notes"])
        self._written = (found.step, time.perf_counter())
        self.log.say(f"going on from step {found.step}, t = {self.units.text('time', found.facts['time'])}")
        return found.facts

    def keep(self, model: Marched, step: int, last: bool, facts: Json) -> None:
        """After an accepted step: write a checkpoint if it is time.

        Raises StoppedEarly after a checkpoint if a signal or the wall-time limit asks for the end. Collective.
        """
        reason = None if last else self.interrupt.reason()
        if reason or last or self._due(step):
            self.write(model, step, facts)
        if reason:
            raise StoppedEarly(f"stopped by {reason} after step {step}; --restart goes on from there")

    @timed("output")
    def write(self, model: Marched, step: int, facts: Json) -> None:
        """Write a checkpoint of an accepted step, unless it is there. Collective."""
        if self.folder is None or step == self._written[0]:
            return
        facts = {**facts, "run": self._key, "notes": self.notes}
        checkpoint.save(self.folder, self.comm, step, facts, model.state())
        self._written = (step, time.perf_counter())
        self.log.detail(f"checkpoint after step {step}")

    def _due(self, step: int) -> bool:
        policy, (written, at) = self.run.checkpoint, self._written
        if policy.every is not None and step - max(written, 0) >= policy.every:
            return True
        late = time.perf_counter() - at > 60.0 * policy.wall_minutes
        return bool(self.comm.bcast(late, root=0))
