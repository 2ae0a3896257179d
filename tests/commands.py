"""`./dfx` as a user calls it, from inside a test: small runs of `wavy-2d`, killed or with a disk that is too small."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

TOP = Path(__file__).resolve().parents[1]
REGIONS = ("negative", "separator", "positive")
LIMIT = 300.0  # seconds that a call may take on a busy machine
#: Columns that need not be the same twice: a residual just at the tolerance takes an iteration more or less.
TIMING = ("seconds", "newton", "krylov")


def words(command: str, out: Path, *overrides: str) -> list[str]:
    """A call that takes a second: mesh size 0.2, first order; overrides as with --set."""
    coarse = [f"microstructure.{r}.{k}" for r in REGIONS for k in ("mesh_size=0.2", "order=1")]
    sets = [word for s in (*coarse, *overrides) for word in ("--set", s)]
    return [command, str(TOP / "runs" / "quickstart.toml"), "--out", str(out), "--quiet", *sets]


def environment() -> dict[str, str]:
    """That of the tests, but with ranks that leave the processor to others while they wait."""
    return os.environ | {"OMPI_MCA_mpi_yield_when_idle": "1"}


def command_line(call: Sequence[str], ranks: int) -> list[str]:
    return ["bash", str(TOP / "dfx"), *(["-n", str(ranks)] if ranks > 1 else []), *call]


def dfx(call: Sequence[str], ranks: int = 1) -> subprocess.CompletedProcess[str]:
    """A call of ./dfx until it ends."""
    line = command_line(call, ranks)
    return subprocess.run(line, env=environment(), capture_output=True, text=True, timeout=LIMIT)


def start(call: Sequence[str], ranks: int = 1) -> subprocess.Popen[bytes]:
    """A call of ./dfx in a process group of its own."""
    quiet = subprocess.DEVNULL
    line = command_line(call, ranks)
    return subprocess.Popen(line, env=environment(), stdout=quiet, stderr=quiet, start_new_session=True)


def progress(out: Path) -> int:
    """Steps done in this directory so far, by all calls and all levels."""
    try:
        text = (out / "log.txt").read_text(errors="replace")
    except OSError:
        return 0
    best: dict[str, int] = {}
    for label, done in re.findall(r" s  (.+): (\d+)/\d+  t = ", text):
        best[label] = max(best.get(label, 0), int(done))
    return sum(best.values())


def ranks_of(out: Path, rank: int | None = None) -> list[int]:
    """Processes that work on this directory under mpirun, or the one of a rank."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            call = (process / "cmdline").read_bytes().split(b"\0")
            variables = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        numbers = [v for v in variables if v.startswith(b"OMPI_COMM_WORLD_RANK=")]
        if str(out).encode() in call and numbers and rank in (None, int(numbers[0].partition(b"=")[2])):
            found.append(int(process.name))
    return found


def kill_somewhere(
    call: Sequence[str], out: Path, steps: int, kills: int, *, ranks: int = 1, seed: int = 0
) -> list[int]:
    """Starts the call again and again and kills it, -9, at random moments spread over the run's steps.

    Every fifth kill falls into the set-up, every third under mpirun hits one rank only; the others hit the whole
    process group. Returns the steps that were done at each kill.
    """
    random, moments = Random(seed), []
    for kill in range(kills):
        before = progress(out)
        process = start([*call, *(["--restart"] if kill else [])], ranks)
        if kill % 5 == 4:
            time.sleep(random.uniform(0.0, 3.0))
        else:
            wanted = before + random.uniform(0.0, 2.0 * (steps - before) / (kills - kill))
            limit = time.monotonic() + LIMIT
            while (
                progress(out) < max(wanted, before + 1)
                and process.poll() is None
                and time.monotonic() < limit
            ):
                time.sleep(0.002)
            time.sleep(random.uniform(0.0, 0.03))
        one = ranks_of(out, random.randrange(ranks)) if ranks > 1 and kill % 3 == 2 else []
        if one:
            os.kill(one[0], signal.SIGKILL)
            # the other ranks end too, and the call with them, unless all was done when the rank was hit
            assert process.wait(timeout=60) != 0 or (out / "result.json").exists()
        elif process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
        moments.append(progress(out))
    return moments


def history(path: Path) -> list[dict[str, float]]:
    """history.csv without the columns of TIMING."""
    with path.open(newline="") as file:
        return [{k: float(v) for k, v in row.items() if k not in TIMING} for row in csv.DictReader(file)]
