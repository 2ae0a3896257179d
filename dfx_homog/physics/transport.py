"""Conservation of lithium and charge: fluxes and weak residuals. All quantities dimensionless (MODEL sections 2, 3, 5).

Weak residuals have the sign of the conservation law's left-hand side: d_t c + div N - source = 0 tested with v.
"""

from __future__ import annotations

from typing import Any

import ufl


def ohmic_current(sigma: Any, phi_s: Any) -> Any:
    """i_s = -sigma grad Phi_s; sigma scalar or (d, d). [H] 6g; with S for sigma, [H] 2d."""
    return -_apply(sigma, ufl.grad(phi_s))


def species_flux(D_L: Any, mu_L: Any, lam: Any, c_e: Any, phi_e: Any, B: Any = 1) -> Any:
    """N_e = -B (D_L grad c_e + lambda mu_L c_e grad Phi_e); B: 1 in the pores, a tensor at meso scale. [H] 7f, 3a."""
    return -_apply(B, D_L * ufl.grad(c_e) + lam * mu_L * c_e * ufl.grad(phi_e))


def electrolyte_current(
    D_L: Any, D_A: Any, mu_L: Any, mu_A: Any, lam: Any, c_e: Any, phi_e: Any, B: Any = 1
) -> Any:
    """i_e = -B ((D_L - D_A) grad c_e + lambda (mu_L + mu_A) c_e grad Phi_e). [H] 7g, 3e."""
    return -_apply(B, (D_L - D_A) * ufl.grad(c_e) + lam * (mu_L + mu_A) * c_e * ufl.grad(phi_e))


def particle_flux(D_s: Any, c_s: Any, delta: Any = 1) -> Any:
    """N_s = -delta^2 D_s grad c_s (meso lengths); delta = 1 in lengths of the unit cell. [H] 6f."""
    return -(delta**2) * _apply(D_s, ufl.grad(c_s))


def storage(rate: Any, test: Any, dx: Any) -> Any:
    """int (d_t u) v dx, with the time scheme's own difference quotient for d_t u."""
    return rate * test * dx


def divergence(flux: Any, test: Any, dx: Any) -> Any:
    """Weak div(flux): -int flux . grad v dx, the normal flux on the boundary to be added."""
    return -ufl.inner(flux, ufl.grad(test)) * dx


def outflow(flux_normal: Any, test: Any, ds: Any) -> Any:
    """int (flux . n) v ds on a boundary or on the interface Gamma."""
    return flux_normal * test * ds


def _apply(coefficient: Any, vector: Any) -> Any:
    """Scalar or tensor times vector."""
    shape = getattr(coefficient, "ufl_shape", ())
    return ufl.dot(coefficient, vector) if len(shape) == 2 else coefficient * vector
