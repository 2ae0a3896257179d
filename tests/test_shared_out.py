"""Processes that share test files out run every test once, and a failure of one shows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
FILE = """
from pathlib import Path
import time
def test_first():
    time.sleep(0.2)
    Path("{log}").open("a").write("{name} first\\n")
def test_second():
    Path("{log}").open("a").write("{name} second\\n")
    assert "{name}" != "test_c"
"""


def test_every_test_runs_once(tmp_path: Path) -> None:
    claims, log, tests = tmp_path / "claims", tmp_path / "log", tmp_path / "tests"
    claims.mkdir()
    tests.mkdir()
    names = [f"test_{letter}" for letter in "abcdef"]
    for name in names:
        (tests / f"{name}.py").write_text(FILE.format(name=name, log=log))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_", "PMIX_", "PYTEST_"))}
    environment |= {"DFX_TEST_CLAIMS": str(claims), "PYTHONPATH": str(TESTS)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "shared_out",
        "-p",
        "no:cacheprovider",
        str(tests),
    ]
    running = [
        subprocess.Popen(command, env=environment, cwd=tests, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate()[0] for process in running]
    assert sorted(log.read_text().splitlines()) == sorted(
        f"{name} {which}" for name in names for which in ("first", "second")
    )
    assert sorted(process.returncode for process in running) == [0, 1], said
    assert sum("1 failed" in text for text in said) == 1
