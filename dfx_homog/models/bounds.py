"""Bounds of effective conductivities from the shares of the phases (Torquato, Random Heterogeneous Materials, 2002)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

ONE_PHASE = 1e-12  # a phase with a smaller share is rounding of none


def bounds(k1: float, k2: float, f1: float, dim: int) -> dict[str, float]:
    """Voigt, Reuss and Hashin-Shtrikman bounds of a two-phase medium of fractions f1, 1 - f1."""
    return {name: float(v) for name, v in phase_bounds([k1, k2], [f1, 1 - f1], dim).items()}  # type: ignore[arg-type]


def phase_bounds(
    conductivities: Sequence[Any], fractions: Sequence[float], dim: int
) -> dict[str, float | None]:
    """Bounds of a medium of n phases.

    conductivities: number or symmetric (d, d) tensor of each phase, >= 0; fractions: shares, sum 1
    voigt, reuss: the arithmetic and the harmonic mean; for tensors the largest and the smallest of their eigenvalues.
        Every eigenvalue of A_eff lies between.
    hs_lower, hs_upper: Hashin-Shtrikman, for media that are isotropic as a whole,
        (sum_i f_i/(k_i + (d - 1) k*))^-1 - (d - 1) k* with k* the smallest, largest k_i; None for tensors.
    """
    pairs = [(k, f) for k, f in zip(conductivities, fractions, strict=True) if f >= ONE_PHASE]
    if any(np.ndim(k) == 2 for k, _ in pairs):
        tensors = [np.asarray(k, dtype=float) * (1.0 if np.ndim(k) else np.eye(dim)) for k, _ in pairs]
        voigt = np.linalg.eigvalsh(sum(f * k for k, (_, f) in zip(tensors, pairs, strict=True)))[-1]
        smallest = min(np.linalg.eigvalsh(k)[0] for k in tensors)
        reuss = 0.0
        if smallest > 0:
            mean = sum(f * np.linalg.inv(k) for k, (_, f) in zip(tensors, pairs, strict=True))
            reuss = 1 / np.linalg.eigvalsh(mean)[-1]
        return {"voigt": float(voigt), "reuss": float(reuss), "hs_lower": None, "hs_upper": None}
    k = np.array([float(value) for value, _ in pairs])
    f = np.array([share for _, share in pairs])

    def shifted(reference: float) -> float:
        k0 = (dim - 1) * reference
        return 0.0 if (k + k0).min() == 0 else float(1 / np.sum(f / (k + k0)) - k0)

    voigt = float(f @ k)
    if k.min() == k.max():
        return {"voigt": voigt, "reuss": voigt, "hs_lower": voigt, "hs_upper": voigt}
    return {
        "voigt": voigt,
        "reuss": shifted(0.0),
        "hs_lower": shifted(float(k.min())),
        "hs_upper": shifted(float(k.max())),
    }
