"""Pictures of where the volts go: losses by mechanism stacked over time, and the voltages over the charge passed."""

from __future__ import annotations

from typing import Any

import numpy as np

from dfx_homog.report.data import Array, History, Study
from dfx_homog.report.plots_time import TIME, lines
from dfx_homog.report.style import WIDTH, data_uri, figure

# Mechanism: name, colour (Okabe & Ito) of its columns; those of the electrodes are told apart by lightness.
MECHANISMS: dict[str, tuple[str, str]] = {
    "electrolyte_ohmic": ("electrolyte, ohmic", "#56B4E9"),
    "electrolyte_diffusion": ("electrolyte, concentration", "#009E73"),
    "electronic": ("electronic", "#D55E00"),
    "reaction": ("reaction", "#E69F00"),
    "film": ("film", "#CC79A7"),
    "particle": ("diffusion in particles", "#0072B2"),
    "uneven": ("uneven between particles", "#8A8A8A"),
    "temperature": ("temperature", "#F0E442"),
    "walls": ("wall laws", "#444444"),
}
PLACES = {"n": "negative", "p": "positive", "": ""}
LIGHTER = {"n": 0.55, "p": 1.0, "": 1.0}
SEEN = 2e-3  # of the largest sum: a band that is thinner everywhere is not named


def has_losses(history: History) -> bool:
    """Whether a history has the columns of the losses."""
    return "open_circuit" in history.columns


def parts(history: History) -> list[tuple[str, str, Array]]:
    """Mechanism, place ("n", "p" or "") and values of every loss that a history has."""
    found = []
    for mechanism in MECHANISMS:
        for place in PLACES:
            name = f"loss_{mechanism}_{place}".rstrip("_")
            if name in history.columns:
                found.append((mechanism, place, history[name]))
    return found


def total(history: History) -> Array:
    """Sum of all losses."""
    return np.asarray(np.sum([values for _, _, values in parts(history)], axis=0))


def charge(history: History) -> Array:
    """Charge that has passed, int i_app dt, by the rule of implicit Euler: a step has the current at its end."""
    steps = np.diff(history["time"], prepend=history["time"][:1])
    return np.asarray(np.cumsum(steps * history["current"]))


def detail(study: Study) -> History | None:
    """The history that is shown: the finest resolved level, or the only run."""
    found = [history for history, _, _ in lines(study) if has_losses(history)]
    levels = [history for history in found if history is not study.homogenised]
    chosen = levels or found
    return chosen[-1] if chosen else None


def stacked(study: Study) -> str | None:
    """Losses over time, stacked, and voltage below the open-circuit voltage over the charge passed."""
    history = detail(study)
    if history is None or history.rows < 2:
        return None
    fig = figure(WIDTH, 3.6)
    left, right = fig.subplots(1, 2, width_ratios=(1.25, 1))
    stack(left, history, history["time"])
    left.set(xlabel=study.label(TIME, "time"), ylabel=study.label("loss of voltage", "voltage"))
    left.set_title("Losses by mechanism")
    passed = charge(history)
    right.plot(passed, history["open_circuit"], color="#777777", linewidth=1.2, label="open circuit")
    right.plot(passed, history["voltage"], color="#000000", label="voltage $V$")
    right.fill_between(passed, history["voltage"], history["open_circuit"], color="#BBBBBB", alpha=0.35)
    right.set(
        xlabel=study.with_unit(r"charge passed $\int i_{app}\,dt$", "charge"),
        ylabel=study.label("voltage", "voltage"),
        title="What is left",
    )
    right.legend(loc="best")
    fig.legend(*left.get_legend_handles_labels(), loc="outside right upper", reverse=True)
    return data_uri(fig)


def stack(ax: Any, history: History, x: Array) -> None:
    """Losses on top of each other: what costs upwards, what helps downwards; the line is the sum."""
    up, down = np.zeros(len(x)), np.zeros(len(x))
    whole = total(history)
    seen = SEEN * max(float(np.nanmax(np.abs(whole), initial=0.0)), 1e-300)
    for mechanism, place, values in parts(history):
        name, colour = MECHANISMS[mechanism]
        label = f"{name}, {PLACES[place]}" if place else name
        above, below = np.maximum(values, 0), np.minimum(values, 0)
        look: dict[str, Any] = {"color": colour, "alpha": LIGHTER[place], "linewidth": 0}
        named = label if np.nanmax(np.abs(values), initial=0.0) > seen else None
        ax.fill_between(x, up, up + above, label=named, **look)
        ax.fill_between(x, down, down + below, **look)
        up, down = up + above, down + below
    ax.plot(x, whole, color="#000000", linewidth=1.3, label="sum")
    ax.axhline(0, color="#444444", linewidth=0.7)
    if x[-1] > x[0]:
        ax.set_xlim(x[0], x[-1])
