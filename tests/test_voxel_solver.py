"""The voxel solver: exact and published values, both discretisations, all conditions, both solution paths."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog._compat import FloatArray
from dfx_homog.voxels.grid import VoxelGrid, slab
from dfx_homog.voxels.solver import VoxelProblem, VoxelSolution

BOTH = pytest.mark.parametrize("discretisation", ["fv", "q1"])
INSULATED = np.array([0.0, 1.0])


def make_grid(image: NDArray[np.uint8], spacing: tuple[float, float, float] | None = None) -> VoxelGrid:
    """The distributed grid of a small image that every rank has whole; label 0 is solid."""
    comm = MPI.COMM_WORLD
    start, stop = slab(image.shape[0], comm.size, comm.rank)
    n = image.shape[0]
    dim = 2 if image.shape[1] == 1 else 3
    h = spacing or (1 / n, 1.0 if dim == 2 else 1 / n, 1 / n)
    codes = np.ascontiguousarray(image[start:stop])
    return VoxelGrid(comm, "test", dim, image.shape, h, start, stop, codes, (0, 1), (True, False))


def solve(
    image: NDArray[np.uint8],
    discretisation: str,
    table: FloatArray,
    condition: str = "periodic",
    spacing: tuple[float, float, float] | None = None,
    method: str = "multigrid",
    single: bool = True,
) -> VoxelSolution:
    grid = make_grid(image, spacing)
    problem = VoxelProblem(
        grid, discretisation=discretisation, condition=condition, method=method, single=single
    )
    return problem.solve(grid.codes, table)


@cache
def gaussian(n: int, sigma: float = 4.0, porosity: float = 0.4, seed: int = 12345) -> NDArray[np.uint8]:
    """Thresholded periodic Gaussian field: 1 where it is lowest."""
    noise = np.random.default_rng(seed).standard_normal((n, n, n))
    f, half = np.fft.fftfreq(n), np.fft.rfftfreq(n)
    square = f[:, None, None] ** 2 + f[None, :, None] ** 2 + half**2
    smooth = np.fft.irfftn(
        np.fft.rfftn(noise) * np.exp(-2 * np.pi**2 * sigma**2 * square), s=noise.shape, axes=(0, 1, 2)
    )
    count = round(porosity * n**3)
    out = np.zeros(n**3, dtype=np.uint8)
    out[np.argsort(smooth.ravel(), kind="stable")[:count]] = 1
    return out.reshape(n, n, n)


def chfem() -> NDArray[np.uint8]:
    file = Path(__file__).parent / "data" / "chfem_100x100.raw"
    return (np.fromfile(file, dtype=np.uint8).reshape(100, 1, 100) > 0).astype(np.uint8)


@pytest.mark.mpi
@BOTH
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_laminates_are_exact(discretisation: str, axis: int) -> None:
    """Layers normal to an axis: harmonic mean across, arithmetic mean along, on voxels that are no cubes."""
    layers = np.array([1, 0, 0, 1, 1, 0, 1, 0], dtype=np.uint8)
    image = np.empty((8, 6, 10), dtype=np.uint8)
    layers = np.resize(layers, image.shape[axis])
    image[...] = layers.reshape([-1 if a == axis else 1 for a in range(3)])
    table = np.array([0.3, 2.0])
    k = table[layers]
    expected = np.full(3, k.mean())
    expected[axis] = 1 / (1 / k).mean()
    solution = solve(image, discretisation, table, spacing=(0.125, 0.2, 0.05))
    assert solution.tensor == pytest.approx(np.diag(expected), abs=1e-9)
    assert solution.energy == pytest.approx(np.diag(expected), abs=1e-9)


@pytest.mark.mpi
def test_gaussian_field_periodic_fv() -> None:
    solution = solve(gaussian(96), "fv", INSULATED)
    assert np.diag(solution.tensor) == pytest.approx([0.140385163, 0.144278236, 0.156410878], abs=1e-8)
    assert solution.energy == pytest.approx(solution.tensor, abs=1e-8)
    assert max(solution.iterations) <= 16


def test_gaussian_field_periodic_q1() -> None:
    solution = solve(gaussian(96), "q1", INSULATED)
    assert np.diag(solution.tensor) == pytest.approx([0.15221897, 0.157497777, 0.169867232], abs=1e-8)
    assert solution.energy == pytest.approx(solution.tensor, abs=1e-8)
    assert max(solution.iterations) <= 16


def test_gaussian_field_fixed_ends() -> None:
    """Tortuosity factors porosity/B_ii; the porosity is the whole one, with the detached cluster."""
    solution = solve(gaussian(96), "fv", INSULATED, "through")
    porosity = gaussian(96).mean()
    assert porosity / np.diag(solution.tensor) == pytest.approx([3.247165, 2.871457, 2.539997], abs=2e-6)
    assert np.isnan(solution.tensor[~np.eye(3, dtype=bool)]).all()


@pytest.mark.mpi
@BOTH
@pytest.mark.parametrize("condition", ["periodic", "dirichlet", "flux", "through"])
@pytest.mark.parametrize("contrast", [0.0, 0.03])
def test_native_and_assembled_paths_agree(discretisation: str, condition: str, contrast: float) -> None:
    image = gaussian(24, 2.0, 0.5)[:, :20, :14]
    if condition == "flux" and contrast == 0.0:
        image = np.pad(image[1:-1, 1:-1, 1:-1], 1, constant_values=1)  # a boundary that conducts
    table, spacing = np.array([contrast, 1.3]), (0.05, 0.04, 0.06)
    native = solve(image, discretisation, table, condition, spacing)
    reference = solve(image, discretisation, table, condition, spacing, "assembled")
    assert native.tensor == pytest.approx(reference.tensor, abs=1e-8, nan_ok=True)
    assert native.energy == pytest.approx(native.tensor, abs=1e-8, nan_ok=True)
    assert native.dofs == reference.dofs


@BOTH
def test_conditions_are_ordered(discretisation: str) -> None:
    """SUBC <= PBC <= KUBC as quadratic forms, and between the bounds of Reuss and Voigt."""
    image = gaussian(20, 2.0, 0.5)
    table = np.array([0.1, 1.0])
    subc, pbc, kubc = (
        solve(image, discretisation, table, condition).tensor
        for condition in ("flux", "periodic", "dirichlet")
    )
    assert np.linalg.eigvalsh(pbc - subc).min() > 0
    assert np.linalg.eigvalsh(kubc - pbc).min() > 0
    assert np.linalg.eigvalsh(subc).min() > 1 / (0.5 / 0.1 + 0.5)
    assert np.linalg.eigvalsh(kubc).max() < 0.55


@BOTH
def test_axes_permute_with_the_image(discretisation: str) -> None:
    image = gaussian(16, 1.5, 0.6)[:, :12, :10]
    spacing = (0.06, 0.05, 0.08)
    table = np.array([0.2, 1.0])
    tensor = solve(image, discretisation, table, spacing=spacing).tensor
    order = [2, 0, 1]
    turned = np.ascontiguousarray(image.transpose(order))
    permuted = solve(turned, discretisation, table, spacing=(0.08, 0.06, 0.05)).tensor
    assert permuted == pytest.approx(tensor[np.ix_(order, order)], abs=1e-9)


@pytest.mark.mpi3
@BOTH
@pytest.mark.parametrize("condition", ["periodic", "through"])
def test_same_on_any_number_of_ranks(discretisation: str, condition: str) -> None:
    """Against the value of one process on the same image (odd number of planes)."""
    image = gaussian(24, 2.0, 0.5)[:23]
    grid = make_grid(image)
    alone = VoxelGrid(
        MPI.COMM_SELF,
        "alone",
        3,
        image.shape,
        grid.spacing,
        0,
        23,
        np.ascontiguousarray(image),
        (0, 1),
        (True, False),
    )
    table = np.array([0.0, 1.0])
    many = VoxelProblem(grid, discretisation=discretisation, condition=condition).solve(grid.codes, table)
    one = VoxelProblem(alone, discretisation=discretisation, condition=condition).solve(alone.codes, table)
    assert many.tensor == pytest.approx(one.tensor, abs=1e-8, nan_ok=True)
    assert many.dofs == one.dofs


@pytest.mark.mpi
@BOTH
@pytest.mark.parametrize("condition", ["periodic", "through"])
def test_two_dimensions_equal_an_extruded_image(discretisation: str, condition: str) -> None:
    flat = gaussian(24, 2.0, 0.5)[:, 3:4, :18]
    table = np.array([0.05, 1.0])
    spacing = (1 / 24, 1.0, 1 / 20)
    plane = solve(flat, discretisation, table, condition, spacing).tensor
    solid = solve(np.repeat(flat, 4, axis=1), discretisation, table, condition, (1 / 24, 0.25, 1 / 20)).tensor
    assert plane == pytest.approx(solid[np.ix_([0, 2], [0, 2])], abs=1e-8, nan_ok=True)


@pytest.mark.mpi3
@BOTH
@pytest.mark.parametrize("condition", ["periodic", "dirichlet", "flux"])
def test_one_plane_per_rank(discretisation: str, condition: str) -> None:
    """The slabs of 3 planes on 1, 2 and 3 ranks: what a rank sees before and after it may be one rank's plane."""
    image = gaussian(24, 2.0, 0.5)[:3, :10, :9]
    table = np.array([0.05, 1.0])
    native = solve(image, discretisation, table, condition)
    reference = solve(image, discretisation, table, condition, method="assembled")
    assert native.tensor == pytest.approx(reference.tensor, abs=1e-8)


@pytest.mark.mpi
def test_two_dimensions_against_chfem() -> None:
    """Published for chfem_100x100.raw: 1.17548 on the diagonal, 0 off it."""
    solution = solve(chfem(), "q1", np.array([1.0, 10.0]))
    assert solution.tensor == pytest.approx(1.1754815 * np.eye(2), abs=1e-7)


def test_contrast_of_a_million_and_an_empty_image() -> None:
    image = gaussian(32, 2.0, 0.4)
    for discretisation in ("fv", "q1"):
        high = solve(image, discretisation, np.array([1e-6, 1.0]))
        insulated = solve(image, discretisation, INSULATED)
        assert high.tensor == pytest.approx(insulated.tensor, abs=2e-5)
        assert max(high.iterations) <= 25
        nothing = solve(image, discretisation, np.zeros(2))
        assert not nothing.tensor.any() and nothing.dofs == 0
        full = solve(image, discretisation, np.full(2, 2.5))
        assert full.tensor == pytest.approx(2.5 * np.eye(3), abs=1e-12)


@pytest.mark.mpi
def test_iterations_do_not_grow_with_the_image() -> None:
    """The same statistics on 8 times the voxels: at most one iteration more for fv, two for q1."""
    for discretisation, more in (("fv", 1), ("q1", 2)):
        few = solve(gaussian(32, 3.0), discretisation, INSULATED).iterations
        many = solve(gaussian(64, 3.0), discretisation, INSULATED).iterations
        assert max(many) <= max(few) + more
        assert max(many) <= 15


def test_double_preconditioner_gives_the_same() -> None:
    image = gaussian(24, 2.0, 0.4)
    single = solve(image, "fv", INSULATED)
    double = solve(image, "fv", INSULATED, single=False)
    assert single.tensor == pytest.approx(double.tensor, abs=1e-9)


def test_flux_is_zero_when_an_insulator_touches_the_boundary() -> None:
    image = np.ones((6, 6, 6), dtype=np.uint8)
    image[0, 3, 3] = 0
    assert not solve(image, "fv", INSULATED, "flux").tensor.any()


@BOTH
def test_potentials_at_voxel_centres(discretisation: str) -> None:
    """Two layers in series: the potential is linear in each layer (q1: means of the corners)."""
    image = np.ones((8, 4, 4), dtype=np.uint8)
    image[4:] = 0
    grid = VoxelGrid(MPI.COMM_SELF, "layers", 3, (8, 4, 4), (0.125,) * 3, 0, 8, image, (0, 1), (True, False))
    problem = VoxelProblem(grid, discretisation=discretisation, condition="through")
    solution = problem.solve(grid.codes, np.array([1.0, 3.0]), directions=(0,), keep=True)
    assert solution.tensor[0, 0] == pytest.approx(1.5)
    assert solution.potentials is not None
    centres = (np.arange(8) + 0.5) / 8
    expected = np.where(centres < 0.5, 0.5 * centres, 1.5 * centres - 0.5)
    assert solution.potentials[0][:, 2, 1] == pytest.approx(expected, abs=1e-7)


def test_unknown_names_are_refused() -> None:
    grid = make_grid(np.ones((4 * MPI.COMM_WORLD.size, 4, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match="not one of fv, q1"):
        VoxelProblem(grid, discretisation="p2")
