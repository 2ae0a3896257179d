"""The wrapper `dfx` and its parts, as far as they can be tried inside the environment: no root is made here."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]


def dfx(*args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DFX_")}
    command = ["bash", str(TOP / "dfx"), *args]
    return subprocess.run(command, env=environment | variables, capture_output=True, text=True, timeout=60)


def dry(*args: str, **variables: str) -> dict[str, list[str]]:
    """What dfx would run: its lines by their first word."""
    done = dfx(*args, DFX_DRY_RUN="1", **variables)
    assert done.returncode == 0, done.stderr
    lines: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(" ")
        lines.setdefault(name, []).append(value)
    return lines


def parts(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run bash code with the functions of dfx, without its main."""
    source = (
        f'checkout={TOP} cache=$CACHE; for part in root venv enter; do . "$checkout/env/$part.sh"; done\n'
    )
    says = 'say() { echo "$*" >&2; }; die() { echo "${@:2}" >&2; exit "$1"; }; shopt -s nullglob\n'
    command = ["bash", "-uc", source + says + script]
    return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "path", [TOP / "dfx", TOP / ".ci" / "run", *sorted((TOP / "env").glob("*.sh"))], ids=str
)
def test_bash_syntax(path: Path) -> None:
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_entry_points_are_executable() -> None:
    assert os.access(TOP / "dfx", os.X_OK)
    assert os.access(TOP / ".ci" / "run", os.X_OK)


def test_version_needs_no_environment(tmp_path: Path) -> None:
    done = dfx("--version", XDG_CACHE_HOME=str(tmp_path))
    assert done.stdout == "dfx_homog 0.1.0\n"
    assert not list(tmp_path.iterdir())


def test_commands_go_to_dfx_homog_word_by_word() -> None:
    lines = dry("check", "a b.toml", "--set", "x=[1, 2]", DFX_PYTHON="none")
    assert lines["arg"] == ["dfx-homog", "check", "a b.toml", "--set", "x=[1, 2]"]
    assert lines["lane"] == ["root"]


def test_ranks() -> None:
    lines = dry("-n", "3", "cell", "x.toml", DFX_PYTHON="none")
    assert lines["arg"] == ["bash", str(TOP / "env" / "mpirun.sh"), "3", "dfx-homog", "cell", "x.toml"]


def test_docs_are_made_by_a_script_of_the_checkout() -> None:
    python, script = dry("docs", DFX_PYTHON="none")["arg"]
    assert python == "python" and Path(script).is_relative_to(TOP) and Path(script).is_file()
    assert dfx("-n", "2", "docs", DFX_DRY_RUN="1").returncode == 2


def test_own_dolfinx_is_found() -> None:
    pytest.importorskip("pip")
    assert dry("check", "x.toml", DFX_PYTHON=sys.executable)["lane"] == ["own"]


def test_suites_have_roots_of_their_own() -> None:
    default = dry("check", "x.toml", DFX_PYTHON="none")["key"][0]
    keys = {suite: dry("check", "x.toml", DFX_SUITE=suite)["key"][0] for suite in ("trixie", "sid")}
    assert keys["trixie"] == default
    assert keys["trixie"].startswith("trixie-")
    assert keys["sid"].startswith("sid-")


@pytest.mark.parametrize(
    ("args", "variables", "words"),
    [
        (("-n", "0", "cell", "x.toml"), {}, "number of ranks"),
        (("-n", "two", "cell", "x.toml"), {}, "number of ranks"),
        (("-n",), {}, "number of ranks"),
        (("-n", "2", "test"), {}, "chooses its own"),
        (("exec",), {}, "takes a command"),
        (("cell", "x.toml", "--out", "/dev/shm/out"), {}, "/dev/shm is private"),
        (("cell", "x.toml"), {"DFX_SUITE": "sarge"}, "trixie"),
        (("cell", "x.toml"), {"DFX_PYTHON": "/nowhere/python"}, "there is no /nowhere/python"),
    ],
)
def test_bad_calls_end_with_2(args: tuple[str, ...], variables: dict[str, str], words: str) -> None:
    done = dfx(*args, DFX_DRY_RUN="1", **variables)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""


def test_python_without_dolfinx_is_refused_with_the_reason(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    python.chmod(0o755)
    done = dfx("cell", "x.toml", DFX_DRY_RUN="1", DFX_PYTHON=str(python))
    assert done.returncode == 2
    assert "no DOLFINx" in done.stderr


def fenics_cache(folder: Path) -> Path:
    fenics = folder / "fenics"
    fenics.mkdir()
    for name in ("done.c", "done.c.cached", "done.o", "killed.c", "killed.o"):
        (fenics / name).touch()
    return fenics


def test_leftovers_of_killed_compilations_are_removed(tmp_path: Path) -> None:
    fenics = fenics_cache(tmp_path)
    assert parts("lane=root jit_cache=$CACHE; hold_jit_cache", CACHE=str(tmp_path)).returncode == 0
    assert {path.name for path in fenics.iterdir()} == {"done.c", "done.c.cached", "done.o"}


def test_compilations_of_a_running_call_stay(tmp_path: Path) -> None:
    fenics = fenics_cache(tmp_path)
    os.utime(fenics / "killed.c")
    (fenics / "ancient.c").touch()
    os.utime(fenics / "ancient.c", (time.time() - 1e4, time.time() - 1e4))
    with open(tmp_path / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert parts("lane=root jit_cache=$CACHE; hold_jit_cache", CACHE=str(tmp_path)).returncode == 0
    assert {path.name for path in fenics.iterdir()} == {
        "done.c",
        "done.c.cached",
        "done.o",
        "killed.c",
        "killed.o",
    }


def test_finished_root_is_used_and_an_incomplete_one_is_not(tmp_path: Path) -> None:
    script = """
        need_tools() { :; }
        make_root() { echo made "$key"; }
        DFX_SUITE=trixie root_key
        mkdir -p "$root$PART"
        need_root
    """
    assert parts(script, CACHE=str(tmp_path), PART=".part.123").stdout.startswith("made trixie-")
    assert parts(script, CACHE=str(tmp_path), PART="").stdout == ""


def test_missing_programs_are_named(tmp_path: Path) -> None:
    """Without apt-get, or not being root, dfx says what to install."""
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("bash", "id", "grep"):
        (bare / name).symlink_to(shutil.which(name) or "")
    done = parts("PATH=$BARE; need_tools", CACHE=str(tmp_path), BARE=str(bare))
    assert done.returncode == 1
    assert "mmdebstrap" in done.stderr
    assert "bubblewrap" in done.stderr
    (bare / "apt-get").symlink_to("/bin/false")
    done = parts("PATH=$BARE; id() { echo 1000; }; need_tools", CACHE=str(tmp_path), BARE=str(bare))
    assert done.returncode == 1
    assert "apt-get install mmdebstrap bubblewrap uidmap" in done.stderr


CHILD = """
import signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(75))
print("ready", flush=True)
for _ in range(600):  # a signal that comes just before a long sleep would count only after it
    time.sleep(0.05)
"""


@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)]
)
def test_signals(sent: signal.Signals, status: int) -> None:
    """SIGTERM and SIGUSR1 let the program end with its own status, SIGINT interrupts it."""
    if "DFX_INSIDE" not in os.environ:
        pytest.skip("needs an environment made by dfx")
    command = ["bash", str(TOP / "dfx"), "exec", "python", "-c", CHILD]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # tests run in the background, where SIGINT is ignored, and a shell cannot trap what it was born ignoring
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(sent)
    assert process.wait(timeout=20) == status
    process.stdout.close()
