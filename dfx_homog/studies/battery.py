"""A battery from a checked run file, and what result.json says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from dfx_homog.microstructure.unitcell import UnitCell
from dfx_homog.models.battery.cells import CellModels
from dfx_homog.models.battery.columns import FIELD_KINDS
from dfx_homog.models.battery.domain import BatteryDomain, box, cylinder
from dfx_homog.models.battery.heat import BatteryHeat, Cooling
from dfx_homog.models.battery.laminate import BatteryLayer, Stack, tensor3
from dfx_homog.models.battery.model import BatteryModel, Coupling
from dfx_homog.models.effective import EffectiveMedium
from dfx_homog.models.excess import StripResistances
from dfx_homog.models.history import Row
from dfx_homog.models.homogenised import HomogenisedModel
from dfx_homog.parameters.units import Units
from dfx_homog.runfile import REGIONS, Run
from dfx_homog.runfile.battery import Battery
from dfx_homog.studies.setup import Problem
from dfx_homog.together import agreed

Json = dict[str, Any]
Media = Mapping[str, EffectiveMedium]
WITHIN = (
    0.1  # share of the battery's temperature rise that may vary within one cell before there is a warning
)


@dataclass(frozen=True)
class BatteryProblem:
    """What is known of a battery before anything moves."""

    problem: Problem
    cells: dict[str, UnitCell]
    media: Media

    @property
    def table(self) -> Battery:
        return self.problem.run.battery

    @cached_property
    def strips(self) -> StripResistances | None:
        """Excess resistances of the cells' faces, with wall laws. Collective."""
        return self.problem.strips(self.cells, dict(self.media))

    def stack(self) -> Stack:
        """The repeating unit: the three regions of the meso cell, and the extra layers."""
        run = self.problem.run
        total = float(sum(run.cell.widths))
        layers = []
        for name, width in zip(REGIONS, run.cell.widths, strict=True):
            spec = run.microstructure[name]
            if name in self.media:
                medium = self.media[name]
                K, theta = tensor3(medium.tensor("K"), _third(spec, medium)), medium.theta
            else:
                K, theta = tensor3(spec.K), spec.theta  # type: ignore[union-attr]
            layers.append(BatteryLayer(name, width / total, K, float(theta or 0.0)))
        for number, extra in enumerate(self.table.layers):
            layers.append(
                BatteryLayer(f"layer {number + 1}", extra.thickness, tensor3(extra.k), extra.rho_cp)
            )
        return Stack(tuple(layers))

    def domain(self, thickness: float) -> BatteryDomain:
        """The mesh; thickness of the repeating unit in lengths L. Raises BadInput."""
        table, comm = self.table, self.problem.comm
        through = table.cells * thickness
        if table.shape == "box":
            assert table.size is not None
            return box(comm, (through, table.size[0], table.size[1]), table.elements, table.groups)
        if table.shape == "cylinder":
            assert table.size is not None and table.inner_radius is not None
            radii = (table.inner_radius, table.inner_radius + through)
            return cylinder(comm, radii, table.size[0], table.elements, table.groups)
        from dfx_homog.models.battery.mesh_file import given_mesh

        assert table.file is not None
        length = table.size[0] if table.size else 1.0
        found = given_mesh(
            comm, Path(table.file), length, table.groups, cylindrical=table.frame == "cylindrical"
        )
        for key in ("h", "T_ambient"):
            given = getattr(table, key)
            for name in given if isinstance(given, dict) else ():
                if name not in found.faces:
                    raise self.problem.run.problem(
                        f"battery.{key}.{name}",
                        f"no physical group of triangles (allowed: {', '.join(found.faces) or 'none is there'})",
                    )
        return found

    def cooling(self, faces: Iterable[str]) -> dict[str, Cooling]:
        """Heat exchange of faces."""
        table, usual = self.table, self.problem.run.parameters.T_ambient

        def of(given: Any, name: str, otherwise: float) -> float:
            if isinstance(given, dict):
                return float(given.get(name, otherwise))
            return otherwise if given is None else float(given)

        return {name: Cooling(of(table.h, name, 0.0), of(table.T_ambient, name, usual)) for name in faces}

    def cell_model(self) -> HomogenisedModel:
        """The cell model of this rank alone, at prescribed temperature.

        Rank 0 goes first, so that the others find its compiled forms. Raises BadInput on all ranks.
        """
        run, comm = self.problem.run, self.problem.comm
        held = run.parameters.model_copy(
            update={"isothermal": True, "h": 0.0, "h_negative": None, "h_positive": None}
        )
        alone = replace(self.problem, comm=MPI.COMM_SELF, run=held_run(run, held))

        strips = self.strips

        def build() -> HomogenisedModel:
            return alone.homogenised(self.cells, dict(self.media), strips)

        first = agreed(comm, lambda: (build(),) if comm.rank == 0 else ())
        return agreed(comm, lambda: first[0] if first else build())

    def model(self) -> BatteryModel:
        """The whole of it. Collective. Raises BadInput."""
        run, stack, table = self.problem.run, self.stack(), self.table
        domain = self.domain(stack.thickness)
        if domain.groups > domain.cells:
            raise run.problem("battery.groups", f"{domain.groups} groups of {domain.cells} elements")
        heat = BatteryHeat(
            domain, stack.K, stack.theta, self.cooling(domain.faces), user_options=self.problem.petsc
        )
        cells = CellModels(self.problem.comm, self.cell_model(), domain.groups)
        return BatteryModel(
            heat,
            cells,
            Coupling(table.connection, table.tolerance, table.iterations),
            thickness=stack.thickness,
            K_normal=float(min(layer.K[0, 0] for layer in stack.layers[:3])),
            T_initial=run.parameters.T_initial,
        )


def held_run(run: Run, parameters: Any) -> Run:
    """The run with other [parameters]."""
    found = run.model_copy(update={"parameters": parameters})
    found._source = run.source
    return found


def _third(spec: Any, medium: EffectiveMedium) -> float | None:
    """Conductivity along the third direction of a cell in the plane, which is the mean of its phases' there."""
    k_s, k_e = spec.k_s, spec.k_e
    if medium.dim == 3 or isinstance(k_s, tuple) or isinstance(k_e, tuple) or k_e is None:
        return None
    pores = medium.phi_e_total
    return float(pores * k_e + (1 - pores) * (k_s or 0.0))


def describe(model: BatteryModel, stack: Stack, table: Battery, units: Units) -> Json:
    """The entry `battery` of result.json that is known from the start."""
    domain, heat = model.heat.domain, model.heat
    length, thermal, capacity = (units.factor(kind) for kind in ("length", "thermal", "capacity"))
    return {
        "shape": table.shape,
        "cells": table.cells,
        "eps": 1 / table.cells,
        "connection": table.connection,
        "K_batt": (thermal * stack.K).tolist(),
        "theta_batt": capacity * stack.theta,
        "layers": [
            {
                "name": layer.name,
                "thickness": length * layer.thickness,
                "K": (thermal * layer.K).tolist(),
                "theta": capacity * layer.theta,
            }
            for layer in stack.layers
        ],
        "thickness": length * stack.thickness,
        "volume": length**3 * heat.volume,
        "faces": {name: length**2 * area for name, area in heat.areas().items()},
        "groups": domain.groups,
        "group_shares": model.weights.tolist(),
        "elements": domain.cells,
        "dofs_heat": heat.layout.global_size,
        "dofs_cell": model.cells.model.dofs,
    }


def outcome(model: BatteryModel, rows: list[Row], table: Battery, units: Units) -> Json:
    """What `describe` cannot know: the groups at the end, and how the coupling went. rows: in units."""
    steps = rows[1:]
    found = {"T": model.temperature, **model.by_group(), "voltage": model.found["voltage"]}
    kinds = {**FIELD_KINDS, "T": "temperature", "voltage": "voltage"}
    volts = units.value("voltage", model.voltage)
    return {
        "final_groups": {name: units.value(kinds[name], v).tolist() for name, v in found.items()},
        "voltage_in_series": table.cells * volts if table.connection == "prescribed" else None,
        "coupling_mean": float(np.mean([r["coupling"] for r in steps])) if steps else 0.0,
        "coupling_most": max((r["coupling"] for r in steps), default=0.0),
        "T_within_cell": max(r["T_within_cell"] for r in rows),
    }


def warning(rows: list[Row]) -> str | None:
    """What is to be said where conduction across one cell is not fast (MODEL section 6); None if it is."""
    within = max(r["T_within_cell"] for r in rows)
    start = rows[0]["T_mean"]
    rise = max(max(abs(r[k] - start) for k in ("T_max", "T_min")) for r in rows)
    if within <= WITHIN * rise or rise == 0.0:
        return None
    return (
        f"warning: T varies within one cell by about max|Q|/(8 K_11) = {within:.3g}, the battery's by {rise:.3g}; the "
        "battery equation takes T for constant in a cell, which holds while conduction across it is fast"
    )
