"""Markers, and what tests need under mpirun.

Under mpirun every phase of a test (setup, call, teardown) ends with an agreement between the ranks: a failure on
one rank is a failure on all, with the text of the rank that failed, and if some rank does not come to the agreement
(it waits in a collective call that a failed rank never makes) the job is aborted instead of hanging.

No test takes longer than its time limit (`time_limit.py`): then every rank prints where it is, and all ends.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Generator
from typing import Any

import pytest
from time_limit import print_stacks, pytest_configure, pytest_runtest_protocol

__all__ = ["pytest_configure", "pytest_runtest_protocol"]

_SIZE = int(os.environ.get("OMPI_COMM_WORLD_SIZE", os.environ.get("PMI_SIZE", "1")))
_FAILED_PATIENCE = 20.0  # seconds that the others have to finish a test that failed on this rank
_PATIENCE = 300.0  # seconds that the others have after this rank passed
_PASSED, _SKIPPED, _FAILED = 0, 1, 2
_OUTCOMES = {"passed": _PASSED, "skipped": _SKIPPED, "failed": _FAILED}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out slow tests that the command line does not name."""
    if config.option.keyword or "slow" in config.option.markexpr or any("::" in arg for arg in config.args):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


if _SIZE > 1:
    from mpi4py import MPI
    from petsc4py import PETSc

    # A communicator of our own: a test that failed half-way may have left messages in the world's.
    _COMM = MPI.COMM_WORLD.Dup()
    _PROCESSES = _COMM.allgather(os.getpid())

    def _agree(outcome: int, patience: float) -> list[int] | None:
        """The outcomes of all ranks, or None if one does not come within `patience` seconds."""
        mine = bytearray([outcome])
        everyone = bytearray(_COMM.size)
        request = _COMM.Iallgather([mine, MPI.BYTE], [everyone, MPI.BYTE])
        end = time.monotonic() + patience
        pause = 1e-5
        while not request.Test():
            if time.monotonic() > end:
                return None
            time.sleep(pause)
            pause = min(2 * pause, 0.01)
        return list(everyone)

    def _abort(item: pytest.Item, text: str) -> None:
        capture: Any = item.config.pluginmanager.getplugin("capturemanager")
        if capture is not None:
            capture.suspend_global_capture(in_=True)
        print(
            f"\nrank {_COMM.rank}: {item.nodeid}\n{text}\nThe others are here:", file=sys.stderr, flush=True
        )
        print_stacks(p for p in _PROCESSES if p != os.getpid())
        MPI.COMM_WORLD.Abort(1)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Make the ranks agree on the outcome of this phase."""
        report = yield
        outcome = _OUTCOMES[report.outcome]
        outcomes = _agree(outcome, _FAILED_PATIENCE if outcome == _FAILED else _PATIENCE)
        if outcomes is None:
            patience = _FAILED_PATIENCE if outcome == _FAILED else _PATIENCE
            _abort(
                item,
                f"{report.outcome} in {call.when} on this rank; others did not finish within {patience:g} s, "
                f"so all are aborted.\n{report.longreprtext}",
            )
        elif len(set(outcomes)) > 1:
            texts = _COMM.allgather(report.longreprtext)
            if outcome != _FAILED:
                report.outcome = "failed"
                report.longrepr = "\n".join(
                    f"rank {rank}: {list(_OUTCOMES)[list(_OUTCOMES.values()).index(code)]}\n{text}"
                    for rank, (code, text) in enumerate(zip(outcomes, texts, strict=True))
                    if code != _PASSED
                )
        if call.when == "teardown":
            # Destructors of PETSc and DOLFINx objects are collective: run them here, on all ranks together.
            gc.collect()
            PETSc.garbage_cleanup(MPI.COMM_WORLD)
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
        """Rank 0 alone ends with the status: mpirun kills all ranks as soon as one ends with a failure.

        No test at all is no failure: a selection need not have parallel tests.
        """
        if _COMM.rank != 0 or exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            session.exitstatus = 0
