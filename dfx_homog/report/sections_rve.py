"""Sections of `rve`: apparent tensors against sample size, their order and scatter, the phases."""

from __future__ import annotations

from html import escape

import numpy as np

from dfx_homog.report import plots_rve, rve
from dfx_homog.report.data import Json, Study, number
from dfx_homog.report.html import Numbered, Rows, section, table, tiles
from dfx_homog.report.rve import CONDITIONS
from dfx_homog.report.style import fixed, integer, power, short

QUANTITIES = {
    "S": "electronic tensor <b>S</b>",
    "B": "tensor <b>B</b> of the electrolyte’s geometry",
    "K": "thermal tensor <b>K</b>",
}


def lead(study: Study) -> str:
    """One paragraph with the verdict in numbers, and the numbers large."""
    names = rve.microstructures(study)
    structures = {(s.get("microstructure"), s["size"], s.get("realisation")) for s in study.samples}
    count = len(structures)
    text = f"Apparent {_quantity(study)} of {', '.join(map(escape, names))} from {integer(count)} samples of "
    sizes = sorted({float(s["size"]) for s in study.samples})
    text += f"{len(sizes)} size{'s' if len(sizes) != 1 else ''}."
    if not study.finished:
        return f'<p class="lead">{text} The study has not written its result; this is what it has so far.</p>'
    order = [row for name in names for row in rve.order_rows(study, name)]
    if order:
        held = sum(bool(row.get("holds")) for row in order)
        text += (
            f" The order SUBC ≤ PBC ≤ KUBC holds for {'all' if held == len(order) else f'{held} of'} "
            f"{integer(len(order))} samples to which it applies."
        )
    text += "".join(_wanted(study, name) for name in names)
    return f'<p class="lead">{text}</p>' + tiles(_tiles(study, names, order))


def _wanted(study: Study, name: str) -> str:
    """The size for which one sample is enough, in a sentence; empty if it is not known."""
    condition = _main(study, name)
    row = next((r for r in rve.estimates(study, name) if r.get("condition") == condition), {})
    size, accuracy = number(row.get("size")), number(row.get("accuracy"))
    if size is None or accuracy is None:
        return ""
    smallest = min(float(s["size"]) for s in study.samples if s.get("microstructure", name) == name)
    within = f"{short(100 * accuracy, 3)} % (95 % confidence, {CONDITIONS[condition][0]})"
    if size < smallest:
        return f" Single samples of {escape(name)} of size {short(smallest, 3)} already scatter by less than {within}."
    return f" Single samples of {escape(name)} of size {short(size, 3)} scatter by {within}."


def _quantity(study: Study) -> str:
    return QUANTITIES.get(rve.quantity(study), "tensors")


def _main(study: Study, name: str) -> str:
    """The condition with the least bias that was asked for."""
    found = [part.condition for part in rve.series(study, name)]
    return next((c for c in ("periodic", "through", "dirichlet", "flux") if c in found), "")


def _tiles(study: Study, names: list[str], order: list[Json]) -> list[tuple[str, str]]:
    found = []
    for name in names:
        for part in rve.series(study, name):
            if part.condition == _main(study, name):
                values = [v for v, _ in rve.largest(part)]
                text = f"diagonal of {escape(name)}, {CONDITIONS[part.condition][0]}, largest size"
                found.append((" · ".join(short(v, 4) for v in values), text))
    worst = [w for w in (number(row.get("worst")) for row in order) if w is not None]
    if worst:
        found.append(
            (
                power(min(worst)),
                "smallest eigenvalue of the differences in order, relative; below zero: violated",
            )
        )
    residual = rve.hill_mandel(study.samples)
    return [*found, (power(residual), "largest Hill–Mandel residual of all samples, relative")]


def sizes(study: Study, numbers: Numbered) -> str:
    """Apparent values against size; means with intervals as table."""
    parts = []
    for name in rve.microstructures(study):
        parts.append(
            numbers.figure(
                plots_rve.convergence(study, name),
                f"apparent tensors of {name} against size",
                f"Diagonal entries of the apparent {_quantity(study)} of {escape(name)} against the size of the "
                "samples: dots are single samples, markers their means with 95 % confidence intervals, set side by "
                "side for the conditions. SUBC and KUBC enclose the truth: the means of all conditions close in on "
                "one another as samples grow, and the dots on their mean. A sample is large enough when both "
                "distances are small.",
            )
        )
        parts.append(_means(study, name, numbers))
    return section("sizes", "Apparent tensors against sample size", *parts)


def _means(study: Study, name: str, numbers: Numbered) -> str:
    series = rve.series(study, name)
    rows: Rows = []
    for part in series:
        rows.append(CONDITIONS[part.condition][0])
        for k in np.argsort(part.at):
            samples = [
                s
                for s in study.samples
                if s.get("microstructure", name) == name
                and s["condition"] == part.condition
                and float(s["size"]) == part.at[k]
            ]
            values = [
                short(m, 5) + (f" ± {short(h, 2)}" if np.isfinite(h) else "")
                for m, h in zip(part.mean[k].tolist(), part.half[k].tolist(), strict=True)
            ]
            porosity = np.mean([float(s.get("phi_e", np.nan)) for s in samples])
            rows.append(
                [
                    f"size {part.at[k]:g}",
                    integer(float(part.count[k])),
                    *values,
                    short(float(porosity), 4),
                    power(rve.hill_mandel(samples)),
                ]
            )
    if not any(not isinstance(row, str) for row in rows):
        return ""
    letter = escape(rve.quantity(study))
    head = [
        "",
        "samples",
        *[f"<i>{letter}</i><sub>{i + 1}{i + 1}</sub>" for i in range(series[0].dim)],
        "porosity",
        "Hill–Mandel",
    ]
    caption = (
        f"Means of {escape(name)} over the samples, with half widths of their 95 % confidence intervals (Student’s t). "
        "Hill–Mandel: largest relative difference, of any sample, between the tensor from the mean flux and that from "
        "the energy, zero up to the solver’s tolerance under all conditions."
    )
    return table(head, rows, caption=numbers.caption(caption))


def order(study: Study, numbers: Numbered) -> str:
    """Evidence for SUBC <= PBC <= KUBC, sample by sample."""
    rows: Rows = []
    for name in rve.microstructures(study):
        found = rve.order_rows(study, name)
        for size in sorted({float(row["size"]) for row in found}):
            here = [row for row in found if float(row["size"]) == size]
            held = sum(bool(row.get("holds")) for row in here)
            worst = min((number(row.get("worst")) or 0.0 for row in here), default=0.0)
            mark = f'<span class="{"ok" if held == len(here) else "no"}">{held} of {len(here)}</span>'
            rows.append([f"{escape(name)}, size {size:g}", mark, power(worst)])
    if not rows:
        return ""
    text = (
        "<p>For one and the same sample <b>A</b><sub>SUBC</sub> ≤ <b>A</b><sub>PBC</sub> ≤ <b>A</b><sub>KUBC</sub> in "
        "the sense of quadratic forms: no direction of the gradient violates it. It is a theorem, so that what is seen "
        "here tests the solver. With an insulating phase SUBC gives zero as soon as that phase touches the faces.</p>"
    )
    caption = (
        "Samples for which the order holds, and the smallest eigenvalue of all differences of tensors that follow one "
        "another, over the largest eigenvalue of the sample; below zero the order would be violated."
    )
    head = ["", "order holds", "smallest eigenvalue"]
    return section(
        "order", "Order of the conditions", text, table(head, rows, caption=numbers.caption(caption))
    )


def scatter(study: Study, numbers: Numbered) -> str:
    """Variance against volume and the size of a representative volume."""
    parts = []
    for name in rve.microstructures(study):
        parts.append(
            numbers.figure(
                plots_rve.variance(study, name),
                f"variance of {name} against volume",
                f"Left: variance of the mean of the diagonal over the samples of {escape(name)} against their volume, "
                "with the fitted power law; if what happens in one place does not depend on what happens far away, "
                "the slope is −1. Bars: uncertainty of a variance from so few samples. Right: the error of a single "
                "sample that follows, and the wanted accuracy (dotted); dashed where the fit reaches it.",
            )
        )
        parts.append(_estimates(study, name, numbers))
    return section("scatter", "How large is large enough", *parts) if any(parts) else ""


def _estimates(study: Study, name: str, numbers: Numbered) -> str:
    rows: Rows = []
    accuracy = None
    found = rve.estimates(study, name)
    sizes = [float(r["size"]) for r in (found[0].get("realisations") or [])] if found else []
    for row in found:
        accuracy = number(row.get("accuracy"))
        needed = [integer(number(r.get("needed"))) for r in (row.get("realisations") or [])]
        slope = number(row.get("alpha"))
        error = number(row.get("alpha_error"))
        alpha = fixed(slope, 2) + (f" ± {fixed(error, 2)}" if error is not None else "")
        label = CONDITIONS[str(row.get("condition"))][0]
        values = [alpha, short(number(row.get("size")), 3), short(number(row.get("size_alpha_1")), 3)]
        rows.append([label, *values, short(number(row.get("integral_range")), 3), *needed])
        if row.get("reason"):
            rows.append(f"{label}: no estimate, {escape(str(row['reason']))}")
    if not rows or accuracy is None:
        return ""
    caption = (
        f"{escape(name)}: exponent α of variance ~ volume<sup>−α</sup>, the size for which one sample is within "
        f"{short(100 * accuracy, 3)} % of the mean with 95 % confidence (with the fitted α, and with α = 1), the "
        "integral range as a volume, and how many samples of each size are as good."
    )
    head = ["", "α", "size wanted", "with α = 1", "integral range", *[f"samples of {s:g}" for s in sizes]]
    return table(head, rows, caption=numbers.caption(caption))


def phases(study: Study, numbers: Numbered) -> str:
    """Two-point correlation and chord lengths."""
    statistics = (study.result or {}).get("statistics", {})
    parts = []
    for name in rve.microstructures(study):
        entry = statistics.get(name, {})
        chord = [
            f"{phase} {', '.join(short(number(v), 3) for v in entry[phase].get('mean_chord', []))}"
            for phase in plots_rve.PHASES
            if isinstance(entry.get(phase), dict)
        ]
        means = f" Mean chords by direction: {'; '.join(chord)}." if chord else ""
        parts.append(
            numbers.figure(
                plots_rve.phases(study, name),
                f"phases of {name}",
                f"The phases of the first sample of the largest size of {escape(name)}. Left: probability that two "
                "points at a distance both lie in the phase; it starts at the phase’s share and, without order over "
                "long distances, ends at its square (dotted). A sample should be many times longer than the distance "
                "at which that is reached. Right: lengths of the intervals that the phase cuts out of straight lines; "
                f"curves that differ by direction show anisotropy.{means}",
            )
        )
    return section("phases", "The phases", *parts) if any(parts) else ""


LIMITS = (
    "Confidence intervals take the samples as independent. Sub-volumes of one image are drawn from the same piece of "
    "material; where they overlap the intervals are too narrow.",
    "The mean over samples has a bias from the faces that more samples do not remove; it shows as the distance "
    "between the conditions.",
    "The size wanted extrapolates a fitted power law; beyond a few times the largest sample it is a guess.",
)
