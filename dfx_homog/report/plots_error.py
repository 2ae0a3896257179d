"""Error against delta on log-log axes with slope triangles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dfx_homog.report.data import FIELDS, Array, Study, number
from dfx_homog.report.plots_time import plain_log_axis
from dfx_homog.report.style import (
    FIELD_COLOUR,
    FIELD_MARKER,
    FIELD_TEX,
    WIDTH,
    data_uri,
    figure,
)

PANELS = (
    ("l2", "$L^2$ norm, leading order, and voltage"),
    ("h1", "$H^1$ seminorm, no corrector"),
    ("h1_corrected", "$H^1$ seminorm, with corrector"),
    ("h1_corrected_interior", "$H^1$ seminorm, with corrector, interior"),
)
SLOPES = {"l2": (1.0,), "h1": (), "h1_corrected": (0.5,), "h1_corrected_interior": (1.0,)}


def errors(study: Study) -> str | None:
    """Four panels: L2 of all fields with |V error|, and the three H1 seminorms."""
    if sum(bool(level.result.get("errors")) for level in study.levels) < 1:
        return None
    fig = figure(WIDTH, 6.9)
    axes = fig.subplots(2, 2).ravel()
    for ax, (norm, title) in zip(axes, PANELS, strict=True):
        error_panel(ax, study, norm)
        ax.set_title(title)
    names = ["voltage", *FIELDS]
    fig.legend(handles=field_handles(names), loc="outside lower center", ncols=len(names))
    return data_uri(fig)


def field_handles(names: Sequence[str]) -> list[Any]:
    """Legend entries of fields."""
    from matplotlib.lines import Line2D

    return [
        Line2D(
            [],
            [],
            color=FIELD_COLOUR[n],
            marker=FIELD_MARKER[n],
            linestyle=(0, (3.5, 2)) if n == "c_e" else "-",
            label="$|V_\\delta - V_0|$" if n == "voltage" else FIELD_TEX[n],
        )
        for n in names
    ]


def error_panel(
    ax: Any, study: Study, norm: str, fields: Sequence[str] = FIELDS, *, scale: float = 1.0
) -> None:
    """One norm of the given fields against delta; the voltage too if norm is l2. `scale` enlarges lines and markers."""
    curves = {name: [level.error(name, norm) for level in study.levels] for name in fields}
    if norm == "l2":
        curves["voltage"] = [number(level.result.get("voltage_error")) for level in study.levels]
    delta = np.array([level.delta for level in study.levels])
    seen: list[Array] = []
    for name, values in curves.items():
        y = np.abs(np.array([np.nan if v is None else v for v in values], dtype=float))
        y[y == 0] = np.nan
        if not np.isfinite(y).any():
            continue
        seen.append(y)
        ax.loglog(
            delta,
            y,
            color=FIELD_COLOUR[name],
            marker=FIELD_MARKER[name],
            # the errors of Phi_e and c_e may be equal: the one drawn later is smaller and dashed
            markersize=(7.5 if name == "Phi_e" else 5.5) * scale,
            linestyle=(0, (3.5, 2)) if name == "c_e" else "-",
            linewidth=1.4 * scale,
            markeredgecolor="white",
            markeredgewidth=0.5 * scale,
        )
    delta_axis(ax, study)
    ax.set_ylabel("relative error" if norm != "l2" else "relative error; of $V$ absolute")
    if seen:
        _limits(ax, np.concatenate(seen), bool(SLOPES[norm]))
        for slope in SLOPES[norm]:
            slope_triangle(ax, delta, slope, scale=scale)
        plain_log_axis(ax)


def delta_axis(ax: Any, study: Study) -> None:
    """delta of the levels as ticks."""
    from matplotlib.ticker import NullFormatter, NullLocator

    delta = [level.delta for level in study.levels]
    ax.set_xlim(min(delta) / 1.25, max(delta) * 1.25)
    ax.set_xticks(delta, [f"1/{level.count}" for level in study.levels])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("$\\delta$ (particle over cell size)")
    ax.grid(which="minor", axis="y", linewidth=0.3)


def _limits(ax: Any, values: Array, triangle: bool) -> None:
    """At least one decade, with room below for a slope triangle."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    low, high = low / (2.4 if triangle else 1.5), high * 1.5
    if high / low < 10:
        middle = np.sqrt(low * high)
        low, high = middle / np.sqrt(10), middle * np.sqrt(10)
    ax.set_ylim(low, high)


def slope_triangle(ax: Any, delta: Array, slope: float, *, scale: float = 1.0) -> None:
    """A right triangle of the given slope in the lower right corner, where errors that fall with delta are not."""
    right = float(delta.max())
    left = right / (np.sqrt(right / float(delta.min())) if len(delta) > 1 else 1.5)
    low, high = ax.get_ylim()
    bottom = low * (high / low) ** 0.06
    top = bottom * (right / left) ** slope
    ax.fill(
        [left, right, right],
        [bottom, bottom, top],
        facecolor="#F0F0F0",
        edgecolor="#777777",
        linewidth=0.8 * scale,
    )
    text = {0.5: "1/2", 1.0: "1"}.get(slope, f"{slope:g}")
    ax.annotate(
        text,
        (right, np.sqrt(bottom * top)),
        xytext=(4 * scale, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5 * scale,
        color="#555555",
    )
