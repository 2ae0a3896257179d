"""Orders in dt of backward Euler and BDF2, without and with a double layer, resolved and homogenised."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import ufl
from mpi4py import MPI

from dfx_homog._compat import FloatArray
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID
from dfx_homog.models.fields import quadrature_degrees
from dfx_homog.models.resolved import ResolvedModel
from dfx_homog.models.transient import TransientModel
from dfx_homog.runfile import Run
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.timestepping import Quotient, TimeStep, bdf2, euler
from dfx_homog.studies.setup import Problem
from dfx_homog.verification import orders
from dfx_homog.verification.manufactured import ElectrodeLaws, Laws, Manufactured, tensor
from dfx_homog.verification.mms_resolved import FIELDS
from dfx_homog.verification.outcome import Outcome
from dfx_homog.verification.problems import laminate, unit_cell, wavy_materials, wavy_physics

ORDER = {"euler": 1, "bdf2": 2}
NAMES = {"euler": "backward Euler", "bdf2": "BDF2"}
#: What two runs of a model with different steps are compared in.
COLUMNS = ("voltage", "T_mean", "T_max", "c_e_min", "c_e_max", "soc_n")
END = 0.4


def quotient(scheme: str, dt: float, index: int) -> Quotient:
    """Of the index-th step, from 1; BDF2 starts with one Euler step."""
    return bdf2(dt) if scheme == "bdf2" and index > 1 else euler(dt)


def linear_base(m: Any, x: Any, y: Any) -> list[Any]:
    """Linear in y1, hence in the finite-element space; what is left is the error in time."""
    return [0.5 + 0.1 * x, 0.3 * x, 1.0 + 0.3 * x, -0.1 + 0.2 * x, 0.3 + 0.4 * x]


def linear_growth(m: Any, x: Any, y: Any) -> list[Any]:
    return [0.2 - 0.1 * x, 0.2 * x, 0.3 - 0.2 * x, 0.1 + 0.1 * x, 0.5 - 0.2 * x]


def laws(C: float) -> Laws:
    """Those of `wavy-2d`, laminate cells: solid where z2 < 0.4."""
    electrodes = {
        0: ElectrodeLaws(
            lambda c, T: 1.0, lambda T: tensor(10.0), lambda T: 1.5, 1.5 * C, 0.5, 1.0,
            lambda c, T: 0.25 - 0.3 * (c - 0.5), lambda c, T: 0.05,
        ),
        2: ElectrodeLaws(
            lambda c, T: 0.6, lambda T: tensor(5.0), lambda T: 1.0, C, 0.5, 1.0,
            lambda c, T: 1.0 - 0.4 * (c - 0.5) - 0.1 * ufl.tanh(4 * (c - 0.5)), lambda c, T: -0.03,
        ),
    }  # fmt: skip
    regions, k, rho_cp = range(3), {SOLID: 2.0, ELECTROLYTE: 0.6}, {SOLID: 1.5, ELECTROLYTE: 1.0}
    return Laws(
        electrode=electrodes,
        D_L=lambda T: 1.0,
        D_A=lambda T: 1.5,
        mu_L=lambda T: 1.0,
        mu_A=lambda T: 1.5,
        lam=2.0,
        gamma=0.1,
        h=(lambda *_: 0.5, lambda *_: 0.5),
        T_ambient=0.0,
        tab_current=lambda *_: 0.2 / 0.4,
        k={(r, p): k[p] for r in regions for p in k},
        rho_cp={(r, p): rho_cp[p] for r in regions for p in k},
    )


def manufactured_model(C: float) -> Manufactured:
    """Laminate cells, on which straight quadratic cells have the linear fields exactly."""
    electrode = unit_cell(laminate((0, 1), 0.4), 0.4, 2)
    separator = unit_cell({"geometry": "electrolyte"}, 0.4, 2, (0.4,))
    model = ResolvedModel(
        MPI.COMM_WORLD,
        wavy_physics(C=C),
        (electrode, separator, electrode),
        wavy_materials(),
        (1, 1, 1),
        (1,),
        lateral_periodic=True,
        preset="direct",
    )
    # with the model's own quadrature the reaction of the exact fields is the same number in model and source
    return Manufactured(model, laws(C), linear_base, linear_growth, quadrature_degrees(2))


def manufactured_errors(case: Manufactured, scheme: str, count: int) -> list[float]:
    """L2 errors of the five fields at t = 1, reached in `count` steps."""
    dt = 1 / count
    case.start(0.0, 0.0)
    for index in range(1, count + 1):
        t = index * dt
        control = Control("current", 0.2, time=t)
        case.solve(math.sin(2 * t), 2 * math.cos(2 * t), quotient(scheme, dt, index), control)
        case.model.accept()
    return case.errors()


def resolved(run: Run, comm: MPI.Intracomm) -> Outcome:
    """Studies euler, bdf2 (double layer C) and euler_algebraic, bdf2_algebraic (C = 0), over the `steps` to t = 1."""
    studies = {}
    counts = [int(n) for n in run.case.numbers("steps")]
    (capacitance,) = run.case.numbers("C")
    for kind, C in (("", capacitance), ("_algebraic", 0.0)):
        case = manufactured_model(C)
        for scheme, order in ORDER.items():
            errors = [manufactured_errors(case, scheme, count) for count in counts]
            name = f"{NAMES[scheme]}, C = {C:g}"
            studies[scheme + kind] = orders.Study(name, FIELDS, [1 / n for n in counts], errors, order)
        case.destroy()
    return orders.outcome(studies, "$dt$", "Errors in $L^2$ at t = 1 against the time step.")


def outcome(model: TransientModel, scheme: str, count: int) -> FloatArray:
    """COLUMNS at t = END under a current that starts smoothly from zero."""
    model.set_initial()  # type: ignore[attr-defined]
    dt = END / count
    for index in range(1, count + 1):
        control = Control("current", 0.4 * math.sin(2 * index * dt) ** 4)
        model.advance(TimeStep(index, index * dt, dt, control, quotient(scheme, dt, index), 0))
        model.accept()
    row = model.observe()
    return np.array([row[name] for name in COLUMNS])


def self_convergence(model: TransientModel, name: str, counts: list[int]) -> dict[str, orders.Study]:
    """Studies euler and bdf2 of the differences between one number of steps and the next."""
    found = {}
    for scheme, order in ORDER.items():
        values = np.array([outcome(model, scheme, count) for count in counts])
        differences = np.abs(np.diff(values, axis=0)).tolist()
        sizes = [END / n for n in counts[:-1]]
        found[scheme] = orders.Study(f"{NAMES[scheme]}, {name}", COLUMNS, sizes, differences, order)
    return found


def both_models(run: Run, comm: MPI.Intracomm) -> Outcome:
    """Studies resolved_euler … homogenised_bdf2_algebraic, over the `steps` to t = END, each twice the one before."""
    counts = [int(n) for n in run.case.numbers("steps")]
    studies = {}
    for kind, C in (("", None), ("_algebraic", 0.0)):
        problem = Problem(comm, run if C is None else _without_double_layer(run))
        cells = problem.unit_cells()
        makers: dict[str, Callable[[], Any]] = {
            "resolved": lambda p=problem, c=cells: p.resolved(c, run.cell.periods),  # type: ignore[misc]
            "homogenised": lambda p=problem, c=cells: p.homogenised(c, p.effective_media(c)),  # type: ignore[misc]
        }
        for which, make in makers.items():
            model = make()
            found = self_convergence(model, f"{which}, C {'> 0' if C is None else '= 0'}", counts)
            studies.update({f"{which}_{scheme}{kind}": study for scheme, study in found.items()})
            model.destroy()
    caption = "Differences between the results with a time step and with half of it, at t = 0.4."
    return orders.outcome(studies, "$dt$", caption)


def _without_double_layer(run: Run) -> Run:
    p = run.parameters
    electrodes = {name: getattr(p, name).model_copy(update={"C": 0.0}) for name in ("negative", "positive")}
    return run.model_copy(update={"parameters": p.model_copy(update=electrodes)})
