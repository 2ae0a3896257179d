"""The command line: parse, check, dispatch, exit status (0 done, 2 bad input, 3 the solver gave up).

Rank 0 alone reads files and refuses them, and tells the others: a mistake gives one message on any number of
ranks, and nothing is computed or written before the input is known to be right.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from dfx_homog import together
from dfx_homog.api import commands
from dfx_homog.api.conduct import STUDIES, conduct
from dfx_homog.citations import describe, recorded_run
from dfx_homog.endings import BUG, ending
from dfx_homog.errors import BadInput, one_line
from dfx_homog.io import lock
from dfx_homog.runfile import COMMANDS, Run, load
from dfx_homog.runoptions import RunOptions, level_count, minutes, share

#: Commands that take a directory of results.
FINISHED = ("report", "citations")
#: Commands that start ranks themselves, before MPI is started here; each has a parser of its own.
LAUNCHING = {"scaling": "dfx_homog.scaling.command", "verify": "dfx_homog.verification.command"}

HELP = """commands:
  cell FILE         effective tensors of every microstructure in FILE
  rve FILE          apparent tensors against sample size, under several boundary conditions, over an ensemble
  resolved FILE     the resolved model, every particle meshed
  homogenised FILE  the meso model with a particle problem at every point
  convergence FILE  resolved for a sequence of delta against homogenised: errors, orders, report
  case FILE         the check in Python of a case of the verification book
  verify [FILES]    cases of the verification book, compared; writes docs/verification (verify --help)
  scaling FILE      strong and weak scaling of the command that [scaling] names (scaling --help)
  check FILE        validates FILE and prints what it would run; solves nothing
  report DIR        (re)writes report.html of a study
  citations DIR     prints what to cite for a run

FILE is a run file in TOML; docs/runfile.md has every key. Words after -- are PETSc options.
Exit status: 0 done, 2 bad input, 3 the solver gave up, 4 a case of verify failed, 75 stopped early with a checkpoint
(--restart goes on)."""


@dataclass(frozen=True)
class Job:
    """One call; target: the run file, read and checked, or for the commands of FINISHED the directory."""

    command: str
    target: Run | Path
    options: RunOptions


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
        type=minutes,
        help="write a checkpoint and end before it, status 75",
    )
    parser.add_argument(
        "--levels",
        metavar="K",
        type=level_count,
        help="convergence: end after K levels, 0: after the reference",
    )
    parser.add_argument(
        "--share", metavar="K/N", type=share, help="rve: only the K-th of N shares of the samples"
    )
    parser.add_argument(
        "--compile-only", action="store_true", help="compile what FILE needs, on one rank, and end"
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
    if command in LAUNCHING:
        raise BadInput(f"dfx-homog {command}: is the first word (allowed: dfx-homog {command} …)")
    if command not in (*STUDIES, "check", *FINISHED):
        allowed = ", ".join((*STUDIES, "check", *FINISHED))
        raise BadInput(f"dfx-homog {command}: no such command (allowed: {allowed})")
    _check_restart(arguments)
    options = RunOptions(
        arguments.out,
        arguments.quiet,
        arguments.verbose,
        petsc,
        arguments.restart,
        arguments.wall_time,
        levels=arguments.levels,
        share=arguments.share,
        compile_only=arguments.compile_only,
    )
    if command in FINISHED:
        return Job(command, commands.existing(target), options)
    run = load(target, arguments.set)
    _check_levels(run, arguments.levels)
    return Job(command, run, options)


def _check_restart(arguments: argparse.Namespace) -> None:
    """Raises BadInput for options of other commands, and for --restart without a directory."""
    owners: dict[str, tuple[str, ...]] = dict.fromkeys(("restart", "wall_time"), tuple(STUDIES))
    owners |= {"compile_only": COMMANDS, "levels": ("convergence",), "share": ("rve",)}
    for name, those in owners.items():
        if getattr(arguments, name) not in (None, False) and arguments.command not in those:
            reason = "has no" if arguments.command in STUDIES else "runs nothing: no"
            option = f"--{name.replace('_', '-')}"
            raise BadInput(f"{option}: {arguments.command} {reason} {option} (allowed: {', '.join(those)})")
    if arguments.restart and arguments.out is None:
        raise BadInput("--restart: needs --out DIR, the directory of results to go on in")


def _check_levels(run: Run, wanted: int | None) -> None:
    """Raises BadInput if --levels asks for more than there are."""
    battery = run.battery is not None and run.battery.levels is not None
    most = (
        len(run.battery.levels or ()) if battery else len(run.convergence.periods) if run.convergence else 0
    )
    if wanted is not None and wanted > most:
        raise BadInput(f"--levels {wanted}: the run file has fewer levels (allowed: 0 to {most})")


def execute(job: Job, comm: Any) -> None:
    """Does the job. Collective. Raises BadInput or SolverFailure on all ranks, or on one (see `fail`)."""
    if job.command in ("check", "citations"):
        text = _answer(job, comm)
        if comm.rank == 0:
            print(text)
    elif isinstance(job.target, Run):
        new = Path(job.target.source).stem if job.options.out is None else None
        conduct(job.command, job.target, job.options, new=new)
    else:
        commands.write_report(job.target, comm)


def _answer(job: Job, comm: Any) -> str:
    """What the commands say that compute nothing. Collective. Raises BadInput."""
    if isinstance(job.target, Run):
        return commands.check(job.target, comm)
    folder = job.target
    return str(together.from_rank_0(comm, lambda: describe(recorded_run(folder))))


def fail(error: BaseException, comm: Any, status: int) -> int:
    """Prints the error, a BUG with where it came from, and returns `status`: rank 0 if all fail, else who does.

    In the second case the others wait for it in some collective call, so it ends them all.
    """
    all_fail = comm.size == 1 or together.all_arrive(comm, together.PATIENCE)
    if comm.rank == 0 or not all_fail:
        text = "".join(traceback.format_exception(error)).rstrip() if status == BUG else one_line(str(error))
        print(text if all_fail else f"rank {comm.rank}: {text}", file=sys.stderr, flush=True)
    if not all_fail:
        comm.Abort(status)
    return status


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


def _launching(command: str, words: Sequence[str]) -> int:
    """A command of LAUNCHING; returns the exit status. A process that has started MPI could not start ranks."""
    try:
        return int(importlib.import_module(LAUNCHING[command]).main(words))
    except Exception as error:
        told, status = ending(error)
        if status == BUG:
            raise
        print(one_line(str(told)), file=sys.stderr)
        return status
    finally:
        lock.release()


def main(argv: Sequence[str] | None = None) -> int:
    """`dfx-homog`; returns the exit status. Collective on all ranks."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in LAUNCHING:
        return _launching(words[0], words[1:])
    from mpi4py import MPI

    if argv is None:
        faulthandler.enable()
        faulthandler.register(signal.SIGUSR2)  # to ask a rank that seems to hang where it is
    comm = MPI.COMM_WORLD.Dup()  # its own, so that no message of a study is mistaken for one of these
    _end_all_ranks_on_exceptions(comm)
    if comm.size > 1:
        lock.end_with_parent()
    try:
        job = together.from_rank_0(comm, lambda: prepare(words))
        if job is not None:
            execute(job, comm)
    except (Exception, SystemExit) as error:
        found, status = ending(error)
        return fail(found, comm, status)
    finally:
        if argv is None:
            _end_undisturbed()
    return 0


if __name__ == "__main__":
    sys.exit(main())
