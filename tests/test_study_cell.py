"""`dfx-homog cell`: the names of result.json, and what stands there for cells with known answers."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from dfx_homog.runfile import load
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies import cell
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
"""


def run_study(comm: MPI.Comm) -> dict[str, Any]:
    """result.json of RUN's cells, on every rank."""
    out = Path(comm.bcast(mkdtemp(prefix="cell-") if comm.rank == 0 else None))
    if comm.rank == 0:
        (out / "run.toml").write_text(RUN)
    comm.barrier()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell, "MPI", SimpleNamespace(COMM_WORLD=comm))
        run_cell(load(out / "run.toml"), out, RunOptions(out, quiet=True))
    result = json.loads((out / "result.json").read_text())
    comm.barrier()
    if comm.rank == 0:
        rmtree(out)
    return result


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return run_study(MPI.COMM_WORLD)


def test_names(result: dict[str, Any]) -> None:
    assert set(result["microstructures"]) == {"wavy", "pores", "disk", "tilted"}
    for entry in result["microstructures"].values():
        assert set(entry) >= NAMES
        assert entry["dim"] == 2
        for name in ("S", "B", "K", "Q_s", "Q_e"):
            assert entry[name] is None or np.shape(entry[name]) == (2, 2)
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
    assert "S" not in entry["bounds"] and set(entry["bounds"]["K"]) == BOUNDS
    assert entry["bounds"]["K"]["voigt"] == pytest.approx(mean) and entry["bounds"]["K"][
        "reuss"
    ] == pytest.approx(harmonic)


def test_the_same_on_any_number_of_ranks(result: dict[str, Any]) -> None:
    alone = run_study(MPI.COMM_SELF)["microstructures"]
    for name, entry in result["microstructures"].items():
        for key in ("phi_e", "a", "theta", "S", "B", "K", "Q_s", "Q_e", "tortuosity"):
            here, there = entry[key], alone[name][key]
            if here is None:
                assert there is None
            else:
                a, b = (np.array(v, dtype=float) for v in (here, there))
                assert np.allclose(a, b, rtol=0, atol=1e-9, equal_nan=True), (name, key)
        assert entry["dofs"] == alone[name]["dofs"]
