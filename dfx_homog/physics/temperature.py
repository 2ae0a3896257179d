"""Temperature dependence of coefficients; T is the scaled rise, absolute temperature is T0 (1 + gamma T)."""

from __future__ import annotations

from typing import Any

import ufl


def arrhenius(reference: Any, energy: Any, gamma: Any, T: Any) -> Any:
    """P = P_ref exp(E gamma T/(1 + gamma T)), E = activation energy/(R T0), dimensionless."""
    return reference * ufl.exp(energy * gamma * T / (1 + gamma * T))


def einstein_mobility(diffusivity: Any, gamma: Any, T: Any) -> Any:
    """mu = D(T)/(1 + gamma T), dimensionless (Einstein relation)."""
    return diffusivity / (1 + gamma * T)
