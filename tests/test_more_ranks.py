"""Every command on more ranks than there is work for: the results of one rank, whatever ranks have none of.

On 8 ranks small problems leave ranks without cells, interface, collector, voxels, particles or battery groups.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import dfx, history
from small_runs import CALLS
from test_survival import flat

TOLERANCE = 1e-6  # of Krylov methods in results; conservation errors and effort are left out
#: Entries that may differ: effort, and what is zero but for rounding.
EFFORT = ("seconds", "solver_seconds", "memory", "newton", "krylov", "iterations", "ranks", "timing")
EFFORT += ("hill_mandel", "residual", "setups")
ERRORS = ("lithium_error", "charge_error", "energy_error")


def numbers(value: Any) -> dict[str, float]:
    """The numbers of result.json that do not depend on ranks."""
    if isinstance(value, dict):
        value = {k: v for k, v in value.items() if not k.startswith(EFFORT + ERRORS)}
        value = {k: numbers(v) if isinstance(v, dict | list) else v for k, v in value.items()}
    elif isinstance(value, list):
        value = [numbers(v) if isinstance(v, dict | list) else v for v in value]
    return flat(value)


def same(mine: Path, alone: Path) -> None:
    found, expected = (numbers(json.loads((p / "result.json").read_text())) for p in (mine, alone))
    assert found.keys() == expected.keys()
    assert len(found) > 5
    for name, value in found.items():
        assert value == pytest.approx(expected[name], rel=TOLERANCE, abs=1e-8, nan_ok=True), name
    if not (alone / "history.csv").exists():
        return
    for row, other in zip(history(mine / "history.csv"), history(alone / "history.csv"), strict=True):
        for column in set(row) - set(ERRORS):
            assert row[column] == pytest.approx(other[column], rel=TOLERANCE, abs=1e-8, nan_ok=True), column


CASES = [(name, 8) for name in CALLS] + [("homogenised", 16), ("voxels", 13), ("battery", 12)]


@pytest.mark.parametrize(
    ("name", "ranks"),
    [pytest.param(n, r, marks=pytest.mark.slow) for n, r in CASES],
)
def test_results_of_one_rank(name: str, ranks: int, tmp_path: Path) -> None:
    for count in (1, ranks):
        done = dfx(CALLS[name](tmp_path / str(count)), count)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr[-3000:]
    same(tmp_path / str(ranks), tmp_path / "1")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resolved", "homogenised", "battery"])
def test_a_restart_on_other_numbers_of_ranks(name: str, tmp_path: Path) -> None:
    """9 ranks, stopped by their time limit after a step, then 4, and the report once more on 8."""
    out, alone = tmp_path / "out", tmp_path / "alone"
    assert dfx(CALLS[name](alone)).returncode == 0
    for ranks, words in ((9, ["--wall-time", "0.0001"]), (4, ["--restart"])):
        done = dfx([*CALLS[name](out), *words], ranks)
        assert done.returncode == (75 if ranks == 9 else 0), done.stderr[-3000:]
    same(out, alone)
    (out / "report.html").unlink()
    assert dfx(["report", str(out)], 8).returncode == 0
    assert (out / "report.html").stat().st_size > 10_000
