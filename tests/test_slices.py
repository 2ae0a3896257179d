"""Mid-planes of voxel images and of tetrahedral meshes."""

from __future__ import annotations

import numpy as np
import pytest
from mpi4py import MPI

from dfx_homog.studies.pictures import voxel_slices
from dfx_homog.studies.slices import mid_planes, plane_cut
from dfx_homog.voxels.grid import VoxelGrid, slab

COMM = MPI.COMM_WORLD
KUHN = np.array([[0, 1, 3, 7], [0, 1, 5, 7], [0, 2, 3, 7], [0, 2, 6, 7], [0, 4, 5, 7], [0, 4, 6, 7]])
MIDDLES = ((2, 3), (1, 3), (1, 2), (0, 3), (0, 2), (0, 1))


def cube(n: int, quadratic: bool) -> tuple[np.ndarray, np.ndarray]:
    """n^3 cubes of six tetrahedra each, corners numbered x + 2 y + 4 z."""
    line = np.linspace(0, 1, n + 1)
    points = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    corner = np.arange((n + 1) ** 3).reshape(n + 1, n + 1, n + 1)
    corners = [
        corner[i : i + n, j : j + n, k : k + n].ravel() for k in (0, 1) for j in (0, 1) for i in (0, 1)
    ]
    cells = np.stack(corners, axis=1)[:, KUHN].reshape(-1, 4)
    if quadratic:
        nodes = points[cells]
        middles = np.stack([nodes[:, list(e)].mean(axis=1) for e in MIDDLES], axis=1)
        points = np.concatenate([nodes, middles], axis=1).reshape(-1, 3)
        cells = np.arange(len(points)).reshape(-1, 10)
    return points, cells


def areas(polygons: np.ndarray) -> np.ndarray:
    x, y = polygons[..., 0], polygons[..., 1]
    return 0.5 * np.abs((x * np.roll(y, -1, 1) - np.roll(x, -1, 1) * y).sum(axis=1))


@pytest.mark.parametrize("quadratic", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("level", [0.5, 0.37])
def test_cut_of_a_mesh(quadratic: bool, axis: int, level: float) -> None:
    """The polygons cover the plane once, each with its phase; the plane may pass through nodes."""
    points, cells = cube(4, quadratic)
    middle = points[cells].mean(axis=1)
    phase = np.where(middle[:, (axis + 1) % 3] < 0.25, 1, 2)
    polygons, cut = plane_cut(points, cells, phase, axis, level)
    assert areas(polygons).sum() == pytest.approx(1)
    assert areas(polygons)[cut == 1].sum() == pytest.approx(0.25)
    assert polygons.min() == 0 and polygons.max() == 1
    column = [a for a in range(3) if a != axis].index((axis + 1) % 3)
    assert polygons[cut == 1][..., column].max() <= 0.25 + 1e-12


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("shape", [(7, 5, 6), (820, 3, 2), (2, 3, 4)])
def test_mid_planes(shape: tuple[int, int, int]) -> None:
    image = np.arange(np.prod(shape)).reshape(shape)
    start, stop = slab(shape[0], COMM.size, COMM.rank)
    found = mid_planes(COMM, image[start:stop], start, shape)
    if COMM.rank:
        assert all(picture is None for picture in found.values())
        return
    step = 3 if shape[0] > 400 else 1
    assert np.array_equal(found[0], image[shape[0] // 2])
    assert np.array_equal(found[1], image[::step, shape[1] // 2])
    assert np.array_equal(found[2], image[::step, :, shape[2] // 2])


@pytest.mark.mpi
@pytest.mark.parametrize("dim", [2, 3])
def test_voxel_slices(dim: int) -> None:
    shape = (8, 6, 5) if dim == 3 else (8, 1, 5)
    image = (np.indices(shape).sum(axis=0) % 3).astype(np.uint8)
    start, stop = slab(8, COMM.size, COMM.rank)
    grid = VoxelGrid(
        COMM,
        "a_b-1",
        dim,
        shape,
        (1 / 8, 0.2, 0.3),
        start,
        stop,
        image[start:stop],
        (0, 85, 170),
        (False, True, True),
    )
    arrays = voxel_slices(grid)
    if COMM.rank:
        return
    assert arrays["slice_a_b-1_values"].tolist() == [0, 85, 170]
    assert arrays["slice_a_b-1_solid"].tolist() == [False, True, True]
    assert arrays["slice_a_b-1_edges"] == pytest.approx([1.0, 1.2, 1.5] if dim == 3 else [1.0, 1.5])
    if dim == 2:
        assert np.array_equal(arrays["slice_a_b-1_1"], image[:, 0])
        assert "slice_a_b-1_2" not in arrays
    else:
        assert np.array_equal(arrays["slice_a_b-1_2"], image[:, 3])
        assert np.array_equal(arrays["slice_a_b-1_1"], image[4])
