"""Errors of the homogenised model against the resolved one, leading order and with first-order correctors.

For a field u of the resolved model and its homogenised partner u0(y), in one meso dimension or in all:
    l2 = ||u - u0|| / ||u0||,               h1 = ||grad u - grad u0|| / ||grad u0||,
    corrected: u0 + delta W(y/delta) . grad u0 in place of u0, W the corrector of the field's cell problem;
    interior: the same integral one tenth of the cell away from collectors and separator faces.
Norms over the field's own domain. c_s is compared with the two-scale c_s(y1, z = y/delta).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from dfx_homog import _compat
from dfx_homog._compat import FloatArray
from dfx_homog.microstructure.unitcell import ELECTROLYTE, SOLID
from dfx_homog.models.effective import EffectiveMedium
from dfx_homog.models.fields import quadrature_degrees
from dfx_homog.models.meso import NAMES as MESO_NAMES
from dfx_homog.models.resolved import ResolvedModel
from dfx_homog.solvers.layout import Flags, Ints
from dfx_homog.studies.reference import MesoState

Errors = dict[str, dict[str, float | None]]
FIELDS = ("Phi_s", "Phi_e", "c_e", "c_s", "T")
CORRECTOR = {"Phi_s": "S", "Phi_e": "B", "c_e": "B", "T": "K"}
MARGIN = 0.1  # of the cell's thickness, left out at collectors and separator faces in "interior"


class Comparison:
    """Error integrals on one resolved mesh; everything lives in discontinuous spaces, cell by cell.

    Values at the nodes of each cell are copied or evaluated there, so that slopes may jump between regions.
    """

    def __init__(
        self,
        model: ResolvedModel,
        media: tuple[EffectiveMedium, ...],
        solid_nodes: tuple[Ints, ...],
        dim: int = 1,
    ):
        """media: of the three regions; solid_nodes: unit-cell node -> particle node of each electrode; dim: meso
        dimensions"""
        self.model, self.tiled = model, model.tiled
        tiled, mesh = self.tiled, self.tiled.mesh
        self._cells = len(tiled.cell_unit)
        space = fem.functionspace(mesh, ("DG", tiled.order))
        self._map = space.dofmap.list[: self._cells]
        self._u, self._u0 = fem.Function(space), fem.Function(space)
        # for each meso direction the corrector and the slope that it belongs to
        self._W, self._slope = ([fem.Function(space) for _ in range(dim)] for _ in range(2))
        self._weight = fem.Function(fem.functionspace(mesh, ("DG", 0)))
        self._switch = fem.Constant(mesh, 0.0)
        delta = fem.Constant(mesh, tiled.scale)
        first_order = sum(W * slope for W, slope in zip(self._W, self._slope, strict=True))
        error = self._u - self._u0 - self._switch * delta * first_order
        # the squared error is of degree 2(k + 1) with the corrector's product
        dx = ufl.Measure("dx", mesh, metadata={"quadrature_degree": quadrature_degrees(tiled.order)[0] + 2})
        self._l2 = _compat.compile_form(self._weight * error**2 * dx)
        self._h1 = _compat.compile_form(self._weight * ufl.inner(ufl.grad(error), ufl.grad(error)) * dx)

        self._y = self._on_cells(model.coordinates[:, :dim])
        self._region = np.broadcast_to(tiled.cell_region[:, None], self._y.shape[:2])
        # the separator's closing unit cell, if any, has no correctors of its own: they are left out there
        self._unit_nodes = np.zeros(self._region.shape, dtype=np.int64)
        for r, unit in enumerate(tiled.cells):
            here = tiled.cell_kind == r
            self._unit_nodes[here] = unit.cells[tiled.cell_unit[here]]
        self._correctors = {name: self._tile_corrector(name, media) for name in ("S", "B", "K")}
        self._solid_nodes = solid_nodes
        ends = np.cumsum([0, *tiled.counts]) * tiled.scale
        middle = self._y[:, :, 0].mean(axis=1)
        self._interior = np.min(np.abs(middle[:, None] - ends), axis=1) > MARGIN

    def _on_cells(self, nodal: FloatArray) -> FloatArray:
        return np.asarray(nodal[self.model.forms.space.dofmap.list[: self._cells]])

    def _tile_corrector(self, name: str, media: tuple[EffectiveMedium, ...]) -> FloatArray:
        shape: tuple[int, ...] = self._y.shape
        out = np.zeros(shape)
        for r, medium in enumerate(media):
            if name in medium.problems:
                here = self.tiled.cell_kind == r
                at_nodes = medium.problems[name].correctors[self._unit_nodes[here]]
                out[here] = at_nodes[..., : shape[-1]]
        return out

    def _domain(self, field: str) -> Flags:
        if field == "T":
            return np.ones(self._cells, dtype=bool)
        return np.asarray(self.model.forms.part == (SOLID if field.endswith("_s") else ELECTROLYTE))

    def _norm(self, form: fem.Form) -> float:
        return float(np.sqrt(max(self.model.sum(fem.assemble_scalar(form)), 0.0)))

    def _set_weight(self, cells: Flags) -> None:
        dofs = self._weight.function_space.dofmap.list[: self._cells, 0]
        self._weight.x.array[dofs] = cells

    def _load(self, field: str, state: MesoState) -> None:
        """Put resolved and homogenised field, corrector and slope into the functions of the error forms."""
        resolved = self._on_cells(self.model.values[:, self.model.component(field)])
        self._u.x.array[self._map] = resolved
        if field == "c_s":
            value = np.zeros(self._region.shape)
            for electrode, nodes in enumerate(self._solid_nodes):
                here = (self.tiled.cell_region == 2 * electrode) & (self.model.forms.part == SOLID)
                value[here] = state.concentration(electrode, self._y[here], nodes[self._unit_nodes[here]])
            self._u0.x.array[self._map] = value
            for slope in self._slope:
                slope.x.array[:] = 0
            return
        value, gradient = state.evaluate(MESO_NAMES.index(field), self._y, self._region)
        self._u0.x.array[self._map] = value
        correctors = self._correctors[CORRECTOR[field]]
        for j, (W, slope) in enumerate(zip(self._W, self._slope, strict=True)):
            slope.x.array[self._map] = gradient[:, :, j]
            W.x.array[self._map] = correctors[:, :, j]

    def errors(self, state: MesoState) -> Errors:
        """Relative errors of every field at the model's current time, which must be the state's."""
        return {field: self._field_errors(field, state) for field in FIELDS}

    def _field_errors(self, field: str, state: MesoState) -> dict[str, float | None]:
        self._load(field, state)
        domain = self._domain(field)
        self._set_weight(domain)
        found: dict[str, Any] = {}
        for switch, suffix in ((0.0, ""), (1.0, "_corrected")):
            self._switch.value = switch
            found["l2" + suffix], found["h1" + suffix] = self._norm(self._l2), self._norm(self._h1)
        self._set_weight(domain & self._interior)
        found["h1_corrected_interior"] = self._norm(self._h1)
        resolved = self._u.x.array.copy()
        self._u.x.array[:] = 0
        self._switch.value = 0.0
        interior_scale = self._norm(self._h1)
        self._set_weight(domain)
        scale = {"l2": self._norm(self._l2), "h1": self._norm(self._h1)}
        self._u.x.array[:] = resolved
        out: dict[str, float | None] = {}
        for key, value in found.items():
            reference = interior_scale if key.endswith("interior") else scale[key[:2]]
            out[key] = value / reference if reference > 0 else None
        if field == "c_s":
            out |= {"l2_corrected": None, "h1_corrected": None, "h1_corrected_interior": None}
        return out
