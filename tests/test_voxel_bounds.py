"""Finite volumes and trilinear elements enclose the tensor of the voxel geometry, under every condition.

Splitting voxels changes the discretisations, not the geometry: the lower value has to grow, the upper one to fall.
"""

from __future__ import annotations

import numpy as np
import pytest
from mpi4py import MPI

from dfx_homog.voxels.grid import VoxelGrid
from dfx_homog.voxels.solver import CONDITIONS, VoxelProblem


def split(labels: np.ndarray, times: int) -> VoxelGrid:
    """The image with every voxel split into times^dim."""
    fine = np.kron(labels, np.ones((times,) * labels.ndim, dtype=np.uint8))
    n = len(fine)
    plane = labels.ndim == 2
    codes = np.ascontiguousarray(fine[:, None, :] if plane else fine)
    spacing = (1 / n, 1.0 if plane else 1 / n, 1 / n)
    return VoxelGrid(
        MPI.COMM_SELF, "split", labels.ndim, codes.shape, spacing, 0, n, codes, (0, 1), (True, False)
    )


def eigenvalues(grid: VoxelGrid, discretisation: str, condition: str) -> np.ndarray:
    """Of the tensor at contrast 10, smallest first; its diagonal where the rest is not defined."""
    problem = VoxelProblem(grid, discretisation=discretisation, condition=condition)
    tensor = problem.solve(grid.codes, np.array([1.0, 10.0])).tensor
    return np.diag(tensor) if condition == "through" else np.linalg.eigvalsh(tensor)


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize(("edge", "dim"), [(8, 2), (4, 3)])
def test_refined_voxels_close_the_bracket(edge: int, dim: int, condition: str) -> None:
    labels = (np.random.default_rng(3).random((edge,) * dim) < 0.5).astype(np.uint8)
    grids = [split(labels, times) for times in (1, 2, 4)]
    lower = [eigenvalues(grid, "fv", condition) for grid in grids]
    upper = [eigenvalues(grid, "q1", condition) for grid in grids]
    values = np.array([*lower, *reversed(upper)])  # from below to above
    assert (np.diff(values, axis=0) > 1e-3).all()
