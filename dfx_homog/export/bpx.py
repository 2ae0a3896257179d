"""A cell as a BPX file (Battery Parameter eXchange, version 1).

On top of a BPX file everything stays as it is there that the run file and its microstructures do not change. Of
what the format has no word for, the double layer and the heat conduction of the regions are left out; beta other than
1/2 is refused.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

from dfx_homog.export.values import CellValues, PorousElectrode
from dfx_homog.parameters.expression import Expression, variable
from dfx_homog.parameters.sets.base import ParameterSet

Json = dict[str, Any]
VERSION = "1.1.0"
#: Functions that readers of BPX files know; other formulas become tables.
KNOWN = ("exp", "tanh", "cosh")
POINTS = 401  # of such a table


def bpx_document(values: CellValues, given: ParameterSet | None) -> Json:
    """The file's contents; given: the set or BPX file under the run file. Raises ValueError for beta other than 1/2."""
    for name in ("negative", "positive"):
        if getattr(values, name).beta != 0.5:
            raise ValueError(f"BPX has no transfer coefficient: parameters.{name}.beta must be 0.5")
    base = {} if given is None or given.document is None else copy.deepcopy(dict(given.document))
    cell, (n, p) = base.get("Parameterisation", {}), values.windows
    separator = values.separator
    parameterisation = {
        **cell,
        "Cell": cell.get("Cell") or _cell(values),
        "Electrolyte": cell.get("Electrolyte", {}) | _electrolyte(values, given),
        "Negative electrode": cell.get("Negative electrode", {}) | _electrode(values, "negative", n, given),
        "Positive electrode": cell.get("Positive electrode", {}) | _electrode(values, "positive", p, given),
        "Separator": {
            "Thickness [m]": separator.thickness,
            "Porosity": separator.phi_e,
            "Transport efficiency": separator.B,
        },
    }
    computed = [name for name in ("negative", "separator", "positive") if getattr(values, name).computed]
    header = {
        "BPX": VERSION,
        "Title": f"{values.origin} with computed microstructures",
        "Model": "DFN",
        **base.get("Header", {}),
        "Description": f"Parameters of {values.origin}; effective transport of computed microstructures: "
        f"{', '.join(computed)}. Spheres have the volume and the surface of the solid.",
    }
    return {
        "Header": header,
        "Parameterisation": parameterisation,
        "State": _state(values, n, base.get("State", {})),
    }


def _cell(values: CellValues) -> Json:
    total = sum(region.thickness for region in values.regions)
    found = {
        "Electrode area [m2]": values.area,
        "External surface area [m2]": 2.0 * values.area,
        "Volume [m3]": values.area * total,
        "Number of electrode pairs connected in parallel to make a cell": 1,
        "Lower voltage cut-off [V]": values.v_min,
        "Upper voltage cut-off [V]": values.v_max,
        "Nominal cell capacity [A.h]": (values.capacity or values.implied_capacity) * values.area,
        "Reference temperature [K]": values.electrolyte.T0,
    }
    capacities = [region.theta for region in values.regions]
    if None not in capacities:
        mean = sum(c * r.thickness for c, r in zip(capacities, values.regions, strict=True) if c) / total
        # only their product is known
        found |= {"Specific heat capacity [J.K-1.kg-1]": 1000.0, "Density [kg.m-3]": mean / 1000.0}
    return found


def _electrolyte(values: CellValues, given: ParameterSet | None) -> Json:
    """The source's own, which may depend on c_e, unless the run file has others."""
    e = values.electrolyte
    found: Json = {"Cation transference number": e.t_plus}
    if given is None or given.document is None or e is not given.electrolyte:
        found |= {
            "Diffusivity [m2.s-1]": _curve(Expression.parse(e.diffusivity, ("x",)), 3.0 * e.c_e0),
            "Conductivity [S.m-1]": _curve(Expression.parse(e.conductivity, ("x",)), 3.0 * e.c_e0),
        }
    return found | ({"Diffusivity activation energy [J.mol-1]": values.E_D_L} if values.E_D_L else {})


def _electrode(
    values: CellValues, name: str, window: tuple[float, float], given: ParameterSet | None
) -> Json:
    e: PorousElectrode = getattr(values, name)
    found: Json = {
        "Thickness [m]": e.thickness,
        "Porosity": e.phi_e,
        "Transport efficiency": e.B,
        "Conductivity [S.m-1]": e.S,
        "Minimum stoichiometry": window[0],
        "Maximum stoichiometry": window[1],
        "Maximum concentration [mol.m-3]": e.c_max,
        "Particle radius [m]": e.radius,
        "Surface area per unit volume [m-1]": e.a,
        "Reaction rate constant [mol.m-2.s-1]": e.rate * math.sqrt(e.c_max * values.electrolyte.c_e0),
    }
    curves = {"OCP [V]": e.ocp, "Diffusivity [m2.s-1]": e.D_s, "Entropic change coefficient [V.K-1]": e.dUdT}
    own = {} if given is None or given.document is None else given.document["Parameterisation"]
    for key, curve in curves.items():
        if own.get(f"{name.title()} electrode", {}).get(key) is not None and _unchanged(
            curve, name, key, given
        ):
            continue
        found[key] = _curve(curve.substitute("c", variable("x")), 1.0)
    energies = {"Diffusivity": e.E_D, "Reaction rate constant": e.E_G}
    there = own.get(f"{name.title()} electrode", {})
    for key, energy in energies.items():
        entry = f"{key} activation energy [J.mol-1]"
        if energy or there.get(entry):
            found[entry] = energy
    return found


def _unchanged(curve: Expression, name: str, key: str, given: ParameterSet | None) -> bool:
    """Whether a curve is that of the BPX file, which then keeps its own form of it."""
    assert given is not None
    names = {"OCP [V]": "ocp", "Diffusivity [m2.s-1]": "D_s", "Entropic change coefficient [V.K-1]": "dUdT"}
    return curve == Expression.parse(given.parameters[name].get(names[key], 0.0))


def _curve(formula: Expression, end: float) -> float | str | Json:
    """A number, a formula in x that every reader of BPX understands, or a table from 0 to `end`."""
    if formula.op == "const":
        return formula.value
    if _is_known(formula):
        return str(formula)
    x = np.linspace(0.0, end, POINTS)
    with np.errstate(all="ignore"):
        y = formula.numpy(x=x)
    good = np.isfinite(y)
    return {"x": x[good].tolist(), "y": y[good].tolist()}


def _is_known(formula: Expression) -> bool:
    known = formula.op in ("const", "var", "+", "-", "*", "/", "**", "neg", *KNOWN)
    return known and all(_is_known(argument) for argument in formula.args)


def _state(values: CellValues, window: tuple[float, float], base: Json) -> Json:
    e = values.negative
    soc = (e.c_s0 / e.c_max - window[0]) / (window[1] - window[0])
    return base | {
        "Initial conditions": {
            "Initial state-of-charge": soc,
            "Initial temperature [K]": values.T_initial,
            "Initial electrolyte concentration [mol.m-3]": values.electrolyte.c_e0,
        },
        "Thermal environment": base.get("Thermal environment", {})
        | {"Ambient temperature [K]": values.T_ambient},
    }
