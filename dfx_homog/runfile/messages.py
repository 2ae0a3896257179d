"""One clear line for whatever is wrong with a run file."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from dfx_homog.runfile.base import Table
from dfx_homog.runfile.geometry import FAMILIES
from dfx_homog.runfile.models import Parameters, Run
from dfx_homog.runfile.parameters_si import ParametersSI
from dfx_homog.runfile.toml import written_key
from dfx_homog.runfile.types import Allowed, show
from dfx_homog.runfile.voxels import STEPS

#: Tables of which one key tells the kind, by that key.
VARIANTS: dict[str, type[Table]] = {**STEPS, "dimensionless": Parameters, "SI": ParametersSI}


MOST = 50  # errors that are looked at closely, of which six at most are told


def keys_of(table: type[BaseModel]) -> dict[str, FieldInfo]:
    """The table's keys as they are written in the file."""
    return {field.alias or name: field for name, field in table.model_fields.items()}


def _parts(annotation: Any) -> Iterator[Any]:
    """The annotation and everything inside its brackets."""
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def allowed(field: FieldInfo) -> str:
    """What the key may hold, in words."""
    for part in [*field.metadata, *_parts(field.annotation)]:
        if isinstance(part, Allowed):
            return part.text
    options = [a for p in _parts(field.annotation) for a in get_args(p) if isinstance(a, str)]
    return " or ".join(f'"{o}"' for o in options) if options else "a table"


def tables_of(field: FieldInfo) -> list[type[Table]]:
    """The models of a key that holds a table or a list of tables; several where one of its keys tells which."""
    parts = [part for part in _parts(field.annotation) if isinstance(part, type) and part is not NoneType]
    return list(dict.fromkeys(part for part in parts if issubclass(part, Table)))


def describe(error: ValidationError) -> str:
    """The most telling of the errors as `key: reason (allowed: …)`; the keys of the others follow.

    Unknown keys come first, the outer ones before: a misspelt key explains the missing one. So do units that are not
    known, which decide on what keys there are.
    """

    def importance(e: ErrorDetails) -> tuple[bool, bool, int]:
        unknown = e["type"] == "extra_forbidden"
        return e["loc"][-1:] != ("units",), not unknown, len(e["loc"]) if unknown else 0

    errors = sorted(error.errors(include_url=False), key=importance)
    lines = [_line(e) for e in errors[:MOST]]
    others = list(dict.fromkeys(key for key, _ in lines[1:] if not lines[0][0].startswith(key)))
    rest = (
        f"; also wrong: {', '.join(others[:5])}" + (" and more" if len(others) > 5 else "") if others else ""
    )
    return f"{lines[0][0]}: {lines[0][1]}{rest}"


def _line(error: ErrorDetails) -> tuple[str, str]:
    """(dotted key, reason) of one error."""
    location, kind, context = list(error["loc"]), error["type"], error.get("ctx", {})
    if kind == "wrong":
        location += [int(p) if p.isdecimal() else p for p in str(context["key"]).split(".")]
    if len(location) > 2 and location[0] == "microstructure" and location[2] in FAMILIES:
        family = FAMILIES[str(location.pop(2))]
        path, owner, field = _follow(location[2:], family, [written_key(str(p)) for p in location[:2]])
    else:
        path, owner, field = _follow(location, Run, [])
    key = ".".join(path)
    if kind == "extra_forbidden":
        return key, unknown_key(path[-1], owner)
    if kind.startswith("union_tag"):
        return _wrong_tag(key, error)
    words = f" (allowed: {allowed(field)})" if field is not None else ""
    if kind == "missing":
        meaning = f", {field.description}" if field is not None and field.description else ""
        return key, f"required{meaning}{words}"
    if kind == "wrong":  # a check over several keys: what one key alone may hold would not explain it
        return key, str(context["reason"])
    if kind == "value_error":
        reason = str(context["error"])
        return key, reason if "allowed" in reason else f"{reason}{words}"
    return key, f"{show(error['input'])} is not allowed{words or ' (allowed: a table)'}"


def _wrong_tag(key: str, error: ErrorDetails) -> tuple[str, str]:
    """(dotted key, reason) where the key that tells which kind of table this is, is missing or not known."""
    chooser = str(error["ctx"]["discriminator"]).strip("'")
    options = list(FAMILIES) if chooser == "geometry" else list(STEPS)
    tag = error["input"].get(chooser) if isinstance(error["input"], dict) else None
    reason = "required" if tag is None else f"{show(tag)} is not known"
    return f"{key}.{chooser}", f"{reason} (allowed: {', '.join(options)})"


def unknown_key(key: str, owner: type[Table]) -> str:
    """Why `key` is refused in the table `owner`, with the nearest known key."""
    if key in owner.LATER:
        return f"not in this version: {owner.LATER[key]}"
    if key in owner.ELSEWHERE:
        return owner.ELSEWHERE[key]
    known = list(keys_of(owner))
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    guess = f"; did you mean {near[0]}?" if near else ""
    return f"unknown key{guess} (allowed: {', '.join(known)})"


def _follow(
    location: list[str | int], owner: type[Table], path: list[str]
) -> tuple[list[str], type[Table], FieldInfo | None]:
    """Walk a location down the models: dotted path, the table of its last key, that key's field if known."""
    field: FieldInfo | None = None
    for part in location:
        if isinstance(part, int):
            path[-1] += f"[{part}]"
            continue
        inner = tables_of(field) if field is not None else []
        if len(inner) > 1 and part in VARIANTS:  # the kind of the table, which is no key
            owner, field = VARIANTS[part], None
            continue
        owner = inner[0] if inner else owner
        field = keys_of(owner).get(part)
        path.append(written_key(part))
    return path, owner, field
