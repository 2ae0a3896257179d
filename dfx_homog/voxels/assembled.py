"""Reference path of the voxel solver: the same operators assembled, solved by PETSc with algebraic multigrid."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from petsc4py import PETSc

from dfx_homog._compat import FloatArray
from dfx_homog.errors import SolverFailure
from dfx_homog.solvers.presets import ELLIPTIC, set_options
from dfx_homog.voxels.operators import VoxelOperator

_PREFIX = "voxel_"
_SHIFT = 1e-6  # of the diagonal, only in the preconditioner: detached clusters have a singular matrix


def _own(field: NDArray[Any], offset: tuple[int, ...] = (0, 0, 0)) -> NDArray[Any]:
    """The values at own unknown + offset."""
    return field[tuple(slice(1 + o, n - 1 + o) for n, o in zip(field.shape, offset, strict=True))]


def _fv_entries(operator: VoxelOperator) -> tuple[NDArray[np.bool_], list[tuple[Any, FloatArray]]]:
    """(active, [(offset, value)]): rows of the 7-point scheme; off-diagonal values per offset, diagonal first."""
    k = operator.exact.astype(float)
    own = _own(k)
    product = operator.exact is operator.k
    diagonal = np.zeros(own.shape)
    entries: list[tuple[Any, FloatArray]] = []
    for axis in range(3):
        for step in (-1, 1):
            offset = tuple(step * (a == axis) for a in range(3))
            other = _own(k, offset)
            both = own * other
            mean = (
                both if product else np.divide(2 * both, own + other, out=np.zeros_like(both), where=both > 0)
            )
            entries.append((offset, -operator.weights[axis] * mean))
            diagonal += operator.weights[axis] * mean
    return diagonal > 0, [((0, 0, 0), diagonal), *entries]


def _q1_entries(operator: VoxelOperator) -> tuple[NDArray[np.bool_], list[tuple[Any, FloatArray]]]:
    """As _fv_entries for trilinear elements: 27 offsets."""
    k = operator.exact.astype(float)
    signs = np.array([[(-1) ** bin(m & d).count("1") for m in range(8)] for d in range(8)])
    element = signs @ np.array(
        operator.coefficients
    )  # entry of K_e between corners that differ in the bits of d
    values: dict[tuple[int, ...], FloatArray] = {}
    bits = [tuple(n >> s & 1 for s in (2, 1, 0)) for n in range(8)]
    for here in range(8):  # the node is this corner of the element
        ke = _own(k, tuple(-b for b in bits[here]))
        for there in range(8):
            offset = tuple(b - a for a, b in zip(bits[here], bits[there], strict=True))
            values[offset] = values.get(offset, 0.0) + element[here ^ there] * ke
    return _own(operator.inverse) > 0, list(values.items())


class AssembledSolver:
    """Same use as multigrid.ConjugateGradients: right-hand side in `r`, solution in `x`; p, q are work fields."""

    def __init__(self, operator: VoxelOperator, rtol: float, user: tuple[str, ...] = ()):
        self.operator, comm = operator, operator.comm
        self.x, self.r, self.p, self.q = (operator.field() for _ in range(4))
        active, entries = (_q1_entries if operator.q1 else _fv_entries)(operator)
        self.active = active
        rows = int(np.count_nonzero(active))
        first = comm.exscan(rows) or 0
        self.dofs = comm.allreduce(rows)
        numbers = operator.field(np.int32)
        numbers.fill(-1)
        _own(numbers)[active] = first + np.arange(rows)
        operator.exchange(numbers)
        own = _own(numbers)
        i, j, v = [], [], []
        for offset, value in entries:
            column = _own(numbers, offset)
            used = (own >= 0) & (column >= 0) & (value != 0)
            i.append(own[used] - first)
            j.append(column[used])
            v.append(value[used])
        local = sp.csr_matrix(
            (np.concatenate(v), (np.concatenate(i), np.concatenate(j))), shape=(rows, self.dofs)
        )
        self.matrix = PETSc.Mat().createAIJ(
            ((rows, self.dofs), (rows, self.dofs)),
            csr=(local.indptr.astype(PETSc.IntType), local.indices.astype(PETSc.IntType), local.data),
            comm=comm,
        )
        self.shifted = self.matrix.duplicate(copy=True)
        diagonal = self.matrix.getDiagonal()
        diagonal.scale(1 + _SHIFT)
        self.shifted.setDiagonal(diagonal)
        diagonal.destroy()
        self._right, self._left = self.matrix.createVecs()
        self.ksp = PETSc.KSP().create(comm)
        self.ksp.setOptionsPrefix(_PREFIX)
        options = {**ELLIPTIC, "ksp_rtol": rtol, "ksp_norm_type": "unpreconditioned"}
        set_options(_PREFIX, options, user)
        self.ksp.setOperators(self.matrix, self.shifted)
        self.ksp.setFromOptions()
        self.ksp.setUp()

    def solve(self, what: str, floor: float = 0.0) -> tuple[int, float]:
        """Iterations and relative residual; raises SolverFailure, naming `what`, if it does not converge.

        A right-hand side with a norm of `floor` or less is taken for zero.
        """
        self._left.array[:] = _own(self.r)[self.active]
        self.x.fill(0)
        start = self._left.norm()
        if start <= floor:
            return 0, 0.0
        self.ksp.solve(self._left, self._right)
        if self.ksp.getConvergedReason() < 0:
            raise SolverFailure(f"{what}: conjugate gradients on the assembled matrix did not converge")
        _own(self.x)[self.active] = self._right.array_r
        return self.ksp.getIterationNumber(), self.ksp.getResidualNorm() / start

    def destroy(self) -> None:
        for obj in (self.ksp, self.matrix, self.shifted, self._right, self._left):
            obj.destroy()
