"""Apparent tensors of one sample under several conditions on its faces, on a mesh or on voxels.

Parts of the conducting phase that no current can reach are left out of the problem, which they would make singular:
with periodic faces clusters that do not percolate, with given potentials (dirichlet) or fluxes (flux) those that touch
no face, with fixed ends (through) those that do not lead from one end to the other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from dfx_homog.microstructure.components import connected_components
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.models.cell_problem import CellProblem
from dfx_homog.models.medium import path_projection
from dfx_homog.models.voxel_medium import conductivities
from dfx_homog.runfile import Run
from dfx_homog.studies.rve_samples import Sample, is_random
from dfx_homog.studies.rve_statistics import as_lists
from dfx_homog.studies.setup import TOLERANCE
from dfx_homog.studies.unit_cells import build_unit_cell
from dfx_homog.voxels.components import voxel_components
from dfx_homog.voxels.grid import VoxelGrid, cut
from dfx_homog.voxels.image import load_grid
from dfx_homog.voxels.solver import VoxelProblem

Json = dict[str, Any]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def sample_grid(comm: MPI.Intracomm, run: Run, sample: Sample) -> VoxelGrid:
    """The voxels of a sample. Collective. Raises BadInput."""
    name = sample.microstructure
    scale = 1.0 if sample.window is not None else sample.size
    return load_grid(
        comm,
        name,
        run.microstructure[name],
        run.folder,
        window=sample.window,
        seed=sample.seed,
        scale=scale,
    )


class SampleSolver:
    """Solves samples on the ranks of `comm`.

    cells: meshes of the microstructures of the run file that have one, the same on all ranks
    """

    def __init__(self, comm: MPI.Intracomm, run: Run, cells: dict[str, UnitCell], petsc: tuple[str, ...]):
        self._comm, self._run, self._cells, self._petsc = comm, run, cells, petsc
        self._segmented: dict[str, VoxelGrid] = {}

    def records(self, sample: Sample) -> list[Json]:
        """Entries of result.json, one for each condition of the run file, the same on all ranks. Collective.

        Raises BadInput or SolverFailure.
        """
        start = time.perf_counter()
        on_voxels = self._run.microstructure[sample.microstructure].is_voxels
        records = []
        for found in self._on_voxels(sample) if on_voxels else self._on_mesh(sample):
            records.append(_header(sample) | found | {"seconds": time.perf_counter() - start})
            start = time.perf_counter()
        return records

    def _on_mesh(self, sample: Sample) -> Iterator[Json]:
        run, name = self._run, sample.microstructure
        spec: Any = run.microstructure[name]
        cell, copies = self._cells[name], 1 if is_random(spec) else int(sample.size)
        if is_random(spec) and (sample.size, sample.seed) != (1, spec.seed):
            other = {
                "cells": spec.cells * sample.size,
                "mesh_size": min(spec.mesh_size / sample.size, 0.5),
                "seed": sample.seed,
            }
            cell = build_unit_cell(name, spec.model_copy(update=other), self._comm)
        coefficient = {
            "S": [None, spec.sigma_s],
            "B": [1.0, None],
            "K": [spec.k_e, spec.k_s],
        }[run.rve.quantity]
        parts = connected_components(cell)
        phi_e = cell.phase_fraction(ELECTROLYTE)
        through = sum(c.volume for c in parts if c.phase == ELECTROLYTE and any(c.percolates))
        for condition in run.rve.conditions:
            problem = CellProblem(
                self._comm,
                cell,
                copies=copies,
                condition=condition,
                preset=run.solver.preset,
                rtol=TOLERANCE[cell.dim],
                user=self._petsc,
            )
            solved = problem.solve(coefficient, correctors=False)
            tensor, energy = solved.tensor, solved.energy
            if condition == "periodic" and run.rve.quantity != "K":
                phase = SOLID if run.rve.quantity == "S" else ELECTROLYTE
                none = np.zeros((0, cell.dim))
                windings = np.concatenate([none, *(c.windings for c in parts if c.phase == phase)])
                tensor, energy = _without_contacts(tensor, energy, windings)
            yield {
                "condition": condition,
                **_tensor_entries(tensor, energy),
                "phi_e": phi_e,
                "phi_e_transporting": through if condition == "periodic" else None,
                "iterations": list(solved.iterations),
                "dofs": solved.dofs,
            }

    def _grid(self, sample: Sample) -> VoxelGrid:
        """The voxels of a sample; an image whose phases are made of grey values is segmented once, as a whole."""
        run, name = self._run, sample.microstructure
        if sample.window is None or not getattr(run.microstructure[name], "steps", None):
            return sample_grid(self._comm, run, sample)
        if name not in self._segmented:
            self._segmented[name] = load_grid(self._comm, name, run.microstructure[name], run.folder)
        return cut(self._segmented[name], sample.window)

    def _on_voxels(self, sample: Sample) -> Iterator[Json]:
        grid = self._grid(sample)
        spec: Any = self._run.microstructure[sample.microstructure]
        busy = grid.busy()  # None on ranks that have no part of a small sample
        table = conductivities(grid, spec, self._run.rve.quantity)
        options: Json = {"method": self._run.solver.voxels, "user": self._petsc}
        kinds = ("fv", "q1") if spec.discretisation == "both" else (spec.discretisation,)
        for condition in self._run.rve.conditions:
            found: Json = {}
            if busy is not None:
                found = solve_voxels(busy, table, condition, kinds, options)
                found["shape"] = [grid.shape[axis] for axis in grid.axes]
            yield self._comm.bcast(found, root=0)
        if busy is not None and busy.comm is not grid.comm:
            busy.comm.Free()


def _header(sample: Sample) -> Json:
    out: Json = {
        "microstructure": sample.microstructure,
        "size": sample.size,
        "realisation": sample.realisation,
    }
    if sample.seed is not None:
        out["seed"] = sample.seed
    if sample.window is not None:
        out["window"] = [list(w) for w in sample.window]
    return out


def _tensor_entries(tensor: Floats, energy: Floats) -> Json:
    """tensor as nested lists; hill_mandel: largest entry of |<A F F^T> - A_eff|, and by direction where only the
    diagonal is defined."""
    gap = np.abs(energy - tensor)
    diagonal = np.isnan(gap[~np.eye(len(gap), dtype=bool)]).any()
    return {
        "tensor": as_lists(tensor),
        "hill_mandel": np.diag(gap).tolist() if diagonal else float(gap.max()),
    }


def _without_contacts(tensor: Floats, energy: Floats, windings: Floats) -> tuple[Floats, Floats]:
    """Without what finite elements conduct through points and edges between parts of a phase."""
    keep = path_projection(windings, len(tensor))
    return keep @ tensor @ keep, keep @ energy @ keep


def solve_voxels(grid: VoxelGrid, table: Floats, condition: str, kinds: Sequence[str], options: Json) -> Json:
    """Tensor, porosity and cost under one condition; with two discretisations the first one's, and both beside it.

    options: of VoxelProblem
    Every rank of the grid's communicator has planes. Collective. Raises SolverFailure.
    """
    electrolyte = ~grid.is_solid
    counts = grid.counts()
    pores = Reach(grid, electrolyte, condition)
    out: Json = {
        "condition": condition,
        "phi_e": float(counts[electrolyte].sum() / grid.voxels),
        "phi_e_transporting": pores.share(),
    }
    reach: Reach | None = pores
    if table[counts > 0].min() > 0:
        reach = None
    elif not np.array_equal(table > 0, electrolyte):
        reach = Reach(grid, table > 0, condition)
    del pores  # its labels take 4 bytes a voxel
    found = {kind: _solve(grid, table, condition, kind, reach, options) for kind in kinds}
    main = found[kinds[0]]
    if len(kinds) > 1:
        out["discretisations"] = {kind: entry["tensor"] for kind, entry in found.items()}
    return {**out, **main}


def _solve(
    grid: VoxelGrid, table: Floats, condition: str, kind: str, reach: Reach | None, options: Json
) -> Json:
    """One discretisation; reach: None if every voxel conducts."""
    dim = grid.dim
    problem = VoxelProblem(grid, discretisation=kind, condition=condition, **options)
    tensor, energy = np.full((2, dim, dim), np.nan)
    iterations: list[int] = []
    dofs = 0
    extended = np.append(table, 0.0)
    rounds = [(d,) for d in range(dim)] if condition == "through" else [tuple(range(dim))]
    for directions in rounds:
        codes, some = (grid.codes, True) if reach is None else reach.codes(directions[0])
        block = np.ix_(directions, directions)
        if not some:
            tensor[block] = energy[block] = 0.0
            continue
        solved = problem.solve(codes, extended, directions)
        tensor[block], energy[block] = solved.tensor[block], solved.energy[block]
        iterations += solved.iterations
        dofs = max(dofs, solved.dofs)
    if condition == "periodic" and reach is not None:
        tensor, energy = _without_contacts(tensor, energy, reach.windings)
    return {**_tensor_entries(tensor, energy), "iterations": iterations, "dofs": dofs}


class Reach:
    """Which voxels of a phase current can reach under a condition. Collective.

    conducts: (codes,) whether a code belongs to the phase
    """

    def __init__(self, grid: VoxelGrid, conducts: Flags, condition: str):
        self._grid = grid
        self._clusters = voxel_components(grid, conducts, condition == "periodic")
        touches, dim = self._clusters.touches, grid.dim
        self._reached: Flags
        # (clusters, dim): whether the cluster is part of the problem with a gradient along each direction
        if condition == "periodic":
            self._reached = np.repeat(self._clusters.percolates.any(axis=1, keepdims=True), dim, axis=1)
        elif condition == "through":
            self._reached = np.asarray(touches.all(axis=2))
        else:
            self._reached = np.repeat(np.any(touches, axis=(1, 2))[:, None], dim, axis=1)

    @property
    def windings(self) -> Floats:
        """(k, dim) of all closed paths, periodic."""
        none = np.zeros((0, self._grid.dim))
        return np.concatenate([none, *self._clusters.windings])

    def share(self) -> float:
        """Volume share of what takes part along some direction."""
        return self._clusters.voxels(np.asarray(self._reached.any(axis=1))) / self._grid.voxels

    def codes(self, direction: int) -> tuple[NDArray[np.uint8], bool]:
        """Codes of the own voxels with one more code for what is out of reach, and whether anything is not."""
        reached = self._reached[:, direction]
        if reached.all():
            return self._grid.codes, len(reached) > 0
        extra = np.uint8(len(self._grid.values))
        return np.where(self._clusters.mask(~reached), extra, self._grid.codes), bool(reached.any())
