"""Use of the fields: how evenly the interface reacts, where plating threatens, which mechanism heats, what is hottest.

What both models share: names of the columns, moments over Gamma, places of extremes, and integrals over time. The
reaction rate is the local density j = G g of the faradaic current through Gamma, eta the overpotential, and plating is
judged by Phi_s - Phi_e on the surface of the negative electrode. Everything dimensionless.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from mpi4py import MPI

from dfx_homog._compat import FloatArray
from dfx_homog.dimensionless.physics import Physics
from dfx_homog.models.history import Row
from dfx_homog.solvers.layout import Ints

ELECTRODES = {"n": "negative", "p": "positive"}
JOULE = ("heat_joule_s_n", "heat_joule_s_p", "heat_joule_e_n", "heat_joule_e_s", "heat_joule_e_p")
RATE = ("mean", "std", "min", "max", "cv")
ETA = ("mean", "std", "min", "max")
#: Kind of each column, as parameters/units.py has them.
KINDS = {
    **{
        f"rate_{what}_{e}": "number" if what == "cv" else f"reaction_{e}" for e in ELECTRODES for what in RATE
    },
    **{f"eta_{what}_{e}": "voltage" for e in ELECTRODES for what in ETA},
    "plating_min": "voltage",
    **{f"{what}_y{i}": "length" for what in ("plating", "hot") for i in (1, 2, 3)},
    **dict.fromkeys(JOULE, "heat"),
    **{f"heat_{name}_{e}": "heat" for name in ("irreversible", "reversible", "film") for e in ELECTRODES},
    **{f"double_layer_{e}": "heat" for e in ELECTRODES},
}
NEGLIGIBLE = (
    1e-9  # of the exchange coefficient G: a smaller mean rate is none, and has no coefficient of variation
)
TIE = 1e-6  # of the range of a field: nodes that are this close to its extreme share it
ROUNDING = 1e-9  # of its largest value: a field that varies less is uniform, and has no place of an extreme
NO_NODE = np.iinfo(np.int64).max


class Interface(Protocol):
    """What a model says about its interface.

    columns: of the history, after those of every model; row: their values at the new state, before `accept`
    (collective); fields: names of what `nodal` gives; nodal: (nodes,) fields on Gamma, nan elsewhere (collective)
    """

    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def fields(self) -> tuple[str, ...]: ...
    def row(self) -> Row: ...
    def nodal(self) -> dict[str, FloatArray]: ...


@dataclass(frozen=True)
class Samples:
    """Quadrature points of Gamma of one electrode on this rank: weights (n,) per collector area, j and eta (n,)."""

    weights: FloatArray
    rate: FloatArray
    eta: FloatArray


@dataclass(frozen=True)
class Moments:
    """Of rate and eta, (2,) each, over an interface of the given area."""

    area: float
    mean: FloatArray
    std: FloatArray
    least: FloatArray
    most: FloatArray


def mechanisms(physics: Physics) -> tuple[str, ...]:
    """Parts of the heat at the interface."""
    return ("irreversible", "reversible", *(("film",) if physics.has_film else ()))


def columns(dim: int, interfacial: Sequence[str]) -> tuple[str, ...]:
    """Names of a model's columns after those of `history.COLUMNS`.

    dim: number of coordinates of a place; interfacial: mechanisms of heat at the interface
    """
    return (
        *(f"rate_{what}_{e}" for e in ELECTRODES for what in RATE),
        *(f"eta_{what}_{e}" for e in ELECTRODES for what in ETA),
        "plating_min",
        *(f"plating_y{i + 1}" for i in range(dim)),
        *JOULE,
        *(f"heat_{name}_{e}" for name in interfacial for e in ELECTRODES),
        *(f"double_layer_{e}" for e in ELECTRODES),
        *(f"hot_y{i + 1}" for i in range(dim)),
    )


def moments(comm: MPI.Intracomm, samples: Sequence[Samples]) -> list[Moments]:
    """Area-weighted mean and standard deviation, and extremes, over all ranks: one entry for each electrode.

    In two passes, so that a uniform rate has the deviation 0.
    """
    values = [np.column_stack([s.rate, s.eta]) for s in samples]
    sums = np.array([[s.weights.sum(), *(s.weights @ v)] for s, v in zip(samples, values, strict=True)])
    comm.Allreduce(MPI.IN_PLACE, sums)
    area, mean = sums[:, :1], sums[:, 1:] / sums[:, :1]
    square = np.array([s.weights @ (v - m) ** 2 for s, v, m in zip(samples, values, mean, strict=True)])
    comm.Allreduce(MPI.IN_PLACE, square)
    ends = np.array([[v.max(axis=0, initial=-np.inf), (-v).max(axis=0, initial=-np.inf)] for v in values])
    comm.Allreduce(MPI.IN_PLACE, ends, op=MPI.MAX)
    std = np.sqrt(square / area)
    return [Moments(float(a[0]), m, s, -e[1], e[0]) for a, m, s, e in zip(area, mean, std, ends, strict=True)]


def distribution(found: Sequence[Moments], G: Sequence[float]) -> Row:
    """Columns of rate and eta; the heterogeneity index rate_cv is the standard deviation over |mean|.

    nan where the mean is none: at rest, and as long as only the double layer takes the current. G: of each electrode
    """
    row: Row = {}
    for e, m, exchange in zip(ELECTRODES, found, G, strict=True):
        mean = abs(float(m.mean[0]))
        for column, name in enumerate(("rate", "eta")):
            four = (m.mean, m.std, m.least, m.most)
            row |= {f"{name}_{w}_{e}": float(v[column]) for w, v in zip(ETA, four, strict=True)}
        row[f"rate_cv_{e}"] = float(m.std[0]) / mean if mean > NEGLIGIBLE * exchange else math.nan
    return row


def least(comm: MPI.Intracomm, values: FloatArray, numbers: Ints) -> tuple[float, int | None]:
    """Smallest of the nodal values of all ranks, and the smallest number of the nodes that have it.

    numbers: (n,) of the nodes, independent of ranks. Nodes within solver accuracy share an extreme, so that symmetry,
    periodicity and the number of ranks do not decide on the place. None of a uniform field; nan and None of no values.
    """
    ends = np.array([values.min(initial=np.inf), (-values).min(initial=np.inf)])
    comm.Allreduce(MPI.IN_PLACE, ends, op=MPI.MIN)
    low, high = ends[0], -ends[1]
    if not np.isfinite(low):
        return math.nan, None
    rounding = ROUNDING * max(abs(low), abs(high))
    if high - low <= rounding:
        return float(low), None
    margin = TIE * (high - low) + rounding
    node = int(numbers[values <= low + margin].min(initial=NO_NODE))
    return float(low), int(comm.allreduce(node, op=MPI.MIN))


def places(
    comm: MPI.Intracomm,
    jump: tuple[FloatArray, Ints],
    heat: tuple[FloatArray, Ints] | None,
    coordinates: Callable[[int | None], FloatArray],
) -> Row:
    """Columns of the smallest Phi_s - Phi_e and where it is, and of where T is largest.

    jump, heat: nodal values and numbers on this rank; heat is None where T is uniform by assumption, and no place is
    the hottest; coordinates: (dim,) of a numbered node, nan of None
    """
    low, node = least(comm, *jump)
    hot = None if heat is None else least(comm, -heat[0], heat[1])[1]
    row = {"plating_min": low}
    for name, at in (("plating", coordinates(node)), ("hot", coordinates(hot))):
        row |= {f"{name}_y{i + 1}": float(y) for i, y in enumerate(at)}
    return row


def heats(
    comm: MPI.Intracomm, joule: FloatArray, interfacial: Sequence[FloatArray], mechanisms: Sequence[str]
) -> Row:
    """Columns of heat and of the double layers' power from sums over this rank.

    joule: (2, 3) in the solid and the electrolyte of each region; interfacial: for each electrode the double layer's
    power, then the heat of each mechanism
    """
    sums = np.concatenate([joule.ravel(), *interfacial])
    comm.Allreduce(MPI.IN_PLACE, sums)
    (s_n, _, s_p), (e_n, e_s, e_p) = (
        sums[:6].reshape(2, 3).tolist()
    )  # the separator's solid carries no current
    row = dict(zip(JOULE, (s_n, s_p, e_n, e_s, e_p), strict=True))
    for e, (stored, *parts) in zip(ELECTRODES, sums[6:].reshape(2, -1).tolist(), strict=True):
        row |= {f"heat_{name}_{e}": heat for name, heat in zip(mechanisms, parts, strict=True)}
        row[f"double_layer_{e}"] = stored
    return row


def time_integral(time: FloatArray, values: FloatArray, scheme: str) -> float:
    """Integral of a column of the history over time.

    Implicit Euler counts every step with the value at its end, which is what its own balances do; other schemes have
    the trapezoidal rule.
    """
    steps = np.diff(time)
    inner = values[1:] if scheme == "backward-euler" else 0.5 * (values[1:] + values[:-1])
    return float(steps @ inner)


def summary(rows: Sequence[Row], scheme: str) -> dict[str, Any]:
    """Blocks "heat" and "interface" of result.json from a history.

    heat: by mechanism and place its integral over time per collector area, the total, and the shares of the total in
    percent (None for a total of 0); double_layer_n, double_layer_p: energy that went into the double layers, which is
    no heat. interface: for each electrode the largest heterogeneity index and when, for the negative one the smallest
    Phi_s - Phi_e, when and where.
    """
    time = np.array([row["time"] for row in rows])

    def column(name: str) -> FloatArray:
        return np.array([row[name] for row in rows])

    names = [name for name in rows[-1] if name.startswith("heat_")]
    heat = {n.removeprefix("heat_"): time_integral(time, column(n), scheme) for n in names}
    total = sum(heat.values())
    shares = {n: 100 * v / total if total else None for n, v in heat.items()}
    stored = {
        f"double_layer_{e}": time_integral(time, column(f"double_layer_{e}"), scheme) for e in ELECTRODES
    }
    interface: dict[str, Any] = {}
    for e, name in ELECTRODES.items():
        cv = column(f"rate_cv_{e}")
        known = np.isfinite(cv)
        at = int(np.argmax(np.where(known, cv, -np.inf)))
        interface[name] = {
            "rate_cv_max": float(cv[at]) if known.any() else None,
            "rate_cv_max_time": float(time[at]) if known.any() else None,
        }
    at = int(np.argmin(column("plating_min")))
    where = [None if math.isnan(v) else v for k, v in rows[at].items() if k.startswith("plating_y")]
    interface["negative"] |= {
        "plating_min": float(rows[at]["plating_min"]),
        "plating_min_time": float(time[at]),
        "plating_min_place": where,
    }
    return {"heat": {**heat, "total": total, "shares_percent": shares, **stored}, "interface": interface}
