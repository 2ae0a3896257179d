"""The command line: parse, check, dispatch, exit status (0 done, 2 bad input, 3 the solver gave up).

Rank 0 alone reads files and refuses them, and tells the others: a mistake gives one message on any number of
ranks, and nothing is computed or written before the input is known to be right.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from dfx_homog import timing, together
from dfx_homog.errors import BadInput, SolverFailure, StoppedEarly
from dfx_homog.io import lock
from dfx_homog.io.disk import DISK
from dfx_homog.runfile import COMMANDS, LATER_COMMANDS, Run, load, require
from dfx_homog.runfile.identity import FREE, difference
from dfx_homog.runoptions import RunOptions

BUG, BAD_INPUT, SOLVER_GAVE_UP, STOPPED_EARLY = 1, 2, 3, 75
#: Where each command that computes is: module and function(run, out, options).
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
#: Commands that take a directory of results.
FINISHED = ("report", "citations")
#: Results of an earlier run into the same directory; left there they would pass for those of the new one.
RESULTS = (
    "result.json",
    "report.html",
    "run.toml",
    "fields.npz",
    "mesh",
    "effective.bpx.json",
    "effective_pybamm.py",
)
#: What --restart goes on from.
PARTS = (
    "samples",
    "cells",
    "checkpoint",
    "history.csv",
    "log.txt",
    "fields*.bp",
    "homogenised",
    "resolved-*",
)

HELP = """commands:
  cell FILE         effective tensors of every microstructure in FILE
  rve FILE          apparent tensors against sample size, under several boundary conditions, over an ensemble
  resolved FILE     the resolved model, every particle meshed
  homogenised FILE  the meso model with a particle problem at every point
  convergence FILE  resolved for a sequence of delta against homogenised: errors, orders, report
  case FILE         the check in Python of a case of the verification book
  verify [FILES]    cases of the verification book, compared; writes docs/verification (verify --help)
  check FILE        validates FILE and prints what it would run; solves nothing
  report DIR        (re)writes report.html of a study
  citations DIR     prints what to cite for a run

FILE is a run file in TOML; docs/runfile.md has every key. Words after -- are PETSc options.
Exit status: 0 done, 2 bad input, 3 the solver gave up, 4 a case of verify failed, 75 stopped early with a checkpoint
(--restart goes on)."""


@dataclass(frozen=True)
class Job:
    """One call, read and checked; `run` is None for the commands of FINISHED, whose directory is options.out.

    new_directory: whether options.out was made for this call
    """

    command: str
    run: Run | None
    options: RunOptions
    new_directory: bool = False


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(f"dfx-homog: {message} (dfx-homog --help says what is allowed)")


def _parser() -> _Parser:
    parser = _Parser(
        "dfx-homog",
        usage="dfx-homog COMMAND FILE [options] [-- PETSc options]",
        description="Thermal-electrochemical models of porous electrodes, resolved and homogenised.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("command", metavar="COMMAND", help="see below")
    parser.add_argument(
        "target", metavar="FILE", help="run file; for report and citations, a directory of results"
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="results (default: runs/out/<file stem>-<time>)"
    )
    parser.add_argument(
        "--set",
        metavar="key.path=value",
        action="append",
        default=[],
        help="override one key of FILE; repeatable",
    )
    parser.add_argument(
        "--restart",
        action="store_true",
        help="go on in --out: from the newest good checkpoint, and with what is not finished",
    )
    parser.add_argument(
        "--wall-time",
        metavar="MINUTES",
        type=_minutes,
        help="write a checkpoint and end before it, status 75",
    )
    volume = parser.add_mutually_exclusive_group()
    volume.add_argument("--quiet", action="store_true", help="print nothing but errors")
    volume.add_argument("-v", "--verbose", action="store_true", help="print the solver's iterations too")
    return parser


def prepare(argv: Sequence[str]) -> Job | None:
    """The job that the words of the command line ask for, checked; None if they only asked for help. Serial.

    Raises BadInput.
    """
    at = argv.index("--") if "--" in argv else len(argv)
    petsc = tuple(argv[at + 1 :])
    try:
        arguments = _parser().parse_intermixed_args(argv[:at])
    except SystemExit:  # argparse has printed its help
        return None
    command, target = arguments.command, arguments.target
    if command in LATER_COMMANDS:
        raise BadInput(
            f"dfx-homog {command}: not in this version (allowed: {', '.join((*STUDIES, 'check', *FINISHED))})"
        )
    if command not in (*STUDIES, "check", *FINISHED):
        allowed = ", ".join((*STUDIES, "check", *FINISHED))
        raise BadInput(f"dfx-homog {command}: no such command (allowed: {allowed})")
    _check_restart(arguments)
    options = RunOptions(
        arguments.out or Path(),
        arguments.quiet,
        arguments.verbose,
        petsc,
        arguments.restart,
        arguments.wall_time,
    )
    if command in FINISHED:
        if not Path(target).is_dir():
            raise BadInput(f"{target}: no such directory (allowed: a directory of results)")
        return Job(command, None, replace(options, out=Path(target)))
    run = load(target, arguments.set)
    if command in COMMANDS:
        require(run, command)
    from dfx_homog.studies.check import check_geometries

    check_geometries(run)
    if command not in COMMANDS:
        return Job(command, run, options)
    if arguments.restart and command in CONTINUED:
        _check_same(run, arguments.out)
    new = arguments.out is None or not arguments.out.exists()
    out = _make_directory(arguments.out, Path(target).stem, arguments.restart)
    return Job(command, run, replace(options, out=out), new)


def _check_restart(arguments: argparse.Namespace) -> None:
    """Raises BadInput for --restart and --wall-time where nothing runs."""
    for name in ("restart", "wall_time"):
        if getattr(arguments, name) and arguments.command not in STUDIES:
            raise BadInput(
                f"--{name.replace('_', '-')}: {arguments.command} runs nothing (allowed: {', '.join(STUDIES)})"
            )
    if arguments.restart and arguments.out is None:
        raise BadInput("--restart: needs --out DIR, the directory of results to go on in")


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


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0.0 < minutes < float("inf"):
        raise argparse.ArgumentTypeError("must be minutes, a number > 0")
    return minutes


def _make_directory(out: Path | None, stem: str, restart: bool) -> Path:
    """The directory of results, new or cleared of an earlier run's result files. Raises BadInput.

    With `restart` everything stays that the run goes on from.
    """
    try:
        if out is None:
            new = _make_new(Path("runs/out") / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}")
            lock.take(new)
            return new
        out.mkdir(parents=True, exist_ok=True)
        lock.take(out)
        for old in [path for name in RESULTS + PARTS * (not restart) for path in out.glob(name)]:
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    except OSError as error:
        raise BadInput(
            f"--out {out or 'runs/out'}: {error.strerror} (allowed: a directory to write into)"
        ) from None
    return out


def _make_new(path: Path) -> Path:
    """`path`, or the first of path-2, path-3, … that does not exist yet, as a new directory."""
    number, candidate = 1, path
    while True:
        try:
            candidate.mkdir(parents=True)
            return candidate
        except FileExistsError:
            number += 1
            candidate = path.with_name(f"{path.name}-{number}")


def on_rank_0(comm: Any, action: Callable[[], Any]) -> Any:
    """The result of `action`, which rank 0 alone carries out, on all ranks; BadInput is raised on all."""
    outcome: tuple[Any, BadInput | None] = (None, None)
    if comm.rank == 0:
        try:
            outcome = (action(), None)
        except BadInput as error:
            outcome = (None, error)
    result, error_there = comm.bcast(outcome, root=0)
    if error_there is not None:
        raise error_there
    return result


def execute(job: Job, comm: Any) -> None:
    """Does the job. Collective. Raises BadInput or SolverFailure on all ranks, or on one (see `fail`)."""
    import petsc4py

    # the solvers look for the words under their own prefixes, so that PETSc would call them unused
    petsc4py.init(["dfx-homog", "-options_left", "0", *job.options.petsc])
    if job.run is None:
        on_rank_0(comm, lambda: _finished(job))
    elif job.command == "check":
        on_rank_0(comm, lambda: _print_check(job))
    else:
        if comm.rank:
            lock.share(job.options.out, comm.rank)
        module, function = STUDIES[job.command]
        study = getattr(importlib.import_module(module), function)
        timing.begin()
        study(job.run, job.options.out, job.options)


def _finished(job: Job) -> None:
    """What is done with a directory of results. Serial."""
    if job.command == "citations":
        from dfx_homog.citations import describe

        print(describe(job.options.out))
    else:
        importlib.import_module("dfx_homog.report").write_report(job.options.out)


def _print_check(job: Job) -> None:
    from dfx_homog.studies.check import describe

    assert job.run is not None
    print(describe(job.run))


def fail(error: Exception, comm: Any, status: int) -> int:
    """Prints the error, a BUG with where it came from, and returns `status`: rank 0 if all fail, else who does.

    In the second case the others wait for it in some collective call, so it ends them all.
    """
    all_fail = comm.size == 1 or together.all_arrive(comm, together.PATIENCE)
    if comm.rank == 0 or not all_fail:
        line = " ".join(str(error).split())
        text = "".join(traceback.format_exception(error)).rstrip() if status == BUG else line
        print(text if all_fail or status != BUG else f"rank {comm.rank}: {text}", file=sys.stderr, flush=True)
    if not all_fail:
        comm.Abort(status)
    return status


def _with_file(error: BadInput, job: Job | None) -> BadInput:
    """The error with the run file named, which what lies below the studies does not know."""
    if job is None or job.run is None or job.run.source in str(error):
        return error
    return BadInput(f"{job.run.source}: {error}")


def _remove_new_directory(job: Job | None, comm: Any) -> None:
    """Leaves no empty directory behind for input that turned out to be bad while it was read."""
    if comm.rank == 0 and job is not None and job.new_directory:
        with contextlib.suppress(OSError):  # there is something in it
            (job.options.out / lock.NAME).unlink()
            job.options.out.rmdir()


def _end_all_ranks_on_exceptions(comm: Any) -> None:
    """An exception on one rank leaves the others waiting for ever, unless it ends them."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        print(f"rank {comm.rank}:", file=sys.stderr)
        traceback.print_exception(kind, error, trace)
        sys.stderr.flush()
        comm.Abort(1)

    if comm.size > 1:
        sys.excepthook = hook


def _end_undisturbed() -> None:
    """All is done, and what is left is a second or two of tidying up: a signal must not make it a failure."""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def _verify(words: Sequence[str]) -> int:
    """Starts its ranks itself, which a process that has started MPI cannot."""
    from dfx_homog.verification.command import main as verify

    try:
        return verify(words)
    except BadInput as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return BAD_INPUT


def main(argv: Sequence[str] | None = None) -> int:
    """`dfx-homog`; returns the exit status. Collective on all ranks."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["verify"]:
        return _verify(words[1:])
    from mpi4py import MPI

    comm = MPI.COMM_WORLD.Dup()  # its own, so that no message of a study is mistaken for one of these
    _end_all_ranks_on_exceptions(comm)
    if comm.size > 1:
        lock.end_with_parent()
    job = None
    try:
        job = on_rank_0(comm, lambda: prepare(words))
        if job is not None:
            execute(job, comm)
    except BadInput as error:
        _remove_new_directory(job, comm)
        return fail(_with_file(error, job), comm, BAD_INPUT)
    except SolverFailure as error:
        return fail(error, comm, SOLVER_GAVE_UP)
    except StoppedEarly as error:
        return fail(error, comm, STOPPED_EARLY)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK:
            return fail(SolverFailure(f"{error.filename}: {error.strerror}"), comm, SOLVER_GAVE_UP)
        return fail(error, comm, BUG)
    finally:
        lock.release()
        if argv is None:
            _end_undisturbed()
    return 0


if __name__ == "__main__":
    sys.exit(main())
