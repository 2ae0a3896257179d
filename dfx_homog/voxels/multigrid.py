"""Aggregation multigrid for voxels, the preconditioner of conjugate gradients: z = M r, M symmetric.

Level 0 is the voxels, matrix-free, in float32 if wanted. Coarse unknowns are the connected parts of the conducting
unknowns in each block of 2 x 2 x 2, split where the conductivity jumps: pores on two sides of a wall never share one.
Their Galerkin matrix with piecewise constant prolongation is level 1 (native sparse matrix); the same once more gives
level 2, which algebraic multigrid of PETSc solves by two cycles.

A cycle on a level: Chebyshev smoothing of the fourth kind (J. Lottes, arXiv:2202.08830) with D^-1 A, correction from
the coarser level, the same smoothing again. Piecewise constant prolongation is too stiff by about a factor of two, so
corrections are scaled up (over-correction, D. Braess, Computing 55 (1995) 379).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from petsc4py import PETSc

from dfx_homog._compat import FloatArray
from dfx_homog._native import CoarseLevel
from dfx_homog.solvers.presets import MULTIGRID, Options, set_options
from dfx_homog.voxels.operators import VoxelOperator

_DEGREES = (2, 3)  # Chebyshev steps before and after the correction on levels 0 and 1
_OVERCORRECTION = (2.0, 2.0)
_STRONG = (
    0.1,
    0.02,
)  # level 0: ratio of conductivities; level 1: |a_ij|/max(a_ii, a_jj): weaker ones are split
_SHIFT = (
    1e-6  # of the diagonal: detached clusters have a singular matrix, and only the coarse levels see this
)
_PREFIX = "voxel_"
_COARSEST: Options = {
    "ksp_type": "preonly",
    **MULTIGRID,
    "pc_hypre_boomeramg_relax_type_down": "SOR/Jacobi",  # half the work of the default, symmetric as a cycle
    "pc_hypre_boomeramg_relax_type_up": "backward-SOR/Jacobi",
    "pc_hypre_boomeramg_max_iter": 2,  # cheap there, and it keeps the iterations from growing with the image
}
Csr = tuple[NDArray[np.int32], NDArray[np.int32], FloatArray]
Range = tuple[int, int]


class Level(Protocol):
    """What a cycle needs of a level: fields are arrays with ghosts that `exchange` sets."""

    spectrum: float
    fields: tuple[NDArray[Any], NDArray[Any]]
    degree: int
    scale: float

    def exchange(self, u: NDArray[Any]) -> None: ...
    def jacobi(self, r: NDArray[Any], b: float, out: NDArray[Any]) -> None: ...
    def smooth(
        self, u: NDArray[Any], r: NDArray[Any], c: float, a: float, b: float, out: NDArray[Any]
    ) -> None: ...
    def restrict(self, u: NDArray[Any], r: NDArray[Any]) -> FloatArray: ...
    def prolong(self, coarse: FloatArray, u: NDArray[Any]) -> None: ...


class Cycle:
    """z = M r by one cycle on a level; `coarser` solves on the next one approximately."""

    def __init__(self, level: Level, coarser: Callable[[FloatArray], FloatArray]):
        self.level, self.coarser = level, coarser

    def __call__(self, r: NDArray[Any]) -> NDArray[Any]:
        """M r, a field without ghost values that the next call overwrites."""
        level = self.level
        z, spare = self._smooth(r, *level.fields, from_zero=True)
        level.exchange(z)
        level.prolong(self.coarser(level.restrict(z, r)), z)
        return self._smooth(r, z, spare, from_zero=False)[0]

    def _smooth(
        self, r: NDArray[Any], z: NDArray[Any], other: NDArray[Any], from_zero: bool
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Chebyshev steps from z or from zero; returns the new z and the other field."""
        level = self.level
        for k in range(level.degree):
            old, new = (2 * k - 1) / (2 * k + 3), (8 * k + 4) / ((2 * k + 3) * level.spectrum)
            if k == 0 and from_zero:
                level.jacobi(r, new, z)
                continue
            level.exchange(z)
            if k == 0:
                level.smooth(z, r, 1.0, 0.0, new, other)
            else:  # z_{k+1} = z_k + old (z_k - z_{k-1}) + new D^-1 (r - A z_k); `other` holds z_{k-1} unless zero
                level.smooth(z, r, 1.0 + old, 0.0 if from_zero and k == 1 else -old, new, other)
            z, other = other, z
        return z, other


class VoxelLevel:
    """Level 0: the matrix-free operator and the aggregates of its unknowns."""

    degree, scale = _DEGREES[0], _OVERCORRECTION[0]

    def __init__(self, operator: VoxelOperator, dtype: type):
        comm, native = operator.comm, operator.native
        self.operator, self.spectrum = operator, operator.spectrum
        self.exchange = operator.exchange
        self.jacobi, self.smooth = native.jacobi, native.smooth
        numbers = operator.field(np.int32)
        numbers.fill(-1)
        self.rows = native.aggregate(_STRONG[0], numbers)
        own = numbers[1:-1, 1:-1, 1:-1]
        self.dofs = comm.allreduce(int(np.count_nonzero(own >= 0)))
        self.total = comm.allreduce(self.rows)
        self.first = comm.exscan(self.rows) or 0
        # numbers ascend with the planes of blocks: the outer planes' own are the first and the last ones
        outer = own[(own.shape[0] - 1) // 2 * 2 :]
        self.lowest = int(own[:2].max()) + 1
        self.highest = self.rows - int(outer.min(where=outer >= 0, initial=self.rows))
        for plane in numbers:
            plane[plane >= 0] += self.first
        operator.exchange(numbers)
        self.aggregate = numbers
        self.fields = (operator.field(dtype), operator.field(dtype))

    def matrix(self) -> tuple[Csr, NDArray[np.int32]]:
        """Own rows of the Galerkin matrix and the block of 4 x 4 x 4 of each aggregate; once, before `restrict`."""
        native = self.operator.native
        blocks = native.blocks(self.aggregate, self.first, self.rows)
        csr = native.coarse(self.aggregate, self.first, self.rows, _SHIFT)
        native.localise(self.aggregate, self.first, self.rows)
        self._values = np.zeros(self.rows + 1)  # the last one stands for unknowns without an aggregate
        return csr, blocks

    def restrict(self, u: NDArray[Any], r: NDArray[Any]) -> FloatArray:
        self._values[:] = 0
        self.operator.native.restrict(u, r, self.aggregate, self._values)
        return self._values[:-1]

    def prolong(self, coarse: FloatArray, u: NDArray[Any]) -> None:
        self._values[:-1] = coarse
        self._values[-1] = 0
        self.operator.native.prolong(self.aggregate, self._values, self.scale, u)


class MatrixLevel:
    """Level 1: vectors are [before | own | after], the outer parts from the neighbouring slabs."""

    degree, scale = _DEGREES[1], _OVERCORRECTION[1]

    def __init__(self, finer: VoxelLevel):
        self.comm = comm = finer.operator.comm
        self.rows = rows = finer.rows
        csr, blocks = finer.matrix()
        before, after = self._neighbours(finer)
        self.native = CoarseLevel(finer.first, rows, before, after, *csr)
        del csr
        self.before, self.after = before[1], after[1]
        size = self.before + rows + self.after
        self.spectrum = comm.allreduce(self.native.spectrum(), MPI.MAX)
        self.jacobi, self.smooth = self.native.jacobi, self.native.smooth
        self.fields: tuple[NDArray[Any], NDArray[Any]] = (np.zeros(size), np.zeros(size))
        numbers = np.zeros(size, dtype=np.int32)
        self.aggregate = self.own(numbers)
        self.coarse_rows = self.native.aggregate(blocks, _STRONG[1], self.aggregate)
        first = comm.exscan(self.coarse_rows) or 0
        self.aggregate += first
        self.exchange(numbers)
        self._csr: Csr | None = self.native.coarse(numbers, first, self.coarse_rows)
        self.aggregate = self.aggregate - first
        self._values = np.zeros(self.coarse_rows)

    def _neighbours(self, finer: VoxelLevel) -> tuple[Range, Range]:
        """(first number, count) of the unknowns that the ranks before and after share with this one."""
        operator, comm = finer.operator, self.comm
        self._previous, self._next = operator.before, operator.after
        self._lowest, self._highest = finer.lowest, finer.highest
        if comm.size == 1:
            return (0, 0), (0, 0)
        before, after = np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.int64)
        end = np.array([finer.first + finer.rows - finer.highest, finer.highest])
        start = np.array([finer.first, finer.lowest])
        comm.Sendrecv(end, self._next, 0, before, self._previous, 0)
        comm.Sendrecv(start, self._previous, 1, after, self._next, 1)
        return (int(before[0]), int(before[1])), (int(after[0]), int(after[1]))

    def own(self, u: NDArray[Any]) -> NDArray[Any]:
        return u[self.before : self.before + self.rows]

    def exchange(self, u: NDArray[Any]) -> None:
        if self.comm.size == 1:
            return
        own, end = self.own(u), self.before + self.rows
        self.comm.Sendrecv(
            own[self.rows - self._highest :], self._next, 0, u[: self.before], self._previous, 0
        )
        self.comm.Sendrecv(own[: self._lowest], self._previous, 1, u[end:], self._next, 1)

    def matrix(self) -> Csr:
        """Own rows of the Galerkin matrix; handed over, not kept."""
        csr, self._csr = self._csr, None
        assert csr is not None
        return csr

    def restrict(self, u: NDArray[Any], r: NDArray[Any]) -> FloatArray:
        self._values[:] = 0
        self.native.restrict(u, r, self.aggregate, self._values)
        return self._values

    def prolong(self, coarse: FloatArray, u: NDArray[Any]) -> None:
        correction = coarse[self.aggregate]
        correction *= self.scale
        self.own(u)[:] += correction


class Coarsest:
    """Level 2: two cycles of algebraic multigrid of PETSc (options with the prefix voxel_)."""

    def __init__(self, comm: MPI.Intracomm, csr: Csr, user: tuple[str, ...]):
        offsets, columns, values = csr
        rows = len(offsets) - 1
        total = comm.allreduce(rows)
        self.matrix = PETSc.Mat().createAIJ(
            ((rows, total), (rows, total)),
            csr=(offsets.astype(PETSc.IntType), columns.astype(PETSc.IntType), values),
            comm=comm,
        )
        self._right, self._left = self.matrix.createVecs()
        self.ksp = PETSc.KSP().create(comm)
        self.ksp.setOptionsPrefix(_PREFIX)
        set_options(_PREFIX, _COARSEST, user)
        self.ksp.setOperators(self.matrix)
        self.ksp.setFromOptions()
        self.ksp.setUp()

    def __call__(self, r: FloatArray) -> FloatArray:
        self._left.array[:] = r
        self.ksp.solve(self._left, self._right)
        solution: FloatArray = self._right.array_r
        return solution

    def destroy(self) -> None:
        for obj in (self.ksp, self.matrix, self._right, self._left):
            obj.destroy()


class Multigrid:
    """The preconditioner z = M r: symmetric, positive definite; level 0 in float32 (`single`) or double.

    dofs   unknowns of the voxels that conduct
    """

    def __init__(self, operator: VoxelOperator, single: bool, user: tuple[str, ...] = ()):
        finest = VoxelLevel(operator, np.float32 if single else np.float64)
        self.dofs = finest.dofs
        middle = MatrixLevel(finest)
        self.coarsest = Coarsest(operator.comm, middle.matrix(), user)
        inner = Cycle(middle, self.coarsest)
        self.cycle = Cycle(finest, lambda r: middle.own(inner(r)))

    def __call__(self, r: NDArray[Any]) -> NDArray[Any]:
        """M r; the result is overwritten by the next call, its ghosts are not set."""
        return self.cycle(r)

    def destroy(self) -> None:
        self.coarsest.destroy()
