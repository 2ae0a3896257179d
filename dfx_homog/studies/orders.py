"""Observed orders of convergence."""

from __future__ import annotations

import numpy as np


def order(coarse: float | None, fine: float | None) -> float | None:
    """log2 of the ratio of two errors, at a small parameter and half of it; None where an error is missing or zero."""
    if not coarse or not fine:
        return None
    return float(np.log2(abs(coarse) / abs(fine)))
