"""Correlation and chord lengths of voxel images against direct counting and the identities between them."""

from __future__ import annotations

import numpy as np
import pytest
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog.voxels.grid import VoxelGrid, slab
from dfx_homog.voxels.statistics import chords, porosity, share, two_point

pytestmark = [pytest.mark.mpi, pytest.mark.mpi3]
SOLID = np.array([False, True])
PORE = ~SOLID


def make_grid(
    image: NDArray[np.bool_], comm: MPI.Intracomm, spacing: tuple[float, float, float] | None = None
) -> VoxelGrid:
    """A grid of this rank's slab of an image (n1, n2, n3) or (n1, n2), True where solid."""
    codes = np.asarray(image, dtype=np.uint8)
    dim = codes.ndim
    codes = codes if dim == 3 else codes[:, None, :]
    start, stop = slab(codes.shape[0], comm.size, comm.rank)
    h = 1 / codes.shape[0]
    own = np.ascontiguousarray(codes[start:stop])
    lengths = spacing or (h, h if dim == 3 else 1.0, h)
    return VoxelGrid(comm, "test", dim, codes.shape, lengths, start, stop, own, (0, 1), (False, True))


def noise(shape: tuple[int, ...], phi: float = 0.4) -> NDArray[np.bool_]:
    return np.random.default_rng(3).random(shape) < phi


def balls(n: int, count: int = 12, radius: float = 0.16) -> NDArray[np.bool_]:
    """Overlapping balls at random places of a periodic cube."""
    z = (np.indices((n, n, n)) + 0.5) / n
    inside = np.zeros((n, n, n), dtype=bool)
    for centre in np.random.default_rng(5).random((count, 3)):
        distance = z - centre[:, None, None, None]
        inside |= ((distance - np.rint(distance)) ** 2).sum(axis=0) < radius**2
    return inside


@pytest.mark.parametrize("shape", [(9, 8, 7), (10, 7), (2, 5, 6)])
@pytest.mark.parametrize("periodic", [True, False])
def test_correlation_is_that_of_shifted_copies(shape: tuple[int, ...], periodic: bool) -> None:
    image = noise(shape)
    result = two_point(make_grid(image, MPI.COMM_WORLD), SOLID, periodic=periodic)
    for axis, values in enumerate(result.values):
        n = shape[axis]
        for lag, value in enumerate(values):
            shifted = np.roll(image, -lag, axis)
            pairs = np.moveaxis(image & shifted, axis, 0)
            assert value == pairs[: n if periodic else n - lag].mean()
        assert result.lags[axis] == pytest.approx(np.arange(len(values)) / shape[0])


def test_radial_average_counts_every_pair() -> None:
    image = noise((8, 6, 10))
    grid = make_grid(image, MPI.COMM_WORLD)
    result = two_point(grid, SOLID, periodic=True)
    values: dict[int, list[float]] = {}
    for shift in np.ndindex(image.shape):
        lag = np.linalg.norm([min(s, n - s) for s, n in zip(shift, image.shape, strict=True)])
        values.setdefault(round(lag), []).append((image & np.roll(image, shift, (0, 1, 2))).mean())
    assert result.radial_values == pytest.approx([np.mean(values[k]) for k in range(4)], abs=1e-14)
    assert result.radial_values[0] == result.values[0][0] == share(grid, SOLID) == image.mean()
    assert porosity(grid) == pytest.approx(1 - image.mean(), abs=1e-15)


def direct_chords(image: NDArray[np.bool_], axis: int, periodic: bool) -> tuple[list[int], int]:
    """Lengths of chords and number of full lines, line by line."""
    lengths, full = [], 0
    for line in np.moveaxis(image, axis, -1).reshape(-1, image.shape[axis]):
        if line.all():
            full += 1
        elif not periodic:
            text = "".join("x" if v else " " for v in line)
            inner = text.strip("x") if line.any() else ""
            lengths += [len(part) for part in inner.split()]
        elif line.any():
            turned = np.roll(line, -int(np.flatnonzero(~line)[0]))
            lengths += [len(part) for part in "".join("x" if v else " " for v in turned).split()]
    return lengths, full


@pytest.mark.parametrize("shape", [(9, 8, 7), (10, 7), (2, 5, 6)])
@pytest.mark.parametrize("periodic", [True, False])
def test_chords_line_by_line(shape: tuple[int, ...], periodic: bool) -> None:
    image = noise(shape, 0.7)
    grid = make_grid(image, MPI.COMM_WORLD)
    result = chords(grid, SOLID, periodic=periodic)
    for axis, counts in enumerate(result.counts):
        lengths, full = direct_chords(image, axis, periodic)
        assert counts.tolist() == np.bincount(lengths, minlength=shape[axis] + 1).tolist()
        assert result.lines[axis] == full
    # mean chord = -phi/S2'(0), exactly so on voxels
    correlation = two_point(grid, SOLID, periodic=True)
    if periodic:
        for mean, h, values in zip(result.mean, result.spacing, correlation.values, strict=True):
            assert mean == pytest.approx(values[0] * h / (values[0] - values[1]), rel=1e-12)


def test_mean_chord_of_both_phases_and_the_surface() -> None:
    """Both phases meet the same interfaces; the mean chord is 4 phi/a within the error of the voxels."""
    image = balls(40)
    grid = make_grid(image, MPI.COMM_WORLD)
    solid, pore = (chords(grid, phase, periodic=True) for phase in (SOLID, PORE))
    phi = image.mean()
    assert solid.mean / phi == pytest.approx(pore.mean / (1 - phi), rel=1e-12)
    # all solid lies in chords or in full lines
    for axis in range(3):
        inside = solid.counts[axis] @ np.arange(41) + 40 * solid.lines[axis]
        assert inside == image.sum()
    # the exposed surface of balls is d phi/d radius
    step = 0.02
    area = (balls(40, radius=0.16 + step).mean() - balls(40, radius=0.16 - step).mean()) / (2 * step)
    assert 4 * phi / solid.mean.mean() == pytest.approx(area, rel=0.03)


def test_layers_and_one_phase() -> None:
    layers = np.zeros((12, 6, 8), dtype=bool)
    layers[2:5] = layers[9:11] = True
    grid = make_grid(layers, MPI.COMM_WORLD)
    result = chords(grid, SOLID, periodic=True)
    assert np.flatnonzero(result.counts[0]).tolist() == [2, 3] and result.counts[0][2] == 48
    assert result.mean[0] == pytest.approx(2.5 / 12) and np.isinf(result.mean[1:]).all()
    assert result.lines.tolist() == [0, 5 * 8, 5 * 6]
    nothing = make_grid(np.zeros((6, 4, 4), dtype=bool), MPI.COMM_WORLD)
    assert two_point(nothing, SOLID, periodic=True).radial_values.max() == 0
    assert chords(nothing, PORE, periodic=False).lines.tolist() == [16, 24, 24]


def test_the_same_on_any_number_of_ranks_and_any_voxel_edges() -> None:
    image, spacing = balls(24), (1 / 24, 1 / 12, 1 / 48)
    results = []
    for comm in (MPI.COMM_WORLD, MPI.COMM_SELF):
        grid = make_grid(image, comm, spacing)
        curves = two_point(grid, PORE, periodic=True)
        found = chords(grid, PORE, periodic=False)
        results.append([*curves.lags, *curves.values, curves.radial_values, *found.counts, found.mean])
        assert curves.radial_lags[-1] <= 0.25 + 1 / 96
    for here, alone in zip(*results, strict=True):
        assert np.array_equal(here, alone)
