"""The state of a model as tables whose rows are numbered independently of ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dfx_homog._compat import FloatArray


@dataclass(frozen=True)
class Table:
    """Rows of numbers, of which every rank has some.

    rows:   (n,) number of each local row, independent of the number of ranks; ranks may share rows of equal values
    count:  rows in all, numbered from 0
    values: (n, width)
    """

    rows: NDArray[np.int64]
    count: int
    values: FloatArray


State = dict[str, Table]
