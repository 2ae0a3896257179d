"""Slabs of a voxel grid, cutting windows out of it, slab Fourier transforms and Gaussian random fields."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi4py import MPI

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID
from dfx_homog.voxels.fourier import SlabFFT
from dfx_homog.voxels.grid import (
    VoxelGrid,
    code_counts,
    cut,
    neighbour_planes,
    slab,
    unit_spacing,
    with_planes,
)
from dfx_homog.voxels.image import load_grid
from dfx_homog.voxels.random_field import gaussian_field, lowest, white_noise
from dfx_homog.voxels.spheres import voxelised_balls

COMM = MPI.COMM_WORLD
SHAPES = [(24, 10, 9), (7, 5, 8), (13, 1, 70)]


def own(field: np.ndarray) -> np.ndarray:
    start, stop = slab(len(field), COMM.size, COMM.rank)
    return np.ascontiguousarray(field[start:stop])


def whole(local: np.ndarray) -> np.ndarray:
    return np.concatenate(COMM.allgather(local))


def random_medium(**keys: Any) -> SimpleNamespace:
    values: dict[str, Any] = {"geometry": "gaussian_field", "dim": 3, "porosity": 0.4}
    return SimpleNamespace(**values | {"correlation_length": 2.0, "voxels": 24, "seed": 7} | keys)


@settings(deadline=None, derandomize=True)
@given(planes=st.integers(1, 200), size=st.integers(1, 40), block=st.integers(1, 8))
def test_slabs_share_the_planes(planes: int, size: int, block: int) -> None:
    slabs = [slab(planes, size, rank, block) for rank in range(size)]
    assert slabs[0][0] == 0
    assert slabs[-1][1] == planes
    assert all(a[1] == b[0] for a, b in pairwise(slabs))
    counts = np.diff(slabs, axis=1).ravel()
    if planes >= size:
        assert counts.min() > 0
        width = block if planes >= block * size else 1
        assert all(start % width == 0 for start, _ in slabs)
        assert np.abs(counts - planes / size).max() <= width
    else:
        assert counts.tolist() == [1] * planes + [0] * (size - planes)


@pytest.mark.mpi
@pytest.mark.mpi3
def test_ranks_without_planes_are_idle() -> None:
    assert with_planes(COMM, COMM.size) is COMM
    grid = load_grid(COMM, "m", random_medium(voxels=2, dim=2, porosity=0.5), Path())
    part = grid.busy()
    if COMM.size <= 2:
        assert part is grid
    elif COMM.rank < 2:
        assert part is not None
        assert part.comm.size == 2
        part.comm.Free()
    else:
        assert part is None
        assert grid.codes.shape == (0, 1, 2)
    assert grid.counts().tolist() == [2, 2]


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("periodic", [True, False])
def test_neighbour_planes(periodic: bool) -> None:
    field = np.arange(8 * 3 * 2, dtype=np.int32).reshape(8, 3, 2)
    start, stop = slab(8, COMM.size, COMM.rank)
    before, after = neighbour_planes(COMM, field[start:stop], periodic)
    for found, plane in ((before, start - 1), (after, stop)):
        if periodic or 0 <= plane < 8:
            assert np.array_equal(found, field[plane % 8])
        else:
            assert found is None


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("dim", [2, 3])
def test_windows_are_cut_out(dim: int) -> None:
    grid = load_grid(COMM, "m", random_medium(dim=dim), Path())
    window = ((3, 17), (2, 9), (5, 24))[:dim]
    part = cut(grid, window)
    expected = whole(grid.codes)[3:17][:, 2:9, 5:24] if dim == 3 else whole(grid.codes)[3:17][:, :, 2:9]
    assert np.array_equal(whole(part.codes), expected)
    assert part.shape == expected.shape
    assert part.codes.flags.c_contiguous
    assert (part.start, part.stop) == slab(14, COMM.size, COMM.rank)
    assert part.edges == pytest.approx((1.0, 0.5, 19 / 14)[:dim])
    assert part.volume == pytest.approx(np.prod(part.edges))
    with pytest.raises(ValueError, match="window"):
        cut(grid, ((3, 25), (2, 9), (5, 24))[:dim])


def test_spacing_in_unit_cell_lengths() -> None:
    assert unit_spacing((10, 20, 5), (1.0, 2.0, 3.0)) == pytest.approx((0.1, 0.2, 0.3))
    assert unit_spacing((10, 1, 5), (2.0, 3.0)) == pytest.approx((0.1, 1.0, 0.15))
    codes = np.array([[[0, 1, 1], [3, 1, 0]]], dtype=np.uint8)
    assert code_counts(codes)[:5].tolist() == [2, 3, 0, 1, 0]
    grid = VoxelGrid(
        MPI.COMM_SELF, "m", 3, (1, 2, 3), (1.0, 1.0, 1.0), 0, 1, codes, (2, 4, 6, 8), (True, False) * 2
    )
    assert grid.counts().tolist() == [2, 3, 0, 1]
    assert grid.voxels == 6
    assert grid.is_solid[codes].sum() == 2


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("shape", SHAPES)
def test_slab_transforms_are_numpys(shape: tuple[int, int, int]) -> None:
    field = np.random.default_rng(1).standard_normal(shape)
    transform = SlabFFT(COMM, shape, *slab(shape[0], COMM.size, COMM.rank))
    spectrum = transform.forward(own(field))
    expected = np.fft.rfftn(field).reshape(shape[0], -1)[:, slice(*transform.columns)]
    assert np.allclose(spectrum, expected, rtol=0, atol=1e-12 * np.sqrt(field.size))
    f1, f2, f3 = transform.frequencies()
    assert f1.shape == (shape[0], 1)
    assert f2.shape == f3.shape == (spectrum.shape[1],)
    assert np.allclose(transform.backward(spectrum), own(field), rtol=0, atol=1e-13)


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("shape", SHAPES)
def test_gaussian_field_has_the_same_bits_on_any_ranks(shape: tuple[int, int, int]) -> None:
    start, stop = slab(shape[0], COMM.size, COMM.rank)
    noise = np.random.default_rng(11).standard_normal(shape)
    assert np.array_equal(white_noise(shape, start, stop, 11), noise[start:stop])
    field = gaussian_field(COMM, shape, start, stop, 1.5, 11)
    alone = gaussian_field(MPI.COMM_SELF, shape, 0, shape[0], 1.5, 11)
    assert np.array_equal(whole(field), alone)
    f = np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij")
    kernel = np.exp(-2 * np.pi**2 * 1.5**2 * (f[0] ** 2 + f[1] ** 2 + f[2] ** 2))
    assert np.allclose(alone, np.fft.ifftn(np.fft.fftn(noise) * kernel).real, rtol=0, atol=1e-14)
    assert np.array_equal(whole(lowest(COMM, field, 123)), lowest(MPI.COMM_SELF, alone, 123))


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("count", [0, 1, 37, 200, 209, 210])
def test_lowest_values_exactly(count: int) -> None:
    """With many equal values, of which the first count; zeros of both signs are equal."""
    values = np.random.default_rng(2).integers(-3, 4, (7, 6, 5)) * 0.25
    values[values == 0] = np.random.default_rng(3).choice([0.0, -0.0], np.count_nonzero(values == 0))
    mask = whole(lowest(COMM, own(values), count)).ravel()
    expected = np.argsort(values.ravel(), kind="stable")[:count]
    assert np.array_equal(np.flatnonzero(mask), np.sort(expected))


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("dim", [2, 3])
def test_random_media_of_a_table(dim: int) -> None:
    grid = load_grid(COMM, "m", random_medium(dim=dim), Path())
    assert grid.shape == ((24, 1, 24), (24, 24, 24))[dim - 2]
    assert grid.spacing == pytest.approx((1 / 24, 1.0 if dim == 2 else 1 / 24, 1 / 24))
    assert (grid.values, grid.solid) == ((SOLID, ELECTROLYTE), (True, False))
    assert grid.counts()[1] == round(0.4 * 24**dim)
    field = gaussian_field(MPI.COMM_SELF, grid.shape, 0, 24, 2.0, 7)
    assert np.array_equal(whole(grid.codes) == 1, lowest(MPI.COMM_SELF, field, round(0.4 * 24**dim)))
    same = load_grid(COMM, "m", random_medium(dim=dim, correlation_length=2 / 24), Path())
    assert np.array_equal(same.codes, grid.codes)
    other = load_grid(COMM, "m", random_medium(dim=dim), Path(), seed=8)
    assert COMM.allreduce(int(np.count_nonzero(other.codes != grid.codes))) > 0
    large = load_grid(COMM, "m", random_medium(dim=dim, correlation_length=2 / 24), Path(), scale=1.5)
    assert large.shape[0] == large.shape[2] == 36
    field = gaussian_field(MPI.COMM_SELF, large.shape, 0, 36, 2.0, 7)
    assert np.array_equal(whole(large.codes) == 1, lowest(MPI.COMM_SELF, field, round(0.4 * 36**dim)))


@pytest.mark.mpi
def test_random_media_that_cannot_be() -> None:
    with pytest.raises(BadInput, match=r"^\[microstructure.m\] voxels: 100000 along an edge need .* GiB"):
        load_grid(COMM, "m", random_medium(voxels=100_000), Path())
    with pytest.raises(BadInput, match="voxels: 1 along an edge"):
        load_grid(COMM, "m", random_medium(), Path(), scale=0.05)


@pytest.mark.mpi
@pytest.mark.mpi3
def test_random_spheres_as_voxels() -> None:
    spec = SimpleNamespace(
        geometry="random_spheres",
        porosity=0.6,
        radius_mean=2.0,
        radius_std=0.0,
        cells=6,
        overlap=0.0,
        seed=3,
        voxels=40,
    )
    grid = load_grid(COMM, "m", spec, Path())
    alone = load_grid(MPI.COMM_SELF, "m", spec, Path())
    assert np.array_equal(whole(grid.codes), alone.codes)
    assert (grid.values, grid.solid, grid.shape) == ((SOLID, ELECTROLYTE), (True, False), (40, 40, 40))
    assert grid.counts()[1] / grid.voxels == pytest.approx(0.6, abs=0.01)
    large = load_grid(COMM, "m", spec, Path(), scale=1.5, seed=4)
    assert large.shape == (60, 60, 60)
    assert large.counts()[1] / large.voxels == pytest.approx(0.6, abs=0.01)
    spec.cells = 1
    with pytest.raises(BadInput, match=r"^\[microstructure.m\] cells: "):
        load_grid(COMM, "m", spec, Path())


@pytest.mark.mpi
@pytest.mark.mpi3
def test_voxels_of_balls_on_the_torus() -> None:
    generator = np.random.default_rng(4)
    centres, radii, edge = generator.random((12, 3)), generator.uniform(0.02, 0.2, 12), 20
    radii[0] = 0.6  # meets its own copies
    z = (np.indices((edge,) * 3) + 0.5) / edge
    expected = np.zeros((edge,) * 3, dtype=bool)
    for centre, radius in zip(centres, radii, strict=True):
        apart = np.abs(z - centre[:, None, None, None])
        expected |= np.sum(np.minimum(apart, 1 - apart) ** 2, axis=0) <= radius**2
    for chosen in (slice(None), slice(1, None)):
        found = whole(
            voxelised_balls(centres[chosen], radii[chosen], edge, *slab(edge, COMM.size, COMM.rank))
        )
        if chosen == slice(None):
            assert np.array_equal(found, expected)
        else:
            assert 0 < found.sum() < expected.sum()
            assert not np.any(found & ~expected)
