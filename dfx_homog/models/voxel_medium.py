"""Effective coefficients of a voxel image: all tensors, bounds and geometry numbers (MODEL section 4).

Which voxels are connected is found before anything is solved: parts that do not percolate are left out of the
conducting phase, directions without a path get zeros. Connected means 6-connected (4 in the plane), as finite volumes
see it. Trilinear elements also conduct where voxels share an edge or a corner only; the reported tensor has nothing of
that in directions in which no path through faces leads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfx_homog._compat import FloatArray
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID
from dfx_homog.models.bounds import phase_bounds
from dfx_homog.models.medium import (
    PHASES,
    Json,
    Medium,
    check_coefficients,
    heat_capacity,
    matrix,
    path_projection,
    peak_memory,
)
from dfx_homog.voxels.components import voxel_components
from dfx_homog.voxels.grid import VoxelGrid
from dfx_homog.voxels.solver import VoxelProblem
from dfx_homog.voxels.surface import SpecificSurface, specific_surface

Ints = NDArray[np.int64]
SCHEMES = {"fv": ("fv",), "q1": ("q1",), "both": ("fv", "q1")}


@dataclass(frozen=True)
class VoxelTensor:
    """Solution of one cell problem on voxels; `seconds` of setup and solve."""

    tensor: FloatArray
    energy: FloatArray
    iterations: tuple[int, ...]
    residuals: tuple[float, ...]
    dofs: int
    seconds: dict[str, float]


@dataclass(frozen=True)
class VoxelMedium(Medium):
    """Effective coefficients of an image.

    discretisation: fv | q1 | both; condition: that of the outer faces; shape: voxels along the directions
    shares:         share of each label
    a_faceted:      surface of the voxels' faces between transporting parts, a_corrected: estimate of the smooth
                    interface's (= a)
    schemes:        by discretisation, by tensor
    """

    discretisation: str
    condition: str
    shape: tuple[int, ...]
    shares: dict[int, float]
    a_faceted: float
    schemes: dict[str, dict[str, VoxelTensor]]

    def to_json(self) -> Json:
        """As for meshes, and what voxels have besides."""
        out = super().to_json()
        out |= {
            "discretisation": self.discretisation,
            "condition": self.condition,
            "shape": list(self.shape),
            "shares": {str(label): share for label, share in self.shares.items()},
            "a_faceted": self.a_faceted,
            "a_corrected": self.a,
            "residuals": {n: list(h.residuals) for n, h in next(iter(self.schemes.values())).items()},
            "solver_seconds": {
                s: {n: h.seconds for n, h in found.items()} for s, found in self.schemes.items()
            },
        }
        if len(self.schemes) > 1:
            out["discretisations"] = {
                s: {n: matrix(found[n].tensor) if n in found else None for n in ("S", "B", "K")}
                for s, found in self.schemes.items()
            }
            out["bracket"] = {name: self._bracket(name) for name in self.problems}
        return out

    def _bracket(self, name: str) -> list[list[float]]:
        """Diagonals of the scheme that underestimates and of the one that overestimates."""
        both = np.array([np.diag(found[name].tensor) for found in self.schemes.values()])
        return [both.min(axis=0).tolist(), both.max(axis=0).tolist()]


def voxel_medium(
    grid: VoxelGrid,
    spec: Any,
    *,
    condition: str = "periodic",
    single: bool = True,
    rtol: float = 1e-8,
    method: str = "multigrid",
    user: tuple[str, ...] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> VoxelMedium:
    """Solve the cell problems of an image. Collective on grid.comm; ranks without planes only get the result.

    spec: has sigma_s, k_s (number, table label -> number, or None), k_e, rho_cp_s, rho_cp_e (number or None) and
          discretisation
    condition, single, rtol, method, user: as for VoxelProblem
    tell: gets a line for each step
    Raises BadInput for tensor-valued coefficients and for labels without an entry in a table.
    """
    check_coefficients(grid, spec)
    part = grid.busy()
    result: VoxelMedium | Exception | None = None
    if part is not None:
        try:
            work = _Work(part, spec, condition, single, rtol, method, user, tell)
            result = work.medium()
        except Exception as error:
            if part.comm is grid.comm:
                raise
            result = error  # the idle ranks wait for the broadcast
        if part.comm is not grid.comm:
            part.comm.Free()
    if grid.shape[0] < grid.comm.size:
        result = grid.comm.bcast(result)
    if isinstance(result, Exception):
        raise result
    assert result is not None
    return result


def conductivities(grid: VoxelGrid, spec: Any, quantity: str) -> FloatArray:
    """(codes,) coefficient A of S, B or K for each code of the image: 0 where the phase does not conduct.

    sigma_s and k_s are numbers or tables from label to number; a phase that the image lacks needs none.
    """
    if quantity == "B":
        return np.where(grid.is_solid, 0.0, 1.0)
    solid = spec.sigma_s if quantity == "S" else spec.k_s
    electrolyte = 0.0 if quantity == "S" else spec.k_e
    by_label = solid if isinstance(solid, dict) else dict.fromkeys(grid.values, solid)
    pairs = zip(grid.values, grid.solid, strict=True)
    return np.array(
        [float((by_label[label] if is_solid else electrolyte) or 0.0) for label, is_solid in pairs]
    )


class _Work:
    """One image on the ranks that have planes."""

    def __init__(
        self,
        grid: VoxelGrid,
        spec: Any,
        condition: str,
        single: bool,
        rtol: float,
        method: str,
        user: tuple[str, ...],
        tell: Callable[[str], None],
    ):
        self.grid, self.spec, self.condition, self.tell = grid, spec, condition, tell
        self.options: dict[str, Any] = {"single": single, "rtol": rtol, "method": method, "user": user}
        self.periodic = condition == "periodic"
        self.start = time.perf_counter()
        counts = grid.counts()
        self.share = counts / counts.sum()
        self.is_phase = {SOLID: grid.is_solid, ELECTROLYTE: ~grid.is_solid}
        self.volume = {p: float(self.share[codes].sum()) for p, codes in self.is_phase.items()}
        self.found: dict[tuple[bool, ...], _Connected] = {}

    def medium(self) -> VoxelMedium:
        """Everything that is asked for."""
        grid, spec = self.grid, self.spec
        tables = self._tables()
        parts = {p: self._connected(codes) for p, codes in self.is_phase.items()}
        kept = {p: part.share for p, part in parts.items()}
        whole = specific_surface(grid, self.periodic)
        between = self._surface(parts) or whole
        self.tell(f"phi_e = {kept[ELECTROLYTE]:.6g}, a = {between.corrected:.6g}; connected parts found")
        schemes: dict[str, dict[str, VoxelTensor]] = {}
        for scheme in SCHEMES[spec.discretisation]:
            problem = VoxelProblem(grid, discretisation=scheme, condition=self.condition, **self.options)
            schemes[scheme] = {}
            for name, table in tables.items():
                solved = self._solve(problem, table)
                schemes[scheme][name] = solved
                self.tell(f"{name} ({scheme}): {solved.dofs} unknowns, iterations {list(solved.iterations)}")
        return VoxelMedium(
            dim=grid.dim,
            phi_e=kept[ELECTROLYTE],
            phi_e_total=self.volume[ELECTROLYTE],
            a=between.corrected,
            a_total=whole.corrected,
            theta=heat_capacity(
                [spec.rho_cp_s, spec.rho_cp_e], [self.volume[SOLID], self.volume[ELECTROLYTE]]
            ),
            problems=schemes[SCHEMES[spec.discretisation][0]],
            bounds={name: phase_bounds(list(t), list(self.share), grid.dim) for name, t in tables.items()},
            percolates={name: parts[p].percolates for p, name in PHASES.items()},
            islands={
                name: 1 - kept[p] / self.volume[p] if self.volume[p] > 0 else 0.0
                for p, name in PHASES.items()
            },
            seconds=time.perf_counter() - self.start,
            memory=peak_memory(grid.comm),
            discretisation=spec.discretisation,
            condition=self.condition,
            shape=tuple(grid.shape[axis] for axis in grid.axes),
            shares={v: float(s) for v, s in zip(grid.values, self.share, strict=True)},
            a_faceted=between.faceted,
            schemes=schemes,
        )

    def _tables(self) -> dict[str, FloatArray]:
        """Conductivity of each code for the tensors that are asked for."""
        grid, spec = self.grid, self.spec
        has = {p: volume > 0 for p, volume in self.volume.items()}
        wanted = {
            "S": has[SOLID] and spec.sigma_s is not None,
            "B": has[ELECTROLYTE],
            "K": (spec.k_s is not None or not has[SOLID]) and (spec.k_e is not None or not has[ELECTROLYTE]),
        }
        return {name: conductivities(grid, spec, name) for name, needed in wanted.items() if needed}

    def _connected(self, conducts: NDArray[np.bool_]) -> _Connected:
        """Connected parts of the voxels whose code conducts, found once."""
        key = tuple(bool(c) for c in conducts)
        if key not in self.found:
            self.found[key] = _connected(self.grid, np.asarray(conducts), self.periodic)
        return self.found[key]

    def _surface(self, parts: dict[int, _Connected]) -> SpecificSurface | None:
        """Interface between transporting parts; None where there are no others."""
        grid = self.grid
        if grid.comm.allreduce(sum(len(part.islands) for part in parts.values())) == 0:
            return None
        sides = []
        for phase in (SOLID, ELECTROLYTE):
            mask = self.is_phase[phase][grid.codes]
            mask.reshape(-1)[parts[phase].islands] = False
            sides.append(mask)
        return specific_surface(grid, self.periodic, sides[0], sides[1])

    def _solve(self, problem: VoxelProblem, table: FloatArray) -> VoxelTensor:
        """One tensor, without what does not percolate."""
        dim = self.grid.dim
        parts = None if table[self.share > 0].min() > 0 else self._connected(table > 0)
        tensor: FloatArray = np.zeros((dim, dim))
        if self.condition == "through":
            tensor[~np.eye(dim, dtype=bool)] = np.nan
        energy: FloatArray = tensor.copy()
        iterations, residuals, dofs = [0] * dim, [0.0] * dim, 0
        seconds: dict[str, float] = {}
        for directions, dropped in self._groups(parts):
            solved = problem.solve(self._without(dropped, table), table, directions)
            block = np.ix_(directions, directions)
            tensor[block], energy[block] = solved.tensor[block], solved.energy[block]
            # empty where nothing had to be solved
            for direction, n, r in zip(directions, solved.iterations, solved.residuals, strict=False):
                iterations[direction], residuals[direction] = n, r
            dofs = max(dofs, solved.dofs)
            seconds = {k: seconds.get(k, 0.0) + v for k, v in solved.seconds.items()}
        if self.periodic and parts is not None:
            project = path_projection(parts.windings, dim)
            if np.any(project != np.eye(dim)):
                tensor, energy = project @ tensor @ project, project @ energy @ project
        return VoxelTensor(tensor, energy, tuple(iterations), tuple(residuals), dofs, seconds)

    def _groups(self, parts: _Connected | None) -> Iterator[tuple[tuple[int, ...], Ints | None]]:
        """Directions that are solved together, and the own voxels that are left out; parts: None if all conducts.

        Under dirichlet and flux parts that end at a face carry something, too.
        """
        everything = tuple(range(self.grid.dim))
        if self.condition in ("dirichlet", "flux") or (parts is None and self.periodic):
            yield everything, None
        elif parts is None:
            yield from (((i,), None) for i in everything)
        elif not self.periodic:
            yield from (((i,), parts.dropped[i]) for i in everything if parts.percolates[i])
        elif any(parts.percolates):
            yield tuple(i for i in everything if parts.percolates[i]), parts.dropped[0]

    def _without(self, dropped: Ints | None, table: FloatArray) -> NDArray[np.uint8]:
        """The codes, with those of the given voxels replaced by one that does not conduct."""
        if dropped is None or self.grid.comm.allreduce(len(dropped)) == 0:
            return self.grid.codes
        codes = self.grid.codes.copy()
        codes.reshape(-1)[dropped] = int(np.argmin(table))
        return codes


@dataclass(frozen=True)
class _Connected:
    """Connected parts of some codes.

    percolates: per direction; windings: (k, d) of all closed paths (periodic); share: of the voxels in parts that
    percolate, of all if none does; dropped: per direction, own voxels (flat) of parts that carry nothing in it;
    islands: own voxels of parts that do not percolate while others do
    """

    percolates: list[bool]
    windings: Ints
    share: float
    dropped: tuple[Ints, ...]
    islands: Ints


def _connected(grid: VoxelGrid, conducts: NDArray[np.bool_], periodic: bool) -> _Connected:
    clusters = voxel_components(grid, conducts, periodic)
    percolates = np.asarray(clusters.percolates, dtype=bool)
    through: NDArray[np.bool_] = np.asarray(percolates.any(axis=1))
    kept = clusters.sizes[through] if through.any() else clusters.sizes
    windings: Ints = np.zeros((0, grid.dim), dtype=np.int64)
    if periodic:
        windings = np.concatenate([windings, *clusters.windings])

    def voxels_of(out: NDArray[np.bool_]) -> Ints:
        return np.flatnonzero(clusters.mask(out))

    if periodic:
        dropped = (voxels_of(np.asarray(~through)),) * grid.dim
    else:
        dropped = tuple(voxels_of(np.asarray(~percolates[:, i])) for i in range(grid.dim))
    islands = voxels_of(np.asarray(~through) if through.any() else through)
    share = float(kept.sum()) / grid.voxels
    along = [bool(percolates[:, i].any()) for i in range(grid.dim)]
    return _Connected(along, windings, share, dropped, islands)
