"""What a user sees of long work: a bar on a terminal, plain lines in a batch log; always a copy in log.txt."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from mpi4py import MPI

from dfx_homog import timing
from dfx_homog.errors import printable
from dfx_homog.io.disk import on_rank_0
from dfx_homog.io.provenance import write_run_toml
from dfx_homog.runfile import Run
from dfx_homog.runoptions import RunOptions

LINE_EVERY = 10.0  # seconds between progress lines in a batch log


class Log:
    """Messages of rank 0 to the terminal (unless quiet) and, with a directory of results, to out/log.txt."""

    def __init__(self, comm: MPI.Intracomm, out: Path | None, *, quiet: bool = False, verbose: bool = False):
        self._active = comm.rank == 0
        self._quiet = quiet
        self._verbose = verbose
        self._start = time.perf_counter()
        self._bar = False
        self._last = 0.0
        self._begun: tuple[str, int, float] = (
            "",
            0,
            0.0,
        )  # of the present loop: label, first count, when that was
        self._file = (
            (out / "log.txt").open("a", encoding="utf-8") if self._active and out is not None else None
        )

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._write(f"stopped: {printable(str(error))}")
        self._end_bar()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()

    def _write(self, message: str) -> None:
        if self._file is None:
            return
        with contextlib.suppress(OSError):  # a full disk ends the run where results are written
            print(f"{time.perf_counter() - self._start:8.1f} s  {message}", file=self._file, flush=True)

    def _end_bar(self) -> None:
        if self._bar:
            print(file=sys.stderr, flush=True)
            self._bar = False

    def say(self, message: str) -> None:
        """One line."""
        if not self._active:
            return
        message = printable(message)
        self._write(message)
        if not self._quiet:
            self._end_bar()
            print(message, file=sys.stderr, flush=True)

    @property
    def verbose(self) -> bool:
        """Whether details are shown; the same on all ranks."""
        return self._verbose

    def detail(self, message: str) -> None:
        """One line that only a verbose run shows."""
        if self._verbose:
            self.say(message)

    def step(self, label: str, done: int, total: int | None, detail: str = "") -> None:
        """Progress of a loop; total: None where it is not known."""
        if not self._active:
            return
        of = "" if total is None else f"/{total}"
        message = f"{label}: {done}{of}  {detail}{self._left(label, done, total)}"
        self._write(message)
        if self._quiet:
            return
        if sys.stderr.isatty():
            width = 24
            bar = "" if total is None else f" [{'#' * (width * done // max(total, 1)):<{width}}]"
            print(
                f"\r{label}{bar}{message.removeprefix(label)}\x1b[K",
                end="",
                file=sys.stderr,
                flush=True,
            )
            self._bar = True
            if done == total:
                self._end_bar()
        elif done == total or time.perf_counter() - self._last > LINE_EVERY:
            self._last = time.perf_counter()
            print(message, file=sys.stderr, flush=True)

    def _left(self, label: str, done: int, total: int | None) -> str:
        """How long the rest of a loop will take if it goes on as so far; empty where that is not known."""
        now, (before, first, start) = time.perf_counter(), self._begun
        if label != before or done < first:
            self._begun = (label, done, now)
            return ""
        if total is None or not first < done < total:
            return ""
        return f"  {duration((now - start) * (total - done) / (done - first))} left"


def duration(seconds: float) -> str:
    """A time of some length, rounded as one would say it."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def begin(run: Run, out: Path | None, opts: RunOptions, comm: MPI.Intracomm) -> Log:
    """Start a directory of results, once nothing can be refused any more: run.toml and the log. Collective."""
    write_run_toml(run, out, comm)
    log = Log(comm, out, quiet=opts.quiet, verbose=opts.verbose)
    for note in run.notes:
        log.say(note)
    return log


def finish(run: Run, out: Path | None, comm: MPI.Intracomm, log: Log) -> None:
    """Write report.html on rank 0 if the run asks for it. Collective. Raises SolverFailure if the disk is full."""
    if log.verbose:
        for line in spent(timing.entry(comm)):
            log.detail(line)
    if out is None or not run.output.report:
        return

    def write() -> None:
        from dfx_homog.report import write_report

        write_report(out)

    on_rank_0(comm, out / "report.html", write)
    log.say(f"report: {out / 'report.html'}")


def spent(entry: dict[str, Any]) -> list[str]:
    """Where the time went, in words. entry: "timing" of result.json."""
    seconds, counts, memory = entry["seconds"], entry["counts"], entry["memory"]
    phases = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items() if name != "total")
    solves = ", ".join(f"{name} {value}" for name, value in counts.items())
    return [
        f"time: {phases}; {seconds['total']:.1f} s in all",
        f"solves: {solves}; memory of the largest rank {memory['rank'] / 1e6:.0f} MB",
    ]
