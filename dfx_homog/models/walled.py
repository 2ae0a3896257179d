"""The homogenised model with wall laws."""

from __future__ import annotations

import numpy as np
from mpi4py import MPI
from petsc4py import PETSc

from dfx_homog._compat import FloatArray
from dfx_homog.dimensionless.physics import Physics
from dfx_homog.models import losses
from dfx_homog.models.excess import WallLaws
from dfx_homog.models.homogenised import HomogenisedModel
from dfx_homog.models.meso import MesoCoefficients
from dfx_homog.models.meso_domain import NEGATIVE_FACE, POSITIVE_FACE
from dfx_homog.models.particle_geometry import ParticleGeometry
from dfx_homog.models.walled_line import WalledLine
from dfx_homog.models.walls import Walls
from dfx_homog.solvers.guard import Bounds
from dfx_homog.solvers.layout import Flags, Layout


class WalledModel(HomogenisedModel):
    """The homogenised model on a line with the jumps of models/walls.py at the faces.

    The fluxes through the faces are unknowns at the nodes in the middle of the line's elements of no length, each in
    the place of its field: N in that of c_e, i in that of Phi_e, q in that of T, i_s in that of Phi_s.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        physics: Physics,
        solids: tuple[ParticleGeometry, ParticleGeometry],
        regions: tuple[MesoCoefficients, ...],
        domain: WalledLine,
        laws: WallLaws,
        *,
        user_options: tuple[str, ...] = (),
    ):
        self._laws, self._line = laws, domain
        super().__init__(comm, physics, solids, regions, domain, user_options=user_options)

    def _where_fields_live(self) -> Flags:
        self._walls = Walls(self._line, self.forms.space, self.physics, self._laws)
        for face, r in zip((NEGATIVE_FACE, POSITIVE_FACE), self._laws.cooling, strict=True):
            self.forms.set_contact(face, r)
        self._fluxes, metal = self._walls.unknowns(self.nodes)
        return super()._where_fields_live() | metal

    @property
    def unknowns(self) -> Flags:
        """The fields and the fluxes through the faces."""
        return self.active | self._fluxes

    @property
    def visible(self) -> Flags:
        """As in `TransientModel`, without the fluxes."""
        visible: Flags = super().visible & ~np.any(self._fluxes, axis=1, keepdims=True)
        return visible

    def bounds(self) -> Bounds:
        """As in `TransientModel`; fluxes have none."""
        bounds = super().bounds()
        bounds.lower[self._fluxes] = -np.inf
        return bounds

    def _residual(self, out: FloatArray) -> None:
        super()._residual(out)
        self._walls.add_residual(out.reshape(-1, 4), self.values)

    def _jacobian(self, A: PETSc.Mat, layout: Layout) -> None:
        super()._jacobian(A, layout)
        self._walls.add_jacobian(A, layout, self.values)

    def equilibrium(self, negative: Flags) -> None:
        """As in `TransientModel`; nothing flows."""
        super().equilibrium(negative)
        self.values[self._fluxes.any(axis=1)] = 0.0

    def joule_heat(self) -> FloatArray:
        """As in `HomogenisedModel`, with that of the faces."""
        return super().joule_heat() + self._walls.heat(self.values)

    #: Whether the model has wall laws.
    has_walls = True

    def wall_losses(self) -> losses.Walls:
        """What the jumps take from the voltage. Collective."""
        lost = self._walls.losses(self.values)
        self.comm.Allreduce(MPI.IN_PLACE, lost)
        return losses.Walls(*map(float, lost))
