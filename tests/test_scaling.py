"""The scales of a run: what they are made of, and what does not depend on the choice."""

from __future__ import annotations

import pytest

from dfx_homog.parameters.expression import Expression
from dfx_homog.parameters.scaling import FARADAY, GAS_CONSTANT, Scales
from dfx_homog.parameters.units import DIMENSIONLESS, SYMBOLS, Units

A = Scales(L=1e-4, c0=1000.0, Phi0=1.0, i0=30.0, T0=298.15, rho_cp0=2e6)
B = Scales(L=1e-4, c0=150.0, Phi0=0.025, i0=700.0, T0=298.15, rho_cp0=5e5)
LENGTHS = {"negative": 1e-5, "positive": 5e-6}


@pytest.mark.parametrize("s", [A, B])
def test_scales_fit_together(s: Scales) -> None:
    """Terms of one equation have one scale: conservation of lithium, Ohm's law, heat conduction, Joule's heat."""
    assert s.c0 / s.t0 == pytest.approx(s.i0 / (FARADAY * s.L))
    assert s.electrolyte_diffusivity * s.c0 / s.L**2 == pytest.approx(s.c0 / s.t0)
    assert s.electronic * s.Phi0 / s.L == pytest.approx(s.i0)
    assert s.thermal * s.DeltaT / s.L**2 == pytest.approx(s.heat_source)
    assert s.heat_exchange * s.DeltaT == pytest.approx(s.heat_source * s.L)
    # the factor lambda stands before i . grad Phi
    assert s.lam * s.heat_source == pytest.approx(s.i0 * s.Phi0 / s.L)
    assert s.gamma * s.T0 == pytest.approx(s.DeltaT)


@pytest.mark.parametrize("kind", [kind for kind in SYMBOLS if kind != "number"])
def test_what_comes_back(kind: str) -> None:
    """A dimensional quantity scaled by A and by B is the same again."""
    quantity = 290.0 if kind == "temperature" else 3.7e-3
    for scales in (A, B):
        units = Units(scales, LENGTHS)
        zero = scales.T0 if kind == "temperature" else 0.0
        assert units.value(kind, (quantity - zero) / units.factor(kind)) == pytest.approx(quantity)
    assert DIMENSIONLESS.value(kind, quantity) == quantity
    assert (DIMENSIONLESS.symbol(kind), Units(A, LENGTHS).symbol(kind)) == ("", SYMBOLS[kind])


def test_reaction() -> None:
    """Current through the interface: G g in i0 l/L is F K c0 g; the double layer does not know K; the film's drop."""
    K, length, C_dl, g = 2e-9, 1e-5, 0.2, 0.3
    reaction = Units(A, LENGTHS).factor("reaction_n")
    assert A.exchange_current(K, length) * g * reaction == pytest.approx(FARADAY * K * A.c0 * g)
    both = [A.exchange_current(k, length) * A.capacitance(C_dl, k) for k in (K, 7 * K)]
    assert both == pytest.approx([C_dl * A.Phi0 / (FARADAY * A.c0 * length)] * 2)
    # a rate of change of 1 V/s: C_dl in A/m2
    assert both[0] * reaction / A.Phi0 * A.t0 == pytest.approx(C_dl)
    assert A.film(1e-3, length) * A.Phi0 == pytest.approx(1e-3 * reaction)


def test_temperature() -> None:
    """Kelvin and rise; Arrhenius' law; the open-circuit potential at another temperature."""
    T, E = 320.0, 3e4
    for s in (A, B):
        rise = s.rise(T)
        assert s.kelvin(rise) == pytest.approx(T)
        assert 1 + s.gamma * rise == pytest.approx(T / s.T0)
        arrhenius = s.activation(E) * s.gamma * rise / (1 + s.gamma * rise)
        assert arrhenius == pytest.approx(E / GAS_CONSTANT * (1 / s.T0 - 1 / T))
        U = s.open_circuit_potential(Expression.parse("0.2*c + 1e-4*T"), Expression.parse("2e-4*c"))
        expected = 0.1 + 1e-4 * T + (T - s.T0) * 1e-4
        assert s.Phi0 * float(U.numpy(c=0.5, T=rise)) == pytest.approx(expected)
