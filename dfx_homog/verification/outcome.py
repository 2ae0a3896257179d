"""What a check in Python gives back: numbers to compare, tables and a picture for its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Numbers = Mapping[str, Any]
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#000000")
#: File of the picture in the directory of results of a check.
PICTURE = "picture.svg"
MARKERS = ("o", "s", "^", "v", "D", "X")


@dataclass(frozen=True)
class Table:
    """A table of the page. Cells are texts or numbers, numbers to `digits` significant digits."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | int]]
    caption: str = ""
    digits: int = 4


class NotHere(Exception):
    """Raised by a check, on all ranks, that needs what this machine has not: the case is skipped, with this reason."""


@dataclass(frozen=True)
class Outcome:
    """numbers: nested mappings and lists with numbers as leaves, to which case.expect has paths, the same on all ranks.

    tables: for the page, in this order. picture: a figure of matplotlib (see `loglog`, `lines`), needed on rank 0 only.
    """

    numbers: Numbers
    tables: Sequence[Table] = ()
    picture: Any = None
    caption: str = ""
    notes: Sequence[str] = field(default=())


def loglog(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x: str,
    y: str,
    slopes: Sequence[float] = (),
) -> Any:
    """Figure of positive numbers against others, with a grey line of each of the given slopes.

    series: name -> (abscissae, ordinates); a name is TeX where it has $
    """
    import numpy as np

    fig, ax = _axes(series, x, y)
    ax.set(xscale="log", yscale="log")
    if slopes:
        at = np.array(sorted({float(v) for xs, _ in series.values() for v in xs}))
        lowest = min(float(v) for _, ys in series.values() for v in ys if v > 0)
        highest = max(float(v) for _, ys in series.values() for v in ys)
        start = np.sqrt(lowest * highest)
        for order in slopes:
            ax.plot(
                at, start * (at / np.sqrt(at[0] * at[-1])) ** order, color="#999999", linestyle="--", zorder=1
            )
            end = (at[-1], start * np.sqrt(at[-1] / at[0]) ** order)
            place = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
            ax.annotate(f"order {order:g}", end, color="#777777", fontsize=8, **place)
    _legend(ax)
    return fig


def lines(series: Mapping[str, tuple[Sequence[float], Sequence[float]]], x: str, y: str) -> Any:
    """Figure of lines with markers, linear axes; arguments as for `loglog`."""
    fig, ax = _axes(series, x, y)
    _legend(ax)
    return fig


def _axes(series: Mapping[str, tuple[Sequence[float], Sequence[float]]], x: str, y: str) -> tuple[Any, Any]:
    from dfx_homog.report.style import figure, style

    with style():
        fig = figure(5.6, 3.6)
        ax = fig.add_subplot()
        for position, (name, (xs, ys)) in enumerate(series.items()):
            look = position % len(COLOURS)
            marker = MARKERS[look] if len(xs) <= 40 else ""
            ax.plot(xs, ys, marker=marker, color=COLOURS[look], label=name)
        ax.set(xlabel=x, ylabel=y)
    return fig, ax


def _legend(ax: Any) -> None:
    from dfx_homog.report.style import style

    with style():
        if any(ax.get_legend_handles_labels()[1]):
            ax.legend()
