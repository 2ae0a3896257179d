"""Where the volts go: the loss of voltage split by mechanism, exactly and at any time, at rest too.

With <.>_k the mean over Gamma of electrode k (by area), c_k its mean concentration, s_p = 1, s_n = -1 and
psi = Phi_e + alpha ln(c_e/c_e0), alpha = (D_L - D_A)/(lambda (mu_L + mu_A)), whose gradient is the ohmic one,

    V = sum_k s_k U_k(c_k, T_initial) - losses,
    temperature   sum_k s_k [U_k(c_k, T_initial) - U_k(c_k, <T>_k)]
    uneven        sum_k s_k [U_k(c_k, <T>_k) - <U_k(c, T)>_k],  c, T: means over the unit cell or layer of cells
    particle      sum_k s_k [<U_k(c, T)>_k - <U_k(c_s, T)>_k],  c_s: on the surface
    reaction      -sum_k s_k <eta>_k
    film          -sum_k s_k <R_f G g>_k
    electronic    (<Phi_s>_p - Phi_s at the positive tab) + (Phi_s at the negative tab - <Phi_s>_n)
    walls         with wall laws: -[psi] at the separator faces, -[Phi_s] at the collectors, not in the others then
    electrolyte   ohmic: <psi>_n - <psi>_p;  diffusion: <a ln(c_e/c_e0)>_p - <a ln(c_e/c_e0)>_n, a = alpha

Every line is computed from its own fields; they add up because Phi_s - Phi_e = U + eta + R_f G g at every point of
Gamma, which the models solve. Any other weight of Gamma would do; this one needs no current. With overpotentials
against a lithium electrode a = alpha - (1 + gamma T)/lambda takes up what they leave out. Dimensionless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dfx_homog.models.history import Row

if TYPE_CHECKING:  # the report needs the names alone, without what the models import
    from dfx_homog._compat import FloatArray
    from dfx_homog.dimensionless.physics import Electrode, Physics

ELECTRODES = ("n", "p")
OPEN_CIRCUIT = "open_circuit"
BY_ELECTRODE = ("temperature", "uneven", "particle", "reaction", "film", "electronic")
IN_ELECTROLYTE = ("electrolyte_ohmic", "electrolyte_diffusion")
WALLS = "walls"
#: Kind of each column, as parameters/units.py has them.
KINDS = {
    OPEN_CIRCUIT: "voltage",
    **{f"loss_{name}_{e}": "voltage" for name in BY_ELECTRODE for e in ELECTRODES},
    **{f"loss_{name}": "voltage" for name in (*IN_ELECTROLYTE, WALLS)},
}
IN_WORDS = {
    "temperature": "temperature",
    "uneven": "unevenness between particles",
    "particle": "diffusion in the particles",
    "reaction": "reaction",
    "film": "film on the particles",
    "electronic": "electronic conduction",
    "electrolyte_ohmic": "ohmic loss of the electrolyte",
    "electrolyte_diffusion": "concentration in the electrolyte",
    WALLS: "wall laws",
}
LATE = 0.1  # share of a run that is its end
FEW = 4  # rows of a run that is too short for it
AREA, SOLID, OHMIC, DIFFUSION, HOT, ETA, FILM, SURFACE = range(8)
SUMS = 8


def columns(physics: Physics, *, walls: bool = False) -> tuple[str, ...]:
    """Names of the columns of the history: the open-circuit voltage and the losses, each in units of V.

    walls: whether the model has wall laws
    """
    return (
        OPEN_CIRCUIT,
        *(
            f"loss_{name}_{e}"
            for name in BY_ELECTRODE
            if name != "film" or physics.has_film
            for e in ELECTRODES
        ),
        *(f"loss_{name}" for name in IN_ELECTROLYTE),
        *((f"loss_{WALLS}",) if walls else ()),
    )


@dataclass(frozen=True)
class Surface:
    """Gamma of one electrode on this rank: parts of its area (n, q), and fields, (n, q) or (n, 1).

    solid, pores: potentials; U: equilibrium potential on the surface; rate: G g; eta: overpotential
    """

    weights: FloatArray
    solid: FloatArray
    pores: FloatArray
    c_e: FloatArray
    T: FloatArray
    U: FloatArray
    rate: FloatArray
    eta: FloatArray


@dataclass(frozen=True)
class Walls:
    """Losses by wall laws: -[Phi_s] at the negative and the positive collector, -[psi] at the separator faces."""

    negative: float
    positive: float
    electrolyte: float


def diffusion_factor(physics: Physics, T: FloatArray) -> FloatArray:
    """alpha = (D_L - D_A)/(lambda (mu_L + mu_A)) at temperature T: i_e = -kappa grad(Phi_e + alpha ln c_e)."""
    p, absolute = physics, 1 + physics.gamma * T
    D_L, D_A = (
        D * np.exp(E * p.gamma * T / absolute) if E else np.full_like(T, D)
        for D, E in ((p.D_L, p.E_D_L), (p.D_A, p.E_D_A))
    )
    mu_L = D_L / absolute if p.mu_L is None else p.mu_L
    mu_A = D_A / absolute if p.mu_A is None else p.mu_A
    return np.asarray((D_L - D_A) / (p.lam * (mu_L + mu_A)))


def surface_sums(physics: Physics, electrode: Electrode, at: Surface) -> FloatArray:
    """(SUMS,) integrals over this rank's Gamma of what the losses of an electrode are made of."""
    alpha, dilution = diffusion_factor(physics, at.T), np.log(at.c_e / physics.c_e0)
    psi = at.pores + alpha * dilution
    if physics.lithium_electrode:
        alpha = alpha - (1 + physics.gamma * at.T) / physics.lam
    area = at.weights.sum(axis=1)
    film = electrode.film_resistance * np.vdot(at.weights, at.rate)

    def integral(field: FloatArray) -> float:
        return float(np.vdot(at.weights, field) if field.shape == at.weights.shape else area @ field[:, 0])

    before, after = (
        [integral(f) for f in fs] for fs in ((at.solid, psi, alpha * dilution, at.T, at.eta), (at.U,))
    )
    return np.array([area.sum(), *before, film, *after])


def row(
    physics: Physics,
    sums: FloatArray,
    cells: Sequence[float],
    saturation: Sequence[float],
    voltage: float,
    walls: Walls | None = None,
) -> Row:
    """Columns of the losses.

    sums: (2, SUMS) of the negative and the positive electrode, all ranks; cells: their integrals of U at the means
    over the unit cells; saturation: their mean c_s/c_max; voltage: V, Phi_s at the positive tab, 0 at the negative
    """
    at_walls = walls or Walls(0.0, 0.0, 0.0)
    tabs = (-at_walls.negative, voltage + at_walls.positive)
    means = sums[:, 1:] / sums[:, :1]
    out: Row = {OPEN_CIRCUIT: 0.0}
    for k, (e, electrode) in enumerate(zip(ELECTRODES, (physics.negative, physics.positive), strict=True)):
        sign = (-1.0, 1.0)[k]
        mean = dict(zip(range(1, SUMS), means[k].tolist(), strict=True))
        start, warm = map(float, electrode.ocp.numpy(c=saturation[k], T=[physics.T_initial, mean[HOT]]))
        local = cells[k] / sums[k, AREA]
        out[OPEN_CIRCUIT] += sign * start
        parts = {
            "temperature": start - warm,
            "uneven": warm - local,
            "particle": local - mean[SURFACE],
            "reaction": -mean[ETA],
            **({"film": -mean[FILM]} if physics.has_film else {}),
            "electronic": mean[SOLID] - tabs[k],
        }
        out |= {f"loss_{name}_{e}": sign * part + 0.0 for name, part in parts.items()}
    ohmic = float(means[0, OHMIC - 1] - means[1, OHMIC - 1])
    out["loss_electrolyte_ohmic"] = ohmic - at_walls.electrolyte
    out["loss_electrolyte_diffusion"] = float(means[1, DIFFUSION - 1] - means[0, DIFFUSION - 1])
    out[f"loss_{WALLS}"] = at_walls.negative + at_walls.positive + at_walls.electrolyte
    return {name: out[name] for name in columns(physics, walls=walls is not None)}


def part_name(column: str) -> str:
    """In words: what a column without `loss_` stands for, with its electrode."""
    if column == OPEN_CIRCUIT:
        return "the open-circuit voltage"
    mechanism, _, electrode = column.rpartition("_")
    if mechanism not in BY_ELECTRODE:
        return IN_WORDS[column]
    return f"{IN_WORDS[mechanism]}, {dict(n='negative', p='positive')[electrode]} electrode"


def largest(row: Mapping[str, float]) -> str | None:
    """Name of the largest loss of the sum's sign: in discharge it is what costs most, in charge what adds most."""
    lost = _losses(row)
    total = sum(lost.values())
    return max(lost, key=lambda name: lost[name] * total) if total else None


def limiting(rows: Sequence[Mapping[str, float]]) -> tuple[str, float] | None:
    """What moved V most in the last tenth of a run, the open-circuit voltage or a loss, and its share of the change.

    None for a run too short to tell, and where V stands still.
    """
    late = rows[-1]["time"] - LATE * (rows[-1]["time"] - rows[0]["time"])
    before, after = max((r for r in rows if r["time"] <= late), key=lambda r: r["time"]), rows[-1]
    change = after["voltage"] - before["voltage"]
    if len(rows) < FEW or change == 0.0:
        return None
    moved = {OPEN_CIRCUIT: after[OPEN_CIRCUIT] - before[OPEN_CIRCUIT]}
    moved |= {name: _losses(before)[name] - value for name, value in _losses(after).items()}
    name = max(moved, key=lambda name: moved[name] * change)
    return name, moved[name] / change


def _losses(row: Mapping[str, float]) -> dict[str, float]:
    return {name.removeprefix("loss_"): value for name, value in row.items() if name.startswith("loss_")}


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Block "losses" of result.json: each loss at the end, their sum, the largest, and what limited the run."""
    lost, found = _losses(rows[-1]), limiting(rows)
    return {
        "losses": {
            OPEN_CIRCUIT: rows[-1][OPEN_CIRCUIT],
            **lost,
            "total": sum(lost.values()),
            "largest": largest(rows[-1]),
            "limiting": found[0] if found else None,
            "limiting_percent": 100 * found[1] if found else None,
        }
    }


def describe(rows: Sequence[Row], volts: str = "") -> str:
    """One line for the log: the largest loss at the end, and what moved V last. volts: symbol of the unit."""
    lost, name = _losses(rows[-1]), largest(rows[-1])
    if name is None:
        return "no loss of voltage"
    total = sum(lost.values())
    first, second = (f"{value:.5g} {volts}".rstrip() for value in (total, lost[name]))
    text = f"loss of voltage {first}, of it {second} by {part_name(name)}"
    found = limiting(rows)
    if found is None:
        return text
    return f"{text}; in the last tenth of the run V moved with {part_name(found[0])} ({100 * found[1]:.0f} %)"
