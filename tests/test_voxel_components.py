"""Clusters of voxels in parallel: against scipy, against a search by breadth, and their windings on the torus."""

from __future__ import annotations

from collections import deque
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi4py import MPI
from scipy import ndimage

from dfx_homog._native import label_box, weighted_components
from dfx_homog.microstructure.components import lattice_basis
from dfx_homog.voxels.components import Clusters, voxel_components
from dfx_homog.voxels.grid import VoxelGrid, slab, unit_spacing
from dfx_homog.voxels.image import load_grid

COMM = MPI.COMM_WORLD


def grid_of(mask: np.ndarray, comm: MPI.Intracomm = COMM) -> VoxelGrid:
    """The grid of a mask that all ranks have; code 1 where it is true."""
    codes = np.asarray(mask, dtype=np.uint8)
    shape = (codes.shape[0], 1, codes.shape[1]) if codes.ndim == 2 else codes.shape
    start, stop = slab(shape[0], comm.size, comm.rank)
    own = np.ascontiguousarray(codes.reshape(shape)[start:stop])
    spacing = unit_spacing(shape, (1.0,) * codes.ndim)
    return VoxelGrid(comm, "m", codes.ndim, shape, spacing, start, stop, own, (0, 1), (True, False))


def clusters_of(mask: np.ndarray, periodic: bool) -> tuple[Clusters, np.ndarray]:
    """The clusters of a mask, and their labels on the whole image."""
    found = voxel_components(grid_of(mask), (False, True), periodic)
    return found, np.concatenate(COMM.allgather(found.labels)).reshape(np.shape(mask))


def searched(mask: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Labels by first voxel, and lattices of windings, of a periodic mask by a search from voxel to voxel."""
    label = np.full(mask.shape, -1)
    where: dict[tuple[int, ...], np.ndarray] = {}
    lattices: list[np.ndarray] = []
    steps = np.vstack([np.eye(mask.ndim, dtype=int), -np.eye(mask.ndim, dtype=int)])
    for seed in zip(*np.nonzero(mask), strict=True):
        if label[seed] >= 0:
            continue
        label[seed], where[seed], wound = len(lattices), np.zeros(mask.ndim, dtype=int), []
        queue = deque([seed])
        while queue:
            voxel = queue.popleft()
            for step in steps:
                period, rest = np.divmod(np.add(voxel, step), mask.shape)
                other = tuple(rest)
                if not mask[other]:
                    continue
                there = where[voxel] + period
                if label[other] < 0:
                    label[other], where[other] = label[voxel], there
                    queue.append(other)
                else:
                    wound.append(there - where[other])
        lattices.append(lattice_basis(np.array(wound, dtype=np.int64).reshape(-1, mask.ndim)))
    return label, lattices


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = np.unique(np.column_stack([a.ravel(), b.ravel()]), axis=0)
    return len(pairs) == len(np.unique(a)) == len(np.unique(b))


def noise(shape: tuple[int, ...], share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < share


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("share", [0.15, 0.33, 0.6])
@pytest.mark.parametrize("shape", [(17, 12, 9), (3, 20, 5), (40, 31)])
def test_against_scipy(shape: tuple[int, ...], share: float) -> None:
    mask = noise(shape, share, 5)
    found, labels = clusters_of(mask, False)
    expected, count = ndimage.label(mask)
    assert len(found.sizes) == count
    assert np.array_equal(labels < 0, ~mask)
    assert same_partition(labels, expected)
    assert np.array_equal(found.sizes, np.bincount(labels[mask]))
    # by falling size, then by first voxel
    first = np.unique(labels[mask], return_index=True)[1]
    assert sorted(range(count), key=lambda c: (-found.sizes[c], first[c])) == list(range(count))
    ends = np.array([[labels.take(end, axis) for end in (0, -1)] for axis in range(mask.ndim)], dtype=object)
    for cluster, (axis, end) in product(range(count), product(range(mask.ndim), (0, 1))):
        assert found.touches[cluster, axis, end] == (cluster in ends[axis, end])
    assert np.array_equal(found.percolates, found.spans)


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("shape", [(7, 6, 5), (4, 3, 4), (12, 11)])
def test_against_a_search_on_the_torus(shape: tuple[int, ...]) -> None:
    for seed, share in product(range(4), (0.3, 0.4, 0.5)):
        mask = noise(shape, share, seed)
        found, labels = clusters_of(mask, True)
        expected, lattices = searched(mask)
        assert same_partition(labels, expected)
        for cluster in range(len(found.sizes)):
            lattice = lattices[expected[labels == cluster][0]]
            assert np.array_equal(found.windings[cluster], lattice)
            assert np.array_equal(found.percolates[cluster], np.any(lattice != 0, axis=0))


@pytest.mark.mpi
@pytest.mark.mpi3
def test_diagonal_layers_wind_along_the_diagonal() -> None:
    i, j, _ = np.indices((12, 12, 4))
    found, _ = clusters_of((i - j) % 12 < 4, True)
    assert [w.tolist() for w in found.windings] == [[[1, 1, 0], [0, 0, 1]]]
    assert found.percolates.tolist() == [[True, True, True]]
    rods, _ = clusters_of(((i - j) % 12 < 4) & (np.indices((12, 12, 4))[2] == 1), True)
    assert [w.tolist() for w in rods.windings] == [[[1, 1, 0]]]
    assert rods.percolates.tolist() == [[True, True, False]]


@pytest.mark.mpi
@pytest.mark.mpi3
def test_spirals() -> None:
    """A thread that goes round twice in one direction while it goes round once in the other."""
    i, j = np.indices((8, 16))
    thread = (4 * i - j) % 16 < 5
    for mask, winding in ((thread, [1, 2]), (thread.T, [2, 1]), (thread[::-1], [1, -2])):
        found, _ = clusters_of(mask, True)
        assert [w.tolist() for w in found.windings] == [[winding]]
        assert found.percolates.tolist() == [[True, True]]


@pytest.mark.mpi
@pytest.mark.mpi3
def test_voxels_that_touch_in_edges_are_not_joined() -> None:
    mask = np.indices((6, 8, 4)).sum(axis=0) % 2 == 0
    for periodic in (True, False):
        found, labels = clusters_of(mask, periodic)
        assert np.array_equal(found.sizes, np.ones(96))
        assert np.array_equal(labels[mask], np.arange(96))
        assert not found.percolates.any()


@pytest.mark.mpi
@pytest.mark.mpi3
def test_full_and_empty() -> None:
    found, labels = clusters_of(np.ones((5, 4, 3), dtype=bool), True)
    assert found.sizes.tolist() == [60]
    assert found.windings[0].tolist() == np.eye(3).tolist()
    assert not labels.any()
    none, labels = clusters_of(np.zeros((5, 4, 3), dtype=bool), True)
    assert len(none.sizes) == 0
    assert none.percolates.shape == (0, 3)
    assert np.all(labels == -1)


@pytest.mark.mpi
@pytest.mark.mpi3
def test_reference_field_has_detached_pores() -> None:
    """One that matters, of 504 voxels (data/README), and a speck of 5 voxels."""
    spec = SimpleNamespace(
        geometry="gaussian_field", dim=3, porosity=0.4, correlation_length=4.0, voxels=96, seed=12345
    )
    grid = load_grid(COMM, "m", spec, Path())
    pores = voxel_components(grid, ~grid.is_solid, True)
    assert pores.sizes.tolist() == [353385, 504, 5]
    assert pores.percolates.tolist() == [[True] * 3, [False] * 3, [False] * 3]
    islands = ~pores.percolates.any(axis=1)
    assert pores.voxels(islands) == 509
    assert COMM.allreduce(int(pores.mask(islands).sum())) == 509
    solid = voxel_components(grid, grid.is_solid, True)
    assert solid.sizes.tolist() == [530842]


@pytest.mark.mpi
def test_numbers_do_not_depend_on_the_ranks() -> None:
    mask = noise((19, 8, 9), 0.4, 3)
    for periodic in (True, False):
        found, labels = clusters_of(mask, periodic)
        alone = voxel_components(grid_of(mask, MPI.COMM_SELF), (False, True), periodic)
        assert np.array_equal(labels, alone.labels)
        assert np.array_equal(found.sizes, alone.sizes)
        assert np.array_equal(found.touches, alone.touches)
        assert all(np.array_equal(a, b) for a, b in zip(found.windings, alone.windings, strict=True))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(data=st.data())
def test_weighted_components_of_graphs(data: st.DataObject) -> None:
    """Links of nodes with known offsets, and some extra periods: labels, offsets and windings come out."""
    n, dim = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 3))
    node = st.integers(0, n - 1)
    period = st.tuples(*[st.integers(-2, 2)] * dim)
    links = data.draw(st.lists(st.tuples(node, node, period), max_size=15))
    a, b = (np.array([link[k] for link in links], dtype=np.int64) for k in (0, 1))
    shift = np.array([link[2] for link in links], dtype=np.int64).reshape(-1, dim)
    label, offset, (wound, winding) = weighted_components(n, a, b, shift, dim)
    parts = [{k} for k in range(n)]
    for p, q in zip(a, b, strict=True):
        joined = parts[p] | parts[q]
        for k in joined:
            parts[k] = joined
    firsts = sorted({min(part) for part in parts})
    assert label.tolist() == [firsts.index(min(part)) for part in parts]
    assert not offset[firsts].any()
    advance = offset[a] + shift - offset[b]
    for component in range(len(firsts)):
        closed = advance[(label[a] == component) & advance.any(axis=1)] if len(a) else advance
        assert np.array_equal(lattice_basis(winding[wound == component]), lattice_basis(closed))


@pytest.mark.parametrize(
    ("n", "a", "b", "shift", "dim", "text"),
    [
        (2, [0], [2], [[0]], 1, "nodes"),
        (2, [0], [-1], [[0]], 1, "nodes"),
        (2, [0, 1], [1], [[0]], 1, "do not fit"),
        (2, [0], [1], [[0]], 2, "do not fit"),
        (2, [0], [1], [[0]], 4, "dim"),
    ],
)
def test_weighted_components_refuses(n: int, a: Any, b: Any, shift: Any, dim: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        weighted_components(n, np.array(a), np.array(b), np.array(shift), dim)


def test_label_box_refuses_arrays_that_do_not_fit() -> None:
    codes, table = np.zeros((2, 3, 4), dtype=np.uint8), np.ones(256, dtype=np.uint8)
    with pytest.raises(ValueError, match="shape"):
        label_box(codes, table, np.empty((2, 3, 5), dtype=np.int32))
    with pytest.raises(ValueError, match="256"):
        label_box(codes, table[:3], np.empty((2, 3, 4), dtype=np.int32))
