"""Three cell problems on 1e6 unknowns: linear tetrahedra, relative residual 1e-8, 2 ranks.

    ./dfx exec python docs/benchmarks/tetrahedra.py mesh       # once: Schwarz P, 1e6 nodes, into runs/out/tetrahedra
    ./dfx -n 2 exec python docs/benchmarks/tetrahedra.py solve # prints the table of docs/benchmarks/tetrahedra.md

The mesh is on disk, as after any `dfx-homog cell` on several ranks; ranks map it into memory. What is timed is all the
rest: distributing the mesh, connected parts, numbering, assembly, set-up of multigrid, three solves. Memory is the sum
of the largest resident sizes of all ranks, Python and the libraries included, the mapped mesh counted for each rank.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from mpi4py import MPI

from dfx_homog.microstructure import UnitCell
from dfx_homog.models.cell_problem import CellProblem
from dfx_homog.models.medium import peak_memory
from dfx_homog.studies.unit_cells import build_unit_cell

SCHWARZ_P = "cos(2*pi*x) + cos(2*pi*y) + cos(2*pi*z)"
EXACT = 0.329467  # B of its half, from spectrally accurate solutions
CONTRAST = 10.0


def make(folder: Path, mesh_size: float) -> None:
    """Mesh the unit cell and save it."""
    start = time.perf_counter()
    spec = SimpleNamespace(
        geometry="level_set", expression=SCHWARZ_P, threshold=0.0, mesh_size=mesh_size, order=1, dim=3
    )
    cell = build_unit_cell("schwarz_p", spec, MPI.COMM_SELF)
    cell.save(folder)
    print(
        f"{len(cell.points)} nodes, {len(cell.cells)} tetrahedra, smallest dihedral angle "
        f"{cell.min_angle():.1f} degrees, {time.perf_counter() - start:.1f} s"
    )


def solve(comm: MPI.Intracomm, folder: Path, rtol: float, user: tuple[str, ...]) -> None:
    """Tensor of both phases (all nodes are unknowns), then of the pores alone, on rank 0's output."""
    start = time.perf_counter()
    cell = UnitCell.load(folder)
    problem = CellProblem(comm, cell, rtol=rtol, user=user)
    distribute = time.perf_counter() - start
    rows = []
    for label, coefficient in (
        (f"both phases, 1 and {CONTRAST:g}", [1.0, CONTRAST]),
        ("one phase", [1.0, None]),
    ):
        start = time.perf_counter()
        found = problem.solve(coefficient, correctors=False)
        total = distribute + time.perf_counter() - start
        rows.append((label, found, total, peak_memory(comm)))
    if comm.rank == 0:
        print(f"{len(cell.points)} nodes, {len(cell.cells)} tetrahedra, {comm.size} ranks, rtol {rtol:g}\n")
        names = ["unknowns", "distribute mesh", "parts", "layout", "assembly", "setup", "solve", "total, s"]
        names += ["iterations", "memory, GiB", "diagonal"]
        print("| | " + " | ".join(names) + " |\n|" + " --- |" * (len(names) + 1))
        for label, found, total, memory in rows:
            phases = [distribute, *(found.seconds[k] for k in names[2:7]), total]
            values = [str(found.dofs), *(f"{s:.1f}" for s in phases)]
            values += [", ".join(map(str, found.iterations)), f"{memory / 2**30:.2f}"]
            values += [", ".join(f"{v:.6f}" for v in np.diag(found.tensor))]
            print(f"| {label} | " + " | ".join(values) + " |")
        print(f"\nB of the surface itself: {EXACT}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["mesh", "solve"])
    parser.add_argument("--folder", type=Path, default=Path("runs/out/tetrahedra"))
    parser.add_argument("--mesh-size", type=float, default=0.0125)
    parser.add_argument("--rtol", type=float, default=1e-8)
    arguments, user = parser.parse_known_args()
    if arguments.what == "mesh":
        make(arguments.folder, arguments.mesh_size)
    else:
        solve(MPI.COMM_WORLD, arguments.folder, arguments.rtol, tuple(user))


main()
