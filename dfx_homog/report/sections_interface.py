"""The section on what the particle surfaces do; empty for histories without the columns that it needs."""

from __future__ import annotations

import numpy as np

from dfx_homog.report import plots_interface
from dfx_homog.report.data import History, Study, number
from dfx_homog.report.html import Numbered, Rows, section, table
from dfx_homog.report.style import fixed, short

PLACES = {"n": "negative", "s": "separator", "p": "positive"}


def interface(study: Study, numbers: Numbered) -> str:
    """Reaction rates, plating, heat by mechanism, hot spot."""
    history = plots_interface.detail(study)
    if history is None:
        return ""
    several = len(plots_interface.evaluated(study)) > 1
    of = f" of {history.label.replace(' = ', chr(160) + '=' + chr(160))}" if several else ""
    widths = ", thick: negative electrode, thin: positive" if several else ""
    parts = [
        numbers.figure(
            plots_interface.rates(study),
            "reaction current density, overpotential and heterogeneity index over time",
            f"Left and middle: reaction current density <i>j</i> = <i>Gg</i> and overpotential η{of} over the "
            "interface Γ of each electrode, mean (thick) and between smallest and largest local value; positive "
            f"leaves the solid. Right: heterogeneity index, the coefficient of variation of <i>j</i> over Γ{widths}. "
            "It is not defined where the mean of <i>j</i> vanishes. In the homogenised model Γ is that of the unit "
            "cells at all points.",
        ),
        numbers.figure(
            plots_interface.surface(study),
            "reaction current density on the particle surfaces",
            "Reaction current density <i>j</i> on the particle surfaces at the final time, with a colour scale for "
            "each electrode"
            + (f" (coarsest level, {study.levels[0].label})" if study.levels else "")
            + ". One row of unit cells.",
        ),
        f"<p>{plating_sentence(study, history, of)}</p>",
        numbers.figure(
            plots_interface.plating(study),
            "smallest potential difference on the negative surface over time",
            "Smallest Φ<sub>s</sub> − Φ<sub>e</sub> on the surface of the negative electrode. Potentials are "
            "against lithium if the equilibrium potential of the run file is: then metallic lithium is stable where "
            "the difference is below zero.",
            narrow=True,
        ),
        numbers.figure(
            plots_interface.heat(study),
            "heat by mechanism over time",
            f"Heat by mechanism{of}, per area of the collector; what cools is drawn downwards. The reversible part "
            "is the Peltier heat λ<i>Gg</i>Π, with the entropy of the dissolved lithium if η is measured against a "
            "lithium electrode. Joule heat of the electrolyte contains diffusion currents and may be negative. "
            "What goes into the double layer is stored, no heat.",
            narrow=True,
        ),
        heat_table(study, history, numbers, of),
        f"<p>{hot_sentence(study, history)}</p>",
    ]
    return section("surfaces", "On the particle surfaces", *parts)


def _place(study: Study, history: History, name: str, row: int) -> str:
    found = [history[f"{name}_y{i}"][row] for i in (1, 2, 3) if f"{name}_y{i}" in history.columns]
    if not found or not np.isfinite(found).all():
        return ""
    text = ", ".join(short(float(v), 4) for v in found)
    text = study.quantity(text if len(found) == 1 else f"({text})", "length")
    return f"<i>y</i>₁ = {text}" if len(found) == 1 else f"<i>y</i> = {text}"


def plating_sentence(study: Study, history: History, of: str) -> str:
    """Where and when Phi_s - Phi_e is smallest, and whether it falls below zero."""
    values, time = history["plating_min"], history["time"]
    if not np.isfinite(values).any():
        return ""
    row = int(np.nanargmin(values))
    place = _place(study, history, "plating", row)
    text = (
        f"Φ<sub>s</sub> − Φ<sub>e</sub> on the negative surface{of} is smallest at <i>t</i> = {_time(study, time[row])}"
        f"{f', {place}' if place else ''}: <b>{study.quantity(fixed(float(values[row]), 5), 'voltage')}</b>. "
    )
    below = np.flatnonzero(values < 0)
    if len(below):
        return (
            text
            + f"It is below zero, where lithium may plate, from <i>t</i> = {_time(study, time[below[0]])} on."
        )
    return text + "It stays above zero: no place at which lithium may plate."


def _time(study: Study, time: float) -> str:
    return study.quantity(short(float(time)), "time")


def hot_sentence(study: Study, history: History) -> str:
    """Where it is hottest at the end; empty for an isothermal run."""
    place = _place(study, history, "hot", -1)
    if not place:
        return ""
    spread = float(history["T_max"][-1] - history["T_min"][-1])
    return (
        f"At the end it is hottest at {place}: <i>T</i> = "
        f"{study.quantity(short(float(history['T_max'][-1]), 5), 'temperature')}, "
        f"{study.quantity(short(spread, 3), 'temperature')} above the coldest place."
    )


def heat_table(study: Study, history: History, numbers: Numbered, of: str) -> str:
    """Heat over the whole run by mechanism and region, and its share of the total."""
    if history.rows < 2:
        return ""
    scheme = study.run.get("time", {}).get("scheme", "backward-euler")
    found: dict[str, dict[str, float]] = {}
    for mechanism in plots_interface.MECHANISMS:
        for column in plots_interface.mechanism_columns(history, mechanism):
            found.setdefault(mechanism, {})[column[-1]] = _over_time(history, column, scheme)
    total = sum(sum(places.values()) for places in found.values())
    rows: Rows = []
    for mechanism, places in found.items():
        whole = sum(places.values())
        cells = [short(places[p], 4) if p in places else "–" for p in PLACES]
        name = plots_interface.MECHANISMS[mechanism][0]
        rows.append([name, *cells, short(whole, 4), _percent(whole, total)])
    sums = [sum(places.get(p, 0.0) for places in found.values()) for p in PLACES]
    rows.append(["all", *[short(s, 4) for s in sums], short(total, 4), _percent(total, total)])
    caption = (
        f"Heat by mechanism and region{of}, integrated over the run, per area of the collector "
        f"({study.unit('energy') or 'dimensionless'}). "
        "Negative: it cools."
    )
    return table(["", *PLACES.values(), "all", "share"], rows, caption=numbers.caption(caption))


def _over_time(history: History, column: str, scheme: str) -> float:
    """Implicit Euler: every step counts with its end, as in its energy balance; else the trapezoidal rule."""
    values = history[column]
    inner = values[1:] if scheme == "backward-euler" else 0.5 * (values[1:] + values[:-1])
    return float(np.diff(history["time"]) @ inner)


def _percent(part: float, whole: float) -> str:
    share = number(100 * part / whole) if whole else None
    return f"{fixed(share, 1)} %" if share is not None else "–"
