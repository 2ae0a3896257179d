"""Where in a time step a limit is met."""

from __future__ import annotations

from collections.abc import Callable

EVENT_WIDTH = 1e-6  # in time: an event is known to lie in a bracket of this width
#: The same of the run's dt, where that is less: in SI small currents make the unit of time long.
SHARE_OF_STEP = 0.01


def event_width(dt: float) -> float:
    """Width of the bracket of an event in a run with steps of dt."""
    return min(EVENT_WIDTH, SHARE_OF_STEP * dt)


def bracket_event(
    excess: Callable[[float], float],
    low: float,
    excess_low: float,
    high: float,
    excess_high: float,
    widest: float = EVENT_WIDTH,
) -> tuple[float, float]:
    """A bracket [low, high] not wider than `widest` of a change of sign of `excess`, excess(low) <= 0 < excess(high).

    Regula falsi with the Illinois modification (Dowell & Jarratt, BIT 11 (1971) 168), a bisection where trials do
    not halve the bracket. Every trial is at least half a width away from both ends, so that the second end
    follows as soon as the first is there.
    """
    side, slow, margin = 0, 0, 0.5 * widest
    while high - low > widest:
        width = high - low
        trial = low - excess_low * width / (excess_high - excess_low)
        if slow >= 3:
            trial, slow = 0.5 * (low + high), 0
        elif not low + margin < trial < high - margin:
            trial, slow = min(max(trial, low + margin), high - margin), 3
        found = excess(trial)
        if found > 0:
            high, excess_high = trial, found
            excess_low *= 0.5 if side > 0 else 1.0
            side = 1
        else:
            low, excess_low = trial, found
            excess_high *= 0.5 if side < 0 else 1.0
            side = -1
        slow += high - low > 0.5 * width
    return low, high
