"""Lengths of a run: of the battery cell, and in SI of the electrodes' unit cells."""

from __future__ import annotations

from dfx_homog.runfile.given import Particle
from dfx_homog.runfile.models import ELECTRODES, Run


def require_lengths(run: Run, command: str) -> None:
    """Raises BadInput unless the lengths that `command` needs are there, and no others.

    Past it, `unit_cell_lengths` and `cell_length` of a run in SI have their answers.
    """
    if run.cell.thickness is not None and command != "homogenised":
        raise run.problem(
            "cell.thickness", f"{command} is made of unit cells (allowed: periods in place of thickness)"
        )
    if not run.in_si:
        return
    for name in ELECTRODES:
        _require_unit_cell_length(run, name, command)
    if run.cell.thickness is None:
        lengths = set(unit_cell_lengths(run).values())
        particles = [n for n in ELECTRODES if isinstance(run.microstructure[n], Particle)]
        if particles or len(lengths) > 1:
            why = f"{particles[0]} is a particle" if particles else "the unit cells differ in length"
            allowed = "allowed: thickness in m in place of periods"
            if command != "homogenised":
                allowed = "allowed: the same unit_cell_length in both electrodes"
            raise run.problem("cell.periods", f"give no length in SI, because {why} ({allowed})")


def _require_unit_cell_length(run: Run, name: str, command: str) -> None:
    spec, key = run.microstructure[name], f"parameters.{name}.unit_cell_length"
    length = getattr(run.parameters, name).unit_cell_length
    if isinstance(spec, Particle):
        if length is not None:
            raise run.problem(
                key, 'not with a "particle", whose radius in m is the length (allowed: leave it out)'
            )
        if spec.radius is None and spec.radius_mean is None:
            raise run.problem(
                f"microstructure.{name}.radius", 'required with units = "SI" (allowed: a number > 0, in m)'
            )
    elif length is None:
        raise run.problem(key, f"required by {command} in SI (allowed: a number > 0, in m)")


def unit_cell_lengths(run: Run) -> dict[str, float]:
    """l of each electrode of a run in SI, m: of its unit cell, or the radius of its particles (the mean by volume)."""

    def one(name: str) -> float:
        spec = run.microstructure[name]
        if isinstance(spec, Particle):
            return spec.mean_radius
        return float(getattr(run.parameters, name).unit_cell_length)

    return {name: one(name) for name in ELECTRODES}


def cell_length(run: Run) -> float:
    """L of a run in SI, m: the thicknesses' sum, or as many unit cells as `periods` says."""
    if run.cell.thickness is not None:
        return sum(run.cell.thickness)
    return sum(run.cell.periods) * unit_cell_lengths(run)["negative"]
