"""Errors and observed orders in delta, and Richardson's limit of the voltage. Takes 3 s."""

from __future__ import annotations

from common import problem
from mpi4py import MPI

import dfx_homog

run = problem(
    convergence__periods=[[2, 1, 2], [4, 2, 4], [8, 4, 8]],
    protocol__steps=[{"current": 0.2, "duration": 0.04}],
)
result = dfx_homog.convergence(run)
if MPI.COMM_WORLD.rank == 0:
    for name in ("Phi_s", "Phi_e", "c_e", "T", "c_s"):
        print(f"{name:6} errors {result.errors(name)}, orders {result.orders[name]['l2']}")
    print("voltage errors", result.errors("voltage"), "orders", result.orders["voltage"])
    print("limit of the voltage", result.richardson["voltage"])
