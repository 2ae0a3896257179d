"""The packages build on one another in one direction, as docs/design.md says."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

PACKAGES = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "packages.py"), run_name="packages")
ARROWS = PACKAGES["arrows"]()


def test_imports_point_one_way() -> None:
    level = PACKAGES["levels"](ARROWS)
    way = ["errors", "parameters", "runfile", "dimensionless", "models", "io", "studies", "cli"]
    assert [level[name] for name in way] == sorted({level[name] for name in way})


def test_a_circle_is_found() -> None:
    graph = ARROWS + type(ARROWS)({("parameters", "runfile"): 1})
    with pytest.raises(ValueError, match="circle"):
        PACKAGES["levels"](graph)


def test_report_needs_no_solver() -> None:
    graph = ARROWS
    assert not {b for a, b in graph if a == "report"} & {"solvers", "studies", "microstructure", "voxels"}
    assert not {b for a, b in graph if a == "runfile"} & {"_compat", "solvers", "models", "microstructure"}
