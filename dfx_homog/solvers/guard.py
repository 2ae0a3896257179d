"""Where the unknowns may go: Newton updates that stay within bounds, and the places of what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from mpi4py import MPI

from dfx_homog._compat import FloatArray
from dfx_homog.solvers.layout import Layout, Transfer

FRACTION = 0.9  # of the way to a bound that one update may go


@dataclass(frozen=True)
class Places:
    """Names of the fields and coordinates (nodes, d) of this rank's nodes, for messages."""

    fields: tuple[str, ...]
    points: FloatArray

    def name(self, layout: Layout, index: int) -> tuple[str, str]:
        """Field and place of an unknown that this rank owns."""
        entry = int(np.flatnonzero(layout.numbers.ravel() == layout.offset + index)[0])
        node, field = divmod(entry, len(self.fields))
        where = ", ".join(f"{round(v, 4):.3g}" for v in self.points[node] + 0.0)
        return self.fields[field], f"y = ({where})"


@dataclass(frozen=True)
class Bounds:
    """(nodes, fields) open interval of each value; infinite where there is no bound."""

    lower: FloatArray
    upper: FloatArray


class Guard:
    """Shortens Newton updates u - s so that every unknown keeps a tenth of its distance to its bounds.

    A full step near the solution is small against that distance, so that convergence stays quadratic. Entries are cut
    one by one, for a single surface that is nearly full would bring a whole step down to nothing. What remains may
    be no direction of descent, though: where a line search fails, `whole` steps are scaled instead.
    """

    def __init__(self, layout: Layout, transfer: Transfer, bounds: Bounds):
        self._layout = layout
        vector = layout.create_vector()
        both = []
        for array in (bounds.lower, bounds.upper):
            transfer.to_vector(array.ravel(), vector)
            both.append(vector.array_r.copy())
        vector.destroy()
        both_ways = np.isfinite(np.vstack([bounds.lower, bounds.upper]))
        bounded = [bool(both_ways[:, field].any()) for field in range(both_ways.shape[1])]
        starts = [
            int(layout.field_range(field)[0]) - layout.offset if n else 0
            for field, n in enumerate(layout.sizes)
        ]
        parts = [slice(start, start + int(n)) for start, n in zip(starts, layout.sizes, strict=True)]
        self._parts = [
            (part, both[0][part].copy(), both[1][part].copy())
            for part, use in zip(parts, bounded, strict=True)
            if use and part.stop > part.start
        ]
        self.whole = False
        self.active = False  # whether the last update was cut
        self._nearest: tuple[float, int, float] = (np.inf, -1, 0.0)

    def limit(self, x: FloatArray, step: FloatArray) -> bool:
        """Cut the update x - step in place; whether anything was cut, on any rank. Collective."""
        self._nearest = (np.inf, -1, 0.0)
        for part, lower, upper in self._parts:
            s, here = step[part], x[part]
            most, least = FRACTION * (here - lower), -FRACTION * (upper - here)
            cut = np.flatnonzero((s > most) | (s < least))
            if not len(cut):
                continue
            allowed = np.clip(s[cut], least[cut], most[cut])
            share = allowed / s[cut]
            k = int(np.argmin(share))
            if share[k] < self._nearest[0]:
                bound = lower[cut[k]] if s[cut[k]] > 0 else upper[cut[k]]
                self._nearest = (float(share[k]), part.start + int(cut[k]), float(bound))
            if not self.whole:
                s[cut] = allowed
        smallest = float(self._layout.comm.allreduce(self._nearest[0], op=MPI.MIN))
        self.active = smallest < 1.0
        if self.active and self.whole:
            step *= max(smallest, 0.0)
        return self.active

    def complaint(self, places: Places) -> str:
        """What was cut most in the last update, on all ranks; empty if nothing was. Collective."""
        if not self.active:
            return ""
        share, index, bound = self._nearest
        text = ""
        if index >= 0:
            name, where = places.name(self._layout, index)
            text = f"; {name} at {where} is held off its bound {bound:g}"
        found: list[tuple[float, str]] = self._layout.comm.allgather((share, text))
        return min(found, key=itemgetter(0))[1]


def largest_entry(layout: Layout, residual: FloatArray, places: Places) -> str:
    """Field and place of the largest entry of a residual (this rank's part of it), on all ranks. Collective."""
    size = np.nan_to_num(np.abs(residual), nan=np.inf)
    found = (-1.0, "", "")
    if size.size:
        k = int(np.argmax(size))
        found = (float(size[k]), *places.name(layout, k))
    _, name, where = max(layout.comm.allgather(found), key=itemgetter(0))
    return f"largest residual in {name} at {where}"
