"""A cell as parameter values of PyBaMM: a Python module that defines them, to import or to paste.

With them PyBaMM's DFN solves the equations of this package (spheres, D_L and D_A constant in c_e, the overpotential of
the run file): its thermodynamic factor is (1 - D_L/D_A)/2, since the paper's kinetics leave c_e out of the equilibrium
potential, or 1 for the overpotential against a lithium electrode. Activation energies and entropy changes come along;
heat capacity and conduction do where they are known (density holds rho cp, with a specific heat of 1).
"""

from __future__ import annotations

import math

from dfx_homog.export.values import CellValues, Porous, PorousElectrode, bruggeman
from dfx_homog.parameters.expression import Expression
from dfx_homog.parameters.scaling import FARADAY, GAS_CONSTANT

HEAD = '''"""Parameter values for PyBaMM, written by dfx_homog: {origin}.

    values = pybamm.ParameterValues(get_parameter_values())
    pybamm.Simulation(pybamm.lithium_ion.DFN(), parameter_values=values).solve([0, 3600])
"""

from pybamm import cos, cosh, exp, log, sign, sin, sqrt, tanh
from pybamm import maximum as max, minimum as min

R = {R!r}  # J/(mol K)
T0 = {T0!r}  # K


def arrhenius(energy, T):
    return exp(energy / R * (1 / T0 - 1 / T))
'''


def pybamm_module(values: CellValues) -> str:
    """The module's text."""
    e = values.electrolyte
    D_L, D_A = e.D_L, e.D_A
    kappa = FARADAY**2 * (D_L + D_A) / GAS_CONSTANT
    functions = [
        _function("electrolyte_diffusivity", "c_e, T", f"{2 * D_L * D_A / (D_L + D_A)!r}", values.E_D_L),
        _function("electrolyte_conductivity", "c_e, T", f"{kappa!r} * c_e / T", values.E_D_L),
    ]
    factor = 1.0 if values.lithium_electrode else (1.0 - D_L / D_A) / 2.0
    entries = _cell(values) | {
        "Cation transference number": repr(D_L / (D_L + D_A)),
        "Thermodynamic factor": repr(factor),
        "Electrolyte diffusivity [m2.s-1]": "electrolyte_diffusivity",
        "Electrolyte conductivity [S.m-1]": "electrolyte_conductivity",
    }
    entries |= _region("Separator", values.separator)
    for name in ("negative", "positive"):
        found, more = _electrode(name, getattr(values, name))
        entries |= found
        functions += more
    lines = "".join(f'        "{key}": {value},\n' for key, value in entries.items())
    head = HEAD.format(origin=_plain(values.origin), R=GAS_CONSTANT, T0=e.T0)
    return f"{head}\n{chr(10).join(functions)}\n\ndef get_parameter_values():\n    return {{\n{lines}    }}\n"


def _plain(text: str) -> str:
    """Text that cannot end the string it stands in."""
    return "".join(c if c.isprintable() and c not in '"\\' else "?" for c in text)


def _cell(values: CellValues) -> dict[str, str]:
    side, e = math.sqrt(values.area), values.electrolyte
    capacity = (values.capacity or values.implied_capacity) * values.area
    numbers = {
        "Electrode height [m]": side,
        "Electrode width [m]": side,
        "Cell cooling surface area [m2]": 2.0 * values.area,
        "Cell volume [m3]": values.area * sum(region.thickness for region in values.regions),
        "Number of electrodes connected in parallel to make a cell": 1.0,
        "Number of cells connected in series to make a battery": 1.0,
        "Nominal cell capacity [A.h]": capacity,
        "Current function [A]": capacity,
        "Contact resistance [Ohm]": 0.0,
        "Lower voltage cut-off [V]": values.v_min,
        "Upper voltage cut-off [V]": values.v_max,
        "Open-circuit voltage at 0% SOC [V]": values.v_min,
        "Open-circuit voltage at 100% SOC [V]": values.v_max,
        "Reference temperature [K]": e.T0,
        "Ambient temperature [K]": values.T_ambient,
        "Initial temperature [K]": values.T_initial,
        "Initial concentration in electrolyte [mol.m-3]": e.c_e0,
    }
    return {key: repr(float(value)) for key, value in numbers.items()}


def _region(title: str, region: Porous) -> dict[str, str]:
    numbers = {
        f"{title} thickness [m]": region.thickness,
        f"{title} porosity": region.phi_e,
        f"{title} Bruggeman coefficient (electrolyte)": bruggeman(region.B, region.phi_e),
    }
    if region.K is not None and region.theta is not None:
        numbers |= {
            f"{title} thermal conductivity [W.m-1.K-1]": region.K,
            f"{title} density [kg.m-3]": region.theta,
            f"{title} specific heat capacity [J.kg-1.K-1]": 1.0,
        }
    return {key: repr(float(value)) for key, value in numbers.items()}


def _electrode(name: str, e: PorousElectrode) -> tuple[dict[str, str], list[str]]:
    """Entries, and the functions that they name."""
    title = f"{name.title()} electrode"
    beta = e.beta
    powers = f"c_s_surf**{beta!r} * (1 - c_s_surf / c_s_max)**{1 - beta!r} * c_e**{1 - beta!r}"
    numbers = {
        f"{title} active material volume fraction": e.active,
        f"{name.title()} particle radius [m]": e.radius,
        f"{title} conductivity [S.m-1]": e.S,
        f"{title} Bruggeman coefficient (electrode)": 0.0,
        f"Maximum concentration in {name} electrode [mol.m-3]": e.c_max,
        f"Initial concentration in {name} electrode [mol.m-3]": e.c_s0,
        f"{title} charge transfer coefficient": 1.0 - beta,
        f"{title} double-layer capacity [F.m-2]": e.C_dl,
    }
    named = {
        f"{title} OCP [V]": f"{name}_ocp",
        f"{title} OCP entropic change [V.K-1]": f"{name}_entropic_change",
        f"{name.title()} particle diffusivity [m2.s-1]": f"{name}_diffusivity",
        f"{title} exchange-current density [A.m-2]": f"{name}_exchange_current",
    }
    functions = [
        _function(f"{name}_ocp", "sto", _python(e.ocp)),
        _function(f"{name}_entropic_change", "sto", _python(e.dUdT)),
        _function(f"{name}_diffusivity", "sto, T", _python(e.D_s), e.E_D),
        _function(
            f"{name}_exchange_current", "c_e, c_s_surf, c_s_max, T", f"{FARADAY * e.rate!r} * {powers}", e.E_G
        ),
    ]
    numbered = {key: repr(float(value)) for key, value in numbers.items()}
    return _region(title, e) | numbered | named, functions


def _python(formula: Expression) -> str:
    return str(formula.substitute("c", Expression("var", name="sto")))


def _function(name: str, arguments: str, value: str, energy: float = 0.0) -> str:
    factor = f" * arrhenius({energy!r}, T)" if energy else ""
    return f"\ndef {name}({arguments}):\n    return ({value}){factor}\n"
