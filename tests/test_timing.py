"""Time by phase: phases exclude each other, add up to the whole, and agree with PETSc's own clock."""

from __future__ import annotations

from typing import Any

import pytest
from mpi4py import MPI
from petsc4py import PETSc
from wavy import build, follow, wavy_run

from dfx_homog import timing

COMM = MPI.COMM_WORLD


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that a test sets: ticks[0]."""
    now = [100.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    timing.begin()
    return now


@timing.timed("solve")
def outer(ticks: list[float], *, fails: bool = False) -> None:
    ticks[0] += 1.0
    with timing.phase("assembly"):
        ticks[0] += 2.0
        with timing.phase("preconditioner"):
            ticks[0] += 4.0
            if fails:
                raise ValueError
        ticks[0] += 8.0
    ticks[0] += 16.0


@pytest.mark.mpi
def test_phases_exclude_each_other(ticks: list[float]) -> None:
    outer(ticks)
    ticks[0] += 32.0
    found = timing.entry(COMM)
    expected = {"mesh": 0, "assembly": 10, "preconditioner": 4, "solve": 17, "output": 0, "other": 32}
    assert found["seconds"] == {**expected, "total": 63} == found["mean"]


def test_an_error_ends_its_phases(ticks: list[float]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        outer(ticks, fails=True)
    ticks[0] += 5.0
    assert timing.entry(MPI.COMM_SELF)["seconds"]["other"] == 5.0


@pytest.mark.mpi
def test_largest_and_mean_over_the_ranks(ticks: list[float]) -> None:
    with timing.phase("mesh"):
        ticks[0] += 1.0 + COMM.rank
    timing.count(krylov=3, setups=1)
    found = timing.entry(COMM)
    assert found["seconds"]["mesh"] == COMM.size
    assert found["mean"]["mesh"] == pytest.approx(0.5 * (COMM.size + 1))
    assert found["counts"] == {"newton": 0, "linear": 0, "krylov": 3, "setups": 1}
    memory = found["memory"]
    assert 10_000_000 < memory["rank"] <= memory["ranks"] <= COMM.size * memory["rank"]
    assert memory["start"] <= memory["rank"]


def petsc_seconds(name: str) -> float:
    info: dict[str, Any] = PETSc.Log.Event(name).getPerfInfo()
    return float(info["time"])


@pytest.mark.mpi
def test_a_run_agrees_with_its_history_and_with_petsc() -> None:
    """Iterations are those of the rows; what SNESSolve takes is assembly, set-up and solve."""
    run = wavy_run(steps=3)
    PETSc.Log.begin()
    timing.begin()
    model = build(run)
    built, before = timing.entry(COMM)["seconds"], petsc_seconds("SNESSolve")
    result = follow(model, run)
    found, petsc = timing.entry(COMM), petsc_seconds("SNESSolve") - before
    model.destroy()
    assert found["counts"]["newton"] == sum(row["newton"] for row in result.rows)
    assert found["counts"]["krylov"] == sum(row["krylov"] for row in result.rows)
    assert 0 < found["counts"]["setups"] <= found["counts"]["newton"]
    parts = ("assembly", "preconditioner", "solve")
    ours = sum(found["seconds"][name] - built[name] for name in parts)
    assert ours == pytest.approx(petsc, rel=0.05, abs=0.02)
    assert sum(found["mean"][name] for name in timing.PHASES) == pytest.approx(found["mean"]["total"])
