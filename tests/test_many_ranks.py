"""More ranks than most of the domain has parts: ranks without a region, without interface, without collector.

The tests of several ranks run on two and three; these start a job of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PROGRAM = """
import json, sys
import numpy as np
from mpi4py import MPI
from test_space import balls_run
from wavy import build, follow, wavy_run

comm = MPI.COMM_WORLD
run = {"plane": lambda: wavy_run(steps=1, h=0.4), "space": lambda: balls_run(radius=0.6, steps=1)}[sys.argv[1]]()
model = build(run)
mine = [(model.tiled.cell_region == r).any() for r in range(3)]
mine += [len(f) > 0 for f in model.forms.facets.values()]
present = comm.gather([bool(m) for m in mine])
result = follow(model, run)
model.destroy()
if comm.rank == 0:
    # numpy scalars become numbers
    rows = [{k: float(v) for k, v in row.items()} for row in result.rows]
    print("RESULT", json.dumps({"rows": rows, "present": present}))
"""


def job(ranks: int, case: str) -> dict[str, list[dict[str, float]]]:
    """The last line that the program prints on so many ranks."""
    start = ["bash", str(TESTS.parent / "env" / "mpirun.sh"), str(ranks)] if ranks > 1 else []
    done = subprocess.run(
        [*start, sys.executable, "-c", PROGRAM, case],
        env=os.environ | {"PYTHONPATH": f"{TESTS}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(next(line[7:] for line in done.stdout.splitlines() if line.startswith("RESULT ")))


@pytest.mark.slow
@pytest.mark.parametrize(("case", "ranks"), [("plane", 4), ("plane", 8), ("space", 4)])
def test_same_results(case: str, ranks: int) -> None:
    """N = 5 one period wide: the same history as on one rank, though no rank has a part of everything."""
    alone, many = job(1, case), job(ranks, case)
    assert not any(all(rank) for rank in many["present"])
    for row, expected in zip(many["rows"], alone["rows"], strict=True):
        for name in ("voltage", "T_max", "c_e_max", "soc_n"):
            assert row[name] == pytest.approx(expected[name], abs=1e-8)
        assert row["lithium_error"] < 1e-11
