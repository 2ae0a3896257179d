"""Arrays for the report's pictures: unit cells, voxel images, the coarsest resolved mesh, profiles, particles.

Only what a picture can show leaves the ranks: clouds of nodal values are thinned before they are gathered, of voxel
images there are slices, and a mesh is gathered only if it is small.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog._compat import FloatArray
from dfx_homog.microstructure.unitcell import SOLID, UnitCell
from dfx_homog.models import in_units as results
from dfx_homog.models.fields import NAMES
from dfx_homog.models.meso import NAMES as MESO_NAMES
from dfx_homog.models.resolved import ResolvedModel
from dfx_homog.parameters.units import Units
from dfx_homog.studies.reference import MesoState
from dfx_homog.studies.slices import mid_planes, plane_cut
from dfx_homog.voxels.grid import VoxelGrid

CLOUD = 3000  # points of a profile
MESH_LIMIT = 40_000  # cells of a mesh that is drawn
SURFACE_LIMIT = 12_000  # facets of the interface that are drawn

Arrays = dict[str, Any]


def unit_cells(cells: dict[str, UnitCell]) -> Arrays:
    """Points, triangles and phases of each unit cell; of one in three dimensions, its cuts with the mid-planes.

    cell_NAME_cut_D: (n, 4, 2) corners, in the plane z_D = 1/2, of what the plane cuts from the tetrahedra, and
    cell_NAME_cut_D_phase: (n,); left out where there are too many to draw. cell_NAME_elements: tetrahedra in all.
    """
    out: Arrays = {}
    for name, cell in cells.items():
        if cell.dim == 2:
            out |= {
                f"cell_{name}_points": cell.points,
                f"cell_{name}_cells": cell.cells,
                f"cell_{name}_phase": cell.phase,
            }
            continue
        out[f"cell_{name}_elements"] = len(cell.cells)
        for axis in range(3):
            polygons, phase = plane_cut(cell.points, cell.cells, cell.phase, axis)
            if len(polygons) <= MESH_LIMIT:
                out[f"cell_{name}_cut_{axis + 1}"] = polygons.astype(np.float32)
                out[f"cell_{name}_cut_{axis + 1}_phase"] = phase
    return out


def voxel_slices(grid: VoxelGrid) -> Arrays:
    """The phases of a voxel image in its mid-planes. Collective; for rank 0 to write.

    slice_NAME_D: uint8 codes in the plane in the middle of direction D, rows along the first of the other two; in two
    dimensions slice_NAME_1, the image. slice_NAME_values, slice_NAME_solid: per code its label and whether it is
    solid. slice_NAME_edges: lengths of the image. slice_NAME_shape: its voxels.
    """
    name = grid.name
    image = np.squeeze(grid.codes, axis=1) if grid.dim == 2 else grid.codes
    shape = tuple(grid.shape[axis] for axis in grid.axes)
    out: Arrays = {
        f"slice_{name}_values": np.array(grid.values),
        f"slice_{name}_solid": grid.is_solid,
        f"slice_{name}_edges": np.array(grid.edges),
        f"slice_{name}_shape": np.array(shape),
    }
    for axis, picture in mid_planes(grid.comm, image, grid.start, shape).items():
        if picture is not None:
            out[f"slice_{name}_{axis + 1}"] = picture
    return out


def segmentation(name: str, panels: Arrays) -> Arrays:
    """What `voxels.segmentation.segment` shows of its steps, under names for the report."""
    return {f"segmentation_{name}_{key}": value for key, value in panels.items()}


def in_units(units: Units, arrays: Arrays) -> Arrays:
    """Arrays of the functions below in the units of the run file."""
    if not units.in_si:
        return arrays
    return {name: _in_units(units, name, np.asarray(values), arrays) for name, values in arrays.items()}


def _in_units(units: Units, name: str, values: NDArray[Any], arrays: Arrays) -> NDArray[Any]:
    if name.startswith("meso_map_"):
        return _map_in_units(units, name, values, arrays)
    kind, _, rest = name.partition("_")
    if rest in ("y", "ends", "points") or name.endswith("_y"):
        return units.value("length", values)
    if kind == "cloud":
        return np.column_stack(
            [units.value("length", values[:, 0]), results.column(units, rest, values[:, 1])]
        )
    if kind == "particle":
        return units.value("concentration", values)
    if rest != "values":
        return values
    fields = {"meso": MESO_NAMES, "mesh": NAMES, "interface": ("rate", "eta", "jump")}[kind]
    negative = arrays["interface_electrode"][:, None] == 0 if kind == "interface" else None
    return np.stack(
        [results.column(units, f, values[..., i], negative) for i, f in enumerate(fields)], axis=-1
    )


def _map_in_units(units: Units, name: str, values: NDArray[Any], arrays: Arrays) -> NDArray[Any]:
    """Of the arrays of `meso_pictures`."""
    if name.endswith("_values"):
        negative = arrays[name.removesuffix("_values") + "_negative"]
        fields = (*MESO_NAMES, "rate")
        return np.stack(
            [results.column(units, f, values[..., i], negative) for i, f in enumerate(fields)], axis=-1
        )
    return values if name.endswith(("_axes", "_negative")) else units.value("length", values)


def meso(state: MesoState) -> Arrays:
    """The homogenised fields along y1, in the middle of the cell, at the final time."""
    y, values = state.middle()
    return {"meso_y": y, "meso_values": values, "meso_ends": state.ends}


def resolved_mesh(model: ResolvedModel) -> Arrays:
    """The resolved mesh with all five fields (nan where a field does not live), if it is small enough to draw.

    Triangles carry all their nodes, k = 3 or 6, in the order of UnitCell. In three dimensions they are the facets on
    the lateral face y3 = 0.
    """
    tiled, comm = model.tiled, model.comm
    dofs, cells = _drawn(model)
    if comm.allreduce(len(dofs)) > MESH_LIMIT:
        return {}
    values = np.where(model.visible, model.values, np.nan)
    points = comm.gather(model.coordinates[:, :2][dofs], root=0)
    fields = comm.gather(values[dofs], root=0)
    phases = comm.gather(tiled.phase[cells], root=0)
    if points is None or fields is None or phases is None:
        return {}
    return {
        "mesh_points": np.concatenate(points),  # (cells, k, 2): triangles drawn one by one
        "mesh_values": np.concatenate(fields),  # (cells, k, 5), columns as in fields.NAMES
        "mesh_phase": np.concatenate(phases),
    }


def interface(model: ResolvedModel) -> Arrays:
    """Gamma in the first row of unit cells across, facet by facet, with the fields on it; thinned to what can be drawn.

    interface_points: (n, k, dim), k nodes a facet as in UnitCell; interface_values: (n, k, 3) reaction current density,
    overpotential and Phi_s - Phi_e; interface_electrode: (n,) 0 negative, 1 positive. Collective; for rank 0 to write.
    """
    surface, comm, dim = model.interface, model.comm, model.tiled.cells[0].dim
    first_row = (model.tiled.cell_tile[surface.facets[:, 0], 1:] == 0).all(axis=1)
    stride = max(1, int(np.ceil(comm.allreduce(int(first_row.sum())) / SURFACE_LIMIT)))
    drawn = np.flatnonzero(first_row)[::stride]
    values = np.column_stack(list(surface.nodal().values()))
    nodes = surface.nodes[drawn]
    points = comm.gather(model.coordinates[:, :dim][nodes], root=0)
    fields = comm.gather(values[nodes], root=0)
    electrodes = comm.gather(surface.electrode[drawn], root=0)
    if points is None or fields is None or electrodes is None:
        return {}
    return {
        "interface_points": np.concatenate(points).astype(np.float32),
        "interface_values": np.concatenate(fields).astype(np.float32),
        "interface_electrode": np.concatenate(electrodes).astype(np.int8),
    }


def _drawn(model: ResolvedModel) -> tuple[NDArray[np.int32], NDArray[np.integer[Any]]]:
    """Nodes (n, k) of this rank's triangles that are drawn, and the cells (n,) that they belong to."""
    tiled, nodes = model.tiled, model.forms.space.dofmap.list
    if tiled.cells[0].dim == 2:
        cells = np.arange(len(tiled.cell_unit))
        return nodes[cells], cells
    facets = tiled.side_facets(2)
    columns = np.array([tiled.cells[0].facet_nodes(i) for i in range(4)])[facets[:, 1]]
    return nodes[facets[:, :1], columns], facets[:, 0]


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
    solid_nodes: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> Arrays:
    """Clouds (y1, value) of each field, and c_s in one particle in the middle of each electrode, both models."""
    out: Arrays = {}
    own = model.forms.space.dofmap.index_map.size_local
    for column, name in enumerate(NAMES):
        here = np.flatnonzero(model.active[:own, column])
        out[f"cloud_{name}"] = _thin(
            model.comm, np.column_stack([model.coordinates[here, 0], model.values[here, column]])
        )
    if model.tiled.cells[0].dim == 3:  # a particle in space has no picture here
        return out
    starts = np.concatenate([[0], np.cumsum(model.tiled.counts)])
    for electrode, name in ((0, "negative"), (1, "positive")):
        region = 2 * electrode
        column = int(starts[region] + model.tiled.counts[region] // 2)
        resolved = _tile_values(model, region, column, cells[name])
        unit = cells[name]
        y = np.clip((unit.points + np.eye(2)[0] * column) * model.delta, 0, 1)
        node = solid_nodes[electrode]
        homogenised = np.where(node >= 0, state.concentration(electrode, y, np.maximum(node, 0)), np.nan)
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
