"""What a parameter set is, named or read from a BPX file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dfx_homog.parameters.sets.electrolyte import Electrolyte

Tables = Mapping[str, Any]


@dataclass(frozen=True)
class ParameterSet:
    """Values of a battery cell as nested tables of a run file with units = "SI".

    microstructure: a table for each region; thickness: of the regions, m; parameters: [parameters] without the
    electrolyte's, which `tables` derives; v_min, v_max: voltage limits, V; capacity: nominal, A h/m2; area: of one
    pair of electrodes, m2; thermal: whether the source says K and theta; notes: more for the log; document: the BPX
    file
    """

    microstructure: Tables
    thickness: tuple[float, float, float]
    parameters: Tables
    electrolyte: Electrolyte
    v_min: float
    v_max: float
    capacity: float
    area: float
    thermal: bool = True
    notes: tuple[str, ...] = ()
    document: Mapping[str, Any] | None = None

    @property
    def tables(self) -> dict[str, Any]:
        """microstructure, cell and parameters of a run file."""
        e = self.electrolyte
        own = {"units": "SI", "T0": e.T0, "D_L": e.D_L, "D_A": e.D_A, "c_e0": e.c_e0}
        return {
            "microstructure": {name: dict(table) for name, table in self.microstructure.items()},
            "cell": {"thickness": list(self.thickness)},
            "parameters": {
                **own,
                **{key: dict(v) if isinstance(v, Mapping) else v for key, v in self.parameters.items()},
            },
        }
