"""Identities, dualities and bounds that effective tensors obey, for the discrete equations or in the limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.models.bounds import bounds
from dfx_homog.models.cell_problem import CellProblem, Homogenised
from dfx_homog.runfile import Run
from dfx_homog.studies.setup import Problem
from dfx_homog.verification.outcome import Outcome, Table

Tensor = NDArray[np.float64]
QUARTER = np.array([[0.0, -1.0], [1.0, 0.0]])


def quarter_turn(cell: UnitCell) -> UnitCell:
    """A plane cell turned by 90 degrees about its centre: (z1, z2) -> (1 - z2, z1)."""
    points = np.column_stack([1 - cell.points[:, 1], cell.points[:, 0]])

    def sorted_pairs(pairs: Any, axis: int) -> Any:
        return pairs[np.argsort(points[pairs[:, 0], axis])]

    periodic = sorted_pairs(cell.periodic[1][:, ::-1], 1), sorted_pairs(cell.periodic[0], 0)
    order = np.argsort(points[cell.cells[:, :3]].mean(axis=1)[:, 0], kind="stable")
    return UnitCell(cell.name, 2, cell.order, points, cell.cells[order], cell.phase[order], periodic)


def swapped(cell: UnitCell) -> UnitCell:
    """The cell with solid and electrolyte exchanged."""
    phase = (SOLID + ELECTROLYTE - cell.phase).astype(np.int8)
    return UnitCell(cell.name, cell.dim, cell.order, cell.points, cell.cells, phase, cell.periodic)


def discrete(run: Run, comm: MPI.Intracomm) -> Outcome:
    """What holds to rounding on any mesh, for every microstructure of the run file with k_s and k_e.

    A = A^T; A = <k F F^T> (Hill-Mandel); A of 2 k is 2 A; uniform k gives k I; exchanged phases with exchanged
    coefficients give the same A, one of them insulating too; the mesh turned by 90 degrees gives R A R^T. Collective.
    """
    found: dict[str, dict[str, float]] = {}
    for name, cell in Problem(comm, run).unit_cells(tiled=False).items():
        k = _coefficients(run, name)
        h = _solve(comm, cell, k)
        turned_cell, other = quarter_turn(cell), swapped(cell)
        turned_cell.check()
        turned = _solve(comm, turned_cell, k).tensor
        exchanged = _solve(comm, other, k[::-1]).tensor - h.tensor
        insulating = _solve(comm, other, [None, 1.0]).tensor - _solve(comm, cell, [1.0, None]).tensor
        found[name] = {
            "symmetry": _size(h.tensor - h.tensor.T),
            "hill_mandel": _size(h.energy - h.tensor),
            "linear": _size(_solve(comm, cell, [2 * v for v in k]).tensor - 2 * h.tensor),
            "uniform": _size(_solve(comm, cell, [3.0, 3.0]).tensor - 3 * np.eye(cell.dim)),
            "swapped": max(_size(exchanged), _size(insulating)),
            "quarter_turn": _size(turned - QUARTER @ h.tensor @ QUARTER.T),
            "anisotropy": _size(turned - h.tensor),
        }
    names = list(next(iter(found.values())))
    rows: list[list[str | float]] = [[name, *(found[name][key] for key in names)] for name in found]
    return Outcome({"cells": found}, [Table(["cell", *names], rows, digits=2)])


def duality(run: Run, comm: MPI.Intracomm) -> Outcome:
    """Keller's and Mendelson's duality in the plane: A(1/k) = R A(k)^-1 R^T, R a quarter turn, as h -> 0.

    Finite elements give A too large on both sides, so that the dual is a lower bound of the exact tensor, which they
    enclose: least: smallest eigenvalue of A - dual, >= 0; gap: largest entry. nodes: of all cells together. Collective.
    """
    found: dict[str, dict[str, Any]] = {}
    nodes = 0
    for name, cell in Problem(comm, run).unit_cells(tiled=False).items():
        k = _coefficients(run, name)
        nodes += len(cell.points)
        above = _solve(comm, cell, k).tensor
        below = QUARTER @ np.linalg.inv(_solve(comm, cell, [1 / v for v in k]).tensor) @ QUARTER.T
        found[name] = {
            "least": float(np.linalg.eigvalsh(0.5 * (above - below + (above - below).T)).min()),
            "gap": _size(above - below),
            "above": above.tolist(),
            "below": below.tolist(),
        }
    columns = [
        "cell",
        "$A_{11}$",
        "its dual",
        "$A_{22}$",
        "its dual",
        "$A_{12}$",
        "its dual",
        "largest difference",
    ]
    rows: list[list[str | float]] = [
        [name, *(f[side][i][j] for i, j in ((0, 0), (1, 1), (0, 1)) for side in ("above", "below")), f["gap"]]
        for name, f in found.items()
    ]
    return Outcome({"cells": found, "nodes": nodes}, [Table(columns, rows, digits=7)])


def between(run: Run, comm: MPI.Intracomm) -> Outcome:
    """Distances from the bounds of Voigt and Reuss, and of Hashin and Shtrikman for media with isotropic tensors.

    margins: smallest eigenvalue less the lower bound and the upper bound less the largest, >= 0. Collective.
    """
    found: dict[str, dict[str, float]] = {}
    rows: list[list[str | float]] = []
    for name, cell in Problem(comm, run).unit_cells(tiled=False).items():
        k = _coefficients(run, name)
        values = np.linalg.eigvalsh(_solve(comm, cell, k).tensor)
        share = float(cell.cell_measures[cell.phase == SOLID].sum() / cell.cell_measures.sum())
        limits = bounds(k[1], k[0], share, cell.dim)
        found[name] = {"reuss": values[0] - limits["reuss"], "voigt": limits["voigt"] - values[-1]}
        isotropic = values[-1] - values[0] < 1e-3 * values[-1]
        if isotropic:
            found[name] |= {
                "hs_lower": values[0] - limits["hs_lower"],
                "hs_upper": limits["hs_upper"] - values[-1],
            }
        found[name] = {key: float(value) for key, value in found[name].items()}
        hs: list[str | float] = [limits["hs_lower"], limits["hs_upper"]] if isotropic else ["", ""]
        rows.append(
            [name, limits["reuss"], hs[0], float(values[0]), float(values[-1]), hs[1], limits["voigt"]]
        )
    columns = ["cell", "Reuss", "HS, lower", "smallest eigenvalue", "largest", "HS, upper", "Voigt"]
    return Outcome({"cells": found}, [Table(columns, rows, digits=6)])


def _coefficients(run: Run, name: str) -> list[float]:
    spec: Any = run.microstructure[name]
    return [float(spec.k_e), float(spec.k_s)]


def _solve(comm: MPI.Intracomm, cell: UnitCell, k: Sequence[float | None]) -> Homogenised:
    return CellProblem(comm, cell, preset="direct").solve(list(k), correctors=False)


def _size(tensor: Tensor) -> float:
    return float(np.abs(tensor).max())
