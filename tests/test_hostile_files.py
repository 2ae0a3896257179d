"""Files made to harm: what would take time, memory or the terminal is refused by its size or shape, in one line."""

from __future__ import annotations

import time
from pathlib import Path

import fuzzing
import pytest
from mpi4py import MPI

from dfx_homog import cli
from dfx_homog.errors import BadInput
from dfx_homog.runfile import MeshFile, load
from dfx_homog.runfile.load import DEEPEST
from dfx_homog.runfile.protocol import LARGEST_PROTOCOL
from dfx_homog.studies.unit_cells import build_unit_cell

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


SQUARE = fuzzing.square_mesh(4)
HEAD = "$MeshFormat\n2.2 0 8\n$EndMeshFormat\n"
MESHES = {
    "a script": 'SystemCall "touch {pwned}";\n',
    "a script behind": SQUARE + 'SystemCall "touch {pwned}";\n',
    "a script before": 'SystemCall "touch {pwned}";\n' + SQUARE,
    "nothing": "",
    "a head": HEAD,
    "no cells": HEAD + "$Nodes\n1\n1 0 0 0\n$EndNodes\n$Elements\n0\n$EndElements\n",
    "more nodes than the file has": SQUARE.replace("$Nodes\n25", "$Nodes\n99999999999"),
    "more cells than the file has": SQUARE.replace("$Elements\n32", "$Elements\n99999999999"),
    "huge numbers of nodes": fuzzing.square_mesh(4, last=2**31 - 1),
    "cells of no nodes": SQUARE.replace("25 1.0 1.0 0", "26 1.0 1.0 0"),
    "nodes that are nowhere": SQUARE.replace("25 1.0 1.0 0", "25 nan 1.0 0"),
    "nodes far away": SQUARE.replace("25 1.0 1.0 0", "25 1e300 1.0 0"),
    "negative counts": SQUARE.replace("$Nodes\n25", "$Nodes\n-25"),
    "cut short": SQUARE[: len(SQUARE) // 2],
}  # fmt: skip


@pytest.mark.parametrize("name", MESHES)
def test_mesh_files(name: str, tmp_path: Path) -> None:
    """gmsh runs what is no mesh as a script, and NAME.opt beside a mesh: neither must ever happen."""
    pwned, path = tmp_path / "pwned", tmp_path / "cell.msh"
    path.write_text(MESHES[name].replace("{pwned}", str(pwned)))
    (tmp_path / "cell.msh.opt").write_text(f'SystemCall "touch {pwned}";\n')
    spec = MeshFile(geometry="mesh", file=str(path))
    try:
        cell = build_unit_cell("one", spec, MPI.COMM_SELF)
    except BadInput as error:
        message = str(error)
        assert name != "huge numbers of nodes", message
        assert str(path) in message or "file" in message
    else:
        assert name in ("huge numbers of nodes", "a script behind")
        assert len(cell.cells) == 32
    assert not pwned.exists()
