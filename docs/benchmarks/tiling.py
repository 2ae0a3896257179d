"""Making a distributed mesh of copies of unit cells, and numbering its unknowns: seconds and memory by phase.

    ./dfx -n 2 exec python docs/benchmarks/tiling.py                      # 1e7 tetrahedra, a bulky domain
    ./dfx -n 2 exec python docs/benchmarks/tiling.py --periods 2 1 2 --lateral 4 4

Overlapping balls (simple cubic, radius 0.55) in both electrodes, a separator of electrolyte between them, order 1. What
`docs/benchmarks/tiling.md` tables. A phase lasts as long as on the slowest rank; memory is the largest resident size
of any rank so far, Python and the libraries included.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from dolfinx import fem
from mpi4py import MPI

from dfx_homog import _compat
from dfx_homog.microstructure.extrude import extrude_face
from dfx_homog.microstructure.tiling import tile_mesh
from dfx_homog.solvers.layout import build_layout
from dfx_homog.studies.unit_cells import build_unit_cell

FIELDS = 5  # of the resolved model


class Clock:
    """Prints rows of phase, seconds of wall time and of the processor, memory."""

    def __init__(self, comm: MPI.Intracomm):
        self.comm = comm

    def __call__(self, phase: str, work: Callable[[], Any]) -> Any:
        self.comm.barrier()
        start = time.perf_counter(), time.process_time()
        found = work()
        wall = self.comm.allreduce(time.perf_counter() - start[0], op=MPI.MAX)
        busy = self.comm.allreduce(time.process_time() - start[1], op=MPI.MAX)
        memory = self.comm.allreduce(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, op=MPI.MAX)
        if self.comm.rank == 0:
            print(f"| {phase} | {wall:.1f} | {busy:.1f} | {memory / 2**30:.2f} |", flush=True)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--periods", type=int, nargs=3, default=(5, 2, 5), help="unit cells through each region"
    )
    parser.add_argument("--lateral", type=int, nargs=2, default=(11, 10), help="unit cells across")
    parser.add_argument("--mesh-size", type=float, default=0.2)
    args = parser.parse_args()
    comm, clock = MPI.COMM_WORLD, Clock(MPI.COMM_WORLD)
    spec = SimpleNamespace(
        geometry="spheres",
        lattice="sc",
        radius=0.55,
        centres=None,
        radii=None,
        mesh_size=args.mesh_size,
        order=1,
    )
    periods, lateral = tuple(args.periods), tuple(args.lateral)
    if comm.rank == 0:
        print(f"{comm.size} ranks, {periods} x {lateral} unit cells\n")
        print("| phase | s | of the processor | GiB a rank |\n| --- | --- | --- | --- |")
    electrode = clock("unit cell", lambda: build_unit_cell("balls", spec, comm))
    cells = (electrode, extrude_face("separator", electrode, args.mesh_size), electrode)

    create, inside = _compat.create_mesh, []

    def timed(*arguments: Any) -> Any:
        start = time.perf_counter()
        mesh = create(*arguments)
        inside.append(time.perf_counter() - start)
        return mesh

    _compat.create_mesh = timed
    tiled = clock("mesh", lambda: tile_mesh(comm, cells, periods, lateral, 1 / sum(periods)))
    space = clock("function space", lambda: fem.functionspace(tiled.mesh, ("Lagrange", 1)))
    nodes = space.dofmap.index_map.size_local + space.dofmap.index_map.num_ghosts
    ids = clock("node numbers", lambda: tiled.node_ids(space.dofmap.list, nodes))
    keys = clock("periodic nodes", lambda: tiled.periodic_keys(ids, (1, 2)))
    active = np.ones((nodes, FIELDS), dtype=bool)
    layout = clock("layout of 5 fields", lambda: build_layout(comm, keys, active))
    clock("interface", lambda: [tiled.interface_facets(r, (1, 2)) for r in (0, 2)])
    here = len(tiled.cell_unit)
    total, largest = comm.allreduce(here), comm.allreduce(here, op=MPI.MAX)
    shared = comm.allreduce(space.dofmap.index_map.num_ghosts)
    library, unknowns = comm.allreduce(inside[0], op=MPI.MAX), layout.global_size
    if comm.rank == 0:
        print(
            f"\n{total} tetrahedra, {tiled.node_count} nodes, {unknowns} unknowns; {library:.1f} s of `mesh` in "
            f"DOLFINx's create_mesh; largest share {largest * comm.size / total:.4f} "
            f"of the mean; nodes of other ranks: {shared}"
        )


main()
