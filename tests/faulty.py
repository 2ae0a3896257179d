"""dfx-homog with a fault on one rank: `python faulty.py RANK module:function NUMBER WORDS …`.

The function raises on that rank when it is called for the NUMBER-th time.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from mpi4py import MPI

from dfx_homog.cli import main


def inject(module: str, path: str, number: int) -> None:
    """Replaces `module:object.function` by one that fails at its NUMBER-th call."""
    owner: Any = importlib.import_module(module)
    *parts, name = path.split(".")
    for part in parts:
        owner = getattr(owner, part)
    function, calls = getattr(owner, name), iter(range(1, sys.maxsize))

    def fails(*args: Any, **more: Any) -> Any:
        if next(calls) == number:
            raise RuntimeError(f"injected into {name}")
        return function(*args, **more)

    setattr(owner, name, fails)


rank, where, count, *words = sys.argv[1:]
home, _, path = where.partition(":")
importlib.import_module(home)  # on all ranks: PETSc starts in it, which is collective
if MPI.COMM_WORLD.rank == int(rank):
    inject(home, path, int(count))
sys.exit(main(words))
