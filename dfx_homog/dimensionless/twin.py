"""The dimensionless twin of a run in SI (MODEL section 2): the models only ever see the twin.

scales_of(run, theta)       the scales that a run has by its numbers
dimensionless(run, theta)   the twin in these scales
in_scales(run, scales)      the twin in any other ones; results in SI are the same
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dfx_homog.parameters.expression import Expression, constant, variable
from dfx_homog.parameters.scaling import GAS_CONSTANT, Scales
from dfx_homog.parameters.units import Units
from dfx_homog.runfile.battery import Battery
from dfx_homog.runfile.current_file import DriveCycle
from dfx_homog.runfile.given import Particle
from dfx_homog.runfile.lengths import cell_length, unit_cell_lengths
from dfx_homog.runfile.microstructure import Microstructure
from dfx_homog.runfile.models import ELECTRODES, REGIONS, Parameters, Run
from dfx_homog.runfile.parameters_si import ElectrodeSI, ParametersSI
from dfx_homog.runfile.protocol import Condition, Output, Protocol, Step

Json = dict[str, Any]
SAMPLES = 1001  # of a current that is a formula, over its step


@dataclass(frozen=True)
class Twin:
    """A run without units, the scales that lead back to SI, and the lengths of the electrodes' unit cells in m."""

    run: Run
    scales: Scales
    lengths: Mapping[str, float]

    @property
    def si(self) -> Units:
        """What turns the twin's results into SI."""
        return Units(self.scales, self.lengths)

    def to_json(self) -> Json:
        """Entries "scales" and "groups" of result.json."""
        s, p = self.scales, self.run.parameters
        assert isinstance(p, Parameters)
        scales = {
            name: getattr(s, name) for name in ("L", "c0", "Phi0", "i0", "T0", "rho_cp0", "t0", "DeltaT")
        }
        scales |= {f"l_{name[0]}": length for name, length in self.lengths.items()}
        groups = p.model_dump(
            by_alias=True, exclude={"units", "isothermal", "overpotential", *ELECTRODES}, exclude_none=True
        )
        for name in ELECTRODES:
            electrode = getattr(p, name)
            groups[name] = {"delta": self.lengths[name] / s.L, **electrode.model_dump()}
            groups[name]["G C"] = electrode.G * electrode.C
        return {"scales": scales, "groups": groups}

    def lines(self) -> list[str]:
        """What the log says of the scales and groups."""
        s, groups = self.scales, self.to_json()["groups"]
        lengths = ", ".join(f"l = {length:.6g} m ({name})" for name, length in self.lengths.items())
        found = [
            f"scales: L = {s.L:.6g} m, {lengths}, c0 = {s.c0:.6g} mol/m3, Phi0 = {s.Phi0:.6g} V, i0 = {s.i0:.6g} A/m2, "
            f"T0 = {s.T0:.6g} K, rho0 cp0 = {s.rho_cp0:.6g} J/(m3 K); t0 = {s.t0:.6g} s, DeltaT = {s.DeltaT:.6g} K",
            "groups: " + ", ".join(f"{key} = {groups[key]:.6g}" for key in ("lambda", "gamma", "D_L", "D_A")),
        ]
        for name in ELECTRODES:
            entries = {
                k: v for k, v in groups[name].items() if k in ("delta", "D_s", "G", "C", "c_max", "c_s0")
            }
            words = (f"{k} = {v:.6g}" if isinstance(v, float) else f"{k} = {v}" for k, v in entries.items())
            found.append(f"groups, {name}: {', '.join(words)}")
        return found


def scales_of(run: Run, theta: Mapping[str, float]) -> Scales:
    """L and l by the run's lengths, c0 = c_e0, Phi0 = 1 V, i0 = max |current|, T0 as given, rho0 cp0 = mean theta.

    theta: effective heat capacity of each region in J/(m3 K); their mean is weighted by thickness
    """
    p = run.parameters
    assert isinstance(p, ParametersSI)
    widths = run.cell.widths
    mean = sum(w * theta[name] for w, name in zip(widths, REGIONS, strict=True)) / sum(widths)
    return Scales(
        L=cell_length(run), c0=p.c_e0, Phi0=1.0, i0=largest_current(run.protocol), T0=p.T0, rho_cp0=mean
    )


def largest_current(protocol: Protocol) -> float:
    """max |i_app| over all steps that prescribe a current, in A/m2; 1 if none does."""
    found, start = [0.0], 0.0
    for step in protocol.steps:
        length = step.longest or 0.0
        if isinstance(step.applied, DriveCycle):
            found += map(abs, step.applied.currents)
        elif isinstance(step.applied, Expression):
            t = np.linspace(start, start + length, SAMPLES)
            found += [
                float(np.abs(step.applied.numpy(t=t, y1=1.0, y2=y, y3=y)).max()) for y in (0.0, 0.3, 1.0)
            ]
        start += length
    return max(found) or 1.0


def dimensionless(run: Run, theta: Mapping[str, float]) -> Twin:
    """The twin of a run in SI in its own scales; theta as in `scales_of`."""
    return in_scales(run, scales_of(run, theta))


def in_scales(run: Run, s: Scales) -> Twin:
    """The twin of a run in SI in given scales, of which L, and T0 as the laws' reference, must be the run's own."""
    lengths = unit_cell_lengths(run)
    changes: Json = {
        "microstructure": {
            name: _microstructure(spec, s, lengths.get(name)) for name, spec in run.microstructure.items()
        },
        "parameters": _parameters(run, s, lengths),
        "protocol": _protocol(run.protocol, s),
        "time": run.time.model_copy(update={"dt": run.time.dt / s.t0}),
        "output": _output(run.output, s),
    }
    lengths_of_cell = ("thickness", "lateral_size", "tab_negative", "tab_positive")
    given = {key: value for key in lengths_of_cell if (value := getattr(run.cell, key)) is not None}
    changes["cell"] = run.cell.model_copy(update={key: _over(value, s.L) for key, value in given.items()})
    if run.battery is not None:
        changes["battery"] = _battery(run.battery, s)
    return Twin(run.model_copy(update=changes), s, lengths)


def _battery(table: Battery, s: Scales) -> Battery:
    layers = tuple(
        layer.model_copy(
            update={
                "thickness": layer.thickness / s.L,
                "k": _over(layer.k, s.thermal),
                "rho_cp": layer.rho_cp / s.rho_cp0,
            }
        )
        for layer in table.layers
    )
    ambient = table.T_ambient
    if isinstance(ambient, dict):
        rise: float | dict[str, float] | None = {name: s.rise(T) for name, T in ambient.items()}
    else:
        rise = None if ambient is None else s.rise(ambient)
    return table.model_copy(
        update={
            "size": _over(table.size or (1.0,), s.L),  # the coordinates of a mesh are in metres
            "inner_radius": None if table.inner_radius is None else table.inner_radius / s.L,
            "h": _over(table.h, s.heat_exchange),
            "T_ambient": rise,
            "layers": layers,
        }
    )


def _over(value: Any, scale: float) -> Any:
    """A number, a tensor or a table of numbers, over a scale."""
    if isinstance(value, dict):
        return {key: _over(entry, scale) for key, entry in value.items()}
    if isinstance(value, tuple):
        return tuple(_over(entry, scale) for entry in value)
    return value / scale


def _formula(value: float | str, scale: float, read: Callable[[str | float], Expression]) -> float | str:
    """A number or formula over a scale; `read` parses it and puts scaled variables in place of those in SI."""
    found = read(value) / scale
    return found.value if found.op == "const" else str(found)


def _microstructure(spec: Microstructure, s: Scales, length: float | None) -> Microstructure:
    scales = {
        **dict.fromkeys(("sigma_s", "S"), s.electronic),
        **dict.fromkeys(("k_s", "k_e", "K"), s.thermal),
        **dict.fromkeys(("rho_cp_s", "rho_cp_e", "theta"), s.rho_cp0),
    }
    if isinstance(spec, Particle) and length is not None:
        scales |= {**dict.fromkeys(("radius", "radius_mean", "radius_std"), length), "a": 1.0 / length}
    keys = type(spec).model_fields
    given = {key: getattr(spec, key) for key in scales if key in keys and getattr(spec, key) is not None}
    return spec.model_copy(update={key: _over(value, scales[key]) for key, value in given.items()})


def _in_scaled_time(s: Scales) -> Callable[[str | float], Expression]:
    time = constant(s.t0) * variable("t")
    return lambda text: Expression.of_time_and_place(text).substitute("t", time)


def _parameters(run: Run, s: Scales, lengths: Mapping[str, float]) -> Parameters:
    p = run.parameters
    assert isinstance(p, ParametersSI)
    mobility = s.electrolyte_diffusivity / (GAS_CONSTANT * s.T0)
    cooling = {key: getattr(p, key) for key in ("h", "h_negative", "h_positive", "h_lateral")}
    activation = {key: s.activation(E) for key, E in p.activation.model_dump().items()}
    entries = {
        "D_L": p.D_L / s.electrolyte_diffusivity,
        "D_A": p.D_A / s.electrolyte_diffusivity,
        "mu_L": None if p.mu_L is None else p.mu_L / mobility,
        "mu_A": None if p.mu_A is None else p.mu_A / mobility,
        "lambda": s.lam,
        "gamma": s.gamma,
        **{
            key: None if h is None else _formula(h, s.heat_exchange, _in_scaled_time(s))
            for key, h in cooling.items()
        },
        "T_ambient": s.rise(p.T_ambient),
        "T_initial": s.rise(p.T_initial),
        "isothermal": p.isothermal,
        "overpotential": p.overpotential,
        "c_e0": p.c_e0 / s.c0,
        "activation": activation,
        **{name: _electrode(getattr(p, name), s, lengths[name]) for name in ELECTRODES},
    }
    return Parameters.model_validate(entries)


def _electrode(e: ElectrodeSI, s: Scales, length: float) -> Json:
    def read(text: str | float) -> Expression:
        return s.in_scaled_temperature(Expression.parse(text))

    diffusivity = s.solid_diffusivity(length)
    return {
        "D_s": _over(e.D_s, diffusivity) if isinstance(e.D_s, tuple) else _formula(e.D_s, diffusivity, read),
        "G": s.exchange_current(e.K, length),
        "C": s.capacitance(e.C_dl, e.K),
        "beta": e.beta,
        "c_max": e.c_max / s.c0,
        "c_s0": e.c_s0 / s.c0,
        "film_resistance": s.film(e.film_resistance, length),
        "ocp": str(s.open_circuit_potential(Expression.parse(e.ocp), Expression.parse(e.dUdT))),
        "Pi": "auto" if e.Pi == "auto" else float(e.Pi) / s.Phi0,
    }


def _protocol(protocol: Protocol, s: Scales) -> Protocol:
    def volts(value: float | None) -> float | None:
        return None if value is None else value / s.Phi0

    hottest = None if protocol.T_max is None else s.rise(protocol.T_max)
    return protocol.model_copy(
        update={
            "steps": tuple(_step(step, s) for step in protocol.steps),
            "v_min": volts(protocol.v_min),
            "v_max": volts(protocol.v_max),
            "T_max": hottest,
        }
    )


def _step(step: Step, s: Scales) -> Step:
    scales = {"voltage": s.Phi0, "power": s.i0 * s.Phi0, "duration": s.t0}
    given = {key: getattr(step, key) for key in scales if getattr(step, key) is not None}
    changes: Json = {key: value / scales[key] for key, value in given.items()}
    if step.current is not None:
        changes["current"] = _formula(step.current, s.i0, _in_scaled_time(s))
    if step.until is not None:
        changes["until"] = tuple(_condition(text, s) for text in step.until)
    twin = step.model_copy(update=changes)
    if isinstance(cycle := step.applied, DriveCycle):
        times, currents = _over(cycle.times, s.t0), _over(cycle.currents, s.i0)
        twin._cycle = DriveCycle(times, currents)
    return twin


def _condition(text: str, s: Scales) -> str:
    condition = Condition(text)
    value = condition.value / {"V": s.Phi0, "I": s.i0}[condition.quantity]
    return f"{condition.quantity}{'<' if condition.sense < 0 else '>'}{value!r}"


def _output(output: Output, s: Scales) -> Output:
    return output if output.times is None else output.model_copy(update={"times": _over(output.times, s.t0)})
