"""`dfx-homog` as a child of this process, on several ranks: for studies of whole runs.

The parent must not have initialised MPI: an mpirun that a process of an MPI job starts takes itself for part of that
job. So this module imports nothing that does, and commands built on it are dispatched before mpi4py.MPI is imported.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType

from dfx_homog.errors import BadInput, StoppedEarly
from dfx_homog.io import lock

GRACE = 15.0  # seconds that a child has to end after the first signal
LAST_WORDS = 4000  # characters of a child's output that are kept
#: What a launcher of MPI tells its processes. What the user set for every job (btl, running as root) is not in it.
OF_A_PARENT = re.compile(
    r"(PMI|PMI2|PMIX|HYDRA|HYDI|MPI_LOCAL\w*|MPIR_CVAR)_\w+|MPI_LOCAL\w+|PRTE_(?!ALLOW)\w+"
    r"|OMPI_(?!ALLOW|MCA_)\w+|OMPI_MCA_(PREFIXES|orte_|ess|pmix|plm|ras|rmaps|initial_wdir|num_procs|num_restarts"
    r"|cpu_type|mca_base_component_path|mpi_yield_when_idle|shmem_RUNTIME)\w*"
)
#: Where a launcher tells the size of the job and the number of the process in it.
SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_NUM_TASKS")
RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "MPI_LOCALRANKID", "SLURM_PROCID")


@dataclass(frozen=True)
class Finished:
    """A child that has ended.

    command    the words it was started with, launcher included
    status     its exit status; that of mpirun, which is the ranks' where they agree; negative: the signal that ended it
    seconds    wall time from its start to its end
    output     the end of what it printed, stdout and stderr
    timed_out  whether the time limit ended it
    """

    command: tuple[str, ...]
    status: int
    seconds: float
    output: str
    timed_out: bool = False


def launch(
    ranks: int,
    words: Sequence[str],
    *,
    launcher: str | None = None,
    log: Path | None = None,
    time_limit: float | None = None,
) -> Finished:
    """Runs `dfx-homog WORDS` on `ranks` ranks and waits for its end.

    launcher    how ranks are started, with {ranks} in it: "srun -n {ranks}"; None: the mpirun on PATH, and one rank
                without any
    log         file that what it prints goes to
    time_limit  seconds after which it is ended, as by a batch system: SIGUSR1 or SIGTERM first, then SIGKILL

    SIGTERM, SIGUSR1 and SIGINT are passed on (the first SIGTERM as SIGUSR1, on which the ranks write a checkpoint);
    once the child has ended, StoppedEarly is raised. Raises BadInput for a launcher that
    cannot be used.
    """
    command = (*starter(ranks, launcher), sys.executable, "-P", "-m", "dfx_homog.cli", *words)
    begin = time.perf_counter()
    with tempfile.TemporaryFile() if log is None else log.open("wb+") as sink:
        child = subprocess.Popen(
            command,
            env=environment(launcher is None and ranks > 1),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            preexec_fn=lock.end_with_parent,
        )
        try:
            with _passed_on(child) as received:
                timed_out = _wait(child, time_limit)
        finally:
            _kill(child)
        seconds = time.perf_counter() - begin
        size = sink.seek(0, os.SEEK_END)
        sink.seek(max(0, size - LAST_WORDS))
        output = sink.read().decode(errors="replace").strip()
    if received:
        raise StoppedEarly(f"stopped by {received[0].name}, and with it {shlex.join(words)}")
    return Finished(command, child.returncode, seconds, output, timed_out)


def starter(ranks: int, launcher: str | None) -> list[str]:
    """The words before the program that start it on `ranks` ranks. Raises BadInput."""
    if launcher is not None:
        check_launcher(launcher)
        return [word.replace("{ranks}", str(ranks)) for word in shlex.split(launcher)]
    if ranks == 1:
        return []
    mpirun = shutil.which("mpirun")
    if mpirun is None:
        raise BadInput(
            "mpirun: not found on PATH (allowed: --launcher with how ranks are started, such as 'srun -n {ranks}')"
        )
    # not bound: two runs at once would be bound to the same cores
    free = ["--bind-to", "none", *["--oversubscribe"] * (ranks > cores())] if _is_open_mpi(mpirun) else []
    return [mpirun, "-n", str(ranks), *free]


def check_launcher(launcher: str) -> None:
    """Raises BadInput unless `launcher` is a command with {ranks} that is found."""
    allowed = "(allowed: a command with {ranks} in it, such as 'srun -n {ranks}')"
    try:
        words = shlex.split(launcher)
    except ValueError as error:
        raise BadInput(f"--launcher {launcher}: {error} {allowed}") from None
    if not any("{ranks}" in word for word in words):
        raise BadInput(f"--launcher {launcher}: has no {{ranks}} {allowed}")
    if shutil.which(words[0]) is None:
        raise BadInput(f"--launcher {launcher}: {words[0]} is not found {allowed}")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def environment(share: bool = False) -> dict[str, str]:
    """This process's variables without those that a launcher of MPI has set for it.

    share: ranks that wait leave their core to others (Open MPI), as `./dfx -n` has it: where anything else is at work,
    ranks that spin wait for one another for ever
    """
    clean = {name: value for name, value in os.environ.items() if not OF_A_PARENT.fullmatch(name)}
    if share:
        clean["OMPI_MCA_mpi_yield_when_idle"] = "1"
    return clean


def parent_ranks(variables: Mapping[str, str] | None = None) -> tuple[int, int]:
    """How many processes the launcher of this one has started, and which of them this is; (1, 0) without a launcher."""
    found = os.environ if variables is None else variables
    size = max(_number(found.get(name), 1) for name in SIZES)
    return size, max(_number(found.get(name), 0) for name in RANKS) if size > 1 else 0


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdigit() else default


@cache
def _is_open_mpi(mpirun: str) -> bool:
    """Other MPIs do not know the options by which ranks are neither bound nor refused for want of cores."""
    try:
        text = subprocess.run(
            [mpirun, "--version"], capture_output=True, text=True, timeout=60, env=environment(), check=False
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    return any(name in text for name in ("Open MPI", "OpenRTE", "prterun", "PRRTE"))


def _wait(child: subprocess.Popen[bytes], limit: float | None) -> bool:
    """Waits for the end; True if the limit has ended it."""
    try:
        child.wait(limit)
        return False
    except subprocess.TimeoutExpired:
        for number in (signal.SIGUSR1, signal.SIGTERM):
            child.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(GRACE)
                break
        _end_group(child)
        return True


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Ends the child if an error has left it at work."""
    if child.poll() is None:
        _end_group(child)


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Ends what is left of the child and of what it has started; its ranks end with it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


@contextlib.contextmanager
def _passed_on(child: subprocess.Popen[bytes]) -> Iterator[list[signal.Signals]]:
    """Passes signals on to the child meanwhile; yields those that came."""
    received: list[signal.Signals] = []

    def handle(number: int, _: FrameType | None) -> None:
        first = signal.SIGTERM not in received
        received.append(signal.Signals(number))
        child.send_signal(signal.SIGUSR1 if number == signal.SIGTERM and first else number)

    kinds = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    before = {kind: signal.signal(kind, handle) for kind in kinds}
    try:
        yield received
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
