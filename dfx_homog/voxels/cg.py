"""Conjugate gradients in double precision on a voxel operator, preconditioned by multigrid."""

from __future__ import annotations

import numpy as np

from dfx_homog._native import voxel_direction, voxel_dot, voxel_update
from dfx_homog.errors import SolverFailure
from dfx_homog.voxels.multigrid import Multigrid
from dfx_homog.voxels.operators import VoxelOperator

MAX_ITERATIONS = 500


class ConjugateGradients:
    """A x = b on one operator: the vectors and the preconditioner are kept for several right-hand sides.

    x, r, p, q   padded fields; r holds the right-hand side at the start and the residual at the end,
                 p and q are free for other use between solves
    """

    def __init__(self, operator: VoxelOperator, single: bool, rtol: float, user: tuple[str, ...] = ()):
        self.operator, self.rtol = operator, rtol
        self.preconditioner = Multigrid(operator, single, user)
        self.x, self.r, self.p, self.q = (operator.field() for _ in range(4))
        self._rounded = operator.field(np.float32 if single else np.float64)
        self.dofs = self.preconditioner.dofs

    def solve(self, what: str, floor: float = 0.0) -> tuple[int, float]:
        """Solve for the right-hand side in `r`; returns the iterations and the relative residual |r|/|b|.

        A right-hand side with a norm of `floor` or less is taken for zero.

        Raises SolverFailure, naming `what`, if the residual is not below `rtol` after MAX_ITERATIONS.
        """
        comm = self.operator.comm
        x, r, p, q = self.x, self.r, self.p, self.q
        for vector in (x, p, q):
            vector.fill(0)  # the ghosts of q too: those of r stay zero
        start = comm.allreduce(voxel_update(0.0, p, q, x, r, self._rounded)) ** 0.5
        if start <= floor:
            return 0, 0.0
        previous, beta = 1.0, 0.0
        for iteration in range(1, MAX_ITERATIONS + 1):
            z = self.preconditioner(self._rounded)
            rz = comm.allreduce(voxel_dot(r, z))
            beta = rz / previous if iteration > 1 else 0.0
            previous = rz
            voxel_direction(z, beta, p)
            curvature = self.operator.apply(p, q)
            if not (rz > 0 and curvature > 0):
                raise SolverFailure(f"{what}: the preconditioner is not positive definite")
            norm = comm.allreduce(voxel_update(rz / curvature, p, q, x, r, self._rounded)) ** 0.5
            if norm <= self.rtol * start:
                return iteration, norm / start
        raise SolverFailure(
            f"{what}: conjugate gradients did not reach {self.rtol:g} in {MAX_ITERATIONS} iterations "
            f"(relative residual {norm / start:.2g})"
        )

    def destroy(self) -> None:
        self.preconditioner.destroy()
