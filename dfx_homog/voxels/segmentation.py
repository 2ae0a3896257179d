"""From grey values to phases: denoising, a mixture of Gaussians, opening, closing and cleaning, each a named step.

Images are distributed over slabs of axis 0; every step fetches as many planes from other ranks as it needs. What is
estimated from the whole image (noise, mixture, connectivity) and the blocks in which it is denoised do not depend on
the number of ranks, so neither do the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog.errors import BadInput
from dfx_homog.voxels.denoise import SAMPLE, denoised, noise_level
from dfx_homog.voxels.mixture import Mixture, fit_mixture
from dfx_homog.voxels.morphology import cleaned, closed, opened
from dfx_homog.voxels.planes import mid_plane, sample

Labels = NDArray[np.uint8]
Grey = NDArray[Any]
Panels = dict[str, Any]

BINS = 256  # of the histogram
PIXELS = 400  # along an edge of a picture


@dataclass(frozen=True)
class Denoise:
    """Non-local means (Buades, Coll & Morel 2005; Darbon et al. 2008): averages over voxels with similar surroundings.

    strength  how different surroundings may be, in units of the estimated standard deviation of the noise
    patch     edge of the surroundings, voxels
    distance  how far away similar surroundings are looked for, voxels
    """

    strength: float = 0.8
    patch: int = 3
    distance: int = 5
    name: ClassVar[str] = "denoise"


@dataclass(frozen=True)
class Segment:
    """Mixture of `phases` Gaussians fitted to the grey values by expectation-maximisation (Dempster et al. 1977).

    A voxel gets the likeliest phase; phases are numbered 0, 1, … by rising mean.

    phases  number of phases
    sigma   "common": one standard deviation for all phases, that of the noise, which is robust where many voxels are
            shared by two phases; "own": one each, for phases that differ in texture
    """

    phases: int = 2
    sigma: str = "common"
    name: ClassVar[str] = "segment"


@dataclass(frozen=True)
class Open:
    """Takes from a label what is too narrow for a ball of `radius` voxels; see morphology.opened for what fills it."""

    label: int
    radius: int = 1
    name: ClassVar[str] = "open"


@dataclass(frozen=True)
class Close:
    """Gives to a label the gaps in it that are too narrow for a ball of `radius` voxels."""

    label: int
    radius: int = 1
    name: ClassVar[str] = "close"


@dataclass(frozen=True)
class Clean:
    """Connected parts of fewer than `smallest` voxels go to the other phase; see morphology.cleaned."""

    smallest: int
    pore_connectivity: int = 26
    solid_connectivity: int = 6
    name: ClassVar[str] = "clean"


Step = Denoise | Segment | Open | Close | Clean
KINDS: dict[str, type[Step]] = {kind.name: kind for kind in (Denoise, Segment, Open, Close, Clean)}
#: Per parameter, a test and what it allows.
ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "strength": (lambda v: _number(v) and v > 0, "a number > 0"),
    "patch": (lambda v: _whole(v) and v >= 1 and v % 2 == 1, "an odd whole number"),
    "distance": (lambda v: _whole(v) and v >= 1, "a whole number >= 1"),
    "phases": (lambda v: _whole(v) and 2 <= v <= 8, "a whole number from 2 to 8"),
    "sigma": (lambda v: v in ("common", "own"), '"common" or "own"'),
    "label": (lambda v: _whole(v) and 0 <= v <= 255, "a whole number from 0 to 255"),
    "radius": (lambda v: _whole(v) and v >= 1, "a whole number >= 1"),
    "smallest": (lambda v: _whole(v) and v >= 1, "a whole number >= 1"),
    "pore_connectivity": (lambda v: _whole(v) and v in (6, 18, 26), "6, 18 or 26"),
    "solid_connectivity": (lambda v: _whole(v) and v in (6, 18, 26), "6, 18 or 26"),
}


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return _whole(value) or isinstance(value, float)


def parse_steps(tables: Sequence[Mapping[str, Any]]) -> list[Step]:
    """The steps that tables {step = NAME, …} ask for. Raises BadInput, which names the entry and what is allowed.

    Grey values are denoised first; one `segment` turns them into labels, which the other steps change. Without
    `segment` the values of the image are the labels.
    """
    steps: list[Step] = []
    for index, table in enumerate(tables):
        values = dict(table)
        kind = KINDS.get(values.pop("step", None))
        if kind is None:
            raise BadInput(f"steps.{index}.step: must be one of {', '.join(KINDS)}")
        known = [f.name for f in fields(kind)]
        for key, value in values.items():
            if key not in known:
                raise BadInput(f"steps.{index}.{key}: no such key (allowed: {', '.join(known)})")
            if not ALLOWED[key][0](value):
                raise BadInput(f"steps.{index}.{key}: must be {ALLOWED[key][1]}, not {value!r}")
        try:
            steps.append(kind(**values))
        except TypeError:
            raise BadInput(f"steps.{index}: {kind.name} needs all of {', '.join(known)}") from None
    names = [step.name for step in steps]
    if names.count("segment") > 1:
        raise BadInput("steps: at most one segment")
    at = names.index("segment") if "segment" in names else 0
    if any((name == "denoise") != (index < at) for index, name in enumerate(names) if name != "segment"):
        raise BadInput("steps: denoise comes before segment; open, close and clean after it")
    return steps


def segment(
    comm: MPI.Intracomm,
    grey: Grey,
    shape: tuple[int, ...],
    start: int,
    stop: int,
    steps: Sequence[Mapping[str, Any]],
    solid: Sequence[int] = (),
) -> tuple[Labels, Panels]:
    """Carry out the steps on an image of which every rank has planes [start, stop) of axis 0. Collective.

    grey   (stop - start, …) grey values, or labels if no step is `segment`; an axis of one voxel does not count as
           dimension, so that (n1, 1, n2) is a 2D image
    shape  of the whole image
    steps  tables as parse_steps takes them
    solid  labels of the solid, which `clean` needs to know

    Returns the labels of the own planes and, on rank 0, what the report shows of it (elsewhere nothing): range, least
    and greatest value segmented; step (k + 1,) names, "image" first; parameters (k + 1,) in words; changed (k + 1,)
    share of voxels that a step on labels changed, else nan; picture_0 … picture_k, the plane in the middle of axis 0
    after each step; and from `denoise` noise, from `segment` the arrays of the Mixture, and edges and counts of the
    histogram. Raises BadInput on all ranks.
    """
    flat = tuple(n for axis, n in enumerate(shape) if n > 1 or axis == 0)
    if len(flat) not in (2, 3):
        raise BadInput(f"steps: need an image in two or three dimensions, not of shape {shape}")
    own = np.ascontiguousarray(grey).reshape(stop - start, *flat[1:])
    own = own.astype(own.dtype.newbyteorder("="), copy=False)
    work = Work(comm, own, start, flat, tuple(solid))
    _check_values(work)
    work.show("image", "")
    for step in parse_steps(steps):
        before = work.values
        ACTIONS[step.name](work, step)
        words = ", ".join(f"{f.name.replace('_', ' ')} {getattr(step, f.name)}" for f in fields(step))
        on_labels = step.name not in ("denoise", "segment")
        work.show(step.name, words, before if on_labels else None)
    return _as_labels(work).reshape(np.shape(grey)), work.panels()


class Work:
    """The image on its way: own planes as they are now, and pictures of every stage."""

    def __init__(
        self, comm: MPI.Intracomm, values: Grey, start: int, shape: tuple[int, ...], solid: tuple[int, ...]
    ):
        self.comm, self.values, self.start, self.shape, self.solid = comm, values, start, shape, solid
        self.numbers: Panels = {}
        self._shown: list[tuple[str, str, float, Any]] = []

    @property
    def planes(self) -> int:
        return self.shape[0]

    def show(self, name: str, words: str, before: Grey | None = None) -> None:
        """Keep a picture, and how many voxels differ from `before`."""
        changed = np.nan
        if before is not None:
            changed = self.comm.allreduce(int(np.count_nonzero(self.values != before))) / np.prod(self.shape)
        picture = mid_plane(self.comm, self.values, self.start, self.shape, PIXELS)
        self._shown.append((name, words, float(changed), picture))

    def panels(self) -> Panels:
        """What the report shows, on rank 0."""
        if self.comm.rank != 0:
            return {}
        names, words, changed, pictures = zip(*self._shown, strict=True)
        found = {f"picture_{k}": picture for k, picture in enumerate(pictures)}
        return {
            "step": np.array(names),
            "parameters": np.array(words),
            "changed": np.array(changed),
            **found,
            **self.numbers,
        }


def _check_values(work: Work) -> None:
    """Raises BadInput for values that are no numbers; the greatest and the least of the image are kept."""
    values = work.values
    good = np.issubdtype(values.dtype, np.integer) or values.dtype.kind in "fb"
    finite = good and (values.dtype.kind != "f" or bool(np.isfinite(values).all()))
    if not work.comm.allreduce(bool(finite), MPI.LAND):
        raise BadInput("steps: the image must hold real, finite grey values")
    low = work.comm.allreduce(float(values.min()) if values.size else np.inf, MPI.MIN)
    high = work.comm.allreduce(float(values.max()) if values.size else -np.inf, MPI.MAX)
    work.numbers["range"] = np.array([low, high])


def _as_labels(work: Work) -> Labels:
    """The values of an image that no step has segmented, as labels."""
    if work.values.dtype == np.uint8:
        return work.values
    low, high = work.numbers["range"]
    if low < 0 or high > 255 or work.values.dtype.kind == "f":
        raise BadInput("steps: without segment the image must hold labels, whole numbers from 0 to 255")
    return work.values.astype(np.uint8)


def _denoise(work: Work, step: Step) -> None:
    assert isinstance(step, Denoise)
    comm, shape = work.comm, work.shape
    low, high = work.numbers["range"]
    noise = noise_level(comm, work.values, work.start, shape)
    work.numbers["noise"] = noise
    if noise > 0:
        work.values = denoised(comm, work.values, work.start, shape, (low, high), noise, **asdict(step))


def _segment(work: Work, step: Step) -> None:
    """Fits the mixture on rank 0 to a sample that does not depend on the ranks; all ranks apply its thresholds."""
    assert isinstance(step, Segment)
    comm = work.comm
    _check_values(work)
    low, high = (float(v) for v in work.numbers["range"])
    values = sample(comm, work.values, work.start, work.shape, SAMPLE)
    outcome: Mixture | BadInput | None = None
    if values is not None:
        try:
            outcome = fit_mixture(values.astype(np.float64), step.phases, (low, high), step.sigma == "common")
        except BadInput as error:
            outcome = error
    outcome = comm.bcast(outcome, root=0)
    if not isinstance(outcome, Mixture):
        raise outcome or BadInput("segment: the image is empty")
    edges = np.linspace(low, high, BINS + 1)
    counts = np.zeros(BINS, dtype=np.int64)
    labels = np.empty(work.values.shape, dtype=np.uint8)
    for plane, target in zip(work.values, labels, strict=True):
        target[...] = np.searchsorted(outcome.thresholds, plane, side="right")
        counts += np.histogram(plane, edges)[0]
    comm.Allreduce(MPI.IN_PLACE, counts)
    work.values = labels
    work.numbers |= {"edges": edges, "counts": counts, **outcome.arrays()}


def _labels_with(work: Work, step: Open | Close) -> Labels:
    """The labels, among which that of the step must be."""
    labels = _as_labels(work)
    if not work.comm.allreduce(bool((labels == step.label).any()), MPI.LOR):
        raise BadInput(f"steps: {step.name}: label = {step.label}: no voxel has this label")
    return labels


def _open(work: Work, step: Step) -> None:
    assert isinstance(step, Open)
    work.values = opened(
        work.comm, _labels_with(work, step), work.start, work.planes, step.label, step.radius
    )


def _close(work: Work, step: Step) -> None:
    assert isinstance(step, Close)
    work.values = closed(
        work.comm, _labels_with(work, step), work.start, work.planes, step.label, step.radius
    )


def _clean(work: Work, step: Step) -> None:
    assert isinstance(step, Clean)
    pairs = (step.pore_connectivity, step.solid_connectivity)
    labels = _as_labels(work)
    work.values = cleaned(work.comm, labels, work.start, work.planes, work.solid, pairs, step.smallest)


ACTIONS: dict[str, Callable[[Work, Step], None]] = {
    "denoise": _denoise,
    "segment": _segment,
    "open": _open,
    "close": _close,
    "clean": _clean,
}
