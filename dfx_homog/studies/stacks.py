"""`dfx-homog convergence` with battery.levels: stacks of N meso-resolved cells against the battery equation.

The macro problem stays the same for all N: a stack of N cells has conductivities (N/N_0)^2 and heat exchange N/N_0
times those of the run file, whose battery has N_0 cells, so that in x = eps X conduction and exchange are those of the
run file's battery (MODEL section 6). What is left between both is the error of homogenisation in eps = 1/N: T varies
within a cell by the different conductivities of its layers and by the heat that is made in some of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI
from scipy.interpolate import CubicSpline

from dfx_homog._compat import FloatArray
from dfx_homog.io import kept
from dfx_homog.io.disk import below, make_folder
from dfx_homog.io.results import write_arrays, write_result
from dfx_homog.models.battery.heat import Cooling
from dfx_homog.models.battery.laminate import Stack, corrector_slopes
from dfx_homog.models.battery.model import BatteryModel
from dfx_homog.models.battery.stack import ResolvedStack
from dfx_homog.parameters.units import Units
from dfx_homog.runfile import Run
from dfx_homog.runfile.battery import Battery
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies.battery import BatteryProblem, describe
from dfx_homog.studies.checkpoints import fingerprint
from dfx_homog.studies.interrupt import Interrupt
from dfx_homog.studies.march import march
from dfx_homog.studies.orders import order
from dfx_homog.studies.outcome import March
from dfx_homog.studies.progress import Log, begin, finish
from dfx_homog.studies.results import ConvergenceResult
from dfx_homog.studies.setup import Problem

Json = dict[str, Any]
NORMS = ("l2", "l2_corrected", "h1", "h1_corrected")
GAUSS = 0.5 + np.array([-0.5, 0.5]) / np.sqrt(3)  # points on [0, 1] for gradients


@dataclass
class Reference:
    """The battery equation in direction 1: steps, V, and T at equally spaced nodes of [0, 1], by number of the step."""

    march: March
    T: dict[int, FloatArray] = field(default_factory=dict)
    voltage: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Levels:
    """What all stacks of one study share."""

    battery: BatteryProblem
    reference: Reference
    out: Path | None
    opts: RunOptions
    log: Log
    key: str
    units: Units

    @property
    def comm(self) -> MPI.Intracomm:
        return self.battery.problem.comm


def run_stacks(run: Run, out: Path | None, opts: RunOptions, comm: MPI.Intracomm) -> ConvergenceResult | None:
    """The battery equation once, every stack, errors and orders; result.json, history.csv, report.html."""
    start = time.perf_counter()
    with Interrupt(comm, opts) as interrupt:
        problem = Problem(comm, run, opts.petsc)
        cells = problem.unit_cells()
        problem = problem.scaled(cells)
        line = replace(
            problem, run=problem.run.model_copy(update={"battery": in_one_direction(problem.run.battery)})
        )
        battery = BatteryProblem(line, cells, problem.effective_media(cells))
        with begin(run, out, opts, comm) as log:
            model = battery.model()
            log.say(
                f"homogenised: {model.dofs} unknowns, {comm.size} ranks; {model.cells.groups} cell models"
            )
            facts = describe(model, battery.stack(), run.battery, problem.units)
            reference = follow(model, problem, below(out, "history.csv"), log)
            model.destroy()
            study = Levels(battery, reference, out, opts, log, fingerprint(run, comm), problem.units)
            levels = []
            profiles: kept.Arrays = reference_profile(reference, problem.units)
            every = run.battery.levels or ()
            for count in every[: opts.levels]:
                interrupt.stop_before(f"the stack of {count} cells")
                level, profile = one_level(study, count)
                levels.append(level)
                profiles |= profile
            write_arrays(below(out, "fields.npz"), lambda: profiles, comm)
            if len(levels) < len(every):
                log.say(f"{len(levels)} of {len(every)} levels are done; --restart goes on from there")
                return None
            result = {
                "levels": levels,
                "orders": orders(levels),
                "battery": facts,
                "homogenised": reference.march.result(facts["dofs_heat"], comm.size),
                "ranks": comm.size,
                "seconds": time.perf_counter() - start,
            }
            found = ConvergenceResult.of(write_result(out, result, comm))
            in_words = ", ".join(f"{o:.3f}" for o in result["orders"]["T"]["l2"] if o)
            log.say(f"order of T in eps: {in_words}")
            finish(run, out, comm, log)
    return found


def in_one_direction(table: Battery) -> Battery:
    """The same battery with elements, each with its own cell model, in direction 1 only."""
    many = table.elements[0]
    return table.model_copy(update={"size": (1.0, 1.0), "elements": (many, 1, 1), "groups": (many, 1, 1)})


def follow(model: BatteryModel, problem: Problem, history: Path | None, log: Log) -> Reference:
    """The battery through the protocol, with T at every step. Collective."""
    found = Reference(March())

    def see(index: int, _time: float) -> None:
        found.T[index] = line_of(model)
        found.voltage[index] = model.voltage

    found.march = march(
        model, problem.run, history, log, "homogenised", see, followed=True, units=problem.units
    )
    return found


def line_of(model: BatteryModel) -> FloatArray:
    """T along one edge of the box in direction 1, at its equally spaced nodes. Collective."""
    grid = model.heat.domain.grid
    assert grid is not None
    i, j, k = np.unravel_index(model.heat.numbers, grid)
    T = np.full(grid[0], -np.inf)
    on = (j == 0) & (k == 0)
    T[i[on]] = np.asarray(model.forms.u.x.array)[on]
    out = np.empty_like(T)
    model.comm.Allreduce(T, out, op=MPI.MAX)
    return out


def stacked(battery: BatteryProblem, count: int) -> ResolvedStack:
    """The stack of `count` cells whose macro problem is that of the run file."""
    table = battery.table
    ratio = count / table.cells
    unit = battery.stack()
    scaled = Stack(tuple(replace(layer, K=ratio**2 * layer.K) for layer in unit.layers))
    found = battery.cooling(("x1_low", "x1_high"))
    low, high = (Cooling(ratio * c.h, c.ambient) for c in found.values())
    return ResolvedStack(
        battery.problem.comm,
        battery.cell_model(),
        scaled,
        count,
        (low, high),
        T_initial=battery.problem.run.parameters.T_initial,
        tolerance=table.tolerance,
        iterations=table.iterations,
    )


def one_level(study: Levels, count: int) -> tuple[Json, kept.Arrays]:
    """Errors of one stack, and its last T for the report; what an earlier call finished is not repeated."""
    folder = below(study.out, f"stack-{count}")
    make_folder(folder, study.comm)
    path = below(folder, "level.kept")
    if study.opts.restart and (finished := kept.load(path, study.comm, study.key)):
        study.log.say(f"stack of {count} cells: finished already")
        return finished
    start = time.perf_counter()
    stack = stacked(study.battery, count)
    study.log.say(f"stack of {count} cells: {len(stack.y)} nodes")
    reference = study.reference
    stack.cells.switch_on(reference.march.taken[0].step.control)
    errors, worst, largest, coupling, index = {}, dict.fromkeys(NORMS, 0.0), 0.0, 0, 0
    volts = 0.0
    for taken in reference.march.taken:
        stack.advance(taken.step)
        largest = max(largest, stack.energy_error(taken.step))
        coupling = max(coupling, stack.count)
        if taken.recorded:
            index += 1
            errors = temperature_errors(stack, reference.T[index])
            worst = {n: max(worst[n], errors[n]) for n in NORMS}
            volts = stack.voltage - reference.voltage[index]
        stack.accept()
    T = reference.T[index]
    hotter, units = float(stack.T.max() - T.max()), study.units
    level = {
        "cells": count,
        "eps": 1 / count,
        "dofs": len(stack.y) + count * stack.cells.model.dofs,
        "errors": {"T": errors},
        "errors_max_over_time": {"T": worst},
        "voltage_error": units.factor("voltage") * volts,
        "T_max_error": units.factor("temperature") * hotter,
        "energy_error": largest,
        "coupling_most": coupling,
        "seconds": time.perf_counter() - start,
    }
    share = stack.y / stack.y[-1]
    profile = {f"stack_{count}_x": share, f"stack_{count}_T": units.value("temperature", stack.T)}
    stack.destroy()
    kept.save(path, study.comm, study.key, level, profile)
    return level, profile


def reference_profile(reference: Reference, units: Units) -> kept.Arrays:
    """T of the battery equation at the end."""
    T = reference.T[max(reference.T)]
    return {"battery_x": np.linspace(0.0, 1.0, len(T)), "battery_T": units.value("temperature", T)}


def temperature_errors(stack: ResolvedStack, nodal: FloatArray) -> dict[str, float]:
    """Relative errors of T and of its slope, leading order and with the corrector W d_y T_0.

    nodal: T_0 at equally spaced nodes; its slopes are those of a cubic spline through them
    """
    T0 = CubicSpline(np.linspace(0.0, stack.y[-1], len(nodal)), nodal)
    weights, W = stack.volumes, corrector(stack)
    exact = T0(stack.y)
    size = np.sqrt(weights @ exact**2)
    plain, corrected = stack.T - exact, stack.T - exact - W * T0(stack.y, 1)
    out = {"l2": plain, "l2_corrected": corrected}
    found = {name: float(np.sqrt(weights @ d**2) / size) for name, d in out.items()}
    length = stack.y[2::2] - stack.y[:-2:2]
    left, middle, right = stack.T[:-2:2], stack.T[1:-1:2], stack.T[2::2]
    W_left, W_slope = W[:-2:2], (W[2::2] - W[:-2:2]) / length
    sums = np.zeros(3)
    for g in GAUSS:
        y = stack.y[:-2:2] + g * length
        slope = ((4 * g - 3) * left + (4 - 8 * g) * middle + (4 * g - 1) * right) / length
        mean = T0(y, 1)
        better = mean * (1 + W_slope) + (W_left + g * length * W_slope) * T0(y, 2)
        sums += 0.5 * np.array(
            [length @ (slope - mean) ** 2, length @ (slope - better) ** 2, length @ mean**2]
        )
    h1, h1_corrected = np.sqrt(sums[:2] / max(sums[2], 1e-300))
    return found | {"h1": float(h1), "h1_corrected": float(h1_corrected)}


def corrector(stack: ResolvedStack) -> FloatArray:
    """W_1 at the nodes: piecewise linear, continuous, periodic, of zero mean."""
    unit = stack.unit
    slopes = corrector_slopes(unit.tensors, unit.K)[:, 0]
    ends = np.cumsum([0.0, *(layer.thickness for layer in unit.layers)])
    values = np.concatenate([[0.0], np.cumsum(slopes * np.diff(ends))])
    mean = (0.5 * (values[1:] + values[:-1])) @ np.diff(ends) / ends[-1]
    return np.asarray(np.interp(np.mod(stack.y, ends[-1]), ends, values - mean))


def orders(levels: list[Json]) -> Json:
    """Observed orders in eps, one for each pair of levels."""

    def of(value: Any) -> list[float | None]:
        return [order(value(a), value(b)) for a, b in pairwise(levels)]

    return {
        "T": {norm: of(lambda level, n=norm: level["errors"]["T"][n]) for norm in NORMS},
        "voltage": of(lambda level: level["voltage_error"]),
        "T_max": of(lambda level: level["T_max_error"]),
    }
