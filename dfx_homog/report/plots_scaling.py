"""Pictures of `scaling`: speed-up, efficiency, time by phase, and the fitted model."""

from __future__ import annotations

from typing import Any

import numpy as np

from dfx_homog.report.data import Json, Study
from dfx_homog.report.style import WIDTH, data_uri, figure, level_colours
from dfx_homog.timing import PHASES

COLOURS = {
    "mesh": "#999999",
    "assembly": "#0072B2",
    "preconditioner": "#E69F00",
    "solve": "#D55E00",
    "output": "#009E73",
    "other": "#CCCCCC",
}


def points(study: Study) -> list[Json]:
    """Rows of result.json, by size and ranks."""
    found = (study.result or {}).get("points", [])
    return sorted(found, key=lambda row: (row["size"], row["ranks"]))


def strong(study: Study) -> dict[int, list[Json]]:
    """By size, the rows of all sizes that were measured on several numbers of ranks."""
    sizes = dict.fromkeys((study.result or {}).get("sizes", []))
    found = {size: [row for row in points(study) if row["size"] == size] for size in sizes}
    return {size: rows for size, rows in found.items() if len(rows) > 1}


def weak(study: Study) -> list[Json]:
    """Rows of problems that grow with the ranks; empty with fewer than two."""
    wanted = [tuple(point) for point in (study.result or {}).get("weak", [])]
    rows = [row for row in points(study) if (row["size"], row["ranks"]) in wanted]
    return rows if len(rows) > 1 else []


def efficiency(rows: list[Json], *, grows: bool) -> list[float]:
    """Of every row against the first: time that ideal ranks would take over the time that they took.

    grows: weak scaling. Work is counted in unknowns, so that problems which grow by not quite the same factor compare.
    """
    first = rows[0]
    work = [row["unknowns"] / first["unknowns"] if grows else 1.0 for row in rows]
    share = [w * first["ranks"] / row["ranks"] for w, row in zip(work, rows, strict=True)]
    return [first["seconds"] * s / row["seconds"] for s, row in zip(share, rows, strict=True)]


def speed(study: Study) -> str | None:
    """Speed-up and efficiency against the ranks."""
    return data_uri(fig) if (fig := speed_figure(study)) is not None else None


def speed_figure(study: Study) -> Any:
    curves, growing = strong(study), weak(study)
    if not curves and not growing:
        return None
    fig = figure(WIDTH, 3.4)
    left, right = fig.subplots(1, 2)
    ranks = sorted({row["ranks"] for row in points(study)})
    left.plot(ranks, [p / ranks[0] for p in ranks], ":", color="#777777", label="ideal")
    for rows, colour in zip(curves.values(), level_colours(len(curves)), strict=True):
        at = [row["ranks"] for row in rows]
        good = efficiency(rows, grows=False)
        label = f"strong, {rows[0]['unknowns']:,} unknowns".replace(",", "\u2009")
        gain = [e * p / at[0] for e, p in zip(good, at, strict=True)]
        left.plot(at, gain, "o-", color=colour, label=label)
        right.plot(at, good, "o-", color=colour)
    if growing:
        at = [row["ranks"] for row in growing]
        right.plot(at, efficiency(growing, grows=True), "s--", color="#000000")
        left.plot([], [], "s--", color="#000000", label="weak")
    for ax in (left, right):
        ax.set_xscale("log", base=2)
        ax.set_xticks(ranks, [str(p) for p in ranks])
        ax.minorticks_off()
        ax.set_xlabel("ranks")
    left.set_yscale("log", base=2)
    left.set_yticks([p / ranks[0] for p in ranks], [f"{p / ranks[0]:g}" for p in ranks])
    left.set_ylabel("speed-up")
    right.set(ylabel="efficiency", ylim=(0.0, 1.15))
    right.axhline(1.0, color="#777777", linestyle=":")
    fig.legend(loc="outside lower center", ncols=3)
    return fig


def phases(study: Study) -> str | None:
    """Time by phase of every point, stacked."""
    return data_uri(fig) if (fig := phases_figure(study)) is not None else None


def phases_figure(study: Study) -> Any:
    rows = points(study)
    if not rows:
        return None
    fig = figure(WIDTH, 3.2)
    ax = fig.subplots()
    bottom, place = np.zeros(len(rows)), np.arange(len(rows))
    # the largest over the ranks of every phase: their sum may exceed the total, to which they are scaled
    sums = np.array([sum(row[f"seconds_{name}"] for name in PHASES) for row in rows])
    scale = np.array([row["seconds"] for row in rows]) / sums
    for name in PHASES:
        height = scale * np.array([row[f"seconds_{name}"] for row in rows])
        ax.bar(place, height, 0.6, bottom=bottom, color=COLOURS[name], label=name)
        bottom += height
    ax.set_xticks(place, [f"size {row['size']}\n{row['ranks']} ranks" for row in rows])
    ax.set_ylabel("wall time (s)")
    ax.grid(axis="x", visible=False)
    fig.legend(loc="outside right center")
    return fig


def model(study: Study) -> str | None:
    """Measured times and those of the model; its prediction for more ranks."""
    rows, found = points(study), (study.result or {}).get("model")
    if not rows or not found:
        return None
    fig = figure(WIDTH, 3.4)
    left, right = fig.subplots(1, 2)
    measured = np.array([row["seconds"] for row in (study.result or {})["points"]])
    fitted = np.array(found["fitted"])
    ends = [0.8 * min(measured.min(), fitted.min()), 1.25 * max(measured.max(), fitted.max())]
    left.plot(ends, ends, ":", color="#777777")
    left.loglog(measured, fitted, "o", color="#0072B2")
    left.set(xlabel="measured (s)", ylabel="model (s)", xlim=ends, ylim=ends)
    for kind, colour in (("strong", "#D55E00"), ("weak", "#000000")):
        predicted = found["predictions"][kind]
        right.semilogx(
            [p["ranks"] for p in predicted],
            [p["efficiency"] for p in predicted],
            "-" if kind == "strong" else "--",
            color=colour,
            base=2,
            label=kind,
        )
    low, high = found["range"]["ranks"]
    right.axvspan(low, max(high, 1.02 * low), color="#E4E4E4", label="measured")
    right.set(xlabel="ranks", ylabel="efficiency", ylim=(0.0, 1.15))
    right.legend()
    return data_uri(fig)
