"""Connected components of the phases on the torus, and the directions in which they percolate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order
from scipy.sparse.csgraph import connected_components as _labels

from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, Ints, UnitCell


@dataclass(frozen=True, eq=False)
class Component:
    """A connected part of one phase on the torus: cells joined through facets, not through single nodes.

    phase     SOLID or ELECTROLYTE
    cells     its cells, sorted
    volume    its share of the unit cell
    windings  (rank, dim) integer basis of the lattice of winding vectors: the periods by which closed paths
              inside the component advance in the periodic medium; no rows for an isolated particle
    """

    phase: int
    cells: Ints
    volume: float
    windings: Ints

    @property
    def rank(self) -> int:
        """Number of independent directions in which the component goes on for ever."""
        return len(self.windings)

    @property
    def percolates(self) -> tuple[bool, ...]:
        """Per direction, whether some path in the component advances in it without end."""
        return tuple(bool(np.any(self.windings[:, j])) for j in range(self.windings.shape[1]))


def lattice_basis(vectors: NDArray[np.integer]) -> Ints:
    """Hermite normal form (rank, dim) of the integer lattice spanned by the rows (k, dim) of vectors."""
    rows = [[int(v) for v in row] for row in np.unique(vectors, axis=0)]
    basis: list[list[int]] = []
    for column in range(vectors.shape[1]):
        while len(active := sorted((r for r in rows if r[column]), key=lambda r: abs(r[column]))) > 1:
            pivot = active[0]
            for r in active[1:]:
                q = r[column] // pivot[column]
                r[:] = [a - q * b for a, b in zip(r, pivot, strict=True)]
        if active:
            rows = [r for r in rows if r is not active[0]]
            pivot = [-a for a in active[0]] if active[0][column] < 0 else active[0]
            for r in basis:
                q = r[column] // pivot[column]
                r[:] = [a - q * b for a, b in zip(r, pivot, strict=True)]
            basis.append(pivot)
    return np.array(basis, dtype=np.int64).reshape(-1, vectors.shape[1])


def connected_components(cell: UnitCell) -> list[Component]:
    """Components of both phases, the solid's first, each phase's by falling volume (then by first cell)."""
    facets, m = cell.torus_facets, len(cell.cells)
    same = cell.phase[facets.cell] == cell.phase[facets.other]
    a, b, shift = facets.cell[same], facets.other[same], facets.shift[same].astype(np.int64)
    # Every link in both directions; of several links between two cells the tree takes the first.
    tail, head, step = np.append(a, b), np.append(b, a), np.vstack([shift, -shift])
    keys, first = np.unique(tail * m + head, return_index=True)
    graph = coo_matrix((np.ones(len(keys)), (keys // m, keys % m)), shape=(m, m)).tocsr()
    count, label = _labels(graph, directed=False)
    offset = np.zeros((m, cell.dim), dtype=np.int64)
    roots = np.full(count, m)
    np.minimum.at(roots, label, np.arange(m))
    for root in roots:
        order, parent = breadth_first_order(graph, root, directed=False)
        links = step[first[np.searchsorted(keys, parent[order[1:]] * m + order[1:])]]
        for node, link in zip(order[1:], links, strict=True):
            offset[node] = offset[parent[node]] + link
    winding = offset[tail] + step - offset[head]
    found = []
    for number in range(count):
        cells = np.flatnonzero(label == number)
        found.append(
            Component(
                phase=int(cell.phase[cells[0]]),
                cells=cells,
                volume=float(cell.cell_measures[cells].sum()),
                windings=lattice_basis(winding[label[tail] == number]),
            )
        )
    return sorted(found, key=lambda c: (c.phase != SOLID, -round(c.volume, 9), int(c.cells[0])))


def shared_nodes(cell: UnitCell, components: list[Component]) -> Ints:
    """Canonical nodes that belong to two or more components of one phase, sorted.

    A continuous finite-element field on a phase has one value at such a node (the touching corners of a
    checkerboard), so it conducts between components that the geometry joins in a point only. That is what
    every conforming method does; the effective tensor approaches the exact one from above under refinement.
    """
    shared = []
    for phase in (SOLID, ELECTROLYTE):
        nodes = [np.unique(cell.canonical[cell.cells[c.cells]]) for c in components if c.phase == phase]
        if nodes:
            values, count = np.unique(np.concatenate(nodes), return_counts=True)
            shared.append(values[count > 1])
    return np.unique(np.concatenate(shared))
