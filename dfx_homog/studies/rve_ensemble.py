"""Samples dealt out to groups of ranks, each finished one on disk as a file of its own.

The files are all that groups say to one another while they work: rank 0 counts them for the progress lines, and a
group that fails leaves a note that stops the others after the sample that they are at. A file appears whole or not at
all, so that a study that was interrupted goes on from the samples that it has.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mpi4py import MPI

from dfx_homog.errors import BadInput, SolverFailure, StoppedEarly
from dfx_homog.io.results import write_json
from dfx_homog.studies.interrupt import Interrupt
from dfx_homog.studies.progress import Log
from dfx_homog.studies.rve_samples import Sample, deal, stages

Json = dict[str, Any]
PAUSE = 0.05  # seconds between looks at what the other groups do
STOP = "stop"  # file that tells the groups to start no further sample


class Solver(Protocol):
    """Solves samples on the communicator that it was made for."""

    def records(self, sample: Sample) -> list[Json]: ...


def read_sample(path: Path, digest: str) -> list[Json] | None:
    """Entries of a finished sample; None if there is no such file or it belongs to another input."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = isinstance(data, dict) and data.get("digest") == digest
    return data.get("records") if same else None


@dataclass
class Ensemble:
    """All samples of a study on the ranks of `comm`.

    folder   of the sample files, exists; None: samples are gathered in memory, and a failure is known at the end
    digests  by file name, what the samples were computed from
    wanted   ranks a sample; 0: chosen by size
    interrupt  asked before each sample, by its ranks
    """

    comm: MPI.Intracomm
    folder: Path | None
    samples: Sequence[Sample]
    digests: dict[str, str]
    wanted: int
    log: Log
    interrupt: Interrupt
    _seen: set[str] = field(default_factory=set)
    _found: dict[str, list[Json]] = field(
        default_factory=dict
    )  # without folder, by the first rank of each group

    def run(self, make_solver: Callable[[MPI.Intracomm], Solver]) -> list[Json]:
        """Entries of all samples in their order, on all ranks. Collective.

        Samples whose file is there are not computed again. Raises BadInput or SolverFailure on all ranks if a sample
        fails, StoppedEarly if samples are left when the run is to end.
        """
        finished: set[str] = set()
        if self.comm.rank == 0 and self.folder is not None:
            (self.folder / STOP).unlink(missing_ok=True)
            finished = {s.file_name for s in self.samples if self._read(s) is not None}
        finished = self.comm.bcast(finished)
        self._seen = set(finished)
        if finished:
            self.log.say(f"{len(finished)} of {len(self.samples)} samples are there already")
        todo = [s for s in self.samples if s.file_name not in finished]
        for ranks, some in stages(todo, self.comm.size, self.wanted):
            self._stage(ranks, some, make_solver)
        if self.folder is None:
            found: dict[str, list[Json]] = {
                k: v for part in self.comm.allgather(self._found) for k, v in part.items()
            }
            return [entry for s in self.samples for entry in found[s.file_name]]
        records: list[Json] = []
        if self.comm.rank == 0:
            records = [entry for s in self.samples for entry in self._read(s) or ()]
        records = self.comm.bcast(records)
        return records

    def _read(self, sample: Sample) -> list[Json] | None:
        assert self.folder is not None
        return read_sample(self.folder / sample.file_name, self.digests[sample.file_name])

    def _stage(
        self, ranks: int, samples: Sequence[Sample], make_solver: Callable[[MPI.Intracomm], Solver]
    ) -> None:
        """Samples that take the same number of ranks each."""
        groups = min(max(self.comm.size // ranks, 1), len(samples))
        mine = self.comm.rank * groups // self.comm.size  # neighbours work together
        group = self.comm.Split(mine, self.comm.rank)
        error: BadInput | SolverFailure | StoppedEarly | None = None
        self.log.say(f"{len(samples)} samples to solve, {groups} at a time, the largest ones first")
        try:
            solver = make_solver(group)
            for position in deal([s.cost for s in samples], groups)[mine]:
                if self._stopped(group):
                    break
                if reason := self.interrupt.reason(group):
                    raise StoppedEarly(f"stopped by {reason} between samples; --restart goes on from there")
                self._one(group, solver, samples[position])
        except (BadInput, SolverFailure, StoppedEarly) as found:  # all ranks of the group have it
            error = found
            if group.rank == 0 and self.folder is not None:
                (self.folder / STOP).touch()
        self._wait()
        group.Free()
        ends = [end for end in self.comm.allgather(error) if end is not None]
        for end in sorted(ends, key=lambda end: isinstance(end, StoppedEarly)):  # failures first
            raise end

    def _one(self, group: MPI.Intracomm, solver: Solver, sample: Sample) -> None:
        start = time.perf_counter()
        try:
            records = solver.records(sample)
        except (BadInput, SolverFailure) as error:
            raise type(error)(f"{sample.label}: {error}") from None
        data = {
            "digest": self.digests[sample.file_name],
            "ranks": group.size,
            "seconds": time.perf_counter() - start,
            "records": records,
        }
        if self.folder is None:
            self._found |= {sample.file_name: records} if group.rank == 0 else {}
            self._seen.add(sample.file_name)
            self.log.step("samples", len(self._seen), len(self.samples), sample.label)
            return
        write_json(self.folder / sample.file_name, data, group)
        self._progress()

    def _stopped(self, group: MPI.Intracomm) -> bool:
        if self.folder is None:
            return False
        stopped: bool = group.bcast((self.folder / STOP).exists() if group.rank == 0 else False)
        return stopped

    def _progress(self) -> None:
        """A line for each sample that is finished, on rank 0."""
        folder = self.folder
        if self.comm.rank != 0 or folder is None:
            return
        new = [s for s in self.samples if s.file_name not in self._seen and (folder / s.file_name).exists()]
        for sample in new:
            if self._read(sample) is None:
                continue  # of an earlier input, not written yet
            self._seen.add(sample.file_name)
            self.log.step("samples", len(self._seen), len(self.samples), sample.label)

    def _wait(self) -> None:
        """Until all groups are done; rank 0 tells how far they are."""
        request = self.comm.Ibarrier()
        while not request.Test():
            self._progress()
            time.sleep(PAUSE)
        self._progress()
