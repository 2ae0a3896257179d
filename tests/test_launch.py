"""Children on several ranks: status, what they print, their limits and signals, and what of a parent's job they see."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from dfx_homog import launch as launching
from dfx_homog.errors import BadInput, StoppedEarly
from dfx_homog.launch import environment, launch, parent_ranks, starter

CELL = """[microstructure.one]
geometry = "electrolyte"
dim = 2
mesh_size = 0.5
"""
#: What mpirun 5 tells its ranks, and what a user sets for every job.
OF_MPIRUN = {
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_MCA_initial_wdir": "/",
    "OMPI_MCA_num_procs": "2",
    "OMPI_UNIVERSE_SIZE": "2",
    "PMIX_NAMESPACE": "prterun-vm-2@1",
    "PMIX_SERVER_URI2": "prterun-vm-2@0.0;tcp4://127.0.0.1:51951",
    "PMI_SIZE": "2",
    "PRTE_LAUNCHED": "1",
}
OF_USER = {"OMPI_MCA_btl": "self,sm", "OMPI_ALLOW_RUN_AS_ROOT": "1", "PRTE_ALLOW_RUN_AS_ROOT": "1"}


def script(tmp_path: Path, text: str) -> str:
    """A launcher that is a shell script."""
    path = tmp_path / "starter.sh"
    path.write_text(text)
    return f"sh {path} {{ranks}}"


def test_ranks_of_a_child(tmp_path: Path) -> None:
    """Two ranks of one job print one message, whatever job this process is said to be in."""
    log, run = tmp_path / "log.txt", tmp_path / "run.toml"
    run.write_text(CELL)
    done = launch(2, ["check", str(run)], log=log)
    assert done.status == 0, done.output
    assert log.read_text().count("suits: cell") == 1
    assert done.output == log.read_text().strip()
    assert 0.0 < done.seconds < 120.0
    assert not done.timed_out


def test_a_parents_job_is_not_the_childs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (OF_MPIRUN | OF_USER).items():
        monkeypatch.setenv(name, value)
    assert not OF_MPIRUN.keys() & environment().keys()
    assert environment().items() >= OF_USER.items()
    assert environment(share=True)["OMPI_MCA_mpi_yield_when_idle"] == "1"
    done = launch(2, ["cell", "no-such-file.toml"])
    assert done.status == 2
    assert done.output.count("no-such-file.toml: no such file") == 1


def test_parent_ranks() -> None:
    assert parent_ranks({}) == (1, 0)
    assert parent_ranks(OF_MPIRUN) == (2, 1)
    assert parent_ranks({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3"}) == (4, 3)
    assert parent_ranks({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}) == (1, 0)  # a batch script is one process


def test_launcher(tmp_path: Path) -> None:
    done = launch(3, ["check", "x.toml"], launcher=script(tmp_path, 'echo "on $1 ranks: $@"; exit 7\n'))
    assert done.status == 7
    assert done.output.startswith("on 3 ranks: ")
    assert done.output.endswith("-m dfx_homog.cli check x.toml")


@pytest.mark.parametrize("launcher", ["mpirun -n 2", "no-such-launcher -n {ranks}", "mpirun '{ranks}"])
def test_launchers_that_are_refused(launcher: str) -> None:
    with pytest.raises(BadInput, match="--launcher"):
        starter(2, launcher)


def test_without_mpirun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert starter(1, None) == []
    with pytest.raises(BadInput, match="mpirun: not found"):
        starter(2, None)


def test_more_ranks_than_cores() -> None:
    """Only then may ranks share a core."""
    for ranks, shared in ((launching.cores(), False), (launching.cores() + 1, True)):
        assert ("--oversubscribe" in starter(ranks, None)) == (shared and ranks > 1)


def test_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that takes no notice is killed, with all that it has started."""
    monkeypatch.setattr(launching, "GRACE", 0.3)
    pid = tmp_path / "pid"
    deaf = script(tmp_path, f"trap '' USR1 TERM\nsleep 1000 & echo $! > {pid}\nsleep 1000\n")
    begin = time.monotonic()
    done = launch(1, [], launcher=deaf, time_limit=0.5)
    assert done.timed_out
    assert done.status == -signal.SIGKILL
    assert time.monotonic() - begin < 20.0
    state = Path("/proc", pid.read_text().strip(), "status")
    for _ in range(100):
        if not state.exists() or "State:\tZ" in state.read_text():
            return
        time.sleep(0.05)
    raise AssertionError("what the child has started outlives it")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_signals_are_passed_on(number: signal.Signals, tmp_path: Path) -> None:
    """The child writes its checkpoint; then the parent ends as one that was stopped."""
    written, ready = tmp_path / "checkpoint", tmp_path / "ready"
    saves = script(
        tmp_path, f"trap 'touch {written}; exit 75' USR1 INT\ntouch {ready}\nwhile :; do sleep 0.05; done\n"
    )
    handler = signal.getsignal(number)

    def stop() -> None:
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(StoppedEarly, match=number.name):
        launch(1, ["resolved"], launcher=saves, time_limit=60.0)
    assert written.exists()
    assert signal.getsignal(number) == handler
