"""The command line: statuses, one message on any number of ranks, where results go, what `check` prints."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from dfx_homog import cli
from dfx_homog.errors import BadInput, SolverFailure
from dfx_homog.io.provenance import write_run_toml
from dfx_homog.runfile import Run, load
from dfx_homog.runoptions import RunOptions

TOP = Path(__file__).resolve().parents[1]
QUICKSTART = str(TOP / "runs" / "quickstart.toml")
CELL = """
[microstructure.one]
geometry = "wavy"
w0 = 0.27
w1 = 0.12
mesh_size = 0.2
"""


@pytest.fixture
def cell_file(tmp_path: Path) -> Path:
    path = tmp_path / "one.toml"
    path.write_text(CELL)
    return path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Run, Path, RunOptions]]:
    """Replaces the study behind `cell`; collects what it is called with."""
    made: list[tuple[Run, Path, RunOptions]] = []
    module = types.ModuleType("a_study")
    module.run_cell = lambda run, out, options, comm: made.append((run, out, options))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_study", module)
    monkeypatch.setitem(cli.STUDIES, "cell", ("a_study", "run_cell"))
    return made


def rank() -> int:
    from mpi4py import MPI

    return int(MPI.COMM_WORLD.rank)


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cell", "no-such-file.toml"], "no-such-file.toml: no such file"),
        ([], "required: COMMAND, FILE"),
        (["cell"], "required: FILE"),
        (["cook", QUICKSTART], "cook: no such command (allowed: cell, rve, resolved"),
        (["rve", QUICKSTART], "[rve]: required by rve"),
        (["--quiet", "scaling", QUICKSTART], "scaling: is the first word"),
        (["citations", str(TOP / "docs")], "no run.toml there"),
        (["citations", "no-such-directory"], "no-such-directory: no such directory"),
        (["cell", QUICKSTART, "--fast"], "--fast"),
        (["cell", QUICKSTART, "--ou", "x"], "--ou"),
        (["cell", QUICKSTART, "more"], "more"),
        (["cell", QUICKSTART, "--quiet", "-v"], "not allowed with"),
        (["--restart", "rve", QUICKSTART], "--restart: needs --out"),
        (["--restart", "check", QUICKSTART], "--restart: check runs nothing"),
        (["resolved", "--wall-time=0", QUICKSTART], "--wall-time"),
        (["resolved", "--levels=1", QUICKSTART], "--levels: resolved has no --levels (allowed: convergence)"),
        (
            ["convergence", "--levels=9", QUICKSTART],
            "--levels 9: the run file has fewer levels (allowed: 0 to 4)",
        ),
        (["convergence", "--levels=-1", QUICKSTART], "no number of levels"),
        (["rve", "--share=3/2", QUICKSTART], "no share (allowed: K/N"),
        (["check", "--compile-only", QUICKSTART], "--compile-only: check runs nothing"),
        (["report", "no-such-directory"], "no-such-directory: no such directory"),
        (["check", QUICKSTART, "--set", "time.dt=0"], "time.dt: 0 is out of range"),
        (["convergence", "--set=convergence.periods=[[2,1,2]]", QUICKSTART], "convergence.periods"),
        (["cell", QUICKSTART, "--set", "microstructure.negative.w0=0.378"], "microstructure.negative: w0"),
    ],
)
def test_bad_input(words: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    out, err = capfd.readouterr()
    assert out == ""
    if rank() == 0:
        assert message in err
        assert err.count("\n") == 1
    else:
        assert err == ""


def test_bad_input_leaves_nothing(cell_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    assert cli.main(["resolved", str(cell_file), "--out", str(out)]) == 2
    assert not out.exists()


def test_out_that_is_a_file_is_refused(cell_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cell", str(cell_file), "--out", str(cell_file)]) == 2
    assert f"--out {cell_file}" in capfd.readouterr().err
    assert cell_file.read_text() == CELL
    assert cli.main(["cell", str(cell_file), "--out", str(cell_file / "below")]) == 2


@pytest.mark.parametrize(
    "words",
    [
        ["cell", "FILE", "--out", "OUT", "-v"],
        ["-v", "--out", "OUT", "cell", "FILE"],
        ["cell", "-v", "FILE", "--out=OUT"],
    ],
)
def test_options_anywhere(
    words: list[str], cell_file: Path, tmp_path: Path, calls: list[tuple[Run, Path, RunOptions]]
) -> None:
    names = {"FILE": str(cell_file), "OUT": str(tmp_path / "out"), "--out=OUT": f"--out={tmp_path / 'out'}"}
    words = [names.get(w, w) for w in words]
    assert cli.main([*words, "--set", "microstructure.one.w0=0.3", "--", "-some_option", "--set"]) == 0
    [(run, out, options)] = calls
    assert run.microstructure["one"].w0 == 0.3  # type: ignore[union-attr]
    assert out == options.out == tmp_path / "out"
    assert (options.quiet, options.verbose, options.petsc) == (False, True, ("-some_option", "--set"))


def test_run_toml_is_a_run_file(cell_file: Path, tmp_path: Path) -> None:
    run = load(cell_file)
    write_run_toml(run, tmp_path, MPI.COMM_SELF)
    written = tmp_path / "run.toml"
    assert load(written).model_dump() == run.model_dump()
    text = written.read_text()
    for name in ("dolfinx", "petsc", "python", "ranks: 1", "host", "date", "input"):
        assert f"# {name}" in text
    assert "order = 1" in text  # a default


def test_names_in_provenance_stay_comments(cell_file: Path, tmp_path: Path) -> None:
    strange = tmp_path / "a\n[time]\nb.toml"
    strange.write_text(CELL)
    write_run_toml(load(strange), tmp_path, MPI.COMM_SELF)
    assert load(tmp_path / "run.toml").model_dump() == load(cell_file).model_dump()


def test_default_directory_is_new_every_time(
    cell_file: Path, tmp_path: Path, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(3):
        assert cli.main(["cell", "one.toml"]) == 0
    outs = [out for _, out, _ in calls]
    assert len(set(outs)) == 3
    assert all(out.parent == Path("runs/out") and out.name.startswith("one-") for out in outs)


def test_results_of_an_earlier_run_do_not_stay(cell_file: Path, tmp_path: Path, calls: list[Any]) -> None:
    (tmp_path / "result.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("mine")
    assert cli.main(["cell", str(cell_file), "--out", str(tmp_path)]) == 0
    assert not (tmp_path / "result.json").exists()
    assert (tmp_path / "notes.txt").exists()


def test_restart_keeps_the_samples_of_an_earlier_run(
    cell_file: Path, tmp_path: Path, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cli.STUDIES, "rve", ("a_study", "run_cell"))
    cell_file.write_text(f"{CELL}[rve]\nsizes = [1, 2]\n")
    sample = tmp_path / "out" / "samples" / "0.json"
    sample.parent.mkdir(parents=True)
    sample.write_text("{}")
    result = tmp_path / "out" / "result.json"
    result.write_text("{}")
    words = ["rve", str(cell_file), "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--restart"]) == 0
    assert sample.exists()
    assert not result.exists()
    assert cli.main(words) == 0
    assert not sample.exists()
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("error", "status"), [(BadInput("S_11 is\nzero"), 2), (SolverFailure("at\nt = 0.1"), 3)]
)
def test_errors_of_a_study(
    error: Exception,
    status: int,
    cell_file: Path,
    tmp_path: Path,
    calls: list[Any],
    capfd: pytest.CaptureFixture[str],
) -> None:
    def give_up(_: Any, out: Path, *__: Any) -> None:
        assert out.is_dir()
        raise error

    sys.modules["a_study"].run_cell = give_up  # type: ignore[attr-defined]
    assert cli.main(["cell", str(cell_file), "--out", str(tmp_path / "out")]) == status
    where = f"{cell_file}: " if status == 2 else ""
    assert capfd.readouterr().err == f"{where}{' '.join(str(error).split())}\n"
    assert (tmp_path / "out").exists() == (status == 3)  # nothing is left of bad input
    (tmp_path / "out").mkdir(exist_ok=True)
    assert cli.main(["cell", str(cell_file), "--out", str(tmp_path / "out")]) == status
    assert (tmp_path / "out").exists()  # the user's own


class AloneComm:
    """Two ranks of which the other one never comes to a barrier."""

    size, rank, aborted = 2, 1, 0

    def Ibarrier(self) -> Any:
        return types.SimpleNamespace(Test=lambda: False)

    def Abort(self, status: int) -> None:
        self.aborted = status


def test_a_rank_that_fails_alone_speaks_and_ends_all(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli.together, "PATIENCE", 0.05)
    comm = AloneComm()
    cli.fail(SolverFailure("particle 7"), comm, 3)
    assert comm.aborted == 3
    assert capfd.readouterr().err == "rank 1: particle 7\n"


def test_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capfd.readouterr().out
    assert all(word in text for word in (*cli.STUDIES, *cli.FINISHED, "check", "--set", "--out"))


def test_check(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", QUICKSTART]) == 0
    text = capfd.readouterr().out
    for words in (
        "suits: cell, resolved, homogenised, convergence",
        "25 steps",
        "delta = 1/5",
        "unknowns",
        "MB",
        "meso",
    ):
        assert words in text


def test_check_of_images_and_samples(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "three.toml"
    path.write_text(
        """[microstructure.field]
geometry = "gaussian_field"
porosity = 0.4
correlation_length = 4
voxels = 100
[microstructure.ball]
geometry = "spheres"
radius = 0.3
mesh_size = 0.1
[rve]
sizes = [1, 2]
realisations = 3
conditions = ["periodic", "flux"]
"""
    )
    assert cli.main(["check", str(path)]) == 0
    text = capfd.readouterr().out
    for words in ("suits: cell, rve\n", "100 x 100 x 100 voxels, memory about 100 MB", "10000 tetrahedra"):
        assert words in text
    assert "rve: 24 apparent B of 12 samples (sizes 1, 2; 3 of each; periodic, flux)" in text


def test_files_that_are_not_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "image.toml"
    path.write_text('[microstructure.one]\ngeometry = "image"\nfile = "none.tif"\nsolid = [1]\n')
    assert cli.main(["cell", str(path), "--out", str(tmp_path / "out")]) == 2
    err = capfd.readouterr().err
    assert err.startswith(f"{path}: microstructure.one: file: {tmp_path / 'none.tif'}: no such file")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("shape=[3, 4, 6]", "shape: [3, 4, 6] of uint8 are 72 bytes"),
        ("crop=[[0, 3], [0, 4]]", "crop: does not belong to the same image"),
        ("crop=[[0, 3], [2, 4], [0, 6]]", "crop: [0, 6] reaches beyond an axis of 5 voxels"),
        ("file=grains.npy", "grains.npy: cut short"),
        ("file=grains.tif", "grains.tif: not a TIFF image"),
        ("file=grains.toml", "does not end in"),
    ],
)
def test_image_files_are_looked_into(
    tmp_path: Path, override: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "grains.raw").write_bytes(bytes(60))
    np.save(tmp_path / "grains.npy", np.zeros((9, 9), dtype=np.uint8))
    (tmp_path / "grains.npy").write_bytes((tmp_path / "grains.npy").read_bytes()[:-1])
    (tmp_path / "grains.tif").write_bytes(b"II*")
    path = tmp_path / "image.toml"
    raw = "" if override.startswith("file=") else 'shape = [3, 4, 5]\ndtype = "uint8"\n'
    path.write_text(f'[microstructure.one]\ngeometry = "image"\nfile = "grains.raw"\nsolid = [1]\n{raw}')
    assert cli.main(["check", str(path), "--set", f"microstructure.one.{override}"]) == 2
    out, err = capfd.readouterr()
    assert words in err
    assert (out, err.count("\n")) == ("", 1)


def test_check_of_an_image(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "grains.npy", np.zeros((9, 8, 7), dtype=np.uint8))
    path = tmp_path / "image.toml"
    path.write_text(
        '[microstructure.one]\ngeometry = "image"\nfile = "grains.npy"\nsolid = [1]\ncrop = [[0, 9], [2, 5], [0, 7]]\n'
    )
    assert cli.main(["check", str(path)]) == 0
    assert "unit cell one: image, fv, 9 x 3 x 7 voxels" in capfd.readouterr().out


def test_check_of_a_mesh_too_fine_to_make_is_quick(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", QUICKSTART, "--set", "microstructure.negative.mesh_size=1e-6"]) == 0
    assert "not counted" in capfd.readouterr().out


def test_refusing_does_not_load_the_solvers(tmp_path: Path) -> None:
    code = (
        "import sys; from dfx_homog import cli; status = cli.main(['cell', 'none.toml']); "
        "print(status, [m for m in ('dolfinx', 'petsc4py.PETSc', 'gmsh', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout == "2 []\n"


def test_report_on_request(cell_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cell_file.write_text(CELL + "sigma_s = 1.0\nk_s = 1.0\nk_e = 1.0\nrho_cp_s = 1.0\nrho_cp_e = 1.0\n")
    words = ["cell", str(cell_file), "--out", str(out), "--quiet", "--set", "output.report=false"]
    assert cli.main(words) == 0
    assert (out / "result.json").exists()
    assert not (out / "report.html").exists()
    assert cli.main(["report", str(out)]) == 0
    assert (out / "report.html").exists()


def test_a_signal_while_the_process_ends_is_no_failure() -> None:
    """Batch systems send a second one; the first run of ours that met it ended with 138 after all was written."""
    script = (
        "import os, signal, sys; from dfx_homog import cli; "
        f"sys.argv = ['dfx-homog', 'check', {QUICKSTART!r}]; status = cli.main(); "
        "[os.kill(os.getpid(), number) for number in (signal.SIGUSR1, signal.SIGTERM)]; sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0
