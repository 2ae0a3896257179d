"""The reaction on the particle surface: Butler-Volmer and double layer. Dimensionless (MODEL sections 2 and 3)."""

from __future__ import annotations

from typing import Any

import ufl


def overpotential(phi_s: Any, phi_e: Any, U: Any) -> Any:
    """eta = Phi_s - Phi_e - U."""
    return phi_s - phi_e - U


def lithium_electrode(c_e: Any, T: Any, c_e0: Any, lam: Any, gamma: Any) -> Any:
    """Potential psi = ((1 + gamma T)/lambda) ln(c_e/c_e0) of a lithium electrode in the electrolyte, against Phi_e.

    Lithium ions of an ideal solution: F Phi_e + R T ln c_e. Added to U it makes the equilibrium that of this solution,
    and the model that of Doyle, Fuller and Newman with thermodynamic factor 1. psi has no enthalpy, its absolute
    temperature times d psi/dT is psi: what it takes from eta it gives to the Peltier potential, and the heat stays.
    """
    return (1 + gamma * T) / lam * ufl.ln(c_e / c_e0)


def exchange_rate(c_s: Any, c_e: Any, beta: Any, c_max: Any) -> Any:
    """c_s^b (1 - c_s/c_max)^(1-b) c_e^(1-b), the rate of both directions at equilibrium. [H] 6h."""
    return c_s**beta * (1 - c_s / c_max) ** (1 - beta) * c_e ** (1 - beta)


def butler_volmer(c_s: Any, c_e: Any, eta: Any, T: Any, beta: Any, c_max: Any, lam: Any, gamma: Any) -> Any:
    """Reaction rate out of the solid,

    g = c_s^b (1 - c_s/c_max)^(1-b) c_e^(1-b) [exp((1-b) lambda eta/(1+gamma T)) - exp(-b lambda eta/(1+gamma T))].

    [H] 6h. Its equilibrium potential does not depend on c_e (Bizeray et al. 2016 discuss this choice of the model).
    """
    f = lam * eta / (1 + gamma * T)
    return exchange_rate(c_s, c_e, beta, c_max) * (ufl.exp((1 - beta) * f) - ufl.exp(-beta * f))


def through_film(y: Any, A: Any, beta: Any, y_at: Any, A_at: Any) -> Any:
    """lambda eta/(1 + gamma T) = s behind a film of resistance R_f: the root of s + A [exp((1-b) s) - exp(-b s)] = y,

    y = lambda (Phi_s - Phi_e - U)/(1 + gamma T),  A = R_f G lambda/(1 + gamma T) times the exchange rate, A >= 0,

    which is eta = Phi_s - Phi_e - U - R_f G g. y_at, A_at: expressions with the same values as y and A in which the
    unknowns are not to be differentiated. The root is found in them; one Newton step in y and A then changes nothing
    but the derivative, which becomes that of the implicit function, whatever the size of the expression of the root.
    """
    s = _film_root(y_at, A_at, beta)
    rate, slope, _ = _rate(s, beta)
    return s - (s + A * rate - y) / (1 + A_at * slope)


#: Halley steps to the root: round-off for 0 <= A <= 1e8, |y| <= 80 and beta within [0.1, 0.9].
HALLEY_STEPS = 5


def _film_root(y: Any, A: Any, beta: Any) -> Any:
    """Root of the increasing s + A [exp((1-b) s) - exp(-b s)] - y, from the smaller one of two upper bounds of |s|.

    They are |y| and the root of A (exp(q |s|) - 1) = |y|, q = 1 - b for y > 0, else b. |x| = sign(x) x and the smaller
    one is written with it: no branch, so that the assembly may look for zeros of the derivative.
    """
    tiny = 1e-300  # A = 0: an electrode without film
    side = ufl.sign(y)
    size, q = side * y, 0.5 + side * (0.5 - beta)
    tafel = ufl.ln(1 + size / (A + tiny)) / q
    s = side * (size + tafel - ufl.sign(size - tafel) * (size - tafel)) / 2
    for _ in range(HALLEY_STEPS):
        rate, slope, curvature = _rate(s, beta)
        f, df = s + A * rate - y, 1 + A * slope
        s = s - 2 * f * df / (2 * df * df - f * A * curvature)
    return s


def _rate(s: Any, beta: Any) -> tuple[Any, Any, Any]:
    """exp((1-b) s) - exp(-b s) and its first two derivatives."""
    out, back = ufl.exp((1 - beta) * s), ufl.exp(-beta * s)
    p = 1 - beta
    return out - back, p * out + beta * back, p * p * out - beta * beta * back


def interface_flux(G: Any, g: Any, GC: Any, rate_of_jump: Any) -> Any:
    """Flux of lithium and of charge out of the solid, G g + (G C) d_t (Phi_s - Phi_e).

    The capacitive current also carries lithium ([H] 6c-d, kept); the product GC does not depend on temperature.
    """
    return G * g + GC * rate_of_jump
