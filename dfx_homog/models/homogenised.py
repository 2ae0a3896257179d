"""The homogenised meso model with a particle problem at every meso node (MODEL section 5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mpi4py import MPI
from petsc4py import PETSc

from dfx_homog import _compat
from dfx_homog._compat import FloatArray
from dfx_homog.errors import SolverFailure
from dfx_homog.models.history import Balance
from dfx_homog.models.homogenised_interface import HomogenisedInterface
from dfx_homog.models.local_error import Quantity
from dfx_homog.models.meso import (
    C_E,
    GROUPS,
    NAMES,
    NEGATIVE_FACE,
    PHI_E,
    PHI_S,
    POSITIVE_FACE,
    TEMP,
    MesoCoefficients,
    MesoForms,
    MesoLine,
)
from dfx_homog.models.particle import ParticleGeometry, ParticleProblems, ParticleResponse
from dfx_homog.models.state import State, Table
from dfx_homog.models.transient import TransientModel
from dfx_homog.parameters.physics import Electrode, Physics
from dfx_homog.solvers.control import Control
from dfx_homog.solvers.guard import Places
from dfx_homog.solvers.layout import Layout, build_layout
from dfx_homog.solvers.newton import NewtonSolver, SolveInfo, round_off
from dfx_homog.solvers.presets import NEWTON, Options
from dfx_homog.solvers.timestepping import TimeStep

ELECTRODES = ("negative", "positive")
CHARGE_BALANCE = 5e-12  # of the applied current: residual left by Newton's method


@dataclass
class ElectrodePoints:
    """The meso nodes of one electrode that this rank owns, with their particles.

    nodes: (P,) local nodes; weights: (P,) Lobatto weights, int over the electrode of the node's basis function
    """

    electrode: Electrode
    nodes: np.ndarray
    weights: FloatArray
    particles: ParticleProblems
    response: ParticleResponse | None = None
    at: FloatArray | None = None


class HomogenisedModel(TransientModel):
    """State and solver of the homogenised model in one meso dimension.

    solids:  domains of the particle problems of negative electrode and positive electrode
    regions: effective coefficients of negative electrode, separator, positive electrode
    The Newton system is small (four fields on a line) and factorised directly; the particle problems, which are
    nearly all of the work, are spread over the ranks with the nodes.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        physics: Physics,
        solids: tuple[ParticleGeometry, ParticleGeometry],
        regions: tuple[MesoCoefficients, ...],
        thickness: tuple[float, ...],
        elements: int,
        *,
        user_options: tuple[str, ...] = (),
    ):
        self.comm, self.physics, self.regions = comm, physics, regions
        self.fields = NAMES
        self.user_options = user_options
        self._largest_coefficient = max(physics.lam * physics.c_e0, *(max(r.S or 0.0, r.K) for r in regions))
        self.line = MesoLine(comm, thickness, elements)
        self.forms = MesoForms(self.line, physics, regions)
        space = self.forms.space
        self.nodes = space.dofmap.index_map.size_local + space.dofmap.index_map.num_ghosts
        self.y = space.tabulate_dof_coordinates()[: self.nodes, 0]
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
        self._w_lithium = forms.volume_weights(tuple(r.phi_e for r in regions))  # type: ignore[arg-type]
        self._w_heat = forms.volume_weights(tuple(r.theta for r in regions))  # type: ignore[arg-type]
        self._w_face = {f: forms.end_weights(f) for f in (NEGATIVE_FACE, POSITIVE_FACE)}

    def _electrode_points(
        self, solid: ParticleGeometry, electrode: Electrode, weights: FloatArray
    ) -> ElectrodePoints:
        total = self.forms.sum_over_ranks(weights)
        nodes = np.flatnonzero(total > 0)
        p = self.physics
        particles = ParticleProblems(
            solid, electrode, p.lam, p.gamma, len(nodes), c_e_ref=p.c_e0 if p.lithium_electrode else None
        )
        return ElectrodePoints(electrode, nodes, total[nodes], particles)

    def _number_unknowns(self) -> None:
        space, region = self.forms.space, self.line.region
        electrode = np.zeros(self.nodes, dtype=bool)
        electrode[space.dofmap.list[np.flatnonzero(region != 1)].ravel()] = True
        everywhere = np.zeros(self.nodes, dtype=bool)
        everywhere[space.dofmap.list[: len(region)].ravel()] = True
        self.active = np.column_stack(
            [electrode, everywhere, everywhere, everywhere & (not self.physics.isothermal)]
        )
        self.fixed = np.zeros_like(self.active)
        self.fixed[self._w_face[NEGATIVE_FACE] > 0.5, PHI_S] = True
        owned = space.dofmap.index_map.local_to_global(np.arange(self.nodes, dtype=np.int32))
        self.keys = np.asarray(owned, dtype=np.int64)
        self.layout = build_layout(self.comm, self.keys, self.active, self.fixed)

    def solver(self, layout: Layout, prefix: str, newton: Options = NEWTON) -> NewtonSolver:
        """Newton solver with the particles condensed into residual and Jacobian."""
        return NewtonSolver(
            layout,
            self.forms.u.x.array,
            self._residual,
            lambda A: self._jacobian(A, layout),
            GROUPS,
            preset="direct",
            prefix=prefix,
            atol=round_off(
                layout.global_size, self._largest_coefficient / float(np.diff(self.line.node_grid).min())
            ),
            user_options=self.user_options,
            newton=newton,
            applied=self.applied(),
            bounds=self.bounds(),
            places=self.places(),
        )

    @property
    def voltage_weights(self) -> FloatArray:
        """(nodes,) one at the positive collector."""
        return self._w_face[POSITIVE_FACE]

    def places(self) -> Places:
        """Names of the meso fields and y1 of the meso nodes."""
        return Places(NAMES, self.y[:, None])

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
        values = self.values
        complaint = None
        for name, points in zip(ELECTRODES, self._points, strict=True):
            at = values[points.nodes]
            if points.at is not None and np.array_equal(at, points.at):
                continue
            solve = points.particles.evaluate_frozen if self._frozen else points.particles.evaluate
            points.response = solve(at[:, PHI_S], at[:, PHI_E], at[:, C_E], at[:, TEMP])
            points.at = at.copy()
            if text := points.response.complaint():
                points.at = None  # to be solved again
                where = self.y[points.nodes[np.flatnonzero(points.response.failed)[0]]]
                complaint = complaint or f"{text} ({name} electrode, y = ({where:.3g}))"
        if self.comm.allreduce(complaint is not None, op=MPI.LOR):
            messages = [m for m in self.comm.allgather(complaint) if m]
            raise SolverFailure(messages[0])

    def _residual(self, out: FloatArray) -> None:
        self._respond()
        _compat.assemble_vector(self.forms.residual, out)
        rows = out.reshape(-1, 4)
        for points in self._points:
            response = points.response
            assert response is not None
            current = points.weights * response.J
            rows[points.nodes, PHI_S] += current
            rows[points.nodes, C_E] -= current
            rows[points.nodes, PHI_E] -= current
            rows[points.nodes, TEMP] -= points.weights * response.q

    def _jacobian(self, A: PETSc.Mat, layout: Layout) -> None:
        self._respond()
        _compat.assemble_matrix(A, self.forms.jacobian)
        order = [PHI_S, PHI_E, C_E, TEMP]  # of the particle's derivatives
        for points in self._points:
            response = points.response
            assert response is not None
            block = np.zeros((len(points.nodes), 4, 4))
            dJ = points.weights[:, None] * response.dJ
            block[:, PHI_S, order] = dJ
            block[:, C_E, order] = -dJ
            block[:, PHI_E, order] = -dJ
            block[:, TEMP, order] = -points.weights[:, None] * response.dq
            numbers = layout.numbers[points.nodes].astype(PETSc.IntType)
            if len(numbers):
                A.setValuesRCV(numbers, numbers, block, addv=PETSc.InsertMode.ADD)

    # states -------------------------------------------------------------------------------------------------------

    def set_initial(self) -> None:
        """Uniform c_s0 in every particle and the equilibrium of `TransientModel.equilibrium`."""
        self.equilibrium(self.y < 0.5 * (self.line.ends[1] + self.line.ends[2]))
        self.remember(2)
        for points in self._points:
            points.particles.c = np.full_like(points.particles.c, points.electrode.c_s0)
        self._c_old = [points.particles.c for points in self._points]
        self._c_older = self._c_oldest = self._c_old

    @property
    def rows(self) -> tuple[np.ndarray, int]:
        """Numbers of the meso nodes, from the negative collector on."""
        grid = self.line.node_grid
        middle = 0.5 * (grid[1:] + grid[:-1])
        return np.searchsorted(middle, self.y).astype(np.int64), len(grid)

    def state(self) -> State:
        """Old and older fields, and concentrations of the particles of both electrodes."""
        rows, count = self.rows
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
            return super().switch_on(control)
        finally:
            self._frozen = False

    def advance(self, step: TimeStep) -> SolveInfo:
        """One implicit step, particles condensed; their full fields are recovered at its end."""
        self.set_step(step)
        self.forms.set_cooling(step.time)
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
        info = self.solve(self._newton, step.control)
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
        """Phi_s at the positive collector (it is zero at the negative one)."""
        return self.sum(self.voltage_weights @ self.values[:, PHI_S])

    def mean_temperature(self) -> float:
        """Mean of T through the cell."""
        return self.sum(self._w_all @ self.values[:, TEMP])

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

    def balance(self) -> Balance:
        """Terms of the conservation laws; interface integrals are the particles' own, summed with Lobatto's weights."""
        p, new, rate = self.physics, self.values, self.rates()
        interface, work, capacitor = [], 0.0, 0.0
        for points in self._points:
            response, w = points.response, points.weights
            assert response is not None
            jump = new[points.nodes, PHI_S] - new[points.nodes, PHI_E]
            interface.append(self.sum(w @ response.J))
            # lambda Gh g (U - Pi) = lambda Gh g D - lambda Gh g (eta + Pi)
            work += self.sum(w @ (p.lam * jump * response.faradaic - response.q))
            capacitor += p.lam * self.sum(w @ (jump * (response.J - response.faradaic)))
        cooling = sum(
            float(h.value) * self.sum(self._w_face[f] @ (new[:, TEMP] - p.T_ambient))
            for f, h in self.forms.h.items()
        )
        return Balance(
            lithium=self.lithium(),
            interface=(interface[0], interface[1]),
            heating=(
                self.sum(self._w_heat @ rate[:, TEMP]),
                cooling,
                p.lam * self.current * self.voltage,
                work,
                capacitor,
            ),
        )

    def destroy(self) -> None:
        """Free PETSc objects (collective)."""
        self._newton.destroy()
