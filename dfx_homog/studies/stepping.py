"""A model in the hands of a caller who decides every step: what is applied, for how long, and when to end."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Literal

from mpi4py import MPI

from dfx_homog.errors import BadInput, SolverFailure
from dfx_homog.io.fields import FieldFunctions
from dfx_homog.models.marched import Marched
from dfx_homog.runfile import Run
from dfx_homog.runoptions import RunOptions
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.timestepping import TimeStep, quotient
from dfx_homog.studies.battery import BatteryProblem
from dfx_homog.studies.marching import Marching
from dfx_homog.studies.progress import Log
from dfx_homog.studies.recorded import coefficients
from dfx_homog.studies.results import Array, EffectiveCoefficients, columns
from dfx_homog.studies.setup import Problem

if TYPE_CHECKING:
    from pathlib import Path

    from dolfinx.fem import Function

Kind = Literal["current", "voltage", "power"]


class Stepper:
    """A resolved or homogenised model, step by step, in units of the run file. Everything is collective.

    Made by `dfx_homog.stepper`. [protocol] of the run file plays no part; [time] gives the scheme. A context manager:
    leaving it frees the solver.

    model: the model itself, without units: forms, values, layout
    units: of the run file
    coefficients: of the regions with a unit cell, in units of the run file; homogenised model only
    time:  of the present state

    >>> with dfx_homog.stepper("runs/quickstart.toml") as cell:
    ...     while cell.voltage > 0.6:
    ...         row = cell.step(0.01, current=0.2)
    >>> cell.history["voltage"][-1]
    """

    def __init__(
        self,
        model: Marched,
        problem: Problem,
        opts: RunOptions,
        label: str,
        effective: dict[str, EffectiveCoefficients],
    ):
        self.model, self.units, self.coefficients = model, problem.units, effective
        self._scheme = problem.run.time.scheme
        self._log = Log(model.comm, None, quiet=opts.quiet, verbose=opts.verbose)
        self._marching = Marching(model, problem.run, self._log, label, None, bounded=False, units=self.units)
        self._applied: tuple[str, float] | None = None
        self._fields: FieldFunctions | None = None

    def __enter__(self) -> Stepper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the solver; states and history stay."""
        self.model.destroy()

    def step(
        self,
        dt: float,
        *,
        current: float | None = None,
        voltage: float | None = None,
        power: float | None = None,
        smooth: bool = False,
    ) -> dict[str, float]:
        """One implicit step of size dt with one of the three applied; returns the row of the history.

        current: of discharge, per area of the collector; voltage; power: i_app V
        smooth: what is applied goes on smoothly though its value is another, as in a drive cycle; else "bdf2" starts
                again with a step of Euler's method where it changes

        Where Newton's method fails the step is tried in 2, 4, 8 and 16 parts. Raises BadInput for a dt or a value that
        is none, and SolverFailure if no step can be done; the state is that before the step then, and a smaller dt or
        another value may be tried.
        """
        kind, value = self._control(dt, current, voltage, power)
        marching, units = self._marching, self.units
        size = dt / units.factor("time")
        target = marching.clock.time + size
        applied = value / units.factor(kind)
        if self._applied is None:
            marching.begin(None, Control(kind, applied))
        elif self._applied != (kind, value) and not (smooth and self._applied[0] == kind):
            marching.clock.sizes = []
        clock = marching.clock
        self._applied = kind, value
        control = Control(kind, applied, time=target)
        rule = quotient(self._scheme, size, clock.sizes)
        step = TimeStep(clock.index + 1, target, size, control, rule, 0)
        try:
            marching.complete(marching.reach(step))
        except SolverFailure as failure:
            end, marching.out.end = marching.out.end, None
            raise SolverFailure(f"{failure}; {end}") if end else failure from None
        return dict(marching.out.rows[-1])

    def _control(
        self, dt: float, current: float | None, voltage: float | None, power: float | None
    ) -> tuple[Kind, float]:
        pairs: list[tuple[Kind, float | None]] = [
            ("current", current),
            ("voltage", voltage),
            ("power", power),
        ]
        given = [(kind, float(value)) for kind, value in pairs if value is not None]
        if len(given) != 1:
            raise BadInput(f"step: {len(given)} things applied (allowed: one of current, voltage, power)")
        for name, value in (("dt", dt), given[0]):
            if not abs(value) < float("inf") or (name == "dt" and dt <= 0):
                raise BadInput(
                    f"step: {name} = {value} (allowed: a {'number > 0' if name == 'dt' else 'number'})"
                )
        return given[0]

    @property
    def time(self) -> float:
        """Time of the present state."""
        return self.units.value("time", self._marching.clock.time)

    @property
    def voltage(self) -> float:
        """V of the present state."""
        return self.units.value("voltage", self.model.voltage)

    @property
    def current(self) -> float:
        """Applied current of the present state, mean over the collector, per area."""
        return self.units.value("current", self.model.current)

    @property
    def history(self) -> dict[str, Array]:
        """Columns of history.csv by name, each an array over the rows so far; empty before the first step."""
        rows = self._marching.out.rows
        return columns(rows) if rows else {}

    @property
    def fields(self) -> dict[str, Function]:
        """The present state by name, as in `ModelResult`; the same functions are updated at every call."""
        if self._fields is None:
            self._fields = FieldFunctions(self.model, self.units)
        self._fields.update()
        return {function.name: function for function in self._fields.functions}


def resolved_stepper(run: Run, _out: Path | None, opts: RunOptions, comm: MPI.Intracomm) -> Stepper:
    """The resolved model with cell.periods unit cells, at its initial state."""
    problem = Problem(comm, run, opts.petsc)
    cells = problem.unit_cells()
    problem = problem.scaled(cells)
    return Stepper(problem.resolved(cells, run.cell.periods), problem, opts, "resolved", {})


def homogenised_stepper(run: Run, _out: Path | None, opts: RunOptions, comm: MPI.Intracomm) -> Stepper:
    """The homogenised model, or with [battery] the battery, at its initial state."""
    problem = Problem(comm, run, opts.petsc)
    cells = problem.unit_cells()
    problem = problem.scaled(cells)
    media = problem.effective_media(cells)
    model: Marched
    if run.battery is not None:
        model = BatteryProblem(problem, cells, media).model()
    else:
        model = problem.homogenised(cells, media, problem.strips(cells, media))
    return Stepper(model, problem, opts, "homogenised", coefficients(problem.units, media, comm))
