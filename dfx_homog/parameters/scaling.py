"""From SI to the dimensionless groups of docs/theory.md and back (MODEL section 2; [H] 73-76, with its corrections)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from dfx_homog.parameters.expression import Expression, constant, variable

Value = TypeVar("Value", float, npt.NDArray[np.floating[Any]])
FARADAY = 96485.33212331  # C/mol, CODATA 2018, exact up to the digits given
GAS_CONSTANT = 8.31446261815324  # J/(mol K), CODATA 2018, exact


@dataclass(frozen=True)
class Scales:
    """What every quantity is measured in.

    L:       length of the cell (meso), m
    c0:      concentration, mol/m3
    Phi0:    potential, V
    i0:      current density, A/m2
    T0:      reference temperature, K
    rho_cp0: heat capacity per volume, J/(m3 K)

    A dimensionless quantity is the one in SI over its scale; temperatures are rises over T0 in units of DeltaT.
    The results in SI do not depend on the choice.
    """

    L: float
    c0: float
    Phi0: float
    i0: float
    T0: float
    rho_cp0: float

    @property
    def t0(self) -> float:
        """Time F c0 L/i0 in which i0 moves c0 through the length L, s."""
        return FARADAY * self.c0 * self.L / self.i0

    @property
    def DeltaT(self) -> float:
        """Temperature rise (i0/L) (R T0/F) t0/(rho0 cp0) = R T0 c0/(rho0 cp0), K."""
        return GAS_CONSTANT * self.T0 * self.c0 / self.rho_cp0

    @property
    def lam(self) -> float:
        """lambda = F Phi0/(R T0)."""
        return FARADAY * self.Phi0 / (GAS_CONSTANT * self.T0)

    @property
    def gamma(self) -> float:
        """gamma = DeltaT/T0 = R c0/(rho0 cp0)."""
        return GAS_CONSTANT * self.c0 / self.rho_cp0

    # scales of material parameters ------------------------------------------------------------------------------

    @property
    def electronic(self) -> float:
        """Of sigma_s: i0 L/Phi0, S/m."""
        return self.i0 * self.L / self.Phi0

    @property
    def electrolyte_diffusivity(self) -> float:
        """Of D_L and D_A: L^2/t0, m2/s."""
        return self.L**2 / self.t0

    @property
    def thermal(self) -> float:
        """Of k: rho0 cp0 L^2/t0 (corrected, MODEL section 8), W/(m K)."""
        return self.rho_cp0 * self.L**2 / self.t0

    @property
    def heat_exchange(self) -> float:
        """Of h: rho0 cp0 L/t0, W/(m2 K)."""
        return self.rho_cp0 * self.L / self.t0

    @property
    def heat_source(self) -> float:
        """Of heat per volume: rho0 cp0 DeltaT/t0, W/m3."""
        return self.rho_cp0 * self.DeltaT / self.t0

    def solid_diffusivity(self, length: float) -> float:
        """Of D_s in an electrode whose unit cell has this length: l^2/t0, m2/s."""
        return length**2 / self.t0

    def exchange_current(self, K: float, length: float) -> float:
        """G = g0 L/(i0 l), g0 = F K c0: exchange over applied current. K in m/s, l in m."""
        return FARADAY * K * self.c0 * self.L / (self.i0 * length)

    def capacitance(self, C_dl: float, K: float) -> float:
        """C = C_dl Phi0/(g0 t0), g0 = F K c0, for the double layer's C_dl in F/m2 and K in m/s.

        Only G C = C_dl Phi0/(F c0 l) enters the models, in which K cancels.
        """
        return C_dl * self.Phi0 / (FARADAY * K * self.c0 * self.t0)

    def film(self, R_f: float, length: float) -> float:
        """Scaled resistance of a film of R_f in Ohm m2: its drop is R_f G g, and G g is in i0 l/L."""
        return R_f * self.i0 * length / (self.L * self.Phi0)

    def activation(self, energy: float) -> float:
        """E/(R T0) of an activation energy in J/mol."""
        return energy / (GAS_CONSTANT * self.T0)

    # states ---------------------------------------------------------------------------------------------------------

    def rise(self, T: float) -> float:
        """Scaled rise of a temperature in K."""
        return (T - self.T0) / self.DeltaT

    def kelvin(self, rise: Value) -> Value:
        """Temperature in K of a scaled rise, a number or an array of them."""
        return self.T0 + self.DeltaT * rise

    def in_scaled_temperature(self, formula: Expression) -> Expression:
        """A formula in T in kelvin as one in the scaled rise."""
        absolute = constant(self.T0) + constant(self.DeltaT) * variable("T")
        return formula.substitute("T", absolute)

    def open_circuit_potential(self, ocp: Expression, dUdT: Expression) -> Expression:
        """U = (ocp(c, T) + (T - T0) dUdT(c))/Phi0 as a formula in c and the scaled rise; ocp in V, T there in K."""
        entropic = constant(self.DeltaT / self.Phi0) * dUdT * variable("T")
        return self.in_scaled_temperature(ocp) / self.Phi0 + entropic
