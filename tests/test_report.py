"""report.html from small directories of results made here: no solver is needed."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_study import COLUMNS, ORDERS, RUN, STEPS, history, study, tensor_entry, unit_cell

from dfx_homog.errors import BadInput
from dfx_homog.report import summary, tables, write_report
from dfx_homog.report.data import load
from dfx_homog.report.figure import main as draw_figure
from dfx_homog.report.html import Numbered
from dfx_homog.report.style import duration, fixed, integer, power, short
from dfx_homog.report.theory import FASTER, MET, MISSED, NONE, order_rows, symmetric_cells

SECTIONS = (
    "problem",
    "coefficients",
    "voltage",
    "fields",
    "errors",
    "conservation",
    "solver",
    "limits",
    "provenance",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="module")
def page(finished: Path) -> str:
    path = write_report(finished)
    assert path == finished / "report.html"
    return path.read_text(encoding="utf-8")


def anchors(text: str) -> list[str]:
    return re.findall(r'<section id="([a-z]+)">', text)


def pictures(text: str) -> dict[str, tuple[str, bytes]]:
    found = re.findall(r'<img alt="([^"]+)" src="data:image/([a-z+]+);base64,([^"]+)">', text)
    return {alt: (kind, base64.b64decode(data)) for alt, kind, data in found}


def test_all_sections(page: str) -> None:
    assert tuple(anchors(page)) == SECTIONS
    links = re.findall(r'<a href="#([a-z]+)">', page)
    assert tuple(links) == SECTIONS
    assert len(re.findall("<section", page)) == len(re.findall("</section>", page))
    figures = [int(n) for n in re.findall(r"<b>Figure (\d+)\.</b>", page)]
    tables = [int(n) for n in re.findall(r"<b>Table (\d+)\.</b>", page)]
    assert figures == list(range(1, 12))
    assert tables == list(range(1, len(tables) + 1))


def test_self_contained(page: str) -> None:
    assert "<script" not in page
    assert "<link" not in page
    assert "@import" not in page
    assert all(source.startswith("data:") for source in re.findall(r'src="([^"]*)"', page))
    assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)"', page))
    assert not re.search(r"url\(", page)
    assert 1e5 < len(page.encode()) < 5e6


def test_pictures_are_pictures(page: str) -> None:
    found = pictures(page)
    assert len(found) == 11
    for kind, data in found.values():
        if kind == "svg+xml":
            assert ElementTree.fromstring(data).tag.endswith("svg")
            assert b"<script" not in data
        else:
            assert data.startswith(b"\x89PNG")


def test_numbers_of_the_verdict(page: str) -> None:
    """voltage error -0.04 d (1 + d): order log2(2 (1 + d)/(1 + d/2)) = 1.0671 from d = 1/10 to 1/20."""
    lead = re.search(r'<p class="lead">(.*?)</p>', page, re.S)
    assert lead is not None
    assert "5, 10 and 20 unit cells" in lead[1]
    assert "order 1.07 (theory: 1)" in lead[1]
    assert "orders 1.00 (theory: 1)" in lead[1]
    assert "0.400001" in lead[1]
    assert "18 of 18 expected orders met" in page
    assert "./dfx -n 2 convergence run.toml" in page
    assert "node7" in page


def test_orders_and_verdicts(finished: Path, tmp_path: Path) -> None:
    rows = {(r.field, r.norm): r for r in order_rows(load(finished))}
    assert rows["Phi_e", "h1_corrected"].finest == pytest.approx(0.5)
    assert rows["Phi_e", "h1_corrected"].verdict == MET
    assert rows["T", "h1"].verdict == NONE
    assert rows["c_s", "h1"].verdict is None
    assert rows["c_s", "l2"].expected == 1.0
    assert ("c_s", "h1_corrected") not in rows

    slow = {**ORDERS, "l2": 0.8, "h1_corrected": 0.9}
    other = load(study(tmp_path, orders=slow, shift=0.15))
    rows = {(r.field, r.norm): r for r in order_rows(other)}
    assert rows["T", "l2"].verdict == MISSED
    assert rows["Phi_s", "h1_corrected"].verdict == FASTER
    assert rows["c_s", "l2"].expected == 0.5, "unit cells without mirror symmetry"
    assert "14 of 18 expected orders met" in summary.badge(other)
    text = tables.orders(other, order_rows(other), Numbered(), "")
    assert text.count("✗ not met") == 4
    assert text.count("✓ faster") == 5  # c_s in L2 among them


def test_order_uses_the_ratio_of_delta(tmp_path: Path) -> None:
    rows = {(r.field, r.norm): r for r in order_rows(load(study(tmp_path, (5, 15))))}
    assert rows["Phi_e", "l2"].orders == pytest.approx([1.0])


@pytest.mark.parametrize(("shift", "expected"), [(0.0, True), (0.15, False)])
def test_symmetry_of_the_cells(tmp_path: Path, shift: float, expected: bool) -> None:
    cell = unit_cell(shift)
    np.savez(tmp_path / "fields.npz", **{f"cell_negative_{k}": v for k, v in cell.items()})
    history(tmp_path / "history.csv", 0.0)
    assert symmetric_cells(load(tmp_path)) is expected


def test_running_study(tmp_path: Path) -> None:
    study(tmp_path)
    for name in ("result.json", "fields.npz", "resolved-20/profiles.npz"):
        (tmp_path / name).unlink()
    history(tmp_path / "resolved-20" / "history.csv", 0.05, steps=2)
    with (tmp_path / "resolved-20" / "history.csv").open("a", encoding="utf-8") as file:
        file.write("0.3,0.2,0.5")  # a row in the writing
    (tmp_path / "resolved-10" / "profiles.npz").write_bytes(b"PK\x03\x04 half")
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert anchors(text) == [
        "progress",
        "problem",
        "voltage",
        "fields",
        "conservation",
        "solver",
        "limits",
        "provenance",
    ]
    assert "no result.json yet" in text
    assert "2 of 5" in text
    assert "not begun" in text  # the fourth level of the run file
    assert "nan" not in re.sub(r'src="[^"]*"', "", text).lower().replace("provenance", "")


def test_homogenised_only(tmp_path: Path) -> None:
    """The first minute of a study: one history with the initial state and one step."""
    (tmp_path / "run.toml").write_text(RUN, encoding="utf-8")
    history(tmp_path / "homogenised" / "history.csv", 0.0, steps=1)
    (tmp_path / "resolved-5").mkdir()
    (tmp_path / "resolved-5" / "history.csv").write_text(COLUMNS + "\n", encoding="utf-8")
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "voltage over time" in pictures(text)
    assert "fields" not in anchors(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda d: None,
        lambda d: (d / "run.toml").write_text(RUN, encoding="utf-8"),
        lambda d: (d / "history.csv").write_text(COLUMNS + "\n", encoding="utf-8"),
        lambda d: (d / "history.csv").write_text("", encoding="utf-8"),
        lambda d: (d / "result.json").write_text("{}", encoding="utf-8"),
    ],
)
def test_nothing_to_report(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    make(tmp_path)
    with pytest.raises(BadInput, match="nothing to report") as error:
        write_report(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert not (tmp_path / "report.html").exists()


def test_unreadable(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such directory"):
        write_report(tmp_path / "missing")
    (tmp_path / "result.json").write_text('{"levels": [', encoding="utf-8")
    with pytest.raises(BadInput, match=r"result\.json: line 1"):
        write_report(tmp_path)
    (tmp_path / "result.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(BadInput, match=r"result\.json"):
        write_report(tmp_path)


def test_missing_values(tmp_path: Path) -> None:
    """null errors, an isothermal run without energy error, zero errors, a level without history."""
    study(tmp_path)
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    result["levels"][0]["errors"]["Phi_s"] = dict.fromkeys(ORDERS)
    result["levels"][1]["voltage_error"] = 0.0
    result["levels"][1]["checks"] = {}
    result["richardson_difference"] = {}
    del result["levels"][2]["means"]
    result["homogenised"]["tensors"]["positive"] = {"dim": 2, "S": None, "B": None, "K": None, "bounds": {}}
    (tmp_path / "result.json").write_text(json.dumps(result), encoding="utf-8")
    path = tmp_path / "homogenised" / "history.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("3e-15", "nan"), encoding="utf-8")
    (tmp_path / "resolved-10" / "history.csv").unlink()
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert tuple(anchors(text)) == SECTIONS
    visible = re.sub(r'src="[^"]*"|<style>.*?</style>|provenance', "", text, flags=re.S | re.I)
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", visible)


def test_text_is_escaped(tmp_path: Path) -> None:
    evil = '<script>alert("1")</script>'
    run = RUN.replace("# host: node7", f"# host: {evil}").replace(
        "0.25 - 0.3*(c - 0.5)", "<img src=x onerror=(1)>"
    )
    run = run.replace("[microstructure.separator]", '[microstructure."<b>bold</b>"]').replace(
        "some.toml", f"{evil}.toml"
    )
    (tmp_path / "run.toml").write_text(run + f"\n# {evil}\n", encoding="utf-8")
    (tmp_path / "log.txt").write_text(evil, encoding="utf-8")
    entry = {"dim": 2, "phi_e": 0.5, "B": [[0.4, 0], [0, 0.4]], evil: 1}
    (tmp_path / "result.json").write_text(json.dumps({"microstructures": {evil: entry}}), encoding="utf-8")
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "<b>bold" not in text
    assert text.count("&lt;script&gt;") >= 4


def test_cell(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(RUN, encoding="utf-8")
    names = ["disks", "wavy", "laminate", "ellipse", "checkerboard"]
    result = {"microstructures": {name: tensor_entry() for name in names}}
    (tmp_path / "result.json").write_text(json.dumps(result), encoding="utf-8")
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert anchors(text) == ["problem", "coefficients", "pybamm", "limits", "provenance"]
    assert list(pictures(text)) == ["effective tensors and bounds"]
    assert all(name in text for name in names)
    assert "./dfx -n 2 cell run.toml" in text
    assert "5 microstructures" in text


@pytest.mark.parametrize("model", ["resolved", "homogenised"])
def test_single_run(tmp_path: Path, model: str) -> None:
    (tmp_path / "run.toml").write_text(RUN, encoding="utf-8")
    (tmp_path / "log.txt").write_text(f"     0.1 s  {model}: 10 unknowns, 1 ranks\n", encoding="utf-8")
    history(tmp_path / "history.csv", 0.0)
    (tmp_path / "result.json").write_text('{"dofs": 12345, "steps": 5, "seconds": 2.0}', encoding="utf-8")
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert anchors(text) == ["problem", "voltage", "conservation", "solver", "limits", "provenance"]
    assert f"The {model} model" in text
    assert f"./dfx -n 2 {model} run.toml" in text
    assert "12\u2009345" in text
    assert len(pictures(text)) == 4


def test_rounding_in_a_rest_is_no_charge_error(tmp_path: Path) -> None:
    """Charge is reported over the largest current so far, where the history has it."""
    history(tmp_path / "history.csv", 0.0, steps=2)
    rows = (tmp_path / "history.csv").read_text().splitlines()
    values = [row.split(",") for row in rows]
    charge = values[0].index("charge_error")
    values[-1][charge] = "0.3"
    for run, expected in ((None, 0.3), (["charge_error_run", "0", "1e-15", "2e-15"], 2e-15)):
        lines = values if run is None else [[*row, more] for row, more in zip(values, run, strict=True)]
        (tmp_path / "history.csv").write_text("\n".join(",".join(row) for row in lines) + "\n")
        (tmp_path / "run.toml").write_text(RUN)
        found = load(tmp_path).homogenised
        assert found is not None
        assert found.largest_error("charge") == expected


def test_no_solver_needed(finished: Path, tmp_path: Path) -> None:
    """The report runs where no solver is installed."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "banned = {'dolfinx', 'gmsh', 'mpi4py', 'petsc4py', 'ufl', 'scipy.sparse.linalg'}\n"
        "from dfx_homog.report import write_report\n"
        "assert 'matplotlib' not in sys.modules\n"
        "write_report(Path(sys.argv[1]))\n"
        "assert not banned & set(sys.modules), banned & set(sys.modules)\n"
    )
    history(tmp_path / "history.csv", 0.0)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_figure(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import matplotlib.image

    png, svg = tmp_path / "a.png", tmp_path / "a.svg"
    assert draw_figure([str(finished), str(png)]) == 0
    assert matplotlib.image.imread(png).shape[1] == 1600
    assert draw_figure([str(finished), str(svg)]) == 0
    assert ElementTree.parse(svg).getroot().tag.endswith("svg")
    assert draw_figure([str(finished)]) == 2
    assert draw_figure([str(finished), str(tmp_path / "a.pdf")]) == 2
    history(tmp_path / "history.csv", 0.0)
    assert draw_figure([str(tmp_path), str(png)]) == 2
    assert "nothing to draw (needed for any picture" in capsys.readouterr().err
    assert draw_figure([str(finished), str(png), "slices"]) == 2
    assert draw_figure([str(finished), str(png), "photo"]) == 2
    assert (
        "photo: no such picture (allowed: convergence, rve, slices, segmentation, scaling, phases)"
        in capsys.readouterr().err
    )


def test_leftover_levels_are_ignored(tmp_path: Path) -> None:
    """A directory used twice: levels that result.json does not know are not part of the study."""
    study(tmp_path)
    history(tmp_path / "resolved-7" / "history.csv", 1 / 7)
    assert [lv.count for lv in load(tmp_path).levels] == [5, 10, 20]


def test_formats() -> None:
    assert power(-1.234e-5) == "−1.2&thinsp;×&thinsp;10<sup>−5</sup>"
    assert power(2.5e3, 2) == "2.50&thinsp;×&thinsp;10<sup>3</sup>"
    assert power(1.0) == "1.0&thinsp;×&thinsp;10<sup>0</sup>"
    assert power(None) == power(float("nan")) == short(float("inf")) == "–"
    assert short(0.25) == "0.25"
    assert short(-3.0) == "−3"
    assert short(120000.0) == "120000"
    assert fixed(-1e-9, 3) == "0.000"
    assert fixed(1.0616, 2) == "1.06"
    assert integer(1234567) == "1\u2009234\u2009567"
    assert duration(3.4917) == "3.49 s"
    assert duration(192) == "3 min 12 s"
    assert duration(7500) == "2 h 5 min"


def test_planned_steps(finished: Path) -> None:
    found = load(finished)
    assert found.planned_steps() == STEPS
    found.run["time"]["adaptive"] = True
    assert found.planned_steps() is None
    assert "not begun" in tables.progress(found, Numbered())
