"""`dfx-homog convergence`: the resolved model for a sequence of delta against its homogenised limit."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from dfx_homog.errors import SolverFailure
from dfx_homog.io import kept
from dfx_homog.io.disk import below, make_folder
from dfx_homog.io.results import write_arrays, write_result
from dfx_homog.microstructure.unitcell import Ints, UnitCell
from dfx_homog.models import in_units
from dfx_homog.models.effective import EffectiveMedium
from dfx_homog.models.excess import StripResistances
from dfx_homog.models.resolved import ResolvedModel
from dfx_homog.runfile import REGIONS, Run
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies import pictures
from dfx_homog.studies.checkpoints import Checkpoints, fingerprint
from dfx_homog.studies.comparison import FIELDS, Comparison, Errors
from dfx_homog.studies.interrupt import Interrupt
from dfx_homog.studies.march import march
from dfx_homog.studies.meso_setup import dimension
from dfx_homog.studies.orders import order
from dfx_homog.studies.outcome import March, json_row
from dfx_homog.studies.progress import Log, begin, finish
from dfx_homog.studies.reference import MesoState, take_state
from dfx_homog.studies.regions import geometry, left_out, lines
from dfx_homog.studies.results import ConvergenceResult
from dfx_homog.studies.setup import Problem
from dfx_homog.studies.stacks import run_stacks
from dfx_homog.studies.stages import moments

Json = dict[str, Any]
COMPARED = 10  # states that are compared as fields, evenly spread, the last one included


@dataclass
class Reference:
    """The homogenised run: history, states at the moments of comparison, and the meso means at the end."""

    march: March
    states: dict[int, MesoState]
    means: Json
    dofs: int
    solid_nodes: tuple[Ints, Ints]


@dataclass(frozen=True)
class Study:
    """What the models of one study share.

    problem: without units; run: as the user has it; key: what files kept for a restart were computed from
    """

    problem: Problem
    run: Run
    cells: dict[str, UnitCell]
    media: dict[str, EffectiveMedium]
    out: Path | None
    opts: RunOptions
    log: Log
    interrupt: Interrupt
    key: str
    strips: StripResistances | None  # with wall laws

    @property
    def comm(self) -> MPI.Intracomm:
        return self.problem.comm

    def folder(self, name: str) -> Path | None:
        """A folder below out, made on rank 0, if there is one. Collective."""
        path = below(self.out, name)
        make_folder(path, self.comm)
        return path

    def kept(self, path: Path | None) -> tuple[Json, kept.Arrays] | None:
        """What an earlier call kept, if this one is to go on from there. Collective."""
        return kept.load(path, self.comm, self.key) if self.opts.restart else None

    def keeper(self, folder: Path | None, before: int | None = None) -> Checkpoints:
        return Checkpoints(
            self.run,
            below(folder, "checkpoint"),
            self.opts,
            self.comm,
            self.log,
            self.interrupt,
            before=before,
            units=self.problem.units,
        )


def run_convergence(
    run: Run, out: Path | None, opts: RunOptions, comm: MPI.Intracomm = MPI.COMM_WORLD
) -> ConvergenceResult | None:
    """Homogenised once, resolved at every level, errors and orders; result.json, histories, report.html.

    With battery.levels it is stacks of cells against the battery equation. With opts.levels it ends after them: None.
    """
    if run.battery is not None and run.battery.levels is not None:
        return run_stacks(run, out, opts, comm)
    start = time.perf_counter()
    with Interrupt(comm, opts) as interrupt:
        problem = Problem(comm, run, opts.petsc)
        cells = problem.unit_cells()
        problem.check_paths(cells, *run.convergence.periods)
        problem = problem.scaled(cells)
        media = problem.effective_media(cells)
        problem.levels_across(cells, dimension(run, media))
        strips = problem.strips(cells, media)
        with begin(run, out, opts, comm) as log:
            found, walls = (
                in_units.geometry(problem.units, geometry(run, cells)),
                strips.lines() if strips else [],
            )
            for line in [*lines(found), *(problem.twin.lines() if problem.twin else []), *walls]:
                log.say(line)
            study = Study(
                problem, run, cells, media, out, opts, log, interrupt, fingerprint(run, comm), strips
            )
            result = _study(study)
            if result is None:
                return None
            result["geometry"] = found
            result |= problem.twin.to_json() if problem.twin else {}
            result["seconds"] = time.perf_counter() - start
            outcome = ConvergenceResult.of(write_result(out, result, comm))
            for name, words in (("orders", ""), ("orders_wall_law", " with wall laws")):
                if name in result:
                    found_orders = ", ".join(f"{o:.3f}" for o in result[name]["voltage"] if o)
                    log.say(f"order of V in delta{words}: {found_orders}")
            finish(run, out, comm, log)
    return outcome


def _study(study: Study) -> Json | None:
    """All models, and what result.json says of them; None if only some levels were asked for."""
    comm, out = study.comm, study.out
    arrays = pictures.unit_cells(study.cells)
    reference = _homogenised(study)
    units = study.problem.units
    arrays |= pictures.in_units(units, pictures.meso(reference.states[max(reference.states)]))
    # again with the coarsest level; a running study has pictures too
    write_arrays(below(out, "fields.npz"), lambda: arrays, comm)
    levels: list[Json] = []
    every = study.problem.run.convergence.periods
    for periods in every[: study.opts.levels]:
        level, mesh = _level(study, reference, periods, pictured=not levels)
        levels.append(level)
        arrays |= mesh
    write_arrays(below(out, "fields.npz"), lambda: arrays, comm)
    if len(levels) < len(every):
        study.log.say(f"{len(levels)} of {len(every)} levels are done; --restart goes on from there")
        return None
    return {
        "levels": levels,
        "orders": orders(levels),
        **(with_walls(levels, in_units.walls(study.problem.units, study.strips)) if study.strips else {}),
        **richardson(levels, reference.means),
        "homogenised": {
            **reference.march.result(reference.dofs, comm.size),
            "means": reference.means,
            "tensors": {
                name: in_units.medium(units, medium.to_json(), name) for name, medium in study.media.items()
            },
        },
        "ranks": comm.size,
    }


def _homogenised(
    study: Study, periods: tuple[int, int, int] | None = None, limit: Reference | None = None
) -> Reference:
    """The homogenised run. Its states at the moments of comparison are on disk before the checkpoints after them.

    periods: with wall laws for so many unit cells, in the steps of the `limit` without
    """
    label = f"homogenised, delta = 1/{sum(periods)}" if periods else "homogenised"
    run, folder = study.problem.run, study.folder(f"homogenised-{sum(periods)}" if periods else "homogenised")
    study.interrupt.stop_before(label if periods else "the homogenised model")
    strips = study.strips if periods else None
    model = study.problem.homogenised(study.cells, study.media, strips, periods)
    study.log.say(f"{label}: {model.dofs} unknowns, {study.comm.size} ranks")
    wanted = moments(run, COMPARED, run.output.times or ())
    found = {index: study.kept(_state_file(folder, index)) for index in _known_states(study, folder)}
    states = {index: MesoState.from_arrays(data[1]) for index, data in found.items() if data}

    def take(index: int) -> None:
        states[index] = take_state(model)
        kept.save(_state_file(folder, index), study.comm, study.key, {}, states[index].to_arrays())

    def keep(index: int, time: float) -> None:
        if index > 0 and (index, time) in wanted:
            take(index)

    lost = {index for index, data in found.items() if not data} | {
        i for i in wanted.numbers if i not in states
    }
    keeper = study.keeper(folder, before=min(lost, default=None))
    history = below(folder, "history.csv")
    result = _whole(
        march(
            model,
            run,
            history,
            study.log,
            label,
            keep,
            keeper,
            outputs=wanted.times,
            follow=limit.march.taken if limit else None,
            followed=True,
            units=study.problem.units,
        )
    )
    if len(result.rows) - 1 not in states:  # it ended before the last moment
        take(len(result.rows) - 1)
    nodes = [p.particles.geometry.solid_nodes for p in model.points]
    means = in_units.means(study.problem.units, model.means())
    reference = Reference(result, states, means, model.dofs, (nodes[0], nodes[1]))
    model.destroy()
    return reference


def _state_file(folder: Path | None, index: int) -> Path | None:
    return below(folder, f"state-{index:09d}.kept")


def _known_states(study: Study, folder: Path | None) -> list[int]:
    """Numbers of the steps whose states an earlier call kept. Collective."""
    if folder is None:
        return []
    numbers = [int(path.stem.removeprefix("state-")) for path in folder.glob("state-*.kept")]
    return sorted(study.comm.bcast(numbers, root=0))


def _level(
    study: Study, reference: Reference, periods: tuple[int, int, int], *, pictured: bool
) -> tuple[Json, kept.Arrays]:
    """One level of delta, and its mesh for the report if `pictured`; what an earlier call finished is not repeated."""
    label = f"delta = 1/{sum(periods)}"
    folder = study.folder(f"resolved-{sum(periods)}")
    if finished := study.kept(below(folder, "level.kept")):
        study.log.say(f"{label}: finished already")
        return finished
    walled = _homogenised(study, periods, reference) if study.strips else None
    study.interrupt.stop_before(label)
    dim = reference.states[max(reference.states)].dim
    across = study.problem.levels_across(study.cells, dim)[periods]
    model = study.problem.resolved(study.cells, periods, across=across)
    study.log.say(f"{label}: {model.dofs} unknowns, {study.comm.size} ranks")
    level = _compared(study, reference, walled, model, folder, label)
    mesh = pictures.resolved_mesh(model) | pictures.interface(model) if pictured else {}
    mesh = pictures.in_units(study.problem.units, mesh)
    level = {"delta": 1 / sum(periods), "periods": list(periods), **level}
    model.destroy()
    kept.save(below(folder, "level.kept"), study.comm, study.key, level, mesh)
    return level, mesh


def _compared(
    study: Study,
    reference: Reference,
    walled: Reference | None,
    model: ResolvedModel,
    folder: Path | None,
    label: str,
) -> Json:
    """A resolved model through the protocol, with its errors against the homogenised one, and that with wall laws."""
    against = {"errors": reference} | ({"errors_wall_law": walled} if walled else {})
    media = tuple(study.media[n] for n in REGIONS)
    dim = reference.states[max(reference.states)].dim
    comparison = Comparison(model, media, reference.solid_nodes, dim)
    keeper = study.keeper(folder)
    keeper.notes |= {name: {} for name in against}  # by the number of the step, as JSON has it

    def compare(index: int, _time: float) -> None:
        for name, other in against.items():
            if index in other.states:
                keeper.notes[name][str(index)] = comparison.errors(other.states[index])

    history = below(folder, "history.csv")
    follow = reference.march.taken
    run, units = study.problem.run, study.problem.units
    result = _whole(march(model, run, history, study.log, label, compare, keeper, follow=follow, units=units))
    last = reference.states[max(reference.states)]

    def clouds() -> pictures.Arrays:
        return pictures.in_units(units, pictures.profiles(model, last, study.cells, reference.solid_nodes))

    write_arrays(below(folder, "profiles.npz"), clouds, study.comm)
    means = in_units.means(units, model.means())
    differences = {
        name: _differences(result, other, keeper.notes[name], means) for name, other in against.items()
    }
    if walled:
        differences["errors"]["wall_law"] = {
            **differences["errors_wall_law"],
            "dofs": walled.dofs,
            "means": walled.means,
            "seconds": walled.march.seconds,
            "checks": json_row(walled.march.checks()),
        }
    return {
        "dofs": model.dofs,
        **differences["errors"],
        "means": means,
        "left_out": {name: left_out(model.forms.connected, index) for index, name in enumerate(REGIONS)},
        "seconds": result.seconds,
        "checks": json_row(result.checks()),
    }


def _differences(result: March, other: Reference, notes: Json, means: Json) -> Json:
    """Errors of a homogenised model: of fields and V at the end and at most, of means at the end."""
    pairs = zip(result.rows, other.march.rows, strict=True)
    difference = np.array([mine["voltage"] - theirs["voltage"] for mine, theirs in pairs])
    over_time = {int(index): errors for index, errors in notes.items()}
    return {
        "errors": over_time[max(over_time)],
        "errors_max_over_time": _largest(over_time),
        "voltage_error": float(difference[-1]),
        "voltage_error_max_over_time": float(np.abs(difference).max()),
        "means_error": {key: means[key] - value for key, value in other.means.items()},
    }


def _whole(result: March) -> March:
    """A run that got to its end, or to a limit of the protocol: models that end apart cannot be compared."""
    if result.end is not None and not result.stopped:
        raise SolverFailure(f"t = {result.rows[-1]['time']:g}: {result.end}; shorten the protocol")
    return result


def _largest(over_time: dict[int, Errors]) -> Errors:
    def worst(field: str, norm: str) -> float | None:
        found = [e[field][norm] for e in over_time.values()]
        return max((v for v in found if v is not None), default=None)

    return {f: {n: worst(f, n) for n in next(iter(over_time.values()))[f]} for f in FIELDS}


def orders(levels: list[Json]) -> Json:
    """Observed order in delta of every norm of every field and of V, one for each pair of levels."""
    pairs = list(pairwise(levels))
    found: Json = {
        field: {
            norm: [order(a["errors"][field][norm], b["errors"][field][norm]) for a, b in pairs]
            for norm in levels[0]["errors"][field]
        }
        for field in FIELDS
    }
    found["voltage"] = [order(a["voltage_error"], b["voltage_error"]) for a, b in pairs]
    return found


def with_walls(levels: list[Json], walls: Json) -> Json:
    """Excess resistances, and observed orders of all errors with wall laws, of the means also without."""
    walled = [level["wall_law"] for level in levels]

    def means(found: list[Json]) -> Json:
        return {
            key: [order(a["means_error"][key], b["means_error"][key]) for a, b in pairwise(found)]
            for key in found[0]["means_error"]
        }

    return {
        "walls": walls,
        "orders_wall_law": orders(walled),
        "orders_means": means(levels),
        "orders_means_wall_law": means(walled),
    }


def extrapolate(values: list[float]) -> float:
    """Richardson's limit delta -> 0 from the finest three values at delta, delta/2, delta/4 (two: one fold).

    r1 = 2 q(delta/2) - q(delta) removes a first-order error, r2 = (4 r1(delta/2) - r1(delta))/3 the second-order one.
    """
    if len(values) < 3:
        return 2 * values[-1] - values[-2]
    coarse, middle, fine = values[-3:]
    return (4 * (2 * fine - middle) - (2 * middle - coarse)) / 3


def richardson(levels: list[Json], homogenised: Json) -> Json:
    """Limits of V and of mean values at the final time, and their distance from the homogenised model's."""
    limits = {key: extrapolate([level["means"][key] for level in levels]) for key in homogenised}
    return {
        "richardson": limits,
        "richardson_difference": {key: limits[key] - homogenised[key] for key in homogenised},
    }
