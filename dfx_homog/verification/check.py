"""`dfx-homog case`: the check in Python of a case; its numbers, tables and picture become a directory of results."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mpi4py import MPI

from dfx_homog.errors import BadInput
from dfx_homog.io.disk import below, on_rank_0
from dfx_homog.io.provenance import write_run_toml
from dfx_homog.io.results import write_json
from dfx_homog.runfile import Run
from dfx_homog.runoptions import RunOptions
from dfx_homog.verification.outcome import PICTURE, NotHere, Outcome

Check = Callable[[Run, MPI.Intracomm], Outcome]


def check_of(name: str) -> Check:
    """The check `module.function`. Raises BadInput if dfx_homog/verification/ has none of that name."""
    module_name, _, function = name.partition(".")
    place = f"{__package__}.{module_name}"
    if importlib.util.find_spec(place) is None:
        raise BadInput(f"case.command: {name}: there is no module {place}")
    module = importlib.import_module(place)
    check = getattr(module, function, None)
    if check is None or getattr(check, "__module__", "") != place or function.startswith("_"):
        raise BadInput(f"case.command: {name}: {place} has no function {function}")
    found: Check = check
    return found


def run_case(
    run: Run, out: Path | None, opts: RunOptions, comm: MPI.Intracomm = MPI.COMM_WORLD
) -> dict[str, Any]:
    """Does the check of run.case; result.json as docs/results.md says, picture.svg. Collective. Raises BadInput.

    A check that finds that it cannot run here leaves the reason as `skipped`.
    """
    check = check_of(run.case.command)
    write_run_toml(run, out, comm)
    try:
        outcome = check(run, comm)
    except NotHere as reason:
        skipped = {"ranks": comm.size, "skipped": str(reason)}
        write_json(below(out, "result.json"), skipped, comm)
        return skipped
    if outcome.picture is not None and out is not None and comm.rank == 0:
        _draw(outcome.picture, out / PICTURE)
    content: dict[str, Any] = {
        "ranks": comm.size,
        "numbers": outcome.numbers,
        "tables": [asdict(table) for table in outcome.tables],
        "caption": outcome.caption,
        "notes": list(outcome.notes),
    }
    write_json(below(out, "result.json"), content, comm)
    if out is not None and not opts.quiet:
        on_rank_0(comm, out, lambda: print(f"{run.case.title}: results in {out}"))
    return content


def _draw(picture: Any, path: Path) -> None:
    from dfx_homog.report.style import style

    with style():
        picture.savefig(path, metadata={"Date": None})
