"""Meshes of the battery: boxes, hollow cylinders, gmsh files; their named faces, and the groups of their cells.

Every rank supplies a slab of the cells and keeps it; nodes, cells and groups are numbered independently of ranks.
Lengths are those of the meso cell, L.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from dfx_homog import _compat
from dfx_homog._compat import FloatArray

Ints = npt.NDArray[np.int64]
#: Local facets of a hexahedron with x_i = 0 and 1, in basix's numbering.
LOW, HIGH = (2, 1, 0), (3, 4, 5)
BOX = tuple(f"x{i + 1}_{side}" for i in range(3) for side in ("low", "high"))
CYLINDER = ("inner", "outer", "low", "high")


@dataclass(frozen=True)
class Supply:
    """What one rank supplies of a mesh.

    kind:   of its cells; cells: (m, k) nodes by number; points: (p, 3) of the nodes that this rank supplies
    first:  number of its first cell; group: (m,) of each of its cells
    faces:  by name (n, 2) cell, counted from `first`, and local facet
    grid:   nodes in each direction, of numbers that run fastest in the last; None for a mesh that is no grid
    """

    kind: str
    cells: Ints
    points: FloatArray
    first: int
    group: Ints
    faces: Mapping[str, Ints]
    grid: tuple[int, int, int] | None = None


class BatteryDomain:
    """Mesh of the battery on all ranks.

    rows, count: (geometry nodes,) numbers of this rank's nodes, and how many there are; coordinates: (…, 3) of them
    group:       (cells,) group of each cell of this rank; groups: how many there are
    faces:       by name, (n, 2) cell and local facet; grid: as in `Supply`
    cylindrical: whether K_batt is given in radial, azimuthal and axial direction, about the axis x1 = x2 = 0
    """

    def __init__(self, comm: MPI.Intracomm, supply: Supply, groups: int, *, cylindrical: bool):
        self.comm, self.groups, self.cylindrical = comm, groups, cylindrical
        mesh = _compat.create_mesh(comm, supply.cells, supply.points, supply.kind, 1)
        mesh.topology.create_connectivity(2, 3)
        self.mesh, self.kind, self.grid = mesh, supply.kind, supply.grid
        local = int(mesh.topology.index_map(3).size_local)
        place = np.asarray(mesh.topology.original_cell_index[:local], dtype=np.int64) - supply.first
        self.group = supply.group[place]
        here = np.empty(local, dtype=np.int64)
        here[place] = np.arange(local)
        self.faces = {
            name: np.column_stack([here[f[:, 0]], f[:, 1]]).astype(np.int32)
            for name, f in supply.faces.items()
        }
        self.cell_nodes = _compat.geometry_nodes(mesh)[:local]
        self.rows = np.asarray(mesh.geometry.input_global_indices, dtype=np.int64)
        self.coordinates = mesh.geometry.x
        self.count = int(comm.allreduce(len(supply.points)))

    @property
    def cells(self) -> int:
        """Cells of all ranks."""
        return int(self.comm.allreduce(len(self.group)))


def _chunk(comm: MPI.Intracomm, count: int) -> tuple[int, int]:
    return count * comm.rank // comm.size, count * (comm.rank + 1) // comm.size


def _grid_index(numbers: Ints, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """(i, j, k) of numbers that run fastest in the last direction."""
    return np.unravel_index(numbers, shape)


def _structured(
    comm: MPI.Intracomm,
    elements: tuple[int, int, int],
    groups: tuple[int, int, int],
    nodes: tuple[int, int, int],
    points: Any,
    names: tuple[tuple[str, str] | None, ...],
) -> Supply:
    """A grid of hexahedra; `nodes` in each direction (fewer than elements + 1: it closes on itself)."""
    low, high = _chunk(comm, int(np.prod(elements)))
    index = _grid_index(np.arange(low, high), elements)
    corners = []
    for c in range(2):
        for b in range(2):
            for a in range(2):
                at = [(index[d] + step) % nodes[d] for d, step in enumerate((a, b, c))]
                corners.append(np.ravel_multi_index(at, nodes))
    group = np.ravel_multi_index([index[d] * groups[d] // elements[d] for d in range(3)], groups)
    faces = {}
    for d, name in enumerate(names):
        if name is None:
            continue
        for which, layer, facet in ((0, 0, LOW[d]), (1, elements[d] - 1, HIGH[d])):
            on = np.flatnonzero(index[d] == layer)
            faces[name[which]] = np.column_stack([on, np.full(len(on), facet)])
    first, last = _chunk(comm, int(np.prod(nodes)))
    return Supply(
        "hexahedron",
        np.column_stack(corners).astype(np.int64).reshape(-1, 8),
        np.ascontiguousarray(points(*_grid_index(np.arange(first, last), nodes))),
        low,
        np.asarray(group, dtype=np.int64),
        faces,
        nodes,
    )


def box(
    comm: MPI.Intracomm,
    size: tuple[float, float, float],
    elements: tuple[int, int, int],
    groups: tuple[int, int, int],
) -> BatteryDomain:
    """[0, size_1] x [0, size_2] x [0, size_3], cells stacked in direction 1; faces x1_low, …, x3_high."""
    nodes = (elements[0] + 1, elements[1] + 1, elements[2] + 1)

    def points(*at: Any) -> FloatArray:
        return np.column_stack([size[d] * (at[d] / elements[d]) for d in range(3)])

    names = tuple((BOX[2 * d], BOX[2 * d + 1]) for d in range(3))
    supply = _structured(comm, elements, groups, nodes, points, names)
    return BatteryDomain(comm, supply, int(np.prod(groups)), cylindrical=False)


def cylinder(
    comm: MPI.Intracomm,
    radii: tuple[float, float],
    height: float,
    elements: tuple[int, int, int],
    groups: tuple[int, int, int],
) -> BatteryDomain:
    """radii[0] <= r <= radii[1], 0 <= x3 <= height, cells stacked along the radius; faces inner, outer, low, high.

    elements and groups are along radius, circumference and axis. Edges along the circumference are straight.
    """
    nodes = (elements[0] + 1, elements[1], elements[2] + 1)

    def points(i: Any, j: Any, k: Any) -> FloatArray:
        r = radii[0] + (radii[1] - radii[0]) * (i / elements[0])
        angle = 2 * np.pi * (j / elements[1])
        return np.column_stack([r * np.cos(angle), r * np.sin(angle), height * (k / elements[2])])

    names = (("inner", "outer"), None, ("low", "high"))
    supply = _structured(comm, elements, groups, nodes, points, names)
    return BatteryDomain(comm, supply, int(np.prod(groups)), cylindrical=True)
