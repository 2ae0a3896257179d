"""Pictures over time: voltage, state, conservation errors, solver iterations."""

from __future__ import annotations

from typing import Any

import numpy as np

from dfx_homog.report.data import Array, History, Study
from dfx_homog.report.style import HOMOGENISED_COLOUR, WIDTH, data_uri, figure, level_colours

DASH = (0, (5, 2))
TIME = "time $t$"


def lines(study: Study) -> list[tuple[History, Any, str | tuple[Any, ...]]]:
    """Histories with colour and line style: levels from coarse to fine, then homogenised."""
    levels = [level for level in study.levels if level.history and level.history.rows]
    colours = level_colours(len(study.levels))
    found: list[tuple[History, Any, str | tuple[Any, ...]]] = [
        (level.history, colours[study.levels.index(level)], "-") for level in levels if level.history
    ]
    if study.homogenised and study.homogenised.rows:
        found.append((study.homogenised, HOMOGENISED_COLOUR, DASH if levels else "-"))
    return found


def common_difference(one: History, other: History, name: str) -> tuple[Array, Array]:
    """Times that both histories have, and one minus other there."""
    scale = max(float(np.nanmax(other["time"], initial=0.0)), 1e-300)
    keys = [np.round(h["time"] / scale * 1e9).astype(np.int64) for h in (one, other)]
    _, a, b = np.intersect1d(keys[0], keys[1], return_indices=True)
    return one["time"][a], one[name][a] - other[name][b]


def voltage(study: Study) -> str | None:
    """V(t) of all models; with several also the differences from homogenised, plain and over delta."""
    drawn = lines(study)
    if not drawn:
        return None
    compare = study.homogenised is not None and study.homogenised.rows > 1 and len(drawn) > 1
    if not compare:
        fig = figure(WIDTH * 0.75, 3.2)
        _voltage_lines(fig.add_subplot(), study, drawn)
        return data_uri(fig)
    fig = figure(WIDTH, 3.3)
    left, middle, right = fig.subplots(1, 3, width_ratios=(1.25, 1, 1))
    voltage_panel(left, study)
    left.set_title("Voltage")
    _differences(study, middle, right)
    return data_uri(fig)


def voltage_panel(ax: Any, study: Study) -> None:
    """V(t) of all models with the last time steps enlarged."""
    drawn = lines(study)
    _voltage_lines(ax, study, drawn)
    _zoom(ax, drawn)


def _voltage_lines(ax: Any, study: Study, drawn: list[Any]) -> None:
    for history, colour, dash in drawn:
        ax.plot(history["time"], history["voltage"], color=colour, linestyle=dash, label=history.label)
    ax.set(xlabel=study.label(TIME, "time"), ylabel=study.label("voltage $V$", "voltage"))
    if len(drawn) > 1:
        ax.legend(loc="lower left")


def _zoom(ax: Any, drawn: list[Any]) -> None:
    """The last time steps larger, in the upper right corner, where a discharge leaves room."""
    end = min(float(h["time"][-1]) for h, _, _ in drawn)
    start = 0.94 * end
    inset = ax.inset_axes((0.5, 0.56, 0.48, 0.42))
    low, high = np.inf, -np.inf
    for history, colour, dash in drawn:
        time, values = history["time"], history["voltage"]
        inset.plot(time, values, color=colour, linestyle=dash, linewidth=1.2)
        seen = np.interp([start, end], time, values)
        low, high = min(low, *seen), max(high, *seen)
    if not np.isfinite([low, high]).all() or high <= low:
        inset.remove()
        return
    inset.set(xlim=(start, end), ylim=(low - 0.06 * (high - low), high + 0.06 * (high - low)))
    inset.tick_params(labelsize=6.5)
    inset.locator_params(nbins=3)
    inset.set_facecolor("#FAFAFA")
    for spine in inset.spines.values():
        spine.set_visible(True)
    ax.indicate_inset_zoom(inset, edgecolor="#777777", linewidth=0.6)


def _differences(study: Study, plain: Any, scaled: Any) -> None:
    assert study.homogenised is not None
    colours = level_colours(len(study.levels))
    for colour, level in zip(colours, study.levels, strict=True):
        if level.history is None or level.history.rows < 2:
            continue
        time, difference = (a[1:] for a in common_difference(level.history, study.homogenised, "voltage"))
        plain.plot(time, 1e3 * difference, color=colour, label=level.label)
        scaled.plot(time, 1e3 * difference / level.delta, color=colour)
    for ax in (plain, scaled):
        ax.axhline(0, color="#888888", linewidth=0.7)
        ax.margins(y=0.1)
        ax.set_xlabel(study.label(TIME, "time"))
    unlike = (r"$V_\delta - V_0$", r"$(V_\delta - V_0)/\delta$")
    thousandth = (r"$10^3\,(V_\delta - V_0)$", r"$10^3\,(V_\delta - V_0)/\delta$")
    labels = [f"{text} (mV)" for text in unlike] if study.in_si else thousandth
    plain.set(title="Resolved minus homogenised", ylabel=labels[0])
    scaled.set(title="The same over $\\delta$", ylabel=labels[1])


def state(study: Study) -> str | None:
    """Extremes of temperature and electrolyte concentration, and states of charge, over time."""
    drawn = lines(study)
    if not drawn:
        return None
    fig = figure(WIDTH, 2.9)
    bands = (
        ("$T$", "T_min", "T_max", "T_mean", "temperature"),
        ("$c_e$", "c_e_min", "c_e_max", "", "concentration"),
    )
    axes = fig.subplots(1, 3)
    for ax, (symbol, low, high, mean, kind) in zip(axes, bands, strict=False):
        for history, colour, dash in drawn:
            time = history["time"]
            for name in (low, high):
                ax.plot(time, history[name], color=colour, linestyle=dash, linewidth=1.0)
            if mean:
                ax.plot(time, history[mean], color=colour, linestyle=dash, linewidth=2.2)
            if len(drawn) == 1:
                ax.fill_between(time, history[low], history[high], color=colour, alpha=0.12, linewidth=0)
        ax.set(xlabel=study.label(TIME, "time"), ylabel=study.label(symbol, kind))
    axes[0].set_title("Temperature: mean, extremes")
    axes[1].set_title("Electrolyte: extremes of $c_e$")
    for history, colour, dash in drawn:
        axes[2].plot(history["time"], history["soc_n"], color=colour, linestyle=dash)
        axes[2].plot(history["time"], history["soc_p"], color=colour, linestyle=dash, linewidth=2.2)
    _name_ends(axes[2], drawn[-1][0])
    axes[2].set(xlabel=study.label(TIME, "time"), ylabel=r"mean $c_s/c_{\max}$", title="State of charge")
    legend_of_models(fig, drawn)
    return data_uri(fig)


def _name_ends(ax: Any, history: History) -> None:
    """Names of the electrodes next to their curves, near the start."""
    place = 0.12 * float(history["time"][-1])
    starts = {name: float(np.interp(place, history["time"], history[name])) for name in ("soc_n", "soc_p")}
    upper = max(starts, key=lambda name: starts[name])
    for name, text in (("soc_n", "negative"), ("soc_p", "positive")):
        if np.isfinite(starts[name]):
            ax.annotate(
                text,
                (place, starts[name]),
                xytext=(5, 4 if name == upper else -4),
                textcoords="offset points",
                va="bottom" if name == upper else "top",
                color="#555555",
            )


def legend_of_models(fig: Any, drawn: list[Any]) -> None:
    """Names of the models below the panels; none for a single one."""
    from matplotlib.lines import Line2D

    if len(drawn) > 1:
        handles = [Line2D([], [], color=c, linestyle=d, label=h.label) for h, c, d in drawn]
        fig.legend(handles=handles, loc="outside lower center", ncols=min(len(drawn), 7))


def conservation(study: Study) -> str | None:
    """Relative errors of lithium, charge and energy against time; zeros are drawn at the lower edge."""
    drawn = [entry for entry in lines(study) if entry[0].rows > 1]
    if not drawn:
        return None
    fig = figure(WIDTH, 3.1)
    axes = fig.subplots(1, 3, sharey=True)
    top = 1e-12
    for ax, name, limit in zip(axes, ("lithium", "charge", "energy"), (1e-10, 1e-10, 1e-8), strict=True):
        for history, colour, dash in drawn:
            values = history.conservation(name)[1:]
            ax.semilogy(
                history["time"][1:], np.maximum(values, 1e-17), color=colour, linestyle=dash, linewidth=1.1
            )
            top = max(top, float(np.nanmax(values, initial=0.0)))
        ax.axhline(limit, color="#B00020", linewidth=0.9, linestyle=(0, (1, 1.5)))
        ax.annotate(
            f"limit $10^{{{round(np.log10(limit))}}}$",
            (0.98, limit),
            xycoords=("axes fraction", "data"),
            xytext=(0, -3),
            textcoords="offset points",
            ha="right",
            va="top",
            color="#B00020",
            fontsize=7.5,
        )
        ax.set(xlabel=study.label(TIME, "time"), title=name.capitalize())
        if np.isnan(drawn[0][0].conservation(name)[1:]).all():
            ax.text(0.5, 0.5, "does not apply", transform=ax.transAxes, ha="center", color="#777777")
    axes[0].set(ylabel="relative error", ylim=(5e-18, max(1e-7, 10 * top)))
    legend_of_models(fig, drawn)
    return data_uri(fig)


def solver(study: Study) -> str | None:
    """Krylov iterations over time, and against unknowns with seconds per step; for a single run over time only."""
    drawn = [entry for entry in lines(study) if entry[0].rows > 1]
    if not drawn:
        return None
    sized = [level for level in study.levels if level.result.get("dofs") and level.history]
    fig = figure(WIDTH, 2.9)
    axes = fig.subplots(1, 3)
    for history, colour, dash in drawn:
        time = history["time"][1:]
        axes[0].plot(time, history["newton"][1:], color=colour, linestyle=dash, drawstyle="steps-mid")
        axes[1].plot(time, history.krylov_per_newton(), color=colour, linestyle=dash)
        if not sized:
            axes[2].plot(time, history["seconds"][1:], color=colour, linestyle=dash)
    axes[0].set(title="Newton iterations a step", xlabel=study.label(TIME, "time"), ylabel="iterations")
    axes[1].set(
        title="Krylov iterations a Newton step", xlabel=study.label(TIME, "time"), ylabel="mean iterations"
    )
    for ax in axes[:2]:
        ax.set_ylim(0, max(1.25 * ax.get_ylim()[1], 5))
        ax.yaxis.get_major_locator().set_params(integer=True)
    if sized:
        _growth(axes[2], sized)
    else:
        axes[2].set(title="Wall time of a step", xlabel=study.label(TIME, "time"), ylabel="seconds")
        axes[2].set_ylim(bottom=0)
    legend_of_models(fig, drawn)
    return data_uri(fig)


def plain_log_axis(ax: Any) -> None:
    """Plain numbers 1, 2, 5 on a logarithmic y axis that spans little more than a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = ax.get_ylim()
    if low > 0 and high / low < 200:
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        ax.yaxis.set_minor_locator(NullLocator())


def _growth(ax: Any, sized: list[Any]) -> None:
    """Seconds per step against unknowns, with the line of linear growth through the first level."""
    from matplotlib.ticker import NullLocator

    colours = level_colours(len(sized))
    unknowns = np.array([level.result["dofs"] for level in sized], dtype=float)
    seconds = np.array([np.nanmean(level.history["seconds"][1:]) for level in sized])
    ax.loglog(unknowns, seconds[0] * unknowns / unknowns[0], color="#999999", linewidth=0.8, linestyle="--")
    ax.annotate(
        "linear",
        (unknowns[-1], seconds[0] * unknowns[-1] / unknowns[0]),
        ha="right",
        va="bottom",
        color="#777777",
        xytext=(-6, 3),
        textcoords="offset points",
    )
    ax.loglog(unknowns, seconds, color="#444444", linewidth=0.8)
    for colour, x, y in zip(colours, unknowns, seconds, strict=True):
        ax.plot(x, y, "o", color=colour, markersize=6)
    ax.set(title="Wall time of a step", xlabel="unknowns", ylabel="mean seconds")
    ax.margins(0.15)
    ax.set_xticks(unknowns, [f"{u:,.0f}".replace(",", "\u2009") for u in unknowns])
    ax.xaxis.set_minor_locator(NullLocator())
    plain_log_axis(ax)
