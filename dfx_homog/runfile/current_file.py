"""Drive cycles: a CSV file with the columns time and current."""

from __future__ import annotations

import csv
import math
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from dfx_homog.runfile.types import show

LARGEST_FILE = 50_000_000  # bytes, about a million rows
COLUMNS = ("time", "current")


@dataclass(frozen=True)
class DriveCycle:
    """A current that is linear between the rows of a file. times: increasing, from 0, the start of the step."""

    times: tuple[float, ...]
    currents: tuple[float, ...]

    def current(self, time: float) -> float:
        """Current at a time from 0 to `end`."""
        after = min(max(bisect_right(self.times, time), 1), len(self.times) - 1)
        (t0, i0), (t1, i1) = ((self.times[k], self.currents[k]) for k in (after - 1, after))
        share = min(max((time - t0) / (t1 - t0), 0.0), 1.0)
        return (1 - share) * i0 + share * i1

    @property
    def end(self) -> float:
        """Time of the last row."""
        return self.times[-1]


def read_drive_cycle(path: Path) -> DriveCycle:
    """The file's rows. ValueError names the row that is wrong, or what is wrong with the file."""
    try:
        if not path.is_file():
            raise ValueError(f"{path}: no such file")
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"{path}: larger than {LARGEST_FILE} bytes")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [
                (number, row) for number, row in enumerate(csv.reader(file), 1) if any(map(str.strip, row))
            ]
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise ValueError(f"{path}: not a CSV file in UTF-8") from None
    if rows and tuple(cell.strip().lower() for cell in rows[0][1]) == COLUMNS:
        rows = rows[1:]
    found = [_numbers(path, number, row) for number, row in rows]
    if len(found) < 2:
        raise ValueError(f"{path}: has {len(found)} rows of time,current; two are needed")
    if found[0][0] != 0.0:
        raise ValueError(
            f"{path}, row {rows[0][0]}: the first time is {found[0][0]:g}, not 0, the start of the step"
        )
    for (number, _), (before, _), (now, _) in zip(rows[1:], found, found[1:], strict=False):
        if not now > before:
            raise ValueError(f"{path}, row {number}: time {now:g} does not come after {before:g}")
    return DriveCycle(tuple(t for t, _ in found), tuple(i for _, i in found))


def _numbers(path: Path, number: int, row: list[str]) -> tuple[float, float]:
    try:
        time, current = (float(cell) for cell in row)
    except ValueError:
        raise ValueError(
            f"{path}, row {number}: {show(','.join(row))} is not time,current (allowed: two numbers)"
        ) from None
    if not (math.isfinite(time) and math.isfinite(current)):
        raise ValueError(f"{path}, row {number}: {show(','.join(row))} is not finite")
    return time, current
