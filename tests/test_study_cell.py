"""`dfx-homog cell`: the names of result.json, and what stands there for cells with known answers."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from dfx_homog.errors import BadInput
from dfx_homog.runfile import load
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies import setup
from dfx_homog.studies.cell import run_cell

pytestmark = [pytest.mark.mpi, pytest.mark.mpi3]

NAMES = {
    "dim",
    "phi_e",
    "a",
    "S",
    "B",
    "K",
    "theta",
    "Q_s",
    "Q_e",
    "tortuosity",
    "bounds",
    "dofs",
    "iterations",
    "seconds",
}
BOUNDS = {"voigt", "reuss", "hs_lower", "hs_upper"}
RUN = """
[microstructure.wavy]
geometry = "wavy"
w0 = 0.27
w1 = 0.12
mesh_size = 0.1
order = 2
sigma_s = 10.0
k_s = 2.0
k_e = 0.6
rho_cp_s = 1.5
rho_cp_e = 1.0

[microstructure.pores]
geometry = "electrolyte"
mesh_size = 0.2
k_e = 0.6
rho_cp_e = 1.0

[microstructure.disk]
geometry = "disks"
radius = 0.3
mesh_size = 0.1
sigma_s = 3.0

[microstructure.tilted]
geometry = "laminate"
normal = [1, 1]
solid_fraction = 0.4
mesh_size = 0.2
sigma_s = [[2.0, 0.5], [0.5, 1.0]]
k_s = 4.0
k_e = 1.0

[microstructure.layers]
geometry = "laminate"
dim = 3
normal = [0, 0, 1]
solid_fraction = 0.25
mesh_size = 0.25
sigma_s = 2.0
k_s = 4.0
k_e = 1.0

[microstructure.field]
geometry = "gaussian_field"
porosity = 0.4
correlation_length = 2
voxels = 12
discretisation = "both"
sigma_s = 2.0
k_s = 4.0
k_e = 1.0
rho_cp_s = 1.5
rho_cp_e = 1.0

[microstructure.image]
geometry = "image"
file = "image.npy"
solid = [7, 8]
sigma_s = { 7 = 2.0, 8 = 1.0 }
k_s = 3.0
k_e = 1.0
"""
# fewer planes than ranks may be: in series along direction 1, side by side along the others
IMAGE = np.repeat(np.repeat(np.array([7, 9], dtype=np.uint8)[:, None, None], 4, axis=1), 6, axis=2)
IMAGE[0, 2:] = 8


def run_study(comm: MPI.Comm, *overrides: str) -> dict[str, Any]:
    """result.json of RUN's cells, on every rank."""
    out = Path(comm.bcast(mkdtemp(prefix="cell-") if comm.rank == 0 else None))
    if comm.rank == 0:
        (out / "run.toml").write_text(RUN)
        np.save(out / "image.npy", IMAGE)
    comm.barrier()
    run_cell(load(out / "run.toml", overrides), out, RunOptions(out, quiet=True), comm)
    result = json.loads((out / "result.json").read_text())
    comm.barrier()
    if comm.rank == 0:
        rmtree(out)
    return result


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return run_study(MPI.COMM_WORLD)


def test_names(result: dict[str, Any]) -> None:
    planar = {"wavy", "pores", "disk", "tilted"}
    assert set(result["microstructures"]) == planar | {"layers", "field", "image"}
    for region, entry in result["microstructures"].items():
        assert set(entry) >= NAMES
        assert entry["dim"] == (2 if region in planar else 3)
        for name in ("S", "B", "K", "Q_s", "Q_e"):
            assert entry[name] is None or np.shape(entry[name]) == (entry["dim"],) * 2
    bounds = result["microstructures"]["wavy"]["bounds"]
    assert set(bounds) == {"S", "B", "K"}
    assert all(set(b) == BOUNDS for b in bounds.values())


def test_wavy_cell(result: dict[str, Any]) -> None:
    """VERIFICATION section 4, and the identities of section 3."""
    entry = result["microstructures"]["wavy"]
    assert entry["phi_e"] == pytest.approx(0.46, abs=2e-5)
    assert entry["a"] == pytest.approx(2.25947, abs=2e-4)
    assert entry["theta"] == pytest.approx(1.27, abs=1e-5)
    assert entry["S"][0][0] / 10 == pytest.approx(0.452133, abs=1e-4)
    assert entry["B"][0][0] == pytest.approx(0.366429, abs=5e-5)
    assert entry["K"][0][0] == pytest.approx(1.28913, abs=5e-5)
    for name in ("S", "B", "K"):
        tensor = np.array(entry[name])
        assert np.abs(tensor - tensor.T).max() < 1e-12 * tensor.max()
        assert entry["hill_mandel"][name] < 1e-12 * tensor.max()
        limits = entry["bounds"][name]
        assert limits["reuss"] <= limits["hs_lower"] <= limits["hs_upper"] <= limits["voigt"]
        # the strip does not conduct across, the pore hardly: the trace is between the isotropic bounds, S11 above
        assert (
            limits["reuss"] - 1e-12
            <= np.linalg.eigvalsh(tensor)[0]
            <= np.linalg.eigvalsh(tensor)[1]
            <= limits["voigt"]
        )
    assert entry["S"][0][1] == entry["S"][1][1] == 0
    assert entry["Q_s"] is None  # S is singular
    assert entry["tortuosity"][0] == pytest.approx(0.46 / 0.366429, abs=1e-3)
    assert entry["tortuosity"][1] is None or entry["tortuosity"][1] > 10


def test_electrolyte_only(result: dict[str, Any]) -> None:
    entry = result["microstructures"]["pores"]
    assert entry["phi_e"] == pytest.approx(1.0)
    assert entry["a"] == 0
    assert entry["theta"] == pytest.approx(1.0)
    assert entry["S"] is None and entry["Q_s"] is None
    assert np.array(entry["B"]) == pytest.approx(np.eye(2), abs=1e-12)
    assert np.array(entry["K"]) == pytest.approx(0.6 * np.eye(2), abs=1e-12)
    assert np.array(entry["Q_e"]) == pytest.approx(np.eye(2), abs=1e-12)
    assert entry["tortuosity"] == pytest.approx([1.0, 1.0])


def test_particle_that_touches_nothing(result: dict[str, Any]) -> None:
    """A disk on its own: no S in any direction, and no K where conductivities are not given."""
    entry = result["microstructures"]["disk"]
    assert entry["S"] == [[0, 0], [0, 0]]
    assert entry["Q_s"] is None and entry["K"] is None and entry["theta"] is None
    assert np.array(entry["Q_e"]) == pytest.approx(np.eye(2), abs=1e-10)
    assert entry["a"] == pytest.approx(2 * np.pi * 0.3, rel=1e-2)
    assert entry["phi_e"] == pytest.approx(1 - np.pi * 0.09, rel=1e-2)


def test_tilted_layers(result: dict[str, Any]) -> None:
    """Layers at 45 degrees, sigma a tensor: conduction along the layers t t^T f/(t . sigma^-1 t), harmonic across."""
    entry = result["microstructures"]["tilted"]
    t, n = np.array([1, -1]) / np.sqrt(2), np.array([1, 1]) / np.sqrt(2)
    sigma = np.array([[2.0, 0.5], [0.5, 1.0]])
    along = 0.4 / (t @ np.linalg.solve(sigma, t))
    assert np.array(entry["S"]) == pytest.approx(along * np.outer(t, t), abs=1e-10)
    mean, harmonic = 0.4 * 4 + 0.6, 1 / (0.4 / 4 + 0.6)
    assert np.array(entry["K"]) == pytest.approx(mean * np.outer(t, t) + harmonic * np.outer(n, n), abs=1e-10)
    assert set(entry["bounds"]["S"]) == set(entry["bounds"]["K"]) == BOUNDS
    assert entry["bounds"]["S"]["voigt"] == pytest.approx(0.4 * np.linalg.eigvalsh(sigma)[1])
    assert entry["bounds"]["S"]["hs_upper"] is None
    assert entry["bounds"]["K"]["voigt"] == pytest.approx(mean) and entry["bounds"]["K"][
        "reuss"
    ] == pytest.approx(harmonic)


def test_layers_in_space(result: dict[str, Any]) -> None:
    entry = result["microstructures"]["layers"]
    assert np.array(entry["S"]) == pytest.approx(np.diag([0.5, 0.5, 0]), abs=1e-9)
    assert np.array(entry["B"]) == pytest.approx(np.diag([0.75, 0.75, 0]), abs=1e-9)
    assert np.array(entry["K"]) == pytest.approx(np.diag([1.75, 1.75, 1 / (0.25 / 4 + 0.75)]), abs=1e-9)
    assert entry["phi_e"] == pytest.approx(0.75) and entry["a"] == pytest.approx(2.0)
    assert entry["percolates"]["solid"] == [True, True, False]


def test_random_field(result: dict[str, Any]) -> None:
    """Finite volumes below trilinear elements, both between Voigt and Reuss."""
    entry = result["microstructures"]["field"]
    assert entry["phi_e_total"] == pytest.approx(0.4, abs=1 / 12**3)
    assert entry["phi_e"] <= entry["phi_e_total"]
    assert entry["theta"] == pytest.approx(1.5 - 0.5 * entry["phi_e_total"])
    assert 1.2 * entry["a_corrected"] < entry["a_faceted"] < 1.8 * entry["a_corrected"]
    assert entry["a"] == entry["a_corrected"]
    for name in ("S", "B", "K"):
        low, high = np.array(entry["bracket"][name])
        assert np.all(low < high)
        assert np.all(low >= entry["bounds"][name]["reuss"]) and np.all(
            high <= entry["bounds"][name]["voigt"]
        )
        assert np.array(entry["discretisations"]["fv"][name]) == pytest.approx(np.array(entry[name]))
        assert entry["hill_mandel"][name] < 1e-7


def test_assembled_matrix(result: dict[str, Any]) -> None:
    """The reference path gives the same tensors of voxels."""
    other = run_study(MPI.COMM_WORLD, "solver.voxels=assembled")["microstructures"]
    for name in ("field", "image"):
        entry = result["microstructures"][name]
        for tensor in ("S", "B", "K"):
            assert np.array(other[name][tensor]) == pytest.approx(np.array(entry[tensor]), abs=1e-7)
    here, there = (r["field"]["iterations"]["K"] for r in (result["microstructures"], other))
    assert here != there  # it was another solver


def test_labels_of_an_image(result: dict[str, Any]) -> None:
    entry = result["microstructures"]["image"]
    assert np.diag(entry["S"]) == pytest.approx([0, 1 / (0.5 / 2 + 0.5 / 1) / 2, 0.75], abs=1e-7)
    assert np.diag(entry["K"]) == pytest.approx([1 / (0.5 / 3 + 0.5), 2, 2], abs=1e-7)
    assert entry["shape"] == [2, 4, 6] and entry["phi_e"] == 0.5
    assert entry["a_faceted"] == pytest.approx(2.0)
    assert entry["shares"] == {"7": 0.25, "8": 0.25, "9": 0.5}


@pytest.mark.skipif(MPI.COMM_WORLD.size == 1, reason="one rank needs no file")
def test_large_meshes_are_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mesh that reaches the ranks through a file is the mesh itself; what is refused is refused on all ranks."""
    comm = MPI.COMM_WORLD
    out = Path(comm.bcast(mkdtemp(prefix="cell-") if comm.rank == 0 else None))
    text = RUN[: RUN.index("[microstructure.layers]")]
    if comm.rank == 0:
        (out / "run.toml").write_text(text)
    comm.barrier()
    problem = setup.Problem(comm, load(out / "run.toml"))
    plain = problem.unit_cells()
    monkeypatch.setattr(setup, "LARGE", 100)
    mapped = problem.unit_cells(out)
    large = [name for name, unit in plain.items() if len(unit.cells) > 100]
    assert large and sorted(path.name for path in (out / "mesh").iterdir()) == sorted(large)
    for name, unit in plain.items():
        for key in ("points", "cells", "phase"):
            assert np.array_equal(getattr(unit, key), getattr(mapped[name], key))
    bad = load(out / "run.toml", ["microstructure.disk.radius=0.4999"])
    with pytest.raises(BadInput):
        setup.Problem(comm, bad).unit_cells(out)
    comm.barrier()
    if comm.rank == 0:
        rmtree(out)


@pytest.mark.skipif(MPI.COMM_WORLD.size == 1, reason="compares several ranks with one")
def test_the_same_on_any_number_of_ranks(result: dict[str, Any]) -> None:
    alone = run_study(MPI.COMM_SELF)["microstructures"]
    for name, entry in result["microstructures"].items():
        for key in ("phi_e", "a", "theta", "S", "B", "K", "Q_s", "Q_e", "tortuosity"):
            here, there = entry[key], alone[name][key]
            if here is None:
                assert there is None
            else:
                a, b = (np.array(v, dtype=float) for v in (here, there))
                assert np.allclose(a, b, rtol=0, atol=1e-8, equal_nan=True), (name, key)
        assert entry["dofs"] == alone[name]["dofs"]
