"""Losses of voltage of the resolved model: fields on Gamma, and means over the layers of unit cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import ufl
from mpi4py import MPI

from dfx_homog import _compat
from dfx_homog._compat import FloatArray
from dfx_homog.microstructure.unitcell import SOLID
from dfx_homog.models import losses
from dfx_homog.models.fields import C_E, C_S, PHI_E, PHI_S, TEMP
from dfx_homog.models.history import Row

if TYPE_CHECKING:
    from dfx_homog.models.resolved_interface import ResolvedInterface


class ResolvedLosses:
    """Where the volts go in a resolved model (models/losses.py).

    The mean over a unit cell is that over the layer of unit cells at the same y1: an array as long as there are
    periods through the cell is all that the ranks exchange.
    """

    def __init__(self, interface: ResolvedInterface):
        self.on, forms = interface, interface.forms
        self.model, self.forms = interface.model, forms
        cell = ufl.TestFunction(forms.weight.function_space)
        dx = forms.dx(SOLID)
        self._lithium = _compat.compile_form(forms.u[C_S] * cell * dx)
        tiled = forms.tiled
        self._layers = sum(tiled.counts)
        self._layer = np.asarray(tiled.cell_tile[:, 0], dtype=np.int64)
        self._facet_layer = self._layer[interface.facets[:, 0]]
        first, last = tiled.counts[0], self._layers - tiled.counts[-1]
        self._of = (slice(0, first), slice(last, self._layers))
        self._volume = self._by_layer(_compat.compile_form(cell * dx))
        area = np.bincount(self._facet_layer, interface.weights.sum(axis=1), self._layers)
        both = np.array([self._volume, area])
        self.model.comm.Allreduce(MPI.IN_PLACE, both)
        self._volume, self._area = both

    def _by_layer(self, form: object) -> FloatArray:
        """(layers,) this rank's part of an integral over the cells."""
        space = self.forms.weight.function_space
        cells = np.zeros_like(self.forms.weight.x.array)
        _compat.assemble_vector(form, cells)
        here = cells[space.dofmap.list[: len(self._layer), 0]]
        return np.asarray(np.bincount(self._layer, here, self._layers), dtype=float)

    def row(self, rate: FloatArray, eta: FloatArray) -> Row:
        """Columns of the losses from G g and eta (nf, nq) on Gamma at the new state. Collective."""
        gamma, model = self.on, self.model
        at = np.einsum("qn,fnk->kfq", gamma.shape, model.values[gamma.nodes])
        T = np.full_like(rate, model.physics.T_initial) if model.physics.isothermal else at[TEMP]
        electrodes = (model.physics.negative, model.physics.positive)
        sums = []
        for e, electrode in enumerate(electrodes):
            here = gamma.electrode == e
            U = electrode.ocp.numpy(c=at[C_S, here] / electrode.c_max, T=T[here])
            surface = losses.Surface(
                weights=gamma.weights[here],
                solid=at[PHI_S, here],
                pores=at[PHI_E, here],
                c_e=at[C_E, here],
                T=T[here],
                U=U,
                rate=rate[here],
                eta=eta[here],
            )
            sums.append(losses.surface_sums(model.physics, electrode, surface))
        warm = np.bincount(self._facet_layer, (gamma.weights * T).sum(axis=1), self._layers)
        send = np.concatenate([*sums, self._by_layer(self._lithium), warm])
        model.comm.Allreduce(MPI.IN_PLACE, send)
        surfaces, (lithium, warm) = send[: 2 * losses.SUMS], send[2 * losses.SUMS :].reshape(2, -1)
        cells, saturation = [], []
        for electrode, layers in zip(electrodes, self._of, strict=True):
            volume, area = self._volume[layers], self._area[layers]
            mean = lithium[layers] / electrode.c_max
            on = area > 0  # a layer at an end may have lost all of its surface
            U = electrode.ocp.numpy(c=(mean[on] / volume[on]), T=warm[layers][on] / area[on])
            cells.append(float(area[on] @ U))
            saturation.append(float(mean.sum() / volume.sum()))
        return losses.row(model.physics, surfaces.reshape(2, -1), cells, saturation, model.voltage)
