"""The report's section on the particle surfaces, from histories and arrays written by hand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from report_study import COLUMNS, RUN, study

from dfx_homog.report.data import load
from dfx_homog.report.html import Numbered
from dfx_homog.report.sections_interface import heat_table, hot_sentence, interface, plating_sentence
from dfx_homog.report.style import style

FURTHER = (
    *(f"rate_{what}_{e}" for e in "np" for what in ("mean", "std", "min", "max", "cv")),
    *(f"eta_{what}_{e}" for e in "np" for what in ("mean", "std", "min", "max")),
    *("plating_min", "plating_y1", "plating_y2"),
    *("heat_joule_s_n", "heat_joule_s_p", "heat_joule_e_n", "heat_joule_e_s", "heat_joule_e_p"),
    *("heat_irreversible_n", "heat_irreversible_p", "heat_reversible_n", "heat_reversible_p"),
    *("double_layer_n", "double_layer_p", "hot_y1", "hot_y2"),
)


def history(path: Path, shift: float = 0.0, steps: int = 4) -> None:
    """T_max - T_min is t/99; Phi_s - Phi_e falls below zero at t = 0.3; every heat is 0.1 but the reversible ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [",".join((*COLUMNS.split(","), *FURTHER))]
    for k in range(steps + 1):
        t = 0.1 * k
        fixed = [t, -0.2, 0.9, t / 10, t / 9, t / 11, 0.9, 1.1, 0.5, 0.5, 1e-15, 0, 1e-15, 3, 20, 0.1]
        row = dict.fromkeys(FURTHER, 0.1 + shift)
        row |= {"rate_cv_n": 0.2 if k else float("nan"), "plating_min": 0.25 - t, "plating_y1": 0.4 - 0.1 * t}
        row |= {"heat_reversible_n": -0.05, "heat_reversible_p": -0.15, "plating_y2": 0.05, "hot_y1": 0.7}
        rows.append(",".join(f"{v:.15g}" for v in [*fixed, *row.values()]))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def run(directory: Path, dim: int = 2) -> Path:
    """A single run with facets of Gamma in both electrodes."""
    (directory / "run.toml").write_text(RUN, encoding="utf-8")
    (directory / "log.txt").write_text("     0.1 s  resolved: 10 unknowns\n", encoding="utf-8")
    history(directory / "history.csv")
    (directory / "result.json").write_text('{"dofs": 10, "steps": 4, "seconds": 2.0}', encoding="utf-8")
    generator = np.random.default_rng(3)
    points = generator.uniform(size=(20, dim, dim)) * [1, *([0.2] * (dim - 1))]
    np.savez(
        directory / "fields.npz",
        interface_points=points,
        interface_values=generator.normal(size=(20, dim, 3)),
        interface_electrode=np.arange(20) % 2,
    )
    return directory


def section(directory: Path) -> str:
    """The section without its pictures' data."""
    with style():
        text = interface(load(directory), Numbered())
    assert re.fullmatch(r'<section id="surfaces">.*</section>', text, re.S) or text == ""
    return re.sub(r'src="[^"]*"', "", text)


@pytest.mark.parametrize("dim", [2, 3])
def test_section_of_a_run(tmp_path: Path, dim: int) -> None:
    text = section(run(tmp_path, dim))
    assert "On the particle surfaces" in text
    assert len(re.findall("<img", text)) == 4
    assert not re.search(r"\bnan\b|\bNone\b", text)


def test_sentences(tmp_path: Path) -> None:
    study = load(run(tmp_path))
    found = study.homogenised
    assert found is not None
    text = plating_sentence(study, found, "")
    assert "smallest at <i>t</i> = 0.4, <i>y</i> = (0.36, 0.05): <b>−0.15000</b>" in text
    assert "below zero, where lithium may plate, from <i>t</i> = 0.3 on" in text
    found.columns["plating_min"] += 1.0
    found.columns["plating_y1"][:] = np.nan
    text = plating_sentence(study, found, "")
    assert "smallest at <i>t</i> = 0.4: <b>0.85000</b>. It stays above zero" in text
    assert "hottest at <i>y</i> = (0.7, 0.1): <i>T</i> = 0.044444, 0.00808 above" in hot_sentence(
        study, found
    )
    found.columns["hot_y1"][-1] = np.nan
    assert hot_sentence(study, found) == ""


def test_heat_over_the_run(tmp_path: Path) -> None:
    """Seven heats of 0.1 over a time of 0.4, less 0.2 that cools."""
    directory = load(run(tmp_path))
    assert directory.homogenised is not None
    text = heat_table(directory, directory.homogenised, Numbered(), "")
    rows = [re.sub("<[^>]*>", " ", row).split() for row in re.findall("<tr><th scope=.row.*?</tr>", text)]
    assert rows[0] == ["Joule,", "solid", "0.04", "–", "0.04", "0.08", "40.0", "%"]
    assert rows[1] == ["Joule,", "electrolyte", "0.04", "0.04", "0.04", "0.12", "60.0", "%"]
    assert rows[3][-5:] == ["–", "−0.06", "−0.08", "−40.0", "%"]
    assert rows[-1] == ["all", "0.1", "0.04", "0.06", "0.2", "100.0", "%"]


def test_several_models_and_none(tmp_path: Path) -> None:
    study(tmp_path)
    assert section(tmp_path) == ""
    for folder, shift in (("homogenised", 0.0), ("resolved-5", 0.02), ("resolved-10", 0.01)):
        history(tmp_path / folder / "history.csv", shift)
    text = section(tmp_path)
    assert text.count("of δ\u00a0=\u00a01/10") == 4
    assert "thin: positive" in text
    assert len(re.findall("<img", text)) == 3
