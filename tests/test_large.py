"""Numbers beyond 2^31: the lattice counts nodes of meshes that no machine here could hold; PETSc's limit is refused."""

from __future__ import annotations

import numpy as np
import pytest
from mpi4py import MPI
from petsc4py import PETSc

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.lattice import Lattice
from dfx_homog.microstructure.partition import blocks, shares
from dfx_homog.solvers import layout
from dfx_homog.verification.problems import disks, unit_cell

ACROSS = 3000


@pytest.fixture(scope="module")
def lattice() -> Lattice:
    """Tiles enough for more than 2^32 nodes."""
    cell = unit_cell(disks(0.3), 0.03)
    along = 2**32 // (ACROSS * (len(cell.points) - len(cell.end_nodes(0)) * 2)) + 20
    return Lattice((cell,), np.zeros(along, dtype=np.int64), (ACROSS,))


def test_numbers_of_nodes_are_64_bits_all_the_way(lattice: Lattice) -> None:
    """From tile and node to number, and back, at the far end; sums over tiles do not wrap around."""
    assert lattice.node_count > 2**32
    last = lattice.inner - 1
    tiles = np.array([last - [0, 1], last - [1, 0], last])
    for tile in tiles:
        numbers = lattice.tile_nodes(tile[None])[0]
        assert numbers.dtype == np.int64
        assert 2**32 < numbers.min() < numbers.max() < lattice.node_count
        node = np.arange(len(numbers))
        assert (lattice.number(np.tile(tile, (len(node), 1)), 0, node) == numbers).all()
        expected = lattice.units[0].points + tile
        assert np.abs(lattice.coordinates(numbers) - expected).max() < 1e-8
    wrapped = lattice.wrap(lattice.tile_nodes(tiles[:1])[0], (1,))
    assert wrapped.dtype == np.int64
    assert wrapped.max() < lattice.node_count


def test_shares_of_many_ranks(lattice: Lattice) -> None:
    """The last of 10^6 ranks makes its own cells only, as many as any other."""
    ranks, columns = 10**6, np.zeros(int(lattice.inner[0]), dtype=np.int64)
    parts = blocks(ranks, (len(columns), ACROSS))
    assert np.prod(parts) == ranks
    total = len(columns) * ACROSS * len(lattice.units[0].cells)
    for rank in (0, ranks // 2, ranks - 1):
        mine = list(shares(lattice.units, columns, (ACROSS,), rank, ranks))
        cells = sum(len(share.tiles) * len(share.cells) for share in mine)
        assert cells == pytest.approx(total / ranks, rel=0.05)
    assert total > 2**32


@pytest.mark.mpi
def test_more_unknowns_than_petsc_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused on all ranks alike, with the number and what would help."""
    comm = MPI.COMM_WORLD
    layout.check_index(int(np.iinfo(PETSc.IntType).max), "unknowns")
    with pytest.raises(BadInput, match="with-64-bit-indices"):
        layout.check_index(int(np.iinfo(PETSc.IntType).max) + 1, "unknowns")
    monkeypatch.setattr(layout.np, "iinfo", lambda _: type("Small", (), {"max": 10 * comm.size - 1}))
    keys = np.arange(10) + 10 * comm.rank
    with pytest.raises(BadInput, match=f"{10 * comm.size} unknowns"):
        layout.build_layout(comm, keys, np.ones((10, 1), dtype=bool))
