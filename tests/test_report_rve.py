"""report.html of `rve` from a small directory of results made here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_report import anchors, pictures

from dfx_homog.report import rve, summary, write_report
from dfx_homog.report.data import load
from dfx_homog.report.figure import main as draw_figure

RUN = """# ranks: 2
[microstructure.field]
geometry = "gaussian_field"
porosity = 0.4

[rve]
quantity = "B"
sizes = [1, 2, 4]
"""
SHIFT = {"flux": -0.03, "periodic": 0.0, "dirichlet": 0.05, "through": 0.01}
COUNTS = {1: 9, 2: 6, 4: 4}


def samples(name: str = "field") -> list[dict[str, Any]]:
    """Scatter falls with the volume; the conditions close in like 1/size."""
    generator = np.random.default_rng(4)
    found = []
    for size, count in COUNTS.items():
        for realisation in range(count):
            middle = 0.15 + np.array([0.0, 0.01, 0.02]) + 0.02 / size**1.5 * generator.normal(size=3)
            for condition, shift in SHIFT.items():
                through = condition == "through"
                tensor: list[list[float | None]] = np.diag(middle + shift / size).tolist()
                if through:
                    tensor = [
                        [v if i == j else None for j, v in enumerate(row)] for i, row in enumerate(tensor)
                    ]
                found.append(
                    {
                        "microstructure": name,
                        "size": size,
                        "realisation": realisation,
                        "condition": condition,
                        "tensor": tensor,
                        "phi_e": 0.4,
                        "hill_mandel": [1e-9, 2e-9, 3e-9] if through else 4e-9,
                    }
                )
    return found


def result(found: list[dict[str, Any]]) -> dict[str, Any]:
    """As studies/rve.py writes it."""
    rows = []
    for size in COUNTS:
        for condition in SHIFT:
            values = [
                np.array(s["tensor"], dtype=float)
                for s in found
                if (s["size"], s["condition"]) == (size, condition)
            ]
            mean = np.mean(values, axis=0)
            lists = [[None if np.isnan(v) else v for v in row] for row in mean]
            half = [[None if np.isnan(v) else 0.004 / size for v in row] for row in mean]
            rows.append(
                {
                    "microstructure": "field",
                    "size": size,
                    "condition": condition,
                    "n": len(values),
                    "mean": lists,
                }
                | {"ci95": half, "std": half, "phi_e": 0.4}
            )
    law = {
        "alpha": 0.97,
        "alpha_error": 0.1,
        "factor": 4e-4,
        "integral_range": 0.01,
        "size": 3.21,
        "size_alpha_1": 3.0,
    }
    needed = [{"size": size, "needed": 64 // size**3 or None} for size in COUNTS]
    estimates = [
        {
            "microstructure": "field",
            "condition": c,
            "accuracy": 0.05,
            "reason": None,
            "realisations": needed,
            **law,
        }
        for c in SHIFT
    ]
    estimates[0] |= dict.fromkeys(law) | {"reason": "the property is zero"}
    return {
        "ranks": 2,
        "quantity": "B",
        "samples": found,
        "summary": rows,
        "order": [
            {"microstructure": "field", "size": size, "realisation": k, "worst": 0.01 / size, "holds": True}
            for size, count in COUNTS.items()
            for k in range(count)
        ],
        "order_holds": True,
        "order_worst": 0.0025,
        "rve_size": estimates,
        "statistics": {
            "field": {"porosity": 0.4, "electrolyte": {"share": 0.4, "mean_chord": [0.1, 0.125, None]}}
        },
    }


def arrays() -> dict[str, Any]:
    out: dict[str, Any] = {"chords_field_spacing": np.full(3, 1 / 32)}
    for axis in "123":
        out[f"s2_field_lags_{axis}"] = np.arange(17) / 32
        for phase in ("electrolyte", "solid"):
            out[f"s2_field_{phase}_{axis}"] = 0.16 + 0.24 * np.exp(-np.arange(17.0))
            out[f"chords_field_{phase}_{axis}"] = np.append(0, np.arange(32)[::-1])
    out["chords_field_solid_3"] = np.zeros(33, dtype=int)  # no interface met
    out |= {"s2_field_lags_radial": np.arange(17) / 32, "s2_field_electrolyte_radial": np.full(17, 0.2)}
    return out


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "run.toml").write_text(RUN, encoding="utf-8")
    (tmp_path / "result.json").write_text(json.dumps(result(samples())), encoding="utf-8")
    np.savez(tmp_path / "fields.npz", **arrays())
    return tmp_path


def visible(text: str) -> str:
    return re.sub(r'src="[^"]*"|<style>.*?</style>', "", text, flags=re.S)


def test_sections_and_numbers(directory: Path) -> None:
    text = write_report(directory).read_text(encoding="utf-8")
    assert anchors(text) == ["problem", "sizes", "order", "scatter", "phases", "limits", "provenance"]
    assert list(pictures(text)) == [
        "apparent tensors of field against size",
        "variance of field against volume",
        "phases of field",
    ]
    for words in (
        "from 19 samples of 3 sizes",
        "holds for all 19 samples",
        "Single samples of field of size 3.21 scatter by 5 % (95 % confidence, PBC (periodic)).",
        "SUBC ≤ PBC ≤ KUBC holds for every sample",
        "2.5&thinsp;×&thinsp;10<sup>−3</sup>",
        "6 of 6",
        "<i>B</i><sub>33</sub>",
        "± 0.004",
        "0.97 ± 0.10",
        "SUBC (flux): no estimate, the property is zero",
        "electrolyte 0.1, 0.125, –",
        "./dfx -n 2 rve run.toml",
    ):
        assert words in text, words
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", visible(text))


def test_order_violated(directory: Path) -> None:
    found = result(samples())
    found["order"][-1] |= {"holds": False, "worst": -0.03}
    found["order_holds"] = False
    (directory / "result.json").write_text(json.dumps(found), encoding="utf-8")
    text = write_report(directory).read_text(encoding="utf-8")
    assert '<span class="badge no">SUBC ≤ PBC ≤ KUBC is violated</span>' in text
    assert "holds for 18 of 19 samples" in text
    assert '<span class="no">3 of 4</span></td><td>−3.0' in text


def test_small_samples_are_enough(directory: Path) -> None:
    found = result(samples())
    for row in found["rve_size"][1:]:
        row["size"] = 0.3
    (directory / "result.json").write_text(json.dumps(found), encoding="utf-8")
    text = write_report(directory).read_text(encoding="utf-8")
    assert "Single samples of field of size 1 already scatter by less than 5 % (95 %" in text


def test_series(directory: Path) -> None:
    study = load(directory)
    parts = rve.series(study, "field")
    assert [p.condition for p in parts] == ["flux", "periodic", "dirichlet", "through"]
    volume, variance, count = rve.scatter(parts[1])
    assert volume.tolist() == [1, 8, 64] and count.tolist() == [9, 6, 4]
    means = [
        np.mean(np.diag(s["tensor"])) for s in study.samples if (s["size"], s["condition"]) == (2, "periodic")
    ]
    assert variance[1] == pytest.approx(np.var(means, ddof=1))
    # relative to the largest entry of each tensor
    worst = max(4e-9 / max(np.diag(s["tensor"])) for s in study.samples if s["condition"] == "flux")
    assert rve.hill_mandel(study.samples) == pytest.approx(worst)


def test_running(tmp_path: Path) -> None:
    """Samples that are there before the result, one of them half written; no arrays."""
    (tmp_path / "run.toml").write_text(RUN, encoding="utf-8")
    (tmp_path / "samples").mkdir()
    found = samples()
    for k in range(0, 12, 4):
        text = json.dumps({"digest": "", "records": found[k : k + 4]})
        (tmp_path / "samples" / f"field-00-{k:05d}.json").write_text(text, encoding="utf-8")
    (tmp_path / "samples" / "field-00-99999.json").write_text(text[:100], encoding="utf-8")
    study = load(tmp_path)
    assert len(study.samples) == 12 and study.kind == "rve"
    assert "no result.json yet" in summary.badge(study)
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert anchors(text) == ["problem", "sizes", "limits", "provenance"]
    assert "from 3 samples of 1 size." in text
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", visible(text))


def test_one_condition_and_insulating_faces(directory: Path) -> None:
    """Nothing to compare, all zero: no order, no estimate, no division by zero."""
    found = [s | {"tensor": [[0.0] * 3] * 3} for s in samples() if s["condition"] == "flux"]
    short = result(samples())
    rows = [r | {"mean": [[0.0] * 3] * 3} for r in short["summary"] if r["condition"] == "flux"]
    short |= {
        "samples": found,
        "summary": rows,
        "order": [],
        "order_holds": None,
        "rve_size": short["rve_size"][:1],
    }
    (directory / "result.json").write_text(json.dumps(short | {"statistics": {}}), encoding="utf-8")
    (directory / "fields.npz").unlink()
    text = write_report(directory).read_text(encoding="utf-8")
    assert anchors(text) == ["problem", "sizes", "scatter", "limits", "provenance"]
    assert "badge" not in visible(text)
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", visible(text))


def test_figure(directory: Path, tmp_path: Path) -> None:
    path = tmp_path / "rve.png"
    assert draw_figure([str(directory), str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size < 80_000
    assert draw_figure([str(directory), str(path), "segmentation"]) == 2
