"""The cell models of the battery: one homogenised model a rank, which takes up the state of one group after another.

Mesh, forms, factorised particle problems and solver exist once a rank; a further group costs its state only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpi4py import MPI

from dfx_homog._compat import FloatArray
from dfx_homog.errors import SolverFailure
from dfx_homog.models.battery.cell_heat import region_heat
from dfx_homog.models.cell_state import CellState, put_in, take_out
from dfx_homog.models.homogenised import HomogenisedModel
from dfx_homog.models.local_error import Quantity
from dfx_homog.models.state import State, Table
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.timestepping import TimeStep

#: What `CellModels.advance` finds of every group; per volume of the meso cell and area of its collector.
OBSERVED = (
    "current",
    "voltage",
    "slope",
    "heat",
    "heat_largest",
    "interface_n",
    "interface_p",
    "power",
    "work",
    "capacitor",
    "lithium_s",
    "lithium_e",
    "soc_n",
    "soc_p",
    "c_e_min",
    "c_e_max",
    "newton",
)


@dataclass
class Cell:
    """One group's cell model: its state, and what it does to those before it in time."""

    group: int
    state: CellState


class CellModels:
    """The cell models of all groups, dealt out over the ranks in contiguous parts.

    model:  a homogenised model at prescribed temperature on this rank alone (isothermal physics)
    groups: cell models in all
    """

    def __init__(self, comm: MPI.Intracomm, model: HomogenisedModel, groups: int):
        self.comm, self.model, self.groups = comm, model, groups
        low, high = (groups * (comm.rank + i) // comm.size for i in (0, 1))
        start = take_out(model)
        self.cells = [Cell(k, start.copy()) for k in range(low, high)]
        self._template = start

    @contextmanager
    def _loaded(self, cell: Cell) -> Iterator[HomogenisedModel]:
        """The model with a cell's state, which is that of the model afterwards."""
        put_in(self.model, cell.state)
        yield self.model
        cell.state = take_out(self.model)

    def _each(self, work: Any) -> None:
        """work(cell, model) for all cells of this rank; if one fails on some rank, all raise. Collective."""
        complaint = None
        for cell in self.cells:
            try:
                with self._loaded(cell) as model:
                    work(cell, model)
            except SolverFailure as failure:
                complaint = f"cell model of group {cell.group}: {failure}"
                break
        self._raise_first(complaint)

    def _raise_first(self, complaint: str | None) -> None:
        """SolverFailure on all ranks if some rank has a complaint. Collective."""
        found = [text for text in self.comm.allgather(complaint) if text]
        if found:
            raise SolverFailure(found[0])

    # steps -----------------------------------------------------------------------------------------------------------

    def switch_on(self, control: Control) -> None:
        """All groups, which are alike, just after the control is applied. Collective."""
        failure = None
        try:
            put_in(self.model, self._template.copy())
            self.model.switch_on(control)
        except SolverFailure as error:
            failure = str(error)
        self._raise_first(failure)
        start = take_out(self.model)
        for cell in self.cells:
            cell.state = start.copy()

    def advance(
        self,
        step: TimeStep,
        temperature: FloatArray,
        control: Control,
        *,
        slopes: bool,
        see: Callable[[int, HomogenisedModel], None] = lambda _group, _model: None,
    ) -> dict[str, FloatArray]:
        """One step of every cell model from its old state, at its group's temperature.

        temperature: (groups,), or (groups, nodes) at the local nodes of the cell model; see: called after each group's
        step. Newton's method starts at what the last trial of this step found. Returns OBSERVED, (groups,) each, on
        all ranks; slope is dV/di, if asked for. Raises SolverFailure on all ranks. Collective.
        """
        table = np.zeros((len(OBSERVED), self.groups))
        mine = TimeStep(step.index, step.time, step.dt, control, step.quotient, step.protocol_step)

        def work(cell: Cell, model: HomogenisedModel) -> None:
            model.set_temperature(temperature[cell.group])
            info = model.advance(mine)
            found = observed(model) | {"newton": float(info.newton)}
            found["slope"] = model.voltage_slope() if slopes else 0.0
            table[:, cell.group] = [found[name] for name in OBSERVED]
            see(cell.group, model)

        self._each(work)
        self.comm.Allreduce(MPI.IN_PLACE, table)
        return dict(zip(OBSERVED, table, strict=True))

    def observe(self) -> dict[str, FloatArray]:
        """OBSERVED of the present states, where no step has been taken yet. Collective."""
        table = np.zeros((len(OBSERVED), self.groups))

        def work(cell: Cell, model: HomogenisedModel) -> None:
            found = standing(model)
            table[:, cell.group] = [found.get(name, 0.0) for name in OBSERVED]

        self._each(work)
        self.comm.Allreduce(MPI.IN_PLACE, table)
        return dict(zip(OBSERVED, table, strict=True))

    def accept(self) -> None:
        """Make the new states the old ones."""
        self._each(lambda _cell, model: model.accept())

    def begin_again(self) -> None:
        """Put the old states where the next step starts from."""
        self._each(lambda _cell, model: model.begin_again())

    def keep_oldest(self) -> None:
        """Before the first step: from now on remember three states."""
        put_in(self.model, self._template)
        self.model.keep_oldest()
        self._template = take_out(self.model)
        for cell in self.cells:
            cell.state = self._template.copy()

    # states ----------------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """One row a group: old and older fields and concentrations, the oldest if they are kept."""
        own = np.array([cell.group for cell in self.cells], dtype=np.int64)
        width = len(self._template.remembered())
        values = np.array([cell.state.remembered() for cell in self.cells]).reshape(-1, width)
        return {"cells": Table(own, self.groups, values)}

    def restore(self, tables: dict[str, FloatArray]) -> None:
        """Take up a state."""
        for cell, row in zip(self.cells, tables["cells"], strict=True):
            cell.state.recall(row)

    def memory(self) -> list[Quantity]:
        """Everything in the cells that has a time derivative, over all groups of this rank."""
        found: list[list[Quantity]] = []
        for cell in self.cells:
            with self._loaded(cell) as model:
                found.append([Quantity(tuple(s.copy() for s in q.states), q.least) for q in model.memory()])
        like = self.model.memory()
        out = []
        for position, quantity in enumerate(like):
            states = tuple(
                np.concatenate([f[position].states[i].ravel() for f in found] or [np.zeros(0)])
                for i in range(len(quantity.states))
            )
            out.append(Quantity(states, quantity.least))
        return out

    def exhausted(self) -> str | None:
        """What has run out in some group. Collective."""
        complaint = None
        for cell in self.cells:
            with self._loaded(cell) as model:
                found = model.exhausted()
            if found and complaint is None:
                complaint = f"group {cell.group}: {found}"
        return next((text for text in self.comm.allgather(complaint) if text), None)


def standing(model: HomogenisedModel) -> dict[str, float]:
    """What a state says without a step: current, voltage, inventories."""
    soc_n, soc_p = model.states_of_charge()
    solid, pores = model.lithium()
    return {
        "current": model.current,
        "voltage": model.voltage,
        "lithium_s": solid,
        "lithium_e": pores,
        "soc_n": soc_n,
        "soc_p": soc_p,
        "c_e_min": model.extreme("c_e", MPI.MIN),
        "c_e_max": model.extreme("c_e", MPI.MAX),
    }


def observed(model: HomogenisedModel) -> dict[str, float]:
    """What a step has found; heat is the mean over the meso cell, heat_largest the largest of the regions' means.

    The terms of the cell's energy identity: power lambda i V, work lambda int G g (U - Pi), capacitor
    lambda int G C D d_t D.
    """
    balance = model.balance()
    by_region = region_heat(model)
    thickness = [model.sum(weights.sum()) for weights in model.electrolyte_weights()]
    return standing(model) | {
        "heat": float(by_region.sum()),
        "heat_largest": float(np.abs(by_region / thickness).max()),
        "interface_n": balance.interface[0],
        "interface_p": balance.interface[1],
        "power": balance.heating[2],
        "work": balance.heating[3],
        "capacitor": balance.heating[4],
    }
