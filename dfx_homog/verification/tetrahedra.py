"""Small periodic meshes of the unit cube, without gmsh: each cube of a grid cut into six tetrahedra (Kuhn)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import numpy.typing as npt

from dfx_homog.microstructure import ELECTROLYTE, SOLID, UnitCell

# midpoints of a quadratic tetrahedron in basix order
EDGES = [(2, 3), (1, 3), (1, 2), (0, 3), (0, 2), (0, 1)]


def kuhn(
    n: int, solid: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.bool_]], order: int = 1
) -> UnitCell:
    """n^3 cubes; a tetrahedron is solid if solid(centroids) says so."""
    k = n * order
    stride = np.array([(k + 1) ** 2, k + 1, 1])
    grid = np.indices((k + 1,) * 3).reshape(3, -1).T
    corner = np.indices((n,) * 3).reshape(3, -1).T * order
    cells = []
    for path in permutations(range(3)):
        v = np.vstack([np.zeros((1, 3), dtype=int), np.cumsum(np.eye(3, dtype=int)[list(path)], axis=0)])
        if np.linalg.det((v[1:] - v[0]).astype(float)) < 0:
            v[[1, 2]] = v[[2, 1]]
        if order == 2:
            v = np.vstack([2 * v, [v[a] + v[b] for a, b in EDGES]])
        cells.append((corner[:, None] + v) @ stride)
    nodes = np.stack(cells, axis=1).reshape(-1, len(cells[0][0]))
    points = grid / k
    centroid = points[nodes[:, :4]].mean(axis=1)
    along = np.argsort(centroid[:, 0], kind="stable")
    phase = np.where(solid(centroid[along]), SOLID, ELECTROLYTE).astype(np.int8)
    lower = [np.flatnonzero(grid[:, d] == 0) for d in range(3)]
    pairs = tuple(np.column_stack([low, low + k * stride[d]]) for d, low in enumerate(lower))
    return UnitCell("kuhn", 3, order, points, nodes[along], phase, pairs)
