"""One problem on one number of ranks: its run as a child, and what counts of its result."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfx_homog import launch as launching
from dfx_homog.errors import BadInput, SolverFailure
from dfx_homog.io.disk import replace
from dfx_homog.runfile import Run
from dfx_homog.runfile.identity import digest
from dfx_homog.scaling import growth
from dfx_homog.timing import COUNTS, PHASES

Json = dict[str, Any]
COLUMNS = (
    "size",
    "ranks",
    "unknowns",
    "seconds",
    *(f"seconds_{name}" for name in PHASES),
    "launched_seconds",
    *COUNTS,
    "memory_rank",
    "memory_ranks",
    "memory_start",
    "bytes_written",
)


@dataclass(frozen=True)
class Machinery:
    """How runs are started and where they are.

    words: PETSc options for all of them
    """

    out: Path
    launcher: str | None
    words: tuple[str, ...]


def unknowns(command: str, result: Json) -> int:
    """Of the systems that a result was computed with; the sum where there are several, each counted once."""
    if command == "cell":
        return sum(sum(entry["dofs"].values()) for entry in result["microstructures"].values())
    if command == "rve":
        return sum(int(sample["dofs"]) for sample in result["samples"])
    if command == "convergence":
        return sum(int(level["dofs"]) for level in result["levels"])
    return int(result["dofs"])


def facts(path: Path) -> dict[str, str]:
    """The comments on top of a run.toml: versions, host, date."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("# "):
            break
        name, _, value = line[2:].partition(": ")
        found[name] = value
    return found


def bytes_below(folder: Path) -> int:
    """Sizes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(run: Run, size: int, ranks: int, machinery: Machinery, name: str) -> Json:
    """One run: a row of COLUMNS. Its directory is removed; its log stays if it fails.

    Raises BadInput and SolverFailure as the run did, or with its last words.
    """
    command, folder = run.scaling.command, machinery.out / "runs" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    file, log, results = folder / "run.toml", folder / "log.txt", folder / "results"
    file.write_text(growth.text(growth.grown(run, size)), encoding="utf-8")
    words = [command, str(file), "--out", str(results), "--quiet", "--set", "output.report=false"]
    words += ["--", *machinery.words] if machinery.words else []
    done = launching.launch(
        ranks, words, launcher=machinery.launcher, log=log, time_limit=60.0 * run.scaling.minutes
    )
    if done.timed_out:
        raise SolverFailure(f"{name}: not done after scaling.minutes = {run.scaling.minutes:g} (log: {log})")
    if done.status != 0:
        said = [line for line in done.output.splitlines() if line.strip()]
        message = f"{name}: {said[0] if said else 'it said nothing'} (exit status {done.status}, log: {log})"
        raise BadInput(message) if done.status == 2 else SolverFailure(message)
    result = json.loads((results / "result.json").read_text())
    row = _row(result, command)
    row |= {"launched_seconds": done.seconds, "bytes_written": bytes_below(results)}
    row |= {"facts": facts(results / "run.toml")}
    shutil.rmtree(folder)
    return {"size": size, "ranks": ranks, **row}


def _row(result: Json, command: str) -> Json:
    timing = result["timing"]
    seconds, memory = timing["seconds"], timing["memory"]
    return {
        "unknowns": unknowns(command, result),
        "seconds": seconds["total"],
        **{f"seconds_{name}": seconds[name] for name in PHASES},
        **timing["counts"],
        **{f"memory_{name}": memory[name] for name in ("rank", "ranks", "start")},
    }


def fastest(rows: list[Json]) -> Json:
    """The row with the least time; of memory the largest that was seen."""
    best = min(rows, key=lambda row: float(row["seconds"]))
    peaks = {key: max(row[key] for row in rows) for key in ("memory_rank", "memory_ranks", "memory_start")}
    return {name: (best | peaks)[name] for name in COLUMNS}


class Kept:
    """Points that are measured, as files, for --restart; another run file, other options: other points."""

    def __init__(self, run: Run, machinery: Machinery):
        self.folder = machinery.out / "points"
        parts: list[Any] = [
            digest(run),
            run.scaling.command,
            run.scaling.grow,
            machinery.launcher,
            machinery.words,
        ]
        parts += [run.model_dump(mode="json", include={"solver"})]
        self.key = hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()

    def _path(self, size: int, ranks: int) -> Path:
        return self.folder / f"size-{size}-ranks-{ranks}.json"

    def load(self, size: int, ranks: int) -> list[Json]:
        """Rows of all repetitions so far; none if there are none of this run file."""
        try:
            found = json.loads(self._path(size, ranks).read_text())
            return list(found["rows"]) if found["key"] == self.key else []
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def save(self, size: int, ranks: int, rows: list[Json]) -> None:
        """Whole or not at all. Raises OSError."""
        self.folder.mkdir(exist_ok=True)
        replace(
            self._path(size, ranks), (json.dumps({"key": self.key, "rows": rows}, indent=1) + "\n").encode()
        )
