"""What makes two runs the same one, so that the second may go on where the first stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dfx_homog.runfile.models import Run

#: Tables that change how a run is solved, kept and compared, not what is solved.
FREE = ("case", "checkpoint", "scaling", "solver")
VERSION = 3  # of what checkpoints and kept files hold; others are not gone on from


def digest(run: Run) -> str:
    """Checksum of all keys but those of FREE, and of the contents of the files that the run names. Raises OSError."""
    keys = {name: value for name, value in _keys(run) if not _names_file(name)}
    files = {name: file_digest(Path(value)) for name, value in _keys(run) if _names_file(name)}
    text = json.dumps([VERSION, keys, files], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def given_keys(run: Run) -> dict[str, Any]:
    """The keys that the run file gives itself, dotted, those of FREE and names of files apart."""
    tables = run.model_dump(by_alias=True, exclude_unset=True)
    flat = _flat("", {name: table for name, table in tables.items() if name not in FREE})
    return {name: value for name, value in flat if not _names_file(name)}


def named_files(run: Run) -> list[Path]:
    """The files that the run names, in the order of their keys."""
    return [Path(value) for name, value in _keys(run) if _names_file(name)]


def difference(run: Run, other: Run) -> str | None:
    """The first key, FREE ones apart, in which two runs differ; None if there is none. Files are not looked into."""
    mine, theirs = ({name: value for name, value in _keys(r) if not _names_file(name)} for r in (run, other))
    for name in mine | theirs:
        if mine.get(name) != theirs.get(name):
            return name
    return None


def _keys(run: Run) -> Iterator[tuple[str, Any]]:
    tables = run.model_dump(by_alias=True, exclude_none=True)
    return _flat("", {name: table for name, table in tables.items() if name not in FREE})


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        items = [(str(key), entry) for key, entry in value.items()]
    elif isinstance(value, list | tuple):
        items = [(str(position), entry) for position, entry in enumerate(value)]
    else:
        yield name, value
        return
    for key, entry in items:
        yield from _flat(f"{name}.{key}" if name else key, entry)


def _names_file(name: str) -> bool:
    return name.rpartition(".")[2] in ("file", "current_file", "mesh")


def file_digest(path: Path) -> str:
    """SHA-256 of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
