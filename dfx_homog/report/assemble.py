"""The page as a whole: which sections a study has, in which order."""

from __future__ import annotations

import re
from html import escape

from dfx_homog.report import (
    sections,
    sections_battery,
    sections_cell,
    sections_interface,
    sections_losses,
    sections_rve,
    sections_scaling,
    sections_walls,
    summary,
    tables,
)
from dfx_homog.report.data import Study
from dfx_homog.report.html import Numbered, page, section
from dfx_homog.report.style import style


def document(study: Study) -> str:
    """report.html of a study as text."""
    numbers = Numbered()
    with style():
        parts = [part for part in _sections(study, numbers) if part]
    facts = study.facts
    by = " · ".join(
        escape(text)
        for text in (
            study.directory.resolve().name,
            facts.get("input", ""),
            facts.get("date", ""),
            f"dfx_homog {facts['dfx_homog']}" if "dfx_homog" in facts else "",
        )
        if text
    )
    links = re.findall(r'<section id="([a-z]+)">\n<h2>(.*?)</h2>', "\n".join(parts))
    contents = "".join(f'<a href="#{anchor}">{text}</a>' for anchor, text in links)
    title = summary.title(study)
    head = f'<header><h1>{title}</h1><p class="by">{by}</p><p>{summary.badge(study)}</p>'
    body = f"{head}{summary.lead(study)}<nav>{contents}</nav></header>\n" + "\n".join(parts)
    return page(f"{title} – {study.directory.resolve().name}", body)


def _sections(study: Study, numbers: Numbered) -> list[str]:
    if study.kind == "scaling":
        return [
            sections_scaling.measured(study, numbers),
            sections_scaling.model(study, numbers),
            sections.limits(study),
            sections.provenance(study, numbers),
        ]
    running = section("progress", "Progress", tables.progress(study, numbers)) if not study.finished else ""
    problem = sections.problem(study, numbers)
    grey = sections_cell.segmentation(study, numbers)
    coefficients = sections.coefficients(study, numbers)
    if study.kind == "rve":
        return [
            problem,
            sections_rve.sizes(study, numbers),
            sections_rve.order(study, numbers),
            sections_rve.scatter(study, numbers),
            sections_rve.phases(study, numbers),
            sections.limits(study),
            sections.provenance(study, numbers),
        ]
    if study.kind == "cell":
        pasted = sections_cell.for_pybamm(study)
        return [
            problem,
            grey,
            coefficients,
            pasted,
            sections.limits(study),
            sections.provenance(study, numbers),
        ]
    return [
        running,
        problem,
        coefficients,
        sections.voltage(study, numbers),
        sections_battery.battery(study, numbers),
        sections_battery.stacks(study, numbers),
        sections_losses.losses(study, numbers),
        sections.fields(study, numbers),
        sections_interface.interface(study, numbers),
        sections.errors(study, numbers),
        sections_walls.walls(study, numbers),
        sections.conservation(study, numbers),
        sections.solver(study, numbers),
        sections.limits(study),
        sections.provenance(study, numbers),
    ]
