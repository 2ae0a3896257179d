"""Files made to harm: what would take time, memory or the terminal is refused by its size or shape, in one line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dfx_homog import cli
from dfx_homog.errors import BadInput
from dfx_homog.runfile import load
from dfx_homog.runfile.load import DEEPEST
from dfx_homog.runfile.protocol import LARGEST_PROTOCOL

SECONDS = 10.0  # that a refusal may take on a busy machine; each of these took minutes, or would have

RUN_FILES = {
    "dotted keys": (".".join("a" * 200_000) + " = 1", f"a key of more than {DEEPEST} parts"),
    "quoted dotted keys": ("'b'" + " . 'a'" * 100_000 + " = 1", f"a key of more than {DEEPEST} parts"),
    "dotted keys in tables": ("x = " + "{a.a.a.a.a.a = " * 8 + "1" + "}" * 8, "x: nested too deeply"),
    "lists": ("x = " + "[" * 40 + "]" * 40, "x: nested too deeply"),
    "many lists": ("x = " + "[" * 100_000, "not TOML"),
    "unknown tables": ("\n".join(f"[a{n}]" for n in range(20_000)), "a0: unknown key"),
    "protocol": (
        "microstructure.a = {geometry = 'checkerboard', mesh_size = 0.2}\n[protocol]\nsteps = ["
        + "{current = 1}," * (LARGEST_PROTOCOL + 1)
        + "]",
        f"{LARGEST_PROTOCOL + 1} are too many",
    ),
    "powers": ("[parameters]\nD_L = 1\nnegative.ocp = '9**9**9**9'", "parameters"),
}


@pytest.mark.parametrize("name", RUN_FILES)
def test_run_files(name: str, tmp_path: Path) -> None:
    content, words = RUN_FILES[name]
    path = tmp_path / "run.toml"
    path.write_text(content)
    start = time.monotonic()
    with pytest.raises(BadInput) as caught:
        load(path)
    assert time.monotonic() - start < SECONDS
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_overrides_are_as_deep_as_files(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("")
    deep = ".".join("a" * 10_000)
    for override in (f"time.{deep}=1", f"time={{{deep} = 1}}", "time=" + "{a = " * 60 + "1" + "}" * 60):
        with pytest.raises(BadInput, match="nested too deeply"):
            load(path, [override])


@pytest.mark.mpi
@pytest.mark.parametrize("name", ["\x1b[2J\x07", "a\nb", "\u202egnp.exe", "\x9b2J", "\x00"])
def test_names_do_not_reach_the_terminal(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a terminal obeys, or shows in another order than it is, is spelt out, on one line, by one rank."""
    assert cli.main(["check", str(Path("no-such-folder") / name)]) == 2
    assert cli.main(["check", __file__, "--set", f"{name}=1"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.replace("\n", "").isprintable()
    assert err.count("\n") in (0, 2)
