"""[scaling]: how the time of a command depends on the number of ranks and on the size of the problem."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, model_validator

from dfx_homog.runfile.base import Table, wrong
from dfx_homog.runfile.types import Allowed, Count, Flag, Positive, list_of, one_of, show, whole_number_in

COMMANDS = ("cell", "rve", "resolved", "homogenised", "convergence")
LARGEST_RANKS, LARGEST_SIZE = 1_000_000, 1_000_000


def _increasing(largest: int) -> PlainValidator:
    def check(value: Any) -> tuple[int, ...]:
        found = list_of(value, lambda n: whole_number_in(n, 1, largest))
        if any(b <= a for a, b in pairwise(found)):
            raise ValueError(f"{show(list(found))} does not increase")
        return found

    return PlainValidator(check)


Numbers = Annotated[
    tuple[int, ...], Allowed("a list of increasing whole numbers > 0"), _increasing(LARGEST_RANKS)
]
Multiples = Annotated[
    tuple[int, ...], Allowed("a list of increasing whole numbers > 0"), _increasing(LARGEST_SIZE)
]
Studied = Annotated[
    Literal["cell", "rve", "resolved", "homogenised", "convergence"],
    Allowed(", ".join(f'"{name}"' for name in COMMANDS)),
    one_of(list(COMMANDS)),
]
Grown = Annotated[
    Literal["periods", "lateral_periods", "elements", "lateral_elements"],
    Allowed('"periods", "lateral_periods", "elements" or "lateral_elements", of those that the command has'),
    one_of(["periods", "lateral_periods", "elements", "lateral_elements"]),
]


class Scaling(Table):
    """[scaling]: for the command `scaling`; all others take no notice of it."""

    command: Studied = Field(description="what is measured")
    ranks: Numbers = Field(default=(1, 2, 4), description="numbers of ranks")
    sizes: Multiples = Field(
        default=(1,),
        description="sizes of the problem in multiples of the run file's, each measured on all ranks (strong scaling)",
    )
    weak: Flag = Field(
        default=True,
        description="also problems that grow with the ranks, from the run file's on the fewest (weak scaling)",
    )
    grow: Grown | None = Field(
        default=None,
        description="what grows of resolved (default: lateral_periods) and homogenised (default: elements); of "
        "convergence it is lateral_periods, of rve realisations, of cell mesh_size or voxels",
    )
    repetitions: Count = Field(
        default=2, description="runs of each problem on each number of ranks; the fastest counts"
    )
    warm_up: Flag = Field(
        default=True,
        description="one run before all others that is not counted: it compiles what is not in the cache",
    )
    minutes: Positive = Field(default=60.0, description="after which a run is ended, and with it the study")

    @model_validator(mode="after")
    def _multiples(self) -> Scaling:
        if self.weak and any(n % self.ranks[0] for n in self.ranks):
            raise wrong("ranks", f"{list(self.ranks)} are not multiples of the first, as weak = true needs")
        return self

    @property
    def points(self) -> tuple[tuple[int, int], ...]:
        """All (size, ranks) to measure, small ones first."""
        strong = {(size, ranks) for size in self.sizes for ranks in self.ranks}
        return tuple(sorted(strong | set(self.weak_points)))

    @property
    def weak_points(self) -> tuple[tuple[int, int], ...]:
        """(size, ranks) of weak scaling, none if it is not wanted."""
        return tuple((ranks // self.ranks[0], ranks) for ranks in self.ranks) if self.weak else ()
