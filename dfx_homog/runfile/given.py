"""[microstructure.NAME]: unit cells that are given by their effective numbers, with nothing to mesh or to solve."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from dfx_homog.parameters.sizes import lognormal
from dfx_homog.runfile.base import wrong
from dfx_homog.runfile.microstructure import Microstructure
from dfx_homog.runfile.types import Fraction, Positive, Share
from dfx_homog.runfile.types_cells import Conductivity, Fractions, OneOrMore, SizeCount

SIZES = 5  # of a lognormal distribution, if not given


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
    """Radially symmetric spheres in a medium of given effective numbers: the electrode of the DFN model.

    Of several sizes, every point of the electrode has one of each. They are given by lists, or as a lognormal
    distribution whose mean and standard deviation are those by volume (as laser diffraction reports them).
    """

    geometry: Literal["particle"]
    radius: OneOrMore | None = Field(
        default=None,
        description="radius of the spheres, or radii of several sizes, in the lengths of D_s and a; default: 1, in SI "
        "required, m",
    )
    fractions: Fractions | None = Field(
        default=None, description="with a list of radii, required: shares of the sizes in the solid's volume"
    )
    radius_mean: Positive | None = Field(
        default=None,
        description="in place of radius: mean, by volume, of a lognormal distribution of radii",
    )
    radius_std: Positive | None = Field(
        default=None, description="with radius_mean, required: standard deviation, by volume"
    )
    sizes: SizeCount | None = Field(
        default=None,
        description="with radius_mean: number of sizes, the points of Gauss-Hermite quadrature in ln(radius); "
        f"default: {SIZES}",
    )
    phi_e: Fraction = Field(description="share of the electrolyte")
    a: OneOrMore | None = Field(
        default=None,
        description="surface per volume, of all sizes together or a list; default: 3 (1 - phi_e) fraction/radius, all "
        "solid is spheres",
    )
    S: Conductivity = Field(description="electronic conductivity, a number or a tensor")

    @model_validator(mode="after")
    def _check_sizes(self) -> Particle:
        several = isinstance(self.radius, tuple)
        if self.radius_mean is not None and self.radius is not None:
            raise wrong("radius", "not with radius_mean (allowed: one of both)")
        for key, other in (
            ("radius_std", "radius_mean"),
            ("radius_mean", "radius_std"),
            ("sizes", "radius_mean"),
        ):
            if getattr(self, key) is not None and getattr(self, other) is None:
                raise wrong(other, f"required with {key} (allowed: a number > 0)")
        if several and self.fractions is None:
            raise wrong(
                "fractions", "required with a list of radii (allowed: a list of numbers > 0, of sum 1)"
            )
        if self.fractions is not None:
            if not several or len(self.fractions) != len(self.radii):
                raise wrong("fractions", f"has {len(self.fractions)} entries, radius {len(self.radii)}")
            if abs(sum(self.fractions) - 1.0) > 1e-9:
                raise wrong(
                    "fractions", f"sum up to {sum(self.fractions):.10g} (allowed: numbers > 0, of sum 1)"
                )
        if isinstance(self.a, tuple) and len(self.a) != len(self.radii):
            raise wrong("a", f"has {len(self.a)} entries for {len(self.radii)} sizes")
        return self

    @property
    def _distribution(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Radii, and shares of the sizes in the volume of the solid."""
        if self.radius_mean is not None and self.radius_std is not None:
            return lognormal(self.radius_mean, self.radius_std, self.sizes or SIZES)
        if isinstance(self.radius, tuple):
            return self.radius, self.fractions or ()
        return (1.0 if self.radius is None else self.radius,), (1.0,)

    @property
    def radii(self) -> tuple[float, ...]:
        """Radius of every size."""
        return self._distribution[0]

    @property
    def mean_radius(self) -> float:
        """By volume; in SI the length of the electrode."""
        return sum(f * r for r, f in zip(*self._distribution, strict=True))

    @property
    def surfaces(self) -> tuple[float, ...]:
        """a of every size, surface per volume of the electrode."""
        if isinstance(self.a, tuple):
            return self.a
        per_volume = [3.0 * f / r for r, f in zip(*self._distribution, strict=True)]
        volume = 1.0 - self.phi_e if self.a is None else self.a / sum(per_volume)
        return tuple(volume * each for each in per_volume)

    @property
    def surface(self) -> float:
        """a of all sizes."""
        return sum(self.surfaces)


class Effective(Given):
    """A medium without reaction, of given effective numbers: a separator."""

    geometry: Literal["effective"]
    phi_e: Share = Field(description="share of the electrolyte")
