"""Matrices of the particle problems on hand-made unit cells, straight and curved."""

from __future__ import annotations

import numpy as np
import pytest
import ufl
from dolfinx import fem
from mpi4py import MPI

from dfx_homog import _compat
from dfx_homog.dimensionless.physics import Tensor
from dfx_homog.errors import BadInput
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.models.particle_geometry import particle_geometry


def slab(n: int, order: int, bend: float = 0.0) -> UnitCell:
    """Solid in 1/4 < z2 < 3/4, periodic in z1; `bend` curves the interfaces."""
    side = n * order + 1
    node = np.arange(side * side).reshape(side, side)
    x, y = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side), indexing="ij")
    y = y + bend * np.where((y == 0) | (y == 1), 0.0, np.sin(np.pi * y)) * np.cos(2 * np.pi * x)
    y[-1] = y[0]
    cells, phase = [], []
    for i in range(n):
        for j in range(n):
            a, b = (order * i, order * j), (order * i + order, order * j)
            c, d = (b[0], b[1] + order), (a[0], a[1] + order)
            for vertices in ((a, b, c), (a, c, d)):
                v = np.array(vertices)
                midpoints = [(v[k] + v[m]) // 2 for k, m in ((1, 2), (0, 2), (0, 1))] if order == 2 else []
                cells.append([node[tuple(p)] for p in (*v, *midpoints)])
                phase.append(SOLID if 0.25 < (j + 0.5) / n < 0.75 else ELECTROLYTE)
    pairs = (np.column_stack([node[0], node[-1]]), np.column_stack([node[:, 0], node[:, -1]]))
    points = np.column_stack([x.ravel(), y.ravel()])
    cell = UnitCell("negative", 2, order, points, np.array(cells), np.array(phase, dtype=np.int8), pairs)
    cell.check()
    return cell


@pytest.mark.parametrize("order", [1, 2])
def test_geometry_measures(order: int) -> None:
    g = particle_geometry(slab(16, order, 0.08), 2 * order, 2 * order + 1)
    assert g.volume == pytest.approx(0.5 * 1.0, abs=2e-3)  # the bend moves both sides alike
    z = (np.arange(2000) + 0.5) / 2000
    slopes = [0.08 * np.sin(np.pi * y) * 2 * np.pi * np.sin(2 * np.pi * z) for y in (0.25, 0.75)]
    length = sum(np.hypot(1.0, slope).mean() for slope in slopes)
    assert g.surface == pytest.approx(length, abs={1: 2e-3, 2: 2e-5}[order])
    assert np.abs(g.K @ np.ones(g.K.shape[0])).max() < 1e-12
    assert abs(g.M - g.M.T).max() < 1e-15
    assert abs(g.K - g.K.T).max() < 1e-12
    assert len(g.trace) == 2 * 16 * order


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("tensor", [None, ((0.6, 0.2), (0.2, 1.5))])
def test_matrices_are_those_of_dolfinx(order: int, tensor: Tensor | None) -> None:
    cell = slab(6, order, 0.08)
    g = particle_geometry(cell, 2 * order, 2 * order + 1, tensor=tensor)
    used, cells = np.unique(cell.cells[cell.phase == SOLID], return_inverse=True)
    cells = cells.reshape(-1, cell.cells.shape[1])
    mesh = _compat.create_mesh(MPI.COMM_SELF, cells, cell.points[used], "triangle", order)
    V = fem.functionspace(mesh, ("Lagrange", order))
    u = fem.Function(V)

    def field(x: np.ndarray) -> np.ndarray:
        return np.sin(2 * np.pi * x[0]) * (1 + x[1] ** 2)

    u.interpolate(field)
    nodal = np.zeros(g.M.shape[0])
    inside = g.solid_nodes >= 0
    nodal[g.solid_nodes[inside]] = field(cell.points.T)[inside]
    dx = ufl.dx(metadata={"quadrature_degree": 2 * order})
    D = ufl.as_matrix(tensor or ((1.0, 0.0), (0.0, 1.0)))
    for matrix, form in ((g.M, u * u * dx), (g.K, ufl.inner(D * ufl.grad(u), ufl.grad(u)) * dx)):
        assert nodal @ matrix @ nodal == pytest.approx(fem.assemble_scalar(fem.form(form)).real, rel=1e-12)


def test_inactive_cells_are_left_out() -> None:
    cell = slab(8, 1)
    upper = cell.points[cell.cells].mean(axis=1)[:, 1] > 0.5
    g = particle_geometry(cell, 2, 3, active=upper)
    assert g.volume == pytest.approx(0.25, abs=1e-14)
    assert g.surface == pytest.approx(1.0, abs=1e-14)
    with pytest.raises(BadInput, match="interface"):
        particle_geometry(cell, 2, 3, active=np.zeros(len(cell.cells), dtype=bool))
