"""[case]: what makes a run file a case of the verification book (docs/verification/)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any

from pydantic import Field, PlainValidator, field_validator, model_validator

from dfx_homog.errors import BadInput
from dfx_homog.runfile.base import Table, wrong
from dfx_homog.runfile.types import (
    Allowed,
    Flag,
    NotNegative,
    Number,
    Positive,
    list_of,
    number_in,
    show,
    whole_number_in,
)
from dfx_homog.runfile.types_cells import Dimension

#: Commands whose results a case may be compared with; other cases are checks in Python.
STUDIES = ("cell", "rve", "resolved", "homogenised", "convergence")
LARGEST_RANKS = 64
Values = float | tuple[Any, ...]


def _command(value: Any) -> str:
    """A study, or the name module.function of a check in dfx_homog/verification/."""
    if isinstance(value, str) and (
        value in STUDIES or re.fullmatch(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*", value)
    ):
        return value
    raise ValueError(f"{show(value)} is not known")


def _numbers(value: Any) -> Values:
    if not isinstance(value, list | tuple):
        return number_in(value)
    return list_of(value, _numbers)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{show(value)} is no text")
    return value.strip()


def _ranks(value: Any) -> tuple[int, ...]:
    ranks = list_of(value, lambda n: whole_number_in(n, 1, LARGEST_RANKS))
    if len(set(ranks)) < len(ranks):
        raise ValueError(f"{show(list(ranks))} has an entry twice")
    return ranks


def _file(value: Any) -> str:
    raise ValueError(f"{show(value)} was not read")  # `load` has put the file's tables in its place


RunFileName = Annotated[str, Allowed("name of a run file, .toml"), PlainValidator(_file)]


def _settings(value: Any) -> dict[str, Values]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{show(value)} is no table")
    return {str(name): _numbers(entry) for name, entry in value.items()}


Text = Annotated[str, Allowed("text, not empty"), PlainValidator(_text)]
Texts = Annotated[
    tuple[str, ...], Allowed("a list of texts, not empty"), PlainValidator(lambda v: list_of(v, _text))
]
Command = Annotated[
    str,
    Allowed(f"{', '.join(STUDIES)}, or module.function of dfx_homog/verification/"),
    PlainValidator(_command),
]
Expected = Annotated[Values, Allowed("a number, or nested lists of numbers"), PlainValidator(_numbers)]
Settings = Annotated[
    dict[str, Values],
    Allowed("a table of numbers and lists of numbers"),
    PlainValidator(_settings),
]
RankCounts = Annotated[
    tuple[int, ...],
    Allowed(f"a list of different whole numbers from 1 to {LARGEST_RANKS}"),
    PlainValidator(_ranks),
]
LevelValues = Annotated[
    tuple[float, ...],
    Allowed("a list of at least two numbers > 0 that rise or fall"),
    PlainValidator(lambda v: list_of(v, lambda x: number_in(x, above=0.0) and x)),
]


class Expectation(Table):
    """entries of case.expect: a quantity of the results, and what it has to be.

    `quantity` is a path into result.json of the command, or into the numbers that a check in Python gives:
    keys and positions in lists, with dots between, `*` for any one. It may lead to a table or list: then all numbers in
    there are meant. `history.COLUMN@TIME` is the column of history.csv at that time, `@end` in its last row, `@max` its
    largest absolute value; `FOLDER/history…` that of a model of `convergence`.
    """

    quantity: Text = Field(description="path to a number, or to several")
    name: Text | None = Field(default=None, description="what the page calls it, Markdown; default: the path")
    value: Expected | None = Field(
        default=None,
        description="expected, a number for all that `quantity` means, or as many in the same order",
    )
    tolerance: NotNegative | None = Field(
        default=None, description="largest difference from value, on the finest of the levels"
    )
    relative: Flag = Field(default=False, description="true: tolerance is relative to value")
    at_least: Number | None = Field(default=None, description="lower bound")
    at_most: Number | None = Field(default=None, description="upper bound")
    order_at_least: Number | None = Field(
        default=None,
        description="with levels: lower bound of the slope of the difference from value, in log-log",
    )
    order_at_most: Number | None = Field(default=None, description="with levels: upper bound of that slope")
    across_ranks: NotNegative | None = Field(
        default=None,
        description="with several ranks: largest difference between any two of them, relative where it is above 1",
    )
    source: Text | None = Field(default=None, description="where the value comes from, if not case.source")

    @property
    def has_order(self) -> bool:
        """Whether the order of convergence is asked for."""
        return self.order_at_least is not None or self.order_at_most is not None

    @model_validator(mode="after")
    def _asks(self) -> Expectation:
        compared = self.tolerance is not None or self.has_order
        if self.value is not None and not compared:
            raise wrong(
                "value", "without tolerance or order it is compared with nothing (allowed: with one of them)"
            )
        if self.value is None and compared:
            raise wrong(
                "value", "required by tolerance and order (allowed: a number, or nested lists of numbers)"
            )
        if not compared and self.at_least is None and self.at_most is None and self.across_ranks is None:
            raise wrong(
                "quantity",
                "nothing is expected of it (allowed: with value, at_least, at_most or across_ranks)",
            )
        return self


class CaseLevels(Table):
    """[case.levels]: the command once for each value of some keys, from coarse to fine."""

    keys: Texts = Field(description="keys of this run file that take the values, as --set has them")
    values: LevelValues = Field(description="values that fall (sizes) or rise (counts), from coarse to fine")
    name: Text = Field(default="h", description="what the page calls the values, Markdown")
    unknowns: Text | None = Field(
        default=None,
        description="path to a number n of unknowns: orders are then in n^(-1/dim), since meshes are not exactly as "
        "fine as is asked for",
    )
    dim: Dimension = Field(default=2, description="with unknowns: space dimensions")

    @field_validator("values")
    @classmethod
    def _monotone(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        steps = [b - a for a, b in pairwise(values)]
        if not steps or not (all(s > 0 for s in steps) or all(s < 0 for s in steps)):
            raise ValueError(f"{show(list(values))} neither rises nor falls")
        return values


class Case(Table):
    """[case]: a case of the verification book: what `verify` runs, compares and writes down."""

    of: RunFileName | None = Field(
        default=None,
        description="another run file, whose tables stand under those of this one, table by table; in `run.toml` "
        "they are written out",
    )
    title: Text = Field(description="heading of the page")
    group: Text = Field(description="part of the book")
    checks: Text = Field(description="what is checked and why it must hold, Markdown with formulas in $…$")
    source: Texts = Field(description="references, with DOI where there is one")
    command: Command = Field(description="command of dfx-homog, or a check in Python by name")
    ranks: RankCounts = Field(
        default=(1,), description="numbers of ranks; the first one runs all levels, the others the coarsest"
    )
    minutes: Positive = Field(description="time of all runs together on two cores")
    levels: CaseLevels | None = Field(default=None, description="refinement")
    settings: Settings = Field(
        default_factory=dict, description="numbers that a check in Python goes by, such as its mesh sizes"
    )
    expect: tuple[Expectation, ...] = Field(min_length=1, description="what has to come out")
    picture: Text | None = Field(
        default=None,
        description="picture of the page: cells, levels, convergence, slices, rve; a check in Python brings its own",
    )
    caption: Text | None = Field(default=None, description="what the picture shows, Markdown")

    def numbers(self, name: str) -> tuple[float, ...]:
        """A setting that is a number or a list of numbers. Raises BadInput."""
        value = self.settings.get(name)
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(number, float) for number in numbers):
            raise BadInput(f"case.settings.{name}: required by {self.command} (allowed: numbers)")
        return tuple(float(number) for number in numbers)

    @property
    def is_study(self) -> bool:
        """Whether the case runs a command of dfx-homog, and not a check in Python."""
        return self.command in STUDIES

    @model_validator(mode="after")
    def _fits(self) -> Case:
        for position, entry in enumerate(self.expect):
            for key, reason in self._misfits(entry):
                raise wrong(f"expect.{position}.{key}", reason)
        if self.picture is not None and not self.is_study:
            raise wrong("picture", f"{self.command} brings its own (allowed: with a command of dfx-homog)")
        if self.picture is not None and self.picture not in PICTURES:
            raise wrong("picture", f"{show(self.picture)} is not known (allowed: {', '.join(PICTURES)})")
        return self

    def _misfits(self, entry: Expectation) -> Iterator[tuple[str, str]]:
        if entry.has_order and self.levels is None:
            yield (
                "order_at_least" if entry.order_at_least is not None else "order_at_most",
                "an order needs [case.levels] (allowed: with it)",
            )
        if entry.across_ranks is not None and len(self.ranks) == 1:
            yield (
                "across_ranks",
                f"there is one number of ranks, {self.ranks[0]} (allowed: with several in case.ranks)",
            )


PICTURES = ("cells", "levels", "convergence", "slices", "rve")
