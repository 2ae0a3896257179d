"""Cell problems of a voxel image in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog.errors import BadInput
from dfx_homog.io.results import stored
from dfx_homog.models.voxel_medium import SCHEMES, voxel_medium
from dfx_homog.studies.results import EffectiveCoefficients
from dfx_homog.together import agreed
from dfx_homog.voxels.grid import VoxelGrid, slab, unit_spacing
from dfx_homog.voxels.image import MIN_EDGE
from dfx_homog.voxels.labels import Coder
from dfx_homog.voxels.solver import CONDITIONS

Conductivity = float | Mapping[int, float]
NAME = "image"


@dataclass(frozen=True)
class Coefficients:
    """Of both phases, as a table [microstructure.NAME] has them."""

    sigma_s: Conductivity | None
    k_s: Conductivity | None
    k_e: float | None
    rho_cp_s: float | None
    rho_cp_e: float | None
    discretisation: str


def cell_of_image(
    image: NDArray[Any],
    solid: Sequence[int] = (1,),
    *,
    sigma_s: Conductivity | None = None,
    k_s: Conductivity | None = None,
    k_e: float | None = None,
    rho_cp_s: float | None = None,
    rho_cp_e: float | None = None,
    discretisation: str = "fv",
    condition: str = "periodic",
    voxel_size: Sequence[float] | None = None,
    comm: MPI.Intracomm | None = None,
    petsc: tuple[str, ...] = (),
) -> EffectiveCoefficients:
    """Effective coefficients of a voxel image in memory, as `cell` finds them for a file. Collective.

    image:  (n1, n2) or (n1, n2, n3) labels, bool or whole numbers; array axis i is direction i, the edge along axis 1
            the unit of length. Under mpirun every rank passes the whole image (a numpy memmap will do), and reads its
            own planes only
    solid:  labels of the solid; all others are electrolyte
    sigma_s, k_s: a number or one for each label of the solid; k_e, rho_cp_s, rho_cp_e: numbers. A tensor whose
            coefficient is missing is None
    discretisation: "fv" (finite volumes, from below), "q1" (elements, from above), or "both"
    condition:      on the outer faces: "periodic", "dirichlet", "flux" or "through"
    voxel_size:     edges of a voxel in any unit, default equal
    comm:   default MPI.COMM_WORLD; petsc: PETSc options as words

    Raises BadInput, SolverFailure.

    >>> image = numpy.random.default_rng(1).random((64, 64, 64)) < 0.4
    >>> cell_of_image(image, solid=[1], sigma_s=10.0).B
    """
    comm = MPI.COMM_WORLD if comm is None else comm
    spec = Coefficients(sigma_s, k_s, k_e, rho_cp_s, rho_cp_e, discretisation)
    _check(spec, condition)
    grid = _grid(comm, np.asanyarray(image), tuple(int(label) for label in solid), voxel_size)
    medium = voxel_medium(grid, spec, condition=condition, user=petsc)
    return EffectiveCoefficients.from_json(NAME, stored(medium.to_json(), comm))


def _check(spec: Coefficients, condition: str) -> None:
    for name, value, allowed in (
        ("discretisation", spec.discretisation, tuple(SCHEMES)),
        ("condition", condition, CONDITIONS),
    ):
        if value not in allowed:
            raise BadInput(f"{name}: {value!r} (allowed: {', '.join(allowed)})")
    for name in ("sigma_s", "k_s", "k_e", "rho_cp_s", "rho_cp_e"):
        value = getattr(spec, name)
        for number in value.values() if isinstance(value, Mapping) else (value,):
            if number is not None and not (np.ndim(number) == 0 and 0.0 < number < np.inf):
                raise BadInput(f"{name}: {number} (allowed: a number > 0)")


def _grid(
    comm: MPI.Intracomm, image: NDArray[Any], solid: tuple[int, ...], voxel_size: Sequence[float] | None
) -> VoxelGrid:
    """This rank's planes. Raises BadInput."""
    dim = image.ndim
    if dim not in (2, 3) or image.dtype.kind not in "bui" or min(image.shape) < MIN_EDGE:
        raise BadInput(
            f"image: {image.dtype} of shape {image.shape} (allowed: bool or whole numbers with two or three axes of "
            f"{MIN_EDGE} voxels or more)"
        )
    size = tuple(float(edge) for edge in voxel_size or (1.0,) * dim)
    if len(size) != dim or not all(0.0 < edge < np.inf for edge in size):
        raise BadInput(f"voxel_size: {list(size)} (allowed: {dim} numbers > 0)")
    first, *_, last = image.shape
    shape = (first, 1 if dim == 2 else image.shape[1], last)
    start, stop = slab(shape[0], comm.size, comm.rank)
    coder = Coder((stop - start, *shape[1:]))

    def code() -> bool:
        for index in range(start, stop):
            coder.add(index - start, np.asarray(image[index]).reshape(shape[1:]))
        return True

    agreed(comm, code)
    values = coder.finish(comm)
    there = ", ".join(map(str, values))
    for label in solid:
        if label not in values:
            raise BadInput(f"solid: no label {label} in the image (allowed: {there})")
    inside = tuple(value in solid for value in values)
    spacing = unit_spacing(shape, size)
    return VoxelGrid(comm, NAME, dim, shape, spacing, start, stop, coder.codes, values, inside)
