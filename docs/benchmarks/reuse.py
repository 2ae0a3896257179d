"""What keeping the preconditioner from one linear system to the next saves, and what lagging the Jacobian does not.

    ./dfx exec python docs/benchmarks/reuse.py

Prints the rows of the table in docs/performance.md: `wavy-2d` with 20 unit cells, and the strip of 5 unit cells of
`runs/delta-3d.toml`; BDF2 after an Euler step. Seconds are CPU seconds of one process for the steps alone.
"""

from __future__ import annotations

import time
from pathlib import Path

from mpi4py import MPI

from dfx_homog.runfile import REGIONS, Run, load
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.timestepping import TimeStep, bdf2, euler
from dfx_homog.studies.setup import Problem

RUNS = Path(__file__).resolve().parents[2] / "runs"
DT = 0.02


def row(name: str, run: Run, steps: int, control: Control, *, kept: bool, lag: int = 1) -> None:
    """Take the steps and print counts and seconds."""
    problem = Problem(MPI.COMM_WORLD, run, ("-resolved_snes_lag_jacobian", str(lag)))
    model = problem.resolved(problem.unit_cells(), run.cell.periods)
    preconditioner = model._newton._preconditioner
    preconditioner.kept = kept
    model.switch_on(control)
    newton, krylov = 0, 0
    start = time.process_time()
    for k in range(1, steps + 1):
        info = model.advance(TimeStep(k, k * DT, DT, control, euler(DT) if k == 1 else bdf2(DT), 0))
        model.accept()
        newton, krylov = newton + info.newton, krylov + sum(info.krylov)
    seconds = time.process_time() - start
    print(
        f"| {name} | {model.dofs} | {control.kind} | {'kept' if kept else 'every system'} | {lag} | {steps} | "
        f"{preconditioner.setups} | {newton} | {krylov} | {seconds:.2f} | {model.voltage:.10f} |",
        flush=True,
    )
    model.destroy()


def main() -> None:
    plane = [f"microstructure.{r}.{k}" for r in REGIONS for k in ("mesh_size=0.08", "order=1")]
    wavy = load(RUNS / "quickstart.toml", [*plane, "cell.periods=[8,4,8]"])
    strip = load(RUNS / "delta-3d.toml", ["cell.periods=[2,1,2]"])
    for name, run, steps in (("wavy-2d, N = 20", wavy, 16), ("balls, N = 5", strip, 6)):
        for control in (Control("current", 0.2), Control("voltage", 0.7)):
            for kept, lag in ((False, 1), (True, 1), (True, 2)):
                row(name, run, steps, control, kept=kept, lag=lag)


if __name__ == "__main__":
    main()
