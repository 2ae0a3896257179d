"""Finished parts of a study, kept for a restart: numbers and arrays in a file with a checksum, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog.io.disk import on_rank_0, replace
from dfx_homog.io.results import plain
from dfx_homog.timing import timed

Json = dict[str, Any]
Arrays = dict[str, NDArray[Any]]
FACTS = "facts"  # name of the array that holds the JSON text
DIGEST = 32  # bytes


@timed("output")
def save(path: Path | None, comm: MPI.Comm, key: str, facts: Json, arrays: Arrays | None = None) -> None:
    """Write what rank 0 has. `key` says what it was computed from; path: None writes nothing. Collective.

    Raises SolverFailure where the disk is full or cannot be written.
    """
    if path is None:
        return

    def write() -> None:
        text = json.dumps({"key": key, "facts": facts}, default=plain).encode()
        buffer = io.BytesIO()
        named: dict[str, Any] = {**(arrays or {}), FACTS: np.frombuffer(text, dtype=np.uint8)}
        np.savez(buffer, **named)
        data = buffer.getvalue()
        replace(path, hashlib.blake2b(data, digest_size=DIGEST).digest() + data)

    on_rank_0(comm, path, write)


def load(path: Path | None, comm: MPI.Comm, key: str) -> tuple[Json, Arrays] | None:
    """What was kept, on all ranks; None if there is no such file, or it is damaged or of another key. Collective."""
    return None if path is None else comm.bcast(_read(path, key) if comm.rank == 0 else None, root=0)


def _read(path: Path, key: str) -> tuple[Json, Arrays] | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, data = content[:DIGEST], content[DIGEST:]
    if hashlib.blake2b(data, digest_size=DIGEST).digest() != digest:
        return None
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays = dict(file)
    note = json.loads(arrays.pop(FACTS).tobytes())
    return (note["facts"], arrays) if note["key"] == key else None
