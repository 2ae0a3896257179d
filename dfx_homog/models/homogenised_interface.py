"""The interface of the homogenised model: Gamma of the unit cell at every meso point, and heat by mechanism.

The rate varies between the meso points and, with the concentration, over Gamma within each unit cell; the moments are
over both. Phi_s - Phi_e varies between the meso points only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from mpi4py import MPI

from dfx_homog._compat import FloatArray
from dfx_homog.models import interface_statistics as stats
from dfx_homog.models import losses
from dfx_homog.models.history import Row
from dfx_homog.models.meso import C_E, PHI_E, PHI_S, TEMP
from dfx_homog.models.particle import SurfaceValues

if TYPE_CHECKING:
    from dfx_homog.models.homogenised import HomogenisedModel
    from dfx_homog.models.meso_points import ElectrodePoints


class HomogenisedInterface:
    """Statistics over Gamma and heat of a homogenised model, per collector area."""

    def __init__(self, model: HomogenisedModel):
        self.model = model

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the history that `row` fills."""
        physics = self.model.physics
        lost = losses.columns(physics, walls=self.model.has_walls)
        return (*stats.columns(self.model.domain.dim, stats.mechanisms(physics)), *lost)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that `nodal` gives."""
        return ("rate", "eta", "jump")

    def _values(self, points: ElectrodePoints) -> SurfaceValues:
        at = self.model.values[points.nodes]
        return points.particles.surface_values(at[:, PHI_S], at[:, PHI_E], at[:, C_E], at[:, TEMP])

    def row(self) -> Row:
        """Statistics, heat by mechanism, losses of voltage, plating and hot spot of the new state. Collective."""
        model, physics, comm = self.model, self.model.physics, self.model.comm
        lam = physics.lam
        rates = model.rates()
        samples, parts, lost = [], [], []
        for points in model.points:
            at = self._values(points)
            lost.append(self._lost(points, at))
            surface = points.particles.geometry.weights.ravel()
            weights = points.weights[:, None] * surface
            samples.append(stats.Samples(weights.ravel(), at.faradaic.ravel(), at.eta.ravel()))
            irreversible = lam * np.vdot(weights, at.faradaic * at.eta)
            electrode, nodes = points.electrode, points.nodes
            jump, rate = (v[nodes, PHI_S] - v[nodes, PHI_E] for v in (model.values, rates))
            stored = lam * electrode.G * electrode.C * surface.sum() * (points.weights @ (jump * rate))
            film = lam * electrode.film_resistance * np.vdot(weights, at.faradaic**2)
            reversible = np.vdot(weights, at.heat) - irreversible - film
            parts.append(np.array([stored, irreversible, reversible, *([film] if physics.has_film else [])]))
        G = [points.electrode.G for points in model.points]
        row = stats.distribution(stats.moments(comm, samples), G)
        row |= stats.heats(comm, model.joule_heat(), parts, stats.mechanisms(physics))
        return row | self._losses(np.array(lost)) | self._places()

    def _lost(self, points: ElectrodePoints, at: SurfaceValues) -> FloatArray:
        """Integrals over this rank's Gamma for the losses, then of U at the particles' means, area and means."""
        geometry, electrode = points.particles.geometry, points.electrode
        v = self.model.values[points.nodes]
        facets = points.particles.c[:, geometry.trace[geometry.facets]]
        surface = (facets @ geometry.shape.T).reshape(at.eta.shape) / electrode.c_max
        mean, T = points.particles.soc, v[:, TEMP, None]
        # the means as one more column: a formula costs its operations, few numbers or many
        U = electrode.ocp.numpy(c=np.column_stack([surface, mean]), T=T)
        gamma = losses.Surface(
            weights=points.weights[:, None] * geometry.weights.ravel(),
            solid=v[:, PHI_S, None],
            pores=v[:, PHI_E, None],
            c_e=v[:, C_E, None],
            T=T,
            U=U[:, :-1],
            rate=at.faradaic,
            eta=at.eta,
        )
        sums = losses.surface_sums(self.model.physics, electrode, gamma)
        cells = geometry.weights.sum() * (points.weights @ U[:, -1])
        return np.array([*sums, cells, points.weights.sum(), points.weights @ mean])

    def _losses(self, lost: FloatArray) -> Row:
        model = self.model
        model.comm.Allreduce(MPI.IN_PLACE, lost)
        sums, (cells, length, mean) = lost[:, : losses.SUMS], lost[:, losses.SUMS :].T
        return losses.row(model.physics, sums, cells, mean / length, model.voltage, model.wall_losses())

    def _places(self) -> Row:
        model, values, numbers = self.model, self.model.values, self.model.rows[0]
        nodes = model.points[0].nodes
        jump = values[nodes, PHI_S] - values[nodes, PHI_E], numbers[nodes]
        warm = model.active[:, TEMP]
        heat = None if model.physics.isothermal else (values[warm, TEMP], numbers[warm])
        return stats.places(model.comm, jump, heat, self._point)

    def _point(self, node: int | None) -> FloatArray:
        domain = self.model.domain
        return np.full(domain.dim, np.nan) if node is None else domain.place(node)

    def nodal(self) -> dict[str, FloatArray]:
        """(nodes,) means of j and eta over Gamma of the unit cell at each meso point, and Phi_s - Phi_e there.

        nan in the separator. Collective.
        """
        model = self.model
        columns = np.full((model.nodes, len(self.fields)), np.nan)
        for points in model.points:
            at, weights = self._values(points), points.particles.geometry.weights.ravel()
            columns[points.nodes, 0] = at.faradaic @ weights / weights.sum()
            columns[points.nodes, 1] = at.eta @ weights / weights.sum()
            columns[points.nodes, 2] = model.values[points.nodes, PHI_S] - model.values[points.nodes, PHI_E]
        return {n: model.shared.spread(c) for n, c in zip(self.fields, columns.T, strict=True)}
