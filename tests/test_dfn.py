"""The DFN limit: radially symmetric spheres and given effective numbers, against VERIFICATION section 5."""

from __future__ import annotations

from pathlib import Path

import pytest
from mpi4py import MPI
from si import particles, solve

from dfx_homog.errors import BadInput
from dfx_homog.runfile import Run, load, require
from dfx_homog.studies.setup import Problem

RUNS = Path(__file__).resolve().parents[1] / "runs"
FILE, HEAT = RUNS / "dfn-lgm50.toml", RUNS / "dfn-lgm50-heat.toml"
#: V at t in s, to 1e-6, of `lgm50-1C`, and the end of its discharge to 1e-3 s.
REFERENCE = {0.0: 4.045911, 60.0: 3.968880, 600.0: 3.843999, 1800.0: 3.544490, 3000.0: 3.268637}
END = 3562.674
#: V and mean T in K at t in s with heat.
WARM = {600.0: (3.843559, 300.0485), 3000.0: (3.268077, 300.2112)}


def lgm50(*overrides: str) -> Run:
    return load(FILE, overrides)


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("tolerance", "elements", "volts", "seconds"),
    [(1e-4, 10, 2e-5, 0.05), pytest.param(1e-6, 20, 1e-6, 2e-3, marks=pytest.mark.slow)],
)
def test_voltage_of_lgm50(tolerance: float, elements: int, volts: float, seconds: float) -> None:
    """The distance to the reference falls with the tolerance, to its own digits."""
    run = lgm50(f"time.tolerance={tolerance}", f"homogenised.elements={elements}")
    result, _ = solve(run, "homogenised")
    for t, V in REFERENCE.items():
        row = min(result.rows, key=lambda r: abs(r["time"] - t))
        assert row["time"] == pytest.approx(t, abs=1e-9)
        assert row["voltage"] == pytest.approx(V, abs=volts)
    assert result.rows[-1]["time"] == pytest.approx(END, abs=seconds)
    assert result.rows[-1]["voltage"] == pytest.approx(2.5, abs=2e-6)
    checks = result.checks()
    assert checks["lithium_error"] < 1e-11
    assert checks["charge_error"] < 1e-10


@pytest.mark.mpi
def test_lgm50_with_heat() -> None:
    """The shipped run file with heat: V, mean T and what is conserved."""
    found, _ = solve(load(HEAT), "homogenised")
    for t, (V, T) in WARM.items():
        row = min(found.rows, key=lambda r: abs(r["time"] - t))
        assert row["time"] == pytest.approx(t, abs=1e-9)
        assert row["voltage"] == pytest.approx(V, abs=2e-5)
        assert row["T_mean"] == pytest.approx(T, abs=5e-4)
    checks = found.checks()
    assert checks["lithium_error"] < 1e-11
    assert checks["charge_error"] < 1e-10
    assert checks["energy_error"] < 1e-10


def test_jump_to_a_voltage() -> None:
    """Newton's steps need no parts where the residual of one equation grows before it falls."""
    run = particles()
    cold = run.parameters.model_copy(update={"isothermal": True})
    found, _ = solve(run.model_copy(update={"parameters": cold}), "homogenised")
    assert found.rejected == 0
    assert max(row["newton"] for row in found.rows) < 8


def test_groups_of_the_run_file() -> None:
    """Values computed beside this project, with L = 172.8 um, 1 mol/l, 1 V and 1C."""
    twin = Problem(MPI.COMM_WORLD, lgm50()).scaled({}).twin
    assert twin is not None
    assert twin.scales.t0 == pytest.approx(342.46, abs=5e-3)
    p, m = twin.run.parameters, twin.run.microstructure
    for found, value in (
        (p.lambda_, 38.92174449622701),  # type: ignore[union-attr]
        (p.D_L, 1.3700307485823888),
        (p.D_A, 3.9115064457555393),
        (p.negative.D_s, 0.32909719365033907),
        (p.positive.D_s, 0.050271802408082156),
        (p.negative.G, 0.07144172709718119),  # type: ignore[union-attr]
        (p.positive.G, 0.5841551669832215),  # type: ignore[union-attr]
        (m["negative"].S, 25556.134114100416),  # type: ignore[union-attr]
        (m["positive"].surface, 1.995),  # type: ignore[union-attr]
    ):
        assert found == pytest.approx(value, rel=1e-12)


def test_radius_is_a_length() -> None:
    """With the same surface and D_s/radius^2 any radius gives the same voltages."""
    short = ["protocol.steps=[{current=48.685492, duration=600.0}]", "time.adaptive=false", "time.dt=30.0"]
    base = lgm50(*short, "output.times=[300.0]")
    spec, e = base.microstructure["negative"], base.parameters.negative
    assert isinstance(e.D_s, float)
    a = spec.surface  # type: ignore[union-attr]
    # twice the radius and half of the surface per volume: as much solid, half of the area for the same current
    changed = lgm50(
        *short,
        "output.times=[300.0]",
        "microstructure.negative.radius=11.72e-6",
        f"microstructure.negative.a={a / 2!r}",
        f"parameters.negative.D_s={4 * e.D_s!r}",
        f"parameters.negative.K={2 * e.K!r}",  # type: ignore[union-attr]
    )
    found = [[row["voltage"] for row in solve(run, "homogenised")[0].rows] for run in (base, changed)]
    assert found[0] == pytest.approx(found[1], abs=1e-11)


@pytest.mark.parametrize("command", ["cell", "resolved", "convergence"])
def test_other_commands_need_a_unit_cell(command: str) -> None:
    with pytest.raises(BadInput, match='"particle" has no unit cell'):
        require(lgm50("convergence.periods=[[852,120,756],[1704,240,1512]]"), command)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (
            "microstructure.separator={geometry='particle', phi_e=0.5, S=1.0, B=0.5, K=1.0, theta=1.0}",
            "effective",
        ),
        ("microstructure.negative={geometry='effective', phi_e=0.5, B=0.5, K=1.0, theta=1.0}", "needs solid"),
        ("parameters.negative.D_s=[[1e-14, 0.0], [0.0, 2e-14]]", "radially symmetric"),
    ],
)
def test_refused(override: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        require(lgm50(override), "homogenised")
