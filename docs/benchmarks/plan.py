"""A resolved problem of 1e9 unknowns on thousands of ranks, without making it: numbers, shares, neighbours.

    ./dfx exec python docs/benchmarks/plan.py --periods 40 20 40 --lateral 43 43 --ranks 4096

Overlapping balls (simple cubic, radius 0.55, mesh size 0.2) in all regions, order 1, periodic across. What
docs/scaling.md tables: the arrays that every rank has of the whole, and one inner rank's cells, nodes, and the ranks
that it shares nodes with. Only the shares of that rank and of the blocks around it are made.
"""

from __future__ import annotations

import argparse
import time
from itertools import product

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from dfx_homog.microstructure.lattice import Lattice
from dfx_homog.microstructure.partition import blocks, shares
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.runfile import Spheres
from dfx_homog.studies.unit_cells import build_unit_cell

Ints = npt.NDArray[np.int64]


def unknowns_per_tile(cell: UnitCell) -> int:
    """c_s, Phi_s on solid, c_e, Phi_e on electrolyte, T everywhere, in an inner tile."""

    def nodes(cells: Ints) -> int:
        return len(np.unique(cell.canonical[cells]))

    solid, pores = (cell.cells[cell.phase == phase] for phase in (SOLID, ELECTROLYTE))
    return 2 * nodes(solid) + 2 * nodes(pores) + nodes(cell.cells)


def share_nodes(
    lattice: Lattice, columns: Ints, lateral: tuple[int, ...], rank: int, ranks: int
) -> tuple[int, Ints]:
    """Cells of a rank, and the numbers of their nodes, periodic across."""
    found, cells = [], 0
    for share in shares(lattice.units, columns, lateral, rank, ranks):
        rows = lattice.units[share.unit].cells[share.cells]
        found.append(np.unique(lattice.tile_nodes(share.tiles)[:, np.unique(rows)]))
        cells += len(share.tiles) * len(share.cells)
    ids = np.unique(np.concatenate(found))
    return cells, np.unique(lattice.wrap(ids, (1, 2)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--periods", type=int, nargs=3, default=(40, 20, 40))
    parser.add_argument("--lateral", type=int, nargs=2, default=(43, 43))
    parser.add_argument("--ranks", type=int, default=4096)
    given = parser.parse_args()
    spec = Spheres(geometry="spheres", lattice="sc", radius=0.55, mesh_size=0.2, sigma_s=1, k_s=1, k_e=1)
    cell = build_unit_cell("ball", spec, MPI.COMM_SELF)
    lateral, ranks = tuple(given.lateral), given.ranks
    columns = np.zeros(sum(given.periods), dtype=np.int64)
    begin = time.perf_counter()
    lattice = Lattice((cell,), columns, lateral)
    tiles = len(columns) * lateral[0] * lateral[1]
    total = tiles * unknowns_per_tile(cell)
    print(
        f"tiles {tiles}, nodes {lattice.node_count}, unknowns {total:.4g}, cells {tiles * len(cell.cells):.4g}"
    )
    print(f"entries of all five fields at every node {5 * lattice.node_count:.4g}; 2^31 = {2**31:.4g}")
    print(
        f"table of tiles on every rank: {lattice.offset.nbytes / 2**20:.1f} MiB, {time.perf_counter() - begin:.2f} s"
    )
    parts = blocks(ranks, (len(columns), *lateral))
    place = tuple(n // 2 for n in parts)
    rank = int(np.ravel_multi_index(place, parts))
    cells, nodes = share_nodes(lattice, columns, lateral, rank, ranks)
    print(
        f"{ranks} ranks in blocks {parts}; rank {rank}: {cells} cells, {len(nodes)} nodes, dtype {nodes.dtype}"
    )
    around = {
        int(np.ravel_multi_index([(p + s) % n for p, s, n in zip(place, step, parts, strict=True)], parts))
        for step in product((-1, 0, 1), repeat=3)
        if 0 <= place[0] + step[0] < parts[0]
    } - {rank}
    common = {}
    for other in sorted(around):
        _, theirs = share_nodes(lattice, columns, lateral, other, ranks)
        if shared := len(np.intersect1d(nodes, theirs, assume_unique=True)):
            common[other] = shared
    print(
        f"neighbours {len(common)}, nodes shared {min(common.values())} to {max(common.values())}, in all "
        f"{sum(common.values())} ({100 * sum(common.values()) / len(nodes):.1f} % of its own)"
    )
    print(f"doubles to send for five fields: {5 * 8 * sum(common.values()) / 2**10:.0f} KiB")


if __name__ == "__main__":
    main()
