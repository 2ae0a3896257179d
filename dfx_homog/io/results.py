"""result.json and arrays for the report, written whole or not at all."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from dfx_homog.io.disk import below, on_rank_0, replace
from dfx_homog.timing import entry, timed


def plain(value: Any) -> Any:
    """numpy's numbers and arrays as JSON has them."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in result.json")


@timed("output")
def write_json(path: Path | None, data: dict[str, Any], comm: MPI.Comm) -> None:
    """Write on rank 0, through a temporary file: a reader never sees half a result. NaN is an error.

    path: None writes nothing. Collective. Raises SolverFailure on all ranks if the disk is full.
    """
    if path is not None:
        on_rank_0(comm, path, lambda: replace(path, _text(data).encode()))


def write_result(out: Path | None, data: dict[str, Any], comm: MPI.Comm) -> dict[str, Any]:
    """result.json of a command, with where its time went as "timing"; as `write_json`. Collective.

    Returns what it holds, or would hold, on all ranks.
    """
    found = stored({**data, "timing": entry(comm)}, comm)
    write_json(below(out, "result.json"), found, comm)
    return found


def stored(data: dict[str, Any], comm: MPI.Comm) -> dict[str, Any]:
    """What rank 0 writes, as it is when it is read again, on all ranks. Collective."""
    return dict(comm.bcast(json.loads(_text(data))))


def _text(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=1, default=plain, allow_nan=False) + "\n"


@timed("output")
def write_arrays(path: Path | None, arrays: Callable[[], dict[str, Any]], comm: MPI.Comm) -> None:
    """Write named arrays as .npz on rank 0; path: None writes nothing, and asks for no arrays.

    Collective. Raises SolverFailure on all ranks if the disk is full.
    """
    if path is None:
        return
    found = arrays()

    def write() -> None:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **found)
        replace(path, buffer.getvalue())

    on_rank_0(comm, path, write)
