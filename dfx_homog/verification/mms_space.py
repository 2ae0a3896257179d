"""Manufactured solution of the coupled resolved model in three dimensions: order 2 (P1) in L2 for all five fields.

Layers of solid and pores on Kuhn's tetrahedra, insulated sides with given fluxes, every kind of tensor, uneven current
and cooling; sources from `manufactured`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mpi4py import MPI
from ufl import cos

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
from dfx_homog.verification.mms_resolved import FIELDS
from dfx_homog.verification.outcome import Outcome
from dfx_homog.verification.problems import wavy_physics
from dfx_homog.verification.tetrahedra import kuhn

D_S = ((1.0, 0.2, -0.1), (0.2, 0.8, 0.3), (-0.1, 0.3, 1.4))
SIGMA = ((3.0, 0.5, 0.2), (0.5, 2.0, -0.4), (0.2, -0.4, 2.5))
K_S = ((1.8, -0.3, 0.1), (-0.3, 1.2, 0.2), (0.1, 0.2, 0.9))
MATERIALS = (
    Material(np.array(SIGMA), np.array(K_S), 0.6, 1.5, 1.0),
    Material(None, None, 0.8, None, 0.9),
    Material(2.5, 2.0, 0.5, 1.4, 1.1),
)
CURRENT = "0.2*(1 + 0.5*cos(3*y2 + 2*y3))"
COOLING = "0.5 + 0.3*cos(4*y3 - y2)"
SHARE = 0.5  # of the face that is solid


def physics() -> Physics:
    parse = Expression.parse
    ocp = parse("0.3 - 0.2*c + 0.1*T")
    return wavy_physics(
        h_positive=Expression.of_time_and_place(COOLING),
        negative=Electrode(D_S, 1.5, 0.3, 0.5, 1.2, 0.8, ocp, parse(0.05)),
        positive=Electrode(parse("0.6 + 0.2*c"), 1.1, 0.2, 0.4, 1.0, 0.3, ocp, parse("0.1*c")),
    )


def laws() -> Laws:
    """The same coefficients for the strong equations."""
    return Laws(
        electrode={
            0: ElectrodeLaws(
                D_s=lambda c, T: tensor(D_S),
                sigma=lambda T: tensor(SIGMA),
                G=lambda T: 1.5,
                GC=0.45,
                beta=0.5,
                c_max=1.2,
                U=lambda c, T: 0.3 - 0.2 * c / 1.2 + 0.1 * T,
                Pi=lambda c, T: 0.05,
            ),
            2: ElectrodeLaws(
                D_s=lambda c, T: 0.6 + 0.2 * c,
                sigma=lambda T: 2.5,
                G=lambda T: 1.1,
                GC=0.22,
                beta=0.4,
                c_max=1.0,
                U=lambda c, T: 0.3 - 0.2 * c + 0.1 * T,
                Pi=lambda c, T: 0.1 * c,
            ),
        },
        D_L=lambda T: 1.0,
        D_A=lambda T: 1.5,
        mu_L=lambda T: 1.0,
        mu_A=lambda T: 1.5,
        lam=2.0,
        gamma=0.1,
        h=(lambda x, y, z: 0.5, lambda x, y, z: 0.5 + 0.3 * cos(4 * z - y)),
        T_ambient=0.0,
        tab_current=lambda x, y, z: 0.2 * (1 + 0.5 * cos(3 * y + 2 * z)) / SHARE,
        k={(0, SOLID): K_S, (2, SOLID): 2.0, **{(r, ELECTROLYTE): (0.6, 0.8, 0.5)[r] for r in range(3)}},
        rho_cp={(0, SOLID): 1.5, (2, SOLID): 1.4, **{(r, ELECTROLYTE): (1.0, 0.9, 1.1)[r] for r in range(3)}},
    )


def base(m: Any, x: Any, y: Any, z: Any) -> list[Any]:
    """Phi_s = 0 at y1 = 0."""
    return [
        0.5 + 0.2 * m.cos(2 * x + 4 * y - 3 * z),
        x * (0.3 + 0.2 * m.sin(3 * y + 4 * z)),
        1.1 + 0.3 * m.sin(2 * x - 3 * y + 4 * z),
        -0.1 + 0.2 * m.cos(2 * x + 3 * y + 2 * z),
        0.3 + 0.3 * m.sin(2 * x + 3 * y * z + 2 * z),
    ]


def growth(m: Any, x: Any, y: Any, z: Any) -> list[Any]:
    """What changes in time."""
    return [0.08 * m.cos(x + z), 0.1 * x * x, -0.1 * m.cos(3 * x), 0.06 * x * y, 0.2 * m.sin(x)]


def solve(n: int) -> list[float]:
    """L2 errors of the five fields after one step on n cubes along each edge of a unit cell."""
    now, before, q = 1.0, 0.4, Quotient(2.0, -2.0, 0.0)
    control = Control("current", 0.0, Expression.of_time_and_place(CURRENT), 0.0)
    electrode = kuhn(n, lambda at: at[:, 1] < 0.5)
    model = ResolvedModel(
        MPI.COMM_WORLD,
        physics(),
        (electrode, kuhn(n, lambda at: at[:, 1] < -1.0), electrode),
        MATERIALS,
        (1, 1, 1),
        (1, 1),
        lateral_periodic=False,
        preset="direct",
    )
    case = Manufactured(model, laws(), base, growth, (4, 5))
    case.start(before, before)
    case.solve(now, q.a0 * now + q.a1 * before, q, control)
    errors = case.errors()
    case.destroy()
    return errors


def five_fields(run: Run, comm: MPI.Intracomm) -> Outcome:
    """One study, P1, on `cubes` along each edge of a unit cell."""
    counts = [int(n) for n in run.case.numbers("cubes")]
    study = orders.Study("P1", FIELDS, [1 / n for n in counts], [solve(n) for n in counts], 2.0)
    return orders.outcome({"P1": study}, "$h$", "Errors in $L^2$ against the edge of the cubes.")
