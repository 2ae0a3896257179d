"""The solid of a unit cell as matrices: what a particle problem needs of its geometry.

The finite elements of the unit-cell mesh, with DOLFINx's own elements, node order and quadrature, so that the particle
problems of the homogenised model and the resolved model have the same errors. Periodic nodes are eliminated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import basix
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from dfx_homog.dimensionless.physics import Tensor
from dfx_homog.errors import BadInput
from dfx_homog.microstructure.reference_element import metric
from dfx_homog.microstructure.unitcell import SOLID, UnitCell

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Nodes on Gamma beyond which the dense matrices of the condensation are dearer than the whole solid, sparse.
LARGEST_TRACE = 400
SIMPLEX = {1: basix.CellType.interval, 2: basix.CellType.triangle, 3: basix.CellType.tetrahedron}


@dataclass(frozen=True, eq=False)
class SolidElements:
    """The elements of the solid, from which matrices with any coefficient are assembled.

    cells    (nc, k) nodes of every cell, among the n_s
    shape    (nq, k) basis functions at the quadrature points
    weights  (nc, nq) quadrature weights times the Jacobian
    slopes   (nc, nq, k, d) sqrt(weight) L^T grad phi, A = L L^T the tensor that K carries: the sum over the points of
             slopes_i . slopes_j is the element's part of K_ij
    """

    cells: NDArray[np.int32]
    shape: Floats
    weights: Floats
    slopes: Floats

    def assembled(self, values: Floats, n: int) -> Any:
        """CSR matrix (n, n) of element matrices (nc, k, k)."""
        k = self.cells.shape[1]
        i, j = np.repeat(self.cells, k, axis=1).ravel(), np.tile(self.cells, (1, k)).ravel()
        return scipy.sparse.coo_matrix((values.ravel(), (i, j)), shape=(n, n)).tocsr()

    def matrices(self, n: int) -> tuple[Any, Any]:
        """M and K."""
        mass = np.einsum("cq,qk,ql->ckl", self.weights, self.shape, self.shape)
        stiffness = np.einsum("cqki,cqli->ckl", self.slopes, self.slopes)
        return self.assembled(mass, n), self.assembled(stiffness, n)


@dataclass(frozen=True, eq=False)
class ParticleGeometry:
    """The solid of a unit cell as matrices, periodic nodes eliminated; |Omega| = 1, lengths in unit cells.

    name        region or microstructure of the run file
    M, K        (n_s, n_s) CSR: int phi_i phi_j and int grad phi_i . A grad phi_j over the solid, A = `tensor` or 1
    solid_nodes (n,) index of every unit-cell node among the n_s nodes of the solid, -1 outside it
    trace       (nG,) the nodes on Gamma, as indices among the n_s
    facets      (nf, npf) nodes of every facet of Gamma, as indices into `trace`
    shape       (nq, npf) basis functions of a facet at its quadrature points
    weights     (nf, nq) quadrature weights times the facet's Jacobian
    tensor      (d, d) diffusivity that K carries, None for a scalar D_s, which it does not
    elements    of the solid, for a diffusivity that depends on c or T, or very many nodes on Gamma; None if not kept
    """

    name: str
    M: Any
    K: Any
    solid_nodes: Ints
    trace: Ints
    facets: NDArray[np.int32]
    shape: Floats
    weights: Floats
    tensor: Tensor | None = None
    elements: SolidElements | None = None

    @cached_property
    def mass(self) -> Floats:
        """(n_s,) int phi_i over the solid."""
        return np.asarray(self.M.sum(axis=0)).ravel()

    @property
    def volume(self) -> float:
        """Share of the unit cell that the solid takes."""
        return float(self.mass.sum())

    @property
    def surface(self) -> float:
        """|Gamma|/|Omega| = a."""
        return float(self.weights.sum())


def particle_geometry(
    cell: UnitCell,
    degree_volume: int,
    degree_surface: int,
    active: NDArray[np.bool_] | None = None,
    tensor: Tensor | None = None,
    *,
    keep_elements: bool = False,
) -> ParticleGeometry:
    """Matrices of the solid of `cell` with DOLFINx's own elements and quadrature of the given degrees.

    `active` (m,) marks the cells that take part: solid islands and closed pores carry no net current and are
    left out (MODEL section 4). `tensor` is a diffusivity for K to carry. `keep_elements`: for a diffusivity that
    depends on c or T. Raises BadInput if no interface is left.
    """
    if active is None:
        active = np.ones(len(cell.cells), dtype=bool)
    interface = cell.interface_facets()
    used = active[interface.solid] & active[interface.electrolyte]
    if not used.any():
        raise BadInput(
            f"microstructure {cell.name}: an electrode needs an interface of solid and electrolyte"
        )
    nodes = cell.canonical[cell.cells]
    solid = (cell.phase == SOLID) & active
    present = np.unique(nodes[solid])
    solid_nodes = np.full(len(cell.points), -1, dtype=np.int64)
    solid_nodes[present] = np.arange(len(present))
    rows = solid_nodes[nodes[solid]]
    elements = _solid_elements(cell, rows, cell.cells[solid], degree_volume, tensor)
    M, K = elements.matrices(len(present))

    on_facet = np.stack([cell.facet_nodes(local) for local in range(cell.dim + 1)])[interface.local[used]]
    rows = cell.cells[interface.solid[used][:, None], on_facet]
    trace, facets = np.unique(solid_nodes[cell.canonical[rows]], return_inverse=True)
    points, reference = basix.make_quadrature(SIMPLEX[cell.dim - 1], degree_surface)
    shape, slopes = _lagrange(SIMPLEX[cell.dim - 1], cell.order, points)
    tangents = np.einsum("fkd,jqk->fqjd", cell.points[rows], slopes)
    return ParticleGeometry(
        name=cell.name,
        M=M,
        K=K,
        solid_nodes=solid_nodes[cell.canonical],
        trace=trace,
        facets=np.ascontiguousarray(facets.reshape(rows.shape), dtype=np.int32),
        shape=shape,
        weights=np.ascontiguousarray(metric(tangents) * reference),
        tensor=tensor,
        elements=elements if keep_elements or len(trace) > LARGEST_TRACE else None,
    )


def _lagrange(cell_type: basix.CellType, order: int, points: Floats) -> tuple[Floats, Floats]:
    """Values (nq, k) and reference gradients (dim, nq, k) of the Lagrange basis in DOLFINx's node order."""
    element = basix.create_element(basix.ElementFamily.P, cell_type, order, basix.LagrangeVariant.gll_warped)
    table = element.tabulate(1, points)[:, :, :, 0]
    return np.ascontiguousarray(table[0]), np.ascontiguousarray(table[1:])


def _solid_elements(
    cell: UnitCell, rows: Ints, nodes: Ints, degree: int, tensor: Tensor | None
) -> SolidElements:
    """Cells with unit-cell nodes `nodes` and matrix rows `rows`, both (m_s, k)."""
    points, reference = basix.make_quadrature(SIMPLEX[cell.dim], degree)
    shape, slopes = _lagrange(SIMPLEX[cell.dim], cell.order, points)
    jacobian = np.einsum("cki,jqk->cqij", cell.points[nodes], slopes)
    weights = np.abs(np.linalg.det(jacobian)) * reference
    gradient = np.einsum("jqk,cqji->cqki", slopes, np.linalg.inv(jacobian))
    if tensor is not None:
        gradient = gradient @ np.linalg.cholesky(np.array(tensor))
    gradient *= np.sqrt(weights)[:, :, None, None]
    return SolidElements(rows.astype(np.int32), shape, weights, np.ascontiguousarray(gradient))
