"""result.json and arrays for the report, written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in result.json")


def write_json(path: Path, data: dict[str, Any], comm: MPI.Comm) -> None:
    """Write on rank 0, through a temporary file: a reader never sees half a result. NaN is an error."""
    if comm.rank == 0:
        text = json.dumps(data, indent=1, default=_plain, allow_nan=False)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(text + "\n", encoding="utf-8")
        os.replace(temporary, path)
    comm.barrier()


def write_arrays(path: Path, arrays: dict[str, Any], comm: MPI.Comm) -> None:
    """Write named arrays as .npz on rank 0."""
    if comm.rank == 0:
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)
