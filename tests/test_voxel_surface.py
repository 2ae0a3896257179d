"""Area of voxel interfaces: faces exactly, Crofton's estimate against smooth bodies."""

from __future__ import annotations

import numpy as np
import pytest
from mpi4py import MPI

from dfx_homog.voxels.grid import VoxelGrid, slab, unit_spacing
from dfx_homog.voxels.surface import direction_weights, directions, interface_faces, specific_surface

COMM = MPI.COMM_WORLD


def grid_of(solid: np.ndarray, voxel_size: tuple[float, ...] | None = None) -> VoxelGrid:
    shape = (solid.shape[0], 1, solid.shape[1]) if solid.ndim == 2 else solid.shape
    start, stop = slab(shape[0], COMM.size, COMM.rank)
    codes = np.ascontiguousarray(solid.reshape(shape)[start:stop].astype(np.uint8))
    spacing = unit_spacing(shape, voxel_size or (1.0,) * solid.ndim)
    return VoxelGrid(COMM, "m", solid.ndim, shape, spacing, start, stop, codes, (0, 1), (False, True))


def ball(shape: tuple[int, ...], radius: float) -> np.ndarray:
    z = np.meshgrid(*((np.arange(n) + 0.5) / n - 0.51 for n in shape), indexing="ij")
    return np.sum(np.square(z), axis=0) < radius**2


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("voxel_size", [(1.0, 1.0, 1.0), (1.0, 1.0, 2.0), (2.0, 1.0, 1.0)])
def test_ball(voxel_size: tuple[float, float, float]) -> None:
    shape = tuple(round(64 / size) for size in voxel_size)
    surface = specific_surface(grid_of(ball(shape, 0.3), voxel_size), True)
    exact = 4 * np.pi * 0.3**2
    assert surface.corrected == pytest.approx(exact, rel=0.005)
    assert surface.faceted == pytest.approx(1.5 * exact, rel=0.01)


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("voxel_size", [(1.0, 1.0), (1.0, 2.0)])
def test_disk(voxel_size: tuple[float, float]) -> None:
    shape = tuple(round(200 / size) for size in voxel_size)
    surface = specific_surface(grid_of(ball(shape, 0.3), voxel_size), True)
    assert surface.corrected == pytest.approx(2 * np.pi * 0.3, rel=0.01)
    assert surface.faceted == pytest.approx(8 * 0.3, rel=0.01)


@pytest.mark.mpi
@pytest.mark.parametrize("direction", [0, 1, 2])
def test_laminate(direction: int) -> None:
    """Two planes a period across an axis: exact by faces; Crofton's estimate is 7.3 % low, as the module says."""
    solid = np.indices((12, 8, 16))[direction] < 5
    grid = grid_of(solid)
    faces = [0, 0, 0]
    faces[direction] = 2 * solid.size // solid.shape[direction]
    assert interface_faces(grid, True).tolist() == faces
    assert interface_faces(grid, False).tolist() == [n // 2 for n in faces]
    edge = grid.edges[direction]
    per_area = 1 / np.sqrt(2), 1 / np.sqrt(3)
    crofton = 2 * 2 * (0.045777891 + 4 * 0.036980628 * per_area[0] + 4 * 0.035195640 * per_area[1])
    surface = specific_surface(grid, True)
    assert surface.faceted == pytest.approx(2 / edge)
    assert surface.corrected == pytest.approx(crofton * 2 / edge, rel=1e-6)
    assert crofton == pytest.approx(0.9266, abs=1e-4)


@pytest.mark.mpi
@pytest.mark.mpi3
def test_counts_of_noise() -> None:
    solid = np.random.default_rng(6).random((9, 7, 5)) < 0.5
    grid = grid_of(solid)
    around = [int(np.count_nonzero(solid != np.roll(solid, 1, axis))) for axis in range(3)]
    inside = [int(np.count_nonzero(np.diff(solid, axis=axis))) for axis in range(3)]
    assert interface_faces(grid, True).tolist() == around
    assert interface_faces(grid, False).tolist() == inside
    area = [1 / 81] * 3  # faces of voxels whose edge is 1/9
    surface = specific_surface(grid, True)
    assert surface.faceted == pytest.approx(np.dot(around, area) / grid.volume)
    per_length = []
    for step in directions(3):
        pairs = np.count_nonzero(solid != np.roll(solid, [-s for s in step], (0, 1, 2)))
        per_length.append(pairs / (solid.size * np.linalg.norm(step) / 9))
    weights = direction_weights(np.array(directions(3), dtype=float))
    assert surface.corrected == pytest.approx(2 * weights @ per_length)


@pytest.mark.mpi
@pytest.mark.mpi3
def test_interface_of_chosen_voxels() -> None:
    """Two balls of which one does not count, and electrolyte that counts in one half only."""
    left, right = ball((48, 48, 48), 0.2), np.roll(ball((48, 48, 48), 0.2), 24, axis=2)
    grid = grid_of(left | right)
    own = slice(grid.start, grid.stop)
    both, one = specific_surface(grid, True), specific_surface(grid, True, first=left[own])
    assert one.faceted == pytest.approx(both.faceted / 2)
    assert one.corrected == pytest.approx(both.corrected / 2)
    pore = ~(left | right)
    half = pore & (np.indices(pore.shape)[0] < 24)
    some = interface_faces(grid, True, first=left[own], second=half[own])
    rest = interface_faces(grid, True, first=left[own], second=(pore & ~half)[own])
    assert np.array_equal(some + rest, interface_faces(grid, True, left[own], pore[own]))
    assert some.min() > 0 and rest.min() > 0
    assert not interface_faces(grid, True, left[own], right[own]).any()


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 2, 6), (1, 1, 50), (1, 3)])
def test_weights_of_directions(size: tuple[int, ...]) -> None:
    dim = len(size)
    axes = [0, 1, 2] if dim == 3 else [0, 2]
    weights = direction_weights(np.array(directions(dim), dtype=float)[:, axes] * size)
    assert len(weights) == (13 if dim == 3 else 4)
    assert weights.min() > 0
    assert weights.sum() == pytest.approx(1.0)
