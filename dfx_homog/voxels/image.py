"""From the table of a voxel microstructure in a run file to the distributed grid of its phases."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID
from dfx_homog.together import agreed
from dfx_homog.voxels.grid import VoxelGrid, cut, slab, unit_spacing
from dfx_homog.voxels.image_file import ImageFile, open_image
from dfx_homog.voxels.labels import Coder
from dfx_homog.voxels.memory import check_room
from dfx_homog.voxels.random_field import gaussian_field, lowest
from dfx_homog.voxels.spheres import voxelised_balls

Window = Sequence[tuple[int, int]]
Panels = dict[str, Any]  # what voxels/segmentation.py keeps for the report

MIN_EDGE = 2  # voxels along every direction
_FIELD_BYTES = 32  # a voxel, while a Gaussian field is made


def load_grid(
    comm: MPI.Intracomm,
    name: str,
    spec: Any,
    folder: Path,
    *,
    window: Window | None = None,
    seed: int | None = None,
    scale: float = 1.0,
) -> VoxelGrid:
    """The grid of the microstructure `name`: an image, a Gaussian field or voxelised random spheres.

    spec    its table: geometry "image", "gaussian_field" or "random_spheres" with `voxels`
    folder  of the run file, where relative file names begin
    window  [first, end) voxels of the (cropped) image per direction: a sample of it, in which phases may be absent
    seed    instead of the table's, for random media
    scale   factor on the edge of a random medium, at the same length of a voxel

    The codes of random media are 0 for the solid and 1 for the electrolyte, with the values SOLID and ELECTROLYTE.
    On ranks beyond the number of planes the slab is empty (see VoxelGrid.busy). Raises BadInput on all ranks.
    Collective.
    """
    return load_image(comm, name, spec, folder, window=window, seed=seed, scale=scale)[0]


def load_image(
    comm: MPI.Intracomm,
    name: str,
    spec: Any,
    folder: Path,
    *,
    window: Window | None = None,
    seed: int | None = None,
    scale: float = 1.0,
) -> tuple[VoxelGrid, Panels | None]:
    """As load_grid, and what the report shows of the segmentation (on rank 0) if the table has steps."""
    try:
        if spec.geometry == "image":
            return _image(comm, name, spec, folder, window)
        if spec.geometry == "gaussian_field":
            grid = _gaussian_field(comm, name, spec, seed, scale)
        elif spec.geometry == "random_spheres":
            grid = _random_spheres(comm, name, spec, seed, scale)
        else:
            raise BadInput(f"geometry: {spec.geometry!r} has no voxels")
    except BadInput as error:
        raise BadInput(f"[microstructure.{name}] {error}") from None
    return (grid if window is None else cut(grid, window)), None


def _image(
    comm: MPI.Intracomm, name: str, spec: Any, folder: Path, window: Window | None
) -> tuple[VoxelGrid, Panels | None]:
    file, crop = comm.bcast(agreed(comm, lambda: _look(comm, spec, folder)))
    box = crop if window is None or spec.steps else _inside("window", window, crop)
    shape = _three([b - a for a, b in box])
    each = file.dtype.itemsize if spec.steps else 1
    check_room(f"file: {list(shape)} voxels", math.prod(shape) * each / comm.size, "a smaller crop")
    start, stop = slab(shape[0], comm.size, comm.rank)
    own = ((box[0][0] + start, box[0][0] + stop), *box[1:])
    panels: Panels | None = None
    coder = Coder((stop - start, *shape[1:]))
    planes = file.planes(own)
    if spec.steps:
        planes, panels = _segmented(comm, spec, file, planes, shape, start, stop)
    agreed(comm, lambda: _fill(coder, planes))
    values = coder.finish(comm)
    solid = tuple((value in spec.solid) != spec.invert for value in values)
    if spec.steps or window is None:
        _check_labels(spec, file, values, solid)
    size = spec.voxel_size or (1.0,) * len(box)
    if len(size) != len(box):
        raise BadInput(
            f"voxel_size: needs {len(box)} numbers for an image of {len(box)} axes, has {len(size)}"
        )
    spacing = unit_spacing(shape, size)
    grid = VoxelGrid(comm, name, len(box), shape, spacing, start, stop, coder.codes, values, solid)
    if window is not None and spec.steps:
        grid = cut(grid, window)
    return grid, panels


def _look(comm: MPI.Intracomm, spec: Any, folder: Path) -> tuple[ImageFile, Window] | bool:
    """On rank 0 the file and the part of it that is used."""
    if comm.rank != 0:
        return True
    path = Path(spec.file)
    if not path.is_absolute() and (folder / path).exists():
        path = folder / path
    file = open_image(path, spec.shape, spec.dtype)
    if file.dtype.kind == "f" and not spec.steps:
        raise BadInput(
            f"file: {path}: holds {file.dtype} values, not labels; make phases of grey values with `steps`"
        )
    whole = [(0, n) for n in file.shape]
    return file, (whole if spec.crop is None else _inside("crop", spec.crop, whole))


def _inside(key: str, part: Window, whole: Window) -> Window:
    """`part`, which counts from the first voxel of `whole`, in voxels of the file. Raises BadInput."""
    edges = [b - a for a, b in whole]
    if len(part) != len(edges) or not all(0 <= a < b <= n for (a, b), n in zip(part, edges, strict=True)):
        raise BadInput(f"{key}: {[list(p) for p in part]} is not inside an image of {edges} voxels")
    return [(first + a, first + b) for (a, b), (first, _) in zip(part, whole, strict=True)]


def _three(edges: Sequence[int]) -> tuple[int, int, int]:
    """Shape with three axes. Raises BadInput for too few voxels."""
    if min(edges) < MIN_EDGE:
        raise BadInput(
            f"file: the image has {list(edges)} voxels; allowed are {MIN_EDGE} or more along every axis"
        )
    return (edges[0], 1, edges[1]) if len(edges) == 2 else (edges[0], edges[1], edges[2])


def _segmented(
    comm: MPI.Intracomm,
    spec: Any,
    file: ImageFile,
    planes: Iterator[NDArray[Any]],
    shape: tuple[int, int, int],
    start: int,
    stop: int,
) -> tuple[Iterator[NDArray[Any]], Panels]:
    """Planes of labels made of grey values, and the pictures of the steps."""
    from dfx_homog.voxels.segmentation import segment  # only here: its libraries take long to import

    grey = np.empty((stop - start, *shape[1:]), dtype=file.dtype.newbyteorder("="))

    def read() -> bool:
        for index, plane in enumerate(planes):
            grey[index] = plane
        return True

    agreed(comm, read)
    steps = [step if isinstance(step, Mapping) else step.model_dump() for step in spec.steps]
    solid = tuple(label for label in range(256) if (label in spec.solid) != spec.invert)
    labels, panels = segment(comm, grey, shape, start, stop, steps, solid)
    return iter(labels), panels


def _fill(coder: Coder, planes: Iterator[NDArray[Any]]) -> bool:
    for index, plane in enumerate(planes):
        coder.add(index, plane)
    return True


def _check_labels(spec: Any, file: ImageFile, values: tuple[int, ...], solid: tuple[bool, ...]) -> None:
    there = ", ".join(map(str, values))
    where = f"{file.path}{' (cropped)' if spec.crop else ''}{' after its steps' if spec.steps else ''}"
    for label in spec.solid:
        if label not in values:
            raise BadInput(f"solid: no label {label} in {where}; allowed: {there}")
    if all(solid) or not any(solid):
        absent = "electrolyte" if all(solid) else "solid"
        raise BadInput(f"solid: no voxel of {where} is {absent}; its labels are {there}")


def _edge(voxels: int, scale: float, comm: MPI.Intracomm, dim: int, each: int) -> int:
    """Edge of a random medium in voxels. Raises BadInput where it cannot fit into this machine's memory."""
    edge = round(voxels * scale)
    if edge < MIN_EDGE:
        raise BadInput(f"voxels: {edge} along an edge; allowed: {MIN_EDGE} or more")
    check_room(f"voxels: {edge} along an edge", edge**dim * each / comm.size, "fewer voxels")
    return edge


def _two_phases(
    comm: MPI.Intracomm, name: str, dim: int, shape: tuple[int, int, int], electrolyte: NDArray[np.bool_]
) -> VoxelGrid:
    start, stop = slab(shape[0], comm.size, comm.rank)
    spacing = unit_spacing(shape, (1.0,) * dim)
    codes = electrolyte.view(np.uint8)
    return VoxelGrid(comm, name, dim, shape, spacing, start, stop, codes, (SOLID, ELECTROLYTE), (True, False))


def _gaussian_field(comm: MPI.Intracomm, name: str, spec: Any, seed: int | None, scale: float) -> VoxelGrid:
    """Electrolyte where the field is lowest, round(porosity*N) voxels exactly."""
    edge = _edge(spec.voxels, scale, comm, spec.dim, _FIELD_BYTES)
    shape = (edge, 1, edge) if spec.dim == 2 else (edge, edge, edge)
    length = float(spec.correlation_length)
    sigma = length * spec.voxels if length < 1.0 else length
    start, stop = slab(edge, comm.size, comm.rank)
    field = gaussian_field(comm, shape, start, stop, sigma, spec.seed if seed is None else seed)
    electrolyte = lowest(comm, field, round(spec.porosity * edge**spec.dim))
    return _two_phases(comm, name, spec.dim, shape, electrolyte)


def _random_spheres(comm: MPI.Intracomm, name: str, spec: Any, seed: int | None, scale: float) -> VoxelGrid:
    """Solid balls of a packing made on rank 0."""
    from dfx_homog.microstructure.packing import pack

    edge = _edge(spec.voxels, scale, comm, 3, 1)
    packing = agreed(comm, lambda: pack(spec, seed=seed, scale=scale) if comm.rank == 0 else True)
    centres, radii = comm.bcast(packing)
    start, stop = slab(edge, comm.size, comm.rank)
    solid = voxelised_balls(centres, radii, edge, start, stop)
    return _two_phases(comm, name, 3, (edge, edge, edge), ~solid)
