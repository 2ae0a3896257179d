"""What periodic homogenisation predicts for the orders in delta, and whether the observed ones meet it.

Leading order in L2: 1, lost to boundary layers at the separator faces, which also shift the macroscopic solution, so
that first-order correctors and cell averages do not improve it. Gradients: no convergence without corrector, 1/2 with
corrector over the whole domain (error O(1) in layers of width delta), 1 away from these layers. c_s: 1 if the unit
cell is symmetric about its mid-plane, else 1/2, since the periodic particle solution violates no-flux on cut faces.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dfx_homog.report.data import FIELDS, Study, number
from dfx_homog.report.geometry import SOLID, outlines

SLACK = 0.1  # below the expected order by less than this still counts as met: orders are asymptotic
NORMS = ("l2", "l2_corrected", "h1", "h1_corrected", "h1_corrected_interior")
MET, FASTER, MISSED, NONE = "met", "faster", "missed", "none"
MARK = {MET: "✓ met", FASTER: "✓ faster", MISSED: "✗ not met", NONE: "no rate expected"}


@dataclass(frozen=True)
class OrderRow:
    """One line of the table of orders. errors: one per level; orders: one per pair; expected: None if no claim."""

    field: str
    norm: str
    errors: list[float | None]
    orders: list[float | None]
    expected: float | None

    @property
    def finest(self) -> float | None:
        """Observed order of the finest pair of levels."""
        return self.orders[-1] if self.orders else None

    @property
    def verdict(self) -> str | None:
        """MET, FASTER, MISSED, NONE, or None where nothing was measured or nothing is claimed."""
        if self.finest is None or self.expected is None:
            return None
        if self.expected == 0:
            return NONE
        if self.finest < self.expected - SLACK:
            return MISSED
        return FASTER if self.finest > self.expected + 0.15 else MET


def expected_order(field: str, norm: str, symmetric: bool) -> float | None:
    """Order in delta that theory predicts, None where there is no claim."""
    if field == "c_s":
        return (1.0 if symmetric else 0.5) if norm == "l2" else None
    return {"l2": 1.0, "l2_corrected": 1.0, "h1": 0.0, "h1_corrected": 0.5, "h1_corrected_interior": 1.0}[
        norm
    ]


def order(coarse: float | None, fine: float | None, ratio: float) -> float | None:
    """log(coarse/fine)/log(ratio) of absolute values, ratio = delta of the coarse over that of the fine level."""
    if not coarse or not fine or ratio <= 0 or ratio == 1:
        return None
    return math.log(abs(coarse) / abs(fine)) / math.log(ratio)


def order_rows(study: Study, key: str = "errors") -> list[OrderRow]:
    """All rows for which some error is known, V first."""
    levels = study.levels
    symmetric = symmetric_cells(study)

    def row(field: str, norm: str, errors: list[float | None], expected: float | None) -> OrderRow:
        pairs = zip(levels[:-1], levels[1:], errors[:-1], errors[1:], strict=True)
        return OrderRow(
            field, norm, errors, [order(e, f, a.delta / b.delta) for a, b, e, f in pairs], expected
        )

    name = "voltage_error" if key == "errors" else "voltage_error_max_over_time"
    rows = [row("voltage", "l2", [number(level.result.get(name)) for level in levels], 1.0)]
    for norm in NORMS:
        for field in FIELDS:
            errors = [level.error(field, norm, key) for level in levels]
            rows.append(row(field, norm, errors, expected_order(field, norm, symmetric)))
    return [r for r in rows if any(e is not None for e in r.errors)]


def symmetric_cells(study: Study) -> bool:
    """Are the unit cells of both electrodes mirror symmetric in z1? False if they are not known."""
    names = [name for name in ("negative", "positive") if f"cell_{name}_points" in study.arrays]
    return bool(names) and all(_mirror_symmetric(study, name) for name in names)


def _mirror_symmetric(study: Study, name: str, pixels: int = 200) -> bool:
    """Compares a picture of the phases with its mirror image."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure

    points, cells, phase = (study.arrays[f"cell_{name}_{what}"] for what in ("points", "cells", "phase"))
    fig = Figure(figsize=(1, 1), dpi=pixels)
    canvas = FigureCanvasAgg(fig)
    ax = fig.add_axes((0, 0, 1, 1), xlim=(0, 1), ylim=(0, 1))
    ax.set_axis_off()
    solid = outlines(points[np.asarray(cells, dtype=int)[np.asarray(phase) == SOLID]])
    ax.add_collection(PolyCollection(solid, facecolors="black", edgecolors="none", antialiaseds=False))
    canvas.draw()
    image = np.asarray(canvas.buffer_rgba())[:, :, 0] < 128
    # nodes do not mirror exactly; an asymmetric cell differs by far more than the elements at the interface
    return bool((image != image[:, ::-1]).mean() < 0.02)
