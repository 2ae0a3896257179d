"""Gaussian random fields on the torus, cut at a level: random porous media, the same on any number of ranks."""

from __future__ import annotations

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog.voxels.fourier import Reals, SlabFFT

_PIECE = 1 << 20  # values handled at a time where a step needs more than a byte a voxel


def white_noise(shape: tuple[int, int, int], start: int, stop: int, seed: int) -> Reals:
    """Planes [start, stop) of numpy's default_rng(seed).standard_normal(shape), which is drawn plane by plane."""
    generator = np.random.default_rng(seed)
    own = np.empty((stop - start, *shape[1:]))
    skipped = np.empty(shape[1:])
    for plane in range(stop):
        generator.standard_normal(out=own[plane - start] if plane >= start else skipped)
    return own


def gaussian_field(
    comm: MPI.Intracomm, shape: tuple[int, int, int], start: int, stop: int, sigma: float, seed: int
) -> Reals:
    """Own planes of white noise under the periodic Gaussian filter exp(-2 pi^2 sigma^2 |f|^2).

    sigma in voxels, f in cycles a voxel; start, stop are the own planes. The correlation function of the field
    is exp(-r^2 / (4 sigma^2)). Collective.
    """
    transform = SlabFFT(comm, shape, start, stop)
    spectrum = transform.forward(white_noise(shape, start, stop, seed))
    f1, f2, f3 = transform.frequencies()
    exponent = -2 * np.pi**2 * sigma**2
    spectrum *= np.exp(exponent * f1**2)
    spectrum *= np.exp(exponent * (f2**2 + f3**2))
    return transform.backward(spectrum)


def lowest(comm: MPI.Intracomm, field: Reals, count: int) -> NDArray[np.bool_]:
    """Mask of the `count` lowest values of a field that is spread over the ranks in their order.

    Exact: a radix selection on the bit patterns, 16 bits at a time. Of equal values the first voxels are taken, so
    the mask does not depend on the number of ranks. Collective.
    """
    flat: Reals = field.reshape(-1)
    keys, missing, prefix = flat, count, np.uint64(0)
    for level, shift in enumerate((48, 32, 16, 0)):
        histogram = np.zeros(1 << 16, dtype=np.int64)
        for first in range(0, keys.size, _PIECE):
            digits = (_ordered(keys[first : first + _PIECE]) >> np.uint64(shift)) & np.uint64(0xFFFF)
            histogram += np.bincount(digits.astype(np.int64), minlength=1 << 16)
        below = np.cumsum(comm.allreduce(histogram))
        digit = int(np.searchsorted(below, missing)) if missing else 0
        missing -= int(below[digit - 1]) if digit else 0
        prefix = (prefix << np.uint64(16)) | np.uint64(digit)
        if level < 3:
            keys = _with_prefix(keys, prefix, shift)
    return _up_to(comm, flat, prefix, missing).reshape(field.shape)


def _ordered(values: Reals) -> NDArray[np.uint64]:
    """Unsigned integers in the same order as the (finite) values."""
    bits = (values + 0.0).view(np.uint64)  # + 0.0: one zero only
    sign = np.uint64(1) << np.uint64(63)
    return np.where(bits & sign, ~bits, bits | sign)


def _with_prefix(values: Reals, prefix: np.uint64, shift: int) -> Reals:
    """Those of the values whose ordered bits above `shift` are `prefix`."""
    pieces = [values[first : first + _PIECE] for first in range(0, values.size, _PIECE)]
    kept = [piece[(_ordered(piece) >> np.uint64(shift)) == prefix] for piece in pieces]
    return np.concatenate(kept) if kept else values


def _up_to(comm: MPI.Intracomm, flat: Reals, threshold: np.uint64, equal: int) -> NDArray[np.bool_]:
    """Mask of the values below the threshold and of the first `equal` of those that are the threshold."""
    mask = np.empty(flat.shape, dtype=bool)
    ties = []
    for first in range(0, flat.size, _PIECE):
        keys = _ordered(flat[first : first + _PIECE])
        mask[first : first + _PIECE] = keys < threshold
        ties.append(first + np.flatnonzero(keys == threshold))
    own = np.concatenate(ties) if ties else np.zeros(0, dtype=np.int64)
    before = sum(comm.allgather(len(own))[: comm.rank])
    mask[own[: max(0, equal - before)]] = True
    return mask
