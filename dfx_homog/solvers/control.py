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
