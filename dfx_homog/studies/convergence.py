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
from dfx_homog.io.results import write_arrays, write_json
from dfx_homog.microstructure.unitcell import UnitCell
from dfx_homog.models.effective import EffectiveMedium
from dfx_homog.runfile import REGIONS, Run
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies import pictures
from dfx_homog.studies.comparison import FIELDS, Comparison, Errors
from dfx_homog.studies.march import March, json_row, march, moments, step_count
from dfx_homog.studies.progress import Log, begin, finish
from dfx_homog.studies.reference import MesoState, take_state
from dfx_homog.studies.regions import geometry, left_out, lines
from dfx_homog.studies.setup import Problem

Json = dict[str, Any]


@dataclass
class Reference:
    """The homogenised run: history, states at the moments of comparison, and the meso means at the end."""

    march: March
    states: dict[int, MesoState]
    means: Json
    dofs: int
    solid_nodes: tuple[np.ndarray, np.ndarray]


def run_convergence(run: Run, out: Path, opts: RunOptions) -> None:
    """Homogenised once, resolved at every level, errors and orders; result.json, histories, report.html."""
    comm = MPI.COMM_WORLD
    start = time.perf_counter()
    problem = Problem(comm, run, opts.petsc)
    cells = problem.unit_cells()
    problem.check_paths(cells, *run.convergence.periods)
    media = problem.effective_media(cells)
    problem.check_conduction(media)
    with begin(run, out, opts, comm) as log:
        found = geometry(run, cells)
        for line in lines(found):
            log.say(line)
        arrays = pictures.unit_cells(cells)
        reference = _homogenised(problem, cells, media, out, log, arrays)
        write_arrays(
            out / "fields.npz", arrays, comm
        )  # again with the coarsest level; a running study has pictures too
        levels = [
            _level(problem, cells, media, reference, periods, out, log, arrays if k == 0 else None)
            for k, periods in enumerate(run.convergence.periods)
        ]
        result = {
            "levels": levels,
            "orders": orders(levels),
            **richardson(levels, reference.means),
            "homogenised": {
                **reference.march.result(reference.dofs, comm.size),
                "means": reference.means,
                "tensors": {name: medium.to_json() for name, medium in media.items()},
            },
            "geometry": found,
            "ranks": comm.size,
            "seconds": time.perf_counter() - start,
        }
        write_arrays(out / "fields.npz", arrays, comm)
        write_json(out / "result.json", result, comm)
        log.say(f"order of V in delta: {', '.join(f'{o:.3f}' for o in result['orders']['voltage'] if o)}")
        finish(out, comm, log)


def _homogenised(
    problem: Problem,
    cells: dict[str, UnitCell],
    media: dict[str, EffectiveMedium],
    out: Path,
    log: Log,
    arrays: dict[str, Any],
) -> Reference:
    run = problem.run
    model = problem.homogenised(cells, media)
    log.say(f"homogenised: {model.dofs} unknowns, {problem.comm.size} ranks")
    wanted = moments(step_count(run))
    states: dict[int, MesoState] = {}

    def keep(index: int, _time: float) -> None:
        if index in wanted:
            states[index] = take_state(model)

    (out / "homogenised").mkdir(exist_ok=True)
    result = _whole(march(model, run, out / "homogenised" / "history.csv", log, "homogenised", keep))
    solid_nodes = [p.particles.geometry.solid_nodes for p in model.points]
    reference = Reference(result, states, model.means(), model.dofs, (solid_nodes[0], solid_nodes[1]))
    arrays |= pictures.meso(states[max(states)])
    model.destroy()
    return reference


def _level(
    problem: Problem,
    cells: dict[str, UnitCell],
    media: dict[str, EffectiveMedium],
    reference: Reference,
    periods: tuple[int, int, int],
    out: Path,
    log: Log,
    arrays: dict[str, Any] | None,
) -> Json:
    run, label = problem.run, f"delta = 1/{sum(periods)}"
    model = problem.resolved(cells, periods)
    log.say(f"{label}: {model.dofs} unknowns, {problem.comm.size} ranks")
    comparison = Comparison(model, tuple(media[n] for n in REGIONS), reference.solid_nodes)
    over_time: dict[int, Errors] = {}

    def compare(index: int, _time: float) -> None:
        if index in reference.states:
            over_time[index] = comparison.errors(reference.states[index])

    folder = out / f"resolved-{sum(periods)}"
    folder.mkdir(exist_ok=True)
    result = _whole(march(model, run, folder / "history.csv", log, label, compare))
    last = reference.states[max(reference.states)]
    if arrays is not None:
        arrays |= pictures.resolved_mesh(model)
    clouds = pictures.profiles(model, last, cells, reference.solid_nodes)
    write_arrays(folder / "profiles.npz", clouds, problem.comm)
    dofs, means = model.dofs, model.means()
    shares = {name: left_out(model.forms.connected, index) for index, name in enumerate(REGIONS)}
    model.destroy()
    pairs = zip(result.rows, reference.march.rows, strict=True)
    difference = np.array([mine["voltage"] - theirs["voltage"] for mine, theirs in pairs])
    return {
        "delta": 1 / sum(periods),
        "periods": list(periods),
        "dofs": dofs,
        "errors": over_time[max(over_time)],
        "errors_max_over_time": _largest(over_time),
        "voltage_error": float(difference[-1]),
        "voltage_error_max_over_time": float(np.abs(difference).max()),
        "means": means,
        "left_out": shares,
        "seconds": result.seconds,
        "checks": json_row(result.checks()),
    }


def _whole(result: March) -> March:
    """A run that got to its end: models that end at different times cannot be compared."""
    if result.end is not None:
        raise SolverFailure(f"t = {result.rows[-1]['time']:g}: {result.end}; shorten the protocol")
    return result


def _largest(over_time: dict[int, Errors]) -> Errors:
    def worst(field: str, norm: str) -> float | None:
        found = [e[field][norm] for e in over_time.values()]
        return max((v for v in found if v is not None), default=None)

    return {f: {n: worst(f, n) for n in next(iter(over_time.values()))[f]} for f in FIELDS}


def order(coarse: float | None, fine: float | None) -> float | None:
    """log2 of the ratio of two errors at delta and delta/2; None where an error is missing or zero."""
    if not coarse or not fine:
        return None
    return float(np.log2(abs(coarse) / abs(fine)))


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
