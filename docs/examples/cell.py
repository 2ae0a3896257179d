"""Effective tensors of two microstructures, with their bounds. Takes 2 s."""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

import dfx_homog

disks = {"geometry": "disks", "radius": 0.3, "lattice": "square", "mesh_size": 0.1, "order": 2}
wavy = {"geometry": "wavy", "w0": 0.27, "w1": 0.12, "mesh_size": 0.1, "order": 2}

phases = {"sigma_s": 10.0, "k_s": 5.0, "k_e": 1.0}
result = dfx_homog.cell({"microstructure": {"disks": disks | phases, "wavy": wavy | phases}})
for name, found in result.items() if MPI.COMM_WORLD.rank == 0 else ():
    assert found.B is not None
    eigenvalues = np.linalg.eigvalsh(found.B)
    print(f"{name}: phi_e = {found.phi_e:.4f}, eigenvalues of B {eigenvalues}, bounds {found.bounds['B']}")
    print(f"K = {found.K}")
