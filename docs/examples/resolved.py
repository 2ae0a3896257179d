"""The resolved model beside the homogenised one: how far apart their voltages are for two delta. Takes 3 s."""

from __future__ import annotations

import numpy as np
from common import problem
from mpi4py import MPI

import dfx_homog

steps = [{"current": 0.2, "duration": 0.1}]
limit = dfx_homog.homogenised(problem(protocol__steps=steps)).history["voltage"]
for periods in ([2, 1, 2], [4, 2, 4]):
    run = problem(protocol__steps=steps, cell__periods=periods)
    result = dfx_homog.resolved(run)
    apart = np.abs(result.history["voltage"] - limit).max()
    if MPI.COMM_WORLD.rank == 0:
        print(
            f"delta = 1/{sum(periods)}: {result.dofs} unknowns, at most {apart:.2e} from the homogenised voltage"
        )
