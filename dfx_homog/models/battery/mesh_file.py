"""A battery of any shape: tetrahedra from a gmsh file, its faces named by physical groups of dimension 2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gmsh
import numpy as np
from mpi4py import MPI

from dfx_homog._compat import FloatArray
from dfx_homog.errors import BadInput
from dfx_homog.microstructure.gmsh_model import session
from dfx_homog.microstructure.msh import merge, positions
from dfx_homog.models.battery.domain import BatteryDomain, Ints, Supply
from dfx_homog.together import agreed

TETRAHEDRON, TRIANGLE = 4, 2  # gmsh's types
#: Vertices of a tetrahedron's local facets, in basix's numbering.
FACETS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])


def given_mesh(
    comm: MPI.Intracomm, path: Path, length: float, groups: tuple[int, int, int], *, cylindrical: bool
) -> BatteryDomain:
    """The tetrahedra of a file, coordinates times `length`, with the names of its groups of triangles as faces.

    groups: bins of the bounding box in x1, x2, x3 (cylindrical: radius, azimuth, x3); empty ones do not count.
    Raises BadInput, on all ranks. Collective.
    """
    whole = agreed(comm, lambda: _read(path, length, groups, cylindrical) if comm.rank == 0 else ())
    points, cells, group, faces = comm.bcast(whole, root=0)
    low, high = (len(cells) * (comm.rank + i) // comm.size for i in (0, 1))
    first, last = (len(points) * (comm.rank + i) // comm.size for i in (0, 1))
    mine = {
        name: f[(f[:, 0] >= low) & (f[:, 0] < high)] - np.array([[low, 0]], dtype=np.int64)
        for name, f in faces.items()
    }
    supply = Supply("tetrahedron", cells[low:high], points[first:last].copy(), low, group[low:high], mine)
    return BatteryDomain(comm, supply, int(group.max()) + 1, cylindrical=cylindrical)


def _read(path: Path, length: float, groups: tuple[int, int, int], cylindrical: bool) -> tuple[Any, ...]:
    """Points, cells sorted along the longest edge of the bounding box, groups, faces as (cell, facet) by name."""
    with session("battery"):
        merge(path, "battery.file")
        tags, flat, _ = gmsh.model.mesh.getNodes()
        types = [int(t) for t in gmsh.model.mesh.getElementTypes(3)]
        if types != [TETRAHEDRON]:
            raise BadInput(f"battery.file: {path}: needed are tetrahedra of order 1, and no other cells")
        corners = gmsh.model.mesh.getElementsByType(TETRAHEDRON)[1].reshape(-1, 4)
        named: dict[str, Any] = {}
        for _, tag in gmsh.model.getPhysicalGroups(2):
            name = gmsh.model.getPhysicalName(2, tag)
            entities = gmsh.model.getEntitiesForPhysicalGroup(2, tag)
            found = [gmsh.model.mesh.getElementsByType(TRIANGLE, int(e))[1] for e in entities]
            named[name] = np.concatenate(found).reshape(-1, 3) if found else np.zeros((0, 3))
    key = f"battery.file: {path}"
    used, inverse = np.unique(positions(tags, corners, key), return_inverse=True)
    cells: Ints = inverse.reshape(-1, 4).astype(np.int64)
    points = length * flat.reshape(-1, 3)[used]
    compact = np.full(len(tags), -1, dtype=np.int64)
    compact[used] = np.arange(len(used))
    middle = points[cells].mean(axis=1)
    cells = cells[np.argsort(middle[:, int(np.argmax(np.ptp(points, axis=0)))], kind="stable")]
    triangles = {name: compact[positions(tags, t, key)] for name, t in named.items()}
    group = _bins(points, cells, groups, cylindrical)
    return points, cells, group, _faces(path, cells, triangles)


def _bins(points: FloatArray, cells: Ints, groups: tuple[int, int, int], cylindrical: bool) -> Ints:
    middle, extent = points[cells].mean(axis=1), points
    if cylindrical:
        middle, extent = (
            np.column_stack([np.hypot(p[:, 0], p[:, 1]), np.arctan2(p[:, 1], p[:, 0]), p[:, 2]])
            for p in (middle, points)
        )
    low, high = extent.min(axis=0), extent.max(axis=0)
    if cylindrical:
        low[1], high[1] = -np.pi, np.pi
    share = (middle - low) / np.where(high > low, high - low, 1.0)
    bins = np.minimum((share * groups).astype(np.int64), np.array(groups) - 1)
    _, found = np.unique(np.ravel_multi_index(list(bins.T), groups), return_inverse=True)
    group: Ints = found.ravel().astype(np.int64)
    return group


def _faces(path: Path, cells: Ints, triangles: dict[str, Ints]) -> dict[str, Ints]:
    """(cell, local facet) of each named triangle. Raises BadInput for one that is not on the surface."""
    keys = np.sort(cells[:, FACETS], axis=2).reshape(-1, 3)
    size = int(cells.max()) + 1
    code = (keys[:, 0] * size + keys[:, 1]) * size + keys[:, 2]
    order = np.argsort(code, kind="stable")
    sorted_code = code[order]
    out = {}
    for name, nodes in triangles.items():
        wanted = np.sort(nodes, axis=1)
        number = (wanted[:, 0] * size + wanted[:, 1]) * size + wanted[:, 2]
        at = np.searchsorted(sorted_code, number)
        last = np.searchsorted(sorted_code, number, side="right")
        if (last - at != 1).any():
            raise BadInput(f"battery.file: {path}: group {name!r} has triangles that are not on the surface")
        facet = order[at]
        out[name] = np.column_stack([facet // 4, facet % 4]).astype(np.int64)
    return out
