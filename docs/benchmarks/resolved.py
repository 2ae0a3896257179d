"""What a time step of the resolved model costs: iterations, seconds, memory, and the same step by MUMPS.

    ./dfx -n 2 exec python docs/benchmarks/resolved.py sizes --cubes 3 4 5 6   # seconds and bytes an unknown
    ./dfx -n 1 exec python docs/benchmarks/resolved.py sizes --cubes 5         # beside the row of two ranks
    ./dfx -n 2 exec python docs/benchmarks/resolved.py direct --cubes 3        # iterative, then MUMPS, in one run
    ./dfx -n 1 exec python docs/benchmarks/resolved.py groupings               # Krylov iterations by grouping

Every run prints rows of the tables in docs/performance.md. A cube of n is n unit cells of `runs/delta-3d.toml` through
the battery and n across in both directions (overlapping balls of radius 0.55, linear tetrahedra). Seconds are wall time
of the second of two steps: residuals, Jacobians, multigrid and Krylov; CPU seconds are the largest of a rank (the
same on an idle machine). Memory is the peak of each rank above what it
held after the imports, summed.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mpi4py import MPI

from dfx_homog.models.fields import C_E, C_S, PHI_E, PHI_S, TEMP
from dfx_homog.models.resolved import ResolvedModel
from dfx_homog.runfile import REGIONS, Run, load
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.newton import Groups
from dfx_homog.solvers.timestepping import TimeStep, euler
from dfx_homog.studies.setup import Problem

RUNS = Path(__file__).resolve().parents[2] / "runs"
DT = 0.02
COMM = MPI.COMM_WORLD

#: Groups in the order in which they are taken, and how.
GROUPINGS: dict[str, tuple[Groups, str]] = {
    "cs, phi, ce, T": (
        {"cs": (C_S,), "phi": (PHI_S, PHI_E), "ce": (C_E,), "T": (TEMP,)},
        "multiplicative",
    ),
    "phi, ce, cs, T": (
        {"phi": (PHI_S, PHI_E), "ce": (C_E,), "cs": (C_S,), "T": (TEMP,)},
        "multiplicative",
    ),
    "cs+phi, ce, T": ({"csphi": (C_S, PHI_S, PHI_E), "ce": (C_E,), "T": (TEMP,)}, "multiplicative"),
    "cs, phi_s, phi_e, ce, T": (
        {"cs": (C_S,), "phis": (PHI_S,), "phie": (PHI_E,), "ce": (C_E,), "T": (TEMP,)},
        "multiplicative",
    ),
    "additive": ({"cs": (C_S,), "phi": (PHI_S, PHI_E), "ce": (C_E,), "T": (TEMP,)}, "additive"),
    "symmetric": (
        {"cs": (C_S,), "phi": (PHI_S, PHI_E), "ce": (C_E,), "T": (TEMP,)},
        "symmetric_multiplicative",
    ),
}
STIFF = ["parameters.negative.G=75", "parameters.positive.G=50"]
NO_DOUBLE_LAYER = ["parameters.negative.C=0", "parameters.positive.C=0"]


def plane(m: int, h: float, *overrides: str) -> Run:
    """`wavy-2d` with N = 5 m unit cells through."""
    mesh = [f"microstructure.{r}.mesh_size={h}" for r in REGIONS]
    return load(RUNS / "quickstart.toml", [*mesh, f"cell.periods=[{2 * m},{m},{2 * m}]", *overrides])


def box(periods: tuple[int, int, int], across: int, *overrides: str) -> Run:
    """Balls in space, `across` unit cells in both lateral directions."""
    p = list(periods)
    cell = [f"cell.periods={p}", f"convergence.periods=[{p},{[2 * n for n in p]}]"]
    return load(RUNS / "delta-3d.toml", [*cell, f"cell.lateral_periods=[{across},{across}]", *overrides])


def cube(n: int, *overrides: str) -> Run:
    """n unit cells in every direction."""
    electrode = (n - max(1, n // 5)) // 2
    return box((n - electrode - max(1, n // 5), max(1, n // 5), electrode), n, *overrides)


def problems() -> Iterator[tuple[str, Run]]:
    """Growing N, a finer mesh, fast kinetics, no double layer; a strip and a block in space."""
    for m in (1, 2, 4, 8):
        yield f"2D, N = {5 * m}", plane(m, 0.2)
    yield "2D, N = 10, h/2", plane(2, 0.1)
    yield "2D, N = 10, 50 G", plane(2, 0.2, *STIFF)
    yield "2D, N = 10, C = 0", plane(2, 0.2, *NO_DOUBLE_LAYER)
    yield "2D, N = 10, 50 G, C = 0", plane(2, 0.2, *STIFF, *NO_DOUBLE_LAYER)
    yield "3D strip, N = 10", box((4, 2, 4), 1)
    yield "3D cube, N = 3", cube(3)


def two_steps(model: ResolvedModel, current: float) -> tuple[list[int], int, float, float]:
    """Krylov iterations in two time steps, most Newton steps of one, seconds and CPU seconds of the second."""
    model.switch_on(Control("current", current))
    krylov, newton, seconds, cpu = [], 0, 0.0, 0.0
    for k in (1, 2):
        COMM.Barrier()
        start, used = time.perf_counter(), time.process_time()
        info = model.advance(TimeStep(k, k * DT, DT, Control("current", current), euler(DT), 0))
        cpu = COMM.allreduce(time.process_time() - used, op=MPI.MAX)
        seconds = time.perf_counter() - start
        model.accept()
        krylov += info.krylov
        newton = max(newton, info.newton)
    return krylov, newton, seconds, cpu


def build(run: Run, user: tuple[str, ...], groups: Groups | None = None) -> ResolvedModel:
    problem = Problem(COMM, run, user)
    cells = problem.unit_cells()
    if groups is None:
        return problem.resolved(cells, run.cell.periods)
    return problem.resolved(cells, run.cell.periods, groups)


def row(*values: object) -> None:
    if COMM.rank == 0:
        print("| " + " | ".join(str(v) for v in values) + " |", flush=True)


def head(*names: str) -> None:
    row(*names)
    row(*["---"] * len(names))


def peak() -> int:
    """Peak resident memory of this rank, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(run: Run, label: str, base: int, user: tuple[str, ...]) -> tuple[float, float]:
    """One row of the tables of sizes; returns seconds and bytes."""
    start = time.perf_counter()
    model = build(run, user)
    setup = time.perf_counter() - start
    krylov, newton, seconds, cpu = two_steps(model, run.protocol.steps[0].current)
    memory = COMM.allreduce(peak() - base)
    row(
        label,
        model.dofs,
        COMM.size,
        f"{setup:.1f}",
        f"{seconds:.2f}",
        f"{cpu:.2f}",
        f"{1e6 * seconds / model.dofs:.1f}",
        newton,
        f"{np.mean(krylov):.1f}",
        f"{memory / 2**30:.2f}",
        round(memory / model.dofs),
        f"{model.voltage:.10f}",
    )
    model.destroy()
    return seconds, memory


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["groupings", "sizes", "direct"])
    parser.add_argument("--cubes", type=int, nargs="+", default=[3])
    parser.add_argument("--groupings", nargs="+", default=list(GROUPINGS), choices=list(GROUPINGS))
    arguments, user = parser.parse_known_args()
    base = peak()
    if arguments.part == "groupings":
        head(f"Krylov iterations, {COMM.size} ranks", *arguments.groupings)
        for name, run in problems():
            cells = []
            for grouping in arguments.groupings:
                groups, kind = GROUPINGS[grouping]
                model = build(run, (f"-resolved_pc_fieldsplit_type {kind}", *user), groups)
                krylov, _, _, cpu = two_steps(model, run.protocol.steps[0].current)
                model.destroy()
                cells.append(f"{np.mean(krylov):.1f} ({cpu:.2f} s)")
            row(name, *cells)
        return
    head(
        *("case", "unknowns", "ranks", "set-up, s", "step, s", "CPU s", "us/unknown", "Newton"),
        *("Krylov", "GiB", "bytes/unknown", "V"),
    )
    presets = ("iterative", "direct") if arguments.part == "direct" else ("iterative",)
    for n in arguments.cubes:
        costs = [
            measure(cube(n, f'solver.preset="{preset}"'), f"cube {n}, {preset}", base, tuple(user))
            for preset in presets
        ]
        if len(costs) == 2 and COMM.rank == 0:
            print(
                f"\nMUMPS: {costs[1][0] / costs[0][0]:.1f} x seconds, {costs[1][1] / costs[0][1]:.1f} x memory\n"
            )


main()
