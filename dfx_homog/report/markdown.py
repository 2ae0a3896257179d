"""The tables of docs/delta-studies.md from a finished convergence study: python -m dfx_homog.report.markdown DIR."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

NORMS = {
    "l2": "L2",
    "h1": "H1, no corrector",
    "h1_corrected": "H1, corrected",
    "h1_corrected_interior": "H1, corrected, interior",
}


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(r) + " |" for r in [head, ["---"] * len(head), *rows])


def _numbers(values: list[float | None], form: str) -> list[str]:
    return ["" if v is None else format(v, form) for v in values]


def _cells(level: dict[str, Any]) -> int:
    delta: float = level["delta"]
    return round(1 / delta)


def errors_and_orders(result: dict[str, Any]) -> str:
    """Every error at every level, with the observed orders."""
    levels, orders = result["levels"], result["orders"]
    sizes = [_cells(level) for level in levels]
    head = ["quantity", *(f"N = {n}" for n in sizes)]
    head += [f"order {a}-{b}" for a, b in pairwise(sizes)]
    rows = [
        [
            "V (absolute)",
            *_numbers([v["voltage_error"] for v in levels], ".2e"),
            *_numbers(orders["voltage"], ".3f"),
        ]
    ]
    for norm, label in NORMS.items():
        for field in ("Phi_s", "Phi_e", "c_e", "c_s", "T"):
            if field == "c_s" and norm != "l2":
                continue
            errors = _numbers([v["errors"][field][norm] for v in levels], ".2e")
            rows.append([f"{field}, {label}", *errors, *_numbers(orders[field][norm], ".3f")])
    return _table(head, rows)


def extrapolation(result: dict[str, Any]) -> str:
    """Richardson's limits against the homogenised model."""
    means, gap = result["homogenised"]["means"], result["richardson_difference"]
    rows = [[k, f"{v:.7f}", f"{means[k]:.7f}", f"{gap[k]:+.1e}"] for k, v in result["richardson"].items()]
    return _table(["mean", "extrapolated", "homogenised", "difference"], rows)


def conservation(result: dict[str, Any]) -> str:
    """Largest conservation errors and iteration counts."""
    keys = ("lithium_error", "charge_error_run", "energy_error")
    runs = [("homogenised", result["homogenised"])]
    runs += [(f"resolved, N = {_cells(level)}", level) for level in result["levels"]]
    rows = []
    for name, run in runs:
        checks = run["checks"]
        krylov = ["direct", "direct"]
        if name != "homogenised":
            krylov = [f"{checks['krylov_mean']:.2f}", str(checks["krylov_max"])]
        rows.append(
            [
                name,
                str(run["dofs"]),
                *_numbers([checks[k] for k in keys], ".0e"),
                str(checks["newton_max"]),
                *krylov,
            ]
        )
    head = ["model", "unknowns", "lithium", "charge", "energy", "Newton, largest"]
    return _table([*head, "Krylov a Newton step, mean", "largest"], rows)


def main() -> None:
    """Print all tables of the study in the directory that the command line names."""
    result = json.loads((Path(sys.argv[1]) / "result.json").read_text(encoding="utf-8"))
    for table in (errors_and_orders, extrapolation, conservation):
        print(table(result), end="\n\n")


if __name__ == "__main__":
    main()
