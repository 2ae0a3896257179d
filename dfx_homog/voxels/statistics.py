"""Statistics of the phases of a voxel image: porosity, two-point correlation, chord lengths (Torquato 2002, ch. 2).

With the indicator I of a phase, phi = <I>,

    S2(r) = <I(x) I(x + r)>,   S2(0) = phi,   S2(r -> infinity) = phi^2 without long-range order,
    mean chord along direction i = -phi/(dS2/dr_i)(0+), which is 4 phi/a for an isotropic medium in three
    dimensions and pi phi/a in two (a: interface per volume).

On voxels the derivative is the difference over one voxel, and the relation holds exactly. All sums are of whole
numbers, so that results do not depend on the number of ranks. Lengths are in unit-cell lengths.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from scipy import fft

from dfx_homog.voxels.fourier import SlabFFT
from dfx_homog.voxels.grid import VoxelGrid, slab

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

BATCH = 1 << 20  # voxels whose lines are worked on together


@dataclass(frozen=True)
class TwoPoint:
    """Two-point correlation of a phase.

    lags, values     per direction: distances r and S2 along it; up to half the edge if periodic, else up to all
                     but a tenth of it, since few pairs are as far apart
    radial_lags, radial_values   mean over all directions in shells of one voxel's width, up to half the shortest
                     edge; empty arrays if not periodic
    """

    lags: tuple[Floats, ...]
    values: tuple[Floats, ...]
    radial_lags: Floats
    radial_values: Floats


@dataclass(frozen=True)
class Chords:
    """Chords of a phase: the intervals that it cuts out of lines along each direction.

    counts   per direction: how many chords have 0, 1, 2, … voxels. Whole lines inside the phase are not among
             them, nor are chords cut off by the ends of an image that is not periodic
    lines    (dim,) lines that lie in the phase from end to end
    spacing  (dim,) length of a voxel
    mean     (dim,) mean length of a chord, phi over the number of chords a length (half the interfaces met), in
             which chords that are cut off or end nowhere are rightly counted; inf if no interface is met
    """

    counts: tuple[Ints, ...]
    lines: Ints
    spacing: Floats
    mean: Floats


def share(grid: VoxelGrid, inside: Mask) -> float:
    """Volume fraction of the codes for which `inside` (codes,) is true. Collective."""
    return float(grid.counts()[inside].sum() / grid.voxels)


def porosity(grid: VoxelGrid) -> float:
    """Volume fraction of the electrolyte. Collective."""
    return share(grid, ~grid.is_solid)


def two_point(grid: VoxelGrid, inside: Mask, *, periodic: bool, radial: bool = True) -> TwoPoint:
    """S2 of the codes for which `inside` (codes,) is true. Collective.

    Along a direction from the power spectra of all lines, padded with zeros if not periodic and divided by the
    number of pairs; the radial average from the transform of the whole periodic image (about 24 bytes a voxel).
    """
    lags: list[Floats] = []
    values: list[Floats] = []
    for axis in grid.axes:
        n = grid.shape[axis]
        length = n if periodic else 2 * n
        spectrum = np.zeros(length // 2 + 1)
        for lines in _lines(grid, inside, axis):
            modes = fft.rfft(lines.astype(np.float64), n=length, axis=1)
            spectrum += np.einsum("lk,lk->k", modes.real, modes.real) + np.einsum(
                "lk,lk->k", modes.imag, modes.imag
            )
        reach = n // 2 + 1 if periodic else max(n - n // 10, 1)
        # every rank's part of the counts is a whole number
        counts = np.rint(fft.irfft(spectrum, n=length)[:reach]).astype(np.int64)
        grid.comm.Allreduce(MPI.IN_PLACE, counts)
        lag = np.arange(reach)
        pairs = grid.voxels if periodic else grid.voxels // n * (n - lag)
        lags.append(np.asarray(lag * grid.spacing[axis], dtype=np.float64))
        values.append(np.asarray(counts / pairs, dtype=np.float64))
    shells = _radial(grid, inside) if periodic and radial else (np.zeros(0), np.zeros(0))
    return TwoPoint(tuple(lags), tuple(values), *shells)


def chords(grid: VoxelGrid, inside: Mask, *, periodic: bool) -> Chords:
    """Chords along every direction of the codes for which `inside` (codes,) is true. Collective."""
    counts, lines, mean = [], [], []
    phase_voxels = int(grid.counts()[inside].sum())
    for axis in grid.axes:
        n = grid.shape[axis]
        totals = np.zeros(n + 3, dtype=np.int64)  # chords by length 0 .. n, then full lines, then interfaces
        for block in _lines(grid, inside, axis):
            totals += _chords_of_lines(block, periodic)
        grid.comm.Allreduce(MPI.IN_PLACE, totals)
        counts.append(totals[: n + 1])
        lines.append(totals[n + 1])
        faces = grid.voxels // n * (n if periodic else n - 1)  # between neighbours along the lines
        per_face = totals[n + 2] / max(faces, 1)
        mean.append(
            2 * phase_voxels / grid.voxels * grid.spacing[axis] / per_face if per_face > 0 else np.inf
        )
    spacing = np.array([grid.spacing[axis] for axis in grid.axes])
    return Chords(tuple(counts), np.array(lines), spacing, np.array(mean))


def _chords_of_lines(lines: NDArray[np.uint8], periodic: bool) -> Ints:
    """Of lines (k, n): number of chords of 0 .. n voxels, of lines full of the phase, of interfaces met."""
    k, n = lines.shape
    change = np.empty((k, n), dtype=bool)
    change[:, 0] = True  # every line starts a new run
    np.not_equal(lines[:, 1:], lines[:, :-1], out=change[:, 1:])
    starts = np.flatnonzero(change)
    length = np.diff(np.append(starts, k * n))
    phase = lines.reshape(-1)[starts].astype(bool)
    first = starts % n == 0
    last = np.append(first[1:], True)
    whole = first & last
    interfaces = len(starts) - k
    full = int(np.count_nonzero(whole & phase))
    if periodic:
        wraps = (lines[:, 0] != 0) & (lines[:, -1] != 0)
        interfaces += int(np.count_nonzero(lines[:, 0] != lines[:, -1]))
        joined = wraps & ~whole[first]  # the last run goes on in the first one
        length[np.flatnonzero(last)[joined]] += length[np.flatnonzero(first)[joined]]
        phase[np.flatnonzero(first)[joined]] = False
        chord = phase & ~whole
    else:
        chord = phase & ~first & ~last
    counts = np.bincount(length[chord], minlength=n + 1)
    return np.append(counts, [full, interfaces]).astype(np.int64)


def _lines(grid: VoxelGrid, inside: Mask, axis: int) -> Iterator[NDArray[np.uint8]]:
    """Blocks (k, n) of the lines along an array axis that this rank works on, 1 where `inside`.

    Lines along axis 0 cross the ranks: the image is transposed, each rank gets a part of the columns. Collective.
    """
    table = np.zeros(256, dtype=np.uint8)
    table[: len(inside)] = inside
    if axis != 0:
        n, planes = grid.shape[axis], len(grid.codes)
        step = max(1, BATCH // (grid.shape[1] * grid.shape[2]))
        for begin in range(0, planes, step):
            block = np.moveaxis(table[grid.codes[begin : begin + step]], axis, 2)
            yield np.ascontiguousarray(block).reshape(-1, n)
        return
    columns = _transposed(grid, table)
    step = max(1, BATCH // grid.shape[0])
    for begin in range(0, columns.shape[1], step):
        yield np.ascontiguousarray(columns[:, begin : begin + step].T)


def _transposed(grid: VoxelGrid, table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """table[codes] of whole columns along axis 0, (n1, own columns): each rank's share of the n2 n3 columns."""
    comm, total = grid.comm, grid.shape[1] * grid.shape[2]
    flat = grid.codes.reshape(len(grid.codes), total)
    if comm.size == 1:
        return table[flat]
    bounds = [slab(total, comm.size, rank, 1) for rank in range(comm.size)]
    planes = comm.allgather(len(flat))
    send = np.concatenate([table[flat[:, a:b]].reshape(-1) for a, b in bounds])
    width = bounds[comm.rank][1] - bounds[comm.rank][0]
    received = np.empty(grid.shape[0] * width, dtype=np.uint8)
    give, take = [len(flat) * (b - a) for a, b in bounds], [p * width for p in planes]
    comm.Alltoallv([send, give, MPI.UINT8_T], [received, take, MPI.UINT8_T])
    return received.reshape(grid.shape[0], width)


def _radial(grid: VoxelGrid, inside: Mask) -> tuple[Floats, Floats]:
    """Mean distance and mean S2 in spherical shells of the width of the smallest voxel edge, periodic."""
    transform = SlabFFT(grid.comm, grid.shape, grid.start, grid.stop)
    spectrum = transform.forward(inside[grid.codes].astype(np.float64))
    spectrum *= spectrum.conj()
    pairs = transform.backward(spectrum)
    width = min(grid.spacing[axis] for axis in grid.axes)
    shells = int(min(grid.edges) / (2 * width)) + 1
    squares = []
    for axis in range(3):
        n = grid.shape[axis]
        lag = np.minimum(np.arange(n), n - np.arange(n)) * grid.spacing[axis]
        squares.append(lag**2)
    across = squares[1][:, None] + squares[2][None, :]
    sums = np.zeros((3, shells))  # voxels, their distances, their pairs
    for plane, field in zip(range(grid.start, grid.stop), pairs, strict=True):
        distance = np.sqrt(squares[0][plane] + across).reshape(-1)
        shell = np.rint(distance / width).astype(np.int64)
        near = shell < shells
        for row, weights in zip(sums, (None, distance[near], np.rint(field.reshape(-1)[near])), strict=True):
            row += np.bincount(shell[near], weights, minlength=shells)
    grid.comm.Allreduce(MPI.IN_PLACE, sums)
    count = np.maximum(sums[0], 1)
    return sums[1] / count, sums[2] / (count * grid.voxels)
