"""Orders of convergence of several fields as numbers, a table and a picture of a case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dfx_homog.verification.outcome import Outcome, Table, loglog
from dfx_homog.verification.problems import slope


@dataclass(frozen=True)
class Study:
    """Errors (levels, fields) of the named fields for sizes (levels,) from coarse to fine; order: what theory says."""

    name: str
    fields: Sequence[str]
    sizes: Sequence[float]
    errors: Sequence[Sequence[float]]
    order: float

    @property
    def fitted(self) -> dict[str, float]:
        """Slope of each field's error in log-log, least squares."""
        slopes = slope(self.sizes, self.errors)
        return {field: float(value) for field, value in zip(self.fields, slopes, strict=True)}

    def table(self, size: str) -> Table:
        """Errors by level, and the orders between a level and the one before."""
        errors, sizes = np.asarray(self.errors), np.asarray(self.sizes)
        between = np.log(errors[1:] / errors[:-1]) / np.log(sizes[1:] / sizes[:-1])[:, None]
        rows: list[list[str | float]] = []
        for level, (h, row) in enumerate(zip(sizes, errors, strict=True)):
            cells: list[str | float] = [float(h)]
            for column, value in enumerate(row):
                cells += [f"{value:.2e}", f"{between[level - 1, column]:.2f}" if level else ""]
            rows.append(cells)
        rows.append(["fitted", *(text for value in self.fitted.values() for text in ("", f"{value:.2f}"))])
        columns = [size, *(name for field in self.fields for name in (field, "order"))]
        return Table(columns, rows, self.name)


def outcome(
    studies: Mapping[str, Study], size: str, caption: str, more: Mapping[str, Any] | None = None
) -> Outcome:
    """numbers: orders.STUDY.FIELD and, on the finest level, errors.STUDY.FIELD; `more` besides.

    size: what the studies' sizes are, Markdown
    """
    series = {
        f"{study.name}: {field}": (study.sizes, [row[column] for row in study.errors])
        for study in studies.values()
        for column, field in enumerate(study.fields)
    }
    numbers = {
        "orders": {key: study.fitted for key, study in studies.items()},
        "errors": {
            key: dict(zip(study.fields, (float(e) for e in study.errors[-1]), strict=True))
            for key, study in studies.items()
        },
    }
    return Outcome(
        {**numbers, **(more or {})},
        [study.table(size) for study in studies.values()],
        loglog(series, size, "error", sorted({study.order for study in studies.values()})),
        caption,
    )
