"""The fully resolved model: every particle meshed, five fields, double layer and heat (MODEL section 3)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from dolfinx import fem
from mpi4py import MPI
from petsc4py import PETSc

from dfx_homog import _compat
from dfx_homog._compat import FloatArray
from dfx_homog.dimensionless.physics import Physics
from dfx_homog.microstructure.tiling import tile_mesh
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID, UnitCell
from dfx_homog.models import resolved_forms as rf
from dfx_homog.models.fields import C_E, C_S, GROUPS, NAMES, PHI_S, TEMP
from dfx_homog.models.history import Balance
from dfx_homog.models.resolved_interface import ResolvedInterface
from dfx_homog.models.transient import TransientModel
from dfx_homog.solvers.assembly import BlockAssembly
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.guard import Bounds, Places
from dfx_homog.solvers.layout import Flags, Ints, Layout, build_layout
from dfx_homog.solvers.newton import Groups, NewtonSolver, SolveInfo, round_off
from dfx_homog.solvers.presets import NEWTON, Options
from dfx_homog.solvers.timestepping import TimeStep
from dfx_homog.timing import timed


class ResolvedModel(TransientModel):
    """State and solver of the resolved model on a strip of unit cells.

    cells, materials: negative electrode, separator, positive electrode
    periods:  unit cells through each region; delta = 1/sum(periods); lateral: unit cells across
    lateral_periodic: periodic across, else insulated
    groups: all fields in groups for the block preconditioner, in the order in which it takes them
    """

    @timed("assembly")
    def __init__(
        self,
        comm: MPI.Intracomm,
        physics: Physics,
        cells: tuple[UnitCell, ...],
        materials: tuple[rf.Material, ...],
        periods: tuple[int, ...],
        lateral: tuple[int, ...],
        *,
        lateral_periodic: bool,
        preset: str = "iterative",
        groups: Groups = GROUPS,
        user_options: tuple[str, ...] = (),
    ):
        self.comm, self.physics = comm, physics
        self.fields = NAMES
        self.delta = 1 / sum(periods)
        self.periodic = tuple(range(1, len(lateral) + 1)) if lateral_periodic else ()
        self.tiled = tile_mesh(comm, cells, periods, lateral, self.delta)
        self.forms = rf.ResolvedForms(self.tiled, physics, materials, self.periodic)
        self.preset, self.groups, self.user_options = preset, groups, user_options
        self._uneven: FloatArray | None = None  # load of a current that varies over the collector
        values = [v for m in materials for v in (m.sigma_s, m.k_s, m.k_e) if v is not None]
        largest = max(physics.lam * physics.c_e0, *(float(np.max(v)) for v in values))
        # a stiffness entry is a coefficient times a length to the power d - 2, here per collector area
        self._largest_entry = largest * self.delta ** (self.tiled.mesh.geometry.dim - 2) / self.forms.area
        space = self.forms.space
        self.nodes = space.dofmap.index_map.size_local + space.dofmap.index_map.num_ghosts
        self.coordinates = space.tabulate_dof_coordinates()[: self.nodes]
        self._number_unknowns()
        self._functionals()
        self._newton = self.solver(self.layout, "resolved_")
        self.interface: ResolvedInterface = ResolvedInterface(self)
        self.set_initial()

    # numbering ------------------------------------------------------------------------------------------------

    def _touched(self, local_cells: Ints) -> Flags:
        flag = np.zeros(self.nodes, dtype=bool)
        flag[self.forms.space.dofmap.list[local_cells].ravel()] = True
        return flag

    def _number_unknowns(self) -> None:
        solid = self._touched(np.flatnonzero(self.forms.part == SOLID))
        electrolyte = self._touched(np.flatnonzero(self.forms.part == ELECTROLYTE))
        heat = self._touched(np.arange(len(self.forms.part))) & (not self.physics.isothermal)
        self.active: Flags = np.column_stack([solid, solid, electrolyte, electrolyte, heat])
        self.fixed: Flags = np.zeros_like(self.active)
        self.fixed[self._facet_nodes(self.forms.facets[rf.NEGATIVE_TAB]), PHI_S] = True
        self.node_ids = self.tiled.node_ids(self.forms.space.dofmap.list, self.nodes)
        self.keys = self.tiled.periodic_keys(self.node_ids, self.periodic)
        order = tuple(field for group in self.groups.values() for field in group)
        self.layout = build_layout(self.comm, self.keys, self.active, self.fixed, order)

    def _facet_nodes(self, facets: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        layout = self.forms.space.dofmap.dof_layout
        dim = self.forms.mesh.topology.dim
        closure = np.array([layout.entity_closure_dofs(dim - 1, i) for i in range(dim + 1)])
        nodes: npt.NDArray[np.int32] = np.unique(
            self.forms.space.dofmap.list[facets[:, :1], closure[facets[:, 1]]]
        )
        return nodes

    def solver(self, layout: Layout, prefix: str, newton: Options = NEWTON) -> NewtonSolver:
        """Newton solver with the resolved model's residual and Jacobian."""
        forms = self.forms
        groups = layout.present(self.groups)
        blocks = tuple(groups.values()) if self.preset == "iterative" else (sum(groups.values(), ()),)
        jacobian = BlockAssembly(forms.tangent, forms.jacobian, layout, blocks)
        residual = _compat.form_loop(forms.residual)

        def add_residual(out: FloatArray) -> None:
            residual.add_vector(_compat.constants(forms.residual), out)
            if self._uneven is not None:
                out += self._uneven

        return NewtonSolver(
            layout,
            forms.u.x.array,
            add_residual,
            jacobian.assemble,
            groups,
            matrix=jacobian.create_matrix(),
            preset=self.preset,
            prefix=prefix,
            atol=round_off(layout.global_size, self._largest_entry),
            user_options=self.user_options,
            newton=newton,
            applied=self.applied(),
            bounds=self.bounds(),
            places=self.places(),
        )

    @property
    def voltage_weights(self) -> FloatArray:
        """(nodes,) this rank's part of the mean over the positive tab."""
        return self._w_tab

    def bounds(self) -> Bounds:
        """As in `TransientModel`, and 0 < c_s < c_max of the electrode."""
        bounds = super().bounds()
        bounds.lower[:, C_S] = 0.0
        for here, electrode in zip(
            self._solid_nodes, (self.physics.negative, self.physics.positive), strict=True
        ):
            bounds.upper[here, C_S] = electrode.c_max
        return bounds

    def places(self) -> Places:
        """Names of the fields and coordinates of the nodes."""
        return Places(self.fields, self.coordinates[:, : self.tiled.mesh.geometry.dim])

    def spread(self, control: Control) -> Control:
        """Put the current's profile over the positive tab, less its mean, into the residual (collective).

        Returns the control with this mean as its value: i_s.n = i_app(t, y) |F|/|F_s| on F_s (MODEL section 3).
        """
        if control.profile is None:
            self._uneven = None
            return control
        self.forms.time.value = control.time
        load = np.zeros_like(self.forms.u.x.array)
        _compat.assemble_vector(self.forms.profile(control.profile), load)
        mean = self.sum(load.sum())
        load.reshape(-1, 5)[:, PHI_S] -= mean * self._w_tab
        self._uneven = load
        return replace(control, value=mean)

    # states -----------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> tuple[Ints, int]:
        """Numbers of the nodes in the tiled mesh."""
        return self.node_ids, self.tiled.node_count

    def set_initial(self) -> None:
        """Uniform c_s0 and the equilibrium of `TransientModel.equilibrium`."""
        middle = (self.tiled.counts[0] + 0.5 * self.tiled.counts[1]) * self.delta
        negative = self.coordinates[:, 0] < middle
        self.values[:, C_S] = np.where(negative, self.physics.negative.c_s0, self.physics.positive.c_s0)
        self.equilibrium(negative)
        self.remember(2)

    def switch_on(self, control: Control) -> SolveInfo | None:
        """As in `TransientModel`; the current may vary over the collector."""
        self.forms.time.value = control.time
        return super().switch_on(self.spread(control))

    def advance(self, step: TimeStep) -> SolveInfo:
        """One implicit step by Newton's method on all five fields at once."""
        control = self.spread(step.control)
        self.forms.time.value = step.time
        self.set_step(replace(step, control=control))
        return self.solve(self._newton, control)

    def accept(self) -> None:
        """Make the new state the old one."""
        self.remember()

    # what is measured ---------------------------------------------------------------------------------------------

    def _functionals(self) -> None:
        forms, tiled = self.forms, self.tiled
        weight = forms.weight
        cells = weight.function_space.dofmap.list[: len(tiled.phase), 0]

        def volume(selector: FloatArray) -> FloatArray:
            weight.x.array[cells] = selector
            return self._assemble_nodes(forms.volume_functional)

        last = len(tiled.cells) - 1
        solid, electrolyte = forms.part == SOLID, forms.part == ELECTROLYTE
        self._w_solid = [volume((solid & (tiled.cell_region == r)).astype(float)) for r in (0, last)]
        self._solid_nodes = [
            self._touched(np.flatnonzero(solid & (tiled.cell_region == r))) for r in (0, last)
        ]
        self._w_electrolyte = [
            volume((electrolyte & (tiled.cell_region == r)).astype(float)) for r in (0, 1, 2)
        ]
        self._w_all = volume(np.ones(len(solid)))
        self._w_heat = volume(forms.rho_cp.x.array[cells].copy())
        self._w_tab = self._assemble_nodes(forms.tab_functional)

    def _assemble_nodes(self, form: fem.Form) -> FloatArray:
        out = np.zeros_like(self.forms.u.x.array)
        _compat.assemble_vector(form, out)
        nodal: FloatArray = out.reshape(-1, 5)[:, 0].copy()
        return nodal

    def _interface(self, form: fem.Form, electrode: int) -> float:
        weight, negative = self.forms.weight, self.forms.negative
        weight.x.array[:] = negative.x.array if electrode == 0 else 1 - negative.x.array
        return self.sum(fem.assemble_scalar(form))

    @property
    def voltage(self) -> float:
        """Mean of Phi_s over the positive tab (it is zero on the negative one)."""
        return self.sum(self.voltage_weights @ self.values[:, PHI_S])

    def mean_temperature(self) -> float:
        """Mean of T over the volume of both phases."""
        return self.sum(self._w_all @ self.values[:, TEMP]) / self.sum(self._w_all.sum())

    def states_of_charge(self) -> tuple[float, float]:
        """Mean of c_s/c_max in the solid of each electrode."""
        maxima = (self.physics.negative.c_max, self.physics.positive.c_max)
        n, p = (
            self.sum(w @ self.values[:, C_S]) / (self.sum(w.sum()) * m)
            for w, m in zip(self._w_solid, maxima, strict=True)
        )
        return n, p

    def saturations(self) -> tuple[FloatArray, FloatArray]:
        """This rank's nodal values of c_s/c_max in the negative and the positive electrode."""
        maxima = (self.physics.negative.c_max, self.physics.positive.c_max)
        n, p = (self.values[here, C_S] / m for here, m in zip(self._solid_nodes, maxima, strict=True))
        return n, p

    def electrolyte_weights(self) -> list[FloatArray]:
        """(nodes,) this rank's part of int v_i over the pores of each region."""
        return self._w_electrolyte

    def lithium(self) -> tuple[float, float]:
        """Inventories per collector area, solid and electrolyte."""
        new = self.values
        return (
            sum(self.sum(w @ new[:, C_S]) for w in self._w_solid),
            sum(self.sum(w @ new[:, C_E]) for w in self._w_electrolyte),
        )

    def balance(self) -> Balance:
        """Terms of the conservation laws, from the same discrete forms that were solved."""
        forms, p = self.forms, self.physics
        rate = self.rates()
        uneven = 0.0 if self._uneven is None else self.sum(self._uneven @ forms.u.x.array)
        heating = (
            self.sum(self._w_heat @ rate[:, TEMP]),
            self.sum(fem.assemble_scalar(forms.cooling)),
            p.lam * (self.current * self.voltage + uneven),
            p.lam * sum(self._interface(forms.interface_work, e) for e in (0, 1)),
            p.lam * sum(self._interface(forms.capacitor_work, e) for e in (0, 1)),
        )
        return Balance(
            lithium=self.lithium(),
            interface=(
                self._interface(forms.interface_current, 0),
                self._interface(forms.interface_current, 1),
            ),
            heating=heating,
        )

    def destroy(self) -> None:
        """Free PETSc objects (collective)."""
        self._newton.destroy()
        PETSc.garbage_cleanup(self.comm)
