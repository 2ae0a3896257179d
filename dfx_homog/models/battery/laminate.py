"""K_batt and theta_batt: the cell problem of layers in closed form (MODEL sections 4 and 7, [H] 4.6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfx_homog._compat import FloatArray


@dataclass(frozen=True)
class BatteryLayer:
    """One layer of the repeating unit, normal to direction 1; dimensionless.

    thickness: in lengths L, 1 for negative electrode, separator and positive electrode together
    K: (3, 3) heat conductivity; theta: heat capacity per volume
    """

    name: str
    thickness: float
    K: FloatArray
    theta: float


def lamination(shares: FloatArray, tensors: FloatArray) -> FloatArray:
    """(3, 3) effective tensor of layers normal to direction 1, exact for any tensors.

    shares: (n,) volume shares; tensors: (n, 3, 3) symmetric positive definite. The normal flux and the gradient along
    the layers are the same in all layers; with <.> the mean over the layers and t the directions along them

        K_11 = 1/<1/K_11>,  K_1t = <K_1t/K_11>/<1/K_11>,
        K_tt' = <K_tt' - K_t1 K_1t'/K_11> + <K_t1/K_11><K_1t'/K_11>/<1/K_11>:

    harmonic mean across and arithmetic mean along isotropic layers ([H] 4.6).
    """
    normal = tensors[:, 0, 0]
    ratio = tensors[:, 0, :] / normal[:, None]  # K_1j/K_11
    resistance = shares @ (1 / normal)
    slope = shares @ ratio
    out = np.einsum("n,nij->ij", shares, tensors - normal[:, None, None] * ratio[:, :, None] * ratio[:, None])
    out += np.outer(slope, slope) / resistance
    symmetric: FloatArray = 0.5 * (out + out.T)
    return symmetric


def corrector_slopes(tensors: FloatArray, effective: FloatArray) -> FloatArray:
    """(n, 3) slope d W_j/d y_1 of the correctors in each layer: continuous normal flux for the mean gradient e_j."""
    slopes: FloatArray = (effective[0] - tensors[:, 0, :]) / tensors[:, 0, :1]
    return slopes


@dataclass(frozen=True)
class Stack:
    """The repeating unit of the battery as layers from the negative collector on."""

    layers: tuple[BatteryLayer, ...]

    @property
    def thickness(self) -> float:
        """Of the repeating unit, in lengths L: 1 and the extra layers."""
        return sum(layer.thickness for layer in self.layers)

    @property
    def shares(self) -> FloatArray:
        """(n,) volume shares of the layers."""
        return np.array([layer.thickness for layer in self.layers]) / self.thickness

    @property
    def tensors(self) -> FloatArray:
        """(n, 3, 3) conductivities of the layers."""
        return np.array([layer.K for layer in self.layers])

    @property
    def K(self) -> FloatArray:
        """K_batt, (3, 3)."""
        return lamination(self.shares, self.tensors)

    @property
    def theta(self) -> float:
        """theta_batt, the mean of theta."""
        return float(self.shares @ [layer.theta for layer in self.layers])


def tensor3(value: object, along: float | None = None) -> FloatArray:
    """A conductivity as a (3, 3) tensor: a number, a (3, 3) tensor, or that of a cell in the plane of y1 and y2.

    along: conductivity in the third direction, in which a plane cell does not vary; None: as in the second
    """
    given = np.asarray(value, dtype=float)
    if given.ndim == 0:
        return float(given) * np.eye(3)
    if given.shape == (3, 3):
        return given
    out = np.zeros((3, 3))
    out[:2, :2] = given
    out[2, 2] = given[1, 1] if along is None else along
    return out
