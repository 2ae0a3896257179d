"""`dfx-homog cell`: effective tensors of every microstructure of a run file."""

from __future__ import annotations

from pathlib import Path

from mpi4py import MPI

from dfx_homog.io.results import write_arrays, write_json
from dfx_homog.runfile import Run
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies import pictures
from dfx_homog.studies.progress import begin, finish
from dfx_homog.studies.setup import Problem


def run_cell(run: Run, out: Path, opts: RunOptions) -> None:
    """Solve all cell problems; result.json as docs/results.md says."""
    comm = MPI.COMM_WORLD
    problem = Problem(comm, run, opts.petsc)
    cells = problem.unit_cells()
    with begin(run, out, opts, comm) as log:
        media = problem.effective_media(cells)
        result = {"ranks": comm.size, "microstructures": {name: m.to_json() for name, m in media.items()}}
        for name, medium in media.items():
            entry = medium.to_json()
            log.say(f"{name}: phi_e = {entry['phi_e']:.6g}, a = {entry['a']:.6g}, theta = {entry['theta']}")
            for tensor in ("S", "B", "K"):
                log.say(f"  {tensor} = {entry[tensor]}")
        write_arrays(out / "fields.npz", pictures.unit_cells(cells), comm)
        write_json(out / "result.json", result, comm)
        finish(out, comm, log)
