"""result.json and arrays for the report, written whole or not at all."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from dfx_homog.io.disk import on_rank_0, replace
from dfx_homog.timing import entry, timed


def plain(value: Any) -> Any:
    """numpy's numbers and arrays as JSON has them."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in result.json")


@timed("output")
def write_json(path: Path, data: dict[str, Any], comm: MPI.Comm) -> None:
    """Write on rank 0, through a temporary file: a reader never sees half a result. NaN is an error.

    Collective. Raises SolverFailure on all ranks if the disk is full.
    """
    on_rank_0(comm, path, lambda: replace(path, _text(data).encode()))


def write_result(out: Path, data: dict[str, Any], comm: MPI.Comm) -> None:
    """result.json of a command, with where its time went as "timing"; as `write_json`. Collective."""
    write_json(out / "result.json", {**data, "timing": entry(comm)}, comm)


def _text(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=1, default=plain, allow_nan=False) + "\n"


@timed("output")
def write_arrays(path: Path, arrays: dict[str, Any], comm: MPI.Comm) -> None:
    """Write named arrays as .npz on rank 0. Collective. Raises SolverFailure on all ranks if the disk is full."""

    def write() -> None:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        replace(path, buffer.getvalue())

    on_rank_0(comm, path, write)
