"""Periodic random packings of balls in the unit cube: `random_spheres`.

1. Radii: N draws from the normal distribution (1, s), s = radius_std/radius_mean, redrawn until within 3 s of 1 and
   above SMALLEST; N = round(wanted volume of balls / mean volume of a ball) in a cube of edge `cells` mean radii.
2. Centres: uniform random points, then the overlaps of cores are removed: the harmonic repulsion of overlapping
   cores, E = 1/2 sum max(0, (R_i + R_j)(1 + gap) - |c_i - c_j|)^2, is minimised with FIRE (Bitzek et al., Phys. Rev.
   Lett. 97, 170201 (2006)). Below the density of random close packing its minimum is 0 (O'Hern et al., Phys. Rev. E
   68, 011306 (2003)). Neighbours by a periodic k-d tree with a skin.
3. The radii get one common factor such that the union has the wanted volume: exactly where balls are disjoint, by
   quasi-random points (error below 1e-3) where they overlap; then 2 is repeated until both hold.

Cores are the balls themselves for overlap = 0 (gap GAP), and balls of radius (1 - overlap) r without a gap otherwise.
The same seed gives the same packing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from dfx_homog.errors import BadInput

Floats = NDArray[np.float64]

#: Hard balls keep |c_i - c_j| >= (1 + GAP)(r_i + r_j).
GAP = 0.005
#: What relaxation aims at beyond the gap, relative to r_i + r_j, so that it ends after a finite number of steps.
MARGIN = 1e-3
#: Smallest radius drawn, in mean radii.
SMALLEST = 0.05
#: Steps of one relaxation, and rounds of relaxation and scaling.
STEPS = 6000
ROUNDS = 12
#: Quasi-random points for the volume of overlapping balls: error of the porosity below ACCURACY.
POINTS = 1 << 18
ACCURACY = 1e-3


class PackingSpec(Protocol):
    """Run-file keys of `random_spheres` that matter here.

    Only the ratio radius_std / radius_mean counts, since lengths are in edges of the cube; cells is the edge of the
    cube in mean radii.
    """

    @property
    def porosity(self) -> float: ...
    @property
    def radius_mean(self) -> float: ...
    @property
    def radius_std(self) -> float: ...
    @property
    def cells(self) -> float: ...
    @property
    def overlap(self) -> float: ...
    @property
    def seed(self) -> int: ...


@dataclass(frozen=True)
class Packing:
    """Balls of the unit cube and their periodic copies, in unit-cell lengths.

    centres (n, 3) in [0, 1); radii (n,); factor: what the drawn radii (mean 1/cells) were multiplied with
    """

    centres: Floats
    radii: Floats
    factor: float


def pack(spec: PackingSpec, seed: int | None = None, scale: float = 1.0) -> tuple[Floats, Floats]:
    """(centres (n, 3), radii (n,)) of the packing in the periodic unit cube, in unit-cell lengths.

    seed overrides spec.seed; scale multiplies spec.cells (a larger sample of the same medium). Raises BadInput as
    `packing`.
    """
    found = packing(spec, seed, scale)
    return found.centres, found.radii


def packing(spec: PackingSpec, seed: int | None = None, scale: float = 1.0) -> Packing:
    """The packing with the factor of its radii; arguments as `pack`.

    Raises BadInput where the porosity cannot be reached (hard balls: below about 0.38, random close packing) and
    where the balls are too large for the cube (the nearest copy of a neighbour would not be the only one).
    """
    random = np.random.default_rng(spec.seed if seed is None else seed)
    edge, solid = float(spec.cells) * scale, 1.0 - spec.porosity
    spread = spec.radius_std / spec.radius_mean
    # Volume of all balls together: that of the union for hard ones, -log(porosity) for independent ones.
    volume = (
        solid if spec.overlap == 0.0 else (1.0 - spec.overlap) * solid - spec.overlap * np.log(spec.porosity)
    )
    mean_cube = 1.0 + 3.0 * spread**2
    count = max(1, round(volume * edge**3 / (4.0 / 3.0 * np.pi * mean_cube)))
    radii: Floats = np.asarray(_draw(random, count, spread) / edge, dtype=np.float64)
    centres = random.random((count, 3))
    core, gap = (1.0, GAP) if spec.overlap == 0.0 else (1.0 - spec.overlap, 0.0)
    factor = (volume / (4.0 / 3.0 * np.pi * (radii**3).sum())) ** (1.0 / 3.0)
    for _ in range(ROUNDS):
        _check_size(2.0 * (1.0 + gap + MARGIN) * core * factor * radii.max(), edge)
        centres, apart = _relax(centres, core * factor * radii, gap)
        if not apart:
            raise BadInput(
                f"porosity: {spec.porosity} cannot be reached with overlap = {spec.overlap}; allowed: a larger "
                "porosity (about 0.38 or more for balls that do not overlap), or a larger overlap"
            )
        if spec.overlap == 0.0:
            return Packing(centres, factor * radii, factor)
        factor = _fill(centres, radii, solid)
        if _apart(centres, core * factor * radii, gap):
            return Packing(centres, factor * radii, factor)
    raise BadInput(
        f"overlap: {spec.overlap} with porosity {spec.porosity} gives no packing; allowed: a larger overlap"
    )


def _draw(random: np.random.Generator, count: int, spread: float) -> Floats:
    """Radii, mean 1, from the normal distribution cut at 3 standard deviations and at SMALLEST."""
    radii = random.normal(1.0, spread, count)
    while np.any(bad := (np.abs(radii - 1.0) > 3.0 * spread) | (radii < SMALLEST)):
        radii[bad] = random.normal(1.0, spread, int(bad.sum()))
    return radii


def _check_size(reach: float, edge: float) -> None:
    if reach >= 0.5:
        raise BadInput(
            f"cells: {edge:.4g} mean radii along the edge are too few for these radii; "
            f"allowed: above {2.0 * reach * edge:.4g}"
        )


def _separation(centres: Floats, pairs: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Vectors from the second to the first of each pair, to the nearest copy, and their lengths."""
    vector = centres[pairs[:, 0]] - centres[pairs[:, 1]]
    vector -= np.round(vector)
    return vector, np.linalg.norm(vector, axis=1)


def _pairs(centres: Floats, reach: float) -> NDArray[np.int64]:
    tree = cKDTree(centres, boxsize=1.0)
    return np.asarray(tree.query_pairs(reach, output_type="ndarray"), dtype=np.int64).reshape(-1, 2)


def _apart(centres: Floats, radii: Floats, gap: float) -> bool:
    """Whether all pairs keep (1 + gap)(r_i + r_j)."""
    pairs = _pairs(centres, 2.0 * (1.0 + gap) * radii.max())
    distance = _separation(centres, pairs)[1]
    return bool(np.all(distance >= (1.0 + gap) * radii[pairs].sum(axis=1)))


def _relax(centres: Floats, radii: Floats, gap: float) -> tuple[Floats, bool]:
    """Centres moved apart until all pairs keep (1 + gap)(r_i + r_j), and whether that was reached.

    FIRE in units where a force of unit stiffness moves a ball by the time step squared; the parameters are those of
    its authors.
    """
    reach = 2.0 * (1.0 + gap + MARGIN) * radii.max()
    skin = min(0.3 * radii.max(), 0.5 * (0.999 - reach))
    centres = centres % 1.0
    velocity = np.zeros_like(centres)
    step, mixing, downhill = 0.1, 0.1, 0
    pairs, origin = _pairs(centres, reach + skin), centres.copy()
    for _ in range(STEPS):
        if np.linalg.norm(centres - origin, axis=1).max() > 0.5 * skin:
            centres %= 1.0
            pairs, origin = _pairs(centres, reach + skin), centres.copy()
        vector, distance = _separation(centres, pairs)
        touch = radii[pairs].sum(axis=1)
        if np.all(distance >= (1.0 + gap) * touch):
            return centres % 1.0, True
        depth = np.maximum((1.0 + gap + MARGIN) * touch - distance, 0.0)
        push = (depth / np.maximum(distance, 1e-300))[:, None] * vector
        force = np.stack(
            [
                np.bincount(pairs[:, 0], push[:, d], len(centres))
                - np.bincount(pairs[:, 1], push[:, d], len(centres))
                for d in range(3)
            ],
            axis=1,
        )
        power = float((force * velocity).sum())
        if power > 0.0:
            speed = np.linalg.norm(velocity) / max(float(np.linalg.norm(force)), 1e-300)
            velocity = (1.0 - mixing) * velocity + mixing * speed * force
            downhill += 1
            if downhill > 5:
                step, mixing = min(1.1 * step, 0.7), 0.99 * mixing
        else:
            velocity[:] = 0.0
            step, mixing, downhill = 0.5 * step, 0.1, 0
            step = max(step, 1e-2)
        velocity += step * force
        centres = centres + step * velocity
    return centres % 1.0, False


def _quasi_random(count: int) -> Floats:
    """(count, 3) points of the Kronecker sequence with the generalised golden ratio: x^4 = x + 1."""
    ratio = np.roots([1.0, 0.0, 0.0, -1.0, -1.0])
    root = float(ratio[np.isreal(ratio)].real.max())
    return np.asarray((0.5 + np.arange(1, count + 1)[:, None] * root ** -np.arange(1.0, 4.0)) % 1.0)


def _fill(centres: Floats, radii: Floats, solid: float) -> float:
    """Factor of the radii for which the union has volume `solid`.

    A point is in the scaled union where min_i |z - c_i| / r_i <= factor: the factor is a quantile.
    """
    points = _quasi_random(POINTS)
    tree = cKDTree(centres, boxsize=1.0)
    least = np.full(POINTS, np.inf)
    todo: NDArray[np.int64] = np.arange(POINTS)
    k, largest = 2, float(radii.max())
    while len(todo):
        k = min(2 * k, len(centres))
        distance, number = tree.query(points[todo], k=k)
        distance, number = distance.reshape(len(todo), k), number.reshape(len(todo), k)
        least[todo] = (distance / radii[number]).min(axis=1)
        # All balls not among the k nearest have |z - c| / r >= distance of the k-th / largest radius.
        todo = todo[distance[:, -1] / largest < least[todo]] if k < len(centres) else todo[:0]
    return float(np.quantile(least, solid))
