"""run.toml in the directory of results: what was run, complete, and with what."""

from __future__ import annotations

import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dfx_homog.io.disk import on_rank_0, replace
from dfx_homog.runfile import Run


def provenance(comm: Any) -> dict[str, str]:
    """Versions, ranks, host and date of this process."""
    import dolfinx
    from petsc4py import PETSc

    try:
        own = version("dfx_homog")
    except PackageNotFoundError:
        own = "not installed"
    return {
        "dfx_homog": own,
        "dolfinx": dolfinx.__version__,
        "petsc": ".".join(str(n) for n in PETSc.Sys.getVersion()),
        "python": platform.python_version(),
        "ranks": str(comm.size),
        "host": platform.node(),
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def write_run_toml(run: Run, out: Path | None, comm: Any) -> None:
    """Writes out/run.toml on rank 0, if there is a directory: the complete input, which is itself a run file.

    Provenance stands in comments above it, since the run file knows no such table. Collective. Raises SolverFailure
    on all ranks if the disk is full.
    """

    if out is None:
        return

    def write() -> None:
        facts = {"input": run.source, **provenance(comm)}
        lines = [
            f"# {name}: {''.join(c if c.isprintable() else '?' for c in value)}"
            for name, value in facts.items()
        ]
        replace(out / "run.toml", ("\n".join(lines) + "\n\n" + run.to_toml()).encode())

    on_rank_0(comm, out / "run.toml", write)
