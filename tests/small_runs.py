"""A small run of every command and kind of problem, a second or two each, for tests of ranks and faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from commands import REGIONS, TOP, words

STEPS = "protocol.steps=[{current=0.2, duration=0.04}]"
SHORT = (STEPS, "checkpoint.every=1", "output.fields=1")
LEVELS = (*SHORT[:2], "convergence.periods=[[2,1,2],[4,2,4]]", "homogenised.elements=3")
BATTERY = 'battery={cells=8, size=[4.0,4.0], elements=[6,2,2], groups=[3,1,1], h={x1_low=2.0}, connection="parallel"}'
BALLS = [f"microstructure.{r}.mesh_size=0.4" for r in REGIONS]
WIDE = ("homogenised.elements=2", "homogenised.lateral_elements=[4]", "homogenised.lateral_grading=1.0")

VOXELS = """
[microstructure.field]
geometry = "gaussian_field"
porosity = 0.5
correlation_length = 2.0
voxels = 12
seed = 3
sigma_s = 2.0
k_s = 20.0
k_e = 1.0
discretisation = "both"

[microstructure.image]
geometry = "image"
file = "image.npy"
solid = [1]
sigma_s = 2.0
k_s = 5.0
k_e = 1.0
"""
MESHES = """
[microstructure.layers]
geometry = "laminate"
dim = 2
solid_fraction = 0.4
normal = [1, 0]
mesh_size = 0.2
sigma_s = 2.0
k_s = 5.0
k_e = 1.0

[microstructure.balls]
geometry = "spheres"
lattice = "sc"
radius = 0.55
mesh_size = 0.3
order = 1
sigma_s = 2.0
k_s = 5.0
k_e = 1.0
"""
SAMPLES = """
[rve]
quantity = "K"
sizes = [1, 2]
realisations = 2
conditions = ["periodic", "dirichlet", "flux", "through"]
"""
IMAGE = np.repeat(np.repeat(np.array([0, 1], dtype=np.uint8)[:, None, None], 4, axis=1), 6, axis=2)


def _text(command: str, text: str, out: Path) -> list[str]:
    """A call with a run file of its own beside `out`, and an image of fewer planes than there may be ranks."""
    out.parent.mkdir(parents=True, exist_ok=True)
    file = out.with_suffix(".toml")
    file.write_text(text)
    np.save(out.parent / "image.npy", IMAGE)
    return [command, str(file), "--out", str(out), "--quiet"]


def _file(command: str, name: str, out: Path, *overrides: str) -> list[str]:
    sets = [word for s in overrides for word in ("--set", s)]
    return [command, str(TOP / "runs" / name), "--out", str(out), "--quiet", *sets]


#: The words of each call by name, for a directory of results.
CALLS: dict[str, Callable[[Path], list[str]]] = {
    "cell": lambda out: _text("cell", MESHES, out),
    "voxels": lambda out: _text("cell", VOXELS, out),
    "rve": lambda out: _text("rve", VOXELS.partition("[microstructure.image]")[0] + SAMPLES, out),
    "rve-meshes": lambda out: _text("rve", MESHES.partition("[microstructure.balls]")[0] + SAMPLES, out),
    "resolved": lambda out: words("resolved", out, *SHORT),
    "resolved-3d": lambda out: _file("resolved", "delta-3d.toml", out, *BALLS, *SHORT, "time.dt=0.02"),
    "homogenised": lambda out: words("homogenised", out, *SHORT, "homogenised.elements=3"),
    "homogenised-2d": lambda out: _file("homogenised", "tab-2d.toml", out, *WIDE, *SHORT),
    "wall-law": lambda out: words("homogenised", out, *SHORT, "homogenised.wall_law=true"),
    "varying": lambda out: words(
        "homogenised", out, *SHORT, "homogenised.elements=2", 'parameters.negative.D_s="1 + 0.1*c"'
    ),
    "battery": lambda out: words("homogenised", out, *SHORT, "homogenised.elements=2", BATTERY),
    "convergence": lambda out: words("convergence", out, *LEVELS),
    "convergence-walls": lambda out: words("convergence", out, *LEVELS, "homogenised.wall_law=true"),
    "stacks": lambda out: _file(
        "convergence",
        "stack.toml",
        out,
        "protocol.steps.0.duration=0.1",
        "homogenised.elements=2",
        "battery.elements=[12, 1, 1]",
        "battery.levels=[2, 4]",
    ),
}
