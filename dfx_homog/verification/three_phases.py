"""Media of more than two phases whose tensors are known exactly: checks on voxels of falling size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog.runfile import Run
from dfx_homog.studies.setup import Problem
from dfx_homog.verification.outcome import Outcome, Table, loglog
from dfx_homog.verification.verdict import fitted_order
from dfx_homog.voxels.grid import VoxelGrid, slab
from dfx_homog.voxels.solver import VoxelProblem

Codes = NDArray[np.uint8]
SCHEMES = ("fv", "q1")
#: Voxels along an edge: in the plane and in space.
EDGES = {2: (32, 64, 128, 256), 3: (16, 32, 64, 96)}
COAT = 1.2  # outer radius of the coat over that of the core


def four_phases(run: Run, comm: MPI.Intracomm) -> Outcome:
    """Checkerboard of four phases, the 2 x 2 pixels of the run file's image, each divided into ever more voxels.

    With k_1, …, k_4 around the centre the principal conductivities are, along the pair (k_1, k_2) and across,

        sqrt(S_3/S_1 (k_1 + k_4)(k_2 + k_3)/((k_1 + k_2)(k_3 + k_4)))  and the same with the inverse of the last factor,

    S_1 the sum of all and S_3 that of the products of three: conjectured by S. Mortola and S. Steffe (1985), proved by
    R. V. Craster and Yu. V. Obnosov (2001) and G. W. Milton (2001). Collective.
    """
    (name,) = run.microstructure
    grid = Problem(comm, run).grids()[name][0]
    pixels = np.vstack(comm.allgather(grid.codes))
    table = _by_label(run.microstructure[name], grid)
    k = table[[pixels[0, 0, 0], pixels[0, 0, 1], pixels[1, 0, 1], pixels[1, 0, 0]]]
    exact = _four_phases(k)

    def codes(n: int) -> Codes:
        return np.repeat(np.repeat(pixels, n // 2, axis=0), n // 2, axis=2)

    found = _solve(comm, 2, codes, table)
    errors = {s: [float(np.abs(np.diag(t) - exact).max()) for t in found[s]] for s in SCHEMES}
    between = [
        bool(np.all(np.diag(low) <= exact) and np.all(exact <= np.diag(high)))
        for low, high in zip(found["fv"], found["q1"], strict=True)
    ]
    return _outcome(2, found, errors, {"exact": exact.tolist(), "between": between})


def _four_phases(k: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Principal conductivities along direction 1 and 2; k around the centre, k[0], k[3] in the first row of pixels.

    Array axis 0 is direction 1: k[0] is followed by k[3] along direction 1, and by k[1] along direction 2.
    """
    k1, k2, k3, k4 = k
    triples = k1 * k2 * k3 + k1 * k2 * k4 + k1 * k3 * k4 + k2 * k3 * k4
    mean = math.sqrt(triples / (k1 + k2 + k3 + k4))
    ratio = math.sqrt((k1 + k4) * (k2 + k3) / ((k1 + k2) * (k3 + k4)))
    return np.array([mean / ratio, mean * ratio])


def neutral(run: Run, comm: MPI.Intracomm) -> Outcome:
    """Coated inclusions that nobody sees: a ball in a coat whose conductivity leaves that of the matrix as it is.

    Of the run file's inclusion, radius a, the core has k_s and the matrix k_e; a coat up to b = 1.2 a has the k with

        k_e = k (1 + d f (k_s - k)/(k_s + (d - 1) k - f (k_s - k))),  f = (a/b)^d,

    so that a uniform field outside stays uniform (Hashin's coated spheres): K = k_e I, however arranged. Collective.
    """
    (name,) = run.microstructure
    spec: Any = run.microstructure[name]
    core, matrix, radius = float(spec.k_s), float(spec.k_e), float(spec.radius)
    dim = 2 if spec.geometry == "disks" else 3
    coat = _coat(core, matrix, dim)

    def codes(n: int, outer: float) -> Codes:
        at = (np.arange(n) + 0.5) / n - 0.5
        grid = np.meshgrid(at, [0.0] if dim == 2 else at, at, indexing="ij")
        r = np.sqrt(sum(x**2 for x in grid))
        return np.where(r < radius, 2, np.where(r < outer, 1, 0)).astype(np.uint8)

    table = np.array([matrix, coat, core])
    found = _solve(comm, dim, lambda n: codes(n, COAT * radius), table)
    errors = {s: [float(np.abs(t - matrix * np.eye(dim)).max()) for t in found[s]] for s in SCHEMES}
    n = EDGES[dim][-2]
    bare = float(np.trace(_tensor(comm, dim, codes(n, radius), table, "fv"))) / dim
    return _outcome(dim, found, errors, {"coat": coat, "bare": bare})


def _coat(core: float, matrix: float, dim: int) -> float:
    """The conductivity of the neutral coat, between that of the matrix and beyond, away from the core's."""
    f = COAT**-dim

    def excess(k: float) -> float:
        return k * (1 + dim * f * (core - k) / (core + (dim - 1) * k - f * (core - k))) - matrix

    low, high = (1e-6 * matrix, matrix) if core > matrix else (matrix, 1e6 * matrix)
    for _ in range(200):  # excess rises with k
        middle = math.sqrt(low * high)
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return math.sqrt(low * high)


def _solve(
    comm: MPI.Intracomm, dim: int, codes: Callable[[int], Codes], table: NDArray[np.float64]
) -> dict[str, list[NDArray[np.float64]]]:
    return {s: [_tensor(comm, dim, codes(n), table, s) for n in EDGES[dim]] for s in SCHEMES}


def _tensor(
    comm: MPI.Intracomm, dim: int, codes: Codes, table: NDArray[np.float64], scheme: str
) -> NDArray[np.float64]:
    """Effective tensor of an image that every rank has whole. Collective."""
    n, middle, across = codes.shape
    start, stop = slab(n, comm.size, comm.rank)
    spacing = (1 / n, 1.0 if dim == 2 else 1 / n, 1 / n)
    own = np.ascontiguousarray(codes[start:stop])
    labels = tuple(range(len(table)))
    grid = VoxelGrid(
        comm, "image", dim, (n, middle, across), spacing, start, stop, own, labels, (True,) * len(table)
    )
    found: NDArray[np.float64] = (
        VoxelProblem(grid, discretisation=scheme, rtol=1e-10).solve(own, table).tensor
    )
    return found


def _by_label(spec: Any, grid: VoxelGrid) -> NDArray[np.float64]:
    """Conductivity k of each code of an image."""
    k_s = spec.k_s
    solid = {
        v: k_s[v] if isinstance(k_s, dict) else k_s for v, s in zip(grid.values, grid.solid, strict=True) if s
    }
    return np.array([solid.get(value, spec.k_e) for value in grid.values], dtype=np.float64)


def _outcome(
    dim: int,
    found: dict[str, list[NDArray[np.float64]]],
    errors: dict[str, list[float]],
    more: dict[str, Any],
) -> Outcome:
    """Tensors and errors on all images, and the orders in the edge of a voxel."""
    edges = EDGES[dim]
    sizes = [1.0 / n for n in edges]
    numbers = {
        "tensors": {s: found[s][-1].tolist() for s in SCHEMES},
        "errors": errors,
        "orders": {s: fitted_order(sizes, errors[s]) for s in SCHEMES},
        **more,
    }
    columns = ["voxels", *(f"{name}, `{s}`" for s in SCHEMES for name in ("$K_{11}$", "$K_{22}$", "error"))]
    rows = [
        [f"{n}{'²' if dim == 2 else '³'}"]
        + [v for s in SCHEMES for v in (float(found[s][i][0, 0]), float(found[s][i][1, 1]), errors[s][i])]
        for i, n in enumerate(edges)
    ]
    series = {f"`{s}`".strip("`"): (sizes, errors[s]) for s in SCHEMES}
    picture = loglog(series, "edge of a voxel", "largest error of an entry")
    return Outcome(numbers, [Table(columns, rows, digits=7)], picture, "Errors against the edge of a voxel.")
