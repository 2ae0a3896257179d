"""The section on where the volts go; empty for histories without the columns that it needs."""

from __future__ import annotations

import math
from html import escape

import numpy as np

from dfx_homog.models.losses import largest, limiting, part_name
from dfx_homog.report import plots_losses
from dfx_homog.report.data import History, Level, Study
from dfx_homog.report.html import Numbered, Rows, section, table
from dfx_homog.report.style import fixed, short

ROUNDING = 1e-7  # of a voltage: a smaller difference of two models has no order

SHOWN = 5e-7  # a voltage below it is zero in the table


def losses(study: Study, numbers: Numbered) -> str:
    """Picture, sentence on the largest loss and on what ended the run, table of the losses at the end."""
    history = plots_losses.detail(study)
    if history is None:
        return ""
    several = len(_models(study)) > 1
    of = f" of {history.label.replace(' = ', chr(160) + '=' + chr(160))}" if several else ""
    return section(
        "losses",
        "Where the volts go",
        f"<p>{sentence(study, history, of)}</p>",
        numbers.figure(
            plots_losses.stacked(study),
            "losses of voltage by mechanism over time, and voltage against charge passed",
            f"Left: the loss of voltage{of}, split by mechanism; light colours: negative electrode, full ones: "
            "positive. What raises <i>V</i> is drawn downwards; the line is the sum, which is the open-circuit voltage "
            "at the mean concentrations less <i>V</i>, exactly and at rest too. Right: both voltages against the "
            "charge that has passed, per area of the collector.",
        ),
        loss_table(study, numbers),
    )


def _models(study: Study) -> list[History]:
    """Histories with losses; of a single run that alone."""
    return [h for h in study.histories if plots_losses.has_losses(h)]


def _rows(history: History) -> list[dict[str, float]]:
    names = ["time", "voltage", "open_circuit", *(n for n in history.columns if n.startswith("loss_"))]
    values = np.column_stack([history[name] for name in names])
    return [dict(zip(names, map(float, row), strict=True)) for row in values]


def sentence(study: Study, history: History, of: str) -> str:
    """The largest loss at the end, why the run ended, and what moved the voltage there."""
    rows = _rows(history)
    last = rows[-1]
    lost = last["open_circuit"] - last["voltage"]
    text = (
        f"At <i>t</i> = {study.quantity(short(last['time']), 'time')} the voltage{of} is "
        f"{study.quantity(fixed(abs(lost), 5), 'voltage')} "
        f"{'below' if lost >= 0 else 'above'} the open-circuit voltage "
        f"{study.quantity(fixed(last['open_circuit'], 5), 'voltage')}."
    )
    if (name := largest(last)) is not None:
        text += f" The largest part is <b>{part_name(name)}</b>: {_share(last[f'loss_{name}'], lost)} of it."
    if ended := (study.result or {}).get("ended_early"):
        text += f" The run ended early: {escape(str(ended))}."
    if (found := limiting(rows)) is not None:
        text += (
            f" In the last tenth of the run the voltage moved with <b>{part_name(found[0])}</b> "
            f"({fixed(100 * found[1], 0)} % of the change)."
        )
    return text


def in_short(study: Study) -> str:
    """The largest loss at the end, as a sentence for the top of the page; empty where there is none."""
    history = plots_losses.detail(study)
    last = _rows(history)[-1] if history is not None else {}
    if not last or (name := largest(last)) is None:
        return ""
    lost = last["open_circuit"] - last["voltage"]
    return (
        f" Of the loss of voltage of {study.quantity(fixed(lost, 4), 'voltage')} at the end, "
        f"{study.quantity(fixed(last[f'loss_{name}'], 4), 'voltage')} "
        f"is by {part_name(name)}."
    )


def _share(part: float, whole: float) -> str:
    return f"{fixed(100 * part / whole, 0)} %" if whole else "–"


def loss_table(study: Study, numbers: Numbered) -> str:
    """Losses at the end of every model; of several resolved ones the order in which they approach the homogenised."""
    models = _models(study)
    levels = [level for level in study.levels if level.history in models]
    limit = study.homogenised if levels and study.homogenised in models else None
    rows: Rows = []
    for mechanism, place, _ in plots_losses.parts(models[0]):
        name = f"loss_{mechanism}_{place}".rstrip("_")
        values = [float(h[name][-1]) for h in models]
        if max(map(abs, values)) < SHOWN:
            continue
        cells = [fixed(v, 6) for v in values]
        if limit is not None and len(levels) > 1:
            cells.append(_order(levels, values[-3:-1], values[-1]))
        rows.append([part_name(name.removeprefix("loss_")), *cells])
    blank = [""] if limit is not None and len(levels) > 1 else []
    rows.append(["sum", *(fixed(float(plots_losses.total(h)[-1]), 6) for h in models), *blank])
    rows.append(["open circuit", *(fixed(float(h["open_circuit"][-1]), 6) for h in models), *blank])
    heads = [h.label for h in models] if len(models) > 1 else ["at the end"]
    caption = f"{study.label('Losses of voltage at the end', 'voltage')}."
    if blank:
        heads.append("order")
        caption += " Order: in δ, of the two finest levels’ differences from the homogenised model; –: no difference."
    return table(["", *heads], rows, caption=numbers.caption(caption))


def _order(levels: list[Level], values: list[float], limit: float) -> str:
    """Observed order in delta between the two finest levels; a dash where their differences are rounding."""
    coarse, fine = (abs(v - limit) for v in values)
    if min(coarse, fine) <= ROUNDING:
        return "–"
    return fixed(math.log(coarse / fine) / math.log(levels[-1].count / levels[-2].count), 2)
