"""docs/examples run as they stand, on any number of ranks; each is for one function and says what it shows."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path

import pytest
from mpi4py import MPI

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "examples"
EXAMPLES = sorted(path for path in FOLDER.glob("*.py") if path.stem != "common")
QUICK = ("cell", "image", "homogenised", "rve")


@pytest.mark.mpi
@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=p.stem, marks=() if p.stem in QUICK else pytest.mark.slow) for p in EXAMPLES],
)
def test_example(path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    runpy.run_path(str(path), run_name="__main__")
    assert bool(capfd.readouterr().out) == (MPI.COMM_WORLD.rank == 0)


def test_examples_are_told_of() -> None:
    page = (FOLDER.parent / "how-to-python.md").read_text()
    for path in EXAMPLES:
        assert f"examples/{path.name}" in page
        told = ast.get_docstring(ast.parse(path.read_text()))
        assert told is not None and told.rstrip(".").endswith(" s")
