"""Stopping a run from outside: signals and the wall-time limit, agreed between the ranks."""

from __future__ import annotations

import signal
import time
from types import FrameType

import numpy as np
from mpi4py import MPI

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Interrupt:
    """Collects SIGTERM and SIGUSR1 while it is active, and watches the clock.

    deadline: seconds since `start` at which the run must have ended, None for no limit
    """

    def __init__(self, comm: MPI.Intracomm, deadline: float | None, start: float):
        self._comm, self._deadline, self._start = comm, deadline, start
        self._signal = 0
        self._previous = {number: signal.signal(number, self._note) for number in SIGNALS}
        self._tick: float | None = None
        self._longest = 0.0

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._signal = number

    def reason(self) -> str | None:
        """Why to stop now, the same on all ranks; None to go on. Collective, called once a step.

        The limit counts as reached when one more step, as long as the longest so far, and as much again for the
        checkpoint would pass it.
        """
        now = time.perf_counter()
        if self._tick is not None:  # the first call follows the set-up, which is no step
            self._longest = max(self._longest, now - self._tick)
        self._tick = now
        late = self._deadline is not None and now - self._start + 2.0 * self._longest > self._deadline
        seen = np.array([self._signal, late], dtype=np.int64)
        self._comm.Allreduce(MPI.IN_PLACE, seen, op=MPI.MAX)
        if seen[0]:
            return signal.Signals(int(seen[0])).name
        return "the wall-time limit is near" if seen[1] else None

    def close(self) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
