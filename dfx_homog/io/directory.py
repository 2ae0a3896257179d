"""A directory of results that a run takes for itself: new, or cleared of what an earlier run left there."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

from dfx_homog.errors import BadInput
from dfx_homog.io import lock

#: Results of an earlier run into the same directory; left there they would pass for those of the new one.
RESULTS = (
    "result.json",
    "report.html",
    "run.toml",
    "fields.npz",
    "mesh",
    "effective.bpx.json",
    "effective_pybamm.py",
    "scaling.csv",
)
#: What a restart goes on from.
PARTS = (
    "samples",
    "cells",
    "points",
    "runs",
    "checkpoint",
    "history.csv",
    "log.txt",
    "fields*.bp",
    "homogenised",
    "resolved-*",
)


def take(out: Path, *, restart: bool) -> bool:
    """Makes the directory, or clears it of an earlier run's files, and locks it. Serial. Raises BadInput.

    With `restart` everything stays that the run goes on from. Returns whether the directory is new.
    """
    new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.take(out)
        for old in [path for name in RESULTS + PARTS * (not restart) for path in out.glob(name)]:
            # of a link only the link goes, not what it leads to
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    except OSError as error:
        raise BadInput(f"--out {out}: {error.strerror} (allowed: a directory to write into)") from None
    return new


def take_new(stem: str) -> Path:
    """Makes and locks runs/out/<stem>-<time>, or the first of …-2, …-3 that is not there. Serial. Raises BadInput."""
    path = Path("runs/out") / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    number, candidate = 1, path
    while True:
        try:
            candidate.mkdir(parents=True)
            lock.take(candidate)
            return candidate
        except FileExistsError:
            number += 1
            candidate = path.with_name(f"{path.name}-{number}")
        except OSError as error:
            raise BadInput(f"--out runs/out: {error.strerror} (allowed: a directory to write into)") from None


def remove_empty(out: Path) -> None:
    """Removes a directory that holds nothing but its lock."""
    with contextlib.suppress(OSError):  # there is something in it
        (out / lock.NAME).unlink()
        out.rmdir()
