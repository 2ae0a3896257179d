"""`dfx-homog scaling`: which problems, what of their results counts, the fitted model, restart, report."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import environment

from dfx_homog import cli
from dfx_homog.errors import BadInput
from dfx_homog.report import write_report
from dfx_homog.runfile import Run, load
from dfx_homog.scaling import command, growth, measuring, model
from dfx_homog.scaling.measuring import COLUMNS
from dfx_homog.timing import PHASES

TOP = Path(__file__).resolve().parents[1]
RUNS = TOP / "runs"
FIELD = """[microstructure.field]
geometry = "gaussian_field"
porosity = 0.4
correlation_length = 4
voxels = 16
[scaling]
command = "cell"
ranks = [1, 2]
sizes = [1, 2]
"""


def scaled(file: str, table: str, *overrides: str) -> Run:
    return load(RUNS / file, [f"scaling={table}", *overrides])


@pytest.mark.parametrize(
    ("file", "table", "size", "key", "value"),
    [
        ("quickstart.toml", '{command="resolved"}', 4, "cell.lateral_periods", [4]),
        ("quickstart.toml", '{command="resolved", grow="periods"}', 2, "cell.periods", [4, 2, 4]),
        ("delta-3d.toml", '{command="resolved"}', 3, "cell.lateral_periods", [3, 1]),
        ("quickstart.toml", '{command="homogenised"}', 3, "homogenised.elements", 60),
        ("quickstart.toml", '{command="convergence"}', 2, "cell.lateral_periods", [2]),
        ("rve-gaussian.toml", '{command="rve"}', 5, "rve.realisations", 40),
        ("quickstart.toml", '{command="cell"}', 4, "microstructure.negative.mesh_size", 0.04),
    ],
)
def test_problems_grow(file: str, table: str, size: int, key: str, value: Any) -> None:
    found: Any = growth.grown(scaled(file, table), size).model_dump(by_alias=True)
    for name in key.split("."):
        found = found[name]
    expected = list(value) if isinstance(value, list) else value
    before: Any = scaled(file, table).model_dump(by_alias=True)
    for name in key.split("."):
        before = before[name]
    if key == "rve.realisations":
        expected = size * before
    elif key == "microstructure.negative.mesh_size":
        expected = pytest.approx(before / 2)
    assert (list(found) if isinstance(expected, list) else found) == expected


def test_grown_run_files_are_run_files(tmp_path: Path) -> None:
    """Whole, in SI too, without the table that only `scaling` reads."""
    for file, kind in (("dfn-lgm50.toml", "homogenised"), ("delta-3d.toml", "resolved")):
        run = growth.grown(scaled(file, f'{{command="{kind}"}}'), 2)
        path = tmp_path / file
        path.write_text(growth.text(run))
        again = load(path)
        assert again.scaling is None
        assert again.model_copy(update={"scaling": run.scaling}).model_dump() == run.model_dump()


@pytest.mark.parametrize(
    ("file", "table", "message"),
    [
        ("quickstart.toml", '{command="cook"}', "scaling.command"),
        ("quickstart.toml", '{command="resolved", grow="elements"}', "scaling.grow"),
        ("quickstart.toml", '{command="resolved", ranks=[2, 3]}', "scaling.ranks"),
        ("quickstart.toml", '{command="resolved", ranks=[2, 1]}', "scaling.ranks"),
        ("quickstart.toml", '{command="rve"}', r"\[rve\]: required"),
        ("cells-2d.toml", '{command="homogenised", grow="lateral_elements"}', "required"),
    ],
)
def test_bad_tables(file: str, table: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        command.check(scaled(file, table))


@pytest.mark.parametrize("path", sorted((RUNS / "scaling").glob("*.toml")), ids=lambda p: p.stem)
def test_run_files_of_the_page(path: Path) -> None:
    """Those that docs/scaling.md names can be measured, on more ranks than there."""
    command.check(load(path, ["scaling.ranks=[1, 2, 4, 8]"]))
    assert load(path).scaling.command == path.stem


def test_points() -> None:
    run = scaled("quickstart.toml", '{command="resolved", ranks=[2, 4, 8], sizes=[3]}')
    assert run.scaling.points == ((1, 2), (2, 4), (3, 2), (3, 4), (3, 8), (4, 8))
    assert run.scaling.weak_points == ((1, 2), (2, 4), (4, 8))


def test_images_do_not_grow(file: Path) -> None:
    """Nor need they, for strong scaling of one size."""
    image = str(TOP / "tests" / "data" / "chfem_100x100.raw")
    spec = f'{{geometry="image", file="{image}", shape=[100, 100], dtype="uint8", solid=[1]}}'
    run = load(file, [f"microstructure.field={spec}"])
    with pytest.raises(BadInput, match="cannot grow"):
        command.check(run)
    alone = load(file, [f"microstructure.field={spec}", "scaling.weak=false", "scaling.sizes=[1]"])
    command.check(alone)
    assert alone.scaling.points == ((1, 1), (1, 2))


# the model ------------------------------------------------------------------------------------------------------------


def rows(points: list[tuple[int, int]], true: Any, noise: float = 0.0) -> list[dict[str, float]]:
    """Rows that the model describes, up to noise; all time in the solve."""
    random = np.random.default_rng(3)
    n, p = np.array(points, dtype=float).T
    seconds = model.time_terms(n, p, 3) @ np.array(true) * (1 + noise * random.standard_normal(len(n)))
    memory = model.memory_terms(n, p) @ np.array([2e8, 3000.0, 8.0])
    found = []
    for i in range(len(n)):
        row = {"unknowns": n[i], "ranks": p[i], "seconds": seconds[i], "memory_rank": memory[i]}
        found.append(row | {f"seconds_{name}": seconds[i] * (name == "solve") for name in PHASES})
    return found


GRID = [(n, p) for n in (10**5, 10**6, 10**7) for p in (1, 2, 4, 8, 16)]


def test_the_model_is_found_again() -> None:
    true = (0.5, 3e-5, 2e-4, 0.05)
    found = model.fitted(rows(GRID, true), 3)
    assert list(found["time"]["coefficients"].values()) == pytest.approx(true, rel=1e-6)
    assert list(found["memory"]["coefficients"].values()) == pytest.approx([2e8, 3000.0, 8.0], rel=1e-6)
    assert found["time"]["largest_relative_error"] < 1e-9
    assert found["time"]["independent_terms"] == 4
    assert list(found["phases"]) == ["solve"]


def test_noise_is_in_the_residual_and_no_term_is_negative() -> None:
    found = model.fitted(rows(GRID, (0.5, 3e-5, 0.0, 0.05), noise=0.05), 3)
    assert 0.02 < found["time"]["rms_relative_error"] < 0.08
    assert min(found["time"]["coefficients"].values()) >= 0.0
    assert found["time"]["coefficients"]["work"] == pytest.approx(3e-5, rel=0.1)


def test_predictions() -> None:
    """Strong efficiency falls to that of the serial part, weak scaling keeps the share of a rank."""
    found = model.fitted(rows(GRID, (0.5, 3e-5, 0.0, 0.0)), 3)["predictions"]
    last = found["strong"][-1]
    seconds = 0.5 + 3e-5 * 1e7 / last["ranks"]
    assert last["seconds"] == pytest.approx(seconds, rel=1e-6)
    assert last["efficiency"] == pytest.approx((0.5 + 300) / last["ranks"] / seconds, rel=1e-6)
    assert [row["efficiency"] for row in found["weak"]] == pytest.approx([1.0] * len(found["weak"]))
    assert found["weak"][-1]["unknowns"] == pytest.approx(1e7 * last["ranks"])
    # every rank holds 8 bytes of every unknown of the whole
    assert found["weak"][-1]["memory_rank"] == pytest.approx(2e8 + 3e10 + 8e7 * last["ranks"], rel=1e-6)


def test_two_points_do_not_tell_four_terms_apart() -> None:
    found = model.fitted(rows([(10**5, 1), (10**5, 2)], (0.0, 3e-5, 0.0, 0.0)), 3)
    assert found["time"]["independent_terms"] == 2
    assert found["time"]["points"] == 2


# the command ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "field.toml"
    path.write_text(FIELD)
    return path


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Instead of runs: rows of a model, every second repetition slower. Returns what is asked for."""
    asked: list[tuple[int, int]] = []

    def measure(run: Run, size: int, ranks: int, machinery: Any, name: str) -> dict[str, Any]:
        asked.append((size, ranks))
        n = 1000.0 * size
        seconds = (1.0 + 1e-2 * n / ranks) * (1 + 0.5 * (len(asked) % 2))
        parts = {f"seconds_{p}": seconds * (p == "solve") for p in PHASES}
        row: dict[str, Any] = dict.fromkeys(COLUMNS, 1) | {"size": size, "ranks": ranks, "unknowns": n}
        return row | {"seconds": seconds, **parts, "facts": {"dfx_homog": "x"}}

    monkeypatch.setattr(command, "measure", measure)
    # the tests' own process may be a rank of mpirun
    monkeypatch.setattr(command.launching, "parent_ranks", lambda: (1, 0))
    return asked


def table(out: Path) -> list[dict[str, str]]:
    with (out / "scaling.csv").open(newline="") as text:
        return list(csv.DictReader(text))


def test_study(file: Path, tmp_path: Path, fake: list[tuple[int, int]]) -> None:
    out = tmp_path / "out"
    words = [str(file), "--out", str(out), "--quiet"]
    assert cli.main(["scaling", *words]) == 0
    each = [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert fake == [(1, 1)] + [point for point in each for _ in range(2)]
    found = table(out)
    assert [(int(row["size"]), int(row["ranks"])) for row in found] == each
    assert list(found[0]) == list(COLUMNS)
    result = json.loads((out / "result.json").read_text())
    for row, seconds in zip(found, result["repetitions"], strict=True):
        assert float(row["seconds"]) == min(seconds) < max(seconds)
    assert result["model"]["time"]["coefficients"]["work"] == pytest.approx(1e-2, rel=1e-6)
    assert load(out / "run.toml").scaling == load(file).scaling
    page = (out / "report.html").read_text()
    for text in ("Strong and weak scaling", "speed-up and efficiency", "extrapolated", "What is not covered"):
        assert text in page
    (out / "report.html").unlink()
    assert write_report(out).exists()


def test_restart_measures_what_is_missing(file: Path, tmp_path: Path, fake: list[tuple[int, int]]) -> None:
    out = tmp_path / "out"
    words = [str(file), "--out", str(out), "--quiet", "--set", "output.report=false"]
    assert cli.main(["scaling", *words]) == 0
    first = table(out)
    (out / "points" / "size-2-ranks-1.json").unlink()
    fake.clear()
    assert cli.main(["scaling", *words, "--restart"]) == 0
    assert fake == [(1, 1), (2, 1), (2, 1)]  # with a warm-up
    assert [row["seconds"] for row in table(out)][:2] == [row["seconds"] for row in first][:2]
    fake.clear()
    assert cli.main(["scaling", *words, "--restart"]) == 0
    assert fake == []
    assert cli.main(["scaling", *words, "--restart", "--set", "microstructure.field.porosity=0.5"]) == 0
    assert len(fake) == 9  # another problem


def test_inside_a_job_of_several_ranks(
    file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for rank, said in (("0", True), ("1", False)):
        monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
        monkeypatch.setenv("OMPI_COMM_WORLD_RANK", rank)
        assert cli.main(["scaling", str(file)]) == 2
        assert ("starts its ranks itself" in capfd.readouterr().err) == said


def test_a_whole_study(tmp_path: Path) -> None:
    """Real runs on one and two ranks, from a process that starts no MPI."""
    path = tmp_path / "field.toml"
    path.write_text(
        FIELD.replace("sizes = [1, 2]", "sizes = [1]\nrepetitions = 1\nwarm_up = false\nweak = false")
    )
    out = tmp_path / "out"
    program = (
        "import sys; from dfx_homog import cli; status = cli.main(sys.argv[1:]); "
        "print('started MPI' if 'mpi4py.MPI' in sys.modules else 'clean', status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "scaling", str(path), "--out", str(out), "--set=output.report=false"],
        env=environment() | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.split() == ["clean", "0"], done.stderr
    assert "2/2: size 1 on 2 ranks, run 1 of 1" in done.stderr
    one, two = table(out)
    assert one["unknowns"] == two["unknowns"]
    assert int(one["krylov"]) == int(two["krylov"]) > 0
    for row in (one, two):
        phases = sum(float(row[f"seconds_{name}"]) for name in PHASES)
        # every phase is the largest over the ranks
        assert float(row["seconds"]) * (1 - 1e-9) <= phases <= 1.5 * float(row["seconds"]) + 0.5
        assert float(row["launched_seconds"]) > float(row["seconds"])
        assert int(row["bytes_written"]) > 1000
    assert int(two["memory_ranks"]) > 1.5 * int(one["memory_rank"])
    assert not (out / "runs").exists()


def test_a_run_that_fails_is_named(file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its status becomes that of the study, its log stays."""
    script = tmp_path / "starter.sh"
    script.write_text('echo "the solver gave up: $1"; exit 3\n')
    out, inherited = tmp_path / "out", dict(os.environ)
    words = [str(file), "--out", str(out), "--quiet", "--launcher", f"sh {script} {{ranks}}"]
    assert cli.main(["scaling", *words]) == 3
    assert "warm-up: the solver gave up: 1 (exit status 3" in capfd.readouterr().err
    assert (out / "runs" / "warm-up" / "log.txt").read_text() == "the solver gave up: 1\n"
    assert not (out / "result.json").exists()
    assert dict(os.environ) == inherited


def test_unknowns_of_results() -> None:
    found = {"microstructures": {"a": {"dofs": {"S": 3, "B": 4}}, "b": {"dofs": {"K": 5}}}}
    assert measuring.unknowns("cell", found) == 12
    assert measuring.unknowns("rve", {"samples": [{"dofs": 3}, {"dofs": 4}]}) == 7
    assert measuring.unknowns("convergence", {"levels": [{"dofs": 3}, {"dofs": 6}]}) == 9
    assert measuring.unknowns("resolved", {"dofs": 3}) == 3
