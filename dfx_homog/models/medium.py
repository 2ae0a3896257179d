"""What is known of a microstructure once its cell problems are solved, and how it is written to result.json.

Meshes (effective.py) and voxels (voxel_medium.py) share this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from dfx_homog import timing
from dfx_homog._compat import FloatArray
from dfx_homog.errors import BadInput
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID
from dfx_homog.models.bounds import ONE_PHASE
from dfx_homog.voxels.grid import VoxelGrid

Json = dict[str, Any]
ROUNDING = 1e-10  # a smaller share of a phase is no island
PHASES = {SOLID: "solid", ELECTROLYTE: "electrolyte"}


class Solved(Protocol):
    """Solution of one cell problem: A_eff and <A F F^T>, both (d, d), and what it took."""

    @property
    def tensor(self) -> FloatArray: ...
    @property
    def energy(self) -> FloatArray: ...
    @property
    def iterations(self) -> tuple[int, ...]: ...
    @property
    def dofs(self) -> int: ...


@dataclass(frozen=True)
class Medium:
    """Effective coefficients of one microstructure; a tensor is missing where its coefficient is not given.

    phi_e, a:    transporting porosity and specific surface in 1/(unit-cell length): of the parts that percolate (MODEL
                 section 4), of all where none does
    phi_e_total, a_total: of everything
    theta:       <rho cp>, None where a capacity is missing
    problems:    by tensor, S (electronic, in units of sigma_s's scale), B (geometry of the electrolyte), K (thermal)
    bounds:      by tensor, as models/bounds.py says
    percolates:  "solid", "electrolyte": per direction
    islands:     "solid", "electrolyte": share of the phase's volume in parts that do not percolate while others do
    seconds:     wall time
    memory:      largest resident memory so far, bytes, summed over the ranks
    """

    dim: int
    phi_e: float
    phi_e_total: float
    a: float
    a_total: float
    theta: float | None
    problems: Mapping[str, Solved]
    bounds: dict[str, dict[str, float | None]]
    percolates: dict[str, list[bool]]
    islands: dict[str, float]
    seconds: float
    memory: int

    def tensor(self, name: str) -> FloatArray | None:
        """S, B or K as (d, d) array."""
        return self.problems[name].tensor if name in self.problems else None

    def to_json(self) -> Json:
        """The entry of result.json for this microstructure.

        tortuosity_total is phi_e_total/B_ii, with closed pores counted, as codes do that know no islands.
        """
        out: Json = {
            "dim": self.dim,
            "phi_e": self.phi_e,
            "phi_e_total": self.phi_e_total,
            "a": self.a,
            "a_total": self.a_total,
            "theta": self.theta,
        }
        for name in ("S", "B", "K"):
            out[name] = matrix(self.tensor(name))
        for name, source in (("Q_s", "S"), ("Q_e", "B")):
            out[name] = joule_tensor(self.problems.get(source))
        out |= derived(self.tensor("B"), self.phi_e)
        out["tortuosity_total"] = derived(self.tensor("B"), self.phi_e_total)["tortuosity"]
        out["bounds"] = self.bounds
        out["hill_mandel"] = {
            n: float(np.nanmax(np.abs(h.energy - h.tensor))) for n, h in self.problems.items()
        }
        out["percolates"] = self.percolates
        out["islands"] = {phase: share if share > ROUNDING else 0.0 for phase, share in self.islands.items()}
        out["dofs"] = {n: h.dofs for n, h in self.problems.items()}
        out["iterations"] = {n: list(h.iterations) for n, h in self.problems.items()}
        out["seconds"] = self.seconds
        out["memory"] = self.memory
        return out


def matrix(tensor: FloatArray | None) -> list[list[float | None]] | None:
    """Nested lists; None for entries that a condition leaves open (nan), and where there is no tensor."""
    if tensor is None:
        return None
    return [[None if np.isnan(v) else float(v) for v in row] for row in tensor]


def derived(B: FloatArray | None, phi_e: float) -> Json:
    """Tortuosity factors phi_e/B_ii, MacMullin numbers 1/B_ii, Bruggeman exponents ln B_ii/ln phi_e, by direction.

    None where B_ii is zero; Bruggeman's is None for media of one phase.
    """
    if B is None:
        return {"tortuosity": None, "macmullin": None, "bruggeman": None}
    diagonal = [float(b) for b in np.diag(B)]
    two_phases = ONE_PHASE < phi_e < 1 - ONE_PHASE
    return {
        "tortuosity": [phi_e / b if b > 0 else None for b in diagonal],
        "macmullin": [1 / b if b > 0 else None for b in diagonal],
        "bruggeman": [float(np.log(b) / np.log(phi_e)) if b > 0 else None for b in diagonal]
        if two_phases
        else None,
    }


def joule_tensor(problem: Solved | None) -> Any:
    """Q = A_eff^-1 <A F F^T>, the identity by Hill-Mandel; None where A_eff is singular or not all known."""
    if problem is None or np.isnan(problem.tensor).any():
        return None
    values = np.linalg.eigvalsh(0.5 * (problem.tensor + problem.tensor.T))
    if values[0] <= 1e-12 * max(values[-1], 1e-300):
        return None
    return np.linalg.solve(problem.tensor, problem.energy).tolist()


def path_projection(windings: npt.NDArray[Any], dim: int) -> FloatArray:
    """(d, d) orthogonal projection on the span of the windings (k, d) of all closed paths of a phase.

    A_eff n = 0 for every n orthogonal to it. Applied to both sides of A_eff it removes rounding, and what finite
    elements conduct where two particles touch in a point or an edge only: such a contact carries no current, and the
    discrete value goes to zero slowly, like 1/log(1/h) for points in two dimensions.
    """
    rank = int(np.linalg.matrix_rank(windings)) if windings.size else 0
    if rank == dim:
        return np.eye(dim)
    basis = np.linalg.svd(windings)[2][:rank]
    project: FloatArray = basis.T @ basis
    project[np.abs(project) < 1e-14] = 0.0  # what is zero by topology is zero exactly
    return project


def heat_capacity(values: list[float | None], shares: list[float]) -> float | None:
    """theta = <rho cp> from capacities and shares of the parts; None if the capacity of one that exists is missing."""
    total = 0.0
    for value, share in zip(values, shares, strict=True):
        if share > 0:
            if value is None:
                return None
            total += value * share
    return total


def check_coefficients(grid: VoxelGrid, spec: Any) -> None:
    """Raises BadInput for a tensor, or a table that lacks a label of the solid."""
    where = f"[microstructure.{grid.name}]"
    for key in ("sigma_s", "k_s", "k_e"):
        value = getattr(spec, key)
        if isinstance(value, dict):
            missing = [
                v for v, solid in zip(grid.values, grid.solid, strict=True) if solid and v not in value
            ]
            if missing:
                raise BadInput(
                    f"{where} {key}: no entry for label {missing[0]} (allowed: one for each label of the solid)"
                )
        elif np.ndim(value) > 0:
            raise BadInput(f"{where} {key}: a tensor (allowed on voxels: a number > 0)")


def peak_memory(comm: MPI.Intracomm) -> int:
    """Largest resident memory so far in bytes, summed over the ranks. Collective."""
    return int(comm.allreduce(timing.peak_memory()))
