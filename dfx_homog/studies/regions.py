"""What of the regions' unit cells takes part in the models: checks before anything is solved, and the report of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfx_homog.microstructure.components import connected_components
from dfx_homog.microstructure.connectivity import Connected, connect, transporting
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.runfile import ELECTRODES, REGIONS, Run
from dfx_homog.voxels.mesh import areas

Flags = NDArray[np.bool_]
Json = dict[str, Any]
SHOWN = 1e-10  # a smaller share is rounding


def active_cells(run: Run, cells: dict[str, UnitCell]) -> dict[str, Flags]:
    """Per region with a unit cell, (m,) cells of the parts that carry current along direction 1; all solid of the
    separator is inert anyway and counts as such."""
    periodic = run.cell.lateral == "periodic"
    found = {name: transporting(cells[name], periodic) for name in REGIONS if name in cells}
    if "separator" in cells:
        found["separator"] |= cells["separator"].phase == SOLID
    return found


def check_paths(
    run: Run,
    cells: dict[str, UnitCell],
    levels: Iterable[tuple[int, int, int]] = (),
    lateral: tuple[int, ...] = (),
) -> None:
    """Both phases of an electrode and the pores of the separator must carry current through it.

    levels: periods of the resolved domains that are to be solved too, with `lateral` unit cells across.
    Raises BadInput.
    """
    active = active_cells(run, cells)
    for name in active:
        phases = {SOLID: "solid"} if name in ELECTRODES else {}
        for phase, word in (phases | {ELECTROLYTE: "electrolyte"}).items():
            if not active[name][cells[name].phase == phase].any():
                raise run.problem(
                    f"microstructure.{name}.geometry",
                    f"its {word} does not percolate in direction 1 (S_11 or B_11 is zero): no current can pass",
                )
    periodic = tuple(range(1, len(lateral) + 1)) if run.cell.lateral == "periodic" else ()
    for periods in levels:
        connected = connect(tuple(cells[name] for name in REGIONS), periods, lateral, periodic)
        for name, (solid, electrolyte) in zip(REGIONS, connected.usable, strict=True):
            if not electrolyte or (name in ELECTRODES and not solid):
                word = "solid" if electrolyte else "electrolyte"
                raise run.problem(
                    f"microstructure.{name}.geometry",
                    f"no {word} leads through it in a domain of {list(periods)} unit cells, {list(lateral)} across: "
                    "no current can pass (allowed: more cell.lateral_periods, or another geometry)",
                )


def geometry(run: Run, cells: dict[str, UnitCell], connected: Connected | None = None) -> Json:
    """Per region: volumes and surfaces of the unit cell that take part, and shares that do not.

    phi_e, phi_e_total, a, a_total: transporting and all electrolyte and surface, per unit cell; islands: share of each
    phase's volume that is left out; of images a_faceted (= a), a_corrected and area_error = a_faceted/a_corrected - 1.
    connected: of a resolved domain; its left_out are the shares there, ends included.
    """
    active, out = active_cells(run, cells), {}
    for index, name in enumerate(REGIONS):
        if name not in cells:
            continue
        cell = cells[name]
        entry = _unit_cell(cell, active[name])
        if run.microstructure[name].is_voxels and name in ELECTRODES:
            faceted, corrected = areas(cell, active[name])
            entry |= {"a_faceted": faceted, "a_corrected": corrected, "area_error": faceted / corrected - 1.0}
        if connected is not None:
            entry["left_out"] = left_out(connected, index)
        out[name] = entry
    return out


def _unit_cell(cell: UnitCell, active: Flags) -> Json:
    volume, facets = cell.cell_measures, cell.interface_facets()
    phases = {"solid": cell.phase == SOLID, "electrolyte": cell.phase == ELECTROLYTE}
    whole = {name: float(volume[here].sum()) for name, here in phases.items()}
    kept = {name: float(volume[here & active].sum()) for name, here in phases.items()}
    return {
        "phi_e": kept["electrolyte"],
        "phi_e_total": whole["electrolyte"],
        "a": cell.interface_measure(active[facets.solid] & active[facets.electrolyte]),
        "a_total": cell.interface_measure(),
        "islands": {n: _share(1.0 - kept[n] / whole[n]) if whole[n] > 0.0 else 0.0 for n in phases},
        "parts": len(connected_components(cell)),
    }


def left_out(connected: Connected, region: int) -> dict[str, float]:
    """Shares of solid, electrolyte and surface of a region of a resolved domain that take no part; of the separator,
    whose solid never does, of the electrolyte only."""
    found = {k: _share(v) for k, v in connected.left_out(region).items()}
    return found if REGIONS[region] in ELECTRODES else {"electrolyte": found["electrolyte"]}


def _share(value: float) -> float:
    return value if value > SHOWN else 0.0


def lines(found: Json) -> list[str]:
    """What is to be said of `geometry`: what is left out, and how wrong the area of voxels is."""
    said = []
    for name, entry in found.items():
        shares = entry.get("left_out") or entry["islands"]
        if any(shares.values()):
            words = ", ".join(f"{100 * share:.3g} % of the {what}" for what, share in shares.items() if share)
            where = "of the domain" if "left_out" in entry else "of the unit cell"
            said.append(f"{name}: detached, carries heat only, {where}: {words}")
        if "a_corrected" in entry:
            said.append(
                f"{name}: a = {entry['a_faceted']:.5g} by the voxels' faces, {entry['a_corrected']:.5g} corrected "
                f"(Crofton): {100 * entry['area_error']:+.3g} %"
            )
    return said


def heat_capacities(run: Run, cells: dict[str, UnitCell]) -> dict[str, float]:
    """theta = <rho cp> of each region: of both phases of its unit cell, or as given."""

    def one(name: str) -> float:
        spec: Any = run.microstructure[name]
        if spec.is_given:
            return float(spec.theta)
        shares = {phase: cells[name].phase_fraction(phase) for phase in (SOLID, ELECTROLYTE)}
        return sum(
            share * float(value)
            for share, value in ((shares[SOLID], spec.rho_cp_s), (shares[ELECTROLYTE], spec.rho_cp_e))
            if share > 0.0
        )

    return {name: one(name) for name in REGIONS}


def area_factors(run: Run, cells: dict[str, UnitCell]) -> dict[str, float]:
    """Per electrode the factor on G, and so on G C: corrected over faceted area where correct_area asks for it."""
    out = dict.fromkeys(ELECTRODES, 1.0)
    for name in ELECTRODES:
        if getattr(run.microstructure[name], "correct_area", False):
            faceted, corrected = areas(cells[name], active_cells(run, cells)[name])
            out[name] = corrected / faceted
    return out
