"""Strip problems of the wall law: tabulated and exact values, signs by mirroring, convergence in h, ranks."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from wavy import layered, solid, wavy_run

from dfx_homog.errors import BadInput
from dfx_homog.models.excess import StripResistances
from dfx_homog.models.strip import strip_resistances
from dfx_homog.runfile import REGIONS
from dfx_homog.studies.setup import Problem, material

FACES = ("r_e", "r_T", "r_c", "r_s")


def strips(comm: MPI.Comm, *overrides: str, h: float = 0.1, order: int = 2) -> StripResistances:
    """Excess resistances of `wavy-2d` with overrides as for --set."""
    run = wavy_run('cell.lateral="periodic"', *overrides, h=h, order=order)
    problem = Problem(comm, run)
    cells = problem.unit_cells()
    media = problem.effective_media(cells)
    specs = run.microstructure
    return strip_resistances(
        comm,
        tuple(cells[n] for n in REGIONS),
        tuple(material(specs[n]) for n in REGIONS),
        tuple(media[n] for n in REGIONS),
    )


@cache
def wavy(h: float, w2: float = 0.0) -> StripResistances:
    overrides = [f"microstructure.{n}.w2={w2}" for n in ("negative", "positive")] if w2 else []
    return strips(MPI.COMM_SELF, *overrides, h=h)


def test_reference_problem() -> None:
    """VERIFICATION section 2: r_e = 0.360 as h -> 0, sigma_s r_s = 0.0076; a mirror-symmetric cell."""
    found = wavy(0.05)
    assert abs(found.r_e[0] - 0.357) < 2e-3
    assert abs(5.0 * found.r_s[1] - 0.0076) < 1e-4
    for name in ("r_e", "r_T", "r_c"):
        negative, positive = getattr(found, name)
        assert abs(negative - positive) < 1e-8, name
    assert abs(found.r_s[0]) < 1e-9
    assert found.truncation < 1e-10


def test_converges_in_the_mesh() -> None:
    """The corner at the separator has r^(2/3): errors fall by 2^(4/3) when h is halved, to r_e = 0.360."""
    values = [wavy(h).r_e[0] for h in (0.2, 0.1, 0.05)]
    assert values[0] < values[1] < values[2] < 0.361
    limit = values[2] + (values[2] - values[1]) / (2 ** (4 / 3) - 1)
    assert abs(limit - 0.360) < 1.5e-3


def test_unsymmetric_cell_and_its_mirror_image() -> None:
    """r_e = .075 and .642 for w2 = 0.06 (VERIFICATION section 2); mirrored, sides change places."""
    found, image = wavy(0.1, 0.06), wavy(0.1, -0.06)
    assert abs(found.r_e[0] - 0.075) < 0.03
    assert abs(found.r_e[1] - 0.642) < 5e-3
    for name in ("r_e", "r_T", "r_c"):
        assert np.allclose(getattr(found, name), getattr(image, name)[::-1], rtol=0, atol=2e-3), name
    assert abs(found.r_T[0] - found.r_T[1]) > 5e-3
    assert abs(found.r_c[0] - found.r_c[1]) > 5e-3
    # the collectors' conditions differ: Phi_s is given at the negative one
    assert found.r_s[0] > 1e-3


def exact_step(alpha: float) -> float:
    """Excess resistance, for unit flux per area of the face, of channels of width alpha that open into a free space.

    Step in a strip of conductor, by conformal mapping: R = (1/pi) ((alpha^2 + 1)/alpha ln((1 + alpha)/(1 - alpha))
    - 2 ln(4 alpha/(1 - alpha^2))); half a period carries half the current.
    """
    growth = (alpha**2 + 1) / alpha * np.log((1 + alpha) / (1 - alpha))
    return float((growth - 2 * np.log(4 * alpha / (1 - alpha**2))) / (2 * np.pi))


def channels(fraction: float, h: float) -> list[str]:
    """Overrides: straight layers along direction 1 in the electrodes."""
    geometry = f'geometry = "laminate", normal = [0, 1], solid_fraction = {fraction}'
    return [f"microstructure.{n}={solid(geometry, h, 2)}" for n in ("negative", "positive")]


@pytest.mark.parametrize("fraction", [0.5, 0.25])
def test_straight_channels_into_a_free_separator(fraction: float) -> None:
    errors = []
    for h in (0.1, 0.05):
        found = strips(MPI.COMM_SELF, *channels(fraction, h), h=h)
        exact = exact_step(1 - fraction)
        errors.append(abs(found.r_e[0] - exact))
        assert abs(found.r_e[0] - found.r_e[1]) < 5e-5  # the mesh is not mirror symmetric
        # a straight conductor that is contacted over its whole section
        assert np.abs(found.r_s).max() < 1e-10
    assert errors[1] < 0.02 * exact
    assert 2.0 < errors[0] / errors[1] < 3.2  # 2^(4/3) = 2.5


def test_no_wall_is_seen_without_a_change() -> None:
    """Layers that go on through all regions; and phases that conduct heat alike, differently in each region."""
    found = strips(MPI.COMM_SELF, *layered("[0, 1]", 0.2), h=0.2, order=1)
    for name in ("r_e", "r_T", "r_s"):
        assert np.abs(getattr(found, name)).max() < 1e-10, name
    alike = [f"microstructure.{n}.k_s={k}" for n, k in (("negative", 2.0), ("positive", 0.7))]
    alike += [f"microstructure.{n}.k_e={k}" for n, k in zip(REGIONS, (2.0, 0.3, 0.7), strict=True)]
    found = strips(MPI.COMM_SELF, *alike, h=0.2, order=1)
    for name in ("r_T", "r_c"):
        assert np.abs(getattr(found, name)).max() < 1e-10, name
    assert found.r_e[0] > 0.2


def test_only_ratios_of_coefficients_matter() -> None:
    factor = 7.0
    scaled = [f"microstructure.{n}.k_e={0.6 * factor}" for n in REGIONS]
    scaled += [f"microstructure.{n}.k_s={2.0 * factor}" for n in ("negative", "positive")]
    scaled += ["microstructure.positive.sigma_s=35.0"]
    one, other = strips(MPI.COMM_SELF, h=0.2, order=1), strips(MPI.COMM_SELF, *scaled, h=0.2, order=1)
    for name, ratio in (("r_e", 1.0), ("r_T", factor), ("r_c", factor)):
        assert np.allclose(getattr(one, name), ratio * np.array(getattr(other, name)), rtol=1e-8), name
    assert abs(one.r_s[1] - factor * other.r_s[1]) < 1e-10


@pytest.mark.mpi
@pytest.mark.mpi3
def test_does_not_depend_on_the_ranks() -> None:
    overrides = [f"microstructure.{n}.w2=0.06" for n in ("negative", "positive")]
    alone = strips(MPI.COMM_SELF, *overrides, h=0.2, order=1)
    found = strips(MPI.COMM_WORLD, *overrides, h=0.2, order=1)
    for name in FACES:
        assert np.allclose(getattr(alone, name), getattr(found, name), rtol=0, atol=1e-9), name


@pytest.mark.mpi
def test_in_space() -> None:
    """Overlapping balls, mirror symmetric: nothing at the negative collector, a constriction at the positive one."""
    from pathlib import Path

    from dfx_homog.runfile import load

    path = Path(__file__).resolve().parents[1] / "runs" / "delta-3d.toml"
    run = load(path, [f"microstructure.{n}.mesh_size=0.3" for n in REGIONS])
    problem = Problem(MPI.COMM_WORLD, run)
    cells = problem.unit_cells()
    media = problem.effective_media(cells)
    regions: Any = [tuple(source[n] for n in REGIONS) for source in (cells, media)]
    found = strip_resistances(
        problem.comm, regions[0], tuple(material(run.microstructure[n]) for n in REGIONS), regions[1]
    )
    assert abs(found.r_s[0]) < 1e-8
    assert found.r_s[1] > 0.1
    assert abs(found.r_c[0] - found.r_c[1]) < 1e-8
    assert abs(found.r_e[0] / found.r_e[1] - 1) < 0.05


@pytest.mark.mpi
def test_strip_without_a_path() -> None:
    twofold = layered("[0, 2]", 0.2)
    with pytest.raises(BadInput, match="2 parts that do not meet"):
        strips(MPI.COMM_WORLD, *twofold, h=0.2, order=1)
    closed = layered("[0, 1]", 0.2)
    across = solid('geometry = "laminate", normal = [1, 0], solid_fraction = 0.5', 0.2)
    closed[1] = f"microstructure.separator={across}"
    with pytest.raises(BadInput, match="wall_law"):
        strips(MPI.COMM_WORLD, *closed, h=0.2, order=1)
