"""Heat: conduction, Joule heat by phase, heat of the reaction. Dimensionless (MODEL sections 3 and 5)."""

from __future__ import annotations

from typing import Any

import ufl

from dfx_homog.physics.transport import _apply


def conduction(k: Any, T: Any) -> Any:
    """K = -k grad T; k scalar or (d, d). [H] 8d."""
    return -_apply(k, ufl.grad(T))


def joule(lam: Any, current: Any, potential: Any) -> Any:
    """Heat per volume -lambda i . grad Phi of one phase. May be negative where diffusion carries the current. [H] 8a.

    At meso scale the tensors Q_s, Q_e of [H] 59-60 are identities (Hill-Mandel), so the same formula holds.
    """
    return -lam * ufl.inner(current, ufl.grad(potential))


def reaction_heat(lam: Any, G: Any, g: Any, eta: Any, Pi: Any) -> Any:
    """Heat per area of Gamma lambda G g (eta + Pi): irreversible and Peltier part. [H] 8b.

    Against a lithium electrode, with psi of `kinetics.lithium_electrode`: lambda G g (eta + psi + Pi), the same number.
    """
    return lam * G * g * (eta + Pi)


def film_heat(lam: Any, G: Any, g: Any, R_f: Any) -> Any:
    """Heat per area of Gamma lambda R_f (G g)^2 that the reaction's current leaves in a film."""
    return lam * R_f * (G * g) ** 2
