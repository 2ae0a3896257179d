"""One study from its run file to its result: checked, its directory taken, computed. The commands do the same."""

from __future__ import annotations

import faulthandler
import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfx_homog import timing, together
from dfx_homog.errors import BadInput
from dfx_homog.io import directory, lock
from dfx_homog.runfile import COMMANDS, Run, load, require
from dfx_homog.runfile.identity import FREE, difference
from dfx_homog.runoptions import RunOptions

if TYPE_CHECKING:
    from mpi4py import MPI

#: Where each command that computes is: module and function(run, out, options, comm).
STUDIES = {
    "cell": ("dfx_homog.studies.cell", "run_cell"),
    "rve": ("dfx_homog.studies.rve", "run_rve"),
    "resolved": ("dfx_homog.studies.simulate", "run_resolved"),
    "homogenised": ("dfx_homog.studies.simulate", "run_homogenised"),
    "convergence": ("dfx_homog.studies.convergence", "run_convergence"),
    "case": ("dfx_homog.verification.check", "run_case"),
}
#: Studies that go on from the state of a model: only the same run file will do.
CONTINUED = ("resolved", "homogenised", "convergence")


def world() -> MPI.Intracomm:
    """All ranks."""
    from mpi4py import MPI

    return MPI.COMM_WORLD


def conduct(
    command: str,
    run: Run,
    options: RunOptions,
    comm: MPI.Intracomm | None = None,
    new: str | None = None,
    study: tuple[str, str] | None = None,
) -> Any:
    """The result of a study; with options.out its files too. Collective.

    comm: ranks that compute it, default: all
    new:  stem of the name of a new directory of results, in place of options.out
    study: module and function, in place of the command's own in STUDIES
    Raises BadInput, SolverFailure or StoppedEarly on all ranks.
    """
    comm = world() if comm is None else comm
    out, made = together.from_rank_0(comm, lambda: _begin(command, run, options, new))
    try:
        start_petsc(options.petsc)
        if out is not None and comm.rank:
            lock.share(out, comm.rank)
        module, function = study or STUDIES[command]
        work = getattr(importlib.import_module(module), function)
        if options.compile_only:
            return importlib.import_module("dfx_homog.studies.compiling").compile_forms(work, run, options)
        timing.begin()
        return work(run, out, replace(options, out=out), comm)
    except BadInput as error:
        if made and comm.rank == 0:
            directory.remove_empty(out)
        if run.source in str(error):
            raise
        # what lies below the studies does not know the file
        raise BadInput(f"{run.source}: {error}") from None
    finally:
        lock.release()


def _begin(command: str, run: Run, options: RunOptions, new: str | None) -> tuple[Path | None, bool]:
    """The directory of results, and whether it was made for this run, once nothing speaks against the run. Serial."""
    if command in COMMANDS:
        require(run, command)
    from dfx_homog.studies.check import check_geometries

    check_geometries(run)
    out = options.out
    if options.compile_only:
        return None, False
    if new is None and out is None:
        for name in ("restart", "wall_time"):
            if getattr(options, name):
                raise BadInput(f"{name}: needs out, a directory of results to go on in")
        return None, False
    if out is None:
        return directory.take_new(str(new)), True
    if options.restart and command in CONTINUED:
        _check_same(run, out)
    return out, directory.take(out, restart=options.restart)


def _check_same(run: Run, out: Path) -> None:
    """Raises BadInput if the results in `out` are of another run, before anything there is touched."""
    try:
        earlier = load(out / "run.toml")
    except (
        BadInput
    ):  # there is none, or one that this version does not read: then its checkpoints speak for it
        return
    if key := difference(run, earlier):
        raise BadInput(
            f"--restart: {out} was run with another {key} (allowed: the same run, where only [{'], ['.join(FREE)}] "
            "may differ)"
        )


def start_petsc(words: tuple[str, ...]) -> None:
    """PETSc with options for all of it, such as -log_view; they have no effect where it has been started before."""
    import petsc4py

    # the solvers look for the words under their own prefixes, so that PETSc would call them unused
    petsc4py.init(["dfx-homog", "-options_left", "0", *words])
    if faulthandler.is_enabled():  # PETSc's handlers, which do not say where, have taken its place
        faulthandler.disable()
        faulthandler.enable()
