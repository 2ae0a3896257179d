"""Arrays for the report's pictures of a battery: its surface, planes through its hot spot, its groups.

Only what a picture can show leaves the ranks: facets of the surface and nodes of three planes, if they are few enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mpi4py import MPI

from dfx_homog._compat import FloatArray
from dfx_homog.models.battery.columns import FIELD_KINDS
from dfx_homog.models.battery.mesh_file import FACETS
from dfx_homog.models.battery.model import BatteryModel
from dfx_homog.parameters.units import Units

Arrays = dict[str, Any]
LIMIT = 40_000  # facets, or nodes of a plane, that are drawn
#: Vertices of a hexahedron's local facets, in basix's numbering, in the order in which they are drawn.
HEXAHEDRON = np.array([[0, 1, 3, 2], [0, 1, 5, 4], [0, 2, 6, 4], [1, 3, 7, 5], [2, 3, 7, 6], [4, 5, 7, 6]])


def arrays(model: BatteryModel, units: Units) -> Arrays:
    """battery_PICTURE_QUANTITY: points and T of `surface` and `planes`, and all of `groups`.

    Collective; for rank 0 to write.
    """
    found = {"surface": surface(model), "groups": groups(model), **planes(model)}
    kinds = {**FIELD_KINDS, "T": "temperature", "points": "length"}
    return {
        f"battery_{picture}_{name}": units.value(kinds[name], values)
        for picture, quantities in found.items()
        for name, values in quantities.items()
    }


def surface(model: BatteryModel) -> Arrays:
    """points (n, k, 3) and T (n, k) of the facets of named faces; nothing if they are too many to draw."""
    domain, comm = model.heat.domain, model.comm
    table = HEXAHEDRON if domain.kind == "hexahedron" else FACETS
    facets = np.concatenate([*domain.faces.values(), np.zeros((0, 2), dtype=np.int32)])
    if not 0 < comm.allreduce(len(facets)) <= LIMIT:
        return {}
    nodes = model.heat.cells[facets[:, :1], table[facets[:, 1]]]
    points = comm.gather(model.heat.coordinates[nodes], root=0)
    values = comm.gather(np.asarray(model.forms.u.x.array)[nodes], root=0)
    if points is None or values is None:
        return {}
    return {
        "points": np.concatenate(points).astype(np.float32),
        "T": np.concatenate(values).astype(np.float32),
    }


def planes(model: BatteryModel) -> dict[str, Arrays]:
    """Of a grid, plane_D: points (a, b, 3) and T (a, b) of the nodes level with the hot spot in direction D.

    D = 1, 2, 3 are x1, x2, x3, or radius, circumference and axis. Uniform T: the middle.
    """
    heat, comm, grid = model.heat, model.comm, model.heat.domain.grid
    if grid is None:
        return {}
    index = np.unravel_index(heat.numbers, grid)
    hot = model.hot_node()
    through = np.unravel_index(hot, grid) if hot is not None else tuple(n // 2 for n in grid)
    out: dict[str, Arrays] = {}
    T = np.asarray(model.forms.u.x.array)
    for d in range(3):
        others = [e for e in range(3) if e != d]
        shape = tuple(grid[e] for e in others)
        if np.prod(shape) > LIMIT:
            continue
        plane = np.full((*shape, 4), -np.inf)
        on = np.flatnonzero(index[d] == through[d])
        at = tuple(index[e][on] for e in others)
        plane[at] = np.column_stack([heat.coordinates[on], T[on]])
        total = np.empty_like(plane)
        comm.Allreduce(plane, total, op=MPI.MAX)
        out[f"plane_{d + 1}"] = {"points": total[..., :3], "T": total[..., 3]}
    return out


def group_places(model: BatteryModel) -> FloatArray:
    """(groups, 3) centres of the groups. Collective."""
    domain, heat = model.heat.domain, model.heat
    middle = heat.coordinates[heat.cells].mean(axis=1)
    total = np.column_stack(
        [np.bincount(domain.group, heat.volumes * middle[:, i], domain.groups) for i in range(3)]
    )
    domain.comm.Allreduce(MPI.IN_PLACE, total)
    return np.asarray(total / heat.group_volumes[:, None])


def groups(model: BatteryModel) -> Arrays:
    """points (groups, 3), and T, heat, current, soc_n of each group."""
    return {"points": group_places(model), "T": model.temperature, **model.by_group()}
