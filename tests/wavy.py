"""Runs of the reference problem `wavy-2d` from its run file, on any communicator, without files of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from helpers import time_steps
from mpi4py import MPI

from dfx_homog.models.transient import TransientModel
from dfx_homog.runfile import REGIONS, Run, load
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.timestepping import TimeStep
from dfx_homog.studies.march import march
from dfx_homog.studies.outcome import March
from dfx_homog.studies.progress import Log
from dfx_homog.studies.setup import Problem

TOP = Path(__file__).resolve().parents[1]
QUICKSTART = TOP / "runs" / "quickstart.toml"
#: The times of the tables in VERIFICATION section 4.
TIMES = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5)


def wavy_run(*overrides: str, h: float = 0.2, order: int = 1, steps: int = 5, current: float = 0.2) -> Run:
    """`wavy-2d` at a mesh size and order, over a number of steps of 0.02; overrides as with --set come last."""
    mesh = [f"microstructure.{r}.{k}={v}" for r in REGIONS for k, v in (("mesh_size", h), ("order", order))]
    protocol = f"protocol.steps=[{{current={current!r}, duration={0.02 * steps!r}}}]"
    return load(QUICKSTART, [*mesh, protocol, *overrides])


def solid(geometry: str, h: float, order: int = 1, sigma_s: str = "10.0") -> str:
    """Inline table of a microstructure with the materials of `wavy-2d`; geometry in TOML."""
    materials = f"sigma_s = {sigma_s}, k_s = 2.0, k_e = 0.6, rho_cp_s = 1.5, rho_cp_e = 1.0"
    return f"{{ {geometry}, mesh_size = {h}, order = {order}, {materials} }}"


def layered(normal: str, h: float, sigma: tuple[str, str] = ("10.0", "5.0")) -> list[str]:
    """Overrides: layers of equal width in all three regions; in the separator they carry heat only.

    sigma: of the negative and the positive electrode, in TOML
    """
    geometry = f'geometry = "laminate", normal = {normal}, solid_fraction = 0.5'
    materials = zip(REGIONS, (sigma[0], "1.0", sigma[1]), strict=True)
    return [f"microstructure.{region}={solid(geometry, h, 1, s)}" for region, s in materials]


def with_parameters(run: Run, **changes: Any) -> Run:
    """The run with keys of [parameters] replaced, which --set cannot remove."""
    return run.model_copy(update={"parameters": run.parameters.model_copy(update=changes)})


#: Overrides that take the double layers away, and that make the kinetics 50 times faster.
NO_DOUBLE_LAYER = ("parameters.negative.C=0", "parameters.positive.C=0")
STIFF = ("parameters.negative.G=75", "parameters.positive.G=50")


def mirrored() -> tuple[Run, Run]:
    """An unsymmetrical cell in discharge, and its mirror image: electrodes, faces and current exchanged."""
    overrides = ["cell.periods=[2,1,1]", "convergence.periods=[[2,1,1],[4,2,2]]"]
    run = wavy_run("parameters.h_negative=1.0", "parameters.h_positive=0.2", *overrides)
    p, m, t = run.parameters, run.microstructure, run.protocol
    image = {
        "parameters": p.model_copy(
            update={
                "negative": p.positive,
                "positive": p.negative,
                "h_negative": p.h_positive,
                "h_positive": p.h_negative,
            }
        ),
        "microstructure": {**m, "negative": m["positive"], "positive": m["negative"]},
        "protocol": t.model_copy(
            update={"steps": tuple(s.model_copy(update={"current": -s.current}) for s in t.steps)}
        ),
        "cell": run.cell.model_copy(update={"periods": (1, 1, 2)}),
    }
    return run, run.model_copy(update=image)


def warm_numbers() -> tuple[Run, Run]:
    """The same problem twice, at a uniform temperature other than 0: with laws in T, and with their values as numbers.

    Activation energies of everything, mobilities by Einstein's relation, D_s and ocp as formulas in T.
    """
    T, gamma = 0.4, 0.1
    common = [f"parameters.T_initial={T}", "parameters.isothermal=true"]
    energies = {"G_n": 5.0, "G_p": 9.0, "D_L": 6.0, "D_A": 3.0, "sigma_n": 7.0, "sigma_p": 11.0}
    energies |= {"D_s_n": 8.0, "D_s_p": 4.0}
    formulas = [
        'parameters.negative.ocp="0.25 - 0.3*(c - 0.5) + 0.1*T"',
        'parameters.positive.D_s="0.6*(1 + T)"',
    ]
    laws = wavy_run(*common, *formulas, *(f"parameters.activation.{k}={e}" for k, e in energies.items()))
    laws = with_parameters(laws, mu_L=None, mu_A=None)

    def grown(key: str, value: float) -> float:
        return float(value * np.exp(energies.get(key, 0.0) * gamma * T / (1 + gamma * T)))

    D = {"D_L": grown("D_L", 1.0), "D_A": grown("D_A", 1.5)}
    numbers = {f"parameters.{k}": v for k, v in D.items()}
    numbers |= {f"parameters.mu{k[1:]}": v / (1 + gamma * T) for k, v in D.items()}
    for name, G, D_s, sigma in (
        ("negative", 1.5, 1.0, 10.0),
        ("positive", 1.0, 0.6 * (1 + T), 5.0),
    ):
        numbers[f"parameters.{name}.G"] = grown(f"G_{name[0]}", G)
        # the capacitance G C knows no temperature
        numbers[f"parameters.{name}.C"] = 0.05 * G / grown(f"G_{name[0]}", G)
        numbers[f"parameters.{name}.D_s"] = grown(f"D_s_{name[0]}", D_s)
        numbers[f"microstructure.{name}.sigma_s"] = grown(f"sigma_{name[0]}", sigma)
    ocp = f'parameters.negative.ocp="{0.25 + 0.1 * T!r} - 0.3*(c - 0.5)"'
    return laws, wavy_run(*common, ocp, *(f"{k}={v!r}" for k, v in numbers.items()))


def build(run: Run, model: str = "resolved", comm: MPI.Comm = MPI.COMM_WORLD) -> Any:
    """A model of the run file, "resolved" or "homogenised"."""
    problem = Problem(comm, run)
    cells = problem.unit_cells()
    if model == "resolved":
        return problem.resolved(cells, run.cell.periods)
    return problem.homogenised(cells, problem.effective_media(cells))


def protocol_steps(run: Run) -> list[TimeStep]:
    """All time steps of a run file with constant currents."""
    protocol = [(Control("current", float(s.current or 0.0)), s.duration or 0.0) for s in run.protocol.steps]
    return time_steps(protocol, run.time.dt, run.time.scheme)


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


def assert_newton_is_quadratic(model: Any) -> None:
    """The residual norms of one large step fall quadratically. Destroys the model."""
    model._newton.snes.setConvergenceHistory()
    follow(model, wavy_run(steps=1, current=0.6))
    norms, _ = model._newton.snes.getConvergenceHistory()
    model.destroy()
    assert 4 <= len(norms) <= 6
    assert norms[-1] < max(10 * norms[-2] ** 2, 1e-12)
    assert norms[-2] < 10 * norms[-3] ** 2


def conserves(result: March) -> bool:
    """Lithium and charge to 1e-10, energy to 1e-8 at every step (relative, as history.csv defines them)."""
    rows = result.rows[1:]
    return (
        max(max(row["lithium_error"], row["charge_error"]) for row in rows) < 1e-10
        and max(row["energy_error"] for row in rows) < 1e-8
    )


def largest_difference(
    a: March, b: March, columns: tuple[str, ...] = ("voltage", "T_max", "c_e_max", "soc_n")
) -> float:
    """Largest difference over all rows of two runs."""
    assert len(a.rows) == len(b.rows)
    return max(abs(x[c] - y[c]) for x, y in zip(a.rows, b.rows, strict=True) for c in columns)
