"""Triangles of order 1 and 2 as a picture needs them: outlines and linear sub-triangles.

Node order of the cells: vertices v0 v1 v2, then (order 2) the midpoints opposite v0, v1, v2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dfx_homog.report.data import Array

Index = NDArray[np.int64]
SOLID = 1  # value in the arrays of phases; electrolyte is 2
_SPLIT = np.array([[0, 5, 4], [1, 3, 5], [2, 4, 3], [3, 4, 5]])
_EDGES = ((0, 5, 1), (1, 3, 2), (2, 4, 0))  # start, midpoint, end


def subdivided(cells: Index) -> Index:
    """Linear triangles (m, 3) of cells (m, k): themselves for k = 3, four each for k = 6 (in the cells' order)."""
    return cells if cells.shape[1] == 3 else cells[:, _SPLIT].reshape(-1, 3)


def outlines(corners: Array, segments: int = 4) -> list[Array]:
    """Polygons of cells given by their nodes (m, k, 2): straight ones as triangles."""
    if corners.shape[1] == 3:
        return list(corners)
    t = np.arange(segments) / segments
    basis = np.stack([(1 - t) * (1 - 2 * t), 4 * t * (1 - t), t * (2 * t - 1)], axis=-1)  # (segments, 3)
    curved = np.concatenate([np.einsum("sb,mbd->msd", basis, corners[:, list(e)]) for e in _EDGES], axis=1)
    bulge = np.max(
        [np.abs(corners[:, m] - 0.5 * (corners[:, a] + corners[:, b])) for a, m, b in _EDGES], axis=(0, 2)
    )
    size = np.ptp(corners, axis=1).max(axis=1)
    return [c if b > 1e-6 * s else v for c, v, b, s in zip(curved, corners[:, :3], bulge, size, strict=True)]
