"""Images as unit cells of the models: their meshes, both areas of their surface, and runs on them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from wavy import build, conserves, follow, simulate, wavy_run

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.unitcell import SOLID
from dfx_homog.models.effective import effective_medium
from dfx_homog.models.voxel_medium import voxel_medium
from dfx_homog.runfile import ELECTRODES, Run
from dfx_homog.runfile.require import require
from dfx_homog.studies.regions import geometry
from dfx_homog.studies.setup import Problem
from dfx_homog.voxels.image import load_grid
from dfx_homog.voxels.mesh import areas, voxel_cell, voxel_unit_cell

WORLD = MPI.COMM_WORLD
MATERIAL = SimpleNamespace(sigma_s=1.0, k_s=2.0, k_e=0.6, rho_cp_s=1.5, rho_cp_e=1.0)


def field(**changes: Any) -> SimpleNamespace:
    """A Gaussian field whose solid and pore both lead along direction 1."""
    keys = {"dim": 2, "porosity": 0.5, "correlation_length": 2.0, "voxels": 16, "seed": 30, "order": 1}
    keys |= {"geometry": "gaussian_field", "discretisation": "both", "is_voxels": True, **vars(MATERIAL)}
    return SimpleNamespace(**(keys | changes))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("shape", [(4, 4), (5, 5), (6, 3), (2, 2, 2), (3, 3, 3), (2, 3, 4)])
def test_mesh_of_an_image(shape: tuple[int, ...], order: int) -> None:
    solid = np.random.default_rng(3).random(shape) < 0.5
    cell = voxel_unit_cell("image", solid, order)  # checked for conformity and periodicity there
    each = {2: 2, 3: 6}[len(shape)]
    assert len(cell.cells) == each * solid.size
    assert cell.phase_fraction(SOLID) == pytest.approx(solid.mean(), rel=1e-12)
    centre = cell.points[cell.cells[:, : cell.dim + 1]].mean(axis=1)
    voxel = tuple(np.floor(centre * shape).astype(int).T)
    assert np.array_equal(cell.phase == SOLID, solid[voxel])
    half = np.arange(len(cell.cells)) % 2 == 0
    for active in (np.ones_like(half), solid[voxel] | half):
        whole = active.all()
        faceted, corrected = areas(cell, np.ones_like(half) if whole else solid[voxel])
        assert faceted == pytest.approx(cell.interface_measure() if whole else 0.0, rel=1e-12)
        assert 0.2 * faceted <= corrected <= 1.2 * faceted


def test_no_direction_is_preferred() -> None:
    """The diagonals of an image that is its own mirror image are mirrored too."""
    corner = np.add.outer(np.arange(4) ** 2, np.arange(4) ** 2) < 8
    solid = np.block([[corner[::-1, ::-1], corner[::-1]], [corner[:, ::-1], corner]])
    for image in (solid, np.stack([solid] * 4, axis=-1)):
        B = effective_medium(MPI.COMM_SELF, voxel_unit_cell("x", ~image), MATERIAL).tensor("B")
        assert B is not None
        assert np.abs(B - np.diag(np.diag(B))).max() < 1e-12
        assert B[0, 0] == pytest.approx(B[1, 1], rel=1e-12)


def test_tensors_lie_between_those_of_the_voxels(tmp_path: Path) -> None:
    """Quadratic elements on triangles contain the bilinear ones of q1 and are above the geometry's own value."""
    grid = load_grid(MPI.COMM_SELF, "x", field(), tmp_path)
    entry = voxel_medium(grid, field(), method="multigrid").to_json()
    medium = effective_medium(MPI.COMM_SELF, voxel_cell("x", field(order=2), None), MATERIAL)
    for name in ("S", "B", "K"):
        low, high = entry["bracket"][name]
        value = np.diag(medium.tensor(name))
        assert np.all(low <= value + 1e-12) and np.all(value <= np.array(high) + 1e-12)
    assert (medium.a, medium.phi_e_total) == pytest.approx((entry["a_faceted"], 0.5), rel=1e-9)


def test_corrector_where_a_phase_meets_a_face_from_one_side() -> None:
    """Its nodal values give the tensor: int (e_1 + grad W)_1 over the solid."""
    rows = ["##.....#", "###.....", ".##.....", ".##.....", ".###..##", "..######", "......##", "#......#"]
    cell = voxel_unit_cell("x", np.array([[c == "#" for c in row] for row in rows]).T)
    solved = effective_medium(MPI.COMM_SELF, cell, MATERIAL).problems["S"]
    corner = cell.points[cell.cells]
    edge = corner[:, 1:] - corner[:, :1]
    W = solved.correctors[cell.cells, 0]
    slope = np.linalg.solve(edge, (W[:, 1:] - W[:, :1])[:, :, None])[:, 0, 0]
    flux = ((1.0 + slope) * cell.cell_measures)[cell.phase == SOLID].sum()
    assert solved.tensor[0, 0] > 0.05
    assert flux == pytest.approx(solved.tensor[0, 0], rel=1e-9)


# the models --------------------------------------------------------------------------------------------------------


def image_run(*overrides: str, negative: int = 30, positive: int = 12, order: int = 1, **keys: Any) -> Run:
    """The reference problem with Gaussian fields of 16 x 16 voxels for electrodes."""
    data = wavy_run(*overrides, order=order, steps=3).model_dump(by_alias=True, exclude_none=True)
    for name, seed in zip(ELECTRODES, (negative, positive), strict=True):
        table = data["microstructure"][name]
        for key in ("w0", "w1", "w2", "mesh_size"):
            del table[key]
        table |= {"geometry": "gaussian_field", "dim": 2, "porosity": 0.5, "correlation_length": 2.0}
        table |= {"voxels": 16, "seed": seed, **keys}
    return Run.model_validate(data)


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize(
    ("model", "order"),
    [("resolved", 1), pytest.param("resolved", 2, marks=pytest.mark.slow), ("homogenised", 1)],
)
def test_models_on_images(model: str, order: int) -> None:
    run = image_run(order=order)
    result = simulate(run, model)
    assert conserves(result)
    if WORLD.size > 1:
        alone = simulate(run, model, MPI.COMM_SELF)
        assert result.rows[-1]["voltage"] == pytest.approx(alone.rows[-1]["voltage"], abs=1e-9)


def test_resolved_image_tends_to_the_homogenised_one() -> None:
    run = image_run()
    limit = simulate(run, "homogenised").rows[-1]["voltage"]
    values = []
    for factor in (1, 2, 4):
        periods = (2 * factor, factor, 2 * factor)
        values.append(
            simulate(run.model_copy(update={"cell": run.cell.model_copy(update={"periods": periods})})).rows[
                -1
            ]["voltage"]
        )
    coarse, fine = (2 * b - a for a, b in ((values[0], values[1]), (values[1], values[2])))
    assert abs(values[2] - limit) > 1e-3
    assert (4 * fine - coarse) / 3 == pytest.approx(limit, abs=1e-4)


@pytest.mark.parametrize("model", ["resolved", "homogenised"])
def test_corrected_area(model: str) -> None:
    """correct_area multiplies G by the ratio of the areas, and with it the capacitance."""
    run = image_run()
    cells = Problem(MPI.COMM_SELF, run).unit_cells()
    entries = geometry(run, cells)
    factors = {n: entries[n]["a_corrected"] / entries[n]["a_faceted"] for n in ELECTRODES}
    assert all(0.6 < f < 0.95 for f in factors.values())
    assert entries["negative"]["a"] == pytest.approx(entries["negative"]["a_faceted"], rel=1e-12)
    scaled = [f"parameters.{n}.G={getattr(run.parameters, n).G * factors[n]!r}" for n in ELECTRODES]
    by_hand, by_key = simulate(image_run(*scaled), model), simulate(image_run(correct_area=True), model)
    assert by_key.rows[-1]["voltage"] == pytest.approx(by_hand.rows[-1]["voltage"], abs=1e-12)
    assert abs(by_key.rows[-1]["voltage"] - simulate(run, model).rows[-1]["voltage"]) > 1e-3


def test_image_file_in_space(tmp_path: Path) -> None:
    """Labels from a file, with steps, as an electrode in three dimensions; the separator is drawn out of its face."""
    labels = np.zeros((6, 6, 6), dtype=np.uint8)
    labels[:, 1:4, 1:4] = 3
    labels[2:4, 2, 2:] = 7
    np.save(tmp_path / "image.npy", labels)
    run = image_run()
    data = run.model_dump(by_alias=True, exclude_none=True)
    for name in ELECTRODES:
        keep = {k: v for k, v in data["microstructure"][name].items() if k in vars(MATERIAL)}
        data["microstructure"][name] = {
            "geometry": "image",
            "file": str(tmp_path / "image.npy"),
            "solid": [3, 7],
        }
        data["microstructure"][name] |= keep
    data["microstructure"]["separator"] |= {"dim": 3, "mesh_size": 0.5}
    run = Run.model_validate(data)
    require(run, "convergence")
    model = build(run, "resolved", MPI.COMM_SELF)
    assert model.tiled.mesh.geometry.dim == 3
    assert conserves(follow(model, run))
    model.destroy()
    data["microstructure"]["negative"]["sigma_s"] = {"3": 1.0, "7": 2.0}
    with pytest.raises(BadInput, match="one for each label is not in this version of resolved"):
        require(Run.model_validate(data), "resolved")
    data["microstructure"]["negative"] |= {"sigma_s": 1.0, "crop": [[0, 6], [0, 6], [0, 4]]}
    with pytest.raises(BadInput, match=r"negative\] crop: the edges of the image are 1, 1, 0.666667"):
        build(Run.model_validate(data), "resolved", MPI.COMM_SELF)


def test_refusals() -> None:
    with pytest.raises(BadInput, match="10000 x 10000 voxels are too many"):
        voxel_cell("x", field(voxels=10000), None)
    data = image_run().model_dump(by_alias=True, exclude_none=True)
    data["microstructure"]["positive"]["voxels"] = 20
    with pytest.raises(BadInput, match=r"positive\.geometry: its mesh differs from that of negative"):
        build(Run.model_validate(data), "resolved", MPI.COMM_SELF)
