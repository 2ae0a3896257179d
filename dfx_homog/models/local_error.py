"""How far two states of a model are apart, in the fields that have a memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mpi4py import MPI

from dfx_homog._compat import FloatArray


@dataclass(frozen=True)
class Quantity:
    """A field with a time derivative at this rank's own nodes: new values first, then those of older states.

    least: size that the field is taken to have at least
    """

    states: tuple[FloatArray, ...]
    least: float = 0.0

    def combined(self, weights: tuple[float, ...]) -> FloatArray:
        """sum w_i u_(n-i) over the older states."""
        total = weights[0] * self.states[1]
        for weight, state in zip(weights[1:], self.states[2:], strict=False):
            total = total + weight * state
        return np.asarray(total)


def distance(comm: MPI.Intracomm, quantities: list[Quantity], others: list[FloatArray]) -> float:
    """Largest over the quantities of |new - other|/max(|old|, least), with root mean squares over all nodes.

    One number for all ranks. Collective.
    """
    sums = np.zeros((len(quantities), 3))
    for row, quantity, other in zip(sums, quantities, others, strict=True):
        new, old = quantity.states[:2]
        row[:] = np.sum((new - other) ** 2), np.sum(old**2), new.size
    total = np.empty_like(sums)
    comm.Allreduce(sums, total, op=MPI.SUM)
    worst = 0.0
    for (error, size, count), quantity in zip(total, quantities, strict=True):
        if count > 0:
            worst = max(
                worst, float(np.sqrt(error / count) / max(np.sqrt(size / count), quantity.least, 1e-300))
            )
    return worst
