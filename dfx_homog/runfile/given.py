"""[microstructure.NAME]: unit cells that are given by their effective numbers, with nothing to mesh or to solve."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from dfx_homog.runfile.microstructure import Microstructure
from dfx_homog.runfile.types import Fraction, Positive, Share
from dfx_homog.runfile.types_cells import Conductivity


class Given(Microstructure):
    """Keys of every geometry that is given by its effective numbers."""

    # nothing is computed from the phases' own coefficients, hence no such keys
    dim: ClassVar[None] = None
    sigma_s: ClassVar[None] = None
    k_s: ClassVar[None] = None
    k_e: ClassVar[None] = None
    rho_cp_s: ClassVar[None] = None
    rho_cp_e: ClassVar[None] = None  # type: ignore[misc]

    B: Conductivity = Field(description="geometry tensor of the electrolyte, a number or a tensor")
    K: Conductivity = Field(description="heat conductivity of both phases together, a number or a tensor")
    theta: Positive = Field(description="heat capacity per volume of both phases together")

    @property
    def is_given(self) -> bool:
        """Always."""
        return True


class Particle(Given):
    """Radially symmetric spheres in a medium of given effective numbers: the electrode of the DFN model."""

    geometry: Literal["particle"]
    radius: Positive = Field(
        default=1.0, description="radius of the spheres, in the lengths of D_s and a; in SI required, in m"
    )
    phi_e: Fraction = Field(description="share of the electrolyte")
    a: Positive | None = Field(
        default=None, description="surface per volume; default: 3 (1 - phi_e)/radius, all solid is spheres"
    )
    S: Conductivity = Field(description="electronic conductivity, a number or a tensor")

    @property
    def surface(self) -> float:
        """a, surface per volume."""
        return 3.0 * (1.0 - self.phi_e) / self.radius if self.a is None else self.a


class Effective(Given):
    """A medium without reaction, of given effective numbers: a separator."""

    geometry: Literal["effective"]
    phi_e: Share = Field(description="share of the electrolyte")
