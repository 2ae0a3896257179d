"""What checks of the book and tests share: `wavy-2d`, small unit cells, a nonlinear solve on one tile."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from mpi4py import MPI

from dfx_homog import _compat
from dfx_homog._compat import FloatArray
from dfx_homog.dimensionless.physics import Electrode, Physics
from dfx_homog.microstructure import UnitCell
from dfx_homog.microstructure.tiling import TiledMesh, tile_mesh
from dfx_homog.models.resolved_forms import Material
from dfx_homog.parameters.expression import Expression
from dfx_homog.solvers.layout import Layout, build_layout
from dfx_homog.solvers.newton import NewtonSolver, SolveInfo
from dfx_homog.studies.unit_cells import build_unit_cell

WAVY: dict[str, Any] = {"geometry": "wavy", "w0": 0.27, "w1": 0.12, "w2": 0.0}
SEPARATOR: dict[str, Any] = {"geometry": "electrolyte"}
CHECKERBOARD: dict[str, Any] = {"geometry": "checkerboard"}
# where the strip of WAVY meets z1 = 0, and its mirror line
WAVY_BREAKS = (0.11, 0.5, 0.89)


def laminate(n: tuple[int, int], f: float) -> dict[str, Any]:
    return {"geometry": "laminate", "normal": list(n), "solid_fraction": f}


def disks(area: float) -> dict[str, Any]:
    return {"geometry": "disks", "radius": float(np.sqrt(area / np.pi)), "lattice": "square"}


def unit_cell(keys: dict[str, Any], h: float, order: int = 1, breaks: Sequence[float] = ()) -> UnitCell:
    """The same unit cell on every rank; meshes are kept, for tests that share them."""
    return _unit_cell(json.dumps(keys), h, order, tuple(breaks))


@cache
def _unit_cell(keys: str, h: float, order: int, breaks: tuple[float, ...]) -> UnitCell:
    spec = SimpleNamespace(**json.loads(keys), mesh_size=h, order=order, dim=2)
    return build_unit_cell("cell", spec, MPI.COMM_SELF, breaks)


def wavy_cells(h: float, order: int = 1) -> tuple[UnitCell, UnitCell, UnitCell]:
    """Negative electrode, separator and positive electrode of `wavy-2d`, with matching faces."""
    electrode = unit_cell(WAVY, h, order, WAVY_BREAKS)
    return electrode, unit_cell(SEPARATOR, h, order, WAVY_BREAKS), electrode


def wavy_physics(*, C: float = 0.05, **changes: Any) -> Physics:
    """Parameters of `wavy-2d` (VERIFICATION section 4); `changes` replace those of Physics."""

    def electrode(D_s: float, G: float, c_s0: float, ocp: str, Pi: float) -> Electrode:
        parse = Expression.parse
        return Electrode(parse(D_s), G, C, 0.5, 1.0, c_s0, parse(ocp), parse(Pi))

    values: dict[str, Any] = {
        "D_L": 1.0,
        "D_A": 1.5,
        "mu_L": 1.0,
        "mu_A": 1.5,
        "lam": 2.0,
        "gamma": 0.1,
        "h_negative": Expression.of_time_and_place(0.5),
        "h_positive": Expression.of_time_and_place(0.5),
        "T_ambient": 0.0,
        "T_initial": 0.0,
        "isothermal": False,
        "c_e0": 1.0,
        "E_D_L": 0.0,
        "E_D_A": 0.0,
        "negative": electrode(1.0, 1.5, 0.8, "0.25 - 0.3*(c - 0.5)", 0.05),
        "positive": electrode(0.6, 1.0, 0.3, "1.0 - 0.4*(c - 0.5) - 0.1*tanh(4*(c - 0.5))", -0.03),
    }
    return Physics(**{**values, **changes})


def wavy_materials() -> tuple[Material, Material, Material]:
    return (
        Material(10.0, 2.0, 0.6, 1.5, 1.0),
        Material(None, None, 0.6, None, 1.0),
        Material(5.0, 2.0, 0.6, 1.5, 1.0),
    )


def slope(sizes: Sequence[float], errors: Any) -> Any:
    """Fitted order of convergence: of each column of `errors` (levels, …) in log-log."""
    return np.polyfit(np.log(sizes), np.log(np.asarray(errors)), 1)[0]


class Problem:
    """A blocked nonlinear problem on one tile: F(u) = 0 with values `fixed` of u kept, periodic in `periodic`.

    cells: unit cells of the mesh that carry all fields (None: all)
    """

    def __init__(
        self,
        tiled: TiledMesh,
        fields: int,
        cells: npt.NDArray[np.int32] | None = None,
        periodic: tuple[int, ...] = (1,),
    ):
        self.tiled, self.mesh, self.fields = tiled, tiled.mesh, fields
        shape = (fields,) if fields > 1 else ()
        self.space = fem.functionspace(tiled.mesh, ("Lagrange", tiled.order, shape))
        self.u = fem.Function(self.space)
        self.v = ufl.TestFunction(self.space)
        self.nodes = self.space.dofmap.index_map.size_local + self.space.dofmap.index_map.num_ghosts
        self.points = self.space.tabulate_dof_coordinates()[: self.nodes, : tiled.mesh.geometry.dim]
        use = np.arange(len(tiled.phase)) if cells is None else cells
        self.used = len(use)
        self.active = np.zeros((self.nodes, fields), dtype=bool)
        self.active[self.space.dofmap.list[use].ravel()] = True
        self.fixed = np.zeros_like(self.active)
        self.keys = tiled.periodic_keys(tiled.node_ids(self.space.dofmap.list, self.nodes), periodic)

    def layout(self) -> Layout:
        return build_layout(self.mesh.comm, self.keys, self.active, self.fixed)

    def solve(self, weak: ufl.Form, source: ufl.Form) -> SolveInfo:
        """Newton's method with MUMPS for weak(u) = source, from the present u.

        The source is a form of its own: DOLFINx 0.9 may skip integrals where one form has two quadrature degrees
        on one subdomain.
        """
        residual, jacobian = _compat.compile_form(weak), _compat.compile_form(ufl.derivative(weak, self.u))
        load = np.zeros_like(self.u.x.array)
        _compat.assemble_vector(_compat.compile_form(source), load)

        def evaluate(out: FloatArray) -> None:
            _compat.assemble_vector(residual, out)
            out -= load

        solver = NewtonSolver(
            self.layout(),
            self.u.x.array,
            evaluate,
            lambda A: _compat.assemble_matrix(A, jacobian),
            {"all": tuple(range(self.fields))},
            preset="direct",
            prefix="test_",
            atol=1e-11,
        )
        info = solver.solve()
        solver.destroy()
        return info

    @property
    def size(self) -> float:
        """Mean edge length of the cells in use: gmsh makes fewer or more of them than the requested size says."""
        return float(1 / np.sqrt(self.mesh.comm.allreduce(self.used)))

    def set(self, field: int, function: Callable[[FloatArray], Any]) -> None:
        """Nodal values of a field from a function of points (n, d)."""
        self.u.x.array.reshape(-1, self.fields)[:, field] = function(self.points)


def one_tile(keys: dict[str, Any], h: float, order: int) -> TiledMesh:
    return tile_mesh(MPI.COMM_WORLD, (unit_cell(keys, h, order),), (1,), (1,), 1.0)


def l2(comm: MPI.Comm, difference: Any, dx: Any) -> float:
    """L2 norm of a UFL expression over a measure."""
    form = _compat.compile_form(ufl.inner(difference, difference) * dx)
    return float(np.sqrt(comm.allreduce(fem.assemble_scalar(form))))
