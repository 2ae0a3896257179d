"""When a run writes checkpoints, where it goes on after a restart, and how it is stopped from outside."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpi4py import MPI

from dfx_homog.errors import StoppedEarly
from dfx_homog.io import checkpoint
from dfx_homog.models.transient import TransientModel
from dfx_homog.runfile import Run
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies.interrupt import Interrupt
from dfx_homog.studies.progress import Log

Json = dict[str, Any]


def fingerprint(run: Run) -> str:
    """Checksum of everything in a run file that changes the numbers; a checkpoint fits the same one only."""
    same = run.model_copy(update={"checkpoint": type(run.checkpoint)()})
    return hashlib.blake2b(same.to_toml().encode(), digest_size=16).hexdigest()


@dataclass(eq=False)
class Checkpoints:
    """Checkpoints of one model's run in `folder`.

    Use as a context manager around the run: SIGTERM and SIGUSR1 then end it after a checkpoint.
    """

    run: Run
    folder: Path
    opts: RunOptions
    comm: MPI.Intracomm
    log: Log

    def __enter__(self) -> Checkpoints:
        minutes = self.opts.wall_time
        self._interrupt = Interrupt(self.comm, None if minutes is None else 60.0 * minutes, self.opts.start)
        self._written: tuple[int, float] = (-1, time.perf_counter())
        return self

    def __exit__(self, *_: object) -> None:
        self._interrupt.close()

    def resume(self, model: TransientModel) -> Json | None:
        """Put the newest good checkpoint into the model: what `keep` was told then, None to start at t = 0.

        Raises BadInput if the checkpoint belongs to another run file. Collective.
        """
        if not self.opts.restart:
            return None
        found, damaged = checkpoint.newest(self.folder, self.comm)
        for sentence in damaged:
            self.log.say(sentence)
        if found is None:
            self.log.say("no checkpoint to go on from: starting at t = 0")
            return None
        if found.facts["run"] != fingerprint(self.run):
            raise self.run.problem("--restart", f"{self.folder} belongs to another run file")
        model.restore(checkpoint.load(found, self.comm, model.state()))
        self._written = (found.step, time.perf_counter())
        self.log.say(f"going on from step {found.step}, t = {found.facts['time']:g}")
        return found.facts

    def keep(self, model: TransientModel, step: int, last: bool, facts: Json) -> None:
        """After an accepted step: write a checkpoint if it is time.

        Raises StoppedEarly after a checkpoint if a signal or the wall-time limit asks for the end. Collective.
        """
        reason = None if last else self._interrupt.reason()
        if reason or last or self._due(step):
            self.write(model, step, facts)
        if reason:
            raise StoppedEarly(f"stopped by {reason} after step {step}; --restart goes on from there")

    def write(self, model: TransientModel, step: int, facts: Json) -> None:
        """Write a checkpoint of an accepted step, unless it is there. Collective."""
        if step == self._written[0]:
            return
        facts = {**facts, "run": fingerprint(self.run)}
        checkpoint.save(self.folder, self.comm, step, facts, model.state())
        self._written = (step, time.perf_counter())
        self.log.detail(f"checkpoint after step {step}")

    def _due(self, step: int) -> bool:
        policy, (written, at) = self.run.checkpoint, self._written
        if policy.every is not None and step - max(written, 0) >= policy.every:
            return True
        late = time.perf_counter() - at > 60.0 * policy.wall_minutes
        return bool(self.comm.bcast(late, root=0))
