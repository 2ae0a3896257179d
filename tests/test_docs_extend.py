"""docs/how-to-extend.md, carried out: every edit in a copy of the package, every command with the copy."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "docs" / "tools"))
import pages  # noqa: E402

PAGE = TOP / "docs" / "how-to-extend.md"
EDIT = re.compile(r"[Ii]n `([^`]+)`, (before|after|instead of) `([^`]+)`$")
NEW = re.compile(r"A new file `([^`]+)`$")
#: Python looks for editable installations before it looks along its path; the copy is to be found.
CUSTOM = """\
import sys
sys.meta_path[:] = [f for f in sys.meta_path if "Redirecting" not in type(f).__name__]
"""


def edited(copy: Path) -> int:
    """Carries out the edits of the page in a checkout; how many there were. Every place must be there once."""
    count = 0
    for before, _, content in pages.code_blocks(PAGE.read_text()):
        if match := EDIT.search(before):
            file, how, place = copy / match[1], match[2], match[3]
            text = file.read_text()
            assert text.count(place) == 1, f"{match[1]}: {place!r} is there {text.count(place)} times"
            at = text.index(place)
            end = at + len(place)
            if how == "before":
                changed = text[:at] + content.rstrip("\n" if text[at - 1] != "\n" else "") + text[at:]
            elif how == "after":
                end = text.index("\n", end) + 1
                changed = text[:end] + content + text[end:]
            else:
                changed = text[:at] + content.rstrip("\n") + text[end:]
            file.write_text(changed)
            count += 1
        elif match := NEW.search(before):
            (copy / match[1]).parent.mkdir(parents=True, exist_ok=True)
            (copy / match[1]).write_text(content)
            count += 1
    return count


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with the page's edits and its saved files."""
    top = tmp_path_factory.mktemp("extended")
    leave = shutil.ignore_patterns("__pycache__", "*.cpp", "*.hpp", "out")
    for name in ("dfx_homog", "runs"):
        shutil.copytree(TOP / name, top / name, ignore=leave)
    native = importlib.util.find_spec("dfx_homog._native")
    assert native is not None and native.origin is not None
    shutil.copy(native.origin, top / "dfx_homog")
    (top / "sitecustomize.py").write_text(CUSTOM)
    assert edited(top) > 15
    for name, content in pages.saved_files(PAGE.read_text()).items():
        (top / name).write_text(content)
    return top


def run(copy: Path, *words: str) -> str:
    """What a command of the copy prints."""
    environment = os.environ | {"PYTHONPATH": str(copy)}
    done = subprocess.run(words, cwd=copy, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def commands() -> list[tuple[list[str], list[str]]]:
    """The words of every command of the page, without ./dfx, and the lines that it prints according to the page."""
    found: list[tuple[list[str], list[str]]] = []
    for line in pages.lines_of(PAGE.read_text()):
        text = line.text.strip()
        if line.code and not line.language and text.startswith("$ ./dfx "):
            found.append((shlex.split(text)[2:], []))
        elif found and line.code and not line.language and line.text.startswith("    "):
            found[-1][1].append(text)
    return [(words, printed) for words, printed in found if words[0] != "exec"]


def carry_out(copy: Path, words: list[str], printed: list[str]) -> None:
    start = ["bash", str(TOP / "env" / "mpirun.sh"), words[1]] if words[0] == "-n" else []
    said = run(copy, *start, "dfx-homog", *(words[2:] if words[0] == "-n" else words))
    for line in printed:
        assert line in said, f"{line!r} in {said}"


def test_the_copy_is_the_one_that_runs(copy: Path) -> None:
    assert str(copy) in run(copy, sys.executable, "-c", "import dfx_homog; print(dfx_homog.__file__)")


def test_family_and_its_reference(copy: Path) -> None:
    ((words, printed),) = [(w, p) for w, p in commands() if w[1] == "cross.toml"]
    carry_out(copy, words, printed)
    result = json.loads((copy / "runs/out/cross/result.json").read_text())["microstructures"]["cross"]
    assert result["B"] == [[0.0, 0.0], [0.0, 0.0]] and 0.3 < result["S"][0][0] < 0.51
    text = run(copy, sys.executable, "-m", "dfx_homog.runfile.docs")
    assert "### cross" in text and "width of the bars" in text and "`heating`" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "printed"), [pair for pair in commands() if pair[0][1] != "cross.toml"], ids=str
)
def test_commands(copy: Path, words: list[str], printed: list[str]) -> None:
    carry_out(copy, words, printed)


@pytest.mark.slow
def test_term_is_in_both_models_and_their_ledgers(copy: Path) -> None:
    """After the commands: warmer than without, energy in balance."""
    warm: dict[str, float] = {}
    for words, printed in commands():
        if "parameters.heating=0.5" not in words:
            continue
        carry_out(copy, words, printed)
        with (copy / words[words.index("--out") + 1] / "history.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert max(float(row["energy_error"]) for row in rows) < 1e-9
        warm[words[0]] = float(rows[-1]["T_mean"])
    assert set(warm) == {"resolved", "homogenised"}
    assert all(0.03 < T < 0.1 for T in warm.values())  # 0.5 * 0.1 / theta = 0.04 of it by the foil
