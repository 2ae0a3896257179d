"""The section on wall laws: excess resistances, and errors and orders with and without them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from dfx_homog.models.excess import visible
from dfx_homog.report.data import Study, number
from dfx_homog.report.html import Numbered, Rows, section, table
from dfx_homog.report.plots_error import delta_axis, slope_triangle
from dfx_homog.report.plots_time import plain_log_axis
from dfx_homog.report.style import FIELD_HTML, WIDTH, data_uri, figure, fixed, power
from dfx_homog.report.tables import MEANS
from dfx_homog.report.theory import order

RESISTANCES = {
    "r_e": "electrolyte, separator faces, <i>r</i><sub>e</sub>",
    "r_T": "heat, separator faces, <i>r</i><sub>T</sub>",
    "r_c": "heat, cooled collectors, <i>r</i><sub>c</sub>",
    "r_s": "solid, collectors, <i>r</i><sub>s</sub>",
}
NORMS = {"l2": "L², leading order", "l2_corrected": "L², with first-order corrector"}
FIELDS = ("Phi_s", "Phi_e", "c_e", "T")
PLOTTED = {"voltage": ("$V$", "#333333", "D"), "T_mean": ("mean $T$", "#c44e52", "o")}
PLOTTED |= {"c_e_negative": ("mean $c_e$, negative", "#4c72b0", "s")}


def walls(study: Study, numbers: Numbered) -> str:
    """Empty without wall laws."""
    found = (study.result or {}).get("walls")
    if not found:
        return ""
    parts = [_resistances(found, numbers)]
    if study.levels and all("wall_law" in level.result for level in study.levels):
        parts += [
            numbers.figure(
                _errors(study),
                "errors with and without wall laws",
                "Errors of the voltage and of two mean values at the final time, without (dashed) and with (solid) "
                "wall laws.",
                narrow=True,
            ),
            _orders(study, numbers),
        ]
    return section("walls", "Wall laws", _lead(found), *parts)


def _lead(found: dict[str, Any]) -> str:
    text = (
        "At the separator the current leaves the whole cross-section of the electrolyte for pores that take only part "
        "of it, at the positive collector it is gathered by the cut solid. Strips of unit cells give what such a face "
        "adds; in the homogenised model it is a jump δ<i>r</i> times the flux."
    )
    if found.get("symmetric"):
        text += " The unit cells are mirror symmetric in <i>z</i>₁: what is left is of second order in δ."
    else:
        text += (
            " The unit cells are not mirror symmetric in <i>z</i>₁ (a corrector reaches "
            f"{power(number(found.get('asymmetry')), 1)} on their faces instead of zero): other terms of first order "
            "remain, and second order is not to be expected."
        )
    return f"<p>{text}</p>"


def _resistances(found: dict[str, Any], numbers: Numbered) -> str:
    rows: Rows = [
        [name, *(fixed(visible(v), 6) for v in found[key])]
        for key, name in RESISTANCES.items()
        if key in found
    ]
    caption = numbers.caption(
        "Excess resistances in lengths of the unit cell, over the unit of <i>k</i> for heat and of σ<sub>s</sub> for "
        f"the solid; read off {found.get('cells', '–')} unit cells from the faces."
    )
    return table(["", "negative side", "positive side"], rows, caption=caption)


def _curves(study: Study, key: str, name: str) -> list[float | None]:
    """Errors of V or a mean at every level; key: "" or "wall_law"."""
    results = [level.result.get(key, {}) if key else level.result for level in study.levels]
    return [number(r.get("means_error", {}).get(name)) for r in results]


def _errors(study: Study) -> str | None:
    fig = figure(0.62 * WIDTH, 3.6)
    ax = fig.subplots()
    delta = np.array([level.delta for level in study.levels])
    for name, (label, colour, marker) in PLOTTED.items():
        for key, line in (("", "--"), ("wall_law", "-")):
            values = np.abs([np.nan if v is None else v for v in _curves(study, key, name)])
            ax.loglog(delta, values, line, color=colour, marker=marker, label=label if key else None)
    delta_axis(ax, study)
    low, high = ax.get_ylim()
    ax.set_ylim(low / 2.5, high * 1.3)
    slope_triangle(ax, delta, 2.0)
    plain_log_axis(ax)
    ax.set_ylabel("absolute error")
    ax.legend(loc="upper left")
    return data_uri(fig)


def _orders(study: Study, numbers: Numbered) -> str:
    levels = study.levels
    pairs = list(pairwise(levels))

    def line(label: str, pick: Any) -> list[str]:
        cells = [label]
        for key in ("", "wall_law"):
            values = [number(pick(level.result.get(key, {}) if key else level.result)) for level in levels]
            found = [
                order(e, f, a.delta / b.delta)
                for (a, b), e, f in zip(pairs, values[:-1], values[1:], strict=True)
            ]
            cells += [power(values[-1], 2), *(fixed(o, 3) for o in found)]
        return cells

    rows: Rows = ["voltage"]
    rows.append(line("at the end", lambda r: r.get("voltage_error")))
    rows.append(line("largest over time", lambda r: r.get("voltage_error_max_over_time")))
    rows.append("mean values at the end")
    for key in [k for k in MEANS if k != "voltage" and k in levels[0].result.get("means_error", {})]:
        rows.append(line(MEANS[key], lambda r, key=key: r.get("means_error", {}).get(key)))
    for norm, heading in NORMS.items():
        rows.append(heading)
        for field in FIELDS:
            rows.append(
                line(
                    FIELD_HTML[field],
                    lambda r, field=field, norm=norm: r.get("errors", {}).get(field, {}).get(norm),
                )
            )
    steps = [f"1/{a.count} → 1/{b.count}" for a, b in pairs]
    finest = f"error, 1/{levels[-1].count}"
    caption = numbers.caption(
        "Errors at the finest level and observed orders in δ of the same quantities without and with wall laws. Norms "
        "without corrector keep the oscillation on the scale of the unit cell, of first order; with it the layers of "
        "width δ at the faces remain, of order 3/2."
    )
    over = [("", 1), ("without wall laws", 1 + len(pairs)), ("with wall laws", 1 + len(pairs))]
    return table(["", finest, *steps, finest, *steps], rows, caption=caption, wide=True, over=over)
