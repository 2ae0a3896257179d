"""Numbers in the results of a run by their paths, as case.expect names them."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

NEAR = 1e-9  # of the time asked for, relative: rows are written at the end of steps


class Missing(Exception):
    """There is no such quantity."""


def read(directory: Path, quantity: str) -> dict[str, float | None]:
    """The numbers that `quantity` means in a directory of results, by their full paths; None for what is no number.

    Raises Missing, with what there is in its place.
    """
    folder, slash, rest = quantity.rpartition("/")
    if rest.startswith("history."):
        return {quantity: _column(directory / folder / "history.csv", rest.removeprefix("history."))}
    if slash:
        raise Missing(f"{quantity}: only history.csv is read from a folder")
    try:
        result = json.loads((directory / "result.json").read_text())
    except (OSError, ValueError) as error:
        raise Missing(f"{quantity}: no result.json ({error})") from None
    return find(result, quantity)


def find(result: Any, path: str) -> dict[str, float | None]:
    """The numbers under `path` in nested mappings and lists. Raises Missing."""
    found: dict[str, float | None] = {}
    for name, value in _follow(result, path.split("."), ""):
        for leaf, number in leaves(value, name):
            found[leaf] = number
    if not found:
        raise Missing(f"{path}: nothing there")
    return found


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, float | None]]:
    """All numbers in nested mappings and lists, in order, with their paths; null is None, true is 1."""
    if isinstance(value, Mapping | list | tuple):
        entries = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, entry in entries:
            yield from leaves(entry, f"{name}.{key}" if name else str(key))
    elif value is None:
        yield name, None
    elif isinstance(value, bool | int | float):
        yield name, float(value) if math.isfinite(value) else None


def _follow(value: Any, steps: list[str], name: str) -> Iterator[tuple[str, Any]]:
    if not steps:
        yield name, value
        return
    step, rest = steps[0], steps[1:]
    for key in _keys(value) if step == "*" else [step]:
        below = f"{name}.{key}" if name else key
        if isinstance(value, Mapping) and key in value:
            yield from _follow(value[key], rest, below)
        elif (
            isinstance(value, list | tuple)
            and key.lstrip("-").isdecimal()
            and -len(value) <= int(key) < len(value)
        ):
            yield from _follow(value[int(key)], rest, below)
        else:
            raise Missing(f"{below}: not there ({', '.join(_keys(value)) or 'a single value'} is)")


def _keys(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [str(key) for key in value]
    return [str(position) for position in range(len(value))] if isinstance(value, list | tuple) else []


def _column(path: Path, words: str) -> float:
    """COLUMN@TIME, COLUMN@end or COLUMN@max of a history. Raises Missing."""
    column, _, when = words.partition("@")
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        values = [float(row[column]) for row in rows]
        times = [float(row["time"]) for row in rows]
    except KeyError:
        raise Missing(f"{path.name}: no column {column}") from None
    except (OSError, ValueError) as error:
        raise Missing(f"{path.name}: {error}") from None
    if when == "max":
        known = [abs(v) for v in values if math.isfinite(v)]
        if known:
            return max(known)
        raise Missing(f"{words}: no number in this column")
    try:
        wanted = times[-1] if when == "end" else float(when)
    except (IndexError, ValueError):
        raise Missing(f"{words}: allowed is COLUMN@TIME, @end or @max") from None
    nearest = min(range(len(times)), key=lambda i: (abs(times[i] - wanted), i))
    if abs(times[nearest] - wanted) > NEAR * max(1.0, abs(wanted)):
        raise Missing(f"{words}: no row at this time, the nearest is {times[nearest]:g}")
    return values[nearest]
