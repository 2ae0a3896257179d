"""Manufactured solution of the homogenised meso model: known fields with the loads for which they solve a step.

The loads are MODEL section 5 at the known fields, tested, written out apart from the model's own form; what the
particles give at these fields is added as the model has it, so that the orders are those of the meso discretisation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from mpi4py import MPI

from dfx_homog import _compat
from dfx_homog._compat import FloatArray
from dfx_homog.models.homogenised import HomogenisedModel
from dfx_homog.models.meso import C_E, PHI_E, PHI_S, TEMP
from dfx_homog.models.meso_domain import MesoBox, MesoLine, Side
from dfx_homog.runfile import Run
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.timestepping import TimeStep, euler
from dfx_homog.studies.setup import Problem
from dfx_homog.verification import orders
from dfx_homog.verification.outcome import Outcome

FIELDS = ("Phi_s", "c_e", "Phi_e", "T")
DEGREE = 8  # of quadrature
DT = 0.02


class Loaded(HomogenisedModel):
    """A model with loads for which fields known beforehand solve a step that starts from them."""

    load: FloatArray | None = None
    exact: FloatArray | None = None

    def _residual(self, out: FloatArray) -> None:
        super()._residual(out)
        if self.load is None:
            return
        if self.exact is None:  # the first residual is that at the known fields
            self.exact = np.zeros_like(out)
            for points in self.points:
                points.add_residual(self.exact.reshape(-1, 4))
        out -= self.load + self.exact


def known_fields(x: Any, lib: Any) -> tuple[Any, ...]:
    """Phi_s (zero at y1 = 0), c_e, Phi_e, T in one or two dimensions."""
    y1, y2 = x[0], x[1] if len(x) > 1 else 0.0
    return (
        0.1 * lib.sin(2 * y1) * (1 + y2) + 0.3 * y1,
        1 + 0.2 * lib.cos(3 * y1 + y2),
        -0.25 + 0.1 * lib.sin(2 * y1 - 3 * y2),
        0.2 + 0.1 * lib.cos(2 * y2) * lib.sin(y1),
    )


def known_load(model: HomogenisedModel, inside: Any) -> FloatArray:
    """MODEL section 5 at the known fields; inside: 1 in the electrodes, 0 in the separator."""
    forms, p, mesh = model.forms, model.physics, model.domain.mesh
    phi_s, c_e, phi_e, T = known_fields(ufl.SpatialCoordinate(mesh), ufl)
    v = ufl.TestFunction(forms.space)
    dx = ufl.Measure("dx", mesh, metadata={"quadrature_degree": DEGREE})
    at = forms._coefficient
    mobilities = ((p.D_L, p.mu_L), (p.D_A, p.mu_A))
    mu_L, mu_A = (D / (1 + p.gamma * T) if mu is None else mu for D, mu in mobilities)
    i_s = -ufl.dot(at["S"], ufl.grad(phi_s))
    N_e = -ufl.dot(at["B"], p.D_L * ufl.grad(c_e) + p.lam * mu_L * c_e * ufl.grad(phi_e))
    drift = p.lam * (mu_L + mu_A) * c_e * ufl.grad(phi_e)
    i_e = -ufl.dot(at["B"], (p.D_L - p.D_A) * ufl.grad(c_e) + drift)
    heat = -p.lam * (inside * ufl.dot(i_s, ufl.grad(phi_s)) + ufl.dot(i_e, ufl.grad(phi_e)))
    F = -inside * ufl.dot(i_s, ufl.grad(v[PHI_S])) - ufl.dot(N_e, ufl.grad(v[C_E]))
    F += -ufl.dot(i_e, ufl.grad(v[PHI_E])) + ufl.dot(ufl.dot(at["K"], ufl.grad(T)), ufl.grad(v[TEMP]))
    F -= heat * v[TEMP]
    out: FloatArray = np.zeros_like(forms.u.x.array)
    _compat.assemble_vector(_compat.compile_form(F / model.domain.area * dx), out)
    return out


def solve(run: Run, order: int, n: int, lateral: tuple[float, ...]) -> list[float]:
    """L2 errors after one step, with n elements a region along the cell and 3 n across each of the lateral sizes."""
    problem = Problem(MPI.COMM_SELF, run)
    base = problem.homogenised({}, {})
    ends = np.cumsum([0.0, *(periods / sum(run.cell.periods) for periods in run.cell.periods)])
    thickness = tuple(float(t) for t in np.diff(ends))
    domain: Any
    if lateral:
        sides = tuple(Side(size, 3 * n) for size in lateral)
        domain = MesoBox(MPI.COMM_SELF, thickness, n, sides, order=order, periodic=False)
    else:
        domain = MesoLine(MPI.COMM_SELF, thickness, n)
    solids = (base.points[0].particles.geometry, base.points[1].particles.geometry)
    model = Loaded(MPI.COMM_SELF, base.physics, solids, base.regions, domain)
    base.destroy()
    for column, values in enumerate(known_fields(model.coordinates.T[: 1 + len(lateral)], np)):
        model.values[:, column] = values
    model.remember(2)
    mesh = domain.mesh
    x = ufl.SpatialCoordinate(mesh)
    inside = ufl.conditional(ufl.lt(abs(x[0] - (ends[1] + ends[2]) / 2), thickness[1] / 2), 0.0, 1.0)
    model.load = known_load(model, inside)
    model.advance(TimeStep(1, DT, DT, Control("current", 0.0), euler(DT), 0))
    dx = ufl.Measure("dx", mesh, metadata={"quadrature_degree": DEGREE})
    errors = []
    for field, known in enumerate(known_fields(x, ufl)):
        square = (model.forms.u[field] - known) ** 2 * (inside if field == PHI_S else 1.0)
        errors.append(float(np.sqrt(fem.assemble_scalar(_compat.compile_form(square * dx)))))
    model.destroy()
    return errors


def meso(run: Run, comm: MPI.Intracomm) -> Outcome:
    """Studies P1 and P2 over `elements_P1`, `elements_P2` a region, across the `lateral` sizes; on a line P2 only."""
    lateral = run.case.numbers("lateral") if "lateral" in run.case.settings else ()
    studies = {}
    for order in (1, 2) if lateral else (2,):
        counts = [int(n) for n in run.case.numbers(f"elements_P{order}")]
        errors = [solve(run, order, n, lateral) for n in counts]
        studies[f"P{order}"] = orders.Study(
            f"P{order}", FIELDS, [1 / (3 * n) for n in counts], errors, order + 1
        )
    caption = "Errors in $L^2$ against one over the number of elements along the cell."
    return orders.outcome(studies, "$h$", caption)
