"""How long the next time step may be, from the estimated error of the last ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

SAFETY = 0.9
LARGEST_GROWTH = 2.0  # of a step over the one before it; zero-stability of BDF2 allows 2.41
LEAST_CUT = 0.1  # of a rejected step
RUNG = (
    2.0**0.25
)  # step sizes are the first times whole powers of this, so that factorisations can be used again
SMALLEST = 1e-10  # of the first step: a step below has met something that is no error in time


@dataclass
class StepSize:
    """A proportional-integral controller (Gustafsson, ACM Trans. Math. Softw. 17 (1991) 533) on a ladder of sizes.

    first: the size that is tried after a jump; order: of the scheme
    size:  what is wanted next; error: of the last accepted step over the tolerance, 0 where there is none
    """

    first: float
    order: int
    size: float = 0.0
    error: float = 0.0

    def __post_init__(self) -> None:
        self.size = self.size or self.first

    def restart(self) -> None:
        """After a jump of what is applied."""
        self.size, self.error = self.first, 0.0

    def _rung(self, size: float) -> float:
        """The largest size on the ladder that is not above `size`."""
        return self.first * RUNG ** math.floor(math.log(size / self.first) / math.log(RUNG) + 1e-9)

    def accept(self, dt: float, error: float, order: int | None = None) -> None:
        """After a step dt with this error over the tolerance, at most 1. The size is kept where little is gained."""
        k = (order or self.order) + 1
        error = max(error, 1e-10)
        factor = SAFETY * error ** (-0.7 / k) * (self.error or error) ** (0.4 / k)
        self.error = error
        wanted = dt * min(factor, LARGEST_GROWTH)
        if dt < self.size * (
            1 - 1e-9
        ):  # cut short at a moment to be hit: that says nothing against the size wanted
            wanted = max(wanted, self.size)
        elif SAFETY <= factor < RUNG**2:
            return
        self.size = self._rung(wanted)

    def reject(self, dt: float, error: float, order: int | None = None) -> None:
        """After a step dt with this error over the tolerance, above 1 (infinite: the solver failed)."""
        k = (order or self.order) + 1
        self.shorten(dt, 0.5 if math.isinf(error) else max(LEAST_CUT, SAFETY * error ** (-1 / k)))

    def shorten(self, dt: float, factor: float) -> None:
        """After a step dt that is to be repeated with at most this part of its size."""
        self.size = self._rung(dt * min(factor, 1 / RUNG))

    @property
    def too_small(self) -> bool:
        """Whether no step that is worth trying is left."""
        return self.size < SMALLEST * self.first
