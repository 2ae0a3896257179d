"""A separator between electrodes whose meshes are given: regions that cannot agree on their faces beforehand."""

from __future__ import annotations

from dataclasses import replace

from mpi4py import MPI

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.extrude import fits
from dfx_homog.microstructure.transition import solid_inside, transition_cell
from dfx_homog.microstructure.unitcell import SOLID, UnitCell
from dfx_homog.runfile import Run


def fitting_separator(comm: MPI.Intracomm, run: Run, cells: dict[str, UnitCell]) -> UnitCell:
    """The separator, changed where its faces do not fit those of the electrodes. Collective.

    In space: solid that touches no face is kept and the electrolyte around it meshed anew; where the electrodes'
    faces z1 = 0 and 1 differ, the last period leads from one to the other (UnitCell.closing). In the plane the faces
    must fit as they are. Raises BadInput.
    """
    negative, separator, positive = (cells[name] for name in ("negative", "separator", "positive"))
    fitting = fits(negative, separator) and fits(separator, separator)
    if fitting and fits(separator, positive):
        return separator
    if separator.dim == 2:
        name = "positive" if fitting else "separator"
        raise run.problem(
            f"microstructure.{name}.geometry",
            "its mesh differs from that of negative on the faces z1 = 0 and 1, so that the regions cannot be joined "
            "(allowed with images: as many voxels across, or electrolyte)",
        )
    inside = separator if (separator.phase == SOLID).any() else None
    if inside is not None and not solid_inside(inside):
        raise run.problem(
            "microstructure.separator.geometry",
            "its solid meets the unit cell's faces, and its mesh there is not that of both electrodes (allowed: "
            "electrolyte, solid that touches no face, or the same geometry and mesh_size in all regions)",
        )
    size = _mesh_size(run, separator)
    if not fitting:
        separator = _between(comm, run, negative, negative, size, inside)
    if not fits(separator, positive):
        separator = replace(separator, closing=_between(comm, run, negative, positive, size, inside))
    return separator


def _mesh_size(run: Run, separator: UnitCell) -> float:
    """That of the run file; of meshes without one, the edge of a regular tetrahedron of the mean volume."""
    size = getattr(run.microstructure["separator"], "mesh_size", None)
    return float(size) if size else float((6 * 2**0.5 / len(separator.cells)) ** (1 / 3))


def _between(
    comm: MPI.Intracomm, run: Run, before: UnitCell, after: UnitCell, size: float, inside: UnitCell | None
) -> UnitCell:
    """Made on rank 0, as gmsh's meshes are. Raises BadInput on all ranks."""
    made: UnitCell | None = None
    error: Exception | None = None
    if comm.rank == 0:
        try:
            made = transition_cell("separator", before, after, size, inside)
        except BadInput as raised:
            error = run.problem("microstructure.separator.mesh_size", str(raised))
        except Exception as raised:  # the other ranks wait for the broadcast
            error = raised
    made, error = comm.bcast((made, error))
    if error is not None:
        raise error
    assert made is not None
    return made
