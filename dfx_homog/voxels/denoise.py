"""Non-local means of images distributed over slabs, and the noise it is tuned to."""

from __future__ import annotations

from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog.voxels.planes import fetch, strides, with_halo

Grey = NDArray[Any]

SAMPLE = 1 << 17  # voxels from which the noise is estimated


def noise_level(comm: MPI.Intracomm, grey: Grey, start: int, shape: tuple[int, ...]) -> float:
    """Standard deviation of white noise in the image, in grey values: the same on all ranks. Collective.

    The median of |d|/0.6745 over a lattice of voxels, with d the second difference [1, -2, 1] along every axis, which
    vanishes where the image is linear along any of them, divided by its norm 6^(dim/2) (Immerkær 1996, here with a
    robust estimate). Noise that neighbouring voxels share, as after reconstruction, is underestimated.
    """
    around, before = with_halo(comm, grey, start, shape[0], 1)
    used = [axis for axis, n in enumerate(shape) if n >= 3]
    steps = strides(shape, SAMPLE)
    own = np.arange(start, start + len(grey))
    own = (
        own[(own % steps[0] == 0) & (own > 0) & (own < shape[0] - 1)]
        if 0 in used
        else own[own % steps[0] == 0]
    )
    inner = [
        np.arange(1, n - 1, s) if n >= 3 else np.arange(n) for n, s in zip(shape[1:], steps[1:], strict=True)
    ]
    total = np.zeros((len(own), *[len(i) for i in inner]))
    for corner in np.ndindex(*[3 if axis in used else 1 for axis in range(len(shape))]):
        shift = [c - 1 if axis in used else 0 for axis, c in enumerate(corner)]
        weight = float(np.prod([-2.0 if s == 0 else 1.0 for axis, s in enumerate(shift) if axis in used]))
        index = np.ix_(
            own - start + before + shift[0], *[i + s for i, s in zip(inner, shift[1:], strict=True)]
        )
        total += weight * around[index].astype(np.float64)
    parts = comm.gather(np.abs(total).ravel(), root=0)
    found = 0.0
    if parts is not None:
        values = np.concatenate(parts)
        found = float(np.median(values)) / 0.6745 / 6 ** (len(used) / 2) if len(values) else 0.0
    return float(comm.bcast(found, root=0))


def denoised(
    comm: MPI.Intracomm,
    grey: Grey,
    start: int,
    shape: tuple[int, ...],
    limits: tuple[float, float],
    noise: float,
    *,
    strength: float,
    patch: int,
    distance: int,
) -> NDArray[np.float32]:
    """Non-local means of the own planes, in grey values. Collective.

    Blocks of planes, the same for any number of ranks, are dealt out evenly and denoised with an overlap of as many
    planes as the filter reaches. limits: least and greatest value; noise: its standard deviation; strength: of the
    filter over that of the noise; patch, distance: edge of the surroundings compared and how far away, voxels.
    """
    from skimage.restoration import denoise_nl_means

    low, high = limits
    scale = high - low
    reach = distance + patch // 2
    height = int(np.clip(shape[0] // 8, reach, 32))
    edges = np.append(np.arange(0, shape[0], height), shape[0])
    count = len(edges) - 1
    mine = range(count * comm.rank // comm.size, count * (comm.rank + 1) // comm.size)
    first, last = int(edges[mine.start]), int(edges[mine.stop])
    outer = (max(first - reach, 0), min(last + reach, shape[0])) if mine else (0, 0)
    around = fetch(comm, grey, start, *outer)
    out = np.empty((last - first, *shape[1:]), dtype=np.float32)
    for k in mine:
        a, b = int(edges[k]), int(edges[k + 1])
        before, after = max(a - reach, 0), min(b + reach, shape[0])
        # in double precision: the fast algorithm takes differences of sums over the whole block
        block = (around[before - outer[0] : after - outer[0]].astype(np.float64) - low) / scale
        smooth = denoise_nl_means(
            block,
            patch_size=patch,
            patch_distance=distance,
            h=strength * noise / scale,
            sigma=noise / scale,
            fast_mode=True,
            preserve_range=True,
        )
        out[a - first : b - first] = low + scale * smooth[a - before : b - before]
    return fetch(comm, out, first, start, start + len(grey))
