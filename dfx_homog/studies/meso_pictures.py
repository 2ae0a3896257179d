"""Arrays for the report's pictures of the homogenised model: a line through the cell, and maps in 2D and 3D."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from dfx_homog.models.homogenised import HomogenisedModel
from dfx_homog.models.meso_domain import LATERAL_FACE, POSITIVE_FACE, MesoBox
from dfx_homog.studies.pictures import MESH_LIMIT, Arrays, meso
from dfx_homog.studies.reference import take_state

#: Triangles of a cell or facet with 3 or 4 vertices in the order of Basix.
SPLIT = {3: [[0, 1, 2]], 4: [[0, 1, 2], [1, 3, 2]]}


def arrays(model: HomogenisedModel) -> Arrays:
    """Fields along y1 in the middle of a line or box, and maps. Collective; for rank 0 to write.

    meso_y, meso_values (n, 4), meso_ends: the line; meso_map_NAME, NAME = cell (2D), collector, side (3D): (n, 3, 2)
    corners of triangles, meso_map_NAME_values: (n, 3, 5) Phi_s, c_e, Phi_e, T and the rate j at them (nan where a field
    does not live), meso_map_NAME_negative: (n, 3) whether on the negative side, meso_map_NAME_axes: numbers of the two
    coordinates; left out where there are too many to draw.
    """
    if model.domain.dim == 1:
        return meso(take_state(model))
    out = _line(model)
    rate = model.interface.nodal()["rate"]
    values = np.column_stack([np.where(model.visible, model.values, np.nan), rate])
    for name, (vertices, axes) in _drawn(model).items():
        if model.comm.allreduce(len(vertices)) > MESH_LIMIT:
            continue
        columns = [a - 1 for a in axes]
        points = model.comm.gather(model.coordinates[:, columns][vertices].astype(np.float32), root=0)
        fields = model.comm.gather(values[vertices].astype(np.float32), root=0)
        negative = model.comm.gather(model.negative[vertices], root=0)
        if points is not None and fields is not None and negative is not None:
            out |= {
                f"meso_map_{name}": np.concatenate(points),
                f"meso_map_{name}_values": np.concatenate(fields),
                f"meso_map_{name}_negative": np.concatenate(negative),
                f"meso_map_{name}_axes": np.array(axes),
            }
    return out


def _line(model: HomogenisedModel) -> Arrays:
    """Values at the nodes of one column of nodes through the thickness."""
    box = model.domain
    if not isinstance(box, MesoBox):
        return {}
    index = box.indices(model.points_of_nodes[model.shared.own])
    middle = np.array([len(g) // 2 for g in box.node_grids[1:]], dtype=int)
    here = (index[1:] == middle[:, None]).all(axis=0)
    found = model.comm.gather((index[0][here], model.values[model.shared.own[here]]), root=0)
    if found is None:
        return {}
    grid = box.node_grids[0]
    values = np.zeros((len(grid), 4))
    for places, rows in found:
        values[places] = rows
    return {"meso_y": grid, "meso_values": values, "meso_ends": box.ends}


def _drawn(model: HomogenisedModel) -> dict[str, tuple[npt.NDArray[np.int32], tuple[int, int]]]:
    """Name -> (n, 3) nodes of this rank's triangles, numbers of the coordinates that they are drawn in."""
    domain, space = model.domain, model.forms.space
    if domain.dim == 2:
        corners = 4 if domain.mesh.topology.cell_name() == "quadrilateral" else 3
        return {"cell": (_triangles(space.dofmap.list[: len(domain.region), :corners]), (1, 2))}
    out: dict[str, Any] = {"collector": (_facets(model, domain.facets[POSITIVE_FACE]), (2, 3))}
    sides = domain.facets[LATERAL_FACE]
    nodes = _facets(model, sides)
    low = model.comm.allreduce(float(model.coordinates[:, 2].min(initial=np.inf)), op=MPI.MIN)
    flat = np.abs(model.coordinates[nodes, 2] - low).max(axis=1, initial=0.0) < 1e-9
    out["side"] = (nodes[flat], (1, 2))
    return out


def _facets(model: HomogenisedModel, facets: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    corners = 4 if model.domain.mesh.topology.cell_name() == "hexahedron" else 3
    closure = model.forms.facet_closure()[:, :corners]  # vertices come first
    return _triangles(model.forms.space.dofmap.list[facets[:, :1], closure[facets[:, 1]]])


def _triangles(vertices: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    return vertices[:, SPLIT[vertices.shape[1]]].reshape(-1, 3)
