"""Level functions of the unit cell, period 1 in every direction: below 0 in the solid, and their zeros.

All lengths in unit-cell lengths.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from dfx_homog.microstructure.unitcell import Floats
from dfx_homog.parameters.expression import Expression


class LevelFunction(Protocol):
    """A continuous periodic function, negative in the solid, piecewise smooth."""

    def value(self, points: Floats) -> Floats:
        """(n,) values at (n, 3) points."""
        ...

    def gradient(self, points: Floats) -> Floats:
        """(n, 3) gradients; on kinks that of one side."""
        ...


class ExpressionLevel:
    """f(z) = expression(x, y, z) - threshold with its symbolic gradient."""

    def __init__(self, function: Expression):
        self._function = function
        self._slopes = [function.diff(name) for name in "xyz"]

    def value(self, points: Floats) -> Floats:
        """(n,) values at (n, 3) points."""
        return self._function.numpy(**dict(zip("xyz", points.T, strict=True)))

    def gradient(self, points: Floats) -> Floats:
        """(n, 3) gradients."""
        variables = dict(zip("xyz", points.T, strict=True))
        return np.stack([slope.numpy(**variables) for slope in self._slopes], axis=1)


class SphereUnion:
    """f(z) = min_i |z - c_i| - r_i over balls and their periodic copies: the signed distance outside the union.

    centres (n, 3), radii (n,) or one number for all.
    """

    def __init__(self, centres: ArrayLike, radii: ArrayLike):
        inside = np.asarray(centres, dtype=np.float64) % 1.0
        steps = np.stack(np.meshgrid(*[(-1.0, 0.0, 1.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        self._copies = (inside[None] + steps[:, None]).reshape(-1, 3)
        self._copy_radii = np.tile(
            np.broadcast_to(np.asarray(radii, dtype=np.float64), len(inside)), len(steps)
        )
        self._tree = cKDTree(self._copies)
        self._equal = bool(np.ptp(self._copy_radii) == 0.0)

    def nearest(self, points: Floats) -> NDArray[np.int64]:
        """(n,) the ball copy with the least |z - c| - r.

        The nearest centre has a gap of at most d; any better ball lies within d + (r_max - r of that ball).
        With unequal radii the candidates are therefore the k nearest, k growing until the k-th is too far.
        """
        if self._equal:
            return np.asarray(self._tree.query(points)[1])
        best = np.empty(len(points), dtype=np.int64)
        todo: NDArray[np.int64] = np.arange(len(points))
        k = 4
        largest = self._copy_radii.max()
        while len(todo):
            k = min(k, len(self._copies))
            distance, number = self._tree.query(points[todo], k=k)
            gap = distance.reshape(len(todo), k) - self._copy_radii[number.reshape(len(todo), k)]
            choice = np.argmin(gap, axis=1)
            rows = np.arange(len(todo))
            best[todo] = number.reshape(len(todo), k)[rows, choice]
            sure = distance.reshape(len(todo), k)[:, -1] - largest >= gap[rows, choice]
            todo = todo[~sure] if k < len(self._copies) else todo[:0]
            k *= 4
        return best

    def value(self, points: Floats) -> Floats:
        """(n,) values at (n, 3) points."""
        number = self.nearest(points)
        value: Floats = np.linalg.norm(points - self._copies[number], axis=1) - self._copy_radii[number]
        return value

    def gradient(self, points: Floats) -> Floats:
        """(n, 3) unit vectors from the centre of the ball that is nearest."""
        away = points - self._copies[self.nearest(points)]
        unit: Floats = away / np.maximum(np.linalg.norm(away, axis=1), 1e-300)[:, None]
        return unit


def zeros_on_segments(level: LevelFunction, start: Floats, end: Floats, tolerance: float = 1e-13) -> Floats:
    """(n,) parameters t in [0, 1] with f(start + t (end - start)) = 0; f has opposite signs at the ends.

    Regula falsi in the Illinois variant, all segments at once, until t is known to `tolerance` or f is 0.
    """
    a: Floats = np.zeros(len(start))
    b: Floats = np.ones(len(start))
    fa, fb = level.value(start), level.value(end)
    result = np.where(fa == 0.0, a, b)
    active: NDArray[np.int64] = np.flatnonzero((fa != 0.0) & (fb != 0.0))
    a, b, fa, fb = a[active], b[active], fa[active], fb[active]
    for step in range(100):
        if not len(active):
            break
        # Every eighth step halves the interval, whatever the function looks like.
        t = 0.5 * (a + b) if step % 8 == 7 else a + (b - a) * fa / (fa - fb)
        f = level.value(start[active] + t[:, None] * (end - start)[active])
        done = (f == 0.0) | (np.abs(t - result[active]) < tolerance)
        result[active] = t
        same = np.sign(f) == np.sign(fb)
        # The end that stays gets half its value: both ends then move.
        a, fa = np.where(same, a, b), np.where(same, 0.5 * fa, fb)
        b, fb = t, f
        active, a, b, fa, fb = (v[~done] for v in (active, a, b, fa, fb))
    return np.asarray(result)


def project(
    level: LevelFunction, points: Floats, free: NDArray[np.bool_], reach: float | Floats, steps: int = 12
) -> tuple[Floats, NDArray[np.bool_]]:
    """Points moved to f = 0 by Newton steps along the gradient, and whether that succeeded.

    free (n, 3) marks the directions in which a point may move (nodes on a face stay in it); reach (n,) or one
    number: longest way in all. Points that need a longer one, or do not converge, come back as they were.
    """
    moved = points.copy()
    ok = np.zeros(len(points), dtype=bool)
    todo = np.arange(len(points))
    reach = np.broadcast_to(np.asarray(reach, dtype=np.float64), len(points))
    for _ in range(steps):
        if not len(todo):
            break
        slope = np.where(free[todo], level.gradient(moved[todo]), 0.0)
        square = (slope**2).sum(axis=1)
        step = -(level.value(moved[todo]) / np.maximum(square, 1e-300))[:, None] * slope
        moved[todo] += np.where(square[:, None] > 1e-300, step, 0.0)
        length = np.linalg.norm(step, axis=1)
        far = (np.linalg.norm(moved[todo] - points[todo], axis=1) > reach[todo]) | (square <= 1e-300)
        done = ~far & (length < 1e-14)
        # Newton converges quadratically: after a step of 1e-8 the next is below rounding.
        done |= ~far & (length < 1e-8) & np.isfinite(length)
        ok[todo[done]] = True
        todo = todo[~done & ~far]
    moved[~ok] = points[~ok]
    return moved, ok
