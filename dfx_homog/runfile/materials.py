"""What the parameters in SI and the dimensionless ones have in common: laws of temperature, checks of curves."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from dfx_homog.parameters.expression import Expression
from dfx_homog.runfile.base import Table, wrong
from dfx_homog.runfile.types import NotNegative


class Activation(Table):
    """[parameters.activation]: Arrhenius energies E/(R T0); P = P_ref exp(E gamma T/(1 + gamma T))."""

    D_s_n: NotNegative = Field(default=0.0, description="of D_s, negative electrode")
    D_s_p: NotNegative = Field(default=0.0, description="of D_s, positive electrode")
    G_n: NotNegative = Field(default=0.0, description="of G, in SI of K, negative electrode")
    G_p: NotNegative = Field(default=0.0, description="of G, in SI of K, positive electrode")
    D_L: NotNegative = Field(default=0.0, description="of D_L")
    D_A: NotNegative = Field(default=0.0, description="of D_A")
    sigma_n: NotNegative = Field(default=0.0, description="of sigma_s, negative electrode")
    sigma_p: NotNegative = Field(default=0.0, description="of sigma_s, positive electrode")


def check_curves(name: str, electrode: Any, T: float) -> None:
    """ocp finite, D_s positive on a grid of c with the initial state, at the initial temperature T; ocp has d/dT."""
    c = np.append(np.linspace(0.0, 1.0, 202)[1:-1], electrode.c_s0 / electrode.c_max)
    with np.errstate(all="ignore"):
        for key, good, allowed in (
            ("ocp", np.isfinite, "finite values for 0 < c < 1"),
            ("dUdT", np.isfinite, "finite values for 0 < c < 1"),
            ("D_s", lambda v: np.isfinite(v) & (v > 0.0), "finite values > 0 for 0 < c < 1"),
        ):
            value = getattr(electrode, key, None)
            if value is None or isinstance(value, tuple):
                continue  # a tensor is positive definite by its type
            values = Expression.parse(value).numpy(c=c, T=np.full_like(c, T))
            if not good(values).all():
                at = int(np.argmin(good(values)))
                reason = f"is {values[at]:g} at c = {c[at]:g}, T = {T:g} (allowed: {allowed})"
                raise wrong(f"{name}.{key}", reason)
    try:
        Expression.parse(electrode.ocp).diff("T")
    except ValueError as error:
        raise wrong(f"{name}.ocp", f"its derivative in T cannot be formed: {error}") from error
