"""Title, verdict in numbers, and the first paragraph."""

from __future__ import annotations

from html import escape

import numpy as np

from dfx_homog.report import sections_losses, sections_rve, sections_scaling
from dfx_homog.report.data import History, Json, Study, number
from dfx_homog.report.html import tiles
from dfx_homog.report.style import duration, fixed, integer, power, short
from dfx_homog.report.theory import FASTER, MET, MISSED, OrderRow, order_rows

TITLES = {
    "convergence": "Resolved against homogenised: convergence in δ",
    "cell": "Effective tensors of the microstructures",
    "rve": "Apparent tensors and representative volumes",
    "scaling": "Strong and weak scaling",
    "resolved": "The resolved model through its protocol",
    "homogenised": "The homogenised model through its protocol",
    "single": "One model through its protocol",
}


def title(study: Study) -> str:
    return TITLES[study.kind if study.kind != "single" else study.model]


def badge(study: Study) -> str:
    """Running, or how many of the claims of theory are met."""
    if not study.finished:
        return '<span class="badge run">running or stopped early: no result.json yet</span>'
    if study.kind == "rve":
        return _order_badge(study)
    if study.kind == "scaling":
        return ""
    counted = [r for r in order_rows(study) if r.verdict in (MET, FASTER, MISSED)]
    if not counted:
        return ""
    met = sum(r.verdict != MISSED for r in counted)
    colour = "ok" if met == len(counted) else "no"
    return f'<span class="badge {colour}">{met} of {len(counted)} expected orders met</span>'


def _order_badge(study: Study) -> str:
    """Whether SUBC <= PBC <= KUBC held, if it could be seen."""
    holds = (study.result or {}).get("order_holds")
    if not isinstance(holds, bool):
        return ""
    text = "holds for every sample" if holds else "is violated"
    return f'<span class="badge {"ok" if holds else "no"}">SUBC ≤ PBC ≤ KUBC {text}</span>'


def lead(study: Study) -> str:
    """One paragraph with the verdict in numbers, and the numbers large."""
    if study.kind == "cell":
        return _cell(study)
    if study.kind == "rve":
        return sections_rve.lead(study)
    if study.kind == "scaling":
        return sections_scaling.lead(study)
    if study.kind == "single":
        return _single(study)
    rows = {(r.field, r.norm): r for r in order_rows(study)}
    if not study.finished or not rows:
        return _running(study)
    return _convergence(study, rows)


def _finest(rows: dict[tuple[str, str], OrderRow], norm: str, fields: tuple[str, ...]) -> list[float]:
    found = [rows[f, norm].finest for f in fields if (f, norm) in rows]
    return [o for o in found if o is not None]


def _span(values: list[float]) -> str:
    low, high = fixed(min(values), 2), fixed(max(values), 2)
    return low if low == high else f"{low} to {high}"


def _convergence(study: Study, rows: dict[tuple[str, str], OrderRow]) -> str:
    result = study.result or {}
    levels = study.levels
    value = number(result.get("homogenised", {}).get("means", {}).get("voltage"))
    limit = number(result.get("richardson", {}).get("voltage"))
    difference = number(result.get("richardson_difference", {}).get("voltage"))
    finest = levels[-1].voltage_error()
    four = ("Phi_s", "Phi_e", "c_e", "T")
    l2, inner = _finest(rows, "l2", four), _finest(rows, "h1_corrected_interior", ("Phi_s", "Phi_e"))
    layer = _finest(rows, "h1_corrected", ("Phi_e", "c_e"))
    order = rows["voltage", "l2"].finest if ("voltage", "l2") in rows else None
    time = study.homogenised["time"][-1] if study.homogenised and study.homogenised.rows else None
    text = (
        f"The resolved model was solved with {' and '.join(_listed([str(lv.count) for lv in levels]))} "
        "unit cells through the thickness and compared with its homogenised limit"
        + (f" at <i>t</i> = {study.quantity(short(float(time)), 'time')}." if time is not None else ".")
    )
    if order is not None:
        text += f" The voltage differs by {study.quantity(power(finest), 'voltage')} on the finest level"
        text += f" and converges with order {fixed(order, 2)} (theory: 1)"
        text += f"; the fields converge in L² with orders {_span(l2)} (theory: 1)." if l2 else "."
    if layer and inner:
        text += (
            " With first-order correctors the gradients of Φ<sub>e</sub> and <i>c</i><sub>e</sub> "
            f"converge with orders {_span(layer)} over the whole domain (theory: 1/2), those of both "
            f"potentials with {_span(inner)} away from the boundary layers (theory: 1)."
        )
    if limit is not None and value is not None and difference is not None:
        closer = (
            f", {abs(finest / difference):.0f} times closer than the finest level"
            if finest and difference
            else ""
        )
        text += (
            f" Extrapolated to δ = 0 the resolved voltage is {study.quantity(fixed(limit, 6), 'voltage')}, "
            f"the homogenised one {study.quantity(fixed(value, 6), 'voltage')}: they differ by "
            f"{study.quantity(power(difference), 'voltage')}{closer}."
        )
    text += sections_losses.in_short(study)
    return f'<p class="lead">{text}</p>' + tiles(_tiles(study, order, l2, difference))


def _listed(words: list[str]) -> list[str]:
    """The words as at most two parts, to be joined by "and"."""
    return [", ".join(words[:-1]), words[-1]] if len(words) > 1 else words


def _tiles(
    study: Study, order: float | None, l2: list[float], difference: float | None
) -> list[tuple[str, str]]:
    found = [
        (fixed(order, 2), f"order of <i>V</i> in δ, {_last_pair(study)}; theory 1"),
        (
            fixed(min(l2), 2) if l2 else "–",
            "lowest L² order of Φ<sub>s</sub>, Φ<sub>e</sub>, <i>c</i><sub>e</sub>, <i>T</i>; theory 1",
        ),
        (
            study.quantity(power(difference), "voltage"),
            "resolved <i>V</i> extrapolated to δ\u00a0=\u00a00, minus homogenised <i>V</i>",
        ),
    ]
    found += _quality(study)
    unknowns = integer(number(study.levels[-1].result.get("dofs")))
    found.append(
        (unknowns, f"unknowns of the finest level, {study.levels[-1].label}".replace(" = ", "\u00a0=\u00a0"))
    )
    ranks = number((study.result or {}).get("ranks"))
    where = f", {integer(ranks)} rank{'' if ranks == 1 else 's'}" if ranks else ""
    return [*found, (duration(number((study.result or {}).get("seconds"))), f"wall time of the study{where}")]


def _last_pair(study: Study) -> str:
    counts = [level.count for level in study.levels[-2:]]
    return " → ".join(f"1/{c}" for c in counts)


def _quality(study: Study) -> list[tuple[str, str]]:
    """Conservation and solver, worst of all models."""
    errors = [h.largest_error(n) for h in study.histories for n in ("lithium", "charge", "energy")]
    known = [e for e in errors if e is not None]
    newton = [n for n in (h.largest("newton") for h in study.histories) if n is not None]
    krylov = [float(h["krylov"][1:].sum() / max(h["newton"][1:].sum(), 1)) for h in _resolved(study)]
    krylov = [k for k in krylov if np.isfinite(k)]
    found = [(power(max(known)) if known else "–", "largest conservation error, any model, any step")]
    if newton:
        found.append((integer(max(newton)), "Newton iterations a step at most"))
    if krylov:
        text = "mean Krylov iterations a Newton step" + (", by level" if len(krylov) > 1 else "")
        found.append((" · ".join(fixed(k, 1) for k in krylov[-3:]), text))
    return found


def _resolved(study: Study) -> list[History]:
    histories = [level.history for level in study.levels if level.history and level.history.steps]
    return histories or [h for h in study.histories if h.steps]


def _running(study: Study) -> str:
    done = [h.label for h in study.histories]
    text = "The study has not written its result"
    text += f"; there are histories of {', '.join(done)}." if done else "."
    text += " What follows is what can be said so far; orders and extrapolated limits come with the result."
    return f'<p class="lead">{text}</p>' + tiles(_quality(study))


def _single(study: Study) -> str:
    history = study.homogenised
    if history is None or not history.rows:
        return ""
    planned = study.planned_steps()
    of = f" of {planned}" if planned and not study.finished else ""

    def last(name: str, kind: str, digits: int = 5) -> str:
        return study.quantity(short(number(float(history[name][-1])), digits), kind)

    text = (
        f"{'Resolved' if study.model == 'resolved' else 'Homogenised' if study.model == 'homogenised' else 'One'} "
        f"model, {history.steps}{of} time steps to <i>t</i> = {last('time', 'time')}: "
        f"<i>V</i> = {study.quantity(fixed(number(float(history['voltage'][-1])), 6), 'voltage')}, mean <i>T</i> = "
        f"{last('T_mean', 'temperature')}, <i>c</i><sub>e</sub> between {last('c_e_min', 'concentration')} and "
        f"{last('c_e_max', 'concentration')}."
    )
    text += sections_losses.in_short(study)
    result = study.result or {}
    extra = [(integer(number(result.get("dofs"))), "unknowns")] if result.get("dofs") else []
    return f'<p class="lead">{text}</p>' + tiles([*extra, *_quality(study)])


def _cell(study: Study) -> str:
    parts = []
    for name, entry in study.tensors.items():
        numbers = [f"φ<sub>e</sub> = {short(number(entry.get('phi_e')), 5)}"]
        for tensor in ("S", "B", "K"):
            value = entry.get(tensor)
            if isinstance(value, list) and value:
                diagonal = ", ".join(short(number(row[i]), 5) for i, row in enumerate(value))
                numbers.append(f"<i>{tensor}<sub>ii</sub></i> = {diagonal}")
        parts.append(f"{escape(name)}: {'; '.join(numbers)}")
    residuals = [number(r) for e in study.tensors.values() for r in e.get("hill_mandel", {}).values()]
    known = [r for r in residuals if r is not None]
    plural = "s" if len(parts) != 1 else ""
    conditions = {str(e.get("condition", "periodic")) for e in study.tensors.values()}
    text = f"Effective tensors of {len(parts)} microstructure{plural} from "
    text += "periodic cell problems." if conditions == {"periodic"} else "cell problems."
    worst = f" The largest Hill–Mandel residual is {power(max(known))}." if known else ""
    only = next(iter(study.tensors.values())) if len(parts) == 1 else {}
    return (
        f'<p class="lead">{text}{worst}</p><ul>'
        + "".join(f"<li>{p}</li>" for p in parts)
        + "</ul>"
        + (tiles(_cell_tiles(only)) if only else "")
    )


def _cell_tiles(entry: Json) -> list[tuple[str, str]]:
    """The numbers that are asked for most, of a single microstructure."""
    tortuosity = entry.get("tortuosity")
    found = [(short(number(entry.get("phi_e")), 4), "porosity that transports")]
    if isinstance(tortuosity, list):
        text = "tortuosity factors φ<sub>e</sub>/<i>B<sub>ii</sub></i> by direction"
        found.append((" · ".join(short(number(t), 4) for t in tortuosity), text))
    found.append((short(number(entry.get("a")), 4), "interface per volume, 1/(unit-cell length)"))
    unknowns = [number(n) for n in entry.get("dofs", {}).values()]
    largest = max((n for n in unknowns if n is not None), default=None)
    found.append((integer(largest), "unknowns of the largest cell problem"))
    seconds = number(entry.get("seconds"))
    return [*found, (duration(seconds), "wall time")] if seconds is not None else found
