"""One function a command: a run file, its path or a dict in; a result with numpy arrays and DOLFINx functions out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast

from dfx_homog import together
from dfx_homog.api.conduct import conduct, start_petsc, world
from dfx_homog.errors import BadInput
from dfx_homog.runfile import Run, load
from dfx_homog.runfile.protocol import Protocol
from dfx_homog.runoptions import RunOptions

if TYPE_CHECKING:
    from mpi4py import MPI

    from dfx_homog.citations import Citation
    from dfx_homog.studies.results import CellResult, ConvergenceResult, ModelResult, RveResult
    from dfx_homog.studies.stepping import Stepper

#: What a study takes: a checked run, the path of a run file, or a dict with its tables.
Source = Run | str | Path | Mapping[str, Any]


STEPPERS = {"homogenised": "homogenised_stepper", "resolved": "resolved_stepper"}
#: Stands for a protocol where the caller decides what is applied.
REST = {"steps": [{"current": 0.0, "duration": 1.0}]}


class Options(TypedDict, total=False):
    """Options of every study, those of the command line.

    out:       directory of results with exactly the files of the command; without it nothing is written
    comm:      ranks that compute, default: MPI.COMM_WORLD
    petsc:     PETSc options as words, ("-resolved_ksp_rtol", "1e-8")
    restart:   go on in `out` from the newest good checkpoint, and with what is not finished
    wall_time: minutes before which the run has to have ended with a checkpoint in `out` (StoppedEarly)
    quiet:     print nothing, the default here; False: progress, warnings and results on stderr
    verbose:   print the solver's iterations too
    """

    out: str | Path | None
    comm: MPI.Intracomm | None
    petsc: tuple[str, ...]
    restart: bool
    wall_time: float | None
    quiet: bool
    verbose: bool


def _study(command: str, source: Source, options: Options) -> Any:
    run = source if isinstance(source, Run) else load(source)
    out, verbose = options.get("out"), options.get("verbose", False)
    found = RunOptions(
        None if out is None else Path(out),
        quiet=options.get("quiet", not verbose),
        verbose=verbose,
        petsc=tuple(options.get("petsc", ())),
        restart=options.get("restart", False),
        wall_time=options.get("wall_time"),
    )
    return conduct(command, run, found, options.get("comm"))


def cell(run: Source, **options: Unpack[Options]) -> CellResult:
    """Cell problems of every microstructure of a run file, on meshes or voxels. Collective.

    div_z(A (e_j + grad W_j)) = 0 with periodic W_j gives A_eff[i, j] = mean of [A (e_j + grad W_j)]_i; A is sigma_s on
    the solid for S, 1 on the electrolyte for B, k on both phases for K.

    run: a checked run, the path of a run file, or a dict with its tables; options: see `Options`
    Returns a mapping from names to `EffectiveCoefficients`. Raises BadInput, SolverFailure, StoppedEarly.

    >>> result = cell("runs/cells-2d.toml")
    >>> result["wavy"].B.shape
    (2, 2)
    """
    return cast("CellResult", _study("cell", run, options))


def rve(run: Source, **options: Unpack[Options]) -> RveResult:
    """Apparent tensors of samples of growing size, [rve] of the run file: means, order of conditions, sizes.

    run, options: as for `cell`. Collective. Raises BadInput, SolverFailure, StoppedEarly.

    >>> sizes, tensors = rve("runs/rve-gaussian.toml").means("periodic")
    """
    return cast("RveResult", _study("rve", run, options))


def resolved(run: Source, **options: Unpack[Options]) -> ModelResult:
    """The resolved model, every particle meshed, through the protocol of the run file. Collective.

    run, options: as for `cell`. Returns histories as columns and the fields at the end, in units of the run file.
    Raises BadInput, SolverFailure, StoppedEarly.

    >>> result = resolved("runs/quickstart.toml")
    >>> time, voltage = result.history["time"], result.history["voltage"]
    """
    return cast("ModelResult", _study("resolved", run, options))


def homogenised(run: Source, **options: Unpack[Options]) -> ModelResult:
    """The homogenised model with a particle problem at every meso node, through the protocol. Collective.

    With [battery] in the run file the macro heat equation too. run, options: as for `cell`. Returns histories as
    columns, the fields at the end and the effective coefficients, in units of the run file.
    Raises BadInput, SolverFailure, StoppedEarly.

    >>> result = homogenised("runs/quickstart.toml")
    >>> result.voltage, result.coefficients["negative"].K
    """
    return cast("ModelResult", _study("homogenised", run, options))


def convergence(run: Source, **options: Unpack[Options]) -> ConvergenceResult:
    """The resolved model for a sequence of delta against its homogenised limit: errors and orders. Collective.

    With battery.levels stacks of cells against the battery equation, in eps = 1/N. run, options: as for `cell`.
    Raises BadInput, SolverFailure, StoppedEarly.

    >>> result = convergence("runs/quickstart.toml")
    >>> result.sizes, result.errors("Phi_s", "l2"), result.orders["voltage"]
    """
    return cast("ConvergenceResult", _study("convergence", run, options))


def stepper(
    run: Source,
    model: str = "homogenised",
    *,
    comm: MPI.Intracomm | None = None,
    petsc: tuple[str, ...] = (),
    quiet: bool = True,
    verbose: bool = False,
) -> Stepper:
    """A model at its initial state, to be taken step by step: see `Stepper`. Collective.

    run:   as for `cell`; its [protocol], which need not be there, is not used
    model: "homogenised" (with [battery], the battery) or "resolved"
    Raises BadInput, SolverFailure.

    >>> with stepper("runs/quickstart.toml") as cell:
    ...     cell.step(0.02, current=0.2)["voltage"]
    """
    if model not in STEPPERS:
        raise BadInput(f"model: {model!r} (allowed: {', '.join(STEPPERS)})")
    found = run if isinstance(run, Run) else load(run)
    if found.protocol is None:
        found = found.model_copy(update={"protocol": Protocol.model_validate(REST)})
    options = RunOptions(quiet=quiet and not verbose, verbose=verbose, petsc=tuple(petsc))
    study = ("dfx_homog.studies.stepping", STEPPERS[model])
    return cast("Stepper", conduct(model, found, options, comm, study=study))


def check(run: Source, comm: MPI.Intracomm | None = None) -> str:
    """What a run file would run: commands that it suits, unit cells, unknowns, memory, steps. Solves nothing.

    Meshes small unit cells on rank 0. Collective. Raises BadInput.

    >>> print(check("runs/quickstart.toml"))
    """
    found = run if isinstance(run, Run) else load(run)

    def described() -> str:
        from dfx_homog.studies.check import check_geometries, describe

        check_geometries(found)
        return describe(found)

    start_petsc(())  # on all ranks: what describes a run file imports PETSc, whose start is collective
    return str(together.from_rank_0(world() if comm is None else comm, described))


def write_report(directory: str | Path, comm: MPI.Intracomm | None = None) -> Path:
    """(Re)writes report.html of a directory of results, of a running study too; returns its path. Collective.

    Raises BadInput if there is nothing to report on.
    """
    from dfx_homog.report import write_report

    folder = existing(directory)
    path = together.from_rank_0(world() if comm is None else comm, lambda: write_report(folder))
    return Path(path)


def cite(source: Source) -> tuple[Citation, ...]:
    """What to cite for a run, or for the results in a directory: works, each with the reason. Not collective.

    Raises BadInput if there is no run.toml in the directory.

    >>> [citation.work.doi for citation in cite("runs/quickstart.toml")]
    """
    from dfx_homog.citations import cited, recorded_run

    if isinstance(source, str | Path) and Path(source).is_dir():
        return tuple(cited(recorded_run(Path(source))))
    return tuple(cited(source if isinstance(source, Run) else load(source)))


def existing(directory: str | Path) -> Path:
    """A directory of results. Raises BadInput if it is not there."""
    if not Path(directory).is_dir():
        raise BadInput(f"{directory}: no such directory (allowed: a directory of results)")
    return Path(directory)
