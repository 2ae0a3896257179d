"""Stopping a run from outside: signals and the wall-time limit, agreed between the ranks."""

from __future__ import annotations

import signal
import time
from threading import current_thread, main_thread
from types import FrameType

import numpy as np
from mpi4py import MPI

from dfx_homog.errors import StoppedEarly
from dfx_homog.runoptions import RunOptions

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Interrupt:
    """Collects SIGTERM and SIGUSR1, and watches the clock, while it is active: a context around the work.

    Signals that come during the set-up, when there is nothing to save yet, count at the first question.
    """

    def __init__(self, comm: MPI.Intracomm, opts: RunOptions):
        """opts: when the program started, and the minutes after which it must have ended, None for no limit."""
        self._comm = comm
        # without results on disk there is nothing to go on from, and Python's main thread alone hears of signals
        self._listens = opts.out is not None and current_thread() is main_thread()
        self._deadline = None if opts.wall_time is None else opts.start + 60.0 * opts.wall_time
        self._signal = 0
        self.begin()

    def __enter__(self) -> Interrupt:
        signals = SIGNALS if self._listens else ()
        self._previous = {number: signal.signal(number, self._note) for number in signals}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._signal = number

    def begin(self) -> None:
        """Another kind of work begins, whose steps may take another time."""
        self._tick: float | None = None
        self._longest = 0.0

    def reason(self, comm: MPI.Intracomm | None = None) -> str | None:
        """Why to stop now, the same on all ranks; None to go on. Collective, called once a step.

        The limit counts as reached when one more step, as long as the longest so far, and as much again for the
        checkpoint would pass it.
        comm: the ranks that work together, if not all
        """
        now = time.perf_counter()
        if self._tick is not None:  # the first call follows the set-up, which is no step
            self._longest = max(self._longest, now - self._tick)
        self._tick = now
        late = self._deadline is not None and now + 2.0 * self._longest > self._deadline
        seen = np.array([self._signal, late], dtype=np.int64)
        (comm or self._comm).Allreduce(MPI.IN_PLACE, seen, op=MPI.MAX)
        if seen[0]:
            return signal.Signals(int(seen[0])).name
        return "the wall-time limit" if seen[1] else None

    def stop_before(self, what: str) -> None:
        """Between two parts of the work. Raises StoppedEarly if it is to end. Collective."""
        if reason := self.reason():
            raise StoppedEarly(f"stopped by {reason} before {what}; --restart goes on from there")
