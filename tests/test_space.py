"""The models in three dimensions: separators that fit electrodes, particles of balls, conservation, delta."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mpi4py import MPI
from wavy import build, follow, wavy_run

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.extrude import extrude_face, fits
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.models.fields import quadrature_degrees
from dfx_homog.models.particle_geometry import particle_geometry
from dfx_homog.runfile import REGIONS, Run
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies.convergence import run_convergence
from dfx_homog.studies.setup import Problem
from dfx_homog.studies.unit_cells import build_unit_cell

WORLD = MPI.COMM_WORLD


def balls(order: int = 1, mesh_size: float = 0.25, radius: float = 0.55) -> UnitCell:
    spec = SimpleNamespace(
        geometry="spheres",
        lattice="sc",
        radius=radius,
        centres=None,
        radii=None,
        mesh_size=mesh_size,
        order=order,
    )
    return build_unit_cell("balls", spec, WORLD)


def balls_run(
    *overrides: str, mesh_size: float = 0.3, order: int = 1, steps: int = 2, radius: float = 0.55
) -> Run:
    """The reference problem with overlapping balls in both electrodes."""
    data = wavy_run(*overrides, steps=steps).model_dump(by_alias=True, exclude_none=True)
    common = {"mesh_size": mesh_size, "order": order}
    for name, r in (("negative", 0.55), ("positive", radius)):
        for key in ("w0", "w1", "w2"):
            del data["microstructure"][name][key]
        data["microstructure"][name] |= {"geometry": "spheres", "lattice": "sc", "radius": r, **common}
    data["microstructure"]["separator"] |= {"dim": 3, **common}
    return Run.model_validate(data)


@pytest.mark.mpi
@pytest.mark.parametrize("order", [1, 2])
def test_a_separator_fits_its_electrode(order: int) -> None:
    cell = balls(order)
    separator = extrude_face("separator", cell, 0.3)
    separator.check()
    assert fits(cell, separator) and fits(separator, cell)
    assert separator.min_jacobian() > 0.5
    assert separator.phase_fraction(ELECTROLYTE) == pytest.approx(1.0, abs=1e-12)
    assert not fits(cell, balls(order, mesh_size=0.2))
    # layers of 1/ceil(1/0.3)
    vertices = np.unique(separator.points[separator.cells[:, :4], 0])
    np.testing.assert_allclose(vertices, np.linspace(0, 1, 5), atol=1e-15)


@pytest.mark.mpi
@pytest.mark.parametrize("order", [1, 2])
def test_particle_of_balls(order: int) -> None:
    """Volume, surface and the constants that diffusion does not see; a linear c has the right energy per volume."""
    cell = balls(order)
    geometry = particle_geometry(cell, *quadrature_degrees(order))
    assert geometry.volume == pytest.approx(cell.phase_fraction(SOLID), rel=1e-12)
    # a curved facet's area is integrated by the model's rule here, by a finer one in the unit cell
    assert geometry.surface == pytest.approx(cell.interface_measure(), rel=1e-12 if order == 1 else 1e-4)
    ones = np.ones(geometry.M.shape[0])
    np.testing.assert_allclose(geometry.K @ ones, 0, atol=1e-13)
    z = np.zeros_like(ones)
    inner = geometry.solid_nodes >= 0
    z[geometry.solid_nodes[inner]] = np.sin(2 * np.pi * cell.points[inner, 0])
    energy = z @ geometry.K @ z / (4 * np.pi**2 * (0.5 * geometry.volume))
    assert energy == pytest.approx(1.0, rel=0.25)


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize(("model", "radius"), [("resolved", 0.55), ("resolved", 0.6), ("homogenised", 0.6)])
def test_conservation(model: str, radius: float) -> None:
    """Lithium, charge and energy to rounding, and the same voltage on any number of ranks, equal electrodes or not."""
    run = balls_run(radius=radius)
    built = build(run, model)
    result = follow(built, run)
    built.destroy()
    checks = result.checks()
    assert checks["lithium_error"] < 1e-12
    assert checks["charge_error"] < 1e-11
    assert checks["energy_error"] < 1e-10
    assert checks["newton_max"] <= 4
    alone = build(run, model, MPI.COMM_SELF)
    reference = follow(alone, run)
    alone.destroy()
    assert result.rows[-1]["voltage"] == pytest.approx(reference.rows[-1]["voltage"], abs=1e-9)


def test_separators_between_different_electrodes() -> None:
    """Balls that touch no face stay as they are in every period; solid that meets the faces cannot be fitted."""
    run = balls_run(radius=0.6)
    data = run.model_dump(by_alias=True, exclude_none=True)
    data["microstructure"]["separator"] = data["microstructure"]["negative"] | {"radius": 0.35}
    cells = Problem(MPI.COMM_SELF, Run.model_validate(data)).unit_cells()
    negative, separator, positive = (cells[name] for name in REGIONS)
    closing = separator.closing
    assert closing is not None and separator.phase_fraction(SOLID) > 0.13
    assert closing.phase_fraction(SOLID) == pytest.approx(separator.phase_fraction(SOLID), rel=1e-12)
    assert fits(negative, separator) and fits(separator, closing) and fits(closing, positive)
    data["microstructure"]["separator"]["radius"] = 0.52
    with pytest.raises(BadInput, match=r"separator.geometry: its solid meets the unit cell's faces"):
        Problem(MPI.COMM_SELF, Run.model_validate(data)).unit_cells()


@pytest.mark.slow
@pytest.mark.mpi
def test_study_with_different_electrodes(tmp_path: Path) -> None:
    """Balls and a level set, N = 3 (the separator is the closing unit cell alone) and 6: V tends to the limit."""
    out = WORLD.bcast(tmp_path, root=0)
    data = balls_run("cell.periods=[1,1,1]", "convergence.periods=[[1,1,1],[2,2,2]]", steps=1).model_dump(
        by_alias=True, exclude_none=True
    )
    positive = {k: v for k, v in data["microstructure"]["positive"].items() if k not in ("lattice", "radius")}
    surface = {"geometry": "level_set", "expression": "cos(2*pi*x) + cos(2*pi*y) + cos(2*pi*z)"}
    data["microstructure"]["positive"] = positive | surface
    run_convergence(Run.model_validate(data), out, RunOptions(out, quiet=True))
    result = json.loads((out / "result.json").read_text())
    coarse, fine = (abs(level["voltage_error"]) for level in result["levels"])
    assert fine < 0.7 * coarse
    assert max(level["checks"]["lithium_error"] for level in result["levels"]) < 1e-12


@pytest.mark.slow
@pytest.mark.mpi
def test_delta_in_space(tmp_path: Path) -> None:
    """N = 5, 10, 20: Richardson's limit is the homogenised model, order one in L2, iterations that do not grow."""
    out = WORLD.bcast(tmp_path, root=0)
    run = balls_run("convergence.periods=[[2,1,2],[4,2,4],[8,4,8]]", steps=10)
    run_convergence(run, out, RunOptions(out, quiet=True))
    result = json.loads((out / "result.json").read_text())
    assert abs(result["richardson_difference"]["voltage"]) < 5e-5
    for field in ("Phi_e", "c_e", "c_s"):
        assert result["orders"][field]["l2"][-1] > 0.9
    for field in ("Phi_s", "Phi_e", "c_e", "T"):
        assert result["orders"][field]["h1_corrected_interior"][-1] == pytest.approx(1.0, abs=0.1)
    krylov = [level["checks"]["krylov_mean"] for level in result["levels"]]
    assert krylov[-1] < 1.3 * krylov[0]
