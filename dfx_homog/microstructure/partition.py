"""Which cells of a box of tiles each rank makes: compact blocks of equal size, cut through tiles where need be."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dfx_homog.microstructure.unitcell import UnitCell

Ints = npt.NDArray[np.int64]


class Share(NamedTuple):
    """Cells `cells` (m,) of the unit cell `unit` in each of the tiles (n, d)."""

    tiles: Ints
    unit: int
    cells: Ints


def blocks(ranks: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Blocks along each direction, `ranks` in all, with the least surface between them.

    Lateral directions count as periodic, so that two blocks there touch twice. Ties go to cuts across direction 1.
    """

    def factors(n: int, directions: int) -> Iterator[tuple[int, ...]]:
        if directions == 1:
            yield (n,)
            return
        for first in (f for f in range(n, 0, -1) if n % f == 0):
            yield from ((first, *rest) for rest in factors(n // first, directions - 1))

    def surface(parts: tuple[int, ...]) -> float:
        faces = [parts[0] - 1, *(p if p > 1 else 0 for p in parts[1:])]
        return sum(f * float(np.prod(shape)) / n for f, n in zip(faces, shape, strict=True))

    return min(factors(ranks, len(shape)), key=surface)


def _along(units: tuple[UnitCell, ...], columns: Ints, part: int, parts: int) -> Ints:
    """(n, 3) column, first and last + 1 cell (in the order of the unit cell, which is that of z1) of one part."""
    size = np.array([len(u.cells) for u in units])[columns]
    start = np.cumsum(size) - size
    total = int(size.sum())
    low, high = total * part // parts, total * (part + 1) // parts
    first, last = np.clip(low - start, 0, size), np.clip(high - start, 0, size)
    here = np.flatnonzero(last > first)
    return np.column_stack([here, first[here], last[here]])


def _across(count: int, part: int, parts: int) -> Ints:
    """(n, 3) layer of tiles and, in 1/parts of its cells in order of z_d, where one part begins and ends in it."""
    low, high = count * part, count * (part + 1)
    layers = np.arange(low // parts, -(-high // parts))
    cuts = np.clip(np.column_stack([low - layers * parts, high - layers * parts]), 0, parts)
    return np.column_stack([layers, cuts])


def _runs(rows: Ints, keys: Ints) -> list[Ints]:
    """Rows with equal keys, together."""
    if not len(rows):
        return []
    order = np.lexsort(keys.T[::-1])
    ends = np.flatnonzero(np.any(np.diff(keys[order], axis=0) != 0, axis=1)) + 1
    return [rows[order[a:b]] for a, b in pairwise([0, *ends, len(rows)])]


def shares(
    units: tuple[UnitCell, ...], columns: Ints, lateral: tuple[int, ...], rank: int, ranks: int
) -> Iterator[Share]:
    """The cells of one rank, in groups of tiles that `Lattice.tile_nodes` takes together.

    Equal numbers along direction 1, to one cell; across, tiles are cut at quantiles of the cells' centroids.
    """
    parts = blocks(ranks, (len(columns), *lateral))
    block = np.unravel_index(rank, parts)
    along = _along(units, columns, int(block[0]), parts[0])
    following = np.append(columns, columns[-1])[along[:, 0] + 1]
    is_last = along[:, 0] == len(columns) - 1
    keys = np.column_stack([columns[along[:, 0]], following, is_last, along[:, 1:]])
    groups = [_runs(along, keys)]
    for d, count in enumerate(lateral, start=1):
        across = _across(count, int(block[d]), parts[d])
        groups.append(_runs(across, np.column_stack([across[:, 0] == count - 1, across[:, 1:]])))
    for runs in product(*groups):
        unit = int(columns[runs[0][0, 0]])
        cells = _selected(units[unit], [r[0, 1:] for r in runs], parts)
        if len(cells):
            grid = np.meshgrid(*(r[:, 0] for r in runs), indexing="ij")
            yield Share(np.column_stack([g.ravel() for g in grid]), unit, cells)


def _selected(cell: UnitCell, cuts: list[Ints], parts: tuple[int, ...]) -> Ints:
    """Cells between the cuts of all directions."""
    keep = np.zeros(len(cell.cells), dtype=bool)
    keep[cuts[0][0] : cuts[0][1]] = True
    for d in range(1, cell.dim):
        low, high = (int(len(cell.cells) * c // parts[d]) for c in cuts[d])
        if high - low < len(cell.cells):
            centroid = cell.points[cell.cells[:, : cell.dim + 1], d].sum(axis=1)
            inside = np.zeros(len(cell.cells), dtype=bool)
            inside[np.argsort(centroid, kind="stable")[low:high]] = True
            keep &= inside
    return np.flatnonzero(keep)
