"""Where the unknowns may go: Newton updates that stay within bounds, and the places of what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass

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
        where = ", ".join(f"{v:.3g}" for v in self.points[node])
        return self.fields[field], f"y = ({where})"


@dataclass(frozen=True)
class Bounds:
    """(nodes, fields) open interval of each value; infinite where there is no bound."""

    lower: FloatArray
    upper: FloatArray


class Guard:
    """Shortens Newton updates u - s so that every unknown keeps a tenth of its distance to its bounds.

    A full step near the solution is small against that distance, so that convergence stays quadratic.
    """

    def __init__(self, layout: Layout, transfer: Transfer, bounds: Bounds):
        self._layout = layout
        vector = layout.create_vector()
        both = []
        for array in (bounds.lower, bounds.upper):
            transfer.to_vector(array.ravel(), vector)
            both.append(vector.array_r.copy())
        vector.destroy()
        bounded = [
            bool(np.isfinite(lower).any() or np.isfinite(upper).any())
            for lower, upper in zip(bounds.lower.T, bounds.upper.T, strict=True)
        ]
        ends = np.concatenate([[0], np.cumsum(layout.sizes)])
        self._parts = [
            (slice(a, b), both[0][a:b].copy(), both[1][a:b].copy())
            for a, b, use in zip(ends[:-1], ends[1:], bounded, strict=True)
            if use and b > a
        ]
        self.share = 1.0  # of the last update that was taken
        self._nearest: tuple[float, int, float] = (np.inf, -1, 0.0)

    def limit(self, x: FloatArray, step: FloatArray) -> float:
        """Share of the update x - step that may be taken, at most 1. Collective."""
        self._nearest = (np.inf, -1, 0.0)
        for part, lower, upper in self._parts:
            s = step[part]
            room = np.where(s > 0, x[part] - lower, upper - x[part])
            with np.errstate(divide="ignore", invalid="ignore"):
                share = np.where(s == 0, np.inf, FRACTION * room / np.abs(s))
            k = int(np.argmin(share))
            if share[k] < self._nearest[0]:
                bound = lower[k] if s[k] > 0 else upper[k]
                self._nearest = (float(share[k]), part.start + k, float(bound))
        smallest = self._layout.comm.allreduce(self._nearest[0], op=MPI.MIN)
        self.share = min(1.0, max(smallest, 0.0))
        return self.share

    def complaint(self, places: Places) -> str:
        """What cut the last update short, on all ranks; empty if nothing did. Collective."""
        if self.share >= 1.0:
            return ""
        share, index, bound = self._nearest
        text = ""
        if index >= 0:
            name, where = places.name(self._layout, index)
            text = (
                f"; the last step was cut to {self.share:.1e} by {name} near its bound {bound:g} at {where}"
            )
        found: list[tuple[float, str]] = self._layout.comm.allgather((share, text))
        return min(found)[1]


def largest_entry(layout: Layout, residual: FloatArray, places: Places) -> str:
    """Field and place of the largest entry of a residual (this rank's part of it), on all ranks. Collective."""
    size = np.nan_to_num(np.abs(residual), nan=np.inf)
    found = (-1.0, "", "")
    if size.size:
        k = int(np.argmax(size))
        found = (float(size[k]), *places.name(layout, k))
    _, name, where = max(layout.comm.allgather(found))
    return f"largest residual in {name} at {where}"
