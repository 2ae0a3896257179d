"""gmsh: a plane geometry in a box -> a straight triangulation with uniform nodes on the cell's faces.

Only this module talks to gmsh. Faces are meshed as transfinite curves with equal counts on opposite sides,
so that periodicity needs no constraint of gmsh's own; curved (order 2) nodes are added later, in numpy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import gmsh
import numpy as np

from dfx_homog.microstructure.unitcell import Floats, Ints

# Two faces of one geometry coincide within this distance (unit-cell lengths); OpenCASCADE's own is 1e-7.
TOLERANCE = 1e-7

# One thread, a fixed algorithm and a fixed seed: the same mesh from the same input.
OPTIONS = {
    "General.Terminal": 0.0,
    "General.NumThreads": 1.0,
    "Geometry.Tolerance": 1e-8,
    "Mesh.Algorithm": 6.0,
    # HXT: some 5 times faster than Delaunay; leaves the (periodic) surface mesh as it is
    "Mesh.Algorithm3D": 10.0,
    "Mesh.ElementOrder": 1.0,
    "Mesh.RecombineAll": 0.0,
    "Mesh.RandomSeed": 1.0,
    "Mesh.Smoothing": 5.0,
    "Mesh.MinimumCircleNodes": 8.0,
    "Mesh.MinimumCurveNodes": 3.0,
    "Mesh.MeshSizeFromPoints": 0.0,
    "Mesh.MeshSizeFromCurvature": 0.0,
    "Mesh.MeshSizeExtendFromBoundary": 1.0,
    "Mesh.MeshSizeMin": 0.0,
    "Mesh.MeshSizeMax": 1.0,
}

DimTags = list[tuple[int, int]]
Draw = Callable[[float, float], DimTags]


class Triangulation(NamedTuple):
    """Straight triangles: points (n, 2), triangles (m, 3) positively oriented, region (m,) surface number."""

    points: Floats
    triangles: Ints
    region: Ints


@contextmanager
def session(name: str) -> Iterator[None]:
    """A gmsh model of our own; another user's gmsh session, model and options are found again afterwards."""
    ours = not gmsh.isInitialized()
    if ours:
        gmsh.initialize(readConfigFiles=False, interruptible=False)
    before = {key: gmsh.option.getNumber(key) for key in OPTIONS}
    model = gmsh.model.getCurrent()
    try:
        for key, value in OPTIONS.items():
            gmsh.option.setNumber(key, value)
        gmsh.model.add(f"dfx_homog {name}")
        yield
    finally:
        if ours:
            gmsh.finalize()
        else:
            gmsh.model.remove()
            for key, value in before.items():
                gmsh.option.setNumber(key, value)
            if model in gmsh.model.list():
                gmsh.model.setCurrent(model)


def intervals(length: float, size: float) -> int:
    """ceil(length/size), safe against rounding."""
    return max(1, math.ceil(length / size - 1e-9))


def _outline(width: float, height: float, breaks: Sequence[Sequence[float]]) -> int:
    """The box [0, width] x [0, height] as a surface; its faces have vertices at the breaks.

    A width or height of 1/2 is the box of a mirror-symmetric cell: its upper side is a mirror plane, without
    breaks.
    """
    xs = [b for b in breaks[1] if 0.0 < b < width - TOLERANCE]
    ys = [b for b in breaks[0] if 0.0 < b < height - TOLERANCE]
    corners = [(0.0, 0.0), *((x, 0.0) for x in xs), (width, 0.0)]
    corners += [(width, y) for y in ys] if width == 1.0 else []
    corners += [(width, height)]
    corners += [(x, height) for x in reversed(xs)] if height == 1.0 else []
    corners += [(0.0, height), *((0.0, y) for y in reversed(ys))]
    points = [gmsh.model.occ.addPoint(x, y, 0.0) for x, y in corners]
    lines = [gmsh.model.occ.addLine(a, b) for a, b in zip(points, points[1:] + points[:1], strict=True)]
    surface: int = gmsh.model.occ.addPlaneSurface([gmsh.model.occ.addCurveLoop(lines)])
    return surface


def _divide(draw: Draw, width: float, height: float, breaks: Sequence[Sequence[float]]) -> list[int]:
    """Surfaces into which the drawn interface divides the box."""
    return pieces_of((2, _outline(width, height, breaks)), draw(width, height))


def pieces_of(box: tuple[int, int], tools: DimTags) -> list[int]:
    """Tags of the parts into which `tools` divide the box, a surface or a volume; what is outside it is removed."""
    occ, dim = gmsh.model.occ, box[0]
    pieces: DimTags = [box]
    if tools:
        everything, parts = occ.fragment([box], tools)
        pieces = parts[0]
        outside = [e for e in everything if e not in pieces and e[0] == dim]
        occ.remove(outside, recursive=True)
        occ.synchronize()
        bounded = set(gmsh.model.getBoundary(pieces, combined=False, oriented=False))
        occ.remove([e for e in gmsh.model.getEntities(dim - 1) if e not in bounded], recursive=True)
    occ.synchronize()
    return [tag for _, tag in pieces]


def _face_curves(width: float, height: float, sizes: tuple[float, float]) -> None:
    """Uniform nodes on the cell's faces, not on mirror planes: ceil(length/size) intervals a curve."""
    for _, tag in gmsh.model.getEntities(1):
        vertices = gmsh.model.getBoundary([(1, tag)], combined=False)
        ends = np.array([gmsh.model.getValue(0, p, []) for _, p in vertices])
        if gmsh.model.getType(1, tag) != "Line":  # the arc of a cap has both ends on a face, too
            continue
        length = float(np.linalg.norm(ends[1] - ends[0]))
        for axis, (extent, size) in enumerate(zip((width, height), sizes, strict=True)):
            for side in {0.0, extent} & {0.0, 1.0}:
                if np.all(np.abs(ends[:, axis] - side) < TOLERANCE):
                    gmsh.model.mesh.setTransfiniteCurve(tag, intervals(length, size) + 1)


def _short_arcs(size: float) -> None:
    """At least two intervals on every arc: the cap of a disk must not collapse to its chord."""
    for _, tag in gmsh.model.getEntities(1):
        if gmsh.model.getType(1, tag) != "Line" and gmsh.model.occ.getMass(1, tag) < 2.0 * size:
            gmsh.model.mesh.setTransfiniteCurve(tag, 3)


def _size_field(mesh_size: float, narrow: Sequence[tuple[float, float, float]]) -> None:
    """Uniform mesh size; at narrow passages (x, y, width) the width, growing with the distance."""
    gmsh.option.setNumber("Mesh.MeshSizeMax", mesh_size)
    field = gmsh.model.mesh.field
    tags = []
    for x, y, gap in narrow:
        if gap < mesh_size:
            tags.append(field.add("MathEval"))
            field.setString(tags[-1], "F", f"{gap!r} + 0.4*Sqrt((x-({x!r}))^2 + (y-({y!r}))^2)")
    if tags:
        smallest = field.add("Min")
        field.setNumbers(smallest, "FieldsList", tags)
        field.setAsBackgroundMesh(smallest)


def triangulate(
    name: str,
    draw: Draw,
    box: tuple[float, float],
    breaks: Sequence[Sequence[float]],
    sizes: tuple[float, float],
    narrow: Sequence[tuple[float, float, float]] = (),
) -> Triangulation:
    """Mesh of [0, box[0]] x [0, box[1]] that follows the interface.

    draw    adds the interface to gmsh's OpenCASCADE model and returns its entities
    box     1 or 1/2 per direction; 1/2 where the upper half is the mirror image of the lower
    breaks  vertices on the faces: values of z2 on z1 = 0, values of z1 on z2 = 0
    sizes   largest edge on the faces z1 = 0, 1, and everywhere else
    narrow  passages (x, y, width) to be refined
    Raises RuntimeError where gmsh finds no mesh.
    """
    with session(name):
        try:
            surfaces = _divide(draw, *box, breaks)
            _face_curves(*box, sizes)
            _short_arcs(sizes[1])
            _size_field(sizes[1], narrow)
            gmsh.model.mesh.generate(2)
        except Exception as error:  # gmsh raises plain Exception
            raise RuntimeError(f"gmsh found no mesh: {error}") from error
        tags, coordinates, _ = gmsh.model.mesh.getNodes()
        blocks = [gmsh.model.mesh.getElementsByType(2, tag)[1].reshape(-1, 3) for tag in surfaces]
    used, triangles = np.unique(np.concatenate(blocks), return_inverse=True)
    position = np.argsort(tags)
    points = coordinates.reshape(-1, 3)[position[np.searchsorted(tags[position], used)], :2]
    triangles = triangles.reshape(-1, 3).astype(np.int64)
    region = np.repeat(np.arange(len(blocks)), [len(b) for b in blocks])
    a, b, c = (points[triangles[:, i]] for i in range(3))
    negative = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) < (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    triangles[negative] = triangles[negative][:, [0, 2, 1]]
    return Triangulation(points, triangles, region)


def fill_polygon(name: str, corners: Floats, mesh_size: float) -> tuple[Floats, Ints]:
    """Triangles (m, 3) of a polygon whose edges stay as they are; points: its corners (n, 2) and then those inside.

    mesh_size: largest edge inside; finer towards short edges. Raises RuntimeError where gmsh finds no mesh.
    """
    with session(name):
        try:
            geo = gmsh.model.geo
            points = [geo.addPoint(x, y, 0.0) for x, y in corners]
            lines = [geo.addLine(a, b) for a, b in zip(points, points[1:] + points[:1], strict=True)]
            for line in lines:
                geo.mesh.setTransfiniteCurve(line, 2)
            geo.addPlaneSurface([geo.addCurveLoop(lines)])
            geo.synchronize()
            gmsh.option.setNumber("Mesh.MeshSizeMax", mesh_size)
            gmsh.model.mesh.generate(2)
        except Exception as error:  # gmsh raises plain Exception
            raise RuntimeError(f"gmsh found no mesh: {error}") from error
        tags, coordinates, _ = gmsh.model.mesh.getNodes()
        triangles = gmsh.model.mesh.getElementsByType(2)[1].reshape(-1, 3)
        at_corner = [int(gmsh.model.mesh.getNodes(0, p)[0][0]) for p in points]
    number = np.full(int(tags.max()) + 1, -1, dtype=np.int64)
    number[at_corner] = np.arange(len(corners))
    inside = number[tags] < 0
    number[tags[inside]] = len(corners) + np.arange(np.count_nonzero(inside))
    return np.vstack([corners, coordinates.reshape(-1, 3)[inside, :2]]), number[triangles]


def mirror(mesh: Triangulation, axis: int) -> Triangulation:
    """The mesh of [0, 1/2] in direction `axis` and its mirror image in z_axis = 1/2, joined."""
    points = mesh.points.copy()
    shared = np.abs(points[:, axis] - 0.5) < TOLERANCE
    points[shared, axis] = 0.5
    image = np.where(shared, np.arange(len(points)), len(points) + np.cumsum(~shared) - 1)
    reflected = points[~shared].copy()
    reflected[:, axis] = 1.0 - reflected[:, axis]
    triangles = np.vstack([mesh.triangles, image[mesh.triangles][:, [0, 2, 1]]])
    return Triangulation(np.vstack([points, reflected]), triangles, np.tile(mesh.region, 2))
