"""The Jacobian without structural zeros: the same operator as DOLFINx assembles, and nothing lost unnoticed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import ufl
from dolfinx import fem
from petsc4py import PETSc
from wavy import build, wavy_run

from dfx_homog import _compat
from dfx_homog.errors import SolverFailure
from dfx_homog.models.fields import C_S, GROUPS, PHI_S
from dfx_homog.models.resolved import ResolvedModel
from dfx_homog.solvers.assembly import BlockAssembly
from dfx_homog.solvers.layout import Layout
from dfx_homog.verification.problems import Problem, laminate, one_tile


@pytest.fixture(scope="module")
def model() -> Iterator[ResolvedModel]:
    """`wavy-2d` at a state without symmetries, the same on any number of ranks."""
    model = build(wavy_run("parameters.activation.D_s_n=2"))
    model.values[:] *= 1 + 0.05 * np.sin(3 * model.coordinates[:, :1] * np.arange(1, 6))
    model.forms.a0.value = 10.0
    yield model
    model.destroy()


def difference(layout: Layout, a: PETSc.Mat, b: PETSc.Mat) -> float:
    """Largest relative difference of the products with random vectors."""
    x, y, z = (layout.create_vector() for _ in range(3))
    worst = 0.0
    for _ in range(3):
        x.setRandom()
        a.mult(x, y)
        b.mult(x, z)
        size = y.norm()
        y.axpy(-1, z)
        worst = max(worst, y.norm() / size)
    for vec in (x, y, z):
        vec.destroy()
    return worst


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("nested", [True, False])
def test_same_operator(model: ResolvedModel, nested: bool) -> None:
    """Twice, so that values of the first assembly are gone after the second."""
    layout, forms = model.layout, model.forms
    groups = tuple(GROUPS.values()) if nested else (layout.order,)
    assembly = BlockAssembly(forms.tangent, forms.jacobian, layout, groups)
    matrix = assembly.create_matrix()
    assert matrix.getType().endswith("nest" if nested else "aij")
    for _ in range(2):
        assembly.assemble(matrix)
        matrix.assemble()
    full = layout.create_matrix()
    _compat.assemble_matrix(full, forms.jacobian)
    full.assemble()
    assert difference(layout, full, matrix) < 1e-14
    if not nested:
        stored = [m.getInfo(PETSc.Mat.InfoType.GLOBAL_SUM)["nz_used"] for m in (matrix, full)]
        assert stored[0] < 0.7 * stored[1]
    matrix.destroy()
    full.destroy()


@pytest.mark.mpi
def test_residual_without_packing(model: ResolvedModel) -> None:
    form = model.forms.residual
    here, there = (np.zeros_like(model.forms.u.x.array) for _ in range(2))
    _compat.assemble_vector(form, there)
    _compat.form_loop(form).add_vector(_compat.constants(form), here)
    assert np.allclose(here, there, rtol=0, atol=1e-15)
    assert abs(there).max() > 1e-3


def test_zero_constants_remove_nothing(model: ResolvedModel) -> None:
    """The pattern found with d_t switched off holds the matrix with d_t."""
    layout, forms = model.layout, model.forms
    forms.a0.value = 0.0
    assembly = BlockAssembly(forms.tangent, forms.jacobian, layout, tuple(GROUPS.values()))
    matrix = assembly.create_matrix()
    forms.a0.value = 10.0
    assembly.assemble(matrix)
    full = layout.create_matrix()
    _compat.assemble_matrix(full, forms.jacobian)
    full.assemble()
    matrix.assemble()
    assert difference(layout, full, matrix) < 1e-14
    matrix.destroy()
    full.destroy()


def test_groups_must_follow_the_numbering(model: ResolvedModel) -> None:
    with pytest.raises(ValueError, match="order"):
        BlockAssembly(model.forms.tangent, model.forms.jacobian, model.layout, ((PHI_S,), (C_S,)))


@pytest.mark.mpi
def test_entries_that_appear_late() -> None:
    """An entry that is zero in all states between 0 and 1: kept if the form says so by a conditional, else an error."""
    p = Problem(one_tile(laminate((1, 0), 0.5), 0.4, 1), 2)
    layout = p.layout()
    k = fem.Constant(p.mesh, 1.0)
    steep = ufl.conditional(ufl.gt(p.u[0], 3.0), p.u[1], 0 * k)
    form = (ufl.inner(p.u, p.v) + steep * p.v[0]) * ufl.dx(metadata={"quadrature_degree": 2})
    tangent = ufl.derivative(form, p.u)
    compiled = _compat.compile_form(tangent)
    assembly = BlockAssembly(tangent, compiled, layout, ((0, 1),))
    matrix, full = assembly.create_matrix(), layout.create_matrix()
    p.set(0, lambda x: 4 + x[:, 0])
    assembly.assemble(matrix)
    _compat.assemble_matrix(full, compiled)
    full.assemble()
    assert difference(layout, full, matrix) < 1e-14
    unaware = BlockAssembly(ufl.inner(p.u, p.v) * ufl.dx, compiled, layout, ((0, 1),))
    other = unaware.create_matrix()
    with pytest.raises(SolverFailure, match="pattern"):
        unaware.assemble(other)
    for m in (matrix, full, other):
        m.destroy()
