"""Effective coefficients of images with known answers: topology first, then tensors, on any number of ranks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from dfx_homog.errors import BadInput
from dfx_homog.models.effective import effective_medium
from dfx_homog.models.voxel_medium import VoxelMedium, voxel_medium
from dfx_homog.verification.problems import SEPARATOR, unit_cell
from dfx_homog.voxels.grid import VoxelGrid, slab

pytestmark = pytest.mark.mpi

S, E = 1, 2  # labels of solid and electrolyte
MATERIAL: dict[str, Any] = {"sigma_s": 3.0, "k_s": 2.0, "k_e": 0.5, "rho_cp_s": 1.5, "rho_cp_e": 1.0}


def grid_of(image: Any, solid: tuple[int, ...] = (S,), comm: MPI.Comm = MPI.COMM_WORLD) -> VoxelGrid:
    """An image of labels, two or three axes, cut into slabs; voxels are cubes."""
    array = np.asarray(image)
    dim = array.ndim
    array = array[:, None, :] if dim == 2 else array
    values, codes = np.unique(array, return_inverse=True)
    start, stop = slab(array.shape[0], comm.size, comm.rank)
    h = 1 / array.shape[0]
    return VoxelGrid(
        comm,
        "image",
        dim,
        array.shape,
        (h, 1.0, h) if dim == 2 else (h, h, h),
        start,
        stop,
        np.ascontiguousarray(codes.reshape(array.shape)[start:stop].astype(np.uint8)),
        tuple(int(v) for v in values),
        tuple(bool(v in solid) for v in values),
    )


def medium(image: Any, discretisation: str = "fv", **keys: Any) -> VoxelMedium:
    condition = keys.pop("condition", "periodic")
    solid = keys.pop("solid", (S,))
    comm = keys.pop("comm", MPI.COMM_WORLD)
    spec = SimpleNamespace(**{**MATERIAL, **keys}, discretisation=discretisation)
    return voxel_medium(grid_of(image, solid, comm), spec, condition=condition, rtol=1e-10)


def layered(shape: tuple[int, ...], axis: int) -> np.ndarray:
    """A quarter solid, layers across `axis`."""
    place = np.indices(shape)[axis]
    return np.where(4 * place < shape[axis], S, E)


@pytest.mark.mpi3
@pytest.mark.parametrize("scheme", ["fv", "q1"])
@pytest.mark.parametrize(
    ("shape", "axis"), [((8, 8), 0), ((8, 4), 1), ((8, 8, 8), 0), ((4, 8, 4), 1), ((8, 8, 4), 2)]
)
def test_layers(shape: tuple[int, ...], axis: int, scheme: str) -> None:
    """Arithmetic and harmonic means; in samples that are no cubes, too."""
    m = medium(layered(shape, axis), scheme)
    across = np.eye(len(shape))[axis]
    along = 1 - across
    assert np.abs(m.tensor("K") - np.diag(0.875 * along + across / (0.25 / 2 + 0.75 / 0.5))).max() < 1e-10
    assert np.abs(m.tensor("S") - np.diag(0.75 * along)).max() < 1e-10
    assert np.abs(m.tensor("B") - np.diag(0.75 * along)).max() < 1e-10
    assert m.tensor("B")[axis, axis] == m.tensor("S")[axis, axis] == 0
    entry = m.to_json()
    assert (
        entry["percolates"]["electrolyte"]
        == entry["percolates"]["solid"]
        == [d != axis for d in range(len(shape))]
    )
    assert entry["phi_e"] == entry["phi_e_total"] == 0.75
    assert entry["theta"] == pytest.approx(0.25 * 1.5 + 0.75)
    assert entry["a_faceted"] == pytest.approx(2 / (shape[axis] / shape[0]))
    assert max(entry["hill_mandel"].values()) < 1e-9
    assert entry["tortuosity"][axis] is None
    assert entry["tortuosity"][axis - 1] == pytest.approx(1.0)
    assert entry["shape"] == list(shape)


def test_entries_of_meshes() -> None:
    """An image has all that a mesh has."""
    m = medium(layered((4, 4), 0))
    mesh = effective_medium(MPI.COMM_WORLD, unit_cell(SEPARATOR, 0.25), SimpleNamespace(**MATERIAL))
    assert set(m.to_json()) > set(mesh.to_json())
    assert set(m.to_json()["bounds"]) == {"S", "B", "K"}


@pytest.mark.parametrize("scheme", ["fv", "q1"])
def test_edges_and_corners_do_not_conduct(scheme: str) -> None:
    """Pixels that touch in corners, voxels along an edge: no path through faces, so zeros for both schemes."""
    board = np.where(np.add(*np.indices((4, 4))) % 2, S, E)
    m = medium(board, scheme)
    assert np.array_equal(m.tensor("B"), np.zeros((2, 2))) and np.array_equal(m.tensor("S"), np.zeros((2, 2)))
    assert m.problems["B"].iterations == (0, 0)
    assert m.phi_e == m.phi_e_total == 0.5  # nothing percolates, nothing is left out
    columns = np.repeat(board[:, :, None], 3, axis=2)  # along direction 3 there is a path
    m = medium(columns, scheme)
    for name, value in (("B", 0.5), ("S", 1.5)):
        assert np.abs(m.tensor(name) - np.diag([0, 0, value])).max() < 1e-10
        assert np.array_equal(m.tensor(name)[:2, :2], np.zeros((2, 2)))


def channel() -> np.ndarray:
    """Solid with a straight pore of 2 x 2 along direction 2 and a closed one of one voxel."""
    image = np.full((6, 6, 6), S)
    image[1:3, :, 1:3] = E
    image[4, 4, 4] = E
    return image


@pytest.mark.mpi3
@pytest.mark.parametrize("scheme", ["fv", "q1", "both"])
def test_closed_pores_are_left_out(scheme: str) -> None:
    m = medium(channel(), scheme)
    entry = m.to_json()
    assert m.phi_e == pytest.approx(24 / 216) and m.phi_e_total == pytest.approx(25 / 216)
    assert entry["islands"]["electrolyte"] == pytest.approx(1 / 25)
    assert entry["islands"]["solid"] == 0
    assert m.a_faceted == pytest.approx(8 / 6)  # four walls of two voxels
    assert m.a < m.a_total
    assert np.abs(m.tensor("B") - np.diag([0, 24 / 216, 0])).max() < 1e-10
    assert entry["theta"] == pytest.approx((191 * 1.5 + 25) / 216)
    assert m.problems["B"].dofs <= 24 * 4  # not those of the closed pore
    assert entry["tortuosity"] == [None, pytest.approx(1.0), None]
    assert entry["bruggeman"][1] == pytest.approx(1.0)


def test_oblique_channel_has_rank_one() -> None:
    """A staircase along (1, 1): no flux along (1, -1) although no entry vanishes."""
    n = 12
    i, k = np.indices((n, n))
    image = np.where((i - k) % n < 4, E, S)
    m = medium(image, "both")
    B, n = m.tensor("B"), np.array([1.0, -1.0])
    assert np.abs(B @ n).max() < 1e-12
    assert np.abs(B).min() > 0.05
    assert m.to_json()["Q_e"] is None
    fv, q1 = (m.schemes[s]["B"].tensor[0, 0] for s in ("fv", "q1"))
    assert fv < q1
    assert m.to_json()["bracket"]["B"] == [pytest.approx([fv, fv]), pytest.approx([q1, q1])]
    assert m.to_json()["discretisations"]["q1"]["B"] == m.schemes["q1"]["B"].tensor.tolist()


@pytest.mark.parametrize("scheme", ["fv", "q1"])
def test_label_by_label(scheme: str) -> None:
    """Three labels in series and side by side; a label that does not conduct interrupts the solid."""
    image = np.repeat(np.repeat(np.array([7, 8, 9, 9])[:, None, None], 3, axis=1), 2, axis=2)
    m = medium(image, scheme, solid=(7, 8), sigma_s={7: 2.0, 8: 1.0}, k_s={7: 4.0, 8: 2.0}, k_e=1.0)
    assert np.abs(m.tensor("S") - np.diag([0, 0.75, 0.75])).max() < 1e-10
    series = 1 / (0.25 / 4 + 0.25 / 2 + 0.5)
    assert np.abs(m.tensor("K") - np.diag([series, 2.0, 2.0])).max() < 1e-10
    assert m.bounds["K"]["voigt"] == pytest.approx(2.0) and m.bounds["K"]["reuss"] == pytest.approx(series)
    assert series < m.bounds["K"]["hs_lower"] < m.bounds["K"]["hs_upper"] < 2.0
    assert m.to_json()["shares"] == {"7": 0.25, "8": 0.25, "9": 0.5}
    binder = medium(image, scheme, solid=(7, 8), sigma_s={7: 2.0, 8: 0.0})
    assert np.abs(binder.tensor("S") - np.diag([0, 0.5, 0.5])).max() < 1e-10
    assert binder.phi_e == 0.5


def test_through() -> None:
    """Fixed ends: in series along, side by side across, and nothing off the diagonal."""
    m = medium(layered((8, 8, 8), 0), condition="through")
    entry = m.to_json()
    assert np.diag(m.tensor("B")) == pytest.approx([0, 0.75, 0.75], abs=1e-10)
    assert np.diag(m.tensor("K")) == pytest.approx([1 / (0.25 / 2 + 0.75 / 0.5), 0.875, 0.875])
    assert entry["B"][0][1] is None and entry["Q_e"] is None
    assert entry["percolates"]["electrolyte"] == [False, True, True]
    assert entry["condition"] == "through"
    # a pore that reaches one end only carries nothing
    image = channel()
    image[4, 4:, 4] = E
    m = medium(image, condition="through")
    assert np.diag(m.tensor("B")) == pytest.approx([0, 24 / 216, 0], abs=1e-10)
    assert m.phi_e == pytest.approx(24 / 216)


def test_order_of_conditions() -> None:
    """flux <= periodic <= dirichlet, on both schemes; Hill-Mandel for all."""
    rng = np.random.default_rng(4)
    image = np.where(rng.random((6, 6, 6)) < 0.4, S, E)
    for scheme in ("fv", "q1"):
        low, middle, high = (
            medium(image, scheme, condition=c).tensor("K") for c in ("flux", "periodic", "dirichlet")
        )
        assert np.linalg.eigvalsh(middle - low)[0] > 0
        assert np.linalg.eigvalsh(high - middle)[0] > 0
        entry = medium(image, scheme, condition="flux").to_json()
        assert max(entry["hill_mandel"].values()) < 1e-8


def test_bad_coefficients() -> None:
    with pytest.raises(BadInput, match=r"\[microstructure.image\] k_s: a tensor"):
        medium(layered((4, 4), 0), k_s=((1.0, 0.0), (0.0, 1.0)))
    with pytest.raises(BadInput, match="sigma_s: no entry for label 1"):
        medium(layered((4, 4), 0), sigma_s={5: 1.0})


@pytest.mark.mpi3
def test_same_on_any_number_of_ranks() -> None:
    """Random voxels, against one rank alone; also an image with fewer planes than ranks."""
    rng = np.random.default_rng(5)
    for shape in ((12, 6, 6), (2, 8, 8), (2, 9)):
        image = np.where(rng.random(shape) < 0.4, S, E)
        one, many = (medium(image, "both", comm=c).to_json() for c in (MPI.COMM_SELF, MPI.COMM_WORLD))
        for key in ("islands", "percolates", "bounds", "dofs", "shares", "shape"):
            assert one[key] == many[key]
        for key in ("phi_e", "a", "a_total", "a_faceted", "theta"):
            assert one[key] == pytest.approx(many[key], abs=1e-12)
        for name in ("S", "B", "K"):
            for scheme in ("fv", "q1"):
                a, b = (np.array(e["discretisations"][scheme][name]) for e in (one, many))
                assert np.abs(a - b).max() < 1e-9
