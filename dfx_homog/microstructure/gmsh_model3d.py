"""gmsh: a periodic solid geometry in a box -> straight tetrahedra with matching nodes on opposite faces.

The box is the unit cube, or the octant [0, 1/2]^3 of a cell that is its own mirror image: then mirroring makes the
periodic faces, and gmsh meshes an eighth. Curved (order 2) nodes are added later, in numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import gmsh
import numpy as np

from dfx_homog.microstructure.gmsh_model import DimTags, pieces_of, session
from dfx_homog.microstructure.reference_element import determinants
from dfx_homog.microstructure.unitcell import Floats, Ints

# Entities of opposite faces are partners when their centres of mass and measures agree to this.
PARTNER = 1e-6

# Surfaces that gmsh's default algorithm meshes well in their parameters; stretched ones (ellipsoids) need MeshAdapt.
EASY = {"Plane", "Sphere"}
MESH_ADAPT = 1.0

# Adds the solid to gmsh's OpenCASCADE model inside the box [0, side]^3; returns its volumes or surfaces.
Draw = Callable[[float], DimTags]


class NoMesh(RuntimeError):
    """gmsh finds no mesh of this geometry with these sizes."""


class Tetrahedra(NamedTuple):
    """Straight tetrahedra: points (n, 3), tetrahedra (m, 4) positively oriented, region (m,) volume number."""

    points: Floats
    tetrahedra: Ints
    region: Ints


def _divide(draw: Draw, side: float) -> list[int]:
    """Volumes into which the drawn interface divides the box."""
    return pieces_of((3, gmsh.model.occ.addBox(0.0, 0.0, 0.0, side, side, side)), draw(side))


def _faces(axis: int, side: float) -> list[tuple[int, Floats]]:
    """Surfaces on the face z_axis = side: tag, centre of mass and area."""
    found = []
    for _, tag in gmsh.model.getEntities(2):
        box = np.array(gmsh.model.getBoundingBox(2, tag))
        if np.all(np.abs(box[[axis, axis + 3]] - side) < PARTNER):
            centre = gmsh.model.occ.getCenterOfMass(2, tag)
            found.append((tag, np.array([*centre, gmsh.model.occ.getMass(2, tag)])))
    return found


def _set_periodic() -> None:
    """Surfaces on z_d = 1 take the mesh of those on z_d = 0."""
    for axis in range(3):
        lower, upper = _faces(axis, 0.0), _faces(axis, 1.0)
        step = np.eye(4)[axis]
        matrix = np.eye(4)
        matrix[axis, 3] = 1.0
        for tag, where in upper:
            distance = [float(np.abs(w + step - where).max()) for _, w in lower]
            if not distance or min(distance) > PARTNER:
                raise RuntimeError(f"surfaces on the faces z{axis + 1} = 0 and 1 do not match")
            source = lower[int(np.argmin(distance))][0]
            gmsh.model.mesh.setPeriodic(2, [tag], [source], matrix.ravel().tolist())


def _size_field(mesh_size: float, sizes: list[str]) -> None:
    """Uniform mesh size, or the smallest of the given expressions in x, y, z where one is below it."""
    gmsh.option.setNumber("Mesh.MeshSizeMax", mesh_size)
    field = gmsh.model.mesh.field
    tags = []
    for expression in sizes:
        tags.append(field.add("MathEval"))
        field.setString(tags[-1], "F", expression)
    if tags:
        gmsh.option.setNumber("Mesh.MeshSizeExtendFromBoundary", 0.0)
        smallest = field.add("Min")
        field.setNumbers(smallest, "FieldsList", tags)
        field.setAsBackgroundMesh(smallest)


def tetrahedralise(
    name: str, draw: Draw, side: float, mesh_size: float, sizes: list[str], around: Sequence[int]
) -> Generator[Tetrahedra | NoMesh, None, None]:
    """Meshes of [0, side]^3 that follow the interface, one for each of `around`; periodic if side is 1.

    draw       adds the solid to gmsh's OpenCASCADE model and returns its entities
    side       1, or 1/2 for the octant of a mirror-symmetric cell
    mesh_size  largest edge
    sizes      expressions in x, y, z of local mesh sizes; the smallest counts
    around     edges around a full turn of a curved surface, at least
    Yields NoMesh where gmsh finds none; raises it where it cannot divide the box.
    """
    with session(name):
        try:
            volumes = _divide(draw, side)
            if side == 1.0:
                _set_periodic()
            _size_field(mesh_size, sizes)
            if {gmsh.model.getType(*s) for s in gmsh.model.getEntities(2)} - EASY:
                gmsh.option.setNumber("Mesh.Algorithm", MESH_ADAPT)
        except Exception as error:  # gmsh raises plain Exception
            raise NoMesh(f"gmsh cannot divide the cell: {error}") from error
        for edges in around:
            gmsh.option.setNumber("Mesh.MeshSizeFromCurvature", edges)
            try:
                gmsh.model.mesh.clear()
                gmsh.model.mesh.generate(3)
            except Exception as error:
                yield NoMesh(f"gmsh found no mesh: {error}")
            else:
                mesh = _tetrahedra(volumes)
                yield mesh if len(mesh.region) else NoMesh("gmsh found no mesh")


def _tetrahedra(volumes: list[int]) -> Tetrahedra:
    """gmsh's tetrahedra in the given volumes, their own nodes only, positively oriented."""
    tags, coordinates, _ = gmsh.model.mesh.getNodes()
    blocks = [gmsh.model.mesh.getElementsByType(4, tag)[1].reshape(-1, 4) for tag in volumes]
    number = np.full(int(tags.max(initial=0)) + 1, -1, dtype=np.int64)
    number[tags] = np.arange(len(tags))
    tetrahedra = number[np.concatenate(blocks)]
    used = np.zeros(len(tags), dtype=bool)
    used[tetrahedra.ravel()] = True
    tetrahedra = (np.cumsum(used) - 1)[tetrahedra]
    points = coordinates.reshape(-1, 3)[used]
    region = np.repeat(np.arange(len(blocks)), [len(b) for b in blocks])
    corner = points[tetrahedra]
    negative = determinants(corner[:, 1:] - corner[:, :1]) < 0.0
    tetrahedra[negative] = tetrahedra[negative][:, [0, 1, 3, 2]]
    return Tetrahedra(points, tetrahedra, region)


def fill_surface(
    name: str, points: Floats, shells: list[Ints], mesh_size: float, algorithm: float
) -> tuple[Floats, Ints]:
    """Tetrahedra (m, 4) of what lies inside the closed surface shells[0] and outside the other shells.

    points (n, 3) and shells (t, 3) stay as they are; the new points follow the given ones. mesh_size: largest edge
    inside; finer towards short edges of the surface. algorithm: gmsh's Mesh.Algorithm3D. Raises NoMesh.
    """
    with session(name):
        try:
            loops = []
            for face, shell in enumerate(shells, start=1):
                gmsh.model.addDiscreteEntity(2, face)
                if face == 1:
                    tags = np.arange(1, len(points) + 1)
                    gmsh.model.mesh.addNodes(2, 1, tags, points.ravel())
                gmsh.model.mesh.addElementsByType(face, 2, [], (shell + 1).ravel())
                loops.append(gmsh.model.geo.addSurfaceLoop([face]))
            volume = gmsh.model.geo.addVolume(loops)
            gmsh.model.geo.synchronize()
            gmsh.option.setNumber("Mesh.MeshSizeMax", mesh_size)
            gmsh.option.setNumber("Mesh.Algorithm3D", algorithm)
            gmsh.model.mesh.generate(3)
        except Exception as error:  # gmsh raises plain Exception
            raise NoMesh(f"gmsh found no mesh: {error}") from error
        tags, coordinates, _ = gmsh.model.mesh.getNodes()
        tetrahedra = gmsh.model.mesh.getElementsByType(4, volume)[1].reshape(-1, 4)
    tags = tags.astype(np.int64)
    added = np.sort(tags[tags > len(points)])
    place = np.append(np.arange(len(points)), len(points) + np.arange(len(added)))
    number = np.full(int(tags.max()) + 1, -1, dtype=np.int64)
    number[np.append(np.arange(1, len(points) + 1), added)] = place
    found = np.empty((len(place), 3))
    found[number[tags]] = coordinates.reshape(-1, 3)
    found[: len(points)] = points
    cells = number[tetrahedra]
    used = np.zeros(len(found), dtype=bool)
    used[cells.ravel()] = True
    if not len(cells) or not used.all():
        raise NoMesh("gmsh left nodes of the surface out")
    corner = found[cells]
    negative = determinants(corner[:, 1:] - corner[:, :1]) < 0.0
    cells[negative] = cells[negative][:, [0, 1, 3, 2]]
    return found, cells
