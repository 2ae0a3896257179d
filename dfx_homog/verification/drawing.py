"""Pictures of cases that run a command: from its directory of results, in the report's style."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dfx_homog.errors import BadInput
from dfx_homog.runfile.case import Case
from dfx_homog.verification.outcome import loglog
from dfx_homog.verification.verdict import error, level_sizes

INCHES, DPI = 9.4, 110


def draw(case: Case, result: Mapping[str, Any], out: Path, path: Path) -> Path:
    """Draws the picture that the case names to `path` with .svg or .png. Raises BadInput if there is none."""
    if case.picture == "levels":
        return _save(_levels(case, result), path.with_suffix(".svg"))
    if case.picture == "cells":
        from dfx_homog.report.data import load
        from dfx_homog.report.plots_geometry import cells_figure
        from dfx_homog.report.style import style

        with style():
            fig = cells_figure(load(out))
            if fig is None:
                raise BadInput(f"{out}: no unit cells in two dimensions to draw")
            return _save(fig, path.with_suffix(".png"))
    from dfx_homog.report.figure import write_figure

    return write_figure(out, path.with_suffix(".png"), case.picture or "")


def _levels(case: Case, result: Mapping[str, Any]) -> Any:
    """Difference from the expected values against the levels."""
    if case.levels is None:
        raise BadInput("case.picture: levels needs [case.levels]")
    sizes = level_sizes(case, result)
    if sizes is None:
        raise BadInput("case.levels: the numbers of unknowns are not known")
    series, slopes = {}, set()
    runs = [run for run in result["runs"] if run["ranks"] == case.ranks[0]]
    for entry in case.expect:
        if entry.value is None:
            continue
        found = [error(entry, tuple(run["quantities"].get(entry.quantity, {}).values())) for run in runs]
        points = [(h, e) for h, e in zip(sizes, found, strict=True) if e]
        if points:
            series[entry.name or entry.quantity] = ([p[0] for p in points], [p[1] for p in points])
        if entry.order_at_least is not None:
            slopes.add(float(round(entry.order_at_least)))
    if not series:
        raise BadInput("case.picture: levels has nothing to draw")
    falls = case.levels.values[0] > case.levels.values[-1]
    power = f"$n^{{-1/{case.levels.dim}}}$, $n$ unknowns" if case.levels.unknowns else ""
    x = power or (case.levels.name if falls else f"1 / {case.levels.name}")
    return loglog(series, x, "difference from the expected value", sorted(slopes))


def _save(fig: Any, path: Path) -> Path:
    from dfx_homog.report.figure import save

    save(fig, path)
    return path
