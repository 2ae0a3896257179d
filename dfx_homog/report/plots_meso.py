"""Maps of the homogenised fields in two and three meso dimensions at the final time."""

from __future__ import annotations

from typing import Any

import numpy as np

from dfx_homog.report.data import Array, Study
from dfx_homog.report.plots_fields import FIELD_KINDS
from dfx_homog.report.style import EMPTY_COLOUR, FIELD_MAP, FIELD_NAME, FIELD_TEX, WIDTH, data_uri, figure

#: Columns of the arrays of a map.
COLUMNS = ("Phi_s", "c_e", "Phi_e", "T", "rate")
TITLES = {n: f"{FIELD_TEX[n]}, {FIELD_NAME[n]}" for n in COLUMNS[:4]} | {
    "rate": "$j$, reaction current density"
}
KINDS = {**FIELD_KINDS, "rate": "current"}
PLACES = {"cell": "", "collector": ", at the positive collector", "side": ", at a side"}


def names(study: Study) -> list[str]:
    """Maps that there are."""
    return [name for name in PLACES if len(study.arrays.get(f"meso_map_{name}", ()))]


def maps(study: Study, name: str) -> str:
    """Phi_s, Phi_e, c_e, T and the reaction current in one plane; Phi_s and j with a colour scale an electrode."""
    corners, values = study.arrays[f"meso_map_{name}"], study.arrays[f"meso_map_{name}_values"]
    axes = [int(a) for a in study.arrays[f"meso_map_{name}_axes"]]
    through = axes[0] == 1
    (left, bottom), (right, top) = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    height = float(np.clip(0.42 * WIDTH * (top - bottom) / (right - left), 1.2, 3.2))
    shown = [n for n in ("Phi_s", "Phi_e", "c_e", "T", "rate") if _lives(values, n)]
    rows = -(-len(shown) // 2)
    fig = figure(WIDTH, rows * (height + 0.55) + 0.2)
    grid = fig.subplots(rows, 2, squeeze=False).ravel()
    for ax, field in zip(grid, shown, strict=False):
        _map(fig, ax, corners, values[:, :, COLUMNS.index(field)], field, split=through)
        ax.set(xlim=(left, right), ylim=(bottom, top))
        ax.set_xlabel(study.with_unit(f"$y_{axes[0]}$", "length"))
        ax.set_ylabel(study.with_unit(f"$y_{axes[1]}$", "length"))
        ax.set_title(study.with_unit(TITLES[field], KINDS[field]), loc="left", fontsize=8.5)
    for ax in grid[len(shown) :]:
        ax.set_visible(False)
    return data_uri(fig, "png", dpi=150)


def _lives(values: Array, field: str) -> bool:
    return bool(np.isfinite(values[:, :, COLUMNS.index(field)]).all(axis=1).any())


def _map(fig: Any, ax: Any, corners: Array, values: Array, field: str, *, split: bool) -> None:
    from matplotlib.ticker import MaxNLocator
    from matplotlib.tri import Triangulation

    known = np.isfinite(values).all(axis=1)
    parts, labels = [known], [""]
    if split and field in ("Phi_s", "rate"):
        # neither lives in the separator
        negative = corners[:, :, 0].mean(axis=1) < corners[~known, :, 0].mean()
        parts, labels = [known & negative, known & ~negative], ["negative", "positive"]
    for part, label in zip(parts, labels, strict=True):
        if not part.any():
            continue
        mesh = Triangulation(*corners[part].reshape(-1, 2).T, np.arange(3 * part.sum()).reshape(-1, 3))
        image = ax.tripcolor(
            mesh, values[part].ravel(), shading="gouraud", cmap=FIELD_MAP.get(field, "viridis")
        )
        bar = fig.colorbar(image, ax=ax, fraction=0.05, pad=0.02)
        bar.locator = MaxNLocator(4)
        bar.ax.tick_params(labelsize=6.5)
        bar.outline.set_linewidth(0.4)
        bar.set_label(label, fontsize=7)
    ax.set_facecolor(EMPTY_COLOUR)
    ax.grid(False)
