"""The unit cell as arrays: nodes, cells, phases and periodic pairs, all in unit-cell lengths.

Nothing here knows how the mesh was made; the families and gmsh are in the neighbouring modules.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfx_homog.microstructure.facets import (
    Facets,
    InterfaceFacets,
    Ints,
    facet_groups,
    match,
)
from dfx_homog.microstructure.reference_element import (
    FACET_EDGES,
    FACETS,
    Floats,
    adjugates,
    determinants,
    lagrange,
    lagrange_gradients,
    metric,
    nodes,
    simplex_rule,
)

__all__ = [
    "ELECTROLYTE",
    "SOLID",
    "TRIANGLE_FACETS",
    "Facets",
    "Floats",
    "InterfaceFacets",
    "Ints",
    "Phases",
    "UnitCell",
]

SOLID = 1
ELECTROLYTE = 2

Phases = NDArray[np.int8]

# Vertices of the local facets of a triangle: facet i lies opposite vertex i (basix numbering).
TRIANGLE_FACETS = FACETS[2]
# Cells that are worked on at once where each takes many numbers (bounds the memory, fits the cache).
CHUNK = 1 << 15


@dataclass(frozen=True, eq=False)
class UnitCell:
    """Conforming periodic mesh of the unit cell [0, 1]^dim, the same arrays on every rank.

    name      region or microstructure of the run file
    dim       2 (triangles) or 3 (tetrahedra)
    order     order of the geometry and of the finite elements (isoparametric), 1 or 2
    points    (n, dim) nodes, those of order 2 included, in unit-cell lengths
    cells     (m, k) nodes in basix order: the vertices, for order 2 then the midpoints of the edges
              (reference_element.EDGES); k = 3 | 6 for triangles, 4 | 10 for tetrahedra; positively oriented; sorted
              by x of the centroid
    phase     (m,) SOLID or ELECTROLYTE
    periodic  per direction d, (k, 2) pairs [lower, upper] with points[upper] = points[lower] + e_d exactly
    derived   what was computed from the above and is dear to compute again; see `remember`
    ends      nodes on the faces z1 = 0 and z1 = 1 of a cell that is not periodic in direction 1 (transition.py), in the
              order in which neighbouring cells match; periodic[0] is then empty
    closing   in a region that the next one does not fit: the unit cell of its last period, which fits both
    """

    name: str
    dim: int
    order: int
    points: Floats
    cells: Ints
    phase: Phases
    periodic: tuple[Ints, ...]
    derived: dict[str, NDArray[Any]] = field(default_factory=dict, repr=False, init=False)
    ends: tuple[Ints, Ints] | None = field(default=None, repr=False)
    closing: UnitCell | None = field(default=None, repr=False)

    def end_nodes(self, side: int) -> Ints:
        """Nodes on the face z1 = 0 (side 0) or z1 = 1 (side 1) in the order in which neighbouring cells match."""
        return np.asarray(self.periodic[0][:, side] if self.ends is None else self.ends[side])

    def remember(self, name: str, compute: Callable[[], dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
        """Arrays `name.*` kept in `derived` (and in the saved folder), computed at the first call."""
        prefix = name + "."
        if not any(key.startswith(prefix) for key in self.derived):
            self.derived.update({prefix + key: value for key, value in compute().items()})
        return {k.removeprefix(prefix): v for k, v in self.derived.items() if k.startswith(prefix)}

    @cached_property
    def canonical(self) -> Ints:
        """(n,) periodic representative of every node: the one on the lower faces, corners included."""
        representative: Ints = np.arange(len(self.points))
        for pairs in self.periodic:
            lower = np.arange(len(self.points))
            lower[pairs[:, 1]] = pairs[:, 0]
            representative = lower[representative]
        return representative

    @cached_property
    def boundary_nodes(self) -> Ints:
        """Nodes on the faces of the unit cell, sorted."""
        nodes: Ints = np.unique(np.concatenate([pairs.ravel() for pairs in self.periodic]))
        return nodes

    def facet_nodes(self, local_facet: int) -> Ints:
        """Columns of `cells` that hold a local facet's nodes: its vertices, then for order 2 its midpoints."""
        vertices: Ints = FACETS[self.dim][local_facet]
        if self.order == 1:
            return vertices.copy()
        return np.append(vertices, self.dim + 1 + FACET_EDGES[self.dim][local_facet])

    @cached_property
    def _groups(self) -> tuple[Ints, Ints]:
        try:
            return facet_groups(self.cells, self.dim)
        except ValueError as error:
            raise RuntimeError(f"unit cell {self.name}: {error}") from None

    def _vertices(self, where: Ints) -> Ints:
        """(f, dim) vertices of the local facets at positions (dim + 1) * cell + facet."""
        facets = FACETS[self.dim][where % (self.dim + 1)]
        vertices: Ints = self.cells[(where // (self.dim + 1))[:, None], facets]
        return vertices

    def _on_face(self, direction: int, side: int) -> Ints:
        outer = self._groups[1]
        return outer[np.all(self.points[self._vertices(outer), direction] == float(side), axis=1)]

    def face_facets(self, direction: int, side: int) -> tuple[Ints, Ints]:
        """(cells, local facets) on the face z_direction = 0 (side 0) or 1 (side 1), sorted along the face."""
        where = self._on_face(direction, side)
        middle = np.delete(self.points[self._vertices(where)].mean(axis=1), direction, axis=1)
        where = where[np.lexsort(np.round(middle, 12).T)]
        return where // (self.dim + 1), where % (self.dim + 1)

    @property
    def _free_facets(self) -> int:
        """Facets on faces z1 = 0 and z1 = 1 that are no pairs."""
        return 0 if self.ends is None else sum(len(self._on_face(0, side)) for side in (0, 1))

    @cached_property
    def torus_facets(self) -> Facets:
        """Every facet once, those on the faces joined with their periodic partners (free ones are left out)."""
        inner, outer = self._groups
        parts, width = [inner], self.dim + 1
        for direction, pairs in enumerate(self.periodic):
            if direction == 0 and self.ends is not None:
                parts.append(np.zeros((0, 2), dtype=np.int64))
                continue
            lower, upper = (self._on_face(direction, side) for side in (0, 1))
            image = np.full(len(self.points), -1)
            image[pairs[:, 0]] = pairs[:, 1]
            try:
                one, two = match(image[self._vertices(lower)], self._vertices(upper))
            except ValueError:
                raise RuntimeError(
                    f"unit cell {self.name}: faces of direction {direction + 1} do not match"
                ) from None
            parts.append(np.column_stack([lower[one], upper[two]]))
        if sum(len(p) for p in parts[1:]) * 2 + self._free_facets != len(outer):
            raise RuntimeError(f"unit cell {self.name}: a facet inside the cell belongs to one cell only")
        shift = np.zeros((sum(len(p) for p in parts), self.dim), dtype=np.int8)
        start = len(inner)
        for direction, part in enumerate(parts[1:]):
            shift[start : start + len(part), direction] = -1
            start += len(part)
        both = np.concatenate(parts)
        cell, local = (both // width).astype(np.int32), (both % width).astype(np.int8)
        return Facets(cell[:, 0].copy(), local[:, 0].copy(), cell[:, 1].copy(), local[:, 1].copy(), shift)

    def interface_facets(self) -> InterfaceFacets:
        """All facets between solid and electrolyte on the torus, each once, seen from the solid."""
        return InterfaceFacets(**self.remember("interface", self._interface))

    def _interface(self) -> dict[str, NDArray[Any]]:
        f = self.torus_facets
        differ = np.flatnonzero(self.phase[f.cell] != self.phase[f.other])
        cell, other, shift = f.cell[differ], f.other[differ], f.shift[differ]
        first = self.phase[cell] == SOLID
        return {
            "solid": np.where(first, cell, other),
            "local": np.where(first, f.local[differ], f.other_local[differ]),
            "electrolyte": np.where(first, other, cell),
            "shift": np.where(first[:, None], shift, -shift),
        }

    def _chunks(self, count: int) -> Iterator[slice]:
        return (slice(i, i + CHUNK) for i in range(0, count, CHUNK))

    def jacobians(self, points: Floats) -> Floats:
        """Determinants of the reference-to-cell map at reference points: (m, points)."""
        out = np.empty((len(self.cells), len(points)))
        sample = points if self.order == 2 else points[:1]  # constant on straight cells
        gradients = lagrange_gradients(self.order, sample)
        q, k, dim = gradients.shape
        flat = gradients.transpose(1, 0, 2).reshape(k, q * dim)
        for part in self._chunks(len(self.cells)):
            corner = self.points[self.cells[part]].transpose(0, 2, 1)  # (cells, dim, k)
            jacobian = (corner @ flat).reshape(-1, dim, q, dim).transpose(0, 2, 1, 3)
            out[part] = determinants(jacobian)
        return out

    @cached_property
    def cell_measures(self) -> Floats:
        """(m,) areas or volumes by isoparametric quadrature, exact for both orders."""

        def compute() -> dict[str, NDArray[Any]]:
            points, weights = simplex_rule(self.dim, self.order)
            return {"cells": self.jacobians(points) @ weights}

        return self.remember("measure", compute)["cells"]

    def nodal_weights(self) -> Floats:
        """(m, k) integrals of the basis functions over each cell, exact."""
        points, weights = simplex_rule(self.dim, 1 if self.order == 1 else 3)
        return (self.jacobians(points) * weights) @ lagrange(self.order, points)

    def phase_fraction(self, phase: int) -> float:
        """phi of SOLID or ELECTROLYTE: its area or volume over that of the unit cell."""
        return float(self.cell_measures[self.phase == phase].sum())

    def interface_measure(self, keep: NDArray[np.bool_] | None = None) -> float:
        """a = |Gamma|, length or area of the interface per unit cell, in unit-cell lengths (periodic copies once).

        `keep` marks the facets of interface_facets() that count, all by default.
        """
        return float(self.interface_measures(keep).sum())

    def interface_measures(self, keep: NDArray[np.bool_] | None = None) -> Floats:
        """(f,) length or area of each facet of interface_facets(), of those that `keep` marks."""
        facets = self.interface_facets()
        counted = slice(None) if keep is None else keep
        solid, numbers = facets.solid[counted], facets.local[counted]
        columns = np.stack([self.facet_nodes(i) for i in range(self.dim + 1)])
        points, weights = simplex_rule(self.dim - 1, 1 if self.order == 1 else 8 if self.dim == 2 else 5)
        slopes = lagrange_gradients(self.order, points)
        out = np.empty(len(solid))
        for part in self._chunks(len(solid)):
            corner = self.points[self.cells[solid[part][:, None], columns[numbers[part]]]]
            tangents = np.einsum("fkd,qkt->fqtd", corner, slopes)
            out[part] = metric(tangents) @ weights
        return out

    def min_angle(self) -> float:
        """Smallest angle of the straight triangles, smallest dihedral angle of the straight tetrahedra, degrees.

        cos = -n_i.n_j of the unit normals of two facets, which barycentric coordinates' gradients give.
        """
        largest = -1.0  # cosine
        slope = lagrange_gradients(1, np.zeros((1, self.dim)))[0]
        for part in self._chunks(len(self.cells)):
            corner = self.points[self.cells[part, : self.dim + 1]]
            normal = slope @ adjugates(corner[:, 1:] - corner[:, :1]).transpose(0, 2, 1)
            normal /= np.sqrt(np.einsum("cij,cij->ci", normal, normal))[:, :, None]
            for i, j in combinations(range(self.dim + 1), 2):
                largest = max(largest, float(-np.einsum("ck,ck->c", normal[:, i], normal[:, j]).min()))
        return math.degrees(math.acos(min(largest, 1.0)))

    def cell_jacobian(self) -> Floats:
        """(m,) least determinant of each cell (at quadrature points and nodes) over its mean.

        1 for straight cells; positive as long as a curved one does not fold over.
        """
        points = simplex_rule(self.dim, 4 if self.dim == 2 else 2)[0]
        local = self.jacobians(np.vstack([points, nodes(self.dim, self.order)]))
        return np.asarray(local.min(axis=1) / (math.factorial(self.dim) * np.abs(self.cell_measures)))

    def min_jacobian(self) -> float:
        """Smallest value of `cell_jacobian`."""
        return float(self.cell_jacobian().min())

    def check(self) -> None:
        """Raises RuntimeError unless cells are positive, pairs exact, facets conforming and the measure one."""
        if self.min_jacobian() <= 0.0:
            raise RuntimeError(f"unit cell {self.name}: a cell is not positively oriented")
        for direction, pairs in enumerate(self.periodic):
            if direction == 0 and self.ends is not None:
                continue
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
        if len(self.torus_facets.cell) * 2 + self._free_facets != (self.dim + 1) * len(self.cells):
            raise RuntimeError(f"unit cell {self.name}: the mesh is not conforming on the torus")
        if abs(self.cell_measures.sum() - 1.0) > 1e-12:
            raise RuntimeError(f"unit cell {self.name}: the cells do not fill the unit cell")

    def save(self, path: Path) -> None:
        """Writes a folder of .npy files with all arrays and what was derived from them; one rank calls it.

        cell.json is written last: a folder that has it is whole.
        """
        path.mkdir(parents=True, exist_ok=True)
        (path / "cell.json").unlink(missing_ok=True)
        self.interface_facets(), self.cell_measures  # into `derived`
        arrays: dict[str, NDArray[Any]] = {"points": self.points, "cells": self.cells, "phase": self.phase}
        arrays |= {f"periodic.{d}": pairs for d, pairs in enumerate(self.periodic)}
        arrays |= {f"derived.{name}": value for name, value in self.derived.items()}
        for name, array in arrays.items():
            np.save(path / f"{name}.npy", array)
        head = {"name": self.name, "dim": self.dim, "order": self.order, "arrays": sorted(arrays)}
        (path / "cell.json").write_text(json.dumps(head))

    @classmethod
    def load(cls, path: Path) -> UnitCell:
        """The unit cell of a folder written by `save`; arrays stay on disk, mapped read-only and shared by ranks.

        Raises FileNotFoundError for a folder that is not whole.
        """
        head = json.loads((path / "cell.json").read_text())
        arrays = {n: np.load(path / f"{n}.npy", mmap_mode="r").view(np.ndarray) for n in head["arrays"]}
        derived = {n.removeprefix("derived."): a for n, a in arrays.items() if n.startswith("derived.")}
        periodic = tuple(arrays[f"periodic.{d}"] for d in range(head["dim"]))
        cell = cls(
            head["name"],
            head["dim"],
            head["order"],
            arrays["points"],
            arrays["cells"],
            arrays["phase"],
            periodic,
        )
        cell.derived.update(derived)
        return cell
