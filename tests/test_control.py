"""A given voltage or power: the applied current as an unknown of Newton's system, in both models."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest
from mpi4py import MPI
from wavy import NO_DOUBLE_LAYER, build, wavy_run

from dfx_homog.errors import SolverFailure
from dfx_homog.models.history import Ledger
from dfx_homog.models.transient import TransientModel
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.timestepping import TimeStep, bdf2, euler
from dfx_homog.studies.setup import Problem

pytestmark = pytest.mark.mpi
DT = 0.02
MODELS = pytest.mark.parametrize("model", ["resolved", "homogenised"])
HOLDS = pytest.mark.parametrize(("kind", "value"), [("voltage", 0.75), ("power", 0.12)])


def steps(controls: Sequence[Control]) -> list[TimeStep]:
    """BDF2 after an Euler step."""
    return [
        TimeStep(k, k * DT, DT, control, euler(DT) if k == 1 else bdf2(DT), 0)
        for k, control in enumerate(controls, 1)
    ]


def follow(model: TransientModel, controls: Sequence[Control]) -> list[dict[str, Any]]:
    """What every step found; the first entry is the state just after switching on."""
    model.switch_on(controls[0])
    found: list[dict[str, Any]] = [{"current": model.current, "voltage": model.voltage}]
    ledger = Ledger(model.lithium(), isothermal=False)
    for step in steps(controls):
        info = model.advance(step)
        errors = ledger.errors(model.balance(), model.current)
        found.append({"current": model.current, "voltage": model.voltage, "info": info, **errors})
        model.accept()
    return found


def reference(*overrides: str, model: str = "resolved", comm: MPI.Comm = MPI.COMM_WORLD) -> Any:
    return build(wavy_run(*overrides), model, comm)


@MODELS
@HOLDS
@pytest.mark.parametrize("overrides", [(), NO_DOUBLE_LAYER], ids=["C", "C=0"])
def test_the_currents_found_give_the_same_fields(
    model: str, kind: Literal["voltage", "power"], value: float, overrides: tuple[str, ...]
) -> None:
    """The same steps under the found currents; what was asked for to 1e-12; charge as good as under a current."""
    value = 0.08 if kind == "power" and overrides else value
    held = reference(*overrides, model=model)
    found = follow(held, [Control(kind, value)] * 4)
    for state in found[0 if overrides else 1 :]:
        asked = state["voltage"] * (state["current"] if kind == "power" else 1.0)
        assert asked == pytest.approx(value, rel=0, abs=1e-12)
    assert found[0]["current"] != 0 or not overrides

    driven = reference(*overrides, model=model)
    given = follow(driven, [Control("current", state["current"]) for state in found[1:]])
    for one, other in zip(found[1:], given[1:], strict=True):
        assert one["voltage"] == pytest.approx(other["voltage"], rel=0, abs=1e-10)
        assert one["charge_error"] < 1e-11 and one["lithium_error"] < 1e-11 and one["energy_error"] < 1e-9
        assert one["info"].newton <= other["info"].newton + 1
    np.testing.assert_allclose(held.values, driven.values, rtol=0, atol=1e-10)
    held.destroy()
    driven.destroy()


@MODELS
def test_newton_stays_quadratic(model: str) -> None:
    """With an exact linear solver the residual is squared from step to step, down to rounding."""
    built = reference("solver.preset=direct", model=model)
    for kind, value in (("voltage", 0.6), ("power", 0.15)):
        built.set_initial()
        norms: list[float] = []
        built._newton.snes.setMonitor(lambda _snes, _iteration, norm, norms=norms: norms.append(norm))
        built.switch_on(Control(kind, value))
        built.advance(steps([Control(kind, value)])[0])
        assert norms[1] < 0.1 * norms[0]
        assert all(b < max(10 * a**2, 1e-12) for a, b in pairwise(norms[1:]))
        built._newton.snes.cancelMonitor()
    built.destroy()


@pytest.mark.mpi3
@MODELS
def test_the_same_on_any_number_of_ranks(model: str) -> None:
    controls = [
        Control("voltage", 0.7),
        Control("voltage", 0.7),
        Control("power", 0.1),
        Control("current", 0.1),
    ]
    results = []
    for comm in (MPI.COMM_SELF, MPI.COMM_WORLD):
        built = reference(model=model, comm=comm)
        results.append([(s["current"], s["voltage"]) for s in follow(built, controls)])
        built.destroy()
    np.testing.assert_allclose(*results, rtol=0, atol=1e-11)


def test_the_border_costs_no_krylov_iterations_at_any_size() -> None:
    """A mean of at most three more than under a given current, for 5, 10 and 20 unit cells."""
    for periods in ([2, 1, 2], [4, 2, 4], [8, 4, 8]):
        mean = {}
        for control in (Control("current", 0.2), Control("voltage", 0.7), Control("power", 0.15)):
            built = reference(f"cell.periods={periods}")
            found = follow(built, [control] * 2)
            counts = [k for state in found[1:] for k in state["info"].krylov]
            mean[control.kind] = sum(counts) / len(counts)
            assert max(state["info"].newton for state in found[1:]) <= 5
            built.destroy()
        assert max(mean["voltage"], mean["power"]) <= mean["current"] + 3, (periods, mean)


def test_options_are_those_of_the_fields_without_the_current() -> None:
    """A direct solver takes one iteration on the bordered system too; a user's preconditioner is the one bordered."""
    counts = {}
    for name, preset, user in (
        ("direct", "direct", ()),
        ("default", "iterative", ()),
        ("additive", "iterative", ("-resolved_pc_fieldsplit_type", "additive")),
    ):
        run = wavy_run(f"solver.preset={preset}")
        problem = Problem(MPI.COMM_WORLD, run, user)
        built = problem.resolved(problem.unit_cells(), run.cell.periods)
        found = follow(built, [Control("voltage", 0.7)])
        counts[name] = max(found[-1]["info"].krylov)
        assert found[-1]["voltage"] == pytest.approx(0.7, rel=0, abs=1e-12)
        built.destroy()
    assert counts["direct"] == 1 < counts["default"] < counts["additive"]


@MODELS
def test_more_power_than_the_cell_gives(model: str) -> None:
    """All ranks say so; the state before is intact, and the run can go on with less."""
    built = reference(model=model)
    follow(built, [Control("power", 0.1)])
    before, current = built.values.copy(), built.current
    step = TimeStep(2, 2 * DT, DT, Control("power", 1.0), euler(DT), 0)
    with pytest.raises(SolverFailure, match="the power 1 is beyond or near the most that the cell gives"):
        built.advance(step)
    built.restore({name: table.values for name, table in built.state().items()})
    np.testing.assert_array_equal(built.values, before)
    assert built.current == current
    built.advance(TimeStep(2, 2 * DT, DT, Control("power", 0.1), euler(DT), 0))
    assert built.current * built.voltage == pytest.approx(0.1, rel=0, abs=1e-12)
    assert built.voltage > 0.8  # of the two solutions the one of the higher voltage
    built.destroy()


@pytest.mark.parametrize("sign", [1, -1])
def test_an_electrode_that_is_nearly_full(sign: int) -> None:
    """Undamped steps leave 0 < c_s < c_max and end in NaN; kept within, they converge as they should."""
    full = "parameters.negative.c_s0=0.95" if sign < 0 else "parameters.positive.c_s0=0.95"
    run = wavy_run(*NO_DOUBLE_LAYER, full)
    held = Control("voltage", 2.0 if sign < 0 else -1.0)
    problem = Problem(MPI.COMM_WORLD, run, ("-resolved_snes_linesearch_type", "basic"))
    built = problem.resolved(problem.unit_cells(), run.cell.periods)
    built.switch_on(held)
    step = TimeStep(1, 0.05, 0.05, held, euler(0.05), 0)
    guard, built._newton._guard = built._newton._guard, None
    built._newton.snes.setLineSearchPreCheck(lambda _x, _step: False)
    with pytest.raises(SolverFailure, match="not finite any more"):
        built.advance(step)
    built.restore({name: table.values for name, table in built.state().items()})
    built._newton._guard = guard
    built._newton.snes.setLineSearchPreCheck(built._newton._shorten)
    info = built.advance(step)
    top = max(float(c.max(initial=0.0)) for c in built.saturations())
    assert 0.99 < built.comm.allreduce(top, op=MPI.MAX) < 1
    assert info.newton <= 8
    built.destroy()


def test_failure_names_the_field_and_the_place() -> None:
    """A discharge for which the particles have no room."""
    built = reference(*NO_DOUBLE_LAYER, "parameters.positive.c_s0=0.95")
    built.switch_on(Control("current", 0.2))
    with pytest.raises(
        SolverFailure, match=r"largest residual in \w+ at y = \(0\.\d+, 0\.\d+\); c_s at y = .* its bound"
    ):
        built.advance(TimeStep(1, 0.1, 0.1, Control("current", 0.2), euler(0.1), 0))
    built.destroy()


def test_the_preconditioner_is_kept() -> None:
    """Over Newton steps and time steps with the same results; not where d_t weighs differently or it does not serve."""
    control = Control("voltage", 0.7)
    found = {}
    for kept in (False, True):
        built = reference()
        preconditioner = built._newton._preconditioner
        preconditioner.kept = kept
        states = follow(built, [control] * 6)
        counts = [k for state in states[1:] for k in state["info"].krylov]
        found[kept] = (built.values.copy(), len(counts), preconditioner.setups, sum(counts) / len(counts))
        if not kept:
            built.destroy()
    np.testing.assert_allclose(found[True][0], found[False][0], rtol=0, atol=1e-11)
    assert found[True][1] == found[False][1] == found[False][2]
    assert found[True][2] <= 3
    assert found[True][3] <= found[False][3] + 2
    built.advance(TimeStep(7, 0.121, DT / 20, control, euler(DT / 20), 0))
    assert preconditioner.setups == found[True][2] + 1
    built._newton.snes.ksp.setTolerances(max_it=2)
    with pytest.raises(SolverFailure, match="the linear solver failed"):
        built.advance(TimeStep(7, 0.121, DT / 20, Control("voltage", 0.6), euler(DT / 20), 0))
    assert preconditioner.setups == found[True][2] + 2
    built.destroy()
