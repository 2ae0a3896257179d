"""Iterations and time of the meso system against its size: electrodes of spheres with tabs, cooled at their sides.

    ./dfx exec python docs/benchmarks/meso.py 2 2 10 40 160
    ./dfx -n 2 exec python docs/benchmarks/meso.py 3 1 4 8 16

Arguments: dimensions, polynomial order, and elements through each region, one case each; four times as many across. The
Krylov iterations are the largest number over the Newton steps of two time steps; seconds are those of one time step.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from mpi4py import MPI

from dfx_homog.dimensionless.physics import Electrode, Physics
from dfx_homog.models import homogenised
from dfx_homog.models.homogenised import HomogenisedModel
from dfx_homog.models.meso import MesoCoefficients
from dfx_homog.models.meso_domain import MesoBox, Side
from dfx_homog.models.radial import sphere_geometry
from dfx_homog.parameters.expression import Expression, constant
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.timestepping import TimeStep, euler

DT, CURRENT, WIDTH = 0.02, 0.4, 2.0


def physics() -> Physics:
    """Those of the reference problem, cooled at the lateral faces."""

    def electrode(G: float, c_s0: float, ocp: str) -> Electrode:
        D_s, nothing = Expression.parse(1.0), constant(0.0)
        return Electrode(D_s, G, 0.0, 0.5, 1.0, c_s0, Expression.parse(ocp), nothing)

    return Physics(
        D_L=1.0,
        D_A=1.5,
        mu_L=None,
        mu_A=None,
        lam=2.0,
        gamma=0.1,
        h_negative=constant(0.0),
        h_positive=constant(0.0),
        T_ambient=0.0,
        T_initial=0.0,
        isothermal=False,
        c_e0=1.0,
        E_D_L=0.0,
        E_D_A=0.0,
        negative=electrode(1.5, 0.8, "0.25 - 0.3*(c - 0.5)"),
        positive=electrode(1.0, 0.3, "0.85 - 0.3*(c - 0.5)"),
        h_lateral=Expression.of_time_and_place("0.5"),
    )


def model(dim: int, order: int, elements: int) -> HomogenisedModel:
    """A box 1 x 2 (x 2) with tabs at opposite ends, solved iteratively whatever its size."""
    sides = (Side(WIDTH, 4 * elements),) * (dim - 1)
    low, high = ((0.0, 0.5 * WIDTH),) * (dim - 1), ((0.5 * WIDTH, WIDTH),) * (dim - 1)
    domain = MesoBox(
        MPI.COMM_WORLD, (0.4, 0.2, 0.4), elements, sides, order=order, periodic=False, tabs=(low, high)
    )
    eye = np.eye(dim)
    regions = (
        MesoCoefficients(20.0 * eye, 0.4 * eye, 1.2 * eye, 0.4, 1.2),
        MesoCoefficients(None, 0.5 * eye, 1.0 * eye, 0.6, 1.0),
        MesoCoefficients(10.0 * eye, 0.4 * eye, 1.2 * eye, 0.5, 1.1),
    )
    solids = (sphere_geometry("negative", 1.8, 1.0), sphere_geometry("positive", 1.5, 1.0))
    homogenised.SMALL = 0
    return HomogenisedModel(MPI.COMM_WORLD, physics(), solids, regions, domain)


def main() -> None:
    """One line for each size."""
    dim, order, *sizes = (int(word) for word in sys.argv[1:])
    first = MPI.COMM_WORLD.rank == 0
    if first:
        print(
            "| elements a region | meso unknowns | all unknowns | Newton steps | Krylov iterations | s a step |"
        )
        print("| --- | --- | --- | --- | --- | --- |")
    for elements in sizes:
        found = model(dim, order, elements)
        found.switch_on(Control("current", CURRENT))
        steps, krylov, seconds = [], 0, 0.0
        for index in (1, 2):
            control = Control("current", CURRENT)
            start = time.perf_counter()
            info = found.advance(TimeStep(index, index * DT, DT, control, euler(DT), 0))
            seconds = time.perf_counter() - start
            found.accept()
            steps.append(info.newton)
            krylov = max(krylov, *info.krylov)
        unknowns, total = found.layout.global_size, found.dofs
        found.destroy()
        if first:
            print(
                f"| {elements} | {unknowns} | {total} | {max(steps)} | {krylov} | {seconds:.2f} |", flush=True
            )


if __name__ == "__main__":
    main()
