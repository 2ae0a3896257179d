"""The radially symmetric sphere, the particle of the Doyle-Fuller-Newman model, as a particle problem.

    d_t c = r^-2 d_r (r^2 D_s d_r c) for 0 < r < R,   -D_s d_r c = j at r = R   (MODEL section 5, weight r^2).

Per volume of the electrode there is the surface a, hence the volume a R/3.
"""

from __future__ import annotations

import basix
import numpy as np

from dfx_homog.models.particle_geometry import ParticleGeometry, SolidElements

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
    cells = np.arange(elements)[:, None] * order + within
    lengths = np.diff(ends)
    area = a * (ends[:-1, None] + lengths[:, None] * points[:, 0]) ** 2  # r^2/R^2
    weights = area * reference * lengths[:, None] * radius
    slopes = np.sqrt(weights)[:, :, None] * table[1] / (lengths * radius)[:, None, None]
    solid = SolidElements(cells.astype(np.int32), table[0].copy(), weights, slopes[:, :, :, None].copy())
    M, K = solid.matrices(n)
    return ParticleGeometry(
        name=name,
        M=M,
        K=K,
        solid_nodes=np.arange(n),
        trace=np.array([n - 1]),
        facets=np.zeros((1, 1), dtype=np.int32),
        shape=np.ones((1, 1)),
        weights=np.array([[a]]),
        elements=solid,
    )
