"""Run files in SI whose numbers are round: cells of 0.1 mm with heat, double layers and Arrhenius laws."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from dfx_homog.models.history import Row
from dfx_homog.models.in_units import COLUMN_KINDS
from dfx_homog.parameters.units import Units
from dfx_homog.runfile import Run, load
from dfx_homog.studies.march import march
from dfx_homog.studies.outcome import March
from dfx_homog.studies.progress import Log
from dfx_homog.studies.setup import Problem

QUICKSTART = Path(__file__).resolve().parents[1] / "runs" / "quickstart.toml"

MATERIALS = "mesh_size=0.2, k_s=2.0, k_e=0.6, rho_cp_s=3e6, rho_cp_e=2e6"
WAVY = "{{geometry='wavy', w0=0.27, w1=0.12, w2=0.0, sigma_s={sigma}, {materials}}}"
PARTICLE = "{{geometry='particle', radius={radius}, phi_e=0.4, B=0.25, S={sigma}, K=1.2, theta={theta}}}"
#: Overrides: a lognormal distribution of sizes in the negative electrode.
SIZES = (
    "microstructure.negative={geometry='particle', radius_mean=6e-6, radius_std=2e-6, sizes=3, phi_e=0.4, B=0.25, "
    "S=100.0, K=1.2, theta=2.2e6}"
)
ELECTRODE = (
    "{{D_s={D_s}, K={K}, C_dl=0.2, c_max={c_max}, c_s0={c_s0}, film_resistance=1e-3, dUdT={dUdT}, "
    "ocp='{ocp}'{length}}}"
)
LENGTH = 2e-5


def parameters(length: bool, *, varying: bool = False) -> str:
    """[parameters] as an inline table; length: with unit_cell_length; varying: D_s as a formula."""
    own = f", unit_cell_length={LENGTH}" * length
    negative = ELECTRODE.format(
        D_s="'2e-14*(1.5 - c)*exp(2*(T - 298.15)/T)'" if varying else 2e-14,
        K=2e-9,
        c_max=3e4,
        c_s0=2.4e4,
        dUdT="'-1e-4*(1 + c)'",
        ocp="0.25 - 0.3*(c - 0.5) + 1e-5*(T - 298.15)",
        length=own,
    )
    positive = ELECTRODE.format(
        D_s=1e-14, K=1e-9, c_max=5e4, c_s0=1.5e4, dUdT=5e-5, ocp="4.0 - 0.4*(c - 0.5)", length=own
    )
    return (
        "{units='SI', T0=298.15, D_L=1.2e-10, D_A=2.4e-10, c_e0=1000.0, h='10.0*(1 + 0.5*sin(t/50))', "
        f"T_ambient=293.15, negative={negative}, positive={positive}, "
        "activation={G_n=3e4, G_p=2e4, D_L=1.5e4, sigma_p=1e4}}"
    )


def particles(*overrides: str) -> Run:
    """Spheres of two sizes in media of given numbers; thicknesses 80, 20 and 60 um."""
    return load(
        QUICKSTART,
        [
            f"microstructure.negative={PARTICLE.format(radius=6e-6, sigma=100.0, theta=2.2e6)}",
            f"microstructure.positive={PARTICLE.format(radius=4e-6, sigma=10.0, theta=2.8e6)}",
            "microstructure.separator={geometry='effective', phi_e=0.5, B=0.35, K=0.3, theta=1.5e6}",
            "cell={thickness=[8e-5, 2e-5, 6e-5]}",
            f"parameters={parameters(False)}",
            "homogenised.elements=4",
            *protocol(),
            *overrides,
        ],
    )


#: Makes `particles` two-dimensional, with a tab and cooled sides.
BOX = (
    "cell={thickness=[8e-5, 2e-5, 6e-5], lateral='insulated', lateral_size=[3e-4], tab_negative=[[0.0, 1e-4]]}",
    "parameters.h_lateral=5.0",
    "homogenised.lateral_elements=[3]",
    "homogenised.elements=2",
)


def unit_cells(*overrides: str, varying: bool = False) -> Run:
    """Wavy solid in unit cells of 20 um; 40, 20 and 40 um."""
    separator = "{geometry='electrolyte', dim=2, mesh_size=0.2, k_e=0.6, rho_cp_e=2e6}"
    return load(
        QUICKSTART,
        [
            f"microstructure.negative={WAVY.format(sigma=50.0, materials=MATERIALS)}",
            f"microstructure.positive={WAVY.format(sigma=20.0, materials=MATERIALS)}",
            f"microstructure.separator={separator}",
            f"parameters={parameters(True, varying=varying)}",
            "homogenised.elements=4",
            *protocol(),
            *overrides,
        ],
    )


def protocol() -> list[str]:
    """A current that varies in time, a rest, and a voltage that is held: 40 s in steps of 4 s."""
    steps = "{current='20*(1 + 0.2*sin(t/10))', duration=16.0}, {current=0.0, duration=8.0}"
    return [
        f"protocol={{steps=[{steps}, {{voltage=3.7, duration=16.0}}], v_min=3.0, T_max=400.0}}",
        "time={dt=4.0, scheme='bdf2'}",
        "output={times=[10.0]}",
    ]


def solve(run: Run, model: str, comm: Any = MPI.COMM_WORLD) -> tuple[March, Units]:
    """The history of a run in its own units, by the twin of a run in SI."""
    problem = Problem(comm, run)
    cells = problem.unit_cells()
    problem = problem.scaled(cells)
    return solve_scaled(problem, cells, model), problem.units


def solve_scaled(problem: Problem, cells: Any, model: str, units: Units | None = None) -> March:
    """The history of a problem without units in those of its twin, or in others."""
    if model == "resolved":
        built: Any = problem.resolved(cells, problem.run.cell.periods)
    else:
        media = problem.effective_media(cells)
        built = problem.homogenised(cells, media, problem.strips(cells, media))
    try:
        with tempfile.TemporaryDirectory() as folder, Log(problem.comm, Path(folder), quiet=True) as log:
            history, chosen = Path(folder) / "history.csv", problem.units if units is None else units
            return march(
                built, problem.run, history, log, "test", outputs=problem.run.output.times or (), units=chosen
            )
    finally:
        built.destroy()


#: Columns of a history that say how it was found, not what.
EFFORT = ("newton", "krylov", "seconds", "lithium_error", "charge_error", "charge_error_run", "energy_error")


def largest_difference(one: list[Row], other: list[Row]) -> dict[str, float]:
    """For each column the largest difference over all rows, relative to its largest value; of voltages in V."""
    assert len(one) == len(other)
    found = {}
    for name in one[0]:
        if name not in EFFORT:
            a, b = (np.array([row[name] for row in rows]) for rows in (one, other))
            assert (np.isnan(a) == np.isnan(b)).all(), name
            least = 1.0 if COLUMN_KINDS[name] == "voltage" else 1e-300
            size = max(np.nanmax(np.abs(a), initial=0.0), least)
            found[name] = float(np.nanmax(np.abs(a - b), initial=0.0) / size)
    return found
