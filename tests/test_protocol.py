"""The protocol of a run file: what it accepts, what it refuses, and the stages and moments that it becomes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from wavy import QUICKSTART, wavy_run

from dfx_homog.errors import BadInput
from dfx_homog.parameters.units import DIMENSIONLESS
from dfx_homog.runfile import Run, load, require
from dfx_homog.runfile.current_file import read_drive_cycle
from dfx_homog.runfile.identity import digest
from dfx_homog.studies.check import describe
from dfx_homog.studies.stages import legs, moments, stages, step_count


def protocol(steps: str, *overrides: str) -> Run:
    """`wavy-2d` with these steps, in TOML."""
    return wavy_run(f"protocol.steps=[{steps}]", *overrides)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ("{ current = 0.2 }", "steps[0].duration: required, or until"),
        ("{ duration = 0.2 }", "one of current, voltage, power, current_file is needed, there is none"),
        ("{ current = 0.2, voltage = 1.0, duration = 0.2 }", "there is current and voltage"),
        ("{ current = '0.2*c', duration = 1.0 }", "'c'"),
        ("{ current = '1/t', duration = 1.0 }", "is not finite for all t from 0 to 1"),
        (
            "{ current = 0.1, duration = 1.0 }, { current = 'log(1.5 - t)', duration = 1.0 }",
            "steps[1].current",
        ),
        ("{ voltage = 'high', duration = 1.0 }", "a number"),
        ("{ current = 0.2, until = 'V<=0.1' }", "is not a condition (allowed: a condition like"),
        ("{ current = 0.2, until = 'T>0.1' }", "is not a condition"),
        ("{ current = 0.2, until = 'V<1e999' }", "is not a condition"),
        ("{ current = 0.2, until = [] }", "the list is empty"),
        ("{ current = 0.2, until = 'I<0.05' }", "met at once or never: the step holds I = 0.2"),
        ("{ voltage = 0.9, until = ['I<0.05', 'V<0.1'] }", "met at once or never: the step holds V = 0.9"),
        ("{ current_file = 'none.csv' }", "none.csv: no such file"),
        ("{ current_file = 'cycle.txt' }", "does not end in .csv"),
    ],
)
def test_refused_steps(steps: str, words: str) -> None:
    with pytest.raises(BadInput) as error:
        protocol(steps)
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("protocol.v_max=0.0", "protocol.v_max: 0 is not above v_min = 0.1"),
        (
            "protocol.steps=[{voltage=0.05, duration=1.0}]",
            "steps[0].voltage: 0.05 is not between v_min and v_max",
        ),
        ("protocol.T_max=-1.0", "protocol.T_max: -1 is not above T_initial"),
        ("output.times=[0.1, 0.7]", "output.times: 0.7 is after the end of the protocol, t = 0.1"),
        ("output.times=[0.05, 0.05]", "do not increase"),
        ("output.times=[-0.05]", "out of range"),
        ("output.fields=-1", "a whole number >= 0"),
    ],
)
def test_refused_limits_and_moments(override: str, words: str) -> None:
    with pytest.raises(BadInput) as error:
        wavy_run("protocol.v_min=0.1", override)
    assert words in str(error.value)


def test_a_current_that_varies_over_the_collector_needs_its_dimensions() -> None:
    run = protocol("{ current = '0.2*(1 + y2)*t', duration = 0.1 }")
    for command in ("resolved", "homogenised", "convergence"):
        require(run, command)
    line = run.model_copy(update={"homogenised": run.homogenised.model_copy(update={"dim": 1})})
    for command in ("homogenised", "convergence"):
        with pytest.raises(
            BadInput, match=r"protocol.steps\[0\].current: needs more than one meso dimension"
        ):
            require(line, command)
    with pytest.raises(BadInput, match=r"resolved does not know y3 here \(allowed: t, y1, y2\)"):
        require(protocol("{ current = '0.2*y3', duration = 0.1 }"), "resolved")
    control = stages(run.protocol)[0].control(0.05, 0.0)
    assert control.profile is not None and control.time == 0.05
    assert float(control.profile.numpy(t=0.05, y1=1.0, y2=0.5, y3=0.0)) == pytest.approx(0.015)


CYCLES = {
    "plain": "0,0.1\n1,0.3\n3,-0.1\n",
    "header": "time, current\r\n0, 0.1\r\n\r\n1, 0.3\r\n3, -0.1\r\n",
    "capitals and a byte-order mark": "\ufeffTime,Current\n0,1e-1\n1,3e-1\n3,-1e-1",
}


@pytest.mark.parametrize("text", CYCLES.values(), ids=CYCLES)
def test_drive_cycle(text: str, tmp_path: Path) -> None:
    """Linear between the rows; the step is as long as the file; checkpoints of another file do not fit."""
    (tmp_path / "cycle.csv").write_text(text, encoding="utf-8")
    (tmp_path / "run.toml").write_bytes(QUICKSTART.read_bytes())
    override = "protocol.steps=[{current=0.0, duration=0.5}, {current_file='cycle.csv'}]"
    run = load(tmp_path / "run.toml", [override])
    rest, cycle = stages(run.protocol)
    assert rest.control(0.2, 0.0).value == 0.0
    times = (0.5, 1.0, 1.5, 2.5, 3.5)
    assert [cycle.control(t, 0.5).value for t in times] == pytest.approx([0.1, 0.2, 0.3, 0.1, -0.1])
    assert [cycle.control(t, 0.5).kind for t in times] == ["current"] * 5
    assert cycle.moments(0.5, (), 0.02) == pytest.approx((1.5, 3.5))
    assert run.protocol.longest == 3.5 and step_count(run) == 25 + 50 + 100
    before = digest(run)
    (tmp_path / "cycle.csv").write_text("0,0.1\n1,0.3\n3,-0.2\n", encoding="utf-8")
    assert digest(load(tmp_path / "run.toml", [override])) != before
    (tmp_path / "out.toml").write_text(run.to_toml(), encoding="utf-8")
    assert load(tmp_path / "out.toml").protocol.steps[1].current_file == str(tmp_path / "cycle.csv")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has 0 rows"),
        ("time,current\n0,1\n", "has 1 rows"),
        ("0,1\n0,2\n", "row 2: time 0 does not come after 0"),
        ("time,current\n0,1\n2,2\n1,3\n", "row 4: time 1 does not come after 2"),
        ("1,1\n2,1\n", "row 1: the first time is 1, not 0"),
        ("0,1\n1\n", "row 2: '1' is not time,current"),
        ("0;1\n1;2\n", "row 1: '0;1' is not time,current"),
        ("0,1\n1,nan\n", "row 2: '1,nan' is not finite"),
        ("t,i\n0,1\n1,2\n", "row 1: 't,i' is not time,current"),
    ],
)
def test_refused_drive_cycles(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "cycle.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"cycle\.csv") as error:
        read_drive_cycle(tmp_path / "cycle.csv")
    assert words in str(error.value)


def test_refused_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cycle.csv").write_bytes(b"\xff\xfe0,1\n")
    with pytest.raises(ValueError, match="not a CSV file"):
        read_drive_cycle(tmp_path / "cycle.csv")
    monkeypatch.setattr("dfx_homog.runfile.current_file.LARGEST_FILE", 3)
    with pytest.raises(ValueError, match="larger than 3 bytes"):
        read_drive_cycle(tmp_path / "cycle.csv")
    (tmp_path / "short.csv").write_text("0,1\n1,1\n", encoding="utf-8")
    monkeypatch.setattr("dfx_homog.runfile.current_file.LARGEST_FILE", 100)
    with pytest.raises(BadInput, match="2 is longer than the file, whose last row is at 1"):
        protocol(f"{{ current_file = '{tmp_path / 'short.csv'}', duration = 2.0 }}")


def test_moments_that_steps_end_at() -> None:
    """Moments of the output and the ends of stages, those that are the same up to rounding only once."""
    run = protocol(
        "{ current = 0.2, duration = 0.1 }, { current = 0.0, duration = 0.2 }", "output.times=[0.05, 0.3]"
    )
    assert list(legs(run, (0.05, 0.1 + 0.2))) == pytest.approx(
        [(0.0, 0.05, 3), (0.05, 0.1, 3), (0.1, 0.1 + 0.2, 10)]
    )
    assert step_count(run) == 16
    wanted = moments(run, run.output.moments, run.output.times or ())
    assert wanted.numbers == frozenset()  # given times replace the evenly spread moments
    assert [(i, t) in wanted for i, t in ((0, 0.0), (3, 0.05), (4, 0.06), (16, 0.1 + 0.2))] == [
        True,
        True,
        False,
        True,
    ]


def test_moments_where_the_number_of_steps_is_not_known() -> None:
    adaptive = protocol("{ current = 0.2, duration = 0.1 }", "time.adaptive=true", "output.fields=4")
    assert step_count(adaptive) is None
    assert moments(adaptive, 4).times == pytest.approx((0.025, 0.05, 0.075, 0.1))
    endless = protocol("{ current = 0.2, until = 'V<0.1' }")
    assert step_count(endless) is None and moments(endless, 10).times == ()
    assert (0, 0.0) in moments(endless, 10)


def test_limits_of_stages() -> None:
    """The conditions of a step come before what ends the run; a voltage that is held is not watched."""
    steps = "{ current = 0.2, duration = 1.0, until = ['V<0.5', 'V>1'] }, { voltage = 0.9, until = 'I<0.05' }"
    first, second = stages(protocol(steps, "protocol.v_min=0.4", "protocol.T_max=1.0").protocol)
    assert [limit.said(DIMENSIONLESS) for limit in first.limits] == ["V < 0.5", "V > 1", "V < 0.4", "T > 1"]
    assert [limit.stop for limit in first.limits] == [None, None, "v_min", "T_max"]
    assert [limit.said(DIMENSIONLESS) for limit in second.limits] == ["I < 0.05", "T > 1"]
    assert first.limits[0].excess({"V": 0.4}) == pytest.approx(0.1)
    assert second.limits[1].excess({"T": 0.4}) == pytest.approx(-0.6)
    assert (first.end(1.0), second.end(1.0)) == (2.0, None)
    assert second.control(0.3, 0.0).kind == "voltage" and math.isclose(second.control(0.3, 0.0).value, 0.9)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ((), "time: 5 steps of at most 0.02 to t = 0.1, backward-euler"),
        (("protocol.v_min=0.1",), "time: at most 5 steps of at most 0.02 to t = 0.1 or a limit before"),
        (
            ("protocol.steps=[{current=0.2, until='V<0.1'}]",),
            "their number unknown to conditions without a limit",
        ),
        (("time.adaptive=true",), "time: steps chosen for a local error of 0.0001, 0.02 tried first"),
    ],
)
def test_check_says_how_many_steps(overrides: tuple[str, ...], words: str) -> None:
    assert words in describe(wavy_run(*overrides))
