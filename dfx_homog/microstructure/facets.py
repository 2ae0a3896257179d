"""Facets of a simplicial mesh on the torus: which cells share them, inside and across the faces of the unit cell.

Written for cells of some 1e7 tetrahedra: one packed integer key per facet and one sort.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dfx_homog.microstructure.reference_element import FACETS

Ints = NDArray[np.int64]
Indices = NDArray[np.int32]
Locals = NDArray[np.int8]


class Facets(NamedTuple):
    """Facets of the torus, each between `cell` and `other`.

    `shift[:, j]` is +1 or -1 where `other` is reached from `cell` by crossing the upper or lower face of
    direction j of the unit cell, and 0 inside it.
    """

    cell: Indices
    local: Locals
    other: Indices
    other_local: Locals
    shift: Locals


class InterfaceFacets(NamedTuple):
    """Facets between the solid and the electrolyte on the torus; `local` is the number in the solid cell.

    `shift[:, j]` is +1 or -1 where the electrolyte is across the upper or lower face of direction j, else 0.
    """

    solid: Indices
    local: Locals
    electrolyte: Indices
    shift: Locals


def packed_keys(vertices: Ints, count: int) -> Ints:
    """One integer for each set of 2 or 3 vertices (n, 2 | 3) below `count`, the same in any order of them.

    Raises OverflowError beyond 2^21 vertices (three of them need 63 bits).
    """
    k = vertices.shape[1]
    bits = max(int(count - 1).bit_length(), 1)
    if k * bits > 63:
        raise OverflowError(f"{count} vertices are too many for one key of {k}")
    low, high = vertices.min(axis=1), vertices.max(axis=1)
    if k == 2:
        pair: Ints = (low << bits) | high
        return pair
    middle = vertices.sum(axis=1) - low - high
    triple: Ints = (low << (2 * bits)) | (middle << bits) | high
    return triple


def facet_keys(cells: Ints, dim: int) -> Ints:
    """(m * (dim + 1),) key of every local facet, cell by cell: equal for the two sides of a facet."""
    corners = cells[:, : dim + 1].astype(np.int64)
    highest = int(corners.max(initial=0))
    if dim * max(highest.bit_length(), 1) > 63:  # number the vertices alone, without the nodes of order 2
        used = np.zeros(highest + 1, dtype=bool)
        used[corners.ravel()] = True
        corners = (np.cumsum(used) - 1)[corners]
        highest = int(corners.max())
    keys = np.empty((len(cells), dim + 1), dtype=np.int64)
    for i, facet in enumerate(FACETS[dim]):
        keys[:, i] = packed_keys(corners[:, facet], highest + 1)
    return keys.ravel()


def facet_groups(cells: Ints, dim: int) -> tuple[Ints, Ints]:
    """Positions (dim + 1) * cell + facet of the inner facets (f, 2) and of the outer ones (g,).

    Raises ValueError if a facet belongs to more than two cells.
    """
    keys = facet_keys(cells, dim)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    same = keys[1:] == keys[:-1]
    if np.any(same[1:] & same[:-1]):
        raise ValueError("a facet belongs to more than two cells")
    paired = np.zeros(len(keys), dtype=bool)
    paired[1:] |= same
    paired[:-1] |= same
    first = np.flatnonzero(same)
    return np.column_stack([order[first], order[first + 1]]), order[~paired]


def match(lower: Ints, upper: Ints) -> tuple[Ints, Ints]:
    """Orders in which the facets lower (f, d) and upper (f, d), in vertices, are the same.

    Raises ValueError if they are not the same facets.
    """
    sides = []
    for vertices in (lower, upper):
        used, number = np.unique(vertices, return_inverse=True)
        keys = packed_keys(number.reshape(vertices.shape), len(used))
        order = np.argsort(keys)
        sides.append((used, keys[order], order))
    (used_l, keys_l, order_l), (used_u, keys_u, order_u) = sides
    if not (np.array_equal(used_l, used_u) and np.array_equal(keys_l, keys_u)):
        raise ValueError("the facets of opposite faces are not translates of each other")
    return order_l, order_u
