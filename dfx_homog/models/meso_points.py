"""The particles at the meso nodes of one electrode: what they add to the homogenised model's equations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from petsc4py import PETSc

from dfx_homog._compat import FloatArray
from dfx_homog.dimensionless.physics import Electrode
from dfx_homog.models.meso import C_E, PHI_E, PHI_S, TEMP
from dfx_homog.models.particle import ParticleProblems, ParticleResponse
from dfx_homog.solvers.layout import Layout


@dataclass
class ElectrodePoints:
    """The meso nodes of one electrode that this rank has, with their particles.

    nodes: (P,) local nodes; weights: (P,) int over the electrode of the node's basis function, per |F|
    """

    electrode: Electrode
    nodes: npt.NDArray[np.int64]
    weights: FloatArray
    particles: ParticleProblems
    response: ParticleResponse | None = None
    at: FloatArray | None = None

    def respond(self, values: FloatArray, *, frozen: bool) -> str | None:
        """Bring the particles up to date with the meso values (nodes, 4); what went wrong, None if nothing did.

        frozen: at their present concentration
        """
        at = values[self.nodes]
        if self.at is not None and np.array_equal(at, self.at):
            return None
        solve = self.particles.evaluate_frozen if frozen else self.particles.evaluate
        self.response = solve(at[:, PHI_S], at[:, PHI_E], at[:, C_E], at[:, TEMP])
        self.at = at.copy()
        text = self.response.complaint()
        if text:
            self.at = None  # to be solved again
        return text

    def add_residual(self, rows: FloatArray) -> None:
        """Add the interface terms to the residual (nodes, 4)."""
        assert self.response is not None
        current = self.weights * self.response.J
        rows[self.nodes, PHI_S] += current
        rows[self.nodes, C_E] -= current
        rows[self.nodes, PHI_E] -= current
        rows[self.nodes, TEMP] -= self.weights * self.response.q

    def balance(self, values: FloatArray, lam: float) -> tuple[float, float, float]:
        """This rank's int J, lambda int Gh g (U - Pi) and lambda int G C D d_t D over the electrode, per |F|."""
        assert self.response is not None
        response, w = self.response, self.weights
        jump = values[self.nodes, PHI_S] - values[self.nodes, PHI_E]
        # lambda Gh g (U - Pi) = lambda Gh g D - lambda Gh g (eta + Pi)
        work = float(w @ (lam * jump * response.faradaic - response.q))
        capacitor = lam * float(w @ (jump * (response.J - response.faradaic)))
        return float(w @ response.J), work, capacitor

    def add_jacobian(self, A: PETSc.Mat, layout: Layout) -> None:
        """Add the derivative of these terms to a matrix."""
        assert self.response is not None
        order = [PHI_S, PHI_E, C_E, TEMP]  # of the particle's derivatives
        block = np.zeros((len(self.nodes), 4, 4))
        dJ = self.weights[:, None] * self.response.dJ
        block[:, PHI_S, order] = dJ
        block[:, C_E, order] = -dJ
        block[:, PHI_E, order] = -dJ
        block[:, TEMP, order] = -self.weights[:, None] * self.response.dq
        numbers = layout.numbers[self.nodes].astype(PETSc.IntType)
        if len(numbers):
            A.setValuesRCV(numbers, numbers, block, addv=PETSc.InsertMode.ADD)
