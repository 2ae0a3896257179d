"""Unit cells whose mesh is that of an image: every voxel divided into triangles or tetrahedra.

A pixel becomes 2 triangles, a voxel 6 tetrahedra (Kuhn), mirrored in every second layer of each direction, so that no
diagonal is preferred. The diagonals of a face depend on the layers across it only: neighbours match, and so do opposite
faces of the image, for any number of voxels.

The interface is the staircase of the voxels' faces, whose area does not tend to that of the surface it stands for
(voxels/surface.py); `areas` gives both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.periodic import edge_numbers, pair_edges, pair_vertices, unit_cell
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, Ints, UnitCell
from dfx_homog.voxels.grid import VoxelGrid, unit_spacing
from dfx_homog.voxels.image import load_grid
from dfx_homog.voxels.surface import specific_surface

#: Voxels of the largest image that is meshed: 6e6 tetrahedra.
LARGEST = 1_000_000
# Edges of an image that differ by less are equal.
EQUAL = 1e-9


def voxel_cell(name: str, spec: Any, folder: Path | None) -> UnitCell:
    """The unit cell of the image that a table of the run file describes; on one rank. Raises BadInput."""
    if spec.geometry != "image":  # which is read in any case
        _check_size((int(spec.voxels),) * int(spec.dim))
    try:
        grid = load_grid(MPI.COMM_SELF, name, spec, folder or Path())
    except BadInput as error:  # the caller names the table too
        raise BadInput(str(error).removeprefix(f"[microstructure.{name}] ")) from None
    shape = [grid.shape[axis] for axis in grid.axes]
    if max(abs(edge - 1.0) for edge in grid.edges) > EQUAL:
        raise BadInput(
            f"crop: the edges of the image are {', '.join(f'{e:.6g}' for e in grid.edges)} of its first "
            "(allowed: equal edges, for a unit cell; use crop or voxel_size)"
        )
    _check_size(shape)
    return voxel_unit_cell(name, grid.is_solid[grid.codes].reshape(shape), int(spec.order))


def _check_size(shape: Sequence[int]) -> None:
    if math.prod(shape) > LARGEST:
        size = " x ".join(map(str, shape))
        raise BadInput(f"geometry: {size} voxels are too many for a mesh (allowed: {LARGEST} in all)")


def voxel_unit_cell(name: str, solid: NDArray[np.bool_], order: int = 1) -> UnitCell:
    """Mesh of [0, 1]^dim of an image; array axis i is direction i + 1.

    solid (n1, n2) or (n1, n2, n3): true in the solid
    """
    shape = np.array(solid.shape)
    points = np.stack(np.meshgrid(*(np.arange(n + 1) / n for n in shape), indexing="ij"), axis=-1)
    points = points.reshape(-1, solid.ndim)
    cells = _simplices(shape)
    phase = np.repeat(np.where(solid.ravel(), SOLID, ELECTROLYTE), len(cells) // solid.size).astype(np.int8)
    pairs = pair_vertices(points)
    if order == 2:
        edges, number = edge_numbers(cells, solid.ndim)
        across = pair_edges(edges, pairs, len(points))
        pairs = tuple(np.vstack([v, len(points) + e]) for v, e in zip(pairs, across, strict=True))
        cells = np.hstack([cells, len(points) + number])
        points = np.vstack([points, 0.5 * (points[edges[:, 0]] + points[edges[:, 1]])])
    cell = unit_cell(name, order, points, cells, phase, pairs)
    cell.check()
    return cell


def _simplices(shape: Ints) -> Ints:
    """(voxels * dim!, dim + 1) vertices, positively oriented, voxel by voxel in memory order."""
    dim = len(shape)
    orders = np.array(list(permutations(range(dim))))
    path = np.zeros((len(orders), dim + 1, dim), dtype=np.int64)  # from one corner to the opposite one
    for step in range(dim):
        path[:, step + 1] = path[:, step]
        path[np.arange(len(orders)), step + 1, orders[:, step]] = 1
    even = np.round(np.linalg.det(np.eye(dim)[orders])) > 0
    voxel = np.indices(tuple(int(n) for n in shape)).reshape(dim, -1).T
    mirrored = voxel % 2
    stride = np.append(np.cumprod((shape + 1)[:0:-1])[::-1], 1)
    corner = mirrored[:, None, None, :] ^ path[None]
    cells = ((voxel @ stride)[:, None, None] + corner @ stride).reshape(-1, dim + 1)
    positive = (even[None] ^ (mirrored.sum(axis=1) % 2 == 1)[:, None]).ravel()
    cells[~positive] = cells[~positive][:, [*range(dim - 1), dim, dim - 1]]
    return np.asarray(cells)


def areas(cell: UnitCell, active: NDArray[np.bool_]) -> tuple[float, float]:
    """Interface between solid and electrolyte cells of `active` (m,) per unit cell: that of the voxels' faces, on
    which the reaction of the models takes place, and Crofton's estimate of the surface they stand for.

    cell: of `voxel_unit_cell`
    """
    corners = cell.points[cell.cells[:, : cell.dim + 1]]
    edge = np.ptp(corners[0], axis=0)
    shape = [int(n) for n in np.round(1.0 / edge)]
    voxel = np.floor(corners.mean(axis=1) * shape).astype(np.int64)
    number = np.ravel_multi_index(tuple(voxel.T), shape)
    side = np.zeros(int(np.prod(shape)), dtype=np.uint8)
    side[number] = np.where(active, cell.phase, 0)
    three = (shape[0], 1, shape[1]) if cell.dim == 2 else (shape[0], shape[1], shape[2])
    codes = side.reshape(three)
    spacing = unit_spacing(three, tuple(1.0 / n for n in shape))
    grid = VoxelGrid(
        MPI.COMM_SELF,
        cell.name,
        cell.dim,
        three,
        spacing,
        0,
        three[0],
        codes,
        (0, 1, 2),
        (False, True, False),
    )
    found = specific_surface(grid, True, codes == SOLID, codes == ELECTROLYTE)
    return found.faceted, found.corrected
