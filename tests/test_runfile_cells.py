"""[microstructure.NAME] in space and of voxels, and [rve]: what is accepted, refused, and written back."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfx_homog.errors import BadInput
from dfx_homog.parameters.expression import Expression
from dfx_homog.runfile import (
    Ellipsoid,
    GaussianField,
    Image,
    LevelSet,
    RandomSpheres,
    Run,
    Spheres,
    load,
    require,
    suited_to,
)
from dfx_homog.runfile.toml import to_toml
from dfx_homog.runfile.voxels import STEPS

MESH = {"mesh_size": 0.1}
SPHERES = {"geometry": "spheres", "radius": 0.3, **MESH}
LISTS = {"geometry": "spheres", "centres": [[0.2, 0.5, 0.5], [0.7, 0.5, 0.5]], "radii": [0.25, 0.28], **MESH}
ELLIPSOID = {"geometry": "ellipsoid", "semi_axes": [0.4, 0.3, 0.2], **MESH}
SCHWARZ = {"geometry": "level_set", "expression": "cos(2*pi*x) + cos(2*pi*y) + cos(2*pi*z)", **MESH}
PACKING = {"geometry": "random_spheres", "porosity": 0.5, "radius_mean": 1.0, "cells": 8.0}
FIELD = {"geometry": "gaussian_field", "porosity": 0.4, "correlation_length": 4, "voxels": 96}
IMAGE = {"geometry": "image", "file": "grains.tif", "solid": [85, 170]}
RAW = {"geometry": "image", "file": "grains.raw", "solid": [1], "shape": [9, 8, 7], "dtype": "uint8"}
GREY: dict[str, Any] = {
    **IMAGE,
    "solid": [1, 2],
    "steps": [{"step": "denoise"}, {"step": "segment", "phases": 3}],
}
K3 = [[2.0, 0.1, 0.0], [0.1, 1.0, 0.0], [0.0, 0.0, 3.0]]


def load_cell(directory: Path, keys: dict[str, Any], rve: dict[str, Any] | None = None) -> Run:
    path = directory / "run.toml"
    data: dict[str, Any] = {"microstructure": {"one": keys}} | ({"rve": rve} if rve is not None else {})
    path.write_text(to_toml(data), encoding="utf-8")
    return load(path)


ACCEPTED: dict[str, dict[str, Any]] = {
    "laminate": {
        "geometry": "laminate",
        "dim": 3,
        "solid_fraction": 0.3,
        "normal": [1, 1, 0],
        "k_s": K3,
        **MESH,
    },
    "electrolyte": {"geometry": "electrolyte", "dim": 3, "k_e": K3, **MESH},
    "spheres": {**SPHERES, "lattice": "fcc", "sigma_s": K3},
    "lists": LISTS,
    "ellipsoid": {**ELLIPSOID, "angle": [10, 20, 30.0], "order": 2},
    "level_set": {**SCHWARZ, "threshold": 0.5},
    "packing": {**PACKING, **MESH, "radius_std": 0.1, "overlap": 0.05, "seed": 7},
    "packing of voxels": {**PACKING, "voxels": 64, "discretisation": "both", "k_s": 2.0, "k_e": 1.0},
    "mesh": {"geometry": "mesh", "file": "cell.msh", "order": 2, "sigma_s": K3},
    "field": {**FIELD, "seed": 3, "discretisation": "q1", "sigma_s": 10.0},
    "plane field": {**FIELD, "dim": 2, "correlation_length": 0.05},
    "image": {
        **IMAGE,
        "sigma_s": {"85": 10.0, "170": 0},
        "k_s": 2.0,
        "crop": [[0, 9], [1, 5]],
        "voxel_size": [1, 2],
    },
    "raw": {**RAW, "invert": True, "k_s": 2.0, "rho_cp_s": 1.5},
    "grey": {
        **GREY,
        "steps": [
            *GREY["steps"],
            {"step": "open", "label": 0, "radius": 2},
            {"step": "clean", "smallest": 9},
        ],
    },
    "one class": {**GREY, "solid": [2], "sigma_s": {"2": 1.0}},
}


@pytest.mark.parametrize("keys", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted_and_written_back(tmp_path: Path, keys: dict[str, Any]) -> None:
    run = load_cell(tmp_path, keys, {"sizes": [1]})
    require(run, "cell")
    require(run, "rve")
    spec = run.microstructure["one"]
    assert (spec.is_voxels, not spec.is_voxels) == ("one" in run.images(), "one" in run.meshes())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "again.toml").write_text(run.to_toml(), encoding="utf-8")
    again = load(elsewhere / "again.toml")
    assert again.model_dump() == run.model_dump()
    assert again.folder == elsewhere


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"geometry": "electrolyte", **MESH, "k_e": K3}, "k_e: is not a 2 x 2 tensor"),
        ({**SPHERES, "k_s": [[2.0, 0.5], [0.5, 1.0]]}, "k_s: is not a 3 x 3 tensor"),
        ({**SPHERES, "sigma_s": [[1.0]]}, "1 entries, not 2 or 3"),
        ({**SPHERES, "sigma_s": [[1.0, 0, 0], [0, 1.0, 0], [0, 0, -1]]}, "positive definite"),
        ({**SPHERES, "sigma_s": [[1.0, 0, 0], [0, 1.0], [0, 0, 1]]}, "2 entries, not 3"),
        ({**SPHERES, "lattice": "hcp"}, 'allowed: "sc", "bcc" or "fcc"'),
        ({**LISTS, "lattice": "sc"}, "lattice: give either radius"),
        ({**LISTS, "radius": 0.1}, "radius: give either radius"),
        ({**LISTS, "radii": [0.1]}, "radii: 1 radii for 2 centres"),
        ({**LISTS, "centres": [[0.5, 0.5]]}, "2 entries, not 3"),
        ({**SPHERES, "mesh_size": None}, "mesh_size: required"),
        ({**SPHERES, "dim": 3}, "dim: unknown key"),
        ({**ELLIPSOID, "semi_axes": [0.4, 0.3]}, "2 entries, not 3"),
        ({**ELLIPSOID, "semi_axes": [0.4, 0.3, 0.5]}, "reaches 0.5 from the centre"),
        ({**ELLIPSOID, "semi_axes": [0.49, 0.3, 0.0]}, "out of range"),
        ({**ELLIPSOID, "angle": 30.0}, "angle: 30.0 is not a list"),
        ({**SCHWARZ, "expression": "1 + 0*x"}, "expression: depends on none of x, y, z"),
        ({**SCHWARZ, "expression": "cos(2*pi*x) + y"}, "not periodic: it differs by 1 between y = 0 and y = 1"),
        ({**SCHWARZ, "expression": "sin(pi*z)"}, "all is electrolyte"),
        ({**SCHWARZ, "threshold": 3.5}, "threshold: all is solid: the expression runs from -3 to 3"),
        ({**SCHWARZ, "threshold": -3.0}, "threshold: all is electrolyte"),
        ({**SCHWARZ, "expression": "log(cos(2*pi*x))"}, "no finite value"),
        ({**SCHWARZ, "expression": "cos(2*pi*c)"}, "'c' is not allowed in a formula; allowed are numbers, x, y, z, pi"),
        ({**SCHWARZ, "expression": 1.0}, "not a formula"),
        ({**PACKING}, "mesh_size: required without voxels"),
        ({**PACKING, **MESH, "voxels": 64}, "mesh_size: is for a mesh"),
        ({**PACKING, "order": 2, "voxels": 64}, "order: is for a mesh"),
        ({**PACKING, "k_s": K3, "voxels": 64}, "k_s: must be a number > 0"),
        ({**PACKING, **MESH, "discretisation": "q1"}, "discretisation: is for voxels"),
        ({**PACKING, **MESH, "porosity": 0.0}, "porosity: 0.0 is out of range"),
        ({**PACKING, **MESH, "cells": 2}, "cells: 2 is out of range"),
        ({**PACKING, **MESH, "overlap": 1.0}, "overlap: 1.0 is out of range"),
        ({**PACKING, **MESH, "seed": -1}, "seed: -1 is out of range"),
        ({**PACKING, **MESH, "seed": 1.5}, "seed: 1.5 is not a whole number"),
        ({"geometry": "mesh", "file": "cell.stl"}, "file: 'cell.stl' does not end in .msh"),
        ({"geometry": "mesh", "file": "cell.msh", "mesh_size": 0.1}, "mesh_size: unknown key"),
        ({**FIELD, "voxels": 96.0}, "voxels: 96.0 is not a whole number"),
        ({**FIELD, "voxels": 1}, "voxels: 1 is out of range"),
        ({**FIELD, "correlation_length": 0}, "correlation_length: 0 is out of range"),
        ({**FIELD, "discretisation": "fem"}, 'allowed: "fv", "q1" or "both"'),
        ({**FIELD, "mesh_size": 0.1}, "mesh_size: unknown key"),
        ({**FIELD, "k_e": K3}, "k_e: "),
        ({**IMAGE, "file": "grains.png"}, "does not end in .tif, .tiff, .npy, .raw"),
        ({**IMAGE, "file": 3}, "file: 3 is not a file name"),
        ({**IMAGE, "solid": []}, "solid: the list is empty"),
        ({**IMAGE, "solid": 85}, "solid: 85 is not a list"),
        ({**IMAGE, "solid": [1, 1]}, "has a label twice"),
        ({**IMAGE, "solid": [1.5]}, "not a whole number"),
        ({**IMAGE, "shape": [9, 9]}, "shape: is for .raw files"),
        ({**RAW, "shape": None}, "shape: required for a .raw file"),
        ({**RAW, "dtype": None}, "dtype: required for a .raw file"),
        ({**RAW, "dtype": "complex"}, "dtype: 'complex' is not known"),
        ({**RAW, "shape": [9, 0, 7]}, "out of range"),
        ({**RAW, "shape": [9]}, "1 entries, not 2 or 3"),
        ({**RAW, "crop": [[0, 4], [0, 4]]}, "crop: does not belong to the same image: shape has 3 axes, crop has 2"),
        ({**RAW, "crop": [[0, 4], [0, 9], [0, 7]]}, "crop: [0, 9] reaches beyond an axis of 8 voxels"),
        ({**RAW, "crop": [[4, 4], [0, 9], [0, 7]]}, "[4, 4] is empty"),
        ({**IMAGE, "crop": [[0, 9], [0, 9]], "voxel_size": [1, 1, 1]}, "voxel_size: does not belong"),
        ({**IMAGE, "voxel_size": [1, -1]}, "out of range"),
        ({**IMAGE, "invert": "yes"}, "neither true nor false"),
        ({**IMAGE, "sigma_s": {"85": 10.0}}, "sigma_s: has entries for [85], must have one for each"),
        ({**IMAGE, "sigma_s": {"85": 10.0, "pore": 1.0}}, "'pore' is not a label"),
        ({**IMAGE, "sigma_s": {"85": 0, "170": 0}}, "no entry > 0"),
        ({**IMAGE, "sigma_s": {"85": -1.0, "170": 1.0}}, "out of range"),
        ({**IMAGE, "sigma_s": K3}, "is not a number"),
        ({**IMAGE, "invert": True, "k_s": {"85": 1.0, "170": 2.0}}, "k_s: a table label by label needs"),
        ({**GREY, "steps": [{"step": "blur"}]}, "steps[0].step: 'blur' is not known (allowed: denoise, segment"),
        ({**GREY, "steps": [{"phases": 3}]}, "steps[0].step: required"),
        ({**GREY, "steps": [{"step": "segment", "phase": 3}]}, "steps[0].phase: unknown key; did you mean phases?"),
        ({**GREY, "steps": [{"step": "segment", "phases": 3, "sigma": 2}]}, 'allowed: "common" or "own"'),
        ({**GREY, "steps": [{"step": "segment", "phases": 9}]}, "steps[0].phases: 9 is out of range"),
        ({**GREY, "steps": [{"step": "segment", "phases": 2}]}, "solid: 2 is no class"),
        ({**GREY, "solid": [0, 1, 2]}, "solid: all 3 classes are in it"),
        ({**GREY, "steps": [{"step": "denoise"}]}, "steps: denoise comes before a segment"),
        ({**GREY, "steps": [{"step": "segment"}, {"step": "segment"}]}, "steps: at most one segment"),
        ({**GREY, "steps": [{"step": "segment"}, {"step": "denoise"}]}, "steps: denoise comes before"),
        ({**GREY, "steps": [{"step": "open", "label": 1}, {"step": "segment"}]}, "steps: denoise comes before"),
        ({**GREY, "steps": [{"step": "denoise", "patch": 4}, {"step": "segment"}]}, "steps[0].patch: 4 is even"),
        ({**GREY, "steps": [*GREY["steps"], {"step": "close", "label": 3}]}, "steps[2].label: 3 is no class"),
        ({**GREY, "steps": [{"step": "clean"}]}, "steps[0].smallest: required"),
        ({**GREY, "steps": [{"step": "clean", "smallest": 5, "pore_connectivity": 8}]}, "allowed: 6, 18 or 26"),
        ({**GREY, "steps": []}, "steps: "),
        ({**GREY, "steps": {"step": "segment"}}, "steps: "),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, keys: dict[str, Any], words: str) -> None:
    given = {key: value for key, value in keys.items() if value is not None}
    with pytest.raises(BadInput, match=r"run\.toml: microstructure\.one\.") as caught:
        load_cell(tmp_path, given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rve", "words"),
    [
        ({}, "rve.sizes: required"),
        ({"sizes": []}, "rve.sizes: the list is empty"),
        ({"sizes": [1, 1.0]}, "has an entry twice"),
        ({"sizes": [0]}, "rve.sizes: 0 is out of range"),
        ({"sizes": [0.5, 2]}, "rve.sizes: 2 is more than one"),
        ({"sizes": [1], "quantity": "T"}, "rve.quantity: 'T' is not known"),
        ({"sizes": [1], "quantity": "K"}, "microstructure.one.k_s: required by rve of K"),
        ({"sizes": [1], "conditions": ["periodic", "open"]}, "rve.conditions: 'open' is not known"),
        ({"sizes": [1], "conditions": ["flux", "flux"]}, "has an entry twice"),
        ({"sizes": [1], "realisations": 0}, "rve.realisations: 0 is out of range"),
        ({"sizes": [1], "accuracy": 0.0}, "rve.accuracy: 0.0 is out of range"),
        ({"sizes": [1], "ranks_per_sample": -1}, "rve.ranks_per_sample: -1 is out of range"),
        ({"sizes": [1], "size": 2}, "rve.size: unknown key; did you mean sizes?"),
        (None, "[rve]: required by rve"),
    ],
)
def test_refused_samples(tmp_path: Path, rve: dict[str, Any] | None, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        require(load_cell(tmp_path, IMAGE, rve), "rve")
    assert words in str(caught.value)


def test_sizes_of_meshes_are_whole_numbers_of_unit_cells(tmp_path: Path) -> None:
    require(load_cell(tmp_path, SPHERES, {"sizes": [1, 2.0]}), "rve")
    require(load_cell(tmp_path, FIELD, {"sizes": [0.5, 2]}), "rve")
    with pytest.raises(BadInput, match=r"rve\.sizes: 0\.5 unit cells of one do not exist"):
        require(load_cell(tmp_path, SPHERES, {"sizes": [0.5]}), "rve")


def test_no_solid_has_no_electronic_conductivity(tmp_path: Path) -> None:
    pores = {"geometry": "electrolyte", "k_e": 0.6, **MESH}
    require(load_cell(tmp_path, pores, {"sizes": [1], "quantity": "K"}), "rve")
    with pytest.raises(BadInput, match=r'rve\.quantity: "S" does not exist in one'):
        require(load_cell(tmp_path, pores, {"sizes": [1], "quantity": "S"}), "rve")


def test_defaults_of_the_ensemble(tmp_path: Path) -> None:
    rve = load_cell(tmp_path, IMAGE, {"sizes": [0.5, 1]}).rve
    assert (rve.quantity, rve.sizes, rve.realisations, rve.conditions) == ("B", (0.5, 1.0), 1, ("periodic",))
    assert (rve.accuracy, rve.ranks_per_sample) == (0.05, 0)


MODEL = {"sigma_s": 1.0, "k_s": 1.0, "rho_cp_s": 1.0, "k_e": 1.0, "rho_cp_e": 1.0}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (SPHERES, "has 3 dimensions, that of negative 2: the regions make one mesh in"),
        ({**PACKING, "voxels": 64}, "has 3 dimensions, that of negative 2: the regions make one mesh in"),
        (FIELD, "has 3 dimensions, that of negative 2: the regions make one mesh in"),
    ],
)
@pytest.mark.parametrize("command", ["resolved", "homogenised", "convergence"])
def test_models_know_unit_cells_of_one_dimension_only(
    tmp_path: Path, keys: dict[str, Any], words: str, command: str
) -> None:
    quickstart = load(Path(__file__).resolve().parents[1] / "runs" / "quickstart.toml")
    data = quickstart.model_dump(by_alias=True, exclude_none=True)
    data["microstructure"]["positive"] = {**keys, **MODEL}
    path = tmp_path / "run.toml"
    path.write_text(to_toml(data), encoding="utf-8")
    run = load(path)
    with pytest.raises(BadInput, match=r"microstructure\.positive\.geometry: ") as caught:
        require(run, command)
    assert f"{words} {command}" in str(caught.value)
    assert suited_to(run)["cell"] == ""


def test_spheres(tmp_path: Path) -> None:
    def balls(keys: dict[str, Any]) -> list[tuple[float, ...]]:
        spec = load_cell(tmp_path, keys).microstructure["one"]
        assert isinstance(spec, Spheres)
        return list(spec.spheres())

    assert balls(SPHERES) == [(0.5, 0.5, 0.5, 0.3)]
    assert [len(balls({**SPHERES, "lattice": name})) for name in ("sc", "bcc", "fcc")] == [1, 2, 4]
    assert balls(LISTS) == [(0.2, 0.5, 0.5, 0.25), (0.7, 0.5, 0.5, 0.28)]
    # nearest neighbours of the lattices, periodic: 1, sqrt(3)/2, sqrt(1/2)
    for name, nearest in (("bcc", 0.75**0.5), ("fcc", 0.5**0.5)):
        points = np.array(balls({**SPHERES, "lattice": name}))[:, :3]
        distance = points[1:] - points[0]
        assert np.linalg.norm(distance - np.round(distance), axis=1) == pytest.approx(nearest)
    inside = [load_cell(tmp_path, keys).microstructure["one"].solid_inside for keys in (SPHERES, LISTS)]
    assert inside == [True, False]


def test_ellipsoid_turns_about_the_axes_one_after_the_other(tmp_path: Path) -> None:
    spec = load_cell(tmp_path, {**ELLIPSOID, "angle": [90, 90, 0]}).microstructure["one"]
    assert isinstance(spec, Ellipsoid)
    # about z1: e1, e2, e3 -> e1, e3, -e2; then about z2: e1 -> -e3, e3 -> e1
    assert spec.rotation() == pytest.approx(np.array([[0, 1, 0], [0, 0, -1], [-1, 0, 0]]), abs=1e-15)
    turned = load_cell(tmp_path, {**ELLIPSOID, "angle": [11, 23, 47]}).microstructure["one"]
    assert isinstance(turned, Ellipsoid)
    R = turned.rotation()
    assert pytest.approx(np.eye(3), abs=1e-15) == R @ R.T
    assert np.linalg.det(R) == pytest.approx(1.0)


def test_reach_of_a_turned_ellipsoid(tmp_path: Path) -> None:
    """Refused at exactly the size at which the sampled surface reaches a face."""
    rng = np.random.default_rng(5)
    sphere = rng.standard_normal((200_000, 3))
    sphere /= np.linalg.norm(sphere, axis=1)[:, None]
    angle, axes = [20.0, 35.0, 50.0], np.array([0.45, 0.25, 0.15])
    spec = load_cell(tmp_path, {**ELLIPSOID, "semi_axes": axes.tolist(), "angle": angle}).microstructure[
        "one"
    ]
    assert isinstance(spec, Ellipsoid)
    reach = float(((sphere * axes) @ spec.rotation().T).max())
    too_large = (axes * 0.501 / reach).tolist()
    fits = (axes * 0.499 / reach).tolist()
    load_cell(tmp_path, {**ELLIPSOID, "semi_axes": fits, "angle": angle})
    with pytest.raises(BadInput, match="from the centre"):
        load_cell(tmp_path, {**ELLIPSOID, "semi_axes": too_large, "angle": angle})


def test_level_set_is_negative_in_the_solid(tmp_path: Path) -> None:
    spec = load_cell(tmp_path, {**SCHWARZ, "threshold": 0.5}).microstructure["one"]
    assert isinstance(spec, LevelSet)
    x = np.array([0.0, 0.25, 0.5])
    assert spec.function().numpy(x=x, y=x, z=x) == pytest.approx([2.5, -0.5, -3.5])


def test_pi_is_a_constant_of_positions_only() -> None:
    assert float(Expression.of_position("sin(pi*x)").numpy(x=0.5)) == 1.0
    assert Expression.of_position("x").diff("x") == Expression.parse(1.0)
    with pytest.raises(ValueError, match="'pi' is not allowed"):
        Expression.parse("pi*c")


def test_files_beside_the_run_file_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def file() -> str:
        spec = load_cell(tmp_path / "runs", IMAGE).microstructure["one"]
        assert isinstance(spec, Image)
        return spec.file

    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert file() == str(tmp_path / "runs" / "grains.tif")  # where it should be
    (tmp_path / "grains.tif").write_bytes(b"")
    assert file() == str(tmp_path / "grains.tif")
    (tmp_path / "runs" / "grains.tif").write_bytes(b"")
    assert file() == str(tmp_path / "runs" / "grains.tif")


def test_models_for_readers(tmp_path: Path) -> None:
    field = load_cell(tmp_path, FIELD).microstructure["one"]
    assert isinstance(field, GaussianField)
    assert (field.dim, field.seed, field.discretisation, field.is_voxels) == (3, 0, "fv", True)
    packing = [
        load_cell(tmp_path, {**PACKING, **more}).microstructure["one"] for more in (MESH, {"voxels": 32})
    ]
    assert all(isinstance(spec, RandomSpheres) for spec in packing)
    assert [spec.is_voxels for spec in packing] == [False, True]
    image = load_cell(tmp_path, ACCEPTED["image"]).microstructure["one"]
    assert isinstance(image, Image)
    assert image.sigma_s == {85: 10.0, 170: 0.0}
    assert [step.model_dump() for step in load_cell(tmp_path, GREY).images()["one"].steps or ()] == [  # type: ignore[union-attr]
        {"step": "denoise", "strength": 0.8, "patch": 3, "distance": 5},
        {"step": "segment", "phases": 3, "sigma": "common"},
    ]


def test_steps_have_the_parameters_of_the_segmentation() -> None:
    from dfx_homog.voxels.segmentation import KINDS

    assert list(STEPS) == list(KINDS)
    for name, kind in KINDS.items():
        theirs = {f.name: f.default for f in dataclasses.fields(kind)}
        mine = {key: field for key, field in STEPS[name].model_fields.items() if key != "step"}
        assert mine.keys() == theirs.keys()
        for key, field in mine.items():
            assert field.is_required() == (theirs[key] is dataclasses.MISSING)
            assert field.is_required() or field.default == theirs[key]
