"""What the makers of unit cells ask of a table of the run file."""

from __future__ import annotations

from typing import Protocol


class Spec(Protocol):
    """What all families have in common; each family reads its own keys of the run file besides."""

    @property
    def geometry(self) -> str: ...
    @property
    def mesh_size(self) -> float: ...
    @property
    def order(self) -> int: ...
