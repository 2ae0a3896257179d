"""Running a case: its command as children on each of its numbers of ranks, and the quantities of their results."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dfx_homog.errors import BadInput
from dfx_homog.launch import Finished, launch
from dfx_homog.runfile.identity import file_digest
from dfx_homog.verification import drawing
from dfx_homog.verification.outcome import PICTURE
from dfx_homog.verification.quantities import Missing, read
from dfx_homog.verification.store import LANES, BookCase, Json, lane

#: A child is ended after this many times the minutes of its case, and not before LEAST_SECONDS.
PATIENCE, LEAST_SECONDS = 10.0, 600.0


@dataclass(frozen=True)
class Part:
    """One run of a case: on how many ranks, and which of its levels."""

    ranks: int
    level: int
    overrides: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Name of its directory of results."""
        return f"ranks-{self.ranks}-level-{self.level}"


def parts(case: BookCase) -> Iterator[Part]:
    """All runs of a case: the first number of ranks runs all levels, the others the coarsest."""
    levels = case.case.levels
    sets: list[tuple[str, ...]] = [()]
    if levels is not None:
        sets = [tuple(f"{key}={value!r}" for key in levels.keys) for value in levels.values]
    for ranks in case.case.ranks:
        for level, overrides in enumerate(sets if ranks == case.case.ranks[0] else sets[:1]):
            yield Part(ranks, level, overrides)


def words(case: BookCase, part: Part, out: Path) -> list[str]:
    """The command line of one run, without the program's name."""
    command = case.case.command if case.case.is_study else "case"
    more = ("output.report=false",) if case.case.is_study else ()  # nobody looks at it
    sets = [word for override in (*part.overrides, *more) for word in ("--set", override)]
    return [command, str(case.path), "--out", str(out), "--quiet", *sets]


def not_here(case: BookCase, out: Path) -> str:
    """Why a check in Python could not run here, "" if it did."""
    if case.case.is_study:
        return ""
    try:
        return str(json.loads((out / "result.json").read_text()).get("skipped", ""))
    except (OSError, ValueError):
        return ""


def quantities(case: BookCase, out: Path) -> tuple[dict[str, dict[str, float | None]], str]:
    """What case.expect asks of a directory of results, and what is missing there, in words."""
    found: dict[str, dict[str, float | None]] = {}
    problems = []
    prefix = "" if case.case.is_study else "numbers."
    levels = case.case.levels
    wanted = [entry.quantity for entry in case.case.expect]
    wanted += [levels.unknowns] if levels is not None and levels.unknowns else []
    for quantity in wanted:
        try:
            values = read(out, prefix + quantity)
        except Missing as error:
            problems.append(str(error))
        else:
            found[quantity] = {name.removeprefix(prefix): value for name, value in values.items()}
    return found, "; ".join(problems)


def run_part(case: BookCase, part: Part, out: Path, launcher: str | None) -> Json:
    """Runs one part of a case; what is kept of it."""
    log = out.parent / f"{out.name}.log"
    limit = max(LEAST_SECONDS, 60.0 * PATIENCE * case.case.minutes)
    finished = launch(part.ranks, words(case, part, out), launcher=launcher, log=log, time_limit=limit)
    found, problem = quantities(case, out) if finished.status == 0 else ({}, _last_line(finished))
    return {
        "ranks": part.ranks,
        "level": part.level,
        "status": finished.status,
        "seconds": round(finished.seconds, 2),
        "error": problem,
        "quantities": found,
    }


def run(case: BookCase, folder: Path, book: Path, launcher: str | None) -> Json:
    """Runs all parts of a case below `folder`; its result. Draws its picture into the book, if it has one."""
    if case.missing:
        names = ", ".join(case.missing)
        return {**_facts(case), "skipped": f"data not here: {names}", "runs": []}
    runs, shown = [], None
    for part in parts(case):
        out = folder / case.name / part.folder
        out.parent.mkdir(parents=True, exist_ok=True)
        runs.append(run_part(case, part, out, launcher))
        if reason := not_here(case, out):
            return {**_facts(case), "skipped": reason, "runs": []}
        if part.ranks == case.case.ranks[0] and not (case.case.picture == "cells" and part.level):
            shown = out  # the finest level; meshes are seen best on the coarsest
    result: Json = {**_facts(case), "skipped": "", "runs": runs}
    if shown is not None and runs[0]["status"] == 0:
        result |= _shown(case, shown)
        if lane() == LANES[0]:  # another matplotlib draws other files
            result["picture"] = _picture(case, result, shown, book)
    return result


def _facts(case: BookCase) -> Json:
    return {
        "case": case.name,
        "identity": case.identity,
        "keys": case.keys,
        "measured": time.strftime("%Y-%m-%d"),
        "versions": {
            "dfx_homog": importlib.metadata.version("dfx_homog"),
            "python": platform.python_version(),
        },
        "cores": os.cpu_count(),
    }


def _shown(case: BookCase, out: Path) -> Json:
    """Tables, notes and caption of a check in Python."""
    if case.case.is_study:
        return {}
    try:
        content = json.loads((out / "result.json").read_text())
    except (OSError, ValueError):
        return {}
    return {key: content[key] for key in ("tables", "notes", "caption")}


def _picture(case: BookCase, result: Json, out: Path, book: Path) -> Json | None:
    """The picture of the case in the book's folder, with its checksum, so that results say which one is theirs."""
    target = book / "pictures"
    target.mkdir(parents=True, exist_ok=True)
    if not case.case.is_study:
        if not (out / PICTURE).is_file():
            return None
        path = target / f"{case.name}.svg"
        shutil.copyfile(out / PICTURE, path)
    elif case.case.picture is None:
        return None
    else:
        try:
            path = drawing.draw(case.case, result, out, target / case.name)
        except BadInput as error:
            result["notes"] = [str(error)]
            return None
    return {"file": path.name, "sha256": file_digest(path)}


def _last_line(finished: Finished) -> str:
    """The last thing that a run said."""
    if finished.timed_out:
        return f"ended after the time limit, {finished.seconds:.0f} s"
    lines = [line for line in finished.output.splitlines() if line.strip()]
    return lines[-1][:400] if lines else "no output"
