"""The macro heat equation (MODEL section 6, [H] 5a): one implicit step by conjugate gradients with algebraic multigrid.

    theta d_t T = div(K grad T) + Q,   -K grad T . n = h (T - T_ambient) on named faces, no flux elsewhere

Trilinear hexahedra or linear tetrahedra with lumped capacities, so that no node is warmer than its neighbours only
because another one cools down, Q constant in each group of cells, d_t the scheme's quotient. In a cylinder K
is given in radial, azimuthal and axial direction and turned with them, in every element of a grid or at every point:
cells wound about an axis are taken for concentric layers, which they are up to the pitch of the winding, 1/(2 pi r).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import ufl
from dolfinx import fem
from mpi4py import MPI
from petsc4py import PETSc

from dfx_homog import _compat
from dfx_homog._compat import FloatArray
from dfx_homog.errors import SolverFailure
from dfx_homog.models.battery.domain import BatteryDomain
from dfx_homog.solvers.layout import Transfer, build_layout
from dfx_homog.solvers.presets import ELLIPTIC_3D, set_options

DEGREE = 3
PREFIX = "battery_"
REDUCTION = 1e-8  # of the residual by one call of CG
TARGET = 1e-14  # of the residual of a step, relative to that of the old state
CALLS = 4  # of CG for one step at most
ON_FACE = 1


@dataclass(frozen=True)
class Cooling:
    """Heat exchange of one face: h >= 0 and T_ambient."""

    h: float
    ambient: float


class BatteryForms:
    """What a time step and the writer of fields need: u, u1, u2 on the blocked space, quotient, current."""

    def __init__(self, domain: BatteryDomain):
        mesh = domain.mesh
        self.space = fem.functionspace(mesh, ("Lagrange", 1, (1,)))
        self.u, self.u1, self.u2 = (fem.Function(self.space) for _ in range(3))
        self.a0, self.a1, self.a2, self.current = (fem.Constant(mesh, np.float64(0.0)) for _ in range(4))


class BatteryHeat:
    """Matrices of the battery's heat equation, and its steps.

    K: (3, 3) K_batt, theta: theta_batt; cooling: by face of the domain
    nodes, numbers, coordinates, cells: local nodes, their numbers independent of ranks, places, and those of each cell
    """

    def __init__(
        self,
        domain: BatteryDomain,
        K: FloatArray,
        theta: float,
        cooling: Mapping[str, Cooling],
        *,
        user_options: tuple[str, ...] = (),
    ):
        self.domain, self.comm, self.theta = domain, domain.comm, theta
        self.forms = BatteryForms(domain)
        space = self.forms.space
        self.nodes = space.dofmap.index_map.size_local + space.dofmap.index_map.num_ghosts
        cells = space.dofmap.list[: len(domain.group)]
        to_geometry = np.zeros(self.nodes, dtype=np.int64)
        to_geometry[cells.ravel()] = domain.cell_nodes.ravel()
        self.numbers = domain.rows[to_geometry]
        self.coordinates = domain.coordinates[to_geometry]
        active = np.zeros((self.nodes, 1), dtype=bool)
        active[cells.ravel()] = True
        self.active = active
        self.layout = build_layout(self.comm, self.numbers, active)
        self.transfer = Transfer(self.layout)
        self.cells = cells
        self._assemble(K, cooling)
        self._ksp = PETSc.KSP().create(self.comm)
        self._ksp.setOptionsPrefix(PREFIX)
        set_options(PREFIX, {**ELLIPTIC_3D, "ksp_rtol": REDUCTION}, user_options)
        self._ksp.setFromOptions()
        self._system: PETSc.Mat | None = None
        self._rate = 0.0

    # set-up ----------------------------------------------------------------------------------------------------------

    def _assemble(self, K: FloatArray, cooling: Mapping[str, Cooling]) -> None:
        domain, mesh, space = self.domain, self.domain.mesh, self.forms.space
        rule = {"quadrature_degree": DEGREE}
        dx = ufl.Measure("dx", mesh, metadata=rule)
        T, v = ufl.TrialFunction(space)[0], ufl.TestFunction(space)[0]
        conduct = ufl.inner(self._turned(K) * ufl.grad(T), ufl.grad(v)) * dx
        self._conduction = self._matrix([(1.0, _compat.compile_form(conduct))])
        terms, loads = [], np.zeros(self.nodes)
        self._faces: dict[str, tuple[Cooling, FloatArray]] = {}
        for name, facets in domain.faces.items():
            ds = ufl.Measure("ds", mesh, subdomain_data=[(ON_FACE, facets.ravel())], metadata=rule)(ON_FACE)
            weights = np.zeros(self.nodes)
            _compat.assemble_vector(_compat.compile_form(v * ds), weights)
            exchange = cooling.get(name, Cooling(0.0, 0.0))
            self._faces[name] = exchange, weights
            terms.append((exchange.h, _compat.compile_form(T * v * ds)))
            loads += exchange.h * exchange.ambient * weights
        self._exchange = self._matrix(terms)
        self._exchange_load = loads
        # integrals over cells
        self._flat = fem.functionspace(mesh, ("DG", 0, (3,)))
        w = ufl.TestFunction(self._flat)
        self._slope = _compat.compile_form(ufl.inner(ufl.grad(self.forms.u[0]), w) * dx)
        self._volume = _compat.compile_form(w[0] * dx)
        self.volumes = self._by_cell(self._volume)[:, 0]
        self._q = fem.Function(fem.functionspace(mesh, ("DG", 0)))
        self._q_cells = self._q.function_space.dofmap.list[: len(domain.group), 0]
        self._source = _compat.compile_form(self._q * v * dx)
        self._content = _compat.compile_form(self.forms.u[0] * w[0] * dx)
        self.group_volumes = self._by_group(self.volumes)
        self.volume = float(self.group_volumes.sum())
        self.weights = self._source_of(np.ones(domain.groups))
        self._mass = self._vector(self.theta * self.weights)

    def _turned(self, K: FloatArray) -> ufl.core.expr.Expr:
        tensor = fem.Constant(self.domain.mesh, np.asarray(K, dtype=np.float64))
        if not self.domain.cylindrical:
            return tensor
        if self.domain.grid is None:
            x = ufl.SpatialCoordinate(self.domain.mesh)
            outwards = (x[0], x[1])
        else:
            # at right angles to the element's edges along the circumference: a frame turned at every point would take
            # part of the slope along the radius for one along these straight edges, where K is many times larger
            J = ufl.Jacobian(self.domain.mesh)
            outwards = (J[1, 1], -J[0, 1])
        r = ufl.sqrt(outwards[0] ** 2 + outwards[1] ** 2)
        c, s = (e / r for e in outwards)
        frame = ufl.as_matrix([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        return frame * tensor * frame.T

    def _matrix(self, terms: list[tuple[float, fem.Form]]) -> PETSc.Mat:
        total = self.layout.create_matrix()
        for factor, form in terms:
            part = self.layout.create_matrix()
            _compat.assemble_matrix(part, form)
            part.assemble()
            if factor != 1.0:
                part.scale(factor)
            if total.assembled:
                total.axpy(1.0, part)
                part.destroy()
            else:
                total.destroy()
                total = part
        return total

    def _by_cell(self, form: fem.Form) -> FloatArray:
        """(cells, 3) of a form on the space of constants."""
        dofs = self._flat.dofmap
        out = np.zeros(3 * (dofs.index_map.size_local + dofs.index_map.num_ghosts))
        _compat.assemble_vector(form, out)
        by_cell: FloatArray = out.reshape(-1, 3)[dofs.list[: len(self.domain.group), 0]]
        return by_cell

    def _by_group(self, values: FloatArray) -> FloatArray:
        """(groups,) sums over the cells of all ranks."""
        out: FloatArray = np.bincount(self.domain.group, values, self.domain.groups).astype(np.float64)
        self.comm.Allreduce(MPI.IN_PLACE, out)
        return out

    def _source_of(self, heat: FloatArray) -> FloatArray:
        self._q.x.array[self._q_cells] = heat[self.domain.group]
        out = np.zeros(self.nodes)
        _compat.assemble_vector(self._source, out)
        return out

    # a step ----------------------------------------------------------------------------------------------------------

    def solve(self, heat: FloatArray) -> list[int]:
        """The new T for (groups,) heat per volume; iterations of CG. Raises SolverFailure. Collective.

        forms has the quotient and the old states; the present u is where CG starts.
        """
        f = self.forms
        self._prepare(float(f.a0.value))
        load = self._vector(self._source_of(heat) + self._exchange_load)
        history = self._vector(f.a1.value * f.u1.x.array + f.a2.value * f.u2.x.array, values=True)
        history.pointwiseMult(history, self._mass)
        load.axpy(-1.0, history)
        x, old = self._vector(f.u.x.array, values=True), self._vector(f.u1.x.array, values=True)
        assert self._system is not None
        residual, step = load.duplicate(), load.duplicate()
        self._system.mult(old, residual)
        floor = np.finfo(float).eps * residual.norm()
        residual.aypx(-1.0, load)
        target = max(TARGET * residual.norm(), floor)
        iterations: list[int] = []
        for _ in range(CALLS):
            self._system.mult(x, residual)
            residual.aypx(-1.0, load)
            if residual.norm() <= target:
                break
            self._ksp.solve(residual, step)
            if self._ksp.getConvergedReason() < 0:
                raise SolverFailure(
                    f"battery's heat equation: CG did not converge (reason {self._ksp.getConvergedReason()}, "
                    f"residual {self._ksp.getResidualNorm():.1e})"
                )
            iterations.append(self._ksp.getIterationNumber())
            x.axpy(1.0, step)
        self.transfer.to_function(x, f.u.x.array)
        for vec in (load, history, x, old, residual, step):
            vec.destroy()
        return iterations

    def _prepare(self, a0: float) -> None:
        if self._system is not None and a0 == self._rate:
            return
        if self._system is not None:
            self._system.destroy()
        self._system = self._conduction.copy()
        self._system.axpy(1.0, self._exchange)
        diagonal = self._system.getDiagonal()
        diagonal.axpy(a0, self._mass)
        self._system.setDiagonal(diagonal)
        diagonal.destroy()
        self._rate = a0
        self._ksp.setOperators(self._system)
        self._ksp.setUp()

    def _vector(self, array: FloatArray, *, values: bool = False) -> PETSc.Vec:
        """A local array as a vector: contributions to be summed, or values."""
        vec = self.layout.create_vector()
        if values:
            self.transfer.to_vector(array, vec)
        else:
            self.transfer.add_to_vector(array, vec)
        return vec

    # what is measured -------------------------------------------------------------------------------------------------

    def group_means(self) -> FloatArray:
        """(groups,) mean of T over each group. Collective."""
        return self._by_group(self._by_cell(self._content)[:, 0]) / self.group_volumes

    def mean(self, values: FloatArray) -> float:
        """Mean over the battery of a nodal field."""
        return float(self.comm.allreduce(self.weights @ values)) / self.volume

    def cooling(self) -> float:
        """Heat that leaves through the faces, per volume of the battery: sum int h (T - T_ambient) dA/|Omega|."""
        T = self.forms.u.x.array
        local = sum(e.h * (w @ T - e.ambient * w.sum()) for e, w in self._faces.values())
        return float(self.comm.allreduce(float(local))) / self.volume

    def areas(self) -> dict[str, float]:
        """Area of each named face."""
        return {n: float(self.comm.allreduce(float(w.sum()))) for n, (_, w) in self._faces.items()}

    def slopes(self) -> FloatArray:
        """(cells, 3) mean of grad T over each cell of this rank."""
        return self._by_cell(self._slope) / self.volumes[:, None]

    def nodal(self, by_group: FloatArray) -> FloatArray:
        """(nodes,) means over the cells around each node of a field that is constant in each group. Collective."""
        share = fem.Function(self.forms.space)
        total = fem.Function(self.forms.space)
        share.x.array[:], total.x.array[:] = self._source_of(by_group), self.weights
        for f in (share, total):
            f.x.scatter_reverse(_compat.INSERT_ADD)
        ratio = share.x.array / np.where(total.x.array > 0, total.x.array, 1.0)
        share.x.array[:] = ratio
        share.x.scatter_forward()
        return np.asarray(share.x.array).copy()

    def destroy(self) -> None:
        """Free PETSc objects (collective)."""
        for obj in (self._conduction, self._mass, self._exchange, self._system, self._ksp):
            if obj is not None:
                obj.destroy()
        self.transfer.destroy()
