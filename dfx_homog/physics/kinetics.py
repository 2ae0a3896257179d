"""The reaction on the particle surface: Butler-Volmer and double layer. Dimensionless (MODEL sections 2 and 3)."""

from __future__ import annotations

from typing import Any

import ufl


def overpotential(phi_s: Any, phi_e: Any, U: Any) -> Any:
    """eta = Phi_s - Phi_e - U(c_s, T)."""
    return phi_s - phi_e - U


def butler_volmer(c_s: Any, c_e: Any, eta: Any, T: Any, beta: Any, c_max: Any, lam: Any, gamma: Any) -> Any:
    """Reaction rate out of the solid,

    g = c_s^b (1 - c_s/c_max)^(1-b) c_e^(1-b) [exp((1-b) lambda eta/(1+gamma T)) - exp(-b lambda eta/(1+gamma T))].

    [H] 6h. Its equilibrium potential does not depend on c_e (Bizeray et al. 2016 discuss this choice of the model).
    """
    exchange = c_s**beta * (1 - c_s / c_max) ** (1 - beta) * c_e ** (1 - beta)
    f = lam * eta / (1 + gamma * T)
    return exchange * (ufl.exp((1 - beta) * f) - ufl.exp(-beta * f))


def interface_flux(G: Any, g: Any, GC: Any, rate_of_jump: Any) -> Any:
    """Flux of lithium and of charge out of the solid, G g + (G C) d_t (Phi_s - Phi_e).

    The capacitive current also carries lithium ([H] 6c-d, kept); the product GC does not depend on temperature.
    """
    return G * g + GC * rate_of_jump
