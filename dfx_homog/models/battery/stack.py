"""A stack of cells that are all resolved on the meso scale: what the battery equation is the limit of as eps -> 0.

    theta d_t T = d_y(K d_y T) + Q(y, t) through N repeating units, T and K d_y T continuous everywhere,
    -K d_y T n = h (T - T_ambient) at both ends

with the Q that every cell's own electrochemistry makes at every meso point, at the local temperature there (MODEL
section 5, [H] 43 assembled over cells); extra layers conduct and store heat. The cells carry the same current. The
heat equation lives on the meso nodes, quadratic elements; it is small, and solved on every rank.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse
import scipy.sparse.linalg
from mpi4py import MPI

from dfx_homog._compat import FloatArray
from dfx_homog.errors import SolverFailure
from dfx_homog.models.battery.cell_heat import heat_load
from dfx_homog.models.battery.cells import CellModels
from dfx_homog.models.battery.coupling import iterate
from dfx_homog.models.battery.heat import Cooling
from dfx_homog.models.battery.laminate import Stack
from dfx_homog.models.homogenised import HomogenisedModel
from dfx_homog.models.transient import LEAST_TEMPERATURE
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.timestepping import TimeStep

EXTRA = 4  # quadratic elements through an extra layer
#: int phi_i phi_j and int phi_i' phi_j' on [0, 1] for the quadratic basis with nodes 0, 1/2, 1.
MASS = np.array([[4, 2, -1], [2, 16, 2], [-1, 2, 4]]) / 30
STIFFNESS = np.array([[7, -8, 1], [-8, 16, -8], [1, -8, 7]]) / 3


class ResolvedStack:
    """State and solver of a stack.

    model: cell model of this rank alone, on a meso line at prescribed temperature
    unit:  its layers; cells: how many units there are; cooling: of both ends
    y, T:  (nodes,) places through the stack in lengths L, and temperature
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        model: HomogenisedModel,
        unit: Stack,
        cells: int,
        cooling: tuple[Cooling, Cooling],
        *,
        T_initial: float,
        tolerance: float,
        iterations: int,
    ):
        self.comm, self.unit, self.cooling = comm, unit, cooling
        self.tolerance, self.iterations = tolerance, iterations
        self.cells = CellModels(comm, model, cells)
        self._order = np.argsort(model.points_of_nodes[:, 0])
        meso = model.points_of_nodes[self._order, 0]
        grid, layer = _grid(meso, unit)
        self._width = len(grid) - 1
        self.y = np.append(
            (np.arange(cells)[:, None] * unit.thickness + grid[:-1]).ravel(), cells * unit.thickness
        )
        self._local = np.arange(cells)[:, None] * self._width + np.arange(len(meso))
        K, theta = (np.tile(np.array(v)[layer], cells) for v in (unit.tensors[:, 0, 0], _capacities(unit)))
        self._assemble(K, theta)
        self.T = np.full(len(self.y), T_initial)
        self._old = [self.T, self.T]
        self._factorised: tuple[float, object] | None = None
        self.found = self.cells.observe()
        self.count = 0

    def _assemble(self, K: FloatArray, theta: FloatArray) -> None:
        length = self.y[2::2] - self.y[:-2:2]
        nodes = 2 * np.arange(len(length))[:, None] + np.arange(3)
        i, j = np.repeat(nodes, 3, axis=1).ravel(), np.tile(nodes, (1, 3)).ravel()

        def matrix(scale: FloatArray, element: FloatArray) -> scipy.sparse.csc_matrix:
            values = (scale[:, None, None] * element).ravel()
            return scipy.sparse.coo_matrix((values, (i, j)), shape=(len(self.y),) * 2).tocsc()

        self.mass = matrix(theta * length, MASS)
        ends = np.zeros(len(self.y))
        ends[0], ends[-1] = (c.h for c in self.cooling)
        self._conduction = matrix(K / length, STIFFNESS) + scipy.sparse.diags(ends).tocsc()
        self._ambient = np.zeros(len(self.y))
        self._ambient[0], self._ambient[-1] = (c.h * c.ambient for c in self.cooling)
        self.volumes = np.asarray(matrix(length, MASS).sum(axis=1)).ravel()

    # a step ----------------------------------------------------------------------------------------------------------

    def advance(self, step: TimeStep) -> None:
        """One implicit step, electrochemistry and heat converged together. Raises SolverFailure on all ranks."""
        control = Control("current", step.control.value, time=step.time)
        scale = np.full(len(self.y), max(LEAST_TEMPERATURE, float(np.abs(self.T).max())))

        def evaluate(T: FloatArray) -> FloatArray:
            return self._solve(step, self._heat(step, T, control))

        self.count, miss = iterate(self.T, scale, self.tolerance * scale, evaluate, self.iterations)
        if (miss > self.tolerance * scale).any():
            raise SolverFailure(
                f"temperatures of the stack have not converged in {self.count} iterations ({miss.max():.1e})"
            )

    def _heat(self, step: TimeStep, T: FloatArray, control: Control) -> FloatArray:
        """int Q v_i of all cells at temperatures T."""
        loads = np.zeros(self._local.shape)
        local = np.empty_like(loads)
        local[:, self._order] = T[self._local]

        def see(cell: int, model: HomogenisedModel) -> None:
            loads[cell] = heat_load(model)[self._order]

        self.found = self.cells.advance(step, local, control, slopes=False, see=see)
        self.comm.Allreduce(MPI.IN_PLACE, loads)
        return np.bincount(self._local.ravel(), loads.ravel(), len(self.y)).astype(np.float64)

    def _solve(self, step: TimeStep, load: FloatArray) -> FloatArray:
        q = step.quotient
        if self._factorised is None or self._factorised[0] != q.a0:
            system = (q.a0 * self.mass + self._conduction).tocsc()
            self._factorised = q.a0, scipy.sparse.linalg.splu(system)
        history = self.mass @ (q.a1 * self._old[0] + q.a2 * self._old[1])
        self.T = self._factorised[1].solve(load + self._ambient - history)  # type: ignore[attr-defined]
        return self.T

    def accept(self) -> None:
        """Make the new state the old one."""
        self._old = [self.T, self._old[0]]
        self.cells.accept()

    # what is measured -------------------------------------------------------------------------------------------------

    @property
    def voltage(self) -> float:
        """Mean of V over the cells."""
        return float(self.found["voltage"].mean())

    def energy_error(self, step: TimeStep) -> float:
        """Residual of the energy identity of the last step over its largest term, heat by the cells' own identities."""
        q = step.quotient
        rate = q.a0 * self.T + q.a1 * self._old[0] + q.a2 * self._old[1]
        cooling = sum(c.h * (T - c.ambient) for c, T in zip(self.cooling, self.T[[0, -1]], strict=True))
        terms = [float((self.mass @ rate).sum()), float(cooling)]
        terms += [float(self.found[name].sum()) for name in ("power", "work", "capacitor")]
        return abs(sum(terms)) / max(map(abs, terms))

    def destroy(self) -> None:
        """Free PETSc objects (collective)."""
        self.cells.model.destroy()


def _grid(meso: FloatArray, unit: Stack) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Nodes of one repeating unit, and the layer of each of its quadratic elements."""
    ends = np.cumsum([0.0, *(layer.thickness for layer in unit.layers)])
    parts = [meso]
    for k in range(3, len(unit.layers)):
        parts.append(np.linspace(ends[k], ends[k + 1], 2 * EXTRA + 1)[1:])
    grid = np.concatenate(parts)
    layer = np.searchsorted(ends, grid[1::2]) - 1
    return grid, layer


def _capacities(unit: Stack) -> list[float]:
    return [layer.theta for layer in unit.layers]
