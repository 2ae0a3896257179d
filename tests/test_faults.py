"""What a run does when something around it fails: the disk, its files, the solver (ranks: test_fault_phases)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import LIMIT, command_line, dfx, environment, history, words

import dfx_homog.report
from dfx_homog import cli
from dfx_homog.errors import BadInput
from dfx_homog.io import lock

SHORT = ("protocol.steps=[{current=0.2, duration=0.1}]", "checkpoint.every=1")


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "kilobytes", [8, pytest.param(330, marks=pytest.mark.slow), pytest.param(700, marks=pytest.mark.slow)]
)
def test_a_full_disk_is_one_message(kilobytes: int, ranks: int, tmp_path: Path) -> None:
    """On a file system of its own that has room for nothing, a few steps, or all but the report."""
    small, kept = tmp_path / "small", tmp_path / "kept"
    small.mkdir()
    call = command_line(words("resolved", small / "out", *SHORT), ranks)
    script = f'mount -t tmpfs -o size={kilobytes}k none "$1" || exit 99; shift; "${{@:2}}"; status=$?; '
    script += f'cp -r "{small}/out" "$1"; exit $status'
    line = ["unshare", "-Urm", "bash", "-c", script, "small", str(small), str(kept), *call]
    done = subprocess.run(line, env=environment(), capture_output=True, text=True, timeout=LIMIT)
    if done.returncode in (1, 99) and "dfx" not in done.stderr and not kept.exists():
        pytest.skip(f"no file systems of one's own here: {done.stderr.strip()}")
    assert done.returncode == 3
    own = [line for line in done.stderr.splitlines() if str(small) in line]
    assert len(own) == 1 and "No space left on device" in own[0]
    assert "Traceback" not in done.stderr
    if kilobytes > 8:  # what was written before is good: the run goes on where there is room
        steps = len(list((kept / "checkpoint").glob("*.json")))
        assert steps == 2 or kilobytes < 500
        again = dfx([*words("resolved", kept, *SHORT), "--restart"])
        assert (again.returncode, again.stderr) == (0, "")
        assert len(history(kept / "history.csv")) == 6


def test_files_of_an_unfinished_or_another_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What --restart finds besides a good checkpoint: rows that are lost, parts, all damaged, another run's folder."""
    monkeypatch.setattr(dfx_homog.report, "write_report", lambda _out: None)
    out = tmp_path / "out"
    call = words("resolved", out, *SHORT)

    def restart(call: list[str]) -> tuple[int, str]:
        capfd.readouterr()
        return cli.main([*call, "--restart"]), capfd.readouterr().err

    assert cli.main(call) == 0
    rows = history(out / "history.csv")
    good = tmp_path / "good"
    shutil.copytree(out / "checkpoint", good)

    text = (out / "history.csv").read_text()
    (out / "history.csv").write_text(text[:200])
    status, said = restart(call)
    assert (status, said.count("\n")) == (2, 1) and "good rows" in said
    (out / "history.csv").write_text(text)

    (out / "checkpoint" / "step-000000009.part").write_bytes(b"half")
    (out / "checkpoint" / "step-000000009.json.part").write_text("{")
    for path in (out / "checkpoint").glob("step-00000000[45].h5"):
        path.write_bytes(path.read_bytes()[:-100])
    status, said = restart([word for word in call if word != "--quiet"])
    assert status == 0
    assert said.count("is damaged and not used") == 2 and "starting at t = 0" in said
    again = history(out / "history.csv")
    assert [r["voltage"] for r in again] == pytest.approx([r["voltage"] for r in rows], abs=1e-12)
    assert not list((out / "checkpoint").glob("*.h5.part")) and not list((out / "checkpoint").glob("*9.part"))

    status, said = restart(words("resolved", out, *SHORT, "parameters.D_L=0.9"))
    assert status == 2 and "another parameters.D_L" in said
    assert (out / "result.json").exists()  # nothing was touched
    shutil.rmtree(out / "checkpoint")
    shutil.copytree(good, out / "checkpoint")
    status, said = restart(words("homogenised", out, *SHORT))
    assert status == 2 and "another run file, model or version" in said


def test_a_directory_is_of_one_run_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    hold = f"import fcntl, time; f = open({str(out / lock.NAME)!r}, 'w'); fcntl.lockf(f, fcntl.LOCK_EX, 1, 1)"
    other = subprocess.Popen(
        [sys.executable, "-c", f"{hold}; print('held', flush=True); time.sleep(60)"], stdout=subprocess.PIPE
    )
    try:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lock, "PATIENCE", 0.1)
            with pytest.raises(BadInput, match="another run is at work there"):
                lock.take(out)
            patch.setattr(lock, "PATIENCE", 20.0)
            other.kill()  # with the process goes its lock
            lock.take(out)
    finally:
        other.kill()
        other.wait()
        lock.release()


def test_a_solver_that_gives_up_can_be_helped(tmp_path: Path) -> None:
    """Exit 3 with the state saved; the restart may have another [solver] and PETSc options, but not another step."""
    out = tmp_path / "out"
    call = words("resolved", out, *SHORT)
    stopped = dfx([*call, "--", "-resolved_snes_max_it", "1"])
    assert stopped.returncode == 3 and "t = 0.02 (step 1)" in stopped.stderr
    assert stopped.stderr.count("\n") == 1
    [state] = (out / "checkpoint").glob("*.json")
    assert json.loads(json.loads(state.read_text())["facts"])["step"] == 0
    smaller = dfx([*words("resolved", out, *SHORT, "time.dt=0.01"), "--restart"])
    assert smaller.returncode == 2 and "another time.dt (allowed: the same run" in smaller.stderr
    assert "[checkpoint], " in smaller.stderr and "[solver] may differ" in smaller.stderr
    done = dfx([*words("resolved", out, *SHORT, "solver.preset=direct"), "--restart"])
    assert done.returncode == 0
    assert len(history(out / "history.csv")) == 6
