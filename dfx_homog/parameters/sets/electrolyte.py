"""From what papers measure of an electrolyte to the two diffusivities of the model.

The model's electrolyte is dilute: each ion has its diffusivity and, by Einstein's relation, its mobility (MODEL
section 2). Then D_e = 2 D_L D_A/(D_L + D_A), t+ = D_L/(D_L + D_A) and kappa = F^2 (D_L + D_A) c_e/(R T), so that two of
the three determine the third. Diffusivity and transference number are kept, which decide how c_e spreads.
"""

from __future__ import annotations

from dataclasses import dataclass

from dfx_homog.parameters.expression import Expression
from dfx_homog.parameters.scaling import FARADAY, GAS_CONSTANT

Curve = float | str


@dataclass(frozen=True)
class Electrolyte:
    """A concentrated electrolyte at T0 (K), of which the model takes what holds at c_e0 (mol/m3).

    diffusivity (m2/s) and conductivity (S/m): numbers, or formulas in x, which is c_e in mol/m3; t_plus: 0 < t+ < 1
    """

    diffusivity: Curve
    t_plus: float
    conductivity: Curve
    c_e0: float
    T0: float

    def _at_rest(self, curve: Curve) -> float:
        return float(Expression.parse(curve, ("x",)).numpy(x=self.c_e0))

    @property
    def D_e(self) -> float:
        """Diffusivity of the salt at c_e0, m2/s."""
        return self._at_rest(self.diffusivity)

    @property
    def kappa(self) -> float:
        """Measured conductivity at c_e0, S/m."""
        return self._at_rest(self.conductivity)

    @property
    def D_L(self) -> float:
        """Diffusivity of lithium ions D_e/(2 (1 - t+)), m2/s."""
        return self.D_e / (2.0 * (1.0 - self.t_plus))

    @property
    def D_A(self) -> float:
        """Diffusivity of anions D_e/(2 t+), m2/s."""
        return self.D_e / (2.0 * self.t_plus)

    @property
    def implied_kappa(self) -> float:
        """Conductivity that the model has with D_L and D_A, F^2 (D_L + D_A) c_e0/(R T0), S/m."""
        return FARADAY**2 * (self.D_L + self.D_A) * self.c_e0 / (GAS_CONSTANT * self.T0)

    def __str__(self) -> str:
        """What is used and what is left, for the log."""
        return (
            f"at c_e0 = {self.c_e0:g} mol/m3 and T0 = {self.T0:g} K, D_e = {self.D_e:.6g} m2/s and t+ = "
            f"{self.t_plus:g} give D_L = {self.D_L:.6g} and D_A = {self.D_A:.6g} m2/s, constant in c_e; "
            f"kappa follows, {self.implied_kappa:.4g} S/m, and that of the source, {self.kappa:.4g} S/m, is not used"
        )


def dilute(D_L: float, D_A: float, c_e0: float, T0: float) -> Electrolyte:
    """The dilute electrolyte of two diffusivities: D_e, t+ and kappa, proportional to c_e, are those of the model."""
    kappa = FARADAY**2 * (D_L + D_A) / (GAS_CONSTANT * T0)
    return Electrolyte(2.0 * D_L * D_A / (D_L + D_A), D_L / (D_L + D_A), f"{kappa!r}*x", c_e0, T0)
