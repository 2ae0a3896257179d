"""The five fields, as components of one blocked function, and the groups in which they are preconditioned."""

from __future__ import annotations

C_S, PHI_S, C_E, PHI_E, TEMP = range(5)
NAMES = ("c_s", "Phi_s", "c_e", "Phi_e", "T")
GROUPS: dict[str, tuple[int, ...]] = {"cs": (C_S,), "phi": (PHI_S, PHI_E), "ce": (C_E,), "T": (TEMP,)}


def quadrature_degrees(order: int) -> tuple[int, int]:
    """Degrees in volumes and on Gamma for order-k elements.

    2k integrates the mass matrix exactly on straight cells, 2k + 1 is what k + 1 Gauss points on a facet give. They
    are prescribed because UFL's estimate for exponentials is several times larger, at no gain; both models use them.
    """
    return 2 * order, 2 * order + 1
