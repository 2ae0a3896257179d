"""Unit-cell problems: correctors W_j and effective tensors (MODEL section 4).

    div_z(A (e_j + grad W_j)) = 0 on the conducting phase, A (e_j + grad W_j).n = 0 on Gamma,
    A_eff[i, j] = (1/|Omega|) int [A (e_j + grad W_j)]_i dz,

with W_j periodic, or, for samples that are not, one of the other conditions of `CONDITIONS` on the outer faces. One
operator, d right-hand sides: assembled once, one multigrid hierarchy, d solves by conjugate gradients.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from mpi4py import MPI
from petsc4py import PETSc

from dfx_homog import _compat, timing
from dfx_homog._compat import FloatArray
from dfx_homog.errors import SolverFailure
from dfx_homog.microstructure.tiling import TiledMesh, tile_mesh
from dfx_homog.microstructure.unitcell import UnitCell
from dfx_homog.models.cell_parts import Parts, find_parts
from dfx_homog.models.fields import quadrature_degrees
from dfx_homog.models.resolved_forms import cellwise
from dfx_homog.solvers.layout import Layout, Transfer, build_layout
from dfx_homog.solvers.presets import DIRECT, ELLIPTIC, ELLIPTIC_3D, set_options
from dfx_homog.timing import timed

Ints = npt.NDArray[np.int64]

#: Conditions on the outer faces. With E = e_j the macroscopic gradient, u = z_j + W_j, q = A grad u:
#: periodic   W_j periodic
#: dirichlet  u = z_j on the boundary (kinematic uniform: A_eff is too large)
#: flux       q.n = e_j.n on the boundary; A_eff is the inverse of the apparent resistivity <grad u> (static uniform:
#:            A_eff is too small), zero if a part that does not conduct touches the boundary
#: through    u = z_j on the two faces normal to j, the others insulated: A_eff[j, j] only, nan off the diagonal
CONDITIONS = ("periodic", "dirichlet", "flux", "through")


@dataclass(frozen=True)
class Homogenised:
    """Solution of one cell problem.

    tensor:      (d, d) A_eff
    energy:      (d, d) <A F F^T>, F_ik = delta_ik + d_k W_i; equals `tensor` by Hill-Mandel, for all conditions
    correctors:  (nodes, d) W_j at the unit cell's nodes, mean zero on every connected part; (0, d) unless asked for
    iterations:  conjugate-gradient iterations of each of the d solves
    residuals:   their last residuals in the Euclidean norm, relative to the right-hand side
    dofs:        unknowns
    seconds:     wall time by phase: parts, layout, assembly, setup (of the preconditioner), solve
    """

    tensor: FloatArray
    energy: FloatArray
    correctors: FloatArray
    iterations: tuple[int, ...]
    dofs: int
    residuals: tuple[float, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)


class CellProblem:
    """The elliptic problem on copies^d tiles of one unit cell, distributed over `comm`; forms are compiled once.

    condition: one of CONDITIONS
    rtol:      Euclidean norm of the residual over that of the right-hand side at which a solve ends. The tensor's
               error is of second order in it on the diagonal, Hill-Mandel holds to first order.
    Raises SolverFailure if the linear solver does not converge.
    """

    @timed("assembly")
    def __init__(
        self,
        comm: MPI.Intracomm,
        cell: UnitCell,
        *,
        copies: int = 1,
        condition: str = "periodic",
        preset: str = "iterative",
        rtol: float = 1e-13,
        user: tuple[str, ...] = (),
    ):
        if condition not in CONDITIONS:
            raise ValueError(f"condition {condition!r}; allowed: {', '.join(CONDITIONS)}")
        self.comm, self.cell, self.copies, self.condition = comm, cell, copies, condition
        base = ELLIPTIC if cell.dim == 2 else ELLIPTIC_3D
        self._options = DIRECT if preset == "direct" else {**base, "ksp_rtol": rtol}
        self._user = user
        self.tiled: TiledMesh = tile_mesh(comm, (cell,), (copies,), (copies,) * (cell.dim - 1), 1.0)
        self.space = fem.functionspace(self.tiled.mesh, ("Lagrange", cell.order))
        self.nodes = self.space.dofmap.index_map.size_local + self.space.dofmap.index_map.num_ghosts
        self.keys = self.tiled.node_ids(self.space.dofmap.list, self.nodes)
        if condition == "periodic":
            self.keys = self.tiled.periodic_keys(self.keys, tuple(range(cell.dim)))

    @timed("assembly")
    def solve(self, coefficient: list[Any], *, correctors: bool = True) -> Homogenised:
        """Solve for the coefficient (number or (d, d) tensor, None where absent) of [electrolyte, solid].

        correctors: also return W_j, if the condition is periodic and the mesh one copy; every rank then holds them
        """
        dim, start = self.cell.dim, time.perf_counter()
        conducts = np.array([False, coefficient[1] is not None, coefficient[0] is not None])
        if self.condition == "flux" and _insulated_face(self.cell, conducts):
            zero = np.zeros((dim, dim))
            return Homogenised(zero, zero, np.zeros((0, dim)), (0,) * dim, 0)
        parts = find_parts(self.comm, self.tiled, conducts, self.condition == "periodic")
        A = cellwise(self.tiled.mesh, coefficient, (self.tiled.phase == 1).astype(np.int64), dim)
        forms = _Forms(self.tiled.mesh, self.space, A, self.cell.order)
        active = np.zeros((self.nodes, 1), dtype=bool)
        active[self.space.dofmap.list[np.flatnonzero(conducts[self.tiled.phase])].ravel()] = True
        seconds = {"parts": time.perf_counter() - start}
        everywhere = tuple(range(dim))
        held = {"dirichlet": everywhere}.get(self.condition, ())
        groups = [(everywhere, held)] if self.condition != "through" else [((i,), (i,)) for i in everywhere]
        tensor, energy = np.full((2, dim, dim), np.nan)
        iterations, residuals, dofs = [], [], 0
        values: FloatArray = np.zeros((0, dim))
        for directions, faces in groups:
            system = _System(self, forms, active, parts, faces, seconds)
            loads, fields = system.solve(directions)
            block = np.ix_(directions, directions)
            tensor[block], energy[block] = self._averages(system, forms, directions, loads, fields)
            if correctors and self.condition == "periodic" and self.copies == 1:
                values = self._gather(system.transfer, fields, parts)
            iterations += system.iterations
            residuals += system.residuals
            dofs = max(dofs, system.layout.global_size)
            for vec in (*loads, *fields):
                vec.destroy()
            system.destroy()
        return Homogenised(tensor, energy, values, tuple(iterations), dofs, tuple(residuals), seconds)

    def _averages(
        self,
        system: _System,
        forms: _Forms,
        directions: tuple[int, ...],
        loads: list[PETSc.Vec],
        fields: list[PETSc.Vec],
    ) -> tuple[FloatArray, FloatArray]:
        """A_eff and <A F F^T> for the given directions.

        With b_j the right-hand sides and K the matrix, K w_j = b_j. Flux: <grad u_j>_i = b_i.w_j/|Omega| is the
        apparent resistivity. Otherwise b_i.w_j = -int A e_i.grad W_j, and K gives int A grad W_i.grad W_j.
        """
        volume = float(self.copies**self.cell.dim)
        cross = np.array([[b.dot(w) for w in fields] for b in loads]) / volume
        image = [system.matrix * w for w in fields]
        stiffness = np.array([[a.dot(w) for a in image] for w in fields]) / volume
        for vec in image:
            vec.destroy()
        if self.condition == "flux":
            tensor: FloatArray = np.asarray(np.linalg.inv(cross), dtype=np.float64)
            return tensor, tensor.T @ stiffness @ tensor
        mean = np.array([[forms.mean(i, j) for j in directions] for i in directions])
        mean = self.comm.allreduce(mean) / volume
        return mean - cross, mean - cross - cross.T + stiffness

    def _gather(self, transfer: Transfer, fields: list[PETSc.Vec], parts: Parts) -> FloatArray:
        """Correctors at all nodes of the (small, replicated) unit cell, with zero mean on each component."""
        cell, size = self.cell, len(self.cell.points)
        values: FloatArray = np.zeros((size, len(fields)))
        seen = np.zeros(size)
        local, unit = np.zeros(self.nodes), self.tiled.unit_nodes(self.keys)
        for j, w in enumerate(fields):
            local[:] = 0
            transfer.to_function(w, local)
            values[unit, j] = local
        seen[unit] = 1
        self.comm.Allreduce(MPI.IN_PLACE, values)
        self.comm.Allreduce(MPI.IN_PLACE, seen)
        values = (values / np.maximum(seen, 1)[:, None])[cell.canonical]
        part = np.append(parts.joined[0], -1)[parts.label]  # label -1 is last
        inside = np.flatnonzero(parts.conducts[cell.phase])
        owner, count = part[cell.cells[inside, 0]], int(part.max(initial=-1)) + 1
        # the phase may reach a node of a face from the other side of the torus only
        lower = np.full(size, -1)
        np.maximum.at(lower, cell.canonical, part)
        of_node = lower[cell.canonical]
        weights = cell.nodal_weights()[inside]
        measure = np.bincount(owner, weights.sum(axis=1), count)
        for j in range(len(fields)):
            total = np.einsum("ck,ck->c", weights, values[cell.cells[inside], j])
            mean = np.bincount(owner, total, count) / measure
            values[:, j] -= np.append(mean, 0.0)[of_node]
        return values


class _System:
    """Numbering, matrix and multigrid of one coefficient with W = 0 on the faces normal to the directions `held`."""

    def __init__(
        self,
        problem: CellProblem,
        forms: _Forms,
        active: npt.NDArray[np.bool_],
        parts: Parts,
        held: tuple[int, ...],
        seconds: dict[str, float],
    ):
        self.problem, self.forms, self.seconds = problem, forms, seconds
        with _clock(seconds, "layout"):
            tiled, keys = problem.tiled, problem.keys
            pins = parts.pins(held)
            if problem.condition == "periodic":
                pins = tiled.periodic_keys(pins, tuple(range(problem.cell.dim)))
            fixed = np.isin(keys, pins)
            for d in held:
                fixed |= tiled.on_faces(keys, d)
            self.layout: Layout = build_layout(problem.comm, keys, active, fixed[:, None])
            self.transfer = Transfer(self.layout)
        with _clock(seconds, "assembly"):
            self.matrix = self.layout.create_matrix()
            _compat.assemble_matrix(self.matrix, forms.stiffness)
            self.matrix.assemble()
        self.iterations: list[int] = []
        self.residuals: list[float] = []

    def solve(self, directions: tuple[int, ...]) -> tuple[list[PETSc.Vec], list[PETSc.Vec]]:
        """Right-hand sides and solutions for the given directions."""
        problem, dim = self.problem, self.problem.cell.dim
        ksp = self._ksp()
        loads, fields = [], []
        local = np.zeros(problem.nodes)
        for j in directions:
            b, w = self.layout.create_vector(), self.layout.create_vector()
            local[:] = 0
            self.forms.direction.value = np.eye(dim)[j]
            flux = problem.condition == "flux"
            _compat.assemble_vector(self.forms.boundary_load if flux else self.forms.load, local)
            self.transfer.add_to_vector(local if flux else -local, b)
            iterations, residual = 0, 0.0
            if self.layout.global_size > 0 and (size := b.norm()) > 0:
                with timing.phase("solve"), _clock(self.seconds, "solve"):
                    ksp.solve(b, w)
                iterations, residual = ksp.getIterationNumber(), ksp.getResidualNorm() / size
                if ksp.getConvergedReason() < 0:
                    raise SolverFailure(
                        f"cell problem of '{problem.cell.name}', direction {j + 1}: CG did not converge, relative "
                        f"residual {residual:.1e} after {iterations} iterations"
                    )
            timing.count(linear=1, krylov=iterations)
            loads.append(b)
            fields.append(w)
            self.iterations.append(iterations)
            self.residuals.append(residual)
        ksp.destroy()
        return loads, fields

    def _ksp(self) -> PETSc.KSP:
        ksp = PETSc.KSP().create(self.problem.comm)
        ksp.setOptionsPrefix("cell_")
        set_options("cell_", self.problem._options, self.problem._user)
        ksp.setOperators(self.matrix)
        ksp.setFromOptions()
        if self.layout.global_size > 0:
            with timing.phase("preconditioner"), _clock(self.seconds, "setup"):
                ksp.setUp()
            timing.count(setups=1)
        return ksp

    def destroy(self) -> None:
        self.matrix.destroy()
        self.transfer.destroy()


@contextmanager
def _clock(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the wall time of a block to seconds[name]."""
    start = time.perf_counter()
    yield
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start


class _Forms:
    """Bilinear form, loads and mean of one coefficient; the direction is a Constant."""

    def __init__(self, mesh: Any, space: fem.FunctionSpace, A: fem.Function, order: int):
        dim = mesh.geometry.dim
        self.direction = fem.Constant(mesh, np.zeros(dim))
        self.other = fem.Constant(mesh, np.zeros(dim))
        u, v = ufl.TrialFunction(space), ufl.TestFunction(space)
        volume, surface = quadrature_degrees(order)
        dx = ufl.Measure("dx", mesh, metadata={"quadrature_degree": volume})
        self._ds = ufl.Measure("ds", mesh, metadata={"quadrature_degree": surface})
        self._test, self._normal = v, ufl.FacetNormal(mesh)

        def apply(w: Any) -> Any:
            return ufl.dot(A, w) if A.ufl_shape else A * w

        self.stiffness = _compat.compile_form(ufl.inner(apply(ufl.grad(u)), ufl.grad(v)) * dx)
        self.load = _compat.compile_form(ufl.inner(apply(self.direction), ufl.grad(v)) * dx)
        self._mean = _compat.compile_form(ufl.inner(self.other, apply(self.direction)) * dx)

    @property
    def boundary_load(self) -> fem.Form:
        """int_(boundary of Omega) e_j.n v."""
        return _compat.compile_form(ufl.inner(self.direction, self._normal) * self._test * self._ds)

    def mean(self, i: int, j: int) -> float:
        """int A_ij, this rank's part."""
        eye = np.eye(len(self.direction.value))
        self.other.value, self.direction.value = eye[i], eye[j]
        return float(fem.assemble_scalar(self._mean))


def _insulated_face(cell: UnitCell, conducts: npt.NDArray[np.bool_]) -> bool:
    """Whether a cell that does not conduct has a facet on the boundary of the unit cell."""
    corners = cell.cells[~conducts[cell.phase], : cell.dim + 1]
    planes = [cell.points[:, d] == side for d in range(cell.dim) for side in (0.0, 1.0)]
    return any(bool((plane[corners].sum(axis=1) == cell.dim).any()) for plane in planes)
