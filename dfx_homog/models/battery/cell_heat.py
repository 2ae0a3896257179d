"""Heat that a cell model makes at prescribed temperature: in each region, and as a load on the meso nodes."""

from __future__ import annotations

from mpi4py import MPI

from dfx_homog._compat import FloatArray
from dfx_homog.models.homogenised import HomogenisedModel


def region_heat(model: HomogenisedModel) -> FloatArray:
    """(3,) heat that each region makes in the new state, per area of the collector. Collective."""
    local: FloatArray = model.joule_heat().sum(axis=0)
    for region, points in zip((0, 2), model.points, strict=True):
        assert points.response is not None
        local[region] += points.weights @ points.response.q
    model.comm.Allreduce(MPI.IN_PLACE, local)
    return local


def heat_load(model: HomogenisedModel) -> FloatArray:
    """(nodes,) int Q v_i of the new state, per area of the collector: this rank's part."""
    load: FloatArray = model.forms.joule_load()
    for points in model.points:
        assert points.response is not None
        load[points.nodes] += points.weights * points.response.q
    return load
