"""Order in time: 1 for backward Euler, 2 for BDF2, of the resolved and of the homogenised model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import ufl
from helpers import laminate, slope, step, unit_cell, wavy_cells, wavy_materials, wavy_physics
from manufactured import ElectrodeLaws, Laws, Manufactured, tensor
from mpi4py import MPI

from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID
from dfx_homog.models.effective import effective_medium
from dfx_homog.models.fields import quadrature_degrees
from dfx_homog.models.homogenised import HomogenisedModel
from dfx_homog.models.meso import coefficients
from dfx_homog.models.meso_domain import MesoLine
from dfx_homog.models.particle_geometry import particle_geometry
from dfx_homog.models.resolved import ResolvedModel
from dfx_homog.models.transient import TransientModel
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.timestepping import Quotient, bdf2, euler

ORDER = {"euler": 1, "bdf2": 2}


def quotient(scheme: str, dt: float, index: int) -> Quotient:
    """Of the index-th step, from 1; BDF2 starts with one Euler step."""
    return bdf2(dt) if scheme == "bdf2" and index > 1 else euler(dt)


def test_quotients_are_exact_for_polynomials() -> None:
    """Euler for degree 1, BDF2 for degree 2 and no further."""

    def applied(q: Quotient, degree: int, t: float, dt: float) -> float:
        return q.a0 * t**degree + q.a1 * (t - dt) ** degree + q.a2 * (t - 2 * dt) ** degree

    t, dt = 0.7, 0.1
    for scheme, q in ((1, euler(dt)), (2, bdf2(dt))):
        for degree in range(scheme + 1):
            assert applied(q, degree, t, dt) == pytest.approx(degree * t ** (degree - 1), abs=1e-12)
        assert abs(applied(q, scheme + 1, t, dt) - (scheme + 1) * t**scheme) > 1e-3


# resolved model, manufactured -------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("C", [0.05, 0.0], ids=["double layer", "no double layer"])
@pytest.mark.parametrize("scheme", ["euler", "bdf2"])
def test_resolved_model_manufactured(scheme: str, C: float) -> None:
    """s(t) = sin 2t to t = 1; linear fields on straight quadratic cells are exact in space."""
    breaks = (0.4,)
    electrode, separator = (
        unit_cell(laminate((0, 1), 0.4), 0.4, 2),
        unit_cell({"geometry": "electrolyte"}, 0.4, 2, breaks),
    )
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
    case = Manufactured(model, laws(C), linear_base, linear_growth, quadrature_degrees(2))
    counts, errors = (8, 16, 32), []
    for count in counts:
        dt = 1 / count
        case.start(0.0, 0.0)
        for index in range(1, count + 1):
            t = index * dt
            control = Control("current", 0.2, time=t)
            info = case.solve(math.sin(2 * t), 2 * math.cos(2 * t), quotient(scheme, dt, index), control)
            assert info.newton <= 6
            model.accept()
        errors.append(case.errors())
    case.destroy()
    fitted = slope([1 / c for c in counts], errors)
    assert np.all(np.abs(fitted - ORDER[scheme]) < 0.2), (fitted, errors)


# both models, by comparing step sizes -------------------------------------------------------------------------------


def outcome(model: TransientModel, scheme: str, count: int) -> np.ndarray:
    """Voltage, temperature and states of charge at t = 0.4 under a current that starts smoothly from zero."""
    model.set_initial()  # type: ignore[attr-defined]
    dt = 0.4 / count
    for index in range(1, count + 1):
        current = 0.4 * math.sin(2 * index * dt) ** 4
        model.advance(step(index, dt, current, quotient(scheme, dt, index)))
        model.accept()
    row = model.observe()
    return np.array([row[name] for name in ("voltage", "T_mean", "T_max", "c_e_min", "c_e_max", "soc_n")])


def self_convergence(model: TransientModel, scheme: str) -> tuple[np.ndarray, np.ndarray]:
    """Fitted order of the differences between consecutive step sizes, and these."""
    counts = (8, 16, 32, 64)
    values = np.array([outcome(model, scheme, count) for count in counts])
    differences = np.abs(np.diff(values, axis=0))
    return slope([1 / c for c in counts[:-1]], differences), differences


def homogenised_model(h: float, elements: int) -> HomogenisedModel:
    cells = wavy_cells(h)
    materials = wavy_materials()
    media = [effective_medium(MPI.COMM_WORLD, c, m) for c, m in zip(cells, materials, strict=True)]
    regions = tuple(coefficients(medium, separator=i == 1) for i, medium in enumerate(media))
    negative, positive = (particle_geometry(cell, *quadrature_degrees(1)) for cell in (cells[0], cells[2]))
    line = MesoLine(MPI.COMM_WORLD, (0.4, 0.2, 0.4), elements)
    return HomogenisedModel(MPI.COMM_WORLD, wavy_physics(), (negative, positive), regions, line)


@pytest.mark.parametrize("scheme", ["euler", pytest.param("bdf2", marks=pytest.mark.mpi)])
def test_homogenised_model(scheme: str) -> None:
    model = homogenised_model(0.2, 3)
    fitted, differences = self_convergence(model, scheme)
    model.destroy()
    assert np.all(np.abs(fitted - ORDER[scheme]) < 0.25), (fitted, differences)


@pytest.mark.parametrize("scheme", ["euler", "bdf2"])
def test_resolved_model(scheme: str) -> None:
    model = ResolvedModel(
        MPI.COMM_WORLD,
        wavy_physics(),
        wavy_cells(0.3),
        wavy_materials(),
        (1, 1, 1),
        (1,),
        lateral_periodic=False,
        preset="direct",
    )
    fitted, differences = self_convergence(model, scheme)
    model.destroy()
    assert np.all(np.abs(fitted - ORDER[scheme]) < 0.25), (fitted, differences)
