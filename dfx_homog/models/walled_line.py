"""The meso line with both sides of every face: one more element of no length at each."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from dolfinx import fem
from mpi4py import MPI

from dfx_homog import _compat
from dfx_homog.models.meso_domain import (
    LATERAL_FACE,
    NEGATIVE_FACE,
    NEGATIVE_TAB,
    POSITIVE_FACE,
    POSITIVE_TAB,
    SEPARATOR_WORK,
    Box,
    Facets,
    MesoLine,
)
from dfx_homog.solvers.layout import Ints


class WalledLine(MesoLine):
    """A line with one more element of no length at each face.

    Its ends are the two sides of the face, and its middle node has room for the fluxes through it. Nothing is
    integrated over it; its region is -1.
    """

    def __init__(self, comm: MPI.Intracomm, thickness: tuple[float, ...], elements: int):
        self._kinds = np.array([-1, *(k for r in range(3) for k in (*([r] * elements), -1))], dtype=np.int64)
        super().__init__(comm, thickness, elements)

    def _make(self, _tabs: tuple[Box | None, Box | None]) -> None:
        comm, through, count = self.comm, self.grids[0], len(self._kinds)
        self._least = float(np.diff(through).min())
        # both sides of a face are at the same place
        place = np.concatenate([[0], np.cumsum(self._kinds >= 0)])
        self.grids = [through[place]]
        own = np.arange(*(self._first_cell(comm.rank + i) for i in (0, 1)), dtype=np.int64)
        first, last = ((count + 1) * (comm.rank + i) // comm.size for i in (0, 1))
        numbers = np.arange(first, last, dtype=np.float64)[:, None]
        self.mesh = _compat.create_mesh(comm, np.column_stack([own, own + 1]), numbers, "interval", 1)
        x = self.mesh.geometry.x
        x[:, 0] = self.grids[0][np.rint(x[:, 0]).astype(np.int64)]
        local = int(self.mesh.topology.index_map(1).size_local)
        order = np.asarray(self.mesh.topology.original_cell_index[:local], dtype=np.int64)
        self.element = order
        self.region = self._kinds[self.element]
        self.facets = self._ends()

    def _first_cell(self, rank: int) -> int:
        work = np.where(np.isin(self._kinds, (0, 2)), 1.0, SEPARATOR_WORK)
        return int(np.searchsorted(np.cumsum(work) / work.sum(), rank / self.comm.size + 1e-12, side="right"))

    def _ends(self) -> dict[int, Facets]:
        """Heat leaves from the ends of the electrodes, current passes the walls at the collectors."""
        last = len(self._kinds) - 1

        def at(element: int, side: int) -> Facets:
            cells = np.flatnonzero(self.element == element)
            return np.column_stack([cells, np.full(len(cells), side)]).astype(np.int32)

        nowhere = np.empty((0, 2), dtype=np.int32)
        ends = {NEGATIVE_FACE: at(1, 0), POSITIVE_FACE: at(last - 1, 1)}
        return ends | {NEGATIVE_TAB: at(0, 0), POSITIVE_TAB: at(last, 1), LATERAL_FACE: nowhere}

    def numbers(self, space: fem.FunctionSpace) -> Ints:
        out = np.empty(space.dofmap.index_map.size_local + space.dofmap.index_map.num_ghosts, dtype=np.int64)
        out[space.dofmap.list[: len(self.element)]] = 2 * self.element[:, None] + np.array([0, 2, 1])
        return out

    @cached_property
    def stiffness(self) -> float:
        return self.order / self._least

    @property
    def spans(self) -> Ints:
        """(3, 2) first and last node of each region."""
        first = 2 * np.searchsorted(np.maximum.accumulate(self._kinds), np.arange(3))
        return np.column_stack([first, first + 2 * self.elements])
