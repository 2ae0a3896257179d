"""What long work says: a bar on a terminal, plain lines in a pipe, the time left, and what a verbose run adds."""

from __future__ import annotations

import os
import pty
import select
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mpi4py import MPI

import dfx_homog
from dfx_homog.studies import progress
from dfx_homog.studies.progress import Log, duration

TOP = Path(__file__).resolve().parents[1]
COMM = MPI.COMM_WORLD
COARSE: dict[str, Any] = {
    f"microstructure.{region}.{key}": value
    for region in ("negative", "separator", "positive")
    for key, value in (("mesh_size", 0.2), ("order", 1))
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time as the log sees it, in the first entry."""
    now = [100.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    return now


def loop(log: Log, clock: list[float], seconds: float, total: int | None = 4) -> None:
    for done in range(1, 5):
        clock[0] += seconds
        log.step("march", done, total, f"t = {done}")


def test_bar_on_a_terminal(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that is written over and over, ended when the loop is."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with Log(MPI.COMM_SELF, None) as log:
            loop(log, clock, 200.0)
            log.say("done")
        text = ""
        while not text.endswith("done\r\n"):
            assert select.select([ours], [], [], 5.0)[0], text
            text += os.read(ours, 10_000).decode()
        monkeypatch.undo()
    os.close(ours)
    assert text.count("\r\n") == 2
    bars = text.split("\r\n")[0].split("\r")[1:]
    assert [bar.count("#") for bar in bars] == [6, 12, 18, 24]
    assert "2/4  t = 2  6.7 min left\x1b[K" in bars[1]
    assert "left" not in bars[0] and "left" not in bars[3]


def test_lines_in_a_pipe(
    tmp_path: Path, clock: list[float], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first and the last, and between them one every ten seconds; log.txt has all; nothing moves a cursor."""
    with Log(MPI.COMM_SELF, tmp_path) as log:
        loop(log, clock, 6.0)
    lines = capfd.readouterr().err.splitlines()
    assert lines == ["march: 1/4  t = 1", "march: 3/4  t = 3  6 s left", "march: 4/4  t = 4"]
    written = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.partition(" s  ")[2].split("  ")[0] for line in written] == [
        f"march: {n}/4" for n in range(1, 5)
    ]


def test_quiet_and_unknown_ends(
    tmp_path: Path, clock: list[float], capfd: pytest.CaptureFixture[str]
) -> None:
    with Log(MPI.COMM_SELF, tmp_path, quiet=True) as log:
        loop(log, clock, 60.0, total=None)
        log.say("done")
    assert capfd.readouterr() == ("", "")
    text = (tmp_path / "log.txt").read_text()
    assert "march: 4  t = 4\n" in text and "left" not in text and text.endswith("done\n")


def test_a_new_loop_has_its_own_estimate(clock: list[float], capfd: pytest.CaptureFixture[str]) -> None:
    """A second level, and a loop that goes on from a checkpoint, are not measured by what was before them."""
    with Log(MPI.COMM_SELF, None) as log:
        loop(log, clock, 1000.0)
        for done in (50, 51):
            clock[0] += 20.0
            log.step("delta = 1/10", done, 100)
    assert "delta = 1/10: 51/100    16 min left" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (89, "89 s"), (90, "1.5 min"), (900, "15 min"), (5400, "1.5 h"), (4e5, "4.6 d")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.mpi
@pytest.mark.parametrize("command", ["homogenised", "resolved"])
def test_verbose(command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Reasons at every step, the solver with its matrices once, and where the time went; all in log.txt too."""
    out = Path(COMM.bcast(str(tmp_path), root=0)) / "out"
    changes = {**COARSE, "protocol.steps.0.duration": 0.06, "output.report": False}
    run = dfx_homog.load(TOP / "runs" / "quickstart.toml", changes)
    getattr(dfx_homog, command)(run, out=out, verbose=True)
    COMM.barrier()
    text = capfd.readouterr().err
    if COMM.rank:
        assert text == ""
        return
    assert text.count("(CONVERGED_FNORM_ABS, CONVERGED_") == 3
    assert text.count(f"  SNES Object: ({command}_)") == 1
    assert "rows=" in text and "INFOG" not in text
    assert "time: mesh " in text and "solves: newton " in text
    log = (out / "log.txt").read_text()
    shown = [line for line in text.splitlines() if ": 1/3  " not in line]
    assert all(f" s  {line}\n" in log for line in shown)
