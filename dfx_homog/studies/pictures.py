"""Arrays for the report's pictures: unit cells, the coarsest resolved mesh, profiles, particles.

Only what a picture can show leaves the ranks: clouds of nodal values are thinned before they are gathered, and a mesh
is gathered only if it is small.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mpi4py import MPI

from dfx_homog._compat import FloatArray
from dfx_homog.microstructure.unitcell import SOLID, UnitCell
from dfx_homog.models.fields import NAMES
from dfx_homog.models.resolved import ResolvedModel
from dfx_homog.studies.reference import MesoState

CLOUD = 3000  # points of a profile
MESH_LIMIT = 40_000  # cells of a mesh that is drawn

Arrays = dict[str, Any]


def unit_cells(cells: dict[str, UnitCell]) -> Arrays:
    """Points, triangles and phases of each unit cell."""
    out: Arrays = {}
    for name, cell in cells.items():
        out |= {
            f"cell_{name}_points": cell.points,
            f"cell_{name}_cells": cell.cells,
            f"cell_{name}_phase": cell.phase,
        }
    return out


def meso(state: MesoState) -> Arrays:
    """The homogenised fields along y1 at the final time."""
    return {"meso_y": state.y, "meso_values": state.values, "meso_ends": state.ends}


def resolved_mesh(model: ResolvedModel) -> Arrays:
    """The resolved mesh with all five fields (nan where a field does not live), if it is small enough to draw.

    Cells carry all their nodes, k = 3 or 6, in the order of UnitCell.
    """
    tiled, comm = model.tiled, model.comm
    local = len(tiled.cell_unit)
    if comm.allreduce(local) > MESH_LIMIT:
        return {}
    dofs = model.forms.space.dofmap.list[:local]
    values = np.where(model.visible, model.values, np.nan)
    points = comm.gather(model.coordinates[:, :2][dofs], root=0)
    fields = comm.gather(values[dofs], root=0)
    phases = comm.gather(tiled.phase, root=0)
    if points is None or fields is None or phases is None:
        return {}
    return {
        "mesh_points": np.concatenate(points),  # (cells, k, 2): triangles drawn one by one
        "mesh_values": np.concatenate(fields),  # (cells, k, 5), columns as in fields.NAMES
        "mesh_phase": np.concatenate(phases),
    }


def _thin(comm: MPI.Intracomm, rows: FloatArray) -> FloatArray:
    """At most CLOUD rows of all ranks together, on rank 0."""
    total = comm.allreduce(len(rows))
    stride = max(1, int(np.ceil(total / CLOUD)))
    parts = comm.gather(rows[::stride], root=0)
    return np.concatenate(parts) if parts is not None else np.zeros((0, rows.shape[1]))


def profiles(
    model: ResolvedModel,
    state: MesoState,
    cells: dict[str, UnitCell],
    solid_nodes: tuple[np.ndarray, np.ndarray],
) -> Arrays:
    """Clouds (y1, value) of each field, and c_s in one particle in the middle of each electrode, both models."""
    out: Arrays = {}
    own = model.forms.space.dofmap.index_map.size_local
    for column, name in enumerate(NAMES):
        here = np.flatnonzero(model.active[:own, column])
        out[f"cloud_{name}"] = _thin(
            model.comm, np.column_stack([model.coordinates[here, 0], model.values[here, column]])
        )
    starts = np.concatenate([[0], np.cumsum(model.tiled.counts)])
    for electrode, name in ((0, "negative"), (1, "positive")):
        region = 2 * electrode
        column = int(starts[region] + model.tiled.counts[region] // 2)
        resolved = _tile_values(model, region, column, cells[name])
        unit = cells[name]
        y = (column + unit.points[:, 0]) * model.delta
        node = solid_nodes[electrode]
        homogenised = np.where(
            node >= 0, state.concentration(electrode, np.clip(y, 0, 1), np.maximum(node, 0)), np.nan
        )
        out[f"particle_{name}_resolved"] = resolved
        out[f"particle_{name}_homogenised"] = homogenised
        out[f"particle_{name}_y"] = (column + 0.5) * model.delta
    return out


def _tile_values(model: ResolvedModel, region: int, column: int, unit: UnitCell) -> FloatArray:
    """c_s at the nodes of the unit cell in one tile (first lateral row), nan in the electrolyte; on all ranks."""
    tiled = model.tiled
    tile = np.zeros(tiled.cell_tile.shape[1], dtype=np.int64)
    tile[0] = column
    local = np.flatnonzero(
        (tiled.cell_region == region) & (tiled.phase == SOLID) & (tiled.cell_tile == tile).all(axis=1)
    )
    total, count = np.zeros(len(unit.points)), np.zeros(len(unit.points))
    nodes = unit.cells[tiled.cell_unit[local]]
    total[nodes] = model.values[model.forms.space.dofmap.list[local], model.component("c_s")]
    count[nodes] = 1
    model.comm.Allreduce(MPI.IN_PLACE, total)
    model.comm.Allreduce(MPI.IN_PLACE, count)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
