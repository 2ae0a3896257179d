"""Fields for ParaView: fields.bp, written in parallel, no gathering."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
from dolfinx import fem
from mpi4py import MPI

from dfx_homog import _compat
from dfx_homog.models.transient import TransientModel


def _free(out: Path, comm: MPI.Intracomm) -> Path:
    """fields.bp, or where a run goes on from a checkpoint, fields-2.bp and so on: what was written stays."""
    number = 1
    path = out / "fields.bp"
    while comm.bcast(path.exists(), root=0):
        number += 1
        path = out / f"fields-{number}.bp"
    return path


class FieldWriter:
    """Writes every field of a model, and those on Gamma, as scalars on the model's mesh, NaN where they do not live.

    Opens in ParaView (ADIOS2 VTX reader). active: if not, nothing is written. Collective.
    """

    def __init__(self, model: TransientModel, out: Path, *, active: bool = True):
        self._active, self._written = active, -1.0
        if not active:
            return
        space = model.forms.space
        scalar = fem.functionspace(space.mesh, ("Lagrange", space.element.basix_element.degree))
        self._model = model
        # the blocked and the scalar space number their nodes alike, cell by cell
        self._map = (scalar.dofmap.list.ravel(), space.dofmap.list.ravel())
        self._functions = [
            fem.Function(scalar, name=name) for name in (*model.fields, *model.interface.fields)
        ]
        self._writer = _compat.vtx_writer(space.mesh.comm, _free(out, space.mesh.comm), self._functions)

    def write(self, time: float) -> None:
        """Append the new state, unless the last one written is of the same time."""
        if not self._active or time == self._written:
            return
        self._written = time
        values = np.where(self._model.visible, self._model.values, np.nan)
        target, source = self._map
        surface = self._model.interface.nodal()
        columns = [*values.T, *(surface[name] for name in self._model.interface.fields)]
        for function, column in zip(self._functions, columns, strict=True):
            function.x.array[target] = column[source]
        self._writer.write(time)

    def __enter__(self) -> FieldWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._active:
            self._writer.close()
