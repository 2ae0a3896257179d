"""Meso domains of the homogenised model: meshes through negative electrode, separator and positive electrode."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from dolfinx import fem
from mpi4py import MPI

from dfx_homog import _compat
from dfx_homog._compat import FloatArray
from dfx_homog.solvers.layout import Ints, Transfer, build_layout

NEGATIVE_FACE, POSITIVE_FACE, NEGATIVE_TAB, POSITIVE_TAB, LATERAL_FACE = 1, 2, 3, 4, 5
Facets = npt.NDArray[np.int32]
Box = tuple[tuple[float, float], ...]  # an interval in each lateral direction
CELLS = {1: "interval", 2: "quadrilateral", 3: "hexahedron"}
#: Work of an element of the separator over that of one of an electrode, whose nodes have particles.
SEPARATOR_WORK = 0.02


class MesoDomain(ABC):
    """A mesh of the three regions in cell thicknesses, y1 from 0 at the negative collector to 1 at the positive one.

    mesh:   its cells stay on the rank that made them, without ghosts; in `dim` dimensions
    order:  of the Lagrange elements. The particles sit at their nodes: a reaction term int J v is the sum over nodes of
            w_i J_i v_i with w_i the integral of the basis function, which must be positive
    region: (cells,) 0, 1, 2 of this rank's cells
    facets: (n, 2) cell and local facet of NEGATIVE_FACE, POSITIVE_FACE (the collectors), NEGATIVE_TAB, POSITIVE_TAB
            (where current passes) and LATERAL_FACE (every other one), on this rank
    area:   |F| of a collector; everything is counted per |F|
    """

    comm: MPI.Intracomm
    mesh: Any
    dim: int
    order: int
    region: Ints
    facets: dict[int, Facets]
    area: float

    @abstractmethod
    def numbers(self, space: fem.FunctionSpace) -> Ints:
        """(nodes,) number of each local node of a Lagrange space of this order, independent of the number of ranks."""

    def keys(self, numbers: Ints) -> Ints:
        """Numbers in which nodes that are one by periodicity have the same."""
        return numbers

    @property
    @abstractmethod
    def count(self) -> int:
        """Nodes in all."""

    @abstractmethod
    def place(self, number: int) -> FloatArray:
        """(dim,) coordinates of a numbered node. Collective."""

    @abstractmethod
    def negative_side(self, space: fem.FunctionSpace) -> npt.NDArray[np.bool_]:
        """(nodes,) whether nodes of a Lagrange space that touch an electrode touch the negative one."""

    @cached_property
    def stiffness(self) -> float:
        """About the largest entry of a stiffness matrix for the coefficient 1, per |F|. Collective."""
        x = self.mesh.geometry.x[_compat.geometry_nodes(self.mesh)[: len(self.region)], : self.dim]
        size = np.ptp(x, axis=1) / self.order
        local = (size.prod(axis=1) / size.min(axis=1) ** 2).max(initial=0.0)
        return float(self.comm.allreduce(local, op=MPI.MAX)) / self.area


@dataclass(frozen=True)
class Side:
    """A lateral direction of a box: its length, elements along it, and by what factor those next to `edges` (places of
    the ends of tabs) are shorter than the longest."""

    length: float
    elements: int
    grading: float = 1.0
    edges: tuple[float, ...] = ()

    def grid(self) -> FloatArray:
        """(elements + 1,) vertices, the edges among them if there are as many elements."""
        inner = sorted({e for e in self.edges if 1e-9 * self.length < e < (1 - 1e-9) * self.length})
        ends = np.array([0.0, *inner, self.length])
        counts = np.maximum(np.round(np.diff(ends) / self.length * self.elements), 1).astype(int)
        while counts.sum() != self.elements and counts.max() > 1:
            counts[np.argmax(counts)] += np.sign(self.elements - counts.sum())
        parts = []
        for i, count in enumerate(counts):
            # distances to the nearest edge, in elements, decide on the lengths
            k = np.arange(count)
            near = np.minimum(
                k if i > 0 else np.full(count, count), k[::-1] if i < len(inner) else np.full(count, count)
            )
            sizes = self.grading ** (near / max(near.max(), 1))
            share = np.concatenate([[0.0], np.cumsum(sizes) / sizes.sum()])
            parts.append(ends[i] + (ends[i + 1] - ends[i]) * share[:-1])
        return np.concatenate([*parts, [self.length]])


class MesoBox(MesoDomain):
    """A box of intervals, quadrilaterals or hexahedra on a tensor grid.

    On tensor products of quadratic elements a node and a point of Lobatto's rule are the same thing (three per element
    and direction), on those of linear elements the same holds for the trapezoidal rule: weights are positive.
    Cells are spread in columns through the thickness, each with the same work for the particles.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        thickness: tuple[float, ...],
        elements: int,
        sides: tuple[Side, ...] = (),
        *,
        order: int = 2,
        periodic: bool = True,
        tabs: tuple[Box | None, Box | None] = (None, None),
    ):
        """elements: in each region; periodic: in all lateral directions, else insulated; tabs: where the current passes
        through the negative and the positive collector, None: all of it"""
        self.comm, self.thickness, self.elements, self.order = comm, thickness, elements, order
        self.dim, self.periodic = 1 + len(sides), periodic
        ends = np.concatenate([[0.0], np.cumsum(thickness)])
        self.ends = ends / ends[-1]
        self.ends[-1] = 1.0
        through = np.concatenate(
            [np.linspace(self.ends[r], self.ends[r + 1], elements + 1)[:-1] for r in range(3)] + [[1.0]]
        )
        self.grids: list[FloatArray] = [through, *(side.grid() for side in sides)]
        self.area = float(np.prod([side.length for side in sides]))
        self._make(tabs)

    def _make(self, tabs: tuple[Box | None, Box | None]) -> None:
        comm, dim = self.comm, self.dim
        shape = [len(g) - 1 for g in self.grids]
        points = [n + 1 for n in shape]
        own = np.arange(*(self._first_cell(comm.rank + i) for i in (0, 1)), dtype=np.int64)
        index = np.array(np.unravel_index(own, shape[::-1])[::-1]).reshape(dim, -1)  # y1 runs fastest
        corners = np.array([[(k >> d) & 1 for d in range(dim)] for k in range(2**dim)])
        vertex = np.ravel_multi_index(
            [index[d][:, None] + corners[:, d] for d in reversed(range(dim))], points[::-1]
        )
        first, last = (int(np.prod(points)) * (comm.rank + i) // comm.size for i in (0, 1))
        where = np.unravel_index(np.arange(first, last), points[::-1])[::-1]
        x = np.column_stack([g[k] for g, k in zip(self.grids, where, strict=True)])
        self.mesh = _compat.create_mesh(comm, vertex.astype(np.int64), x, CELLS[dim], 1)
        local = int(self.mesh.topology.index_map(dim).size_local)
        order = np.asarray(self.mesh.topology.original_cell_index[:local], dtype=np.int64)
        # cells of a rank are in a row
        index = np.array(np.unravel_index(order, shape[::-1])[::-1]).reshape(dim, -1)
        self.region = index[0] // self.elements
        self.facets = self._faces(index, shape, tabs)

    def _first_cell(self, rank: int) -> int:
        """Where the cells of a rank begin, so that every rank has the same work."""
        work = np.repeat([1.0, SEPARATOR_WORK, 1.0], self.elements)
        columns = int(np.prod([len(g) - 1 for g in self.grids[1:]]))
        column, rest = divmod(columns * rank / self.comm.size, 1)
        before = np.cumsum(work) / work.sum()
        return int(column) * len(work) + int(np.searchsorted(before, rest + 1e-12, side="right"))

    def _faces(self, index: Ints, shape: list[int], tabs: tuple[Box | None, Box | None]) -> dict[int, Facets]:
        dim = self.dim
        # facets of the reference cell in the order of Basix, and the direction and side that each is on
        numbers = {1: [(0, 0), (0, 1)], 2: [(1, 0), (0, 0), (0, 1), (1, 1)]}
        numbers[3] = [(2, 0), (1, 0), (0, 0), (0, 1), (1, 1), (2, 1)]

        def on(direction: int, side: int) -> Facets:
            cells = np.flatnonzero(index[direction] == (shape[direction] - 1 if side else 0))
            facet = np.full(len(cells), numbers[dim].index((direction, side)))
            return np.column_stack([cells, facet]).astype(np.int32)

        faces = {NEGATIVE_FACE: on(0, 0), POSITIVE_FACE: on(0, 1)}
        for face, tab, box in (
            (NEGATIVE_FACE, NEGATIVE_TAB, tabs[0]),
            (POSITIVE_FACE, POSITIVE_TAB, tabs[1]),
        ):
            inside = np.ones(len(faces[face]), dtype=bool)
            for d, (low, high) in enumerate(box or (), start=1):
                middle = 0.5 * (self.grids[d][1:] + self.grids[d][:-1])[index[d][faces[face][:, 0]]]
                inside &= (middle > low) & (middle < high)
            faces[tab] = faces[face][inside]
        sides = [] if self.periodic else [on(d, s) for d in range(1, dim) for s in (0, 1)]
        faces[LATERAL_FACE] = np.concatenate([np.empty((0, 2), dtype=np.int32), *sides])
        return faces

    @cached_property
    def node_grids(self) -> list[FloatArray]:
        """Coordinates of the nodes in each direction."""
        grids: list[FloatArray] = []
        for grid in self.grids:
            nodes = np.empty(self.order * (len(grid) - 1) + 1)
            nodes[:: self.order] = grid
            if self.order == 2:
                nodes[1::2] = 0.5 * (grid[1:] + grid[:-1])
            grids.append(nodes)
        return grids

    @property
    def count(self) -> int:
        return int(np.prod([len(g) for g in self.node_grids]))

    def indices(self, points: FloatArray) -> Ints:
        """(dim, n) position on `node_grids` of nodes at points (n, 3)."""
        return np.array(
            [np.searchsorted(0.5 * (g[1:] + g[:-1]), points[:, d]) for d, g in enumerate(self.node_grids)]
        )

    @property
    def spans(self) -> Ints:
        """(3, 2) first and last node of each region in direction 1."""
        count = self.order * self.elements
        return np.column_stack([count * np.arange(3), count * np.arange(1, 4)])

    def numbers(self, space: fem.FunctionSpace) -> Ints:
        nodes = space.dofmap.index_map.size_local + space.dofmap.index_map.num_ghosts
        index = self.indices(space.tabulate_dof_coordinates()[:nodes])
        return self._join(index)

    def _join(self, index: Ints) -> Ints:
        numbers: Ints = np.ravel_multi_index(tuple(index[::-1]), [len(g) for g in self.node_grids[::-1]])
        return numbers.astype(np.int64)

    def _split(self, numbers: Ints) -> Ints:
        return np.array(np.unravel_index(numbers, [len(g) for g in self.node_grids[::-1]])[::-1])

    def keys(self, numbers: Ints) -> Ints:
        if not self.periodic or self.dim == 1:
            return numbers
        index = self._split(numbers)
        for d in range(1, self.dim):
            index[d] %= len(self.node_grids[d]) - 1
        return self._join(index)

    def place(self, number: int) -> FloatArray:
        return np.array([g[i] for g, i in zip(self.node_grids, self._split(np.array(number)), strict=True)])

    def negative_side(self, space: fem.FunctionSpace) -> npt.NDArray[np.bool_]:
        grid = self.node_grids[0]
        number = self._split(self.numbers(space))[0]
        return np.asarray(grid[number] < 0.5 * (self.ends[1] + self.ends[2]))


class MesoLine(MesoBox):
    """Quadratic elements over [0, 1], `elements` in each region: exact for what does not vary across."""

    def __init__(self, comm: MPI.Intracomm, thickness: tuple[float, ...], elements: int):
        super().__init__(comm, thickness, elements)


class Nodes:
    """The meso nodes shared out over the ranks: each key is one node, and one rank of those that touch it has it.

    own: (n,) local nodes that this rank has
    """

    def __init__(self, comm: MPI.Intracomm, keys: Ints, touched: npt.NDArray[np.bool_]):
        """touched: (nodes,) whether a cell of this rank touches the node"""
        self._layout = layout = build_layout(comm, keys, touched[:, None])
        self._transfer = Transfer(layout)
        number = layout.numbers[:, 0]
        mine = np.flatnonzero((number >= layout.offset) & (number < layout.offset + layout.local_size))
        self.own = np.sort(mine[np.unique(number[mine], return_index=True)[1]])
        self._position = number[self.own] - layout.offset
        self._vector = layout.create_vector()

    def totals(self, weights: FloatArray) -> FloatArray:
        """(nodes,) sums over ranks, and over nodes that are one, at own nodes; zero elsewhere. Collective."""
        self._vector.set(0.0)
        self._transfer.add_to_vector(weights, self._vector)
        total = np.zeros(len(weights))
        total[self.own] = self._vector.array_r[self._position]
        return total

    def spread(self, values: FloatArray) -> FloatArray:
        """(nodes,) the values that ranks have at their own nodes, at all nodes. Collective."""
        self._vector.array_w[self._position] = values[self.own]
        everywhere = values.copy()
        self._transfer.to_function(self._vector, everywhere)
        return everywhere

    def destroy(self) -> None:
        """Free PETSc objects (collective)."""
        self._transfer.destroy()
        self._vector.destroy()
