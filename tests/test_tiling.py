"""Distributed meshes of unit-cell copies: the same on any number of ranks, exact volumes and interfaces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import ufl
from dolfinx import fem
from mpi4py import MPI

from dfx_homog import _compat
from dfx_homog.microstructure import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.microstructure.tiling import TiledMesh, tile_mesh
from dfx_homog.verification.problems import CHECKERBOARD, SEPARATOR, WAVY, WAVY_BREAKS, laminate, unit_cell

pytestmark = pytest.mark.mpi

SKEW: dict[str, Any] = {"geometry": "wavy", "w0": 0.27, "w1": 0.1, "w2": 0.06}


def three_regions(order: int = 1, h: float = 0.15) -> tuple[UnitCell, ...]:
    """Three different cells with matching faces."""
    first, last = WAVY, {**SKEW, "w1": 0.12}
    return tuple(unit_cell(keys, h, order, WAVY_BREAKS) for keys in (first, SEPARATOR, last))


def integrals(tiled: TiledMesh, pairs: list[np.ndarray]) -> list[float]:
    """Lengths of sets of facets, over all ranks; with 8 Gauss points, as UnitCell measures its interface."""
    facets = [(i, np.ascontiguousarray(p, dtype=np.int32).ravel()) for i, p in enumerate(pairs)]
    ds = ufl.Measure("ds", tiled.mesh, subdomain_data=facets, metadata={"quadrature_degree": 15})
    one = fem.Constant(tiled.mesh, 1.0)
    comm = tiled.mesh.comm
    return [comm.allreduce(fem.assemble_scalar(_compat.compile_form(one * ds(i)))) for i in range(len(pairs))]


def length(tiled: TiledMesh, region: int, periodic: tuple[int, ...]) -> float:
    return integrals(tiled, [tiled.interface_facets(region, periodic)])[0]


def cell_table(tiled: TiledMesh) -> dict[tuple[int, ...], tuple[Any, ...]]:
    """What each cell, named by tile and unit cell's cell, consists of: sorted node ids, phase, points."""
    mesh = tiled.mesh
    space = fem.functionspace(mesh, ("Lagrange", tiled.order))
    index_map = space.dofmap.index_map
    nodes = index_map.size_local + index_map.num_ghosts
    ids = tiled.node_ids(space.dofmap.list, nodes)
    points = space.tabulate_dof_coordinates()[:, :2]
    table = {}
    for cell, dofs in enumerate(space.dofmap.list[: len(tiled.phase)]):
        name = (*tiled.cell_tile[cell].tolist(), int(tiled.cell_unit[cell]))
        order = np.argsort(ids[dofs])
        table[name] = (
            tuple(ids[dofs][order].tolist()),
            int(tiled.phase[cell]),
            int(tiled.cell_region[cell]),
            points[dofs][order],
        )
    return table


@pytest.mark.mpi3
@pytest.mark.parametrize("order", [1, 2])
def test_same_mesh_on_any_number_of_ranks(order: int) -> None:
    """Node numbers, phases, regions and coordinates, cell by cell, against the mesh that one rank makes alone."""
    comm, cells = MPI.COMM_WORLD, three_regions(order)
    arguments = (cells, (2, 1, 1), (2,), 0.25)
    mine = cell_table(tile_mesh(comm, *arguments))
    alone = cell_table(tile_mesh(MPI.COMM_SELF, *arguments))
    names = [name for part in comm.allgather(list(mine)) for name in part]
    assert len(names) == len(set(names))
    assert set(names) == set(alone)
    for name, (ids, phase, region, points) in mine.items():
        assert (ids, phase, region) == alone[name][:3]
        assert np.allclose(points, alone[name][3], rtol=0, atol=1e-14)


@pytest.mark.parametrize("order", [1, 2])
def test_numbers_are_nodes(order: int) -> None:
    """As many numbers as different points, no gaps; phase and place of each cell are those of the unit cell."""
    cells = three_regions(order)
    table = cell_table(tile_mesh(MPI.COMM_SELF, cells, (2, 1, 1), (2,), 1.0))
    ids = np.concatenate([entry[0] for entry in table.values()])
    points = np.concatenate([entry[3] for entry in table.values()])
    numbers, first = np.unique(ids, return_index=True)
    assert np.array_equal(numbers, np.arange(len(numbers)))
    assert np.abs(points - points[first][ids]).max() < 1e-13
    assert len(np.unique(np.round(points, 9), axis=0)) == len(numbers)
    for (column, row, unit), (_, phase, region, place) in table.items():
        cell = cells[region]
        assert region == (0, 0, 1, 2)[column]
        assert phase == cell.phase[unit]
        expected = cell.points[cell.cells[unit]].mean(axis=0) + np.array([column, row])
        assert np.allclose(place.mean(axis=0), expected, rtol=0, atol=1e-12)


@pytest.mark.mpi3
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("lateral", [1, 3])
def test_volumes_and_interface_add_up(order: int, lateral: int) -> None:
    """Volumes of phases and |Gamma| are those of the unit cells times the number of tiles, to rounding errors."""
    cells, counts, delta = three_regions(order), (2, 1, 2), 0.2
    tiled = tile_mesh(MPI.COMM_WORLD, cells, counts, (lateral,), delta)
    data = [
        (2 * r + p, np.flatnonzero((tiled.cell_region == r) & (tiled.phase == p)).astype(np.int32))
        for r in range(3)
        for p in (SOLID, ELECTROLYTE)
    ]
    dx = ufl.Measure("dx", tiled.mesh, subdomain_data=data, metadata={"quadrature_degree": 4})
    one = fem.Constant(tiled.mesh, 1.0)
    for r, cell in enumerate(cells):
        copies = counts[r] * lateral
        for p in (SOLID, ELECTROLYTE):
            form = _compat.compile_form(one * dx(2 * r + p))
            volume = MPI.COMM_WORLD.allreduce(fem.assemble_scalar(form))
            assert volume == pytest.approx(copies * cell.phase_fraction(p) * delta**2, abs=1e-14)
        for periodic in ((), (1,)):
            expected = copies * cell.interface_measure() * delta
            assert length(tiled, r, periodic) == pytest.approx(expected, abs=1e-13)
    ends = integrals(tiled, [tiled.end_facets(0), tiled.end_facets(1)])
    assert ends == pytest.approx([lateral * delta] * 2, abs=1e-14)


def test_interface_of_curved_cells_is_that_of_the_curve() -> None:
    """|Gamma| = 2.25947 and phi_e = 0.46 of `wavy-2d`: order 4 with curved cells."""
    cell = unit_cell(WAVY, 0.1, 2)
    tiled = tile_mesh(MPI.COMM_WORLD, (cell,), (1,), (1,), 1.0)
    assert length(tiled, 0, (0, 1)) == pytest.approx(2.25947, abs=1e-4)
    assert cell.phase_fraction(ELECTROLYTE) == pytest.approx(0.46, abs=1e-6)


@pytest.mark.mpi3
def test_normals_point_out_of_the_solid() -> None:
    """int_Gamma n_s = 0 over a closed surface, int_Gamma x.n_s = 2 |solid| for a disk in every tile."""
    radius = 0.3
    cell = unit_cell({"geometry": "disks", "radius": radius, "lattice": "square"}, 0.2, 1)
    tiled = tile_mesh(MPI.COMM_WORLD, (cell,), (2,), (2,), 1.0)
    pairs = [(0, tiled.interface_facets(0, (0, 1)).ravel())]
    ds = ufl.Measure("ds", tiled.mesh, subdomain_data=pairs)
    n, x = ufl.FacetNormal(tiled.mesh), ufl.SpatialCoordinate(tiled.mesh)
    forms = [n[0] * ds(0), n[1] * ds(0), ufl.dot(x, n) * ds(0)]
    found = [MPI.COMM_WORLD.allreduce(fem.assemble_scalar(_compat.compile_form(f))) for f in forms]
    assert found == pytest.approx([0, 0, 2 * 4 * cell.phase_fraction(SOLID)], abs=1e-12)


# interfaces on the faces of the unit cell ----------------------------------------------------------------------------


@pytest.mark.mpi3
@pytest.mark.parametrize("lateral", [1, 2])
def test_checkerboard(lateral: int) -> None:
    """Interface of length 4 per cell: 2 inside, 2 on faces, of which the lateral ones count if periodic."""
    cell = unit_cell(CHECKERBOARD, 0.25)
    assert cell.interface_measure() == pytest.approx(4.0)
    n = 3
    tiled = tile_mesh(MPI.COMM_WORLD, (cell,), (n,), (lateral,), 1.0)
    inside = 2 * n * lateral + (n - 1) * lateral + (lateral - 1) * n
    assert length(tiled, 0, ()) == pytest.approx(inside)
    assert length(tiled, 0, (1,)) == pytest.approx(inside + n)
    assert length(tiled, 0, (0,)) == pytest.approx(inside + lateral)
    assert length(tiled, 0, (0, 1)) == pytest.approx(4 * n * lateral)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("lateral", [1, 2])
def test_laminate_along(order: int, lateral: int) -> None:
    """Layers along y1, solid where z2 < 0.4: faces at z2 = 0.4 and, between tiles or periodic, z2 = 0."""
    cell = unit_cell(laminate((0, 1), 0.4), 0.25, order)
    separator = unit_cell(SEPARATOR, 0.25, order, (0.4,))
    tiled = tile_mesh(MPI.COMM_WORLD, (cell, separator, cell), (2, 1, 3), (lateral,), 1.0)
    for region, n in ((0, 2), (2, 3)):
        assert length(tiled, region, ()) == pytest.approx(n * (2 * lateral - 1))
        assert length(tiled, region, (1,)) == pytest.approx(n * 2 * lateral)
    # the end faces of the solid at the separator are no interface: all of it lies along y1
    n = ufl.FacetNormal(tiled.mesh)
    for region in (0, 2):
        ds = ufl.Measure("ds", tiled.mesh, subdomain_data=[(0, tiled.interface_facets(region, (1,)).ravel())])
        form = _compat.compile_form(abs(n[0]) * ds(0))
        assert MPI.COMM_WORLD.allreduce(fem.assemble_scalar(form)) == pytest.approx(0, abs=1e-12)


def test_laminate_across() -> None:
    """Layers across y1, solid where z1 < 0.4: the face z1 = 0 of the first tile is a collector, not interface."""
    cell = unit_cell(laminate((1, 0), 0.4), 0.25)
    separator = unit_cell(SEPARATOR, 0.25)
    tiled = tile_mesh(MPI.COMM_WORLD, (cell, separator, cell), (2, 1, 2), (1,), 1.0)
    # z1 = 0.4, 1, 1.4 in the negative electrode; z1 = 2 faces the separator; 3.4, 4, 4.4 and the collector at 5
    assert length(tiled, 0, (1,)) == pytest.approx(3)
    assert length(tiled, 2, (1,)) == pytest.approx(3)
    alone = tile_mesh(MPI.COMM_WORLD, (cell,), (2,), (1,), 1.0)
    assert length(alone, 0, (0, 1)) == pytest.approx(4)
    negative, positive = (tiled.end_facets(side) for side in (0, 1))
    solid = [p[tiled.phase[p[:, 0]] == SOLID] for p in (negative, positive)]
    assert integrals(tiled, solid) == pytest.approx([1, 0])


def test_ends_of_the_solid_at_the_separator_are_no_interface() -> None:
    """|Gamma| of a region does not change where its last tile meets the separator instead of another tile."""
    cells = three_regions()
    short = tile_mesh(MPI.COMM_WORLD, cells, (1, 1, 1), (1,), 1.0)
    assert length(short, 0, ()) == pytest.approx(cells[0].interface_measure(), abs=1e-13)
    assert length(short, 1, ()) == 0
    tab = short.end_facets(0)
    assert integrals(short, [tab[short.phase[tab[:, 0]] == SOLID]]) == pytest.approx([0.78])
