"""Meso domains from gmsh files: the box again, other shapes, ranks, files that are refused."""

from __future__ import annotations

from pathlib import Path

import gmsh
import numpy as np
import pytest
from meso_cell import TABS, B, K, S, meso_run
from mpi4py import MPI
from wavy import build, conserves, largest_difference, simulate

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.gmsh_model import session
from dfx_homog.runfile import require

COLUMNS = ("voltage", "T_mean", "T_max", "c_e_min", "c_e_max", "soc_n", "plating_min")
ENDS = (0.0, 0.4, 0.6, 1.0)
TENSORS = {"S": S, "B": B, "K": K}
BOX = ('cell.lateral="insulated"', "cell.lateral_size=[0.8]")


def write_mesh(
    path: Path,
    *,
    quads: bool = True,
    size: float = 3.0,
    depth: int = 0,
    divisions: int = 2,
    leave_out: str = "",
    tab_at: int = 1,
) -> None:
    """A box 1 x 0.8 (x 0.5) times `size`, in halves across, tabs at its lower (negative) and upper half."""
    with session("test"):
        geo = gmsh.model.geo
        points = [[geo.addPoint(size * y1, size * y2, 0.0) for y2 in (0.0, 0.4, 0.8)] for y1 in ENDS]
        along = [[geo.addLine(points[i][j], points[i + 1][j]) for j in range(3)] for i in range(3)]
        up = [[geo.addLine(points[i][j], points[i][j + 1]) for j in range(2)] for i in range(4)]
        for line in [c for row in along for c in row] + [c for row in up for c in row]:
            geo.mesh.setTransfiniteCurve(line, divisions + 1)
        faces = []
        for i in range(3):
            for j in range(2):
                loop = geo.addCurveLoop([along[i][j], up[i + 1][j], -along[i][j + 1], -up[i][j]])
                face = geo.addPlaneSurface([loop])
                geo.mesh.setTransfiniteSurface(face)
                if quads:
                    geo.mesh.setRecombine(2, face)
                faces.append(face)
        dim, bodies, tabs = 2, faces, (up[0][0], up[3 * tab_at + 0][1])
        if depth:
            dim, bodies = 3, []
            sides = {}
            for face, (i, j) in zip(faces, [(i, j) for i in range(3) for j in range(2)], strict=True):
                found = geo.extrude([(2, face)], 0, 0, 0.5 * size, numElements=[depth], recombine=quads)
                bodies.append(found[1][1])
                sides[i, j] = [tag for _, tag in found[2:]]  # over along, up, along, up
            tabs = (sides[0, 0][3], sides[2, 1][1])
        geo.synchronize()
        for r, name in enumerate(("negative", "separator", "positive")):
            gmsh.model.addPhysicalGroup(dim, bodies[2 * r : 2 * r + 2], name=name)
        for name, tab in zip(("negative_tab", "positive_tab"), tabs, strict=True):
            if name != leave_out:
                gmsh.model.addPhysicalGroup(dim - 1, [tab], name=name)
        gmsh.model.mesh.generate(dim)
        gmsh.write(str(path))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a mesh file goes, on all ranks."""
    return MPI.COMM_WORLD.bcast(tmp_path, root=0) / "cell.msh"


def written(path: Path, **keys: object) -> None:
    if MPI.COMM_WORLD.rank == 0:
        write_mesh(path, **keys)  # type: ignore[arg-type]
    MPI.COMM_WORLD.barrier()


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("depth", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_box_of_quadrilaterals_or_hexahedra_is_the_box(file: Path, depth: int) -> None:
    """The same numbers as linear elements on the tensor grid, at any scale of the file, on any number of ranks."""
    written(file, depth=depth)
    tensors = {} if depth else TENSORS
    here = simulate(meso_run(f'homogenised.mesh="{file}"', BOX[0], **tensors), "homogenised")
    assert conserves(here)
    tabs = list(TABS[3:])
    size, across = "[0.8]", "[4]"
    if depth:
        size, across = "[0.8, 0.5]", "[4, 1]"
        tabs = [t.replace("]]", "], [0.0, 0.5]]") for t in tabs]
    box = (
        BOX[0],
        f"cell.lateral_size={size}",
        f"homogenised.lateral_elements={across}",
        *tabs,
        "homogenised.order=1",
        f"homogenised.dim={3 if depth else 2}",
    )
    same = simulate(meso_run(*box, elements=2, **tensors), "homogenised", MPI.COMM_SELF)
    assert largest_difference(here, same, COLUMNS) < 1e-9


@pytest.mark.mpi
@pytest.mark.mpi3
def test_triangles(file: Path) -> None:
    """Conserved, the same on any number of ranks, and near to the box."""
    written(file, quads=False, divisions=8)
    run = meso_run(f'homogenised.mesh="{file}"', "parameters.h_lateral='0.3*(1 + y2)'", BOX[0], **TENSORS)
    here, alone = simulate(run, "homogenised"), simulate(run, "homogenised", MPI.COMM_SELF)
    assert conserves(here)
    assert largest_difference(here, alone, COLUMNS) < 1e-9
    run = meso_run(
        *TABS, "parameters.h_lateral='0.3*(1 + y2)'", "homogenised.lateral_elements=[16]", **TENSORS
    )
    box = simulate(run, "homogenised", MPI.COMM_SELF)
    assert largest_difference(here, box, COLUMNS) < 1e-2


@pytest.mark.mpi
def test_ranks_have_equal_shares_of_the_particles(file: Path) -> None:
    written(file, quads=False, divisions=12)
    model = build(meso_run(f'homogenised.mesh="{file}"', BOX[0]), "homogenised")
    counts = np.array(MPI.COMM_WORLD.allgather(sum(len(p.nodes) for p in model.points)))
    model.destroy()
    assert counts.max() < 1.25 * counts.mean()


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("keys", "more", "says"),
    [
        ({"leave_out": "positive_tab"}, (), "no physical group positive_tab of dimension 1"),
        ({"tab_at": 0}, (), "positive_tab is not on the surface of positive"),
        ({}, ("cell.tab_negative=[[0.0, 0.1]]",), "cell.tab_negative: homogenised.mesh has it"),
        ({}, ("parameters.h_lateral='y2 - 0.5'",), "h_lateral: is negative or not finite"),
        ({}, ("parameters.h='y3'",), "does not know y3"),
        ({"depth": 1}, (), "has 3 dimensions, the effective tensors 2"),
    ],
)
def test_refused(file: Path, keys: dict[str, object], more: tuple[str, ...], says: str) -> None:
    written(file, **keys)
    run = meso_run(f'homogenised.mesh="{file}"', BOX[0], *more, **TENSORS)

    def use() -> None:
        require(run, "homogenised")
        build(run, "homogenised").destroy()

    with pytest.raises(BadInput) as caught:
        use()
    assert says in str(caught.value)
