"""Wall time and memory as functions of unknowns n and ranks p, fitted to what was measured.

    t(n, p) = serial + work n/p + surface (n/p)^((d-1)/d) [p > 1] + latency log2 p
    m(n, p) = start + share n/p + everywhere n                                        (bytes of one rank)

serial: what every rank does whatever the problem; work: what is divided; surface: exchange with neighbours and work
along the cut, by the surface of a rank's part in d dimensions; latency: sums over all ranks; everywhere: what every
rank holds of the whole problem. Coefficients are not negative (Lawson and Hanson's NNLS), and relative errors are
fitted, so that small runs count as much as large ones. A term that the runs cannot tell from others comes out as 0.
Iterations are taken to stay as they were measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from dfx_homog.timing import PHASES

Json = dict[str, Any]
Array = NDArray[np.float64]
TIME = ("serial", "work", "surface", "latency")
MEMORY = ("start", "share", "everywhere")
#: Ranks that are extrapolated to.
LARGER = (1, 4, 16, 64, 256, 1024, 4096)


def time_terms(n: Any, p: Any, dim: int) -> Array:
    """(len(n), 4) what the coefficients of t are multiplied with."""
    n, p = np.asarray(n, dtype=float), np.asarray(p, dtype=float)
    surface = np.where(p > 1, (n / p) ** ((dim - 1) / dim), 0.0)
    return np.column_stack([np.ones_like(n), n / p, surface, np.log2(p)])


def memory_terms(n: Any, p: Any) -> Array:
    """(len(n), 3) what the coefficients of m are multiplied with."""
    n, p = np.asarray(n, dtype=float), np.asarray(p, dtype=float)
    return np.column_stack([np.ones_like(n), n / p, n])


@dataclass(frozen=True)
class Fit:
    """coefficients >= 0 in the order of `names`; largest, mean: relative residuals; rank: of the terms there."""

    names: tuple[str, ...]
    coefficients: Array
    largest: float
    mean: float
    rank: int
    points: int

    def to_json(self) -> Json:
        return {
            "coefficients": {name: float(c) for name, c in zip(self.names, self.coefficients, strict=True)},
            "largest_relative_error": self.largest,
            "rms_relative_error": self.mean,
            "points": self.points,
            "independent_terms": self.rank,
        }


def fit(names: tuple[str, ...], terms: Array, values: Any) -> Fit:
    """Least squares of the relative errors, coefficients >= 0. values: > 0."""
    values = np.asarray(values, dtype=float)
    weighted = terms / values[:, None]
    scale = np.linalg.norm(weighted, axis=0)
    scale[scale == 0] = 1.0
    solution, _ = nnls(weighted / scale, np.ones(len(values)))
    coefficients = solution / scale
    error = terms @ coefficients / values - 1.0
    rank = int(np.linalg.matrix_rank(weighted / scale, tol=1e-6))
    largest, mean = float(np.abs(error).max()), float(np.sqrt((error**2).mean()))
    return Fit(names, coefficients, largest, mean, rank, len(values))


def fitted(rows: Sequence[Json], dim: int) -> Json:
    """Entry "model" of result.json: fits of time, phases and memory, and what they say of more ranks."""
    n = [float(row["unknowns"]) for row in rows]
    p = [float(row["ranks"]) for row in rows]
    terms = time_terms(n, p, dim)
    time = fit(TIME, terms, [row["seconds"] for row in rows])
    memory = fit(MEMORY, memory_terms(n, p), [row["memory_rank"] for row in rows])
    phases = {}
    for name in PHASES:
        seconds = np.array([float(row[f"seconds_{name}"]) for row in rows])
        if seconds.min() > 0:
            phases[name] = fit(TIME, terms, seconds).to_json()
    return {
        "dimension": dim,
        "time": time.to_json(),
        "memory": memory.to_json(),
        "phases": phases,
        "fitted": (terms @ time.coefficients).tolist(),
        "range": {"ranks": [min(p), max(p)], "unknowns": [min(n), max(n)]},
        "predictions": predictions(rows, time, memory, dim),
    }


def predictions(rows: Sequence[Json], time: Fit, memory: Fit, dim: int) -> Json:
    """Strong: the largest measured problem. Weak: as many unknowns a rank as the fullest rank had."""
    largest = max(float(row["unknowns"]) for row in rows)
    share = max(float(row["unknowns"]) / float(row["ranks"]) for row in rows)
    ranks = np.array(LARGER, dtype=float)
    found = {}
    for kind, n in (("strong", np.full(len(ranks), largest)), ("weak", share * ranks)):
        seconds = time_terms(n, ranks, dim) @ time.coefficients
        ideal = seconds[0] / ranks if kind == "strong" else np.full(len(ranks), seconds[0])
        found[kind] = [
            {
                "ranks": int(p),
                "unknowns": float(u),
                "seconds": float(t),
                "efficiency": float(e / t),
                "memory_rank": float(m),
            }
            for p, u, t, e, m in zip(
                ranks, n, seconds, ideal, memory_terms(n, ranks) @ memory.coefficients, strict=True
            )
        ]
    return found
