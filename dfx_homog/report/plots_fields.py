"""Pictures of the fields at the final time: profiles along y1, maps on the resolved mesh, single particles."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from dfx_homog.report.data import MESH_FIELDS, MESO_FIELDS, Array, Level, Study
from dfx_homog.report.geometry import SOLID, outlines, subdivided
from dfx_homog.report.plots_geometry import few_ticks, region_ends, region_faces, region_names
from dfx_homog.report.style import (
    EMPTY_COLOUR,
    FIELD_MAP,
    FIELD_NAME,
    FIELD_TEX,
    HOMOGENISED_COLOUR,
    WIDTH,
    data_uri,
    figure,
    level_colours,
    tex_power,
)

MAPS = (("Phi_e", False), ("Phi_s", True), ("c_e", False), ("c_s", True), ("T", False))
PROFILES = ("Phi_s", "Phi_e", "c_e", "T")
FIELD_KINDS = {
    **dict.fromkeys(("Phi_s", "Phi_e"), "voltage"),
    **dict.fromkeys(("c_s", "c_e"), "concentration"),
    "T": "temperature",
}
LEVELS_SHOWN = 4  # differences of particles; the finest ones if there are more levels


def profiles(study: Study) -> str | None:
    """Nodal values of every level against y1, and the homogenised line; four panels."""
    from matplotlib.lines import Line2D

    levels = [level for level in study.levels if level.profiles]
    meso = "meso_y" in study.arrays
    if not levels and not meso:
        return None
    fig = figure(WIDTH, 6.4)
    axes = fig.subplots(2, 2).ravel()
    colours = level_colours(len(study.levels))
    for ax, name in zip(axes, PROFILES, strict=True):
        for level in levels:
            cloud = level.profiles.get(f"cloud_{name}", np.zeros((0, 2)))
            colour = colours[study.levels.index(level)]
            ax.plot(
                cloud[:, 0],
                cloud[:, 1],
                ".",
                color=colour,
                markersize=2.4,
                markeredgewidth=0,
                rasterized=True,
            )
        if meso:
            _meso_line(ax, study, name)
        region_names(ax, study)
        region_faces(ax, study)
        ends = region_ends(study) or [0.0, 1.0]
        ax.set(
            xlim=(ends[0], ends[-1]),
            xlabel=study.label("$y_1$", "length"),
            ylabel=study.label(FIELD_TEX[name], FIELD_KINDS[name]),
        )
        ax.margins(y=0.05)
    handles: list[Any] = [
        Line2D([], [], color=colours[study.levels.index(lv)], linestyle="", marker="o", label=lv.label)
        for lv in levels
    ]
    if meso:
        handles.append(Line2D([], [], color=HOMOGENISED_COLOUR, label="homogenised"))
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return data_uri(fig, dpi=200)


def _meso_line(ax: Any, study: Study, name: str) -> None:
    """The homogenised field, region by region (Phi_s only in the electrodes)."""
    y, values = study.arrays["meso_y"], study.arrays["meso_values"][:, MESO_FIELDS.index(name)]
    ends = region_ends(study)
    for region, (low, high) in enumerate(pairwise(ends)):
        if name == "Phi_s" and region == 1:
            continue
        margin = 1e-9 * ends[-1]
        here = (y >= low - margin) & (y <= high + margin)
        ax.plot(y[here], values[here], color=HOMOGENISED_COLOUR, linewidth=1.1)


def maps(study: Study) -> str | None:
    """Colour maps of all five fields on the coarsest resolved mesh; a PNG, since every triangle is shaded."""
    if not len(study.arrays.get("mesh_points", ())):
        return None
    points = study.arrays["mesh_points"]
    (left, bottom), (right, top) = points.min(axis=(0, 1)), points.max(axis=(0, 1))
    strip = min(0.755 * WIDTH * (top - bottom) / (right - left), 4.0)
    fig = figure(WIDTH, len(MAPS) * (strip + 0.28) + 0.35)
    # bars have columns of their own, so that all strips are equally wide
    grid = fig.add_gridspec(len(MAPS), 3, width_ratios=(60, 1, 1))
    for row, (name, split) in enumerate(MAPS):
        ax = fig.add_subplot(grid[row, 0])
        bars = [fig.add_subplot(grid[row, 1 + k]) for k in range(2 if split else 1)]
        _map(fig, ax, bars, study, name)
        ax.set(xlim=(left, right), ylim=(bottom, top), ylabel=study.with_unit("$y_2$", "length"))
        title = study.with_unit(f"{FIELD_TEX[name]}, {FIELD_NAME[name]}", FIELD_KINDS[name])
        ax.set_title(title, loc="left", fontsize=8.5)
        few_ticks(ax)
        if row < len(MAPS) - 1:
            ax.set_xticklabels([])
    ax.set_xlabel(study.label("$y_1$", "length"))
    return data_uri(fig, "png", dpi=150)


def _map(fig: Any, ax: Any, bars: list[Any], study: Study, name: str) -> None:
    """One field; with two bars each electrode has a colour scale, since they differ by more than they vary."""
    from matplotlib.collections import PolyCollection
    from matplotlib.ticker import MaxNLocator

    points = study.arrays["mesh_points"]
    values = study.arrays["mesh_values"][:, :, MESH_FIELDS.index(name)]
    grey: dict[str, Any] = {"facecolors": EMPTY_COLOUR, "edgecolors": EMPTY_COLOUR, "linewidths": 0.3}
    ax.add_collection(PolyCollection(outlines(points), **grey))
    ax.set_aspect("equal")
    ax.grid(False)
    home = {"s": study.arrays["mesh_phase"] == SOLID, "e": study.arrays["mesh_phase"] != SOLID}
    known = np.isfinite(values).all(axis=1) & home.get(name[-1], True)
    ends = region_ends(study)
    left_side = points[:, :, 0].mean(axis=1) < (0.5 * (ends[1] + ends[2]) if len(ends) == 4 else np.inf)
    parts = [known & left_side, known & ~left_side] if len(bars) == 2 else [known]
    for part, place, label in zip(parts, bars, ("negative", "positive"), strict=len(bars) == 2):
        if not part.any():
            place.set_visible(False)
            continue
        image = _shade(ax, points[part], values[part], FIELD_MAP[name])
        bar = fig.colorbar(image, cax=place)
        bar.locator = MaxNLocator(4)
        place.tick_params(labelsize=7)
        place.yaxis.get_offset_text().set_fontsize(6.5)
        bar.outline.set_linewidth(0.4)
        if len(bars) == 2:
            bar.set_label(label, fontsize=7.5)
    for face in ends[1:-1]:
        ax.axvline(face, color="#555555", linewidth=0.7, linestyle=(0, (4, 3)))


def _shade(ax: Any, corners: Array, values: Array, colours: str) -> Any:
    from matplotlib.tri import Triangulation

    cells = np.arange(corners.shape[0] * corners.shape[1]).reshape(corners.shape[:2])
    flat = corners.reshape(-1, 2)
    mesh = Triangulation(flat[:, 0], flat[:, 1], subdivided(cells))
    return ax.tripcolor(mesh, values.ravel(), shading="gouraud", cmap=colours)


def particles(study: Study) -> str | None:
    """c_s in one particle of each electrode: finest level, homogenised, and their difference on every level."""
    levels = [level for level in study.levels if level.profiles][-LEVELS_SHOWN:]
    electrodes = [
        name
        for name in ("negative", "positive")
        if f"cell_{name}_points" in study.arrays
        and levels
        and all(f"particle_{name}_resolved" in level.profiles for level in levels)
    ]
    if not electrodes:
        return None
    fig = figure(WIDTH, 2.45 * len(electrodes) + 0.2)
    grid = fig.subplots(len(electrodes), 2 + len(levels), squeeze=False)
    for axes, name in zip(grid, electrodes, strict=True):
        _particle_row(fig, axes, study, levels, name)
    return data_uri(fig, "png", dpi=170)


def _particle_row(fig: Any, axes: Any, study: Study, levels: list[Level], name: str) -> None:
    from matplotlib.colors import Normalize

    finest = levels[-1].profiles
    both = [finest[f"particle_{name}_{model}"] for model in ("resolved", "homogenised")]
    norm = Normalize(min(np.nanmin(c) for c in both), max(np.nanmax(c) for c in both))
    differences = [
        lv.profiles[f"particle_{name}_resolved"] - lv.profiles[f"particle_{name}_homogenised"]
        for lv in levels
    ]
    largest = max(float(np.nanmax(np.abs(d), initial=0.0)) for d in differences) or 1.0
    place = float(finest[f"particle_{name}_y"])
    titles = [f"resolved, {levels[-1].label}", "homogenised"]
    for ax, values, title in zip(axes, both, titles, strict=False):
        image = _solid(ax, study, name, values, FIELD_MAP["c_s"], norm)
        ax.set_title(title, fontsize=8.5)
    _bar(fig, image, list(axes[:2]), study.with_unit("$c_s$", "concentration"))
    for ax, values, level in zip(axes[2:], differences, levels, strict=True):
        image = _solid(ax, study, name, values, "RdBu_r", Normalize(-largest, largest))
        ax.set_title(f"difference, {level.label}", fontsize=8.5)
        ax.set_xlabel(f"largest {tex_power(float(np.nanmax(np.abs(values))))}", fontsize=7.5)
    _bar(fig, image, list(axes[2:]), "resolved − homogenised")
    axes[0].set_ylabel(f"{name}\n$z_2$")
    axes[0].set_xlabel(f"$z_1$, at $y_1$ = {study.quantity(f'{place:.3g}', 'length')}", fontsize=7.5)
    axes[1].set_xlabel("$z_1$", fontsize=7.5)
    for ax in axes[1:]:
        ax.set_yticklabels([])


def _bar(fig: Any, image: Any, axes: list[Any], label: str) -> None:
    bar = fig.colorbar(image, ax=axes, location="bottom", fraction=0.07, pad=0.03, aspect=32)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_linewidth(0.4)


def _solid(ax: Any, study: Study, name: str, values: Array, colours: str, norm: Any) -> Any:
    from matplotlib.tri import Triangulation

    points = study.arrays[f"cell_{name}_points"]
    cells = np.asarray(study.arrays[f"cell_{name}_cells"], dtype=int)
    solid = cells[np.isfinite(values[cells]).all(axis=1)]
    mesh = Triangulation(points[:, 0], points[:, 1], subdivided(solid))
    image = ax.tripcolor(mesh, np.nan_to_num(values), shading="gouraud", cmap=colours, norm=norm)
    seen = points[np.unique(solid)]
    margin = 0.02
    ax.set(xlim=(-margin, 1 + margin), ylim=(seen[:, 1].min() - margin, seen[:, 1].max() + margin))
    ax.set_aspect("equal")
    ax.grid(False)
    ax.set_facecolor(EMPTY_COLOUR)
    ax.tick_params(labelsize=6.5)
    ax.locator_params(nbins=4)
    return image
