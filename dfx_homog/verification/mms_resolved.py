"""Manufactured solution of the coupled resolved model: all five fields, every coefficient at work, wavy particles.

A strip of negative electrode, separator and positive electrode (curved cells for P2), sources from `manufactured`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mpi4py import MPI
from ufl import cos, exp, tanh

from dfx_homog.dimensionless.physics import Electrode, Physics
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID
from dfx_homog.models.resolved import ResolvedModel
from dfx_homog.models.resolved_forms import Material
from dfx_homog.parameters.expression import Expression
from dfx_homog.runfile import Run
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.timestepping import Quotient
from dfx_homog.verification import orders
from dfx_homog.verification.manufactured import ElectrodeLaws, Laws, Manufactured, tensor
from dfx_homog.verification.outcome import Outcome
from dfx_homog.verification.problems import wavy_cells, wavy_physics

FIELDS = ("c_s", "Phi_s", "c_e", "Phi_e", "T")
GAMMA = 0.3
SKEW_SIGMA = np.array([[3.0, 0.5], [0.5, 2.0]])
SKEW_K = np.array([[1.8, -0.3], [-0.3, 1.2]])
MATERIALS = (
    Material(SKEW_SIGMA, 2.0, 0.6, 1.5, 1.0),
    Material(None, None, 0.8, None, 0.9),
    Material(2.5, SKEW_K, 0.5, 1.4, 1.1),
)
SKEW_D = ((0.6, 0.15), (0.15, 0.4))
TIME = 0.5
COOLING = "0.5 + 0.3*cos(6*pi*y2) + 0.6*t"
CURRENT = Control("current", 0.0, Expression.of_time_and_place("0.4*t*(1 + 0.5*cos(6*pi*y2))"), TIME)
TAB_SHARE = 0.78  # of the face: the strip is 2 (w0 + w1) wide at z1 = 0


def physics() -> Physics:
    """Everything at work: Arrhenius, one Einstein mobility, D_s(c) and tensor D_s, U(c, T), Pi(c), h(t, y2), two
    different electrodes.
    """
    parse = Expression.parse
    return wavy_physics(
        mu_L=None,
        mu_A=1.3,
        gamma=GAMMA,
        h_positive=Expression.of_time_and_place(COOLING),
        T_ambient=0.2,
        E_D_L=0.7,
        E_D_A=-0.4,
        negative=Electrode(
            parse("1 + 0.5*c"), 1.5, 0.3, 0.5, 1.2, 0.8, parse("0.2 - 0.3*c + 0.1*T"), parse(0.05), E_D=0.5
        ),
        positive=Electrode(
            SKEW_D,
            1.1,
            0.2,
            0.4,
            1.0,
            0.3,
            parse("0.5 - 0.1*tanh(4*c)"),
            parse("0.1*c"),
            E_G=0.6,
            E_sigma=-0.3,
        ),
    )


def heated(value: Any, energy: float, T: Any) -> Any:
    """Arrhenius: value at T = 0 times exp(energy (1 - T0/absolute temperature))."""
    return value * exp(energy * (1 - 1 / (1 + GAMMA * T)))


def laws() -> Laws:
    """The same coefficients for the strong equations."""
    return Laws(
        electrode={
            0: ElectrodeLaws(
                D_s=lambda c, T: heated(1 + c / 2.4, 0.5, T),
                sigma=lambda T: tensor(SKEW_SIGMA),
                G=lambda T: 1.5,
                GC=0.45,
                beta=0.5,
                c_max=1.2,
                U=lambda c, T: 0.2 - 0.25 * c + 0.1 * T,
                Pi=lambda c, T: 0.05,
            ),
            2: ElectrodeLaws(
                D_s=lambda c, T: tensor(SKEW_D),
                sigma=lambda T: heated(2.5, -0.3, T),
                G=lambda T: heated(1.1, 0.6, T),
                GC=0.22,
                beta=0.4,
                c_max=1.0,
                U=lambda c, T: 0.5 - 0.1 * tanh(4 * c),
                Pi=lambda c, T: 0.1 * c,
            ),
        },
        D_L=lambda T: heated(1.0, 0.7, T),
        D_A=lambda T: heated(1.5, -0.4, T),
        mu_L=lambda T: heated(1.0, 0.7, T) / (1 + GAMMA * T),
        mu_A=lambda T: 1.3,
        lam=2.0,
        gamma=GAMMA,
        h=(lambda x, y: 0.5, lambda x, y: 0.8 + 0.3 * cos(6 * np.pi * y)),
        T_ambient=0.2,
        tab_current=lambda x, y: 0.2 * (1 + 0.5 * cos(6 * np.pi * y)) / TAB_SHARE,
        k={(0, SOLID): 2.0, (2, SOLID): SKEW_K, **{(r, ELECTROLYTE): (0.6, 0.8, 0.5)[r] for r in range(3)}},
        rho_cp={(0, SOLID): 1.5, (2, SOLID): 1.4, **{(r, ELECTROLYTE): (1.0, 0.9, 1.1)[r] for r in range(3)}},
    )


def base(m: Any, x: Any, y: Any) -> list[Any]:
    """Periodic in y2 with period delta = 1/3; Phi_s = 0 at y1 = 0."""
    wave_c, wave_s = m.cos(6 * np.pi * y), m.sin(6 * np.pi * y)
    return [
        0.55 + 0.15 * x * m.cos(2 * x) + 0.02 * wave_s,
        x * (0.3 + 0.1 * x + 0.02 * wave_c),
        1.1 + 0.3 * m.sin(2 * x) + 0.1 * wave_s * x,
        -0.1 + 0.2 * m.cos(2 * x) + 0.02 * wave_c,
        0.3 + 0.4 * x * x + 0.02 * wave_s,
    ]


def growth(m: Any, x: Any, y: Any) -> list[Any]:
    """What changes in time."""
    wave = m.sin(6 * np.pi * y)
    return [0.08 * m.cos(x), 0.1 * x * x, -0.1 * m.cos(3 * x), 0.06 * x * wave, 0.2 * m.sin(x)]


def solve(h: float, order: int, periodic: bool) -> tuple[float, list[float]]:
    """Mesh size and L2 errors of the five fields after one BDF2 step from exact old values.

    The rate in the sources is the scheme's own difference quotient, so that there is no error in time.
    """
    now, before, long_before, q = 1.0, 0.4, 0.7, Quotient(1.5, -2.0, 0.5)
    model = ResolvedModel(
        MPI.COMM_WORLD,
        physics(),
        wavy_cells(h, order),
        MATERIALS,
        (1, 1, 1),
        (1,),
        lateral_periodic=periodic,
        preset="direct",
    )
    case = Manufactured(model, laws(), base, growth, (2 * order + 3, 2 * order + 4))
    case.start(before, long_before)
    case.solve(now, q.a0 * now + q.a1 * before + q.a2 * long_before, q, CURRENT)
    errors = case.errors()
    size = float(np.sqrt(2 / model.forms.mesh.topology.index_map(2).size_global))
    case.destroy()
    return size, errors


def five_fields(run: Run, comm: MPI.Intracomm) -> Outcome:
    """Studies P1 and P2 with periodic sides, P2_sides with given fluxes through them."""
    studies = {}
    for key, order, periodic in (("P1", 1, True), ("P2", 2, True), ("P2_sides", 2, False)):
        results = [solve(h, order, periodic) for h in run.case.numbers(f"sizes_{key}")]
        sizes, errors = zip(*results, strict=True)
        name = f"P{order}, {'periodic' if periodic else 'insulated'} sides"
        studies[key] = orders.Study(name, FIELDS, sizes, errors, order + 1)
    return orders.outcome(studies, "$h$", "Errors in $L^2$ against the mean edge length of the cells.")
