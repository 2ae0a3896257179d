"""What samples of a random medium say together: means, confidence, the order of the conditions, the RVE size.

A sample's apparent tensor depends on the condition on its faces. In the sense of quadratic forms, for one and the
same sample (Huet 1990; Hazanov & Huet 1994),

    A_flux (SUBC) <= A_periodic (PBC) <= A_dirichlet (KUBC),

since each space of admissible fields contains the next. All three tend to the effective tensor as samples grow.
The variance over realisations falls with the volume V of the samples like (Kanit et al. 2003)

    var = point_variance (R/V)^alpha,    alpha = 1 and R the integral range for short-range correlations,

so that n realisations know the mean to the relative error 1.96 sqrt(var/n)/mean (95 %). No number of realisations
takes away what the condition does near the faces, whose share of a sample falls like 1/size: the mean is fitted by
limit (1 + boundary_effect/size).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Json = dict[str, Any]
Floats = NDArray[np.float64]

ORDER = ("flux", "periodic", "dirichlet")  # from below to above
ORDER_TOLERANCE = 1e-6  # relative to the largest eigenvalue; solvers stop at residuals of 1e-8
NORMAL = 1.959963984540054  # 97.5 % quantile of the normal distribution
FEWEST = 3  # realisations of a size whose variance enters the fit


def as_array(tensor: Any) -> Floats:
    """(dim, dim) array of nested lists, nan where null."""
    return np.array([[np.nan if v is None else v for v in row] for row in tensor], dtype=float)


def as_lists(tensor: Floats) -> list[list[float | None]]:
    """Nested lists, null where not finite."""
    return [[float(v) if math.isfinite(v) else None for v in row] for row in tensor]


def groups(samples: Sequence[Json], *keys: str) -> Iterator[tuple[tuple[Any, ...], list[Json]]]:
    """Samples with the same values of `keys`, in the order of their first appearance."""
    found: dict[tuple[Any, ...], list[Json]] = {}
    for sample in samples:
        found.setdefault(tuple(sample[k] for k in keys), []).append(sample)
    yield from found.items()


def summary(samples: Sequence[Json]) -> list[Json]:
    """For each microstructure, size and condition: mean, standard deviation and 95 % confidence, entry by entry.

    ci95 is the half width of Student's t interval of the mean; it and std are null for a single realisation.
    """
    rows = []
    for (name, size, condition), members in groups(samples, "microstructure", "size", "condition"):
        values = np.array([as_array(s["tensor"]) for s in members])
        n = len(values)
        spread = values.std(axis=0, ddof=1) if n > 1 else np.full(values.shape[1:], np.nan)
        half = stdtrit(max(n - 1, 1), 0.975) * spread / math.sqrt(n)
        rows.append(
            {
                "microstructure": name,
                "size": size,
                "condition": condition,
                "n": n,
                "mean": as_lists(values.mean(axis=0)),
                "std": as_lists(spread),
                "ci95": as_lists(half),
                "phi_e": float(np.mean([s["phi_e"] for s in members])),
            }
        )
    return rows


def check_order(samples: Sequence[Json]) -> list[Json]:
    """For each sample solved under two or three of flux, periodic, dirichlet: whether the order holds.

    worst is the smallest eigenvalue of the differences over the largest eigenvalue of all; the order holds if it is
    not below -ORDER_TOLERANCE.
    """
    rows = []
    for (name, size, realisation), members in groups(samples, "microstructure", "size", "realisation"):
        tensors = {s["condition"]: as_array(s["tensor"]) for s in members if s["condition"] in ORDER}
        present = [tensors[c] for c in ORDER if c in tensors]
        if len(present) < 2:
            continue
        symmetric = [0.5 * (t + t.T) for t in present]
        scale = max(float(np.abs(np.linalg.eigvalsh(t)).max()) for t in symmetric)
        steps = [float(np.linalg.eigvalsh(b - a)[0]) for a, b in pairwise(symmetric)]
        worst = min(steps) / scale if scale > 0 else 0.0
        rows.append(
            {
                "microstructure": name,
                "size": size,
                "realisation": realisation,
                "worst": worst,
                "holds": worst >= -ORDER_TOLERANCE,
            }
        )
    return rows


def estimate(samples: Sequence[Json], accuracy: float, contrast: tuple[float, float] | None) -> list[Json]:
    """The size of a representative volume for each microstructure and condition, from the scatter of the samples.

    The property is a third (in two dimensions half) of the trace. Volumes are size**dim, sizes as in the run file.

    accuracy: wanted relative error, 95 %
    contrast: coefficients of the two phases, for the point variance phi (1 - phi) (k1 - k2)**2 and with it the
              integral range, which belongs to alpha = 1; None leaves that out
    Entries: alpha and its standard error; factor, var = factor/V**alpha; integral_range (a volume); per size the
    `realisations` needed; `size` from which on a single realisation is enough, and the same with alpha = 1, both as
    far as scatter goes; extrapolated: whether `size` is outside the sizes of the samples; limit, boundary_effect and
    size_bias, from which on the condition on the faces does not matter more than the accuracy. Null where the data do
    not allow it, with the `reason` where the variance is concerned.
    """
    rows = []
    for (name, condition), members in groups(samples, "microstructure", "condition"):
        row: Json = {"microstructure": name, "condition": condition, "accuracy": accuracy}
        rows.append(row | _estimate(members, accuracy, contrast))
    return rows


def _estimate(members: Sequence[Json], accuracy: float, contrast: tuple[float, float] | None) -> Json:
    row: Json = dict.fromkeys(
        ("alpha", "alpha_error", "factor", "integral_range", "size", "size_alpha_1", "extrapolated", "reason")
    )
    dim = len(members[0]["tensor"])
    sizes, means, variances, counts = [], [], [], []
    for (size,), same in groups(members, "size"):
        values = [float(np.diag(as_array(s["tensor"])).mean()) for s in same]
        sizes.append(size)
        means.append(float(np.mean(values)))
        counts.append(len(values))
        variances.append(float(np.var(values, ddof=1)) if len(values) > 1 else math.nan)
    mean = means[int(np.argmax(sizes))]
    row["realisations"] = [
        {
            "size": size,
            "needed": max(1, math.ceil(variance * (NORMAL / (accuracy * mean)) ** 2 - 1e-9))
            if mean > 0 and n >= FEWEST
            else None,
        }
        for size, variance, n in zip(sizes, variances, counts, strict=True)
    ]
    row |= _boundary_effect(np.array(sizes), np.array(means), np.array(counts), accuracy, dim)
    usable = [i for i, n in enumerate(counts) if n >= FEWEST]
    if len(usable) < 2:
        return row | {"reason": f"needs two sizes of at least {FEWEST} realisations each"}
    if mean <= 0:
        return row | {"reason": "the property is zero"}
    if min(variances[i] for i in usable) <= (1e-9 * mean) ** 2:
        return row | {"reason": "the samples do not scatter"}
    phi = float(np.mean([s["phi_e"] for s in members]))
    point = None if contrast is None else phi * (1 - phi) * (contrast[0] - contrast[1]) ** 2
    volume = np.array([sizes[i] ** dim for i in usable])
    variance, weight = np.array([variances[i] for i in usable]), np.array([counts[i] - 1.0 for i in usable])
    row |= _fit(volume, variance, weight, (accuracy * mean / NORMAL) ** 2, point, dim)
    if row["size"] is not None:
        row["extrapolated"] = not min(sizes) <= row["size"] <= max(sizes)
    return row


def _boundary_effect(sizes: Floats, means: Floats, counts: Floats, accuracy: float, dim: int) -> Json:
    """Least squares of mean = limit (1 + boundary_effect/size), weights as for variances that fall with the volume."""
    nothing = dict.fromkeys(("limit", "boundary_effect", "size_bias"))
    if len(sizes) < 2:
        return nothing
    root = np.sqrt(counts * sizes**dim)
    limit, slope = np.linalg.lstsq(np.column_stack([root, root / sizes]), root * means, rcond=None)[
        0
    ].tolist()
    if limit <= 0:
        return nothing
    effect = slope / limit
    return {"limit": limit, "boundary_effect": effect, "size_bias": abs(effect) / accuracy}


def _fit(
    volume: Floats, variance: Floats, weight: Floats, wanted: float, point: float | None, dim: int
) -> Json:
    """Weighted least squares of log var = log factor - alpha log V; a sample variance's log scatters by 2/(n-1)."""
    x, y = np.log(volume), np.log(variance)
    centre = np.average(x, weights=weight)
    inertia = float(weight @ (x - centre) ** 2)
    alpha = -float(weight @ ((x - centre) * y)) / inertia
    factor = math.exp(np.average(y, weights=weight) + alpha * centre)
    single = math.exp(np.average(y + x, weights=weight))  # the factor with alpha = 1
    out: Json = {
        "alpha": alpha,
        "alpha_error": math.sqrt(2 / inertia),
        "factor": factor,
        "size_alpha_1": (single / wanted) ** (1 / dim),
        "integral_range": single / point if point else None,
    }
    if alpha <= 0:
        return out | {"reason": "the variance does not fall with the volume of the samples"}
    exponent = 1 / (alpha * dim) * math.log(factor / wanted)
    out["size"] = math.exp(exponent) if exponent < 100 else None
    return out
