"""Unit-cell meshes: families, periodic pairing, phases, connected components."""

from dfx_homog.microstructure.build import build_unit_cell, face_breaks
from dfx_homog.microstructure.components import Component, connected_components, shared_nodes
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, UnitCell

__all__ = [
    "ELECTROLYTE",
    "SOLID",
    "Component",
    "UnitCell",
    "build_unit_cell",
    "connected_components",
    "face_breaks",
    "shared_nodes",
]
