"""`--compile-only`: the forms that a run will need, compiled before its ranks start.

DOLFINx compiles a form when it first meets it, on rank 0, while all other ranks wait: on a cluster, hundreds of them.
And compute nodes may have no compiler, or jobs that start at the same time may want the same form. So the run is done
once in small, on one rank: its forms depend on dimension, order, formulas and options, not on geometry, size or
numbers, which are constants in them.
"""

from __future__ import annotations

import fcntl
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dolfinx.jit
from mpi4py import MPI

from dfx_homog.errors import BadInput, SolverFailure
from dfx_homog.runfile import Run
from dfx_homog.runfile.plane import Electrolyte, Laminate
from dfx_homog.runfile.protocol import Protocol, Step
from dfx_homog.runoptions import RunOptions

SMALL = 1e-3  # of the time step of the run file
PATIENCE = 900.0  # seconds that another call has to compile the same forms
STALE = 1800.0  # seconds after which a compilation that is not finished has been killed

Study = Callable[[Run, Path | None, RunOptions, MPI.Intracomm], Any]


def compile_forms(study: Study, run: Run, opts: RunOptions) -> None:
    """Compile what `study` needs for `run`, and say on stdout how many forms that were. One rank.

    Raises BadInput on more than one rank.
    """
    if MPI.COMM_WORLD.size > 1:
        raise BadInput("--compile-only: compiles on one rank (allowed: no mpirun, or -n 1)")
    start, cache = time.perf_counter(), Path(dolfinx.jit.get_options()["cache_dir"])
    small = miniature(run)
    with alone(cache):
        before = compiled(cache)
        if small is not None:
            _run(study, small, opts)
        found = compiled(cache)
    if not opts.quiet:
        new, seconds = len(found - before), time.perf_counter() - start
        print(f"{new} forms compiled in {seconds:.1f} s, {len(found)} in {cache}", flush=True)


def _run(study: Study, small: Run, opts: RunOptions) -> None:
    own = replace(
        opts, out=None, quiet=True, restart=False, wall_time=None, levels=1, share=None, compile_only=False
    )
    try:
        study(small, None, own, MPI.COMM_WORLD)
    except SolverFailure as error:
        # forms are compiled before they are solved with: most are there, the run will see to the others
        print(f"warning: not all forms may be compiled: {error}", flush=True)


def compiled(cache: Path) -> set[str]:
    """Names of the forms and expressions that are ready."""
    return {path.name.removesuffix(".c.cached") for path in cache.glob("*.c.cached")}


@contextmanager
def alone(cache: Path) -> Iterator[None]:
    """One call at a time compiles, here and on other nodes; what a killed one left half-done is removed.

    A form without its last file would make every later run wait for it. File systems without locks are trusted.
    """
    cache.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + PATIENCE
    with (cache / "dfx-homog.lock").open("a") as handle:
        while time.monotonic() < deadline:
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except (BlockingIOError, PermissionError):
                time.sleep(0.2)
            except OSError:
                break
        for source in cache.glob("*.c"):
            _remove_stale(source)
        yield


def _remove_stale(source: Path) -> None:
    try:
        if source.with_suffix(".c.cached").exists() or time.time() - source.stat().st_mtime < STALE:
            return
    except FileNotFoundError:
        return
    for path in source.parent.glob(f"{source.stem}.*"):
        path.unlink(missing_ok=True)


def miniature(run: Run) -> Run | None:
    """A run whose forms are those of `run`, solved in a second or two; None if it has none (images alone)."""
    specs: dict[str, Any] = dict(run.microstructure)
    if run.protocol is None or run.cell is None:  # cell problems, of which those on voxels have no forms
        specs = {name: spec for name, spec in specs.items() if not spec.is_voxels}
    dims = {spec.dim for spec in specs.values() if getattr(spec, "dim", None) is not None}
    if not specs:
        return None
    if len(dims) == 1 or None not in {getattr(spec, "dim", None) for spec in specs.values()}:
        specs = {name: _plain(spec, *dims) for name, spec in specs.items()}
    changes: dict[str, Any] = {"microstructure": specs}
    for name in ("cell", "battery", "rve", "homogenised", "convergence"):
        if (table := getattr(run, name)) is not None:
            changes[name] = table.model_copy(update=_fewest(name, table))
    if run.protocol is not None and run.time is not None:
        dt = SMALL * run.time.dt
        changes["time"] = run.time.model_copy(update={"dt": dt})
        changes["protocol"] = _short(run.protocol, 2 * dt)
    changes["output"] = run.output.model_copy(update={"times": None, "fields": 0, "report": False})
    small: Run = run.model_copy(update=changes)
    return small


def _plain(spec: Any, *dims: int) -> Any:
    """Layers along z1 in place of a geometry, on the coarsest mesh, with its conductivities and order."""
    if spec.is_given:
        return spec
    if isinstance(spec, Electrolyte):
        return spec.model_copy(update={"mesh_size": 0.5})
    dim = spec.dim or dims[0]
    keys = ("order", "sigma_s", "k_s", "k_e", "rho_cp_s", "rho_cp_e")
    layers: dict[str, Any] = {"geometry": "laminate", "dim": dim, "solid_fraction": 0.5, "mesh_size": 0.5}
    layers["normal"] = (0,) * (dim - 1) + (1,)
    return Laminate.model_validate(layers | {key: getattr(spec, key, None) for key in keys})


def _fewest(name: str, table: Any) -> dict[str, Any]:
    """Changes of a table of the run file that make its problem small."""
    if name == "cell":
        across = {"lateral_periods": (1,) * len(table.lateral_periods)}
        return across | ({} if table.periods is None else {"periods": _least(table.periods)})
    if name == "convergence":
        first = _least(table.periods[0])
        return {"periods": (first, tuple(2 * n for n in first))}
    if name == "battery":
        return {"elements": (3, 3, 3), "groups": (1, 1, 1)}
    if name == "rve":
        return {"sizes": (1,), "realisations": 1}
    return {"elements": 2}


def _least(periods: tuple[int, ...]) -> tuple[int, ...]:
    """The smallest numbers of the same ratio."""
    return tuple(n // math.gcd(*periods) for n in periods)


def _short(protocol: Protocol, duration: float) -> Protocol:
    """One short step of each kind; currents that vary in place have forms of their own."""
    steps: dict[Any, Step] = {}
    for step in protocol.steps:
        key = (step.kind, step.current if step.varies_in_place else None)
        steps.setdefault(key, step.model_copy(update={"duration": duration, "until": None}))
    changes = {"steps": tuple(steps.values()), "v_min": None, "v_max": None, "T_max": None}
    return protocol.model_copy(update=changes)
