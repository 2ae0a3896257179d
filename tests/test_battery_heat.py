"""The heat equation of the battery: effective coefficients of layers, analytic solutions, meshes, ranks."""

from __future__ import annotations

from pathlib import Path

import gmsh
import numpy as np
import pytest
import scipy.optimize
from mpi4py import MPI

from dfx_homog.errors import BadInput
from dfx_homog.models.battery.domain import BatteryDomain, box, cylinder
from dfx_homog.models.battery.heat import BatteryHeat, Cooling
from dfx_homog.models.battery.laminate import BatteryLayer, Stack, corrector_slopes, lamination, tensor3
from dfx_homog.models.battery.mesh_file import given_mesh
from dfx_homog.models.cell_problem import CellProblem
from dfx_homog.verification.problems import laminate, unit_cell

WORLD = MPI.COMM_WORLD
STEADY = 1e-12  # coefficient of d_t of a step so long that nothing is left of the beginning


def test_layers_have_arithmetic_and_harmonic_means() -> None:
    """[H] 4.6: isotropic layers with collectors, to 1e-12."""
    thickness, k, theta = (
        np.array([0.5, 0.1, 0.4, 0.07]),
        np.array([1.3, 0.2, 2.1, 400.0]),
        np.arange(1.0, 5.0),
    )
    layers = [BatteryLayer("x", t, tensor3(v), c) for t, v, c in zip(thickness, k, theta, strict=True)]
    stack = Stack(tuple(layers))
    share = thickness / thickness.sum()
    along, across = share @ k, 1 / (share @ (1 / k))
    np.testing.assert_allclose(stack.K, np.diag([across, along, along]), rtol=1e-12, atol=1e-12)
    assert stack.theta == pytest.approx(share @ theta, rel=1e-14)
    assert stack.thickness == pytest.approx(1.07, rel=1e-14)


def test_layers_with_full_tensors_are_those_of_the_cell_problem() -> None:
    """Piecewise linear correctors are exact: the finite-element cell problem of a laminate gives the same tensor."""
    a, b = np.array([[2.0, 0.7], [0.7, 1.5]]), np.array([[0.5, -0.2], [-0.2, 3.0]])
    cell = unit_cell(laminate((1, 0), 0.4), 0.2)
    solved = CellProblem(MPI.COMM_SELF, cell, preset="direct").solve([b, a]).tensor
    found = lamination(np.array([0.4, 0.6]), np.array([tensor3(a), tensor3(b)]))
    np.testing.assert_allclose(found[:2, :2], solved, rtol=1e-12, atol=1e-12)
    assert found[2, 2] == pytest.approx(0.4 * 1.5 + 0.6 * 3.0, rel=1e-14)  # as in direction 2, no slope there
    # the normal flux of each corrector is the effective one, and their mean slope is none
    tensors = np.array([tensor3(a), tensor3(b)])
    slopes = corrector_slopes(tensors, found)
    for tensor, slope in zip(tensors, slopes, strict=True):
        np.testing.assert_allclose(tensor[0] + tensor[0, 0] * slope, found[0], atol=1e-12)
    np.testing.assert_allclose(0.4 * slopes[0] + 0.6 * slopes[1], 0.0, atol=1e-12)


def test_a_plane_cell_as_a_tensor_of_space() -> None:
    np.testing.assert_array_equal(
        tensor3([[2.0, 0.1], [0.1, 1.0]], 5.0), [[2, 0.1, 0], [0.1, 1, 0], [0, 0, 5]]
    )
    np.testing.assert_array_equal(tensor3(3.0), 3 * np.eye(3))


def solved(
    domain: BatteryDomain, K: np.ndarray, cooling: dict[str, Cooling], Q: float, a0: float = STEADY
) -> BatteryHeat:
    heat = BatteryHeat(domain, K, 1.0, cooling)
    heat.forms.a0.value, heat.forms.a1.value = a0, -a0
    heat.solve(np.full(domain.groups, Q))
    return heat


@pytest.mark.mpi
@pytest.mark.mpi3
def test_slab_between_two_coolants() -> None:
    """Linear elements are exact at the nodes: K T'' + Q = 0 with another coolant on each side."""
    K, Q, L, h, T = np.diag([0.7, 3.0, 5.0]), 0.9, 6.0, (0.4, 1.5), (0.2, -0.3)
    cooling = {"x1_low": Cooling(h[0], T[0]), "x1_high": Cooling(h[1], T[1])}
    heat = solved(box(WORLD, (L, 2.0, 3.0), (6, 2, 3), (3, 1, 1)), K, cooling, Q)
    # T = A + B x - Q x^2/(2 K): K B = h0 (A - T0), K (Q L/K - B) = h1 (A + B L - Q L^2/(2 K) - T1)
    k = K[0, 0]
    matrix = np.array([[-h[0], k], [h[1], k + h[1] * L]])
    A, B = np.linalg.solve(matrix, [-h[0] * T[0], Q * L + h[1] * (T[1] + Q * L**2 / (2 * k))])
    x = heat.coordinates[:, 0]
    np.testing.assert_allclose(heat.forms.u.x.array, A + B * x - Q * x**2 / (2 * k), atol=1e-9)
    assert heat.cooling() == pytest.approx(Q, rel=1e-10)
    found = heat.group_means()
    means = [A + B * m - Q / (2 * k) * (m**2 + 1 / 3) for m in (1.0, 3.0, 5.0)]
    # of the interpolant, which lies below the parabola by Q h^2/(12 K) on average
    np.testing.assert_allclose(found, np.array(means) - Q / (12 * k), atol=1e-9)
    assert heat.areas()["x3_high"] == pytest.approx(12.0)
    heat.destroy()


def test_slab_that_cools_down() -> None:
    """The slowest mode of a slab cooled on one side decays at the rate beta^2 K, beta tan(beta L) = h/K; order 2."""
    K, h, L, time = 0.8, 0.5, 2.0, 0.4
    beta = scipy.optimize.brentq(lambda b: b * np.tan(b * L) - h / K, 1e-6, 0.5 * np.pi / L - 1e-6)
    errors = []
    for n in (4, 8):
        heat = BatteryHeat(
            box(MPI.COMM_SELF, (L, 1, 1), (n, 1, 1), (1, 1, 1)),
            K * np.eye(3),
            1.0,
            {"x1_high": Cooling(h, 0.0)},
        )
        f = heat.forms
        mode = np.cos(beta * heat.coordinates[:, 0])
        steps = 4 * n * n
        dt = time / steps
        f.a0.value, f.a1.value = 1 / dt, -1 / dt
        f.u.x.array[:] = f.u1.x.array[:] = mode
        for _ in range(steps):
            heat.solve(np.zeros(1))
            f.u1.x.array[:] = f.u.x.array
        errors.append(np.abs(f.u.x.array - np.exp(-(beta**2) * K * time) * mode).max())
        heat.destroy()
    assert np.log2(errors[0] / errors[1]) > 1.9
    assert errors[1] < 2e-3


@pytest.mark.mpi
def test_hollow_cylinder() -> None:
    """T of a cylinder cooled outside depends on the radial conductivity only; order 2."""
    K, Q, h, a, R = np.diag([0.3, 7.0, 9.0]), 0.5, 1.2, 1.0, 4.0
    errors = []
    for n in (6, 12):
        domain = cylinder(WORLD, (a, R), 2.0, (n, 4 * n, 1), (2, 1, 1))
        heat = solved(domain, K, {"outer": Cooling(h, 0.1)}, Q)
        r = np.linalg.norm(heat.coordinates[:, :2], axis=1)
        surface = 0.1 + Q * (R**2 - a**2) / (2 * R * h)
        exact = surface + Q / (2 * K[0, 0]) * ((R**2 - r**2) / 2 - a**2 * np.log(R / r))
        errors.append(float(WORLD.allreduce(np.abs(heat.forms.u.x.array - exact).max(initial=0.0), MPI.MAX)))
        assert heat.cooling() == pytest.approx(Q, rel=1e-10)
        heat.destroy()
    assert np.log2(errors[0] / errors[1]) > 1.8
    assert errors[1] < 0.05


@pytest.mark.mpi
def test_conduction_in_the_cylinder_s_own_frame() -> None:
    """int K grad T . grad T of T = x1, x2, x3: radial and azimuthal conductivity in equal shares, and the axial one."""
    heat = BatteryHeat(
        cylinder(WORLD, (1.0, 2.0), 3.0, (4, 24, 2), (1, 1, 1)), np.diag([2.0, 6.0, 10.0]), 1.0, {}
    )
    for direction, expected in ((0, 4.0), (1, 4.0), (2, 10.0)):
        x = heat._vector(heat.coordinates[:, direction].copy(), values=True)
        y = x.duplicate()
        heat._conduction.mult(x, y)
        # the polygon's corners: exact for the mean over full turns
        assert x.dot(y) / heat.volume == pytest.approx(expected, rel=1e-3)
        x.destroy()
        y.destroy()
    heat.destroy()


def write_brick(path: Path) -> None:
    """A brick of 2 x 1 x 1 with the physical groups `cold` (x1 = 0) and `sides` (the rest but x1 = 2)."""
    gmsh.initialize()
    gmsh.option.setNumber("General.Terminal", 0)
    gmsh.model.occ.addBox(0, 0, 0, 2, 1, 1)
    gmsh.model.occ.synchronize()
    faces = [tag for _, tag in gmsh.model.getEntities(2)]
    middle = {tag: gmsh.model.occ.getCenterOfMass(2, tag)[0] for tag in faces}
    gmsh.model.addPhysicalGroup(2, [t for t in faces if middle[t] < 1e-6], name="cold")
    gmsh.model.addPhysicalGroup(2, [t for t in faces if 0.5 < middle[t] < 1.5], name="sides")
    gmsh.model.addPhysicalGroup(3, [1], name="battery")
    gmsh.option.setNumber("Mesh.MeshSizeMax", 0.25)
    gmsh.model.mesh.generate(3)
    gmsh.write(str(path))
    gmsh.finalize()


@pytest.mark.mpi
@pytest.mark.mpi3
def test_given_mesh(tmp_path: Path) -> None:
    """A brick from a file, cooled at one end: heat that leaves, T of the slab, groups, faces, lengths."""
    path = WORLD.bcast(tmp_path, root=0) / "brick.msh"
    if WORLD.rank == 0:
        write_brick(path)
    WORLD.barrier()
    domain = given_mesh(WORLD, path, 3.0, (2, 1, 1), cylindrical=False)
    assert sorted(domain.faces) == ["cold", "sides"] and domain.groups == 2
    K, Q, h, L = 4.0, 0.5, 2.0, 6.0
    heat = solved(domain, K * np.eye(3), {"cold": Cooling(h, 1.0)}, Q)
    assert heat.volume == pytest.approx(54.0) and heat.areas() == pytest.approx({"cold": 9.0, "sides": 72.0})
    assert heat.cooling() == pytest.approx(Q, rel=1e-9)
    x = heat.coordinates[:, 0]
    exact = 1.0 + Q * L / h + Q / K * (L * x - x**2 / 2)
    error = float(WORLD.allreduce(np.abs(heat.forms.u.x.array - exact).max(initial=0.0), MPI.MAX))
    assert error < 0.01 * Q * L**2 / K
    assert heat.group_volumes == pytest.approx([27.0, 27.0], rel=0.15)
    heat.destroy()


@pytest.mark.mpi
def test_files_that_are_no_battery(tmp_path: Path) -> None:
    path = WORLD.bcast(tmp_path, root=0) / "nothing.msh"
    if WORLD.rank == 0:
        path.write_text("no mesh\n")
    WORLD.barrier()
    with pytest.raises(BadInput, match=r"battery\.file"):
        given_mesh(WORLD, path, 1.0, (1, 1, 1), cylindrical=False)
