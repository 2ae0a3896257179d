"""Balls on the torus as voxels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def voxelised_balls(
    centres: NDArray[np.float64], radii: NDArray[np.float64], edge: int, start: int, stop: int
) -> NDArray[np.bool_]:
    """Mask (stop - start, edge, edge) of the voxels whose centre is in a ball or in one of its periodic copies.

    centres (n, 3) and radii (n,) are in unit-cell lengths; planes [start, stop) of a cube of edge^3 voxels.
    """
    mask = np.zeros((stop - start, edge, edge), dtype=bool)
    for centre, radius in zip(centres, radii, strict=True):
        near = [_near(float(z), float(radius), edge) for z in centre]
        own = (near[0][0] >= start) & (near[0][0] < stop)
        (i, x), (j, y), (k, z) = (near[0][0][own] - start, near[0][1][own]), near[1], near[2]
        mask[np.ix_(i, j, k)] |= x[:, None, None] + y[:, None] + z <= radius**2
    return mask


def _near(centre: float, radius: float, edge: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Voxels of an axis within `radius` of the centre on the circle, and their squared distances."""
    first = int(np.floor((centre - radius) * edge))
    count = min(edge, int(np.ceil(2 * radius * edge)) + 2)
    index = np.arange(first, first + count) % edge
    distance = np.abs((index + 0.5) / edge - centre % 1.0)
    return index, np.minimum(distance, 1 - distance) ** 2
