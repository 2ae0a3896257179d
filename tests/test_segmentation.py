"""From grey values to labels: against images whose phases are known, and against other implementations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from scipy import ndimage
from skimage.morphology import ball as skimage_ball

from dfx_homog.errors import BadInput
from dfx_homog.voxels.denoise import denoised, noise_level
from dfx_homog.voxels.grid import slab
from dfx_homog.voxels.mixture import Mixture, fit_mixture
from dfx_homog.voxels.morphology import cleaned, closed, components, opened
from dfx_homog.voxels.planes import fetch, sample, with_halo
from dfx_homog.voxels.segmentation import parse_steps, segment

COMM = MPI.COMM_WORLD
SHAPE = (36, 30, 32)


def own(shape: tuple[int, ...]) -> slice:
    return slice(*slab(shape[0], COMM.size, COMM.rank))


def whole(local: np.ndarray) -> np.ndarray:
    return np.concatenate(COMM.allgather(local))


def structure(shape: tuple[int, ...], fractions: list[float], length: float, seed: int) -> np.ndarray:
    """Labels 0, 1, … of given volume fractions: a periodic Gaussian field cut at its quantiles."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), length, mode="wrap")
    return np.searchsorted(np.quantile(field, np.cumsum(fractions)[:-1]), field).astype(np.uint8)


def photographed(labels: np.ndarray, greys: list[float], noise: float) -> np.ndarray:
    """What a detector with a little blur and noise makes of labels, 8 bits."""
    blurred = ndimage.gaussian_filter(np.take(greys, labels).astype(float), 0.6)
    return np.clip(blurred + np.random.default_rng(5).normal(size=labels.shape) * noise, 0, 255).astype(
        np.uint8
    )


@pytest.mark.mpi
@pytest.mark.mpi3
def test_planes_of_other_ranks() -> None:
    """Halos deeper than a slab, ranks without planes, ranges that some ranks do not ask for."""
    image = np.arange(7 * 3 * 2, dtype=np.int32).reshape(7, 3, 2)
    for planes in (2, 7):
        part = own((planes,))
        around, before = with_halo(COMM, image[part], part.start, planes, 5)
        first = part.start - before
        if part.start < part.stop:
            assert first == max(part.start - 5, 0) and len(around) == min(part.stop + 5, planes) - first
        else:
            assert len(around) == 0
        assert np.array_equal(around, image[first : first + len(around)])
        want = (0, planes) if COMM.rank == 0 else (0, 0)
        assert np.array_equal(fetch(COMM, image[part], part.start, *want), image[slice(*want)])
    part = own((7,))
    values = sample(COMM, image[part], part.start, image.shape, 10)
    assert (values is None) == (COMM.rank != 0)
    if values is not None:
        assert values.tolist() == image[::2, ::2, ::2].ravel().tolist()


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize(
    ("fractions", "greys", "noise", "least"),
    [([0.4, 0.6], [60, 160], 16.0, 0.98), ([0.4, 0.25, 0.35], [40, 120, 200], 12.0, 0.97)],
)
def test_recovers_the_phases(fractions: list[float], greys: list[float], noise: float, least: float) -> None:
    truth = structure(SHAPE, fractions, 5.0, 3)
    image = photographed(truth, greys, noise)
    steps = [{"step": "denoise", "distance": 2}, {"step": "segment", "phases": len(greys)}]
    labels, panels = segment(COMM, image[own(SHAPE)], SHAPE, own(SHAPE).start, own(SHAPE).stop, steps)
    agreement = (whole(labels) == truth).mean()
    assert agreement > least
    assert bool(panels) == (COMM.rank == 0)
    if COMM.rank == 0:
        assert panels["noise"] == pytest.approx(noise, rel=0.05)
        assert panels["means"] == pytest.approx(greys, abs=12)
        assert panels["weights"] == pytest.approx(fractions, abs=0.04)
        assert panels["counts"].sum() == truth.size
        assert panels["step"].tolist() == ["image", "denoise", "segment"]
        assert panels["parameters"][1] == "strength 0.8, patch 3, distance 2"
        assert np.array_equal(panels["picture_0"], image[SHAPE[0] // 2])
        assert panels["picture_1"].std() < panels["picture_0"].std()


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("shape", [SHAPE, (29, 1, 40), (2, 20, 21)])
def test_same_labels_on_any_number_of_ranks(shape: tuple[int, ...]) -> None:
    """All steps, also in 2D and on more ranks than planes: voxel by voxel what one rank makes of the image."""
    flat = tuple(n for n in shape if n > 1)
    image = photographed(structure(flat, [0.4, 0.25, 0.35], 2.0, 4), [40, 120, 200], 20.0).reshape(shape)
    steps: list[dict[str, Any]] = [
        {"step": "denoise", "strength": 0.6, "distance": 2},
        {"step": "segment", "phases": 3},
        {"step": "close", "label": 2, "radius": 2},
        {"step": "open", "label": 1},
        {"step": "clean", "smallest": 40},
    ]
    part = own(shape)
    labels, panels = segment(COMM, image[part], shape, part.start, part.stop, steps, solid=[1, 2])
    assert labels.shape == image[part].shape and labels.dtype == np.uint8
    alone, alone_panels = segment(MPI.COMM_SELF, image, shape, 0, shape[0], steps, solid=[1, 2])
    assert np.array_equal(whole(labels), alone)
    assert len(np.unique(alone)) == 3
    if COMM.rank == 0:
        assert panels.keys() == alone_panels.keys()
        for name, value in panels.items():
            np.testing.assert_array_equal(value, alone_panels[name], err_msg=name)
        assert np.nanmax(panels["changed"]) > 0


@pytest.mark.mpi
def test_noise_level() -> None:
    """White noise on planes, steps along the axes and blocks: only the noise is seen."""
    x, y, z = np.indices((24, 25, 26))
    clean = 3.0 * x + 2.0 * y - z + 40.0 * (x > 12) + 30.0 * (y > 7) * (z > 9)
    noisy = clean + np.random.default_rng(1).normal(size=clean.shape) * 2.5
    part = own(clean.shape)
    assert noise_level(COMM, clean[part], part.start, clean.shape) == pytest.approx(0, abs=1e-12)
    assert noise_level(COMM, noisy[part], part.start, clean.shape) == pytest.approx(2.5, rel=0.05)
    flat = noisy[:, 0]
    assert noise_level(COMM, flat[part], part.start, flat.shape) == pytest.approx(2.5, rel=0.15)


def test_blocks_overlap_enough() -> None:
    """Denoised block by block as in one piece, but where rounding decides whether a patch is similar at all."""
    from skimage.restoration import denoise_nl_means

    image = photographed(structure((40, 16, 17), [0.5, 0.5], 2.0, 6), [60, 160], 20.0)
    by_blocks = denoised(COMM, image, 0, image.shape, (0.0, 255.0), 20.0, strength=0.8, patch=3, distance=2)
    once = denoise_nl_means(
        image / 255.0, patch_size=3, patch_distance=2, h=0.8 * 20 / 255, sigma=20 / 255, fast_mode=True
    )
    difference = np.abs(by_blocks - 255 * once)
    assert (difference > 1e-4).mean() < 0.01 and difference.max() < 0.5
    assert np.abs(by_blocks - image).mean() > 5


def test_nothing_to_denoise() -> None:
    truth = (np.indices((12, 13, 14))[1] > 5).astype(np.uint8)
    labels, panels = segment(
        COMM, 50.0 + 100 * truth, truth.shape, 0, 12, [{"step": "denoise"}, {"step": "segment"}]
    )
    assert panels["noise"] == 0
    assert np.array_equal(labels, truth)


@pytest.mark.parametrize("common", [True, False])
def test_mixture(common: bool) -> None:
    """Parameters of a known mixture; the threshold is where the densities cross, the errors are the tails beyond it."""
    generator = np.random.default_rng(2)
    sigmas = [5.0, 5.0] if common else [4.0, 9.0]
    values = np.concatenate(
        [generator.normal(50, sigmas[0], 30_000), generator.normal(80, sigmas[1], 70_000)]
    )
    found = fit_mixture(values, 2, (values.min(), values.max()), common)
    assert found.means == pytest.approx([50, 80], abs=0.3)
    assert found.sigmas == pytest.approx(sigmas, abs=0.2)
    assert found.weights == pytest.approx([0.3, 0.7], abs=0.005)
    density = (
        found.weights / found.sigmas * np.exp(-0.5 * ((found.thresholds - found.means) / found.sigmas) ** 2)
    )
    assert density[0] == pytest.approx(density[1])
    wrong = [(values[:30_000] > found.thresholds[0]).mean(), (values[30_000:] < found.thresholds[0]).mean()]
    assert found.misclassified == pytest.approx(wrong, abs=2e-3)


def test_misclassified_by_hand() -> None:
    """Thresholds one sigma from a mean on both sides leave 1 - 0.6827 outside."""
    three = Mixture(np.array([0.0, 1.0, 2.0]), np.full(3, 0.5), np.full(3, 1 / 3), np.array([0.5, 1.5]))
    assert three.misclassified == pytest.approx([0.158655, 0.317311, 0.158655], abs=1e-6)


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("radius", [1, 2])
def test_opening_and_closing(radius: int) -> None:
    """Against scipy, with the conventions at the image's faces made explicit by padding."""
    labels = structure((23, 18, 19), [0.5, 0.5], 1.2, 8)
    part, shape = own(labels.shape), skimage_ball(radius)
    wide = 2 * radius

    def reference(first: Any, second: Any, outside: tuple[int, int]) -> np.ndarray:
        mask = np.pad(labels == 1, wide, constant_values=bool(outside[0]))
        mask = first(mask, shape)
        inner = np.pad(mask[(slice(wide, -wide),) * 3], wide, constant_values=bool(outside[1]))
        return second(inner, shape)[(slice(wide, -wide),) * 3]

    found = whole(opened(COMM, labels[part], part.start, len(labels), 1, radius))
    expected = reference(ndimage.binary_erosion, ndimage.binary_dilation, (1, 0))
    assert np.array_equal(found, expected) and (found != labels).any()
    found = whole(closed(COMM, labels[part], part.start, len(labels), 1, radius))
    expected = reference(ndimage.binary_dilation, ndimage.binary_erosion, (0, 1))
    assert np.array_equal(found, expected) and (found != labels).any()


def test_what_fills_an_opening() -> None:
    """A bridge of label 1, one voxel thick: each voxel goes to the label that surrounds it, not to the lowest one."""
    labels = np.full((9, 9), 2, dtype=np.uint8)
    labels[:, :2] = 0
    labels[4, :] = 1
    out = opened(MPI.COMM_SELF, labels, 0, 9, 1, 1)
    assert out[4].tolist() == [0, 0, 2, 2, 2, 2, 2, 2, 2]
    out[4] = labels[4]
    assert np.array_equal(out, labels), "only the bridge has changed"


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_components(rank: int) -> None:
    """The partition into parts, against labels of the whole image."""
    mask = structure((19, 15, 16), [0.72, 0.28], 0.7, 9) == 1
    part, sizes = components(COMM, mask[own(mask.shape)], own(mask.shape).start, len(mask), rank)
    number, count = ndimage.label(mask, ndimage.generate_binary_structure(3, rank))
    found = whole(part)
    assert len(sizes) == count + 1 and count > (5 if rank < 3 else 0)
    pairs = np.unique(np.column_stack([found.ravel(), number.ravel()]), axis=0)
    assert len(pairs) == count + 1, "one number here for each number there"
    assert np.array_equal(sizes, np.bincount(found.ravel()))


@pytest.mark.mpi
@pytest.mark.mpi3
def test_cleaning() -> None:
    """Small parts of both phases, across slabs; voxels that touch in corners are one pore but several grains."""
    labels = np.full((12, 8, 8), 2, dtype=np.uint8)
    labels[:, :4] = 0
    labels[5:7, 6, 6] = 0  # a pore of two voxels, and one that touches it in a corner
    labels[7, 5, 5] = 0
    labels[2, 6, 2] = 0  # a pore of one voxel
    labels[1, 1, 1] = 1  # two grains that touch in an edge only
    labels[2, 2, 1] = 1
    labels[5:8, 1, 5] = 1  # a grain of three voxels
    part = own(labels.shape)
    out = whole(cleaned(COMM, labels[part], part.start, 12, [1, 2], (26, 6), 3))
    expected = labels.copy()
    expected[2, 6, 2] = 2
    expected[1, 1, 1] = expected[2, 2, 1] = 0
    assert np.array_equal(out, expected)
    strict = whole(cleaned(COMM, labels[part], part.start, 12, [1, 2], (6, 26), 3))
    expected = labels.copy()
    expected[labels == 0] = np.where((np.indices(labels.shape)[1] >= 4)[labels == 0], 2, 0)
    assert np.array_equal(strict, np.where(labels == 1, np.where(strict == 0, 0, 1), expected))
    assert (strict[1, 1, 1], strict[5, 1, 5]) == (0, 1)
    full = np.ones((12, 2, 2), dtype=np.uint8)
    assert np.array_equal(whole(cleaned(COMM, full[part], part.start, 12, [1], (26, 6), 100)), full)


@pytest.mark.mpi
def test_labels_without_segment() -> None:
    """An image that is already segmented keeps its labels, as the file has them."""
    labels = np.where(structure((14, 10, 11), [0.5, 0.5], 2.0, 1) == 1, 170, 3).astype(np.uint16)
    labels[3, 4, 5] = 173 - labels[3, 4, 5]
    part = own(labels.shape)
    found, panels = segment(
        COMM, labels[part], labels.shape, part.start, part.stop, [{"step": "open", "label": 170}]
    )
    assert set(np.unique(whole(found))) == {3, 170}
    if COMM.rank == 0:
        assert "means" not in panels and panels["changed"][1] > 0


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"step": "sharpen"}], r"steps\.0\.step: must be one of denoise, segment, open, close, clean"),
        ([{"step": "segment", "phases": 1}], r"steps\.0\.phases: must be a whole number from 2 to 8, not 1"),
        ([{"step": "segment", "sigma": "any"}], r'steps\.0\.sigma: must be "common" or "own"'),
        ([{"step": "segment"}, {"step": "open"}], r"steps\.1: open needs all of label, radius"),
        ([{"step": "denoise", "patch": 4}], r"steps\.0\.patch: must be an odd whole number, not 4"),
        ([{"step": "denoise", "strength": True}], r"steps\.0\.strength: must be a number > 0"),
        ([{"step": "clean", "smallest": 3, "size": 1}], r"steps\.0\.size: no such key \(allowed: smallest"),
        ([{"step": "open", "label": 1}, {"step": "segment"}], "denoise comes before segment"),
        ([{"step": "segment"}, {"step": "denoise"}], "denoise comes before segment"),
        ([{"step": "segment"}, {"step": "segment"}], "at most one segment"),
    ],
)
def test_bad_steps(steps: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        parse_steps(steps)


@pytest.mark.mpi
def test_bad_images() -> None:
    """On all ranks, with one line, whichever rank sees the trouble."""
    shape = (8, 6, 6)
    part = own(shape)

    def run(image: np.ndarray, *steps: dict[str, Any]) -> None:
        segment(COMM, image[part], shape, part.start, part.stop, steps)

    two = structure(shape, [0.5, 0.5], 1.0, 2) * 100.0
    with pytest.raises(BadInput, match="3 phases, but the image has only 2 different grey values"):
        run(two, {"step": "segment", "phases": 3})
    one = np.random.default_rng(0).laplace(size=shape)
    with pytest.raises(BadInput, match="do not show 2 phases"):
        run(one, {"step": "segment", "phases": 2, "sigma": "own"})
    broken = two.copy()
    broken[-1, 0, 0] = np.nan
    with pytest.raises(BadInput, match="finite grey values"):
        run(broken, {"step": "segment"})
    with pytest.raises(BadInput, match="without segment the image must hold labels"):
        run(two * 10, {"step": "open", "label": 1})
    with pytest.raises(BadInput, match="two or three dimensions"):
        segment(COMM, np.zeros((5, 1, 1)), (5, 1, 1), 0, 5, [{"step": "segment"}])
