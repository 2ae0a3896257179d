"""Fourier transforms of real fields on slabs: one transposition, the same bits on any number of ranks."""

from __future__ import annotations

from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from scipy import fft

from dfx_homog.voxels.grid import slab

Reals = NDArray[np.float64]
Complexes = NDArray[np.complex128]

# Columns that are transformed together along axis 0. Batches never depend on the distribution, since a library
# may round the lines of one batch differently (SIMD lanes against the rest).
_BATCH = 64


class SlabFFT:
    """Discrete Fourier transforms of real fields on planes [start, stop) of axis 0 of a periodic grid.

    shape   (n1, n2, n3) of the whole field
    start, stop  own planes; `grid.slab` gives them where the caller has no others

    A spectrum is spread over the ranks by its columns (k2, k3), 0 <= k3 <= n3/2, of which each rank holds a
    contiguous range: arrays (n1, columns). Frequencies of columns that real fields imply by conjugation are left
    out, as in numpy.fft.rfftn. Peak memory about 24 bytes a voxel of the slab. All methods are collective.
    """

    def __init__(self, comm: MPI.Intracomm, shape: tuple[int, int, int], start: int, stop: int):
        self.comm, self.shape = comm, shape
        self.start, self.stop = start, stop
        self._half = shape[2] // 2 + 1
        total = shape[1] * self._half
        batches = -(-total // _BATCH)
        ends = [slab(batches, comm.size, rank, 1) for rank in range(comm.size)]
        self._columns = [(min(a * _BATCH, total), min(b * _BATCH, total)) for a, b in ends]
        self._planes = comm.allgather((start, stop))

    @property
    def columns(self) -> tuple[int, int]:
        """Own range of columns k2*(n3//2 + 1) + k3."""
        own: tuple[int, int] = self._columns[self.comm.rank]
        return own

    def frequencies(self) -> tuple[Reals, Reals, Reals]:
        """Frequencies f1 (n1, 1), f2 (columns,), f3 (columns,) of the own spectrum, in cycles a voxel."""
        k2, k3 = np.divmod(np.arange(*self.columns), self._half)
        n1, n2, n3 = self.shape
        return fft.fftfreq(n1)[:, None], fft.fftfreq(n2)[k2], fft.rfftfreq(n3)[k3]

    def forward(self, field: Reals) -> Complexes:
        """Spectrum (n1, columns) of field (stop - start, n2, n3): sum over voxels x of field(x) exp(-2 pi i f.x)."""
        local = np.empty((self.stop - self.start, self.shape[1] * self._half), dtype=np.complex128)
        for plane, row in zip(field, local, strict=True):
            row[:] = fft.rfftn(plane).reshape(-1)
        pieces = [np.ascontiguousarray(local[:, a:b]) for a, b in self._columns]
        del local
        a, b = self.columns
        sizes = [(end - begin) * (b - a) for begin, end in self._planes]
        spectrum = self._exchange(pieces, sizes).reshape(self.shape[0], b - a)
        self._along_axis_0(fft.fft, spectrum)
        return spectrum

    def backward(self, spectrum: Complexes) -> Reals:
        """The real field of a spectrum, the inverse of `forward`; overwrites the spectrum."""
        self._along_axis_0(fft.ifft, spectrum)
        planes = self.stop - self.start
        pieces = [spectrum[begin:end] for begin, end in self._planes]
        received = self._exchange(pieces, [planes * (b - a) for a, b in self._columns])
        bounds = np.cumsum([0] + [planes * (b - a) for a, b in self._columns])
        parts = [
            received[bounds[r] : bounds[r + 1]].reshape(planes, b - a)
            for r, (a, b) in enumerate(self._columns)
        ]
        field = np.empty((planes, *self.shape[1:]))
        for index in range(planes):
            row = np.concatenate([part[index] for part in parts])
            field[index] = fft.irfftn(row.reshape(self.shape[1], self._half), s=self.shape[1:])
        return field

    def _along_axis_0(self, transform: Any, spectrum: Complexes) -> None:
        for first in range(0, spectrum.shape[1], _BATCH):
            part = spectrum[:, first : first + _BATCH]
            part[:] = transform(np.ascontiguousarray(part), axis=0)

    def _exchange(self, pieces: list[Complexes], sizes: list[int]) -> Complexes:
        """What the ranks send to this one, in their order, flat: rank r sends sizes[r] values."""
        if self.comm.size == 1:
            return pieces[0].reshape(-1)
        received = np.empty(sum(sizes), dtype=np.complex128)
        ends = np.cumsum([0, *sizes])
        requests = [
            self.comm.Irecv(received[ends[r] : ends[r + 1]], source=r, tag=0) for r in range(self.comm.size)
        ]
        requests += [self.comm.Isend(np.ascontiguousarray(p), dest=r, tag=0) for r, p in enumerate(pieces)]
        MPI.Request.Waitall(requests)
        return received
