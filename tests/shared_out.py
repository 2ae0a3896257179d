"""Plugin: several pytest processes share the test files out among themselves, each taking the next that none has.

Each gets the option -p shared_out and the name of one empty directory in DFX_TEST_CLAIMS. MPI tests run in them as on
one rank; a file stays whole, so that what its tests share is made once.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_CLAIMS = Path(os.environ["DFX_TEST_CLAIMS"])
_mine: dict[str, bool] = {}


def _claim(name: str) -> bool:
    """Whether this process is the first to ask for a file."""
    try:
        os.close(os.open(_CLAIMS / name, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Passes over the tests of other processes' files, without a word: they report them."""
    name = item.path.name
    if name not in _mine:
        _mine[name] = _claim(name)
    return None if _mine[name] else True
