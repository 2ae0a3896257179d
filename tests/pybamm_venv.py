"""PyBaMM beside us: a virtual environment of its own, made once, in which tests run short scripts.

Its packages (another numpy among them) never meet ours. The version is that of the extra `test` of pyproject.toml;
where that is already installed beside us, it is used as it is.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
# Read the data, run the script, which sets `result`, write that: what it prints is for the reader of a failure.
WRAPPER = """
import json, sys
with open(sys.argv[1]) as file:
    data = json.load(file)
with open(sys.argv[2]) as file:
    names = {"data": data, "result": None}
    exec(compile(file.read(), sys.argv[2], "exec"), names)
with open(sys.argv[3], "w") as file:
    json.dump(names["result"], file)
"""


def pin() -> str:
    """The requirement pybamm==… of the extra `test`."""
    extras = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (found,) = (name for name in extras["test"] if name.startswith("pybamm=="))
    return str(found)


def python() -> Path:
    """A Python that has PyBaMM, made if there is none. Skips the test if PyPI cannot be reached, but fails in CI."""
    wanted = pin()
    try:
        if importlib.metadata.version("pybamm") == wanted.partition("==")[2]:
            return Path(sys.executable)
    except importlib.metadata.PackageNotFoundError:
        pass
    place = CACHE / f"{wanted}+bpx-py{sys.version_info.major}.{sys.version_info.minor}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(f"{place}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "finished").exists():
            _make(place, wanted)
    return place / "bin" / "python"


def _make(place: Path, wanted: str) -> None:
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    # and bpx, with which it reads BPX files
    wanted_too = ["--requirement", str(TOP / "env" / "pypi.txt")]
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet"]
    command = [*pip, wanted, *wanted_too]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(place)
        stop = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        stop(f"{wanted} could not be installed: {done.stderr.strip()[-500:]}")
    (place / "finished").touch()


def run_in_pybamm(script: str, data: Any = None, seconds: float = 280.0) -> Any:
    """What `script` leaves in the name `result`, given `data`; both as JSON.

    Raises AssertionError with the end of what it printed where it fails, and TimeoutExpired after `seconds`.
    """
    interpreter = python()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data.json").write_text(json.dumps(data))
        (folder / "script.py").write_text(script)
        files = [folder / part for part in ("data.json", "script.py", "result.json")]
        done = subprocess.run(
            [interpreter, "-I", "-c", WRAPPER, *files],
            capture_output=True,
            text=True,
            timeout=seconds,
            cwd=folder,
            env=os.environ | {"PYBAMM_DISABLE_TELEMETRY": "true"},
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return json.loads(files[2].read_text())
