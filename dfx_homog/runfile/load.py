"""From a TOML file to a checked Run."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dfx_homog.errors import BadInput
from dfx_homog.runfile.messages import describe
from dfx_homog.runfile.models import Run
from dfx_homog.runfile.source import complete
from dfx_homog.runfile.types import show

LARGEST_FILE = 10_000_000  # bytes; a run file has a few kilobytes


def load(path: str | Path, overrides: Sequence[str] = ()) -> Run:
    """The run that the file describes, after `key.path=value` overrides.

    Raises BadInput with one line: file, key and what is allowed. Serial: call it on one rank.
    """
    data = _with_base(_read(Path(path)), Path(path))
    for override in overrides:
        _override(data, override)
    try:
        completed = complete(data, Path(path).parent)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    try:
        # files that it names are looked for beside it
        run = Run.model_validate(completed.data, context={"folder": str(Path(path).parent)})
    except ValidationError as error:
        raise BadInput(f"{path}: {describe(error)}") from None
    run._source, run._notes, run._given = str(path), completed.notes, completed.given
    return run


def _with_base(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """The tables of the run file that case.of names, under those of this one. Raises BadInput."""
    case = data.get("case")
    if not isinstance(case, dict) or "of" not in case:
        return data
    name = case["of"]
    if not isinstance(name, str) or Path(name).suffix != ".toml" or "\0" in name:
        raise BadInput(
            f"{path}: case.of: {show(name)} is no run file (allowed: the name of a run file, .toml)"
        )
    base = _read(path.parent / name)
    if "case" in base:
        raise BadInput(f"{path}: case.of: {name} is a case itself (allowed: a run file without [case])")
    return {**base, **data, "case": {key: value for key, value in case.items() if key != "of"}}


def _read(path: Path) -> dict[str, Any]:
    try:
        if not path.exists():
            raise BadInput(f"{path}: no such file (allowed: a run file in TOML)")
        if not path.is_file():
            raise BadInput(f"{path}: not a file (allowed: a run file in TOML)")
        if path.stat().st_size > LARGEST_FILE:
            raise BadInput(f"{path}: larger than {LARGEST_FILE} bytes (allowed: a run file in TOML)")
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path}: not a text file in UTF-8 (allowed: a run file in TOML)") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not TOML: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())


def _override(data: dict[str, Any], override: str) -> None:
    """Set one key; list entries are addressed by their position, protocol.steps.0.current=0.1."""
    key, equals, text = override.partition("=")
    names = [name.strip() for name in key.split(".")]
    if not equals or not all(names):
        raise BadInput(f"--set {show(override)}: allowed is key.path=value")
    place: Any = data
    for depth, name in enumerate(names):
        last = depth == len(names) - 1
        if isinstance(place, list) and name.isdecimal() and int(name) < len(place):
            index: Any = int(name)
        elif isinstance(place, dict):
            index = name
            if not last:
                place.setdefault(name, {})
        else:
            raise BadInput(f"--set {key}: {'.'.join(names[:depth])} has no entry {name}")
        if last:
            place[index] = _parse_value(text)
        else:
            place = place[index]


def _parse_value(text: str) -> Any:
    """`text` as a TOML value; what is not TOML is a string that needs no quotes."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text.strip()
    return table["value"] if len(table) == 1 else text.strip()
