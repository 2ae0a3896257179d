"""Fields of a model as scalar functions, and for ParaView: fields.bp, written in parallel, no gathering."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import numpy as np
from dolfinx import fem
from mpi4py import MPI

from dfx_homog import _compat
from dfx_homog.io.disk import check_room, on_rank_0, reserve
from dfx_homog.models.in_units import column
from dfx_homog.models.marched import Marched
from dfx_homog.parameters.units import DIMENSIONLESS, Units
from dfx_homog.timing import timed
from dfx_homog.together import all_arrive


def _free(out: Path, comm: MPI.Intracomm) -> Path:
    """fields.bp, or where a run goes on from a checkpoint, fields-2.bp and so on: what was written stays."""
    number = 1
    path = out / "fields.bp"
    while comm.bcast(os.path.lexists(path), root=0):
        number += 1
        path = out / f"fields-{number}.bp"
    return path


CLOSING = 1 << 17  # bytes that ADIOS2 needs to end a file, generously


class FieldFunctions:
    """Every field of a model, and those on Gamma, as scalar Lagrange functions in the units of the run file.

    NaN where a field does not live. Places stay those of the mesh. Collective.
    """

    def __init__(self, model: Marched, units: Units = DIMENSIONLESS):
        space = model.forms.space
        scalar = fem.functionspace(space.mesh, ("Lagrange", space.element.basix_element.degree))
        self._model, self._units = model, units
        # the blocked and the scalar space number their nodes alike, cell by cell
        self._map = (scalar.dofmap.list.ravel(), space.dofmap.list.ravel())
        self.space = scalar
        self.functions = [
            fem.Function(scalar, name=name) for name in (*model.fields, *model.interface.fields)
        ]

    def update(self) -> None:
        """Take up the model's new state."""
        values = np.where(self._model.visible, self._model.values, np.nan)
        target, source = self._map
        surface = self._model.interface.nodal()
        columns = [*values.T, *(surface[name] for name in self._model.interface.fields)]
        for function, found in zip(self.functions, columns, strict=True):
            if self._units.in_si:
                found = column(self._units, function.name, found, self._model.negative)
            function.x.array[target] = found[source]


class FieldWriter:
    """Writes every field of a model, and those on Gamma, as scalars on the model's mesh, NaN where they do not live.

    Opens in ParaView (ADIOS2 VTX reader). ADIOS2 ends the process where the disk is full, also in closing a file. So
    every write is preceded by a look whether it fits, and room to close the file is kept from the start.
    active: if not, or out is None, nothing is written; units: of fields, places and times.
    Raises SolverFailure where the disk is full. Collective.
    """

    def __init__(
        self, model: Marched, out: Path | None, *, active: bool = True, units: Units = DIMENSIONLESS
    ):
        self._units = units
        self._active, self._written = active and out is not None, -1.0
        if out is None or not active:
            return
        self._fields = FieldFunctions(model, units)
        scalar, functions = self._fields.space, self._fields.functions
        self._mesh = scalar.mesh
        self._comm, self._path = self._mesh.comm, _free(out, self._mesh.comm)
        self._room = self._path.with_suffix(".room")
        topology = self._mesh.topology
        cells = topology.index_map(topology.dim).size_global * (scalar.dofmap.list.shape[1] + 3)
        nodes = scalar.dofmap.index_map.size_global
        self._bytes = 8 * nodes * len(functions) + CLOSING
        self._bytes_of_mesh = 8 * (cells + 5 * nodes)  # written with the first state
        on_rank_0(self._comm, self._path, lambda: reserve(self._room, CLOSING))
        self._writer = _compat.vtx_writer(self._comm, self._path, functions)

    @timed("output")
    def write(self, time: float) -> None:
        """Append the new state, unless the last one written is of the same time (in the units of the run file)."""
        if not self._active or time == self._written:
            return
        self._written = time
        self._fields.update()
        probe, size = self._path.with_suffix(".part"), self._bytes + self._bytes_of_mesh
        on_rank_0(self._comm, self._path, lambda: check_room(probe, size))
        self._bytes_of_mesh = 0
        geometry = self._mesh.geometry.x
        plain = geometry.copy() if self._units.in_si else geometry
        geometry *= self._units.factor("length")  # the writer has no other way to other lengths
        self._writer.write(time)
        geometry[:] = plain

    def __enter__(self) -> FieldWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._active or (kind is not None and not all_arrive(self._comm)):
            return  # closing would wait for the others, who wait for this rank
        on_rank_0(self._comm, self._path, self._room.unlink)
        self._writer.close()
