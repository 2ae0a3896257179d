"""Tables of the run file on the battery cell and its parameters, and the run file as a whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

from pydantic import (
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from dfx_homog.errors import BadInput
from dfx_homog.parameters.expression import Expression
from dfx_homog.parameters.sets.base import ParameterSet
from dfx_homog.runfile.base import Table, wrong
from dfx_homog.runfile.battery import Battery
from dfx_homog.runfile.case import Case
from dfx_homog.runfile.geometry import Geometry, MeshGeometry, VoxelGeometry
from dfx_homog.runfile.materials import Activation, check_curves
from dfx_homog.runfile.parameters_si import ParametersSI
from dfx_homog.runfile.protocol import Output, Protocol, Time
from dfx_homog.runfile.scaling import Scaling
from dfx_homog.runfile.studies import Checkpoint, Convergence, Homogenised, Rve, Solver
from dfx_homog.runfile.toml import to_toml
from dfx_homog.runfile.types import (
    BelowCapacity,
    Cooling,
    Flag,
    Formula,
    Fraction,
    Lateral,
    LateralPeriods,
    LateralSize,
    NotNegative,
    Number,
    Overpotential,
    Periods,
    Positive,
    ReversibleHeat,
    Tab,
    Thickness,
    UnitsNone,
    number_in,
)
from dfx_homog.runfile.types_cells import Diffusivity

REGIONS = ("negative", "separator", "positive")
ELECTRODES = ("negative", "positive")


class Cell(Table):
    """[cell]: how many unit cells the battery cell has; delta = 1/(sum of periods)."""

    # None is hidden from the type checker: past `require` the models that use them have them
    periods: Periods = Field(  # type: ignore[assignment]
        default=None,
        description="unit cells through negative, separator, positive; required, unless thickness is given",
    )
    thickness: Thickness | None = Field(
        default=None,
        description="of negative, separator, positive in place of periods, for `homogenised` alone: in lengths of the "
        "cell, so that their sum is 1; in SI in m",
    )
    lateral_periods: LateralPeriods = Field(
        default=(1,), description="unit cells across, one entry for each lateral direction"
    )
    lateral: Lateral = Field(default="periodic", description="conditions on the lateral faces")
    lateral_size: LateralSize | None = Field(
        default=None,
        description="lengths across in cell thicknesses, SI: m, `homogenised` only; default: those of lateral_periods",
    )
    tab_negative: Tab | None = Field(
        default=None,
        description="where current passes through the negative collector, in y2 (and y3), lengths as lateral_size, "
        "`homogenised` only; default: all of it",
    )
    tab_positive: Tab | None = Field(
        default=None, description="where current passes through the positive collector; default: all of it"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Cell:
        if (self.periods is None) == (self.thickness is None):
            found = "neither" if self.periods is None else "both"
            key = "periods" if self.periods is None else "thickness"
            raise wrong(key, f"one of periods and thickness is required, there is {found}")
        return self

    @property
    def widths(self) -> tuple[float, ...]:
        """Thicknesses of negative, separator, positive, up to a common factor."""
        return tuple(map(float, self.periods)) if self.thickness is None else self.thickness


class Electrode(Table):
    """[parameters.negative] and [parameters.positive]."""

    ELSEWHERE: ClassVar[dict[str, str]] = {
        "K": 'needs units = "SI": give G',
        "C_dl": 'needs units = "SI": give C',
        "dUdT": 'needs units = "SI": write T into ocp',
        "unit_cell_length": 'needs units = "SI": lengths are dimensionless',
    }

    D_s: Diffusivity = Field(
        description="diffusivity of lithium in the solid, > 0 for 0 < c < 1; a tensor is constant"
    )
    G: Positive = Field(description="exchange current scale over applied current scale, L g0/(l i0)")
    C: NotNegative = Field(default=0.0, description="double-layer capacitance")
    beta: Fraction = Field(default=0.5, description="transfer coefficient")
    c_max: Positive = Field(default=1.0, description="largest concentration of lithium in the solid")
    c_s0: BelowCapacity = Field(description="initial concentration of lithium in the solid")
    film_resistance: NotNegative = Field(
        default=0.0, description="R_f of a film on the particles; R_f G g is taken from the overpotential"
    )
    ocp: Formula = Field(description="open-circuit potential, finite for 0 < c < 1")
    Pi: ReversibleHeat = Field(
        default=0.0, description='Peltier potential; "auto": absolute temperature times d ocp/dT'
    )

    @field_validator("c_s0")
    @classmethod
    def _below_capacity(cls, value: float, info: ValidationInfo) -> float:
        if "c_max" in info.data:
            number_in(value, below=info.data["c_max"])
        return value


class Parameters(Table):
    """[parameters]: everything dimensionless, in the scales of docs/theory."""

    ELSEWHERE: ClassVar[dict[str, str]] = {"T0": 'needs units = "SI": give lambda and gamma'}

    units: UnitsNone = Field(default="dimensionless", description="units of all parameters")
    D_L: Positive = Field(description="diffusivity of lithium ions in the electrolyte")
    D_A: Positive = Field(description="diffusivity of anions in the electrolyte")
    mu_L: Positive | None = Field(
        default=None, description="mobility of lithium ions; default: Einstein, D_L/(1 + gamma T)"
    )
    mu_A: Positive | None = Field(
        default=None, description="mobility of anions; default: Einstein, D_A/(1 + gamma T)"
    )
    lambda_: Positive = Field(alias="lambda", description="voltage scale over thermal voltage, F Phi0/(R T0)")
    gamma: NotNegative = Field(default=0.0, description="temperature scale over T0")
    h: Cooling = Field(default=0.0, description="heat exchange at the collector faces, >= 0 during the run")
    h_negative: Cooling | None = Field(default=None, description="heat exchange at y1 = 0; default: h")
    h_positive: Cooling | None = Field(default=None, description="heat exchange at y1 = 1; default: h")
    h_lateral: Cooling = Field(
        default=0.0, description="heat exchange at the lateral faces, `homogenised` in 2 or 3 dimensions only"
    )
    T_ambient: Number = Field(default=0.0, description="ambient temperature (scaled rise), 1 + gamma T > 0")
    T_initial: Number = Field(default=0.0, description="initial temperature (scaled rise), 1 + gamma T > 0")
    isothermal: Flag = Field(default=False, description="true: T stays T_initial")
    c_e0: Positive = Field(default=1.0, description="initial concentration in the electrolyte")
    overpotential: Overpotential = Field(
        default="paper",
        description="eta = Phi_s - Phi_e - U, or measured against a lithium electrode in the electrolyte: less "
        "((1 + gamma T)/lambda) ln(c_e/c_e0), the thermodynamics of an ideal solution",
    )
    negative: Electrode = Field(description="negative electrode")
    positive: Electrode = Field(description="positive electrode")
    activation: Activation = Field(default_factory=Activation, description="Arrhenius energies")

    @model_validator(mode="after")
    def _check(self) -> Parameters:
        for key in ("T_ambient", "T_initial"):
            if not 1.0 + self.gamma * getattr(self, key) > 0.0:
                raise wrong(key, f"{getattr(self, key):g} is below absolute zero for gamma = {self.gamma:g}")
        for name in ELECTRODES:
            self._check_formulas(name, getattr(self, name))
        return self

    def _check_formulas(self, name: str, electrode: Electrode) -> None:
        """Curves as `check_curves` asks; Pi = "auto" has a meaning."""
        check_curves(name, electrode, self.T_initial)
        slope = Expression.parse(electrode.ocp).diff("T")
        if electrode.Pi == "auto" and self.gamma == 0.0 and (slope.op, slope.value) != ("const", 0.0):
            raise wrong(f"{name}.Pi", '"auto" needs gamma > 0, because ocp depends on T')


def _units(table: Any) -> str:
    """Which of the two tables it is; a value of `units` that is not known is refused by the first."""
    given = table.get("units") if isinstance(table, Mapping) else getattr(table, "units", None)
    return "SI" if given == "SI" else "dimensionless"


AnyParameters = Annotated[
    Annotated[Parameters, Tag("dimensionless")] | Annotated[ParametersSI, Tag("SI")], Discriminator(_units)
]


class Run(Table):
    """A run file. Tables without defaults are None where absent; `require` asks for those needed."""

    microstructure: dict[str, Geometry] = Field(min_length=1, description="unit cells by name")
    # None is hidden from the type checker: past `require` the tables are there, and no reader asks again
    cell: Cell = Field(default=None, description="the battery cell")  # type: ignore[assignment]
    parameters: AnyParameters = Field(default=None, description="parameters")  # type: ignore[assignment]
    protocol: Protocol = Field(default=None, description="applied current")  # type: ignore[assignment]
    time: Time = Field(default=None, description="time steps")  # type: ignore[assignment]
    output: Output = Field(default_factory=Output, description="moments at which fields are written")
    solver: Solver = Field(default_factory=Solver, description="solver")
    homogenised: Homogenised = Field(default_factory=Homogenised, description="meso model")
    battery: Battery = Field(default=None, description="the battery that the cells make up")  # type: ignore[assignment]
    checkpoint: Checkpoint = Field(default_factory=Checkpoint, description="when the state is written")
    convergence: Convergence = Field(default=None, description="levels of the convergence study")  # type: ignore[assignment]

    scaling: Scaling = Field(default=None, description="what `scaling` measures")  # type: ignore[assignment]
    case: Case = Field(default=None, description="case of the verification book")  # type: ignore[assignment]
    rve: Rve = Field(default=None, description="samples of the study of representative volumes")  # type: ignore[assignment]

    _source: str = PrivateAttr(default="run file")
    _notes: tuple[str, ...] = PrivateAttr(default=())
    _given: ParameterSet | None = PrivateAttr(default=None)

    @field_validator("microstructure")
    @classmethod
    def _names(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
                raise ValueError(f"{name!r} is no name; letters, digits, _ and - make one")
        return value

    @model_validator(mode="after")
    def _ratio(self) -> Run:
        if self.cell is not None and self.cell.thickness is None and self.convergence is not None:
            a, b = self.cell.periods, self.convergence.periods[0]
            if any(a[i] * sum(b) != b[i] * sum(a) for i in range(3)):
                raise wrong(
                    "convergence.periods",
                    f"{list(b)} has another ratio of the regions than cell.periods = {list(a)}",
                )
        return self

    @model_validator(mode="after")
    def _whole(self) -> Run:
        """Without units the cell is as long as the unit of length."""
        thickness = None if self.cell is None else self.cell.thickness
        plain = isinstance(self.parameters, Parameters)
        if plain and thickness is not None and abs(sum(thickness) - 1.0) > 1e-9:
            raise wrong("cell.thickness", f"sum to {sum(thickness):g}, not to 1, the whole cell")
        return self

    @model_validator(mode="after")
    def _within(self) -> Run:
        """Limits and moments that the protocol can meet."""
        if self.protocol is None:
            return self
        hottest, end = self.protocol.T_max, self.protocol.longest
        if hottest is not None and self.parameters is not None and not hottest > self.parameters.T_initial:
            raise wrong("protocol.T_max", f"{hottest:g} is not above T_initial: the run would end at once")
        late = [t for t in self.output.times or () if end is not None and t > end * (1 + 1e-9)]
        if late:
            raise wrong("output.times", f"{late[0]:g} is after the end of the protocol, t = {end:g}")
        return self

    @property
    def in_si(self) -> bool:
        """Whether the run file is in SI units."""
        return isinstance(self.parameters, ParametersSI)

    @property
    def source(self) -> str:
        """The file the run came from, for messages."""
        return self._source

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen for the user while the file was read, for the log."""
        return self._notes

    @property
    def given(self) -> ParameterSet | None:
        """The named set or BPX file whose values are under those of the run file."""
        return self._given

    @property
    def folder(self) -> Path:
        """The folder of the file the run came from. Files that a run file names are absolute paths in the models."""
        return Path(self._source).parent

    def meshes(self) -> dict[str, MeshGeometry]:
        """The microstructures that are meshed."""
        return {
            n: cast(MeshGeometry, s)
            for n, s in self.microstructure.items()
            if not (s.is_voxels or s.is_given)
        }

    def images(self) -> dict[str, VoxelGeometry]:
        """The microstructures that are made of voxels."""
        return {n: cast(VoxelGeometry, s) for n, s in self.microstructure.items() if s.is_voxels}

    def problem(self, key: str, reason: str) -> BadInput:
        """The error to raise for a value that turns out to be wrong: BadInput that names file and key."""
        return BadInput(f"{self.source}: {key}: {reason}")

    def to_toml(self) -> str:
        """The complete input with defaults; loading it gives an equal Run."""
        return to_toml(self.model_dump(by_alias=True, exclude_none=True))
