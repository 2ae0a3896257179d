"""PyBaMM's environment: the pinned version runs, data come and go, failures show."""

from __future__ import annotations

import pytest
from pybamm_venv import pin, run_in_pybamm


@pytest.mark.slow
def test_pinned_version_runs() -> None:
    found = run_in_pybamm("import pybamm\nresult = [pybamm.__version__, data['x'] + 1]", {"x": 1})
    assert found == [pin().partition("==")[2], 2]


@pytest.mark.slow
def test_failure_shows_what_was_printed() -> None:
    with pytest.raises(AssertionError, match=r"before[\s\S]*ZeroDivisionError"):
        run_in_pybamm("print('before')\nresult = 1/0")
