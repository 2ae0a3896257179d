"""Exact impedance of a homogenised cell whose particles are slabs with planar interfaces.

MODEL section 5 linearised at equilibrium (g = 0, uniform temperature) for disturbances proportional to exp(s t), with
V = -Z(s) i_app. At a planar interface, D = Phi_s - Phi_e, and j = G g + G C d_t D leaves a slab of half thickness l:

    kinetics    j = (D - U' c_s)/R + s G C D,   R = (1 + gamma T)/(lambda G g_0) + R_f
    diffusion   c_s = -W j at the surface,      W = coth(k l)/(D_s k), k = sqrt(s/D_s)
    D = z j,    z(s) = (R - U' W)/(1 + s R G C)

g_0 is the exchange rate c_s^b (1 - c_s/c_max)^(1-b) c_e^(1-b). In Randles' circuit W is left by the faradaic part of
the current alone, z = 1/(s G C + 1/(R - U' W)); here the capacitive current carries lithium as well (MODEL section 7).

Across the cell, with a = 2 interfaces a unit cell and the total current 1 = i_s + i_e, each electrode is a linear
system of differential equations with constant coefficients (a transmission line) for x = (Phi_s, Phi_e, c_e, i_s, N_e),

    S Phi_s' = -i_s,   B [[D_L, lambda mu_L c_e0], [D_L - D_A, lambda (mu_L + mu_A) c_e0]] (c_e', Phi_e') = -(N_e, i_e),
    i_s' = -a D/z,     N_e' = a D/z - s phi_e c_e,

whose solution is a matrix exponential; the separator has no i_s. Exact, but for rounding, for every s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from dfx_homog.dimensionless.physics import Electrode, Physics
from dfx_homog.runfile import ELECTRODES, REGIONS, Run
from dfx_homog.runfile.plane import Laminate

#: Change of c at which U' is taken by a central difference.
NUDGE = 1e-5
#: Planar interfaces of a slab, per unit cell.
FACES = 2
PHI_S, PHI_E, C_E, I_S, N_E = range(5)
Complexes = NDArray[np.complex128]


@dataclass(frozen=True)
class Interface:
    """One planar interface: R, G C, U' and the slab behind it."""

    resistance: float
    capacitance: float
    slope: float
    half: float
    diffusivity: float

    def diffusion(self, s: complex) -> complex:
        """-U' W, the finite-length Warburg impedance of a slab with a closed end."""
        k = np.sqrt(complex(s) / self.diffusivity)
        return complex(-self.slope / (np.tanh(k * self.half) * self.diffusivity * k))

    def impedance(self, s: complex, *, randles: bool = False) -> complex:
        """z(s); randles: that of a capacitive current that carries no lithium."""
        faradaic = self.resistance + self.diffusion(s)
        if randles:
            return 1 / (s * self.capacitance + 1 / faradaic)
        return faradaic / (1 + s * self.resistance * self.capacitance)


@dataclass(frozen=True)
class Line:
    """One region: thickness, S (0 in the separator), B, phi_e, and what is behind its surface."""

    length: float
    S: float
    B: float
    phi_e: float
    interface: Interface | None


@dataclass(frozen=True)
class PorousCell:
    """The three regions and the electrolyte."""

    lines: tuple[Line, Line, Line]
    D_L: float
    D_A: float
    mu_L: float
    mu_A: float
    lam: float
    c_e0: float

    def _system(self, line: Line, s: complex) -> tuple[Complexes, Complexes]:
        """A and b of x' = A x + b, for unit total current."""
        A, b = np.zeros((5, 5), dtype=complex), np.zeros(5, dtype=complex)
        drift = self.lam * self.c_e0
        mobility = line.B * np.array(
            [[self.D_L, drift * self.mu_L], [self.D_L - self.D_A, drift * (self.mu_L + self.mu_A)]]
        )
        inverse = np.linalg.inv(mobility)
        # (c_e', Phi_e') = -inverse (N_e, 1 - i_s)
        for row, of in ((C_E, 0), (PHI_E, 1)):
            A[row, N_E], A[row, I_S], b[row] = -inverse[of, 0], inverse[of, 1], -inverse[of, 1]
        A[N_E, C_E] = -s * line.phi_e
        if line.interface is not None:
            A[PHI_S, I_S] = -1 / line.S
            y = FACES / line.interface.impedance(s)
            for column, sign in ((PHI_S, 1), (PHI_E, -1)):
                A[I_S, column], A[N_E, column] = -sign * y, sign * y
        return A, b

    def _through(self, line: Line, s: complex) -> tuple[Complexes, Complexes]:
        """P and p with x(end) = P x(begin) + p."""
        A, b = self._system(line, s)
        whole = np.zeros((6, 6), dtype=complex)
        whole[:5, :5], whole[:5, 5] = A, b
        flow = expm(whole * line.length)
        return flow[:5, :5], flow[:5, 5]

    def impedance(self, s: complex) -> complex:
        """Z(s): 15 unknowns, the values where the regions begin, and 15 conditions."""
        flows = [self._through(line, s) for line in self.lines]
        rows: list[tuple[Complexes, complex]] = []

        def condition(entries: Sequence[tuple[int, str, int, float]], value: float) -> None:
            """Sum of factor times x[component] at the begin or end of a region equals the value."""
            row, right = np.zeros(15, dtype=complex), complex(value)
            for region, where, component, factor in entries:
                part = slice(5 * region, 5 * region + 5)
                P, p = flows[region]
                row[part] += factor * (np.eye(5)[component] if where == "begin" else P[component])
                right -= factor * (0.0 if where == "begin" else p[component])
            rows.append((row, right))

        condition([(0, "begin", PHI_S, 1)], 0)
        condition([(1, "begin", PHI_S, 1)], 0)  # there is none: any value
        for region, where, value in (
            (0, "begin", 1),
            (0, "end", 0),
            (1, "begin", 0),
            (2, "begin", 0),
            (2, "end", 1),
        ):
            condition([(region, where, I_S, 1)], value)
        for region in (0, 1):
            for component in (PHI_E, C_E, N_E):
                condition([(region, "end", component, 1), (region + 1, "begin", component, -1)], 0)
        for region, where in ((0, "begin"), (2, "end")):
            condition([(region, where, N_E, 1)], 0)
        x = np.linalg.solve(np.array([r for r, _ in rows]), np.array([v for _, v in rows]))
        P, p = flows[2]
        return complex(-(P[PHI_S] @ x[10:] + p[PHI_S]))

    def surface(self, s: complex, *, randles: bool = False) -> complex:
        """Of the interfaces alone: Z where transport through the cell costs nothing."""
        sides = [line for line in self.lines if line.interface is not None]
        return sum(
            (
                line.interface.impedance(s, randles=randles) / (FACES * line.length)
                for line in sides
                if line.interface
            ),
            0j,
        )


def interface_of(physics: Physics, electrode: Electrode, thickness: float) -> Interface:
    """The interface of an electrode at rest; thickness of the slab in unit-cell lengths."""
    T, hot = physics.T_initial, 1 + physics.gamma * physics.T_initial
    c, c_max, beta = electrode.c_s0, electrode.c_max, electrode.beta
    g_0 = c**beta * ((1 - c / c_max) * physics.c_e0) ** (1 - beta)
    up, down = (float(electrode.ocp.numpy(c=(c + e) / c_max, T=T)) for e in (NUDGE, -NUDGE))
    assert not isinstance(electrode.D_s, tuple)
    return Interface(
        hot / (electrode.G * g_0 * physics.lam) + electrode.film_resistance,
        electrode.G * electrode.C,
        (up - down) / (2 * NUDGE),
        thickness / 2,
        float(electrode.D_s.numpy(c=c / c_max, T=T)),
    )


def porous_cell(run: Run, physics: Physics) -> PorousCell:
    """The cell of a run file whose electrodes are layers along direction 1 and whose separator is electrolyte."""
    hot = 1 + physics.gamma * physics.T_initial
    mobilities = ((physics.D_L, physics.mu_L), (physics.D_A, physics.mu_A))
    mu_L, mu_A = (D / hot if mu is None else mu for D, mu in mobilities)
    lines = []
    for name, periods in zip(REGIONS, run.cell.periods, strict=True):
        length, spec = periods / sum(run.cell.periods), run.microstructure[name]
        if name not in ELECTRODES:
            lines.append(Line(length, 0.0, 1.0, 1.0, None))
            continue
        assert isinstance(spec, Laminate) and tuple(spec.normal) == (0, 1)
        f, sigma = spec.solid_fraction, spec.sigma_s
        assert isinstance(sigma, float)
        electrode = physics.negative if name == "negative" else physics.positive
        lines.append(Line(length, sigma * f, 1 - f, 1 - f, interface_of(physics, electrode, f)))
    n, sep, p = lines
    return PorousCell((n, sep, p), physics.D_L, physics.D_A, mu_L, mu_A, physics.lam, physics.c_e0)
