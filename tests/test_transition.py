"""Unit cells of the separator between two different face meshes, alone and in the joined mesh."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import ufl
from dolfinx import fem
from dolfinx import mesh as dmesh
from mpi4py import MPI

from dfx_homog import _compat
from dfx_homog.microstructure import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.microstructure.extrude import extrude_face, fits
from dfx_homog.microstructure.space_mesh import MIN_DIHEDRAL, MIN_JACOBIAN
from dfx_homog.microstructure.tiling import TiledMesh, tile_mesh
from dfx_homog.microstructure.transition import solid_inside, transition_cell
from dfx_homog.studies.unit_cells import build_unit_cell

SCHWARZ_P = {
    "geometry": "level_set",
    "expression": "cos(2*pi*x) + cos(2*pi*y) + cos(2*pi*z)",
    "threshold": 0.0,
}
PACKING = {
    "geometry": "random_spheres",
    "porosity": 0.5,
    "radius_mean": 1.0,
    "radius_std": 0.2,
    "cells": 5.0,
    "overlap": 0.1,
    "seed": 1,
}


@cache
def balls(order: int, radius: float, mesh_size: float = 0.3) -> UnitCell:
    return solid("spheres", order, mesh_size, lattice="sc", radius=radius, centres=None, radii=None)


@cache
def surface(order: int) -> UnitCell:
    return solid(order=order, mesh_size=0.25, **SCHWARZ_P)  # type: ignore[arg-type]


def solid(geometry: str, order: int, mesh_size: float, **keys: object) -> UnitCell:
    spec = SimpleNamespace(geometry=geometry, order=order, mesh_size=mesh_size, dim=3, **keys)
    return build_unit_cell(geometry, spec, MPI.COMM_WORLD)


def good(cell: UnitCell) -> bool:
    cell.check()
    return cell.min_angle() >= MIN_DIHEDRAL and cell.min_jacobian() >= MIN_JACOBIAN


@pytest.mark.parametrize("order", [1, 2])
def test_between_balls_and_a_surface(order: int) -> None:
    before, after = balls(order, 0.55), surface(order)
    assert not fits(before, after)
    cell = transition_cell("separator", before, after, 0.3)
    assert good(cell)
    assert fits(before, cell) and fits(cell, after) and not fits(cell, before)
    assert fits(extrude_face("separator", before, 0.3), cell)
    assert cell.phase_fraction(ELECTROLYTE) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_between_two_random_media(order: int) -> None:
    """Faces of cut meshes, whose triangles are far from regular; fine on one side, coarse on the other."""
    before = solid(order=order, mesh_size=0.14, **PACKING)  # type: ignore[arg-type]
    assert good(transition_cell("separator", before, surface(order), 0.3))


@pytest.mark.parametrize("order", [1, 2])
def test_solid_that_touches_no_face_is_kept(order: int) -> None:
    """An inert ball: its volume and surface to rounding; between equal faces the cell is periodic."""
    before, inside = balls(order, 0.55), balls(order, 0.35)
    assert solid_inside(inside) and not solid_inside(before)
    for after in (before, surface(order)):
        cell = transition_cell("separator", before, after, 0.3, inside)
        assert good(cell)
        assert fits(before, cell) and fits(cell, after)
        assert fits(cell, cell) == (after is before)
        assert cell.phase_fraction(SOLID) == pytest.approx(inside.phase_fraction(SOLID), rel=1e-12)
        assert cell.interface_measure() == pytest.approx(inside.interface_measure(), rel=1e-12)


def joined(order: int, periods: int) -> TiledMesh:
    """Balls, a separator that leads from them to a surface, the surface; two tiles across in direction 2."""
    before, after = balls(order, 0.55), surface(order)
    closing = transition_cell("separator", before, after, 0.3)
    separator = extrude_face("separator", before, 0.3)
    separator = UnitCell(
        *(getattr(separator, n) for n in ("name", "dim", "order", "points", "cells", "phase", "periodic")),
        closing=closing,
    )
    return tile_mesh(MPI.COMM_WORLD, (before, separator, after), (2, periods, 1), (2, 1), 0.25)


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize(("order", "periods"), [(1, 1), (1, 3), (2, 2)])
def test_joined_mesh_conforms(order: int, periods: int) -> None:
    """Volumes by region, the surface of the whole, and a linear function that Laplace's equation leaves alone.

    A facet that two cells do not share would be part of the surface, and would leave a linear function a residual.
    """
    comm, tiled = MPI.COMM_WORLD, joined(order, periods)
    mesh, delta = tiled.mesh, 0.25
    regions = [(r, np.flatnonzero(tiled.cell_region == r).astype(np.int32)) for r in range(3)]
    dx = ufl.Measure("dx", mesh, subdomain_data=regions, metadata={"quadrature_degree": 2 * order})
    one = fem.Constant(mesh, 1.0)
    volumes = [comm.allreduce(fem.assemble_scalar(_compat.compile_form(one * dx(r)))) for r in range(3)]
    np.testing.assert_allclose(volumes, np.array([4, 2 * periods, 2]) * delta**3, rtol=1e-12)
    mesh.topology.create_connectivity(2, 3)
    outer = dmesh.exterior_facet_indices(mesh.topology)
    ds = ufl.Measure("ds", mesh, metadata={"quadrature_degree": 2 * order})
    area = comm.allreduce(fem.assemble_scalar(_compat.compile_form(one * ds)))
    assert comm.allreduce(len(outer)) > 0
    assert area == pytest.approx((2 * 2 + (2 + 4) * (3 + periods)) * delta**2, rel=1e-12)

    space = fem.functionspace(mesh, ("Lagrange", order))
    u, v = fem.Function(space), ufl.TestFunction(space)
    u.interpolate(lambda x: 1 + x[0] - 2 * x[1] + 3 * x[2])
    residual = fem.assemble_vector(
        _compat.compile_form(ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx(metadata={"quadrature_degree": 4}))
    )
    residual.scatter_reverse(_compat.INSERT_ADD)
    mesh.topology.create_connectivity(2, 0)
    at_surface = fem.locate_dofs_topological(space, 2, outer)
    own = space.dofmap.index_map.size_local
    inner = np.setdiff1d(np.arange(own), at_surface)
    corner = np.array([3 + periods, 2, 1]) * delta
    points = space.tabulate_dof_coordinates()[inner]
    # a rank may know a node of the surface, but none of its facets
    inside = np.all((points > 1e-9) & (points < corner - 1e-9), axis=1)
    assert np.abs(residual.array[inner[inside]]).max() < 1e-12


@pytest.mark.mpi
@pytest.mark.mpi3
def test_joined_mesh_is_the_same_on_any_number_of_ranks() -> None:
    """Nodes at the joint have one number, on whatever rank, and the place of the unit cells' nodes."""
    tiled = joined(1, 2)
    space = fem.functionspace(tiled.mesh, ("Lagrange", 1))
    count = space.dofmap.index_map.size_local + space.dofmap.index_map.num_ghosts
    ids = tiled.node_ids(space.dofmap.list, count)
    points = space.tabulate_dof_coordinates()[:count] / tiled.scale
    everywhere = np.zeros((tiled.node_count, 3))
    everywhere[ids] = points
    MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, everywhere, op=MPI.MAX)
    np.testing.assert_allclose(points, everywhere[ids], atol=1e-13)
    assert len(np.unique(np.round(everywhere, 9), axis=0)) == tiled.node_count
    for kind, unit in enumerate(tiled.units):
        here = np.flatnonzero(tiled.cell_kind == kind)
        expected = unit.points[unit.cells[tiled.cell_unit[here]]] + tiled.cell_tile[here][:, None]
        np.testing.assert_allclose(points[space.dofmap.list[here]], expected, atol=1e-12)
    # the last period of the separator alone is the closing unit cell
    assert np.array_equal(tiled.cell_kind == 3, (tiled.cell_tile[:, 0] == 3))
    keys = tiled.periodic_keys(ids, (1, 2))
    wrapped = everywhere[keys]
    assert wrapped[:, 1].max(initial=0) < 2 - 1e-9 and wrapped[:, 2].max(initial=0) < 1 - 1e-9
    np.testing.assert_allclose(np.mod(points[:, 1:], [2, 1]), wrapped[:, 1:], atol=1e-9)
