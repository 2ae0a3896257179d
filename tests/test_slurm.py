"""The scripts of slurm/ under a real Slurm, and their twins without one."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import dfx, progress, words
from own_slurm import TOP, Slurm, missing, run_script
from test_survival import comparable, flat, same

SCRIPTS = sorted((TOP / "slurm").glob("*.sh"))
STUDIES = [path.stem for path in SCRIPTS if path.stem not in ("cluster", "common")]
QUICKSTART = TOP / "runs" / "quickstart.toml"
needs_slurm = pytest.mark.skipif(bool(missing()), reason=f"there is no {missing()}")

IMAGES = """
output.report = false
[microstructure.medium]
geometry = "image"
file = "none.npy"
solid = [1]
sigma_s = 1.0
k_s = 1.0
k_e = 2.0
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with Slurm(tmp_path_factory.mktemp("slurm") / "s") as running:
        yield running


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_bash_syntax(path: Path) -> None:
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.access(path, os.X_OK) == (path.stem in STUDIES)


@pytest.mark.parametrize("study", STUDIES)
def test_parameters_come_first(study: str) -> None:
    """All of them can be set from outside, and nothing below the block of parameters has to be edited."""
    head, _, below = (TOP / "slurm" / f"{study}.sh").read_text().partition("\nset +a\n")
    block = head.partition("\nset -a\n")[2].partition("\n\n")[0]
    names = [line.partition("=")[0] for line in block.splitlines() if not line.startswith("#")]
    assert {"FILE", "OUT", "RANKS", "NODES", "TIME"} <= set(names)
    assert all(f"{name}=${{{name}:-" in block for name in names)
    assert not [name for name in names if f"\n{name}=" in below]


def stub(folder: Path, name: str) -> None:
    """A program that writes down its words instead of doing anything."""
    path = folder / name
    path.write_text('#!/bin/sh\nprintf "%s " "${0##*/}" "$@" >>"$SAID"; echo >>"$SAID"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize(
    ("launch", "first", "second"),
    [
        ("srun", "dfx-homog", "srun --mpi=pmi2 -n 3 dfx-homog"),
        ("mpirun", "dfx-homog", "mpirun -n 3 dfx-homog"),
        (
            "apptainer",
            "apptainer exec a.sif dfx-homog",
            "srun --mpi=pmi2 -n 3 apptainer exec a.sif dfx-homog",
        ),
    ],
)
def test_launchers(launch: str, first: str, second: str, tmp_path: Path) -> None:
    """Forms on one rank without a launcher, then the run on all ranks; PETSc's words stay last."""
    for name in ("srun", "mpirun", "apptainer", "dfx-homog"):
        stub(tmp_path, name)
    said, out = tmp_path / "said", tmp_path / "out"
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SAID": str(said)}
    done = run_script(
        *("resolved", "--set", "time.dt=0.1", "--", "-log_view"),
        **{"FILE": QUICKSTART, "OUT": out, "RANKS": 3, "LAUNCH": launch, "PMI": "pmi2", "IMAGE": "a.sif"},
        **{"LOCAL": 1, "MINUTES": 5},
        environment=environment,
    )
    assert done.returncode == 0, done.stderr
    rest = "--set time.dt=0.1 -- -log_view"
    assert [line.strip() for line in said.read_text().splitlines()] == [
        f"{first} resolved {QUICKSTART} --compile-only {rest}",
        f"{second} resolved {QUICKSTART} --out {out} --restart --wall-time 5 {rest}",
    ]


def test_scaling_starts_its_ranks_itself(tmp_path: Path) -> None:
    for name in ("srun", "dfx-homog"):
        stub(tmp_path, name)
    said, out = tmp_path / "said", tmp_path / "out"
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SAID": str(said)}
    parameters = {"FILE": QUICKSTART, "OUT": out, "COMMAND": "cell", "LAUNCH": "srun", "LOCAL": 1}
    done = run_script("scaling", "--quiet", environment=environment, **parameters)
    assert done.returncode == 0, done.stderr
    assert [line.strip() for line in said.read_text().splitlines()] == [
        f"dfx-homog cell {QUICKSTART} --compile-only --quiet",
        f"dfx-homog scaling {QUICKSTART} --out {out} --restart --launcher srun --mpi=pmix -n {{ranks}} --quiet",
    ]


@pytest.mark.parametrize(
    ("study", "parameters", "message"),
    [
        ("resolved", {"LAUNCH": "yarn"}, "allowed: wrapper, srun, mpirun, apptainer"),
        ("resolved", {"COMPILE": "yes"}, "allowed: job, submit, no"),
        ("delta", {"FILE": "none.toml"}, "FILE=none.toml: no such file"),
        ("cells", {"IMAGES": "none-*.tif", "FILE": QUICKSTART}, "IMAGES=none-*.tif: no such files"),
    ],
)
def test_bad_parameters(study: str, parameters: dict[str, object], message: str) -> None:
    done = run_script(study, **({"FILE": QUICKSTART} | parameters))
    assert done.returncode == 2
    assert message in done.stderr


def two_images(folder: Path) -> dict[str, object]:
    """Parameters of cells.sh for an image and a file that is none."""
    np.save(folder / "a.npy", (np.random.default_rng(1).random((16, 16)) < 0.4).astype(np.uint8))
    (folder / "b.npy").write_text("no image")
    (folder / "images.toml").write_text(IMAGES)
    patterns = {"FILE": folder / "images.toml", "IMAGES": folder / "*.npy", "NAME": "medium"}
    return {**patterns, "RANKS": 1, "COMPILE": "no"}


def tensors(out: Path) -> Any:
    entry = json.loads((out / "result.json").read_text())["microstructures"]["medium"]
    return [np.array(entry[name]) for name in ("B", "K")]


def log(out: Path, name: str) -> str:
    """The log of a job, of which there is one."""
    (path,) = (out / "slurm").glob(f"{name}.log")
    return path.read_text()


@needs_slurm
def test_array_and_failures(slurm: Slurm, tmp_path: Path) -> None:
    """A file that is no image fails alone, a chain ends with its first failure; messages are in the logs."""
    parameters, out = two_images(tmp_path), tmp_path / "cells"
    chain = tmp_path / "chain"
    jobs = slurm.submit(
        "delta", "--set", "time.dt=-1", FILE=TOP / "runs" / "wavy-2d.toml", OUT=chain, LEVELS=2, RANKS=1
    )
    (array,) = slurm.submit("cells", **parameters, OUT=out)
    local = run_script("cells", **parameters, OUT=tmp_path / "here", LOCAL=1)
    assert slurm.wait([f"{array}_0", f"{array}_1"]) == ["COMPLETED", "FAILED"]
    assert slurm.wait(jobs) == ["FAILED", "CANCELLED", "CANCELLED", "CANCELLED"]
    for job in (f"{array}_1", jobs[0]):
        assert (slurm.show(job)["ExitCode"], slurm.show(job)["Restarts"]) == ("2:0", "0")
    assert "b.npy: not a file of numpy.save" in log(out, f"cells-run-{array}_1")
    assert "time.dt: -1" in log(chain, f"delta-0-{jobs[0]}")
    assert len(list((chain / "slurm").iterdir())) == 1  # the others never began
    assert local.returncode == 2  # as the worst of the images
    assert "b.npy: not a file of numpy.save" in local.stderr
    for mine, other in zip(tensors(out / "a"), tensors(tmp_path / "here" / "a"), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12)


def submit_steps(
    slurm: Slurm, out: Path, steps: int, ranks: int, **parameters: object
) -> tuple[str, list[str]]:
    """A job of resolved.sh with so many short steps, and its words without those that the script adds."""
    sets = (f"protocol.steps=[{{current=0.2, duration={steps * 0.001!r}}}]", "time.dt=0.001")
    call = words("resolved", out, *sets, "output.report=false")
    own = call[call.index("--quiet") :]
    (job,) = slurm.submit("resolved", *own, FILE=QUICKSTART, OUT=out, RANKS=ranks, **parameters)
    return job, call


def wait_for_steps(out: Path, steps: int) -> None:
    deadline = time.monotonic() + 120
    while progress(out) < steps:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@needs_slurm
def test_a_signal_puts_a_job_back_into_the_queue(slurm: Slurm, tmp_path: Path) -> None:
    """SIGUSR1, as Slurm sends it before the time limit; the run goes on to the result of one that was not stopped."""
    out, whole = tmp_path / "jobs", tmp_path / "whole"
    job, call = submit_steps(slurm, out, 60, 1, COMPILE="no", TIME=30)
    wait_for_steps(out, 3)
    slurm("scancel", "--batch", "--signal=USR1", job)
    while slurm.show(job)["JobState"] != "PENDING":
        time.sleep(0.1)
    assert 3 <= progress(out) < 60
    slurm.start_soon(job)
    call[call.index(str(out))] = str(whole)
    assert dfx(call).returncode == 0
    assert slurm.wait([job]) == ["COMPLETED"], log(out, f"resolved-run-{job}")
    assert slurm.show(job)["Restarts"] == "1"
    text = log(out, f"resolved-run-{job}")
    assert text.count("stopped by SIGUSR1 after step") == 1
    same(out / "history.csv", whole / "history.csv")


def seconds_a_step(out: Path) -> float:
    """Of the run of `submit_steps` on two ranks, now."""
    sets = ("protocol.steps=[{current=0.2, duration=0.04}]", "time.dt=0.001", "output.report=false")
    assert dfx(words("resolved", out, *sets), 2).returncode == 0
    return float(json.loads((out / "result.json").read_text())["seconds"]) / 40


@needs_slurm
@pytest.mark.slow
def test_across_the_time_limit(slurm: Slurm, tmp_path: Path) -> None:
    """Slurm itself sends the signal, up to a minute earlier than asked for; 2 minutes are its shortest useful limit.

    So that it comes while the run is at work, that is made to take about two minutes, on a busy machine too.
    """
    out, whole = tmp_path / "jobs", tmp_path / "whole"
    steps = round(120 / seconds_a_step(tmp_path / "pace"))
    job, call = submit_steps(slurm, out, steps, 2, TIME=2, LEAVE=30)
    call[call.index(str(out))] = str(whole)
    deadline = time.monotonic() + 900
    states: set[str] = set()
    moved: set[str] = set()
    while (found := slurm.show(job))["JobState"] not in ("COMPLETED", "FAILED", "TIMEOUT"):
        states.add(found["JobState"])
        if found["Reason"] == "BeginTime" and found["Restarts"] not in moved:
            slurm.start_soon(job)
            moved.add(found["Restarts"])
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert found["JobState"] == "COMPLETED", log(out, f"resolved-run-{job}")
    restarts = int(found["Restarts"])
    assert restarts >= 1
    text = log(out, f"resolved-run-{job}")
    assert text.count("stopped by SIGUSR1 after step") == restarts
    print(f"{steps} steps, {restarts} restarts, states {sorted(states)}")
    assert dfx(call, 2).returncode == 0
    same(out / "history.csv", whole / "history.csv")


@needs_slurm
@pytest.mark.slow
def test_cancelled_job_leaves_a_checkpoint(slurm: Slurm, tmp_path: Path) -> None:
    """scancel: a checkpoint, and not into the queue again."""
    out = tmp_path / "jobs"
    job, _ = submit_steps(slurm, out, 2000, 2, COMPILE="no", TIME=30)
    wait_for_steps(out, 3)
    slurm("scancel", "--batch", "--signal=TERM", job)
    assert slurm.wait([job]) == ["FAILED"]
    assert slurm.show(job)["ExitCode"] == "75:0"
    assert slurm.show(job)["Restarts"] == "0"
    assert list((out / "checkpoint").glob("step-*"))


@needs_slurm
@pytest.mark.slow
@pytest.mark.parametrize("launch", ["srun", "mpirun"])
def test_signals_reach_the_ranks(launch: str, slurm: Slurm, tmp_path: Path) -> None:
    """Ranks that Slurm or mpirun starts inside the job, without the wrapper."""
    if launch == "srun" and "pmix" not in slurm("srun", "--mpi=list"):
        pytest.skip("this Slurm is without pmix")
    out = tmp_path / "jobs"
    job, _ = submit_steps(slurm, out, 40, 2, COMPILE="no", TIME=30, LAUNCH=launch)
    wait_for_steps(out, 3)
    slurm("scancel", "--batch", "--signal=USR1", job)
    while slurm.show(job)["JobState"] != "PENDING":
        time.sleep(0.1)
    slurm.start_soon(job)
    assert slurm.wait([job]) == ["COMPLETED"], log(out, f"resolved-run-{job}")
    text = log(out, f"resolved-run-{job}")
    assert text.count("stopped by SIGUSR1 after step") == 1
    assert json.loads((out / "result.json").read_text())["ranks"] == 2


def always_stopped(folder: Path) -> dict[str, object]:
    """Parameters and PATH of a run that is stopped before it has written anything."""
    (folder / "bin").mkdir()
    for name in ("mpirun", "dfx-homog"):
        path = folder / "bin" / name
        path.write_text("#!/bin/sh\nexit 75\n")
        path.chmod(0o755)
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    return {"FILE": QUICKSTART, "OUT": folder / "out", "LAUNCH": "mpirun", "COMPILE": "no", "PATH": path}


def test_pieces_without_progress_end(tmp_path: Path) -> None:
    done = run_script("resolved", **always_stopped(tmp_path), LOCAL=1)
    assert done.returncode == 1
    assert "no further: the time limit is too short" in done.stderr


@needs_slurm
@pytest.mark.slow
def test_jobs_without_progress_end(slurm: Slurm, tmp_path: Path) -> None:
    """Stopped twice before anything is on disk: FAILED with the reason, instead of a circle."""
    (job,) = slurm.submit("resolved", **always_stopped(tmp_path), TIME=30)
    while slurm.show(job)["Reason"] != "BeginTime":
        time.sleep(0.1)
    slurm.start_soon(job)
    assert slurm.wait([job]) == ["FAILED"]
    assert (slurm.show(job)["ExitCode"], slurm.show(job)["Restarts"]) == ("1:0", "1")
    assert "the time limit is too short" in log(tmp_path / "out", f"resolved-run-{job}")


DELTA = ("convergence.periods=[[2,1,2],[4,2,4]]", "protocol.steps=[{current=0.2, duration=0.1}]")


@needs_slurm
@pytest.mark.slow
def test_delta_study_as_a_chain(slurm: Slurm, tmp_path: Path) -> None:
    """A job a level, on other ranks, a local twin, and `convergence` in one go: the same result."""
    call = words("convergence", tmp_path / "whole", *DELTA)
    own = call[call.index("--quiet") :]
    parameters = {"FILE": QUICKSTART, "LEVELS": 2, "RANKS": "1 1 2 1"}
    jobs = slurm.submit("delta", *own, **parameters, OUT=tmp_path / "jobs")
    assert len(jobs) == 4
    assert slurm.wait(jobs, 300) == ["COMPLETED"] * 4
    assert run_script("delta", *own, **parameters, OUT=tmp_path / "here", LOCAL=1).returncode == 0
    assert dfx(call).returncode == 0
    whole, *others = (
        flat(comparable(json.loads((tmp_path / name / "result.json").read_text())))
        for name in ("whole", "jobs", "here")
    )
    assert json.loads((tmp_path / "jobs" / "result.json").read_text())["orders"]["voltage"]
    for other in others:
        assert {k: v for k, v in other.items() if "ranks" not in k} == pytest.approx(
            {k: v for k, v in whole.items() if "ranks" not in k}, rel=1e-7, abs=1e-9
        )
    assert (tmp_path / "jobs" / "report.html").exists()
    fewer = run_script("delta", *own, **(parameters | {"LEVELS": 1}), OUT=tmp_path / "jobs", LOCAL=1)
    assert fewer.returncode == 2
    assert "LEVELS=1" in fewer.stderr


@needs_slurm
@pytest.mark.slow
def test_ensemble_in_shares(slurm: Slurm, tmp_path: Path) -> None:
    """Samples solved by three jobs and put together by a fourth: those of one run, bit by bit."""
    sets = ("microstructure.field.voxels=8", "rve.sizes=[1, 2]", "rve.realisations=3", "output.report=false")
    own = [word for s in sets for word in ("--set", s)]
    file = tmp_path / "rve.toml"
    file.write_text(
        '[microstructure.field]\ngeometry = "gaussian_field"\ndim = 2\nporosity = 0.5\ncorrelation_length = 2.0\n'
        'voxels = 16\nk_s = 1.0\nk_e = 2.0\n[rve]\nquantity = "K"\nsizes = [1]\n'
    )
    jobs = slurm.submit("rve", *own, FILE=file, OUT=tmp_path / "jobs", SHARES=3, RANKS=1)
    array, merge = jobs
    states = slurm.wait([*(f"{array}_{k}" for k in (1, 2, 3)), merge])
    assert states == ["COMPLETED"] * 4
    assert run_script("rve", *own, FILE=file, OUT=tmp_path / "here", SHARES=2, LOCAL=1).returncode == 0
    assert dfx(["rve", str(file), "--out", str(tmp_path / "whole"), *own]).returncode == 0
    whole, *others = (
        flat(comparable(json.loads((tmp_path / name / "result.json").read_text())))
        for name in ("whole", "jobs", "here")
    )
    assert len(list((tmp_path / "jobs" / "samples").glob("*.json"))) == 6
    for other in others:
        assert other == whole


@needs_slurm
@pytest.mark.slow
@pytest.mark.parametrize("launch", ["wrapper", "srun"])
def test_scaling_inside_a_job(launch: str, slurm: Slurm, tmp_path: Path) -> None:
    """Every point is a step of its own; none is taken for a part of the job around it."""
    if launch == "srun" and "pmix" not in slurm("srun", "--mpi=list"):
        pytest.skip("this Slurm is without pmix")
    out, file = tmp_path / "jobs", tmp_path / "scaling.toml"
    file.write_text(
        '[microstructure.field]\ngeometry = "gaussian_field"\ndim = 2\nporosity = 0.5\ncorrelation_length = 2.0\n'
        'voxels = 16\nk_s = 1.0\nk_e = 2.0\n[scaling]\ncommand = "cell"\nranks = [1, 2]\nrepetitions = 1\n'
    )
    parameters = {"FILE": file, "OUT": out, "RANKS": 2, "TIME": 30, "COMMAND": "cell", "LAUNCH": launch}
    (job,) = slurm.submit("scaling", "--set", "output.report=false", **parameters)
    assert slurm.wait([job]) == ["COMPLETED"], log(out, f"scaling-run-{job}")
    points = json.loads((out / "result.json").read_text())["points"]
    assert sorted({point["ranks"] for point in points}) == [1, 2]
