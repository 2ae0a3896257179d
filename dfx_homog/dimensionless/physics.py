"""Everything the models need to know about the materials and the conditions, dimensionless, in one object."""

from __future__ import annotations

from dataclasses import dataclass

from dfx_homog.parameters.expression import Expression, constant, variable
from dfx_homog.runfile import models as runfile

Tensor = tuple[tuple[float, ...], ...]
INSULATED = constant(0.0)


@dataclass(frozen=True)
class Electrode:
    """One electrode; scales in MODEL section 2. Expressions are in c = c_s/c_max and T.

    D_s: diffusivity in unit-cell lengths, a formula or a constant (d, d) tensor; G: exchange current; C: capacitance
    (the flux carries G C with this G at any temperature); ocp: U; Pi: Peltier potential; E_D, E_G, E_sigma: Arrhenius
    energies E/(R T0) of D_s, G and sigma_s; film_resistance: R_f, in Phi0 L/(i0 l).
    """

    D_s: Expression | Tensor
    G: float
    C: float
    beta: float
    c_max: float
    c_s0: float
    ocp: Expression
    Pi: Expression
    E_D: float = 0.0
    E_G: float = 0.0
    E_sigma: float = 0.0
    film_resistance: float = 0.0

    @property
    def constant_diffusivity(self) -> bool:
        """Whether D_s depends neither on c nor on T."""
        D_s = self.D_s
        known = isinstance(D_s, tuple) or not (D_s.depends_on("c") or D_s.depends_on("T"))
        return known and self.E_D == 0.0


@dataclass(frozen=True)
class Physics:
    """Electrolyte, heat, initial and ambient state, and the electrodes.

    mu_L, mu_A: mobilities, constant; None: Einstein, D(T)/(1 + gamma T). lam is lambda of MODEL section 2.
    h_negative, h_positive, h_lateral: heat exchange at y1 = 0, at y1 = 1 and on the lateral faces of the homogenised
    model in more than one dimension, in t and y1, y2, y3. E_D_L, E_D_A: Arrhenius energies E/(R T0).
    lithium_electrode: eta is measured against a lithium electrode at c_e0, see `physics.kinetics`.
    """

    D_L: float
    D_A: float
    mu_L: float | None
    mu_A: float | None
    lam: float
    gamma: float
    h_negative: Expression
    h_positive: Expression
    T_ambient: float
    T_initial: float
    isothermal: bool
    c_e0: float
    E_D_L: float
    E_D_A: float
    negative: Electrode
    positive: Electrode
    lithium_electrode: bool = False
    h_lateral: Expression = INSULATED

    @property
    def has_film(self) -> bool:
        """Whether an electrode's particles carry a film."""
        return self.negative.film_resistance > 0.0 or self.positive.film_resistance > 0.0


def physics_from_run(run: runfile.Run) -> Physics:
    """The Physics of a run without units that has [parameters]; its checks were made when it was loaded."""
    p, activation = run.parameters, run.parameters.activation
    assert isinstance(p, runfile.Parameters), "the twin of a run in SI goes here"
    return Physics(
        D_L=p.D_L,
        D_A=p.D_A,
        mu_L=p.mu_L,
        mu_A=p.mu_A,
        lam=p.lambda_,
        gamma=p.gamma,
        h_negative=Expression.of_time_and_place(p.h if p.h_negative is None else p.h_negative),
        h_positive=Expression.of_time_and_place(p.h if p.h_positive is None else p.h_positive),
        h_lateral=Expression.of_time_and_place(p.h_lateral),
        T_ambient=p.T_ambient,
        T_initial=p.T_initial,
        isothermal=p.isothermal,
        c_e0=p.c_e0,
        E_D_L=activation.D_L,
        E_D_A=activation.D_A,
        negative=_electrode(p.negative, p.gamma, activation.D_s_n, activation.G_n, activation.sigma_n),
        positive=_electrode(p.positive, p.gamma, activation.D_s_p, activation.G_p, activation.sigma_p),
        lithium_electrode=p.overpotential == "lithium-electrode",
    )


def _electrode(e: runfile.Electrode, gamma: float, E_D: float, E_G: float, E_sigma: float) -> Electrode:
    ocp = Expression.parse(e.ocp)
    Pi = peltier_potential(ocp, gamma) if e.Pi == "auto" else Expression.parse(e.Pi)
    D_s = e.D_s if isinstance(e.D_s, tuple) else Expression.parse(e.D_s)
    return Electrode(D_s, e.G, e.C, e.beta, e.c_max, e.c_s0, ocp, Pi, E_D, E_G, E_sigma, e.film_resistance)


def peltier_potential(ocp: Expression, gamma: float) -> Expression:
    """Pi = absolute temperature times dU/dT = ((1 + gamma T)/gamma) dU/dT, 0 where U does not depend on T.

    MODEL section 8 (corrects [H] 4f, 1d). For U that depends on T, gamma must be > 0, as the run file checks.
    """
    slope = ocp.diff("T")
    if slope == constant(0.0):
        return slope
    return (1.0 + gamma * variable("T")) / gamma * slope
