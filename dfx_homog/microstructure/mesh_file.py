"""Unit cells that come as a gmsh file (.msh) with the physical groups `solid` and `electrolyte`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gmsh
import numpy as np

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.gmsh_model import session
from dfx_homog.microstructure.msh import merge, positions
from dfx_homog.microstructure.periodic import edge_numbers, pair_edges, pair_vertices, unit_cell
from dfx_homog.microstructure.reference_element import determinants
from dfx_homog.microstructure.space_mesh import check_quality
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, Floats, Ints, Phases, UnitCell

PHASES = {"solid": SOLID, "electrolyte": ELECTROLYTE}
# gmsh's element types by (dim, order), and its order of nodes -> basix order.
TYPES = {(2, 1): 2, (2, 2): 9, (3, 1): 4, (3, 2): 11}
NODES = {2: [0, 1, 2], 9: [0, 1, 2, 4, 5, 3], 4: [0, 1, 2, 3], 11: [0, 1, 2, 3, 8, 9, 5, 7, 6, 4]}
# Exchanging the last two vertices turns a cell over; the midpoints follow.
TURNED = {2: [0, 2, 1], 9: [0, 2, 1, 3, 5, 4], 4: [0, 1, 3, 2], 11: [0, 1, 3, 2, 4, 6, 5, 8, 7, 9]}
# Nodes this near to a face are put on it; faces must match to this (unit-cell lengths).
TOLERANCE = 1e-6


def find(file: str, folder: Path | None) -> Path:
    """The file relative to `folder` (the run file's), else to the working directory. Raises BadInput."""
    for place in ([folder] if folder is not None else []) + [Path()]:
        if (path := place / file).is_file():
            return path
    raise BadInput(f"file: no such file: {file}")


def _groups(dim: int) -> dict[int, int]:
    """Entities of dimension `dim` -> phase, by their physical groups. Raises BadInput."""
    phase: dict[int, int] = {}
    names = []
    for _, tag in gmsh.model.getPhysicalGroups(dim):
        name = gmsh.model.getPhysicalName(dim, tag)
        names.append(name)
        for entity in gmsh.model.getEntitiesForPhysicalGroup(dim, tag) if name in PHASES else ():
            if phase.get(int(entity), PHASES[name]) != PHASES[name]:
                raise BadInput("file: an entity belongs to both groups solid and electrolyte")
            phase[int(entity)] = PHASES[name]
    if not phase:
        raise BadInput(
            f"file: physical groups of dimension {dim} are {', '.join(names) or 'none'}; "
            "needed: solid, electrolyte"
        )
    return phase


def _elements(dim: int, order: int) -> tuple[Ints, Phases, int]:
    """Node tags (m, k) in basix order, phase, gmsh's element type. Raises BadInput."""
    kind = TYPES[dim, order]
    blocks, phases = [], []
    marked = _groups(dim)
    for _, entity in gmsh.model.getEntities(dim):
        types, tags, nodes = gmsh.model.mesh.getElements(dim, entity)
        if not len(types):
            continue
        if list(types) != [kind]:
            names = ", ".join(gmsh.model.mesh.getElementProperties(t)[0] for t in types)
            raise BadInput(
                f"file: has cells of type {names}; needed: triangles or tetrahedra of order {order} (key order)"
            )
        if entity not in marked:
            raise BadInput(f"file: {len(tags[0])} cells belong to neither group solid nor electrolyte")
        blocks.append(nodes[0].reshape(len(tags[0]), -1)[:, NODES[kind]])
        phases.append(np.full(len(tags[0]), marked[entity], dtype=np.int8))
    return np.concatenate(blocks).astype(np.int64), np.concatenate(phases), kind


def _read(name: str, path: Path, order: int) -> tuple[Floats, Ints, Phases, int]:
    """Points (n, dim), cells, phase and gmsh's element type of a file. Raises BadInput."""
    with session(name):
        merge(path, "file")
        dim = 3 if len(gmsh.model.mesh.getElements(3)[0]) else 2
        if not len(gmsh.model.mesh.getElements(dim)[0]):
            raise BadInput(f"file: {path} holds neither triangles nor tetrahedra")
        cells, phase, kind = _elements(dim, order)
        tags, coordinates, _ = gmsh.model.mesh.getNodes()
    used, cells = np.unique(positions(tags, cells, f"file: {path}"), return_inverse=True)
    points = coordinates.reshape(-1, 3)[used]
    if dim == 2 and np.ptp(points[:, 2]) > TOLERANCE:
        raise BadInput("file: the triangles do not lie in a plane z = const")
    return np.ascontiguousarray(points[:, :dim]), cells.reshape(len(phase), -1), phase, kind


def mesh_file_cell(name: str, spec: Any, folder: Path | None) -> UnitCell:
    """The periodic unit cell [0, 1]^dim of spec.file, of order spec.order; raises BadInput."""
    path = find(str(spec.file), folder)
    points, cells, phase, kind = _read(name, path, int(spec.order))
    dim = points.shape[1]
    low, high = points.min(axis=0), points.max(axis=0)
    if np.abs(low).max() > TOLERANCE or np.abs(high - 1.0).max() > TOLERANCE:
        extent = " x ".join(f"[{a:.6g}, {b:.6g}]" for a, b in zip(low, high, strict=True))
        raise BadInput(f"file: {path} fills {extent}; allowed: the unit cell [0, 1]^{dim}")
    for value in (0.0, 1.0):
        points[np.abs(points - value) < TOLERANCE] = value
    corner = points[cells[:, : dim + 1]]
    volume = determinants(corner[:, 1:] - corner[:, :1])
    cells[volume < 0.0] = cells[volume < 0.0][:, TURNED[kind]]
    try:
        pairs = _pairs(points, cells)
    except ValueError as error:
        raise BadInput(f"file: {path} is not periodic: {error}") from None
    cell = unit_cell(name, int(spec.order), points, cells, phase, pairs)
    try:
        check_quality(cell, f"file: {path}")
    except RuntimeError as error:
        raise BadInput(f"file: {path} is not a conforming periodic mesh ({error})") from None
    return cell


def _pairs(points: Floats, cells: Ints) -> tuple[Ints, ...]:
    """Pairs of vertices by their place, of midpoints by their edges. Raises ValueError."""
    dim = points.shape[1]
    used = np.unique(cells[:, : dim + 1])
    pairs = tuple(used[p] for p in pair_vertices(points[used], TOLERANCE))
    if cells.shape[1] == dim + 1:
        return pairs
    edges, number = edge_numbers(cells, dim)
    middle: Ints = np.empty(len(edges), dtype=np.int64)
    middle[number] = cells[:, dim + 1 :]
    across = pair_edges(edges, pairs, len(points))
    return tuple(np.vstack([p, middle[e]]) for p, e in zip(pairs, across, strict=True))
