"""Time the voxel solver, and TauFactor beside it, on thresholded Gaussian fields; write a Markdown table.

    python3 docs/benchmarks/voxels.py [--sizes 64 128 200 256] [--taufactor PYTHON] [--image FILE LABEL] [--out FILE]

Needs only the standard library: the solver runs through ./dfx, TauFactor on one thread in its own virtual environment,
made in the scratch folder unless `--taufactor` names the Python of one (much smaller with the CPU build of torch).
Every run is a process of its own on the same images. Times are of the solve with its setup, without starting Python
and reading the image; CPU seconds are those of the busiest rank (on one process they tell the time of a machine
without other work).
`--image` adds a TIFF stack or .npy, whose voxels with the label conduct: periodic and with fixed ends, on 2 ranks.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]

MAKE = """
import sys
import numpy as np
n, sigma, porosity, seed, file = int(sys.argv[1]), 4.0, 0.4, 12345, sys.argv[2]
noise = np.random.default_rng(seed).standard_normal((n, n, n))
f, half = np.fft.fftfreq(n), np.fft.rfftfreq(n)
square = f[:, None, None] ** 2 + f[None, :, None] ** 2 + half**2
spectrum = np.fft.rfftn(noise) * np.exp(-2 * np.pi**2 * sigma**2 * square)
smooth = np.fft.irfftn(spectrum, s=noise.shape, axes=(0, 1, 2))
count = round(porosity * n**3)
np.save(file, (smooth <= np.partition(smooth.ravel(), count - 1)[count - 1]).astype(np.uint8))
"""

SOLVE = """
import json, resource, sys, time
import numpy as np
from mpi4py import MPI
from dfx_homog.voxels.grid import VoxelGrid, slab
from dfx_homog.voxels.solver import VoxelProblem
comm, (file, discretisation, condition, label) = MPI.COMM_WORLD, sys.argv[1:]
if file.endswith(".npy"):
    image = np.load(file, mmap_mode="r")
    shape = image.shape
else:
    import tifffile
    with tifffile.TiffFile(file) as stack:
        shape = stack.series[0].shape
start, stop = slab(shape[0], comm.size, comm.rank)
planes = image[start:stop] if file.endswith(".npy") else tifffile.imread(file, key=range(start, stop))
codes = np.ascontiguousarray(planes == int(label)).astype(np.uint8)
del planes
h = 1 / shape[0]
grid = VoxelGrid(comm, "image", 3, shape, (h, h, h), start, stop, codes, (0, 1), (True, False))
conducting = comm.allreduce(int(codes.sum())) / np.prod(shape)
comm.Barrier()
began, cpu = time.perf_counter(), time.process_time()
problem = VoxelProblem(grid, discretisation=discretisation, condition=condition)
solution = problem.solve(grid.codes, np.array([0.0, 1.0]))
seconds = time.perf_counter() - began
cpu = comm.allreduce(time.process_time() - cpu, MPI.MAX)
peak = comm.allreduce(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
if comm.rank == 0:
    print(json.dumps({"seconds": seconds, "cpu": cpu, "iterations": max(solution.iterations),
                      "bytes": float(peak / np.prod(shape)), "value": solution.tensor[0, 0],
                      "tau": list(conducting / np.diag(solution.tensor))}))
"""

TAUFACTOR = """
import json, sys, time
import numpy as np
import torch
import taufactor
torch.set_num_threads(1)
image = np.load(sys.argv[1])
began, cpu = time.perf_counter(), time.process_time()
solver = taufactor.Solver(image, device=torch.device("cpu"))
solver.solve(verbose=False)
seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
print(json.dumps({"seconds": seconds, "cpu": cpu, "value": float(np.ravel(solver.D_eff)[0])}))
"""


def last_line(command: list[str]) -> dict[str, Any]:
    """The JSON object that a process prints last."""
    run = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
    if run.returncode:
        sys.exit(f"{' '.join(command[:4])} … failed:\n{run.stderr[-2000:]}")
    return json.loads(run.stdout.strip().splitlines()[-1])


def taufactor_python(folder: Path) -> str:
    """A virtual environment with TauFactor from PyPI."""
    python = folder / "taufactor" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / "taufactor")], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "torch", "taufactor"], check=True)
    return str(python)


def processor() -> str:
    """The processor's name, where the system tells."""
    file = Path("/proc/cpuinfo")
    names = [li.split(":")[1].strip() for li in file.read_text().splitlines() if li.startswith("model name")]
    return names[0] if names else platform.processor()


def command_line(arguments: argparse.Namespace) -> str:
    """What makes this table, files by their names only."""
    words = ["python3 docs/benchmarks/voxels.py --sizes", *map(str, arguments.sizes)]
    words += ["--taufactor-sizes", *map(str, arguments.taufactor_sizes)]
    if arguments.image:
        words += ["--image", Path(arguments.image[0]).name, arguments.image[1]]
    return " ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the voxel solver and TauFactor.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 200, 256])
    parser.add_argument("--taufactor", help="Python of a virtual environment with TauFactor")
    parser.add_argument("--taufactor-sizes", type=int, nargs="*", default=[64, 128, 200])
    parser.add_argument("--image", nargs=2, metavar=("FILE", "LABEL"), help="time an image too")
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / "runs" / "out" / "benchmark")
    parser.add_argument("--out", type=Path, help="write the table here")
    arguments = parser.parse_args()
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    other = (arguments.taufactor or taufactor_python(arguments.scratch)) if arguments.taufactor_sizes else ""
    dfx = str(CHECKOUT / "dfx")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    lines = [
        f"Machine: {processor()}, {os.cpu_count()} cores, {memory:.0f} GiB. "
        f"Command: `{command_line(arguments)}`.",
        "",
        "| voxels | method | ranks | solves | seconds | CPU seconds | CG iterations | bytes/voxel | value |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]

    def row(size: str, method: str, ranks: int, solves: int, result: dict[str, Any]) -> None:
        count = result.get("iterations", "")
        peak = f"{result['bytes']:.0f}" if "bytes" in result else ""
        times = f"{result['seconds']:.2f} | {result['cpu']:.2f}"
        lines.append(
            f"| {size} | {method} | {ranks} | {solves} | {times} | {count} | {peak} | {result['value']:.6f} |"
        )
        print(lines[-1], flush=True)

    for n in arguments.sizes:
        image = arguments.scratch / f"gaussian-{n}.npy"
        subprocess.run([dfx, "exec", "python", "-c", MAKE, str(n), str(image)], check=True, cwd=CHECKOUT)
        for discretisation in ("fv", "q1"):
            for ranks in (1, 2):
                command = [dfx, "-n", str(ranks), "exec", "python", "-c", SOLVE, str(image), discretisation]
                result = last_line([*command, "periodic", "1"])
                row(f"{n}³", f"`{discretisation}`, full tensor, 1e-8", ranks, 3, result)
        if n in arguments.taufactor_sizes:
            row(f"{n}³", "TauFactor, one direction", 1, 1, last_line([other, "-c", TAUFACTOR, str(image)]))
    if arguments.image:
        file, label = arguments.image
        for condition in ("periodic", "through"):
            command = [dfx, "-n", "2", "exec", "python", "-c", SOLVE, file, "fv", condition, label]
            result = last_line(command)
            tau = ", ".join(f"{t:.4f}" for t in result["tau"])
            row(Path(file).name, f"`fv`, {condition}, 1e-8: tau {tau}", 2, 3, result)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
