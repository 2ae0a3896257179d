"""What a study of representative volumes found, as the report needs it: numbers only, no pictures.

result.json has `samples` (microstructure, size, realisation, condition, tensor, phi_e, hill_mandel, …), `summary`
(mean, std, ci95 and n of each microstructure, size and condition), `order` (worst, holds of each sample solved under
several conditions), `rve_size` (alpha, size, … of each microstructure and condition) and `statistics` (porosity,
two-point correlation and chords of each microstructure).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dfx_homog.report.data import Array, Json, Study, number

#: Conditions from below to above, then fixed ends; name in tables, colour and marker in pictures.
CONDITIONS: dict[str, tuple[str, str, str]] = {
    "flux": ("SUBC (flux)", "#009E73", "v"),
    "periodic": ("PBC (periodic)", "#0072B2", "o"),
    "dirichlet": ("KUBC (potential)", "#D55E00", "^"),
    "through": ("fixed ends", "#CC79A7", "s"),
}


@dataclass(frozen=True)
class Series:
    """One microstructure under one condition: samples and their means, by size.

    samples: (n, dim) diagonals, sizes: (n,) theirs; mean, half: (m, dim) means and half widths of their 95 %
    intervals, at: (m,) sizes, count: (m,) samples; nan where not known
    """

    condition: str
    sizes: Array
    samples: Array
    at: Array
    mean: Array
    half: Array
    count: Array

    @property
    def dim(self) -> int:
        dim: int = self.samples.shape[1]
        return dim


def quantity(study: Study) -> str:
    """S, B or K; A where it is not known."""
    return str((study.result or {}).get("quantity") or study.run.get("rve", {}).get("quantity", "A"))


def microstructures(study: Study) -> list[str]:
    """Their names, in the order of the samples."""
    return list(dict.fromkeys(str(s.get("microstructure", "")) for s in study.samples))


def series(study: Study, name: str) -> list[Series]:
    """Of all conditions that were asked for, from below to above."""
    found = []
    for condition in CONDITIONS:
        samples = [s for s in _of(study.samples, name) if s.get("condition") == condition]
        rows = [
            r for r in _of((study.result or {}).get("summary", []), name) if r.get("condition") == condition
        ]
        if not samples:
            continue
        dim = len(samples[0]["tensor"])
        found.append(
            Series(
                condition,
                np.array([float(s["size"]) for s in samples]),
                np.array([diagonal(s["tensor"]) for s in samples]),
                np.array([float(r["size"]) for r in rows]),
                np.array([diagonal(r.get("mean")) for r in rows]).reshape(-1, dim),
                np.array([diagonal(r.get("ci95")) for r in rows]).reshape(-1, dim),
                np.array([float(r.get("n", 1)) for r in rows]),
            )
        )
    return found


def _of(rows: Any, name: str) -> list[Json]:
    return [row for row in rows if isinstance(row, dict) and row.get("microstructure", name) == name]


def diagonal(tensor: Any) -> list[float]:
    """Diagonal of nested lists, nan where null."""
    values = [number(row[i]) for i, row in enumerate(tensor)]
    return [np.nan if v is None else v for v in values]


def scatter(part: Series) -> tuple[Array, Array, Array]:
    """Volume (size^dim), variance of the mean of the diagonal, and samples, of sizes with at least three of them."""
    means = part.samples.mean(axis=1)
    sizes = np.unique(part.sizes)
    groups = [means[part.sizes == size] for size in sizes]
    enough = [i for i, values in enumerate(groups) if len(values) >= 3]
    return (
        sizes[enough] ** part.dim,
        np.array([groups[i].var(ddof=1) for i in enough]),
        np.array([len(groups[i]) for i in enough], dtype=float),
    )


def estimates(study: Study, name: str) -> list[Json]:
    """Entries of rve_size of a microstructure, from the lowest condition to the highest."""
    rows = _of((study.result or {}).get("rve_size", []), name)
    return sorted(rows, key=lambda r: list(CONDITIONS).index(str(r.get("condition"))))


def order_rows(study: Study, name: str) -> list[Json]:
    """Samples that were solved under several of the ordered conditions."""
    return _of((study.result or {}).get("order", []), name)


def hill_mandel(samples: list[Json]) -> float | None:
    """Largest residual relative to the largest entry of the sample's tensor."""
    worst = None
    for sample in samples:
        found = sample.get("hill_mandel")
        values = [number(v) for v in (found if isinstance(found, list) else [found])]
        scale = np.nanmax(np.abs(diagonal(sample["tensor"])), initial=0.0)
        for value in values:
            if value is not None and scale > 0:
                worst = max(worst or 0.0, value / float(scale))
    return worst


def largest(part: Series) -> Iterator[tuple[float, float]]:
    """Mean and half width of each diagonal entry at the largest size."""
    if len(part.at):
        last = int(np.argmax(part.at))
        yield from zip(part.mean[last].tolist(), part.half[last].tolist(), strict=True)
