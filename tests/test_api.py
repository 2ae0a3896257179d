"""The Python functions: without `out` nothing on disk, with it the files of the command, results as arrays."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

import dfx_homog
from dfx_homog import cli

TOP = Path(__file__).resolve().parents[1]
QUICKSTART = TOP / "runs" / "quickstart.toml"
COMM = MPI.COMM_WORLD
WAVY: dict[str, Any] = {"geometry": "wavy", "w0": 0.27, "w1": 0.12, "mesh_size": 0.2, "sigma_s": 1.0}
COARSE: dict[str, Any] = {
    **{f"microstructure.{r}.mesh_size": 0.2 for r in ("negative", "separator", "positive")},
    **{f"microstructure.{r}.order": 1 for r in ("negative", "separator", "positive")},
    "protocol.steps.0.duration": 0.04,
}


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, the same on all ranks, in which nothing may be written."""
    folder = Path(COMM.bcast(str(tmp_path), root=0))
    monkeypatch.chdir(folder)
    return folder


def test_importing_is_light() -> None:
    code = (
        "import sys, dfx_homog; dfx_homog.load; print({'mpi4py', 'dolfinx', 'petsc4py'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_every_name_is_there() -> None:
    for name in dfx_homog.__all__:
        assert getattr(dfx_homog, name).__doc__ or name == "Source"
        assert name in dir(dfx_homog)
    places = [name for names in dfx_homog._PLACES.values() for name in names]
    assert sorted(places) == dfx_homog.__all__
    with pytest.raises(AttributeError):
        _ = dfx_homog.nothing


def test_a_dict_is_a_run_file(tmp_path: Path) -> None:
    """The same keys, numpy's numbers too, and the caller's dict stays as it is."""
    table = {"microstructure": {"one": {**WAVY, "w0": np.float64(0.27)}}}
    run = dfx_homog.load(table, {"microstructure.one.mesh_size": np.float64(0.1)})
    assert table["microstructure"]["one"]["mesh_size"] == 0.2
    path = tmp_path / "one.toml"
    path.write_text(run.to_toml())
    assert dfx_homog.load(path).model_dump() == run.model_dump()
    assert dfx_homog.load(path, ["microstructure.one.w1=0.1"]).microstructure["one"].w1 == 0.1  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("source", "changes", "message"),
    [
        ({"microstructure": {"one": {"geometry": "disk"}}}, {}, "run: microstructure.one.geometry"),
        ({}, {}, "run: microstructure: required"),
        ({1: 2, "microstructure": {"one": WAVY}}, {}, "run: 1"),
        ({"microstructure": {"one": WAVY}}, {"microstructure.two.w0": 1}, "run: microstructure.two"),
        ({"microstructure": {"one": WAVY}}, {"": 1}, "--set"),
        (QUICKSTART, {"time.dt": object()}, "time.dt"),
    ],
)
def test_bad_input_is_named(source: Any, changes: Any, message: str) -> None:
    with pytest.raises(dfx_homog.BadInput, match=message):
        dfx_homog.load(source, changes)


@pytest.mark.mpi
@pytest.mark.mpi3
def test_what_a_command_lacks(nowhere: Path) -> None:
    run = dfx_homog.load({"microstructure": {"one": WAVY}})
    with pytest.raises(dfx_homog.BadInput, match=r"\[cell\]: required by resolved"):
        dfx_homog.resolved(run, out="results")
    with pytest.raises(dfx_homog.BadInput, match="wall_time: needs out"):
        dfx_homog.cell(run, wall_time=1.0)
    with pytest.raises(dfx_homog.BadInput, match="no such directory"):
        dfx_homog.write_report("results")
    assert list(nowhere.iterdir()) == []


@pytest.mark.mpi
def test_cell(nowhere: Path) -> None:
    result = dfx_homog.cell({"microstructure": {"one": WAVY}})
    assert list(nowhere.iterdir()) == []
    assert set(result) == {"one"} and len(result) == 1
    one = result["one"]
    S = one.S
    assert S is not None and S.shape == (2, 2) and S[0, 0] > 0.3
    assert one.K is None
    assert one.tortuosity is not None and np.isclose(one.tortuosity[0], one.phi_e / one.B[0, 0])  # type: ignore[index]
    assert S.tolist() == result.to_json()["microstructures"]["one"]["S"]
    with pytest.raises(KeyError):
        _ = result["two"]


@pytest.mark.mpi
def test_files_are_those_of_the_command(nowhere: Path) -> None:
    """Same names, same numbers as `dfx-homog cell`, on the same ranks; result.json is to_json."""
    path = nowhere / "one.toml"
    if COMM.rank == 0:
        path.write_text(dfx_homog.load({"microstructure": {"one": WAVY}}).to_toml())
    COMM.barrier()
    assert cli.main(["cell", str(path), "--out", str(nowhere / "command"), "--quiet"]) == 0
    result = dfx_homog.cell(path, out=nowhere / "function")
    COMM.barrier()
    names = [sorted(p.name for p in (nowhere / f).iterdir()) for f in ("command", "function")]
    assert names[0] == names[1]
    written = [json.loads((nowhere / f / "result.json").read_text()) for f in ("command", "function")]
    assert written[1] == result.to_json()
    for entries in written:
        entries.pop("timing")
        for volatile in ("seconds", "memory"):
            entries["microstructures"]["one"].pop(volatile)
    assert written[0] == written[1]


@pytest.mark.mpi
@pytest.mark.parametrize("command", ["homogenised", "resolved"])
def test_models(command: str, nowhere: Path) -> None:
    run = dfx_homog.load(QUICKSTART, COARSE)
    result: dfx_homog.ModelResult = getattr(dfx_homog, command)(run)
    assert list(nowhere.iterdir()) == []
    assert result.history["time"].tolist() == pytest.approx([0.0, 0.02, 0.04])
    assert result.history["voltage"][-1] == result.voltage == result.final["voltage"]
    assert result.to_json()["final"]["voltage"] == result.voltage
    assert result.ended_early is None and result.ranks == COMM.size and result.dofs > 100
    c_e = result.fields["c_e"].x.array
    smallest = COMM.allreduce(float(np.nanmin(c_e)) if np.isfinite(c_e).any() else np.inf, op=MPI.MIN)
    assert smallest == pytest.approx(result.final["c_e_min"])
    assert set(result.coefficients) == (
        {"negative", "separator", "positive"} if command == "homogenised" else set()
    )


@pytest.mark.mpi
def test_ranks_of_its_own(nowhere: Path) -> None:
    """Two groups of ranks may solve different problems at the same time."""
    result = dfx_homog.cell(
        {"microstructure": {"one": {**WAVY, "w1": 0.1 + 0.01 * COMM.rank}}}, comm=MPI.COMM_SELF
    )
    assert result.ranks == 1
    S = COMM.allgather(float(result["one"].S[0, 0]))  # type: ignore[index]
    assert len(set(S)) == COMM.size


@pytest.mark.mpi
def test_convergence(nowhere: Path) -> None:
    run = dfx_homog.load(QUICKSTART, {**COARSE, "convergence.periods": [[2, 1, 2], [4, 2, 4]]})
    result = dfx_homog.convergence(run)
    assert list(nowhere.iterdir()) == []
    assert result.sizes.tolist() == [1 / 5, 1 / 10]
    coarse, fine = result.errors("Phi_s", "l2")
    assert result.orders["Phi_s"]["l2"] == [pytest.approx(np.log2(coarse / fine))]
    assert abs(result.errors("voltage")[1]) < abs(result.errors("voltage")[0])
    assert result.richardson["voltage"] == pytest.approx(result.to_json()["richardson"]["voltage"])
    assert result.coefficients["negative"].B is not None
    with pytest.raises(KeyError):
        result.errors("c")


@pytest.mark.mpi
@pytest.mark.mpi3
def test_samples_in_memory_are_those_on_disk(nowhere: Path) -> None:
    table = {
        "microstructure": {
            "field": {
                "geometry": "gaussian_field",
                "dim": 2,
                "voxels": 16,
                "porosity": 0.5,
                "correlation_length": 0.1,
                "seed": 1,
                "k_s": 5.0,
                "k_e": 1.0,
            }
        },
        "rve": {
            "quantity": "K",
            "sizes": [0.5, 1],
            "realisations": 2,
            "conditions": ["periodic", "dirichlet"],
        },
    }
    result = dfx_homog.rve(table)
    assert list(nowhere.iterdir()) == []
    assert len(result.samples) == 8 and result.quantity == "K" and result.order_holds
    sizes, means = result.means("periodic")
    assert sizes.tolist() == [0.5, 1.0] and means.shape == (2, 2, 2)
    written = dfx_homog.rve(table, out="results")
    for mine, theirs in zip(result.samples, written.samples, strict=True):
        assert (mine.size, mine.condition) == (theirs.size, theirs.condition)
        assert np.allclose(mine.tensor, theirs.tensor, rtol=1e-8)


def test_check_and_cite(nowhere: Path) -> None:
    assert "suits: cell, resolved, homogenised, convergence" in dfx_homog.check(QUICKSTART)
    assert "hunt2020" in {citation.work.key for citation in dfx_homog.cite(QUICKSTART)}
    with pytest.raises(dfx_homog.BadInput, match=r"no run\.toml"):
        dfx_homog.cite(nowhere)


@pytest.mark.mpi
@pytest.mark.parametrize("scheme", ["backward-euler", "bdf2"])
def test_steps_are_those_of_the_protocol(scheme: str, nowhere: Path) -> None:
    """The same steps by hand: the same rows, with the restart of BDF2 where another current is applied."""
    steps = [{"current": 0.2, "duration": 0.06}, {"current": -0.1, "duration": 0.04}]
    run = dfx_homog.load(QUICKSTART, {**COARSE, "protocol.steps": steps, "time.scheme": scheme})
    wanted = dfx_homog.homogenised(run).history
    with dfx_homog.stepper(run.model_copy(update={"protocol": None})) as cell:
        assert cell.history == {} and cell.time == 0.0
        for current in (0.2, 0.2, 0.2, -0.1, -0.1):
            row = cell.step(0.02, current=current)
        assert row["voltage"] == cell.voltage and cell.current == -0.1
        for name in ("time", "voltage", "T_mean", "lithium_error"):
            np.testing.assert_allclose(cell.history[name], wanted[name], rtol=1e-12, atol=1e-14)
        assert set(cell.coefficients) == {"negative", "separator", "positive"}
    assert list(nowhere.iterdir()) == []


@pytest.mark.mpi
def test_a_step_that_fails_leaves_the_state() -> None:
    with dfx_homog.stepper(dfx_homog.load(QUICKSTART, COARSE), "resolved") as cell:
        cell.step(0.02, voltage=0.8)
        assert cell.voltage == pytest.approx(0.8, abs=1e-12)
        rows = len(cell.history["time"])
        before = np.nan_to_num(cell.fields["c_s"].x.array.copy())
        for wrong in ({}, {"current": 1.0, "power": 1.0}, {"voltage": float("nan")}):
            with pytest.raises(dfx_homog.BadInput, match="step: "):
                cell.step(0.02, **wrong)
        with pytest.raises(dfx_homog.SolverFailure):
            cell.step(5.0, current=20.0)
        assert cell.time == pytest.approx(0.02) and len(cell.history["time"]) == rows
        cell.step(1e-9, power=0.1)
        assert cell.current * cell.voltage == pytest.approx(0.1, rel=1e-9)
        np.testing.assert_allclose(np.nan_to_num(cell.fields["c_s"].x.array), before, atol=1e-6)
    with pytest.raises(dfx_homog.BadInput, match="model: 'battery'"):
        dfx_homog.stepper(QUICKSTART, "battery")


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("shape", [(12, 10), (8, 6, 10)])
def test_image_in_memory(shape: tuple[int, ...], nowhere: Path) -> None:
    """The same tensors as from a file, for bools and for labels that need more than a byte."""
    image = np.random.default_rng(1).random(shape) < 0.4
    if COMM.rank == 0:
        np.save(nowhere / "image.npy", image.astype(np.uint8))
    COMM.barrier()
    numbers: dict[str, Any] = {"sigma_s": 10.0, "k_s": 2.0, "k_e": 1.0}
    edges = [1.0, 2.0, 1.5][: len(shape)]
    table = {"geometry": "image", "file": str(nowhere / "image.npy"), "solid": [1], **numbers}
    from_file = dfx_homog.cell(
        {"microstructure": {"one": {**table, "voxel_size": edges, "discretisation": "q1"}}}
    )
    for given, solid in ((image, (1,)), (np.where(image, 70_000, -3), (70_000,))):
        found = dfx_homog.cell_of_image(given, solid, **numbers, discretisation="q1", voxel_size=edges)
        for name in ("S", "B", "K"):
            assert np.array_equal(getattr(found, name), getattr(from_file["one"], name))
        assert found.phi_e == from_file["one"].phi_e


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": np.zeros((4, 4))}, "image: float64"),
        ({"image": np.zeros(4, dtype=int)}, "image: int64"),
        ({"solid": [2]}, r"solid: no label 2 in the image \(allowed: 0, 1\)"),
        ({"voxel_size": [1.0]}, "voxel_size"),
        ({"k_s": -1.0}, "k_s: -1"),
        ({"sigma_s": {2: 1.0}}, "sigma_s: no entry for label 1"),
        ({"condition": "open"}, "condition: 'open'"),
    ],
)
def test_images_that_are_refused(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"image": np.eye(4, dtype=np.uint8), **changes}
    with pytest.raises(dfx_homog.BadInput, match=message):
        dfx_homog.cell_of_image(**arguments)
