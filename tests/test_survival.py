"""Nothing that is lost by kill -9, at any moment, on one rank and under mpirun; restarts on other numbers of ranks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import dfx, history, kill_somewhere, progress, ranks_of, words


def same(mine: Path, whole: Path, tolerance: float = 1e-10, *, columns: tuple[str, ...] = ()) -> None:
    """Two histories agree in all columns, or those given."""
    rows, expected = history(mine), history(whole)
    assert len(rows) == len(expected)
    for row, other in zip(rows, expected, strict=True):
        names = columns or tuple(other)
        assert [row[c] for c in names] == pytest.approx(
            [other[c] for c in names], rel=tolerance, abs=tolerance, nan_ok=True
        )


def killed(tmp_path: Path, kills: int, steps: int, ranks: int, model: str = "resolved") -> list[int]:
    """A run that is killed and one that is not end alike."""
    protocol = f"protocol.steps=[{{current=0.2, duration={steps * 0.001!r}}}]"
    sets = (protocol, "time.dt=0.001", "checkpoint.every=1", "output.report=false")
    call = words(model, tmp_path / "killed", *sets)
    moments = kill_somewhere(call, tmp_path / "killed", steps, kills, ranks=ranks)
    last = dfx([*call, "--restart"], ranks)
    assert (last.returncode, last.stderr) == (0, "")
    whole = dfx(words(model, tmp_path / "whole", *sets), ranks)
    assert whole.returncode == 0
    same(tmp_path / "killed" / "history.csv", tmp_path / "whole" / "history.csv")
    assert not ranks_of(tmp_path / "killed")
    return moments


def test_kill_9_a_few_times(tmp_path: Path) -> None:
    moments = killed(tmp_path, kills=2, steps=24, ranks=1)
    assert len(set(moments)) > 1


@pytest.mark.slow
@pytest.mark.parametrize(("ranks", "kills"), [(1, 50), (2, 15)])
def test_kill_9_across_a_run(ranks: int, kills: int, tmp_path: Path) -> None:
    """Of the whole process group; on two ranks every third time of one rank only."""
    moments = killed(tmp_path, kills=kills, steps=8 * kills, ranks=ranks)
    assert moments[-1] > 5 * kills  # they were spread over the run
    print(f"{len(moments)} kills on {ranks} ranks, after steps {moments}")


@pytest.mark.slow
def test_kill_9_of_the_homogenised_model(tmp_path: Path) -> None:
    killed(tmp_path, kills=8, steps=60, ranks=2, model="homogenised")


#: Entries that need not be the same twice, by how their names begin: effort, and what rounding leaves of zero.
EFFORT = ("seconds", "timing", "memory", "newton", "krylov", "lithium_error", "charge_error", "energy_error")


def comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: comparable(v) for k, v in value.items() if not k.startswith(EFFORT)}
    return [comparable(v) for v in value] if isinstance(value, list) else value


@pytest.mark.slow
def test_kill_9_of_a_convergence_study(tmp_path: Path) -> None:
    """Finished levels and the reference are not repeated, and the result is the same."""
    sets = ("protocol.steps=[{current=0.2, duration=0.6}]", "checkpoint.every=1")
    sets = (*sets, "convergence.periods=[[2,1,2],[4,2,4]]")
    call = words("convergence", tmp_path / "killed", *sets)
    kill_somewhere(call, tmp_path / "killed", 90, 4)
    before = progress(tmp_path / "killed")
    assert dfx([*call, "--restart"]).returncode == 0
    assert before >= 30
    assert dfx(words("convergence", tmp_path / "whole", *sets)).returncode == 0
    mine, whole = (
        comparable(json.loads((tmp_path / name / "result.json").read_text())) for name in ("killed", "whole")
    )
    assert flat(mine) == pytest.approx(flat(whole), rel=1e-9, abs=1e-10)
    log = (tmp_path / "killed" / "log.txt").read_text()
    assert log.count("homogenised: 30/30") <= 2  # once more at most, killed before its last checkpoint
    again = dfx([*call, "--restart"], 2)  # finished: on other ranks too nothing is left to do
    assert again.returncode == 0
    assert (tmp_path / "killed" / "log.txt").read_text().count("delta = 1/10: finished already") >= 1
    more = comparable(json.loads((tmp_path / "killed" / "result.json").read_text()))
    assert flat(more)["levels.1.voltage_error"] == flat(mine)["levels.1.voltage_error"]


def flat(value: Any, name: str = "") -> dict[str, float]:
    """All numbers of a result by their path."""
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = [(str(i), v) for i, v in enumerate(value)]
    else:
        return {name: float(value)} if isinstance(value, int | float) else {}
    return {k: v for key, entry in items for k, v in flat(entry, f"{name}.{key}" if name else key).items()}


PHYSICS = ("time", "voltage", "T_mean", "T_max", "c_e_min", "c_e_max", "soc_n", "soc_p")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["resolved", "homogenised"])
def test_ranks_change_at_every_restart(model: str, tmp_path: Path) -> None:
    """1, 2, 3, 1 ranks, each stopped by its time limit; and 1 to 4 ranks throughout: the same to solver tolerance."""
    sets = ("protocol.steps=[{current=0.2, duration=0.4}]", 'time.scheme="bdf2"')
    for ranks in (1, 2, 3, 4):
        assert dfx(words(model, tmp_path / str(ranks), *sets), ranks).returncode == 0
        same(tmp_path / str(ranks) / "history.csv", tmp_path / "1" / "history.csv", 1e-8, columns=PHYSICS)
    call = words(model, tmp_path / "changing", *sets)
    for number, ranks in enumerate((1, 2, 3, 1)):
        # a step at a time: the limit has passed when the first question is asked
        limit = ["--wall-time", "0.0001"] if number < 3 else []
        done = dfx([*call, *(["--restart"] if number else []), *limit], ranks)
        assert done.returncode == (75 if number < 3 else 0), done.stderr
    assert progress(tmp_path / "changing") == 20
    same(tmp_path / "changing" / "history.csv", tmp_path / "1" / "history.csv", 1e-8, columns=PHYSICS)
