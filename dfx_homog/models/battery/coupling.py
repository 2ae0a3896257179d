"""The coupled step as a fixed point, accelerated by Anderson's method.

Unknown x = (T of every group, and one electrical unknown where there is one). One evaluation gives F(x), the T that
the macro equation returns for the heat of the cells at x, and x's electrical unknown after one Newton step on the
electrical condition. Heat depends on T weakly over one step, so F contracts by about dt (dQ/dT)/theta.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dfx_homog._compat import FloatArray

DEPTH = 3  # differences that Anderson's method mixes


class Mixing:
    """Anderson's method for x = F(x) with up to DEPTH differences, the same on all ranks.

    scale: (n,) sizes of the entries
    """

    def __init__(self, scale: FloatArray):
        self._scale = scale
        self._x: list[FloatArray] = []
        self._f: list[FloatArray] = []

    def next(self, x: FloatArray, image: FloatArray) -> FloatArray:
        """The next x, from x and F(x)."""
        self._x.append(image.copy())
        self._f.append((image - x) / self._scale)
        if len(self._f) > DEPTH + 1:
            self._x.pop(0)
            self._f.pop(0)
        if len(self._f) == 1:
            return image
        last = self._f[-1]
        df = np.array([last - f for f in self._f[:-1]]).T
        dx = np.array([self._x[-1] - g for g in self._x[:-1]]).T
        weights, *_ = np.linalg.lstsq(df, last, rcond=1e-8)
        return np.asarray(image - dx @ weights)


def iterate(
    start: FloatArray,
    scale: FloatArray,
    tolerance: FloatArray,
    evaluate: Callable[[FloatArray], FloatArray],
    most: int,
) -> tuple[int, FloatArray]:
    """Evaluations until |F(x) - x| <= tolerance in every entry, and the last |F(x) - x|; `most` of them at most."""
    x, mixing = start, Mixing(scale)
    count, miss = 0, np.full_like(start, np.inf)
    while count < most:
        image = evaluate(x)
        count += 1
        miss = np.abs(image - x)
        if (miss <= tolerance).all():
            break
        x = mixing.next(x, image)
    return count, miss
