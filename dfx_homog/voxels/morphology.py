"""Opening, closing and cleaning of labelled images that are distributed over slabs (Serra 1982, Soille 2003).

Voxels outside the image count neither for nor against: erosion takes them as of the label, dilation as of another.
Results do not depend on the number of ranks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from scipy.ndimage import generate_binary_structure
from scipy.ndimage import label as local_components
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from dfx_homog.voxels.planes import fetch, with_halo

Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]

#: How many coordinates of neighbouring voxels may differ, by the number of neighbours in three dimensions.
CONNECTIVITY = {6: 1, 18: 2, 26: 3}


def ball(radius: int, dim: int) -> Ints:
    """(k, dim) integer offsets o with |o| <= radius, in voxels."""
    edge = np.arange(-radius, radius + 1)
    offsets = np.stack(np.meshgrid(*[edge] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    inside: Ints = offsets[(offsets**2).sum(axis=1) <= radius**2]
    return inside


def _eroded(mask: Mask, offsets: Ints) -> Mask:
    return _combined(mask, offsets, np.logical_and, True)


def _dilated(mask: Mask, offsets: Ints) -> Mask:
    return _combined(mask, offsets, np.logical_or, False)


def _combined(mask: Mask, offsets: Ints, combine: np.ufunc, outside: bool) -> Mask:
    """At every voxel the mask at all offsets combined; `outside` is its value outside the array."""
    radius = int(np.abs(offsets).max())
    padded = np.pad(mask, radius, constant_values=outside)
    out = np.full(mask.shape, outside)
    for offset in offsets:
        view = tuple(slice(radius + o, radius + o + n) for o, n in zip(offset, mask.shape, strict=True))
        combine(out, padded[view], out=out)
    return out


def closed(comm: MPI.Intracomm, labels: Labels, start: int, planes: int, value: int, radius: int) -> Labels:
    """Closing of the label `value` by a ball of `radius` voxels: dilation, then erosion. Collective.

    Gaps in the label too narrow for the ball become part of it. labels (k, …): own planes.
    """
    offsets = ball(radius, labels.ndim)
    around, before = with_halo(comm, labels, start, planes, 2 * radius)
    filled = _eroded(_dilated(around == value, offsets), offsets)
    out = labels.copy()
    out[filled[before : before + len(labels)]] = value
    return out


def opened(comm: MPI.Intracomm, labels: Labels, start: int, planes: int, value: int, radius: int) -> Labels:
    """Opening of the label `value` by a ball of `radius` voxels: erosion, then dilation. Collective.

    Parts of the label too narrow for the ball are taken from it: each of their voxels gets the label that is most
    frequent among those of other labels in the ball around it (the lowest of equally frequent ones). There is one,
    else erosion would have spared the voxel.
    """
    offsets = ball(radius, labels.ndim)
    around, before = with_halo(comm, labels, start, planes, 2 * radius)
    mask = around == value
    gone = mask & ~_dilated(_eroded(mask, offsets), offsets)
    where = np.argwhere(gone[before : before + len(labels)])
    centre = where + np.eye(1, labels.ndim, dtype=np.int64) * before
    votes = np.zeros((len(where), _width(around)), dtype=np.int32)
    for offset in offsets:
        rows, found = _labels_at(around, centre + offset)
        other = found != value
        votes[rows[other], found[other]] += 1
    out = labels.copy()
    out[tuple(where.T)] = votes.argmax(axis=1)
    return out


def _looked_up(table: Mask, index: NDArray[np.integer]) -> Mask:
    """table[index], plane by plane: numpy widens an index to 8 bytes an entry."""
    out = np.empty(index.shape, dtype=bool)
    for target, plane in zip(out, index, strict=True):
        target[...] = table[plane]
    return out


def _width(labels: Labels) -> int:
    """Labels are less than this."""
    return int(labels.max(initial=0)) + 1


def _labels_at(labels: Labels, where: Ints) -> tuple[Ints, Labels]:
    """Rows of where (n, dim) that lie inside the array, and the labels there."""
    rows = np.flatnonzero(((where >= 0) & (where < labels.shape)).all(axis=1))
    return rows, labels[tuple(where[rows].T)]


def cleaned(
    comm: MPI.Intracomm,
    labels: Labels,
    start: int,
    planes: int,
    solid: Sequence[int],
    connectivity: tuple[int, int],
    smallest: int,
) -> Labels:
    """Without connected parts of fewer than `smallest` voxels: of the pores first, then of the solid. Collective.

    solid         labels that are solid; all others are pores
    connectivity  neighbours of a voxel of the pores and of one of the solid: 26, 18 or 6 (in two dimensions these mean
                  8, 8 and 4)

    A small part as a whole gets the label that is most frequent among the face neighbours of its voxels in the other
    phase (the lowest of equally frequent ones). One without such neighbours, filling the image, stays.
    """
    is_solid = np.isin(np.arange(256), solid)
    width = comm.allreduce(_width(labels), MPI.MAX)
    for phase, neighbours in zip((False, True), connectivity, strict=True):
        rank = min(CONNECTIVITY[neighbours], labels.ndim)
        part, sizes = components(comm, _looked_up(is_solid == phase, labels), start, planes, rank)
        small = (sizes < smallest) & (np.arange(len(sizes)) > 0)
        where = np.argwhere(_looked_up(small, part))
        number = (np.cumsum(small) - 1)[part[tuple(where.T)]]
        around, before = with_halo(comm, labels, start, planes, 1)
        centre = where + np.eye(1, labels.ndim, dtype=np.int64) * before
        votes = np.zeros(width * int(small.sum()), dtype=np.int64)
        for offset in ball(1, labels.ndim):
            rows, found = _labels_at(around, centre + offset)
            other = is_solid[found] != phase
            votes += np.bincount(width * number[rows[other]] + found[other], minlength=len(votes))
        comm.Allreduce(MPI.IN_PLACE, votes)
        by_part = votes.reshape(-1, width)
        fill: Labels = by_part.argmax(axis=1).astype(np.uint8)
        known = np.flatnonzero(by_part.max(axis=1, initial=0)[number])
        labels = labels.copy()
        labels[tuple(where[known].T)] = fill[number[known]]
    return labels


def components(
    comm: MPI.Intracomm, mask: Mask, start: int, planes: int, rank: int
) -> tuple[NDArray[np.int32], Ints]:
    """Connected parts of a distributed mask: part (k, …) of every own voxel, 0 outside, and voxels of each part.

    rank: how many coordinates of neighbouring voxels may differ. Labelled slab by slab, then joined over the pairs of
    planes where slabs meet. Collective.
    """
    structure = generate_binary_structure(mask.ndim, rank)
    part, count = local_components(mask, structure) if mask.size else (np.zeros(mask.shape, np.int32), 0)
    counts = comm.allgather(count)
    np.add(part, sum(counts[: comm.rank]), out=part, where=part > 0)
    stop = start + len(mask)
    following = fetch(comm, part, start, stop, min(stop + 1, planes) if len(mask) else stop)
    pairs = np.concatenate(comm.allgather(_touching(part, following, structure[2])))
    total = sum(counts)
    graph = coo_matrix((np.ones(len(pairs), dtype=np.int8), tuple(pairs.T)), shape=(total + 1, total + 1))
    root = connected_components(graph, directed=False)[1].astype(np.int32)
    sizes = np.zeros(int(root.max()) + 1, dtype=np.int64)
    for plane in part:  # in pieces: numpy widens indices
        plane[...] = root[plane]
        sizes += np.bincount(plane.ravel(), minlength=len(sizes))
    comm.Allreduce(MPI.IN_PLACE, sizes)
    return part, sizes


def _touching(part: NDArray[np.int32], following: NDArray[np.int32], ahead: Mask) -> Ints:
    """(n, 2) parts of the last own plane and of the one that follows it which touch, each pair once.

    ahead: which voxels of the plane that follows are neighbours of a voxel, (3, 3) or (3,)
    """
    if not len(part) or not len(following):
        return np.zeros((0, 2), dtype=np.int64)
    last, after = part[-1], np.pad(following[0], 1)
    found = []
    for offset in np.argwhere(ahead):
        other = after[tuple(slice(o, o + n) for o, n in zip(offset, last.shape, strict=True))]
        both = (last > 0) & (other > 0)
        found.append(np.unique(np.column_stack([last[both], other[both]]), axis=0))
    pairs: Ints = np.concatenate(found).astype(np.int64)
    return pairs
