"""Islands and closed pores: what takes part in the models, in one unit cell and in a domain of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from wavy import conserves, follow, simulate, wavy_run

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.connectivity import advances, connect, pieces_of, transporting
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.models.transient import TransientModel
from dfx_homog.runfile import Run
from dfx_homog.studies.setup import Problem
from dfx_homog.voxels.mesh import voxel_unit_cell

WORLD = MPI.COMM_WORLD


def picture(*rows: str) -> UnitCell:
    """Unit cell of an image in characters, # solid: the first row is on top, so direction 1 goes to the right."""
    return voxel_unit_cell("picture", np.array([[c == "#" for c in row] for row in rows[::-1]]).T)


CHANNEL = picture("....", "####", "####", "....")  # solid and pore lead through
#: A channel of solid with a closed pore, an island in the pore, and a stub at the right face that only the next
#: tile's left face would join to the channel.
BUSY = picture(
    "........",
    "..#.....",
    "........",
    "########",
    "###.####",
    "########",
    "#......#",
    "........",
)


def test_which_windings_carry_current() -> None:
    for rows, periodic, insulated in (
        ([], False, False),
        ([[1, 0]], True, True),
        ([[0, 1]], False, False),
        ([[1, 1]], True, False),
        ([[1, 1], [0, 2]], True, True),
    ):
        windings = np.array(rows, dtype=np.int64).reshape(-1, 2)
        assert advances(windings, True) is periodic
        assert advances(windings, False) is insulated


def test_transporting_parts_of_a_unit_cell() -> None:
    active = transporting(BUSY, True)
    volume = BUSY.cell_measures
    # all but the island and the closed pore, a pixel each: the stubs belong to the channel
    assert volume[~active].sum() == pytest.approx(2 / 64, rel=1e-12)
    assert volume[~active & (BUSY.phase == SOLID)].sum() == pytest.approx(1 / 64, rel=1e-12)
    across = picture("##..", "##..", "##..", "##..")
    assert not transporting(across, True).any()


def test_pieces_of_a_cut_cell() -> None:
    pieces = pieces_of(BUSY)
    volumes = sorted(np.round(pieces.volume[pieces.phase == SOLID] * 64).astype(int))
    assert volumes == [1, 25]
    assert sorted(np.round(pieces.volume[pieces.phase == ELECTROLYTE] * 64).astype(int)) == [1, 14, 23]
    assert pieces.area.sum() == pytest.approx(BUSY.interface_measure(), rel=1e-12)


def pores(n: int) -> UnitCell:
    """A separator of electrolyte only, n pixels across."""
    return picture(*["." * n] * n)


def test_ends_cut_more_off() -> None:
    """A hook that hangs on the next tile: it floats at the separator, in the last tile only."""
    hook = picture(
        "........",
        "........",
        "########",
        "########",
        "##......",
        "##....##",
        "........",
        "........",
    )
    for count in (1, 2, 4):
        found = connect((hook, pores(8), hook), (count, 1, count), (1,), (1,))
        assert found.usable == ((True, True), (False, True), (True, True))
        left, right = found.left_out(0), found.left_out(2)
        # the two pixels at the right face, whose continuation is absent; at the positive collector likewise
        assert left["solid"] == pytest.approx(2 / 22 / count, rel=1e-12)
        assert right["solid"] == pytest.approx(2 / 22 / count, rel=1e-12)
        assert left["electrolyte"] == right["electrolyte"] == 0.0
        # of the surface, two long sides and one end; the whole lacks one pixel's side at the collector
        assert left["surface"] == pytest.approx(5 / (24 * count - 1), rel=1e-12)


def test_pores_of_a_porous_separator() -> None:
    """A pore that ends at the separator leads nowhere; solid in the separator takes no part but closes pores."""
    assert connect((CHANNEL, pores(4), CHANNEL), (2, 1, 2), (1,), ()).left_out(0)["electrolyte"] == 0.0
    closing = picture("####", "....", "....", "####")  # pores against solid: nothing leads through
    found = connect((CHANNEL, closing, CHANNEL), (2, 1, 2), (1,), (1,))
    assert not any(any(pair) for pair in found.usable)
    half = picture("####", "....", "....", "....")  # one of the two pores goes on
    insulated = connect((CHANNEL, half, CHANNEL), (2, 1, 2), (1,), ())
    assert insulated.left_out(0)["electrolyte"] == pytest.approx(0.5)
    assert connect((CHANNEL, half, CHANNEL), (2, 1, 2), (1,), (1,)).left_out(0)["electrolyte"] == 0.0


def test_slanted_solid_needs_room_between_insulated_sides() -> None:
    slanted = picture("..##", ".##.", "##..", "#..#")
    cells = (slanted, pores(4), slanted)
    assert connect(cells, (2, 1, 2), (1,), (1,)).usable[0] == (True, True)
    assert connect(cells, (2, 1, 2), (1,), ()).usable[0] == (False, False)


def test_many_tiles() -> None:
    found = connect((BUSY, pores(8), BUSY), (200, 100, 200), (40,), (1,))
    assert found.left_out(0)["solid"] == pytest.approx(1 / 26, rel=1e-12)
    tile = np.array([[3, 5], [3, 45], [3, -35]])
    units = np.flatnonzero(~transporting(BUSY, True))
    for unit in units:
        assert not found.cells(0, tile, np.repeat(unit, 3)).any()
    assert found.cells(0, tile, np.zeros(3, dtype=int)).all()


# the models ------------------------------------------------------------------------------------------------------


def spotted(run: Run, comm: MPI.Intracomm, filled: str) -> tuple[Problem, dict[str, UnitCell]]:
    """The wavy cells with a square island in the pore and a square closed pore in the solid, two cells of the mesh
    or more wide; `filled`: "whole", or "core": with what is left out turned into the other phase inside."""
    problem = Problem(comm, run)
    cells = problem.unit_cells()
    for name in ("negative", "positive"):
        cell = cells[name]
        centre = cell.points[cell.cells[:, :3]].mean(axis=1)
        phase = cell.phase.copy()
        for middle in ((0.5, 0.02), (0.5, 0.98), (0.25, 0.5)):
            distance = np.abs(centre - middle).max(axis=1)
            phase[distance < 0.13] = SOLID if middle[0] == 0.5 else ELECTROLYTE
            if filled == "core":
                phase[distance < 0.07] = ELECTROLYTE if middle[0] == 0.5 else SOLID
        cells[name] = replace(cell, phase=phase)
    return problem, cells


def model_of(run: Run, kind: str, filled: str = "whole", comm: Any = WORLD) -> TransientModel:
    problem, cells = spotted(run, comm, filled)
    if kind == "resolved":
        return problem.resolved(cells, run.cell.periods)
    return problem.homogenised(cells, problem.effective_media(cells))


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("kind", ["resolved", "homogenised"])
def test_what_is_left_out_is_not_felt(kind: str) -> None:
    """An island or a closed pore acts as a hole: what is inside it matters for heat only."""
    same = ["k_s=0.6", "rho_cp_s=1.0", "k_e=0.6", "rho_cp_e=1.0"]
    run = wavy_run(
        *(f"microstructure.{r}.{k}" for r in ("negative", "positive") for k in same), h=0.08, steps=3
    )
    results = []
    for filled in ("whole", "core"):
        model = model_of(run, kind, filled)
        results.append(follow(model, run))
        model.destroy()
        assert conserves(results[-1])
    for whole, core in zip(results[0].rows, results[1].rows, strict=True):
        for column in ("voltage", "soc_n", "soc_p", "c_e_min", "T_max"):
            assert whole[column] == pytest.approx(core[column], abs=1e-9)
    # and it is felt as a hole
    plain = simulate(run, kind)
    assert abs(plain.rows[-1]["voltage"] - results[0].rows[-1]["voltage"]) > 1e-3
    if WORLD.size > 1:
        model = model_of(run, kind, "whole", MPI.COMM_SELF)
        alone = follow(model, run)
        model.destroy()
        assert results[0].rows[-1]["voltage"] == pytest.approx(alone.rows[-1]["voltage"], abs=1e-9)


def test_resolved_tends_to_homogenised_with_islands() -> None:
    run = wavy_run(h=0.08)
    model = model_of(run, "homogenised")
    limit = follow(model, run).rows[-1]["voltage"]
    model.destroy()
    values = []
    for factor in (1, 2, 4):
        fine = run.model_copy(
            update={"cell": run.cell.model_copy(update={"periods": (2 * factor, factor, 2 * factor)})}
        )
        model = model_of(fine, "resolved")
        values.append(follow(model, fine).rows[-1]["voltage"])
        model.destroy()
    errors = np.abs(np.array(values) - limit)
    orders = np.log2(errors[:-1] / errors[1:])
    assert np.all((orders > 0.95) & (orders < 1.25))
    r1 = [2 * b - a for a, b in pairwise(values)]
    assert (4 * r1[1] - r1[0]) / 3 == pytest.approx(limit, abs=1e-4)


def test_refusals() -> None:
    run = wavy_run()
    problem = Problem(MPI.COMM_SELF, run)
    cells = {"negative": CHANNEL, "separator": picture("####", "....", "....", "####"), "positive": CHANNEL}
    with pytest.raises(
        BadInput, match=r"negative.geometry: no electrolyte leads through it in a domain of \[2, 1, 2\]"
    ):
        problem.check_paths(cells, (2, 1, 2))
    problem.check_paths(cells)
    cells["negative"] = picture("##..", "##..", "##..", "##..")
    with pytest.raises(BadInput, match="its solid does not percolate in direction 1"):
        problem.check_paths(cells)
