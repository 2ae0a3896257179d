"""From a checked run file to unit cells, effective media and models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from mpi4py import MPI

from dfx_homog.dimensionless.physics import Physics, physics_from_run
from dfx_homog.dimensionless.twin import Twin, dimensionless
from dfx_homog.microstructure.extrude import extrude_face
from dfx_homog.microstructure.unitcell import UnitCell
from dfx_homog.models.effective import EffectiveMedium, effective_medium
from dfx_homog.models.excess import StripResistances, wall_laws
from dfx_homog.models.fields import GROUPS, quadrature_degrees
from dfx_homog.models.homogenised import HomogenisedModel
from dfx_homog.models.medium import Medium, check_coefficients
from dfx_homog.models.meso import coefficients, given_coefficients
from dfx_homog.models.particle_geometry import ParticleGeometry, particle_geometry
from dfx_homog.models.radial import sphere_geometry
from dfx_homog.models.resolved import ResolvedModel
from dfx_homog.models.resolved_forms import Material
from dfx_homog.models.strip import strip_resistances
from dfx_homog.models.walled import WalledModel
from dfx_homog.models.walled_line import WalledLine
from dfx_homog.parameters.units import DIMENSIONLESS, Units
from dfx_homog.runfile import ELECTRODES, REGIONS, Run
from dfx_homog.runfile.given import Effective, Particle
from dfx_homog.runfile.microstructure import tensor_of_other_size
from dfx_homog.runfile.place import check_cooling, check_diffusivity
from dfx_homog.runfile.plane import Electrolyte
from dfx_homog.solvers.newton import Groups
from dfx_homog.studies.joining import fitting_separator
from dfx_homog.studies.meso_setup import dimension, meso_domain
from dfx_homog.studies.regions import active_cells, area_factors, check_paths, heat_capacities
from dfx_homog.studies.unit_cells import broadcast, build_unit_cell, face_breaks
from dfx_homog.timing import timed
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
    twin: Twin | None = None

    @property
    def units(self) -> Units:
        """What turns results into the units of the run file."""
        return DIMENSIONLESS if self.twin is None else self.twin.si

    def scaled(self, cells: dict[str, UnitCell]) -> Problem:
        """The problem without units that the models are made for: that of the twin of a run in SI, else this one.

        cells: of the regions that are meshed, whose heat capacities are scales
        """
        if not self.run.in_si:
            return self
        twin = dimensionless(self.run, heat_capacities(self.run, cells))
        return replace(self, run=twin.run, twin=twin)

    @timed("mesh")
    def unit_cells(self, out: Path | None = None, *, tiled: bool = True) -> dict[str, UnitCell]:
        """Mesh of every microstructure of the run file that is meshed, in a battery cell of its images too.

        The three regions of a battery cell get the same nodes on their faces z1 = 0 and z1 = 1, so that tiles fit.
        out: large meshes are written there once, and mapped into memory by the ranks instead of copied to them
        tiled: whether the cells will be; if not, those in space need not fit, and images have no mesh
        Raises BadInput.
        """
        run, meshes = self.run, self.run.meshes()
        regions = [run.microstructure.get(name) for name in REGIONS]
        battery = run.cell is not None and all(spec is not None and not spec.is_given for spec in regions)
        plane = all(name in meshes and meshes[name].dim == 2 for name in REGIONS)
        joined = REGIONS if battery and (tiled or plane) else ()
        alone = {n: self._unit_cell(n, spec, out) for n, spec in meshes.items() if n not in joined}
        if not joined:
            return alone
        specs: dict[str, Any] = {name: run.microstructure[name] for name in REGIONS}
        orders = {name: specs[name].order for name in REGIONS}
        if len(set(orders.values())) > 1:
            raise run.problem(
                "microstructure.separator.order", f"must be the same in all regions, not {orders}"
            )
        if not plane:
            fitted = self._joined_by_faces(out)
        else:
            breaks = sorted({round(b, 12) for name in REGIONS for b in face_breaks(specs[name])})
            size = min(specs[name].mesh_size for name in REGIONS)
            fitted = {name: build_unit_cell(name, specs[name], self.comm, breaks, size) for name in REGIONS}
        return {name: (fitted | alone)[name] for name in run.microstructure if name in fitted | alone}

    def _joined_by_faces(self, out: Path | None) -> dict[str, UnitCell]:
        """Both electrodes, and a separator that fits their faces z1 = 0 and 1."""
        run, specs = self.run, self.run.microstructure
        cells = {name: self._unit_cell(name, specs[name], out) for name in ELECTRODES}
        separator, dim = specs["separator"], cells["negative"].dim
        if isinstance(separator, Electrolyte) and separator.dim == dim:
            cells["separator"] = extrude_face("separator", cells["negative"], separator.mesh_size)
        else:
            cells["separator"] = self._unit_cell("separator", separator, out)
        for name in ("separator", "positive"):
            if cells[name].dim != dim:
                raise run.problem(
                    f"microstructure.{name}.geometry",
                    f"has {cells[name].dim} dimensions, that of negative {dim}: the regions make one mesh",
                )
        return cells | {"separator": fitting_separator(self.comm, run, cells)}

    def _unit_cell(self, name: str, spec: Any, out: Path | None) -> UnitCell:
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

    def _mapped_cell(self, name: str, spec: Any, path: Path) -> UnitCell:
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

    @timed("mesh")
    def grids(self) -> dict[str, tuple[VoxelGrid, Panels | None]]:
        """Image of every microstructure that is made of voxels, with pictures of its segmentation. Raises BadInput."""
        from dfx_homog.voxels.image import load_image

        images = self.run.images()
        found = {n: load_image(self.comm, n, spec, self.run.folder) for n, spec in images.items()}
        for name, (grid, _) in found.items():
            check_coefficients(grid, images[name])
        return found

    def effective_media(self, cells: dict[str, UnitCell]) -> dict[str, EffectiveMedium]:
        """Cell problems of the regions' meshes, with correctors, of the parts that take part in the models."""
        active = active_cells(self.run, cells)
        preset, specs = self.run.solver.preset, self.run.microstructure
        return {
            name: effective_medium(
                self.comm, cell, material(specs[name]), preset=preset, active=active[name], user=self.petsc
            )
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

    def lateral_periods(self, cells: dict[str, UnitCell]) -> tuple[int, ...]:
        """Unit cells across, for each lateral direction; one entry counts for all. Raises BadInput."""
        given = self.run.cell.lateral_periods
        directions = max((cell.dim - 1 for cell in cells.values()), default=len(given))
        if len(given) not in (1, directions):
            raise self.run.problem(
                "cell.lateral_periods",
                f"{len(given)} entries for {directions} lateral directions (allowed: one entry, or one for each)",
            )
        return given * directions if len(given) == 1 else given

    def levels_across(
        self, cells: dict[str, UnitCell], dim: int
    ) -> dict[tuple[int, int, int], tuple[int, ...]]:
        """Unit cells across for each level of a convergence study.

        Those of [cell], or where more than one meso dimension is resolved, as many as keep the cell's size: then
        lateral_periods belong to cell.periods. Raises BadInput.
        """
        run, across = self.run, self.lateral_periods(cells)
        found = {}
        for periods in run.convergence.periods:
            scale = sum(periods) / sum(run.cell.periods) if dim > 1 else 1.0
            found[periods] = tuple(round(n * scale) for n in across)
            if any(abs(n - m * scale) > 1e-9 for n, m in zip(found[periods], across, strict=True)):
                raise run.problem(
                    "cell.lateral_periods",
                    f"{list(across)} with cell.periods = {list(run.cell.periods)} is no whole number of unit cells for "
                    f"{list(periods)} (allowed: multiples, so that every level is as wide)",
                )
        return found

    def physics(self, cells: dict[str, UnitCell]) -> Physics:
        """Materials and conditions; G of electrodes made of voxels with the area corrected where that is asked for."""
        for cell in cells.values():
            check_diffusivity(self.run, cell.dim)
        found, factors = physics_from_run(self.run), area_factors(self.run, cells)
        changed = {
            # the drop over a film is that of the current per true area
            n: replace(e, G=e.G * factors[n], film_resistance=e.film_resistance / factors[n])
            for n in ELECTRODES
            for e in [getattr(found, n)]
        }
        return replace(found, **changed)

    def resolved(
        self,
        cells: dict[str, UnitCell],
        periods: tuple[int, int, int],
        groups: Groups = GROUPS,
        across: tuple[int, ...] | None = None,
    ) -> ResolvedModel:
        """The resolved model with the given unit cells through the regions, preconditioned in groups of fields.

        across: unit cells across, default: those of [cell]
        """
        run = self.run
        check_cooling(run, "resolved", cells["negative"].dim)
        self.check_paths(cells, periods)
        return ResolvedModel(
            self.comm,
            self.physics(cells),
            tuple(cells[name] for name in REGIONS),
            tuple(material(run.microstructure[name]) for name in REGIONS),
            periods,
            across or self.lateral_periods(cells),
            lateral_periodic=run.cell.lateral == "periodic",
            preset=run.solver.preset,
            groups=groups,
            user_options=self.petsc,
        )

    def strips(
        self, cells: dict[str, UnitCell], media: dict[str, EffectiveMedium]
    ) -> StripResistances | None:
        """Excess resistances of the faces, if the run file asks for wall laws."""
        run = self.run
        if not run.homogenised.wall_law:
            return None
        return strip_resistances(
            self.comm,
            tuple(cells[n] for n in REGIONS),
            tuple(material(run.microstructure[n]) for n in REGIONS),
            tuple(media[n] for n in REGIONS),
            preset=run.solver.preset,
            user=self.petsc,
        )

    def homogenised(
        self,
        cells: dict[str, UnitCell],
        media: dict[str, EffectiveMedium],
        strips: StripResistances | None = None,
        periods: tuple[int, int, int] | None = None,
    ) -> HomogenisedModel:
        """The homogenised model on its meso domain; regions that are given have neither cell nor medium.

        strips: for wall laws, with so many unit cells (default: cell.periods) through the regions
        """
        run, specs = self.run, self.run.microstructure
        self.check_paths(cells)
        if strips is None:
            domain = meso_domain(self.comm, run, media)
        elif (dim := dimension(run, media)) > 1:
            raise run.problem(
                "homogenised.wall_law",
                f"true with {dim} meso dimensions (allowed: false, or homogenised.dim = 1)",
            )
        else:
            domain = WalledLine(self.comm, run.cell.widths, run.homogenised.elements)
        physics = self.physics(cells)
        solids = self._solid("negative", cells, physics), self._solid("positive", cells, physics)
        regions = tuple(
            coefficients(media[n], separator=n == "separator", dim=domain.dim)
            if n in cells
            else given_coefficients(cast("Particle | Effective", specs[n]), domain.dim)
            for n in REGIONS
        )
        if strips is None:
            preset = run.solver.preset
            return HomogenisedModel(
                self.comm, physics, solids, regions, domain, preset=preset, user_options=self.petsc
            )
        assert isinstance(domain, WalledLine)
        laws = wall_laws(strips, 1 / sum(periods or run.cell.periods))
        return WalledModel(self.comm, physics, solids, regions, domain, laws, user_options=self.petsc)

    def _solid(self, name: str, cells: dict[str, UnitCell], physics: Physics) -> ParticleGeometry:
        """Domain of an electrode's particle problems: the solid of its unit cell that takes part, or the sphere."""
        if name not in cells:
            spec = cast(Particle, self.run.microstructure[name])
            return sphere_geometry(name, spec.surfaces, spec.radii)
        electrode = getattr(physics, name)
        cell, active = cells[name], active_cells(self.run, cells)[name]
        tensor = electrode.D_s if isinstance(electrode.D_s, tuple) else None
        varies = not electrode.constant_diffusivity
        return particle_geometry(cell, *quadrature_degrees(cell.order), active, tensor, keep_elements=varies)

    def check_paths(self, cells: dict[str, UnitCell], *levels: tuple[int, int, int]) -> None:
        """Current can pass through all regions, in resolved domains of the given periods too. Raises BadInput."""
        check_paths(self.run, cells, levels, self.lateral_periods(cells))


def material(spec: Any) -> Material:
    """Coefficients of a microstructure's two phases."""
    return Material(spec.sigma_s, spec.k_s, spec.k_e, spec.rho_cp_s, spec.rho_cp_e)
