"""The homogenised meso model with a particle problem at every meso node (MODEL section 5)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from dolfinx import fem
from mpi4py import MPI
from petsc4py import PETSc

from dfx_homog import _compat
from dfx_homog._compat import FloatArray
from dfx_homog.dimensionless.physics import Electrode, Physics
from dfx_homog.errors import BadInput, SolverFailure
from dfx_homog.models.history import Balance
from dfx_homog.models.homogenised_interface import HomogenisedInterface
from dfx_homog.models.local_error import Quantity
from dfx_homog.models.losses import Walls
from dfx_homog.models.meso import C_E, GROUPS, NAMES, PHI_E, PHI_S, TEMP, MesoCoefficients, MesoForms
from dfx_homog.models.meso_domain import MesoDomain, Nodes
from dfx_homog.models.meso_points import ElectrodePoints
from dfx_homog.models.particle import ParticleProblems
from dfx_homog.models.particle_geometry import ParticleGeometry
from dfx_homog.models.state import State, Table
from dfx_homog.models.transient import TransientModel
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.guard import Places
from dfx_homog.solvers.layout import Flags, Ints, Layout, build_layout
from dfx_homog.solvers.newton import NewtonSolver, SolveInfo, round_off
from dfx_homog.solvers.presets import ERROR_ORIENTED, NEWTON, Options
from dfx_homog.solvers.timestepping import TimeStep
from dfx_homog.timing import timed

ELECTRODES = ("negative", "positive")
SMALL = 20_000  # meso unknowns that are factorised in less time than multigrid takes
CHARGE_BALANCE = 5e-12  # of the applied current: residual left by Newton's method


class HomogenisedModel(TransientModel):
    """State and solver of the homogenised model on a meso domain in one, two or three dimensions.

    solids:  domains of the particle problems of negative electrode and positive electrode
    regions: effective coefficients of negative electrode, separator, positive electrode
    preset:  of the Newton system (four fields, the particles condensed); one of fewer than SMALL unknowns is factorised
    The particle problems, which are nearly all of the work, are spread over the ranks with the nodes.
    """

    @timed("assembly")
    def __init__(
        self,
        comm: MPI.Intracomm,
        physics: Physics,
        solids: tuple[ParticleGeometry, ParticleGeometry],
        regions: tuple[MesoCoefficients, ...],
        domain: MesoDomain,
        *,
        preset: str = "iterative",
        user_options: tuple[str, ...] = (),
    ):
        self.comm, self.physics, self.regions, self.domain = comm, physics, regions, domain
        self.fields = NAMES
        self.preset, self.user_options = preset, user_options
        self._largest_coefficient = max(physics.lam * physics.c_e0, *(r.largest for r in regions))
        self.forms = MesoForms(domain, physics, regions)
        space = self.forms.space
        self.nodes = space.dofmap.index_map.size_local + space.dofmap.index_map.num_ghosts
        self.points_of_nodes: FloatArray = space.tabulate_dof_coordinates()[: self.nodes]
        self.numbers = domain.numbers(space)
        self.keys = domain.keys(self.numbers)
        self._everywhere = self._touched(domain.region >= 0)
        self.shared = Nodes(comm, self.keys, self._everywhere)
        self._uneven: FloatArray | None = None  # load of a current that varies over the collector
        self._weights()
        self._points = [
            self._electrode_points(solid, electrode, self._w_region[2 * i])
            for i, (solid, electrode) in enumerate(
                zip(solids, (physics.negative, physics.positive), strict=True)
            )
        ]
        self._number_unknowns()
        self._frozen = False
        self.interface = HomogenisedInterface(self)
        self._newton = self.solver(self.layout, "homogenised_")
        self.set_initial()

    # set-up -----------------------------------------------------------------------------------------------------

    def _weights(self) -> None:
        forms, regions = self.forms, self.regions
        eye = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
        self._w_region = [forms.volume_weights(row) for row in eye]
        self._w_all = forms.volume_weights((1.0, 1.0, 1.0))
        self._volume = self.sum(self._w_all.sum())
        self._w_lithium = forms.volume_weights(tuple(r.phi_e for r in regions))
        self._w_heat = forms.volume_weights(tuple(r.theta for r in regions))
        self._w_tab: FloatArray = forms.tab_weights()

    def _electrode_points(
        self, solid: ParticleGeometry, electrode: Electrode, weights: FloatArray
    ) -> ElectrodePoints:
        total = self.shared.totals(weights)
        if self.comm.allreduce(bool((total < 0).any()), op=MPI.LOR):
            raise BadInput(
                "meso mesh: a node has a negative weight, its elements are too distorted (allowed: elements near "
                "parallelograms or parallelepipeds, or simplices)"
            )
        nodes = np.flatnonzero(total > 0)
        p = self.physics
        particles = ParticleProblems(
            solid, electrode, p.lam, p.gamma, len(nodes), c_e_ref=p.c_e0 if p.lithium_electrode else None
        )
        return ElectrodePoints(electrode, nodes, total[nodes], particles)

    def _touched(self, cells: Flags) -> Flags:
        """(nodes,) nodes of flagged cells of this rank."""
        flag = np.zeros(self.nodes, dtype=bool)
        flag[self.forms.space.dofmap.list[np.flatnonzero(cells)].ravel()] = True
        return flag

    def _where_fields_live(self) -> Flags:
        electrode, everywhere = self._touched(np.isin(self.domain.region, (0, 2))), self._everywhere
        heat = everywhere & (not self.physics.isothermal)
        return np.column_stack([electrode, everywhere, everywhere, heat])

    def _number_unknowns(self) -> None:
        self.active = self._where_fields_live()
        self.fixed = np.zeros_like(self.active)
        self.fixed[self.forms.negative_tab(), PHI_S] = True
        order = tuple(field for group in GROUPS.values() for field in group)
        self.layout = build_layout(self.comm, self.keys, self.unknowns, self.fixed, order)

    def solver(self, layout: Layout, prefix: str, newton: Options | None = None) -> NewtonSolver:
        """Newton solver with the particles condensed into residual and Jacobian."""
        preset = "direct" if layout.global_size < SMALL else self.preset
        return NewtonSolver(
            layout,
            self.forms.u.x.array,
            self._residual,
            lambda A: self._jacobian(A, layout),
            GROUPS,
            preset=preset,
            prefix=prefix,
            atol=round_off(layout.global_size, self._largest_coefficient * self.domain.stiffness),
            user_options=self.user_options,
            newton=newton or (ERROR_ORIENTED if preset == "direct" else NEWTON),
            applied=self.applied(),
            bounds=self.bounds(),
            places=self.places(),
        )

    @property
    def voltage_weights(self) -> FloatArray:
        """(nodes,) this rank's part of the mean over the positive tab."""
        return self._w_tab

    def places(self) -> Places:
        """Names of the meso fields and coordinates of the meso nodes."""
        return Places(NAMES, self.coordinates)

    @property
    def coordinates(self) -> FloatArray:
        """(nodes, d) places of the meso nodes."""
        return self.points_of_nodes[:, : self.domain.dim]

    @property
    def dofs(self) -> int:
        """Unknowns of a time step, all ranks: meso fields and particle nodes."""
        own = sum(p.particles.c.size for p in self._points)
        return self.layout.global_size + int(self.comm.allreduce(own))

    @property
    def points(self) -> list[ElectrodePoints]:
        """Particles of the negative and the positive electrode on this rank."""
        return self._points

    # residual -----------------------------------------------------------------------------------------------------

    def _respond(self) -> None:
        """Bring the particles up to date with the meso values; ranks agree on failure."""
        complaint = None
        for name, points in zip(ELECTRODES, self._points, strict=True):
            if text := points.respond(self.values, frozen=self._frozen):
                assert points.response is not None
                at_node = self.coordinates[points.nodes[np.flatnonzero(points.response.failed)[0]]]
                where = ", ".join(f"{y:.3g}" for y in at_node)
                complaint = complaint or f"{text} ({name} electrode, y = ({where}))"
        if self.comm.allreduce(complaint is not None, op=MPI.LOR):
            messages = [m for m in self.comm.allgather(complaint) if m]
            raise SolverFailure(messages[0])

    def _residual(self, out: FloatArray) -> None:
        self._respond()
        _compat.assemble_vector(self.forms.residual, out)
        rows = out.reshape(-1, 4)
        if self._uneven is not None:
            rows[:, PHI_S] += self._uneven
        for points in self._points:
            points.add_residual(rows)

    def _jacobian(self, A: PETSc.Mat, layout: Layout) -> None:
        self._respond()
        _compat.assemble_matrix(A, self.forms.jacobian)
        for points in self._points:
            points.add_jacobian(A, layout)

    # states -------------------------------------------------------------------------------------------------------

    def set_initial(self) -> None:
        """Uniform c_s0 in every particle and the equilibrium of `TransientModel.equilibrium`."""
        self.equilibrium(self.domain.negative_side(self.forms.space))
        self.remember(2)
        for points in self._points:
            points.particles.c = np.full_like(points.particles.c, points.electrode.c_s0)
        self._c_old = [points.particles.c for points in self._points]
        self._c_older = self._c_oldest = self._c_old

    def set_temperature(self, T: float | FloatArray) -> None:
        """Prescribe T, a number or (nodes,), for the new state and all old ones; for isothermal physics."""
        for array in (f.x.array for f in (self.forms.u, self.forms.u1, self.forms.u2)):
            array.reshape(-1, len(NAMES))[:, TEMP] = T
        if self._oldest is not None:
            self._oldest.reshape(-1, len(NAMES))[:, TEMP] = T

    def voltage_slope(self) -> float:
        """dV/di_app of the last step: how V answers to the current at its end. Collective."""
        return self._newton.voltage_slope()

    @property
    def rows(self) -> tuple[Ints, int]:
        """Numbers of the meso nodes, from the negative collector on, and how many there are."""
        return self.numbers, self.domain.count

    def state(self) -> State:
        """Old and older fields, and concentrations of the particles of both electrodes."""
        rows, count = self.keys, self.domain.count
        tables = super().state()
        for name, points, c, c_older in zip(
            ELECTRODES, self._points, self._c_old, self._c_older, strict=True
        ):
            tables[f"{name}_old"] = Table(rows[points.nodes], count, c)
            tables[f"{name}_older"] = Table(rows[points.nodes], count, c_older)
        if self._oldest is not None:
            for name, points, c in zip(ELECTRODES, self._points, self._c_oldest, strict=True):
                tables[f"{name}_oldest"] = Table(rows[points.nodes], count, c)
        return tables

    def restore(self, tables: dict[str, FloatArray]) -> None:
        """Take up a state."""
        super().restore(tables)
        self._c_old = [tables[f"{name}_old"] for name in ELECTRODES]
        self._c_older = [tables[f"{name}_older"] for name in ELECTRODES]
        if self._oldest is not None:
            self._c_oldest = [tables[f"{name}_oldest"] for name in ELECTRODES]
        for points, c in zip(self._points, self._c_old, strict=True):
            points.particles.c = c
            points.at = None

    def switch_on(self, control: Control) -> SolveInfo | None:
        """As in `TransientModel`, with the particles frozen at their initial concentration."""
        self._frozen = True
        try:
            return super().switch_on(self.spread(control))
        finally:
            self._frozen = False

    def spread(self, control: Control) -> Control:
        """Put the current's profile over the positive tab, less its mean, into the residual (collective).

        Returns the control with this mean as its value: i_s.n = i_app(t, y) |F|/|F_tab| on the tab.
        """
        if control.profile is None:
            self._uneven = None
            return control
        load = self.forms.profile_load(control.profile, control.time)
        mean = self.sum(load.sum())
        self._uneven = load - mean * self._w_tab
        return replace(control, value=mean)

    def advance(self, step: TimeStep) -> SolveInfo:
        """One implicit step, particles condensed; their full fields are recovered at its end."""
        control = self.spread(step.control)
        self.set_step(replace(step, control=control))
        self.forms.set_time(step.time)
        q, forms = step.quotient, self.forms
        old, older = (f.x.array.reshape(-1, len(NAMES)) for f in (forms.u1, forms.u2))
        for points, c, c_older in zip(self._points, self._c_old, self._c_older, strict=True):
            n = points.nodes
            jump, before = (u[n, PHI_S] - u[n, PHI_E] for u in (old, older))
            points.particles.c = c
            points.particles.begin_step(q.a0, -(q.a1 * c + q.a2 * c_older), q.a1 * jump + q.a2 * before)
            points.at = None
        if self.current != 0:
            # small currents too are to balance: rounding is far below what is left of Newton's convergence
            self._newton.limit_residual(CHARGE_BALANCE * abs(self.current))
        info = self.solve(self._newton, control)
        self._respond()
        for points in self._points:
            points.particles.finish_step()
        return info

    def accept(self) -> None:
        """Make the new state the old one."""
        self.remember()
        self._c_oldest = self._c_older
        self._c_older = self._c_old
        self._c_old = [points.particles.c for points in self._points]

    def begin_again(self) -> None:
        """As in `TransientModel`, particles too."""
        super().begin_again()
        for points, c in zip(self._points, self._c_old, strict=True):
            points.particles.c = c
            points.at = None

    def memory(self) -> list[Quantity]:
        """As in `TransientModel`, with the concentrations in all particles as one field c_s."""
        states = [[points.particles.c for points in self._points], self._c_old, self._c_older]
        if self._oldest is not None:
            states.append(self._c_oldest)
        particles = tuple(np.concatenate([c.ravel() for c in state]) for state in states)
        return [Quantity(particles), *super().memory()]

    # what is measured -----------------------------------------------------------------------------------------------

    @property
    def voltage(self) -> float:
        """Mean of Phi_s over the positive tab (it is zero on the negative one)."""
        return self.sum(self.voltage_weights @ self.values[:, PHI_S])

    def mean_temperature(self) -> float:
        """Mean of T through the cell."""
        return self.sum(self._w_all @ self.values[:, TEMP]) / self._volume

    def states_of_charge(self) -> tuple[float, float]:
        """Mean of c_s/c_max over the particles of each electrode."""
        n, p = (
            self.sum(points.weights @ points.particles.soc) / self.sum(points.weights.sum())
            for points in self._points
        )
        return n, p

    def saturations(self) -> tuple[FloatArray, FloatArray]:
        """c_s/c_max in this rank's particles of the negative and the positive electrode."""
        n, p = (points.particles.c.ravel() / points.electrode.c_max for points in self._points)
        return n, p

    def electrolyte_weights(self) -> list[FloatArray]:
        """(nodes,) this rank's part of int v_i dy over each region."""
        return self._w_region

    def lithium(self) -> tuple[float, float]:
        """Inventories per collector area: of all particles, and of the pores (phi_e c_e)."""
        solid = sum(self.sum(points.weights @ points.particles.lithium) for points in self._points)
        return solid, self.sum(self._w_lithium @ self.values[:, C_E])

    def joule_heat(self) -> FloatArray:
        """(2, regions) this rank's Joule heat of the solid and of the electrolyte of each region."""
        heat: FloatArray = self.forms.joule_heat()
        return heat

    #: Whether the model has wall laws.
    has_walls = False

    def wall_losses(self) -> Walls | None:
        """What wall laws take from the voltage; None without. Collective."""
        return None

    def balance(self) -> Balance:
        """Terms of the conservation laws; interface integrals are the particles' own, summed with nodal weights."""
        uneven = 0.0 if self._uneven is None else self.sum(self._uneven @ self.values[:, PHI_S])
        lam = self.physics.lam
        n, p = ([self.sum(v) for v in points.balance(self.values, lam)] for points in self._points)
        return Balance(
            lithium=self.lithium(),
            interface=(n[0], p[0]),
            heating=(
                self.sum(self._w_heat @ self.rates()[:, TEMP]),
                self.sum(fem.assemble_scalar(self.forms.cooling)),
                lam * (self.current * self.voltage + uneven),
                n[1] + p[1],
                n[2] + p[2],
            ),
        )

    def destroy(self) -> None:
        """Free PETSc objects (collective)."""
        self._newton.destroy()
        self.shared.destroy()
