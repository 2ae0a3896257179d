"""From a TOML file to a checked Run."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dfx_homog.errors import BadInput, unreadable
from dfx_homog.runfile.messages import describe
from dfx_homog.runfile.models import Run
from dfx_homog.runfile.source import complete
from dfx_homog.runfile.toml import written_key
from dfx_homog.runfile.types import show

DICT = "run"  # stands for the file's name in messages where there is no file
LARGEST_FILE = 2_000_000  # bytes; a run file has a few kilobytes
DEEPEST = 20  # tables and lists inside one another, hence also parts of a dotted key
#: A key of more parts than DEEPEST. The parser's time grows with the square of their number, so it must not see it.
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"""(?<![\w"'-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{DEEPEST}}}""", re.ASCII)


Changes = Mapping[str, Any] | Sequence[str]


def load(source: str | Path | Mapping[str, Any], changes: Changes = ()) -> Run:
    """A checked run from a run file in TOML, or from a dict with the same tables.

    changes: keys to override, {"time.dt": 0.01} or ["time.dt=0.01"] as --set has them; entries of lists by position,
    "protocol.steps.0.current". Files that a run file names are looked for beside it, those of a dict in the working
    directory. Not collective: in a script under mpirun every rank calls it.

    Raises BadInput with one line: file, key and what is allowed.

    >>> run = load("runs/cells-2d.toml", {"microstructure.wavy.mesh_size": 0.05})
    >>> run.microstructure["wavy"].mesh_size
    0.05
    """
    if isinstance(source, Mapping):
        name, folder, data = DICT, Path(), _copied(source)
    else:
        path = Path(source)
        name, folder, data = str(source), path.parent, _with_base(_read(path), path)
    for key, value in changes.items() if isinstance(changes, Mapping) else map(_parsed, changes):
        _override(data, key, value)
    if key := _too_deep(data):
        raise BadInput(f"{name}: {key}: nested too deeply (allowed: {DEEPEST} levels)")
    try:
        completed = complete(data, folder)
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None
    try:
        run = Run.model_validate(completed.data, context={"folder": str(folder)})
    except ValidationError as error:
        raise BadInput(f"{name}: {describe(error)}") from None
    run._source, run._notes, run._given = name, completed.notes, completed.given
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
    try:
        base = _read(path.parent / name)
    except BadInput as error:
        raise BadInput(f"{path}: case.of: {error}") from None
    if "case" in base:
        raise BadInput(f"{path}: case.of: {name} is a case itself (allowed: a run file without [case])")
    return {**base, **data, "case": {key: value for key, value in case.items() if key != "of"}}


def _copied(value: Any) -> Any:
    """Tables and lists that are the run's own, with plain numbers in place of numpy's, and paths as text."""
    if isinstance(value, Mapping):
        return {str(key): _copied(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(entry) for entry in value]
    if isinstance(value, Path):
        return str(value)
    # numpy is not imported for this: what has no such method is what it is
    return value.tolist() if hasattr(value, "tolist") else value


def _read(path: Path) -> dict[str, Any]:
    try:
        if not path.exists():
            raise BadInput(f"{path}: no such file (allowed: a run file in TOML)")
        if not path.is_file():
            raise BadInput(f"{path}: not a file (allowed: a run file in TOML)")
        if path.stat().st_size > LARGEST_FILE:
            raise BadInput(f"{path}: larger than {LARGEST_FILE} bytes (allowed: a run file in TOML)")
        text = path.read_bytes().decode("utf-8")
        if _LONG_KEY.search(text):
            raise BadInput(f"{path}: a key of more than {DEEPEST} parts (allowed: keys of docs/runfile.md)")
        return tomllib.loads(text)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path}: not a text file in UTF-8 (allowed: a run file in TOML)") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not TOML: {unreadable(error)}") from None


def _too_deep(data: dict[str, Any]) -> str:
    """The first key below which tables and lists are nested beyond DEEPEST, "" if there is none."""
    for key, value in data.items():
        level = [value]
        for _ in range(DEEPEST):
            level = [
                inner
                for outer in level
                if isinstance(outer, dict | list)
                for inner in (outer.values() if isinstance(outer, dict) else outer)
            ]
        if level:
            return written_key(key)
    return ""


def _parsed(override: str) -> tuple[str, Any]:
    """Key and value of key.path=value."""
    key, equals, text = override.partition("=")
    if not equals:
        raise BadInput(f"--set {show(override)}: allowed is key.path=value")
    value = None if _LONG_KEY.search(text) else _parse_value(text)
    if value is None or _too_deep({"value": value}):
        raise BadInput(f"--set {show(key)}: nested too deeply (allowed: {DEEPEST} levels)")
    return key, value


def _override(data: dict[str, Any], key: str, value: Any) -> None:
    """Set one key; list entries are addressed by their position, protocol.steps.0.current."""
    names = [name.strip() for name in key.split(".")]
    if not all(names):
        raise BadInput(f"--set {show(key)}: allowed is key.path=value")
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
            place[index] = _copied(value)
        else:
            place = place[index]


def _parse_value(text: str) -> Any:
    """`text` as a TOML value; what is not TOML is a string that needs no quotes."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text.strip()
    return table["value"] if len(table) == 1 else text.strip()
