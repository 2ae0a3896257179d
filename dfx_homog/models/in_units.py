"""Results of models, which know no units, in those of the run file."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dfx_homog._compat import FloatArray
from dfx_homog.models import history, interface_statistics, losses
from dfx_homog.models.battery import columns as battery
from dfx_homog.models.excess import StripResistances
from dfx_homog.models.history import Row
from dfx_homog.parameters.units import Units

Json = dict[str, Any]
#: Kind of each column of the history.
COLUMN_KINDS = {**history.KINDS, **interface_statistics.KINDS, **losses.KINDS, **battery.KINDS}
#: Kinds of the fields and of those on Gamma; that of the reaction's rate depends on the electrode.
FIELD_KINDS = {
    **dict.fromkeys(("c_s", "c_e"), "concentration"),
    **dict.fromkeys(("Phi_s", "Phi_e", "eta", "jump"), "voltage"),
    "T": "temperature",
    **battery.FIELD_KINDS,
}
#: Kinds of what `TransientModel.means` gives.
MEAN_KINDS = {
    "voltage": "voltage",
    "T_mean": "temperature",
    **{f"c_e_{name}": "concentration" for name in ("negative", "separator", "positive")},
    **{f"Phi_e_{name}": "voltage" for name in ("negative", "positive")},
}
TENSOR_KINDS = {"S": "electronic", "B": "number", "K": "thermal"}


def row(units: Units, found: Row) -> Row:
    """A row of the history."""
    if not units.in_si:
        return found
    return {name: units.value(COLUMN_KINDS[name], value) for name, value in found.items()}


def means(units: Units, found: Row) -> Row:
    """What is extrapolated to delta = 0."""
    return {name: units.value(MEAN_KINDS[name], value) for name, value in found.items()}


def column(
    units: Units, name: str, values: FloatArray, negative: npt.NDArray[np.bool_] | None = None
) -> FloatArray:
    """Values of a field, or of one on Gamma, whose rate needs to know where the negative electrode is."""
    if name != "rate":
        return np.asarray(units.value(FIELD_KINDS[name], values))
    assert negative is not None
    rates: FloatArray = values * np.where(negative, units.factor("reaction_n"), units.factor("reaction_p"))
    return rates


def geometry(units: Units, found: Json) -> Json:
    """Entry "geometry" of result.json: surfaces per volume of the electrodes in 1/m.

    A separator has no length of its own; its surface stays per unit-cell length.
    """
    if not units.in_si:
        return found
    kinds = {"negative": "surface_n", "positive": "surface_p"}
    return {
        name: {
            key: units.value(kinds[name], value)
            if name in kinds and key in ("a", "a_total", "a_faceted", "a_corrected")
            else value
            for key, value in entry.items()
        }
        for name, entry in found.items()
    }


def walls(units: Units, strips: StripResistances) -> Json:
    """Entry "walls" of result.json: excess resistances in lengths of the unit cell, over the unit of k or sigma_s."""
    found = strips.to_json()
    for name, kind in (("r_T", "thermal"), ("r_c", "thermal"), ("r_s", "electronic")):
        found[name] = [r / units.factor(kind) for r in found[name]]
    return found


def _scaled(entry: Any, factor: float) -> Any:
    """Every number of nested lists and tables."""
    if isinstance(entry, dict):
        return {key: _scaled(value, factor) for key, value in entry.items()}
    if isinstance(entry, list):
        return [_scaled(value, factor) for value in entry]
    return None if entry is None else factor * entry


def medium(units: Units, entry: Json, region: str) -> Json:
    """Entry of a microstructure in result.json, as `Medium.to_json` gives it."""
    if not units.in_si:
        return entry
    out = dict(entry)
    for name, kind in TENSOR_KINDS.items():
        factor = units.factor(kind)
        out[name] = _scaled(entry[name], factor)
        for table in ("bounds", "hill_mandel"):
            if name in entry[table]:
                out[table] = {**out[table], name: _scaled(entry[table][name], factor)}
    out["theta"] = _scaled(entry["theta"], units.factor("capacity"))
    if region in ("negative", "positive"):
        surface = units.factor(f"surface_{region[0]}")
        out |= {key: _scaled(entry[key], surface) for key in ("a", "a_total")}
    return out
