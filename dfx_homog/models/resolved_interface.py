"""Gamma of the resolved model at its quadrature points, and heat by mechanism, from the terms that are solved.

One compiled expression gives all densities on Gamma, one linear form the Joule heat of every cell; sums by electrode,
phase and region are sums of these arrays. Nothing is gathered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import basix
import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem

from dfx_homog import _compat
from dfx_homog._compat import FloatArray
from dfx_homog.microstructure.reference_element import lagrange, lagrange_gradients, metric
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID
from dfx_homog.models import interface_statistics as stats
from dfx_homog.models import losses
from dfx_homog.models.fields import PHI_E, PHI_S, TEMP, quadrature_degrees
from dfx_homog.models.history import Row
from dfx_homog.models.resolved_forms import GAMMA, ResolvedForms
from dfx_homog.models.resolved_losses import ResolvedLosses

if TYPE_CHECKING:
    from dfx_homog.models.resolved import ResolvedModel

FACET = {2: basix.CellType.interval, 3: basix.CellType.triangle}


class ResolvedInterface:
    """Densities on Gamma and heat of a resolved model.

    facets:    (nf, 2) cell and local facet, on the rank of the solid cell; nodes: (nf, npf)
    weights:   (nf, nq) quadrature weights times the facet's Jacobian, per collector area
    electrode: (nf,) 0 negative, 1 positive
    shape:     (nq, npf) basis functions at the quadrature points
    """

    def __init__(self, model: ResolvedModel):
        forms = model.forms
        self.model, self.forms = model, forms
        tiled = forms.tiled
        dim = tiled.cells[0].dim
        self.dim = dim
        self.facets = forms.facets[GAMMA]
        points, reference = basix.make_quadrature(FACET[dim], quadrature_degrees(tiled.order)[1])
        on_facet = np.array([tiled.cells[0].facet_nodes(i) for i in range(dim + 1)])[self.facets[:, 1]]
        self.nodes = forms.space.dofmap.list[self.facets[:, :1], on_facet]
        self.electrode = (tiled.cell_region[self.facets[:, 0]] != 0).astype(int)
        self.shape = lagrange(tiled.order, points)
        corners = forms.mesh.geometry.x[
            _compat.geometry_nodes(forms.mesh)[self.facets[:, :1], on_facet], :dim
        ]
        tangents = np.einsum("fkd,qkj->fqjd", corners, lagrange_gradients(tiled.order, points))
        self.weights = metric(tangents) * reference / forms.area
        terms = forms.terms
        self.mechanisms = stats.mechanisms(model.physics)
        densities = (
            terms.faradaic,
            terms.eta,
            terms.capacitor_work,
            *(getattr(terms, f"{name}_heat") for name in self.mechanisms),
        )
        self._densities = _compat.compile_expression(ufl.as_vector(densities), points, forms.mesh.comm)
        self._order = self._point_order(points, np.einsum("qn,fnd->fqd", self.shape, corners))
        self._joule = self._joule_form(forms)
        self._negative = np.unique(self.nodes[self.electrode == 0])
        self._average = fem.Function(forms.space)
        self._losses = ResolvedLosses(self)

    def _point_order(self, points: FloatArray, expected: FloatArray) -> npt.NDArray[np.int8]:
        """(nf, nq) position among the values of an expression of each facet's own quadrature points.

        DOLFINx 0.11 gives values in an order that depends on how the facet lies in the mesh, 0.9 does not.
        """
        mesh = self.forms.mesh
        place = _compat.compile_expression(ufl.SpatialCoordinate(mesh), points, mesh.comm)
        found = _compat.evaluate_on_facets(place, mesh, self.facets).reshape(expected.shape)
        order = np.empty(expected.shape[:2], dtype=np.int8)
        for q in range(len(points)):
            order[:, q] = np.linalg.norm(found - expected[:, q, None], axis=2).argmin(axis=1)
        return order

    @staticmethod
    def _joule_form(forms: ResolvedForms) -> fem.Form:
        """Joule heat of each cell over the collector's area."""
        cell = ufl.TestFunction(forms.weight.function_space)
        terms, dx = forms.terms, forms.dx
        heat = terms.joule_s * cell * dx(SOLID) + terms.joule_e * cell * dx(ELECTROLYTE)
        return _compat.compile_form(fem.Constant(forms.mesh, np.float64(1 / forms.area)) * heat)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the history that `row` fills."""
        return (*stats.columns(self.dim, self.mechanisms), *losses.columns(self.model.physics))

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that `nodal` gives."""
        return ("rate", "eta", "jump")

    def densities(self) -> FloatArray:
        """(nf, nq, k) of G g, eta, lambda G C D d_t D/delta and the interfacial heats at the new state.

        Heats and the double layer's power are per collector area once summed with `weights`.
        """
        found = _compat.evaluate_on_facets(self._densities, self.forms.mesh, self.facets)
        found = found.reshape(len(self.facets), len(self.shape), 3 + len(self.mechanisms))
        found = np.take_along_axis(found, self._order[:, :, None].astype(np.intp), axis=1)
        found[:, :, 0] /= self.forms.delta
        return found

    def joule(self) -> FloatArray:
        """(2, regions) Joule heat of this rank in the solid and in the electrolyte of each region."""
        forms, region = self.forms, self.forms.tiled.cell_region
        space = forms.weight.function_space
        cells = np.zeros_like(forms.weight.x.array)
        _compat.assemble_vector(self._joule, cells)
        heat = cells[space.dofmap.list[: len(region), 0]]
        return np.array(
            [np.bincount(region, heat * (forms.part == phase), 3) for phase in (SOLID, ELECTROLYTE)]
        )

    def row(self) -> Row:
        """Statistics, heat by mechanism, losses of voltage, plating and hot spot of the new state. Collective."""
        comm, p = self.model.comm, self.model.physics
        at = self.densities()
        sums = np.einsum("fq,fqk->fk", self.weights, at[:, :, 2:])
        samples, parts = [], []
        for here in (self.electrode == e for e in (0, 1)):
            rate, eta = at[here, :, 0].ravel(), at[here, :, 1].ravel()
            samples.append(stats.Samples(self.weights[here].ravel(), rate, eta))
            parts.append(sums[here].sum(axis=0))
            parts[-1][0] *= p.lam
        row = stats.distribution(stats.moments(comm, samples), (p.negative.G, p.positive.G))
        row |= stats.heats(comm, self.joule(), parts, self.mechanisms)
        return row | self._losses.row(at[:, :, 0], at[:, :, 1]) | self._places()

    def _places(self) -> Row:
        model, values, surface = self.model, self.model.values, self._negative
        jump = values[surface, PHI_S] - values[surface, PHI_E], model.keys[surface]
        warm = model.active[:, TEMP]
        heat = None if model.physics.isothermal else (values[warm, TEMP], model.keys[warm])
        return stats.places(model.comm, jump, heat, self._point)

    def _point(self, node: int | None) -> FloatArray:
        if node is None:
            return np.full(self.dim, np.nan)
        point: FloatArray = self.forms.tiled.points(np.array([node]))[0]
        return point

    def nodal(self) -> dict[str, FloatArray]:
        """(nodes,) of each of `fields` on Gamma, nan elsewhere. Collective.

        j and eta are averages int x |v| / int |v| with the node's basis function v over the facets of Gamma around it;
        the jump Phi_s - Phi_e is that of the nodes.
        """
        at = self.densities()
        near = self.weights[:, :, None] * np.abs(self.shape)
        sums = np.einsum("fqn,fqk->fnk", near, at[:, :, :2])
        loads = np.concatenate([sums, near.sum(axis=1)[:, :, None]], axis=2)
        array = self._average.x.array.reshape(-1, 5)
        array[:] = 0.0
        np.add.at(array[:, :3], self.nodes.ravel(), loads.reshape(-1, 3))
        self._average.x.scatter_reverse(_compat.INSERT_ADD)
        self._average.x.scatter_forward()
        weight = array[:, 2]
        on = weight > 0
        rate, eta, jump = (np.full(len(array), np.nan) for _ in range(3))
        rate[on], eta[on] = array[on, 0] / weight[on], array[on, 1] / weight[on]
        jump[on] = self.model.values[on, PHI_S] - self.model.values[on, PHI_E]
        return {"rate": rate, "eta": eta, "jump": jump}
