"""Particle problems: time and memory against points and particle unknowns, and how ranks share the points.

    ./dfx exec python docs/benchmarks/particles.py
    ./dfx -n 2 exec python docs/benchmarks/particles.py
    ./dfx exec python docs/benchmarks/particles.py memory

Each case takes STEPS time steps of the homogenised model of the quickstart problem. Seconds are those that the slowest
rank spends in its particle problems, over solutions and all points. Memory is the peak of a process of its own for
every size, and how much of it comes with the points: the difference of two sizes over that of their particle unknowns.
Writes a table in markdown.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from mpi4py import MPI

from dfx_homog.runfile import load
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.timestepping import TimeStep, euler
from dfx_homog.studies.setup import Problem

QUICKSTART = Path(__file__).resolve().parents[2] / "runs" / "quickstart.toml"
SPHERES = "{{geometry='particle', {sizes}, phi_e=0.45, B=0.3, S=5.0, K=1.0, theta=1.2}}"
SEPARATOR = "microstructure.separator={geometry='effective', phi_e=0.5, B=0.4, K=1.0, theta=1.0}"
VARYING = [f"parameters.{name}.D_s='(0.3 + 0.9*(1 - c)**2)*(1 + 0.2*T)'" for name in ("negative", "positive")]
STEPS = 4
LARGE = {"one sphere": (500, 2000, 8000), "20 sizes": (80, 320, 1280), "wavy cell": (80, 320, 1280)}


def spheres(sizes: str) -> list[str]:
    sphere = SPHERES.format(sizes=sizes)
    return [SEPARATOR, *(f"microstructure.{name}={sphere}" for name in ("negative", "positive"))]


CASES = {
    "one sphere": (spheres("radius=0.3"), (20, 80, 320)),
    "one sphere, D_s(c, T)": ([*spheres("radius=0.3"), *VARYING], (20, 80, 320)),
    "20 sizes": (spheres("radius_mean=0.3, radius_std=0.1, sizes=20"), (20, 80, 320)),
    "20 sizes, D_s(c, T)": ([*spheres("radius_mean=0.3, radius_std=0.1, sizes=20"), *VARYING], (20, 80, 320)),
    "wavy cell": ([], (20, 80, 320)),
    "wavy cell, D_s(c, T)": (VARYING, (20, 80)),
}


def timed(particles: Any, seconds: list[float]) -> None:
    """Let the parts of a step of these particle problems add their times to seconds[0], and count solutions in [1]."""

    def clocked(call: Callable[..., Any], solution: bool) -> Callable[..., Any]:
        def wrapped(*args: Any) -> Any:
            start = time.process_time()
            out = call(*args)
            seconds[0] += time.process_time() - start
            seconds[1] += solution
            return out

        return wrapped

    for name in ("begin_step", "evaluate", "finish_step"):
        setattr(particles, name, clocked(getattr(particles, name), name == "evaluate"))


def measure(overrides: list[str], elements: int) -> tuple[int, int, float, list[int]]:
    """Points, unknowns of all particles, seconds a point and solution, and points of the ranks."""
    comm = MPI.COMM_WORLD
    problem = Problem(comm, load(QUICKSTART, [*overrides, f"homogenised.elements={elements}"]))
    cells = problem.unit_cells()
    model = problem.homogenised(cells, problem.effective_media(cells))
    current = Control("current", 0.2)
    model.switch_on(current)
    clocks = [[0.0, 0.0] for _ in model.points]
    for points, clock in zip(model.points, clocks, strict=True):
        timed(points.particles, clock)
    for step in range(STEPS):
        model.advance(TimeStep(step, 0.02 * (step + 1), 0.02, current, euler(0.02), 0))
        model.accept()
    own = sum(len(p.nodes) for p in model.points), sum(p.particles.c.size for p in model.points)
    shares = comm.allgather(own)
    total, unknowns = (sum(share[i] for share in shares) for i in (0, 1))
    solutions = comm.allreduce(max(clock[1] for clock in clocks), MPI.MAX)
    slowest = comm.allreduce(sum(clock[0] for clock in clocks), MPI.MAX)
    model.destroy()
    return total, unknowns, slowest / (solutions * total), [share[0] for share in shares]


def table() -> None:
    """Times of all cases, on any number of ranks."""
    comm = MPI.COMM_WORLD
    rows = [f"Command: `./dfx -n {comm.size} exec python docs/benchmarks/particles.py`.", ""]
    rows.append("| particles | unknowns a point | points | microseconds a point | points of ranks |")
    rows.append("| --- | --- | --- | --- | --- |")
    for name, (overrides, sizes) in CASES.items():
        for elements in sizes:
            points, unknowns, seconds, shares = measure(overrides, elements)
            where = ", ".join(map(str, shares))
            rows.append(f"| {name} | {unknowns / points:.0f} | {points} | {1e6 * seconds:.1f} | {where} |")
    if comm.rank == 0:
        print("\n".join(rows))


def peak(name: str, elements: int) -> None:
    """Unknowns of all particles, and the largest memory of this process in bytes, for `memory`."""
    _, unknowns, *_ = measure(CASES[name][0], elements)
    print(unknowns, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def memory() -> None:
    """Peak memory of growing models, on one rank, and bytes that a further unknown of a particle takes."""
    print("| particles | unknowns of all particles | peak, MiB | bytes an unknown |")
    print("| --- | --- | --- | --- |")
    for name, sizes in LARGE.items():
        found = []
        for elements in sizes:
            words = [sys.executable, __file__, "peak", name, str(elements)]
            out = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
            found.append((int(out[-2]), int(out[-1])))
        slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(found)]
        cells = (
            ", ".join(str(unknowns) for unknowns, _ in found),
            ", ".join(f"{size / 2**20:.0f}" for _, size in found),
            ", ".join(f"{slope:.0f}" for slope in slopes),
        )
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["peak"]:
        peak(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1:2] == ["memory"]:
        memory()
    else:
        table()
