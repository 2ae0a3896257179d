"""BPX files: numbers, formulas and tables as run-file keys, and one line for what cannot be read."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfx_homog.errors import BadInput
from dfx_homog.parameters import bpx_file
from dfx_homog.parameters.bpx_file import read_bpx
from dfx_homog.parameters.expression import Expression
from dfx_homog.parameters.sets import SETS
from dfx_homog.runfile.source import complete

pytest.importorskip("bpx")
FILE = Path(__file__).parent / "data" / "lgm50.json"
LGM50: dict[str, Any] = json.loads(FILE.read_text())
Change = Callable[[dict[str, Any]], object]


def changed(folder: Path, *changes: Change) -> Path:
    """A copy of the file with changes."""
    data = copy.deepcopy(LGM50)
    for change in changes:
        change(data)
    path = folder / "changed.json"
    path.write_text(json.dumps(data))
    return path


def negative(**entries: Any) -> Change:
    """Entries of the negative electrode; the unit follows the key from the first bracket on."""
    return lambda data: data["Parameterisation"]["Negative electrode"].update(entries)


def test_is_the_named_set_of_the_same_cell() -> None:
    mine, named = read_bpx(FILE), SETS["chen2020"]
    for region in ("negative", "separator", "positive"):
        for key in named.microstructure[region].keys() - {"K", "theta"}:
            assert mine.microstructure[region][key] == pytest.approx(
                named.microstructure[region][key], rel=1e-14
            )
    assert mine.thickness == pytest.approx(named.thickness, rel=1e-14)
    for region in ("negative", "positive"):
        a, b = mine.parameters[region], named.parameters[region]
        assert [a["D_s"], a["c_max"]] == [b["D_s"], b["c_max"]]
        assert a["K"] == pytest.approx(b["K"], rel=1e-14)
        assert Expression.parse(a["ocp"]) == Expression.parse(b["ocp"])
    assert mine.parameters["activation"] == named.parameters["activation"]
    diffusivity = mine.electrolyte.D_L
    assert diffusivity == pytest.approx(named.electrolyte.D_L, rel=1e-12)
    assert mine.electrolyte.kappa == pytest.approx(0.9488, rel=1e-4)
    assert (mine.v_min, mine.v_max) == (2.5, 4.2)
    assert mine.capacity == pytest.approx(named.capacity, rel=1e-14)


@pytest.mark.parametrize(
    ("soc", "stoichiometries"), [(None, (0.9106, 0.2638)), (0.0, (0.0263, 0.8539)), (0.5, (0.46845, 0.55885))]
)
def test_state_of_charge(soc: float | None, stoichiometries: tuple[float, float]) -> None:
    found = read_bpx(FILE, soc).parameters
    ratios = [found[region]["c_s0"] / found[region]["c_max"] for region in ("negative", "positive")]
    assert ratios == pytest.approx(stoichiometries, rel=1e-12)


def test_state_of_charge_of_the_file_and_of_the_user(tmp_path: Path) -> None:
    path = changed(
        tmp_path, lambda data: data["State"]["Initial conditions"].update({"Initial state-of-charge": 0.25})
    )
    n = 0.0263 + 0.25 * (0.9106 - 0.0263)
    assert read_bpx(path).parameters["negative"]["c_s0"] == pytest.approx(n * 33133.0)
    found, notes, _ = complete({"parameters": {"bpx": "lgm50.json", "soc": 0.0}}, FILE.parent)
    assert found["parameters"]["negative"]["c_s0"] == pytest.approx(0.0263 * 33133.0)
    assert found["parameters"]["origin"] == "lgm50.json"
    assert any("starts at 0 % state of charge" in note for note in notes)
    assert any("kappa follows, 1.729 S/m, and that of the source, 0.9488 S/m" in note for note in notes)


def test_tables(tmp_path: Path) -> None:
    x = np.linspace(0.0, 1.0, 41)
    ocp = Expression.parse(SETS["chen2020"].parameters["negative"]["ocp"]).numpy(c=x)
    path = changed(
        tmp_path,
        negative(
            **{
                "OCP [V]": {"x": x.tolist(), "y": ocp.tolist()},
                "Diffusivity [m2.s-1]": {"x": [1.0, 0.0], "y": [1e-15, 1e-13]},
                "Entropic change coefficient [V.K-1]": {"x": [0.0, 0.5, 1.0], "y": [0.0, 1e-4, -1e-4]},
            }
        ),
        lambda data: data["Parameterisation"]["Electrolyte"].update(
            {"Diffusivity [m2.s-1]": {"x": [0, 1000, 2000], "y": [4e-10, 3e-10, 1e-10]}}
        ),
    )
    found = read_bpx(path)
    e = found.parameters["negative"]
    assert Expression.parse(e["ocp"]).numpy(c=x) == pytest.approx(ocp, abs=1e-4 * np.ptp(ocp))
    assert Expression.parse(e["D_s"]).numpy(c=[0.0, 1.0]) == pytest.approx([1e-13, 1e-15])
    assert Expression.parse(e["dUdT"]).numpy(c=0.5) == pytest.approx(1e-4)
    assert found.electrolyte.D_e == pytest.approx(3e-10)
    assert sum("a table of" in note for note in found.notes) == 4


def test_heat(tmp_path: Path) -> None:
    """Lumped heat capacity and conduction; the cooling of the whole surface is that of both faces of all layers."""

    def heat(data: dict[str, Any]) -> None:
        data["Parameterisation"]["Cell"] |= {
            "Density [kg.m-3]": 2000.0,
            "Specific heat capacity [J.K-1.kg-1]": 900.0,
        }
        data["Parameterisation"]["User-defined"] = {
            "Thermal conductivity [W.m-1.K-1]": 1.5,
            "description": "lumped",
        }
        data["State"]["Thermal environment"]["Heat transfer coefficient [W.m-2.K-1]"] = 10.0

    found = read_bpx(changed(tmp_path, heat))
    assert found.thermal
    assert found.microstructure["separator"]["theta"] == 1.8e6
    assert found.microstructure["positive"]["K"] == 1.5
    assert found.parameters["h"] == pytest.approx(10.0 * 0.00531 / (2 * 0.1027))
    with pytest.raises(BadInput, match=r"microstructure\.negative\.K: required with isothermal = false"):
        complete({"parameters": {"bpx": "lgm50.json", "isothermal": False}}, FILE.parent)
    given = {region: {"K": 1.0, "theta": 1e6} for region in ("negative", "separator", "positive")}
    complete({"parameters": {"bpx": "lgm50.json", "isothermal": False}, "microstructure": given}, FILE.parent)


REFUSED: dict[str, tuple[Change, str]] = {
    "version": (
        lambda d: d["Header"].update({"BPX": "0.4.0"}),
        r"Header/BPX: version 0\.4\.0 \(allowed: 1\.x",
    ),
    "model": (lambda d: d["Header"].update({"Model": "SPM"}), r"Header/Model: SPM \(allowed: DFN, SPMe\)"),
    "no header": (lambda d: d.pop("Header"), "Header/BPX"),
    "no parameters": (lambda d: d.pop("Parameterisation"), "Parameterisation"),
    "misspelt": (negative(Porousness=0.3), r"Negative electrode.*Porousness"),
    "missing": (lambda d: d["Parameterisation"]["Separator"].pop("Porosity"), "Separator.*Porosity"),
    "blended": (negative(Particle={"Primary": {}}), "no blended electrodes"),
    "hysteresis": (negative(**{"OCP (lithiation) [V]": "0.1 + x"}), "no hysteresis"),
    "degradation": (
        lambda d: d["State"].update({"Degradation": {"LLI": 0.1}}),
        "State/Degradation: no aged cells",
    ),
    "user-defined": (
        lambda d: d["Parameterisation"].update({"User-defined": {"Magic": 1.0}}),
        "User-defined/Magic: not known here",
    ),
    "code": (
        negative(**{"OCP [V]": "__import__('os').system('touch hacked')"}),
        r"Negative electrode/OCP \[V\]: '_' is not allowed|is not allowed in a formula",
    ),
    "call": (negative(**{"OCP [V]": "exit(1)"}), "exit.* is not allowed in a formula"),
    "endless": (negative(**{"OCP [V]": "9**9**9**9 + x"}), "finite|too large"),
    "diffusivity": (negative(**{"Diffusivity [m2.s-1]": {"x": [0, 1], "y": [1e-14, 0.0]}}), "not positive"),
    "table": (negative(**{"OCP [V]": {"x": [0, 1], "y": [1.0]}}), "same length|as many x as y"),
    "radius": (negative(**{"Maximum concentration [mol.m-3]": -1.0}), "Maximum concentration"),
    "transference": (
        lambda d: d["Parameterisation"]["Electrolyte"].update({"Cation transference number": 1.0}),
        "Cation transference number: 1",
    ),
}


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Change, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = changed(tmp_path, change)
    with pytest.raises(BadInput, match=words) as error:
        read_bpx(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["changed.json"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[1, 2]", "not a table"),
        (b"[" * 100_000, "not JSON: nested too deeply"),
        (b'{"Header": NaN}', "NaN is not a number"),
        (FILE.read_bytes().replace(b"33133.0", b"1e999"), "not a finite number"),
        (FILE.read_bytes().replace(b"33133.0", b"1" * 400), "Maximum concentration|too large"),
        (FILE.read_bytes().replace(b"33133.0", b'"nan"'), "not a finite number"),
    ],
    ids=["cut", "bytes", "list", "deep", "nan", "inf", "huge", "text"],
)
def test_broken_files(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=words) as error:
        read_bpx(path)
    assert "\n" not in str(error.value)


def test_size_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(bpx_file.LARGEST_FILE + 1)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("was read"))
    with pytest.raises(BadInput, match="larger than"):
        read_bpx(path)


def test_the_library_never_sees_a_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would write it into a module and run that."""
    import bpx

    def caught(self: bpx.Function, preamble: str | None = None) -> None:
        pytest.fail(f"would run {self}")

    monkeypatch.setattr(bpx.Function, "to_python_function", caught)
    read_bpx(FILE)


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bpx", None)
    with pytest.raises(BadInput, match="needs the Python library bpx"):
        read_bpx(FILE)
