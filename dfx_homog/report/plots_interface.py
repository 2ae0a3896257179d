"""Pictures of what the particle surfaces do: rates, overpotentials, heterogeneity, plating, heat by mechanism."""

from __future__ import annotations

from typing import Any

import numpy as np

from dfx_homog.report.data import Array, History, Study
from dfx_homog.report.geometry import SOLID, outlines
from dfx_homog.report.plots_geometry import few_ticks, region_faces
from dfx_homog.report.plots_time import TIME, legend_of_models, lines
from dfx_homog.report.style import EMPTY_COLOUR, WIDTH, data_uri, figure

ELECTRODE_COLOUR = {"n": "#0072B2", "p": "#D55E00"}
ELECTRODE_NAME = {"n": "negative", "p": "positive"}
RATE_MAP = "viridis"
# Mechanism: name, colour, columns that belong to it; colours of Okabe & Ito.
MECHANISMS: dict[str, tuple[str, str]] = {
    "joule_s": ("Joule, solid", "#D55E00"),
    "joule_e": ("Joule, electrolyte", "#56B4E9"),
    "irreversible": ("reaction, irreversible", "#E69F00"),
    "reversible": ("reaction, reversible", "#009E73"),
    "film": ("film on the surface", "#CC79A7"),
}


def has_statistics(history: History) -> bool:
    """Whether a history has columns of the interface."""
    return "rate_mean_n" in history.columns


def evaluated(study: Study) -> list[tuple[History, Any, Any]]:
    """Histories with statistics, their colours and line styles."""
    return [entry for entry in lines(study) if has_statistics(entry[0])]


def mechanism_columns(history: History, mechanism: str) -> list[str]:
    """Columns of the heat of one mechanism, over the places where it acts."""
    return [name for name in history.columns if name.startswith(f"heat_{mechanism}_")]


def detail(study: Study) -> History | None:
    """The history whose heat is shown: the finest resolved level, or the only run."""
    found = evaluated(study)
    levels = [entry for entry in found if entry[0] is not study.homogenised]
    chosen = levels or found
    return chosen[-1][0] if chosen else None


def rates(study: Study) -> str | None:
    """Reaction rate and overpotential of one history with their ranges, and the heterogeneity index of all."""
    history = detail(study)
    if history is None:
        return None
    fig = figure(WIDTH, 3.0)
    left, middle, right = fig.subplots(1, 3)
    current = "$j$" if study.in_si else "$j = Gg$"
    for ax, name, label, kind in (
        (left, "rate", current, "current"),
        (middle, "eta", r"$\eta$", "voltage"),
    ):
        for e, colour in ELECTRODE_COLOUR.items():
            _band(ax, history, name, e, colour)
        ax.axhline(0, color="#888888", linewidth=0.7)
        ax.set(xlabel=study.label(TIME, "time"), ylabel=study.label(label, kind))
    left.set_title("Reaction current density")
    middle.set_title("Overpotential")
    left.legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none")
    _heterogeneity(right, study)
    return data_uri(fig)


def _band(ax: Any, history: History, name: str, e: str, colour: str) -> None:
    """Mean, and between smallest and largest value."""
    time = history["time"]
    low, high = history[f"{name}_min_{e}"], history[f"{name}_max_{e}"]
    ax.fill_between(time, low, high, color=colour, alpha=0.18, linewidth=0)
    for edge in (low, high):
        ax.plot(time, edge, color=colour, linewidth=0.7)
    ax.plot(time, history[f"{name}_mean_{e}"], color=colour, linewidth=1.8, label=ELECTRODE_NAME[e])


def _heterogeneity(ax: Any, study: Study) -> None:
    """Coefficient of variation in percent: electrodes by colour for one run, by line width for several."""
    drawn = evaluated(study)
    for history, colour, dash in drawn:
        for e, width in (("n", 1.8), ("p", 0.9)):
            one = len(drawn) == 1
            ax.plot(
                history["time"],
                100 * history[f"rate_cv_{e}"],
                color=ELECTRODE_COLOUR[e] if one else colour,
                linestyle=dash,
                linewidth=1.6 if one else width,
                label=ELECTRODE_NAME[e] if one else None,
            )
    ax.set(title="Heterogeneity index", xlabel=study.label(TIME, "time"), ylabel="std over |mean| of $j$ (%)")
    ax.set_ylim(bottom=0)
    if len(drawn) > 1:
        _legend_beside(ax, drawn)
    else:
        ax.legend(loc="best")


def _legend_beside(ax: Any, drawn: list[Any]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=c, linestyle=d, label=h.label) for h, c, d in drawn]
    ax.legend(handles=handles, loc="upper right", fontsize=7, handlelength=1.6)


def plating(study: Study) -> str | None:
    """Smallest Phi_s - Phi_e on the negative surface over time, with the line below which lithium may plate."""
    drawn = evaluated(study)
    if not drawn:
        return None
    fig = figure(WIDTH * 0.75, 2.9)
    ax = fig.add_subplot()
    for history, colour, dash in drawn:
        ax.plot(history["time"], history["plating_min"], color=colour, linestyle=dash)
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, -0.06 * high if high > 0 else low), max(high, 0.0))
    ax.axhspan(ax.get_ylim()[0], 0, color="#B00020", alpha=0.07, linewidth=0)
    ax.axhline(0, color="#B00020", linewidth=0.9)
    ax.annotate(
        "lithium may plate below",
        (0.99, 0),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        va="bottom",
        color="#B00020",
        fontsize=7.5,
    )
    ax.set(xlabel=study.label(TIME, "time"), ylabel=study.label(r"min of $\Phi_s - \Phi_e$", "voltage"))
    legend_of_models(fig, drawn)
    return data_uri(fig)


def heat(study: Study) -> str | None:
    """Heat by mechanism, stacked over time: what heats upwards, what cools downwards; the line is the sum."""
    history = detail(study)
    if history is None:
        return None
    fig = figure(WIDTH * 0.75, 3.2)
    ax = fig.add_subplot()
    time = history["time"]
    up, down = np.zeros(len(time)), np.zeros(len(time))
    for mechanism, (name, colour) in MECHANISMS.items():
        columns = mechanism_columns(history, mechanism)
        if not columns:
            continue
        power = np.nan_to_num(np.sum([history[c] for c in columns], axis=0))
        above, below = np.maximum(power, 0), np.minimum(power, 0)
        ax.fill_between(time, up, up + above, color=colour, linewidth=0, label=name)
        ax.fill_between(time, down, down + below, color=colour, linewidth=0)
        up, down = up + above, down + below
    ax.plot(time, up + down, color="#000000", linewidth=1.3, label="sum")
    ax.axhline(0, color="#444444", linewidth=0.7)
    ax.set(
        xlabel=study.label(TIME, "time"),
        ylabel=study.label("heat per collector area\n", "heat"),
        xlim=(time[0], time[-1]),
    )
    fig.legend(loc="outside right upper", reverse=True)
    return data_uri(fig)


def surface(study: Study) -> str | None:
    """The particle surfaces, coloured with the reaction rate: a line in the plane, triangles in space."""
    points = study.arrays.get("interface_points")
    if points is None or not len(points):
        return None
    return _in_space(study, points) if points.shape[2] == 3 else _in_plane(study, points)


def _pieces(points: Array, values: Array) -> tuple[Array, Array]:
    """Straight pieces of facets with their mean values: segments (m, 2, 2) or triangles (m, 3, 3)."""
    corners = {
        2: [[0, 1]],
        3: [[0, 2], [2, 1]] if points.shape[2] == 2 else [[0, 1, 2]],
        6: [[0, 5, 4], [1, 3, 5], [2, 4, 3], [3, 4, 5]],
    }[points.shape[1]]
    found = points[:, corners], values[:, corners].mean(axis=2)
    return found[0].reshape(-1, *found[0].shape[2:]), found[1].ravel()


def _by_electrode(study: Study, points: Array) -> list[tuple[str, Array, Array]]:
    rate = study.arrays["interface_values"][:, :, 0]
    electrode = study.arrays["interface_electrode"]
    parts = [(name, electrode == k) for k, name in enumerate(ELECTRODE_NAME.values())]
    return [(name, *_pieces(points[here], rate[here])) for name, here in parts if here.any()]


def _bars(fig: Any, images: list[tuple[str, Any]], places: list[Any]) -> None:
    from matplotlib.ticker import MaxNLocator

    for (name, image), place in zip(images, places, strict=False):
        bar = fig.colorbar(image, cax=place)
        bar.locator = MaxNLocator(4)
        place.tick_params(labelsize=7)
        place.yaxis.get_offset_text().set_fontsize(6.5)
        bar.outline.set_linewidth(0.4)
        bar.set_label(name, fontsize=7.5)
    for place in places[len(images) :]:
        place.set_visible(False)


def _in_plane(study: Study, points: Array) -> str:
    from matplotlib.collections import LineCollection, PolyCollection

    (left, bottom), (right, top) = points.min(axis=(0, 1)), points.max(axis=(0, 1))
    mesh = study.arrays.get("mesh_points", np.zeros((0, 3, 2)))
    if len(mesh):
        left, right = float(mesh[..., 0].min()), float(mesh[..., 0].max())
        bottom = float(mesh[..., 1].min())
    height = min(0.8 * WIDTH * (top - bottom) / (right - left), 4.5)
    fig = figure(WIDTH, height + 0.75)
    grid = fig.add_gridspec(1, 3, width_ratios=(60, 1, 1))
    ax = fig.add_subplot(grid[0])
    solid = mesh[np.asarray(study.arrays.get("mesh_phase", ())) == SOLID] if len(mesh) else mesh
    grey: dict[str, Any] = {"facecolors": EMPTY_COLOUR, "edgecolors": EMPTY_COLOUR, "linewidths": 0.3}
    ax.add_collection(PolyCollection(outlines(solid), **grey))
    images = []
    for name, segments, rate in _by_electrode(study, points):
        image = LineCollection(segments, array=rate, cmap=RATE_MAP, linewidths=3.0, capstyle="round")
        ax.add_collection(image)
        images.append((name, image))
    margin = 0.02 * (top - bottom)
    ax.set(
        xlim=(left, right),
        ylim=(bottom - margin, top + margin),
        xlabel=study.label("$y_1$", "length"),
        ylabel=study.with_unit("$y_2$", "length"),
    )
    ax.set_aspect("equal")
    ax.grid(False)
    few_ticks(ax)
    region_faces(ax, study)
    _bars(fig, images, [fig.add_subplot(grid[k]) for k in (1, 2)])
    return data_uri(fig, "png", dpi=170)


def _in_space(study: Study, points: Array) -> str:
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    low, high = points.min(axis=(0, 1)), points.max(axis=(0, 1))
    size = high - low
    fig = figure(WIDTH, 3.1)
    grid = fig.add_gridspec(1, 3, width_ratios=(60, 1, 1))
    ax = fig.add_subplot(grid[0], projection="3d", proj_type="ortho")
    images = []
    for name, triangles, rate in _by_electrode(study, points):
        image = Poly3DCollection(triangles, array=rate, cmap=RATE_MAP, linewidths=0, antialiased=False)
        image.set_clip_on(False)  # the axes are as wide as high, what is drawn in them is wider
        ax.add_collection3d(image)
        images.append((name, image))
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]), yticks=(), zticks=())
    ax.set_box_aspect(size, zoom=2.4 * size[0] / (size[0] + 1.6 * size[1]))
    ax.view_init(elev=20, azim=-68)
    ax.set_xlabel(study.label("$y_1$", "length"), labelpad=16)
    ax.tick_params(labelsize=7, pad=1)
    ax.locator_params(axis="x", nbins=6)
    _bars(fig, images, [fig.add_subplot(grid[k]) for k in (1, 2)])
    return data_uri(fig, "png", dpi=170)
