"""`--compile-only`: a run in small that needs the same forms as the run itself."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from commands import TOP, command_line, words

from dfx_homog.runfile import load
from dfx_homog.studies import compiling

RUNS = sorted((TOP / "runs").glob("*.toml"))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_every_run_has_a_small_one(path: Path) -> None:
    """With its own conductivities, order and dimensions, one level and steps of every kind."""
    run = load(path)
    small = compiling.miniature(run)
    if small is None:
        assert all(spec.is_voxels for spec in run.microstructure.values())
        return
    for name, spec in small.microstructure.items():
        given = run.microstructure[name]
        assert spec.is_given or spec.order == given.order
        assert spec.is_given or given.dim is None or spec.dim == given.dim
        assert getattr(spec, "k_e", None) == getattr(given, "k_e", None)
    if run.protocol is not None:
        assert {step.kind for step in small.protocol.steps} == {step.kind for step in run.protocol.steps}
        assert small.protocol.longest is not None
        assert small.protocol.longest <= 2e-3 * run.time.dt * len(run.protocol.steps) * (1 + 1e-12)
    if run.cell is not None and run.cell.periods is not None:
        a, b = small.cell.periods, run.cell.periods
        assert all(a[i] * sum(b) == b[i] * sum(a) for i in range(3))


def test_leftovers_are_removed_and_work_is_not(tmp_path: Path) -> None:
    for name in ("done", "killed", "new"):
        (tmp_path / f"{name}.c").touch()
        (tmp_path / f"{name}.o").touch()
    (tmp_path / "done.c.cached").touch()
    for name in ("done", "killed"):
        os.utime(tmp_path / f"{name}.c", (time.time() - 1e4, time.time() - 1e4))
    with compiling.alone(tmp_path):
        names = {path.stem for path in tmp_path.glob("*.c")}
    assert names == {"done", "new"}
    assert not (tmp_path / "killed.o").exists()
    assert compiling.compiled(tmp_path) == {"done"}


def ready(cache: Path) -> set[str]:
    return compiling.compiled(cache / "fenics")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "file", "sets"),
    [
        ("cell", "cells-2d", ()),
        ("resolved", "quickstart", ('time.scheme="bdf2"', "parameters.C=0.05")),
        (
            "homogenised",
            "dfn-lgm50",
            ("protocol.steps=[{current=5.0, duration=20.0}, {voltage=4.0, duration=20.0}]",),
        ),
        ("homogenised", "wall-law", ("protocol.steps=[{current=0.2, duration=0.02}]",)),
        ("convergence", "quickstart", ("convergence.periods=[[2,1,2],[4,2,4]]",)),
        ("homogenised", "tab-2d", ("protocol.steps=[{current=0.2, duration=0.02}]",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_is_left_to_compile(command: str, file: str, sets: tuple[str, ...], tmp_path: Path) -> None:
    """Into an empty cache; the run itself, on two ranks, then adds nothing to it."""
    cache = tmp_path / "cache"
    short = ("protocol.steps=[{current=0.2, duration=0.04}]",) if file == "quickstart" else ()
    call = words(command, tmp_path / "out", *short, *sets)
    if file != "quickstart":
        call = [command, str(TOP / "runs" / f"{file}.toml"), "--out", str(tmp_path / "out"), "--quiet"]
        call += [word for s in sets for word in ("--set", s)]
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(
        command_line([*call, "--compile-only"], 1),
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "out").exists()
    before = ready(cache)
    assert before
    done = subprocess.run(command_line(call, 2), env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert ready(cache) == before
