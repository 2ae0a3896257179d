"""The run file: typed, checked models of what a user writes. Nothing else reads TOML.

load(path, overrides) -> Run      one line of BadInput for anything that is wrong
require(run, command)             what the command needs beyond that
run.to_toml()                     the complete input with defaults
"""

from dfx_homog.runfile.geometry import (
    Checkerboard,
    Disks,
    Electrolyte,
    Ellipse,
    Geometry,
    Laminate,
    Microstructure,
    Wavy,
)
from dfx_homog.runfile.load import load
from dfx_homog.runfile.models import ELECTRODES, REGIONS, Electrode, Parameters, Run
from dfx_homog.runfile.require import COMMANDS, LATER_COMMANDS, require, suited_to

__all__ = [
    "COMMANDS",
    "ELECTRODES",
    "LATER_COMMANDS",
    "REGIONS",
    "Checkerboard",
    "Disks",
    "Electrode",
    "Electrolyte",
    "Ellipse",
    "Geometry",
    "Laminate",
    "Microstructure",
    "Parameters",
    "Run",
    "Wavy",
    "load",
    "require",
    "suited_to",
]
