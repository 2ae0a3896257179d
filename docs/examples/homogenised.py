"""The homogenised model through a protocol: history, losses of voltage, final fields. Takes 2 s."""

from __future__ import annotations

import numpy as np
from common import problem

import dfx_homog

steps = [{"current": 0.2, "duration": 0.2}, {"current": 0.0, "duration": 0.1}]
result = dfx_homog.homogenised(problem(protocol__steps=steps))

time, voltage = result.history["time"], result.history["voltage"]
losses = {name: values[-1] for name, values in result.history.items() if name.startswith("loss_")}
c_e = result.fields["c_e"]
points, values = c_e.function_space.tabulate_dof_coordinates(), c_e.x.array
if result.model.comm.rank == 0:
    print(
        f"V = {voltage[0]:.4f} at t = {time[0]:g}, {voltage[-1]:.4f} at t = {time[-1]:g}, {result.dofs} unknowns"
    )
    print("largest loss at the end:", max(losses, key=lambda name: abs(losses[name])))
    print("B of the negative electrode\n", result.coefficients["negative"].B)
    print(f"c_e on rank 0 from {np.nanmin(values):.4f} to {np.nanmax(values):.4f}, {len(points)} nodes")
