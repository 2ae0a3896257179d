"""All that one state of the homogenised model consists of, so that one model serves many cells in turn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dfx_homog._compat import FloatArray
from dfx_homog.models.homogenised import HomogenisedModel

Pair = list[FloatArray]


@dataclass
class CellState:
    """New, old and older fields, the oldest where they are kept; concentrations of both electrodes likewise.

    fields: flat local arrays; c: (points, n_s) of negative and positive electrode; current: i_app of the new state
    """

    fields: Pair
    c: list[Pair]
    current: float

    def copy(self) -> CellState:
        """One that shares nothing. Concentrations are replaced, never changed, and may be shared."""
        return replace(self, fields=[f.copy() for f in self.fields], c=[list(pair) for pair in self.c])

    def remembered(self) -> FloatArray:
        """Old and older states as one row of a table; the new one is forgotten."""
        parts = [
            *self.fields[1:],
            *(c.ravel() for pair in self.c[1:] for c in pair),
            np.array([self.current]),
        ]
        return np.concatenate(parts)

    def recall(self, row: FloatArray) -> None:
        """Take up what `remembered` gave; the new state is the old one."""
        shapes = [f.shape for f in self.fields[1:]] + [c.shape for pair in self.c[1:] for c in pair]
        ends = np.cumsum([int(np.prod(s)) for s in shapes])
        found = [
            part.reshape(s).copy() for part, s in zip(np.split(row[:-1], ends[:-1]), shapes, strict=True)
        ]
        depth = len(self.fields) - 1
        self.fields = [found[0].copy(), *found[:depth]]
        pairs = [found[i : i + 2] for i in range(depth, len(found), 2)]
        self.c = [list(pairs[0]), *pairs]
        self.current = float(row[-1])


def take_out(model: HomogenisedModel) -> CellState:
    """The state of a model, copied."""
    forms = model.forms
    fields = [f.x.array.copy() for f in (forms.u, forms.u1, forms.u2)]
    c = [[points.particles.c for points in model.points], model._c_old, model._c_older]
    if model._oldest is not None:
        fields.append(model._oldest.copy())
        c.append(model._c_oldest)
    return CellState(fields, [list(pair) for pair in c], model.current)


def put_in(model: HomogenisedModel, state: CellState) -> None:
    """Make a state that of the model."""
    forms = model.forms
    for function, values in zip((forms.u, forms.u1, forms.u2), state.fields, strict=False):
        function.x.array[:] = values
    if model._oldest is not None:
        model._oldest[:] = state.fields[3]
        model._c_oldest = list(state.c[3])
    for points, c in zip(model.points, state.c[0], strict=True):
        points.particles.c = c
        points.at = None
    model._c_old, model._c_older = list(state.c[1]), list(state.c[2])
    model.set_current(state.current)
