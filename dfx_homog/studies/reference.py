"""States of the homogenised model kept for comparison: small arrays, the same on all ranks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from dfx_homog._compat import FloatArray
from dfx_homog.models.homogenised import HomogenisedModel
from dfx_homog.models.meso import PHI_S
from dfx_homog.models.meso_domain import MesoBox
from dfx_homog.solvers.layout import Ints

ON_VERTEX = 1e-12  # a point as near to a vertex is on it


@dataclass(frozen=True)
class MesoState:
    """The homogenised solution on a line or a box at one time; y1 runs fastest in all arrays.

    grids:     coordinates of the nodes in each direction, order + 1 per element; with wall laws both sides of a
               separator face are nodes, and there is an element of no length between them
    values:    (n, 4) Phi_s, c_e, Phi_e, T at the nodes (Phi_s of no meaning in the separator)
    particles: c_s of the negative and the positive electrode, (nodes of the electrode, n_s)
    first:     position in grids[0] of the first node of each of these
    ends:      0, separator faces, 1
    """

    grids: tuple[FloatArray, ...]
    order: int
    values: FloatArray
    particles: tuple[FloatArray, FloatArray]
    first: tuple[int, int]
    ends: FloatArray

    @property
    def dim(self) -> int:
        """Meso dimensions."""
        return len(self.grids)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """For a file; `from_arrays` takes them."""
        n, p = self.particles
        named = {"values": self.values, "c_n": n, "c_p": p, "ends": self.ends, "order": np.array(self.order)}
        return (
            named | {"first": np.array(self.first)} | {f"y{i + 1}": grid for i, grid in enumerate(self.grids)}
        )

    @classmethod
    def from_arrays(cls, a: dict[str, npt.NDArray[Any]]) -> MesoState:
        """What `to_arrays` gave."""
        n, p = (int(k) for k in a["first"])
        grids = tuple(a[key] for key in ("y1", "y2", "y3") if key in a)
        return cls(grids, int(a["order"]), a["values"], (a["c_n"], a["c_p"]), (n, p), a["ends"])

    def middle(self) -> tuple[FloatArray, FloatArray]:
        """y1 and values (n, 4) of the nodes on a line through the middle of the cell."""
        shape = tuple(len(g) for g in self.grids[::-1])
        table = self.values.reshape(*shape, -1)
        return self.grids[0], table[tuple(n // 2 for n in shape[:-1])]

    def _element(
        self, y: FloatArray, region: npt.NDArray[np.integer[Any]]
    ) -> list[tuple[Ints, FloatArray, FloatArray]]:
        """For each direction: first node of the element of `region` that contains y (..., d), values and slopes
        (..., order + 1) of the basis functions."""
        found = []
        for d, grid in enumerate(self.grids):
            vertices, at = grid[:: self.order], y[..., d]
            low, high = np.zeros(region.shape, dtype=int), np.full(region.shape, len(vertices) - 2)
            if d == 0:
                low = np.searchsorted(vertices, self.ends[region] + ON_VERTEX) - 1
                high = np.searchsorted(vertices, self.ends[region + 1] - ON_VERTEX) - 1
            # at a vertex slopes jump: rounding, which depends on the ranks, must not choose the side
            element = np.clip(np.searchsorted(vertices, at + ON_VERTEX, side="right") - 1, low, high)
            length = vertices[element + 1] - vertices[element]
            basis, slope = _lagrange((at - vertices[element]) / length, self.order)
            found.append((self.order * element, basis, slope / length[..., None]))
        return found

    def evaluate(
        self, component: int, y: FloatArray, region: npt.NDArray[np.integer[Any]]
    ) -> tuple[FloatArray, FloatArray]:
        """Values (...) and gradients (..., d) of a field at points y (..., d) of given regions (slopes jump between
        regions)."""
        parts = self._element(y, region)
        strides = np.cumprod([1, *(len(g) for g in self.grids[:-1])])
        value, slope = np.zeros(region.shape), np.zeros((*region.shape, self.dim))
        for offset in product(range(self.order + 1), repeat=self.dim):
            node = sum((p[0] + k) * stride for p, k, stride in zip(parts, offset, strides, strict=True))
            nodal = self.values[node, component]
            shape = [p[1][..., k] for p, k in zip(parts, offset, strict=True)]
            value += np.prod(shape, axis=0) * nodal
            for j in range(self.dim):
                rest = [s if i != j else parts[j][2][..., offset[j]] for i, s in enumerate(shape)]
                slope[..., j] += np.prod(rest, axis=0) * nodal
        return value, slope

    def concentration(self, electrode: int, y: FloatArray, solid_node: Ints) -> FloatArray:
        """Two-scale c_s(y, z) at meso positions y (..., d) and nodes (...) of the particle problem."""
        parts = self._element(y, np.full(y.shape[:-1], 2 * electrode))
        lateral = int(np.prod([len(g) for g in self.grids[1:]]))
        width = len(self.particles[electrode]) // lateral
        strides = np.cumprod([1, width, *(len(g) for g in self.grids[1:-1])])
        value = np.zeros(y.shape[:-1])
        for offset in product(range(self.order + 1), repeat=self.dim):
            node = sum((p[0] + k) * stride for p, k, stride in zip(parts, offset, strides, strict=False))
            basis = np.prod([p[1][..., k] for p, k in zip(parts, offset, strict=True)], axis=0)
            value += basis * self.particles[electrode][node - self.first[electrode], solid_node]
        return value


def _lagrange(t: FloatArray, order: int) -> tuple[FloatArray, FloatArray]:
    """Lagrange basis on [0, 1] with order + 1 = 2 or 3 even nodes, and its derivative; shape (..., order + 1)."""
    if order == 1:
        return np.stack([1 - t, t], axis=-1), np.stack([-np.ones_like(t), np.ones_like(t)], axis=-1)
    basis = np.stack([(1 - t) * (1 - 2 * t), 4 * t * (1 - t), t * (2 * t - 1)], axis=-1)
    slope = np.stack([4 * t - 3, 4 - 8 * t, 4 * t - 1], axis=-1)
    return basis, slope


def take_state(model: HomogenisedModel) -> MesoState:
    """Copy the current state to all ranks (the meso box and its particles are small next to any resolved level)."""
    comm, box, own = model.comm, model.domain, model.shared.own
    assert isinstance(box, MesoBox)
    # nodes that are one by periodicity are all filled in by the rank that has them
    every, width = np.arange(box.count), len(box.node_grids[0])
    keys, column = box.keys(every), every % width
    spans = box.spans
    begin, end = int(spans[0, 0]), int(spans[2, 1]) + 1
    values = np.zeros((box.count, 4))
    values[model.keys[own]] = model.values[own]
    comm.Allreduce(MPI.IN_PLACE, values, op=MPI.SUM)
    table = values[keys].reshape(-1, width, 4)[:, begin:end]
    for left, right in zip(spans[:-1, 1] - begin, spans[1:, 0] - begin, strict=True):
        if right > left:
            table[:, left + 1] = 0.5 * (table[:, left] + table[:, right])
            # the side of the separator has no solid: Phi_s ends, in a picture, on the electrode's
            inner = left if left < table.shape[1] // 2 else right
            table[:, left : right + 1, PHI_S] = table[:, [inner], PHI_S]
    particles, first = [], []
    for electrode, points in enumerate(model.points):
        low, high = (int(n) for n in spans[2 * electrode])
        inside = (column >= low) & (column <= high)
        row = np.cumsum(inside) - 1
        c = np.zeros((int(inside.sum()), points.particles.c.shape[1]))
        c[row[model.keys[points.nodes]]] = points.particles.c
        comm.Allreduce(MPI.IN_PLACE, c, op=MPI.SUM)
        particles.append(c[row[keys[inside]]])
        first.append(low - begin)
    grids = (box.node_grids[0][begin:end], *box.node_grids[1:])
    both = particles[0], particles[1]
    return MesoState(grids, box.order, table.reshape(-1, 4), both, (first[0], first[1]), box.ends)
