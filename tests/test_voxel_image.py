"""Voxel images from files: every kind of file on any number of ranks, and one clear line for every bad one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from mpi4py import MPI

from dfx_homog.errors import BadInput
from dfx_homog.together import agreed
from dfx_homog.voxels.grid import VoxelGrid, slab
from dfx_homog.voxels.image import load_grid, load_image

COMM = MPI.COMM_WORLD
GENERATOR = np.random.default_rng(3)
LABELS = np.array([7, 40, 200], dtype=np.uint8)
VOLUME = LABELS[GENERATOR.choice(3, (13, 9, 11), p=(0.5, 0.3, 0.2))]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The same folder on all ranks."""
    yield COMM.bcast(tmp_path)
    COMM.barrier()


def write(work: Callable[[], Any]) -> None:
    if COMM.rank == 0:
        work()
    COMM.barrier()


def table(file: str, **keys: Any) -> SimpleNamespace:
    values: dict[str, Any] = {"geometry": "image", "solid": [40, 200], "shape": None, "dtype": None}
    values |= {"crop": None, "invert": False, "voxel_size": None, "steps": None}
    return SimpleNamespace(**values | {"file": file} | keys)


def labels_of(grid: VoxelGrid) -> np.ndarray:
    """Labels of the whole image."""
    assert grid.codes.flags.c_contiguous
    assert (grid.start, grid.stop) == slab(grid.shape[0], COMM.size, COMM.rank)
    return np.array(grid.values)[np.concatenate(COMM.allgather(grid.codes))]


def pages_apart(path: Path) -> None:
    with tifffile.TiffWriter(path) as tif:
        for plane in VOLUME:
            tif.write(plane, contiguous=False)


WRITERS: dict[str, Callable[[Path], Any]] = {
    "plain.tif": lambda p: tifffile.imwrite(p, VOLUME),
    "bare.tiff": lambda p: tifffile.imwrite(p, VOLUME, metadata=None),
    "deflate.tif": lambda p: tifffile.imwrite(p, VOLUME, compression="zlib"),
    "tiles.tif": lambda p: tifffile.imwrite(p, VOLUME, metadata=None, tile=(16, 16)),
    "imagej.tif": lambda p: tifffile.imwrite(p, VOLUME, imagej=True),
    "volumetric.tif": lambda p: tifffile.imwrite(p, VOLUME, volumetric=True, tile=(16, 16, 16)),
    "apart.tif": pages_apart,
    "sixteen.tif": lambda p: tifffile.imwrite(p, VOLUME.astype(">u2"), byteorder=">", bigtiff=True),
    "int32.tif": lambda p: tifffile.imwrite(p, VOLUME.astype(np.int32)),
    "c.npy": lambda p: np.save(p, VOLUME),
    "f.npy": lambda p: np.save(p, np.asfortranarray(VOLUME.astype(np.int64))),
    "big.npy": lambda p: np.save(p, VOLUME.astype(">u4")),
}


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("name", WRITERS)
def test_files_of_all_kinds(folder: Path, name: str) -> None:
    write(lambda: WRITERS[name](folder / name))
    grid = load_grid(COMM, "m", table(name), folder)
    assert (grid.values, grid.solid) == ((7, 40, 200), (False, True, True))
    assert (grid.dim, grid.shape, grid.spacing) == (3, VOLUME.shape, (1 / 13,) * 3)
    assert np.array_equal(labels_of(grid), VOLUME)
    assert grid.counts().tolist() == [int(np.count_nonzero(np.equal(VOLUME, value))) for value in grid.values]


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("name", ["plain.tif", "deflate.tif", "f.npy"])
def test_crop_window_and_voxel_size(folder: Path, name: str) -> None:
    write(lambda: WRITERS[name](folder / name))
    crop = [[2, 12], [1, 8], [3, 11]]
    spec = table(name, crop=crop, voxel_size=[2.0, 1.0, 3.0])
    grid = load_grid(COMM, "m", spec, folder)
    part = VOLUME[2:12, 1:8, 3:11]
    assert np.array_equal(labels_of(grid), part)
    assert grid.spacing == pytest.approx((0.1, 0.05, 0.15))
    sample = load_grid(COMM, "m", spec, folder, window=((1, 6), (0, 7), (2, 5)))
    assert np.array_equal(labels_of(sample), part[1:6, :, 2:5])
    assert sample.spacing == pytest.approx((0.2, 0.1, 0.3))


@pytest.mark.mpi
@pytest.mark.mpi3
def test_windows_may_lack_a_phase(folder: Path) -> None:
    image = np.zeros((8, 8, 8), dtype=np.uint8)
    image[:, 4:] = 9
    write(lambda: np.save(folder / "a.npy", image))
    sample = load_grid(COMM, "m", table("a.npy", solid=[9]), folder, window=((0, 8), (5, 8), (0, 8)))
    assert (sample.values, sample.solid) == ((9,), (True,))
    with pytest.raises(BadInput, match=r"window: \[\[0, 9\], .* is not inside an image of \[8, 8, 8\]"):
        load_grid(COMM, "m", table("a.npy", solid=[9]), folder, window=((0, 9), (5, 8), (0, 8)))


@pytest.mark.mpi
@pytest.mark.mpi3
def test_plane_images(folder: Path) -> None:
    plane = VOLUME[0]
    write(lambda: (tifffile.imwrite(folder / "a.tif", plane), plane.tofile(folder / "a.raw")))
    raw = table("a.raw", shape=(9, 11), dtype="uint8", voxel_size=[1.0, 2.0])
    for spec in (table("a.tif", voxel_size=[1.0, 2.0]), raw):
        grid = load_grid(COMM, "m", spec, folder)
        assert (grid.dim, grid.shape) == (2, (9, 1, 11))
        assert grid.spacing == pytest.approx((1 / 9, 1.0, 2 / 9))
        assert np.array_equal(labels_of(grid)[:, 0], plane)
    cropped = load_grid(COMM, "m", table("a.tif", crop=[[1, 9], [2, 10]]), folder)
    assert np.array_equal(labels_of(cropped)[:, 0], plane[1:9, 2:10])


@pytest.mark.mpi
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", ">u2", "int32"])
def test_raw_numbers(folder: Path, dtype: str) -> None:
    values = VOLUME.astype(np.dtype(dtype))
    if values.dtype.kind == "i":
        values = values - np.array(100, dtype=values.dtype)
    solid = np.unique(values)[1:].tolist()
    write(lambda: values.tofile(folder / "a.raw"))
    grid = load_grid(COMM, "m", table("a.raw", shape=VOLUME.shape, dtype=dtype, solid=solid), folder)
    assert grid.values == tuple(np.unique(values).tolist())
    assert np.array_equal(labels_of(grid), values)


@pytest.mark.mpi
def test_invert_and_bilevel(folder: Path) -> None:
    write(lambda: tifffile.imwrite(folder / "a.tif", VOLUME > 7))
    grid = load_grid(COMM, "m", table("a.tif", solid=[1]), folder)
    assert (grid.values, grid.solid) == ((0, 1), (False, True))
    swapped = load_grid(COMM, "m", table("a.tif", solid=[1], invert=True), folder)
    assert (swapped.values, swapped.solid) == ((0, 1), (True, False))
    assert np.array_equal(labels_of(grid), VOLUME > 7)
    assert np.array_equal(swapped.codes, grid.codes)


@pytest.mark.mpi
@pytest.mark.parametrize("kind", ["uint8", "uint16", "int64"])
def test_256_labels_are_the_most(folder: Path, kind: str) -> None:
    many = GENERATOR.permutation(np.arange(16**3) % 256).reshape(16, 16, 16).astype(kind)
    write(lambda: np.save(folder / "a.npy", many))
    grid = load_grid(COMM, "m", table("a.npy", solid=[3]), folder)
    assert grid.values == tuple(range(256))
    assert np.array_equal(labels_of(grid), many)
    if kind != "uint8":
        write(lambda: np.save(folder / "b.npy", np.arange(16**3, dtype=kind).reshape(16, 16, 16)))
        with pytest.raises(BadInput, match=r"more than 256 distinct values.*`steps`"):
            load_grid(COMM, "m", table("b.npy", solid=[3]), folder)


@pytest.mark.mpi
def test_files_relative_to_the_run_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "here").mkdir(exist_ok=True)
    write(lambda: (np.save(folder / "here/a.npy", VOLUME), np.save(folder / "b.npy", VOLUME)))
    monkeypatch.chdir(folder)
    for name in ("a.npy", "b.npy", str(folder / "b.npy")):
        assert load_grid(COMM, "m", table(name), folder / "here").shape == VOLUME.shape


@pytest.mark.parametrize("name", [n for n in WRITERS if n.endswith(("tif", "tiff"))])
@pytest.mark.parametrize("share", [0.002, 0.3, 0.6, 0.98])
def test_tiffs_cut_short(folder: Path, name: str, share: float) -> None:
    def cut_short() -> None:
        WRITERS[name](folder / name)
        os.truncate(folder / name, int(share * (folder / name).stat().st_size))

    write(cut_short)
    with pytest.raises(BadInput, match=rf"^\[microstructure.m\] file: .*{name}: .*cut short[^\n]*$"):
        load_grid(COMM, "m", table(name), folder)


def damaged_deflate(path: Path) -> None:
    """A TIFF whose last page cannot be inflated: only the rank that reads it notices."""
    tifffile.imwrite(path, VOLUME, compression="zlib")
    with tifffile.TiffFile(path) as tif:
        offset, size = tif.pages[-1].dataoffsets[0], tif.pages[-1].databytecounts[0]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(size))


def colours(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((4, 8, 9, 3), dtype=np.uint8), photometric="rgb")


def mixed(path: Path) -> None:
    with tifffile.TiffWriter(path) as tif:
        tif.write(VOLUME[0], contiguous=False, metadata=None)
        tif.write(VOLUME[0, :5], contiguous=False, metadata=None)


def shortened(path: Path) -> None:
    np.save(path, VOLUME)
    os.truncate(path, path.stat().st_size - 1)


BAD: dict[str, tuple[Callable[[Path], Any], dict[str, Any], str]] = {
    "none.tif": (lambda p: None, {}, "file: .*none.tif: no such file"),
    "folder.tif": (lambda p: p.mkdir(), {}, "file: .*no such file"),
    "a.png": (lambda p: p.write_bytes(b"x"), {}, r"allowed are files that end in .tif, .tiff, .npy, .raw"),
    "text.tif": (lambda p: p.write_text("hello, this is text"), {}, "not a TIFF"),
    "empty.tif": (lambda p: p.write_bytes(b""), {}, "not a TIFF"),
    "damaged.tif": (damaged_deflate, {}, "cannot be decoded"),
    "colours.tif": (colours, {}, "3 values a pixel"),
    "mixed.tif": (mixed, {}, "pages differ"),
    "channels.tif": (
        lambda p: tifffile.imwrite(p, np.stack([VOLUME] * 2, 1), imagej=True, metadata={"axes": "ZCYX"}),
        {},
        "has the axes .*; allowed is one stack",
    ),
    "text.npy": (lambda p: p.write_text("hello, this is text"), {}, "not a file of numpy.save"),
    "empty.npy": (lambda p: p.write_bytes(b""), {}, "not a file of numpy.save"),
    "short.npy": (shortened, {}, "cut short: 1286 bytes of values, needs 1287"),
    "line.npy": (lambda p: np.save(p, VOLUME[0, 0]), {}, r"shape \(11,\); allowed are images of 2 or 3 axes"),
    "four.npy": (lambda p: np.save(p, VOLUME[None]), {}, "allowed are images of 2 or 3 axes"),
    "words.npy": (lambda p: np.save(p, VOLUME.astype("U3")), {}, "allowed are whole or real numbers"),
    "objects.npy": (lambda p: np.save(p, VOLUME.astype(object)), {}, "allowed are whole or real numbers"),
    "complex.npy": (lambda p: np.save(p, VOLUME + 1j), {}, "allowed are whole or real numbers"),
    "real.npy": (lambda p: np.save(p, VOLUME * 0.5), {}, "float64 values, not labels.*`steps`"),
    "thin.npy": (lambda p: np.save(p, VOLUME[:1]), {}, r"\[1, 9, 11\] voxels; allowed are 2 or more"),
    "no_shape.raw": (VOLUME.tofile, {"dtype": "uint8"}, "shape: required"),
    "no_dtype.raw": (VOLUME.tofile, {"shape": VOLUME.shape}, "dtype: required"),
    "shape.raw": (VOLUME.tofile, {"shape": (13, 9, 12), "dtype": "uint8"}, "1404 bytes, but .* has 1287"),
    "huge.raw": (VOLUME.tofile, {"shape": (10**6,) * 3, "dtype": "uint8"}, "10{18} bytes"),
    "dtype.raw": (VOLUME.tofile, {"shape": VOLUME.shape, "dtype": "uint16"}, "2574 bytes, but .* has 1287"),
    "other.npy": (
        lambda p: np.save(p, VOLUME),
        {"shape": (13, 9, 12)},
        r"shape: \(13, 9, 12\) is given, but",
    ),
    "label.npy": (lambda p: np.save(p, VOLUME), {"solid": [40, 8]}, "no label 8 in .*; allowed: 7, 40, 200"),
    "solid.npy": (lambda p: np.save(p, VOLUME), {"solid": [7, 40, 200]}, "no voxel of .* is electrolyte"),
    "pore.npy": (
        lambda p: np.save(p, VOLUME),
        {"solid": [7, 40, 200], "invert": True},
        "no voxel of .* is solid",
    ),
    "crop.npy": (lambda p: np.save(p, VOLUME), {"crop": [[0, 13], [0, 9], [0, 12]]}, "crop: .*not inside"),
    "axes.npy": (lambda p: np.save(p, VOLUME), {"crop": [[0, 13], [0, 9]]}, "crop: .*not inside"),
    "size.npy": (lambda p: np.save(p, VOLUME), {"voxel_size": [1.0, 2.0]}, "voxel_size: needs 3 numbers"),
}


@pytest.mark.mpi
@pytest.mark.parametrize("name", BAD)
def test_bad_files(folder: Path, name: str) -> None:
    make, keys, text = BAD[name]
    write(lambda: make(folder / name))
    with pytest.raises(BadInput, match=rf"^\[microstructure.m\] [^\n]*{text}[^\n]*$"):
        load_grid(COMM, "m", table(name, **keys), folder)


@pytest.mark.mpi
def test_labels_that_the_crop_loses(folder: Path) -> None:
    image = np.zeros((4, 8, 8), dtype=np.uint8)
    image[:, :4] = 1
    write(lambda: np.save(folder / "a.npy", image))
    with pytest.raises(BadInput, match=r"solid: no label 1 in .*a.npy \(cropped\); allowed: 0"):
        load_grid(COMM, "m", table("a.npy", solid=[1], crop=[[0, 4], [4, 8], [0, 8]]), folder)


@pytest.mark.mpi
@pytest.mark.mpi3
def test_steps_from_grey_values(folder: Path) -> None:
    mean = np.where(np.indices((12, 10, 8))[1] < 5, 900.0, 2000.0)
    noisy = (mean + np.random.default_rng(8).normal(0, 60, mean.shape)).astype(np.uint16)
    write(lambda: np.save(folder / "a.npy", noisy))
    spec = table("a.npy", solid=[1], steps=[{"step": "segment", "phases": 2}])
    grid, panels = load_image(COMM, "m", spec, folder)
    assert (grid.values, grid.solid) == ((0, 1), (False, True))
    assert np.array_equal(labels_of(grid), mean > 1000)
    assert panels is not None
    assert bool(panels) == (COMM.rank == 0)
    window = ((2, 9), (0, 5), (1, 7))
    assert not labels_of(load_grid(COMM, "m", spec, folder, window=window)).any()
    with pytest.raises(BadInput, match=r"solid: no label 2 in .* after its steps; allowed: 0, 1"):
        load_grid(COMM, "m", table("a.npy", solid=[2], steps=spec.steps), folder)
    assert load_image(COMM, "m", table("a.npy", solid=[1], steps=spec.steps), folder)[0].dim == 3


@pytest.mark.mpi
@pytest.mark.mpi3
def test_ranks_agree_on_errors() -> None:
    def work() -> int:
        if COMM.rank == COMM.size - 1:
            raise BadInput("the last rank cannot")
        return COMM.rank

    with pytest.raises(BadInput, match=r"^the last rank cannot$"):
        agreed(COMM, work)
    assert agreed(COMM, lambda: COMM.rank) == COMM.rank


@pytest.mark.mpi
def test_geometry_without_voxels() -> None:
    with pytest.raises(BadInput, match="'wavy' has no voxels"):
        load_grid(COMM, "m", SimpleNamespace(geometry="wavy"), Path())
