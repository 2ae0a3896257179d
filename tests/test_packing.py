"""Random packings: porosity, distances, distribution of radii, seeds, what cannot be reached."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.cut import cut_unit_cell
from dfx_homog.microstructure.level_set import SphereUnion
from dfx_homog.microstructure.packing import ACCURACY, GAP, pack, packing
from dfx_homog.microstructure.unitcell import ELECTROLYTE


def spec(**keys: Any) -> Any:
    default = {
        "porosity": 0.5,
        "radius_mean": 5e-6,
        "radius_std": 0.0,
        "cells": 8.0,
        "overlap": 0.0,
        "seed": 1,
    }
    return SimpleNamespace(**(default | keys))


def nearest(centres: Any, radii: Any) -> float:
    """Least |c_i - c_j| / (r_i + r_j) over all pairs and periodic copies."""
    steps = np.array(np.meshgrid(*[[-1, 0, 1]] * 3)).reshape(3, -1).T
    distance = np.linalg.norm(centres[:, None, None] - centres[:, None] - steps, axis=3)
    distance[distance == 0.0] = np.inf
    return float((distance / (radii[:, None] + radii)[..., None]).min())


@pytest.mark.parametrize(("porosity", "std"), [(0.7, 0.0), (0.45, 1.5e-6), (0.4, 0.0)])
def test_hard_balls_keep_the_gap_and_the_porosity(porosity: float, std: float) -> None:
    centres, radii = pack(spec(porosity=porosity, radius_std=std))
    assert nearest(centres, radii) >= (1.0 + GAP) * (1.0 - 1e-12)
    assert 4.0 / 3.0 * np.pi * (radii**3).sum() == pytest.approx(1.0 - porosity, rel=1e-12)
    assert np.all((centres >= 0.0) & (centres < 1.0))


@pytest.mark.parametrize(("porosity", "overlap"), [(0.4, 0.1), (0.2, 0.4)])
def test_overlapping_balls_have_the_porosity_of_their_union(porosity: float, overlap: float) -> None:
    centres, radii = pack(spec(porosity=porosity, overlap=overlap, radius_std=1e-6))
    assert 1.0 - overlap <= nearest(centres, radii) < 1.0
    # an independent estimate: Monte Carlo with a standard deviation below 1.6e-3
    points = np.random.default_rng(0).random((100_000, 3))
    found = float(np.mean(SphereUnion(centres, radii).value(points) > 0.0))
    assert found == pytest.approx(porosity, abs=ACCURACY + 5e-3)


def test_radii_have_the_distribution_that_was_asked_for() -> None:
    found = packing(spec(cells=22.0, radius_std=1e-6, porosity=0.6))
    drawn = found.radii / found.factor * 22.0
    assert len(drawn) > 900
    assert drawn.mean() == pytest.approx(1.0, abs=0.02)
    assert drawn.std() == pytest.approx(0.2, abs=0.02)
    assert np.abs(drawn - 1.0).max() <= 0.6
    assert found.factor == pytest.approx(1.0, abs=0.03)


def test_the_seed_decides_and_scale_enlarges() -> None:
    one, same, other = pack(spec()), pack(spec(seed=9), seed=1), pack(spec(seed=2))
    assert np.array_equal(one[0], same[0]) and np.array_equal(one[1], same[1])
    assert not np.array_equal(one[0], other[0])
    large = pack(spec(), scale=2.0)
    assert len(large[1]) == pytest.approx(8 * len(one[1]), rel=0.02)
    assert large[1].mean() == pytest.approx(0.5 * one[1].mean(), rel=0.01)


@pytest.mark.parametrize(
    ("keys", "words"),
    [({"porosity": 0.3}, "porosity: 0.3 cannot be reached"), ({"cells": 3.0}, "cells")],
)
def test_what_cannot_be_packed_is_named(keys: dict[str, float], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        pack(spec(**keys))


@pytest.mark.parametrize("overlap", [0.0, 0.2])
def test_a_packing_has_a_mesh(overlap: float) -> None:
    """Balls that nearly touch are joined by necks, so the mesh has a little less electrolyte."""
    made = spec(
        geometry="random_spheres", cells=6.0, porosity=0.5, overlap=overlap, mesh_size=1.0 / 18.0, order=2
    )
    cell = cut_unit_cell("packing", made)
    assert 0.46 < cell.phase_fraction(ELECTROLYTE) < 0.505
