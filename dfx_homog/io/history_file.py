"""history.csv, written row by row and read again by a run that goes on."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TextIO

from mpi4py import MPI

from dfx_homog.errors import BadInput
from dfx_homog.io.disk import on_rank_0, replace
from dfx_homog.models.history import Row
from dfx_homog.timing import timed


class HistoryFile:
    """One row at a time, so that a running study can be looked at; written by rank 0. Collective.

    path: None for a history that is not written
    keep: rows of an earlier run that stay; those after them were not in its last checkpoint
    Raises BadInput on all ranks if the file has lost rows, SolverFailure if the disk is full.
    """

    def __init__(self, path: Path | None, columns: tuple[str, ...], comm: MPI.Intracomm, keep: int = 0):
        self._path, self._columns, self._comm = path, columns, comm
        self._file: TextIO | None = None
        lines: list[str] = []
        if comm.rank == 0 and keep and path is not None and path.exists():
            text = path.read_text(encoding="utf-8", errors="replace")
            lines = text[: text.rfind("\n") + 1].splitlines()[1 : keep + 1]
        self.kept: list[Row] = comm.bcast(self._rows(lines), root=0)
        if len(self.kept) < keep:
            raise BadInput(
                f"--restart: {path} has {len(self.kept)} good rows of the {keep} before the checkpoint (allowed: the "
                "file as the run left it, or a start without --restart)"
            )
        if path is not None:
            on_rank_0(comm, path, lambda: self._open(path, lines))

    def _rows(self, lines: list[str]) -> list[Row]:
        """Rows up to the first that is damaged."""
        rows: list[Row] = []
        for line in lines:
            try:
                rows.append(dict(zip(self._columns, map(float, line.split(",")), strict=True)))
            except ValueError:
                break
        return rows

    def _open(self, path: Path, lines: list[str]) -> None:
        # whole or not at all: a run that is killed here still has its earlier rows
        replace(path, "\r\n".join([",".join(self._columns), *lines, ""]).encode())
        self._file = path.open("a", encoding="utf-8", newline="")

    @timed("output")
    def add(self, row: Row) -> None:
        """Append a row. Collective."""
        if self._path is not None:
            on_rank_0(self._comm, self._path, lambda: self._write(row))

    def _write(self, row: Row) -> None:
        assert self._file is not None
        self._file.write(",".join(f"{row[c]:.17g}" for c in self._columns) + "\r\n")
        self._file.flush()

    def close(self) -> None:
        """Without complaint: what `add` could not write it has told."""
        if self._file:
            with contextlib.suppress(OSError):
                self._file.close()
