"""The discrete operators of a cell problem on voxels, on one rank's slab (kernels in native/voxel*.cpp).

fv: unknown i at the centre of voxel i, flux through a face of area |F| between voxels i and j at distance h:

    |F|/h T_ij (u_i - u_j),    T_ij = 2 k_i k_j/(k_i + k_j);    T = 2 k_i at a boundary face with given u.

q1: unknowns at the corners of the voxels, trilinear elements, one conductivity per element.

All fields are padded with one ghost layer. Boundary conditions are ghost values: no conductivity beyond an insulated
face, an unlimited one (with u = 0) beyond a fixed face of `fv`; fixed nodes of `q1` have no diagonal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog._compat import FloatArray
from dfx_homog._native import VoxelStencil, voxel_dot
from dfx_homog.voxels.grid import VoxelGrid

PERIODIC, FIXED, INSULATED = 0, 1, 2
_PRODUCT, _HARMONIC, _Q1 = 0, 1, 2
_UNLIMITED = (
    1e15  # conductivity beyond a fixed face: its square is still a float32, 2 k K/(k + K) is 2 k in double
)


def sides(condition: str, dim: int, axis: int = 0) -> tuple[int, int, int]:
    """What bounds the image along each array axis; `axis` is the one of `through`. The dummy axis of 2D is periodic."""
    kind = {"periodic": PERIODIC, "dirichlet": FIXED, "flux": INSULATED, "through": INSULATED}[condition]
    out = [kind, kind if dim == 3 else PERIODIC, kind]
    if condition == "through":
        out[axis] = FIXED
    return out[0], out[1], out[2]


def haar_coefficients(spacing: tuple[float, float, float]) -> tuple[float, ...]:
    """Energy of the eight Haar modes of a trilinear element with conductivity 1: K_e = H^T diag(c) H.

    H takes sums and differences of the nodal values along each axis. The quadratic forms of a linear element of
    length h are (difference)^2/h for the derivative and h (sum^2/4 + difference^2/12) for the mass.
    """
    out = []
    for mode in range(8):
        odd = [bool(mode & bit) for bit in (4, 2, 1)]
        mass = [h / 12 if o else h / 4 for h, o in zip(spacing, odd, strict=True)]
        total = 0.0
        for a in range(3):
            if odd[a]:
                total += float(np.prod([m for b, m in enumerate(mass) if b != a])) / spacing[a]
        out.append(total)
    return tuple(out)


class VoxelOperator:
    """A u = -div_h(k grad_h u) on this rank's slab, with what the conditions need.

    codes, table   conductivity of own voxel i is table[codes[i]] >= 0
    boundary       PERIODIC, FIXED or INSULATED per array axis
    scale          the largest conductivity: all arrays here hold k/scale
    shape          own unknowns along the array axes; fields are arrays of shape + 2
    spectrum       bound of the eigenvalues of D^-1 A: 2 for fv, 1.5 for q1 on cubes
    """

    def __init__(
        self,
        grid: VoxelGrid,
        discretisation: str,
        codes: NDArray[np.uint8],
        table: FloatArray,
        boundary: tuple[int, int, int],
    ):
        self.grid, self.comm, self.boundary = grid, grid.comm, boundary
        self.q1 = discretisation == "q1"
        rank, size = self.comm.rank, self.comm.size
        self.first, self.last = rank == 0, rank == size - 1
        before, after = (rank - 1) % size, (rank + 1) % size
        if boundary[0] != PERIODIC:
            before = MPI.PROC_NULL if self.first else before
            after = MPI.PROC_NULL if self.last else after
        self.before, self.after = before, after
        counts = [grid.stop - grid.start, grid.shape[1], grid.shape[2]]
        if self.q1:  # the corners at the upper end belong to the last voxels
            counts = [
                n + int(b != PERIODIC and (a > 0 or self.last))
                for a, (n, b) in enumerate(zip(counts, boundary, strict=True))
            ]
        self.shape = (counts[0], counts[1], counts[2])
        self.scale = float(table.max(initial=0.0)) or 1.0
        h = grid.spacing
        volume = h[0] * h[1] * h[2]
        self.weights = tuple(volume / h[a] ** 2 if grid.dim == 3 or a != 1 else 0.0 for a in range(3))
        self.coefficients = haar_coefficients(h)
        self.spectrum = 8 * max(self.coefficients) / sum(self.coefficients) if self.q1 else 2.0
        self._conductivities(codes, table / self.scale)

    def _conductivities(self, codes: NDArray[np.uint8], table: NDArray[np.floating]) -> None:
        same = len(np.unique(table[table > 0])) <= 1  # 0 and 1 are exact in float32
        scheme = _Q1 if self.q1 else _PRODUCT if same else _HARMONIC
        self.k = self.field(np.float32)
        exact = None if same else self.field(np.float64)
        self.native = VoxelStencil(
            scheme=scheme,
            shape=self.shape,
            h=self.grid.spacing,
            w=self.weights,
            c=self.coefficients,
            k=self.k,
            exact=exact,
        )
        self.exact = self.k if exact is None else exact
        beyond = 2.0 if same else _UNLIMITED
        for k in (self.k,) if exact is None else (self.k, exact):
            values = table.astype(k.dtype)
            own = k[tuple(slice(1, n + 1) for n in codes.shape)]
            for plane, code in zip(own, codes, strict=True):
                plane[...] = values[code]
            self.exchange(k)
            if not self.q1:
                self._fixed_faces(k, beyond)
        if self.q1:
            inverse = self.field(np.float32)
            self.native.diagonal(inverse)
            self._release_fixed_nodes(inverse)
            np.divide(1.0, inverse, out=inverse, where=inverse > 0)
            self.native.set_inverse(inverse)
            self.inverse = inverse

    def _ends(self, axis: int) -> list[int]:
        """Which ends of the image along an axis this rank has: 0 lower, -1 upper."""
        return [end for end, mine in ((0, self.first), (-1, self.last)) if axis > 0 or mine]

    def _fixed_faces(self, k: NDArray[Any], beyond: float) -> None:
        for axis in range(3):
            if self.boundary[axis] == FIXED:
                for end in self._ends(axis):
                    np.moveaxis(k, axis, 0)[end] = beyond

    def _release_fixed_nodes(self, diagonal: NDArray[Any]) -> None:
        for axis in range(3):
            if self.boundary[axis] == FIXED:
                for end in self._ends(axis):
                    np.moveaxis(diagonal, axis, 0)[1 if end == 0 else -2] = 0

    def field(self, dtype: Any = np.float64) -> NDArray[Any]:
        """A padded field of zeros."""
        return np.zeros([n + 2 for n in self.shape], dtype=dtype)

    def exchange(self, u: NDArray[Any]) -> None:
        """Ghost values from the neighbouring ranks and from the periodic images."""
        if self.comm.size > 1:
            self.comm.Sendrecv(u[-2], self.after, 0, u[0], self.before, 0)
            self.comm.Sendrecv(u[1], self.before, 1, u[-1], self.after, 1)
        elif self.boundary[0] == PERIODIC:
            u[0], u[-1] = u[-2], u[1]
        self.native.wrap(u, self.boundary[1] == PERIODIC, self.boundary[2] == PERIODIC)

    def apply(self, u: FloatArray, out: FloatArray) -> float:
        """out = A u; returns u . A u of all ranks. Sets the ghosts of u."""
        self.exchange(u)
        energy: float = self.comm.allreduce(self.native.apply(u, out))
        return energy

    def coordinate(self, axis: int, out: FloatArray) -> FloatArray:
        """z along an array axis, ghosts too: beyond a fixed face of `fv` the face's coordinate (h/2 away)."""
        h, n = self.grid.spacing[axis], self.grid.shape[axis]
        index = np.arange(-1, self.shape[axis] + 1) + (self.grid.start if axis == 0 else 0)
        z = (index if self.q1 else index + 0.5) * h
        if not self.q1 and self.boundary[axis] == FIXED:
            z = np.clip(z, 0.0, n * h)
        out[...] = z.reshape([-1 if a == axis else 1 for a in range(3)])
        return out

    def load(self, axis: int, work: FloatArray, out: FloatArray) -> float:
        """out = -A z_axis: right-hand side for the corrector W of u = z_axis + W.

        Returns the norm that round-off alone may give it: in a laminate along the axis it is zero.
        """
        self.coordinate(axis, work)
        self.native.apply(work, out)
        np.negative(out, out=out)
        extent = self.grid.shape[axis] * self.grid.spacing[axis]
        root = float(np.prod(self.grid.shape)) ** 0.5
        return float(64 * np.finfo(float).eps * extent * sum(self.weights) * root)

    def dot(self, u: FloatArray, v: FloatArray) -> float:
        """u . v of all ranks; the ghosts of one of them must be zero."""
        product: float = self.comm.allreduce(voxel_dot(u, v))
        return product

    def boundary_load(self, axis: int, out: FloatArray) -> None:
        """out = oint n_axis phi_i: right-hand side of the flux e_axis . n through the boundary."""
        out.fill(0)
        h, grid = self.grid.spacing, self.grid
        area = h[0] * h[1] * h[2] / h[axis]
        edges = []  # share of a face that belongs to an unknown, along each axis
        for a in range(3):
            index = np.arange(self.shape[a]) + (grid.start if a == 0 else 0)
            share = np.ones(self.shape[a])
            if self.q1 and self.boundary[a] != PERIODIC:
                share[(index == 0) | (index == grid.shape[a])] = 0.5
            edges.append(share)
        del edges[axis]
        own = np.moveaxis(out[1:-1, 1:-1, 1:-1], axis, 0)
        for end in self._ends(axis):
            own[end] += (-area if end == 0 else area) * np.multiply.outer(*edges)

    def boundary_resistance(self, axis: int) -> float:
        """fv: oint (n_axis)^2 h/(2 k), the half voxels between the boundary and the outermost centres; q1: 0."""
        total = 0.0
        if not self.q1:
            h = self.grid.spacing
            own = np.moveaxis(self.exact[1:-1, 1:-1, 1:-1], axis, 0)
            for end in self._ends(axis):
                total += float((1.0 / own[end].astype(float)).sum()) * h[0] * h[1] * h[2] / (2 * self.scale)
        resistance: float = self.comm.allreduce(total)
        return resistance

    def energy(self, u: FloatArray, v: FloatArray) -> float:
        """int k grad u . grad v over the whole image; ghosts of u and v set."""
        low = [0 if b == PERIODIC else -1 for b in self.boundary]
        low[0] = low[0] if self.first else 0
        energy: float = self.comm.allreduce(self.native.energy(u, v, low))
        return energy * self.scale

    def mean_flux(self, u: FloatArray) -> FloatArray:
        """(3,) int (k grad u)_a over the image, not divided by |Omega|; only without fixed faces. Ghosts of u set."""
        low = [0 if b == PERIODIC else -1 for b in self.boundary]
        low[0] = low[0] if self.first else 0
        return np.array(self.comm.allreduce(np.array(self.native.flux(u, low)))) * self.scale

    def to_voxels(self, u: FloatArray) -> FloatArray:
        """Values at the centres of the own voxels: a copy (fv), or means of the eight corners (q1). Ghosts set."""
        planes, n1, n2 = self.grid.stop - self.grid.start, *self.grid.shape[1:]
        if not self.q1:
            return u[1:-1, 1:-1, 1:-1].copy()
        out = np.zeros((planes, n1, n2))
        for corner in range(8):
            z, y, x = 1 + (corner >> 2), 1 + (corner >> 1 & 1), 1 + (corner & 1)
            out += u[z : z + planes, y : y + n1, x : x + n2]
        return out / 8
