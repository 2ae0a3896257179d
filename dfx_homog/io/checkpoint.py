"""Checkpoints: the state of a run, written in parallel, whole or not at all, on any number of ranks for any other.

A checkpoint is an HDF5 file of tables, whose rows are numbered independently of ranks, and beside it a JSON file with
the step, the time and a checksum of every byte of both. The JSON file comes last and makes the checkpoint valid: a run
killed at any moment leaves the checkpoints before it as they were, and a damaged one is found out and passed over.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from petsc4py import PETSc

from dfx_homog._compat import FloatArray
from dfx_homog.errors import SolverFailure
from dfx_homog.io.disk import check_room, flush, on_rank_0, replace
from dfx_homog.models.state import State, Table
from dfx_homog.solvers.layout import check_index

Json = dict[str, Any]
KEPT = 2  # newest checkpoints that stay on disk
CHUNK = 1 << 22  # bytes a checksum covers
HEADROOM = 1 << 16  # bytes that HDF5 adds to the numbers, generously
INTACT = "; earlier checkpoints are intact"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that has been read and found good: `facts` is what `save` was given, `path` its HDF5 file."""

    step: int
    facts: Json
    path: Path


def save(folder: Path, comm: MPI.Intracomm, step: int, facts: Json, state: State) -> None:
    """Write the checkpoint of a step and remove all but the newest KEPT. Collective.

    Raises SolverFailure where the disk is full or cannot be written; earlier checkpoints are intact then.
    """
    target = folder / f"step-{step:09d}.h5"
    part = target.with_suffix(".part")
    size = sum(t.count * t.values.shape[1] * 8 for t in state.values()) + HEADROOM
    on_rank_0(comm, part, lambda: _reserve(part, size), INTACT)
    try:
        _write(part, comm, state)
    except PETSc.Error as error:  # the room that was there a moment ago has gone
        raise SolverFailure(f"{part}: HDF5 cannot write it (PETSc error {error.ierr}){INTACT}") from None
    facts = {**facts, "step": step, "tables": _shapes(state)}
    facts |= {"bytes": part.stat().st_size, "checksum": _checksum(part, comm)}
    on_rank_0(comm, target, lambda: _publish(part, target, facts), INTACT)


def _write(part: Path, comm: MPI.Intracomm, state: State) -> None:
    viewer = PETSc.Viewer().createHDF5(str(part), "w", comm=comm)
    for name, table in state.items():
        vector = _vector(comm, table)
        vector.setName(name)
        viewer(vector)
        vector.destroy()
    viewer.destroy()


def newest(
    folder: Path, comm: MPI.Intracomm, before: int | None = None
) -> tuple[Checkpoint | None, list[str]]:
    """The newest good checkpoint, or None, and a sentence on every newer one that is damaged. Collective.

    before: only checkpoints of earlier steps than this
    """
    names = None
    if comm.rank == 0:
        good = (p.name for p in folder.glob("step-*.json") if before is None or p.name < f"step-{before:09d}")
        names = sorted(good, reverse=True)
    damaged: list[str] = []
    for name in comm.bcast(names, root=0):
        facts = comm.bcast(_facts(folder / name) if comm.rank == 0 else None, root=0)
        path = (folder / name).with_suffix(".h5")
        if isinstance(facts, dict) and _intact(path, facts, comm):
            return Checkpoint(int(facts["step"]), facts, path), damaged
        damaged.append(f"checkpoint {path.name} is damaged and not used")
    return None, damaged


def fits(checkpoint: Checkpoint, state: State) -> bool:
    """Whether a checkpoint has the tables of such a state."""
    return bool(checkpoint.facts["tables"] == _shapes(state))


def _shapes(state: State) -> Json:
    return {name: [table.count, table.values.shape[1]] for name, table in state.items()}


def load(checkpoint: Checkpoint, comm: MPI.Intracomm, like: State) -> dict[str, FloatArray]:
    """The tables of a checkpoint at the rows of `like`, on this communicator's ranks. Collective."""
    viewer = PETSc.Viewer().createHDF5(str(checkpoint.path), "r", comm=comm)
    found: dict[str, FloatArray] = {}
    for name, table in like.items():
        width = table.values.shape[1]
        vector = _empty(comm, table.count * width)
        vector.setName(name)
        vector.load(viewer)
        entries = _entries(table)
        here = PETSc.Vec().createSeq(len(entries))
        source = PETSc.IS().createGeneral(entries, comm=PETSc.COMM_SELF)
        scatter = PETSc.Scatter().create(vector, source, here, None)
        scatter.scatter(vector, here)
        found[name] = np.array(here.array_r).reshape(-1, width)
        for obj in (scatter, source, here, vector):
            obj.destroy()
    viewer.destroy()
    return found


def _entries(table: Table) -> NDArray[Any]:
    width = table.values.shape[1]
    entries: NDArray[Any] = (table.rows[:, None] * width + np.arange(width)).ravel().astype(PETSc.IntType)
    return entries


def _empty(comm: MPI.Intracomm, size: int) -> PETSc.Vec:
    check_index(size, "entries of a table of a checkpoint")
    vector = PETSc.Vec().createMPI(size, comm=comm)
    vector.set(0.0)
    return vector


def _vector(comm: MPI.Intracomm, table: Table) -> PETSc.Vec:
    """The table as one distributed vector in the order of its rows: every rank writes one contiguous piece."""
    vector = _empty(comm, table.count * table.values.shape[1])
    vector.setValues(_entries(table), np.ascontiguousarray(table.values).ravel())
    vector.assemble()
    return vector


def _reserve(part: Path, size: int) -> None:
    """Makes sure that the file will fit, while nothing is lost yet: HDF5 cannot recover from a full disk."""
    part.parent.mkdir(parents=True, exist_ok=True)
    for old in part.parent.glob("*.part"):  # of a run that was killed while it wrote
        old.unlink()
    check_room(part, size)


def _publish(part: Path, target: Path, facts: Json) -> None:
    """Renames the finished file, writes the JSON file that makes it valid, removes old checkpoints."""
    flush(part)
    os.replace(part, target)
    text = json.dumps(facts)
    digest = hashlib.blake2b(text.encode()).hexdigest()
    replace(target.with_suffix(".json"), json.dumps({"facts": text, "checksum": digest}).encode())
    flush(target.parent)
    for old in sorted(target.parent.glob("step-*.json"), reverse=True)[KEPT:]:
        old.unlink()
        old.with_suffix(".h5").unlink(missing_ok=True)


def _facts(path: Path) -> Json | None:
    """The content of a checkpoint's JSON file, None if it is not what was written."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        text = note["facts"]
        if hashlib.blake2b(text.encode()).hexdigest() != note["checksum"]:
            return None
        facts: Json = json.loads(text)
        return facts
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _intact(path: Path, facts: Json, comm: MPI.Intracomm) -> bool:
    try:
        good = path.stat().st_size == facts["bytes"]
    except OSError:
        good = False
    return bool(comm.allreduce(good, op=MPI.LAND)) and _checksum(path, comm) == facts["checksum"]


def _checksum(path: Path, comm: MPI.Intracomm) -> str:
    """One checksum of a file of which each rank reads every size-th chunk; the same on any number of ranks."""
    count = -(-path.stat().st_size // CHUNK)
    own = np.zeros((count, 16), dtype=np.uint8)
    for number, digest in _digests(path, range(comm.rank, count, comm.size)):
        own[number] = np.frombuffer(digest, dtype=np.uint8)
    total = np.empty_like(own)
    comm.Allreduce(own, total, op=MPI.BOR)
    return hashlib.blake2b(total.tobytes()).hexdigest()


def _digests(path: Path, numbers: range) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number in numbers:
            file.seek(number * CHUNK)
            yield number, hashlib.blake2b(file.read(CHUNK), digest_size=16).digest()
