"""Types of the native module (dfx_homog/native). C-contiguous arrays; P meso points, nG nodes on Gamma."""

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Int32s = NDArray[np.int32]

class TraceSolution:
    """Read-only arrays; rows of failed points are zero, except x, which is the start value."""

    @property
    def x(self) -> _Floats: ...  # (P, nG) trace of c_s
    @property
    def x_p(self) -> _Floats: ...  # (P, nG, 3) its derivatives in Phi_s - Phi_e, c_e, T
    @property
    def R(self) -> _Floats: ...  # (P, nG) int_Gamma j phi_i dA
    @property
    def J(self) -> _Floats: ...  # (P,)
    @property
    def faradaic(self) -> _Floats: ...  # (P,)
    @property
    def q(self) -> _Floats: ...  # (P,)
    @property
    def dJ(self) -> _Floats: ...  # (P, 4) in Phi_s, Phi_e, c_e, T
    @property
    def dq(self) -> _Floats: ...  # (P, 4)
    @property
    def iterations(self) -> _Int32s: ...  # (P,)
    @property
    def failed(self) -> _Int32s: ...  # (P,) 0 solved, 1 not defined, 2 no descent, 3 not converged

class SurfaceValues:
    """Read-only arrays (P, nf nq) at the quadrature points of Gamma, facet by facet."""

    @property
    def faradaic(self) -> _Floats: ...  # Gh g
    @property
    def eta(self) -> _Floats: ...
    @property
    def heat(self) -> _Floats: ...  # lam Gh g (Phi_s - Phi_e - U + Pi)

class ParticleKernel:
    """Surface, kinetics and expressions of one electrode.

    Arguments as in dfx_homog/models/particle.py: facets (nf, npf), shape (nq, npf), weights (nf, nq), and the
    programs of `Expression.program`. Raises ValueError for arrays that do not fit together or a bad program.
    """

    def __init__(
        self,
        *,
        facets: _Int32s,
        shape: _Floats,
        weights: _Floats,
        trace_nodes: int,
        G: float,
        GC: float,
        beta: float,
        c_max: float,
        E_G: float,
        lam: float,
        gamma: float,
        R_f: float,
        c_e_ref: float,
        ocp_ops: _Int32s,
        ocp_args: _Floats,
        Pi_ops: _Int32s,
        Pi_args: _Floats,
    ) -> None: ...
    def solve(
        self,
        *,
        start: _Floats,
        c_star: _Floats,
        stiffness: _Floats,
        p: _Floats,
        d_hist: _Floats,
        a0: float,
        tolerance: float = 1e-10,
        max_iterations: int = 60,
    ) -> TraceSolution: ...
    def evaluate(self, *, x: _Floats, p: _Floats) -> TraceSolution: ...
    def at_quadrature_points(self, *, x: _Floats, p: _Floats) -> SurfaceValues: ...

class VariableDiffusion:
    """Particle problems of one electrode whose diffusivity depends on c or T; n nodes in the solid.

    Arguments as in dfx_homog/models/particle_geometry.py: cells (nc, k), shape (nq, k), weights (nc, nq), slopes
    (nc, nq, k, d), trace (nG,); program of D_s in c/c_max and T, and its activation energy. Raises ValueError for
    arrays that do not fit together or a bad program.
    """

    def __init__(
        self,
        *,
        kernel: ParticleKernel,
        cells: _Int32s,
        shape: _Floats,
        weights: _Floats,
        slopes: _Floats,
        trace: _Int32s,
        nodes: int,
        D_ops: _Int32s,
        D_args: _Floats,
        E_D: float,
        depends_on_c: bool,
    ) -> None: ...
    @property
    def factor_entries(self) -> int: ...  # right of the diagonal, of one point's factors
    def solve(
        self,
        *,
        start: _Floats,
        c0: _Floats,
        p: _Floats,
        d_hist: _Floats,
        a0: float,
        tolerance: float = 1e-10,
        max_iterations: int = 60,
    ) -> TraceSolution:
        """x (P, n) and x_p (P, n, 3) are those of d, c = c0 + d; R has no columns."""

def label_box(
    codes: NDArray[np.uint8], conducts: NDArray[np.uint8], labels: _Int32s
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Clusters of the voxels with conducts[code], joined through faces inside a box, not around it.

    codes (n1, n2, n3); conducts (256,) 0 or not; labels (n1, n2, n3) is overwritten with the cluster of each voxel,
    -1 where it does not conduct. Returns size in voxels and flat index of the first voxel of each cluster; clusters
    are numbered by first voxel. Raises ValueError for arrays that do not fit together.
    """

def weighted_components(
    n: int, a: NDArray[np.int64], b: NDArray[np.int64], shift: NDArray[np.int64], dim: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Components of a graph on nodes 0 .. n-1 whose link e leads from a[e] to b[e] and advances by shift[e] periods.

    a, b (m,); shift (m, dim), dim at most 3. Returns label (n,), components numbered by first node; offset (n, dim)
    of each node from the first one of its component along some path; and (label, vector) of every link that closes a
    path with a winding vector other than zero: offset[a] + shift - offset[b]. Raises ValueError for arrays that do
    not fit together.
    """

_Shape = tuple[int, int, int]
_Field = NDArray[np.float32 | np.float64]  # padded: (m0 + 2, m1 + 2, m2 + 2), float32 or float64

class VoxelStencil:
    """Kernels of the voxel solver on one rank's slab of m0 x m1 x m2 unknowns (native/voxel.hpp).

    scheme   0: fv with conductivities 0 and 1, 1: fv, 2: q1
    h, w, c  voxel edges; fv: weight of a face (volume/h^2); q1: energies of the element's eight Haar modes
    k        padded float32 conductivities; exact: the same in double where float32 rounds, else None
    Raises ValueError for a field that does not have the padded shape.
    """

    def __init__(
        self,
        *,
        scheme: int,
        shape: _Shape,
        h: tuple[float, float, float],
        w: tuple[float, ...],
        c: tuple[float, ...],
        k: NDArray[np.float32],
        exact: _Floats | None,
    ) -> None: ...
    def set_inverse(self, inverse: NDArray[np.float32]) -> None: ...  # q1: 1/diagonal, 0 at fixed nodes
    def apply(self, u: _Field, out: _Field) -> float: ...  # out = A u; u . out of this rank
    def smooth(self, u: _Field, r: _Field, c: float, a: float, b: float, out: _Field) -> None:
        """out = c u + a out + b D^-1 (r - A u); with a = 0 `out` may hold anything."""

    def jacobi(self, r: _Field, b: float, out: _Field) -> None: ...  # out = b D^-1 r
    def diagonal(self, out: _Field) -> None: ...
    def restrict(self, u: _Field, r: _Field, aggregate: _Int32s, coarse: _Floats) -> None:
        """coarse[aggregate] += r - A u."""

    def prolong(self, aggregate: _Int32s, coarse: _Floats, scale: float, z: _Field) -> None: ...
    def wrap(self, u: _Field, axis1: bool, axis2: bool) -> None: ...  # periodic ghosts within the planes
    def energy(self, u: _Floats, v: _Floats, low: list[int]) -> float: ...
    def flux(self, u: _Floats, low: list[int]) -> tuple[float, float, float]: ...
    def aggregate(self, strong: float, out: _Int32s) -> int: ...  # number of coarse unknowns
    def coarse(
        self, aggregate: _Int32s, first: int, rows: int, shift: float
    ) -> tuple[_Int32s, _Int32s, _Floats]: ...  # compressed rows: offsets, columns, values
    def blocks(
        self, aggregate: _Int32s, first: int, rows: int
    ) -> _Int32s: ...  # (rows,) which block of 4 x 4 x 4 unknowns an aggregate lies in
    def localise(
        self, aggregate: _Int32s, first: int, rows: int
    ) -> None: ...  # global to local numbers, -1 to rows

def voxel_update(alpha: float, p: _Floats, q: _Floats, x: _Floats, r: _Floats, copy: _Field) -> float:
    """x += alpha p, r -= alpha q, copy = r; returns r . r."""

def voxel_direction(z: _Field, beta: float, p: _Floats) -> None: ...  # p = z + beta p
def voxel_dot(r: _Floats, z: _Field) -> float: ...

class CoarseLevel:
    """Sparse matrix in single precision, own rows; vectors are [before | own | after] (native/voxel_coarse.hpp).

    first, rows     own global numbers; before, after: (first, count) of those seen of the neighbouring slabs
    offsets, columns, values   compressed rows with global columns
    Raises ValueError for a column that is in none of the three ranges, or a vector of wrong length.
    """

    def __init__(
        self,
        first: int,
        rows: int,
        before: tuple[int, int],
        after: tuple[int, int],
        offsets: _Int32s,
        columns: _Int32s,
        values: _Floats,
    ) -> None: ...
    def spectrum(self) -> float: ...  # max_i sum_j |a_ij|/a_ii
    def jacobi(
        self, r: _Floats, b: float, out: _Floats
    ) -> None: ...  # as VoxelStencil; r (rows,) without the others
    def smooth(self, u: _Floats, r: _Floats, c: float, a: float, b: float, out: _Floats) -> None: ...
    def restrict(self, u: _Floats, r: _Floats, aggregate: _Int32s, coarse: _Floats) -> None: ...
    def aggregate(self, block: _Int32s, strong: float, out: _Int32s) -> int: ...
    def coarse(self, aggregate: _Int32s, first: int, rows: int) -> tuple[_Int32s, _Int32s, _Floats]: ...

class FormLoop:
    """The integrals of a linear or bilinear form on one blocked space, over cells and exterior facets.

    x, x_dofs     nodes of the geometry, (n, 3), and those of each cell
    dofs, fields  nodes of each cell in the blocked space, and its block size
    """

    def __init__(self, x: _Floats, x_dofs: _Int32s, dofs: _Int32s, fields: int) -> None: ...
    def add_coefficient(self, values: _Floats, dofs: _Int32s, block: int) -> None: ...  # in order
    def add_part(
        self, kernel: int, cells: _Int32s, facets: _Int32s
    ) -> None: ...  # address of a kernel; local facets of the cells, or none
    def add_vector(self, constants: _Floats, out: _Floats) -> None: ...
    def probe(self, constants: int, samples: int, all: bool) -> None: ...  # which element entries are never 0
    def find_pattern(
        self,
        unknown: _Int32s,
        row_group: _Int32s,
        column_group: _Int32s,
        column_groups: int,
        more_begin: NDArray[np.int64],
        more: _Int32s,
    ) -> None: ...  # unknown: row and column of each local entry, -1 for none; more: compressed rows
    def add_matrix(self, constants: _Floats, out: _Floats) -> int: ...  # number of entries lost
    def positions(self, row: _Int32s, column: _Int32s) -> NDArray[np.int64]: ...  # where entries are stored
    @property
    def entries(self) -> int: ...
    @property
    def columns(self) -> _Int32s: ...  # by group of rows, group of columns, row
    @property
    def starts(self) -> NDArray[np.int64]: ...  # (rows * column groups,) first entry of each row
    @property
    def counts(self) -> _Int32s: ...  # how many
