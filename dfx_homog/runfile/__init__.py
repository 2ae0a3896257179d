"""The run file: typed, checked models of what a user writes. Nothing else reads TOML.

load(path, overrides) -> Run      one line of BadInput for anything that is wrong
require(run, command)             what the command needs beyond that
run.to_toml()                     the complete input with defaults
"""

from dfx_homog.runfile.geometry import Geometry, MeshGeometry, VoxelGeometry
from dfx_homog.runfile.load import load
from dfx_homog.runfile.microstructure import Microstructure
from dfx_homog.runfile.models import ELECTRODES, REGIONS, Electrode, Parameters, Run
from dfx_homog.runfile.plane import Checkerboard, Disks, Electrolyte, Ellipse, Laminate, Wavy
from dfx_homog.runfile.require import COMMANDS, require, suited_to
from dfx_homog.runfile.solid3d import Ellipsoid, LevelSet, MeshFile, RandomSpheres, Spheres
from dfx_homog.runfile.studies import Rve
from dfx_homog.runfile.voxels import GaussianField, Image

__all__ = [
    "COMMANDS",
    "ELECTRODES",
    "REGIONS",
    "Checkerboard",
    "Disks",
    "Electrode",
    "Electrolyte",
    "Ellipse",
    "Ellipsoid",
    "GaussianField",
    "Geometry",
    "Image",
    "Laminate",
    "LevelSet",
    "MeshFile",
    "MeshGeometry",
    "Microstructure",
    "Parameters",
    "RandomSpheres",
    "Run",
    "Rve",
    "Spheres",
    "VoxelGeometry",
    "Wavy",
    "load",
    "require",
    "suited_to",
]
