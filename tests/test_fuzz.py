"""Run files and command lines of all kinds, wrong ones mostly: a job that can be described, or one line why not.

What is drawn is in fuzzing.py; the ordinary suite draws the same few hundred every time, the slow lane 10,000.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fuzzing
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dfx_homog import cli
from dfx_homog.errors import BadInput
from dfx_homog.runfile import COMMANDS, Run, load, require
from dfx_homog.runfile.messages import keys_of
from dfx_homog.studies.check import check_geometries

#: Seconds that refusing or describing may take, with room for a busy machine.
LIMIT = 20
FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))
fuzzing.make_files(FOLDER)
FILE = FOLDER / "run.toml"
QUICK = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
THOROUGH = settings(QUICK, max_examples=10_000, derandomize=False, phases=list(Phase), print_blob=True)


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fails what takes longer."""

    def late(*_: Any) -> None:
        raise TimeoutError(f"takes more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refused(message: str) -> None:
    """One printable line that names the file, and a key or what the file is instead of TOML."""
    assert message.isprintable(), message
    assert len(message) < 2000, message
    name, _, rest = message.partition(": ")
    assert name == str(FILE), message
    top = re.match(r'\[?"?([\w-]+)', rest)
    known = top is not None and top[1] in keys_of(Run)
    assert known or re.match(
        r"not TOML|not a text file|a key of more|larger than|.*(unknown key|nested too)", rest
    ), message


def accepted_or_refused(content: bytes) -> Run | None:
    """The run that `check` would describe, if there is one; each command takes it or says why not."""
    FILE.write_bytes(content)
    with within(LIMIT):
        try:
            job = cli.prepare(["check", str(FILE)])
            assert job is not None and isinstance(job.target, Run)
            check_geometries(job.target)
        except BadInput as error:
            refused(str(error))
            return None
    for command in COMMANDS:
        with within(LIMIT):
            try:
                require(job.target, command)
            except BadInput as error:
                refused(str(error))
    return job.target


def is_kept(run: Run) -> None:
    """run.toml, as a study writes it, is the same run."""
    path = FOLDER / "again.toml"
    path.write_text(run.to_toml())
    assert load(path).model_dump() == run.model_dump()


def check(content: bytes) -> None:
    run = accepted_or_refused(content)
    if run is not None:
        is_kept(run)


@given(fuzzing.contents(FOLDER))
@QUICK
def test_run_files(content: bytes) -> None:
    check(content)


@pytest.mark.slow
@given(fuzzing.contents(FOLDER))
@THOROUGH
def test_ten_thousand_run_files(content: bytes) -> None:
    check(content)


def test_every_key_is_drawn() -> None:
    """The strategies know a value for every key of every table, those to come too."""
    seen: set[type] = set()

    def look(table: type[Any]) -> None:
        if table in seen:
            return
        seen.add(table)
        for key, field in keys_of(table).items():
            inner = fuzzing.tables_of(field)
            assert inner or fuzzing.accepted(field, FOLDER), (
                f"{table.__name__}.{key}: no candidate is accepted"
            )
            for other in inner:
                look(other)

    look(Run)
    look(fuzzing.Source)
    assert len(seen) > 30


def test_a_good_share_is_accepted() -> None:
    """Otherwise only the first checks are ever reached."""
    good = 0

    @given(fuzzing.run_files(FOLDER))
    @settings(QUICK, max_examples=60)
    def draw(data: fuzzing.Data) -> None:
        nonlocal good
        good += accepted_or_refused(fuzzing.text_of(data).encode()) is not None

    draw()
    assert good >= 15


WORDS = st.one_of(
    st.sampled_from(
        [*("--out", "--restart", "--wall-time", "--set", "--quiet", "-v", "--", "--help", "-h", "--fast", "-", "", "x")]
    ),
    st.sampled_from(["--out=", "--wall-time=nan", "--wall-time=1e999", "--wall-time=x", "--set=", "--set==1"]),
    st.builds(
        "--set={}={}".format,
        st.sampled_from(["time.dt", "time", "a", "protocol.steps.0", ".", "time..dt", "x" * 99, ".".join("a" * 5000)]),
        st.sampled_from(["1", "", "[", "{", "nan", "'", "9" * 5000, "[" * 5000, "\x1b[2J", "1\na = 2", "a.b.c"]),
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6),
)  # fmt: skip


@given(
    st.sampled_from([*COMMANDS, "check", "report", "citations", "verify", "", "-x", "\x1b"]),
    st.lists(WORDS, max_size=4),
)
@QUICK
def test_command_lines(command: str, words: list[str]) -> None:
    """Options in any number and order: nothing but BadInput, and nothing is written."""
    good = FOLDER / "good.toml"
    good.write_text("[microstructure.one]\ngeometry = 'wavy'\nw0 = 0.27\nmesh_size = 0.2\n")
    before = sorted(os.listdir(FOLDER))
    with within(LIMIT):
        try:
            # the last word is wrong, unless it is for PETSc: only asking for help may come before that is seen
            job = cli.prepare([command, str(good), *words, "--wall-time=-1"])
        except BadInput as error:
            message = str(error)
        else:
            message = ""
            assert job is None or "--" in words
    assert message.isprintable()
    assert sorted(os.listdir(FOLDER)) == before


@pytest.mark.parametrize(
    "content", [b"time = 1", b"\xff\xfe", b"x = [", b'"\x1b[2J" = 1', b"[time]\ndt = nan"]
)
def test_as_a_process(content: bytes, tmp_path: Path) -> None:
    """Status 2, one line, and neither a directory nor anything else is left."""
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    call = [sys.executable, "-m", "dfx_homog.cli", "resolved", str(path)]
    found = subprocess.run(call, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.count("\n") == 1
    assert found.stderr.strip().isprintable()
    assert os.listdir(tmp_path) == ["run.toml"]
