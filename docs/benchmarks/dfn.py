"""A 1C discharge with V within 1e-4 V, set-up included, on one core: this package and PyBaMM, one after the other.

    ./dfx exec python docs/benchmarks/dfn.py --pybamm PYTHON

PYTHON is an interpreter that has PyBaMM. Each run is a process of its own, from its start until V(t) is there: imports,
model, solution, and here run.toml, history and results on disk too; compiled forms come from the cache, as for every
run but the first. The report is timed apart. Both run on one core, in turn, and both are refined until every voltage
that docs/verification/dfn-lgm50.md lists is within 1e-4 V: the cheapest such choice
that was found. Seconds are medians.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
RUN = TOP / "runs" / "dfn-lgm50.toml"
REFERENCE = {0.0: 4.045911, 60.0: 3.968880, 600.0: 3.843999, 1800.0: 3.544490, 3000.0: 3.268637}
END = 3562.674  # s
ACCURACY = 1e-4  # V
OURS = ("time.tolerance=3e-3", "homogenised.elements=2")
#: Points in each region and in each particle, and how strongly the latter are drawn to the surface.
PYBAMM = {"points": 105, "radial": 30, "stretch": 2.0, "tolerance": 1e-6}
SCRIPT = """
import json, sys
import numpy as np
import pybamm

case = json.loads(sys.argv[1])
F, R = pybamm.constants.F, pybamm.constants.R
D_L, D_A = 1.194571969e-10, 3.410562837e-10
parameters = pybamm.ParameterValues("Chen2020")


def exchange_current(K):
    return lambda c_e, c_s, c_max, T: F * K * pybamm.sqrt(c_s * (1 - c_s / c_max) * c_e)


parameters.update({
    "Electrolyte conductivity [S.m-1]": lambda c, T: F**2 * (D_L + D_A) * c / (R * T),
    "Electrolyte diffusivity [m2.s-1]": 2 * D_L * D_A / (D_L + D_A),
    "Cation transference number": D_L / (D_L + D_A),
    "Thermodynamic factor": (1 - D_L / D_A) / 2,
    "Negative electrode exchange-current density [A.m-2]": exchange_current(1.222486551e-9),
    "Positive electrode exchange-current density [A.m-2]": exchange_current(8.904166133e-9),
    "Initial concentration in negative electrode [mol.m-3]": 29866.0,
    "Initial concentration in positive electrode [mol.m-3]": 17038.0,
})
model = pybamm.lithium_ion.DFN()
submeshes = model.default_submesh_types
for name in ("negative particle", "positive particle"):
    drawn = {"side": "right", "stretch": case["stretch"]}
    submeshes[name] = pybamm.MeshGenerator(pybamm.Exponential1DSubMesh, drawn)
points = {**dict.fromkeys(("x_n", "x_s", "x_p"), case["points"]), **dict.fromkeys(("r_n", "r_p"), case["radial"])}
solver = pybamm.IDAKLUSolver(rtol=case["tolerance"], atol=case["tolerance"])
simulation = pybamm.Simulation(
    model, parameter_values=parameters, submesh_types=submeshes, var_pts=points, solver=solver
)
times = np.array(case["times"])
solution = simulation.solve([0, 3700], t_interp=times)
print(json.dumps([*solution["Voltage [V]"](times), *solution.t_event]))
"""


def timed(command: list[str]) -> tuple[float, float, str]:
    """Wall and CPU seconds of a process, and what it prints."""
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=TOP)
    wall, after = time.perf_counter() - start, os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return wall, cpu, done.stdout


def errors(found: list[float]) -> tuple[float, float]:
    """Largest error of the voltages, and that of the end."""
    return max(abs(a - b) for a, b in zip(found, REFERENCE.values(), strict=False)), found[-1] - END


def ours(folder: Path, *, report: bool) -> tuple[float, float, list[float]]:
    """One run of ours: wall seconds, CPU seconds, voltages and end."""
    sets = [word for s in (*OURS, f"output.report={str(report).lower()}") for word in ("--set", s)]
    main = "import sys; from dfx_homog.cli import main; sys.exit(main(sys.argv[1:]))"
    with tempfile.TemporaryDirectory(dir=folder) as out:
        words = ["homogenised", str(RUN), "--out", out, "--quiet", *sets]
        wall, cpu, _ = timed([sys.executable, "-c", main, *words])
        with (Path(out) / "history.csv").open() as file:
            rows = [(float(row["time"]), float(row["voltage"])) for row in csv.DictReader(file)]
    return wall, cpu, [*(min(rows, key=lambda r: abs(r[0] - t))[1] for t in REFERENCE), rows[-1][0]]


def pybamm(python: str) -> tuple[float, float, list[float]]:
    """One run of PyBaMM: wall seconds, CPU seconds, voltages and end."""
    wall, cpu, text = timed([python, "-c", SCRIPT, json.dumps({**PYBAMM, "times": list(REFERENCE)})])
    return wall, cpu, json.loads(text.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pybamm", required=True, help="a Python interpreter that has PyBaMM")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYBAMM_DISABLE_TELEMETRY": "true"}
    with tempfile.TemporaryDirectory() as name:
        runs = {
            "this package": lambda: ours(Path(name), report=False),
            "PyBaMM": lambda: pybamm(arguments.pybamm),
            "this package, report included": lambda: ours(Path(name), report=True),
        }
        seconds: dict[str, list[tuple[float, float]]] = {label: [] for label in runs}
        for turn in range(arguments.repeats + 1):  # the first one compiles and fills caches
            for label, run in runs.items():
                wall, cpu, found = run()
                error, end = errors(found)
                if error > ACCURACY:
                    raise SystemExit(f"{label}: V is wrong by {error:.1e} V")
                if turn:
                    seconds[label].append((wall, cpu))
                else:
                    print(f"{label}: V within {error:.1e} V, end {end:+.4f} s", flush=True)
    print("| | wall, s | CPU, s | wall over PyBaMM's | CPU over PyBaMM's |\n| --- | --- | --- | --- | --- |")
    middle = {
        label: [statistics.median(column) for column in zip(*s, strict=True)] for label, s in seconds.items()
    }
    for label, (wall, cpu) in middle.items():
        base = middle["PyBaMM"]
        print(f"| {label} | {wall:.2f} | {cpu:.2f} | {wall / base[0]:.2f} | {cpu / base[1]:.2f} |")


if __name__ == "__main__":
    main()
