"""Labels of an image to codes 0, 1, … in one pass over its planes."""

from __future__ import annotations

from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog.errors import BadInput

MAX_LABELS = 256
TOO_MANY = (
    f"file: has more than {MAX_LABELS} distinct values, so it holds grey values and not labels; "
    'make phases of them with `steps`, e.g. steps = [{ step = "segment" }]'
)


class Coder:
    """Codes of the own planes of an image.

    Codes are given in the order in which this rank meets the labels, and put into the order of the labels of the
    whole image at the end, so that each plane of the file is read once.
    """

    def __init__(self, shape: tuple[int, int, int]):
        self.codes = np.empty(shape, dtype=np.uint8)
        self._labels: list[int] = []  # in the order of their codes
        self._table = np.full(1 << 16, -1, dtype=np.int16)  # code of a label of at most 16 bits

    def add(self, index: int, plane: NDArray[Any]) -> None:
        """Code one plane of labels, bool or whole numbers. Raises BadInput for more than 256 labels."""
        if plane.dtype.itemsize <= 2:
            self._add_narrow(index, plane)
        else:
            self._add_wide(index, plane)

    def finish(self, comm: MPI.Intracomm) -> tuple[int, ...]:
        """The labels of the whole image, sorted; the codes are now their indices. Raises BadInput. Collective."""
        values = sorted(set().union(*comm.allgather(self._labels)))
        if len(values) > MAX_LABELS:
            raise BadInput(TOO_MANY)
        order = np.searchsorted(values, self._labels).astype(np.uint8)
        if not np.array_equal(order, np.arange(len(order))):
            for plane in self.codes:
                plane[:] = order[plane]
        return tuple(values)

    def _new(self, labels: NDArray[Any]) -> None:
        self._labels += [int(label) for label in labels]
        if len(self._labels) > MAX_LABELS:
            raise BadInput(TOO_MANY)

    def _add_narrow(self, index: int, plane: NDArray[Any]) -> None:
        """With a table over all values of the type."""
        native = np.ascontiguousarray(plane, dtype=plane.dtype.newbyteorder("="))
        kind = np.dtype(f"u{plane.dtype.itemsize}")
        bits = native.view(kind)
        codes = self._table[bits]
        if codes.min(initial=0) < 0:
            new = np.flatnonzero(np.bincount(bits[codes < 0]))
            first = len(self._labels)
            self._new(new.astype(kind).view(native.dtype))
            self._table[new] = np.arange(first, len(self._labels))
            codes = self._table[bits]
        self.codes[index] = codes

    def _add_wide(self, index: int, plane: NDArray[Any]) -> None:
        """With a search in the sorted labels met so far."""
        codes = self._search(plane)
        unknown = codes < 0
        if unknown.any():
            self._new(np.unique(plane[unknown]))
            codes = self._search(plane)
        self.codes[index] = codes

    def _search(self, plane: NDArray[Any]) -> NDArray[np.int64]:
        if not self._labels:
            return np.full(plane.shape, -1)
        order = np.argsort(self._labels)
        known = np.array(self._labels, dtype=plane.dtype)[order]
        place = np.minimum(np.searchsorted(known, plane), len(known) - 1)
        return np.where(known[place] == plane, order[place], -1)
