"""report.html of `cell` for three-dimensional meshes and for voxels, from small directories of results made here."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_report import anchors, pictures
from test_slices import cube

from dfx_homog.report import write_report
from dfx_homog.report.data import load
from dfx_homog.report.html import Numbered
from dfx_homog.report.plots_slices import phase_colours
from dfx_homog.report.pybamm import parameters
from dfx_homog.report.style import ELECTROLYTE_COLOUR
from dfx_homog.report.tables_effective import brackets, solver
from dfx_homog.studies.slices import plane_cut

RUN = """# ranks: 2
[microstructure.positive]
geometry = "image"
file = "stack.tif"
solid = [1, 2]
sigma_s = 10.0
steps = [{ step = "denoise", strength = 0.8 }, { step = "segment", phases = 3 }]

[microstructure."2-balls"]
geometry = "spheres"
lattice = "fcc"
sigma_s = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
"""
B = np.diag([0.14, 0.15, 0.0]) + 0.001


def entry(voxels: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "dim": 3,
        "phi_e": 0.4,
        "a": 12.3,
        "theta": None,
        "S": (20 * B).tolist(),
        "B": [[0.14, 0.001, 0], [0.001, 0.15, 0], [0, 0, 0]],
        "K": None,
        "tortuosity": [2.857, 2.667, None],
        "macmullin": [7.14, 6.67, None],
        "bruggeman": [2.146, 2.07, None],
        "bounds": {"B": {"voigt": 0.4, "reuss": 0.0, "hs_lower": 0.0, "hs_upper": 0.3}},
        "hill_mandel": {"B": 1e-9, "S": 2e-9},
        "dofs": {"B": 123456, "S": 200000},
        "iterations": {"B": [14, 15, 0], "S": [13, 13, 13]},
        "seconds": 12.3,
        "percolates": {"solid": [True] * 3, "electrolyte": [True, True, False]},
        "islands": {"solid": 0.0, "electrolyte": 0.0123},
    }
    if voxels:
        found |= {
            "shape": [20, 24, 16],
            "discretisation": "both",
            "condition": "periodic",
            "a_faceted": 18.1,
            "phi_e_total": 0.405,
            "memory": 3 * 2**29,
            "discretisations": {
                "fv": {"S": None, "B": found["B"], "K": None},
                "q1": {"S": None, "B": [[0.16, 0, 0], [0, 0.15, 0], [0, 0, 0]], "K": None},
            },
        }
    return found


def panels() -> dict[str, Any]:
    """As voxels/segmentation.py leaves them."""
    labels = np.indices((24, 16)).sum(axis=0) % 3
    return {
        "step": np.array(["image", "denoise", "segment", "clean"]),
        "parameters": np.array(
            ["", "strength 0.8, patch 3, distance 5", "phases 3", "smallest 27, pore connectivity 26"]
        ),
        "changed": np.array([np.nan, np.nan, np.nan, 0.01234]),
        "picture_0": labels * 60.0 + 1,
        "picture_1": labels * 60.0,
        "picture_2": labels.astype(np.uint8),
        "picture_3": labels.astype(np.uint8),
        "range": np.array([0.0, 180.0]),
        "noise": 7.25,
        "edges": np.linspace(0, 180, 17),
        "counts": np.arange(16),
        "means": np.array([10.0, 60.0, 130.0]),
        "sigmas": np.full(3, 8.0),
        "weights": np.array([0.5, 0.2, 0.3]),
        "thresholds": np.array([36.0, 95.0]),
        "misclassified": np.array([0.01, 0.02, 0.03]),
    }


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {f"segmentation_positive_{key}": value for key, value in panels().items()}
    shape = (20, 24, 16)
    for axis in range(3):
        rest = [n for other, n in enumerate(shape) if other != axis]
        arrays[f"slice_positive_{axis + 1}"] = generator.integers(0, 3, rest).astype(np.uint8)
    arrays |= {
        "slice_positive_values": np.array([0, 1, 2]),
        "slice_positive_solid": np.array([False, True, True]),
        "slice_positive_edges": np.array([1.0, 1.2, 0.8]),
        "slice_positive_shape": np.array(shape),
    }
    points, cells = cube(3, False)
    phase = np.where(points[cells].mean(axis=1)[:, 0] < 0.5, 1, 2)
    arrays["cell_2-balls_elements"] = len(cells)
    for axis in range(3):
        polygons, cut = plane_cut(points, cells, phase, axis)
        arrays |= {f"cell_2-balls_cut_{axis + 1}": polygons, f"cell_2-balls_cut_{axis + 1}_phase": cut}
    np.savez(tmp_path / "fields.npz", **arrays)
    (tmp_path / "run.toml").write_text(RUN, encoding="utf-8")
    result = {"microstructures": {"positive": entry(True), "2-balls": entry(False)}}
    (tmp_path / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return tmp_path


def test_sections_and_pictures(directory: Path) -> None:
    text = write_report(directory).read_text(encoding="utf-8")
    expected = ["problem", "segmentation", "coefficients", "pybamm", "limits", "provenance"]
    assert anchors(text) == expected
    assert list(pictures(text)) == [
        "mid-planes of 2-balls",
        "phases of positive",
        "segmentation of positive",
        "effective tensors and bounds",
    ]
    assert all(
        data.startswith(b"\x89PNG") for alt, (_, data) in pictures(text).items() if "bounds" not in alt
    )
    for words in (
        "162 tetrahedra",
        "20 × 24 × 16 voxels",
        "thresholds at 36, 95",
        "Noise of the image: 7.25.",
        # 0.5*1 % + 0.2*2 % + 0.3*3 %
        "1.8 % of all voxels get the wrong phase",
        "denoise: strength 0.8<br>segment: phases 3",
        "closed pores",
        "1.23",
        "yes, yes, no",
        "2-balls stands under Positive electrode",
    ):
        assert words in text, words
    visible = re.sub(r'src="[^"]*"|<style>.*?</style>', "", text, flags=re.S)
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", visible)


def test_both_discretisations(directory: Path) -> None:
    text = brackets(load(directory).tensors, Numbered())
    assert "<i>B</i><sub>11</sub></th><td>0.14</td><td>0.16</td><td>0.15</td><td>13.3 %</td>" in text
    assert "<i>B</i><sub>33</sub></th><td>0</td><td>0</td><td>0</td><td>–</td>" in text
    assert "2-balls" not in text
    assert brackets({"one": entry(False)}, Numbered()) == ""


def test_solver_table(directory: Path) -> None:
    text = solver(load(directory).tensors, Numbered())
    assert "positive: finite volumes and trilinear elements on 20 × 24 × 16 voxels" in text
    assert "2-balls: finite elements on a mesh" in text
    assert "<b>B</b></th><td>123\u2009456</td><td>14, 15, 0</td>" in text
    assert text.count("12.3 s") == 2 and text.count("1.5 GiB") == 1


def test_pybamm_block_is_python(directory: Path) -> None:
    """What PyBaMM makes of it, porosity**b and (1 - porosity)**b, are the entries of the tensors."""
    found: dict[str, Any] = {}
    exec(parameters(load(directory)), found)
    names = [name for name in found if not name.startswith("__")]
    assert names == ["positive_1", "positive_2", "_2_balls_1", "_2_balls_2"], (
        "nothing percolates in direction 3"
    )
    one = found["positive_1"]
    porosity = one["Positive electrode porosity"]
    assert porosity == 0.4
    assert porosity ** one["Positive electrode Bruggeman coefficient (electrolyte)"] == pytest.approx(
        0.14, 1e-5
    )
    solid = (1 - porosity) ** one["Positive electrode Bruggeman coefficient (electrode)"]
    assert solid == pytest.approx(20 * 0.141 / 10, 1e-5)
    assert "Positive electrode Bruggeman coefficient (electrode)" not in found["_2_balls_1"], (
        "sigma_s is a tensor"
    )


def test_pybamm_separator(tmp_path: Path) -> None:
    medium = {"dim": 2, "phi_e": 1.0, "B": [[1.0, 0.0], [0.0, 1.0]], "S": None}
    (tmp_path / "result.json").write_text(
        json.dumps({"microstructures": {"separator": medium}}), encoding="utf-8"
    )
    found: dict[str, Any] = {}
    exec(parameters(load(tmp_path)), found)
    assert found["separator_1"] == {
        "Separator porosity": 1,
        "Separator Bruggeman coefficient (electrolyte)": 1,
    }
    medium |= {"phi_e": 0.5, "B": [[0.25, 0.0], [0.0, 0.125]]}
    (tmp_path / "result.json").write_text(
        json.dumps({"microstructures": {"negative": medium}}), encoding="utf-8"
    )
    exec(parameters(load(tmp_path)), found)
    assert found["negative_2"]["Negative electrode Bruggeman coefficient (electrolyte)"] == 3
    assert "Negative electrode porosity" in found["negative_1"] and not math.isnan(
        found["negative_1"].popitem()[1]
    )


def test_phase_colours() -> None:
    colours = phase_colours(np.array([True, False, True, False]))
    assert colours[1] == colours[3] == ELECTROLYTE_COLOUR
    assert len(set(colours)) == 3


def test_flat_images(tmp_path: Path) -> None:
    """Two dimensions, no segmentation, labels unlike codes."""
    arrays = {
        "slice_a_b_1": np.eye(9, 7, dtype=np.uint8),
        "slice_a_b_values": np.array([255, 0]),
        "slice_a_b_solid": np.array([True, False]),
        "slice_a_b_edges": np.array([1.0, 0.8]),
        "slice_a_b_shape": np.array([900, 700]),
    }
    np.savez(tmp_path / "fields.npz", **arrays)
    flat = entry(True) | {
        "dim": 2,
        "shape": [900, 700],
        "discretisation": "q1",
        "B": [[0.2, 0], [0, 0.3]],
        "S": None,
    }
    (tmp_path / "result.json").write_text(json.dumps({"microstructures": {"a_b": flat}}), encoding="utf-8")
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert list(pictures(text))[:1] == ["phases of a_b"]
    assert "900 × 700 voxels, as a whole, thinned to at most 400 pixels" in text
    assert "trilinear finite elements on 900 × 700 voxels" in text
