"""Runs in SI: their dimensionless twins, results that do not depend on the scales, and keys that do not mix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI
from si import BOX, LENGTH, SIZES, largest_difference, parameters, particles, solve, solve_scaled, unit_cells

from dfx_homog.dimensionless.twin import in_scales, largest_current
from dfx_homog.errors import BadInput
from dfx_homog.models.in_units import COLUMN_KINDS
from dfx_homog.parameters.expression import Expression
from dfx_homog.parameters.scaling import FARADAY, GAS_CONSTANT, Scales
from dfx_homog.parameters.units import DIMENSIONLESS, SYMBOLS
from dfx_homog.runfile import Run, load, require
from dfx_homog.studies.setup import Problem

T0, C0 = 298.15, 1000.0  # of the runs in si.py


def scaled(run: Run) -> Problem:
    problem = Problem(MPI.COMM_WORLD, run)
    return problem.scaled(problem.unit_cells())


def test_groups_by_hand() -> None:
    """The twin's numbers are those of MODEL section 2, written out."""
    problem = scaled(particles())
    p, m = problem.run.parameters, problem.run.microstructure
    L, l_n = 160e-6, 6e-6
    rho_cp = (80 * 2.2e6 + 20 * 1.5e6 + 60 * 2.8e6) / 160
    peak = max(abs(20 * (1 + 0.2 * np.sin(np.linspace(0, 16, 1001) / 10))))
    t0 = FARADAY * C0 * L / peak
    DeltaT = GAS_CONSTANT * T0 * C0 / rho_cp
    assert problem.twin is not None
    assert problem.twin.scales == Scales(L, C0, 1.0, pytest.approx(peak), T0, pytest.approx(rho_cp))  # type: ignore[arg-type]
    expected = {
        p.D_L: 1.2e-10 * t0 / L**2,
        p.lambda_: FARADAY / (GAS_CONSTANT * T0),
        p.gamma: DeltaT / T0,
        p.T_ambient: -5.0 / DeltaT,
        p.T_initial: 0.0,
        p.negative.D_s: 2e-14 * t0 / l_n**2,
        p.negative.G: FARADAY * 2e-9 * C0 * L / (peak * l_n),
        p.negative.G * p.negative.C: 0.2 / (FARADAY * C0 * l_n),
        p.negative.film_resistance: 1e-3 * peak * l_n / L,
        p.negative.c_max: 30.0,
        p.activation.G_n: 3e4 / (GAS_CONSTANT * T0),
        m["negative"].S: 100.0 / (peak * L),
        m["negative"].K: 1.2 * t0 / (rho_cp * L**2),
        m["positive"].theta: 2.8e6 / rho_cp,
        m["negative"].radius: 1.0,
        problem.run.time.dt: 4.0 / t0,
        problem.run.output.times[0]: 10.0 / t0,
        problem.run.protocol.T_max: (400.0 - T0) / DeltaT,
    }
    for found, value in expected.items():
        assert found == pytest.approx(value, rel=1e-13)
    c, T = 0.6, 310.0
    rise = (T - T0) / DeltaT
    U = 0.25 - 0.3 * (c - 0.5) + 1e-5 * (T - T0) - (T - T0) * 1e-4 * (1 + c)
    assert Expression.parse(p.negative.ocp).numpy(c=c, T=rise) == pytest.approx(U, rel=1e-13)
    h = Expression.of_time_and_place(p.h).numpy(t=30.0 / t0)
    assert h == pytest.approx(10 * (1 + 0.5 * np.sin(0.6)) * t0 / (rho_cp * L), rel=1e-13)
    current = Expression.of_time_and_place(problem.run.protocol.steps[0].current).numpy(t=12.0 / t0)
    assert current == pytest.approx(20 * (1 + 0.2 * np.sin(1.2)) / peak, rel=1e-13)


def test_lengths_of_unit_cells() -> None:
    """Periods times the common length; heat capacities by the shares of the phases."""
    problem = scaled(unit_cells())
    assert problem.twin is not None
    cells = Problem(MPI.COMM_WORLD, unit_cells()).unit_cells()
    shares = [cells[name].phase_fraction(1) for name in ("negative", "positive")]
    assert pytest.approx(5 * LENGTH) == problem.twin.scales.L
    assert problem.twin.lengths == {"negative": LENGTH, "positive": LENGTH}
    mean = 2e6 + sum(0.4 * 1e6 * share for share in shares)
    assert problem.twin.scales.rho_cp0 == pytest.approx(mean, rel=1e-12)


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("run", "model"),
    [
        (particles(), "homogenised"),
        (particles(SIZES, f"parameters={parameters(False, varying=True)}"), "homogenised"),
        (unit_cells(), "homogenised"),
        (particles(*BOX), "homogenised"),
        (unit_cells("homogenised.wall_law=true"), "homogenised"),
        (unit_cells(varying=True), "resolved"),
    ],
    ids=["particle", "sizes", "unit cells", "box", "wall laws", "resolved"],
)
def test_run_and_twin_agree(run: Run, model: str, tmp_path: Path) -> None:
    """The twin's run file, run by itself, gives the same history in other units: to 1e-12."""
    comm = MPI.COMM_WORLD
    found, units = solve(run, model)
    problem = scaled(run)
    path = comm.bcast(tmp_path, root=0) / "twin.toml"
    if comm.rank == 0:
        path.write_text(problem.run.to_toml(), encoding="utf-8")
    comm.barrier()
    alone = Problem(comm, load(path))
    plain = solve_scaled(alone, alone.unit_cells(), model)
    s, lengths = units.scales, units.lengths
    assert s is not None
    heat = s.i0 * GAS_CONSTANT * s.T0 / FARADAY
    for si, row in zip(found.rows, plain.rows, strict=True):
        for column, value in {
            "time": s.t0 * row["time"],
            "current": s.i0 * row["current"],
            "voltage": row["voltage"],
            "T_max": s.T0 + s.DeltaT * row["T_max"],
            "c_e_min": 1000.0 * row["c_e_min"],
            "soc_n": row["soc_n"],
            "rate_max_n": s.i0 * lengths["negative"] / s.L * row["rate_max_n"],
            "rate_min_p": s.i0 * lengths["positive"] / s.L * row["rate_min_p"],
            "eta_std_p": row["eta_std_p"],
            "plating_min": row["plating_min"],
            "plating_y1": s.L * row["plating_y1"],
            "heat_joule_e_s": heat * row["heat_joule_e_s"],
            "heat_film_p": heat * row["heat_film_p"],
            "double_layer_n": heat * row["double_layer_n"],
        }.items():
            assert si[column] == pytest.approx(value, rel=1e-12, abs=1e-12, nan_ok=True), column
    # that something happened
    assert found.rows[-1]["voltage"] == pytest.approx(3.7, abs=1e-9)
    assert found.rows[-1]["time"] == pytest.approx(40.0, rel=1e-12)
    assert found.rows[-1]["T_mean"] < 298.0
    assert found.checks()["energy_error"] < 1e-8


@pytest.mark.parametrize(("model", "volts"), [("homogenised", 1e-9), ("resolved", 1e-8)])
def test_scales_do_not_matter(model: str, volts: float) -> None:
    """Every column in SI is the same for other c0, Phi0, i0 and rho0 cp0."""
    run = unit_cells()
    problem = Problem(MPI.COMM_WORLD, run)
    cells = problem.unit_cells()
    own = problem.scaled(cells)
    assert own.twin is not None
    scales = replace(own.twin.scales, c0=350.0, Phi0=0.3, i0=7.0, rho_cp0=9e5)
    other = in_scales(run, scales)
    found = [
        solve_scaled(replace(problem, run=twin.run, twin=twin), cells, model) for twin in (own.twin, other)
    ]
    differences = largest_difference(found[0].rows, found[1].rows)
    assert differences["voltage"] < volts
    worst = {name: value for name, value in differences.items() if value > 1e4 * volts}
    assert not worst


def test_every_column_has_a_kind() -> None:
    for model in ("homogenised", "resolved"):
        found, _ = solve(unit_cells("time.dt=20.0"), model)
        assert all(COLUMN_KINDS[name] in SYMBOLS for name in found.rows[0])


@pytest.mark.parametrize(
    ("steps", "largest"),
    [
        ("{current=-3.0, duration=1.0}, {current=2.0, duration=1.0}", 3.0),
        ("{voltage=3.0, duration=1.0}, {power=2.0, duration=1.0}", 1.0),
        ("{current=0.0, duration=1.0}", 1.0),
        ("{current=0.5, duration=1.0}, {current='t', duration=9.0}", 10.0),
    ],
)
def test_scale_of_the_current(steps: str, largest: float) -> None:
    protocol = particles(f"protocol.steps=[{steps}]", "output.times=[0.5]").protocol
    assert largest_current(protocol) == pytest.approx(largest, rel=1e-12)


def test_drive_cycle_in_si(tmp_path: Path) -> None:
    """Rows of a file are in s and A/m2, and their largest current is the scale."""
    (tmp_path / "cycle.csv").write_text("time,current\n0,0\n10,-40\n20,10\n", encoding="utf-8")
    step = f"{{current_file='{tmp_path / 'cycle.csv'}'}}"
    problem = scaled(particles(f"protocol.steps=[{step}]"))
    assert problem.twin is not None and problem.twin.scales.i0 == 40.0
    t0, cycle = problem.twin.scales.t0, problem.run.protocol.steps[0].applied
    assert cycle.current(15.0 / t0) == pytest.approx(-15.0 / 40.0)  # type: ignore[union-attr]
    assert problem.run.protocol.longest == pytest.approx(20.0 / t0)


def test_conditions_in_si() -> None:
    """Until, limits and power are scaled with what they limit; messages are in SI."""
    step = "{power=40.0, duration=7.0, until=['V<3.5', 'I>30']}"
    problem = scaled(particles(f"protocol.steps=[{step}, {{current=5.0, duration=4.0}}]"))
    first = problem.run.protocol.steps[0]
    assert first.power == pytest.approx(8.0)
    assert [c.value for c in first.conditions] == pytest.approx([3.5, 6.0])
    assert DIMENSIONLESS.text("current", 6.0) == "6"
    assert problem.units.text("current", 6.0) == "30 A/m²"
    assert problem.units.text("temperature", 0.0) == "298.15 K"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("parameters.lambda=2.0", "parameters.lambda: not with units"),
        ("parameters.gamma=0.1", "parameters.gamma: not with units"),
        ("parameters.negative.G=1.0", "parameters.negative.G: not with units"),
        ("parameters.positive.C=1.0", "parameters.positive.C: not with units"),
        ("parameters.T0=0.0", "parameters.T0: 0.0 is out of range"),
        ("parameters.T_initial=-3.0", "parameters.T_initial"),
        ("parameters.negative.dUdT='T'", "parameters.negative.dUdT: depends on T"),
        ("parameters.negative.D_s='1e-14*(c - 0.5)'", "parameters.negative.D_s: is -"),
        ("parameters.negative.c_s0=3.1e4", "parameters.negative.c_s0"),
        ("parameters.negative.c_0=1.0", "parameters.negative.c_0: unknown key; did you mean c_s0"),
        ("parameters.negative.unit_cell_length=0.0", "parameters.negative.unit_cell_length"),
        (
            "parameters.units='imperial'",
            "parameters.units: 'imperial' is not known (allowed: \"dimensionless\" or",
        ),
        ("parameters.units='dimensionless'", "parameters.T0: needs units"),
        ("cell.thickness=[1e-5, 1e-5]", "cell.thickness"),
        ("protocol.T_max=298.0", "protocol.T_max: 298 is not above T_initial"),
    ],
)
def test_refused(override: str, says: str) -> None:
    with pytest.raises(BadInput) as refusal:
        particles(override)
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    ("run", "overrides", "command", "says"),
    [
        (
            particles,
            ["parameters.negative.unit_cell_length=1e-5"],
            "homogenised",
            "negative.unit_cell_length: not",
        ),
        (particles, ["cell={periods=[2,1,2]}"], "homogenised", "cell.periods: give no length in SI"),
        (
            unit_cells,
            ["cell={thickness=[4e-5,2e-5,4e-5]}"],
            "resolved",
            "cell.thickness: resolved is made of",
        ),
        (
            unit_cells,
            ["cell={thickness=[4e-5,2e-5,4e-5]}"],
            "convergence",
            "cell.thickness: convergence is made",
        ),
        (
            unit_cells,
            ["parameters.positive.unit_cell_length=1e-5"],
            "resolved",
            "cell.periods: give no length",
        ),
    ],
)
def test_lengths_are_required(run: Callable[..., Run], overrides: list[str], command: str, says: str) -> None:
    with pytest.raises(BadInput) as refusal:
        require(run(*overrides), command)
    assert says in str(refusal.value)


def test_missing_lengths() -> None:
    """A radius of 1 by default is no radius in SI; unit cells that are meshed need theirs."""
    spec = "{geometry='particle', phi_e=0.4, B=0.25, S=1.0, K=1.2, theta=1e6}"
    with pytest.raises(BadInput, match=r"microstructure.negative.radius: required with units"):
        require(particles(f"microstructure.negative={spec}"), "homogenised")
    electrode = "{D_s=1e-14, K=1e-9, c_max=3e4, c_s0=2e4, ocp=1.0}"
    with pytest.raises(BadInput, match=r"parameters.negative.unit_cell_length: required by resolved in SI"):
        require(unit_cells(f"parameters.negative={electrode}"), "resolved")


def test_unlike_unit_cells() -> None:
    """With thicknesses each electrode has its own unit cell, and its own scales."""
    run = unit_cells("cell={thickness=[4e-5,2e-5,4e-5]}", "parameters.positive.unit_cell_length=5e-6")
    require(run, "homogenised")
    twin, same = scaled(run), scaled(unit_cells())
    assert twin.twin is not None
    assert pytest.approx(1e-4) == twin.twin.scales.L
    p, q = twin.run.parameters.positive, same.run.parameters.positive
    assert pytest.approx(4 * q.G) == p.G and p.D_s == pytest.approx(16 * q.D_s)
    assert pytest.approx(4 * q.G * q.C) == p.G * p.C
    assert pytest.approx(same.run.parameters.negative.G) == twin.run.parameters.negative.G


def test_thickness_without_units() -> None:
    plain = ["parameters.mu_L=1.0"]
    quickstart = Path(__file__).resolve().parents[1] / "runs" / "quickstart.toml"
    run = load(quickstart, [*plain, "cell={thickness=[0.4,0.2,0.4]}"])
    assert run.cell.widths == (0.4, 0.2, 0.4)
    with pytest.raises(BadInput, match=r"cell.thickness: sum to 1.1"):
        load(quickstart, ["cell={thickness=[0.4,0.3,0.4]}"])
    with pytest.raises(BadInput, match=r"cell.periods: .*neither"):
        load(quickstart, ["cell={lateral_periods=[1]}"])


def test_events_under_small_currents() -> None:
    """A small current makes the unit of time 1e8 s; the end of the voltage step is found all the same."""
    steps = "{current=1e-5, duration=1.0}, {voltage=3.7, duration=100.0, until='I<48'}"
    found, units = solve(
        particles(f"protocol.steps=[{steps}]", "output.times=[0.5]", "time.dt=1.0"), "homogenised"
    )
    assert units.scales is not None and units.scales.t0 > 1e8
    last, before = found.rows[-1], found.rows[-2]
    slope = (before["current"] - last["current"]) / (last["time"] - before["time"])
    assert last["time"] < 90.0
    assert 48.0 - 0.02 * slope < last["current"] < 48.0
