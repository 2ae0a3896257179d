"""The DFN limit: radially symmetric spheres and given effective numbers, against VERIFICATION section 5."""

from __future__ import annotations

from pathlib import Path

import pytest
from mpi4py import MPI
from wavy import build, follow

from dfx_homog.errors import BadInput
from dfx_homog.parameters.scaling import Scales
from dfx_homog.runfile import Run, load, require
from dfx_homog.studies.march import march
from dfx_homog.studies.progress import Log

FILE = Path(__file__).resolve().parents[1] / "runs" / "dfn-lgm50.toml"
#: Of the run file: 85.2, 12 and 75.6 um, 1 mol/l, 1 V, 1C.
SCALES = Scales(L=172.8e-6, c0=1000.0, Phi0=1.0, i0=48.685492, T0=298.15, rho_cp0=1e6)
#: V at t in s, to 1e-6, of `lgm50-1C`, and the end of its discharge to 1e-3 s.
REFERENCE = {0.0: 4.045911, 60.0: 3.968880, 600.0: 3.843999, 1800.0: 3.544490, 3000.0: 3.268637}
END = 3562.674


def lgm50(*overrides: str) -> Run:
    return load(FILE, overrides)


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("tolerance", "elements", "volts", "seconds"),
    [(1e-4, 10, 2e-5, 0.05), pytest.param(1e-6, 20, 1e-6, 2e-3, marks=pytest.mark.slow)],
)
def test_voltage_of_lgm50(
    tolerance: float, elements: int, volts: float, seconds: float, tmp_path: Path
) -> None:
    """The distance to the reference falls with the tolerance, to its own digits."""
    run = lgm50(f"time.tolerance={tolerance}", f"homogenised.elements={elements}")
    model = build(run, "homogenised", MPI.COMM_WORLD)
    folder = MPI.COMM_WORLD.bcast(tmp_path, root=0)
    with Log(MPI.COMM_WORLD, folder, quiet=True) as log:
        times = run.output.times
        result = march(model, run, folder / "history.csv", log, "test", outputs=times or ())
    model.destroy()
    for t, V in REFERENCE.items():
        row = min(result.rows, key=lambda r: abs(r["time"] * SCALES.t0 - t))
        assert row["time"] * SCALES.t0 == pytest.approx(t, abs=1e-9)
        assert row["voltage"] == pytest.approx(V, abs=volts)
    assert result.rows[-1]["time"] * SCALES.t0 == pytest.approx(END, abs=seconds)
    assert result.rows[-1]["voltage"] == pytest.approx(2.5, abs=2e-6)
    checks = result.checks()
    assert checks["lithium_error"] < 1e-11
    assert checks["charge_error"] < 1e-10


def test_groups_of_the_run_file() -> None:
    """The run file's numbers are those of Chen et al. 2020 in SI, scaled."""
    p = lgm50().parameters
    assert p.lambda_ == pytest.approx(SCALES.lam, rel=1e-12)
    assert p.D_L * SCALES.electrolyte_diffusivity == pytest.approx(1.194571969e-10, rel=1e-12)
    assert p.D_A * SCALES.electrolyte_diffusivity == pytest.approx(3.410562837e-10, rel=1e-12)
    for e, radius, D_s, K in (
        (p.negative, 5.86e-6, 3.3e-14, 1.222486551e-9),
        (p.positive, 5.22e-6, 4e-15, 8.904166133e-9),
    ):
        assert isinstance(e.D_s, float)
        assert e.D_s * SCALES.solid_diffusivity(radius) == pytest.approx(D_s, rel=1e-12)
        assert pytest.approx(SCALES.exchange_current(K, radius), rel=1e-12) == e.G


def test_radius_is_a_length() -> None:
    """D_s/radius^2 and a are all that it changes: twice the radius, four times D_s, half of G, and the same voltages.

    G is per surface; with half of the surface a per volume it must double.
    """
    short = [
        f"protocol.steps=[{{current=1.0, duration={600 / SCALES.t0!r}}}]",
        "time.adaptive=false",
        "time.dt=0.1",
        "output.times=[1.0]",
    ]
    base = lgm50(*short)
    spec, e = base.microstructure["negative"], base.parameters.negative
    assert isinstance(e.D_s, float)
    a = spec.surface  # type: ignore[union-attr]
    changed = lgm50(
        *short,
        "microstructure.negative.radius=2.0",
        f"microstructure.negative.a={a / 2!r}",
        f"parameters.negative.D_s={4 * e.D_s!r}",
        f"parameters.negative.G={2 * e.G!r}",
    )
    found = []
    for run in (base, changed):
        model = build(run, "homogenised", MPI.COMM_SELF)
        found.append([row["voltage"] for row in follow(model, run).rows])
        model.destroy()
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
        ("parameters.negative.D_s=[[1.0, 0.0], [0.0, 2.0]]", "radially symmetric"),
    ],
)
def test_refused(override: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        require(lgm50(override), "homogenised")
