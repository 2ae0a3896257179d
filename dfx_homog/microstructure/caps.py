"""Tetrahedra with two facets on a curved interface, and how to get rid of them.

Curved facets of one cell meet tangentially along their common edge, so that its Jacobian vanishes there: such a cell
cannot follow the interface. Bisecting the opposite edge leaves one curved facet to each half.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dfx_homog.microstructure.facets import facet_groups, packed_keys
from dfx_homog.microstructure.reference_element import EDGES, FACETS
from dfx_homog.microstructure.unitcell import Floats, Ints, Phases

# Rounds of bisection; edges of one cell wait for each other.
ROUNDS = 8


def _marked(cells: Ints, phase: Phases, count: int, fixed: NDArray[np.bool_]) -> Ints:
    """Keys of the edges opposite to the common edge of a cell's two interface facets, sorted.

    Without edges of the interface itself and those with both ends `fixed`.
    """
    inner, _ = facet_groups(cells, 3)
    sides = inner[phase[inner[:, 0] // 4] != phase[inner[:, 1] // 4]].ravel()
    on = np.zeros((len(cells), 4), dtype=bool)
    on[sides // 4, sides % 4] = True
    caps = np.flatnonzero(on.sum(axis=1) == 2)
    # a facet lies opposite its vertex: the vertices of the two facets' numbers are the ends of the opposite edge
    ends = cells[caps[:, None], np.argsort(~on[caps], axis=1, kind="stable")[:, :2]]
    ends = ends[~fixed[ends].all(axis=1)]
    triangle = cells[(sides // 4)[:, None], FACETS[3][sides % 4]]
    taken = packed_keys(triangle[:, EDGES[2]].reshape(-1, 2), count)
    return np.setdiff1d(packed_keys(ends, count), taken)


def without_caps(
    points: Floats, cells: Ints, phase: Phases, fixed: NDArray[np.bool_]
) -> tuple[Floats, Ints, Phases]:
    """Mesh in which cells with two interface facets are bisected, and their neighbours with them.

    fixed  (n,) nodes on faces that must keep their mesh: edges between two of them are left alone
    """
    for _ in range(ROUNDS):
        count = len(points)
        marked = _marked(cells, phase, count, np.append(fixed, np.zeros(count - len(fixed), dtype=bool)))
        keys = np.stack([packed_keys(cells[:, e], count) for e in EDGES[3]], axis=1)
        # of the marked edges of a cell the smallest key goes first; an edge is cut when it is first in all its cells
        hit = np.isin(keys, marked)
        touched = np.flatnonzero(hit.any(axis=1))
        if not len(touched):
            break
        first = np.where(hit[touched], keys[touched], np.iinfo(np.int64).max).min(axis=1)
        waiting = keys[touched][hit[touched] & (keys[touched] != first[:, None])]
        chosen = np.setdiff1d(first, waiting)
        cut = touched[np.isin(first, chosen)]
        edge = np.isin(keys[cut], chosen).argmax(axis=1)
        rows = np.arange(len(cut))
        one, two = EDGES[3][edge].T
        number = count + np.searchsorted(chosen, keys[cut, edge])
        middle = np.empty((len(chosen), 3))
        middle[number - count] = 0.5 * (points[cells[cut, one]] + points[cells[cut, two]])
        lower, upper = cells[cut].copy(), cells[cut].copy()
        lower[rows, two] = number
        upper[rows, one] = number
        keep = np.delete(np.arange(len(cells)), cut)
        points = np.vstack([points, middle])
        cells = np.vstack([cells[keep], lower, upper])
        phase = np.concatenate([phase[keep], phase[cut], phase[cut]])
    return points, cells, phase
