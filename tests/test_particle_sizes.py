"""Particles of several sizes: against one size and independent spheres; lognormal distributions."""

from __future__ import annotations

import numpy as np
import pytest
from mpi4py import MPI
from test_dfn import lgm50
from test_particle import A0, ELECTRODE, GAMMA, LAM, begun, relative, scalars
from test_variable_diffusion import VARIES
from wavy import build, follow, largest_difference

from dfx_homog.dimensionless.physics import Electrode
from dfx_homog.errors import BadInput
from dfx_homog.models.particle import ParticleProblems
from dfx_homog.models.radial import sphere_geometry
from dfx_homog.parameters.sizes import lognormal
from dfx_homog.runfile import Run
from dfx_homog.runfile.given import Particle
from dfx_homog.studies.setup import Problem

R = 5.86e-6  # m, of lgm50's negative electrode
SHORT = (
    "protocol.steps=[{current=48.685492, duration=340.0}]",
    "time.adaptive=false",
    "time.dt=34.0",
    "output.times=[340.0]",
    "homogenised.elements=5",
)


def sized(*overrides: str, **keys: object) -> Run:
    """The twin of `lgm50-1C` for 340 s with the negative electrode's particles given by other keys, radii in R."""
    scaled = {
        key: [R * r for r in value] if isinstance(value, list) else R * value  # type: ignore[operator]
        for key, value in keys.items()
        if key.startswith("radius")
    }
    base = lgm50().microstructure["negative"].model_dump(exclude_unset=True)
    base.pop("radius")
    words = ", ".join(f"{k} = {v!r}".replace("'", '"') for k, v in {**base, **keys, **scaled}.items())
    run = lgm50(*SHORT, f"microstructure.negative={{{words}}}", *overrides)
    return Problem(MPI.COMM_SELF, run).scaled({}).run


def run_of(run: Run) -> tuple[object, list[np.ndarray]]:
    """History, and the concentrations of both electrodes at the end."""
    model = build(run, "homogenised", MPI.COMM_SELF)
    result, c = follow(model, run), [points.particles.c for points in model.points]
    model.destroy()
    return result, c


@pytest.mark.parametrize("D_s", ["3.3e-14", "'1e-14*(2 + 3*c)'"])
def test_one_size_in_two_halves(D_s: str) -> None:
    change = f"parameters.negative.D_s={D_s}"
    one, c = run_of(sized(change, radius=1.0))
    two, halves = run_of(sized(change, radius=[1.0, 1.0], fractions=[0.25, 0.75]))
    assert largest_difference(one, two, ("voltage", "c_e_max", "soc_n", "soc_p")) < 1e-12  # type: ignore[arg-type]
    for half in np.split(halves[0], 2, axis=1):
        assert np.abs(half - c[0]).max() < 1e-12 * c[0].max()


@pytest.mark.parametrize("electrode", [ELECTRODE, VARIES])
def test_sizes_are_independent(electrode: Electrode) -> None:
    """At given potentials a mixture gives the sum of what its sizes give alone, and each has its own concentration."""
    surfaces, radii = (0.5, 1.2, 0.3), (0.4, 1.0, 2.5)
    together, d_hist = begun(sphere_geometry("negative", surfaces, radii), 10, electrode)
    p, blocks = scalars(10, spread=0.5), np.split(together.c, 3, axis=1)
    response = together.evaluate(*p)
    alone = []
    for a, radius, c in zip(surfaces, radii, blocks, strict=True):
        problems = ParticleProblems(sphere_geometry("negative", a, radius), electrode, LAM, GAMMA, 10)
        problems.c = c
        problems.begin_step(A0, A0 * c, d_hist)
        alone.append((problems.evaluate(*p), problems.finish_step()))
    assert response.complaint() is None
    for name in ("J", "faradaic", "q", "dJ", "dq"):
        assert relative(getattr(response, name), sum(getattr(r, name) for r, _ in alone)) < 1e-11
    assert relative(together.finish_step(), np.concatenate([c for _, c in alone], axis=1)) < 1e-12


@pytest.mark.mpi
@pytest.mark.mpi3
def test_small_particles_are_first() -> None:
    """In discharge small particles of the negative electrode are emptied first; lithium and charge are kept."""
    radii = [0.4, 1.0, 2.0]
    run = sized(radius=radii, fractions=[0.2, 0.5, 0.3])
    model = build(run, "homogenised")
    result, mass = follow(model, run), model.points[0].particles.geometry.mass
    for points in model.points[:1]:
        sums = [block.sum(axis=1) for block in np.split(points.particles.c * mass, 3, axis=1)]
        means = [s / m.sum() for s, m in zip(sums, np.split(mass, 3), strict=True)]
        assert (means[0] < means[1]).all() and (means[1] < means[2]).all()
    model.destroy()
    assert conserves_without_heat(result)
    alone, _ = run_of(run)
    assert largest_difference(result, alone, ("voltage", "c_e_max", "soc_n", "soc_p")) < 1e-9  # type: ignore[arg-type]


def conserves_without_heat(result: object) -> bool:
    rows = result.rows[1:]  # type: ignore[attr-defined]
    return max(max(row["lithium_error"], row["charge_error"]) for row in rows) < 1e-10


def test_lognormal() -> None:
    """Mean, variance and the surface's 1/r by volume, against the distribution's own moments exp(k m + k^2 s^2/2)."""
    mean, std = 5e-6, 2e-6
    radii, shares = (np.array(v) for v in lognormal(mean, std, 9))
    s2 = np.log1p((std / mean) ** 2)
    m = np.log(mean) - s2 / 2
    assert shares.sum() == pytest.approx(1.0, rel=1e-14)
    for k in (1, 2, -1):
        assert (shares * radii**k).sum() == pytest.approx(np.exp(k * m + k**2 * s2 / 2), rel=1e-9)


def test_narrow_distribution_is_its_mean() -> None:
    one, _ = run_of(sized(radius=1.2))
    wide = [run_of(sized(radius_mean=1.2, radius_std=s, sizes=4))[0] for s in (0.4, 0.04, 0.004)]
    distance = [largest_difference(one, r, ("voltage",)) for r in wide]  # type: ignore[arg-type]
    # second order in the width
    assert distance[0] > 1e-4 and distance[1] < 0.05 * distance[0] and distance[2] < 0.05 * distance[1]


def test_surfaces_of_the_run_file() -> None:
    """a_i = 3 f_i (1 - phi_e)/r_i; a total is shared alike; a list is taken as it is."""

    def spec(**keys: object) -> Particle:
        numbers = {"phi_e": 0.4, "B": 0.5, "S": 1.0, "K": 1.0, "theta": 1.0}
        return Particle.model_validate({"geometry": "particle", **numbers, **keys})

    both = {"radius": [0.5, 2.0], "fractions": [0.4, 0.6]}
    assert spec(radius=0.5).surfaces == pytest.approx((3.6,))
    assert spec(**both).surfaces == pytest.approx((1.44, 0.54))
    assert spec(**both, a=0.99).surfaces == pytest.approx((0.72, 0.27))
    assert spec(**both, a=[1.0, 3.0]).surfaces == (1.0, 3.0)
    assert spec(**both).mean_radius == pytest.approx(1.4)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"radius": [1.0, 2.0]}, "fractions: required with a list"),
        ({"radius": [1.0, 2.0], "fractions": [0.5, 0.4]}, "fractions: sum up to 0.9"),
        ({"radius": [1.0, 2.0], "fractions": [1.0]}, "fractions: has 1 entries, radius 2"),
        ({"radius": 1.0, "fractions": [1.0]}, "fractions: has"),
        ({"radius": [1.0, 2.0], "fractions": [0.5, 0.5], "a": [1.0]}, "a: has 1 entries for 2 sizes"),
        ({"radius": 1.0, "radius_mean": 1.0, "radius_std": 0.1}, "radius: not with radius_mean"),
        ({"radius_mean": 1.0}, "radius_std: required with radius_mean"),
        ({"sizes": 3}, "radius_mean: required with sizes"),
        ({"radius": [1.0, -2.0], "fractions": [0.5, 0.5]}, "radius: "),
    ],
)
def test_refused(keys: dict[str, object], says: str) -> None:
    with pytest.raises(BadInput, match=f"microstructure.negative.{says}"):
        sized(**keys)
