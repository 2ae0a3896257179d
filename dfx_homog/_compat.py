"""The one place that knows which DOLFINx version runs (0.9 to 0.11).

Everything else in the package calls these functions, so that a new DOLFINx release is one file's work.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import basix.ufl
import cffi
import dolfinx
import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import cpp, fem, graph
from dolfinx import mesh as dmesh
from mpi4py import MPI
from petsc4py import PETSc

from dfx_homog._native import FormLoop

FloatArray = npt.NDArray[np.float64]
VERSION: tuple[int, int] = tuple(int(p) for p in dolfinx.__version__.split(".")[:2])  # type: ignore[assignment]

FLAGS = ["-O2", "-g0"]
#: Jobs that share a cache wait for one of them to compile a form; DOLFINx's 10 s are too few for the coupled ones.
JIT_OPTIONS = {"cffi_extra_compile_args": FLAGS, "timeout": 180}
#: Sums in any order, a third faster; infinities and NaN stay what they are.
REASSOCIATE = ["-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math"]


def create_mesh(
    comm: MPI.Comm, cells: npt.NDArray[np.int64], points: FloatArray, cell: str, order: int
) -> dmesh.Mesh:
    """Mesh of isoparametric Lagrange cells that stay on the rank that supplies them, without ghosts.

    The default graph partitioner may give a different partition in every run; the caller's own is kept.
    """
    element = basix.ufl.element("Lagrange", cell, order, shape=(points.shape[1],))

    def keep(_comm: Any, _parts: int, _types: Any, _cells: Any) -> Any:
        destinations = graph.adjacencylist(np.full((len(cells), 1), comm.rank, dtype=np.int32))
        return getattr(destinations, "_cpp_object", destinations)

    if VERSION >= (0, 10):
        return dmesh.create_mesh(comm, cells, element, points, partitioner=keep)
    return dmesh.create_mesh(comm, cells, points, element, partitioner=keep)


def geometry_nodes(mesh: dmesh.Mesh) -> npt.NDArray[np.int32]:
    """(cells, k) rows of mesh.geometry.x of each local cell's nodes."""
    nodes: npt.NDArray[np.int32] = mesh.geometry.dofmaps[0] if VERSION >= (0, 11) else mesh.geometry.dofmap
    return nodes


def compile_form(form: ufl.Form, *, any_order: bool = False) -> fem.Form:
    """Compile a form with the project's compiler flags.

    any_order: rounding may depend on the compiler, as it may in a Jacobian, on which no result depends
    """
    flags = FLAGS + (REASSOCIATE if any_order else [])
    return fem.form(form, jit_options={**JIT_OPTIONS, "cffi_extra_compile_args": flags})


def _packed_constants(form: fem.Form) -> Any:
    return fem.pack_constants(form) if VERSION >= (0, 10) else cpp.fem.pack_constants(form._cpp_object)


def _packed(form: fem.Form) -> tuple[Any, Any]:
    """Constants and coefficients of a form, as the assemblers take them."""
    if VERSION >= (0, 10):
        return _packed_constants(form), fem.pack_coefficients(form)
    return _packed_constants(form), cpp.fem.pack_coefficients(form._cpp_object)


def compile_expression(expression: Any, points: FloatArray, comm: MPI.Comm) -> fem.Expression:
    """Compile a UFL expression for evaluation at reference points, of a cell or (one dimension less) of its facets."""
    return fem.Expression(expression, points, comm=comm, jit_options=JIT_OPTIONS)


def evaluate_on_facets(
    expression: fem.Expression, mesh: dmesh.Mesh, facets: npt.NDArray[np.int32]
) -> FloatArray:
    """Values (facets, points times components) of a compiled expression on facets (n, 2) of (cell, local facet)."""
    entities = facets if VERSION >= (0, 10) else facets.ravel()
    # a rank without facets cannot tell how many values there would be
    return np.asarray(expression.eval(mesh, entities)).reshape(len(facets), -1 if len(facets) else 0)


def assemble_vector(form: fem.Form, out: FloatArray) -> None:
    """Add this rank's cell and facet contributions of a linear form to `out` (owned, then ghost dofs)."""
    cpp.fem.assemble_vector(out, form._cpp_object, *_packed(form))


def assemble_matrix(matrix: PETSc.Mat, form: fem.Form) -> None:
    """Add a bilinear form into `matrix` through its (unrolled) local-to-global map; not yet assembled."""
    cpp.fem.petsc.assemble_matrix(matrix, form._cpp_object, *_packed(form), [], True)


def form_loop(form: fem.Form) -> FormLoop:
    """The integrals of a form on one blocked space of simplices, over cells and exterior facets, as native loops.

    They read the form's coefficients where they are, without packing them for all cells beforehand.
    """
    space = form.function_spaces[0]
    mesh, dofs = space.mesh, space.dofmap
    loop = FormLoop(mesh.geometry.x, geometry_nodes(form.mesh), _cell_dofs(dofs), dofs.bs)
    for c in form._cpp_object.coefficients:
        dofs = c.function_space.dofmap
        loop.add_coefficient(c.x.array, _cell_dofs(dofs), dofs.bs)
    ufcx, compiled, numbers = form.ufcx_form, form._cpp_object, cffi.FFI()
    for kind in compiled.integral_types:
        position = ("cell", "exterior_facet").index(kind.name)
        first, last = (ufcx.form_integral_offsets[position + i] for i in (0, 1))
        for k in range(first, last):
            if VERSION >= (0, 10):
                entities = compiled.domains(kind, k - first)
            else:
                entities = compiled.domains(kind, ufcx.form_integral_ids[k])
            kernel = int(numbers.cast("uintptr_t", ufcx.form_integrals[k].tabulate_tensor_float64))
            rows = np.asarray(entities, dtype=np.int32).reshape(-1, 1 + position)
            facets = rows[:, 1:].ravel()
            loop.add_part(kernel, np.ascontiguousarray(rows[:, 0]), np.ascontiguousarray(facets))
    return loop


def _cell_dofs(dofmap: Any) -> npt.NDArray[np.int32]:
    """(cells, k) dofs of each cell."""
    dofs: npt.NDArray[np.int32] = dofmap.map() if callable(getattr(dofmap, "map", None)) else dofmap.list
    return dofs


def constants(form: fem.Form) -> FloatArray:
    """Values of the form's constants, one after another."""
    return np.ravel(_packed_constants(form))


INSERT_ADD = dolfinx.la.InsertMode.add


def vtx_writer(comm: MPI.Intracomm, path: Path, functions: list[fem.Function]) -> Any:
    """Writer of functions of one space to an ADIOS2 file that ParaView reads."""
    from dolfinx.io import VTXWriter

    return VTXWriter(comm, path, functions, engine="BP4")
