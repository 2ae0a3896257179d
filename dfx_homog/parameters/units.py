"""Results in the units of the run file: the scales of one run, by kind of quantity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from dfx_homog.parameters.scaling import Scales, Value

ELECTRODES = {"n": "negative", "p": "positive"}

#: Kinds of quantities and their SI units. A kind that ends in _n or _p has another scale in each electrode.
SYMBOLS: Mapping[str, str] = MappingProxyType(
    {
        "number": "",
        "time": "s",
        "charge": "C/m²",
        "current": "A/m²",
        "voltage": "V",
        "power": "W/m²",
        "temperature": "K",
        "concentration": "mol/m³",
        "length": "m",
        "reaction_n": "A/m²",
        "reaction_p": "A/m²",
        "difference": "K",
        "gradient": "K/m",
        "source": "W/m³",
        "heat": "W/m²",
        "energy": "J/m²",
        "electronic": "S/m",
        "thermal": "W/(m K)",
        "capacity": "J/(m³ K)",
        "surface_n": "1/m",
        "surface_p": "1/m",
    }
)


@dataclass(frozen=True)
class Units:
    """Turns dimensionless results into those of the run file; without scales they stay as they are.

    lengths: of the electrodes' unit cells, m

    current, power, heat, charge: per area of the collector; reaction: current per area of the interface; energy: heat
    over time; source: heat per volume; difference, gradient: of temperatures; surface: area of the interface per
    volume; electronic, thermal: conductivities; capacity: of heat
    """

    scales: Scales | None = None
    lengths: Mapping[str, float] = field(default_factory=dict)

    @property
    def in_si(self) -> bool:
        """Whether results are in SI."""
        return self.scales is not None

    def symbol(self, kind: str) -> str:
        """The unit's symbol, "" without units."""
        return SYMBOLS[kind] if self.in_si else ""

    def factor(self, kind: str) -> float:
        """What a difference of this kind is measured in. KeyError for a kind that is not known."""
        SYMBOLS[kind]
        s = self.scales
        if s is None or kind == "number":
            return 1.0
        name, _, electrode = kind.partition("_")
        if electrode:
            length = self.lengths[ELECTRODES[electrode]]
            return s.i0 * length / s.L if name == "reaction" else 1.0 / length
        heat = s.heat_source * s.L
        return {
            "time": s.t0,
            "charge": s.i0 * s.t0,
            "current": s.i0,
            "voltage": s.Phi0,
            "power": s.i0 * s.Phi0,
            "temperature": s.DeltaT,
            "concentration": s.c0,
            "length": s.L,
            "difference": s.DeltaT,
            "gradient": s.DeltaT / s.L,
            "source": s.heat_source,
            "heat": heat,
            "energy": heat * s.t0,
            "electronic": s.electronic,
            "thermal": s.thermal,
            "capacity": s.rho_cp0,
        }[name]

    def value(self, kind: str, value: Value) -> Value:
        """A quantity of this kind; a temperature gets T0."""
        if self.scales is None or kind == "number":
            return value
        return self.scales.kelvin(value) if kind == "temperature" else self.factor(kind) * value

    def text(self, kind: str, value: float, format_spec: str = "g") -> str:
        """A quantity with its unit, for messages."""
        symbol = self.symbol(kind)
        return f"{self.value(kind, value):{format_spec}}" + (f" {symbol}" if symbol else "")


DIMENSIONLESS = Units()
