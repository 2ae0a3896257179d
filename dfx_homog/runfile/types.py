"""Leaf types of the run file: what a single key may hold.

TOML already has types, so nothing is converted: a string is never read as a number, a boolean is not 0 or 1,
an integer serves as a real number. Every type carries an `Allowed` text for messages and docs/runfile.md.
A refused value raises ValueError with the reason only; messages.py adds file, key and what is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import PlainValidator

CONDITIONS = ("periodic", "dirichlet", "flux", "through")
LARGEST_COUNT = 1_000_000  # of unit cells or elements along one direction; keeps node numbers inside 64 bits


@dataclass(frozen=True)
class Allowed:
    """What a key may hold, in words."""

    text: str


def show(value: Any, limit: int = 60) -> str:
    """The value as the user may have typed it, on one line and cut short."""
    try:
        text = ("true" if value else "false") if isinstance(value, bool) else repr(value)
    except ValueError:  # Python refuses to print integers of thousands of digits
        return "a huge number"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def number_in(
    value: Any,
    *,
    above: float = -math.inf,
    below: float = math.inf,
    least: float = -math.inf,
    most: float = math.inf,
) -> float:
    """`value` as a finite float with above < value < below and least <= value <= most, else ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{show(value)} is not a number")
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError(f"{show(value)} is too large") from error
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number")
    if not (above < number < below and least <= number <= most):
        raise ValueError(f"{show(value)} is out of range")
    return number


def whole_number_in(value: Any, least: int, most: int) -> int:
    """`value` if it is an integer with least <= value <= most, else ValueError."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{show(value)} is not a whole number")
    if not least <= value <= most:
        raise ValueError(f"{show(value)} is out of range")
    return value


def list_of(value: Any, item: Callable[[Any], Any], *lengths: int) -> tuple[Any, ...]:
    """`value` as a tuple of checked items, of one of the given lengths or else at least one item long."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{show(value)} is not a list")
    if lengths and len(value) not in lengths:
        raise ValueError(f"{show(value)} has {len(value)} entries, not {' or '.join(map(str, lengths))}")
    if not value:
        raise ValueError("the list is empty")
    return tuple(item(v) for v in value)


def one_of(options: Iterable[Any], later: Iterable[Any] = ()) -> PlainValidator:
    """Validator for a choice; `later` are values of the interface that this version does not offer."""
    options, later = tuple(options), tuple(later)

    def check(value: Any) -> Any:
        for option in options:
            if type(value) is type(option) and value == option:
                return option
        if any(type(value) is type(other) and value == other for other in later):
            raise ValueError(f"{show(value)} is not in this version")
        raise ValueError(f"{show(value)} is not known")

    return PlainValidator(check)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{show(value)} is neither true nor false")
    return value


def _words(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{show(value)} is no text")
    return value


def _periods(value: Any) -> tuple[int, ...]:
    return list_of(value, lambda v: whole_number_in(v, 1, LARGEST_COUNT), 3)


def _lateral_periods(value: Any) -> tuple[int, ...]:
    periods: tuple[int, ...] = list_of(value, lambda n: whole_number_in(n, 1, LARGEST_COUNT))
    if len(periods) > 2:
        raise ValueError(f"{show(value)} has more than 2 entries")
    return periods


def _interval(value: Any) -> tuple[float, ...]:
    ends: tuple[float, ...] = list_of(value, lambda v: number_in(v, least=0.0), 2)
    if not ends[0] < ends[1]:
        raise ValueError(f"{show(value)} is no interval")
    return ends


def formula(value: Any) -> float | str:
    """`value` if it is a number or a formula in c and T, else ValueError."""
    from dfx_homog.parameters.expression import Expression

    if not isinstance(value, str):
        return number_in(value)
    Expression.parse(value)
    return value


def _time_and_place(value: Any) -> float | str:
    from dfx_homog.parameters.expression import Expression

    if not isinstance(value, str):
        return number_in(value, least=0.0)
    Expression.of_time_and_place(value)
    return value


def _absolute_temperature_heat(value: Any) -> float | str:
    if isinstance(value, str) and value != "auto":
        raise ValueError(f"{show(value)} is not known")
    return "auto" if value == "auto" else number_in(value)


def _condition(value: Any) -> str:
    if value not in CONDITIONS or not isinstance(value, str):
        raise ValueError(f"{show(value)} is not known")
    return value


def _different(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError(f"{show(list(values))} has an entry twice")
    return values


Number = Annotated[float, Allowed("a number"), PlainValidator(number_in)]
Positive = Annotated[float, Allowed("a number > 0"), PlainValidator(lambda v: number_in(v, above=0.0))]
BelowCapacity = Annotated[
    float, Allowed("a number > 0 and < c_max"), PlainValidator(lambda v: number_in(v, above=0.0))
]
NotNegative = Annotated[float, Allowed("a number >= 0"), PlainValidator(lambda v: number_in(v, least=0.0))]
Fraction = Annotated[
    float,
    Allowed("a number between 0 and 1, both excluded"),
    PlainValidator(lambda v: number_in(v, above=0.0, below=1.0)),
]
Share = Annotated[
    float,
    Allowed("a number > 0 and <= 1"),
    PlainValidator(lambda v: number_in(v, above=0.0, most=1.0)),
]
Words = Annotated[str, Allowed("text"), PlainValidator(_words)]
Flag = Annotated[bool, Allowed("true or false"), PlainValidator(_flag)]
Lateral = Annotated[
    Literal["periodic", "insulated"], Allowed('"periodic" or "insulated"'), one_of(["periodic", "insulated"])
]
Scheme = Annotated[
    Literal["backward-euler", "bdf2"],
    Allowed('"backward-euler" or "bdf2"'),
    one_of(["backward-euler", "bdf2"]),
]
Preset = Annotated[
    Literal["iterative", "direct"], Allowed('"iterative" or "direct"'), one_of(["iterative", "direct"])
]
Overpotential = Annotated[
    Literal["paper", "lithium-electrode"],
    Allowed('"paper" or "lithium-electrode"'),
    one_of(["paper", "lithium-electrode"]),
]
VoxelMethod = Annotated[
    Literal["multigrid", "assembled"],
    Allowed('"multigrid" or "assembled"'),
    one_of(["multigrid", "assembled"]),
]
_UNITS = Allowed('"dimensionless" or "SI"')
UnitsNone = Annotated[Literal["dimensionless"], _UNITS, one_of(["dimensionless"])]
UnitsSI = Annotated[Literal["SI"], _UNITS, one_of(["SI"])]
MesoDimension = Annotated[Literal[1, 2, 3], Allowed("1, 2 or 3"), one_of([1, 2, 3])]
MesoOrder = Annotated[Literal[1, 2], Allowed("1 or 2"), one_of([1, 2])]
LateralSize = Annotated[
    tuple[float, ...],
    Allowed("a list of one or two numbers > 0"),
    PlainValidator(lambda v: list_of(v, lambda w: number_in(w, above=0.0), 1, 2)),
]
Tab = Annotated[
    tuple[tuple[float, float], ...],
    Allowed("a list of intervals [low, high], 0 <= low < high, one for each lateral direction"),
    PlainValidator(lambda v: list_of(v, _interval, 1, 2)),
]
LateralElements = Annotated[
    tuple[int, ...],
    Allowed("a list of one or two positive whole numbers"),
    PlainValidator(lambda v: list_of(v, lambda n: whole_number_in(n, 1, LARGEST_COUNT), 1, 2)),
]
Grading = Annotated[float, Allowed("a number >= 1"), PlainValidator(lambda v: number_in(v, least=1.0))]
Periods = Annotated[
    tuple[int, int, int],
    Allowed("3 positive whole numbers: unit cells through negative, separator, positive"),
    PlainValidator(_periods),
]
Thickness = Annotated[
    tuple[float, float, float],
    Allowed("3 numbers > 0: thickness of negative, separator, positive"),
    PlainValidator(lambda v: list_of(v, lambda x: number_in(x, above=0.0), 3)),
]
LateralPeriods = Annotated[
    tuple[int, ...],
    Allowed("a list of positive whole numbers, one for each lateral direction, or one for all"),
    PlainValidator(_lateral_periods),
]
Levels = Annotated[
    tuple[tuple[int, int, int], ...],
    Allowed("a list of at least two entries like cell.periods, each twice the one before"),
    PlainValidator(lambda v: list_of(v, _periods)),
]
Count = Annotated[
    int, Allowed("a positive whole number"), PlainValidator(lambda v: whole_number_in(v, 1, LARGEST_COUNT))
]
Formula = Annotated[
    float | str,
    Allowed(
        "a number, or a formula in c = c_s/c_max and T: + - * / **, brackets, sin, cos, exp, log, tanh, sqrt, "
        "sign, cosh, min, max"
    ),
    PlainValidator(formula),
]
Cooling = Annotated[
    float | str,
    Allowed(
        "a number >= 0, or a formula in t, y1, y2, y3 and pi: + - * / **, brackets, sin, cos, exp, log, tanh, sqrt, "
        "sign, cosh, min, max"
    ),
    PlainValidator(_time_and_place),
]
ReversibleHeat = Annotated[
    float | str, Allowed('a number or "auto"'), PlainValidator(_absolute_temperature_heat)
]
Quantity = Annotated[Literal["S", "B", "K"], Allowed('"S", "B" or "K"'), one_of(["S", "B", "K"])]
Sizes = Annotated[
    tuple[float, ...],
    Allowed("a list of different numbers > 0"),
    PlainValidator(lambda v: _different(list_of(v, lambda x: number_in(x, above=0.0)))),
]
Conditions = Annotated[
    tuple[str, ...],
    Allowed(f"a list of different ones of {', '.join(CONDITIONS)}"),
    PlainValidator(lambda v: _different(list_of(v, _condition))),
]
Accuracy = Annotated[
    float,
    Allowed("a number > 0 and < 1"),
    PlainValidator(lambda v: number_in(v, above=0.0, below=1.0)),
]
Ranks = Annotated[
    int, Allowed("a whole number >= 0"), PlainValidator(lambda v: whole_number_in(v, 0, LARGEST_COUNT))
]
