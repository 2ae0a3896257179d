"""A deadlock in a test ends the run soon, with the stack of every rank."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
LIMIT = 3.0
CHILD = f"""
import time
import pytest
from mpi4py import MPI
from petsc4py import PETSc

def rank_0_waits_here():
    MPI.COMM_WORLD.Barrier()

def rank_1_waits_here():
    vector = PETSc.Vec().createMPI(4, comm=MPI.COMM_WORLD)  # a call that keeps the interpreter's lock
    vector.norm()

@pytest.mark.mpi
@pytest.mark.time_limit({LIMIT})
def test_deadlock():
    rank_1_waits_here() if MPI.COMM_WORLD.rank else rank_0_waits_here()

@pytest.mark.mpi
def test_after():
    pass
"""

FAILING = """
import pytest
from mpi4py import MPI

def rank_0_waits_here():
    MPI.COMM_WORLD.Barrier()

@pytest.mark.mpi
def test_fails_on_one_rank():
    assert MPI.COMM_WORLD.rank != 1, "rank_1_waits_for_nobody"
    rank_0_waits_here()
"""


def child(text: str, ranks: int, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """pytest with tests/conftest.py on tests of its own."""
    (tmp_path / "test_child.py").write_text(text)
    mpirun = ["bash", str(TESTS.parent / "env" / "mpirun.sh"), str(ranks)] if ranks > 1 else []
    here = ["-p", "conftest", "-c", os.devnull, "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]
    return subprocess.run(
        [*mpirun, sys.executable, "-m", "pytest", *here, str(tmp_path / "test_child.py")],
        env=os.environ | {"PYTHONPATH": f"{TESTS}:{os.environ.get('PYTHONPATH', '')}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("ranks", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_a_deadlock_ends_with_stacks(ranks: int, tmp_path: Path) -> None:
    """On one rank the test hangs in an endless loop of its own."""
    text = CHILD if ranks > 1 else CHILD.replace("MPI.COMM_WORLD.Barrier()", "[0 for _ in iter(int, 1)]")
    start = time.monotonic()
    done = child(text, ranks, tmp_path)
    assert done.returncode != 0
    assert time.monotonic() - start < LIMIT + 60
    said = done.stderr
    assert "Timeout" in said
    for rank in range(ranks):
        assert f"in rank_{rank}_waits_here" in said, said[-3000:]
    assert "test_after" not in done.stdout


@pytest.mark.slow
def test_a_failure_on_one_rank_shows_where_the_others_are(tmp_path: Path) -> None:
    done = child(FAILING, 2, tmp_path)
    assert done.returncode != 0
    assert "rank 1: " in done.stderr and "rank_1_waits_for_nobody" in done.stderr
    assert "in rank_0_waits_here" in done.stderr
