"""Named parameter sets: how they go under what the user writes, and the papers' derived numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

from dfx_homog.errors import BadInput
from dfx_homog.parameters.expression import Expression
from dfx_homog.parameters.scaling import FARADAY
from dfx_homog.parameters.sets import SETS, ParameterSet, chen2020, ecker2015, marquis2019
from dfx_homog.runfile.given import Particle
from dfx_homog.runfile.source import complete

HERE = Path()
AREAS = {"chen2020": chen2020.AREA, "ecker2015": ecker2015.AREA, "marquis2019": marquis2019.AREA}  # m2


def completed(parameters: dict[str, Any], **tables: Any) -> dict[str, Any]:
    """The tables of a run file with these [parameters] and further tables."""
    return complete({"parameters": parameters, **tables}, HERE)[0]


def test_other_run_files_stay_as_they_are() -> None:
    for data in ({}, {"parameters": {"D_L": 1.0}}, {"parameters": 3}, {"cell": {"periods": [1, 1, 1]}}):
        assert complete(data, HERE) == (data, (), None)


@pytest.mark.parametrize("name", SETS)
def test_set_completes_three_lines(name: str) -> None:
    found, notes, _ = complete({"parameters": {"set": name}, "protocol": {"steps": []}}, HERE)
    assert found["parameters"]["origin"] == name
    assert found["parameters"]["units"] == "SI"
    assert "set" not in found["parameters"]
    assert list(found["microstructure"]) == ["negative", "separator", "positive"]
    assert len(found["cell"]["thickness"]) == 3
    assert found["protocol"]["v_min"] == SETS[name].v_min
    assert any("kappa follows" in note for note in notes)
    # what is complete stays as it is
    assert complete(found, HERE) == (found, (), None)


def test_users_keys_win() -> None:
    found = completed(
        {"set": "chen2020", "c_e0": 1200.0, "negative": {"c_s0": 2e4}, "activation": {"G_n": 0.0}},
        microstructure={"positive": {"B": 0.3}},
        protocol={"v_min": 3.0},
        time={"dt": 1.0},
    )
    given = SETS["chen2020"].tables
    assert found["parameters"]["c_e0"] == 1200.0
    assert found["parameters"]["negative"] == given["parameters"]["negative"] | {"c_s0": 2e4}
    assert found["parameters"]["activation"] == {"G_n": 0.0, "G_p": 17800.0}
    assert found["microstructure"]["positive"] == given["microstructure"]["positive"] | {"B": 0.3}
    assert found["protocol"] == {"v_min": 3.0, "v_max": 4.2}
    assert found["time"] == {"dt": 1.0}
    # the sets themselves stay as they are
    assert SETS["chen2020"].tables == given


def test_another_geometry_is_the_users_alone() -> None:
    wavy = {"geometry": "wavy", "w0": 0.3, "w1": 0.1}
    found = completed({"set": "chen2020"}, microstructure={"negative": wavy}, cell={"periods": [4, 1, 4]})
    assert found["microstructure"]["negative"] == wavy
    assert found["microstructure"]["positive"]["geometry"] == "particle"
    assert found["cell"] == {"periods": [4, 1, 4]}
    assert completed({"set": "chen2020"}, microstructure={"tomography": wavy})["microstructure"] == {
        "tomography": wavy
    }


def test_sizes_keep_the_share_of_active_material() -> None:
    """a_i r_i/3 of all sizes together are the active material's volume, as they are of the set's one size."""
    one = completed({"set": "ecker2015"}, microstructure={"negative": {}})["microstructure"]["negative"]
    for sizes in (
        {"radius": [5e-6, 2e-5], "fractions": [0.3, 0.7]},
        {"radius_mean": 1e-5, "radius_std": 4e-6, "sizes": 3},
    ):
        found = completed({"set": "ecker2015"}, microstructure={"negative": sizes})
        spec = Particle.model_validate(found["microstructure"]["negative"])
        volumes = [a * r / 3 for a, r in zip(spec.surfaces, spec.radii, strict=True)]
        assert sum(volumes) == pytest.approx(one["a"] * one["radius"] / 3, rel=1e-12)


def test_radius_keeps_the_share_of_active_material() -> None:
    half = completed(
        {"set": "ecker2015"}, microstructure={"negative": {"geometry": "particle", "radius": 6.85e-6}}
    )
    given = SETS["ecker2015"].microstructure["negative"]
    assert half["microstructure"]["negative"]["a"] == pytest.approx(2 * given["a"], rel=1e-15)
    sizes = {"radius": [6.85e-6, 13.7e-6], "fractions": [0.5, 0.5]}
    two = completed({"set": "ecker2015"}, microstructure={"negative": sizes})["microstructure"]["negative"]
    assert two["a"] == pytest.approx(1.5 * given["a"], rel=1e-14)
    own = completed({"set": "ecker2015"}, microstructure={"negative": {"radius": 6.85e-6, "a": 1e5}})
    assert own["microstructure"]["negative"]["a"] == 1e5


def test_limits_are_left_out_where_the_run_starts_on_them() -> None:
    full = {"negative": {"c_s0": 0.95 * 33133.0}, "positive": {"c_s0": 0.2 * 63104.0}}
    found, notes, _ = complete({"parameters": {"set": "chen2020", **full}, "protocol": {}}, HERE)
    assert found["protocol"] == {"v_min": 2.5}
    assert any("v_max = 4.2 V is not set" in note for note in notes)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"set": "chen2021"}, r"parameters\.set: 'chen2021' is not known \(allowed: \"chen2020\""),
        ({"set": 1}, r"parameters\.set"),
        ({"set": "chen2020", "units": "dimensionless"}, r"parameters\.units: .* in SI"),
        ({"set": "chen2020", "bpx": "pyproject.toml"}, r"parameters\.bpx: .*\.json"),
        ({"set": "chen2020", "soc": 0.5}, r"parameters\.soc: only with bpx"),
        ({"set": "chen2020", "soc": 1.5}, r"parameters\.soc: 1\.5 is out of range"),
    ],
)
def test_refused(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words) as error:
        completed(parameters)
    assert "\n" not in str(error.value)


def test_numbers_of_the_reference_case() -> None:
    """VERIFICATION section 5, `lgm50-1C`, which is Chen et al. (2020)."""
    p = SETS["chen2020"].tables["parameters"]
    assert p["D_L"] == pytest.approx(1.194571969e-10, rel=1e-9)
    assert p["D_A"] == pytest.approx(3.410562837e-10, rel=1e-9)
    assert p["negative"]["K"] == pytest.approx(1.222486551e-9, rel=1e-9)
    assert p["positive"]["K"] == pytest.approx(8.904166133e-9, rel=1e-9)
    assert SETS["chen2020"].capacity == pytest.approx(48.685492, rel=1e-7)


def capacity(s: ParameterSet) -> float:
    """Charge per area between the voltage limits at equilibrium, A h/m2; lithium is conserved."""
    stored, curves = {}, {}
    for name, thickness in zip(("negative", "positive"), (s.thickness[0], s.thickness[2]), strict=True):
        m, e = s.microstructure[name], s.parameters[name]
        stored[name] = m["a"] * m["radius"] / 3 * thickness * e["c_max"]
        curves[name] = Expression.parse(e["ocp"])
    x, y = (s.parameters[name]["c_s0"] / s.parameters[name]["c_max"] for name in ("negative", "positive"))

    def voltage(moved: float) -> float:
        n, p = x - moved / stored["negative"], y + moved / stored["positive"]
        return float(curves["positive"].numpy(c=p) - curves["negative"].numpy(c=n))

    most = min(x * stored["negative"], (1 - y) * stored["positive"])
    least = -min((1 - x) * stored["negative"], y * stored["positive"])
    empty = brentq(lambda q: voltage(q) - s.v_min, 0.0, most * (1 - 1e-9))
    full = brentq(lambda q: voltage(q) - s.v_max, least * (1 - 1e-9), 0.5 * empty)
    return FARADAY * (empty - full) / 3600


@pytest.mark.parametrize(
    ("name", "ampere_hours"), [("chen2020", 5.153), ("ecker2015", 0.1710), ("marquis2019", 0.8728)]
)
def test_capacity_between_the_voltage_limits(name: str, ampere_hours: float) -> None:
    """At equilibrium, of one pair of electrodes; the nominal one, at a finite current, is smaller."""
    assert capacity(SETS[name]) * AREAS[name] == pytest.approx(ampere_hours, rel=2e-4)
    assert capacity(SETS[name]) > SETS[name].capacity


@pytest.mark.parametrize("name", SETS)
def test_electrolyte_has_its_diffusivity_and_transference_number(name: str) -> None:
    e = SETS[name].electrolyte
    D_e, t_plus = 2 * e.D_L * e.D_A / (e.D_L + e.D_A), e.D_L / (e.D_L + e.D_A)
    assert D_e == pytest.approx(e.D_e, rel=1e-14)
    assert t_plus == pytest.approx(e.t_plus, rel=1e-14)
    assert 0.5 < e.implied_kappa / e.kappa < 5
    assert f"{e.kappa:.4g} S/m" in str(e)


@pytest.mark.parametrize("name", SETS)
def test_curves_fall(name: str) -> None:
    """Open-circuit potentials fall with lithium between the limits, and diffusivities are positive."""
    for side in ("negative", "positive"):
        e = SETS[name].parameters[side]
        c = np.linspace(0.05, 0.95, 200)
        assert (np.diff(Expression.parse(e["ocp"]).numpy(c=c)) < 1e-3).all()
        assert (Expression.parse(e["D_s"]).numpy(c=c) > 0).all()
