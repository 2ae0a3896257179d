"""Mid-planes of what has three dimensions: of distributed voxel images, and of tetrahedral meshes."""

from __future__ import annotations

from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog._compat import FloatArray
from dfx_homog.voxels.planes import mid_plane

PIXELS = 400  # along an edge of a picture

# The eight tetrahedra of one with nodes at the middles of its edges, in basix order: one at each vertex, and four
# around the diagonal from the middle of edge (2, 3) to that of (0, 1).
_CORNERS = np.array([[0, 9, 8, 7], [1, 9, 6, 5], [2, 8, 6, 4], [3, 7, 5, 4]])
_INNER = np.array([[4, 9, 5, 6], [4, 9, 6, 8], [4, 9, 8, 7], [4, 9, 7, 5]])
SUBDIVISION = np.concatenate([_CORNERS, _INNER])
_EDGES = np.array([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])


def mid_planes(comm: MPI.Intracomm, own: NDArray[Any], start: int, shape: tuple[int, ...]) -> dict[int, Any]:
    """Mid-planes of a distributed image, by the axis they are normal to; a 2D image as a whole, as plane 0.

    own (k, …): planes [start, start + k) of axis 0. Pictures have at most PIXELS pixels along an edge. Collective;
    on ranks other than 0 the pictures are None.
    """
    if len(shape) == 2:
        return {0: mid_plane(comm, own, start, shape, PIXELS)}
    found = {}
    for axis in range(3):
        if axis == 0:
            found[axis] = mid_plane(comm, own, start, shape, PIXELS)
        else:
            plane = np.ascontiguousarray(np.take(own, shape[axis] // 2, axis=axis))
            rest = tuple(n for other, n in enumerate(shape) if other != axis)
            found[axis] = mid_plane(comm, plane, start, rest, PIXELS)
    return found


def _crossing(
    above: NDArray[np.bool_], cells: NDArray[Any], phase: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Cells with nodes on both sides, and their phases."""
    count = above[cells].sum(axis=1)
    here = (count > 0) & (count < cells.shape[1])
    return cells[here], phase[here]


def plane_cut(
    points: FloatArray, cells: NDArray[Any], phase: NDArray[Any], axis: int, level: float = 0.5
) -> tuple[FloatArray, NDArray[Any]]:
    """Polygons (n, 4, 2) in which the plane z_axis = level cuts tetrahedra, and their phases (n,).

    points (nodes, 3); cells (m, 4), or (m, 10) in basix order, which are cut as eight straight tetrahedra each.
    Triangles repeat their last corner. A plane through nodes is taken to pass just above them.
    """
    above = points[:, axis] > level
    cells, phase = _crossing(above, cells, phase)
    if cells.shape[1] == 10:
        cells, phase = cells[:, SUBDIVISION].reshape(-1, 4), np.repeat(phase, len(SUBDIVISION))
        cells, phase = _crossing(above, cells, phase)
    corners, side = points[cells], above[cells]
    a, b = corners[:, _EDGES[:, 0]], corners[:, _EDGES[:, 1]]  # (n, 6, 3)
    crosses = side[:, _EDGES[:, 0]] != side[:, _EDGES[:, 1]]
    rise = np.where(crosses, b[..., axis] - a[..., axis], 1.0)
    t = np.where(crosses, (level - a[..., axis]) / rise, 0.0)
    plane = [other for other in range(3) if other != axis]
    met = (a + t[..., None] * (b - a))[..., plane]
    # the three or four edges that cross first, then around their centre
    order = np.argsort(~crosses, axis=1, kind="stable")[:, :4]
    met, crosses = (
        np.take_along_axis(met, order[..., None], axis=1),
        np.take_along_axis(crosses, order, axis=1),
    )
    met[~crosses[:, 3], 3] = met[~crosses[:, 3], 2]
    centre = met.mean(axis=1, keepdims=True)
    angle = np.arctan2(*np.moveaxis(met - centre, -1, 0)[::-1])
    around = np.argsort(angle, axis=1, kind="stable")
    return np.take_along_axis(met, around[..., None], axis=1), phase
