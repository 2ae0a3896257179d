"""Error of the tortuosity against unknowns: body-fitted tetrahedra against voxels, FCC balls.

    ./dfx exec python docs/benchmarks/accuracy.py      # about 2 minutes; writes accuracy.md, ../pictures/accuracy.png

Insulating balls, solid fraction 0.3, on the face-centred cubic lattice. tau = phi_e/B with each mesh's or image's own
phi_e, as a user gets it; exactly 0.7/0.60838996 (Sangani & Acrivos 1983, digits of the specification's own series).
A voxel is solid where its centre is. Unknowns are those of the linear system, one direction.
"""

from __future__ import annotations

import argparse
import math
import time
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import matplotlib
import numpy as np
from mpi4py import MPI

from dfx_homog.microstructure import ELECTROLYTE
from dfx_homog.models.cell_problem import CellProblem
from dfx_homog.studies.unit_cells import build_unit_cell
from dfx_homog.voxels.grid import VoxelGrid
from dfx_homog.voxels.solver import VoxelProblem

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SOLID_FRACTION = 0.3
EXACT = (1.0 - SOLID_FRACTION) / 0.60838996
RADIUS = (3.0 * SOLID_FRACTION / (16.0 * math.pi)) ** (1.0 / 3.0)
CENTRES = ((0.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.5, 0.0, 0.5), (0.0, 0.5, 0.5))
MESH_SIZES = {1: (0.3, 0.16, 0.08, 0.05, 0.03, 0.02), 2: (0.24, 0.2, 0.12, 0.08, 0.06, 0.045)}
VOXELS = (8, 10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 80, 96, 128, 160)
TARGETS = (0.01, 0.001)
HERE = Path(__file__).parent


class Row(NamedTuple):
    """One solution: method, mesh size or voxels an edge, unknowns, tau, |tau/exact - 1|, seconds in all."""

    method: str
    resolution: str
    unknowns: int
    tau: float
    error: float
    seconds: float


def body_fitted(order: int, mesh_size: float) -> Row:
    start = time.perf_counter()
    spec = SimpleNamespace(geometry="spheres", lattice="fcc", radius=RADIUS, mesh_size=mesh_size, order=order)
    cell = build_unit_cell("fcc", spec, MPI.COMM_SELF)
    found = CellProblem(MPI.COMM_SELF, cell).solve([1.0, None], correctors=False)
    tau = cell.phase_fraction(ELECTROLYTE) / (np.trace(found.tensor) / 3.0)
    seconds = time.perf_counter() - start
    return Row(f"mesh P{order}", f"{mesh_size:g}", found.dofs, tau, abs(tau / EXACT - 1.0), seconds)


def voxels(discretisation: str, n: int) -> Row:
    start = time.perf_counter()
    along = (np.arange(n) + 0.5) / n
    solid = np.zeros((n, n, n), dtype=bool)
    for centre in CENTRES:
        square = [np.square((along - c + 0.5) % 1.0 - 0.5) for c in centre]
        solid |= square[0][:, None, None] + square[1][:, None] + square[2] < RADIUS**2
    codes = solid.astype(np.uint8)
    grid = VoxelGrid(
        MPI.COMM_SELF, "fcc", 3, (n, n, n), (1.0 / n,) * 3, 0, n, codes, values=(0, 1), solid=(False, True)
    )
    problem = VoxelProblem(grid, discretisation=discretisation)
    found = problem.solve(codes, np.array([1.0, 0.0]), directions=(0,))
    tau = (1.0 - solid.mean()) / found.tensor[0, 0]
    seconds = time.perf_counter() - start
    return Row(f"voxels {discretisation}", str(n), found.dofs, tau, abs(tau / EXACT - 1.0), seconds)


def needed(rows: list[Row], target: float) -> float:
    """Unknowns from which on the error stays below `target`, by log-log interpolation; inf if it never does."""
    above = [i for i, row in enumerate(rows) if row.error > target]
    last = above[-1] if above else -1
    if last == len(rows) - 1:
        return math.inf
    if last == -1:
        return float(rows[0].unknowns)
    a, b = rows[last], rows[last + 1]
    share = math.log(a.error / target) / math.log(a.error / b.error)
    return float(a.unknowns * (b.unknowns / a.unknowns) ** share)


def plot(table: dict[str, list[Row]], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(5.6, 3.8), dpi=110, layout="constrained")
    for (method, rows), marker in zip(table.items(), "os^D", strict=True):
        axes.loglog(
            [r.unknowns for r in rows], [r.error for r in rows], marker + "-", ms=4, lw=1.2, label=method
        )
    for target in TARGETS:
        axes.axhline(target, color="0.5", lw=0.8, ls="--")
    axes.set_xlabel("unknowns")
    axes.set_ylabel("relative error of the tortuosity")
    axes.legend(frameon=False)
    axes.grid(alpha=0.25, lw=0.5)
    figure.savefig(path)


def factor(rows: list[Row], best: list[Row], target: float) -> str:
    """Unknowns needed, and how many times those of the best method; a lower bound where the target is not met."""
    met = needed(rows, target)
    count = met if math.isfinite(met) else rows[-1].unknowns
    return f"{'' if math.isfinite(met) else 'over '}{count:.0f} | {count / needed(best, target):.1f}"


def markdown(table: dict[str, list[Row]]) -> str:
    lines = [
        "# Tortuosity of FCC balls: body-fitted meshes against voxels",
        "",
        "Made by `./dfx exec python docs/benchmarks/accuracy.py`: insulating balls, solid fraction 0.3, face-centred",
        f"cubic; tau = {EXACT:.6f}. The error is that of tau = phi_e/B with each discretisation's own phi_e. Unknowns",
        "for an error: from where on it stays below, since that of voxels goes up and down with the balls' rasters.",
        "",
        "![error against unknowns](../pictures/accuracy.png)",
        "",
        "| method |" + "".join(f" unknowns for {t:.1%} | times mesh P2 |" for t in TARGETS),
        "| --- |" + " ---: | ---: |" * len(TARGETS),
    ]
    for method, rows in table.items():
        cells = " | ".join(factor(rows, table["mesh P2"], t) for t in TARGETS)
        lines.append(f"| {method} | {cells} |")
    lines += ["", "| method | mesh size, voxels an edge | unknowns | tau | error | seconds |"]
    lines += ["| --- | ---: | ---: | ---: | ---: | ---: |"]
    for row in (r for rows in table.values() for r in rows):
        numbers = f"{row.unknowns} | {row.tau:.6f} | {row.error:.1e} | {row.seconds:.1f}"
        lines.append(f"| {row.method} | {row.resolution} | {numbers} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="without the finest meshes and images; writes nothing"
    )
    quick = parser.parse_args().quick
    table = {
        f"mesh P{order}": [body_fitted(order, h) for h in (sizes[:-3] if quick else sizes)]
        for order, sizes in MESH_SIZES.items()
    }
    for discretisation, n in product(("q1", "fv"), VOXELS[:-3] if quick else VOXELS):
        table.setdefault(f"voxels {discretisation}", []).append(voxels(discretisation, n))
    text = markdown(table)
    print(text)
    if not quick:
        (HERE / "accuracy.md").write_text(text)
        plot(table, HERE.parent / "pictures" / "accuracy.png")


if __name__ == "__main__":
    main()
