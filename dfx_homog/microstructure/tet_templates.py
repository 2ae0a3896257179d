"""Templates that split tetrahedra along a level set, and the orientation of the pieces.

A tetrahedron has vertices below (-1), on (0) and above (+1) the level set; its edges from below to above carry a
cut each. Quadrilaterals on its faces, between two vertices of one side and the cuts below them, are halved by the
diagonal from the vertex of higher priority. Priorities order all vertices, so both neighbours of a face halve it
in the same way and every prism has a valid split in three.
"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from dfx_homog.microstructure.unitcell import Floats, Ints, Phases

#: Local edges of a tetrahedron; node 4 + i of a template is the cut of edge i.
EDGES: tuple[tuple[int, int], ...] = tuple(combinations(range(4), 2))
_CUT = {edge: 4 + i for i, edge in enumerate(EDGES)}


def _cut(i: int, j: int) -> int:
    return _CUT[min(i, j), max(i, j)]


def _prism(bottom: tuple[int, ...], top: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Bottom vertices by falling priority: diagonals start at the first, then at the second."""
    (a, b, c), (d, e, f) = bottom, top
    return [(a, b, c, f), (a, b, e, f), (a, d, e, f)]


def _pieces(signs: tuple[int, ...], swap: bool) -> list[tuple[tuple[int, ...], int]]:
    """Pieces (nodes, sign) of a tetrahedron whose vertices come by rising sign, then falling priority.

    `swap` takes the other diagonal of the interface where that is a quadrilateral.
    """
    below, on, above = ([i for i in range(4) if signs[i] == s] for s in (-1, 0, 1))
    found: list[tuple[tuple[int, ...], int]] = []
    for near, far, sign in ((below, above, -1), (above, below, 1)):
        if len(near) == 1:
            tip = near[0], *(_cut(near[0], j) for j in far), *on
            found.append((tip, sign))
        elif len(near) == 3:
            found += [(p, sign) for p in _prism(tuple(near), tuple(_cut(i, far[0]) for i in near))]
        elif len(far) == 1:
            (a, b), (p,), (z,) = near, far, on
            found += [((a, b, _cut(b, p), z), sign), ((a, _cut(a, p), _cut(b, p), z), sign)]
        else:
            (a, b), (p, q) = near, far
            quad = _cut(a, p), _cut(a, q), _cut(b, q), _cut(b, p)
            # The diagonal is the same line for both sides: a-p to b-q, or a-q to b-p.
            halves = ((0, 1, 2), (0, 2, 3)) if not swap else ((1, 2, 3), (1, 3, 0))
            found.append(((a, b, _cut(b, p), _cut(b, q)), sign))
            for half in halves:
                found.append(((a, *(quad[k] for k in half)), sign))
    return found


def _table() -> dict[tuple[tuple[int, ...], bool], list[tuple[tuple[int, ...], int]]]:
    table = {}
    for signs in product((-1, 0, 1), repeat=4):
        if list(signs) == sorted(signs) and -1 in signs and 1 in signs:
            for swap in (False, True):
                table[signs, swap] = _pieces(signs, swap)
    return table


TEMPLATES = _table()


def split(
    signs: Phases, nodes: Ints, swap: NDArray[np.bool_]
) -> tuple[Ints, NDArray[np.int64], NDArray[np.int8]]:
    """Pieces of crossed tetrahedra: (p, 4) nodes, (p,) number of the tetrahedron, (p,) sign.

    signs (m, 4) by rising sign, then falling priority; nodes (m, 10): vertices, then cuts of EDGES;
    swap (m,) takes the diagonal of the interface quadrilateral from cut (a, q) to cut (b, p).
    """
    code = (signs.astype(np.int64) + 1) @ np.array([27, 9, 3, 1])
    cells, parents, sides = [], [], []
    for (pattern, swapped), pieces in TEMPLATES.items():
        value = int((np.array(pattern) + 1) @ np.array([27, 9, 3, 1]))
        which = np.flatnonzero((code == value) & (swap == swapped))
        for local, sign in pieces:
            cells.append(nodes[which][:, local])
            parents.append(which)
            sides.append(np.full(len(which), sign, dtype=np.int8))
    return np.concatenate(cells), np.concatenate(parents), np.concatenate(sides)


def volumes(points: Floats, cells: Ints) -> Floats:
    """(m,) signed volumes of straight tetrahedra."""
    a, b, c, d = (points[cells[:, i]] for i in range(4))
    return np.asarray(np.einsum("ij,ij->i", np.cross(b - a, c - a), d - a) / 6.0)


def oriented(points: Floats, cells: Ints) -> Ints:
    """The cells with positive volumes: the last two vertices change places where it is negative."""
    negative = volumes(points, cells) < 0.0
    cells = cells.copy()
    cells[negative, 2:] = cells[negative, 2:][:, ::-1]
    return cells
