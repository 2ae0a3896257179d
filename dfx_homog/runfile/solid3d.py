"""[microstructure.NAME]: families in space, and meshes from files.

Whether a good mesh exists is checked by microstructure/, not here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from dfx_homog.parameters.expression import Expression
from dfx_homog.runfile.base import wrong
from dfx_homog.runfile.microstructure import SolidOnMesh, Space
from dfx_homog.runfile.plane import check_list_or_lattice
from dfx_homog.runfile.types import Fraction, NotNegative, Number, Positive
from dfx_homog.runfile.types_cells import (
    Angles,
    CellsInRadii,
    CubicLattice,
    Discretisation,
    Edge,
    MeshFileName,
    MeshSize,
    Order,
    Overlap,
    Points3,
    PositionFormula,
    Radii,
    Seed,
    SemiAxes3,
)

#: Centres of one unit cell of the cubic lattices, in unit-cell lengths.
LATTICES: dict[str, tuple[tuple[float, float, float], ...]] = {
    "sc": ((0.5, 0.5, 0.5),),
    "bcc": ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5)),
    "fcc": ((0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0)),
}
#: Points along each direction at which a level set is looked at, and how much it may differ between opposite
#: faces, relative to its range.
SAMPLES = 41
PERIODIC = 1e-9


class Spheres(Space):
    """Solid balls and their periodic copies; they may overlap each other and the cell's faces."""

    geometry: Literal["spheres"]
    radius: Positive | None = Field(default=None, description="radius of all balls of the lattice")
    lattice: CubicLattice | None = Field(
        default=None,
        description='with `radius`, default "sc": one ball at the centre; "bcc" and "fcc" begin at the origin',
    )
    centres: Points3 | None = Field(default=None, description="instead of `radius`: centres of balls")
    radii: Radii | None = Field(default=None, description="with `centres`: their radii")

    @model_validator(mode="after")
    def _check(self) -> Spheres:
        check_list_or_lattice(self.radius, self.lattice, self.centres, self.radii)
        return self

    def spheres(self) -> Iterator[tuple[float, float, float, float]]:
        """(z1, z2, z3, radius) of every ball in the cell, without its periodic copies."""
        if self.radius is not None:
            for x, y, z in LATTICES[self.lattice or "sc"]:
                yield x, y, z, self.radius
        else:
            for (x, y, z), r in zip(self.centres or (), self.radii or (), strict=True):
                yield x, y, z, r

    @property
    def solid_inside(self) -> bool:
        """True where no ball crosses a face."""
        return all(r < min(*centre, *(1 - c for c in centre)) for *centre, r in self.spheres())


class Ellipsoid(Space):
    """One solid ellipsoid at the cell's centre."""

    geometry: Literal["ellipsoid"]
    semi_axes: SemiAxes3 = Field(description="half the length along the ellipsoid's own three axes")
    angle: Angles = Field(
        default=(0.0, 0.0, 0.0),
        description="degrees by which it is turned about z1, then z2, then z3, all through the centre",
    )

    def rotation(self) -> NDArray[np.float64]:
        """R = R3 R2 R1, (3, 3), with R_i the right-handed rotation about direction i; own axis j points along R e_j."""
        turn = np.eye(3)
        for axis, angle in enumerate(np.radians(self.angle)):
            i, j = (axis + 1) % 3, (axis + 2) % 3
            one = np.eye(3)
            one[[i, j], [i, j]] = np.cos(angle)
            one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
            turn = one @ turn
        return turn

    @model_validator(mode="after")
    def _check(self) -> Ellipsoid:
        # half width along direction i: the norm of row i of R diag(semi_axes)
        reach = float(np.linalg.norm(self.rotation() * self.semi_axes, axis=1).max())
        if reach >= 0.5:
            raise wrong(
                "semi_axes",
                f"the ellipsoid reaches {reach:.4g} from the centre, less than 0.5 fits in the unit cell",
            )
        return self

    @property
    def solid_inside(self) -> bool:
        """Always: the ellipsoid fits in the cell."""
        return True


class LevelSet(Space):
    """Solid where expression < threshold; the expression has period 1 in x = z1, y = z2 and z = z3."""

    geometry: Literal["level_set"]
    expression: PositionFormula = Field(
        description="for example `cos(2*pi*x) + cos(2*pi*y) + cos(2*pi*z)`, Schwarz P"
    )
    threshold: Number = Field(default=0.0, description="value on the interface")

    def function(self) -> Expression:
        """expression - threshold: below 0 in the solid."""
        return Expression.of_position(self.expression) - self.threshold

    @model_validator(mode="after")
    def _check(self) -> LevelSet:
        function = self.function()
        if not any(function.depends_on(name) for name in ("x", "y", "z")):
            raise wrong("expression", "depends on none of x, y, z")
        line = np.linspace(0.0, 1.0, SAMPLES)
        x, y, z = np.meshgrid(line, line, line, indexing="ij", sparse=True)
        with np.errstate(all="ignore"):
            values = np.broadcast_to(function.numpy(x=x, y=y, z=z), (SAMPLES,) * 3)
        if not np.isfinite(values).all():
            raise wrong("expression", "has no finite value at some points of the unit cell")
        span = float(np.ptp(values))
        for axis, name in enumerate("xyz"):
            jump = float(np.abs(values.take(0, axis) - values.take(-1, axis)).max())
            if jump > PERIODIC * span:
                raise wrong(
                    "expression",
                    f"is not periodic: it differs by {jump:.3g} between {name} = 0 and {name} = 1",
                )
        if not values.min() < 0.0 < values.max():
            phase = "electrolyte" if values.min() >= 0.0 else "solid"
            low, high = values.min() + self.threshold, values.max() + self.threshold
            raise wrong(
                "threshold",
                f"all is {phase}: the expression runs from {low:.6g} to {high:.6g} in the unit cell",
            )
        return self


class RandomSpheres(Space):
    """Random packing of balls: an image with `voxels`, else a mesh, which joins balls nearer than `mesh_size`."""

    geometry: Literal["random_spheres"]
    # None is hidden from the type checker: only an image has none, and its readers do not ask
    mesh_size: MeshSize = Field(
        default=None,  # type: ignore[assignment]
        description="edge length of the tetrahedra; required without `voxels`",
    )
    porosity: Fraction = Field(description="share of the electrolyte")
    radius_mean: Positive = Field(description="mean radius, in any unit of length")
    radius_std: NotNegative = Field(
        default=0.0, description="standard deviation of the radii, in the unit of `radius_mean`"
    )
    cells: CellsInRadii = Field(description="edge of the cube, in mean radii")
    overlap: Overlap = Field(
        default=0.0,
        description="how deep two balls may go into each other, as a share of the sum of their radii",
    )
    seed: Seed = Field(default=0, description="of the random numbers; the same seed gives the same packing")
    voxels: Edge | None = Field(default=None, description="along each edge of the cube: no mesh but an image")
    discretisation: Discretisation = Field(
        default="fv", description='with `voxels`: "fv", "q1" or "both", as for `image`'
    )

    @model_validator(mode="after")
    def _check(self) -> RandomSpheres:
        if self.voxels is None and self.mesh_size is None:
            raise wrong("mesh_size", "required without voxels (allowed: a number > 0 and <= 0.5)")
        if self.voxels is None and "discretisation" in self.model_fields_set and self.discretisation != "fv":
            raise wrong("discretisation", "is for voxels; give voxels too, or leave it out")
        if self.voxels is not None:
            for key in ("mesh_size", "order"):
                if (
                    key in self.model_fields_set
                    and getattr(self, key) != type(self).model_fields[key].default
                ):
                    raise wrong(key, "is for a mesh; with voxels, leave it out")
            for key in ("sigma_s", "k_s", "k_e"):
                if isinstance(getattr(self, key), tuple):
                    raise wrong(key, "must be a number > 0, voxels take no tensors")
        return self

    @property
    def is_voxels(self) -> bool:
        """Whether it is an image."""
        return self.voxels is not None


class MeshFile(SolidOnMesh):
    """A periodic mesh of the unit square or cube, with the physical groups `solid` and `electrolyte`."""

    geometry: Literal["mesh"]
    file: MeshFileName = Field(
        description="by gmsh; relative to the run file's folder, else to the working directory"
    )
    order: Order = Field(default=1, description="polynomial order of the file's elements")
    #: The file decides on both; 0 is no mesh size that could be asked for.
    dim: ClassVar[None] = None
    mesh_size: ClassVar[float] = 0.0
