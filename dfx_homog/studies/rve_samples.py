"""The samples of an RVE study: which there are, where they lie or how they are seeded, and their order of work.

Sizes of meshed unit cells are copies along each direction; those of random media multiply the edge at the same
resolution; those of an image are fractions of its edge.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from dfx_homog.runfile import Run

#: A node of a mesh is about this many voxels' work.
VOXELS_PER_NODE = 40
#: A rank is given this many voxels of a sample before it gets help, 3 GB at 100 bytes a voxel and some room.
VOXELS_PER_RANK = 24_000_000

Window = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Sample:
    """One structure that is solved under all conditions.

    size, realisation  as in the results; index: position of `size` in rve.sizes
    seed    of a random medium, else None
    window  of an image: voxels [a, b) along each axis of the cropped image, else None
    cost    estimate of the work, in voxels
    """

    microstructure: str
    size: float
    index: int
    realisation: int
    seed: int | None
    window: Window | None
    cost: float

    @property
    def label(self) -> str:
        """For messages."""
        return f"{self.microstructure}, size {self.size:g}, realisation {self.realisation}"

    @property
    def file_name(self) -> str:
        """Of its results, below out/samples."""
        return f"{self.microstructure}-{self.index:02d}-{self.realisation:05d}.json"


def derived_seed(seed: int, index: int, realisation: int, *, own: bool) -> int:
    """Seed of a realisation: the run file's own one if `own`, else from numpy's SeedSequence."""
    if own:
        return seed
    return int(np.random.SeedSequence((seed, index, realisation)).generate_state(1)[0])


def windows(shape: Sequence[int], size: float, count: int, seed: Sequence[int]) -> list[Window]:
    """Sub-volumes of `size` times the edges of an image: [a, b) along each axis, `count` of them.

    First those of a lattice of boxes that do not overlap, spread evenly, each as far as possible from those before;
    then others at random places. The whole image exists only once.
    """
    edge = [min(max(2, round(size * n)), n) for n in shape]
    if edge == list(shape):
        return [tuple((0, n) for n in shape)]
    boxes = [n // m for n, m in zip(shape, edge, strict=True)]
    lattice = np.indices(boxes).reshape(len(boxes), -1).T
    starts = [
        np.rint(np.linspace(0, n - m, k)).astype(int) if k > 1 else np.array([(n - m) // 2])
        for n, m, k in zip(shape, edge, boxes, strict=True)
    ]
    chosen = [lattice[0]]
    distance = np.full(len(lattice), np.inf)
    while len(chosen) < min(count, len(lattice)):
        # of the boxes that are farthest from all chosen ones, the first
        distance = np.minimum(distance, np.linalg.norm(lattice - chosen[-1], axis=1))
        chosen.append(lattice[int(np.argmax(distance))])
    corners = [[int(starts[d][b[d]]) for d in range(len(shape))] for b in chosen]
    random = np.random.default_rng(np.random.SeedSequence(seed))
    room = [n - m + 1 for n, m in zip(shape, edge, strict=True)]
    corners += [[int(random.integers(r)) for r in room] for _ in range(count - len(corners))]
    return [tuple((a, a + m) for a, m in zip(corner, edge, strict=True)) for corner in corners]


def is_random(spec: Any) -> bool:
    """Whether a microstructure is drawn anew with another seed."""
    return spec.geometry in ("gaussian_field", "random_spheres")


def plan(run: Run, shapes: dict[str, tuple[int, ...]]) -> tuple[list[Sample], list[str]]:
    """All samples of the study in the order of the results, and remarks for the log.

    shapes: voxels along each direction of the (cropped) images by microstructure
    """
    study, samples, remarks = run.rve, [], []
    for name, spec in run.microstructure.items():
        for index, size in enumerate(study.sizes):
            found = list(_samples_of(name, spec, size, index, study.realisations, shapes.get(name)))
            if len(found) < study.realisations:
                what = "the whole image" if spec.geometry == "image" else "a periodic structure"
                remarks.append(
                    f"{name}, size {size:g}: {what} exists only once, 1 realisation instead of {study.realisations}"
                )
            samples += found
    return samples, remarks


def _samples_of(
    name: str, spec: Any, size: float, index: int, count: int, shape: tuple[int, ...] | None
) -> Iterator[Sample]:
    if spec.geometry == "image":
        assert shape is not None
        for number, window in enumerate(windows(shape, size, count, (index,))):
            cost = float(np.prod([b - a for a, b in window]))
            yield Sample(name, size, index, number, None, window, cost)
    elif is_random(spec):
        for number in range(count):
            seed = derived_seed(spec.seed, index, number, own=size == 1 and number == 0)
            yield Sample(name, size, index, number, seed, None, _cost(spec, size))
    else:
        yield Sample(name, size, index, 0, None, None, _cost(spec, size))


def _cost(spec: Any, size: float) -> float:
    dim = spec.dim or 3
    if spec.is_voxels:
        return float((size * spec.voxels) ** dim)
    edge = (
        getattr(spec, "mesh_size", None) or 0.1
    )  # a mesh from a file has none; only the balance depends on it
    return float(VOXELS_PER_NODE * (size / edge) ** dim)


def digest(run: Run, sample: Sample, conditions: Sequence[str], petsc: Sequence[str], content: str) -> str:
    """SHA-256 of everything that a sample's results depend on; results of another digest are not used again.

    content: digest of the file that the microstructure is read from, "" if there is none
    """
    spec = run.microstructure[sample.microstructure].model_dump(mode="json", exclude={"file"}, warnings=False)
    try:
        own = version("dfx_homog")
    except PackageNotFoundError:
        own = ""
    parts = {
        "version": own,
        "microstructure": spec,
        "file": content,
        "quantity": run.rve.quantity,
        "conditions": list(conditions),
        "sample": asdict(sample),
        "preset": run.solver.preset,
        "petsc": list(petsc),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def deal(costs: Sequence[float], groups: int) -> list[list[int]]:
    """Positions of the samples of each group: the largest first, each to the group with the least work so far."""
    hands: list[list[int]] = [[] for _ in range(groups)]
    load = [0.0] * groups
    for position in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        least = load.index(min(load))
        hands[least].append(position)
        load[least] += costs[position]
    return hands


def stages(samples: Sequence[Sample], ranks: int, wanted: int) -> list[tuple[int, list[Sample]]]:
    """Rounds of work, each with its number of ranks a sample: the samples that need most ranks come first.

    wanted: ranks a sample as the run file says; 0: as many as the voxels need, and all where there are few samples
    """
    if not samples:
        return []
    needs: dict[int, list[Sample]] = {}
    for sample in samples:
        need = wanted or math.ceil(sample.cost / VOXELS_PER_RANK)
        needs.setdefault(min(max(need, 1), ranks), []).append(sample)
    return [
        (need if wanted else max(need, ranks // len(some)), some)
        for need, some in sorted(needs.items(), reverse=True)
    ]
