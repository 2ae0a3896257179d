"""What a battery cell of computed microstructures is in the terms of the DFN model.

The solid of any shape becomes spheres of the same volume and surface: their radius is 3 (1 - phi_e)/a. Transport is
that in direction 1, through the cell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from scipy.optimize import brentq

from dfx_homog.parameters.expression import Expression, constant
from dfx_homog.parameters.scaling import FARADAY
from dfx_homog.parameters.sets.electrolyte import Electrolyte, dilute
from dfx_homog.runfile.given import Given, Particle
from dfx_homog.runfile.lengths import cell_length
from dfx_homog.runfile.models import ELECTRODES, REGIONS, Run
from dfx_homog.runfile.parameters_si import ElectrodeSI, ParametersSI

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Porous:
    """A region: thickness (m), porosity, transport efficiency B, heat conductivity K (W/(m K)), theta (J/(m3 K))."""

    thickness: float
    phi_e: float
    B: float
    K: float | None
    theta: float | None
    computed: bool


@dataclass(frozen=True)
class PorousElectrode(Porous):
    """An electrode, in SI: conductivity S, surface per volume a, radius of spheres; curves in c, at T0.

    rate: F K c_s^beta (1 - c_s/c_max)^(1 - beta) c_e^(1 - beta) is the exchange current
    """

    S: float
    a: float
    radius: float
    D_s: Expression
    ocp: Expression
    dUdT: Expression
    rate: float
    C_dl: float
    beta: float
    c_max: float
    c_s0: float
    E_D: float
    E_G: float

    @property
    def active(self) -> float:
        """Share of the volume that takes up lithium."""
        return self.a * self.radius / 3.0


@dataclass(frozen=True)
class CellValues:
    """A whole cell, in SI. capacity: nominal, A h/m2, or 0 where none is known; origin: where values are from."""

    negative: PorousElectrode
    separator: Porous
    positive: PorousElectrode
    electrolyte: Electrolyte
    E_D_L: float
    T_initial: float
    T_ambient: float
    v_min: float
    v_max: float
    area: float
    capacity: float
    lithium_electrode: bool
    origin: str

    @property
    def regions(self) -> tuple[Porous, Porous, Porous]:
        """From the negative to the positive collector."""
        return self.negative, self.separator, self.positive

    @property
    def windows(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """(least, most) stoichiometry of both electrodes in equilibrium between v_min and v_max, lithium conserved.

        Where the voltage does not come to a limit before an electrode is empty or full, that is the end; a state beyond
        a limit from which the run starts is one too.
        """
        n, p = self.negative, self.positive
        stored = [e.active * e.thickness * e.c_max for e in (n, p)]
        x, y = n.c_s0 / n.c_max, p.c_s0 / p.c_max

        def moved(q: float) -> tuple[float, float]:
            return x - q / stored[0], y + q / stored[1]

        def excess(q: float, limit: float) -> float:
            a, b = moved(q)
            return float(p.ocp.numpy(c=b) - n.ocp.numpy(c=a)) - limit

        tiny = 1e-6
        most = min((x - tiny) * stored[0], (1 - tiny - y) * stored[1])
        least = -min((1 - tiny - x) * stored[0], (y - tiny) * stored[1])
        empty = most if excess(most, self.v_min) > 0 else brentq(excess, least, most, args=(self.v_min,))
        full = least if excess(least, self.v_max) < 0 else brentq(excess, least, most, args=(self.v_max,))
        (low_n, high_p), (high_n, low_p) = moved(max(empty, 0.0)), moved(min(full, 0.0))
        return (low_n, high_n), (low_p, high_p)

    @property
    def implied_capacity(self) -> float:
        """Charge between the voltage limits in equilibrium, A h/m2."""
        (low, high), e = self.windows[0], self.negative
        return FARADAY * (high - low) * e.active * e.thickness * e.c_max / 3600.0


def cell_values(run: Run, entries: Json) -> CellValues:
    """The cell of a run in SI with the tensors that `cell` found (entries of result.json by region).

    Raises ValueError that says what is missing.
    """
    if run.parameters is None or not run.in_si:
        raise ValueError('needs [parameters] with units = "SI", a set or a BPX file')
    if run.cell is None or set(run.microstructure) != set(REGIONS):
        raise ValueError(f"needs [cell] and the microstructures {', '.join(REGIONS)}")
    p, given = cast(ParametersSI, run.parameters), run.given
    _refuse(run)
    total = cell_length(run)
    shares = np.array(run.cell.widths) / sum(run.cell.widths)
    thickness = dict(zip(REGIONS, (float(total * s) for s in shares), strict=True))
    sides = {name: _electrode(run, name, thickness[name], entries) for name in ELECTRODES}
    v_min, v_max = (_limit(run, key) for key in ("v_min", "v_max"))
    same = given is not None and (given.electrolyte.D_L, given.electrolyte.D_A) == (p.D_L, p.D_A)
    return CellValues(
        negative=sides["negative"],
        separator=Porous(thickness["separator"], **_porous(run, "separator", entries)),
        positive=sides["positive"],
        electrolyte=given.electrolyte if same and given is not None else dilute(p.D_L, p.D_A, p.c_e0, p.T0),
        E_D_L=p.activation.D_L,
        T_initial=p.T_initial,
        T_ambient=p.T_ambient,
        v_min=v_min,
        v_max=v_max,
        area=1.0 if given is None else given.area,
        capacity=0.0 if given is None else given.capacity,
        lithium_electrode=p.overpotential == "lithium-electrode",
        origin=p.origin or Path(run.source).name,
    )


def _limit(run: Run, key: str) -> float:
    """v_min or v_max of the cell: of the set or BPX file, or else what ends the run."""
    own, theirs = getattr(run.protocol, key, None), getattr(run.given, key, None)
    found = own if theirs is None else theirs
    if found is None:
        raise ValueError(f"needs {key} in [protocol]")
    return float(found)


def _refuse(run: Run) -> None:
    """Raises ValueError for what the DFN model of other programs does not have."""
    p = run.parameters
    if p.mu_L is not None or p.mu_A is not None:
        raise ValueError("fixed mobilities mu_L, mu_A have no counterpart")
    if p.activation.D_L != p.activation.D_A:
        raise ValueError("one activation energy is needed for both D_L and D_A")
    for name in ELECTRODES:
        if getattr(p, name).film_resistance:
            raise ValueError(f"parameters.{name}.film_resistance has no counterpart")


def _porous(run: Run, name: str, entries: Json) -> dict[str, Any]:
    """phi_e, B, K, theta of a region, computed or given."""
    spec = run.microstructure[name]
    if isinstance(spec, Given):
        values = {key: _first(getattr(spec, key)) for key in ("B", "K")}
        return {"phi_e": spec.phi_e, **values, "theta": spec.theta, "computed": False}
    entry = entries[name]
    B = _first(entry["B"])
    if not B:
        raise ValueError(f"the electrolyte of {name} does not percolate in direction 1")
    return {
        "phi_e": entry["phi_e"],
        "B": B,
        "K": _first(entry["K"]),
        "theta": entry["theta"],
        "computed": True,
    }


def _first(tensor: Any) -> float | None:
    """The entry 11 of a tensor, or the number that stands for it; None where it is not known."""
    if isinstance(tensor, list | tuple):
        return _first(tensor[0][0])
    return None if tensor is None else float(tensor)


def _electrode(run: Run, name: str, thickness: float, entries: Json) -> PorousElectrode:
    p, spec = cast(ParametersSI, run.parameters), run.microstructure[name]
    e: ElectrodeSI = getattr(p, name)
    if isinstance(e.D_s, tuple):
        raise ValueError(f"parameters.{name}.D_s is a tensor")
    if isinstance(spec, Particle):
        if len(spec.radii) > 1:
            raise ValueError(f"microstructure.{name} has particles of several sizes")
        S, a, radius = _first(spec.S), sum(spec.surfaces), spec.radii[0]
    else:
        entry, length = entries[name], e.unit_cell_length
        if length is None:
            raise ValueError(f"needs parameters.{name}.unit_cell_length")
        S = _first(entry.get("S"))
        a = entry["a"] / length
        solid = (1.0 - entry["phi_e_total"]) * (1.0 - entry["islands"]["solid"])
        radius = 3.0 * solid / a
    if not S:
        raise ValueError(f"needs microstructure.{name}.sigma_s, and solid that percolates in direction 1")
    ocp, at_T0 = Expression.parse(e.ocp), constant(p.T0)
    letter = name[0]
    return PorousElectrode(
        thickness,
        **_porous(run, name, entries),
        S=S,
        a=a,
        radius=radius,
        D_s=Expression.parse(e.D_s).substitute("T", at_T0),
        ocp=ocp.substitute("T", at_T0),
        dUdT=Expression.parse(e.dUdT) + ocp.diff("T").substitute("T", at_T0),
        rate=e.K,
        C_dl=e.C_dl,
        beta=e.beta,
        c_max=e.c_max,
        c_s0=e.c_s0,
        E_D=getattr(p.activation, f"D_s_{letter}"),
        E_G=getattr(p.activation, f"G_{letter}"),
    )


def bruggeman(efficiency: float, porosity: float) -> float:
    """b such that porosity^b is the transport efficiency; of a medium without solid it is free, and 1."""
    return math.log(efficiency) / math.log(porosity) if porosity < 1.0 else 1.0
