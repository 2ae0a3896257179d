"""The radially symmetric sphere, the particle of the Doyle-Fuller-Newman model, as a particle problem.

    d_t c = r^-2 d_r (r^2 D_s d_r c) for 0 < r < R,   -D_s d_r c = j at r = R   (MODEL section 5, weight r^2).

Per volume of the electrode there is the surface a, hence the volume a R/3.
"""

from __future__ import annotations

import basix
import numpy as np
import scipy.sparse

from dfx_homog.models.particle import ParticleGeometry

#: Ratio of neighbouring elements' lengths: shorter towards the surface, where a new current is felt first.
GRADING = 0.6


def sphere_geometry(
    name: str, a: float, radius: float = 1.0, *, elements: int = 2, order: int = 10
) -> ParticleGeometry:
    """Matrices of a sphere of radius R with weight r^2, of continuous elements of the given order on [0, R].

    a: surface per volume in the reciprocal of R's unit; 3 (1 - phi_e)/R for spheres that are all of the solid.
    M = (a/R^2) int r^2 phi_i phi_j dr (its sum is a R/3), K = (a/R^2) int r^2 phi_i' phi_j' dr; the trace is the node
    r = R. Gauss' rule with order + 2 points is exact.
    """
    lengths = GRADING ** np.arange(elements)
    ends = np.concatenate([[0.0], np.cumsum(lengths) / lengths.sum()])
    ends[-1] = 1.0
    points, reference = basix.make_quadrature(basix.CellType.interval, 2 * order + 2)
    element = basix.create_element(
        basix.ElementFamily.P, basix.CellType.interval, order, basix.LagrangeVariant.gll_warped
    )
    table = element.tabulate(1, points)[:, :, :, 0]
    n = elements * order + 1
    # basix numbers both ends first, then the inner nodes from left to right
    within = np.concatenate([[0, order], np.arange(1, order)])
    M, K = (scipy.sparse.lil_matrix((n, n)) for _ in range(2))
    for k in range(elements):
        length = ends[k + 1] - ends[k]
        weight = a * (ends[k] + length * points[:, 0]) ** 2 * reference  # r^2/R^2
        rows = np.ix_(k * order + within, k * order + within)
        M[rows] += np.einsum("q,qi,qj->ij", weight * length * radius, table[0], table[0])
        K[rows] += np.einsum("q,qi,qj->ij", weight / (length * radius), table[1], table[1])
    return ParticleGeometry(
        name=name,
        M=M.tocsr(),
        K=K.tocsr(),
        solid_nodes=np.arange(n),
        trace=np.array([n - 1]),
        facets=np.zeros((1, 1), dtype=np.int32),
        shape=np.ones((1, 1)),
        weights=np.array([[a]]),
    )
