"""effective.bpx.json and effective_pybamm.py in the results of `cell`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dfx_homog.export.bpx import bpx_document
from dfx_homog.export.pybamm import pybamm_module
from dfx_homog.export.values import Json, cell_values
from dfx_homog.io.disk import on_rank_0, replace
from dfx_homog.runfile.models import Run

BPX, PYBAMM = "effective.bpx.json", "effective_pybamm.py"


def write_exports(run: Run, entries: Json, out: Path | None, comm: Any) -> list[str]:
    """Writes what can be written of a run in SI, and says so, or why not; nothing for other runs. Collective.

    entries: of result.json, by region. Raises SolverFailure on all ranks if the disk is full.
    """
    if out is None or run.parameters is None or not run.in_si:
        return []
    makers: dict[str, Callable[[], str]] = {
        BPX: lambda: json.dumps(bpx_document(cell_values(run, entries), run.given), indent=2) + "\n",
        PYBAMM: lambda: pybamm_module(cell_values(run, entries)),
    }
    told = []
    for name, make in makers.items():
        try:
            text = make()
        except ValueError as error:
            told.append(f"{name}: not written: {error}")
            continue
        path = out / name
        on_rank_0(comm, path, lambda path=path, text=text: replace(path, text.encode()))  # type: ignore[misc]
        told.append(f"{name.partition('.')[0]}: {path}")
    return told
