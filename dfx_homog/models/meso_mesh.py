"""Meso domains of any shape from a gmsh file, whose physical groups name the regions and the tabs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gmsh
import numpy as np
import numpy.typing as npt
from dolfinx import fem
from mpi4py import MPI

from dfx_homog import _compat
from dfx_homog._compat import FloatArray
from dfx_homog.errors import BadInput
from dfx_homog.microstructure.gmsh_model import session
from dfx_homog.microstructure.msh import merge, positions
from dfx_homog.models.meso_domain import (
    LATERAL_FACE,
    NEGATIVE_FACE,
    NEGATIVE_TAB,
    POSITIVE_FACE,
    POSITIVE_TAB,
    SEPARATOR_WORK,
    MesoDomain,
)
from dfx_homog.solvers.layout import Ints
from dfx_homog.together import agreed

REGIONS = ("negative", "separator", "positive")
TABS = {"negative_tab": NEGATIVE_TAB, "positive_tab": POSITIVE_TAB}
#: gmsh's linear cells by dimension: name in Basix, and Basix's order of the vertices.
KINDS: dict[int, dict[int, tuple[str, list[int]]]] = {
    2: {2: ("triangle", [0, 1, 2]), 3: ("quadrilateral", [0, 1, 3, 2])},
    3: {4: ("tetrahedron", [0, 1, 2, 3]), 5: ("hexahedron", [0, 1, 3, 2, 4, 5, 7, 6])},
}
#: Vertices of the facets of a cell in the order of Basix.
FACETS = {
    "triangle": [[1, 2], [0, 2], [0, 1]],
    "quadrilateral": [[0, 1], [0, 2], [1, 3], [2, 3]],
    "tetrahedron": [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]],
    "hexahedron": [[0, 1, 2, 3], [0, 1, 4, 5], [0, 2, 4, 6], [1, 3, 5, 7], [2, 3, 6, 7], [4, 5, 6, 7]],
}
FLAT = 1e-9  # distance from a collector's plane within which a facet is on it, in cell thicknesses


@dataclass(frozen=True)
class _Whole:
    """The file's mesh, on rank 0: points in cell thicknesses, cells (m, k) in Basix's order, region (m,), and for each
    local facet of a cell its face (0 inside) and whether it is on a tab (its tag, else 0)."""

    kind: str
    points: FloatArray
    cells: Ints
    region: Ints
    face: Ints
    tab: Ints


class MesoMesh(MesoDomain):
    """Linear cells of a file, y1 scaled so that it runs from 0 to 1 between the collectors.

    Facets in the planes y1 = 0 and y1 = 1 are the collectors, all others on the surface are lateral; sides are
    insulated. Nodal weights of linear simplices are those of the vertex rule, positive; those of quadratic ones are
    zero or negative at the vertices, hence order 1. Rank 0 reads the file and deals out the cells.
    """

    order = 1

    def __init__(self, comm: MPI.Intracomm, path: Path):
        self.comm = comm
        whole = agreed(comm, lambda: _read(path) if comm.rank == 0 else ())
        kind, count, mine, points = self._deal(whole)
        cells, region, face, tab, on_left = mine
        self.dim, self._count = points.shape[1], count
        self.mesh = _compat.create_mesh(comm, cells, points, kind, 1)
        local = int(self.mesh.topology.index_map(self.dim).size_local)
        first = int(comm.exscan(len(cells)) or 0)
        place = np.asarray(self.mesh.topology.original_cell_index[:local], dtype=np.int64) - first
        self.region = region[place]
        self.facets = {
            tag: np.argwhere(table[place] == tag).astype(np.int32)
            for table, tags in ((face, (NEGATIVE_FACE, POSITIVE_FACE, LATERAL_FACE)), (tab, TABS.values()))
            for tag in tags
        }
        nodes = _compat.geometry_nodes(self.mesh)[:local]
        self._left = np.zeros(len(self.mesh.geometry.x), dtype=bool)
        self._left[nodes] = on_left[place]
        self.area = self._area(nodes, FACETS[kind])

    def _deal(self, whole: Any) -> tuple[str, int, tuple[Any, ...], FloatArray]:
        """Kind of the cells, nodes in all, this rank's cells and what is known of them, its share of the points."""
        comm, pieces = self.comm, None
        if comm.rank == 0:
            work = np.where(whole.region == 1, SEPARATOR_WORK, 1.0)
            owner = _bisected(whole.points[whole.cells].mean(axis=1), work, comm.size)
            touched = np.zeros(len(whole.points), dtype=bool)
            touched[whole.cells[whole.region == 0]] = True
            pieces = []
            for rank in range(comm.size):
                here = np.flatnonzero(owner == rank)
                low, high = (len(whole.points) * (rank + i) // comm.size for i in (0, 1))
                cells = whole.cells[here]
                rows = (cells, whole.region[here], whole.face[here], whole.tab[here], touched[cells])
                pieces.append((whole.kind, len(whole.points), rows, whole.points[low:high].copy()))
        found: tuple[str, int, tuple[Any, ...], FloatArray] = comm.scatter(pieces, root=0)
        return found

    def _area(self, nodes: npt.NDArray[np.int32], table: list[list[int]]) -> float:
        """Of the positive collector."""
        facets = self.facets[POSITIVE_FACE]
        x = self.mesh.geometry.x[nodes[facets[:, :1], np.array(table)[facets[:, 1]]]]
        edges = x[:, 1:] - x[:, :1]
        if self.dim == 2:
            local = np.linalg.norm(edges[:, 0], axis=1)
        else:  # of a quadrilateral, whose vertices are 0, 1, 3, 2 in turn, both triangles
            local = 0.5 * np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
            if edges.shape[1] == 3:
                other = np.cross(edges[:, 0] - edges[:, 2], edges[:, 1] - edges[:, 2])
                local += 0.5 * np.linalg.norm(other, axis=1)
        return float(self.comm.allreduce(float(local.sum())))

    @property
    def count(self) -> int:
        return self._count

    def _of_nodes(self, space: fem.FunctionSpace, values: Any) -> Any:
        """Values at the nodes of the geometry, in the order of those of the space."""
        nodes = space.dofmap.index_map.size_local + space.dofmap.index_map.num_ghosts
        out = np.zeros(nodes, dtype=values.dtype)
        out[space.dofmap.list] = values[_compat.geometry_nodes(self.mesh)]
        return out

    def numbers(self, space: fem.FunctionSpace) -> Ints:
        given = np.asarray(self.mesh.geometry.input_global_indices, dtype=np.int64)
        found: Ints = self._of_nodes(space, given)
        return found

    def negative_side(self, space: fem.FunctionSpace) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = self._of_nodes(space, self._left)
        return found

    def place(self, number: int) -> FloatArray:
        here = np.flatnonzero(np.asarray(self.mesh.geometry.input_global_indices) == number)
        local = self.mesh.geometry.x[here[0], : self.dim] if len(here) else np.full(self.dim, -np.inf)
        found = np.empty(self.dim)
        self.comm.Allreduce(np.ascontiguousarray(local), found, op=MPI.MAX)
        return found


def _bisected(centres: FloatArray, work: FloatArray, ranks: int) -> Ints:
    """(m,) rank of each cell, by cuts across the longest edge of the bounding box into parts of equal work."""
    owner = np.zeros(len(centres), dtype=np.int64)
    every: Ints = np.arange(len(centres))
    parts = [(every, 0, ranks)]
    while parts:
        cells, first, count = parts.pop()
        if count == 1:
            owner[cells] = first
            continue
        half = count // 2
        along = int(np.argmax(np.ptp(centres[cells], axis=0))) if len(cells) else 0
        cells = cells[np.argsort(centres[cells, along], kind="stable")]
        total = np.cumsum(work[cells])
        cut = int(np.searchsorted(total, total[-1] * half / count, side="right")) if len(cells) else 0
        parts += [(cells[:cut], first, half), (cells[cut:], first + half, count - half)]
    return owner


def _read(path: Path) -> _Whole:
    """The mesh of a file, scaled and checked. Raises BadInput."""
    with session("meso"):
        merge(path, "homogenised.mesh")
        dim = 3 if len(gmsh.model.mesh.getElements(3)[0]) else 2
        cells, region, kind = _cells(path, dim)
        tabs = {name: _group(path, dim - 1, name)[1] for name in TABS}
        tags, flat, _ = gmsh.model.mesh.getNodes()
    key = f"homogenised.mesh: {path}"
    used, inverse = np.unique(positions(tags, cells, key), return_inverse=True)
    cells = inverse.reshape(cells.shape).astype(np.int64)
    points = flat.reshape(-1, 3)[used]
    if dim == 2 and np.ptp(points[:, 2]) > FLAT * np.ptp(points[:, 0]):
        raise BadInput(f"homogenised.mesh: {path}: the cells do not lie in a plane y3 = const")
    low, thickness = points[:, 0].min(), np.ptp(points[:, 0])
    points = points[:, :dim] / thickness
    points[:, 0] -= low / thickness
    compact = np.full(len(tags), -1, dtype=np.int64)
    compact[used] = np.arange(len(used))
    face, tab = _faces(
        path, points, cells, kind, {n: compact[positions(tags, t, key)] for n, t in tabs.items()}
    )
    for name, tag in TABS.items():
        region_of = 0 if tag == NEGATIVE_TAB else 2
        if (region[np.argwhere(tab == tag)[:, 0]] != region_of).any():
            raise BadInput(f"homogenised.mesh: {path}: {name} is not on the surface of {REGIONS[region_of]}")
    return _Whole(kind, np.ascontiguousarray(points), cells, region, face, tab)


def _group(path: Path, dim: int, name: str) -> tuple[list[int], Ints]:
    """gmsh's types and node tags (n, k) of the elements of a physical group. Raises BadInput."""
    names = {gmsh.model.getPhysicalName(dim, tag): tag for _, tag in gmsh.model.getPhysicalGroups(dim)}
    if name not in names:
        listed = ", ".join(sorted(filter(None, names))) or "none"
        raise BadInput(
            f"homogenised.mesh: {path}: no physical group {name} of dimension {dim}, there are: {listed}"
        )
    types: list[int] = []
    nodes = []
    for entity in gmsh.model.getEntitiesForPhysicalGroup(dim, names[name]):
        for kind, found in zip(
            *(gmsh.model.mesh.getElements(dim, int(entity))[i] for i in (0, 2)), strict=True
        ):
            types.append(int(kind))
            width = gmsh.model.mesh.getElementProperties(int(kind))[3]
            nodes.append(np.asarray(found, dtype=np.int64).reshape(-1, width))
    if len(set(types)) != 1:
        raise BadInput(
            f"homogenised.mesh: {path}: {name} has cells of {len(set(types))} types (allowed: one)"
        )
    return types, np.concatenate(nodes)


def _cells(path: Path, dim: int) -> tuple[Ints, Ints, str]:
    """Node tags of all cells in Basix's order, their regions, and what they are. Raises BadInput."""
    blocks, regions, types = [], [], set()
    for r, name in enumerate(REGIONS):
        kinds, nodes = _group(path, dim, name)
        types |= set(kinds)
        blocks.append(nodes)
        regions.append(np.full(len(nodes), r, dtype=np.int64))
    if len(types) != 1 or not types <= set(KINDS[dim]):
        raise BadInput(
            f"homogenised.mesh: {path}: cells must be of one type (allowed: triangles, quadrilaterals, tetrahedra or "
            "hexahedra of order 1)"
        )
    kind, order = KINDS[dim][types.pop()]
    return np.concatenate(blocks)[:, order], np.concatenate(regions), kind


def _faces(
    path: Path, points: FloatArray, cells: Ints, kind: str, tabs: dict[str, Ints]
) -> tuple[Ints, Ints]:
    """(cells, facets) tag of the face that a facet is on, and of its tab; 0 for none. Raises BadInput."""
    table = np.array(FACETS[kind])
    vertices = cells[:, table]
    keys = np.sort(vertices, axis=2).reshape(-1, table.shape[1])
    every = np.concatenate([keys, *(np.sort(t, axis=1) for t in tabs.values())])
    _, which = np.unique(every, axis=0, return_inverse=True)
    which = which.ravel()
    own = which[: len(keys)]
    times = np.bincount(own, minlength=int(which.max()) + 1)
    outer = (times[own] == 1).reshape(len(cells), -1)
    y1 = points[vertices, 0]
    face = np.where(outer, LATERAL_FACE, 0)
    face[outer & (np.abs(y1) < FLAT).all(axis=2)] = NEGATIVE_FACE
    face[outer & (np.abs(y1 - 1.0) < FLAT).all(axis=2)] = POSITIVE_FACE
    if not (face == POSITIVE_FACE).any():
        raise BadInput(
            f"homogenised.mesh: {path}: no flat collector at the largest y1, its area is not known"
        )
    tab, start = np.zeros_like(face), len(keys)
    for name, nodes in tabs.items():
        mine = which[start : start + len(nodes)]
        start += len(nodes)
        if (times[mine] != 1).any():
            raise BadInput(f"homogenised.mesh: {path}: {name} has facets that are not on the surface")
        tab[np.isin(own, mine).reshape(tab.shape)] = TABS[name]
    return face, tab
