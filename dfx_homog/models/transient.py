"""What the resolved and the homogenised model have in common: blocked fields in time, sums over ranks, extremes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from mpi4py import MPI

from dfx_homog._compat import FloatArray
from dfx_homog.dimensionless.physics import Physics
from dfx_homog.errors import SolverFailure
from dfx_homog.models.history import COLUMNS, Balance, Row
from dfx_homog.models.interface_statistics import Interface
from dfx_homog.models.local_error import Quantity
from dfx_homog.models.state import State, Table
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.guard import Bounds, Places
from dfx_homog.solvers.layout import Flags, Ints, Layout, build_layout
from dfx_homog.solvers.newton import AppliedCurrent, NewtonSolver, SolveInfo
from dfx_homog.solvers.presets import NEWTON, START, Options
from dfx_homog.solvers.timestepping import TimeStep

NEARLY = (
    0.05  # share of its range from which on a concentration counts as exhausted when Newton's method fails
)


LEAST_TEMPERATURE = 0.1  # size of the temperature rise that its error is measured against at least


class TransientModel(ABC):
    """A model with fields `forms.u` (new), `forms.u1`, `forms.u2` (old) on one blocked space.

    `fields` names the components; `forms` also has the Constants a0, a1, a2 (difference quotient) and current.
    """

    fields: tuple[str, ...]
    comm: MPI.Intracomm
    physics: Physics
    forms: Any
    layout: Layout
    nodes: int
    keys: Ints
    active: Flags
    fixed: Flags
    interface: Interface
    _negative: Flags
    _newton: NewtonSolver
    _oldest: FloatArray | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the history."""
        return (*COLUMNS, *self.interface.columns)

    def component(self, name: str) -> int:
        """Position of a field in the blocked space."""
        return self.fields.index(name)

    @property
    def values(self) -> FloatArray:
        """(nodes, fields) new values at this rank's nodes."""
        return np.asarray(self.forms.u.x.array.reshape(-1, len(self.fields)))

    @property
    def visible(self) -> Flags:
        """(nodes, fields) where each field lives, prescribed values included."""
        flags = self.active.copy()
        flags[:, self.component("T")] = True
        return flags

    @property
    def unknowns(self) -> Flags:
        """(nodes, fields) where the fields, and what a model keeps at their places, are unknown."""
        return self.active

    def rates(self) -> FloatArray:
        """(nodes, fields) the scheme's own difference quotient of the fields."""
        f = self.forms
        flat = f.a0.value * f.u.x.array + f.a1.value * f.u1.x.array + f.a2.value * f.u2.x.array
        return np.asarray(flat.reshape(-1, len(self.fields)))

    def equilibrium(self, negative: Flags) -> None:
        """Uniform c_e0, T_initial and the potentials with Phi_s - Phi_e = U, Phi_s = 0 at the negative collector.

        negative: (nodes,) true on the negative side of the separator
        """
        p, self._negative = self.physics, negative
        u_n, u_p = (float(e.ocp.numpy(c=e.c_s0 / e.c_max, T=p.T_initial)) for e in (p.negative, p.positive))
        values = self.values
        values[:, self.component("Phi_s")] = np.where(negative, 0.0, u_p - u_n)
        values[:, self.component("c_e")] = p.c_e0
        values[:, self.component("Phi_e")] = -u_n
        values[:, self.component("T")] = p.T_initial

    @property
    def negative(self) -> Flags:
        """(nodes,) which of this rank's nodes are on the negative side of the separator's middle."""
        return self._negative

    def remember(self, depth: int = 1) -> None:
        """Shift new -> old -> older, `depth` times."""
        forms = self.forms
        for _ in range(depth):
            if self._oldest is not None:
                self._oldest[:] = forms.u2.x.array
            forms.u2.x.array[:] = forms.u1.x.array
            forms.u1.x.array[:] = forms.u.x.array

    def keep_oldest(self) -> None:
        """From now on remember three states, as extrapolation by a parabola needs; `state` has them all."""
        self._oldest = self.forms.u2.x.array.copy()

    def begin_again(self) -> None:
        """Put the old state where the next step starts from, after one that failed."""
        self.forms.u.x.array[:] = self.forms.u1.x.array

    def memory(self) -> list[Quantity]:
        """Everything that has a time derivative: new and remembered states at this rank's own nodes.

        Concentrations, T, and the jump Phi_s - Phi_e on Gamma of each electrode with a double layer.
        """
        forms, width = self.forms, len(self.fields)
        own = int(forms.space.dofmap.index_map.size_local)
        arrays = [forms.u.x.array, forms.u1.x.array, forms.u2.x.array]
        states = [
            a.reshape(-1, width)[:own] for a in (*arrays, *([self._oldest] * (self._oldest is not None)))
        ]
        active = self.active[:own]
        found = []
        for name in ("c_s", "c_e", "T"):
            if name in self.fields and not (name == "T" and self.physics.isothermal):
                column = self.component(name)
                here = active[:, column]
                found.append(
                    Quantity(tuple(s[here, column] for s in states), LEAST_TEMPERATURE * (name == "T"))
                )
        solid, pores = self.component("Phi_s"), self.component("Phi_e")
        negative, p = self._negative[:own], self.physics
        charged = (negative & (p.negative.C > 0)) | (~negative & (p.positive.C > 0))
        both = active[:, solid] & active[:, pores] & charged
        found.append(Quantity(tuple(s[both, solid] - s[both, pores] for s in states)))
        return found

    @property
    @abstractmethod
    def rows(self) -> tuple[Ints, int]:
        """(nodes,) number of each local node, independent of the number of ranks, and how many there are."""

    def state(self) -> State:
        """What a run needs to go on after an accepted step: old and older fields, the oldest if they are kept."""
        rows, count = self.rows
        width = len(self.fields)
        old, older = (f.x.array.reshape(-1, width)[: self.nodes] for f in (self.forms.u1, self.forms.u2))
        tables = {"old": Table(rows, count, old), "older": Table(rows, count, older)}
        if self._oldest is not None:
            tables["oldest"] = Table(rows, count, self._oldest.reshape(-1, width)[: self.nodes])
        return tables

    def restore(self, tables: dict[str, FloatArray]) -> None:
        """Take up a state: tables as `state` has them."""
        for function, name in ((self.forms.u1, "old"), (self.forms.u2, "older")):
            function.x.array.reshape(-1, len(self.fields))[: self.nodes] = tables[name]
        if self._oldest is not None:
            self._oldest.reshape(-1, len(self.fields))[: self.nodes] = tables["oldest"]
        self.forms.u.x.array[:] = self.forms.u1.x.array

    def set_step(self, step: TimeStep) -> None:
        """Put a step's difference quotient and what is applied into the forms."""
        forms, q = self.forms, step.quotient
        forms.a0.value, forms.a1.value, forms.a2.value = q.a0, q.a1, q.a2
        if not step.control.finds_current:
            self.set_current(step.control.value)

    @property
    def current(self) -> float:
        """Applied current i_app of the new state, mean over the collector."""
        return float(self.forms.current.value)

    def set_current(self, current: float) -> None:
        """Put an applied current, the same everywhere on the collector, into the forms."""
        self.forms.current.value = current

    @property
    @abstractmethod
    def voltage_weights(self) -> FloatArray:
        """(nodes,) this rank's part of w in V = w . Phi_s."""

    def applied(self) -> AppliedCurrent:
        """The applied current as an unknown: a nodal load on the positive tab, weighted there as V is."""
        weights = np.zeros((len(self.values), len(self.fields)))
        weights[:, self.component("Phi_s")] = self.voltage_weights
        return AppliedCurrent(weights.ravel(), self.set_current)

    def bounds(self) -> Bounds:
        """c_e > 0, 1 + gamma T > 0."""
        lower = np.full((len(self.values), len(self.fields)), -np.inf)
        lower[:, self.component("c_e")] = 0.0
        if self.physics.gamma > 0:
            lower[:, self.component("T")] = -1 / self.physics.gamma
        return Bounds(lower, np.full_like(lower, np.inf))

    @abstractmethod
    def places(self) -> Places:
        """Names of the fields and coordinates of the nodes."""

    def solve(self, newton: NewtonSolver, control: Control) -> SolveInfo:
        """Newton's method for the fields and, where V or i_app V is applied, the current. Raises SolverFailure."""
        current = self.current
        try:
            return newton.solve(control, control.start(current, self.voltage), float(self.forms.a0.value))
        except SolverFailure:
            self.set_current(current)  # that of the last trial may be anything
            raise

    def switch_on(self, control: Control) -> SolveInfo | None:
        """State just after the control is applied. C = 0: the potentials are algebraic and are solved for here.

        With a double layer nothing jumps but V, and the initial equilibrium stands; the current that a given voltage or
        power takes is then found with the first step, and is zero here.
        """
        forms = self.forms
        self.set_current(0.0 if control.finds_current else control.value)
        if self.physics.negative.C > 0 or self.physics.positive.C > 0:
            return None
        forms.a0.value = forms.a1.value = forms.a2.value = 0.0
        potentials = np.zeros_like(self.active)
        columns = [self.component("Phi_s"), self.component("Phi_e")]
        potentials[:, columns] = self.unknowns[:, columns]
        layout = build_layout(self.comm, self.keys, potentials, self.fixed, self.layout.order)
        solver = self.solver(layout, "start_", START)
        try:
            info = self.solve(solver, control)
        finally:
            solver.destroy()
        self.remember(2)
        return info

    def sum(self, value: Any) -> float:
        """Sum of a number over ranks."""
        return float(self.comm.allreduce(float(value)))

    def extreme(self, name: str, op: MPI.Op) -> float:
        """Largest or smallest nodal value of a field where it lives (MPI.MAX or MPI.MIN)."""
        if name == "T" and self.physics.isothermal:
            return self.physics.T_initial
        column = self.component(name)
        values = self.values[self.active[:, column], column]
        fallback = -np.inf if op == MPI.MAX else np.inf
        local = fallback if not len(values) else (values.max() if op == MPI.MAX else values.min())
        return float(self.comm.allreduce(float(local), op=op))

    def observe(self) -> Row:
        """Voltage, temperatures, concentrations, states of charge and what the interface does, of the new state."""
        soc_n, soc_p = self.states_of_charge()
        return {
            "voltage": self.voltage,
            "T_mean": self.mean_temperature(),
            "T_max": self.extreme("T", MPI.MAX),
            "T_min": self.extreme("T", MPI.MIN),
            "c_e_min": self.extreme("c_e", MPI.MIN),
            "c_e_max": self.extreme("c_e", MPI.MAX),
            "soc_n": soc_n,
            "soc_p": soc_p,
            **self.interface.row(),
        }

    def exhausted(self) -> str | None:
        """What has run out, so that the current cannot go on: a full or empty particle, a depleted electrolyte.

        None if nothing is within NEARLY of its end. Collective.
        """
        for name, c in zip(("negative", "positive"), self.saturations(), strict=True):
            local = (float(c.max()), float(-c.min())) if c.size else (0.0, -1.0)
            full, empty = (self.comm.allreduce(v, op=MPI.MAX) for v in local)
            if full > 1.0 - NEARLY:
                return f"a particle of the {name} electrode is full (c_s/c_max = {full:.4f})"
            if -empty < NEARLY:
                return f"a particle of the {name} electrode is empty (c_s/c_max = {-empty:.4f})"
        if (least := self.extreme("c_e", MPI.MIN)) < NEARLY * self.physics.c_e0:
            return f"the electrolyte is depleted (c_e/c_e0 = {least / self.physics.c_e0:.4g})"
        return None

    @abstractmethod
    def saturations(self) -> tuple[FloatArray, FloatArray]:
        """This rank's nodal values of c_s/c_max in the negative and the positive electrode."""

    def means(self) -> Row:
        """V, mean T, mean Phi_e of each electrode, mean c_e of each region: what is extrapolated to delta = 0."""
        out = {"voltage": self.voltage, "T_mean": self.mean_temperature()}
        phi_e, c_e = self.values[:, self.component("Phi_e")], self.values[:, self.component("c_e")]
        for region, weights in zip(
            ("negative", "separator", "positive"), self.electrolyte_weights(), strict=True
        ):
            volume = self.sum(weights.sum())
            out[f"c_e_{region}"] = self.sum(weights @ c_e) / volume
            if region != "separator":
                out[f"Phi_e_{region}"] = self.sum(weights @ phi_e) / volume
        return out

    @abstractmethod
    def electrolyte_weights(self) -> list[FloatArray]:
        """(nodes,) this rank's part of int v_i over the electrolyte of each region."""

    def solver_view(self) -> list[str]:
        """PETSc's description of the solver of a time step, after one; lines on rank 0. Collective."""
        return self._newton.view()

    @property
    def dofs(self) -> int:
        """Unknowns of a time step, all ranks."""
        return self.layout.global_size

    @abstractmethod
    def solver(self, layout: Layout, prefix: str, newton: Options = NEWTON) -> NewtonSolver:
        """Newton solver for the unknowns of a layout, with PETSc options of Newton's method."""

    @abstractmethod
    def advance(self, step: TimeStep) -> SolveInfo:
        """One implicit step. Raises SolverFailure; the old state is intact then."""

    @abstractmethod
    def accept(self) -> None:
        """Make the new state the old one."""

    @property
    @abstractmethod
    def voltage(self) -> float:
        """Mean of Phi_s over the positive collector minus that over the negative one."""

    @abstractmethod
    def mean_temperature(self) -> float:
        """Mean of T over the volume."""

    @abstractmethod
    def states_of_charge(self) -> tuple[float, float]:
        """Mean of c_s/c_max in the negative and the positive electrode."""

    @abstractmethod
    def lithium(self) -> tuple[float, float]:
        """Inventories per collector area: int c_s over both electrodes, int c_e over the three regions."""

    @abstractmethod
    def balance(self) -> Balance:
        """Terms of the conservation laws of the new state; before `accept`."""

    @abstractmethod
    def destroy(self) -> None:
        """Free PETSc objects (collective)."""
