"""[microstructure.NAME]: what families of unit cells have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, model_validator

from dfx_homog.runfile.base import Table, wrong
from dfx_homog.runfile.types import Flag, Positive
from dfx_homog.runfile.types_cells import Conductivity, Discretisation, MeshSize, Order

CONDUCTIVITIES = ("sigma_s", "k_s", "k_e")


def tensor_of_other_size(spec: Any, dim: int) -> str:
    """The key of a conductivity tensor that is not dim x dim, "" if there is none."""
    sizes = {key: len(getattr(spec, key)) for key in CONDUCTIVITIES if isinstance(getattr(spec, key), tuple)}
    return next((key for key, size in sizes.items() if size != dim), "")


class Microstructure(Table):
    """Keys that every geometry has."""

    rho_cp_e: Positive | None = Field(default=None, description="heat capacity per volume of the electrolyte")

    @property
    def is_voxels(self) -> bool:
        """True where the cell problems are solved on voxels, not on a mesh."""
        return False

    @property
    def is_given(self) -> bool:
        """True where effective numbers are given instead of a unit cell."""
        return False

    @property
    def solid_inside(self) -> bool:
        """True where the solid touches no face of the unit cell, so that current cannot enter it."""
        return False


class OnMesh(Microstructure):
    """Keys of every geometry whose conductivities may be tensors."""

    k_e: Conductivity | None = Field(default=None, description="heat conductivity of the electrolyte")

    @model_validator(mode="after")
    def _sizes(self) -> OnMesh:
        dim = getattr(self, "dim", None)  # None: a file decides
        if dim is not None and (key := tensor_of_other_size(self, dim)):
            raise wrong(key, f"is not a {dim} x {dim} tensor, but the unit cell has {dim} dimensions")
        return self


class Meshed(OnMesh):
    """Keys of every geometry that is meshed."""

    mesh_size: MeshSize = Field(description="edge length of the triangles or tetrahedra")
    order: Order = Field(default=1, description="polynomial order of geometry and finite elements")


class SolidOnMesh(OnMesh):
    """Keys of every geometry with solid whose conductivities may be tensors."""

    sigma_s: Conductivity | None = Field(default=None, description="electronic conductivity of the solid")
    k_s: Conductivity | None = Field(default=None, description="heat conductivity of the solid")
    rho_cp_s: Positive | None = Field(default=None, description="heat capacity per volume of the solid")


class WithSolid(Meshed, SolidOnMesh):
    """Keys of every meshed geometry that contains solid."""


class OnVoxels(Microstructure):
    """Keys of every geometry made of voxels."""

    discretisation: Discretisation = Field(
        default="fv",
        description="finite volumes, which underestimate, trilinear finite elements, which overestimate, or both; for "
        "`cell` and `rve`",
    )
    order: Order = Field(
        default=1,
        description="polynomial order of the finite elements of the models, which divide every voxel",
    )
    correct_area: Flag = Field(
        default=False,
        description="true: G and with it G C of the electrode are multiplied by the corrected surface over the area of "
        "the voxels' faces; for the models",
    )
    k_e: Positive | None = Field(default=None, description="heat conductivity of the electrolyte")
    rho_cp_s: Positive | None = Field(default=None, description="heat capacity per volume of the solid")

    @property
    def is_voxels(self) -> bool:
        """Always."""
        return True


class Plane(WithSolid):
    """Keys of every geometry that exists in the plane only."""

    dim: ClassVar[int] = 2


class Space(WithSolid):
    """Keys of every geometry that exists in space only."""

    dim: ClassVar[int] = 3
