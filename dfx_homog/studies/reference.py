"""States of the homogenised model kept for comparison: small arrays, the same on all ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mpi4py import MPI

from dfx_homog._compat import FloatArray
from dfx_homog.models.homogenised import HomogenisedModel
from dfx_homog.models.meso_domain import MesoLine


@dataclass(frozen=True)
class MesoState:
    """The homogenised solution at one time.

    y:         (n,) nodes of the meso line from left to right, three per element; with wall laws both sides of a
               separator face are nodes, and there is an element of no length between them
    values:    (n, 4) Phi_s, c_e, Phi_e, T at the nodes (Phi_s of no meaning in the separator)
    particles: c_s of the negative and the positive electrode, (nodes of the electrode, n_s)
    first:     position in y of the first node of each of these
    ends:      0, separator faces, 1
    """

    y: FloatArray
    values: FloatArray
    particles: tuple[FloatArray, FloatArray]
    first: tuple[int, int]
    ends: FloatArray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """For a file; `from_arrays` takes them."""
        n, p = self.particles
        named = {"y": self.y, "values": self.values, "c_n": n, "c_p": p, "ends": self.ends}
        return named | {"first": np.array(self.first)}

    @classmethod
    def from_arrays(cls, a: dict[str, np.ndarray]) -> MesoState:
        """What `to_arrays` gave."""
        n, p = (int(k) for k in a["first"])
        return cls(a["y"], a["values"], (a["c_n"], a["c_p"]), (n, p), a["ends"])

    def _element(self, y: FloatArray, region: np.ndarray) -> tuple[np.ndarray, FloatArray, FloatArray]:
        """Left node, local coordinate in [0, 1] and length of the element of `region` that contains y."""
        vertices = self.y[::2]
        low = np.searchsorted(vertices, self.ends[region] + 1e-12) - 1
        high = np.searchsorted(vertices, self.ends[region + 1] - 1e-12) - 1
        element = np.clip(np.searchsorted(vertices, y, side="right") - 1, low, high)
        length = vertices[element + 1] - vertices[element]
        return 2 * element, (y - vertices[element]) / length, length

    def evaluate(self, component: int, y: FloatArray, region: np.ndarray) -> tuple[FloatArray, FloatArray]:
        """Value and slope d/dy1 of a field at points y of given regions (slopes jump between regions)."""
        node, t, length = self._element(y, region)
        basis, slope = _quadratic(t)
        nodal = self.values[node[..., None] + np.arange(3), component]
        return (basis * nodal).sum(axis=-1), (slope * nodal).sum(axis=-1) / length

    def concentration(self, electrode: int, y: FloatArray, solid_node: np.ndarray) -> FloatArray:
        """Two-scale c_s(y1, z) at meso positions y and nodes of the particle problem; same shapes."""
        node, t, _ = self._element(y, np.full(y.shape, 2 * electrode))
        basis, _ = _quadratic(t)
        rows = node[..., None] - self.first[electrode] + np.arange(3)
        return (basis * self.particles[electrode][rows, solid_node[..., None]]).sum(axis=-1)


def _quadratic(t: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Quadratic Lagrange basis on [0, 1] with nodes 0, 1/2, 1, and its derivative; shape (..., 3)."""
    basis = np.stack([(1 - t) * (1 - 2 * t), 4 * t * (1 - t), t * (2 * t - 1)], axis=-1)
    slope = np.stack([4 * t - 3, 4 - 8 * t, 4 * t - 1], axis=-1)
    return basis, slope


def take_state(model: HomogenisedModel) -> MesoState:
    """Copy the current state to all ranks (the meso line and its particles are small next to any resolved level)."""
    comm, line = model.comm, model.domain
    assert isinstance(line, MesoLine)
    spans, own = line.spans, model.shared.own
    begin, end = int(spans[0, 0]), int(spans[2, 1]) + 1
    place = model.numbers - begin
    values = np.zeros((end - begin, 4))
    values[place[own]] = model.values[own]
    comm.Allreduce(MPI.IN_PLACE, values, op=MPI.SUM)
    for left, right in zip(spans[:-1, 1] - begin, spans[1:, 0] - begin, strict=True):
        if right > left:
            values[left + 1] = 0.5 * (values[left] + values[right])
    particles, first = [], []
    for electrode, points in enumerate(model.points):
        low, high = (int(n) - begin for n in spans[2 * electrode])
        c = np.zeros((high + 1 - low, points.particles.c.shape[1]))
        c[place[points.nodes] - low] = points.particles.c
        comm.Allreduce(MPI.IN_PLACE, c, op=MPI.SUM)
        particles.append(c)
        first.append(low)
    grid = line.node_grid[begin:end]
    return MesoState(grid, values, (particles[0], particles[1]), (first[0], first[1]), line.ends)
