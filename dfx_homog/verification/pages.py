"""The pages of the book as Markdown, from cases and their results alone: nothing here runs or measures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dfx_homog.verification import verdict
from dfx_homog.verification.store import BookCase, Json, label, lanes_of
from dfx_homog.verification.verdict import FAILED, NOT_RUN, PASSED, SKIPPED, STALE, Row

MARKS = {
    PASSED: "passed",
    FAILED: "**FAILED**",
    SKIPPED: "skipped",
    STALE: "**out of date**",
    NOT_RUN: "not run",
}
HEADER = "<!-- made by dfx-homog verify from {source} and results/; edit the run file instead -->"


def page(case: BookCase, results: Mapping[str, Json], book: Path) -> str:
    """The page of one case."""
    table = case.case
    source = _relative(case.path, book)
    parts = [
        HEADER.format(source=source),
        f"# {table.title}",
        f"[All cases](README.md) · {table.group} · {_verdicts(case, results, book)}",
        "## What is checked",
        table.checks,
        "Sources:",
        "\n".join(f"* {entry}" for entry in table.source),
        "## How to run it",
        _commands(case),
        f"Run file: [{case.path.name}]({source}). {_cost(case, results)}",
        "## Expected and obtained",
        *_lanes(case, results, book),
    ]
    shown = _newest(case, results)
    parts += _levels(case, results)
    parts += [_check_table(entry) for entry in shown.get("tables", [])]
    parts += shown.get("notes", [])
    parts += _picture(case, results)
    return "\n\n".join(parts) + "\n"


def mark(case: BookCase, result: Json | None) -> str:
    """The verdict of one lane in words."""
    found = verdict.outcome(case.case, case.identity, result)
    reason = f": {result['skipped']}" if found == SKIPPED and result else ""
    return MARKS[found] + reason


def seconds(result: Json | None) -> float | None:
    """Wall time of all runs of a case."""
    runs = (result or {}).get("runs", [])
    return sum(run["seconds"] for run in runs) if runs else None


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return "\n".join(
        lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    )


def _relative(path: Path, book: Path) -> str:
    """As a link from the book's folder."""
    return Path(os.path.relpath(path.resolve(), book.resolve())).as_posix()


def _verdicts(case: BookCase, results: Mapping[str, Json], book: Path) -> str:
    return " · ".join(f"{label(lane)}: {mark(case, results.get(lane))}" for lane in lanes_of(book))


def _commands(case: BookCase) -> str:
    name = case.path.parent.name
    path = f"runs/{name}/{case.path.name}" if name == "verification" else case.path.name
    table = case.case
    command = table.command if table.is_study else "case"
    lines = [f"./dfx verify {path}"]
    for ranks in table.ranks:
        lines.append(f"./dfx {'' if ranks == 1 else f'-n {ranks} '}{command} {path}")
    return "\n".join(["```sh", *lines, "```"])


def _cost(case: BookCase, results: Mapping[str, Json]) -> str:
    ranks = case.case.ranks
    counts = f"{', '.join(map(str, ranks))} rank{'' if ranks == (1,) else 's'}"
    measured = [
        f"{verdict.number(seconds(result), 3)} s ({label(lane)}, {result['cores']} cores, {result['measured']})"
        for lane, result in results.items()
        if seconds(result) is not None
    ]
    took = f"; measured {', '.join(measured)}" if measured else ""
    levels = case.case.levels
    runs = f", {levels.name} = {', '.join(f'{v:g}' for v in levels.values)}" if levels else ""
    return f"Declared: {counts}{runs}, {case.case.minutes:g} min{took}."


def _lanes(case: BookCase, results: Mapping[str, Json], book: Path) -> list[str]:
    """One table with columns for each lane; what went wrong, in words."""
    lanes = [lane for lane in lanes_of(book) if lane in results]
    by_lane = {lane: verdict.rows(case.case, results[lane]) for lane in lanes if not results[lane]["skipped"]}
    parts = []
    if by_lane:
        columns = ["quantity", "expected", "tolerance"]
        for lane in by_lane:
            columns += [f"obtained, {label(lane)}", "difference", ""]
        rows = [_row(entries) for entries in zip(*by_lane.values(), strict=True)]
        parts.append(table(columns, rows))
    for lane in lanes:
        for run in results[lane]["runs"]:
            if run["status"] or run["error"]:
                where = f"{run['ranks']} ranks, level {run['level']}"
                parts.append(f"{label(lane)}, {where}: exit status {run['status']}: {run['error']}")
    silent = [lane for lane in lanes_of(book) if lane not in by_lane]
    parts += [f"{label(lane)}: {mark(case, results.get(lane))}." for lane in silent]
    sources = dict.fromkeys(
        f"{entry.name or entry.quantity}: {entry.source}" for entry in case.case.expect if entry.source
    )
    if sources:
        parts.append("\n".join(f"* {text}" for text in sources))
    return parts


def _row(entries: Sequence[Row]) -> list[str]:
    first = entries[0]
    cells = [first.name, first.expected, "" if first.asked == "bound" else first.asked]
    for row in entries:
        cells += [
            verdict.written(row.obtained) if row.obtained else "",
            "" if row.asked == "bound" else _small(row.difference),
            "✓" if row.passed else "**✗**",
        ]
    return cells


def _small(value: float | None) -> str:
    return f"{value:.1e}" if value else verdict.number(value)


def _levels(case: BookCase, results: Mapping[str, Json]) -> list[str]:
    """On every level differences from expected values, and their orders, else the numbers; of the first lane."""
    levels = case.case.levels
    lane = next((lane for lane, result in results.items() if result["runs"]), None)
    if levels is None or lane is None:
        return []
    runs = [run for run in results[lane]["runs"] if run["ranks"] == case.case.ranks[0]]
    sizes = verdict.level_sizes(case.case, results[lane])
    rows = []
    for entry in case.case.expect:
        numbers = [tuple(run["quantities"].get(entry.quantity, {}).values()) for run in runs]
        name = entry.name or f"`{entry.quantity}`"
        if entry.value is None:
            rows.append([name, *(verdict.written(values, 6) for values in numbers), ""])
            continue
        errors = [verdict.error(entry, values) for values in numbers]
        orders = ", ".join(verdict.number(order, 3) for order in verdict.orders(sizes, errors))
        rows.append([f"{name}: difference", *(_small(error) for error in errors), orders])
    columns = ["", *(f"{levels.name} = {value:g}" for value in levels.values), "orders"]
    measure = f" Orders are in `{levels.unknowns}`$^{{-1/{levels.dim}}}$." if levels.unknowns else ""
    return [f"## Refinement\n\n{label(lane)}.{measure}", table(columns, rows)]


def _newest(case: BookCase, results: Mapping[str, Json]) -> Json:
    """The result whose tables are shown: that of the first lane with any runs."""
    return next((result for result in results.values() if result["runs"]), {})


def _check_table(entry: Mapping[str, Any]) -> str:
    digits = entry["digits"]
    rows = [
        [cell if isinstance(cell, str) else verdict.number(cell, digits) for cell in row]
        for row in entry["rows"]
    ]
    caption = f"{entry['caption']}\n\n" if entry["caption"] else ""
    return caption + table(entry["columns"], rows)


def _picture(case: BookCase, results: Mapping[str, Json]) -> list[str]:
    """The picture of the first lane that drew one."""
    for result in results.values():
        if result.get("picture"):
            caption = case.case.caption or result.get("caption") or case.case.title
            return [f"![{case.case.title}](pictures/{result['picture']['file']})", caption]
    return []
