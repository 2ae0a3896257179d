"""`dfx-homog rve`: exact tensors of layers, the order of the conditions, agreement with `cell`, restart, ranks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from dfx_homog.errors import BadInput
from dfx_homog.models.voxel_medium import voxel_medium
from dfx_homog.runfile import load
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies import rve
from dfx_homog.studies.rve_statistics import as_array
from dfx_homog.voxels.image import load_grid

pytestmark = [pytest.mark.mpi, pytest.mark.mpi3]

ALL = '["periodic", "dirichlet", "flux", "through"]'
FIELD = """
[microstructure.field]
geometry = "gaussian_field"
porosity = 0.5
correlation_length = 2.0
voxels = 12
seed = 3
k_s = 20.0
k_e = 1.0
discretisation = "{scheme}"

[rve]
quantity = "{quantity}"
sizes = [1, 1.5]
realisations = 3
conditions = {conditions}
"""
IMAGE = """
[microstructure.image]
geometry = "image"
file = "image.npy"
solid = [1]
k_s = 5.0
k_e = 1.0
sigma_s = 2.0

[rve]
quantity = "{quantity}"
sizes = {sizes}
realisations = {realisations}
conditions = {conditions}
"""
MESH = """
[microstructure.layers]
geometry = "laminate"
dim = 2
solid_fraction = 0.4
normal = [1, 0]
mesh_size = 0.2
k_s = 5.0
k_e = 1.0
sigma_s = 2.0

[rve]
quantity = "{quantity}"
sizes = [1, 2]
realisations = 3
conditions = {conditions}
"""
#: Layers of share 0.4 with conductivity 5 in a matrix of 1.
ALONG, ACROSS = 0.4 * 5 + 0.6, 1 / (0.4 / 5 + 0.6)

Study = Callable[..., dict[str, Any]]


@pytest.fixture
def folder() -> Iterator[Path]:
    comm = MPI.COMM_WORLD
    out = Path(comm.bcast(mkdtemp() if comm.rank == 0 else ""))
    yield out
    comm.barrier()
    if comm.rank == 0:
        rmtree(out)


def run_study(
    folder: Path, text: str, comm: MPI.Intracomm = MPI.COMM_WORLD, image: Any = None
) -> dict[str, Any]:
    """result.json of a run file that is written to the folder, on the ranks of comm; files there stay."""
    if comm.rank == 0:
        (folder / "run.toml.in").write_text(text)
        if image is not None:
            np.save(folder / "image.npy", image)
    comm.barrier()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rve, "finish", lambda *_: None)  # the report has its own tests
        rve.run_rve(load(folder / "run.toml.in"), folder, RunOptions(folder, quiet=True), comm)
    return json.loads((folder / "result.json").read_text())


def tensors(result: dict[str, Any]) -> dict[tuple[float, int, str], np.ndarray]:
    return {(s["size"], s["realisation"], s["condition"]): as_array(s["tensor"]) for s in result["samples"]}


def check_layers(found: dict[str, np.ndarray], along: float, across: float, tolerance: float) -> None:
    """Exact where the uniform fields of layers fit the condition, on the right side of it elsewhere.

    Directions: 1 across the layers, others along them.
    """
    dim = len(found["periodic"])
    exact = np.diag([across] + [along] * (dim - 1))
    assert found["periodic"] == pytest.approx(exact, abs=tolerance)
    assert np.diag(found["through"]) == pytest.approx(np.diag(exact), abs=tolerance)
    assert np.isnan(found["through"][~np.eye(dim, dtype=bool)]).all()
    assert found["dirichlet"][1, 1] == pytest.approx(along, abs=tolerance)
    assert found["dirichlet"][0, 0] > across + 1e-3
    assert found["flux"][0, 0] == pytest.approx(across, abs=tolerance)
    assert found["flux"][1, 1] < along - 1e-3


@pytest.mark.parametrize("shape", [(10, 8, 8), (10, 8)])
def test_layers_of_voxels(folder: Path, shape: tuple[int, ...]) -> None:
    image = np.zeros(shape, dtype=np.uint8)
    image[2:4] = image[7:9] = 1
    result = run_study(
        folder, IMAGE.format(quantity="K", sizes=[1], realisations=2, conditions=ALL), image=image
    )
    found = tensors(result)
    assert len(found) == 4
    check_layers({c: t for (_, _, c), t in found.items()}, ALONG, ACROSS, 1e-7)
    assert result["order_holds"] is True and result["summary"][0]["n"] == 1
    assert max(np.max(s["hill_mandel"]) for s in result["samples"]) < 1e-7


def test_layers_on_a_mesh_and_its_copies(folder: Path) -> None:
    result = run_study(folder, MESH.format(quantity="K", conditions=ALL))
    found = tensors(result)
    assert len(found) == 8
    for size in (1, 2):
        check_layers({c: t for (s, _, c), t in found.items() if s == size}, ALONG, ACROSS, 1e-9)
    # more copies bring the conditions closer to each other
    assert found[2, 0, "dirichlet"][0, 0] < found[1, 0, "dirichlet"][0, 0]
    assert found[2, 0, "flux"][1, 1] > found[1, 0, "flux"][1, 1]
    assert result["order_holds"] is True


def test_layers_that_conduct_alone(folder: Path) -> None:
    """B of layers: none across; under SUBC none at all."""
    for text, image in (
        (IMAGE.format(quantity="B", sizes=[1], realisations=1, conditions=ALL), True),
        (MESH, None),
    ):
        if image:
            image = np.zeros((10, 6, 6), dtype=np.uint8)
            image[2:6] = 1
        result = run_study(folder, text.format(quantity="B", conditions=ALL), image=image)
        for (_, _, condition), tensor in tensors(result).items():
            exact = 0.0 if condition == "flux" else 0.6
            diagonal = np.diag(tensor)
            assert diagonal[1:] == pytest.approx(exact, abs=1e-7), condition
            if condition != "dirichlet":
                assert abs(diagonal[0]) < 1e-12
        assert result["order_holds"] is True


@pytest.mark.parametrize(("scheme", "quantity"), [("fv", "K"), ("q1", "K"), ("fv", "B")])
def test_order_and_hill_mandel_of_random_samples(folder: Path, scheme: str, quantity: str) -> None:
    result = run_study(folder, FIELD.format(scheme=scheme, quantity=quantity, conditions=ALL))
    assert len(result["samples"]) == 24 and len(result["order"]) == 6
    assert result["order_holds"] is True and result["order_worst"] > -1e-9
    assert max(np.max(s["hill_mandel"]) for s in result["samples"]) < 1e-6
    for sample in result["samples"]:
        tensor = as_array(sample["tensor"])
        assert sample["shape"] == [12 if sample["size"] == 1 else 18] * 3
        assert sample["phi_e"] == pytest.approx(0.5) and 0 <= sample["phi_e_transporting"] <= 0.5
        if quantity == "K":
            assert np.diag(tensor).min() > 1 and np.diag(tensor).max() < 10.5
    seeds = {s["seed"] for s in result["samples"]}
    assert len(seeds) == 6 and result["samples"][0]["seed"] == 3


def test_summary_and_statistics_of_a_study(folder: Path) -> None:
    result = run_study(folder, FIELD.format(scheme="fv", quantity="K", conditions='["periodic"]'))
    row = result["summary"][1]
    values = [as_array(s["tensor"]) for s in result["samples"] if s["size"] == 1.5]
    assert (row["size"], row["n"]) == (1.5, 3)
    assert np.array(row["mean"]) == pytest.approx(np.mean(values, axis=0))
    assert np.array(row["ci95"]) == pytest.approx(
        4.302653 * np.std(values, axis=0, ddof=1) / 3**0.5, rel=1e-6
    )
    entry = result["statistics"]["field"]
    arrays = np.load(folder / "fields.npz")
    assert entry["size"] == 1.5 and entry["periodic"] is True
    # Cauchy: lines along the three axes meet the faces of voxels only
    crossings = sum(2 * entry["solid"]["share"] / c for c in entry["solid"]["mean_chord"])
    assert entry["a_faceted"] == pytest.approx(crossings) and entry["a_corrected"] < entry["a_faceted"]
    for phase in ("electrolyte", "solid"):
        for d in (1, 2, 3):
            curve, lags = arrays[f"s2_field_{phase}_{d}"], arrays[f"s2_field_lags_{d}"]
            assert curve[0] == pytest.approx(entry[phase]["share"])
            mean = entry[phase]["mean_chord"][d - 1]
            assert mean == pytest.approx(curve[0] * lags[1] / (curve[0] - curve[1]))
            assert arrays[f"chords_field_{phase}_{d}"].sum() > 0
    assert arrays["slice_field_1"].shape == (18, 18)
    assert result["rve_size"][0]["condition"] == "periodic"


def test_the_first_sample_is_that_of_cell(folder: Path) -> None:
    result = run_study(folder, FIELD.format(scheme="q1", quantity="B", conditions='["periodic"]'))
    run = load(folder / "run.toml.in")
    grid = load_grid(MPI.COMM_WORLD, "field", run.microstructure["field"], folder)
    medium = voxel_medium(grid, run.microstructure["field"])
    assert tensors(result)[1, 0, "periodic"] == pytest.approx(medium.tensor("B"), abs=1e-9)
    assert result["samples"][0]["phi_e_transporting"] == pytest.approx(medium.phi_e)


def test_sub_volumes_of_an_image(folder: Path) -> None:
    """Phases may be absent in a sub-volume, or lead nowhere: zeros, no failure."""
    image = np.zeros((16, 12, 12), dtype=np.uint8)
    image[8:, :, :6] = 1  # one corner all solid
    image[3, 3, 3] = 1
    text = IMAGE.format(quantity="S", sizes=[0.5, 1], realisations=10, conditions=ALL)
    result = run_study(folder, text, image=image)
    found = tensors(result)
    assert len(found) == 4 * (10 + 1)
    windows = {tuple(map(tuple, s["window"])): s for s in result["samples"] if s["condition"] == "through"}
    assert len(windows) == 11
    full = windows[(8, 16), (0, 6), (0, 6)]
    assert np.diag(as_array(full["tensor"])) == pytest.approx(2.0)
    empty = next(s for s in windows.values() if s["phi_e"] == 1)
    assert np.diag(as_array(empty["tensor"])) == pytest.approx(0.0, abs=1e-14)
    whole = windows[(0, 16), (0, 12), (0, 12)]  # the block conducts along direction 2 only
    assert np.diag(as_array(whole["tensor"])) == pytest.approx([0, 2 * 0.25, 0], abs=1e-7)
    assert result["order_holds"] is True


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    drop = ("seconds", "timing", "ranks", "iterations", "samples_seconds")
    if isinstance(result, dict):
        return {k: without_times(v) for k, v in result.items() if k not in drop}
    return [without_times(v) for v in result] if isinstance(result, list) else result


def close(one: Any, two: Any) -> bool:
    """Equal up to the solver's tolerance."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(close(one[k], two[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(close, one, two))
    if isinstance(one, float) and isinstance(two, float):
        return abs(one - two) <= 1e-6 * max(abs(one), abs(two)) + 1e-7
    return one == two


def check_same(one: dict[str, Any], two: dict[str, Any]) -> None:
    """Tensors to 1e-8, whatever follows from them accordingly."""
    for here, there in zip(tensors(one).values(), tensors(two).values(), strict=True):
        assert np.allclose(here, there, rtol=0, atol=1e-8, equal_nan=True)
    assert close(without_times(one), without_times(two))


def test_restart_and_any_number_of_ranks(folder: Path) -> None:
    comm = MPI.COMM_WORLD
    text = FIELD.format(scheme="fv", quantity="K", conditions='["periodic", "dirichlet"]')
    text = text.replace("[1, 1.5]", "[0.5, 1]")
    first = run_study(folder, text)
    files = sorted((folder / "samples").glob("*.json"))
    assert len(files) == 6
    comm.barrier()
    if comm.rank == 0:
        (folder / "result.json").unlink()
        files[3].unlink()
    comm.barrier()
    times = {f: f.stat().st_mtime_ns for f in files if f != files[3]}
    again = run_study(folder, text)
    assert {f: f.stat().st_mtime_ns for f in times} == times  # the others were not touched
    assert close(without_times(first), without_times(again))
    # another accuracy or list of sizes is no new input, another coefficient is
    changed = run_study(folder, text.replace("k_s = 20.0", "k_s = 2.0"))
    assert changed["samples"][0]["tensor"][0][0] < 0.5 * first["samples"][0]["tensor"][0][0]
    alone = folder / "alone"
    if comm.rank == 0:
        alone.mkdir()
        serial = run_study(alone, text, MPI.COMM_SELF)
        check_same(serial, first)
    comm.barrier()
    shared = run_study(folder, text + f"ranks_per_sample = {comm.size}\n")
    check_same(shared, first)


def test_bad_files(folder: Path) -> None:
    text = IMAGE.format(quantity="K", sizes=[1], realisations=1, conditions=ALL)
    with pytest.raises(BadInput, match=r"image\.npy"):
        run_study(folder, text)
    wide = text.replace("solid = [1]", "solid = [7]")
    with pytest.raises(BadInput, match="solid"):
        run_study(folder, wide, image=np.zeros((4, 4, 4), dtype=np.uint8))


def test_samples_of_fewer_planes_than_ranks(folder: Path) -> None:
    """Two planes: on three ranks one has nothing of the sample."""
    comm = MPI.COMM_WORLD
    text = FIELD.format(scheme="fv", quantity="K", conditions=ALL).replace("[1, 1.5]", "[0.17]")
    result = run_study(folder, text + f"ranks_per_sample = {comm.size}\n")
    assert len(result["samples"]) == 12 and result["samples"][0]["shape"] == [2, 2, 2]
    alone = folder / "alone"
    if comm.rank == 0:
        alone.mkdir()
        check_same(run_study(alone, text, MPI.COMM_SELF), result)


def test_both_discretisations(folder: Path) -> None:
    text = FIELD.format(scheme="both", quantity="K", conditions='["periodic", "dirichlet"]')
    result = run_study(folder, text.replace("[1, 1.5]", "[1]"))
    for sample in result["samples"]:
        fv, q1 = (as_array(sample["discretisations"][kind]) for kind in ("fv", "q1"))
        assert np.array_equal(as_array(sample["tensor"]), fv)
        assert np.linalg.eigvalsh(q1 - fv)[0] > 0
    assert result["order_holds"] is True


BALLS = """
[microstructure.balls]
geometry = "random_spheres"
porosity = 0.75
radius_mean = 1.0
cells = 4
seed = 4
k_s = 5.0
k_e = 1.0
{resolution}

[rve]
quantity = "K"
sizes = [1, 1.2]
realisations = 1
conditions = ["periodic", "dirichlet", "flux"]
"""


@pytest.mark.parametrize("resolution", ["mesh_size = 0.14", "voxels = 16"])
def test_random_balls(folder: Path, resolution: str) -> None:
    result = run_study(folder, BALLS.format(resolution=resolution))
    assert len(result["samples"]) == 6 and result["order_holds"] is True
    assert [s["seed"] for s in result["samples"][:3]] == [4] * 3
    assert len({s["seed"] for s in result["samples"]}) == 2
    limits = 0.25 * 5 + 0.75, 1 / (0.25 / 5 + 0.75)
    for sample in result["samples"]:
        assert sample["phi_e"] == pytest.approx(0.75, abs=0.03)
        assert limits[1] < np.diag(as_array(sample["tensor"])).mean() < limits[0]


def test_sub_volumes_of_a_segmented_image(folder: Path) -> None:
    """Phases are made of the grey values of the whole image, so that samples of it fit together."""
    layers = np.zeros((12, 8, 8))
    layers[:6] = 100
    grey = np.rint(layers + 40 + 4 * np.random.default_rng(0).standard_normal(layers.shape)).astype(np.uint8)
    text = IMAGE.format(quantity="K", sizes=[0.5, 1], realisations=8, conditions='["periodic"]')
    text = text.replace("solid = [1]", 'solid = [1]\nsteps = [{ step = "segment" }]')
    result = run_study(folder, text, image=grey)
    assert len(result["samples"]) == 9
    for sample in result["samples"][:-1]:
        k = 5.0 if sample["window"][0][0] == 0 else 1.0  # all of one phase
        assert as_array(sample["tensor"]) == pytest.approx(k * np.eye(3), abs=1e-7)
    assert as_array(result["samples"][-1]["tensor"]) == pytest.approx(np.diag([5 / 3, 3, 3]), abs=1e-6)
