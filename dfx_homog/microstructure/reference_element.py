"""Lagrange bases of order 1 and 2 and Gauss rules on the reference interval, triangle and tetrahedron.

The reference simplex has its vertices at 0, e_1, ..., e_d. Nodes are in basix order: the vertices, then for order 2
the midpoints of the edges of EDGES; facet i lies opposite vertex i.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import roots_jacobi

Floats = NDArray[np.float64]

# Per dimension: vertices of the local edges (whose midpoints are the nodes of order 2) and of the local facets.
EDGES = {
    1: np.array([[0, 1]]),
    2: np.array([[1, 2], [0, 2], [0, 1]]),
    3: np.array([[2, 3], [1, 3], [1, 2], [0, 3], [0, 2], [0, 1]]),
}
FACETS = {
    2: EDGES[2],
    3: np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]),
}
# Local edges of each local facet, in the facet's own order of edges.
FACET_EDGES = {
    2: np.array([[0], [1], [2]]),
    3: np.array([[0, 1, 2], [0, 3, 4], [1, 3, 5], [2, 4, 5]]),
}


def node_count(dim: int, order: int) -> int:
    """Nodes of the simplex of dimension `dim`: (order + 1) ... (order + dim) / dim!."""
    return math.comb(order + dim, dim)


def barycentric(points: Floats) -> Floats:
    """(points, dim + 1) barycentric coordinates of reference points (points, dim)."""
    return np.column_stack([1.0 - points.sum(axis=1), points])


def lagrange(order: int, points: Floats) -> Floats:
    """Values of the Lagrange basis of order 1 or 2 at reference points (points, dim): (points, nodes)."""
    b = barycentric(points)
    if order == 1:
        return b
    one, two = EDGES[points.shape[1]].T
    return np.hstack([b * (2.0 * b - 1.0), 4.0 * b[:, one] * b[:, two]])


def lagrange_gradients(order: int, points: Floats) -> Floats:
    """Reference gradients of the Lagrange basis of order 1 or 2: (points, nodes, dim)."""
    dim = points.shape[1]
    slope = np.vstack([-np.ones(dim), np.eye(dim)])  # of the barycentric coordinates
    b = barycentric(points)
    if order == 1:
        return np.broadcast_to(slope, (len(points), *slope.shape)).copy()
    one, two = EDGES[dim].T
    vertex = (4.0 * b - 1.0)[:, :, None] * slope
    edge = 4.0 * (b[:, one, None] * slope[two] + b[:, two, None] * slope[one])
    return np.concatenate([vertex, edge], axis=1)


def nodes(dim: int, order: int) -> Floats:
    """Reference coordinates of the nodes: (nodes, dim)."""
    vertices = np.vstack([np.zeros(dim), np.eye(dim)])
    return vertices if order == 1 else np.vstack([vertices, vertices[EDGES[dim]].mean(axis=1)])


def simplex_rule(dim: int, n: int) -> tuple[Floats, Floats]:
    """Conical Gauss-Jacobi rule with n^dim points, exact to degree 2n - 1: points (n^dim, dim) and weights.

    Stroud, Approximate Calculation of Multiple Integrals (1971), section 2.3. The weights sum to 1/dim!.
    """
    points, weights = np.zeros((1, 0)), np.ones(1)
    for d in range(dim):
        # (1 - t)^(d) is the measure of the d-dimensional slice at height t
        t, w = roots_jacobi(n, float(d), 0.0)
        t, w = 0.5 * (t + 1.0), w / 2.0 ** (d + 1)
        inner = (1.0 - t)[:, None, None] * points
        height = np.broadcast_to(t[:, None, None], (n, len(points), 1))
        points = np.concatenate([height, inner], axis=2).reshape(-1, d + 1)
        weights = np.outer(w, weights).ravel()
    return points, weights


def cross(u: Floats, v: Floats) -> Floats:
    """Cross products of (..., 3) vectors (several times faster than numpy.cross on many)."""
    out = np.empty(np.broadcast_shapes(u.shape, v.shape))
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        out[..., k] = u[..., i] * v[..., j] - u[..., j] * v[..., i]
    return out


def adjugates(matrix: Floats) -> Floats:
    """det(M) M^-1 of (..., d, d) matrices, d = 2 or 3."""
    m = matrix
    out = np.empty_like(m)
    if m.shape[-1] == 2:
        out[..., 0, 0], out[..., 1, 1] = m[..., 1, 1], m[..., 0, 0]
        out[..., 0, 1], out[..., 1, 0] = -m[..., 0, 1], -m[..., 1, 0]
        return out
    for k in range(3):
        out[..., :, k] = cross(m[..., (k + 1) % 3, :], m[..., (k + 2) % 3, :])
    return out


def determinants(jacobian: Floats) -> Floats:
    """Determinants of (..., d, d) matrices, d = 2 or 3, by their formula (one pass, no factorisation)."""
    j = jacobian
    if j.shape[-1] == 2:
        return np.asarray(j[..., 0, 0] * j[..., 1, 1] - j[..., 0, 1] * j[..., 1, 0])
    return np.asarray(np.einsum("...i,...i->...", j[..., 0, :], cross(j[..., 1, :], j[..., 2, :])))


def metric(tangents: Floats) -> Floats:
    """Length or area scaling of a facet: |t| or |t1 x t2| of its tangents (..., d - 1, d)."""
    if tangents.shape[-1] == 2:
        return np.asarray(np.linalg.norm(tangents[..., 0, :], axis=-1))
    return np.asarray(np.linalg.norm(cross(tangents[..., 0, :], tangents[..., 1, :]), axis=-1))
