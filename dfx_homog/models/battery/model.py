"""The battery: a macro heat equation and a cell model at every group of its cells, coupled both ways (MODEL section 6).

Every step is fully implicit: the cells run at the new mean temperature of their group, the macro equation with the heat
that they make then, and the electrical condition of the connection holds at the new time:

    prescribed   the same i_app in every cell (cells in series); V is their mean, the sum over the number of cells
    parallel     the same V in every cell; i_app is the mean of the cells' currents
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from mpi4py import MPI

from dfx_homog._compat import FloatArray
from dfx_homog.errors import SolverFailure
from dfx_homog.models.battery.cells import CellModels
from dfx_homog.models.battery.columns import FIELD_KINDS, KINDS
from dfx_homog.models.battery.coupling import iterate
from dfx_homog.models.battery.fields import NoInterface
from dfx_homog.models.battery.heat import BatteryHeat
from dfx_homog.models.history import COLUMNS, Balance, Row
from dfx_homog.models.local_error import Quantity
from dfx_homog.models.state import State, Table
from dfx_homog.models.transient import LEAST_TEMPERATURE
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.guard import Places
from dfx_homog.solvers.layout import Flags
from dfx_homog.solvers.newton import SolveInfo
from dfx_homog.solvers.timestepping import TimeStep

Connection = Literal["prescribed", "parallel"]
TIE = 1e-6  # of the range of T: nodes that are this close to its maximum share it
UNIFORM = 1e-9  # of the largest T: less variation is none
SMALL_CURRENT = 1e-12
LEAST_ELECTRICAL = 1e-3  # size that V or i_app is taken to have at least, where its change is to be small


@dataclass(frozen=True)
class Coupling:
    """How cells are connected and coupled to the heat equation.

    tolerance:  relative change of T and of the electrical unknown at which a step is converged
    iterations: evaluations of all cell models in one step at most
    """

    connection: Connection
    tolerance: float
    iterations: int


class BatteryModel:
    """State and solver of a battery, as `studies.march` takes it through a protocol.

    heat:      the macro equation; cells: the cell models, one a group of its cells
    thickness: of the repeating unit with its extra layers, 1 for the meso cell alone
    K_normal:  least K_11 of the layers, for the temperature that varies within one
    """

    fields: tuple[str, ...] = ("T", *FIELD_KINDS)

    def __init__(
        self,
        heat: BatteryHeat,
        cells: CellModels,
        coupling: Coupling,
        *,
        thickness: float,
        K_normal: float,
        T_initial: float,
    ):
        self.comm, self.heat, self.cells, self.coupling = heat.comm, heat, cells, coupling
        self.forms = heat.forms
        self.thickness, self.K_normal = thickness, K_normal
        self.weights = heat.group_volumes / heat.volume
        for f in (self.forms.u, self.forms.u1, self.forms.u2):
            f.x.array[:] = T_initial
        self._oldest: FloatArray | None = None
        self.temperature: FloatArray = np.full(cells.groups, T_initial)
        self.found = cells.observe()
        self._counts = (0, 0.0)
        self.interface = NoInterface()

    # what a march asks for -----------------------------------------------------------------------------------------

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the history."""
        return (*COLUMNS, *KINDS)

    @property
    def dofs(self) -> int:
        """Unknowns of a time step: those of the heat equation and of all cell models."""
        return self.heat.layout.global_size + self.cells.groups * self.cells.model.dofs

    @property
    def voltage(self) -> float:
        """Mean of V over the cells; in parallel they agree."""
        return float(self.weights @ self.found["voltage"])

    @property
    def current(self) -> float:
        """Mean of i_app over the cells."""
        return float(self.weights @ self.found["current"])

    def set_current(self, current: float) -> None:
        """Where the search for the cells' currents starts: scaled so that their mean is this."""
        now = self.current
        shares = self.found["current"] / now if abs(now) > SMALL_CURRENT else np.ones(self.cells.groups)
        self.found["current"] = current * shares

    def extreme(self, name: str, op: MPI.Op) -> float:
        """Largest or smallest nodal value of T (MPI.MAX or MPI.MIN)."""
        if name != "T":
            raise ValueError(f"a battery has no field {name}")
        T = self.forms.u.x.array
        empty = -np.inf if op == MPI.MAX else np.inf
        local = empty if not len(T) else float(T.max() if op == MPI.MAX else T.min())
        return float(self.comm.allreduce(local, op=op))

    def switch_on(self, control: Control) -> SolveInfo | None:
        """Just after the control is applied; T is uniform and the cells are alike then, whatever connects them."""
        self.cells.switch_on(control)
        self.found = self.cells.observe()
        return None

    # a step ----------------------------------------------------------------------------------------------------------

    def advance(self, step: TimeStep) -> SolveInfo:
        """One implicit step, coupling converged. Raises SolverFailure; the old state is intact then."""
        forms, q, control = self.forms, step.quotient, step.control
        forms.a0.value, forms.a1.value, forms.a2.value = q.a0, q.a1, q.a2
        parallel = self.coupling.connection == "parallel"
        unknown = control.kind != ("voltage" if parallel else "current")
        if parallel:
            start = control.value if control.kind == "voltage" else self.voltage
        else:
            start = control.start(self.current, self.voltage)
        newton, krylov = 0.0, list[int]()

        def evaluate(x: FloatArray) -> FloatArray:
            nonlocal newton
            applied = Control("voltage" if parallel else "current", float(x[-1]), time=step.time)
            found = self.cells.advance(step, x[:-1], applied, slopes=unknown)
            self.temperature, self.found = x[:-1].copy(), found
            newton = max(newton, float(found["newton"].max()))
            krylov.extend(self.heat.solve(self.by_group()["heat"]))
            image = np.append(self.heat.group_means(), x[-1])
            if unknown:
                image[-1] -= self._electrical_update(control, float(x[-1]))
            return image

        before = np.append(self.heat.group_means(), start)
        scale = np.append(
            np.full(self.cells.groups, self._temperature_scale()), max(abs(start), LEAST_ELECTRICAL)
        )
        count, miss = iterate(
            before, scale, self.coupling.tolerance * scale, evaluate, self.coupling.iterations
        )
        if (miss > self.coupling.tolerance * scale).any():
            raise SolverFailure(
                f"temperatures and currents of the battery have not converged in {count} iterations "
                f"(T changes by {miss[:-1].max():.1e}, the electrical unknown by {miss[-1]:.1e})"
            )
        self._counts = count, float((miss / scale).max())
        return SolveInfo(int(newton), krylov, float((miss / scale).max()))

    def _temperature_scale(self) -> float:
        return max(LEAST_TEMPERATURE, float(np.abs(self.temperature).max()))

    def _electrical_update(self, control: Control, x: float) -> float:
        """Newton's correction of V (parallel) or i_app (prescribed), so that the control holds for their means."""
        slope = self.found["slope"]  # dV/di of each cell, negative
        if self.coupling.connection == "prescribed":
            by_voltage, by_current = control.slopes(x, self.voltage)
            derivative = by_voltage * float(self.weights @ slope) + by_current
            return control.residual(x, self.voltage) / derivative
        conductance = float(self.weights @ (1 / slope))
        if control.kind == "current":
            return (self.current - control.value) / conductance
        by_voltage, by_current = control.slopes(self.current, x)
        return control.residual(self.current, x) / (by_voltage + by_current * conductance)

    def accept(self) -> None:
        """Make the new state the old one."""
        forms = self.forms
        if self._oldest is not None:
            self._oldest[:] = forms.u2.x.array
        forms.u2.x.array[:] = forms.u1.x.array
        forms.u1.x.array[:] = forms.u.x.array
        self.cells.accept()

    def begin_again(self) -> None:
        """Put the old state where the next step starts from."""
        self.forms.u.x.array[:] = self.forms.u1.x.array
        self.cells.begin_again()

    def keep_oldest(self) -> None:
        """From now on remember three states."""
        self._oldest = self.forms.u2.x.array.copy()
        self.cells.keep_oldest()

    # states ----------------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Old and older T at the nodes, and the states of all cell models."""
        rows, count, n = self.heat.numbers, self.heat.domain.count, self.heat.nodes
        arrays = {"T_old": self.forms.u1.x.array, "T_older": self.forms.u2.x.array}
        if self._oldest is not None:
            arrays["T_oldest"] = self._oldest
        tables = {name: Table(rows, count, a[:n, None]) for name, a in arrays.items()}
        return tables | self.cells.state()

    def restore(self, tables: dict[str, FloatArray]) -> None:
        """Take up a state."""
        forms, n = self.forms, self.heat.nodes
        forms.u1.x.array[:n] = tables["T_old"].ravel()
        forms.u2.x.array[:n] = tables["T_older"].ravel()
        if self._oldest is not None:
            self._oldest[:n] = tables["T_oldest"].ravel()
        forms.u.x.array[:] = forms.u1.x.array
        self.cells.restore(tables)
        self.temperature = self.heat.group_means()
        self.found = self.cells.observe()

    def memory(self) -> list[Quantity]:
        """Everything that has a time derivative: T of the battery, and what the cell models remember."""
        own = int(self.forms.space.dofmap.index_map.size_local)
        arrays = [f.x.array for f in (self.forms.u, self.forms.u1, self.forms.u2)]
        if self._oldest is not None:
            arrays.append(self._oldest)
        T = Quantity(tuple(a[:own] for a in arrays), LEAST_TEMPERATURE)
        return [T, *self.cells.memory()]

    # what is measured -------------------------------------------------------------------------------------------------

    @property
    def values(self) -> FloatArray:
        """(nodes, fields) T, and what the groups make and carry as means around each node. Collective."""
        columns = [np.asarray(self.forms.u.x.array), *(self.heat.nodal(v) for v in self.by_group().values())]
        return np.column_stack(columns)

    def by_group(self) -> dict[str, FloatArray]:
        """(groups,) heat per volume of the battery, i_app and state of charge of each group."""
        return {
            "heat": np.asarray(self.found["heat"] / self.thickness, dtype=np.float64),
            "current": self.found["current"],
            "soc_n": self.found["soc_n"],
        }

    @property
    def visible(self) -> Flags:
        """(nodes, fields) where each field lives: everywhere."""
        return np.ones((len(self.forms.u.x.array), len(self.fields)), dtype=bool)

    @property
    def negative(self) -> Flags:
        """(nodes,) no node is on the negative side of anything."""
        return np.zeros(len(self.forms.u.x.array), dtype=bool)

    def places(self) -> Places:
        """Name of the field and coordinates of the nodes."""
        return Places(("T",), self.heat.coordinates)

    def observe(self) -> Row:
        """The row of the new state."""
        found, w = self.found, self.weights
        slopes = self.heat.slopes()
        size = np.linalg.norm(slopes, axis=1)
        through = np.abs(self._through(slopes))
        T = self.forms.u.x.array
        hot = self._hot_spot()
        return {
            "voltage": self.voltage,
            "T_mean": self.heat.mean(T),
            "T_max": self.extreme("T", MPI.MAX),
            "T_min": self.extreme("T", MPI.MIN),
            "c_e_min": float(found["c_e_min"].min()),
            "c_e_max": float(found["c_e_max"].max()),
            "soc_n": float(w @ found["soc_n"]),
            "soc_p": float(w @ found["soc_p"]),
            "current_min": float(found["current"].min()),
            "current_max": float(found["current"].max()),
            "voltage_min": float(found["voltage"].min()),
            "voltage_max": float(found["voltage"].max()),
            "soc_n_min": float(found["soc_n"].min()),
            "soc_n_max": float(found["soc_n"].max()),
            "heat": float(w @ found["heat"]) / self.thickness,
            "T_within_cell": float(found["heat_largest"].max()) / (8 * self.K_normal),
            "T_gradient_max": float(self.comm.allreduce(size.max(initial=0.0), op=MPI.MAX)),
            "T_gradient_through": float(self.comm.allreduce(through.max(initial=0.0), op=MPI.MAX)),
            **{f"hot_spot_x{i + 1}": float(hot[i]) for i in range(3)},
            "coupling": float(self._counts[0]),
            "coupling_error": self._counts[1],
        }

    def _through(self, slopes: FloatArray) -> FloatArray:
        """Component of cell-wise gradients along the stacking direction."""
        if not self.heat.domain.cylindrical:
            return slopes[:, 0]
        middle = self.heat.coordinates[self.heat.cells].mean(axis=1)[:, :2]
        return np.asarray((slopes[:, :2] * middle).sum(axis=1) / np.linalg.norm(middle, axis=1))

    def hot_node(self) -> int | None:
        """Number of the node where T is largest, the lowest among equals; None where T is uniform. Collective."""
        T = np.asarray(self.forms.u.x.array)
        high, low = self.extreme("T", MPI.MAX), self.extreme("T", MPI.MIN)
        if high - low <= UNIFORM * max(abs(high), LEAST_TEMPERATURE):
            return None
        hot = self.heat.numbers[high - TIE * (high - low) <= T]
        return int(self.comm.allreduce(int(hot.min(initial=np.iinfo(np.int64).max)), op=MPI.MIN))

    def _hot_spot(self) -> FloatArray:
        """Place of `hot_node`, nan without one. Collective."""
        node = self.hot_node()
        if node is None:
            return np.full(3, np.nan)
        here = np.flatnonzero(self.heat.numbers == node)
        place = self.heat.coordinates[here[0]] if len(here) else np.full(3, -np.inf)
        out = np.empty(3)
        self.comm.Allreduce(np.ascontiguousarray(place, dtype=float), out, op=MPI.MAX)
        return out

    def lithium(self) -> tuple[float, float]:
        """Mean over the cells of their inventories per collector area."""
        return float(self.weights @ self.found["lithium_s"]), float(self.weights @ self.found["lithium_e"])

    def balance(self) -> Balance:
        """Terms of the conservation laws, means over the cells; the energy identity is that of the whole battery.

        theta_batt d/dt mean T + cooling = -(lambda i V + work + capacitor)/thickness: the heat of the macro equation is
        replaced by the terms of the cells' own identities, so that both and their coupling are tested.
        """
        found, w = self.found, self.weights
        f = self.forms
        rate = f.a0.value * f.u.x.array + f.a1.value * f.u1.x.array + f.a2.value * f.u2.x.array
        cells = [float(w @ found[n]) / self.thickness for n in ("power", "work", "capacitor")]
        return Balance(
            lithium=self.lithium(),
            interface=(float(w @ found["interface_n"]), float(w @ found["interface_p"])),
            heating=(self.heat.theta * self.heat.mean(rate), self.heat.cooling(), *cells),
        )

    def exhausted(self) -> str | None:
        """What has run out in some cell. Collective."""
        return self.cells.exhausted()

    def solver_view(self) -> list[str]:
        """PETSc's description of this rank's solver of cell models; lines on rank 0."""
        return self.cells.model.solver_view() if self.comm.rank == 0 else []

    def destroy(self) -> None:
        """Free PETSc objects (collective)."""
        self.heat.destroy()
        self.cells.model.destroy()
