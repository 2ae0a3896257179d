"""Numbering of unknowns: phases, periodic nodes and prescribed values, on any number of ranks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import ufl
from dolfinx import fem
from mpi4py import MPI
from petsc4py import PETSc

from dfx_homog import _compat
from dfx_homog.microstructure import SOLID, UnitCell
from dfx_homog.microstructure.tiling import TiledMesh, tile_mesh
from dfx_homog.models.resolved_forms import cellwise
from dfx_homog.solvers.layout import Layout, Transfer, build_layout
from dfx_homog.verification.problems import Problem, laminate, unit_cell

pytestmark = pytest.mark.mpi


def expected_groups(keys: np.ndarray, active: np.ndarray, fixed: np.ndarray) -> dict[tuple[int, int], int]:
    """Unknowns by their definition: (key, field) with an active entry and no fixed one, numbered in any order."""
    pairs = {(int(k), f) for k, row in zip(keys, active, strict=True) for f in np.flatnonzero(row)}
    pairs -= {(int(k), f) for k, row in zip(keys, fixed, strict=True) for f in np.flatnonzero(row)}
    return {pair: i for i, pair in enumerate(sorted(pairs))}


def gathered(layout: Layout, keys: np.ndarray) -> tuple[dict[tuple[int, int], int], list[int]]:
    """(key, field) -> number as all ranks see it; and the owned numbers of all ranks, in order of fields."""
    numbers: dict[tuple[int, int], int] = {}
    for their_keys, table in layout.comm.allgather((keys, layout.numbers)):
        for key, row in zip(their_keys, table, strict=True):
            for field, number in enumerate(row):
                assert numbers.setdefault((int(key), field), int(number)) == number, (
                    "ranks or copies disagree"
                )
    owned = np.concatenate([layout.field_range(f) for f in range(layout.numbers.shape[1])])
    return numbers, [int(i) for part in layout.comm.allgather(owned) for i in part]


@pytest.mark.mpi3
@pytest.mark.parametrize("seed", range(6))
def test_random_keys(seed: int) -> None:
    """Random nodes with shared keys, some ranks with few nodes, the last one with none."""
    comm = MPI.COMM_WORLD
    rng = np.random.default_rng((seed, comm.rank))
    fields, span = 3, 40 + 20 * seed
    nodes = 0 if comm.size > 1 and comm.rank == comm.size - 1 else int(rng.integers(1, 60))
    keys = rng.integers(0, span, nodes)
    active = rng.random((nodes, fields)) < 0.4
    fixed = rng.random((nodes, fields)) < 0.05
    layout = build_layout(comm, keys, active, fixed)

    everything = comm.allgather((keys, active, fixed))
    expected = expected_groups(*(np.concatenate(parts) for parts in zip(*everything, strict=True)))
    numbers, owned = gathered(layout, keys)
    assert {pair for pair, n in numbers.items() if n >= 0} == set(expected)
    assert owned == list(range(len(expected)))
    assert sorted(n for n in numbers.values() if n >= 0) == owned
    assert layout.global_size == len(expected)
    for field in range(fields):
        mine = set(layout.field_range(field).tolist())
        here = {n for (_, f), n in numbers.items() if f == field}
        assert mine <= here
        assert layout.sizes[field] == len(mine)


@pytest.mark.mpi3
def test_values_move_between_functions_and_vectors() -> None:
    """to_vector and to_function are inverse to each other; add_to_vector sums over copies and ranks."""
    comm = MPI.COMM_WORLD
    rng = np.random.default_rng((7, comm.rank))
    keys = rng.integers(0, 30, 25)
    active = rng.random((25, 2)) < 0.6
    layout = build_layout(comm, keys, active)
    transfer, vec = Transfer(layout), layout.create_vector()
    used = layout.numbers.ravel() >= 0

    by_key = (100.0 * np.array([0, 1]) + keys[:, None]).ravel()
    transfer.to_vector(by_key, vec)
    back = np.full(50, -1.0)
    transfer.to_function(vec, back)
    assert np.array_equal(back[used], by_key[used])
    assert np.all(back[~used] == -1.0)

    vec.set(0)
    transfer.add_to_vector(np.where(used, 1.0, np.nan), vec)
    transfer.to_function(vec, back)
    all_keys = np.concatenate(comm.allgather(keys))
    copies = (all_keys[:, None] == keys).sum(axis=0)
    assert np.array_equal(
        back.reshape(-1, 2)[used.reshape(-1, 2)], np.column_stack([copies, copies])[used.reshape(-1, 2)]
    )
    transfer.destroy()


# against a dense reduction ------------------------------------------------------------------------------------------


class TwoFields:
    """u0 on the solid, u1 everywhere, coupled; periodic in y2, both prescribed at y1 = 0."""

    def __init__(self, tiled: TiledMesh, periodic: tuple[int, ...]):
        self.problem = p = Problem(tiled, 2, periodic=periodic)
        p.active[:, 0] = False
        solid = np.flatnonzero(tiled.phase == SOLID)
        p.active[np.unique(p.space.dofmap.list[solid]), 0] = True
        p.fixed[np.abs(p.points[:, 0]) < 1e-12] = True
        phase = (tiled.phase == SOLID).astype(int)
        k = cellwise(tiled.mesh, [1.0, 3.0], phase, 2)
        inside = cellwise(tiled.mesh, [0.0, 1.0], phase, 2)
        u, v = ufl.TrialFunction(p.space), p.v
        x = ufl.SpatialCoordinate(tiled.mesh)
        w = ufl.as_vector([x[0] * v[0].dx(1) for _ in range(2)])
        self.form = _compat.compile_form(
            (
                k * ufl.inner(ufl.grad(u[1]), ufl.grad(v[1]))
                + inside * (ufl.inner(ufl.grad(u[0]), ufl.grad(v[0])) + u[0] * v[0])
                + inside * (u[1] - u[0]) * v[1]
                + inside * u[1] * w[0]
            )
            * ufl.dx
        )
        self.load = _compat.compile_form((v[1] + 2 * inside * v[0] * x[1]) * ufl.dx)


def strip(comm: MPI.Comm, order: int) -> TiledMesh:
    cells = (
        unit_cell(laminate((1, 1), 0.4), 0.35, order),
        unit_cell({"geometry": "electrolyte"}, 0.35, order, (0.4,)),
    )
    return tile_mesh(comm, cells, (2, 1), (2,), 0.5)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("periodic", [(), (1,)])
def test_same_as_dense_reduction(order: int, periodic: tuple[int, ...]) -> None:
    """The assembled matrix is P^T A P and the vector P^T b, P from the definition of keys, phases, fixed nodes."""
    two = TwoFields(strip(MPI.COMM_SELF, order), periodic)
    p = two.problem
    layout = p.layout()
    full = fem.assemble_matrix(two.form).to_scipy()
    expected = expected_groups(p.keys, p.active, p.fixed)
    P = sp.lil_matrix((full.shape[0], len(expected)))
    for node, key in enumerate(p.keys):
        for field in range(2):
            if (key, field) in expected:
                P[2 * node + field, layout.numbers[node, field]] = 1
    P = P.tocsr()
    copies = P.sum(axis=0)
    assert copies.min() >= 1
    assert (copies > 1).any() == bool(periodic)

    matrix = layout.create_matrix()
    _compat.assemble_matrix(matrix, two.form)
    matrix.assemble()
    rows, columns, values = matrix.getValuesCSR()
    difference = sp.csr_matrix((values, columns, rows), shape=matrix.size) - P.T @ full @ P
    assert abs(difference).max() < 1e-13
    assert abs(full).max() > 1

    local = np.zeros(full.shape[0])
    _compat.assemble_vector(two.load, local)
    vec = layout.create_vector()
    transfer = Transfer(layout)
    transfer.add_to_vector(local, vec)
    assert np.allclose(vec.array, P.T @ local, rtol=0, atol=1e-14)
    transfer.destroy()


def test_periodic_keys_are_translations() -> None:
    """Nodes have one key exactly if they differ by the lateral period."""
    tiled = strip(MPI.COMM_SELF, 2)
    p = Problem(tiled, 1, periodic=(1,))
    wrapped = p.points.copy()
    wrapped[:, 1] = np.where(np.abs(wrapped[:, 1] - 1.0) < 1e-12, 0.0, wrapped[:, 1])
    _, group = np.unique(np.round(wrapped, 9), axis=0, return_inverse=True)
    _, by_key = np.unique(p.keys, return_inverse=True)
    pairs = set(zip(group.ravel().tolist(), by_key.tolist(), strict=True))
    assert len(pairs) == group.max() + 1 == by_key.max() + 1


# any number of ranks ------------------------------------------------------------------------------------------------


def solved(comm: MPI.Comm, tiled: TiledMesh) -> tuple[list[int], np.ndarray]:
    """Unknowns of each field, and the solution's norms and mean: the problem of `TwoFields`, linear, by MUMPS."""
    two = TwoFields(tiled, (1,))
    layout = two.problem.layout()
    matrix = layout.create_matrix()
    _compat.assemble_matrix(matrix, two.form)
    matrix.assemble()
    transfer, b, x = Transfer(layout), layout.create_vector(), layout.create_vector()
    local = np.zeros_like(two.problem.u.x.array)
    _compat.assemble_vector(two.load, local)
    transfer.add_to_vector(local, b)
    ksp = PETSc.KSP().create(comm)
    ksp.setOperators(matrix)
    ksp.setType("preonly")
    ksp.pc.setType("lu")
    ksp.pc.setFactorSolverType("mumps")
    ksp.solve(b, x)
    assert ksp.getConvergedReason() > 0
    transfer.to_function(x, two.problem.u.x.array)
    u = two.problem.u
    inside = cellwise(tiled.mesh, [0.0, 1.0], (tiled.phase == SOLID).astype(int), 2)
    quantities = [u[1] * ufl.dx, u[1] ** 2 * ufl.dx, inside * u[0] * ufl.dx, inside * u[0] * u[1] * ufl.dx]
    values = [comm.allreduce(fem.assemble_scalar(_compat.compile_form(q))) for q in quantities]
    sizes = [int(comm.allreduce(int(s))) for s in layout.sizes]
    for obj in (ksp, matrix, b, x):
        obj.destroy()
    transfer.destroy()
    return sizes, np.array(values)


@pytest.mark.mpi3
@pytest.mark.parametrize("order", [1, 2])
def test_same_on_all_ranks_together_and_alone(order: int) -> None:
    together = solved(MPI.COMM_WORLD, strip(MPI.COMM_WORLD, order))
    alone = solved(MPI.COMM_SELF, strip(MPI.COMM_SELF, order))
    assert together[0] == alone[0]
    assert np.allclose(together[1], alone[1], rtol=1e-12, atol=0)
    assert np.abs(alone[1]).min() > 1e-4


def two_triangles() -> UnitCell:
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    cells = np.array([[0, 1, 2], [1, 3, 2]])
    phase = np.array([SOLID, 3 - SOLID], dtype=np.int8)
    return UnitCell(
        "two", 2, 1, points, cells, phase, (np.array([[0, 1], [2, 3]]), np.array([[0, 2], [1, 3]]))
    )


@pytest.mark.mpi3
def test_rank_without_any_cell() -> None:
    """Two triangles on three ranks."""
    comm = MPI.COMM_WORLD
    tiled = tile_mesh(comm, (two_triangles(),), (1,), (1,), 1.0)
    assert comm.allreduce(len(tiled.phase)) == 2
    if comm.size == 3:
        assert min(comm.allgather(len(tiled.phase))) == 0
    together = solved(comm, tiled)
    alone = solved(MPI.COMM_SELF, tile_mesh(MPI.COMM_SELF, (two_triangles(),), (1,), (1,), 1.0))
    # two nodes at z1 = 1 are one (periodic), with both fields
    assert together[0] == alone[0] == [1, 1]
    assert np.allclose(together[1], alone[1], rtol=1e-12, atol=1e-15)


def test_no_unknowns_at_all() -> None:
    comm: Any = MPI.COMM_WORLD
    layout = build_layout(comm, np.arange(4), np.zeros((4, 2), dtype=bool))
    assert layout.global_size == 0
    assert np.all(layout.numbers == -1)
