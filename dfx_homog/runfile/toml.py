"""Writing TOML; the standard library only reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def to_toml(table: Mapping[str, Any]) -> str:
    """`table` (strings, booleans, numbers, lists, tables) as TOML that tomllib reads back to equal values.

    Keys that are whole numbers become text, the only kind that TOML has.
    """
    return "\n\n".join(_sections("", table)) + "\n"


def _sections(name: str, table: Mapping[str, Any]) -> list[str]:
    plain = [f"{written_key(k)} = {_value(v)}" for k, v in table.items() if not isinstance(v, Mapping)]
    sections = ["\n".join([f"[{name}]"] * bool(name) + plain)] if plain or not table else []
    for key, value in table.items():
        if isinstance(value, Mapping):
            sections += _sections(f"{name}.{written_key(key)}" if name else written_key(key), value)
    return sections


def written_key(key: str | int) -> str:
    """The key as TOML has it: bare, or in quotes with escapes."""
    key = str(key)
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _text(key)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{written_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    raise TypeError(f"TOML has no {type(value).__name__}")
