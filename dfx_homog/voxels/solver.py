"""Cell problems on voxel images (MODEL section 4): effective tensors by two discretisations and four conditions.

    div(k grad u_j) = 0,    tensor_ij = (1/|Omega|) int (k grad u_j)_i dz    for a macroscopic gradient e_j

periodic    u_j - z_j periodic
dirichlet   u_j = z_j on the boundary (linear, "KUBC")
flux        k grad u_j . n = e_j . n on the boundary ("SUBC"); tensor = R^-1, R_ij = (1/|Omega|) oint u_j n_i
through     u_j = z_j on the two faces normal to j, no flux through the others; only tensor_jj

`fv` takes fluxes between voxel centres with harmonic means (two-point), `q1` trilinear finite elements: in the sense
of quadratic forms q1 is an upper bound of the tensor of the voxel geometry and fv a lower one (docs/theory.md).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog._compat import FloatArray
from dfx_homog.timing import count, phase, timed
from dfx_homog.voxels.assembled import AssembledSolver
from dfx_homog.voxels.cg import ConjugateGradients
from dfx_homog.voxels.grid import VoxelGrid
from dfx_homog.voxels.operators import FIXED, VoxelOperator, sides

LinearSolver = ConjugateGradients | AssembledSolver

DISCRETISATIONS = ("fv", "q1")
CONDITIONS = ("periodic", "dirichlet", "flux", "through")
METHODS = ("multigrid", "assembled")


@dataclass(frozen=True)
class VoxelSolution:
    """Solution of one cell problem on voxels.

    tensor      (dim, dim) effective conductivity; nan for entries that were not asked for ("through": off diagonal)
    energy      (dim, dim) <k grad u_i . grad u_j>, equals `tensor` by Hill-Mandel
    iterations  conjugate-gradient iterations of each direction
    residuals   relative residual |b - A x|/|b| of each direction
    dofs        unknowns: voxels (fv) or nodes (q1) that conduct and are not fixed
    seconds     wall time: setup, solve
    potentials  with keep: u_j (grid codes' shape) per direction: e_j.z + W_j, z from the image's lower corner;
                for `flux` that of unit mean flux, up to a constant
    """

    tensor: FloatArray
    energy: FloatArray
    iterations: tuple[int, ...]
    residuals: tuple[float, ...]
    dofs: int
    seconds: dict[str, float]
    potentials: list[FloatArray] | None


@dataclass
class _Work:
    """What the directions of one operator gather."""

    flux: FloatArray
    energy: FloatArray
    iterations: list[int] = field(default_factory=list)
    residuals: list[float] = field(default_factory=list)
    potentials: list[FloatArray] = field(default_factory=list)
    dofs: int = 0
    setup: float = 0.0


class VoxelProblem:
    """The cell problem on voxels, one discretisation and condition, distributed over slabs.

    single   precondition in float32 (the conjugate gradients are in double)
    rtol     relative residual
    method   "multigrid": matrix-free; "assembled": algebraic multigrid of PETSc on the assembled matrix
    user     words of PETSc options (prefix voxel_)

    Raises ValueError for a name that is not one of the above.
    """

    def __init__(
        self,
        grid: VoxelGrid,
        *,
        discretisation: str,
        condition: str = "periodic",
        single: bool = True,
        rtol: float = 1e-8,
        method: str = "multigrid",
        user: tuple[str, ...] = (),
    ):
        for value, allowed in (
            (discretisation, DISCRETISATIONS),
            (condition, CONDITIONS),
            (method, METHODS),
        ):
            if value not in allowed:
                raise ValueError(f"'{value}' is not one of {', '.join(allowed)}")
        self.grid, self.discretisation, self.condition = grid, discretisation, condition
        self.single, self.rtol, self.method, self.user = single, rtol, method, user

    @timed("solve")
    def solve(
        self,
        codes: NDArray[np.uint8],
        table: FloatArray,
        directions: Sequence[int] | None = None,
        keep: bool = False,
    ) -> VoxelSolution:
        """Solve for conductivities table[codes] >= 0 (0 insulates).

        codes        (own planes, n2, n3) like grid.codes, perhaps re-coded
        directions   0-based; default all. `flux` needs all of them for its tensor
        keep         return the potentials

        Raises SolverFailure if the iteration does not converge.
        """
        dim = self.grid.dim
        wanted = tuple(range(dim)) if directions is None or self.condition == "flux" else tuple(directions)
        table = np.asarray(table, dtype=np.float64)
        began = time.perf_counter()
        work = _Work(np.full((dim, dim), np.nan), np.full((dim, dim), np.nan))
        if self.condition == "flux" and self._insulated_boundary(codes, table):
            work.flux[:], work.energy[:] = 0.0, 0.0
            work.potentials = [np.zeros(codes.shape) for _ in wanted] if keep else []
        elif self.condition == "through":
            for j in wanted:
                self._group((j,), codes, table, keep, work)
        else:
            self._group(wanted, codes, table, keep, work)
        if self.condition == "flux" and work.iterations:
            resistivity = 0.5 * (work.flux + work.flux.T)
            work.flux[:] = np.linalg.inv(resistivity)
            work.energy[:] = work.flux.T @ work.energy @ work.flux
        total = time.perf_counter() - began
        return VoxelSolution(
            work.flux,
            work.energy,
            tuple(work.iterations),
            tuple(work.residuals),
            work.dofs,
            {"setup": work.setup, "solve": total - work.setup},
            work.potentials if keep else None,
        )

    def _group(
        self,
        directions: tuple[int, ...],
        codes: NDArray[np.uint8],
        table: FloatArray,
        keep: bool,
        work: _Work,
    ) -> None:
        """The directions that share one operator."""
        began = time.perf_counter()
        grid = self.grid
        axis = grid.axes[directions[0]]
        with phase("preconditioner"):
            operator = VoxelOperator(
                grid, self.discretisation, codes, table, sides(self.condition, grid.dim, axis)
            )
            solver: LinearSolver
            if self.method == "assembled":
                solver = AssembledSolver(operator, self.rtol, self.user)
            else:
                solver = ConjugateGradients(operator, self.single, self.rtol, self.user)
        count(setups=1)
        work.dofs = solver.dofs
        work.setup += time.perf_counter() - began
        run = _given_flux if self.condition == "flux" else _given_gradient
        earlier: list[tuple[int, NDArray[np.float32]]] = []
        try:
            for j in directions:
                run(operator, solver, j, directions, earlier, work)
                if keep:
                    work.potentials.append(operator.to_voxels(solver.p))
                if j != directions[-1]:  # float32: an error in u changes its energy in second order
                    earlier.append((j, solver.x.astype(np.float32)))
        finally:
            solver.destroy()

    def _insulated_boundary(self, codes: NDArray[np.uint8], table: FloatArray) -> bool:
        """Whether a voxel at the image's boundary does not conduct. Collective."""
        comm, dim = self.grid.comm, self.grid.dim
        insulating = ~(table > 0)
        ends = [codes[:, :, 0], codes[:, :, -1]]
        ends += [codes[:, 0], codes[:, -1]] if dim == 3 else []
        ends += [codes[0]] if comm.rank == 0 else []
        ends += [codes[-1]] if comm.rank == comm.size - 1 else []
        return bool(comm.allreduce(any(bool(insulating[end].any()) for end in ends), MPI.LOR))


def _given_gradient(
    operator: VoxelOperator,
    solver: LinearSolver,
    j: int,
    directions: Sequence[int],
    earlier: list[tuple[int, NDArray[np.float32]]],
    work: _Work,
) -> None:
    """periodic, dirichlet, through: column j of the tensor and of the energy; leaves u_j in solver.p."""
    grid, axes = operator.grid, operator.grid.axes
    floor = operator.load(axes[j], solver.p, solver.r)
    iterations, residual = solver.solve(f"cell problem of '{grid.name}', direction {j + 1}", floor)
    work.iterations.append(iterations)
    count(linear=1, krylov=iterations)
    work.residuals.append(residual)
    operator.exchange(solver.x)
    u = operator.coordinate(axes[j], solver.p)
    u += solver.x
    if FIXED in operator.boundary:
        for i in directions:
            work.flux[i, j] = operator.energy(operator.coordinate(axes[i], solver.q), u) / grid.volume
    else:
        work.flux[:, j] = operator.mean_flux(u)[list(axes)] / grid.volume
    work.energy[j, j] = operator.energy(u, u) / grid.volume
    for i, corrector in earlier:
        other = operator.coordinate(axes[i], solver.q)
        other += corrector
        work.energy[i, j] = work.energy[j, i] = operator.energy(other, u) / grid.volume


def _given_flux(
    operator: VoxelOperator,
    solver: LinearSolver,
    j: int,
    directions: Sequence[int],
    earlier: list[tuple[int, NDArray[np.float32]]],
    work: _Work,
) -> None:
    """flux: column j of the resistivity R (in work.flux) and of its energy; leaves u_j in solver.p."""
    grid, axes = operator.grid, operator.grid.axes
    operator.boundary_load(axes[j], solver.r)
    iterations, residual = solver.solve(f"cell problem of '{grid.name}', direction {j + 1}")
    work.iterations.append(iterations)
    count(linear=1, krylov=iterations)
    work.residuals.append(residual)
    solver.x /= operator.scale
    operator.exchange(solver.x)
    u = solver.p
    u[...] = solver.x
    half = operator.boundary_resistance(axes[j]) / grid.volume
    for i in directions:
        operator.boundary_load(axes[i], solver.q)
        work.flux[i, j] = operator.dot(solver.q, u) / grid.volume + half * (i == j)
    work.energy[j, j] = operator.energy(u, u) / grid.volume + half
    for i, other in earlier:
        solver.q[...] = other
        work.energy[i, j] = work.energy[j, i] = operator.energy(solver.q, u) / grid.volume
