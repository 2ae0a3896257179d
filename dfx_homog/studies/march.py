"""A model through a protocol: time steps, history rows, checkpoints, what the checks found."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from dfx_homog.errors import SolverFailure
from dfx_homog.models.marched import Marched
from dfx_homog.parameters.units import DIMENSIONLESS, Units
from dfx_homog.runfile import Run
from dfx_homog.studies.checkpoints import Checkpoints
from dfx_homog.studies.marching import Marching
from dfx_homog.studies.outcome import March, Taken
from dfx_homog.studies.paces import ChosenSteps, EqualSteps, Pace, SameSteps
from dfx_homog.studies.progress import Log


def march(
    model: Marched,
    run: Run,
    history: Path | None,
    log: Log,
    label: str,
    on_state: Callable[[int, float], None] | None = None,
    keeper: Checkpoints | None = None,
    *,
    outputs: tuple[float, ...] = (),
    follow: list[Taken] | None = None,
    followed: bool = False,
    units: Units = DIMENSIONLESS,
) -> March:
    """Run the protocol. `on_state(index, time)` sees every state that is a row, the initial one included.

    history: file of the rows; None: they are not written
    outputs: times that steps end at besides those of the protocol
    follow:  the steps of another march, taken instead of own ones
    followed: whether another one is to take this one's steps
    units:   of the history and of messages; model, run, outputs and on_state know none
    With `keeper` checkpoints are written, and a restart goes on from the newest.
    Ends before a step that cannot be done because a particle is full or empty or the electrolyte depleted.
    Raises SolverFailure with the time at which the solver gave up; history and state up to there are on disk.
    Raises StoppedEarly if the keeper is told to stop.
    """
    start = time.perf_counter()
    marching = Marching(model, run, log, label, keeper, outputs, follow is None, followed, units)
    if follow is None and run.time.adaptive and run.time.scheme == "bdf2":
        model.keep_oldest()
    resumed = marching.begin(history)
    pace: Pace = (
        SameSteps(marching, follow)
        if follow is not None
        else (ChosenSteps if run.time.adaptive else EqualSteps)(marching)
    )
    try:
        if not resumed:
            if on_state:
                on_state(0, 0.0)
            if keeper:
                keeper.keep(model, 0, last=False, facts=marching.facts())
        _go(marching, pace, on_state, keeper)
    finally:
        marching.file.close()
    marching.out.seconds = time.perf_counter() - start
    return marching.out


def _go(
    marching: Marching,
    pace: Pace,
    on_state: Callable[[int, float], None] | None,
    keeper: Checkpoints | None,
) -> None:
    model = marching.model
    while not pace.over:
        before, rows = marching.facts(), len(marching.out.rows)
        try:
            pace.go()
        except SolverFailure:
            if keeper and len(marching.out.rows) == rows:
                keeper.write(model, before["clock"]["index"], before)
            if marching.out.end is None:
                raise
            marching.log.say(f"{marching.label} ends at {marching.at(before['time'])}: {marching.out.end}")
            break
        index, now = marching.clock.index, marching.clock.time
        if on_state:
            on_state(index, now)
        if keeper:
            keeper.keep(model, index, last=pace.over, facts=marching.facts())
