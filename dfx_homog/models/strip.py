"""Boundary layers at separator and collector faces: strip problems and their excess resistances.

A row of unit cells, from one collector through the separator to the other, xi = y1/delta along it, periodic across, on
the same tiled mesh as the resolved model. For a coefficient A (1 in the electrolyte, k, sigma_s) and unit flux,

    div(A grad chi) = 0,   int A d_1 chi = 1 through every cross-section of unit area.

Some unit cells away from a face chi is (xi + W_1)/A_11 + C, W the corrector of the cell problem (mean zero), up to what
decays exponentially. The constants C differ from region to region, and from the mean of chi on a collector:

    r_e, r_T = C on the +y1 side of a separator face - C on its -y1 side, xi = 0 on the face; electrolyte, both phases;
    r_c      = mean of chi on a collector - C (mirrored at the negative one), flux 1 per area on all of F, both phases;
    r_s      = the same at the positive collector for the solid, flux |F|/|F_s| on F_s; at the negative one chi = 0 on
               F_s, as Phi_s is, and r_s = C.

All in lengths of the unit cell over the unit of A. VERIFICATION section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from mpi4py import MPI
from petsc4py import PETSc

from dfx_homog import _compat
from dfx_homog._compat import FloatArray
from dfx_homog.errors import BadInput, SolverFailure
from dfx_homog.microstructure.components import connected_components
from dfx_homog.microstructure.connectivity import Flags, advances, connect
from dfx_homog.microstructure.tiling import tile_mesh
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.models.effective import EffectiveMedium
from dfx_homog.models.excess import StripResistances
from dfx_homog.models.fields import quadrature_degrees
from dfx_homog.models.resolved_forms import Material, cellwise
from dfx_homog.solvers.layout import Transfer, build_layout
from dfx_homog.solvers.presets import DIRECT, ELLIPTIC, ELLIPTIC_3D, set_options

NEGATIVE, SEPARATOR, POSITIVE = range(3)
FIRST, LONGEST = 4, 16  # unit cells from a face to where C is read off, at first and at most
TRUNCATION = 1e-10  # largest error of a C that is left by the finite distance


def strip_resistances(
    comm: MPI.Intracomm,
    cells: tuple[UnitCell, ...],
    materials: tuple[Material, ...],
    media: tuple[EffectiveMedium, ...],
    *,
    preset: str = "iterative",
    user: tuple[str, ...] = (),
) -> StripResistances:
    """Solve the strip problems of negative electrode, separator and positive electrode. Collective.

    media: their cell problems, with correctors. Raises BadInput where phases do not lead through a strip, and
    SolverFailure where the linear solver fails or the constants depend on the strip's length.
    """
    count = FIRST
    while True:
        strip = _Strip(comm, cells, materials, media, count, preset, user)
        found = strip.resistances()
        if found.truncation <= TRUNCATION:
            return found
        if count >= LONGEST:
            raise SolverFailure(
                f"wall law: the excess resistances still change by {found.truncation:.1e} at {count} unit cells from "
                "the faces; parallel parts of one phase that do not share the current as in the periodic medium have "
                "none"
            )
        count *= 2


@dataclass(frozen=True)
class _Field:
    """One elliptic problem on the strip.

    name: of its tensor, S, B or K; values: coefficient by region, electrolyte and solid; where: (cells,) that conduct
    """

    name: str
    values: list[tuple[Any, Any]]
    where: Flags


class _Strip:
    """2 n + 1 unit cells of each region; the constants are read off in the middle, or at an end without a layer."""

    def __init__(
        self,
        comm: MPI.Intracomm,
        cells: tuple[UnitCell, ...],
        materials: tuple[Material, ...],
        media: tuple[EffectiveMedium, ...],
        count: int,
        preset: str,
        user: tuple[str, ...],
    ):
        self.comm, self.cells, self.materials, self.media, self.count = comm, cells, materials, media, count
        self._preset, self._user = preset, user
        self.length = 2 * count + 1
        dim = cells[0].dim
        lateral, counts = (1,) * (dim - 1), (self.length,) * 3
        across = tuple(range(1, dim))
        self.tiled = tiled = tile_mesh(comm, cells, counts, lateral, 1.0)
        mesh, order = tiled.mesh, tiled.order
        self.space = fem.functionspace(mesh, ("Lagrange", order))
        self.nodes = self.space.dofmap.index_map.size_local + self.space.dofmap.index_map.num_ghosts
        self.keys = tiled.periodic_keys(tiled.node_ids(self.space.dofmap.list, self.nodes), across)
        self.x = self.space.tabulate_dof_coordinates()[: self.nodes, 0]
        parts = connected_components(cells[SEPARATOR])
        through = [p for p in parts if p.phase == ELECTROLYTE and advances(p.windings, lateral_periodic=True)]
        if len(through) > 1:
            raise BadInput(
                f"homogenised.wall_law: the separator's electrolyte is {len(through)} parts that do not meet, each "
                "with a potential of its own (allowed: false, or a separator whose pores are connected)"
            )
        connected = connect(cells, counts, lateral, across)
        for name, (solid, pores) in zip(("negative", "separator", "positive"), connected.usable, strict=True):
            if not pores or (name != "separator" and not solid):
                raise BadInput(
                    f"homogenised.wall_law: no {'electrolyte' if not pores else 'solid'} leads through the {name} "
                    f"region in a row of {self.length} unit cells (allowed: false, or another geometry)"
                )
        self.active = np.zeros(len(tiled.phase), dtype=bool)
        for kind in range(len(tiled.units)):
            here = np.flatnonzero(tiled.cell_kind == kind)
            self.active[here] = connected.cells(kind, tiled.cell_tile[here], tiled.cell_unit[here])
        self._build(mesh, dim, order)
        self.dofs = self.iterations = 0
        self.truncation = 0.0

    def _build(self, mesh: Any, dim: int, order: int) -> None:
        volume, surface = quadrature_degrees(order)
        dx = ufl.Measure("dx", mesh, metadata={"quadrature_degree": volume})
        ends = {side + 1: self.tiled.end_facets(side) for side in (0, 1)}
        solid = {
            side + 3: f[self.active[f[:, 0]] & (self.tiled.phase[f[:, 0]] == SOLID)]
            for side, f in enumerate(ends.values())
        }
        self._ds = ufl.Measure(
            "ds",
            mesh,
            subdomain_data=[(tag, f.ravel()) for tag, f in (ends | solid).items()],
            metadata={"quadrature_degree": surface},
        )
        self._test, self._one = ufl.TestFunction(self.space), fem.Constant(mesh, 1.0)
        self._dx, self._dim = dx, dim
        self.chi = fem.Function(self.space)
        self._corrector = fem.Function(fem.functionspace(mesh, ("DG", order)))
        self._weight = fem.Function(fem.functionspace(mesh, ("DG", 0)))
        self._per_cell = fem.functionspace(mesh, ("DG", 0, (3,)))
        q = ufl.TestFunction(self._per_cell)
        x = ufl.SpatialCoordinate(mesh)
        self._cell_sums = _compat.compile_form((self.chi * q[0] + x[0] * q[1] + q[2]) * dx)

    # the three coefficients -----------------------------------------------------------------------------------------

    def resistances(self) -> StripResistances:
        """Solve for electrolyte, heat and solid, and compare the constants."""
        wet = self.active & (self.tiled.phase == ELECTROLYTE)
        solid = self.active & (self.tiled.phase == SOLID)
        materials = self.materials
        r_e = self._electrolyte(_Field("B", [(1.0, None)] * 3, wet))
        r_T, r_c = self._heat(_Field("K", [(m.k_e, m.k_s) for m in materials], np.ones_like(wet)))
        r_s = self._solid(_Field("S", [(None, m.sigma_s) for m in materials], solid))
        return StripResistances(
            r_e, r_T, r_c, r_s, self.count, self.truncation, self._asymmetry(), self.dofs, self.iterations
        )

    def _asymmetry(self) -> float:
        """A corrector of a mirror-symmetric cell is odd about its faces: zero there."""
        return max(
            float(np.abs(problem.correctors[self.cells[region].end_nodes(0), 0]).max())
            for region in (NEGATIVE, POSITIVE)
            for problem in self.media[region].problems.values()
        )

    def _face(self, number: int) -> float:
        """xi of negative collector, separator faces and positive collector, from the negative collector on."""
        return float(number * self.length)

    def _electrolyte(self, field: _Field) -> tuple[float, float]:
        coefficient = self._coefficient(field)
        load = self._far_load(field, coefficient, NEGATIVE, 0) + self._far_load(
            field, coefficient, POSITIVE, 1
        )
        fixed = self._pin(field)
        self._solve(field, coefficient, load, fixed)
        return self._jumps(field, at_ends=True)

    def _heat(self, field: _Field) -> tuple[tuple[float, float], tuple[float, float]]:
        coefficient = self._coefficient(field)
        faces = [self._face_mean(side + 1) for side in (0, 1)]
        self._solve(field, coefficient, faces[1] - faces[0], self._pin(field))
        constants = self._constants(field, NEGATIVE, 0), self._constants(field, POSITIVE, 3)
        means = [self._sum(w @ self.chi.x.array) for w in faces]
        r_c = self._middle(constants[0]) - means[0], means[1] - self._middle(constants[1])
        return self._jumps(field, at_ends=False), r_c

    def _solid(self, field: _Field) -> tuple[float, float]:
        coefficient = self._coefficient(field)
        tabs = [self._face_mean(side + 3) for side in (0, 1)]
        # negative electrode: chi = 0 on F_s, the far field's flux at the separator; positive electrode: flux on F_s;
        # there chi less the far field is solved for, and is zero at the separator
        load = self._far_load(field, coefficient, NEGATIVE, 1)
        load += tabs[1] - self._far_load(field, coefficient, POSITIVE, 1)
        on_tab = np.zeros(self.nodes, dtype=bool)
        on_tab[self._facet_nodes(3)] = True
        positive = self._touched(field.where & (self.tiled.cell_region == POSITIVE))
        fixed = on_tab | (positive & (np.abs(self.x - self._face(2)) < 1e-9))
        self._solve(field, coefficient, load, fixed)
        constants = self._constants(field, NEGATIVE, 0)
        self._estimate(constants, self.length - 1, 1)
        far = self._far_field(field, POSITIVE, 3)
        return float(constants[-1]), self._sum(tabs[1] @ self.chi.x.array) + far

    def _jumps(self, field: _Field, *, at_ends: bool) -> tuple[float, float]:
        """C on the +y1 side less C on the -y1 side of both separator faces.

        at_ends: there is no layer at the ends of the strip, so that the electrodes' constants are best there
        """
        out = []
        for face, (left, right) in ((1, (NEGATIVE, SEPARATOR)), (2, (SEPARATOR, POSITIVE))):
            values = []
            for region, outwards, electrode in (
                (left, -1, left == NEGATIVE),
                (right, 1, right == POSITIVE),
            ):
                constants = self._constants(field, region, face)
                at = (0 if outwards < 0 else len(constants) - 1) if at_ends and electrode else self.count
                self._estimate(constants, at, outwards)
                values.append(float(constants[at]))
            out.append(values[1] - values[0])
        return out[0], out[1]

    # far away from the faces ----------------------------------------------------------------------------------------

    def _middle(self, constants: FloatArray) -> float:
        self._estimate(constants, self.count, 1)
        self._estimate(constants, self.count, -1)
        return float(constants[self.count])

    def _estimate(self, constants: FloatArray, at: int, outwards: int) -> None:
        """Take note of the error of constants[at], from its last two differences, which fall geometrically.

        outwards: direction away from the layer
        """
        near, last = (
            abs(float(constants[at - k * outwards] - constants[at - (k + 1) * outwards])) for k in (1, 0)
        )
        if last > TRUNCATION:
            ratio = min(last / near, 0.9) if near > 0 else 0.9
            last *= ratio / (1 - ratio)
        self.truncation = max(self.truncation, last)

    def _constants(self, field: _Field, region: int, face: int) -> FloatArray:
        """(length,) C of each unit cell of a region, the mean of chi - xi/A_11 in it; xi = 0 on a face."""
        space = self._per_cell
        cells = np.zeros(3 * (space.dofmap.index_map.size_local + space.dofmap.index_map.num_ghosts))
        _compat.assemble_vector(self._cell_sums, cells)
        count, column = len(self.tiled.phase), self.tiled.cell_tile[:, 0]
        rows = cells.reshape(-1, 3)[space.dofmap.list[:count, 0]] * field.where[:, None]
        sums = np.array([np.bincount(column, row, 3 * self.length) for row in rows.T])
        self.comm.Allreduce(MPI.IN_PLACE, sums)
        chi, x, volume = sums[:, region * self.length : (region + 1) * self.length]
        return np.asarray(
            (chi - (x - volume * self._face(face)) / self._conductivity(field, region)) / volume
        )

    def _conductivity(self, field: _Field, region: int) -> float:
        tensor = self.media[region].tensor(field.name)
        assert tensor is not None
        return float(tensor[0, 0])

    def _load_corrector(self, field: _Field, region: int) -> None:
        tiled, space = self.tiled, self._corrector.function_space
        here = np.flatnonzero(tiled.cell_kind == region)
        nodes = self.cells[region].cells[tiled.cell_unit[here]]
        self._corrector.x.array[:] = 0
        self._corrector.x.array[space.dofmap.list[here]] = (
            self.media[region].problems[field.name].correctors[nodes, 0]
        )

    def _column(self, region: int, side: int) -> Flags:
        """(cells,) of the first (side 0) or last unit cell of a region."""
        at = region * self.length + (0 if side == 0 else self.length - 1)
        return np.asarray(self.tiled.cell_tile[:, 0] == at)

    def _far_load(self, field: _Field, A: fem.Function, region: int, side: int) -> FloatArray:
        """Nodal loads of the far field's flux A (e_1 + grad W_1)/A_11 out of a region's face z1 = side.

        From the unit cell next to it: its discrete equations leave these at the nodes of the face alone.
        """
        self._load_corrector(field, region)
        cells = self._weight.function_space.dofmap.list[: len(field.where), 0]
        self._weight.x.array[cells] = (field.where & self._column(region, side)) / self._conductivity(
            field, region
        )
        slope = ufl.as_vector(np.eye(self._dim)[0].tolist()) + ufl.grad(self._corrector)
        flux = ufl.dot(A, slope) if A.ufl_shape else A * slope
        out = np.zeros(self.nodes)
        _compat.assemble_vector(
            _compat.compile_form(self._weight * ufl.inner(flux, ufl.grad(self._test)) * self._dx), out
        )
        out[np.abs(self.x - self._face(region + side)) > 1e-9] = 0.0
        return out

    def _far_field(self, field: _Field, region: int, face: int) -> float:
        """Mean of (xi + W_1)/A_11 over F_s, xi = 0 on the face."""
        self._load_corrector(field, region)
        tag = 4
        form = _compat.compile_form(self._corrector * self._ds(tag))
        area = self._sum(fem.assemble_scalar(_compat.compile_form(self._one * self._ds(tag))))
        mean = self._sum(fem.assemble_scalar(form)) / area
        return mean / self._conductivity(field, region)

    # the linear problems --------------------------------------------------------------------------------------------

    def _coefficient(self, field: _Field) -> fem.Function:
        tiled = self.tiled
        flat = [v for pair in field.values for v in pair]
        # inert parts of a phase that does conduct elsewhere are no part of the problem
        kind = np.where(field.where, tiled.cell_region * 2 + (tiled.phase == SOLID), len(flat))
        return cellwise(tiled.mesh, [*flat, None], kind, self._dim)

    def _touched(self, cells: Flags) -> Flags:
        out = np.zeros(self.nodes, dtype=bool)
        out[self.space.dofmap.list[np.flatnonzero(cells)].ravel()] = True
        return out

    def _facet_nodes(self, tag: int) -> npt.NDArray[np.int64]:
        weights = np.zeros(self.nodes)
        _compat.assemble_vector(_compat.compile_form(self._test * self._ds(tag)), weights)
        return np.flatnonzero(weights)

    def _pin(self, field: _Field) -> Flags:
        """One node in the middle of the separator."""
        tiled = self.tiled
        middle = field.where & (tiled.cell_tile[:, 0] == SEPARATOR * self.length + self.count)
        keys = self.keys[self._touched(middle)]
        first = self.comm.allreduce(int(keys.min()) if len(keys) else tiled.node_count, op=MPI.MIN)
        return np.asarray(self.keys == first)

    def _face_mean(self, tag: int) -> FloatArray:
        """(nodes,) this rank's weights of the mean over tagged facets."""
        out = np.zeros(self.nodes)
        _compat.assemble_vector(_compat.compile_form(self._test * self._ds(tag)), out)
        return out / self._sum(out.sum())

    def _sum(self, value: Any) -> float:
        return float(self.comm.allreduce(float(value)))

    def _solve(self, field: _Field, A: fem.Function, load: FloatArray, fixed: Flags) -> None:
        """chi where the field lives, zero at fixed nodes and elsewhere."""
        active = self._touched(field.where)[:, None]
        layout = build_layout(self.comm, self.keys, active, fixed[:, None])
        transfer, matrix = Transfer(layout), layout.create_matrix()
        u, v = ufl.TrialFunction(self.space), self._test
        flux = ufl.dot(A, ufl.grad(u)) if A.ufl_shape else A * ufl.grad(u)
        _compat.assemble_matrix(matrix, _compat.compile_form(ufl.inner(flux, ufl.grad(v)) * self._dx))
        matrix.assemble()
        b, w = layout.create_vector(), layout.create_vector()
        transfer.add_to_vector(load, b)
        ksp = PETSc.KSP().create(self.comm)
        ksp.setOptionsPrefix("strip_")
        base = ELLIPTIC if self._dim == 2 else ELLIPTIC_3D
        set_options("strip_", DIRECT if self._preset == "direct" else base, self._user)
        ksp.setOperators(matrix)
        ksp.setFromOptions()
        ksp.solve(b, w)
        iterations, reason = ksp.getIterationNumber(), ksp.getConvergedReason()
        self.chi.x.array[:] = 0
        transfer.to_function(w, self.chi.x.array)
        self.dofs = max(self.dofs, layout.global_size)
        self.iterations = max(self.iterations, iterations)
        for obj in (ksp, b, w, matrix):
            obj.destroy()
        transfer.destroy()
        if reason < 0:
            raise SolverFailure(f"wall law, {field.name}: CG did not converge in {iterations} iterations")
