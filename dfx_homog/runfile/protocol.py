"""Tables of the run file on what is applied, in which time steps, and which fields are written."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, PlainValidator, PrivateAttr, model_validator

from dfx_homog.parameters.expression import Expression
from dfx_homog.runfile.base import Table, wrong
from dfx_homog.runfile.current_file import DriveCycle, read_drive_cycle
from dfx_homog.runfile.types import (
    Allowed,
    Flag,
    Number,
    Positive,
    Scheme,
    list_of,
    number_in,
    show,
    whole_number_in,
)
from dfx_homog.runfile.types_cells import existing_file

PLACES = ("y1", "y2", "y3")
LARGEST_MOMENTS = 100_000
LARGEST_PROTOCOL = 10_000  # steps; longer ones are files
_CONDITION = re.compile(r"\s*([VI])\s*([<>])\s*([-+0-9.eE]+)\s*")


class Condition:
    """One entry of `until`: quantity "V" or "I", sense -1 for < and +1 for >, value."""

    def __init__(self, text: str):
        """ValueError says what is allowed."""
        match = _CONDITION.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            self.value = number_in(float(match[3]))
        except ValueError:
            raise ValueError(f"{show(text)} is not a condition") from None
        self.quantity, self.sense = match[1], -1 if match[2] == "<" else 1


def _conditions(value: Any) -> tuple[str, ...]:
    def one(text: Any) -> str:
        if not isinstance(text, str):
            raise ValueError(f"{show(text)} is not a condition")
        Condition(text)
        return text

    return (one(value),) if isinstance(value, str) else list_of(value, one)


def _current(value: Any) -> float | str:
    if not isinstance(value, str):
        return number_in(value)
    Expression.of_time_and_place(value)
    return value


def _moments(value: Any) -> tuple[float, ...]:
    times = list_of(value, lambda t: number_in(t, least=0.0))
    if len(times) > LARGEST_MOMENTS:
        raise ValueError(f"{len(times)} are too many")
    if any(b <= a for a, b in pairwise(times)):
        raise ValueError("the times do not increase")
    return times


Current = Annotated[
    float | str,
    Allowed(
        "a number, or a formula in the time t, the place y1, y2, y3 and pi: + - * / **, brackets, sin, cos, exp, log, "
        "tanh, sqrt, sign, cosh, min, max"
    ),
    PlainValidator(_current),
]
CurrentFile = Annotated[
    str,
    Allowed("name of a file that ends in .csv"),
    PlainValidator(lambda v, info: existing_file(v, info, (".csv",))),
]
Until = Annotated[
    tuple[str, ...],
    Allowed('a condition like "V<0.1", "V>1.2", "I<0.05" or "I>-0.05", or a list of them'),
    PlainValidator(_conditions),
]
Moments = Annotated[tuple[float, ...], Allowed("a list of increasing numbers >= 0"), PlainValidator(_moments)]
Number0 = Annotated[
    int,
    Allowed("a whole number >= 0"),
    PlainValidator(lambda v: whole_number_in(v, 0, LARGEST_MOMENTS)),
]
Kind = Literal["current", "voltage", "power", "current_file"]
KINDS: tuple[Kind, ...] = ("current", "voltage", "power", "current_file")


class Step(Table):
    """protocol.steps: one of `current`, `voltage`, `power`, `current_file`, with `duration`, `until` or both."""

    current: Current | None = Field(
        default=None,
        description="applied current, > 0 is discharge; t counts from the start of the run; with y1, y2, y3 (in "
        "lengths of the cell) a density over the positive collector, `resolved` only",
    )
    voltage: Number | None = Field(default=None, description="voltage that is held")
    power: Number | None = Field(
        default=None, description="current times voltage that is held, > 0 is discharge"
    )
    current_file: CurrentFile | None = Field(
        default=None,
        description="rows time,current, a header may come first; times increase from 0, the start of the step; "
        "linear between rows, every one of which a time step ends at; relative to the run file's folder, else to the "
        "working directory",
    )
    duration: Positive | None = Field(
        default=None,
        description="length in time; may be left out with `until` (there is no limit then) and with `current_file` "
        "(its last row)",
    )
    until: Until | None = Field(
        default=None,
        description="the step ends when one of these is met, found to 1e-6 in time, at once where it is met already; "
        "I is below 0 in charge",
    )

    _cycle: DriveCycle | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _check(self) -> Step:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none of them"
            raise ValueError(f"one of {', '.join(KINDS)} is needed, there is {found}")
        if self.current_file is not None:
            try:
                self._cycle = read_drive_cycle(Path(self.current_file))
            except ValueError as error:
                raise wrong("current_file", str(error)) from None
            if self.duration is not None and self.duration > self._cycle.end * (1 + 1e-12):
                reason = (
                    f"{self.duration:g} is longer than the file, whose last row is at {self._cycle.end:g}"
                )
                raise wrong("duration", reason)
        elif self.duration is None and self.until is None:
            raise wrong("duration", "required, or until (allowed: a number > 0)")
        for text in self.until or ():
            self._check_condition(text)
        return self

    def _check_condition(self, text: str) -> None:
        """A condition on what the step itself fixes is met at once or never."""
        condition, i_app = Condition(text), self.applied
        constant = i_app.value if isinstance(i_app, Expression) and i_app.op == "const" else None
        held = {"V": self.voltage, "I": constant}[condition.quantity]
        if held is not None:
            reason = f'"{text}" is met at once or never: the step holds {condition.quantity} = {held:g}'
            raise wrong("until", reason)

    @property
    def kind(self) -> Kind:
        """Which of KINDS is given."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def applied(self) -> Expression | DriveCycle | float:
        """What is applied: a current as a formula or a drive cycle, or the number of `voltage` or `power`."""
        if self._cycle is not None:
            return self._cycle
        if self.current is not None:
            return Expression.of_time_and_place(self.current)
        return self.voltage if self.voltage is not None else self.power or 0.0

    @property
    def varies_in_place(self) -> bool:
        """Whether the current depends on y1, y2 or y3."""
        applied = self.applied
        return isinstance(applied, Expression) and any(applied.depends_on(y) for y in PLACES)

    @property
    def longest(self) -> float | None:
        """The step's length if no condition ends it; None without limit."""
        if self.duration is None and self._cycle is not None:
            return self._cycle.end
        return self.duration

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """`until`, read."""
        return tuple(Condition(text) for text in self.until or ())


def _is_fine(formula: Expression, start: float, end: float) -> bool:
    """Whether a formula is finite over a span of time, at some places."""
    if formula.op == "const":
        return True
    t = np.linspace(start, end, 101)
    with np.errstate(all="ignore"):
        return all(np.isfinite(formula.numpy(t=t, y1=1.0, y2=y, y3=y)).all() for y in (0.0, 0.3, 1.0))


def _not_too_many(steps: Any) -> Any:
    """Counted before any is looked at."""
    if isinstance(steps, list | tuple) and len(steps) > LARGEST_PROTOCOL:
        raise ValueError(f"{len(steps)} are too many")
    return steps


class Protocol(Table):
    """[protocol]: what is applied, step by step, and limits that end the run, with exit status 0."""

    steps: Annotated[
        tuple[Step, ...],
        Allowed(
            f"a list of tables {{ current = …, duration = … }}, at least one and at most {LARGEST_PROTOCOL}"
        ),
        BeforeValidator(_not_too_many),
    ] = Field(min_length=1, description="what is applied, one after the other")
    v_min: Number | None = Field(default=None, description="the run ends when V < v_min")
    v_max: Number | None = Field(default=None, description="the run ends when V > v_max")
    T_max: Number | None = Field(default=None, description="the run ends when T > T_max somewhere")

    @model_validator(mode="after")
    def _check(self) -> Protocol:
        low = -math.inf if self.v_min is None else self.v_min
        high = math.inf if self.v_max is None else self.v_max
        if not low < high:
            raise wrong("v_max", f"{high:g} is not above v_min = {low:g}")
        for number, step in enumerate(self.steps):
            if step.voltage is not None and not low <= step.voltage <= high:
                reason = f"{step.voltage:g} is not between v_min and v_max: the run would end at once"
                raise wrong(f"steps.{number}.voltage", reason)
        self._check_formulas()
        return self

    def _check_formulas(self) -> None:
        start = 0.0
        for number, step in enumerate(self.steps):
            length = 0.0 if step.longest is None else step.longest
            if isinstance(step.applied, Expression) and not _is_fine(step.applied, start, start + length):
                reason = f"is not finite for all t from {start:g} to {start + length:g}"
                raise wrong(f"steps.{number}.current", reason)
            start += length

    @property
    def longest(self) -> float | None:
        """Time at which the protocol ends at the latest; None without limit."""
        lengths = [step.longest for step in self.steps]
        return None if None in lengths else float(sum(length for length in lengths if length is not None))


class Time(Table):
    """[time]"""

    scheme: Scheme = Field(
        default="backward-euler",
        description="time scheme; bdf2 starts each protocol step with Euler steps",
    )
    dt: Positive = Field(
        description="longest time step; protocol steps are divided into equal ones; with adaptive = true the first "
        "that is tried"
    )
    adaptive: Flag = Field(default=False, description="true: step sizes are chosen by the estimated error")
    tolerance: Positive = Field(
        default=1e-4,
        description="with adaptive = true: largest local error of a step, root mean square over the nodes relative to "
        "that of the field, for each of c_s, c_e, T (not below 0.1) and the jump of the potential at a double layer",
    )


class Output(Table):
    """[output]: Moments at which fields are written for ParaView, the start comes on top; the report."""

    times: Moments | None = Field(default=None, description="a time step ends at each of these")
    fields: Number0 | None = Field(
        default=None,
        description="evenly spread moments, the end included; 0 with no `times`: no fields at all; default: 10, or 0 "
        "with `times`",
    )
    report: Flag = Field(
        default=True, description="whether report.html is written; `report DIR` does so at any later time"
    )

    @property
    def moments(self) -> int:
        """Number of evenly spread moments."""
        return (0 if self.times else 10) if self.fields is None else self.fields
