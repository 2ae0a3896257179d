"""The report's section on where the volts go, from histories written by hand."""

from __future__ import annotations

import re
from pathlib import Path

from report_study import COLUMNS, RUN, study

from dfx_homog.report.data import load
from dfx_homog.report.html import Numbered
from dfx_homog.report.sections_losses import in_short, losses
from dfx_homog.report.style import style
from dfx_homog.report.summary import lead

LOSSES = ("reaction_n", "reaction_p", "particle_p", "electrolyte_ohmic", "electrolyte_diffusion", "uneven_n")


def history(path: Path, shift: float = 0.0, steps: int = 10) -> None:
    """The open-circuit voltage falls from 2 to 1.9, the losses are 0.08 and what particle_p adds at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [",".join((COLUMNS, "open_circuit", *(f"loss_{name}" for name in LOSSES)))]
    for k in range(steps + 1):
        t = k / 10
        lost = [0.02, 0.05 + shift, 0.3 * (k == 10), 0.03, -0.02, 0.0]
        voltage = 2 - t / 10 - sum(lost)
        fixed = [t, 0.2, voltage, 0.1, 0.1, 0.1, 0.9, 1.1, 0.5, 0.5, 1e-15, 0, 1e-15, 3, 20, 0.1]
        rows.append(",".join(f"{v:.15g}" for v in [*fixed, 2 - t / 10, *lost]))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def section(directory: Path) -> str:
    """The section without its pictures' data."""
    with style():
        text = losses(load(directory), Numbered())
    assert re.fullmatch(r'<section id="losses">.*</section>', text, re.S) or text == ""
    return re.sub(r'src="[^"]*"', "", text)


def cells(text: str) -> list[list[str]]:
    rows = re.findall("<tr><th scope=.row.*?</tr>", text)
    return [[re.sub("<[^>]*>", "", c) for c in re.findall("<t[hd].*?</t[hd]>", row)] for row in rows]


def test_section_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(RUN, encoding="utf-8")
    (tmp_path / "log.txt").write_text("     0.1 s  resolved: 10 unknowns\n", encoding="utf-8")
    history(tmp_path / "history.csv")
    (tmp_path / "result.json").write_text('{"dofs": 10, "ended_early": "v_min: V < 2.5"}', encoding="utf-8")
    text = section(tmp_path)
    assert text.count("<img") == 1
    assert "the voltage is 0.38000 below the open-circuit voltage 1.90000" in text
    assert "<b>diffusion in the particles, positive electrode</b>: 79 % of it" in text
    assert "ended early: v_min: V &lt; 2.5." in text
    assert "moved with <b>diffusion in the particles, positive electrode</b> (97 % of the change)" in text
    found = {row[0]: row[1:] for row in cells(text)}
    assert found["concentration in the electrolyte"] == ["−0.020000"]
    assert found["sum"] == ["0.380000"] and found["open circuit"] == ["1.900000"]
    assert "unevenness between particles, negative electrode" not in found
    assert "Of the loss of voltage of 0.3800 at the end, 0.3000 is by diffusion" in lead(load(tmp_path))


def test_orders_of_several_models_and_none(tmp_path: Path) -> None:
    study(tmp_path)
    assert section(tmp_path) == "" == in_short(load(tmp_path))
    for folder, shift in (("homogenised", 0.0), ("resolved-5", 0.02), ("resolved-10", 0.005)):
        history(tmp_path / folder / "history.csv", shift)
    text = section(tmp_path)
    found = {row[0]: row[1:] for row in cells(text)}
    assert found["reaction, positive electrode"] == ["0.070000", "0.055000", "0.050000", "2.00"]
    assert found["reaction, negative electrode"][-1] == "–"
    assert len(found["sum"]) == 4
