"""[microstructure.NAME]: families in the plane, and those of any dimension.

Whether a good mesh exists (narrow passages, tangent curves) is checked by microstructure/, not here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from dfx_homog.runfile.base import wrong
from dfx_homog.runfile.microstructure import Meshed, Plane, WithSolid
from dfx_homog.runfile.types import Fraction, Number, Positive
from dfx_homog.runfile.types_cells import Dimension, Lattice, Normal, PlaneOnly, Points, Radii, SemiAxes

EITHER = "give either radius (with lattice) or the lists centres and radii"


def check_list_or_lattice(radius: object, lattice: object, centres: object, radii: object) -> None:
    """Raises the error for inclusions that are neither one radius with its lattice nor two lists alike."""
    if (radius is None) == (centres is None):
        raise wrong("radius", EITHER)
    if radius is not None and radii is not None:
        raise wrong("radii", EITHER)
    if centres is not None and lattice is not None:
        raise wrong("lattice", EITHER)
    given = [len(values) if isinstance(values, tuple) else 0 for values in (radii, centres)]
    if given[0] != given[1]:
        raise wrong("radii", f"{given[0]} radii for {given[1]} centres, must be equally many")


class Electrolyte(Meshed):
    """No solid at all: a separator."""

    geometry: Literal["electrolyte"]
    dim: Dimension = Field(default=2, description="space dimensions")
    # no solid, hence no such keys; readers of materials need not ask for the family first
    sigma_s: ClassVar[None] = None
    k_s: ClassVar[None] = None
    rho_cp_s: ClassVar[None] = None


class Laminate(WithSolid):
    """Layers: solid where frac(n.z) < solid_fraction."""

    geometry: Literal["laminate"]
    dim: Dimension = Field(default=2, description="space dimensions")
    solid_fraction: Fraction = Field(description="share of the solid")
    normal: Normal = Field(description="normal n of the layers; [1, 0] are layers across z1")

    @model_validator(mode="after")
    def _check(self) -> Laminate:
        if len(self.normal) != self.dim:
            raise wrong("normal", f"has {len(self.normal)} entries, must have dim = {self.dim}")
        return self


class Checkerboard(WithSolid):
    """Solid squares [0, 1/2]^2 and [1/2, 1]^2."""

    geometry: Literal["checkerboard"]
    dim: PlaneOnly = Field(default=2, description="space dimensions")


class Disks(Plane):
    """Solid disks and their periodic copies: one centred disk of the square lattice, or a list."""

    geometry: Literal["disks"]
    radius: Positive | None = Field(default=None, description="radius of the disk at the cell's centre")
    lattice: Lattice | None = Field(
        default=None, description="with `radius`; a hexagonal lattice does not repeat in a unit square"
    )
    centres: Points | None = Field(default=None, description="instead of `radius`: centres of disks")
    radii: Radii | None = Field(default=None, description="with `centres`: their radii")

    @model_validator(mode="after")
    def _check(self) -> Disks:
        check_list_or_lattice(self.radius, self.lattice, self.centres, self.radii)
        return self

    def disks(self) -> Iterator[tuple[float, float, float]]:
        """(z1, z2, radius) of every disk in the cell, without its periodic copies."""
        if self.radius is not None:
            yield 0.5, 0.5, self.radius
        else:
            for (x, y), r in zip(self.centres or (), self.radii or (), strict=True):
                yield x, y, r

    @property
    def solid_inside(self) -> bool:
        """True where no disk crosses a face."""
        return all(r < min(x, 1 - x, y, 1 - y) for x, y, r in self.disks())


class Ellipse(Plane):
    """One solid ellipse at the cell's centre."""

    geometry: Literal["ellipse"]
    semi_axes: SemiAxes = Field(description="half the length along the ellipse's own two axes")
    angle: Number = Field(
        default=0.0, description="degrees by which the first axis is turned from z1 towards z2"
    )

    @model_validator(mode="after")
    def _check(self) -> Ellipse:
        (a, b), turn = self.semi_axes, math.radians(self.angle)
        reach = max(
            math.hypot(a * math.cos(turn), b * math.sin(turn)),
            math.hypot(a * math.sin(turn), b * math.cos(turn)),
        )
        if reach >= 0.5:
            raise wrong(
                "semi_axes",
                f"the ellipse reaches {reach:.4g} from the centre, less than 0.5 fits in the unit cell",
            )
        return self

    @property
    def solid_inside(self) -> bool:
        """Always: the ellipse fits in the cell."""
        return True


class Wavy(Plane):
    """A strip percolating in z1: solid where |z2 - 1/2| < w(z1) = w0 + w1 cos(2 pi z1) + w2 sin(4 pi z1)."""

    geometry: Literal["wavy"]
    w0: Number = Field(description="mean half width of the strip")
    w1: Number = Field(default=0.0, description="amplitude of the symmetric wave")
    w2: Number = Field(default=0.0, description="amplitude of the antisymmetric wave")

    @model_validator(mode="after")
    def _check(self) -> Wavy:
        z1 = np.linspace(0.0, 1.0, 4001)
        w = self.w0 + self.w1 * np.cos(2 * np.pi * z1) + self.w2 * np.sin(4 * np.pi * z1)
        if not (w.min() > 0.0 and w.max() < 0.5):
            raise wrong(
                "w0",
                f"the half width w(z1) runs from {w.min():.4g} to {w.max():.4g}, must stay between 0 and 0.5",
            )
        return self
