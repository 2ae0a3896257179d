"""Tables of results: errors and orders, extrapolated limits, conservation, iterations, progress."""

from __future__ import annotations

from html import escape
from itertools import pairwise

from dfx_homog.report.data import Study, number
from dfx_homog.report.html import Cells, Numbered, Rows, table
from dfx_homog.report.style import FIELD_HTML, duration, fixed, integer, power, short
from dfx_homog.report.theory import MARK, MISSED, NONE, NORMS, OrderRow

NORM_HEADING = {
    "l2": "L², leading order",
    "l2_corrected": "L², with first-order corrector",
    "h1": "H¹ seminorm, leading order",
    "h1_corrected": "H¹ seminorm, with first-order corrector",
    "h1_corrected_interior": "H¹ seminorm, with first-order corrector, interior",
}
#: Kinds of what the table of a single run shows at the start and at the end.
FINAL_KINDS = {
    "time": "time",
    "current": "current",
    "voltage": "voltage",
    **dict.fromkeys(("T_mean", "T_min", "T_max"), "temperature"),
    **dict.fromkeys(("c_e_min", "c_e_max"), "concentration"),
    **dict.fromkeys(("soc_n", "soc_p"), "number"),
}
MEANS = {
    "voltage": "voltage <i>V</i>",
    "T_mean": "mean <i>T</i>",
    "Phi_e_negative": "mean Φ<sub>e</sub>, negative",
    "Phi_e_separator": "mean Φ<sub>e</sub>, separator",
    "Phi_e_positive": "mean Φ<sub>e</sub>, positive",
    "c_e_negative": "mean <i>c</i><sub>e</sub>, negative",
    "c_e_separator": "mean <i>c</i><sub>e</sub>, separator",
    "c_e_positive": "mean <i>c</i><sub>e</sub>, positive",
}


def orders(study: Study, rows: list[OrderRow], numbers: Numbered, text: str) -> str:
    """Errors at every level, observed orders of every pair, what theory expects, and whether it is met."""
    levels = study.levels
    pairs = [f"1/{a.count} → 1/{b.count}" for a, b in pairwise(levels)]
    head = ["", *[f"1/{lv.count}" for lv in levels], *pairs, "expected", ""]
    over = (
        [("", 1), ("error at δ =", len(levels))] + ([("order in δ", len(pairs))] if pairs else []) + [("", 2)]
    )
    lines: Rows = []
    for group in ("voltage", *NORMS):
        found = [
            r for r in rows if (r.field == "voltage") == (group == "voltage") and group in ("voltage", r.norm)
        ]
        if found:
            lines.append("voltage, resolved minus homogenised" if group == "voltage" else NORM_HEADING[group])
        lines += [_order_line(r) for r in found]
    return table(head, lines, caption=numbers.caption(text), wide=True, over=over)


def _order_line(row: OrderRow) -> Cells:
    verdict = row.verdict
    expected = {None: "–", 0.5: "1/2", 0.0: "0", 1.0: "1"}.get(row.expected, "–")
    if row.field == "c_s" and row.expected == 1.0:
        expected = "≥ 1"
    colour = "no" if verdict == MISSED else "dim" if verdict in (None, NONE) else "ok"
    mark = f'<span class="{colour}">{MARK[verdict] if verdict else "–"}</span>'
    errors = [power(e, 2) for e in row.errors]
    return [FIELD_HTML[row.field], *errors, *[fixed(o, 3) for o in row.orders], expected, mark]


def richardson(study: Study, numbers: Numbered) -> str:
    """Extrapolated limits delta to 0 beside the homogenised values."""
    result = study.result or {}
    limits, means = result.get("richardson", {}), result.get("homogenised", {}).get("means", {})
    rows: Rows = []
    for key in [*[k for k in MEANS if k in limits], *[k for k in limits if k not in MEANS]]:
        limit, value = number(limits.get(key)), number(means.get(key))
        finest = number(study.levels[-1].result.get("means", {}).get(key)) if study.levels else None
        rows.append(
            [
                MEANS.get(key, f"<code>{escape(key)}</code>"),
                fixed(finest, 7),
                fixed(limit, 7),
                fixed(value, 7),
                power(_minus(finest, value), 2),
                power(_minus(limit, value), 2),
            ]
        )
    if not rows:
        return ""
    head = ["", "finest level", "limit δ → 0", "homogenised", "finest − homogenised", "limit − homogenised"]
    caption = numbers.caption(
        "Richardson extrapolation in δ from the finest levels, <i>r</i>₁ = 2<i>q</i>(δ/2) − <i>q</i>(δ) "
        "and <i>r</i>₂ = (4<i>r</i>₁(δ/2) − <i>r</i>₁(δ))/3, at the final time. Nothing of the "
        "homogenised model enters the limit, so that the last column tests it independently of the error "
        "norms."
    )
    return table(head, rows, caption=caption, wide=True)


def _minus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def solver(study: Study, numbers: Numbered) -> str:
    """Unknowns, iterations and wall time of every model."""
    entries = [
        (level.label, level.history, level.result, level.result.get("checks", {})) for level in study.levels
    ]
    if study.homogenised is not None:
        result = study.result or {}
        own = result.get("homogenised", result) if study.kind == "convergence" else result
        entries.append((study.homogenised.label, study.homogenised, own, own.get("checks", {})))
    rows: Rows = []
    for label, history, result, checks in entries:
        if history is None or not history.steps:
            continue
        per_newton = history["krylov"][1:].sum() / max(history["newton"][1:].sum(), 1)
        mean = number(checks.get("krylov_mean"))
        total = number(float(history["seconds"].sum()))
        rows.append(
            [
                label,
                integer(number(result.get("dofs"))),
                integer(history.steps),
                integer(history.largest("newton")),
                fixed(mean if mean is not None else number(float(per_newton)), 2),
                integer(number(checks.get("krylov_max"))),
                duration(number(result.get("seconds")) or total),
                fixed(number(float(history["seconds"][1:].mean())), 3),
            ]
        )
    head = [
        "",
        "unknowns",
        "steps",
        "Newton, max",
        "Krylov, mean",
        "Krylov, max",
        "wall time",
        "seconds a step",
    ]
    text = (
        "Newton iterations a time step, Krylov iterations a Newton step, and wall time (comparison with "
        "the homogenised fields included in that of a resolved level)."
        if study.kind == "convergence"
        else "Newton iterations a time step, Krylov iterations a Newton step, and wall time."
    )
    return table(head, rows, caption=numbers.caption(text), wide=True) if rows else ""


def conservation(study: Study, numbers: Numbered) -> str:
    """Largest conservation errors of every model."""
    rows: Rows = [
        [h.label, *[power(h.largest_error(name)) for name in ("lithium", "charge", "energy")]]
        for h in study.histories
        if h.steps
    ]
    caption = numbers.caption("Largest relative conservation errors over all time steps.")
    return table(["", "lithium", "charge", "energy"], rows, caption=caption) if rows else ""


def final_state(study: Study, numbers: Numbered) -> str:
    """The last row of a single run."""
    history = study.homogenised
    if history is None or not history.rows:
        return ""
    names = {
        "time": "time <i>t</i>",
        "current": "current <i>i</i><sub>app</sub>",
        "voltage": "voltage <i>V</i>",
        "T_mean": "mean <i>T</i>",
        "T_min": "lowest <i>T</i>",
        "T_max": "highest <i>T</i>",
        "c_e_min": "lowest <i>c</i><sub>e</sub>",
        "c_e_max": "highest <i>c</i><sub>e</sub>",
        "soc_n": "mean <i>c</i><sub>s</sub>/<i>c</i><sub>max</sub>, negative",
        "soc_p": "mean <i>c</i><sub>s</sub>/<i>c</i><sub>max</sub>, positive",
    }
    rows: Rows = [
        [
            text,
            *[study.quantity(short(number(float(history[n][k])), 6), FINAL_KINDS[n]) for k in (0, -1)],
        ]
        for n, text in names.items()
    ]
    return table(
        ["", "first row", "last row"], rows, caption=numbers.caption("State at the start and at the end.")
    )


def progress(study: Study, numbers: Numbered) -> str:
    """How far a running study has come."""
    planned = study.planned_steps()
    rows: Rows = [
        [
            h.label,
            f"{h.steps} of {planned}" if planned else str(h.steps),
            study.quantity(short(number(float(h["time"][-1])), 5), "time"),
        ]
        for h in study.histories
    ]
    known = {level.count for level in study.levels}
    for periods in study.run.get("convergence", {}).get("periods", []) if study.kind == "convergence" else []:
        if (
            isinstance(periods, list)
            and all(isinstance(p, int) for p in periods)
            and sum(periods) not in known
        ):
            rows.append([f"δ = 1/{sum(periods)}", "not begun", "–"])
    caption = numbers.caption("Progress: time steps done, and the time reached.")
    return table(["model", "steps", "time <i>t</i>"], rows, caption=caption)
