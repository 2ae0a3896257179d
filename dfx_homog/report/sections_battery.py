"""The sections on a battery: its temperature, hot spot and currents; stacks of cells against the battery equation."""

from __future__ import annotations

from itertools import pairwise

from dfx_homog.report import plots_battery
from dfx_homog.report.data import Json, Study, number
from dfx_homog.report.html import Numbered, Rows, matrix, section, table
from dfx_homog.report.style import fixed, power, short


def battery(study: Study, numbers: Numbered) -> str:
    """Temperature, hot spot, voltage and currents of a run with [battery]; empty for others."""
    if not plots_battery.is_battery(study.homogenised):
        return ""
    facts = (study.result or {}).get("battery", {})
    parallel = study.run.get("battery", {}).get("connection") == "parallel"
    shared = (
        "Right: currents of the cell models less their mean; warm cells take more."
        if parallel
        else "Right: voltages of the cell models less their mean; the voltage of the run is their mean, that of all "
        "cells in series the sum."
    )
    return section(
        "battery",
        "The battery",
        _facts(study, facts, numbers),
        numbers.figure(
            plots_battery.over_time(study),
            "temperature, its gradients and the spread between cells over time",
            "Left: mean temperature of the battery and its extremes. Middle: largest gradient, and its part through "
            f"the layers, where the battery conducts worst. {shared}",
        ),
        numbers.figure(
            plots_battery.maps(study),
            "temperature in planes through the hot spot",
            "Temperature at the end in the planes of the grid through the hottest node.",
        ),
        numbers.figure(
            plots_battery.surface(study),
            "temperature of the surface",
            "Temperature of the faces at the end.",
            narrow=True,
        ),
    )


def _facts(study: Study, facts: Json, numbers: Numbered) -> str:
    """Effective coefficients, groups and the hot spot."""
    if not facts:
        return ""
    K = [[short(number(v)) for v in row] for row in facts.get("K_batt", [])]
    rows: Rows = [
        [study.with_unit("<i>K</i><sub>batt</sub>", "thermal"), matrix(K) if K else ""],
        [study.with_unit("θ<sub>batt</sub>", "capacity"), short(number(facts.get("theta_batt")))],
        ["cells <i>N</i>, ε = 1/<i>N</i>", f"{facts.get('cells')}, {short(number(facts.get('eps')))}"],
        ["elements, cell models", f"{facts.get('elements')}, {facts.get('groups')}"],
    ]
    history = study.homogenised
    if history is not None and history.rows:
        factor, unit = (1e3, "mm") if study.in_si else (1.0, "<i>L</i>")
        place = [factor * float(history[f"hot_spot_x{i}"][-1]) for i in (1, 2, 3)]
        rows.append(["hot spot at the end", ", ".join(short(p) for p in place) + f"&nbsp;{unit}"])
        within = study.quantity(short(history.largest("T_within_cell")), "difference")
        rows.append(["largest max|<i>Q</i>|/(8 <i>K</i>₁₁), by which <i>T</i> varies within a cell", within])
        rows.append(["iterations of the coupling in a step, at most", short(history.largest("coupling"))])
    caption = numbers.caption(
        "The battery: conductivity and heat capacity of the repeating unit (layers in closed form), the cell models, "
        "and how well it is a continuum."
    )
    return table(["", ""], rows, caption=caption, classes="pairs")


def stacks(study: Study, numbers: Numbered) -> str:
    """Errors of the battery equation against eps; empty for other studies."""
    levels = plots_battery.stack_levels(study)
    if not levels:
        return ""
    return section(
        "stacks",
        "Error against ε",
        "<p>Every cell of a stack resolved on the meso scale, with its own electrochemistry at the local temperature, "
        "against the battery equation with <i>K</i><sub>batt</sub> and θ<sub>batt</sub>. Conductivities and heat "
        "exchange of a stack of <i>N</i> cells are scaled so that the macro problem is the same for all <i>N</i>.</p>",
        numbers.figure(
            plots_battery.stacks(study),
            "temperature through the stacks and errors against eps",
            "Left: temperature at the end through stacks of <i>N</i> cells, and that of the battery equation. Right: "
            "relative errors; the slope of <i>T</i> does not converge without the corrector <i>W</i> of the layers.",
        ),
        _orders(study, levels, numbers),
    )


def _orders(study: Study, levels: list[Json], numbers: Numbered) -> str:
    found = (study.result or {}).get("orders", {})
    pairs = [f"1/{a['cells']} → 1/{b['cells']}" for a, b in pairwise(levels)]
    head = ["", *[f"1/{level['cells']}" for level in levels], *pairs]
    names = {
        "l2": "<i>T</i>, L²",
        "l2_corrected": "<i>T</i>, L², with corrector",
        "h1": "<i>T</i>, H¹ seminorm",
        "h1_corrected": "<i>T</i>, H¹ seminorm, with corrector",
    }
    rows: Rows = []
    for norm, text in names.items():
        errors = [power(number(level["errors"]["T"][norm])) for level in levels]
        rows.append([text, *errors, *_shown(found.get("T", {}).get(norm, []))])
    volts = [power(number(level["voltage_error"])) for level in levels]
    rows.append(
        [study.with_unit("mean <i>V</i> of a cell", "voltage"), *volts, *_shown(found.get("voltage", []))]
    )
    over = [("", 1), ("error at ε =", len(levels)), ("order in ε", len(pairs))]
    caption = numbers.caption(
        "Errors of the battery equation at the end, and observed orders in ε = 1/<i>N</i>."
    )
    return table(head, rows, caption=caption, over=over)


def _shown(orders: list[float | None]) -> list[str]:
    return ["–" if order is None else fixed(order, 2) for order in orders]
