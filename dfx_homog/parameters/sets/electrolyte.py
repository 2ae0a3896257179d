"""From what papers measure of an electrolyte to the two diffusivities of the model.

The model's electrolyte is dilute: each ion has its diffusivity and, by Einstein's relation, its mobility (MODEL
section 2). Then D_e = 2 D_L D_A/(D_L + D_A), t+ = D_L/(D_L + D_A) and kappa = F^2 (D_L + D_A) c_e/(R T), so that two of
the three determine the third. Diffusivity and transference number are kept, which decide how c_e spreads.
"""

from __future__ import annotations

from dataclasses import dataclass

from dfx_homog.parameters.scaling import FARADAY, GAS_CONSTANT


@dataclass(frozen=True)
class Electrolyte:
    """A concentrated electrolyte at c_e0 (mol/m3) and T0 (K): D_e (m2/s), t+ (0 < t+ < 1), kappa (S/m)."""

    D_e: float
    t_plus: float
    kappa: float
    c_e0: float
    T0: float

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
