"""Every family of unit cells that percolates, as an electrode of the resolved model: it runs and conserves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from wavy import conserves, simulate, wavy_run

from dfx_homog.errors import BadInput
from dfx_homog.runfile import ELECTRODES, Run
from dfx_homog.runfile.require import require
from dfx_homog.studies.check import describe, tile_unknowns
from dfx_homog.studies.setup import Problem

MATERIAL = {"sigma_s": 10.0, "k_s": 2.0, "k_e": 0.6, "rho_cp_s": 1.5, "rho_cp_e": 1.0}
SCHWARZ = "cos(2*pi*x) + cos(2*pi*y) + cos(2*pi*z)"
GYROID = "sin(2*pi*x)*cos(2*pi*y) + sin(2*pi*y)*cos(2*pi*z) + sin(2*pi*z)*cos(2*pi*x)"

#: Electrodes by name: keys of both.
PLANE: dict[str, dict[str, Any]] = {
    "wavy": {"geometry": "wavy", "w0": 0.25, "w1": 0.1, "w2": 0.05},
    "laminate": {"geometry": "laminate", "normal": [0, 1], "solid_fraction": 0.5},
    "slanted laminate": {"geometry": "laminate", "normal": [1, 1], "solid_fraction": 0.4},
    "disks": {"geometry": "disks", "centres": [[0.25, 0.5], [0.75, 0.5]], "radii": [0.3, 0.3]},
    "gaussian field": {
        "geometry": "gaussian_field",
        "porosity": 0.5,
        "correlation_length": 2.0,
        "voxels": 16,
        "seed": 30,
    },
}
SPACE: dict[str, dict[str, Any]] = {
    "laminate": {"geometry": "laminate", "normal": [0, 1, 0], "solid_fraction": 0.5},
    "sc": {"geometry": "spheres", "lattice": "sc", "radius": 0.55},
    "bcc": {"geometry": "spheres", "lattice": "bcc", "radius": 0.48},
    "fcc": {"geometry": "spheres", "lattice": "fcc", "radius": 0.38},
    "ball chain": {
        "geometry": "spheres",
        "centres": [[0.35, 0.5, 0.5], [0.85, 0.5, 0.5], [0.5, 0.12, 0.12]],
        "radii": [0.3, 0.3, 0.1],
    },
    "schwarz": {"geometry": "level_set", "expression": SCHWARZ, "threshold": 0.0},
    "gyroid": {"geometry": "level_set", "expression": GYROID, "threshold": 0.0},
    "random spheres": {
        "geometry": "random_spheres",
        "porosity": 0.45,
        "radius_mean": 1.0,
        "cells": 4.0,
        "overlap": 0.15,
        "seed": 1,
        "mesh_size": 0.15,
    },
    "voxelised spheres": {
        "geometry": "random_spheres",
        "porosity": 0.45,
        "radius_mean": 1.0,
        "cells": 4.0,
        "overlap": 0.15,
        "seed": 1,
        "voxels": 12,
    },
    "gaussian field": {
        "geometry": "gaussian_field",
        "porosity": 0.5,
        "correlation_length": 2.0,
        "voxels": 8,
        "seed": 0,
    },
}
#: Families whose meshes are finer than the others'.
SLOW = ("bcc", "random spheres", "voxelised spheres")


def family_run(*overrides: str, dim: int, separator: dict[str, Any] | None = None, **electrode: Any) -> Run:
    """The reference problem over two steps with one family in both electrodes, one unit cell through each region."""
    short = ["cell.periods=[1,1,1]", "convergence.periods=[[1,1,1],[2,2,2]]"]
    data = wavy_run(*short, *overrides, steps=2).model_dump(by_alias=True, exclude_none=True)
    size = {} if "voxels" in electrode else {"mesh_size": 0.2 if dim == 2 else 0.3}
    if electrode["geometry"] in ("laminate", "gaussian_field"):
        electrode["dim"] = dim
    for name in ELECTRODES:
        data["microstructure"][name] = {**MATERIAL, **size, **electrode}
    pores = {"geometry": "electrolyte", "dim": dim, "mesh_size": 0.3, "k_e": 0.6, "rho_cp_e": 1.0}
    data["microstructure"]["separator"] = separator or pores
    return Run.model_validate(data)


@pytest.mark.mpi
@pytest.mark.parametrize("lateral", ["periodic", "insulated"])
@pytest.mark.parametrize("name", PLANE)
def test_families_of_the_plane(name: str, lateral: str) -> None:
    run = family_run(f'cell.lateral="{lateral}"', "cell.lateral_periods=[2]", dim=2, **PLANE[name])
    if (name, lateral) == ("slanted laminate", "insulated"):
        with pytest.raises(BadInput, match="its solid does not percolate in direction 1"):
            simulate(run)
        return
    assert conserves(simulate(run))


@pytest.mark.mpi
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in SPACE])
def test_families_of_space(name: str) -> None:
    assert conserves(simulate(family_run(dim=3, **SPACE[name])))


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("lateral", ["periodic", "insulated"])
def test_porous_separators(dim: int, lateral: str) -> None:
    """Inert solid in the separator, whose pores meet pores and solid of the electrodes."""
    electrode = PLANE["laminate"] if dim == 2 else SPACE["sc"]
    separator = {**MATERIAL, **electrode, "mesh_size": 0.2 if dim == 2 else 0.3, "sigma_s": 1.0}
    run = family_run(f'cell.lateral="{lateral}"', dim=dim, separator=separator, **electrode)
    assert conserves(simulate(run))


def square_mesh(path: Path) -> None:
    """A gmsh file of the unit square: solid between z2 = 1/4 and 3/4."""
    import gmsh

    from dfx_homog.microstructure.gmsh_model import session

    with session("square"):
        n = 4
        nodes = np.array([(i / n, j / n, 0.0) for j in range(n + 1) for i in range(n + 1)])
        surfaces = [gmsh.model.addDiscreteEntity(2) for _ in range(2)]
        gmsh.model.mesh.addNodes(2, surfaces[0], range(1, len(nodes) + 1), nodes.ravel())
        for surface, rows, name in ((surfaces[0], (1, 2), "solid"), (surfaces[1], (0, 3), "electrolyte")):
            triangles = []
            for j in rows:
                for i in range(n):
                    a = 1 + i + j * (n + 1)
                    triangles += [a, a + 1, a + n + 2, a, a + n + 2, a + n + 1]
            gmsh.model.mesh.addElementsByType(surface, 2, [], triangles)
            gmsh.model.addPhysicalGroup(2, [surface], name=name)
        gmsh.write(str(path))


def test_meshes_from_files(tmp_path: Path) -> None:
    """A straight channel from a file has the voltage of the image of the same channel."""
    square_mesh(tmp_path / "square.msh")
    labels = np.zeros((4, 4), dtype=np.uint8)
    labels[:, 1:3] = 1
    np.save(tmp_path / "square.npy", labels)
    data = family_run(dim=2, **PLANE["wavy"]).model_dump(by_alias=True, exclude_none=True)
    found = []
    for keys in (
        {"geometry": "mesh", "file": str(tmp_path / "square.msh")},
        {"geometry": "image", "file": str(tmp_path / "square.npy"), "solid": [1]},
    ):
        data["microstructure"] |= dict.fromkeys(ELECTRODES, MATERIAL | keys)
        run = Run.model_validate(data)
        require(run, "convergence")
        found.append(simulate(run, comm=MPI.COMM_SELF))
    assert all(conserves(result) for result in found)
    assert found[0].rows[-1]["voltage"] == pytest.approx(found[1].rows[-1]["voltage"], abs=1e-3)


def test_check_counts_in_space_and_says_what_models_would_refuse() -> None:
    """Unknowns of the model itself; a refusal of the models does not make the run file wrong."""
    run = family_run("parameters.isothermal=true", dim=3, **SPACE["sc"])
    cells = Problem(MPI.COMM_SELF, run).unit_cells()
    said = describe(run)
    found = re.search(r"resolved, delta = 1/3: about (\d+) unknowns, iterative solver, memory about", said)
    assert found is not None
    each = [
        tile_unknowns(cells[n], inert=n == "separator", isothermal=True)
        for n in ("negative", "separator", "positive")
    ]
    assert int(found[1]) == sum(each)
    built = Problem(MPI.COMM_SELF, run).resolved(cells, (1, 1, 1))
    # the domain has two ends, and the faces between regions belong to both in part
    assert built.dofs == pytest.approx(sum(each), rel=0.15)
    built.destroy()
    separator = {**MATERIAL, **SPACE["sc"], "radius": 0.57, "mesh_size": 0.3}
    said = describe(family_run(dim=3, separator=separator, **SPACE["sc"]))
    assert "not resolved: microstructure.separator.geometry: its solid meets the unit cell's faces" in said
    assert "suits: cell\n" in said
    image = describe(family_run(dim=2, **PLANE["gaussian field"]))
    assert "corrected (Crofton)" in image and "carries heat only" in image
