"""[parameters] with units = "SI"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from dfx_homog.parameters.expression import Expression
from dfx_homog.runfile.base import Table
from dfx_homog.runfile.materials import Activation, check_curves
from dfx_homog.runfile.types import (
    BelowCapacity,
    Cooling,
    Flag,
    Formula,
    Fraction,
    NotNegative,
    Overpotential,
    Positive,
    ReversibleHeat,
    UnitsSI,
    Words,
    number_in,
)
from dfx_homog.runfile.types_cells import Diffusivity


class ElectrodeSI(Table):
    """[parameters.negative] and [parameters.positive]."""

    ELSEWHERE: ClassVar[dict[str, str]] = {
        "G": 'not with units = "SI": give K in m/s',
        "C": 'not with units = "SI": give C_dl in F/m2',
    }

    unit_cell_length: Positive | None = Field(
        default=None,
        description='length of the unit cell, m; required by the models, but not with a "particle", whose radius in m '
        "does it",
    )
    D_s: Diffusivity = Field(
        description="diffusivity of lithium in the solid, m2/s, > 0 for 0 < c < 1; a tensor is constant"
    )
    K: Positive = Field(
        description="reaction rate, m/s: the exchange current is F K c_s^beta (1 - c_s/c_max)^(1 - beta) c_e^(1 - beta)"
    )
    C_dl: NotNegative = Field(default=0.0, description="double-layer capacitance, F/m2")
    beta: Fraction = Field(default=0.5, description="transfer coefficient")
    c_max: Positive = Field(description="largest concentration of lithium in the solid, mol/m3")
    c_s0: BelowCapacity = Field(description="initial concentration of lithium in the solid, mol/m3")
    film_resistance: NotNegative = Field(
        default=0.0, description="R_f of a film on the particles, Ohm m2, taken from the overpotential"
    )
    ocp: Formula = Field(description="open-circuit potential at T0, V, finite for 0 < c < 1; T in K")
    dUdT: Formula = Field(
        default=0.0, description="entropy change, V/K, in c: (T - T0) dUdT is added to ocp; T does not occur"
    )
    Pi: ReversibleHeat = Field(
        default="auto", description='Peltier potential, V; "auto": T times d U/dT, U with dUdT in it'
    )

    @field_validator("c_s0")
    @classmethod
    def _below_capacity(cls, value: float, info: ValidationInfo) -> float:
        if "c_max" in info.data:
            number_in(value, below=info.data["c_max"])
        return value

    @field_validator("dUdT")
    @classmethod
    def _without_temperature(cls, value: float | str) -> float | str:
        if Expression.parse(value).depends_on("T"):
            raise ValueError("depends on T (allowed: a number, or a formula in c)")
        return value


class ActivationSI(Activation):
    """[parameters.activation]: Arrhenius energies in J/mol; P = P_ref exp(E/R (1/T0 - 1/T))."""


class ParametersSI(Table):
    """[parameters]: in SI units."""

    ELSEWHERE: ClassVar[dict[str, str]] = {
        "lambda": 'not with units = "SI": it follows from T0',
        "gamma": 'not with units = "SI": it follows from c_e0 and the heat capacities',
    }

    units: UnitsSI = Field(description="units of all numbers of the run file")
    origin: Words | None = Field(
        default=None, description="where the numbers come from, for readers; `set` and `bpx` write it"
    )
    T0: Positive = Field(description="reference temperature, K, of ocp and of the Arrhenius laws")
    D_L: Positive = Field(description="diffusivity of lithium ions in the electrolyte, m2/s")
    D_A: Positive = Field(description="diffusivity of anions in the electrolyte, m2/s")
    mu_L: Positive | None = Field(
        default=None, description="mobility of lithium ions, mol m2/(J s); default: Einstein, D_L/(R T)"
    )
    mu_A: Positive | None = Field(
        default=None, description="mobility of anions, mol m2/(J s); default: Einstein, D_A/(R T)"
    )
    h: Cooling = Field(
        default=0.0,
        description="heat exchange at the collector faces, W/(m2 K), >= 0 during the run; t in s, y1 in lengths of the "
        "cell",
    )
    h_negative: Cooling | None = Field(default=None, description="heat exchange at y1 = 0; default: h")
    h_positive: Cooling | None = Field(default=None, description="heat exchange at y1 = 1; default: h")
    h_lateral: Cooling = Field(
        default=0.0, description="heat exchange at the lateral faces, `homogenised` in 2 or 3 dimensions only"
    )
    overpotential: Overpotential = Field(
        default="paper",
        description="eta = Phi_s - Phi_e - U, or measured against a lithium electrode in the electrolyte: less "
        "((1 + gamma T)/lambda) ln(c_e/c_e0), the thermodynamics of an ideal solution",
    )
    T_ambient: Positive = Field(default=None, description="ambient temperature, K; default: T0")  # type: ignore[assignment]
    T_initial: Positive = Field(default=None, description="initial temperature, K; default: T0")  # type: ignore[assignment]
    isothermal: Flag = Field(default=False, description="true: T stays T_initial")
    c_e0: Positive = Field(description="initial concentration in the electrolyte, mol/m3")
    negative: ElectrodeSI = Field(description="negative electrode")
    positive: ElectrodeSI = Field(description="positive electrode")
    activation: ActivationSI = Field(default_factory=ActivationSI, description="Arrhenius energies")

    @model_validator(mode="before")
    @classmethod
    def _reference_temperature(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "T0" in data:
            return {"T_ambient": data["T0"], "T_initial": data["T0"], **data}
        return data

    @model_validator(mode="after")
    def _check(self) -> ParametersSI:
        for name, electrode in (("negative", self.negative), ("positive", self.positive)):
            check_curves(name, electrode, self.T_initial)
        return self
