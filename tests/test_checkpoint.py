"""Checkpoints: round trip on other ranks, damage, restart to the same numbers, signals, a full disk."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI
from wavy import build, wavy_run

from dfx_homog.errors import BadInput, SolverFailure, StoppedEarly
from dfx_homog.io import checkpoint, kept
from dfx_homog.models.history import COLUMNS
from dfx_homog.models.state import State, Table
from dfx_homog.runfile import Run
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies.checkpoints import Checkpoints
from dfx_homog.studies.interrupt import Interrupt
from dfx_homog.studies.march import march
from dfx_homog.studies.outcome import March
from dfx_homog.studies.progress import Log

WORLD = MPI.COMM_WORLD
SAME = [c for c in COLUMNS if c not in ("seconds", "krylov", "newton", "charge_error", "energy_error")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Rank 0's folder, on all ranks."""
    return WORLD.bcast(tmp_path, root=0)


def table(comm: MPI.Intracomm, count: int = 40, width: int = 3) -> State:
    """Rows dealt out round-robin, every fifth one on all ranks."""
    rows = np.array([r for r in range(count) if r % comm.size == comm.rank or r % 5 == 0][::-1])
    return {"x": Table(rows, count, np.sin(rows[:, None] + np.arange(width)))}


@pytest.mark.mpi
@pytest.mark.mpi3
def test_round_trip_and_only_two_are_kept(folder: Path) -> None:
    for step in (3, 5, 12):
        checkpoint.save(folder, WORLD, step, {"time": step / 10}, table(WORLD))
    found, damaged = checkpoint.newest(folder, WORLD)
    assert found is not None and (found.step, found.facts["time"], damaged) == (12, 1.2, [])
    assert len(list(folder.glob("*.h5"))) == len(list(folder.glob("*.json"))) == 2
    for comm in (WORLD, MPI.COMM_SELF):  # as many ranks, and one
        like = table(comm)
        np.testing.assert_array_equal(checkpoint.load(found, comm, like)["x"], like["x"].values)


def test_every_damaged_byte_is_noticed(folder: Path) -> None:
    """Flip, cut or append anything in either file of the newest checkpoint: the one before is used."""
    rng = np.random.default_rng(1)
    for step in (1, 2):
        checkpoint.save(folder, MPI.COMM_SELF, step, {}, table(MPI.COMM_SELF))
    for name in ("step-000000002.h5", "step-000000002.json"):
        good = (folder / name).read_bytes()
        broken = [good + b"x", *(good[: len(good) * k // 16] for k in range(16)), good[:-1]]
        stride = max(len(good) // 1000, 1)  # every byte of the small file
        for at in range(int(rng.integers(stride)), len(good), stride):
            flipped = bytearray(good)
            flipped[at] ^= 1 << int(rng.integers(8))
            broken.append(bytes(flipped))
        for data in broken:
            (folder / name).write_bytes(data)
            found, damaged = checkpoint.newest(folder, MPI.COMM_SELF)
            assert found is not None and found.step == 1 and len(damaged) == 1
        (folder / name).write_bytes(good)
    assert checkpoint.newest(folder, MPI.COMM_SELF, before=2)[0].step == 1  # type: ignore[union-attr]
    (folder / "step-000000002.h5").unlink()
    assert checkpoint.newest(folder, MPI.COMM_SELF)[0].step == 1  # type: ignore[union-attr]


@pytest.mark.mpi
def test_kept_files_are_whole_or_not_there(folder: Path) -> None:
    """What was kept comes back on all ranks; of another key, or with any byte changed, it does not."""
    path, facts, arrays = folder / "x.kept", {"a": [1, 0.1]}, {"b": np.arange(6.0).reshape(2, 3)}
    kept.save(path, WORLD, "key", facts, arrays)
    found = kept.load(path, WORLD, "key")
    assert found is not None and found[0] == facts
    np.testing.assert_array_equal(found[1]["b"], arrays["b"])
    assert kept.load(path, WORLD, "other") is None
    good = path.read_bytes()
    WORLD.barrier()
    if WORLD.rank == 0:
        for at in range(len(good)):
            path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
            assert kept.load(path, MPI.COMM_SELF, "key") is None
        path.write_bytes(good[:-1])
        assert kept.load(path, MPI.COMM_SELF, "key") is None
        path.unlink()
    WORLD.barrier()
    assert kept.load(path, WORLD, "key") is None


@pytest.mark.mpi
def test_a_full_disk_leaves_earlier_checkpoints_intact(folder: Path) -> None:
    checkpoint.save(folder, WORLD, 1, {}, table(WORLD))
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(SolverFailure, match="earlier checkpoints are intact"):
            checkpoint.save(folder, WORLD, 2, {}, table(WORLD))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    found, damaged = checkpoint.newest(folder, WORLD)
    assert found is not None and found.step == 1 and damaged == []
    assert list(folder.glob("*.part")) == []


def go(
    run: Run,
    model: str,
    folder: Path,
    comm: MPI.Intracomm,
    *,
    restart: bool = False,
    on_state: Callable[[int, float], None] | None = None,
    wall_time: float | None = None,
) -> March:
    built = build(run, model, comm)
    opts = RunOptions(folder, quiet=True, restart=restart, wall_time=wall_time)
    try:
        with (
            Log(comm, folder, quiet=True) as log,
            Interrupt(comm, opts) as interrupt,
        ):
            keeper = Checkpoints(run, folder / "checkpoint", opts, comm, log, interrupt)
            return march(built, run, folder / "history.csv", log, "test", on_state, keeper)
    finally:
        built.destroy()


def same(result: March, reference: March, tolerance: float) -> None:
    assert len(result.rows) == len(reference.rows)
    for mine, theirs in zip(result.rows, reference.rows, strict=True):
        assert [mine[c] for c in SAME] == pytest.approx(
            [theirs[c] for c in SAME], rel=tolerance, abs=tolerance
        )


@pytest.mark.mpi
@pytest.mark.parametrize("model", ["resolved", "homogenised"])
def test_stopped_by_a_signal_and_restarted(model: str, folder: Path) -> None:
    """SIGUSR1 on one rank stops all after a checkpoint; going on gives what an uninterrupted run gives."""
    run = wavy_run('time.scheme="bdf2"', steps=6)
    (folder / "whole").mkdir(exist_ok=True)
    WORLD.barrier()
    reference = go(run, model, folder / "whole", WORLD)

    def interrupt(index: int, _time: float) -> None:
        if index == 3 and WORLD.rank == WORLD.size - 1:
            os.kill(os.getpid(), signal.SIGUSR1)

    with pytest.raises(StoppedEarly, match="SIGUSR1 after step 3"):
        go(run, model, folder, WORLD, on_state=interrupt)
    seen: list[int] = []
    result = go(run, model, folder, WORLD, restart=True, on_state=lambda index, _t: seen.append(index))
    assert seen == [4, 5, 6]
    same(result, reference, 1e-10)
    # a run that got to its end has nothing left to do
    again = go(run, model, folder, WORLD, restart=True, on_state=lambda index, _t: seen.append(index))
    assert seen == [4, 5, 6]
    same(again, reference, 1e-10)


@pytest.mark.mpi
@pytest.mark.parametrize("model", ["resolved", "homogenised"])
def test_restart_on_other_ranks(model: str, folder: Path) -> None:
    """From all ranks to one."""
    run = wavy_run(steps=4)

    def interrupt(index: int, _time: float) -> None:
        if index == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedEarly, match="SIGTERM"):
        go(run, model, folder, WORLD, on_state=interrupt)
    if WORLD.rank == 0:
        (folder / "whole").mkdir()
        reference = go(run, model, folder / "whole", MPI.COMM_SELF)
        same(go(run, model, folder, MPI.COMM_SELF, restart=True), reference, 1e-9)
    WORLD.barrier()


def test_another_run_file_is_refused_but_not_another_policy(folder: Path) -> None:
    go(wavy_run(steps=2), "resolved", folder, MPI.COMM_SELF)
    with pytest.raises(BadInput, match="another run file"):
        go(wavy_run(steps=2, current=0.1), "resolved", folder, MPI.COMM_SELF, restart=True)
    go(wavy_run("checkpoint.every=1", steps=2), "resolved", folder, MPI.COMM_SELF, restart=True)


def test_every_so_many_steps(folder: Path) -> None:
    go(wavy_run("checkpoint.every=2", steps=5), "resolved", folder, MPI.COMM_SELF)
    steps = sorted(
        int(json.loads(json.loads(p.read_text())["facts"])["step"]) for p in folder.glob("*/*.json")
    )
    assert steps == [4, 5]


def test_wall_time(folder: Path) -> None:
    """A limit that has passed already stops the run at once, with a checkpoint of the start."""
    run = wavy_run(steps=3)
    with pytest.raises(StoppedEarly, match="wall-time limit"):
        go(run, "resolved", folder, MPI.COMM_SELF, wall_time=1e-9)
    reference = march_without(run, folder)
    same(go(run, "resolved", folder, MPI.COMM_SELF, restart=True), reference, 1e-10)


def march_without(run: Run, folder: Path) -> March:
    (folder / "plain").mkdir()
    return go(run, "resolved", folder / "plain", MPI.COMM_SELF)


@pytest.mark.mpi
def test_end_of_a_full_particle(folder: Path) -> None:
    """When the positive particles are full the run ends cleanly, a restart ends at the same place."""
    run = wavy_run("time.dt=0.1", "protocol.steps=[{current=0.25, duration=1.0}]")
    result = go(run, "resolved", folder, WORLD)
    assert result.end is not None and "positive electrode is full" in result.end
    assert 4 <= len(result.rows) < 11 and result.rows[-1]["soc_p"] < 1.0
    again = go(run, "resolved", folder, WORLD, restart=True)
    assert again.end == result.end and len(again.rows) == len(result.rows)
