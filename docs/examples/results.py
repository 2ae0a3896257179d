"""Before and after a run: what it would take, its files, its report again, what to cite. Takes 8 s."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from common import problem
from mpi4py import MPI

import dfx_homog

comm = MPI.COMM_WORLD
run = problem(protocol__steps=[{"current": 0.2, "duration": 0.04}], output__report=False)
text = dfx_homog.check(run)
with tempfile.TemporaryDirectory() as scratch:
    out = Path(comm.bcast(scratch)) / "results"
    result = dfx_homog.homogenised(run, out=out)
    report = dfx_homog.write_report(out)
    if comm.rank == 0:
        print(text.splitlines()[-1])
        print("files:", ", ".join(sorted(path.name for path in out.iterdir())))
        assert json.loads((out / "result.json").read_text()) == result.to_json()
        print(f"{report.name}: {report.stat().st_size} bytes")
        for citation in dfx_homog.cite(out):
            print(f"{citation.work.key}: {citation.reason}")
    comm.barrier()
