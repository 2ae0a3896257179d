"""`dfx-homog scaling FILE`: measures all points of [scaling], fits the model, writes tables and report."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from dfx_homog import launch as launching
from dfx_homog.errors import BadInput
from dfx_homog.io import directory
from dfx_homog.io.disk import replace
from dfx_homog.runfile import Run, load, require
from dfx_homog.scaling import growth
from dfx_homog.scaling.measuring import COLUMNS, Kept, Machinery, fastest, measure
from dfx_homog.scaling.model import fitted

BAD_INPUT = 2
Json = dict[str, Any]
Tell = Callable[[str], None]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(f"dfx-homog scaling: {message} (dfx-homog scaling --help says what is allowed)")


def _parser() -> _Parser:
    parser = _Parser(
        "dfx-homog scaling",
        usage="dfx-homog scaling FILE [options] [-- PETSc options]",
        description="Strong and weak scaling of the command that [scaling] of FILE names. Every run is a child of its "
        "own on its number of ranks, so that this itself is started without mpirun.",
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", help="run file with a table [scaling]")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="results (default: runs/out/<file stem>-<time>)"
    )
    parser.add_argument(
        "--set", metavar="key.path=value", action="append", default=[], help="override one key; repeatable"
    )
    parser.add_argument("--restart", action="store_true", help="go on in --out with what is not yet measured")
    parser.add_argument(
        "--launcher",
        metavar="WORDS",
        help='how ranks are started, such as "srun -n {ranks}" (default: mpirun)',
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser


def main(words: Sequence[str]) -> int:
    """The command; returns the exit status. MPI must not have been started in this process.

    Raises BadInput, and SolverFailure or StoppedEarly as one of its runs did.
    """
    size, rank = launching.parent_ranks()
    if size > 1:
        if rank > 0:
            return BAD_INPUT
        raise BadInput(
            f"scaling: starts its ranks itself, and is on {size} (allowed: without -n, without mpirun)"
        )
    words = list(words)
    at = words.index("--") if "--" in words else len(words)
    try:
        arguments = _parser().parse_args(words[:at])
    except SystemExit:  # argparse has printed its help
        return 0
    if arguments.restart and arguments.out is None:
        raise BadInput("--restart: needs --out DIR, the directory of results to go on in")
    run = load(arguments.file, arguments.set)
    check(run, arguments.launcher)
    out = arguments.out
    if out is None:
        out = directory.take_new(Path(arguments.file).stem)
    else:
        directory.take(out, restart=arguments.restart)
    machinery = Machinery(out, arguments.launcher, tuple(words[at + 1 :]))
    with (out / "log.txt").open("a", encoding="utf-8") as log:
        begin = time.perf_counter()

        def tell(line: str) -> None:
            print(f"{time.perf_counter() - begin:8.1f} s  {line}", file=log, flush=True)
            if not arguments.quiet:
                print(line, file=sys.stderr, flush=True)

        _study(run, machinery, tell)
    return 0


def check(run: Run, launcher: str | None = None) -> None:
    """Raises BadInput for whatever would only be found out after hours: every problem, the launcher."""
    if run.scaling is None:
        raise run.problem("[scaling]", "required by scaling (allowed: a table [scaling] with command)")
    growth.what_grows(run)
    for size in sorted({size for size, _ in run.scaling.points}):
        larger = growth.grown(run, size)
        require(larger, run.scaling.command)
    for ranks in run.scaling.ranks:
        launching.starter(ranks, launcher)


def _study(run: Run, machinery: Machinery, tell: Tell) -> None:
    out, table = machinery.out, run.scaling
    kept, points, every = Kept(run, machinery), table.points, []
    warm = not table.warm_up
    for number, (size, ranks) in enumerate(points, 1):
        rows = kept.load(size, ranks)[: table.repetitions]
        where = f"{number}/{len(points)}: size {size} on {ranks} rank{'s' if ranks > 1 else ''}"
        if len(rows) == table.repetitions:
            tell(f"{where}: measured already, {fastest(rows)['seconds']:.4g} s")
        elif not warm:
            first_size, first_ranks = points[0]
            tell(f"warm-up: size {first_size} on {first_ranks}, not counted")
            measure(run, first_size, first_ranks, machinery, "warm-up")
            warm = True
        while len(rows) < table.repetitions:
            name = f"size-{size}-ranks-{ranks}-run-{len(rows) + 1}"
            rows.append(measure(run, size, ranks, machinery, name))
            kept.save(size, ranks, rows)
            tell(f"{where}, run {len(rows)} of {table.repetitions}: {_line(rows[-1])}")
        every.append(rows)
    with suppress(OSError):
        (out / "runs").rmdir()
    _write(run, out, every, machinery)
    tell(f"{out / 'scaling.csv'}, {out / 'result.json'}")
    if run.output.report:
        from dfx_homog.report import write_report

        tell(f"report: {write_report(out)}")


def _line(row: Json) -> str:
    return (
        f"{row['seconds']:.4g} s, {row['unknowns']} unknowns, {row['krylov']} iterations, "
        f"{row['memory_rank'] / 2**20:.0f} MiB a rank"
    )


def _write(run: Run, out: Path, every: list[list[Json]], machinery: Machinery) -> None:
    """run.toml, scaling.csv and result.json. Raises OSError."""
    rows, facts = [fastest(found) for found in every], every[0][0]["facts"]
    facts = {**facts, "ranks": " ".join(map(str, run.scaling.ranks)), "input": run.source}
    head = [
        f"# {key}: {''.join(c if c.isprintable() else '?' for c in value)}" for key, value in facts.items()
    ]
    replace(out / "run.toml", ("\n".join(head) + "\n\n" + run.to_toml()).encode())
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    replace(out / "scaling.csv", text.getvalue().encode())
    result = {
        "command": run.scaling.command,
        "grows": growth.what_grows(run),
        "ranks": list(run.scaling.ranks),
        "sizes": list(run.scaling.sizes),
        "weak": [list(point) for point in run.scaling.weak_points],
        "launcher": machinery.launcher or "mpirun",
        "machine": machine(),
        "points": rows,
        "repetitions": [[row["seconds"] for row in found] for found in every],
        "model": fitted(rows, growth.dimension(run)),
    }
    replace(out / "result.json", (json.dumps(result, indent=1, allow_nan=False) + "\n").encode())


def machine() -> Json:
    """Processor, cores that may be used and bytes of memory of this computer."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    name = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"processor": name, "cores": launching.cores(), "memory": memory}
