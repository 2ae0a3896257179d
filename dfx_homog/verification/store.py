"""Cases, and the results that are kept of them: docs/verification/results/LANE/NAME.json."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dfx_homog.errors import BadInput
from dfx_homog.runfile import Run, load
from dfx_homog.runfile.case import Case
from dfx_homog.runfile.identity import file_digest, given_keys, named_files

Json = dict[str, Any]
#: Lanes of the book's tables: the versions of DOLFINx that the tests run with.
LANES = ("dolfinx-0.9", "dolfinx-0.11")
#: Keys of [case] that change neither what is run nor which numbers are kept.
WORDS = ("title", "group", "checks", "source", "minutes", "caption")


@dataclass(frozen=True)
class BookCase:
    """A case: its run file and what is kept of its results, by lane."""

    path: Path
    run: Run

    @property
    def name(self) -> str:
        """The stem of the run file, which names page, results and picture too."""
        return self.path.stem

    @property
    def case(self) -> Case:
        """The table [case]."""
        return self.run.case

    @cached_property
    def missing(self) -> list[str]:
        """Files that the run file names and that are not here."""
        return [path.name for path in named_files(self.run) if not path.is_file()]

    @cached_property
    def _words(self) -> list[Any]:
        """What is run: the keys of the run file without comments, words, and expected values."""
        case = self.case.model_dump(exclude_unset=True)
        case = {key: value for key, value in case.items() if key not in WORDS}
        case["expect"] = [entry["quantity"] for entry in case["expect"]]
        return [given_keys(self.run), case]

    @cached_property
    def identity(self) -> str:
        """Checksum of what makes the numbers: what is run, and the contents of the files that the run file names and
        that are here."""
        files = [file_digest(path) for path in named_files(self.run) if path.is_file()]
        return _digest([*self._words, files])

    @cached_property
    def keys(self) -> str:
        """Checksum of what is run alone, for machines that do not have the files."""
        return _digest(self._words)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def read_case(path: Path) -> BookCase:
    """The case in a run file. Raises BadInput."""
    run = load(path)
    if run.case is None:
        raise BadInput(f"{path}: [case]: required by verify (allowed: a table [case])")
    return BookCase(path, run)


def lane() -> str:
    """That of this environment, found without importing DOLFINx, which would start MPI. Raises BadInput."""
    for name in ("fenics-dolfinx", "dolfinx"):
        try:
            major, minor = importlib.metadata.version(name).split(".")[:2]
        except (importlib.metadata.PackageNotFoundError, ValueError):
            continue
        return f"dolfinx-{major}.{minor}"
    raise BadInput("verify: no DOLFINx is installed here (allowed: an environment with DOLFINx)")


def label(name: str) -> str:
    """A lane as readers know it."""
    return name.replace("dolfinx-", "DOLFINx ")


def checksum(result: Mapping[str, Any]) -> str:
    """Of everything in a result but the checksum itself."""
    return _digest({k: v for k, v in result.items() if k != "checksum"})


def results_path(book: Path, lane_name: str, name: str) -> Path:
    """Where the results of a case are kept."""
    return book / "results" / lane_name / f"{name}.json"


def save(book: Path, lane_name: str, name: str, result: Json) -> None:
    """Keeps a result with its checksum."""
    path = results_path(book, lane_name, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {**result, "checksum": checksum(result)}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def lanes_of(book: Path) -> tuple[str, ...]:
    """Lanes with columns in the tables: those of LANES, and others of which there are results."""
    kept = {path.name for path in (book / "results").glob("*") if path.is_dir()}
    return (*LANES, *sorted(kept - set(LANES)))


def read_results(book: Path, case: BookCase) -> dict[str, Json]:
    """By lane, what is kept of a case; a result that was changed by hand or cannot be read is not there.

    Where files of the case are missing, their contents are taken to be those of the time of the result.
    """
    found = {}
    for lane_name in lanes_of(book):
        try:
            result = json.loads(results_path(book, lane_name, case.name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(result, dict) and result.get("checksum") == checksum(result):
            same = case.missing and result.get("keys") == case.keys
            found[lane_name] = {**result, "identity": case.identity} if same else result
    return found
