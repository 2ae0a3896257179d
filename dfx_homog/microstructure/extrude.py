"""A separator that fits an electrode: the mesh of a face of the electrode's unit cell, drawn out along z1."""

from __future__ import annotations

import math

import numpy as np

from dfx_homog.microstructure.reference_element import EDGES
from dfx_homog.microstructure.unitcell import ELECTROLYTE, Floats, Ints, UnitCell


def extrude_face(name: str, cell: UnitCell, mesh_size: float) -> UnitCell:
    """Unit cell of electrolyte only, whose faces z1 = 0 and z1 = 1 have the nodes of those of `cell`, in their order.

    The simplices of the face are drawn out into ceil(1/mesh_size) layers of prisms, and each prism with vertices
    a_0 < a_1 < ... below and b_0, b_1, ... above (numbered alike on opposite faces) is divided into the simplices
    (a_0 ... a_k, b_k ... b_last), so that neighbours share their diagonals (Freudenthal). Curved edges of the face
    stay curved.
    """
    lower = cell.periodic[0][:, 0]
    layers = math.ceil(1.0 / mesh_size - 1e-9)
    simplices, middle = face_mesh(cell, lower)
    levels = np.arange(layers * cell.order + 1) / (layers * cell.order)
    flat = cell.points[lower][:, 1:]
    points = np.column_stack([np.repeat(levels, len(flat)), np.tile(flat, (len(levels), 1))])
    vertices = _prisms(simplices, layers, len(flat) * cell.order)
    vertices = _oriented(points, vertices)
    nodes = vertices if cell.order == 1 else _with_midpoints(vertices, middle, len(flat))
    nodes = nodes[np.argsort(points[vertices, 0].mean(axis=1), kind="stable")]
    return UnitCell(
        name=name,
        dim=cell.dim,
        order=cell.order,
        points=points,
        cells=nodes,
        phase=np.full(len(nodes), ELECTROLYTE, dtype=np.int8),
        periodic=_pairs(cell, lower, len(levels)),
    )


def face_mesh(cell: UnitCell, lower: Ints) -> tuple[Ints, dict[str, Ints]]:
    """Simplices of the face z1 = 0 in numbers of `lower`, vertices by rising canonical number, and its midpoints."""
    place = np.full(len(cell.points), -1)
    place[lower] = np.arange(len(lower))
    where, local = cell.face_facets(0, 0)
    columns = np.array([cell.facet_nodes(i) for i in range(cell.dim + 1)])[local]
    nodes = cell.cells[where[:, None], columns]
    corners = nodes[:, : cell.dim]
    keys, values = [], []
    if cell.order == 2:
        for number, (i, j) in enumerate(EDGES[cell.dim - 1]):
            ends = np.sort(place[corners[:, [i, j]]], axis=1)
            keys.append(ends[:, 0] * len(lower) + ends[:, 1])
            values.append(place[nodes[:, cell.dim + number]])
    table, first = np.unique(np.concatenate(keys or [np.zeros(0, dtype=np.int64)]), return_index=True)
    rank = np.argsort(cell.canonical[corners], axis=1)
    simplices = place[np.take_along_axis(corners, rank, axis=1)]
    middles = np.concatenate(values)[first] if values else np.zeros(0, dtype=np.int64)
    return simplices, {"edges": table, "nodes": middles}


def _prisms(simplices: Ints, layers: int, step: int) -> Ints:
    """Vertices of the simplices of all prisms; the face's nodes one layer up have numbers larger by `step`."""
    last = simplices.shape[1]
    base = (np.arange(layers)[:, None, None] * step + simplices).reshape(-1, last)
    return np.vstack([np.hstack([base[:, : k + 1], base[:, k:] + step]) for k in range(last)])


def _oriented(points: Floats, vertices: Ints) -> Ints:
    edges = points[vertices[:, 1:]] - points[vertices[:, :1]]
    wrong = np.linalg.det(edges) < 0
    vertices[wrong] = vertices[wrong][:, [1, 0, *range(2, vertices.shape[1])]]
    return vertices


def _with_midpoints(vertices: Ints, middle: dict[str, Ints], count: int) -> Ints:
    """Vertices and midpoints: between (node p, level i) and (node q, level j) lies (midpoint of p and q, (i + j)/2)."""
    level, node = np.divmod(vertices, count)
    columns = [vertices]
    for i, j in EDGES[vertices.shape[1] - 1]:
        p, q = np.minimum(node[:, i], node[:, j]), np.maximum(node[:, i], node[:, j])
        at = np.searchsorted(middle["edges"], p * count + q)
        at = np.minimum(at, len(middle["edges"]) - 1)
        between = np.where(p == q, p, middle["nodes"][at])
        columns.append(((level[:, i] + level[:, j]) // 2 * count + between)[:, None])
    return np.hstack(columns)


def _pairs(cell: UnitCell, lower: Ints, levels: int) -> tuple[Ints, ...]:
    count = len(lower)
    place = np.full(len(cell.points), -1)
    place[lower] = np.arange(count)
    ends = np.column_stack([np.arange(count), np.arange(count) + (levels - 1) * count])
    pairs = [ends]
    for direction in range(1, cell.dim):
        both = place[cell.periodic[direction]]
        both = both[(both >= 0).all(axis=1)]
        pairs.append((np.arange(levels)[:, None, None] * count + both).reshape(-1, 2))
    return tuple(pairs)


def fits(one: UnitCell, other: UnitCell) -> bool:
    """Whether the face z1 = 1 of one unit cell is the face z1 = 0 of another: nodes, their order, and facets."""
    a, b = one.points[one.end_nodes(1)][:, 1:], other.points[other.end_nodes(0)][:, 1:]
    return a.shape == b.shape and np.array_equal(a, b) and np.array_equal(_facets(one, 1), _facets(other, 0))


def _facets(cell: UnitCell, side: int) -> Ints:
    nodes = cell.end_nodes(side)
    place = np.full(len(cell.points), -1)
    place[nodes] = np.arange(len(nodes))
    where, local = cell.face_facets(0, side)
    columns = np.array([cell.facet_nodes(i) for i in range(cell.dim + 1)])[local]
    found = np.sort(place[cell.cells[where[:, None], columns]], axis=1)
    ordered: Ints = found[np.lexsort(found.T)]
    return ordered
