"""A protocol of one's own: discharge until V falls below 0.6, hold it there, stop below a tenth of the current. 2 s."""

from __future__ import annotations

import numpy as np
from common import problem
from mpi4py import MPI

import dfx_homog

with dfx_homog.stepper(problem()) as cell:
    while cell.voltage > 0.6:
        cell.step(0.01, current=0.2)
    held = cell.time
    while cell.current > 0.02 and cell.time < held + 0.5:
        cell.step(0.02, voltage=0.6)
    c_e = cell.fields["c_e"].x.array
    smallest = MPI.COMM_WORLD.allreduce(float(np.nanmin(c_e)), op=MPI.MIN)
    if MPI.COMM_WORLD.rank == 0:
        print(f"held from t = {held:g} to {cell.time:g}, current {cell.current:.4f}, c_e >= {smallest:.4f}")
        print(f"{len(cell.history['time'])} rows, states of charge {cell.history['soc_n'][-1]:.4f}")
