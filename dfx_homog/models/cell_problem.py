"""Unit-cell problems: correctors W_j and effective tensors (MODEL section 4).

    div_z(A (e_j + grad W_j)) = 0 on the conducting phase, A (e_j + grad W_j).n = 0 on Gamma, W_j periodic,
    A_eff[i, j] = (1/|Omega|) int [A (e_j + grad W_j)]_i dz.

One operator, d right-hand sides: assembled once, one multigrid hierarchy, d solves by conjugate gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import ufl
from dolfinx import fem
from mpi4py import MPI
from petsc4py import PETSc
from scipy.sparse.csgraph import connected_components

from dfx_homog import _compat
from dfx_homog._compat import FloatArray
from dfx_homog.errors import SolverFailure
from dfx_homog.microstructure.tiling import TiledMesh, tile_mesh
from dfx_homog.microstructure.unitcell import UnitCell
from dfx_homog.models.fields import quadrature_degrees
from dfx_homog.models.resolved_forms import cellwise
from dfx_homog.solvers.layout import Transfer, build_layout
from dfx_homog.solvers.presets import DIRECT, ELLIPTIC, set_options

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Homogenised:
    """Solution of one cell problem.

    tensor:      (d, d) A_eff
    energy:      (d, d) <A F F^T>, F_ik = delta_ik + d_k W_i; equals `tensor` by Hill-Mandel
    correctors:  (nodes, d) W_j at the unit cell's nodes, mean zero on every connected component
    iterations:  conjugate-gradient iterations of each of the d solves
    """

    tensor: FloatArray
    energy: FloatArray
    correctors: FloatArray
    iterations: tuple[int, ...]
    dofs: int


class CellProblem:
    """The periodic elliptic problem on one unit cell, distributed over `comm`; forms are compiled once.

    Raises SolverFailure if the linear solver does not converge.
    """

    def __init__(
        self, comm: MPI.Intracomm, cell: UnitCell, *, preset: str = "iterative", user: tuple[str, ...] = ()
    ):
        self.comm, self.cell, self.preset, self.user = comm, cell, preset, user
        self.tiled: TiledMesh = tile_mesh(comm, (cell,), (1,), (1,) * (cell.dim - 1), 1.0)
        mesh = self.tiled.mesh
        self.space = fem.functionspace(mesh, ("Lagrange", cell.order))
        self.nodes = self.space.dofmap.index_map.size_local + self.space.dofmap.index_map.num_ghosts
        ids = self.tiled.node_ids(self.space.dofmap.list, self.nodes)
        self.keys = self.tiled.periodic_keys(ids, tuple(range(cell.dim)))
        self.unit_node = self.tiled._lattice.locate(self.keys)[2]

    def solve(self, coefficient: list[Any]) -> Homogenised:
        """Solve for the coefficient (number or (d, d) tensor, None where absent) of [electrolyte, solid]."""
        cell, tiled, dim = self.cell, self.tiled, self.cell.dim
        conducts = np.array([c is not None for c in coefficient])
        phase_index = (tiled.phase == 1).astype(np.int64)
        A = cellwise(tiled.mesh, coefficient, phase_index, dim)
        active = np.zeros((self.nodes, 1), dtype=bool)
        active[self.space.dofmap.list[np.flatnonzero(conducts[phase_index])].ravel()] = True
        component, pins = _components(cell, conducts[(cell.phase == 1).astype(int)])
        fixed = np.isin(self.unit_node, pins)[:, None]
        layout = build_layout(self.comm, self.keys, active, fixed)
        transfer = Transfer(layout)

        forms = _Forms(tiled.mesh, self.space, A, cell.order)
        matrix = layout.create_matrix()
        _compat.assemble_matrix(matrix, forms.stiffness)
        matrix.assemble()
        loads, solutions, iterations = [], [], []
        ksp = self._ksp(matrix)
        local = np.zeros(self.nodes)
        for j in range(dim):
            forms.direction.value = np.eye(dim)[j]
            local[:] = 0
            _compat.assemble_vector(forms.load, local)
            b, w = layout.create_vector(), layout.create_vector()
            transfer.add_to_vector(local, b)
            b.scale(-1.0)
            if layout.global_size > 0 and b.norm() > 0:
                ksp.solve(b, w)
                if ksp.getConvergedReason() < 0:
                    raise SolverFailure(
                        f"cell problem of '{cell.name}', direction {j + 1}: CG did not converge"
                    )
            loads.append(b)
            solutions.append(w)
            iterations.append(ksp.getIterationNumber())

        mean = np.array([[forms.mean(i, j) for j in range(dim)] for i in range(dim)])
        mean = self.comm.allreduce(mean)
        cross = np.array([[-b.dot(w) for w in solutions] for b in loads])  # int A e_i . grad W_j
        image = [matrix * w for w in solutions]
        stiffness = np.array([[a.dot(w) for a in image] for w in solutions])
        correctors = self._gather(transfer, solutions, component)
        for obj in (ksp, matrix, *loads, *solutions, *image):
            obj.destroy()
        transfer.destroy()
        return Homogenised(
            mean + cross,
            mean + cross + cross.T + stiffness,
            correctors,
            tuple(iterations),
            layout.global_size,
        )

    def _ksp(self, matrix: PETSc.Mat) -> PETSc.KSP:
        ksp = PETSc.KSP().create(self.comm)
        ksp.setOptionsPrefix("cell_")
        set_options("cell_", DIRECT if self.preset == "direct" else ELLIPTIC, self.user)
        ksp.setOperators(matrix)
        ksp.setFromOptions()
        return ksp

    def _gather(self, transfer: Transfer, solutions: list[PETSc.Vec], component: Ints) -> FloatArray:
        """Correctors at all nodes of the (small, replicated) unit cell, with zero mean on each component."""
        size = len(self.cell.points)
        values = np.zeros((size, len(solutions)))
        local = np.zeros(self.nodes)
        for j, w in enumerate(solutions):
            local[:] = 0
            transfer.to_function(w, local)
            values[self.unit_node, j] = local
        seen = np.zeros(size)
        seen[self.unit_node] = 1
        self.comm.Allreduce(MPI.IN_PLACE, values)
        self.comm.Allreduce(MPI.IN_PLACE, seen)
        values = (values / np.maximum(seen, 1)[:, None])[self.cell.canonical]
        weights = nodal_weights(self.cell)
        for number in range(int(component.max()) + 1 if len(component) else 0):
            cells = np.flatnonzero(component == number)
            nodes = self.cell.cells[cells]
            measure = weights[cells].sum()
            mean = np.einsum("ck,ckj->j", weights[cells], values[nodes]) / measure
            members = np.unique(self.cell.canonical[nodes])
            mask = np.isin(self.cell.canonical, members)
            values[mask] -= mean
        return values


class _Forms:
    """Bilinear form, load and mean of one coefficient; the direction is a Constant."""

    def __init__(self, mesh: Any, space: fem.FunctionSpace, A: fem.Function, order: int):
        dim = mesh.geometry.dim
        self.direction = fem.Constant(mesh, np.zeros(dim))
        self.other = fem.Constant(mesh, np.zeros(dim))
        u, v = ufl.TrialFunction(space), ufl.TestFunction(space)
        dx = ufl.Measure("dx", mesh, metadata={"quadrature_degree": quadrature_degrees(order)[0]})

        def apply(w: Any) -> Any:
            return ufl.dot(A, w) if A.ufl_shape else A * w

        self.stiffness = _compat.compile_form(ufl.inner(apply(ufl.grad(u)), ufl.grad(v)) * dx)
        self.load = _compat.compile_form(ufl.inner(apply(self.direction), ufl.grad(v)) * dx)
        self._mean = _compat.compile_form(ufl.inner(self.other, apply(self.direction)) * dx)

    def mean(self, i: int, j: int) -> float:
        """int A_ij, this rank's part."""
        eye = np.eye(len(self.direction.value))
        self.other.value, self.direction.value = eye[i], eye[j]
        return float(fem.assemble_scalar(self._mean))


def _components(cell: UnitCell, conducts: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Components of the conducting phase as the finite elements see them (sharing a node is being connected).

    Returns the component of each cell of the unit cell (-1 where it does not conduct) and one node of each, to pin.
    """
    nodes = cell.canonical[cell.cells]
    rows = nodes[conducts]
    n = len(cell.points)
    edges = sp.coo_matrix(
        (np.ones(rows[:, 1:].size), (np.repeat(rows[:, 0], rows.shape[1] - 1), rows[:, 1:].ravel())),
        shape=(n, n),
    )
    _, label = connected_components(edges, directed=False)
    used = np.unique(label[rows[:, 0]])
    component = np.full(len(cell.cells), -1)
    component[conducts] = np.searchsorted(used, label[rows[:, 0]])
    _, first = np.unique(component[conducts], return_index=True)
    return component, rows[first, 0]


def nodal_weights(cell: UnitCell) -> FloatArray:
    """(m, k) integrals of the basis functions over each cell of a unit cell."""
    import basix

    element = basix.create_element(
        basix.ElementFamily.P, basix.CellType.triangle, cell.order, basix.LagrangeVariant.gll_warped
    )
    points, weights = basix.make_quadrature(basix.CellType.triangle, 2 * cell.order + 2)
    values = element.tabulate(0, points)[0, :, :, 0]
    return np.einsum("q,qk,cq->ck", weights, values, cell.jacobians(points))
