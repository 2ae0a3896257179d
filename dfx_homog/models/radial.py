"""The radially symmetric sphere, the particle of the Doyle-Fuller-Newman model, as a particle problem.

    d_t c = r^-2 d_r (r^2 D_s d_r c) for 0 < r < R,   -D_s d_r c = j at r = R   (MODEL section 5, weight r^2).

Per volume of the electrode there is the surface a, hence the volume a R/3.
"""

from __future__ import annotations

from collections.abc import Sequence

import basix
import numpy as np

from dfx_homog.models.particle_geometry import ParticleGeometry, SolidElements

#: Ratio of neighbouring elements' lengths: shorter towards the surface, where a new current is felt first.
GRADING = 0.6


def sphere_geometry(
    name: str,
    a: float | Sequence[float],
    radius: float | Sequence[float] = 1.0,
    *,
    elements: int = 2,
    order: int = 10,
) -> ParticleGeometry:
    """Matrices of a sphere of radius R with weight r^2, of continuous elements of the given order on [0, R].

    a: surface per volume in the reciprocal of R's unit; 3 (1 - phi_e)/R for spheres that are all of the solid.
    M = (a/R^2) int r^2 phi_i phi_j dr (its sum is a R/3), K = (a/R^2) int r^2 phi_i' phi_j' dr; the trace is the node
    r = R. Gauss' rule with order + 2 points is exact.
    Sequences of a and R: spheres of several sizes side by side, blocks of M and K, each with a trace of its own.
    """
    surfaces, radii = (
        np.atleast_1d(np.asarray(a, dtype=float)),
        np.atleast_1d(np.asarray(radius, dtype=float)),
    )
    parts = [_elements(*each, elements, order) for each in zip(surfaces, radii, strict=True)]
    n, count = elements * order + 1, len(parts)
    solid = SolidElements(
        cells=np.concatenate([part.cells + i * n for i, part in enumerate(parts)]).astype(np.int32),
        shape=parts[0].shape,
        weights=np.concatenate([part.weights for part in parts]),
        slopes=np.concatenate([part.slopes for part in parts]),
    )
    M, K = solid.matrices(count * n)
    return ParticleGeometry(
        name=name,
        M=M,
        K=K,
        solid_nodes=np.arange(count * n),
        trace=n * np.arange(1, count + 1) - 1,
        facets=np.arange(count, dtype=np.int32)[:, None],
        shape=np.ones((1, 1)),
        weights=surfaces[:, None].copy(),
        elements=solid,
    )


def _elements(a: float, radius: float, elements: int, order: int) -> SolidElements:
    """Those of one sphere."""
    lengths = GRADING ** np.arange(elements)
    ends = np.concatenate([[0.0], np.cumsum(lengths) / lengths.sum()])
    ends[-1] = 1.0
    points, reference = basix.make_quadrature(basix.CellType.interval, 2 * order + 2)
    element = basix.create_element(
        basix.ElementFamily.P, basix.CellType.interval, order, basix.LagrangeVariant.gll_warped
    )
    table = element.tabulate(1, points)[:, :, :, 0]
    # basix numbers both ends first, then the inner nodes from left to right
    within = np.concatenate([[0, order], np.arange(1, order)])
    lengths = np.diff(ends)
    area = a * (ends[:-1, None] + lengths[:, None] * points[:, 0]) ** 2  # r^2/R^2
    weights = area * reference * lengths[:, None] * radius
    slopes = np.sqrt(weights)[:, :, None] * table[1] / (lengths * radius)[:, None, None]
    cells = np.arange(elements)[:, None] * order + within
    return SolidElements(cells.astype(np.int32), table[0].copy(), weights, slopes[:, :, :, None].copy())
