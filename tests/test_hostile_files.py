"""Files made to harm: what would take time, memory or the terminal is refused by its size or shape, in one line."""

from __future__ import annotations

import contextlib
import json
import time
import warnings
from pathlib import Path
from random import Random
from typing import Any

import fuzzing
import numpy as np
import pytest
import tifffile
from mpi4py import MPI

from dfx_homog import cli
from dfx_homog.errors import BadInput
from dfx_homog.io import directory
from dfx_homog.parameters.bpx_file import read_bpx
from dfx_homog.runfile import Image, MeshFile, load
from dfx_homog.runfile.current_file import read_drive_cycle
from dfx_homog.runfile.load import DEEPEST
from dfx_homog.runfile.protocol import LARGEST_PROTOCOL
from dfx_homog.studies.unit_cells import build_unit_cell
from dfx_homog.voxels.image import load_grid
from dfx_homog.voxels.image_file import open_image
from dfx_homog.voxels.memory import memory

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


def npy(header: str, version: bytes = b"\x01\x00") -> bytes:
    """A file of numpy.save with this header and 100 bytes of values."""
    text = header.encode()
    return (
        b"\x93NUMPY" + version + len(text).to_bytes(2 if version[0] == 1 else 4, "little") + text + bytes(100)
    )


def of(shape: str, descr: str = "'|u1'") -> bytes:
    return npy(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}")


ARRAYS = {
    "negative": of("(-2, -3)"),
    "negative but for one": of("(-2, -3, 4)"),
    "empty": of("(0, 3, 4)"),
    "flags": of("(True, True)"),
    "more than there is": of("(99999999999, 99999999999, 2)"),
    "objects": of("(2, 2)", "'|O'"),
    "arrays in arrays": of("(2, 2)", "('|u1', (1000,))"),
    "brackets": npy("(" * 9000),
    "zeros": npy("{'descr': '\0'}"),
    "a call": npy("__import__('os').system('touch pwned')"),
    "a long header": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}",
    "another version": npy("{}", b"\x09\x00"),
}  # fmt: skip


@pytest.mark.parametrize("name", ARRAYS)
def test_numpy_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "image.npy"
    path.write_bytes(ARRAYS[name])
    with pytest.raises(BadInput, match=r"image\.npy"):
        open_image(path, None, None)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("kind", ["npy", "tif", "compressed", "tiled", "imagej", "json", "csv"])
def test_damaged_files(kind: str, tmp_path: Path) -> None:
    """Bytes changed, lost and doubled at random: a good file, or one line."""
    random, labels = Random(kind), np.arange(5 * 6 * 7, dtype=np.uint8).reshape(5, 6, 7)
    path = tmp_path / {"json": "cell.json", "csv": "cycle.csv", "npy": "image.npy"}.get(kind, "image.tif")
    if kind in ("json", "csv"):
        fuzzing.make_files(tmp_path)
    elif kind == "npy":
        np.save(path, labels)
    else:
        options: dict[str, Any] = {
            "compressed": {"compression": "zlib"},
            "tiled": {"metadata": None, "tile": (16, 16)},
            "imagej": {"imagej": True},
        }.get(kind, {})
        tifffile.imwrite(path, labels, **options)
    good = path.read_bytes()
    for _ in range(20 if kind == "json" else 100):
        path.write_bytes(damaged(good, random))
        with contextlib.suppress(BadInput), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if kind == "json":
                read_bpx(path)
            elif kind == "csv":
                with contextlib.suppress(ValueError):  # what current_file promises
                    read_drive_cycle(path)
            else:
                image = open_image(path, None, None)
                if np.prod(image.shape) < 1e6:
                    list(image.planes([(0, edge) for edge in image.shape]))


def damaged(good: bytes, random: Random) -> bytes:
    content = bytearray(good)
    for _ in range(random.randint(1, 4)):
        at, kind = random.randrange(len(content)), random.randrange(5)
        if kind == 0:
            content[at] = random.randrange(256)
        elif kind == 1:
            content[at : at + 4] = random.choice([0, 1, 3, 10**6, 2**31, 2**32 - 1]).to_bytes(4, "little")
        elif kind == 2:
            del content[at : at + random.randint(1, 8)]
        elif kind == 3:
            content[at:at] = content[: random.randint(1, 30)]
        else:
            del content[max(at, 1) :]
    return bytes(content)


def test_an_image_larger_than_the_machine(tmp_path: Path) -> None:
    """An empty file of any size costs nothing to make: what it would need is told, nothing is allocated."""
    path = tmp_path / "image.raw"
    edge = round((4 * memory()) ** (1 / 3))
    with path.open("wb") as file:
        file.truncate(edge**3)
    spec = Image(geometry="image", file=str(path), shape=[edge] * 3, dtype="uint8", solid=[1])
    with pytest.raises(BadInput, match="this machine has"):
        load_grid(MPI.COMM_SELF, "one", spec, tmp_path)


def test_a_page_that_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compressed page is not decoded if it is larger than the machine, however small the file."""
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, np.zeros((2000, 2000), np.uint8), compression="zlib")
    assert path.stat().st_size < 20_000
    monkeypatch.setattr("dfx_homog.voxels.image_file.memory", lambda: 1_000_000)
    with pytest.raises(BadInput, match="fits into this machine"):
        open_image(path, None, None)


@pytest.mark.parametrize(
    "text",
    ["[" * 900 + "]" * 900, '{"a": ' * 900 + "1" + "}" * 900, "[" * 100_000],
    ids=["lists", "tables", "open"],
)
def test_bpx_files_that_are_deep(text: str, tmp_path: Path) -> None:
    fuzzing.make_files(tmp_path)
    path = tmp_path / "cell.json"
    path.write_text(path.read_text().replace('"Header": {', f'"Header": {{"description": {text}, ', 1))
    with pytest.raises(BadInput, match=r"cell\.json: .*nested too deeply"):
        read_bpx(path)


def test_links_in_the_results(tmp_path: Path) -> None:
    """Nothing is written or removed outside of --out, whatever links lie there."""
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    out.mkdir()
    (outside / "mine").write_text("mine")
    for name in ("mesh", "cells", "samples"):
        (out / name).symlink_to(outside)
    for name in (
        "result.json",
        "run.toml",
        "log.txt",
        "result.json.part",
        "fields.npz.part",
        "report.html.part",
    ):
        (out / name).symlink_to(outside / "mine")
    fuzzing.make_files(tmp_path)
    file = tmp_path / "run.toml"
    file.write_text('[microstructure.one]\ngeometry = "image"\nfile = "image.npy"\nsolid = [7]\n')
    call = ["cell", str(file), "--out", str(out), "--quiet", "--set", "output.report=false"]
    assert cli.main(call) == 0
    assert [path.name for path in outside.iterdir()] == ["mine"]
    assert (outside / "mine").read_text() == "mine"
    assert not (out / "result.json").is_symlink()


def test_a_lock_that_leads_elsewhere(tmp_path: Path) -> None:
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="--out"):
        directory.take(tmp_path, restart=False)
    assert not (tmp_path / "elsewhere").exists()


EVIL = "a<script>alert(1)<!--<img src=x onerror=alert(1)>\"'&"


def test_reports_run_no_scripts(tmp_path: Path) -> None:
    """Names of files and directories, and strings in results of others, are text in the page."""
    folder = tmp_path / EVIL
    folder.mkdir()
    fuzzing.make_files(folder)
    (folder / "image.npy").rename(folder / f"{EVIL}.npy")
    file = folder / "run.toml"
    name = json.dumps(f"{EVIL}.npy")
    file.write_text(f'[microstructure.one]\ngeometry = "image"\nfile = {name}\nsolid = [7]\n')
    out = folder / "out<script>"
    assert cli.main(["cell", str(file), "--out", str(out), "--quiet"]) == 0
    assert_harmless(out)
    result = json.loads((out / "result.json").read_text())
    result["microstructures"][EVIL] = result["microstructures"].pop("one") | {
        "discretisation": EVIL,
        "kind": EVIL,
    }
    (out / "result.json").write_text(json.dumps(result))
    assert cli.main(["report", str(out)]) in (0, 2)
    assert_harmless(out)


def assert_harmless(out: Path) -> None:
    page = (out / "report.html").read_text()
    assert "<script" not in page
    assert "<img src=x" not in page


RESULTS = {
    "a list": "[]",
    "not JSON": "{",
    "a number": "1",
    "no tables": '{"microstructures": 5}',
    "no table": '{"microstructures": {"one": []}}',
    "no levels": '{"levels": {}}',
    "no samples": '{"samples": 1}',
    "deep": "[" * 100_000,
    "words": '{"dofs": "x", "final": []}',
}


@pytest.mark.parametrize("content", RESULTS.values(), ids=RESULTS)
def test_results_of_others(content: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A directory whose result.json is none: a report without it, or one line."""
    (tmp_path / "run.toml").write_text(
        "[microstructure.one]\ngeometry = 'wavy'\nw0 = 0.27\nmesh_size = 0.2\n"
    )
    (tmp_path / "result.json").write_text(content)
    assert cli.main(["report", str(tmp_path)]) in (0, 2)
    assert "Traceback" not in capfd.readouterr().err
