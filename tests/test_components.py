"""Connected components on the torus and the directions in which they percolate."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi4py import MPI

from dfx_homog.microstructure import (
    ELECTROLYTE,
    SOLID,
    Component,
    UnitCell,
    connected_components,
    shared_nodes,
)
from dfx_homog.microstructure.components import lattice_basis
from dfx_homog.studies.unit_cells import build_unit_cell


def found(h: float = 0.1, **keys: Any) -> tuple[UnitCell, list[Component], list[Component]]:
    cell = build_unit_cell("cell", SimpleNamespace(**{"mesh_size": h, "order": 1} | keys), MPI.COMM_SELF)
    components = connected_components(cell)
    assert np.array_equal(np.sort(np.concatenate([c.cells for c in components])), np.arange(len(cell.cells)))
    assert sum(c.volume for c in components) == pytest.approx(1.0)
    solid, electrolyte = ([c for c in components if c.phase == p] for p in (SOLID, ELECTROLYTE))
    assert components == solid + electrolyte
    return cell, solid, electrolyte


def test_wavy_percolates_along_z1() -> None:
    cell, solid, electrolyte = found(geometry="wavy", w0=0.27, w1=0.12, w2=0.0)
    assert [c.percolates for c in solid + electrolyte] == [(True, False), (True, False)]
    assert [c.windings.tolist() for c in solid + electrolyte] == [[[1, 0]], [[1, 0]]]
    assert solid[0].volume == pytest.approx(cell.phase_fraction(SOLID))


@pytest.mark.parametrize(
    ("normal", "winding"), [((1, 0), [0, 1]), ((0, 1), [1, 0]), ((1, 1), [1, -1]), ((3, -2), [2, 3])]
)
def test_laminates_wind_along_their_layers(normal: tuple[int, int], winding: list[int]) -> None:
    _, solid, electrolyte = found(geometry="laminate", normal=normal, solid_fraction=0.4)
    for phase in (solid, electrolyte):
        assert [c.windings.tolist() for c in phase] == [[winding]]
        assert phase[0].rank == 1
        assert phase[0].percolates == tuple(w != 0 for w in winding)


def test_two_layers_a_cell_are_two_components() -> None:
    _, solid, electrolyte = found(geometry="laminate", normal=(2, 0), solid_fraction=0.4)
    assert [c.volume for c in solid] == pytest.approx([0.2, 0.2])
    assert [c.volume for c in electrolyte] == pytest.approx([0.3, 0.3])


def test_disks_are_islands_in_a_percolating_electrolyte() -> None:
    _, solid, electrolyte = found(geometry="disks", centres=[[0.0, 0.0], [0.5, 0.5]], radii=[0.3, 0.25])
    assert [c.rank for c in solid] == [0, 0]
    assert solid[0].windings.shape == (0, 2)
    assert solid[0].percolates == (False, False)
    assert solid[0].volume == pytest.approx(np.pi * 0.09, rel=0.05)
    assert [c.windings.tolist() for c in electrolyte] == [[[1, 0], [0, 1]]]
    assert electrolyte[0].percolates == (True, True)


def test_overlapping_copies_percolate_and_cut_the_electrolyte_off() -> None:
    _, solid, electrolyte = found(geometry="disks", radius=0.53, lattice="square")
    assert [c.windings.tolist() for c in solid] == [[[1, 0], [0, 1]]]
    assert [c.rank for c in electrolyte] == [0]


def test_electrolyte_alone() -> None:
    _, solid, electrolyte = found(geometry="electrolyte")
    assert solid == []
    assert [c.windings.tolist() for c in electrolyte] == [[[1, 0], [0, 1]]]


@pytest.mark.parametrize("h", [0.5, 0.1])
def test_checkerboard_squares_touch_in_nodes_only(h: float) -> None:
    cell, solid, electrolyte = found(h, geometry="checkerboard")
    assert [c.volume for c in solid + electrolyte] == pytest.approx([0.25] * 4)
    assert [c.rank for c in solid + electrolyte] == [0] * 4
    touching = cell.points[shared_nodes(cell, solid + electrolyte)]
    assert sorted(map(tuple, touching.tolist())) == [(0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5)]


def test_no_shared_nodes_between_separate_disks() -> None:
    cell, solid, electrolyte = found(geometry="disks", centres=[[0.0, 0.0], [0.5, 0.5]], radii=[0.3, 0.25])
    assert len(shared_nodes(cell, solid + electrolyte)) == 0


@settings(deadline=None, derandomize=True)
@given(
    rows=st.lists(st.tuples(*[st.integers(-6, 6)] * 3), min_size=1, max_size=6),
)
def test_lattice_basis_spans_the_same_lattice(rows: list[tuple[int, ...]]) -> None:
    vectors = np.array(rows)
    basis = lattice_basis(vectors)
    assert len(basis) == np.linalg.matrix_rank(vectors)
    assert np.array_equal(lattice_basis(np.vstack([vectors, basis])), basis)
    assert np.array_equal(lattice_basis(vectors[::-1]), basis)
    if len(basis):
        coefficients = np.linalg.lstsq(basis.T.astype(float), vectors.T.astype(float), rcond=None)[0]
        assert np.allclose(coefficients, np.round(coefficients), atol=1e-9)
        assert np.allclose(basis.T @ np.round(coefficients), vectors.T)
    if len(basis) == 3:
        index = round(abs(np.linalg.det(basis)))
        minors = [
            round(np.linalg.det(vectors[[i, j, k]]))
            for i in range(len(rows))
            for j in range(i)
            for k in range(j)
        ]
        assert index == np.gcd.reduce(np.abs(minors))
