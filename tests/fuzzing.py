"""Run files for fuzzing: strategies made of the models of the run file, so that a new key is covered when it comes.

What a key may hold is found by showing candidates to the key's own validator. Files that run files name are made by
`make_files`.
"""

from __future__ import annotations

import copy
import datetime
import json
import math
import re
import shutil
import tomllib
from collections.abc import Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import numpy as np
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from dfx_homog.runfile.base import Table
from dfx_homog.runfile.geometry import FAMILIES
from dfx_homog.runfile.messages import allowed, keys_of, tables_of
from dfx_homog.runfile.models import REGIONS, Run
from dfx_homog.runfile.parameters_si import ParametersSI
from dfx_homog.runfile.source import Source
from dfx_homog.runfile.toml import written_key

TOP = Path(__file__).resolve().parents[1]
Data = dict[str, Any]
FILES = ("image.npy", "image.tif", "image.raw", "cell.msh", "cycle.csv", "cell.json", "base.toml")

# ---- what a key may hold

NUMBERS = (
    0.0,
    1.0,
    0.5,
    2.0,
    0.05,
    0.2,
    0.25,
    0.3,
    0.9,
    4.0,
    10.0,
    100.0,
    298.15,
    1000.0,
    3e4,
    1e-3,
    5e-6,
    1e-14,
    -1.0,
)
WHOLE = (0, 1, 2, 3, 4, 5, 6, 8, 18, 20, 26)
LISTS = (
    *([1], [2], [1, 1], [2, 2], [2, 1, 2], [1, 1, 1], [2, 4], [4, 4, 4], [8, 8, 8], [0, 1], [1, 0], [1, 0, 0], [0, 7]),
    *([0.5], [0.2], [0.5, 0.5], [0.3, 0.2], [0.4, 0.2, 0.4], [0.3, 0.2, 0.1], [0.1, 0.5], [1.0, 2.0, 4.0]),
    *([[2, 1, 2], [4, 2, 4]], [[1, 1, 1], [2, 2, 2], [4, 4, 4]], [[0, 4], [0, 4]], [[0, 6], [1, 6], [0, 5]]),
    *([[2.0, 0.5], [0.5, 1.0]], [[2.0, 0.5, 0.0], [0.5, 1.0, 0.1], [0.0, 0.1, 1.0]], [[0.0, 0.5]]),
    *([[0.5, 0.5]], [[0.0, 0.0], [0.5, 0.5]], [[0.5, 0.5, 0.5]], [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]),
    *(["periodic"], ["periodic", "dirichlet", "flux", "through"], ["V<0.1", "I<0.05"]),
)  # fmt: skip
TEXTS = (
    *("0.25 - 0.3*(c - 0.5)", "1 + 0.5*c*c", "1.0 - 0.1*tanh(4*(c - 0.5)) + 0.05*T", "0.2*sin(2*pi*t) + 0.1"),
    *("0.3", "1 + 0.1*y1", "0.1*(1 + y2)", "cos(2*pi*x) + cos(2*pi*y) + cos(2*pi*z)", "sin(2*pi*x)*cos(2*pi*y)"),
    *("V<0.1", "V > 1.2", "I<0.05", "a few words"),
)  # fmt: skip
MAPPINGS = ({"7": 1.0}, {"0": 1.0, "7": 2.0}, {"x1_low": 1.0, "x1_high": 2.0}, {"outer": 1.0, "low": 0.5})


@cache
def candidates(words: str) -> tuple[Any, ...]:
    """Values to try for a key whose meaning is described in these words."""
    quoted = re.findall(r'"([^"]*)"', words)
    return (*quoted, *FILES, *NUMBERS, *WHOLE, True, False, *LISTS, *TEXTS, *MAPPINGS)


_accepted: dict[tuple[int, str], list[Any]] = {}


def accepted(field: FieldInfo, folder: Path) -> list[Any]:
    """The candidates that the key's own validator lets through."""
    key = (id(field), str(folder))
    if key not in _accepted:
        adapter: TypeAdapter[Any] = TypeAdapter(Annotated[field.annotation, *field.metadata, None])
        good = []
        words = allowed(field) + " ".join(f'"{a}"' for a in get_args(field.annotation) if isinstance(a, str))
        for value in candidates(words):
            try:
                adapter.validate_python(value, context={"folder": str(folder)})
            except ValidationError:
                continue
            if not isinstance(value, str) or value not in FILES or (folder / value).is_file():
                good.append(value)
        # a run file below this one is read before the models are asked
        _accepted[key] = good or [name for name in FILES if Path(name).suffix in allowed(field)]
    return _accepted[key]


def _container(annotation: Any) -> str:
    """How the tables of a key are held: "dict", "tuple" or "" for one alone."""
    for part in (annotation, *get_args(annotation)):
        origin = get_origin(part)
        if origin is dict or origin is tuple:
            return str(origin.__name__)
        if origin is Annotated and (inner := _container(get_args(part)[0])):
            return inner
    return ""


@st.composite
def values(draw: st.DrawFn, field: FieldInfo, folder: Path, share: float = 0.3) -> Any:
    """A value that the key alone accepts; tables are filled from their own models."""
    kinds = tables_of(field)
    if not kinds:
        return copy.deepcopy(draw(st.sampled_from(accepted(field, folder))))
    held = _container(field.annotation)
    one = tables(kinds, folder, share)
    if held == "dict":
        names = draw(st.sampled_from([list(REGIONS), ["one"], ["one", "two"]]))
        return {name: draw(one) for name in names}
    return draw(st.lists(one, min_size=1, max_size=3)) if held == "tuple" else draw(one)


@st.composite
def tables(draw: st.DrawFn, kinds: list[type[Table]], folder: Path, share: float = 0.3) -> Data:
    """A table of one of the kinds: all that is required, and each other key with probability `share`.

    Optional keys that its own checks refuse are taken out again.
    """
    kind = draw(st.sampled_from(kinds))
    found: Data = {}
    for key, field in keys_of(kind).items():
        if field.is_required() or draw(st.floats(0.0, 1.0)) < share:
            found[key] = draw(values(field, folder, share / 2))
    return _repaired(kind, found, folder)


def _repaired(kind: type[Table], table: Data, folder: Path) -> Data:
    for _ in range(6):
        try:
            kind.model_validate(table, context={"folder": str(folder)})
            break
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            location = [*first["loc"], *str(first.get("ctx", {}).get("key", "")).split(".")]
            key = next((k for k in location if k in table), None)
            field = keys_of(kind).get(str(key))
            if key is None or field is None or field.is_required():
                break
            table = {k: v for k, v in table.items() if k != key}
    return table


# ---- whole run files


def make_files(folder: Path) -> None:
    """The files that run files name, all good."""
    import tifffile

    labels = np.zeros((6, 6, 6), dtype=np.uint8)
    labels[1:5, 1:5, :] = 7
    np.save(folder / "image.npy", labels)
    tifffile.imwrite(folder / "image.tif", labels)
    (folder / "image.raw").write_bytes(labels.tobytes())
    (folder / "cycle.csv").write_text("time,current\n0,0.1\n0.5,0.2\n1,0\n")
    shutil.copy(TOP / "tests" / "data" / "lgm50.json", folder / "cell.json")
    (folder / "base.toml").write_text(text_of(shipped()[0]))
    (folder / "cell.msh").write_text(square_mesh(4))


def square_mesh(n: int, last: int | None = None) -> str:
    """The unit square of 2 n^2 triangles as a file of gmsh (2.2), solid between z2 = 1/4 and 3/4.

    last: number of the last node
    """
    numbers = [*range(1, (n + 1) ** 2), last or (n + 1) ** 2]
    nodes = [f"{numbers[i + (n + 1) * j]} {i / n} {j / n} 0" for j, i in product(range(n + 1), repeat=2)]
    cells = []
    for j, i in product(range(n), repeat=2):
        a = i + (n + 1) * j
        tag = 1 if n / 4 <= j < 3 * n / 4 else 2
        for corners in ((a, a + 1, a + n + 2), (a, a + n + 2, a + n + 1)):
            cells.append(
                f"{len(cells) + 1} 2 2 {tag} {tag} {' '.join(str(numbers[corner]) for corner in corners)}"
            )
    parts = {
        "MeshFormat": ["2.2 0 8"],
        "PhysicalNames": ["2", '2 1 "solid"', '2 2 "electrolyte"'],
        "Nodes": [str(len(nodes)), *nodes],
        "Elements": [str(len(cells)), *cells],
    }
    return "\n".join(
        line for name, lines in parts.items() for line in (f"${name}", *lines, f"$End{name}", "")
    )


def coarse(data: Data) -> Data:
    """The same with few cells, where it is meshed."""
    for table in data.get("microstructure", {}).values():
        if isinstance(table, dict) and isinstance(table.get("mesh_size"), float):
            table["mesh_size"] = max(table["mesh_size"], 0.2)
    return data


@cache
def _shipped() -> tuple[str, ...]:
    found = []
    for path in sorted((TOP / "runs").rglob("*.toml")):
        data = tomllib.loads(path.read_text())
        if "file" not in str(data) and "of" not in data.get("case", {}):
            found.append(json.dumps(coarse(data)))
    return tuple(found)


def shipped() -> list[Data]:
    """The run files of the repository, coarse, but for those that name files."""
    return [json.loads(text) for text in _shipped()]


def paths_of(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Of everything in it."""
    found = [path] if path else []
    if isinstance(data, Mapping):
        for key, value in data.items():
            found += paths_of(value, (*path, key))
    elif isinstance(data, list):
        for key, value in enumerate(data[:5]):
            found += paths_of(value, (*path, key))
    return found


def place_of(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


def model_of(data: Data, path: tuple[Any, ...]) -> type[Table] | None:
    """The model of the table there, None if there is none."""
    model: type[Table] = Run
    here: Any = data
    for key in path:
        here = here[key] if isinstance(here, dict | list) else None
        if model is Run and key == "parameters":
            si = (
                "set" in here or "bpx" in here or here.get("units") == "SI"
                if isinstance(here, dict)
                else False
            )
            model = ParametersSI if si else tables_of(keys_of(Run)["parameters"])[0]
            continue
        if isinstance(here, list) or (model is Run and key == "microstructure"):
            field = keys_of(model).get(str(key))
            kinds = tables_of(field) if field is not None else []
            model = kinds[0] if kinds else model
            continue
        if isinstance(here, dict) and here.get("geometry") in FAMILIES and len(path) >= 2:
            model = FAMILIES[here["geometry"]]  # type: ignore[assignment]
            continue
        if isinstance(key, int):
            continue
        field = keys_of(model).get(str(key))
        kinds = tables_of(field) if field is not None else []
        if not kinds:
            return None
        model = kinds[0]
    return model


@st.composite
def run_files(draw: st.DrawFn, folder: Path) -> Data:
    """Mostly right: a shipped run file with a few keys replaced by what their models accept, or one from the models."""
    if draw(st.integers(0, 5)) == 0:
        data: Data = draw(tables([Run], folder, 0.6))
        if draw(st.booleans()):
            source = draw(tables([Source], folder, 0.5))
            data["parameters"] = {**source, **draw(tables([ParametersSI], folder, 0.2))} if source else {}
        return data
    data = draw(st.sampled_from(shipped()))
    for _ in range(draw(st.integers(0, 3))):
        spots = [p for p in [(), *paths_of(data)] if isinstance(place_of(data, p), dict)]
        spot = draw(st.sampled_from(spots))
        model = model_of(data, spot)
        if model is None:
            continue
        keys = keys_of(model)
        key = draw(st.sampled_from(sorted(keys)))
        table = place_of(data, spot)
        if key in table and draw(st.integers(0, 3)) == 0:
            del table[key]
        elif model is Run and key == "microstructure" and isinstance(table.get(key), dict) and table[key]:
            name = draw(st.sampled_from(sorted(table[key])))
            table[key][name] = draw(tables(list(FAMILIES.values()), folder))  # type: ignore[arg-type]
        else:
            table[key] = draw(values(keys[key], folder))
    return data


# ---- what is wrong

FORMULAS = (
    *("9**9**9", "9**9**9**9", "2**-3000", "c**c**c**c", "1/0", "1/(c - c)", "log(0)", "log(-1)", "sqrt(-c)"),
    *("exp(exp(exp(c)))", "1e999", "1e-999", "c +", "(" * 40 + "c" + ")" * 40, "(" * 5000, "-" * 5000 + "c"),
    *("c" + " + c" * 5000, "c" + "*c" * 90, "sin(" * 60 + "c" + ")" * 60, "min(c)", "max(c, T, 1)", "0x10", "1_000"),
    *("__import__('os').system('true')", "c.__class__", "eval(1)", "c if c else T", "[c]", "c;T", "é"),
    *("c/1e-300", "1e308*10*c", "exp(700)*exp(700)", "1e308 + 1e308", "t/(t - 0.1)", "1/t", "y3", "x", "\x00", "٣"),
    *("tanh(1e308*1e10)", "c" * 60000, "1" * 400, "c**100**1", "0**-1", "0**0", "sign()", "sign(c)/0", "(-1)**0.5"),
)  # fmt: skip
ODD = (
    *(math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, 1e-300, 10**400, -(10**30), 2**63, 2**31, 10**6, 0, -1),
    *("", " ", "x", "true", "nan", "1.0", "../../x", "/etc/passwd", "a/b", "x" * 3000, "\x1b[31m", "a\nb", "\u202e"),
    *([], [[]], {}, {"": 1}, {"x": {"y": 1}}, [0] * 3000, [1.0] * 3, [1, 2], ["a"], [[1, 2], [3]], [[1.0, 2.0]] * 2),
    *(True, False, datetime.date(2020, 2, 2), datetime.time(1, 2), datetime.datetime(2020, 1, 1, 1, 1), 1, 0.5, "é"),
)  # fmt: skip
NAMES = (
    "nonsense",
    "",
    "Geometry",
    "mesh-size",
    "a b",
    "é",
    "\x1b[2J",
    "a\nb",
    "\u202e",
    "__class__",
    "x" * 300,
    "1",
    "dim",
)


def deep(depth: int, kind: str) -> Any:
    found: Any = 1.0
    for _ in range(depth):
        found = [found] if kind == "list" else {"a": found}
    return found


hostile = st.one_of(
    st.sampled_from(ODD),
    st.sampled_from(FORMULAS),
    st.builds(deep, st.sampled_from([3, 20, 80]), st.sampled_from(["list", "dict"])),
    st.floats(allow_nan=True),
    st.integers(-(10**25), 10**25),
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.text(alphabet="cTtxyz0123456789.eE+-*/(),sincoexplgtahqrmw_ ", max_size=30),
)


@st.composite
def broken(draw: st.DrawFn, folder: Path) -> Data:
    """A run file in which one to three things are wrong, probably."""
    data: Data = draw(run_files(folder))
    for _ in range(draw(st.integers(1, 3))):
        everywhere = paths_of(data)
        if not everywhere:
            return data
        *above, key = draw(st.sampled_from(everywhere))
        place = place_of(data, tuple(above))
        kind = draw(st.integers(0, 5))
        if kind == 0:
            del place[key]
        elif kind == 1 and isinstance(place, dict):
            place[draw(st.sampled_from(NAMES))] = copy.deepcopy(draw(hostile))
        elif kind == 2 and isinstance(place, list):
            place.append(copy.deepcopy(draw(hostile)))
        elif kind == 3 and isinstance(place[key], list):
            place[key] = copy.deepcopy(place[key]) * draw(st.sampled_from([0, 2, 500]))
        else:
            place[key] = copy.deepcopy(draw(hostile))
    return data


def text_of(data: Data) -> str:
    """TOML, in inline tables below the first level."""
    return "".join(f"{written_key(key)} = {_inline(value)}\n" for key, value in data.items())


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written_key(k)} = {_inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int) and abs(value) >= 10**400:
        return "1" + "0" * 400
    return repr(value) if isinstance(value, int | float) else value.isoformat()


@st.composite
def contents(draw: st.DrawFn, folder: Path) -> bytes:
    """A file: a run file, or one whose bytes are no TOML, no UTF-8 or otherwise unusual."""
    content = text_of(draw(broken(folder) | run_files(folder))).encode()
    kind = draw(st.integers(0, 24))
    at = draw(st.integers(0, len(content))) if 0 < kind < 8 else 0
    if kind == 1:
        return content[:at]
    if kind == 2:
        return content[:at] + draw(st.binary(min_size=1, max_size=4)) + content[at:]
    if kind == 3:
        return (
            content[:at]
            + draw(st.sampled_from([b"\x00", b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\x1b[2J"]))
            + content[at:]
        )
    if kind == 4:
        return b"\xef\xbb\xbf" + content
    if kind == 5:
        return content.replace(b"\n", b"\r\n")
    if kind == 6:
        return content + content
    if kind == 7:
        end = at + draw(st.integers(1, 8))
        return content[:at] + content[end:]
    if kind == 8:
        return content.decode().encode("utf-16")
    if kind == 9:
        return b"a = " + b"[" * draw(st.sampled_from([10, 900, 100_000]))
    if kind == 10:
        return b"a" + b".a" * draw(st.sampled_from([10, 900, 20_000])) + b" = 1\n" + content
    return content
