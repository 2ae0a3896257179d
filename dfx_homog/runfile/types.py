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


def list_of(value: Any, item: Callable[[Any], Any], length: int | None = None) -> tuple[Any, ...]:
    """`value` as a tuple of checked items, of the given length or at least one item long."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{show(value)} is not a list")
    if length is not None and len(value) != length:
        raise ValueError(f"{show(value)} has {len(value)} entries, not {length}")
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


def _symmetric_positive(rows: tuple[tuple[float, ...], ...]) -> bool:
    """Whether a matrix is symmetric positive definite (Cholesky's algorithm gets to its end)."""
    n = len(rows)
    lower = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            if rows[i][j] != rows[j][i]:
                return False
            rest = rows[i][j] - sum(lower[i][k] * lower[j][k] for k in range(j))
            if i == j and rest <= 0.0:
                return False
            lower[i][j] = math.sqrt(rest) if i == j else rest / lower[j][j]
    return True


def _conductivity(value: Any) -> float | tuple[tuple[float, ...], ...]:
    if not isinstance(value, list | tuple):
        return number_in(value, above=0.0)
    rows: tuple[tuple[float, ...], ...] = list_of(value, lambda row: list_of(row, number_in, 2), 2)
    if not _symmetric_positive(rows):
        raise ValueError(f"{show(value)} is not symmetric and positive definite")
    return rows


def _periods(value: Any) -> tuple[int, ...]:
    return list_of(value, lambda v: whole_number_in(v, 1, LARGEST_COUNT), 3)


def _formula(value: Any) -> float | str:
    from dfx_homog.parameters.expression import Expression

    if not isinstance(value, str):
        return number_in(value)
    Expression.parse(value)
    return value


def _absolute_temperature_heat(value: Any) -> float | str:
    if isinstance(value, str) and value != "auto":
        raise ValueError(f"{show(value)} is not known")
    return "auto" if value == "auto" else number_in(value)


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
MeshSize = Annotated[
    float,
    Allowed("a number > 0 and <= 0.5, in unit-cell lengths"),
    PlainValidator(lambda v: number_in(v, above=0.0, most=0.5)),
]
Flag = Annotated[bool, Allowed("true or false"), PlainValidator(_flag)]
Order = Annotated[Literal[1, 2], Allowed("1 or 2"), one_of((1, 2))]
Dimension = Annotated[Literal[2], Allowed("2 in this version"), one_of((2,), later=(3,))]
Conductivity = Annotated[
    float | tuple[tuple[float, ...], ...],
    Allowed("a number > 0, or a symmetric positive definite 2 x 2 tensor as nested lists"),
    PlainValidator(_conductivity),
]
Normal = Annotated[
    tuple[int, int],
    Allowed("a list of 2 whole numbers from -100 to 100, not both 0"),
    PlainValidator(lambda v: _not_all_zero(list_of(v, lambda n: whole_number_in(n, -100, 100), 2))),
]
SemiAxes = Annotated[
    tuple[float, float],
    Allowed("a list of 2 numbers > 0 such that the turned ellipse lies inside the unit cell"),
    PlainValidator(lambda v: list_of(v, lambda x: number_in(x, above=0.0), 2)),
]
Points = Annotated[
    tuple[tuple[float, float], ...],
    Allowed("a list of points [z1, z2] with coordinates from 0 to 1"),
    PlainValidator(
        lambda v: list_of(v, lambda p: list_of(p, lambda x: number_in(x, least=0.0, most=1.0), 2))
    ),
]
Lattice = Annotated[
    Literal["square"],
    Allowed('"square"; others as centres and radii'),
    one_of(["square"], later=["hexagonal"]),
]
Radii = Annotated[
    tuple[float, ...],
    Allowed("a list of numbers > 0, one for each centre"),
    PlainValidator(lambda v: list_of(v, lambda x: number_in(x, above=0.0))),
]
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
Units = Annotated[
    Literal["dimensionless"],
    Allowed('"dimensionless" in this version'),
    one_of(["dimensionless"], later=["SI"]),
]
Off = Annotated[Literal[False], Allowed("false in this version"), one_of([False], later=[True])]
MesoDimension = Annotated[Literal[1], Allowed("1 in this version"), one_of([1], later=[2, 3])]
Periods = Annotated[
    tuple[int, int, int],
    Allowed("3 positive whole numbers: unit cells through negative, separator, positive"),
    PlainValidator(_periods),
]
LateralPeriods = Annotated[
    tuple[int, ...],
    Allowed("a list of one positive whole number"),
    PlainValidator(lambda v: list_of(v, lambda n: whole_number_in(n, 1, LARGEST_COUNT), 1)),
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
        "a number, or a formula in c = c_s/c_max and T: + - * / **, brackets, sin, cos, exp, log, tanh, sqrt"
    ),
    PlainValidator(_formula),
]
ReversibleHeat = Annotated[
    float | str, Allowed('a number or "auto"'), PlainValidator(_absolute_temperature_heat)
]


def _not_all_zero(value: tuple[int, ...]) -> tuple[int, ...]:
    if not any(value):
        raise ValueError(f"{show(list(value))} is no direction")
    return value
