"""The homogenised model under small alternating currents, against the exact impedance of `transmission_line`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from dfx_homog.models.homogenised import HomogenisedModel
from dfx_homog.runfile import Run
from dfx_homog.runfile.protocol import Protocol, Time
from dfx_homog.studies.march import march
from dfx_homog.studies.progress import Log
from dfx_homog.studies.setup import Problem
from dfx_homog.verification.outcome import Outcome, Table, lines
from dfx_homog.verification.problems import slope
from dfx_homog.verification.transmission_line import PorousCell, porous_cell


def symbol(omega: float, dt: float) -> complex:
    """What BDF2 with equal steps makes of s = i omega: (3 - 4/z + 1/z^2)/(2 dt), z = exp(i omega dt)."""
    back = np.exp(-1j * omega * dt)
    return complex((3 - 4 * back + back**2) / (2 * dt))


@dataclass(frozen=True)
class Drive:
    """A current amplitude cos(omega t), which moves no charge on average: steps a period, time to forget the start."""

    omega: float
    amplitude: float
    steps: int
    settle: float

    @property
    def dt(self) -> float:
        """Time step."""
        return 2 * np.pi / (self.omega * self.steps)

    @property
    def periods(self) -> int:
        """Whole ones: those that are forgotten, and the one that is looked at."""
        return 1 + int(np.ceil(self.settle * self.omega / (2 * np.pi)))

    def of(self, run: Run) -> Run:
        """The run under this current."""
        current = f"{self.amplitude!r}*cos({self.omega!r}*t)"
        duration = self.periods * self.steps * self.dt
        return run.model_copy(
            update={
                "protocol": Protocol.model_validate({"steps": ({"current": current, "duration": duration},)}),
                "time": Time.model_validate({"scheme": "bdf2", "dt": self.dt * (1 + 1e-9)}),
            }
        )


class Bench:
    """The homogenised model of the run file, to be driven again and again."""

    def __init__(self, run: Run, comm: MPI.Intracomm):
        problem = Problem(comm, run)
        cells = problem.unit_cells()
        self.comm, self.run = comm, run
        model = problem.homogenised(cells, problem.effective_media(cells))
        assert isinstance(model, HomogenisedModel)
        self.model = model
        self.exact = porous_cell(run, model.physics)

    def impedance(self, drive: Drive) -> complex:
        """Z = -V/i at omega, from the last period."""
        with tempfile.TemporaryDirectory() as folder, Log(self.comm, Path(folder), quiet=True) as log:
            self.model.set_initial()
            rows = march(self.model, drive.of(self.run), Path(folder) / "history.csv", log, "impedance").rows
        t, V = (np.array([row[name] for row in rows[-drive.steps :]]) for name in ("time", "voltage"))
        columns = [np.ones_like(t), np.cos(drive.omega * t), np.sin(drive.omega * t)]
        fitted = np.linalg.lstsq(np.column_stack(columns), V, rcond=None)[0]
        # -V = Re(Z exp(i omega t)) times the amplitude
        return complex(-fitted[1], fitted[2]) / drive.amplitude

    def destroy(self) -> None:
        """Frees the model."""
        self.model.destroy()


@dataclass(frozen=True)
class Point:
    """One frequency: computed and exact Z, and the exact one at the s that the time scheme makes of i omega."""

    drive: Drive
    computed: complex
    exact: complex
    stepped: complex

    @property
    def error(self) -> float:
        """Relative difference from the exact Z."""
        return abs(self.computed - self.exact) / abs(self.exact)

    @property
    def error_in_space(self) -> float:
        """The same, without the error of the time scheme, which is known."""
        return abs(self.computed - self.stepped) / abs(self.stepped)


def spectrum(run: Run, comm: MPI.Intracomm) -> Outcome:
    """Z at the frequencies `omega` with `amplitude`, `steps` a period after the time `settle`.


    numbers: error, error_in_space (largest over the frequencies); at the frequency `omega_study`: order_dt over
    the numbers of steps `steps_study`, and order_amplitude over `amplitudes`, of the distance to the last and smallest
    of these; beyond_interfaces: largest share of |Z| that is not that of the interfaces
    """
    case = run.case
    (amplitude,), (steps,), (settle,), (omega_study,) = (
        case.numbers(name) for name in ("amplitude", "steps", "settle", "omega_study")
    )
    bench = Bench(run, comm)

    def point(omega: float, amplitude: float, steps: float) -> Point:
        drive = Drive(omega, amplitude, int(steps), settle)
        s = symbol(omega, drive.dt)
        return Point(
            drive, bench.impedance(drive), bench.exact.impedance(1j * omega), bench.exact.impedance(s)
        )

    points = [point(omega, amplitude, steps) for omega in case.numbers("omega")]
    by_steps = [point(omega_study, amplitude, n) for n in case.numbers("steps_study")]
    few = case.numbers("steps_study")[0]
    by_amplitude = [point(omega_study, a, few) for a in case.numbers("amplitudes")]
    bench.destroy()
    dt = [p.drive.dt for p in by_steps]
    amplitudes = [p.drive.amplitude for p in by_amplitude[:-1]]
    curved = [abs(p.computed - by_amplitude[-1].computed) / abs(p.exact) for p in by_amplitude[:-1]]
    numbers = {
        "error": max(p.error for p in points),
        "error_in_space": max(p.error_in_space for p in points),
        "order_dt": float(slope(dt, [p.error for p in by_steps])),
        "order_amplitude": float(slope(amplitudes, curved)),
        "beyond_interfaces": max(
            abs(p.exact - bench.exact.surface(1j * p.drive.omega)) / abs(p.exact) for p in points
        ),
    }
    tables = [
        _table_of_points(points),
        _table_of_study("time step", [*zip(dt, (p.error for p in by_steps), strict=True)]),
        _table_of_study("amplitude", [*zip(amplitudes, curved, strict=True)]),
    ]
    return Outcome(numbers, tables, _nyquist(bench.exact, points), _CAPTION)


_CAPTION = (
    "Nyquist plot: exact impedance of the cell (line), its interfaces alone, what the interfaces would be if the "
    "capacitive current carried no lithium (Randles), and the computed points."
)


def _table_of_points(points: Sequence[Point]) -> Table:
    rows: list[list[str | float]] = [
        [
            p.drive.omega,
            f"{p.exact.real:.6f} {p.exact.imag:+.6f} i",
            f"{p.computed.real:.6f} {p.computed.imag:+.6f} i",
            f"{p.error:.1e}",
            f"{p.error_in_space:.1e}",
        ]
        for p in points
    ]
    columns = ["$\\omega$", "exact $Z$", "computed $Z$", "difference", "without that of the time scheme"]
    return Table(columns, rows, "Relative differences at each frequency")


def _table_of_study(name: str, pairs: Sequence[tuple[float, float]]) -> Table:
    rows: list[list[str | float]] = []
    for level, (size, error) in enumerate(pairs):
        before = pairs[level - 1] if level else None
        order = f"{np.log(error / before[1]) / np.log(size / before[0]):.2f}" if before else ""
        rows.append([size, f"{error:.2e}", order])
    return Table([name, "difference", "order"], rows, f"Convergence with the {name}")


def _nyquist(exact: PorousCell, points: Sequence[Point]) -> Any:
    """Re Z against -Im Z."""
    omega = np.geomspace(points[0].drive.omega / 2, 4 * points[-1].drive.omega, 200)
    curves = {
        "exact, cell": np.array([exact.impedance(1j * w) for w in omega]),
        "exact, interfaces alone": np.array([exact.surface(1j * w) for w in omega]),
        "interfaces of Randles": np.array([exact.surface(1j * w, randles=True) for w in omega]),
    }
    series = {name: ([float(x) for x in z.real], [float(-y) for y in z.imag]) for name, z in curves.items()}
    computed = np.array([p.computed for p in points])
    fig = lines(series, "Re Z", "-Im Z")
    ax = fig.axes[0]
    ax.plot(computed.real, -computed.imag, "o", color="#000000", markersize=5, label="computed", zorder=5)
    for p in points:
        ax.annotate(
            f"{p.drive.omega:g}",
            (p.computed.real, -p.computed.imag),
            (4, 4),
            textcoords="offset points",
            fontsize=7,
        )
    ax.set_aspect("equal", adjustable="datalim")
    ax.legend()
    return fig
