"""Run files: what is accepted with which defaults, what is refused in which words, and writing them back."""

from __future__ import annotations

import copy
import pickle
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfx_homog.dimensionless.physics import physics_from_run
from dfx_homog.errors import BadInput
from dfx_homog.parameters.expression import Expression, constant
from dfx_homog.runfile import Run, load, require, suited_to
from dfx_homog.runfile.docs import document
from dfx_homog.runfile.load import LARGEST_FILE
from dfx_homog.runfile.toml import to_toml

TOP = Path(__file__).resolve().parents[1]
SOLID = {"sigma_s": 10.0, "k_s": 2.0, "rho_cp_s": 1.5}
PORES = {"mesh_size": 0.1, "k_e": 0.6, "rho_cp_e": 1.0}
WAVY = {"geometry": "wavy", "w0": 0.27, "w1": 0.12, **SOLID, **PORES}
RUN: dict[str, Any] = {
    "microstructure": {
        "negative": WAVY,
        "separator": {"geometry": "electrolyte", "dim": 2, **PORES},
        "positive": {**WAVY, "sigma_s": 5.0},
    },
    "cell": {"periods": [2, 1, 2]},
    "parameters": {
        "D_L": 1.0,
        "D_A": 1.5,
        "lambda": 2.0,
        "gamma": 0.1,
        "negative": {"D_s": 1.0, "G": 1.5, "c_s0": 0.8, "ocp": "0.25 - 0.3*(c - 0.5)"},
        "positive": {"D_s": 0.6, "G": 1.0, "c_s0": 0.3, "ocp": "1.0 - 0.1*tanh(4*(c - 0.5)) + 0.05*T"},
    },
    "protocol": {"steps": [{"current": 0.2, "duration": 0.5}]},
    "time": {"dt": 0.02},
    "convergence": {"periods": [[2, 1, 2], [4, 2, 4]]},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """RUN with one key set, or removed where value is None."""
    data = copy.deepcopy(RUN)
    *names, last = path.split(".")
    table = data
    for name in names:
        table = table.setdefault(name, {})
    if value is None:
        del table[last]
    else:
        table[last] = value
    return data


def load_dict(directory: Path, data: dict[str, Any], overrides: list[str] | None = None) -> Run:
    path = directory / "run.toml"
    path.write_text(to_toml(data), encoding="utf-8")
    return load(path, overrides or [])


def refusal(directory: Path, data: dict[str, Any]) -> str:
    """The one line with which the run file is refused, without the file's name."""
    with pytest.raises(BadInput) as caught:
        require(load_dict(directory, data), "convergence")
    text = str(caught.value)
    assert text.startswith(f"{directory / 'run.toml'}: ")
    assert "\n" not in text
    assert "Traceback" not in text
    return text.partition(": ")[2]


def test_defaults(tmp_path: Path) -> None:
    run = load_dict(tmp_path, RUN)
    for command in ("cell", "resolved", "homogenised", "convergence"):
        require(run, command)
    p = run.parameters
    assert (p.negative.beta, p.negative.C, p.negative.c_max, p.negative.Pi) == (0.5, 0.0, 1.0, 0.0)
    assert (p.h, p.T_ambient, p.T_initial, p.c_e0, p.isothermal, p.mu_L) == (0.0, 0.0, 0.0, 1.0, False, None)
    assert (run.cell.lateral_periods, run.cell.lateral) == ((1,), "periodic")
    assert run.microstructure["negative"].order == 1
    assert (run.time.scheme, run.solver.preset, run.homogenised.elements) == (
        "backward-euler",
        "iterative",
        20,
    )
    assert load_dict(tmp_path, changed("parameters.gamma", None) | {}).parameters.gamma == 0.0


def test_integers_serve_as_numbers_but_stay_exact_where_counted(tmp_path: Path) -> None:
    run = load_dict(tmp_path, changed("parameters.D_L", 2))
    assert isinstance(run.parameters.D_L, float)
    assert run.cell.periods == (2, 1, 2)
    assert all(isinstance(n, int) for n in run.cell.periods)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("parameters.D_L", -1.0, "allowed: a number > 0"),
        ("parameters.D_L", "1.0", "'1.0' is not a number"),
        ("parameters.D_L", True, "true is not a number"),
        ("parameters.D_A", 10**400, "too large"),
        ("parameters.lambda", float("inf"), "not a finite number"),
        ("parameters.gamma", -0.1, "allowed: a number >= 0"),
        ("parameters.h", "0.1*c", "'c' is not allowed"),
        ("parameters.T_initial", -11.0, "below absolute zero"),
        ("parameters.isothermal", 1, "neither true nor false"),
        ("parameters.units", "imperial", '"dimensionless" or "SI"'),
        ("parameters.bpx", "cell.xml", "does not end in .json"),
        ("parameters.set", "chen2021", "is not known"),
        ("parameters.negative.beta", 1.0, "between 0 and 1"),
        ("parameters.negative.c_s0", 1.7, "< c_max"),
        ("parameters.negative.c_s0", 0.0, "> 0"),
        ("parameters.negative.Ds", 1.0, "did you mean D_s?"),
        ("parameters.negative.D_s", None, "required"),
        ("parameters.negative.D_s", "0.5 - c", "at c ="),
        ("parameters.negative.D_s", 0.0, "> 0"),
        ("parameters.negative.G", 0.0, "> 0"),
        ("parameters.negative.C", -0.05, ">= 0"),
        ("parameters.negative.ocp", "log(c - 0.5)", "finite values"),
        ("parameters.negative.ocp", "1/(c - 0.8)", "inf at c = 0.8"),
        ("parameters.negative.ocp", "c.__class__", "not allowed in a formula"),
        ("parameters.negative.ocp", "x + 1", "c, T"),
        ("parameters.negative.ocp", "(" * 1000 + "c", "too deeply nested"),
        ("parameters.negative.Pi", "auto2", '"auto"'),
        ("parameters.negative.film_resistance", -0.1, ">= 0"),
        ("parameters.negative.D_s", [[1.0, 2.0], [2.0, 1.0]], "positive definite"),
        ("parameters.negative.D_s", [[1.0, 0.2], [0.1, 1.0]], "symmetric"),
        ("parameters.h", -0.5, ">= 0"),
        ("parameters.h_positive", "0.5 - 100*t", "at t ="),
        ("parameters.h_negative", "1/t", "at t = 0"),
        ("parameters.h", "0.5*y3", "does not know y3"),
        ("parameters.activation.D_e", 1.0, "unknown key"),
        ("parameters.activation.D_L", -1.0, ">= 0"),
        ("microstructure.negative.geometry", "donut", "wavy"),
        ("microstructure.negative.geometry", None, "required"),
        ("microstructure.negative.w0", 0.9, "w(z1) runs from"),
        ("microstructure.negative.w0", 0.1, "w(z1) runs from"),
        ("microstructure.negative.w3", 0.1, "unknown key"),
        ("microstructure.negative.mesh_size", 0.0, "> 0 and <= 0.5"),
        ("microstructure.negative.mesh_size", 0.6, "> 0 and <= 0.5"),
        ("microstructure.negative.order", 3, "1 or 2"),
        ("microstructure.negative.order", 2, ""),
        ("microstructure.negative.order", True, "1 or 2"),
        ("microstructure.negative.sigma_s", [[1.0, 2.0], [2.0, 1.0]], "positive definite"),
        ("microstructure.negative.sigma_s", [[1.0, 0.2], [0.3, 1.0]], "symmetric"),
        ("microstructure.negative.sigma_s", [1.0, 2.0], "not a list"),
        ("microstructure.negative.sigma_s", None, "required"),
        ("microstructure.negative.k_s", 0, "> 0"),
        ("microstructure.separator.k_e", None, "required"),
        ("microstructure.separator.sigma_s", 1.0, "unknown key"),
        ("microstructure.separator.dim", 4, "allowed: 2 or 3"),
        ("microstructure.separator", None, "required"),
        ("microstructure.seperator", {"geometry": "electrolyte", **PORES}, "not used"),
        ("microstructure.positive", 3.0, "table"),
        ("microstructure", None, "required"),
        ("cell.periods", [2, 0, 2], "positive whole numbers"),
        ("cell.periods", [2, 1], "3 positive whole numbers"),
        ("cell.periods", [2.0, 1, 2], "not a whole number"),
        ("cell.periods", [4, 1, 4], "ratio"),
        ("cell.lateral_periods", [1, 1], "one positive whole number"),
        ("cell.lateral", "open", "periodic"),
        ("cell.thickness", [0.4, 0.2, 0.4], "there is both"),
        ("convergence.periods", [[2, 1, 2], [4, 1, 4]], "not twice"),
        ("convergence.periods", [[2, 1, 2]], "one level"),
        ("convergence.periods", [[4, 2, 4], [2, 1, 2]], "not twice"),
        ("protocol.steps", [], "at least one"),
        ("protocol.steps", {"current": 1.0}, "a list of tables"),
        ("protocol.steps", [{"current": 0.2}], "required"),
        ("protocol.steps", [{"current": 0.2, "duration": 0.0}], "> 0"),
        ("protocol.v_min", "low", "a number"),
        ("time.dt", 0.0, "> 0"),
        ("time.scheme", "rk99", "bdf2"),
        ("time.adaptive", 1, "true or false"),
        ("solver.preset", "magic", "iterative"),
        ("homogenised.wall_law", 1, "true or false"),
        ("homogenised.dim", 4, "1, 2 or 3"),
        ("homogenised.lateral_grading", 0.5, "a number >= 1"),
        ("cell.tab_negative", [[0.3, 0.1]], "no interval"),
        ("cell.lateral_size", [0.0], "numbers > 0"),
        ("homogenised.elements", 0, "positive whole number"),
        ("checkpoint.every", 0, "a positive whole number"),
        ("typo.key", 1, "unknown key"),
        ("time", None, "required by convergence"),
        ("convergence", None, "required by convergence"),
        ("parameters", None, "required by convergence"),
    ],
)
def test_refused(tmp_path: Path, path: str, value: Any, words: str) -> None:
    text = refusal(tmp_path, changed(path, value))
    assert words in text
    whole_table = text.startswith(("[", "typo", "battery", "checkpoint"))
    assert path.split(".")[0 if whole_table else -1] in text.partition(" ")[0]


def test_auto_peltier_potential_needs_gamma(tmp_path: Path) -> None:
    data = changed("parameters.positive.Pi", "auto")
    data["parameters"]["gamma"] = 0.0
    assert refusal(tmp_path, data).startswith('parameters.positive.Pi: "auto" needs gamma > 0')


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"geometry": "disks"}, "either radius"),
        ({"geometry": "disks", "radius": 0.3, "radii": [0.1]}, "either radius"),
        ({"geometry": "disks", "radius": 0.3, "centres": [[0.5, 0.5]], "radii": [0.1]}, "either radius"),
        ({"geometry": "disks", "centres": [[0.5, 0.5]], "radii": [0.1, 0.2]}, "2 radii for 1 centres"),
        ({"geometry": "disks", "centres": [[0.5, 0.5]]}, "0 radii for 1 centres"),
        ({"geometry": "disks", "centres": [[0.5, 1.5]], "radii": [0.1]}, "out of range"),
        ({"geometry": "disks", "radius": 0.3, "lattice": "hexagonal"}, "not in this version"),
        ({"geometry": "disks", "radius": -0.3}, "> 0"),
        ({"geometry": "ellipse", "semi_axes": [0.6, 0.2]}, "0.6 from the centre"),
        ({"geometry": "ellipse", "semi_axes": [0.2, 0.6], "angle": 30.0}, "from the centre"),
        ({"geometry": "ellipse", "semi_axes": [0.2]}, "1 entries, not 2"),
        ({"geometry": "laminate", "solid_fraction": 1.0, "normal": [1, 0]}, "between 0 and 1"),
        ({"geometry": "laminate", "solid_fraction": 0.5, "normal": [0, 0]}, "no direction"),
        ({"geometry": "laminate", "solid_fraction": 0.5, "normal": [0.5, 1]}, "not a whole number"),
        ({"geometry": "laminate", "solid_fraction": 0.5}, "normal"),
        (
            {"geometry": "laminate", "solid_fraction": 0.5, "normal": [1, 0, 0]},
            "3 entries, must have dim = 2",
        ),
        ({"geometry": "laminate", "dim": 3, "solid_fraction": 0.5, "normal": [1, 0]}, "dim = 3"),
        ({"geometry": "checkerboard", "dim": 3}, "3 is not known (allowed: 2)"),
    ],
)
def test_refused_geometries(tmp_path: Path, keys: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=r"microstructure\.one") as caught:
        load_dict(tmp_path, {"microstructure": {"one": {**keys, "mesh_size": 0.1}}})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "keys",
    [
        {"geometry": "disks", "radius": 0.3, "lattice": "square"},
        {"geometry": "disks", "radius": 0.3},
        {"geometry": "disks", "centres": [[0.0, 0.0], [0.5, 0.5]], "radii": [0.2, 0.3]},
        {"geometry": "ellipse", "semi_axes": [0.4, 0.2], "angle": 30},
        {"geometry": "laminate", "solid_fraction": 0.3, "normal": [1, -2]},
        {"geometry": "checkerboard", "dim": 2, "k_s": [[2.0, 0.5], [0.5, 1]]},
        {"geometry": "wavy", "w0": 0.25},
        {"geometry": "electrolyte"},
    ],
)
def test_cell_needs_only_geometry(tmp_path: Path, keys: dict[str, Any]) -> None:
    run = load_dict(tmp_path, {"microstructure": {"any-name": {**keys, "mesh_size": 0.1}}})
    require(run, "cell")
    assert [command for command, reason in suited_to(run).items() if not reason] == ["cell"]
    with pytest.raises(BadInput, match="cell"):
        require(run, "resolved")


@pytest.mark.parametrize(
    "geometry", [{"geometry": "disks", "radius": 0.3}, {"geometry": "ellipse", "semi_axes": [0.3, 0.2]}]
)
def test_electrode_whose_solid_touches_no_face_is_refused(tmp_path: Path, geometry: dict[str, Any]) -> None:
    data = changed("microstructure.positive", {**geometry, **SOLID, **PORES})
    assert refusal(tmp_path, data).startswith("microstructure.positive.geometry: ")


def test_electrode_without_solid_is_refused(tmp_path: Path) -> None:
    text = refusal(tmp_path, changed("microstructure.negative", {"geometry": "electrolyte", **PORES}))
    assert text.startswith("microstructure.negative.geometry: an electrode needs solid")


def test_inert_solid_in_the_separator_needs_no_conductivity(tmp_path: Path) -> None:
    solid = {"geometry": "disks", "radius": 0.3, "k_s": 2.0, "rho_cp_s": 1.5, **PORES}
    require(load_dict(tmp_path, changed("microstructure.separator", solid)), "resolved")
    del solid["k_s"]
    assert refusal(tmp_path, changed("microstructure.separator", solid)).startswith(
        "microstructure.separator.k_s: "
    )


def test_misspelt_key_comes_before_what_it_leaves_missing(tmp_path: Path) -> None:
    data = changed("parameters.negative.D_s", None)
    data["parameters"]["negative"]["Ds"] = 1.0
    text = refusal(tmp_path, data)
    assert text.startswith("parameters.negative.Ds: unknown key; did you mean D_s?")
    assert text.endswith("also wrong: parameters.negative.D_s")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"this is [not toml", "not TOML"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"a = " + b"[" * 100000, "not TOML"),
        (b"a = 1\na = 2", "not TOML"),
        (b"a = 0x" + b"f" * 9999, "unknown key"),
        (b"[parameters]\nD_L = 0x" + b"f" * 9999, "parameters.D_L"),
        (b"", "microstructure"),
        (b"microstructure = {}", "microstructure"),
        (b'[microstructure."a\\nb"]\ngeometry = "electrolyte"\nmesh_size = 0.1', "no name"),
        (b"\x00", "not TOML"),
    ],
)
def test_broken_files(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"broken\.toml: ") as caught:
        load(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        load(tmp_path / "none.toml")
    with pytest.raises(BadInput, match="not a file"):
        load(tmp_path)
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (LARGEST_FILE + 1))
    with pytest.raises(BadInput, match="larger"):
        load(large)


def test_overrides(tmp_path: Path) -> None:
    overrides = ["time.dt=0.01", "time.scheme=bdf2", "cell.periods=[4, 2, 4]", 'solver.preset="direct"']
    overrides += [
        "parameters.negative.ocp=0.3 - c",
        "protocol.steps.0.current=-1",
        "parameters.activation.D_L = 2",
    ]
    run = load_dict(tmp_path, RUN, overrides)
    assert (run.time.dt, run.time.scheme, run.cell.periods, run.solver.preset) == (
        0.01,
        "bdf2",
        (4, 2, 4),
        "direct",
    )
    assert (run.parameters.negative.ocp, run.protocol.steps[0].current) == ("0.3 - c", -1.0)
    assert run.parameters.activation.D_L == 2.0


@pytest.mark.parametrize(
    "override",
    [
        "time.dt",
        "=3",
        "time..dt=1",
        "time.dt.x=1",
        "protocol.steps.5.current=1",
        "time.dtt=1",
        "time.dt=1\nb=2",
    ],
)
def test_wrong_overrides(tmp_path: Path, override: str) -> None:
    with pytest.raises(BadInput):
        load_dict(tmp_path, RUN, [override])


def test_written_file_is_the_same_run(tmp_path: Path) -> None:
    data = changed("parameters.h_negative", 0.25)
    data["microstructure"]["negative"]["k_s"] = [[2.0, 0.1], [0.1, 1.0]]
    run = load_dict(tmp_path, data)
    again = tmp_path / "again.toml"
    again.write_text("# comment\n" + run.to_toml(), encoding="utf-8")
    assert load(again).model_dump() == run.model_dump()
    assert load(again).to_toml() == run.to_toml()
    assert pickle.loads(pickle.dumps(run)) == run  # as it is broadcast to the other ranks
    assert pickle.loads(pickle.dumps(run)).source == run.source


LEAVES = st.one_of(
    st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(st.characters(codec="utf-8"))
)
KEYS = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    LEAVES, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=3), max_leaves=10
)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
@settings(deadline=None)
def test_toml_reads_back(table: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(table)) == table


PATHS = [
    *("microstructure.negative.mesh_size", "microstructure.negative.geometry", "microstructure.negative"),
    *("microstructure", "cell.periods", "cell", "parameters.D_L", "parameters.negative.ocp"),
    *(
        "parameters.negative.c_s0",
        "parameters.activation",
        "protocol.steps",
        "time.dt",
        "time.scheme",
        "solver",
    ),
    *("homogenised.elements", "convergence.periods", "nonsense"),
]


@given(st.sampled_from(PATHS), VALUES)
@settings(max_examples=200, deadline=None)
def test_any_value_is_accepted_or_refused_in_one_line(path: str, value: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        try:
            load_dict(Path(directory), changed(path, value))
        except BadInput as error:
            assert "\n" not in str(error)  # noqa: PT017
            assert path.partition(".")[0] in str(error)  # noqa: PT017


def test_physics(tmp_path: Path) -> None:
    data = changed("parameters.h", 0.5)
    data["parameters"]["h_positive"] = 0.7
    data["parameters"]["activation"] = {"D_s_p": 1.0, "G_p": 2.0, "sigma_p": 3.0, "D_A": 4.0}
    data["parameters"]["positive"]["Pi"] = "auto"
    data["parameters"]["negative"] |= {"Pi": "auto", "D_s": "1 + 0.1*c"}
    p = physics_from_run(load_dict(tmp_path, data))
    assert (p.mu_L, p.lam, p.E_D_L, p.E_D_A) == (None, 2.0, 0.0, 4.0)
    assert (p.h_negative, p.h_positive) == (constant(0.5), constant(0.7))
    assert (p.positive.E_D, p.positive.E_G, p.positive.E_sigma, p.negative.E_D) == (1.0, 2.0, 3.0, 0.0)
    assert p.negative.Pi == Expression.parse(0.0)  # its ocp does not depend on T
    assert float(p.negative.D_s.numpy(c=0.5)) == pytest.approx(1.05)
    # absolute temperature times dU/dT with gamma = 0.1, dU/dT = 0.05
    assert float(p.positive.Pi.numpy(c=0.5, T=0.4)) == pytest.approx((1 + 0.1 * 0.4) / 0.1 * 0.05)


def test_auto_without_gamma_is_zero_where_ocp_does_not_depend_on_temperature(tmp_path: Path) -> None:
    data = changed("parameters.negative.Pi", "auto")
    data["parameters"]["gamma"] = 0.0
    assert physics_from_run(load_dict(tmp_path, data)).negative.Pi == Expression.parse(0.0)


@pytest.mark.parametrize("path", sorted((TOP / "runs").glob("*.toml")), ids=lambda p: p.name)
def test_shipped_run_files(path: Path) -> None:
    run = load(path)
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert " min" in first or " s" in first
    assert any(not reason for reason in suited_to(run).values())


def test_reference_page_is_made_from_the_models() -> None:
    page = (TOP / "docs" / "runfile.md").read_text(encoding="utf-8")
    assert page == document(), "run: python -m dfx_homog.runfile.docs > docs/runfile.md"
