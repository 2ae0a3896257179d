"""A small directory of results, as a convergence study leaves it, without any solver."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = (
    "time,current,voltage,T_mean,T_max,T_min,c_e_min,c_e_max,soc_n,soc_p,"
    "lithium_error,charge_error,energy_error,newton,krylov,seconds"
)
ORDERS = {"l2": 1.0, "l2_corrected": 1.0, "h1": 0.0, "h1_corrected": 0.5, "h1_corrected_interior": 1.0}
FIELDS = ("Phi_s", "Phi_e", "c_e", "c_s", "T")
STEPS = 5
RUN = """# input: runs/some.toml
# dfx_homog: 0.1.0
# ranks: 2
# host: node7

[microstructure.negative]
geometry = "wavy"
sigma_s = 10.0

[microstructure.separator]
geometry = "electrolyte"

[microstructure.positive]
geometry = "wavy"
sigma_s = [[5.0, 0.0], [0.0, 5.0]]

[cell]
periods = [2, 1, 2]

[parameters]
lambda = 2.0
isothermal = false

[parameters.negative]
ocp = "0.25 - 0.3*(c - 0.5)"

[protocol]
steps = [{ current = 0.2, duration = 0.5 }]

[time]
dt = 0.1
scheme = "backward-euler"

[convergence]
periods = [[2, 1, 2], [4, 2, 4], [8, 4, 8], [16, 8, 16]]
"""


def unit_cell(shift: float = 0.0, size: int = 8) -> dict[str, np.ndarray]:
    """Triangles of a square grid; the solid is a strip, with a step of height `shift` in the right half."""
    grid = np.linspace(0, 1, size + 1)
    x, y = np.meshgrid(grid, grid)
    corner = (np.arange(size)[:, None] * (size + 1) + np.arange(size)).ravel()
    low = np.stack([corner, corner + 1, corner + size + 2], axis=1)
    high = np.stack([corner, corner + size + 2, corner + size + 1], axis=1)
    points, cells = np.column_stack([x.ravel(), y.ravel()]), np.concatenate([low, high])
    middle = points[cells].mean(axis=1)
    solid = np.abs(middle[:, 1] - 0.5) < 0.25 + shift * (middle[:, 0] > 0.5)
    return {"points": points, "cells": cells, "phase": np.where(solid, 1, 2)}


def quadratic(cell: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same mesh with six nodes a cell."""
    corners = cell["points"][cell["cells"]]
    middles = np.stack(
        [corners[:, [1, 2]].mean(1), corners[:, [0, 2]].mean(1), corners[:, [0, 1]].mean(1)], axis=1
    )
    points = np.concatenate([corners, middles], axis=1).reshape(-1, 2)
    return {**cell, "points": points, "cells": np.arange(len(points)).reshape(-1, 6)}


def history(path: Path, delta: float, steps: int = STEPS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [COLUMNS]
    for k in range(steps + 1):
        t = 0.1 * k
        v = 0.9 - t - (0.04 * delta * (1 + delta) if k else 0)
        values = [t, 0.2, v, t / 10, t / 9, t / 11, 1 - t / 10, 1 + t / 10, 0.8 - t, 0.3 + t]
        rows.append(",".join(f"{x:.15g}" for x in [*values, 1e-15, 0, 3e-15 if k else 0, 3, 21, 0.4]))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def level(count: int, orders: dict[str, float]) -> dict[str, Any]:
    delta = 1 / count
    errors: dict[str, dict[str, float | None]] = {
        field: {norm: 0.3 * delta**order for norm, order in orders.items()} for field in FIELDS
    }
    for norm in ("l2_corrected", "h1_corrected", "h1_corrected_interior"):
        errors["c_s"][norm] = None
    return {
        "delta": delta,
        "dofs": 1000 * count,
        "errors": errors,
        "errors_max_over_time": errors,
        "voltage_error": -0.04 * delta * (1 + delta),
        "voltage_error_max_over_time": 0.04 * delta * (1 + delta),
        "means": {"voltage": 0.4 - 0.04 * delta * (1 + delta), "T_mean": 0.05},
        "seconds": 3.0,
        "checks": {"krylov_mean": 7.2, "krylov_max": 8, "newton_max": 3},
    }


def tensor_entry() -> dict[str, Any]:
    return {
        "dim": 2,
        "phi_e": 0.46,
        "a": 2.2594,
        "theta": 1.27,
        "S": [[4.5, 0.0], [0.0, 0.0]],
        "B": [[0.36648, 0.0], [0.0, 0.0]],
        "K": [[1.289, 3e-16], [5e-15, 1.02]],
        "tortuosity": [1.2552, None],
        "bounds": {"K": {"voigt": 1.356, "reuss": 0.96, "hs_lower": 1.09, "hs_upper": 1.2}},
        "hill_mandel": {"K": 5e-15},
        "dofs": {"K": 575},
        "percolates": {"solid": [True, False], "electrolyte": [True, False]},
    }


def study(
    directory: Path,
    counts: tuple[int, ...] = (5, 10, 20),
    *,
    orders: dict[str, float] | None = None,
    shift: float = 0.0,
) -> Path:
    """A finished convergence study; `shift` makes the unit cells asymmetric."""
    cell = quadratic(unit_cell(shift))
    (directory / "run.toml").write_text(RUN, encoding="utf-8")
    (directory / "log.txt").write_text("     0.1 s  homogenised: 10 unknowns\n", encoding="utf-8")
    history(directory / "homogenised" / "history.csv", 0.0)
    generator = np.random.default_rng(1)
    for count in counts:
        history(directory / f"resolved-{count}" / "history.csv", 1 / count)
        cloud = np.column_stack([generator.uniform(size=60), generator.normal(size=60)])
        arrays: dict[str, Any] = {f"cloud_{field}": cloud for field in FIELDS}
        solid = np.zeros(len(cell["points"]), dtype=bool)
        solid[np.unique(cell["cells"][cell["phase"] == 1])] = True
        for name in ("negative", "positive"):
            values = np.where(solid, cell["points"][:, 1], np.nan)
            arrays |= {
                f"particle_{name}_resolved": values,
                f"particle_{name}_homogenised": values + 0.1 / count,
            }
            arrays[f"particle_{name}_y"] = 0.3
        np.savez_compressed(directory / f"resolved-{count}" / "profiles.npz", **arrays)
    values = generator.normal(size=(len(cell["cells"]), 6, 5))
    values[cell["phase"] == 1, :, 2:4] = np.nan
    values[cell["phase"] == 2, :, 0:2] = np.nan
    fields: dict[str, Any] = {
        f"cell_{name}_{key}": value for name in ("negative", "positive") for key, value in cell.items()
    }
    fields |= {
        "meso_y": np.linspace(0, 1, 21),
        "meso_values": np.ones((21, 4)),
        "meso_ends": [0, 0.4, 0.6, 1],
    }
    fields |= {"mesh_points": cell["points"][cell["cells"]] * [1, 0.2]}
    fields |= {"mesh_values": values, "mesh_phase": cell["phase"]}
    np.savez_compressed(directory / "fields.npz", **fields)
    result = {
        "levels": [level(count, orders or ORDERS) for count in counts],
        "richardson": {"voltage": 0.4000012, "T_mean": 0.05},
        "richardson_difference": {"voltage": 1.2e-6, "T_mean": 0.0},
        "homogenised": {
            "dofs": 321,
            "means": {"voltage": 0.4, "T_mean": 0.05},
            "checks": {"krylov_mean": 1.0, "krylov_max": 1},
            "tensors": {
                "negative": tensor_entry(),
                "separator": {"B": [[1.0]], "S": None},
                "positive": tensor_entry(),
            },
        },
        "ranks": 2,
        "seconds": 75.0,
    }
    (directory / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return directory
