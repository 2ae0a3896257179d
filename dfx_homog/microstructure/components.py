"""Connected components of the phases on the torus, and the directions in which they percolate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dfx_homog._native import weighted_components
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


def _components(cell: UnitCell) -> dict[str, Ints]:
    """Label of each cell, and distinct winding vectors with the label of their component."""
    facets = cell.torus_facets
    same = np.flatnonzero(cell.phase[facets.cell] == cell.phase[facets.other])
    a, b, shift = (v[same].astype(np.int64) for v in (facets.cell, facets.other, facets.shift))
    label, _, (where, vector) = weighted_components(len(cell.cells), a, b, shift, cell.dim)
    found = np.unique(np.column_stack([where, vector]), axis=0)
    return {"label": label, "winding": found}


def connected_components(cell: UnitCell) -> list[Component]:
    """Components of both phases, the solid's first, each phase's by falling volume (then by first cell)."""
    arrays = cell.remember("components", lambda: _components(cell))
    label, winding = arrays["label"], arrays["winding"]
    volume = np.bincount(label, weights=cell.cell_measures)
    order = np.argsort(label, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(label))[:-1])
    found = [
        Component(
            phase=int(cell.phase[cells[0]]),
            cells=cells,
            volume=float(volume[number]),
            windings=lattice_basis(winding[winding[:, 0] == number, 1:]),
        )
        for number, cells in enumerate(members)
    ]
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
