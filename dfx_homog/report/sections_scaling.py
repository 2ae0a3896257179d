"""Sections of `scaling`: what was measured, the fitted model, and what it cannot know."""

from __future__ import annotations

from html import escape
from typing import Any

from dfx_homog.report import plots_scaling
from dfx_homog.report.data import Json, Study
from dfx_homog.report.html import Numbered, Rows, section, table, tiles
from dfx_homog.report.style import duration, fixed, integer, power, short
from dfx_homog.timing import PHASES

TERMS = {
    "serial": ("serial", "s", "what every rank does whatever the problem"),
    "work": ("work · <i>n/p</i>", "s per unknown", "what is divided among the ranks"),
    "surface": (
        "surface · (<i>n/p</i>)<sup>(<i>d</i>−1)/<i>d</i></sup>",
        "s",
        "exchange with neighbours, work along the cut",
    ),
    "latency": ("latency · log<sub>2</sub> <i>p</i>", "s", "sums over all ranks"),
    "start": ("start", "bytes", "Python, libraries"),
    "share": ("share · <i>n/p</i>", "bytes per unknown", "what is divided among the ranks"),
    "everywhere": (
        "everywhere · <i>n</i>",
        "bytes per unknown",
        "what every rank holds of the whole problem",
    ),
}
LIMITS = (
    "Everything beyond the measured ranks and unknowns is an extrapolation with few parameters, fitted to few runs.",
    "Iterations are taken to stay as they were; tables show how they grew over the sizes that were measured.",
    "Ranks on one machine share its memory bandwidth, caches and clock, and talk through memory: what a network costs "
    "is not in these times, and what shared bandwidth costs is, in the terms surface and latency.",
    "Largest times over the ranks: a phase contains the waiting for slower ranks.",
    "The start of Python and of the ranks is in “launched”, not in the times by phase.",
)


def _machine(study: Study) -> str:
    found = (study.result or {}).get("machine", {})
    memory = float(found.get("memory", 0)) / 2**30
    return f"{found.get('processor', 'unknown')}, {found.get('cores', '–')} cores, {memory:.0f} GiB"


def lead(study: Study) -> str:
    """One paragraph, and the numbers large."""
    result: Json = study.result or {}
    rows = plots_scaling.points(study)
    text = (
        f"Wall time of <code>{escape(str(result.get('command')))}</code> on "
        f"{', '.join(map(str, result.get('ranks', [])))} ranks, from {integer(min(r['unknowns'] for r in rows))} to "
        f"{integer(max(r['unknowns'] for r in rows))} unknowns; {escape(_machine(study))}. Of the repetitions of a "
        "point the fastest counts."
    )
    shown = []
    for size, curve in plots_scaling.strong(study).items():
        good = plots_scaling.efficiency(curve, grows=False)[-1]
        words = f"strong efficiency, size {size}, {curve[0]['ranks']} to {curve[-1]['ranks']} ranks"
        shown.append((fixed(good, 2), words))
    if growing := plots_scaling.weak(study):
        good = plots_scaling.efficiency(growing, grows=True)[-1]
        shown.append(
            (fixed(good, 2), f"weak efficiency, {growing[0]['ranks']} to {growing[-1]['ranks']} ranks")
        )
    return f'<p class="lead">{text}</p>' + tiles(shown)


def measured(study: Study, numbers: Numbered) -> str:
    """Speed-up, efficiency, phases, and all points as a table."""
    times: Rows = []
    effort: Rows = []
    for row in plots_scaling.points(study):
        label = f"size {row['size']}, {row['ranks']} rank{'s' * (row['ranks'] > 1)}"
        phases = [short(row[f"seconds_{name}"], 3) for name in PHASES]
        times.append([label, short(row["seconds"], 3), *phases, short(row["launched_seconds"], 3)])
        counts = [integer(row[name]) for name in ("unknowns", "newton", "krylov", "setups")]
        megabytes = [short(row[name] / 2**20, 4) for name in ("memory_rank", "memory_ranks", "bytes_written")]
        effort.append([label, *counts, *megabytes])
    in_time = (
        "Wall time in seconds of all points, the fastest repetition of each; phases: largest over the ranks. Launched: "
        "from the start of the processes to their end."
    )
    in_effort = (
        "Unknowns of all systems of the run, each counted once; iterations; MiB: resident memory of the rank that took "
        "most and of all ranks together (VmHWM), files in the directory of results."
    )
    grows = escape(str((study.result or {}).get("grows")))
    return section(
        "measured",
        "What was measured",
        numbers.figure(
            plots_scaling.speed(study),
            "speed-up and efficiency",
            "Speed-up and efficiency against the ranks. Strong: one problem; weak: problems that grow with the ranks "
            f"({grows}), compared by unknowns a rank. Efficiency 1 is ideal.",
        ),
        numbers.figure(
            plots_scaling.phases(study),
            "time by phase",
            "Wall time by phase. Each phase is the largest over the ranks, scaled so that they add up to the total.",
        ),
        table(["", "total", *PHASES, "launched"], times, caption=numbers.caption(in_time)),
        table(
            ["", "unknowns", "Newton", "Krylov", "set-ups", "peak of a rank", "of all ranks", "written"],
            effort,
            caption=numbers.caption(in_effort),
        ),
    )


def model(study: Study, numbers: Numbered) -> str:
    """Coefficients, residuals, predictions."""
    found: dict[str, Any] = (study.result or {}).get("model", {})
    if not found:
        return ""
    rows: Rows = []
    for kind in ("time", "memory"):
        fit = found[kind]
        rows.append(
            f"{kind}: {fit['points']} points, {fit['independent_terms']} independent terms, relative residual at most "
            f"{power(fit['largest_relative_error'])}, rms {power(fit['rms_relative_error'])}"
        )
        for name, value in fit["coefficients"].items():
            label, unit, meaning = TERMS[name]
            rows.append([label, f"{power(value, 2)} {unit}" if value else "0: not seen", meaning])
    caption = (
        f"The model of time and memory with <i>n</i> unknowns on <i>p</i> ranks, <i>d</i> = {found['dimension']}; "
        "coefficients by non-negative least squares of the relative errors of all points. The surface term counts for "
        "more than one rank only. A term that the runs cannot tell from the others is 0."
    )
    predicted: Rows = []
    for kind, words in (
        ("strong", "strong scaling of the largest measured problem"),
        ("weak", "weak scaling: as many unknowns a rank as the fullest rank had"),
    ):
        predicted.append(words)
        for row in found["predictions"][kind]:
            outside = row["ranks"] > found["range"]["ranks"][1]
            values = [
                duration(row["seconds"]),
                fixed(row["efficiency"], 2),
                short(row["memory_rank"] / 2**20, 4),
            ]
            mark = "extrapolated" if outside else ""
            predicted.append([f"{row['ranks']} ranks", integer(row["unknowns"]), *values, mark])
    head = ["", "unknowns", "time", "efficiency", "MiB a rank", ""]
    return section(
        "model",
        "A model of it",
        table(["term", "coefficient", "meaning"], rows, caption=numbers.caption(caption), classes="pairs"),
        numbers.figure(
            plots_scaling.model(study),
            "model",
            "Left: times of the model against those measured. Right: efficiency that the model predicts; grey: the "
            "ranks that were measured, everything to the right of them is extrapolated.",
        ),
        table(head, predicted, caption=numbers.caption("What the model predicts.")),
    )
