"""report.html of a directory of results: one self-contained file with pictures and tables.

Needs numpy and matplotlib only, and reads only what is on disk: it works for finished studies, for those still
running, and on machines without a solver.
"""

from __future__ import annotations

import os
from pathlib import Path


def write_report(directory: Path) -> Path:
    """Write report.html into a directory of results and return its path. Serial: call it on one rank.

    Covers `convergence`, `cell`, `resolved` and `homogenised`, and whatever histories a running study has so far.
    Raises BadInput, naming the directory, if there is nothing to report on.
    """
    from dfx_homog.report.data import load

    study = load(Path(directory))
    from dfx_homog.report.assemble import document

    path = study.directory / "report.html"
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    with temporary.open(
        "x", encoding="utf-8", errors="replace"
    ) as file:  # new, so that no link leads elsewhere
        file.write(document(study))
    os.replace(temporary, path)
    return path


__all__ = ["write_report"]
