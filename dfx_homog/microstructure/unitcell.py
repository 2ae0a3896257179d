"""The unit cell as arrays: nodes, cells, phases and periodic pairs, all in unit-cell lengths.

Nothing here knows how the mesh was made; the families and gmsh are in the neighbouring modules.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SOLID = 1
ELECTROLYTE = 2

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Phases = NDArray[np.int8]

# Vertices of the local facets of a triangle: facet i lies opposite vertex i (basix numbering).
TRIANGLE_FACETS = np.array([[1, 2], [0, 2], [0, 1]])


class Facets(NamedTuple):
    """Facets of the torus, each between `cell` and `other`.

    `shift[:, j]` is +1 or -1 where `other` is reached from `cell` by crossing the upper or lower face of
    direction j of the unit cell, and 0 inside it.
    """

    cell: Ints
    local: Ints
    other: Ints
    other_local: Ints
    shift: Phases


class InterfaceFacets(NamedTuple):
    """Facets between the solid and the electrolyte on the torus; `local` is the number in the solid cell.

    `shift[:, j]` is +1 or -1 where the electrolyte is across the upper or lower face of direction j, else 0.
    """

    solid: Ints
    local: Ints
    electrolyte: Ints
    shift: Phases


def gauss_rule(n: int) -> tuple[Floats, Floats]:
    """Gauss rule on [0, 1], exact to degree 2n - 1: points and weights."""
    t, w = np.polynomial.legendre.leggauss(n)
    return np.asarray(0.5 * (t + 1.0)), np.asarray(0.5 * w)


def triangle_rule(n: int = 4) -> tuple[Floats, Floats]:
    """Collapsed Gauss rule on the reference triangle, exact to degree 2n - 2: (n*n, 2) points, weights."""
    t, w = gauss_rule(n)
    x, y = np.meshgrid(t, t, indexing="ij")
    points = np.column_stack([x.ravel(), (y * (1.0 - x)).ravel()])
    return points, (np.outer(w, w) * (1.0 - x)).ravel()


def triangle_gradients(order: int, points: Floats) -> Floats:
    """Reference gradients of the Lagrange basis of order 1 or 2, in basix node order: (points, k, 2)."""
    x, y = points[:, 0], points[:, 1]
    one, zero = np.ones_like(x), np.zeros_like(x)
    if order == 1:
        gx, gy = [-one, one, zero], [-one, zero, one]
    else:
        s = 1.0 - x - y
        gx = [1.0 - 4.0 * s, 4.0 * x - 1.0, zero, 4.0 * y, -4.0 * y, 4.0 * (s - x)]
        gy = [1.0 - 4.0 * s, zero, 4.0 * y - 1.0, 4.0 * x, 4.0 * (s - y), -4.0 * x]
    return np.stack([np.stack(gx, axis=1), np.stack(gy, axis=1)], axis=2)


@dataclass(frozen=True, eq=False)
class UnitCell:
    """Conforming periodic mesh of the unit cell [0, 1]^dim, the same arrays on every rank.

    name      region or microstructure of the run file
    dim       2
    order     order of the geometry and of the finite elements (isoparametric), 1 or 2
    points    (n, dim) nodes, those of order 2 included, in unit-cell lengths
    cells     (m, k) nodes of the triangles, k = 3 or 6 in basix order: v0 v1 v2, then the midpoints opposite
              v0, v1, v2; positively oriented; sorted by x of the centroid
    phase     (m,) SOLID or ELECTROLYTE
    periodic  per direction d, (k, 2) pairs [lower, upper] with points[upper] = points[lower] + e_d exactly
    """

    name: str
    dim: int
    order: int
    points: Floats
    cells: Ints
    phase: Phases
    periodic: tuple[Ints, ...]

    @cached_property
    def canonical(self) -> Ints:
        """(n,) periodic representative of every node: the one on the lower faces, corners included."""
        representative = np.arange(len(self.points))
        for pairs in self.periodic:
            lower = np.arange(len(self.points))
            lower[pairs[:, 1]] = pairs[:, 0]
            representative = lower[representative]
        return representative

    @cached_property
    def boundary_nodes(self) -> Ints:
        """Nodes on the faces of the unit cell, sorted."""
        return np.unique(np.concatenate([pairs.ravel() for pairs in self.periodic]))

    def facet_nodes(self, local_facet: int) -> Ints:
        """Columns of `cells` that hold a local facet's nodes: its vertices, then for order 2 its midpoint."""
        vertices = TRIANGLE_FACETS[local_facet]
        return np.append(vertices, 3 + local_facet) if self.order == 2 else vertices.copy()

    @cached_property
    def _facet_nodes(self) -> Ints:
        """(m, 3, 2) sorted vertices of every local facet."""
        return np.sort(self.cells[:, TRIANGLE_FACETS], axis=2)

    @cached_property
    def _facet_groups(self) -> tuple[Ints, Ints, Ints]:
        """Positions 3*cell + facet: inner facets (f, 2), outer ones, and the outer ones' vertices."""
        pairs = self._facet_nodes.reshape(-1, 2)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        pairs = pairs[order]
        new = np.append(True, np.any(pairs[1:] != pairs[:-1], axis=1))
        start = np.flatnonzero(new)
        count = np.diff(np.append(start, len(pairs)))
        if np.any(count > 2):
            raise RuntimeError(f"unit cell {self.name}: a facet belongs to more than two cells")
        inner, outer = start[count == 2], start[count == 1]
        return np.column_stack([order[inner], order[inner + 1]]), order[outer], pairs[outer]

    def face_facets(self, direction: int, side: int) -> tuple[Ints, Ints]:
        """(cells, local facets) on the face z_direction = 0 (side 0) or 1 (side 1), sorted along the face."""
        _, where, vertices = self._facet_groups
        on_face = np.all(self.points[vertices, direction] == float(side), axis=1)
        where, vertices = where[on_face], vertices[on_face]
        along = self.points[vertices].mean(axis=1)[:, 1 - direction]
        where = where[np.argsort(along)]
        return where // 3, where % 3

    @cached_property
    def torus_facets(self) -> Facets:
        """Every facet once, those on the faces joined with their periodic partners."""
        inner, outer, _ = self._facet_groups
        parts = [(inner[:, 0], inner[:, 1], np.zeros((len(inner), self.dim), dtype=np.int8))]
        for direction, pairs in enumerate(self.periodic):
            lower, upper = (3 * c + f for c, f in (self.face_facets(direction, s) for s in (0, 1)))
            image = np.full(len(self.points), -1)
            image[pairs[:, 0]] = pairs[:, 1]
            vertices = self._facet_nodes.reshape(-1, 2)
            if len(lower) != len(upper) or np.any(np.sort(image[vertices[lower]], axis=1) != vertices[upper]):
                raise RuntimeError(f"unit cell {self.name}: faces of direction {direction + 1} do not match")
            shift = np.zeros((len(lower), self.dim), dtype=np.int8)
            shift[:, direction] = -1
            parts.append((lower, upper, shift))
        if sum(len(p[0]) for p in parts[1:]) * 2 != len(outer):
            raise RuntimeError(f"unit cell {self.name}: a facet inside the cell belongs to one cell only")
        one, two = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
        return Facets(one // 3, one % 3, two // 3, two % 3, np.concatenate([p[2] for p in parts]))

    def interface_facets(self) -> InterfaceFacets:
        """All facets between solid and electrolyte on the torus, each once, seen from the solid."""
        f = self.torus_facets
        a, b = self.phase[f.cell], self.phase[f.other]
        differ = a != b
        solid_first = (a == SOLID)[differ]
        return InterfaceFacets(
            solid=np.where(solid_first, f.cell[differ], f.other[differ]),
            local=np.where(solid_first, f.local[differ], f.other_local[differ]),
            electrolyte=np.where(solid_first, f.other[differ], f.cell[differ]),
            shift=np.where(solid_first[:, None], f.shift[differ], -f.shift[differ]).astype(np.int8),
        )

    def jacobians(self, points: Floats) -> Floats:
        """Determinants of the reference-to-cell map at reference points: (m, points)."""
        gradients = triangle_gradients(self.order, points)
        jacobian = np.einsum("cki,qkj->cqij", self.points[self.cells], gradients)
        return np.linalg.det(jacobian)

    @cached_property
    def cell_measures(self) -> Floats:
        """(m,) areas by isoparametric quadrature, exact for both orders."""
        points, weights = triangle_rule()
        return self.jacobians(points) @ weights

    def phase_fraction(self, phase: int) -> float:
        """phi of SOLID or ELECTROLYTE: its area over that of the unit cell."""
        return float(self.cell_measures[self.phase == phase].sum())

    def interface_measure(self, keep: NDArray[np.bool_] | None = None) -> float:
        """a = |Gamma|, length of the interface per unit cell, in unit-cell lengths (periodic copies once).

        `keep` marks the facets of interface_facets() that count, all by default.
        """
        facets = self.interface_facets()
        counted = slice(None) if keep is None else keep
        solid, numbers = facets.solid[counted], facets.local[counted]
        t, weights = gauss_rule(8)
        total = 0.0
        for local in range(3):
            nodes = self.cells[solid[numbers == local]][:, self.facet_nodes(local)]
            slope: list[Floats] = [-np.ones_like(t), np.ones_like(t)]
            if self.order == 2:
                slope = [4.0 * t - 3.0, 4.0 * t - 1.0, 4.0 - 8.0 * t]
            tangent = np.einsum("ckd,kq->cqd", self.points[nodes], np.stack(slope))
            total += float((np.linalg.norm(tangent, axis=2) @ weights).sum())
        return total

    def min_angle(self) -> float:
        """Smallest angle of the straight triangles, degrees."""
        corner = self.points[self.cells[:, :3]]
        smallest = np.inf
        for i in range(3):
            u, v = corner[:, (i + 1) % 3] - corner[:, i], corner[:, (i + 2) % 3] - corner[:, i]
            cross = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
            smallest = min(smallest, float(np.arctan2(np.abs(cross), (u * v).sum(axis=1)).min()))
        return float(np.degrees(smallest))

    def min_jacobian(self) -> float:
        """Smallest ratio, over cells, of the least determinant (at quadrature points and nodes) to the mean.

        1 for straight triangles; positive as long as no curved one folds over.
        """
        edges = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.0, 0.5], [0.5, 0.0]]
        local = self.jacobians(np.vstack([triangle_rule()[0], edges]))
        return float((local.min(axis=1) / (2.0 * np.abs(self.cell_measures))).min())

    def check(self) -> None:
        """Raises RuntimeError unless cells are positive, pairs exact, facets conforming and the area one."""
        if self.min_jacobian() <= 0.0:
            raise RuntimeError(f"unit cell {self.name}: a cell is not positively oriented")
        for direction, pairs in enumerate(self.periodic):
            lower, upper = self.points[pairs[:, 0]], self.points[pairs[:, 1]]
            step = np.zeros(self.dim)
            step[direction] = 1.0
            if np.any(lower[:, direction] != 0.0) or np.any(lower + step != upper):
                raise RuntimeError(f"unit cell {self.name}: pairs of direction {direction + 1} are not exact")
            for side in (0, 1):
                on_face = np.flatnonzero(self.points[:, direction] == float(side))
                if not np.array_equal(np.sort(pairs[:, side]), on_face):
                    raise RuntimeError(
                        f"unit cell {self.name}: a node of face {direction + 1} has no partner"
                    )
        if len(self.torus_facets.cell) * 2 != 3 * len(self.cells):
            raise RuntimeError(f"unit cell {self.name}: the mesh is not conforming on the torus")
        if abs(self.cell_measures.sum() - 1.0) > 1e-12:
            raise RuntimeError(f"unit cell {self.name}: the cells do not fill the unit cell")
