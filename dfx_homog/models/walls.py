"""Wall laws: the homogenised model beyond leading order, by jumps at separator and collector faces.

With [f] = f(y*+) - f(y*-), N, i, q the fluxes along +y1, c and T the means of both sides of a separator face,

    D_L [c_e] + lambda mu_L c [Phi_e] = -delta r_e N,
    (D_L - D_A) [c_e] + lambda (mu_L + mu_A) c [Phi_e] = -delta r_e i,
    [T] = -delta r_T q,   [q] = -lambda i [Phi_e];

at the collectors A_sigma [Phi_s] = -delta r_s i_s between metal and electrode, A_sigma(T) the Arrhenius factor of
sigma_s, with the heat -lambda i_s [Phi_s], and h becomes h/(1 + delta r_c h). VERIFICATION section 2.
The resistances come from strip.py. They may be zero or negative: the fluxes are unknowns of their own, and nothing is
divided by r.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from dolfinx import fem
from petsc4py import PETSc

from dfx_homog._compat import FloatArray
from dfx_homog.dimensionless.physics import Physics
from dfx_homog.models.excess import WallLaws
from dfx_homog.models.losses import diffusion_factor
from dfx_homog.models.meso import C_E, PHI_E, PHI_S, TEMP
from dfx_homog.models.walled_line import WalledLine
from dfx_homog.solvers.layout import Flags, Layout

Numbers = npt.NDArray[Any]  # real or complex
NEGATIVE, POSITIVE = 0, 3  # collectors; 1 and 2 are the separator faces
LEFT, MIDDLE, RIGHT = range(3)
PROBE = 1e-30  # imaginary step: the derivative of an analytic function to rounding, without differences


class Walls:
    """The wall terms in the residual and the Jacobian of a homogenised model on a `WalledLine`.

    nodes: (k, 3) left, middle and right node of each face of this rank; face: (k,) 0 to 3 from the negative collector
    """

    def __init__(self, line: WalledLine, space: fem.FunctionSpace, physics: Physics, laws: WallLaws):
        self.physics, self.laws = physics, laws
        here = np.flatnonzero(line.region < 0)
        self.face = line.element[here] // (line.elements + 1)
        self.nodes = space.dofmap.list[here][:, [0, 2, 1]]
        self._separator = (self.face > NEGATIVE) & (self.face < POSITIVE)
        pairs = {
            "electrolyte": (0.0, *laws.electrolyte, 0.0),
            "heat": (0.0, *laws.heat, 0.0),
            "solid": (laws.solid[0], 0.0, 0.0, laws.solid[1]),
        }
        self._r = {name: np.array(values)[self.face] for name, values in pairs.items()}
        E = (physics.negative.E_sigma, 0.0, 0.0, physics.positive.E_sigma)
        self._E_sigma = np.array(E)[self.face]

    def unknowns(self, nodes: int) -> tuple[Flags, Flags]:
        """(nodes, 4) where the fluxes through the faces are, and where Phi_s of the metal is."""
        fluxes, metal = (np.zeros((nodes, 4), dtype=bool) for _ in range(2))
        middle = self.nodes[:, MIDDLE]
        fluxes[middle[self._separator], C_E] = fluxes[middle[self._separator], PHI_E] = True
        fluxes[middle[self._separator], TEMP] = not self.physics.isothermal
        fluxes[middle[~self._separator], PHI_S] = True
        metal[self.nodes[self.face == NEGATIVE, LEFT], PHI_S] = True
        metal[self.nodes[self.face == POSITIVE, RIGHT], PHI_S] = True
        return fluxes, metal

    def add_residual(self, rows: FloatArray, values: FloatArray) -> None:
        """Add the wall terms at the values (nodes, 4) to the residual (nodes, 4)."""
        np.add.at(rows, self.nodes, self._local(values[self.nodes]).real)

    def add_jacobian(self, A: PETSc.Mat, layout: Layout, values: FloatArray) -> None:
        """Add the derivative of these terms to a matrix."""
        u = values[self.nodes].astype(complex)
        block = np.zeros((len(u), 12, 12))
        for column in range(12):
            probe = u.copy()
            probe.reshape(-1, 12)[:, column] += 1j * PROBE
            block[:, :, column] = self._local(probe).imag.reshape(-1, 12) / PROBE
        for nodes, entries in zip(self.nodes, block, strict=True):
            numbers = layout.numbers[nodes].astype(PETSc.IntType).ravel()
            A.setValues(numbers, numbers, entries, addv=PETSc.InsertMode.ADD)

    def heat(self, values: FloatArray) -> FloatArray:
        """(2, 3) this rank's heat of the solid and of the electrolyte at the walls, by region.

        That of a separator face goes to the electrode beside it.
        """
        jump, flux = self._jump(values[self.nodes]), values[self.nodes[:, MIDDLE]]
        found = np.zeros((2, 3))
        region = np.where(self.face < 2, 0, 2)
        for row, column, here in ((0, PHI_S, ~self._separator), (1, PHI_E, self._separator)):
            heat = -self.physics.lam * flux[here, column] * jump[here, column]
            np.add.at(found[row], region[here], heat)
        return found

    def losses(self, values: FloatArray) -> FloatArray:
        """(3,) this rank's falls of Phi_s at the negative and the positive collector and of psi at separator faces.

        psi = Phi_e + alpha ln(c_e/c_e0) as in models/losses.py.
        """
        u, c_e0 = values[self.nodes], self.physics.c_e0
        sides = u[self._separator][:, [LEFT, RIGHT]]
        psi = sides[:, :, PHI_E] + diffusion_factor(self.physics, sides[:, :, TEMP]) * np.log(
            sides[:, :, C_E] / c_e0
        )
        solid, pores = -self._jump(u)[:, PHI_S], psi[:, 0] - psi[:, 1]
        return np.array([*(solid[self.face == face].sum() for face in (NEGATIVE, POSITIVE)), pores.sum()])

    @staticmethod
    def _jump(u: Numbers) -> Numbers:
        return np.asarray(u[:, RIGHT] - u[:, LEFT])

    def _local(self, u: Numbers) -> Numbers:
        """(k, 3, 4) residual of each face at its values (k, 3, 4), analytic in them."""
        p, out = self.physics, np.zeros_like(u, dtype=complex)
        jump, mean, flux = self._jump(u), 0.5 * (u[:, RIGHT] + u[:, LEFT]), u[:, MIDDLE]
        warm = 1.0 + p.gamma * mean[:, TEMP]
        exponent = p.gamma * mean[:, TEMP] / warm
        D_L, D_A = p.D_L * np.exp(p.E_D_L * exponent), p.D_A * np.exp(p.E_D_A * exponent)
        mu_L = D_L / warm if p.mu_L is None else p.mu_L
        mu_A = D_A / warm if p.mu_A is None else p.mu_A
        drift = p.lam * mean[:, C_E] * jump[:, PHI_E]
        s = self._separator
        equation = np.zeros_like(flux, dtype=complex)
        r = self._r
        equation[:, C_E] = D_L * jump[:, C_E] + mu_L * drift + r["electrolyte"] * flux[:, C_E]
        equation[:, PHI_E] = (
            (D_L - D_A) * jump[:, C_E] + (mu_L + mu_A) * drift + r["electrolyte"] * flux[:, PHI_E]
        )
        equation[:, TEMP] = jump[:, TEMP] + r["heat"] * flux[:, TEMP]
        # what leaves the left side and enters the right one, and half of the heat to each
        out[s, LEFT], out[s, RIGHT] = flux[s], -flux[s]
        heat = -p.lam * flux[:, PHI_E] * jump[:, PHI_E]
        for side in (LEFT, RIGHT):
            out[s, side, TEMP] -= 0.5 * heat[s]
            out[s, side, PHI_S] = 0.0
        out[s, MIDDLE, C_E:] = equation[s, C_E:]
        # collectors: the current, and its heat in the electrode
        for face, inner in ((NEGATIVE, RIGHT), (POSITIVE, LEFT)):
            here = self.face == face
            warm = 1.0 + p.gamma * u[here, inner, TEMP]
            activation = np.exp(self._E_sigma[here] * p.gamma * u[here, inner, TEMP] / warm)
            current = flux[here, PHI_S]
            out[here, LEFT, PHI_S], out[here, RIGHT, PHI_S] = current, -current
            out[here, MIDDLE, PHI_S] = activation * jump[here, PHI_S] + r["solid"][here] * current
            out[here, inner, TEMP] = p.lam * current * jump[here, PHI_S]
        return out
