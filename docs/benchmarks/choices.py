"""Tables of docs/how-to.md and docs/theory.md on mesh size, order, time steps, meso elements and split voxels.

    ./dfx exec python docs/benchmarks/choices.py mesh|dt|adaptive|elements|split

prints one of them. `docs/tools/made.py` puts them between the markers of the pages.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mpi4py import MPI

from dfx_homog import cli
from dfx_homog.voxels.grid import VoxelGrid
from dfx_homog.voxels.solver import VoxelProblem

QUICKSTART = Path(__file__).resolve().parents[2] / "runs" / "quickstart.toml"
REGIONS = ("negative", "separator", "positive")
Rows = list[dict[str, float]]


def run(command: str, *sets: str) -> tuple[dict, Rows]:
    """result.json and, of a model, the rows of history.csv of a run of the quickstart problem."""
    with tempfile.TemporaryDirectory() as folder:
        words = [command, str(QUICKSTART), "--quiet", "--out", folder, "--set", "output.report=false"]
        if cli.main([*words, *(word for one in sets for word in ("--set", one))]) != 0:
            raise SystemExit("the run failed, see above")
        history = Path(folder) / "history.csv"
        rows: Rows = []
        if history.exists():
            with history.open() as file:
                rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
        return json.loads((Path(folder) / "result.json").read_text()), rows


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def mesh() -> str:
    """Effective tensors of the unit cell, sigma_s = 1, for orders and mesh sizes."""
    rows = []
    for order, sizes in ((1, (0.2, 0.05, 0.025)), (2, (0.2, 0.1, 0.05))):
        for size in sizes:
            keys = {"order": order, "mesh_size": size}
            sets = [
                f"microstructure.{region}.{key}={value}" for region in REGIONS for key, value in keys.items()
            ]
            found = run("cell", *sets, "microstructure.negative.sigma_s=1.0")[0]["microstructures"][
                "negative"
            ]
            values = [f"{found[name][0][0]:.6f}" for name in "SBK"]
            rows.append([str(order), str(size), str(found["dofs"]["K"]), *values])
    return table(["order", "mesh_size", "unknowns of $K$", "$S_{11}$", "$B_{11}$", "$K_{11}$"], rows)


def dt() -> str:
    """V at t = 0.1 for schemes and equal steps."""
    steps = (0.02, 0.01, 0.005)
    rows = []
    for scheme in ("backward-euler", "bdf2"):
        sets = ["protocol.steps.0.duration=0.1", f"time.scheme={scheme}"]
        values = [run("homogenised", *sets, f"time.dt={step}")[1][-1]["voltage"] for step in steps]
        rows.append([f"`{scheme}`", *(f"{v:.5f}" for v in values)])
    return table(["dt", *(str(step) for step in steps)], rows)


def adaptive() -> str:
    """Largest error of V over all rows of BDF2 with chosen and equal steps."""
    coarse = [f"microstructure.{region}.mesh_size=0.2" for region in REGIONS]

    def march(*sets: str) -> tuple[dict, Rows]:
        return run("homogenised", *coarse, "time.scheme=bdf2", *sets)

    fine = march("time.adaptive=true", "time.tolerance=3e-6")[1]
    times, volts = ([row[name] for row in fine] for name in ("time", "voltage"))
    cases = [
        (f"tolerance {t}", ("time.adaptive=true", f"time.tolerance={t}")) for t in ("1e-2", "1e-3", "1e-4")
    ]
    cases += [(f"equal, dt {step}", (f"time.dt={step}",)) for step in ("0.02", "0.005", "0.0025")]
    rows = []
    for name, sets in cases:
        result, history = march(*sets)
        error = max(abs(row["voltage"] - np.interp(row["time"], times, volts)) for row in history)
        newton = sum(row["newton"] for row in history)
        rows.append([name, str(result["steps"]), f"{newton:.0f}", f"{error:.0e}".replace("e-0", "e-")])
    return table(["`bdf2`", "steps", "Newton iterations", "largest error in V"], rows)


def elements() -> str:
    """V at t = 0.02 for numbers of meso elements."""
    numbers = (5, 10, 20)
    values = [
        run("homogenised", "protocol.steps.0.duration=0.02", f"homogenised.elements={n}")[1][-1]["voltage"]
        for n in numbers
    ]
    return table(["elements a region", *map(str, numbers)], [["V(0.02)", *(f"{v:.7f}" for v in values)]])


def split() -> str:
    """Smallest eigenvalue of a random image of 8 x 8 voxels, contrast 10, periodic, every voxel split."""
    labels = (np.random.default_rng(3).random((8, 8)) < 0.5).astype(np.uint8)
    times = (1, 2, 4, 8, 16)
    rows = []
    for scheme in ("fv", "q1"):
        found = []
        for k in times:
            codes = np.ascontiguousarray(np.kron(labels, np.ones((k, k), dtype=np.uint8))[:, None, :])
            spacing = (1 / len(codes), 1.0, 1 / len(codes))
            grid = VoxelGrid(
                MPI.COMM_SELF, "split", 2, codes.shape, spacing, 0, len(codes), codes, (0, 1), (True, False)
            )
            problem = VoxelProblem(grid, discretisation=scheme, condition="periodic")
            found.append(np.linalg.eigvalsh(problem.solve(codes, np.array([1.0, 10.0])).tensor)[0])
        rows.append([f"`{scheme}`", *(f"{value:.4f}" for value in found)])
    return table(["voxels split into", "1", *(f"{k} x {k}" for k in times[1:])], rows)


TABLES: dict[str, Callable[[], str]] = {f.__name__: f for f in (mesh, dt, adaptive, elements, split)}

if __name__ == "__main__":
    print(TABLES[sys.argv[1]]())
