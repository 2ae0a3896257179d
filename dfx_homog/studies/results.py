"""What studies give back: numbers as numpy arrays, fields as DOLFINx functions, and `to_json`, which is result.json.

All are the same on every rank but for fields, of which each rank has its part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from dolfinx.fem import Function

    from dfx_homog.models.marched import Marched
    from dfx_homog.parameters.units import Units

Json = dict[str, Any]
Array = NDArray[np.float64]


def array(entry: Any) -> Array | None:
    """Nested lists of result.json as an array, with nan for null; None where there are none."""
    return None if entry is None else np.array(entry, dtype=float)


@dataclass(frozen=True, eq=False)
class EffectiveCoefficients:
    """Effective coefficients of one microstructure of dimension d, as an entry of result.json has them.

    S:   (d, d) electronic conductivity of the solid, in the unit of sigma_s
    B:   (d, d) transport tensor of the electrolyte, dimensionless
    K:   (d, d) thermal conductivity of both phases, in the unit of k_s and k_e
    Q_s, Q_e: (d, d) Joule heat tensors of solid and electrolyte, the identity by Hill-Mandel
    phi_e, a: transporting porosity and specific surface in 1/(unit-cell length), of the parts that percolate
    phi_e_total, a_total: of everything; theta: volumetric heat capacity <rho cp>
    tortuosity: (d,) phi_e/B_ii
    entry: all of it as result.json has it: bounds, percolates, islands, hill_mandel, dofs, iterations, …

    A tensor is None where a coefficient of its is not given, an entry nan where a condition leaves it open.
    """

    name: str
    dim: int
    phi_e: float
    phi_e_total: float
    a: float
    a_total: float
    theta: float | None
    S: Array | None
    B: Array | None
    K: Array | None
    Q_s: Array | None
    Q_e: Array | None
    tortuosity: Array | None
    entry: Json = field(repr=False)

    @classmethod
    def from_json(cls, name: str, entry: Json) -> EffectiveCoefficients:
        """From an entry of "microstructures" in result.json of `cell`, or of "tensors" in that of `convergence`."""
        return cls(
            name,
            dim=entry["dim"],
            phi_e=entry["phi_e"],
            phi_e_total=entry["phi_e_total"],
            a=entry["a"],
            a_total=entry["a_total"],
            theta=entry["theta"],
            S=array(entry["S"]),
            B=array(entry["B"]),
            K=array(entry["K"]),
            Q_s=array(entry["Q_s"]),
            Q_e=array(entry["Q_e"]),
            tortuosity=array(entry["tortuosity"]),
            entry=entry,
        )

    @property
    def bounds(self) -> dict[str, dict[str, float | None]]:
        """By tensor: voigt, reuss, hs_lower, hs_upper; None where there is none."""
        return dict(self.entry["bounds"])

    def to_json(self) -> Json:
        """The entry of result.json."""
        return self.entry


@dataclass(frozen=True, eq=False)
class Result:
    """What every study gives back. entries: result.json."""

    entries: Json = field(repr=False)

    def to_json(self) -> Json:
        """Exactly what result.json holds, as plain numbers, strings, lists and dicts."""
        return self.entries

    @property
    def ranks(self) -> int:
        """MPI ranks that computed it."""
        return int(self.entries["ranks"])


@dataclass(frozen=True, eq=False)
class CellResult(Result, Mapping[str, EffectiveCoefficients]):
    """Result of `cell`: a mapping from the names of microstructures to their coefficients."""

    microstructures: dict[str, EffectiveCoefficients]

    @classmethod
    def of(cls, entries: Json) -> CellResult:
        """From the entries of result.json."""
        found = {n: EffectiveCoefficients.from_json(n, e) for n, e in entries["microstructures"].items()}
        return cls(entries, found)

    def __getitem__(self, name: str) -> EffectiveCoefficients:
        return self.microstructures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.microstructures)

    def __len__(self) -> int:
        return len(self.microstructures)


@dataclass(frozen=True, eq=False)
class ModelResult(Result):
    """Result of `resolved` and `homogenised`: a model after its run through the protocol.

    history: columns of history.csv by name, each an array over the rows; units of the run file
    fields:  state at the end by name: c_s, Phi_s, c_e, Phi_e, T, and rate, eta, jump on the interface, as scalar
             Lagrange functions on the model's mesh in units of the run file, nan where a field does not live. The mesh
             is in cell thicknesses. A battery has T and what its cell models say
    coefficients: of the regions with a unit cell, in units of the run file; homogenised model only
    model:   the model itself, with its solver freed: forms, values, layout, to look at
    units:   of the run file
    """

    history: dict[str, Array] = field(repr=False)
    fields: dict[str, Function] = field(repr=False)
    coefficients: dict[str, EffectiveCoefficients] = field(repr=False)
    model: Marched = field(repr=False)
    units: Units = field(repr=False)

    @property
    def final(self) -> dict[str, float]:
        """The last row of the history."""
        return {name: float(values[-1]) for name, values in self.history.items()}

    @property
    def voltage(self) -> float:
        """V at the end."""
        return float(self.history["voltage"][-1])

    @property
    def dofs(self) -> int:
        """Unknowns of a time step."""
        return int(self.entries["dofs"])

    @property
    def ended_early(self) -> str | None:
        """Why the run ended before the end of the protocol; None if it did not."""
        found = self.entries["ended_early"]
        return None if found is None else str(found)


def columns(rows: list[dict[str, float]]) -> dict[str, Array]:
    """Rows of a history as arrays by column."""
    return {name: np.array([row[name] for row in rows], dtype=float) for name in rows[0]}


@dataclass(frozen=True, eq=False)
class Level:
    """One level of a convergence study.

    size:   delta, or for stacks of cells eps = 1/N; dofs: unknowns
    errors: by field and norm at the final time, relative; None where a norm is not defined
    voltage_error: resolved minus homogenised V at the final time
    entry:  all of it as result.json has it
    """

    size: float
    dofs: int
    errors: dict[str, dict[str, float | None]]
    voltage_error: float
    entry: Json = field(repr=False)


@dataclass(frozen=True, eq=False)
class ConvergenceResult(Result):
    """Result of `convergence`: levels from coarse to fine, and the orders observed between them.

    orders: by field and norm, one for each pair of levels, and "voltage"; None where an error is zero
    coefficients: of the regions' unit cells, empty for stacks of cells
    """

    levels: tuple[Level, ...]
    orders: Json
    coefficients: dict[str, EffectiveCoefficients] = field(repr=False)

    @classmethod
    def of(cls, entries: Json) -> ConvergenceResult:
        """From the entries of result.json."""
        levels = tuple(
            Level(
                level["delta"] if "delta" in level else level["eps"],
                level["dofs"],
                level["errors"],
                level["voltage_error"],
                level,
            )
            for level in entries["levels"]
        )
        tensors = entries["homogenised"].get("tensors", {})
        found = {n: EffectiveCoefficients.from_json(n, e) for n, e in tensors.items()}
        return cls(entries, levels, entries["orders"], found)

    @property
    def sizes(self) -> Array:
        """(levels,) delta, or eps for stacks of cells."""
        return np.array([level.size for level in self.levels])

    def errors(self, name: str, norm: str = "l2") -> Array:
        """(levels,) errors of a field ("Phi_s", "Phi_e", "c_e", "c_s", "T") in a norm, or of "voltage"; nan: none.

        Raises KeyError for a field or norm that is not there.
        """
        if name == "voltage":
            return np.array([level.voltage_error for level in self.levels])
        return np.array([level.errors[name][norm] for level in self.levels], dtype=float)

    @property
    def richardson(self) -> dict[str, float]:
        """Limits delta -> 0 of V and of means at the final time; empty for stacks of cells."""
        return dict(self.entries.get("richardson", {}))


@dataclass(frozen=True, eq=False)
class Sample:
    """One apparent tensor of `rve`: size in unit cells or in fractions of an image's edge; tensor: (d, d)."""

    microstructure: str
    size: float
    realisation: int
    condition: str
    tensor: Array
    phi_e: float
    entry: Json = field(repr=False)


@dataclass(frozen=True, eq=False)
class SampleMean:
    """Mean of n samples of one size under one condition, and half its 95 % confidence interval, both (d, d)."""

    microstructure: str
    size: float
    condition: str
    n: int
    mean: Array
    ci95: Array
    entry: Json = field(repr=False)


@dataclass(frozen=True, eq=False)
class RveResult(Result):
    """Result of `rve`: samples, their means, and entries "order" and "rve_size" of result.json.

    quantity: "S", "B" or "K"; order_holds: whether SUBC <= PBC <= KUBC in all samples, None if not compared
    """

    quantity: str
    samples: tuple[Sample, ...]
    summary: tuple[SampleMean, ...]
    order_holds: bool | None

    @classmethod
    def of(cls, entries: Json) -> RveResult:
        """From the entries of result.json."""
        samples = tuple(
            Sample(
                s["microstructure"],
                s["size"],
                s["realisation"],
                s["condition"],
                np.array(s["tensor"], dtype=float),
                s["phi_e"],
                s,
            )
            for s in entries["samples"]
        )
        summary = tuple(
            SampleMean(
                row["microstructure"],
                row["size"],
                row["condition"],
                row["n"],
                np.array(row["mean"], dtype=float),
                np.array(row["ci95"], dtype=float),
                row,
            )
            for row in entries["summary"]
        )
        return cls(entries, entries["quantity"], samples, summary, entries["order_holds"])

    def means(self, condition: str, microstructure: str | None = None) -> tuple[Array, Array]:
        """Sizes (n,) and mean tensors (n, d, d) under a condition; microstructure: needed if there are several."""
        rows = [
            m for m in self.summary if m.condition == condition and microstructure in (None, m.microstructure)
        ]
        return np.array([m.size for m in rows]), np.array([m.mean for m in rows])
