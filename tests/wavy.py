"""Runs of the reference problem `wavy-2d` from its run file, on any communicator, without files of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mpi4py import MPI

from dfx_homog.models.transient import TransientModel
from dfx_homog.runfile import REGIONS, Run, load
from dfx_homog.studies.march import March, march
from dfx_homog.studies.progress import Log
from dfx_homog.studies.setup import Problem

QUICKSTART = Path(__file__).resolve().parents[1] / "runs" / "quickstart.toml"
#: The times of the tables in VERIFICATION section 4.
TIMES = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5)


def wavy_run(*overrides: str, h: float = 0.2, order: int = 1, steps: int = 5, current: float = 0.2) -> Run:
    """`wavy-2d` at a mesh size and order, over a number of steps of 0.02; overrides as with --set come last."""
    mesh = [f"microstructure.{r}.{k}={v}" for r in REGIONS for k, v in (("mesh_size", h), ("order", order))]
    protocol = f"protocol.steps=[{{current={current!r}, duration={0.02 * steps!r}}}]"
    return load(QUICKSTART, [*mesh, protocol, *overrides])


def solid(geometry: str, h: float, order: int = 1, sigma_s: str = "10.0") -> str:
    """Inline table of a microstructure with the materials of `wavy-2d`; geometry in TOML, as `geometry = "disks", …`."""
    materials = f"sigma_s = {sigma_s}, k_s = 2.0, k_e = 0.6, rho_cp_s = 1.5, rho_cp_e = 1.0"
    return f"{{ {geometry}, mesh_size = {h}, order = {order}, {materials} }}"


def build(run: Run, model: str = "resolved", comm: MPI.Comm = MPI.COMM_WORLD) -> Any:
    """A model of the run file, "resolved" or "homogenised"."""
    problem = Problem(comm, run)
    cells = problem.unit_cells()
    if model == "resolved":
        return problem.resolved(cells, run.cell.periods)
    return problem.homogenised(cells, problem.effective_media(cells))


def follow(model: TransientModel, run: Run, on_state: Callable[[int, float], None] | None = None) -> March:
    """The model through the protocol; the history is kept in memory only."""
    with tempfile.TemporaryDirectory() as folder, Log(model.comm, Path(folder), quiet=True) as log:
        return march(model, run, Path(folder) / "history.csv", log, "test", on_state)


def simulate(run: Run, model: str = "resolved", comm: MPI.Comm = MPI.COMM_WORLD) -> March:
    """Build a model, run the protocol, free the model."""
    built = build(run, model, comm)
    try:
        return follow(built, run)
    finally:
        built.destroy()


def voltages(result: March, times: tuple[float, ...] = TIMES) -> list[float]:
    """V at given times, which must be those of steps."""
    by_time = {round(row["time"], 9): row["voltage"] for row in result.rows}
    return [by_time[t] for t in times]


def conserves(result: March) -> bool:
    """Lithium and charge to 1e-10, energy to 1e-8 at every step (relative, as history.csv defines them)."""
    rows = result.rows[1:]
    return (
        max(max(row["lithium_error"], row["charge_error"]) for row in rows) < 1e-10
        and max(row["energy_error"] for row in rows) < 1e-8
    )


def largest_difference(a: March, b: March, columns: tuple[str, ...] = ("voltage", "T_max", "c_e_max", "soc_n")) -> float:
    """Largest difference over all rows of two runs."""
    assert len(a.rows) == len(b.rows)
    return max(abs(x[c] - y[c]) for x, y in zip(a.rows, b.rows, strict=True) for c in columns)
