"""What all makers of unit cells share: cells in order, nodes of opposite faces in pairs, equal to the last digit."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from dfx_homog.microstructure.facets import packed_keys
from dfx_homog.microstructure.reference_element import EDGES
from dfx_homog.microstructure.unitcell import Floats, Ints, Phases, UnitCell

# Nodes of opposite faces are partners within this distance (unit-cell lengths).
PARTNER = 1e-6


def cell_order(points: Floats, cells: Ints) -> tuple[Ints, Ints]:
    """Order of cells by x (then y, z) of the centroid, and of nodes by their first cell; unused nodes left out."""
    # Rounded, so that mirror images with equal x do not change places with the last digit.
    centroid = np.round(points[cells[:, : points.shape[1] + 1]].mean(axis=1), 9)
    order = np.lexsort(centroid.T[::-1])
    first = np.full(len(points), cells.size, dtype=np.int64)
    # reversed, so that the first of several assignments to one node remains
    first[cells[order].ravel()[::-1]] = np.arange(cells.size)[::-1]
    nodes = np.argsort(first, kind="stable")[: np.count_nonzero(first < cells.size)]
    return order, nodes


def edge_numbers(cells: Ints, dim: int) -> tuple[Ints, Ints]:
    """Edges (e, 2), smaller vertex first, and the number of each local edge of each cell (m, 3 | 6)."""
    ends = cells[:, EDGES[dim]].reshape(-1, 2)
    _, first, number = np.unique(
        packed_keys(ends, int(cells.max()) + 1), return_index=True, return_inverse=True
    )
    return np.sort(ends[first], axis=1), number.reshape(len(cells), -1)


def pair_vertices(
    points: Floats, tolerance: float = PARTNER, directions: tuple[int, ...] = (0, 1, 2)
) -> tuple[Ints, ...]:
    """Per direction, (k, 2) nodes [lower, upper] on the faces z_d = 0 and z_d = 1, sorted along the face.

    Coordinates on faces must be exactly 0 and 1. Directions that are not asked for have no pairs. Raises ValueError if
    a node has no partner within `tolerance`.
    """
    pairs = []
    for d in range(points.shape[1]):
        if d not in directions:
            pairs.append(np.zeros((0, 2), dtype=np.int64))
            continue
        lower, upper = (np.flatnonzero(points[:, d] == side) for side in (0.0, 1.0))
        along = [np.delete(points[side], d, axis=1) for side in (lower, upper)]
        if len(lower) != len(upper):
            raise ValueError(
                f"the faces z{d + 1} = 0 and 1 do not match: {len(lower)} and {len(upper)} nodes lie on them"
            )
        if len(lower) == 0:
            raise ValueError(f"no node lies on the faces z{d + 1} = 0 and 1")
        distance, partner = cKDTree(along[1]).query(along[0])
        if distance.max() > tolerance or len(np.unique(partner)) != len(partner):
            raise ValueError(
                f"the faces z{d + 1} = 0 and 1 do not match: a node's partner is {distance.max():.2g} away"
            )
        order = np.lexsort(np.round(along[0], 9).T[::-1])
        pairs.append(np.column_stack([lower[order], upper[partner[order]]]))
    return tuple(pairs)


def pair_edges(edges: Ints, pairs: tuple[Ints, ...], count: int) -> tuple[Ints, ...]:
    """Per direction, (k, 2) edges [lower, upper] of opposite faces, from the pairs of their `count` vertices.

    Raises ValueError if an edge has no partner.
    """
    keys = packed_keys(edges, count)
    order = np.argsort(keys)
    out = []
    for d, nodes in enumerate(pairs):
        image = np.full(count, -1, dtype=np.int64)
        image[nodes[:, 0]] = nodes[:, 1]
        lower = np.flatnonzero(np.all(image[edges] >= 0, axis=1))
        wanted = packed_keys(image[edges[lower]], count)
        upper = order[np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)]
        if np.any(keys[upper] != wanted):
            raise ValueError(f"the edges on the faces z{d + 1} = 0 and 1 do not match")
        out.append(np.column_stack([lower, upper]))
    return tuple(out)


def make_exact(points: Floats, pairs: tuple[Ints, ...]) -> None:
    """Upper nodes become their lower partners shifted by one, to the last digit; corners by all directions."""
    for d, nodes in enumerate(pairs):
        points[nodes[:, 0], d] = 0.0
        moved = points[nodes[:, 0]]
        moved[:, d] = 1.0
        points[nodes[:, 1]] = moved


def unit_cell(
    name: str, order: int, points: Floats, cells: Ints, phase: Phases, pairs: tuple[Ints, ...]
) -> UnitCell:
    """UnitCell of the arrays: pairs made exact, cells and nodes sorted. The mesh is not checked."""
    points = points.copy()
    make_exact(points, pairs)
    order_of_cells, nodes = cell_order(points, cells)
    new = np.full(len(points), -1, dtype=np.int64)
    new[nodes] = np.arange(len(nodes))
    return UnitCell(
        name=name,
        dim=points.shape[1],
        order=order,
        points=points[nodes],
        cells=new[cells[order_of_cells]],
        phase=phase[order_of_cells].astype(np.int8),
        periodic=tuple(new[p] for p in pairs),
    )
