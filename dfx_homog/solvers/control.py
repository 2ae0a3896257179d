"""What is applied to the cell over a time step: a current, a voltage or a power."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dfx_homog.parameters.expression import Expression


@dataclass(frozen=True)
class Control:
    """What is applied over a step; dimensionless.

    kind:    "current": i_app = value; "voltage": V = value; "power": i_app V = value, at the step's new time
    profile: kind "current" only: i_app as a function of t and y1, y2, y3 where it varies over the collector; `value`
             is not used then
    time:    the time at which the profile is taken
    """

    kind: Literal["current", "voltage", "power"]
    value: float
    profile: Expression | None = None
    time: float = 0.0

    @property
    def finds_current(self) -> bool:
        """Whether the current is to be found: V or i_app V is given."""
        return self.kind != "current"

    def residual(self, current: float, voltage: float) -> float:
        """V - value or i_app V - value; zero if the current is given."""
        if self.kind == "voltage":
            return voltage - self.value
        return current * voltage - self.value if self.kind == "power" else 0.0

    def slopes(self, current: float, voltage: float) -> tuple[float, float]:
        """Derivatives of the residual in V and in i_app; (0, 1) if the current is given, which keeps it as it is."""
        if self.kind == "voltage":
            return 1.0, 0.0
        return (current, voltage) if self.kind == "power" else (0.0, 1.0)

    def start(self, current: float, voltage: float) -> float:
        """Current to begin Newton's method with, from the last state.

        A power has two currents, i_app V(i_app) having a maximum; P/V at the last V is below that of the higher V.
        """
        if self.kind == "current":
            return self.value
        return self.value / voltage if self.kind == "power" and voltage != 0 else current
