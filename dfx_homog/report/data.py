"""What a directory of results holds: run file, histories, result.json, arrays. Only reads; half-written files are fine.

A study that is still running has histories but no result.json; everything here may be missing except that something
must be there to report on.
"""

from __future__ import annotations

import csv
import json
import math
import re
import tomllib
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfx_homog.errors import BadInput
from dfx_homog.parameters.units import SYMBOLS

Json = dict[str, Any]
Array = NDArray[np.float64]

FIELDS = ("Phi_s", "Phi_e", "c_e", "T", "c_s")  # in the order of tables and legends
MESH_FIELDS = ("c_s", "Phi_s", "c_e", "Phi_e", "T")  # order of the columns of mesh_values
MESO_FIELDS = ("Phi_s", "c_e", "Phi_e", "T")  # order of the columns of meso_values
#: Arrays of places in the cell.
PLACES = (
    *("meso_y", "meso_ends", "mesh_points", "interface_points"),
    *(f"meso_map_{name}" for name in ("cell", "collector", "side")),
)
MICROMETRES = 1e6  # per metre
REGIONS = ("negative", "separator", "positive")


def _largest(column: Array) -> float | None:
    known = column[1:][np.isfinite(column[1:])]
    return float(known.max()) if len(known) else None


@dataclass(eq=False)
class History:
    """history.csv as columns; `label` is plain text such as "δ = 1/5"."""

    label: str
    columns: dict[str, Array]

    def __getitem__(self, name: str) -> Array:
        """A column, all nan if the file has none of that name."""
        return self.columns.get(name, np.full(self.rows, np.nan))

    def conservation(self, name: str) -> Array:
        """Relative error of "lithium", "charge" or "energy"; of charge over the largest current so far, if known.

        Relative to a current that is switched off it would be rounding over nothing.
        """
        run = f"{name}_error_run"
        return self[run if run in self.columns else f"{name}_error"]

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values()), np.zeros(0)))

    @property
    def steps(self) -> int:
        """Time steps done; the first row is the initial state."""
        return max(self.rows - 1, 0)

    def largest(self, name: str) -> float | None:
        """Largest finite value after the first row, None if there is none."""
        return _largest(self[name])

    def largest_error(self, name: str) -> float | None:
        """Largest of `conservation` after the first row, None if there is none."""
        return _largest(self.conservation(name))

    def krylov_per_newton(self) -> Array:
        """Mean Krylov iterations of one Newton step, for every time step."""
        newton, krylov = self["newton"][1:], self["krylov"][1:]
        mean: Array = np.divide(krylov, newton, out=np.full(len(newton), np.nan), where=newton > 0)
        return mean


@dataclass(eq=False)
class Level:
    """One resolved level: `count` unit cells through the thickness, delta = 1/count."""

    count: int
    history: History | None = None
    profiles: dict[str, Array] = field(default_factory=dict)
    result: Json = field(default_factory=dict)

    @property
    def delta(self) -> float:
        return 1 / self.count

    @property
    def label(self) -> str:
        return f"δ = 1/{self.count}"

    def error(self, name: str, norm: str, key: str = "errors") -> float | None:
        """Relative error of a field in a norm, None where missing."""
        return number(self.result.get(key, {}).get(name, {}).get(norm))

    def voltage_error(self) -> float | None:
        return number(self.result.get("voltage_error"))


@dataclass(eq=False)
class Study:
    """A directory of results.

    kind: "convergence", "cell", "rve", "scaling" or "single" (one model through a protocol)
    """

    directory: Path
    kind: str
    run: Json
    run_text: str
    facts: dict[str, str]
    result: Json | None
    log: str
    homogenised: History | None = None
    levels: list[Level] = field(default_factory=list)
    arrays: dict[str, Array] = field(default_factory=dict)
    samples: list[Json] = field(default_factory=list)  # of an RVE study, those solved so far

    @property
    def finished(self) -> bool:
        return self.result is not None

    @property
    def in_si(self) -> bool:
        """Whether the study's numbers are in SI."""
        table = self.run.get("parameters", {})
        return isinstance(table, dict) and table.get("units") == "SI"

    def unit(self, kind: str) -> str:
        """Unit of a kind of quantity (parameters/units.py), of lengths that of pictures and sentences; "" without."""
        return ("µm" if kind == "length" else SYMBOLS[kind]) if self.in_si else ""

    def label(self, text: str, kind: str) -> str:
        """Label of an axis."""
        return f"{text} ({self.unit(kind) or 'dimensionless'})"

    def with_unit(self, text: str, kind: str) -> str:
        """A title or label with its unit, if there is one."""
        unit = self.unit(kind)
        return f"{text} ({unit})" if unit else text

    def quantity(self, number: str, kind: str) -> str:
        """A number that is already text, with its unit."""
        unit = self.unit(kind)
        return f"{number}\u00a0{unit}" if unit else number

    @property
    def tensors(self) -> Json:
        """Effective coefficients by microstructure."""
        result = self.result or {}
        return result.get("microstructures") or result.get("homogenised", {}).get("tensors") or {}

    @cached_property
    def model(self) -> str:
        """Name of the model of a single run, from its log."""
        for line in self.log.splitlines():
            for name in ("resolved", "homogenised"):
                if f"  {name}: " in line:
                    return name
        return "single"

    @property
    def histories(self) -> list[History]:
        """Levels from coarse to fine, then the homogenised run (or the only run)."""
        found = [level.history for level in self.levels if level.history and level.history.rows]
        return found + ([self.homogenised] if self.homogenised and self.homogenised.rows else [])

    def planned_steps(self) -> int | None:
        """Number of time steps of the protocol; None where it cannot be known (adaptive steps, stop criteria)."""
        table, protocol = self.run.get("time", {}), self.run.get("protocol", {}).get("steps", [])
        dt = number(table.get("dt"))
        early = any(isinstance(step, dict) and {"until", "current_file"} & set(step) for step in protocol)
        durations = [number(step.get("duration")) for step in protocol if isinstance(step, dict)]
        if table.get("adaptive") or not dt or not durations or None in durations or early:
            return None
        return sum(
            max(1, math.ceil(duration / dt * (1 - 1e-9))) for duration in durations if duration is not None
        )


def number(value: Any) -> float | None:
    """A finite number as float, anything else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def load(directory: Path) -> Study:
    """Read a directory of results. Raises BadInput if there is nothing to report on or result.json is not JSON."""
    if not directory.is_dir():
        raise BadInput(f"{directory}: no such directory")
    result = _result(directory / "result.json")
    run_text = _text(directory / "run.toml")
    levels = _levels(directory, result)
    study = Study(
        directory=directory,
        kind=_kind(directory, result, levels),
        run=_toml(run_text),
        run_text=run_text,
        facts=_facts(run_text),
        result=result,
        log=_text(directory / "log.txt"),
        levels=levels,
        arrays=_arrays(directory / "fields.npz"),
        samples=_samples(directory, result),
    )
    if study.kind == "single":
        study.homogenised = _history(directory / "history.csv", "")
        if study.homogenised is not None:
            study.homogenised.label = study.model
    else:
        study.homogenised = _history(directory / "homogenised" / "history.csv", "homogenised")
    if study.in_si:
        _in_micrometres(study)
    if not study.tensors and not study.histories and not study.samples and study.kind != "scaling":
        raise BadInput(
            f"{directory}: nothing to report on (needed: result.json, history.csv, homogenised/history.csv "
            "or resolved-*/history.csv with at least one row, or samples/*.json)"
        )
    return study


def _in_micrometres(study: Study) -> None:
    """Places along the cell, which are kept in metres, in the lengths of pictures."""
    for history in study.histories:
        for name in history.columns:
            if re.fullmatch(r"(plating|hot)_y\d", name):
                history.columns[name] = MICROMETRES * history.columns[name]
    for arrays in (study.arrays, *(level.profiles for level in study.levels)):
        for name, values in arrays.items():
            if name in PLACES or name.endswith("_y"):
                arrays[name] = MICROMETRES * values
            elif name.startswith("cloud_"):
                arrays[name] = values * np.array([MICROMETRES, 1.0])


def _kind(directory: Path, result: Json | None, levels: list[Level]) -> str:
    if "points" in (result or {}) and "model" in (result or {}):
        return "scaling"
    if levels or (directory / "homogenised" / "history.csv").is_file():
        return "convergence"
    if "samples" in (result or {}) or (directory / "samples").is_dir():
        return "rve"
    if result is not None and "microstructures" in result:
        return "cell"
    return "single"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


#: Parts of result.json that hold objects, in an object by name or in a list.
TABLES: dict[str, type[dict[str, Any]] | type[list[Any]]] = {
    "microstructures": dict,
    "levels": list,
    "samples": list,
    "summary": list,
}


def _result(path: Path) -> Json | None:
    if not path.is_file():
        return None
    try:
        found = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise BadInput(f"{path}: line {error.lineno}: not JSON ({error.msg})") from error
    except RecursionError:
        raise BadInput(f"{path}: nested too deeply to be a result") from None
    if not isinstance(found, dict):
        raise BadInput(f"{path}: must hold an object, as every study of this package writes it")
    for key, kind in TABLES.items():
        entries = found.get(key, kind())
        each = entries.values() if isinstance(entries, dict) else entries if isinstance(entries, list) else ()
        if not isinstance(entries, kind) or not all(isinstance(entry, dict) for entry in each):
            raise BadInput(f"{path}: {key} must hold objects, as every study of this package writes it")
    return found


def _samples(directory: Path, result: Json | None) -> list[Json]:
    """Samples of an RVE study: of its result, or those that a running study has written one by one."""
    found = (result or {}).get("samples")
    if found is None:
        found = []
        for path in sorted(directory.glob("samples/*.json")):
            try:
                found += json.loads(_text(path)).get("records", [])
            except (json.JSONDecodeError, AttributeError):
                continue  # still in the writing
    keys = ("size", "condition", "tensor")
    return [s for s in found if isinstance(s, dict) and all(s.get(key) is not None for key in keys)]


def _toml(text: str) -> Json:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}  # the text is shown as it is; only the parameter tables need its values


def _facts(text: str) -> dict[str, str]:
    """The comments `# name: value` at the top of run.toml."""
    facts = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        name, colon, value = line.lstrip("# ").partition(":")
        if colon:
            facts[name.strip()] = value.strip()
    return facts


def _history(path: Path, label: str) -> History | None:
    """The complete rows of a history; the last one may still be in the writing."""
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = list(csv.reader(file))
    if not rows:
        return None
    names = rows[0]
    values = []
    for row in rows[1:]:
        try:
            numbers = [float(v) for v in row]
        except ValueError:
            continue
        if len(numbers) == len(names):
            values.append(numbers)
    table = np.array(values, dtype=float).reshape(-1, len(names))
    return History(label, {name: table[:, i] for i, name in enumerate(names)})


def _arrays(path: Path) -> dict[str, Array]:
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: np.asarray(file[name]) for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return {}  # still in the writing


def _levels(directory: Path, result: Json | None) -> list[Level]:
    found: dict[int, Level] = {}
    for folder in directory.glob("resolved-*"):
        digits = folder.name.removeprefix("resolved-")
        if folder.is_dir() and digits.isdecimal() and int(digits) > 0:
            level = Level(int(digits))
            level.history = _history(folder / "history.csv", level.label)
            level.profiles = _arrays(folder / "profiles.npz")
            found[level.count] = level
    entries = (result or {}).get("levels", [])
    for entry in entries:
        delta = number(entry.get("delta"))
        if delta and delta > 0:
            count = round(1 / delta)
            found.setdefault(count, Level(count)).result = entry
    if result is not None and entries:  # what an earlier run left in the directory is no part of this result
        found = {count: level for count, level in found.items() if level.result}
    return [found[count] for count in sorted(found)]
