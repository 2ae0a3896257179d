"""Pictures of a battery: temperature and currents over time, maps through the hot spot, surface, stacks of cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from dfx_homog.report.data import Array, History, Study
from dfx_homog.report.plots_time import TIME
from dfx_homog.report.style import FIELD_MAP, HOMOGENISED_COLOUR, WIDTH, data_uri, figure, level_colours

BAND = "#0072B2"
DIRECTIONS = ("x_1", "x_2", "x_3")


def is_battery(history: History | None) -> bool:
    """Whether a history has the columns of a battery."""
    return history is not None and history.rows > 0 and "T_gradient_max" in history.columns


def _length(study: Study) -> tuple[float, str]:
    """Factor and unit of lengths in these pictures: millimetres in SI, else thicknesses of the cell."""
    return (1e3, "mm") if study.in_si else (1.0, "L")


def over_time(study: Study) -> str | None:
    """T with its extremes, its gradients, and the spread of the groups' currents and voltages."""
    history = study.homogenised
    if history is None or not is_battery(history):
        return None
    fig = figure(WIDTH, 2.9)
    axes = fig.subplots(1, 3)
    time = history["time"]
    axes[0].plot(time, history["T_mean"], color=HOMOGENISED_COLOUR, linewidth=2.0)
    axes[0].fill_between(time, history["T_min"], history["T_max"], color="#E69F00", alpha=0.35, linewidth=0)
    axes[0].set(title="Temperature: mean, extremes", ylabel=study.label("$T$", "temperature"))
    axes[1].plot(time, history["T_gradient_max"], color="#E69F00", label="largest")
    axes[1].plot(
        time,
        history["T_gradient_through"],
        color="#555555",
        linestyle=(0, (5, 2)),
        label="through the layers",
    )
    axes[1].set(title="Temperature gradient", ylabel=study.label(r"$|\nabla T|$", "gradient"))
    axes[1].legend()
    _spread(axes[2], study, history)
    for ax in axes:
        ax.set_xlabel(study.label(TIME, "time"))
    return data_uri(fig)


def _spread(ax: Any, study: Study, history: History) -> None:
    """Currents of the groups less their mean where V is common, else voltages less their mean."""
    parallel = spread_of(history, "voltage") <= spread_of(history, "current")
    name, symbol, kind = ("current", "i", "current") if parallel else ("voltage", "V", "voltage")
    mean = history[name]
    low, high = history[f"{name}_min"] - mean, history[f"{name}_max"] - mean
    ax.fill_between(history["time"], low, high, color=BAND, alpha=0.3, linewidth=0)
    ax.axhline(0.0, color="#888888", linewidth=0.7)
    title = "Currents" if parallel else "Voltages"
    ax.set(title=f"{title} of groups less mean", ylabel=study.label(f"${symbol} - \\bar {symbol}$", kind))


def spread_of(history: History, name: str) -> float:
    """Largest difference between groups over time, over the largest value."""
    width = float(np.nanmax(history[f"{name}_max"] - history[f"{name}_min"], initial=0.0))
    return width / max(float(np.nanmax(np.abs(history[name]), initial=0.0)), 1e-300)


def maps(study: Study) -> str | None:
    """T in the three planes of the grid through the hot spot, at the end."""
    planes = {
        d: (study.arrays.get(f"battery_plane_{d}_points"), study.arrays.get(f"battery_plane_{d}_T"))
        for d in (1, 2, 3)
    }
    drawn = {d: (p, T) for d, (p, T) in planes.items() if p is not None and T is not None}
    if not drawn:
        return None
    values = np.concatenate([T.ravel() for _, T in drawn.values()])
    limits = float(values.min()), float(values.max())
    fig = figure(WIDTH, 3.1)
    axes = np.atleast_1d(fig.subplots(1, len(drawn)))
    factor, unit = _length(study)
    wound = study.run.get("battery", {}).get("shape") == "cylinder"
    picture = None
    for ax, (d, (points, T)) in zip(axes, drawn.items(), strict=True):
        x, y, labels = _wound_plane(d, points) if wound else _stacked_plane(d, points)
        if wound and d == 3:
            x, y, T = (np.concatenate([a, a[:, :1]], axis=1) for a in (x, y, T))
        picture = ax.pcolormesh(
            factor * x,
            factor * y,
            T,
            shading="gouraud",
            cmap=FIELD_MAP["T"],
            vmin=limits[0],
            vmax=limits[1],
            rasterized=True,
        )
        ax.set(xlabel=f"${labels[0]}$ ({unit})", ylabel=f"${labels[1]}$ ({unit})")
        ax.grid(False)
        if wound and d == 3:
            ax.set_aspect("equal")
    fig.colorbar(picture, ax=list(axes), label=study.label("$T$", "temperature"), shrink=0.9)
    return data_uri(fig)


def _stacked_plane(d: int, points: Array) -> tuple[Array, Array, tuple[str, str]]:
    a, b = (e for e in range(3) if e != d - 1)
    return points[..., a], points[..., b], (DIRECTIONS[a], DIRECTIONS[b])


def _wound_plane(d: int, points: Array) -> tuple[Array, Array, tuple[str, str]]:
    """The mantle unrolled at the hot spot's radius, the plane through the axis, the cross-section."""
    r = np.hypot(points[..., 0], points[..., 1])
    if d == 1:
        angle = np.unwrap(np.arctan2(points[..., 1], points[..., 0]), axis=0)
        return r * angle, points[..., 2], ("r\\varphi", "x_3")
    if d == 2:
        return r, points[..., 2], ("r", "x_3")
    return points[..., 0], points[..., 1], ("x_1", "x_2")


def surface(study: Study) -> str | None:
    """T on the faces, from outside, at the end."""
    points, T = (study.arrays.get(f"battery_surface_{name}") for name in ("points", "T"))
    if points is None or T is None or not len(points):
        return None
    import matplotlib
    from matplotlib.colors import Normalize
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    factor, unit = _length(study)
    norm = Normalize(float(T.min()), float(T.max()))
    colours = matplotlib.colormaps[FIELD_MAP["T"]](norm(T.mean(axis=1)))
    fig = figure(WIDTH * 0.7, 4.2)
    ax = fig.add_subplot(projection="3d")
    ax.add_collection3d(
        Poly3DCollection(factor * points, facecolors=colours, edgecolors=colours, linewidths=0.2)
    )
    low, high = (factor * f(points.reshape(-1, 3), axis=0) for f in (np.min, np.max))
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    ax.set_box_aspect(np.maximum(high - low, 0.25 * (high - low).max()), zoom=0.85)
    ax.set(xlabel=f"$x_1$ ({unit})", ylabel=f"$x_2$ ({unit})", zlabel=f"$x_3$ ({unit})")
    ax.locator_params(nbins=4)
    mappable = matplotlib.cm.ScalarMappable(norm, FIELD_MAP["T"])
    fig.colorbar(mappable, ax=ax, label=study.label("$T$", "temperature"), shrink=0.7, pad=0.14)
    return data_uri(fig, "png", colours=200)


def stacks(study: Study) -> str | None:
    """T through the stacks and of the battery equation at the end, and the errors against eps."""
    levels = stack_levels(study)
    if not levels or "battery_x" not in study.arrays:
        return None
    fig = figure(WIDTH, 3.3)
    left, right = fig.subplots(1, 2)
    for colour, level in zip(level_colours(len(levels)), levels, strict=True):
        count = level["cells"]
        x, T = (study.arrays.get(f"stack_{count}_{name}") for name in ("x", "T"))
        if x is not None and T is not None:
            left.plot(x, T, color=colour, linewidth=1.0, label=f"$N = {count}$")
    left.plot(
        study.arrays["battery_x"],
        study.arrays["battery_T"],
        color=HOMOGENISED_COLOUR,
        linestyle=(0, (5, 2)),
        label="battery equation",
    )
    left.set(title="Temperature through the stack", xlabel="$x/N$", ylabel=study.label("$T$", "temperature"))
    left.legend(fontsize=7)
    eps = np.array([level["eps"] for level in levels])
    names = {"l2": "$T$, L²", "h1": "$T$, H¹", "h1_corrected": "$T$, H¹ with corrector"}
    for (norm, label), marker in zip(names.items(), "osD", strict=True):
        right.loglog(eps, [level["errors"]["T"][norm] for level in levels], marker=marker, label=label)
    scale = levels[0]["errors"]["T"]["l2"] / eps[0]
    right.loglog(eps, scale * eps, color="#999999", linewidth=0.8, label="order 1")
    right.set(title="Relative error at the end", xlabel=r"$\varepsilon = 1/N$")
    right.legend(fontsize=7)
    return data_uri(fig)


def stack_levels(study: Study) -> list[dict[str, Any]]:
    """Levels of a study of stacks, from coarse to fine."""
    return [level for level in (study.result or {}).get("levels", []) if "eps" in level]
