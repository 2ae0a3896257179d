"""Files that hold voxel images: TIFF stacks, numpy arrays and raw numbers, of which each rank reads its planes."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from dfx_homog.errors import BadInput
from dfx_homog.voxels.memory import memory

TIFF = (".tif", ".tiff")
SUFFIXES = (*TIFF, ".npy", ".raw")
Box = Sequence[tuple[int, int]]  # [first, end) per array axis


@dataclass(frozen=True)
class ImageFile:
    """Where the values of an image are.

    shape   of the whole image, two or three axes
    dtype   of a value, with its byte order
    offset  of the first value in bytes, where all follow one another; None: a TIFF read page by page
    order   "C" or "F": whether the last or the first axis runs fastest
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int | None
    order: str = "C"

    def planes(self, box: Box) -> Iterator[NDArray[Any]]:
        """The planes of axis 0 in the box one by one, (box of axis 1, box of axis 2) or (1, box of axis 1).

        Raises BadInput for a TIFF that cannot be decoded.
        """
        inner = tuple(slice(a, b) for a, b in box[1:])
        for plane in self._whole_planes(*box[0]):
            part = plane[inner]
            yield part if part.ndim == 2 else part[None]

    def _whole_planes(self, first: int, end: int) -> Iterator[NDArray[Any]]:
        if first >= end:
            return
        if self.offset is not None:
            order: Any = self.order
            whole = np.memmap(self.path, self.dtype, "r", self.offset, self.shape, order)
            yield from (whole[index] for index in range(first, end))
            return
        with _tiff(self.path) as tif:
            if len(tif.pages) == 1:
                yield from _decoded(tif.pages[0], self.path)[first:end]
                return
            for index in range(first, end):
                yield _decoded(tif.pages[index], self.path)


def open_image(path: Path, shape: Sequence[int] | None, dtype: str | None) -> ImageFile:
    """Look into the file; shape and dtype are those of a .raw file, which says nothing about itself.

    Raises BadInput where the file is missing, cut short, or no image in two or three dimensions with one number
    a voxel; no memory is taken for the values before.
    """
    if not path.is_file():
        raise BadInput(f"file: {path}: no such file")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInput(f"file: {path}: allowed are files that end in {', '.join(SUFFIXES)}")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise BadInput(f"file: {path}: cannot be read: {error.strerror}") from None
    if suffix == ".raw":
        found = _raw(path, shape, dtype)
    elif suffix == ".npy":
        found = _npy(path)
    else:
        found = _open_tiff(path)
    _check_type(path, found.dtype)
    if len(found.shape) not in (2, 3):
        raise BadInput(f"file: {path}: has the shape {found.shape}; allowed are images of 2 or 3 axes")
    if not all(type(edge) is int and edge > 0 for edge in found.shape):
        raise BadInput(f"file: {path}: has the shape {found.shape}; allowed are positive whole numbers")
    if shape is not None and tuple(shape) != found.shape:
        raise BadInput(f"shape: {tuple(shape)} is given, but {path} has {found.shape}")
    if dtype is not None and np.dtype(dtype) != found.dtype:
        raise BadInput(f"dtype: {dtype} is given, but {path} has {found.dtype}")
    return found


def _check_type(path: Path, dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "biuf":
        raise BadInput(f"file: {path}: holds values of type {dtype}; allowed are whole or real numbers")


def _raw(path: Path, shape: Sequence[int] | None, dtype: str | None) -> ImageFile:
    if shape is None or dtype is None:
        raise BadInput(f"{'shape' if shape is None else 'dtype'}: required for {path}, a .raw file")
    kind = np.dtype(dtype)
    needed, size = int(np.prod([int(n) for n in shape], dtype=object)) * kind.itemsize, path.stat().st_size
    if needed != size:
        raise BadInput(f"shape: {list(shape)} of {kind} are {needed} bytes, but {path} has {size}")
    return ImageFile(path, tuple(int(n) for n in shape), kind, 0)


def _npy(path: Path) -> ImageFile:
    header: Any = np.lib.format  # numpy annotates it from 2.3 on
    try:
        with path.open("rb") as file:
            version = header.read_magic(file)
            read = header.read_array_header_1_0 if version == (1, 0) else header.read_array_header_2_0
            shape, fortran, dtype = read(file)
            offset = file.tell()
    except Exception:  # numpy reads the header as Python's tokens, and passes on whatever that raises
        raise BadInput(f"file: {path}: not a file of numpy.save") from None
    _check_type(path, dtype)  # pickled objects have no size of their own
    needed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if path.stat().st_size - offset < needed:
        raise BadInput(
            f"file: {path}: cut short: {path.stat().st_size - offset} bytes of values, needs {needed}"
        )
    return ImageFile(path, tuple(shape), dtype, offset, "F" if fortran else "C")


@contextmanager
def _tiff(path: Path) -> Iterator[tifffile.TiffFile]:
    """The open file; tifffile's own remarks are kept quiet, what is wrong is checked here."""
    log = logging.getLogger("tifffile")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with tifffile.TiffFile(path) as tif:
            yield tif
    finally:
        log.setLevel(level)


def _decoded(page: Any, path: Path) -> NDArray[Any]:
    if page.nbytes > memory():  # a few bytes can be compressed from any number
        raise BadInput(
            f"file: {path}: a page of {page.nbytes / 2**30:.3g} GiB (allowed: what fits into this machine's "
            f"{memory() / 2**30:.3g})"
        )
    try:
        pixels: NDArray[Any] = page.asarray()
        return pixels
    except Exception as error:  # tifffile and the decoders raise whatever comes
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"file: {path}: cannot be decoded ({text})") from None


def _open_tiff(path: Path) -> ImageFile:
    try:
        with _tiff(path) as tif:
            return _layout(path, tif)
    except BadInput:
        raise
    except Exception as error:  # tags of other types than they should have lead to exceptions of all kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"file: {path}: not a TIFF image, or cut short ({reason})") from None


def _layout(path: Path, tif: tifffile.TiffFile) -> ImageFile:
    size, pages = path.stat().st_size, [tif.pages[index] for index in range(len(tif.pages))]
    page = pages[0]
    if page.samplesperpixel != 1:
        raise BadInput(
            f"file: {path}: has {page.samplesperpixel} values a pixel (colours); allowed is one, save it as grey values"
        )
    if page.dtype is None:
        raise BadInput(f"file: {path}: its numbers ({page.bitspersample} bits) cannot be read")
    different = [p for p in pages if p.shape != page.shape or p.dtype != page.dtype]
    if different or (len(pages) > 1 and len(page.shape) != 2):
        raise BadInput(f"file: {path}: its pages differ in size or type; allowed is one stack")
    if _next_page(tif, pages[-1]):
        raise BadInput(
            f"file: {path}: cut short or damaged: {len(pages)} pages can be read, more should follow"
        )
    end = max(o + n for p in pages for o, n in zip(p.dataoffsets, p.databytecounts, strict=False))
    dtype = np.dtype(page.dtype).newbyteorder(tif.byteorder)
    shape = (len(pages), *page.shape) if len(pages) > 1 else tuple(page.shape)
    series = tif.series[0]
    if len(series.shape) > 3 and series.ndim - list(series.shape).count(1) > 3:
        raise BadInput(
            f"file: {path}: has the axes {series.axes}; allowed is one stack of planes, one value a voxel"
        )
    if len(pages) == 1 and tuple(series.shape) != shape and series.dataoffset is not None:
        shape = tuple(series.shape)  # one page describes a stack whose values follow one another
        end = series.dataoffset + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if end > size:
        raise BadInput(f"file: {path}: cut short: has {size} bytes, needs {end}")
    if len(pages) == 1 and series.dataoffset is not None:
        offset = series.dataoffset
    else:
        offset = _contiguous(pages)
    if offset is None:
        _decoded(page, path)  # a compression that is not available is found here, before any rank reads
    return ImageFile(path, shape, dtype, offset)


def _next_page(tif: tifffile.TiffFile, last: Any) -> int:
    """Where the file says that the page after the last readable one is; 0 at a proper end."""
    tiff, file = tif.tiff, tif.filehandle
    file.seek(last.offset)
    (tags,) = struct.unpack(tiff.tagnoformat, file.read(tiff.tagnosize))
    file.seek(last.offset + tiff.tagnosize + tags * tiff.tagsize)
    return int(struct.unpack(tiff.offsetformat, file.read(tiff.offsetsize))[0])


def _contiguous(pages: list[Any]) -> int | None:
    """Offset of the first value if the values of all pages follow one another uncompressed, else None."""
    if not all(p.is_memmappable for p in pages):
        return None
    starts = [p.dataoffsets[0] for p in pages]
    return starts[0] if np.all(np.diff(starts) == pages[0].nbytes) else None
