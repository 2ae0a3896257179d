"""Means, confidence, order and RVE size from samples whose statistics are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dfx_homog.studies.rve_statistics import check_order, estimate, summary

EYE = np.eye(3)


def sample(size: float, realisation: int, value: Any, condition: str = "periodic") -> dict[str, Any]:
    tensor = value * EYE if np.ndim(value) == 0 else np.asarray(value)
    lists = [[None if np.isnan(v) else float(v) for v in row] for row in tensor]
    return {
        "microstructure": "a",
        "size": size,
        "realisation": realisation,
        "condition": condition,
        "tensor": lists,
        "phi_e": 0.4,
    }


def test_mean_and_confidence() -> None:
    """Student's t with 3 degrees of freedom: 3.182446 at 97.5 %."""
    values = [1.0, 2.0, 3.0, 6.0]
    rows = summary([sample(1, i, v) for i, v in enumerate(values)] + [sample(2, 0, 5.0)])
    assert [(r["size"], r["n"]) for r in rows] == [(1, 4), (2, 1)]
    spread = np.std(values, ddof=1)
    assert np.array(rows[0]["mean"]) == pytest.approx(3 * EYE)
    assert rows[0]["ci95"][1][1] == pytest.approx(3.182446 * spread / 2, rel=1e-6)
    assert rows[1]["std"][0][0] is None and rows[1]["ci95"][0][0] is None and rows[1]["mean"][2][2] == 5


def test_entries_that_do_not_exist_stay_so() -> None:
    through = np.diag([1.0, 2.0, 3.0])
    through[through == 0] = np.nan
    row = summary([sample(1, i, through * (1 + i), "through") for i in range(2)])[0]
    assert row["mean"][0] == [1.5, None, None] and row["ci95"][2][1] is None and row["ci95"][2][2] > 0


def test_order_is_that_of_quadratic_forms() -> None:
    """Every diagonal entry in order is not enough."""
    low = np.diag([1.0, 1.0, 1.0])
    high = np.array([[1.2, 0.5, 0.0], [0.5, 1.2, 0.0], [0.0, 0.0, 2.0]])
    good = [sample(1, 0, low, "flux"), sample(1, 0, 1.1 * low), sample(1, 0, 1.2 * high + low, "dirichlet")]
    bad = [sample(1, 1, low, "flux"), sample(1, 1, high, "dirichlet")]
    alone = [sample(1, 2, low, "flux"), sample(1, 2, low, "through")]
    rows = check_order(good + bad + alone)
    assert [r["realisation"] for r in rows] == [0, 1]
    assert rows[0]["holds"] and rows[0]["worst"] == pytest.approx(0.1 / 3.4)
    assert not rows[1]["holds"] and rows[1]["worst"] == pytest.approx(-0.3 / 2)


def test_scaling_of_the_variance() -> None:
    """Samples made with var = R phi (1 - phi)/V, R = 0.02: alpha, R and the size for 5 % come out."""
    rng, integral_range, n = np.random.default_rng(1), 0.02, 4000
    samples = [
        sample(size, i, 0.5 + np.sqrt(0.24 * integral_range / size**3) * z)
        for size in (1.0, 1.5, 2.0)
        for i, z in enumerate(rng.standard_normal(n))
    ]
    (row,) = estimate(samples, 0.05, (1.0, 0.0))
    assert row["reason"] is None
    assert row["alpha"] == pytest.approx(1, abs=4 * row["alpha_error"]) and row["alpha_error"] < 0.03
    assert row["integral_range"] == pytest.approx(integral_range, rel=0.1)
    exact = (0.24 * integral_range * (1.96 / 0.025) ** 2) ** (1 / 3)
    assert row["size"] == pytest.approx(exact, rel=0.05)
    assert row["extrapolated"] is (not 1 <= row["size"] <= 2)
    assert row["size_alpha_1"] == pytest.approx(exact, rel=0.02)
    needed = [r["needed"] for r in row["realisations"]]
    assert needed == pytest.approx([exact**3 / s**3 for s in (1, 1.5, 2)], abs=2)


def test_what_the_faces_do_falls_with_size() -> None:
    """Means 3 (1 + 0.2/size): within 5 % from size 4 on; no scatter is needed for that."""
    samples = [sample(s, i, 3 * (1 + 0.2 / s)) for s in (1, 2, 5) for i in range(s)]
    (row,) = estimate(samples, 0.05, None)
    assert row["limit"] == pytest.approx(3) and row["boundary_effect"] == pytest.approx(0.2)
    assert row["size_bias"] == pytest.approx(4)
    assert estimate(samples[:1], 0.05, None)[0]["size_bias"] is None


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ([sample(1, i, 1.0 + i) for i in range(5)], "two sizes"),
        ([sample(s, i, 1.0 + i) for s in (1, 2) for i in range(2)], "two sizes"),
        ([sample(s, i, 0.0) for s in (1, 2) for i in range(3)], "zero"),
        ([sample(s, i, 1.0) for s in (1, 2) for i in range(3)], "do not scatter"),
        ([sample(s, i, 1.0 + s * i) for s in (1, 2) for i in range(3)], "does not fall"),
    ],
)
def test_no_estimate_without_the_data_for_it(samples: list[dict[str, Any]], reason: str) -> None:
    (row,) = estimate(samples, 0.05, None)
    assert reason in row["reason"] and row["size"] is None and row["integral_range"] is None
