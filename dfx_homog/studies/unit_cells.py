"""From a microstructure of the run file to the UnitCell: made on one rank, the same arrays everywhere.

One door for five makers: the families of the plane (plane_mesh) and of space (space_mesh) by gmsh, conforming cuts of
a background mesh (cut), mesh files (mesh_file), and images (voxels/mesh).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog.errors import BadInput
from dfx_homog.microstructure import families2d, families3d, plane_mesh, space_mesh
from dfx_homog.microstructure.spec import Spec
from dfx_homog.microstructure.unitcell import UnitCell

# Families that are cut out of a periodic background mesh, and those that come in a file.
CUT = ("level_set", "random_spheres")
FILE = "mesh"


def dimension(spec: Spec) -> int:
    """2 or 3: the space dimensions of a family's unit cell (of a mesh file: 0, the file tells)."""
    if spec.geometry == FILE:
        return 0
    if spec.geometry in ("spheres", "ellipsoid", *CUT):
        return 3
    return int(getattr(spec, "dim", 2))


def _check(spec: Spec) -> None:
    known = list(dict.fromkeys([*families2d.FAMILIES, *families3d.FAMILIES, *CUT, FILE]))
    if spec.geometry not in known:
        raise BadInput(f"geometry: {spec.geometry!r} has no mesh; allowed: {', '.join(known)}")
    dim = dimension(spec)
    allowed = [d for d, f in ((2, families2d.FAMILIES), (3, families3d.FAMILIES)) if spec.geometry in f]
    if spec.geometry not in CUT and dim and dim not in allowed:
        raise BadInput(
            f"dim: {dim} is not available for {spec.geometry!r}; allowed: {', '.join(map(str, allowed))}"
        )
    if spec.geometry != FILE and not 0.0 < spec.mesh_size <= 0.5:
        raise BadInput(f"mesh_size: {spec.mesh_size}; allowed: above 0, at most 0.5 (unit-cell lengths)")
    if spec.order not in (1, 2):
        raise BadInput(f"order: {spec.order}; allowed: 1, 2")


def validate(spec: Spec) -> None:
    """Raises BadInput for a microstructure that has no good mesh, as far as that shows without meshing."""
    _check(spec)
    if spec.geometry in CUT or spec.geometry == FILE:
        return
    (plane_mesh if dimension(spec) == 2 else space_mesh).geometry_of(spec)


def face_breaks(spec: Spec) -> tuple[float, ...]:
    """Positions z2 in (0, 1), sorted, where the interface meets the face z1 = 0 (equivalently z1 = 1).

    Also 1/2 for geometries that are their own mirror image in z2 = 1/2, whose meshes are then symmetric too.
    Empty for families that are not joined with others: those of space, and mesh files.
    Raises BadInput as `validate`.
    """
    validate(spec)
    return plane_mesh.geometry_of(spec).breaks[0] if dimension(spec) == 2 else ()


def _make(
    name: str, spec: Spec, breaks: Sequence[float], face_size: float | None, folder: Path | None
) -> UnitCell:
    if getattr(spec, "is_voxels", False):
        from dfx_homog.voxels.mesh import voxel_cell

        return voxel_cell(name, spec, folder)
    _check(spec)
    if dimension(spec) == 2:
        size = face_size if face_size is not None else spec.mesh_size
        return plane_mesh.plane_cell(name, spec, breaks, size)
    if face_size is not None or len(breaks):
        raise BadInput(f"geometry: {spec.geometry!r} cannot be joined with other regions in this version")
    if spec.geometry == FILE:
        from dfx_homog.microstructure.mesh_file import mesh_file_cell

        return mesh_file_cell(name, spec, folder)
    if spec.geometry in CUT:
        from dfx_homog.microstructure.cut import cut_unit_cell

        return cut_unit_cell(name, spec)
    return space_mesh.space_cell(name, spec)


def build_unit_cell(
    name: str,
    spec: Spec,
    comm: MPI.Comm,
    face_breaks: Sequence[float] = (),
    face_size: float | None = None,
    folder: Path | None = None,
) -> UnitCell:
    """Mesh of a family of the run file, the same on all ranks. Collective on comm; it is made on its rank 0.

    name         of the microstructure, for messages
    face_breaks  further positions of nodes on the faces z1 = 0 and 1 (2D): the union of face_breaks(spec) over the
                 regions that are to be joined
    face_size    largest edge on those faces, default spec.mesh_size: the smallest of the regions to be joined
    folder       of the run file, where a mesh file is looked for first
    The nodes on z1 = 0 and 1 are then 0, the breaks, 1, each segment divided uniformly into
    ceil(length/face_size) intervals (with midpoints for order 2): equal for all regions.
    Raises BadInput for geometries without a good mesh, RuntimeError if gmsh fails; on every rank.
    """
    cell: UnitCell | None = None
    failure: Exception | None = None
    if comm.rank == 0:
        try:
            cell = _make(name, spec, face_breaks, face_size, folder)
        except BadInput as error:
            failure = BadInput(f"[microstructure.{name}] {error}")
        except MemoryError as error:  # which is no bug
            failure = MemoryError(f"[microstructure.{name}] {error}")
        except Exception as error:  # the other ranks wait for the broadcast
            failure = RuntimeError(f"[microstructure.{name}] {error}")
            failure.__cause__ = error
    failure = comm.bcast(failure, root=0)
    if failure is not None:
        raise failure
    return broadcast(comm, cell)


def broadcast(comm: MPI.Comm, cell: UnitCell | None) -> UnitCell:
    """The unit cell of rank 0 on every rank. Collective; arrays travel as buffers, without a second copy."""
    if comm.size == 1:
        assert cell is not None
        return cell
    head = None
    arrays: list[NDArray[Any]] = []
    if cell is not None:
        arrays = [cell.points, cell.cells, cell.phase, *cell.periodic]
        head = cell.name, cell.dim, cell.order, [(a.shape, a.dtype) for a in arrays]
    name, dim, order, kinds = comm.bcast(head, root=0)
    received: list[NDArray[Any]] = []
    for i, (shape, dtype) in enumerate(kinds):
        array = np.ascontiguousarray(arrays[i]) if comm.rank == 0 else np.empty(shape, dtype)
        comm.Bcast(array, root=0)
        received.append(array)
    if cell is not None:
        return cell
    return UnitCell(name, dim, order, received[0], received[1], received[2], tuple(received[3:]))
