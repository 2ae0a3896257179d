"""Effective transport of an image in memory against porosity, beside Bruggeman's law. Takes 2 s."""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

import dfx_homog

rough = np.random.default_rng(1).standard_normal((24, 24, 24))
wave = np.fft.fftfreq(24) ** 2
smooth = np.fft.fftn(rough) * np.exp(-60.0 * (wave[:, None, None] + wave[:, None] + wave))
field = np.fft.ifftn(smooth).real

for porosity in (0.4, 0.6, 0.8):
    solid = field > np.quantile(field, porosity)
    found = dfx_homog.cell_of_image(solid, solid=[1], sigma_s=1.0)
    assert found.B is not None and found.S is not None
    phi_e, B, S = found.phi_e, np.trace(found.B) / 3, np.trace(found.S) / 3
    if MPI.COMM_WORLD.rank == 0:
        print(f"phi_e = {phi_e:.3f}: B = {B:.4f}, phi_e^1.5 = {phi_e**1.5:.4f}, S = {S:.4f}")
