"""docs/results.md names every column, key and array that the commands write, with its unit, and nothing else."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import REGIONS

from dfx_homog import cli
from dfx_homog.models.history import COLUMNS
from dfx_homog.models.in_units import COLUMN_KINDS
from dfx_homog.parameters.units import SYMBOLS

TOP = Path(__file__).resolve().parents[1]
TEXT = (TOP / "docs" / "results.md").read_text()
#: Words in capitals that stand for names or numbers.
PLACEHOLDERS = {
    "NAME": r"\w+",
    "PHASE": r"\w+",
    "FIELD": r"\w+",
    "ELECTRODE": r"\w+",
    "D": r"\d",
    "N": r"\d+",
}
SHORT = "protocol.steps.0.duration=0.04"
COARSE = [f"microstructure.{r}.{k}" for r in REGIONS for k in ("mesh_size=0.2", "order=1")]
MODELS = "result.json of resolved and homogenised"
#: A call that takes a second, and the sections that its results are described in.
RUNS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "cell": (["cell", "quickstart", *COARSE], ("result.json of cell",)),
    "rve": (
        ["rve", "rve-gaussian", "microstructure.field.voxels=12", "rve.sizes=[0.5,1]", "rve.realisations=3"],
        ("result.json of rve",),
    ),
}
SLOW: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "convergence": (
        ["convergence", "wall-law", *COARSE, SHORT, "convergence.periods=[[2,1,2],[4,2,4]]"],
        ("result.json of convergence", MODELS, "result.json of cell"),
    ),
    "SI": (["homogenised", "dfn-lgm50", "protocol.steps.0.duration=60", "output.times=[60]"], (MODELS,)),
    "resolved": (["resolved", "quickstart", *COARSE, SHORT], (MODELS,)),
    "homogenised": (
        ["homogenised", "quickstart", *COARSE, SHORT, "homogenised.wall_law=true"],
        (MODELS, "result.json of convergence"),
    ),
    "battery": (
        [
            "homogenised",
            "battery",
            "protocol.steps.0.duration=20",
            "battery.elements=[2,4,2]",
            "battery.groups=[1,1,1]",
        ],
        (MODELS,),
    ),
    "stack": (["convergence", "stack", SHORT], ("result.json of convergence", MODELS)),
    "image": (
        [
            "cell",
            "rve-gaussian",
            "microstructure.field.voxels=12",
            'microstructure.field.discretisation="both"',
        ],
        ("result.json of cell",),
    ),
}


def section(title: str) -> str:
    """The text of a section, headings below it included."""
    match = re.search(rf"(?ms)^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT)
    assert match, title
    return match[1]


def names_in(text: str) -> set[str]:
    """Names in code in a text."""
    return {name for span in re.findall(r"`([^`]+)`", text) for name in re.findall(r"[\w …]+", span)}


def pattern(name: str) -> re.Pattern[str]:
    """What a documented name stands for: e at its end for an electrode or region, words in capitals for others."""
    parts = [PLACEHOLDERS.get(part, re.escape(part)) for part in name.split("_")]
    if len(parts) > 1 and parts[-1] == "e" and name not in ("phi_e", "c_e", "Q_e", "Phi_e", "r_e", "joule_e"):
        parts[-1] = "[nps]"
    return re.compile("_".join(parts).replace("…", r"\w+"))


def rows_of(text: str) -> Iterator[list[str]]:
    """Cells of the rows of all tables, heads left out."""
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            cells = [cell.strip() for cell in line[1:-1].split(" | ")]
            if cells[0] not in ("column", "key", "array", "file", "norm"):
                yield cells


def columns_documented() -> list[tuple[str, str]]:
    """Every name in the tables of columns with the units of its row."""
    found = []
    for first, units, *_ in rows_of(section("history.csv")):
        found += [(name, units) for name in re.findall(r"`([^`]+)`", first)]
    return found


def test_columns_are_those_of_the_code_with_their_units() -> None:
    """Both ways, and the units of each row are those of the kinds of its columns."""
    unit = {name: "s" if name == "seconds" else SYMBOLS[kind] or "1" for name, kind in COLUMN_KINDS.items()}
    for name, units in columns_documented():
        matching = [column for column in unit if pattern(name).fullmatch(column)]
        assert matching, name
        assert {unit[column] for column in matching} <= set(units.split(", ")), name
    named = names_in(section("history.csv"))
    series = re.compile(r"(plating_y|hot_y|hot_spot_x)[23]")  # "plating_y1, …"
    missing = {column for column in unit if not any(pattern(name).fullmatch(column) for name in named)}
    assert {column for column in missing if not series.fullmatch(column)} == set()
    listed = [name for name, _ in columns_documented()]
    assert tuple(listed[: len(COLUMNS)]) == COLUMNS


def keys(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every path of keys in a result."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield (*path, key)
            yield from keys(below, (*path, key))
    elif isinstance(value, list):
        for below in value:
            yield from keys(below, path)


def undocumented(result: dict[str, Any], titles: tuple[str, ...]) -> set[str]:
    """Keys of a result that the sections do not name."""
    everywhere = ("history.csv", "Where the time goes")
    named = names_in("\n".join(section(title) for title in (*titles, *everywhere)))
    patterns = [pattern(name) for name in named]
    patterns += [
        re.compile(name[:-1] + r"\d") for name in named if re.fullmatch(r"\w+_[xy]1", name)
    ]  # "hot_y1, …"
    found = set()
    for path in keys(result):
        *above, key = path
        if "groups" in above:  # the names of the run file
            continue
        prefixes = ["", *(f"{name}_" for name in ("heat", "loss") if any(p.startswith(name) for p in above))]
        if not any(p.fullmatch(prefix + key) for p in patterns for prefix in prefixes):
            found.add(".".join(path))
    return found


def run(words: list[str], out: Path) -> None:
    command, name, *overrides = words
    sets = [word for override in overrides for word in ("--set", override)]
    assert cli.main([command, str(TOP / "runs" / f"{name}.toml"), "--out", str(out), "--quiet", *sets]) == 0


def check(words: list[str], titles: tuple[str, ...], out: Path) -> None:
    run(words, out)
    result = json.loads((out / "result.json").read_text())
    own = set(result.get("microstructures", {})) | set(result.get("statistics", {}))  # names of the run file
    own |= set(result.get("battery", {}).get("faces", {}))
    assert {key for key in undocumented(result, titles) if key.split(".")[-1] not in own} == set()
    arrays = [pattern(name) for name in names_in(section("Arrays"))]
    for path in [*out.glob("fields.npz"), *out.glob("resolved-*/profiles.npz")]:
        with np.load(path) as found:
            assert {name for name in found if not any(p.fullmatch(name) for p in arrays)} == set()
    for path in out.rglob("history.csv"):
        with path.open() as file:
            assert set(next(csv.reader(file))) <= set(COLUMN_KINDS)
    files = names_of_files()
    parts = {path.relative_to(out).parts[0] for path in out.iterdir()}
    assert {part for part in parts if not any(re.fullmatch(file, part) for file in files)} == set()


def names_of_files() -> list[str]:
    """First folders or files of the table of files, as regular expressions."""
    table = TEXT.partition("## ")[0]
    spans = [span for first, *_ in rows_of(table) for span in re.findall(r"`([^`]+)`", first)]
    return [re.escape(span.split("/")[0]).replace("NAME", r"\w+").replace(r"N", r"\d+") for span in spans]


@pytest.mark.parametrize("name", RUNS)
def test_every_key_and_array_is_described(name: str, tmp_path: Path) -> None:
    check(*RUNS[name], tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_every_key_of_longer_runs_is_described(name: str, tmp_path: Path) -> None:
    check(*SLOW[name], tmp_path / "out")


def test_a_key_that_is_not_described_is_noticed() -> None:
    assert undocumented({"final": {"voltage": 1.0, "volts": 2.0}, "steps": 3}, (MODELS,)) == {"final.volts"}


def test_what_is_described_is_written() -> None:
    """Names in the first column of the tables of result.json occur in the code."""
    code = "\n".join(path.read_text() for path in (TOP / "dfx_homog").rglob("*.py"))
    for title in re.findall(r"(?m)^## (result\.json of .*)$", TEXT):
        for first, *_ in rows_of(section(title)):
            for name in re.findall(r"`(\w+)`", first):
                assert re.search(rf"\b{name}\b", code), name
