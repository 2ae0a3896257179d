"""[microstructure.NAME]: all families of unit cells by the name that `geometry` gives them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator

from dfx_homog.runfile.given import Effective, Particle
from dfx_homog.runfile.microstructure import Microstructure
from dfx_homog.runfile.plane import Checkerboard, Disks, Electrolyte, Ellipse, Laminate, Wavy
from dfx_homog.runfile.solid3d import Ellipsoid, LevelSet, MeshFile, RandomSpheres, Spheres
from dfx_homog.runfile.voxels import GaussianField, Image

FAMILIES: dict[str, type[Microstructure]] = {
    "electrolyte": Electrolyte,
    "laminate": Laminate,
    "checkerboard": Checkerboard,
    "disks": Disks,
    "ellipse": Ellipse,
    "wavy": Wavy,
    "spheres": Spheres,
    "ellipsoid": Ellipsoid,
    "level_set": LevelSet,
    "random_spheres": RandomSpheres,
    "mesh": MeshFile,
    "gaussian_field": GaussianField,
    "image": Image,
    "particle": Particle,
    "effective": Effective,
}

#: What has a mesh, unless it is a RandomSpheres with `voxels`.
MeshGeometry = (
    Electrolyte
    | Laminate
    | Checkerboard
    | Disks
    | Ellipse
    | Wavy
    | Spheres
    | Ellipsoid
    | LevelSet
    | RandomSpheres
    | MeshFile
)
#: What has voxels, unless it is a RandomSpheres without `voxels`.
VoxelGeometry = RandomSpheres | GaussianField | Image

Geometry = Annotated[MeshGeometry | GaussianField | Image | Particle | Effective, Discriminator("geometry")]
