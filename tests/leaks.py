"""Memory, communicators and PETSc objects of a process that builds, solves and drops small problems again and again.

`python leaks.py KIND COUNT` prints a line of JSON; a process of its own, so that nothing else of a test run counts.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
from mpi4py import MPI
from petsc4py import PETSc

import dfx_homog
from dfx_homog.runfile import load

PAGE = resource.getpagesize()
CELL = {"sigma_s": 2.0, "k_s": 4.0, "k_e": 1.0}
QUICKSTART = str(Path(__file__).resolve().parents[1] / "runs" / "quickstart.toml")


def resident() -> float:
    """Megabytes of this process that are in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


def handle() -> int:
    """Number that MPI gives to a new communicator: the lowest that is free."""
    comm = MPI.COMM_WORLD.Dup()
    number = comm.py2f()
    comm.Free()
    return number


def mesh(random: Random) -> None:
    geometry = random.choice(
        [
            {"geometry": "disks", "radius": random.uniform(0.2, 0.4)},
            {"geometry": "laminate", "dim": 2, "normal": [1, 0], "solid_fraction": random.uniform(0.2, 0.8)},
            {"geometry": "wavy", "w0": 0.27, "w1": random.uniform(0.05, 0.12)},
        ]
    )
    sizes = {"mesh_size": random.choice([0.1, 0.15, 0.2]), "order": random.choice([1, 2])}
    dfx_homog.cell({"microstructure": {"a": CELL | geometry | sizes}})


def voxels(random: Random) -> None:
    geometry = {"geometry": "gaussian_field", "porosity": random.uniform(0.4, 0.6), "correlation_length": 2.0}
    sizes = {"voxels": random.choice([10, 12, 16]), "seed": random.randrange(99), "discretisation": "both"}
    dfx_homog.cell({"microstructure": {"a": CELL | geometry | sizes}})


def cells(random: Random) -> None:
    random.choice([mesh, voxels])(random)


def model(command: Callable[..., object], *overrides: str) -> Callable[[Random], None]:
    def once(random: Random) -> None:
        regions = ("negative", "separator", "positive")
        size = random.choice([0.2, 0.25, 0.34])
        coarse = [f"microstructure.{r}.{k}" for r in regions for k in (f"mesh_size={size}", "order=1")]
        steps = "protocol.steps=[{current=0.2, duration=0.04}]"
        with tempfile.TemporaryDirectory() as folder:
            run = load(QUICKSTART, [*coarse, steps, "output.report=false", *overrides])
            command(run, out=Path(folder) / "out")

    return once


KINDS: dict[str, Callable[[Random], None]] = {
    "cells": cells,
    "resolved": model(dfx_homog.resolved),
    "homogenised": model(dfx_homog.homogenised, "homogenised.elements=3"),
}


def alive() -> dict[str, int]:
    """PETSc objects of each class that exist now, from PETSc's own log."""
    PETSc.garbage_cleanup()
    with tempfile.NamedTemporaryFile("r") as file:
        viewer = PETSc.Viewer().createASCII(file.name, "w")
        PETSc.Log.view(viewer)
        viewer.destroy()
        text = file.read()
    found: dict[str, int] = {}
    for line in text[text.index("Object Type") :].splitlines()[1:]:
        words = line.split()
        if len(words) >= 3 and words[-1].isdigit() and words[-2].isdigit():
            name = " ".join(words[:-2])
            found[name] = found.get(name, 0) + int(words[-2]) - int(words[-1])
    found.pop("Viewer", None)  # the one that prints this
    return found


def main(kind: str, count: int) -> None:
    PETSc.Log.begin()
    random, work = Random(1), KINDS[kind]
    memory, handles, objects = [], [], []
    for number in range(count):
        work(random)
        gc.collect()
        memory.append(resident())
        handles.append(handle())
        if number in (count // 4, count - 1):
            objects.append(alive())
    slope = np.polyfit(range(count // 4, count), memory[count // 4 :], 1)[0]
    found = {"memory": memory, "slope": slope, "handles": handles, "before": objects[0], "after": objects[1]}
    if MPI.COMM_WORLD.rank == 0:
        print("RESULT", json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
