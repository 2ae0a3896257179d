"""Parameters from a file in the Battery Parameter eXchange format (BPX 1.x), as a ParameterSet.

The file is data: its size is looked at first, and its formulas are read by our own parser. The library `bpx`, which
checks the rest, would write formulas into a Python module and run it (to compare voltages with their limits): it gets a
harmless table in place of each.
"""

from __future__ import annotations

import copy
import json
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dfx_homog.errors import BadInput, unreadable
from dfx_homog.parameters.expression import Expression, variable
from dfx_homog.parameters.sets.base import ParameterSet
from dfx_homog.parameters.sets.electrolyte import Electrolyte
from dfx_homog.parameters.table import interpolate

Json = dict[str, Any]

LARGEST_FILE = 10_000_000  # bytes
MODELS = ("DFN", "SPMe")  # that have all parameters
ELECTRODES = ("Negative electrode", "Positive electrode")
OCP, ENTROPY, DIFFUSIVITY = "OCP [V]", "Entropic change coefficient [V.K-1]", "Diffusivity [m2.s-1]"
CONDUCTIVITY = "Conductivity [S.m-1]"
#: What may be a formula or a table, by section.
CURVES = {
    **dict.fromkeys(ELECTRODES, (OCP, ENTROPY, DIFFUSIVITY)),
    "Electrolyte": (DIFFUSIVITY, CONDUCTIVITY),
}
#: Parts of the format that no model here has.
HYSTERESIS = ("OCP (delithiation) [V]", "OCP (lithiation) [V]", "OCP hysteresis decay constant")
HEAT_CONDUCTION = "Thermal conductivity [W.m-1.K-1]"  # where the format tells to put it: in User-defined
OWN = ("description", HEAT_CONDUCTION)
HARMLESS = {"x": [0.0, 1.0], "y": [1.0, 1.0]}


def load_json(path: Path) -> Json:
    """The file's contents. Raises BadInput."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise BadInput(f"{path}: larger than {LARGEST_FILE} bytes (allowed: a BPX file)")
        data = json.loads(path.read_bytes().decode("utf-8"), parse_constant=_no_number)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not JSON: {unreadable(error)} (allowed: a BPX file)") from None
    if not isinstance(data, dict):
        raise BadInput(f"{path}: not a table (allowed: a BPX file)")
    return data


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a number")


def read_bpx(path: Path, soc: float | None = None) -> ParameterSet:
    """The parameters of a BPX file; soc: initial state of charge, default the file's, or 1. Raises BadInput."""
    try:
        data = load_json(path)
        return _Reader(data, validated(data), soc).parameters()
    except RecursionError:
        raise BadInput(f"{path}: nested too deeply (allowed: a BPX file)") from None
    except (OverflowError, ValueError) as error:
        raise BadInput(f"{path}: {error}") from None


def validated(data: Json) -> Any:
    """The file as the library's model, its curves apart, which were never shown to it.

    Raises ValueError for what the format does not allow, and for parts of it that no model here has.
    """
    _refuse(data)
    try:
        from bpx import parse_bpx_obj
        from pydantic import ValidationError
    except ImportError:
        raise ValueError("needs the Python library bpx (pip install -r env/pypi.txt)") from None
    shown = copy.deepcopy(data)
    for section, key in _curves(shown):
        if isinstance(section[key], str | dict):
            section[key] = HARMLESS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return parse_bpx_obj(shown, convert_legacy=False)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "/".join(str(part) for part in first["loc"])
        raise ValueError(
            f"{where or 'Parameterisation'}: {' '.join(first['msg'].split())} (allowed: BPX 1.x)"
        ) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"not a BPX file: {' '.join(str(error).split())[:200]}") from None


def _section(data: Any, *names: str) -> Json:
    for name in names:
        data = data.get(name) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def _curves(data: Json) -> Iterator[tuple[Json, str]]:
    """Every curve of a file: the section that it is in, and its key."""
    for name, keys in CURVES.items():
        section = _section(data, "Parameterisation", name)
        yield from ((section, key) for key in keys if key in section)


def _refuse(data: Json) -> None:
    """Raises ValueError for versions and parts that are not for us."""
    header = _section(data, "Header")
    version, model = str(header.get("BPX")), header.get("Model")
    if not version.startswith("1."):
        raise ValueError(
            f"Header/BPX: version {version[:20]} (allowed: 1.x; the library bpx converts older files)"
        )
    if model not in MODELS:
        raise ValueError(f"Header/Model: {str(model)[:20]} (allowed: {', '.join(MODELS)})")
    own = _section(data, "Parameterisation", "User-defined")
    for key in own.keys() - set(OWN):
        raise ValueError(
            f"Parameterisation/User-defined/{key[:60]}: not known here (allowed: {', '.join(OWN)})"
        )
    for name in ELECTRODES:
        section = _section(data, "Parameterisation", name)
        if "Particle" in section:
            raise ValueError(
                f"Parameterisation/{name}/Particle: no blended electrodes (allowed: one material)"
            )
        for key in HYSTERESIS:
            if section.get(key) is not None:
                raise ValueError(f"Parameterisation/{name}/{key}: no hysteresis (allowed: {OCP} alone)")
    initial = _section(data, "State", "Initial conditions")
    for key in initial:
        if key.startswith("Initial hysteresis") and initial[key] is not None:
            raise ValueError(f"State/Initial conditions/{key[:60]}: no hysteresis (allowed: leave it out)")
    if any(value for value in _section(data, "State", "Degradation").values()):
        raise ValueError("State/Degradation: no aged cells (allowed: zeros, or leave it out)")


class _Reader:
    """From the library's model, with the curves of the file itself, to run-file keys."""

    def __init__(self, data: Json, model: Any, soc: float | None) -> None:
        self.data = data
        self.p = model.parameterisation
        state = model.state
        self.initial = getattr(state, "initial_conditions", None)
        self.surroundings = getattr(state, "thermal_environment", None)
        self.notes: list[str] = []
        given = getattr(self.initial, "initial_soc", None)
        self.soc = (
            soc if soc is not None else 1.0 if given is None else _number("Initial state-of-charge", given)
        )
        if not 0.0 <= self.soc <= 1.0:
            raise ValueError(f"Initial state-of-charge: {self.soc:g} (allowed: from 0 to 1)")
        c_e0 = getattr(self.initial, "initial_electrolyte_concentration", None)
        self.c_e0 = 1000.0 if c_e0 is None else _positive("Initial electrolyte concentration", c_e0)
        T0 = self.p.cell.reference_temperature
        self.T0 = 298.15 if T0 is None else _positive("Reference temperature", T0)

    def parameters(self) -> ParameterSet:
        cell, heat = self.p.cell, self._heat()
        thermal = all(value is not None for value in heat.values())
        if not thermal:
            heat = {"K": 1.0, "theta": 1e6}
            self.notes.append("no heat capacity or conduction in the file: isothermal only")
        sides = {"negative": self.p.negative_electrode, "positive": self.p.positive_electrode}
        separator = self.p.separator
        parameters: Json = {"isothermal": True, **self._temperatures()}
        for name, side in sides.items():
            parameters[name] = self._electrode(name, side)
        parameters["activation"] = self._activation()
        area = _positive("Electrode area", cell.electrode_area)
        pairs = _positive("Number of electrode pairs", cell.number_of_electrodes)
        layers = (sides["negative"], separator, sides["positive"])
        return ParameterSet(
            microstructure={
                "negative": {"geometry": "particle", **self._porous(sides["negative"]), **heat},
                "separator": {
                    "geometry": "effective",
                    "phi_e": separator.porosity,
                    "B": separator.transport_efficiency,
                    **heat,
                },
                "positive": {"geometry": "particle", **self._porous(sides["positive"]), **heat},
            },
            thickness=tuple(_positive("Thickness [m]", layer.thickness) for layer in layers),  # type: ignore[arg-type]
            parameters=parameters,
            electrolyte=self._electrolyte(),
            v_min=_number("Lower voltage cut-off [V]", cell.lower_voltage_cutoff),
            v_max=_number("Upper voltage cut-off [V]", cell.upper_voltage_cutoff),
            capacity=_positive("Nominal cell capacity [A.h]", cell.nominal_cell_capacity) / (area * pairs),
            area=area,
            thermal=thermal,
            notes=(f"the run starts at {100 * self.soc:g} % state of charge", *self.notes),
            document=self.data,
        )

    def _heat(self) -> dict[str, float | None]:
        """K and theta of every region, lumped as the format has them; None where the file says nothing."""
        cell = self.p.cell
        own = _section(self.data, "Parameterisation", "User-defined").get(HEAT_CONDUCTION)
        density, specific = cell.density, cell.specific_heat_capacity
        return {
            "K": None if own is None else _positive(HEAT_CONDUCTION, own),
            "theta": None
            if density is None or specific is None
            else _positive("Density", density) * _positive("Specific heat capacity", specific),
        }

    def _temperatures(self) -> Json:
        """T_initial, T_ambient, and h: the file's cooling of the whole surface, shared by the faces of all layers."""
        found: Json = {}
        initial = getattr(self.initial, "initial_temperature", None)
        if initial is not None:
            found["T_initial"] = _positive("Initial temperature [K]", initial)
        ambient = getattr(self.surroundings, "ambient_temperature", None)
        if ambient is not None:
            found["T_ambient"] = _positive("Ambient temperature [K]", ambient)
        cooling, cell = getattr(self.surroundings, "heat_transfer_coefficient", None), self.p.cell
        if cooling is not None and cell.external_surface_area is not None:
            faces = 2 * cell.electrode_area * cell.number_of_electrodes
            found["h"] = (
                _number("Heat transfer coefficient", cooling)
                * _positive("External surface area", cell.external_surface_area)
                / faces
            )
        return found

    def _porous(self, side: Any) -> Json:
        return {
            "radius": side.particle_radius,
            "phi_e": side.porosity,
            "a": side.surface_area_per_unit_volume,
            "B": side.transport_efficiency,
            "S": side.conductivity,
        }

    def _electrode(self, name: str, side: Any) -> Json:
        title = f"{name.title()} electrode"
        low, high = (
            _number("Minimum stoichiometry", side.minimum_stoichiometry),
            _number("Maximum stoichiometry", side.maximum_stoichiometry),
        )
        full = self.soc if name == "negative" else 1.0 - self.soc
        c_max = _positive("Maximum concentration", side.maximum_concentration)
        rate = _positive("Reaction rate constant", side.reaction_rate_constant)
        found: Json = {
            "D_s": self._curve(title, DIFFUSIVITY, relative=True),
            "K": rate / math.sqrt(c_max * self.c_e0),  # j0 = F k sqrt(c_e/c_e0 c_s/c_max (1 - c_s/c_max))
            "c_max": c_max,
            "c_s0": (low + full * (high - low)) * c_max,
            "ocp": self._curve(title, OCP, extend=True),
        }
        if ENTROPY in _section(self.data, "Parameterisation", title):
            found["dUdT"] = self._curve(title, ENTROPY)
        return found

    def _activation(self) -> Json:
        n, p, e = self.p.negative_electrode, self.p.positive_electrode, self.p.electrolyte
        energies = {
            "D_s_n": n.diffusivity_activation_energy,
            "D_s_p": p.diffusivity_activation_energy,
            "G_n": n.reaction_rate_constant_activation_energy,
            "G_p": p.reaction_rate_constant_activation_energy,
            "D_L": e.diffusivity_activation_energy,
            "D_A": e.diffusivity_activation_energy,
        }
        return {key: energy for key, energy in energies.items() if energy is not None}

    def _electrolyte(self) -> Electrolyte:
        t_plus = _number("Cation transference number", self.p.electrolyte.cation_transference_number)
        if not 0.0 < t_plus < 1.0:
            raise ValueError(f"Cation transference number: {t_plus:g} (allowed: between 0 and 1)")
        curves = (
            self._formula("Electrolyte", key).substitute("c", variable("x"))
            for key in (DIFFUSIVITY, CONDUCTIVITY)
        )
        D_e, kappa = (curve.value if curve.op == "const" else str(curve) for curve in curves)
        found = Electrolyte(D_e, t_plus, kappa, self.c_e0, self.T0)
        _positive(f"Electrolyte/{DIFFUSIVITY} at {self.c_e0:g} mol/m3", found.D_e)
        _positive(f"Electrolyte/{CONDUCTIVITY} at {self.c_e0:g} mol/m3", found.kappa)
        return found

    def _curve(self, title: str, key: str, *, extend: bool = False, relative: bool = False) -> float | str:
        formula = self._formula(title, key, extend=extend, relative=relative)
        return formula.value if formula.op == "const" else str(formula)

    def _formula(self, title: str, key: str, *, extend: bool = False, relative: bool = False) -> Expression:
        """A curve as a formula in c, which is the format's x."""
        given = self.data["Parameterisation"][title][key]
        where = f"Parameterisation/{title}/{key}"
        try:
            if not isinstance(given, dict):
                return Expression.parse(given, ("x",)).substitute("x", variable("c"))
            formula, missed = interpolate(given["x"], given["y"], extend=extend, relative=relative)
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"{where}: {error}") from None
        self.notes.append(f"{where}: a table of {len(given['x'])} points, met within {missed:.2g}")
        return formula


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name}: not a number")
    if not math.isfinite(value):
        raise ValueError(f"{name}: {value} is not a finite number")
    return float(value)


def _positive(name: str, value: Any) -> float:
    if not _number(name, value) > 0.0:
        raise ValueError(f"{name}: {value:g} (allowed: a number > 0)")
    return float(value)
