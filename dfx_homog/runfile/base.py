"""What all tables of the run file have in common."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Table(BaseModel):
    """A table of the run file: unknown keys are errors, values are checked once and then stay as they are."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, arbitrary_types_allowed=True, defer_build=True
    )

    #: Keys of the interface that this version does not offer, each with what it offers instead.
    LATER: ClassVar[dict[str, str]] = {}
    #: Keys that belong to the same table under other circumstances, each with what to do here.
    ELSEWHERE: ClassVar[dict[str, str]] = {}


def wrong(key: str, reason: str) -> PydanticCustomError:
    """The error of a check over several keys; `key` (dotted, below the checking table) is to blame."""
    return PydanticCustomError("wrong", "{reason}", {"key": key, "reason": reason})
