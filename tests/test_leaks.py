"""Nothing stays behind of problems that were solved and dropped: memory, communicators, PETSc objects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parent


def measured(kind: str, count: int, ranks: int = 1) -> dict[str, Any]:
    """What tests/leaks.py finds in a process of its own, on rank 0."""
    mpirun = ["bash", str(TESTS.parent / "env" / "mpirun.sh"), str(ranks)] if ranks > 1 else []
    done = subprocess.run(
        [*mpirun, sys.executable, str(TESTS / "leaks.py"), kind, str(count)],
        env=os.environ | {"OMPI_MCA_mpi_yield_when_idle": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(next(line[7:] for line in done.stdout.splitlines() if line.startswith("RESULT ")))


@pytest.mark.parametrize(
    ("kind", "count", "ranks", "megabytes"),
    [
        ("cells", 10, 1, 4.0),
        pytest.param("cells", 200, 1, 6.0, marks=pytest.mark.slow),
        pytest.param("homogenised", 50, 1, 4.0, marks=pytest.mark.slow),
        pytest.param("resolved", 50, 1, 4.0, marks=pytest.mark.slow),
    ],
)
def test_nothing_stays_behind(kind: str, count: int, ranks: int, megabytes: float) -> None:
    """After the first quarter, in which every size has occurred, memory grows by less than a stated number of MB."""
    found = measured(kind, count, ranks)
    start = count // 4
    memory, handles = found["memory"][start:], found["handles"][start:]
    print(
        f"{kind}: {memory[0]:.1f} MB after {start}, {memory[-1]:.1f} MB after {count}, {found['slope']:.4f} MB each"
    )
    assert memory[-1] - memory[0] < megabytes
    assert max(handles) == handles[0]
    assert found["after"] == found["before"] and any(name == "Matrix" for name in found["after"])
