"""Unit-cell meshes: families, periodic pairing, phases, connected components."""

from dfx_homog.microstructure.components import Component, connected_components, shared_nodes
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, UnitCell

__all__ = [
    "ELECTROLYTE",
    "SOLID",
    "Component",
    "UnitCell",
    "connected_components",
    "shared_nodes",
]
