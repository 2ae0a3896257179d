"""From a checked run file to unit cells, effective media and models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from dfx_homog.microstructure.build import broadcast, build_unit_cell, face_breaks
from dfx_homog.microstructure.components import connected_components
from dfx_homog.microstructure.extrude import extrude_face, same_faces
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.models.effective import EffectiveMedium, effective_medium
from dfx_homog.models.homogenised import HomogenisedModel
from dfx_homog.models.medium import Medium, check_coefficients
from dfx_homog.models.meso import coefficients
from dfx_homog.models.resolved import ResolvedModel
from dfx_homog.models.resolved_forms import Material
from dfx_homog.parameters.physics import physics_from_run
from dfx_homog.runfile import ELECTRODES, REGIONS, MeshGeometry, Run
from dfx_homog.runfile.microstructure import tensor_of_other_size
from dfx_homog.runfile.plane import Electrolyte
from dfx_homog.voxels.grid import VoxelGrid

LARGE = 200_000  # cells of a mesh that ranks map from a file
#: Relative residual of the cell problems of a mesh by dimension: the error of the diagonal is of its square. In the
#: plane the last digits cost nothing.
TOLERANCE = {2: 1e-13, 3: 1e-10}
Panels = dict[str, Any]  # pictures of a segmentation


@dataclass(frozen=True)
class Problem:
    """Run file, communicator and solver options of one command."""

    comm: MPI.Intracomm
    run: Run
    petsc: tuple[str, ...] = ()

    def unit_cells(self, out: Path | None = None, *, tiled: bool = True) -> dict[str, UnitCell]:
        """Mesh of every microstructure of the run file that is meshed.

        The three regions of a battery cell get the same nodes on their faces z1 = 0 and z1 = 1, so that tiles fit.
        out: large meshes are written there once, and mapped into memory by the ranks instead of copied to them
        tiled: whether the cells will be; if not, those in space need not fit
        Raises BadInput.
        """
        run, specs = self.run, self.run.meshes()
        joined = REGIONS if run.cell is not None and all(name in specs for name in REGIONS) else ()
        if not tiled and any(specs[name].dim != 2 for name in joined):
            joined = ()
        alone = {n: self._unit_cell(n, spec, out) for n, spec in specs.items() if n not in joined}
        if not joined:
            return alone
        orders = {name: specs[name].order for name in REGIONS}
        if len(set(orders.values())) > 1:
            raise run.problem(
                "microstructure.separator.order", f"must be the same in all regions, not {orders}"
            )
        if specs["negative"].dim == 3:
            together = self._joined_in_space(out) | alone
            return {name: together[name] for name in specs}
        breaks = sorted({round(b, 12) for name in REGIONS for b in face_breaks(specs[name])})
        size = min(specs[name].mesh_size for name in REGIONS)
        fitted = {name: build_unit_cell(name, specs[name], self.comm, breaks, size) for name in REGIONS}
        return {name: (fitted | alone)[name] for name in specs}

    def _joined_in_space(self, out: Path | None) -> dict[str, UnitCell]:
        """Both electrodes, whose faces z1 = 0 and 1 must be one mesh, and a separator drawn out of that face."""
        run, specs = self.run, self.run.meshes()
        cells = {name: self._unit_cell(name, specs[name], out) for name in ELECTRODES}
        if isinstance(specs["separator"], Electrolyte):
            cells["separator"] = extrude_face("separator", cells["negative"], specs["separator"].mesh_size)
        else:
            cells["separator"] = self._unit_cell("separator", specs["separator"], out)
        for name in ("separator", "positive"):
            if not same_faces(cells["negative"], cells[name]):
                raise run.problem(
                    f"microstructure.{name}.geometry",
                    "its mesh differs from that of negative on the faces z1 = 0 and 1, so that the regions cannot be "
                    "joined (allowed in three dimensions: the same geometry and mesh_size, or electrolyte)",
                )
        return cells

    def _unit_cell(self, name: str, spec: MeshGeometry, out: Path | None) -> UnitCell:
        comm, folder = self.comm, self.run.folder
        if out is None or comm.size == 1:
            cell = build_unit_cell(name, spec, comm, folder=folder)
        else:
            cell = self._mapped_cell(name, spec, out / "mesh" / name)
        if key := tensor_of_other_size(spec, cell.dim):
            raise self.run.problem(
                f"microstructure.{name}.{key}",
                f"is not a {cell.dim} x {cell.dim} tensor, but the unit cell has {cell.dim} dimensions",
            )
        return cell

    def _mapped_cell(self, name: str, spec: MeshGeometry, path: Path) -> UnitCell:
        """Made on rank 0; a large one reaches the others through a file."""
        comm = self.comm
        made: UnitCell | None = None
        error: Exception | None = None
        if comm.rank == 0:
            try:
                made = build_unit_cell(name, spec, MPI.COMM_SELF, folder=self.run.folder)
                if large := len(made.cells) > LARGE:
                    made.save(path)
            except Exception as raised:  # the other ranks wait for the broadcast
                error = raised
        error, large = comm.bcast((error, large) if comm.rank == 0 and error is None else (error, False))
        if error is not None:
            raise error
        return UnitCell.load(path) if large else broadcast(comm, made)

    def grids(self) -> dict[str, tuple[VoxelGrid, Panels | None]]:
        """Image of every microstructure that is made of voxels, with pictures of its segmentation. Raises BadInput."""
        from dfx_homog.voxels.image import load_image

        images = self.run.images()
        found = {n: load_image(self.comm, n, spec, self.run.folder) for n, spec in images.items()}
        for name, (grid, _) in found.items():
            check_coefficients(grid, images[name])
        return found

    def effective_media(self, cells: dict[str, UnitCell]) -> dict[str, EffectiveMedium]:
        """Cell problems of every mesh, with correctors."""
        preset, specs = self.run.solver.preset, self.run.microstructure
        return {
            name: effective_medium(self.comm, cell, material(specs[name]), preset=preset, user=self.petsc)
            for name, cell in cells.items()
        }

    def medium(self, name: str, geometry: UnitCell | VoxelGrid, tell: Callable[[str], None]) -> Medium:
        """Cell problems of one microstructure, on its mesh or its voxels, without correctors.

        tell: gets a line for each step
        """
        spec = self.run.microstructure[name]
        if isinstance(geometry, UnitCell):
            return effective_medium(
                self.comm,
                geometry,
                material(spec),
                preset=self.run.solver.preset,
                rtol=TOLERANCE[geometry.dim],
                correctors=False,
                user=self.petsc,
                tell=tell,
            )
        from dfx_homog.models.voxel_medium import voxel_medium

        return voxel_medium(geometry, spec, method=self.run.solver.voxels, user=self.petsc, tell=tell)

    @property
    def lateral_periods(self) -> tuple[int, ...]:
        """Unit cells across, for each lateral direction; one entry counts for all."""
        given = self.run.cell.lateral_periods
        directions = (self.run.meshes()["negative"].dim or 2) - 1
        return given * directions if len(given) == 1 else given

    def resolved(self, cells: dict[str, UnitCell], periods: tuple[int, int, int]) -> ResolvedModel:
        """The resolved model with the given unit cells through the regions."""
        run = self.run
        self.check_paths(cells)
        return ResolvedModel(
            self.comm,
            physics_from_run(run),
            tuple(cells[name] for name in REGIONS),
            tuple(material(run.microstructure[name]) for name in REGIONS),
            periods,
            self.lateral_periods,
            lateral_periodic=run.cell.lateral == "periodic",
            preset=run.solver.preset,
            user_options=self.petsc,
        )

    def homogenised(self, cells: dict[str, UnitCell], media: dict[str, EffectiveMedium]) -> HomogenisedModel:
        """The homogenised model on a line."""
        run = self.run
        self.check_paths(cells)
        self.check_conduction(media)
        return HomogenisedModel(
            self.comm,
            physics_from_run(run),
            (cells["negative"], cells["positive"]),
            tuple(
                coefficients(media[n], material(run.microstructure[n]), separator=n == "separator")
                for n in REGIONS
            ),
            tuple(float(p) for p in run.cell.periods),
            run.homogenised.elements,
            user_options=self.petsc,
        )

    def check_paths(self, cells: dict[str, UnitCell]) -> None:
        """Both phases of an electrode and the pores of the separator must carry current through it, every part."""
        for name in ELECTRODES:
            self._check_path(cells[name], SOLID, "solid")
        for name in REGIONS:
            self._check_path(cells[name], ELECTROLYTE, "electrolyte")

    def _check_path(self, cell: UnitCell, phase: int, name: str) -> None:
        parts = [c for c in connected_components(cell) if c.phase == phase]
        key = f"microstructure.{cell.name}.geometry"
        if not any(self._passes(c.windings) for c in parts):
            raise self.run.problem(
                key,
                f"its {name} does not percolate in direction 1 (S_11 or B_11 is zero): no current can pass",
            )
        if not all(any(c.percolates) for c in parts):
            raise self.run.problem(
                key, f"parts of its {name} are detached; this version needs every part to percolate"
            )

    def _passes(self, windings: np.ndarray) -> bool:
        """Whether closed paths with these windings carry current along direction 1.

        Between insulated sides a path must do so without advancing across: e_1 in the span of the windings.
        """
        if self.run.cell.lateral == "periodic":
            return bool(windings[:, 0].any())
        forward = np.eye(windings.shape[1])[:1]
        rank = np.linalg.matrix_rank(windings) if windings.size else 0
        return bool(rank and np.linalg.matrix_rank(np.vstack([windings, forward])) == rank)

    def check_conduction(self, media: dict[str, EffectiveMedium]) -> None:
        """One meso dimension is exact for periodic sides, or insulated ones without off-diagonal terms.

        Raises BadInput.
        """
        if self.run.cell.lateral == "periodic":
            return
        for region in REGIONS:
            for name, problem in media[region].problems.items():
                tensor = problem.tensor
                if np.abs(tensor[0, 1:]).max() > 1e-8 * np.abs(tensor).max():
                    raise self.run.problem(
                        "cell.lateral",
                        f'"insulated" with off-diagonal {name}_1j in {region} needs more than one meso '
                        'dimension, which this version does not have (allowed: "periodic")',
                    )


def material(spec: Any) -> Material:
    """Coefficients of a microstructure's two phases."""
    return Material(spec.sigma_s, spec.k_s, spec.k_e, spec.rho_cp_s, spec.rho_cp_e)
