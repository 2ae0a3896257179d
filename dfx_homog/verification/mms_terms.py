"""Manufactured solutions, one conservation law at a time, on a unit cell with a disk (curved cells).

The weak terms are those of dfx_homog.physics; the sources are the strong equations, written down here on their own,
so that a wrong sign or factor in a weak term leaves an error that does not vanish. Orders in L2: k + 1 for elements of
order k.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from mpi4py import MPI
from ufl import cos, div, dot, exp, grad, pi, sin

from dfx_homog.microstructure.unitcell import SOLID
from dfx_homog.models.fields import quadrature_degrees
from dfx_homog.physics import heat, kinetics, temperature, transport
from dfx_homog.runfile import Disks, Run
from dfx_homog.verification import orders
from dfx_homog.verification.outcome import Outcome
from dfx_homog.verification.problems import Problem, l2, one_tile

LOW, HIGH, GAMMA = 1, 2, 3
LAMBDA, RISE, DT = 2.0, 0.3, 0.4
TENSOR = ((1.4, 0.3), (0.3, 0.8))
#: Mesh size and L2 errors, for a disk's radius, a mesh size that is asked for and an order of elements.
Solve = Callable[[float, float, int], tuple[float, list[float]]]


def matrix() -> Any:
    """A full tensor."""
    return ufl.as_matrix(TENSOR)


class Disk(Problem):
    """One tile with measures as the models use them, and exact measures for sources and errors."""

    def __init__(self, radius: float, h: float, order: int, fields: int, solid_only: bool = False):
        tiled = one_tile({"geometry": "disks", "radius": radius, "lattice": "square"}, h, order)
        solid = np.flatnonzero(tiled.phase == SOLID).astype(np.int32)
        super().__init__(tiled, fields, solid if solid_only else None)
        cells = solid if solid_only else np.arange(len(tiled.phase), dtype=np.int32)
        tags = {LOW: tiled.end_facets(0), HIGH: tiled.end_facets(1), GAMMA: tiled.interface_facets(0, (0, 1))}
        volumes, facets = [(1, cells)], [(tag, f.ravel()) for tag, f in tags.items()]

        def measure(kind: str, data: Any, degree: int) -> Any:
            return ufl.Measure(kind, tiled.mesh, subdomain_data=data, metadata={"quadrature_degree": degree})

        volume, surface = quadrature_degrees(order)
        self.dx, self.ds = measure("dx", volumes, volume)(1), measure("ds", facets, surface)
        self.dx_exact = measure("dx", volumes, 2 * order + 4)(1)
        self.ds_exact = measure("ds", facets, 2 * order + 4)
        self.x, self.n = ufl.SpatialCoordinate(tiled.mesh), ufl.FacetNormal(tiled.mesh)
        self.test = [self.v] if fields == 1 else [self.v[i] for i in range(fields)]
        self.field = [self.u] if fields == 1 else [self.u[i] for i in range(fields)]

    def fix_low_end(self, field: int) -> None:
        """Prescribe zero at z1 = 0."""
        self.fixed[np.abs(self.points[:, 0]) < 1e-10, field] = True

    def source(self, f: Any, flux: Any, test: Any, tags: tuple[int, ...]) -> Any:
        """int f v - int (flux . n) v: the exact solution's strong left-hand side, and its flux on some facets."""
        out = f * test * self.dx_exact
        for tag in tags:
            out -= dot(flux, self.n) * test * self.ds_exact(tag)
        return out

    def result(self, exact: list[Any]) -> tuple[float, list[float]]:
        """Mesh size and L2 errors of the fields."""
        comm = self.mesh.comm
        return self.size, [l2(comm, u - e, self.dx_exact) for u, e in zip(self.field, exact, strict=True)]


def solve_ohm(radius: float, h: float, order: int, tensor: bool) -> tuple[float, list[float]]:
    """div(-sigma grad Phi) = f, the flux given at z1 = 1."""
    case = Disk(radius, h, order, 1)
    sigma = matrix() if tensor else 1.7
    x, y = case.x
    exact = sin(2 * x) * (1 + 0.5 * sin(2 * pi * y))
    current = -dot(matrix(), grad(exact)) if tensor else -1.7 * grad(exact)
    case.fix_low_end(0)
    case.solve(
        transport.divergence(transport.ohmic_current(sigma, case.u), case.v, case.dx),
        case.source(div(current), current, case.v, (HIGH,)),
    )
    return case.result([exact])


def solve_nernst_planck(radius: float, h: float, order: int) -> tuple[float, list[float]]:
    """Species and charge together, Einstein mobility, Arrhenius diffusivities, a geometry tensor, one Euler step."""
    case = Disk(radius, h, order, 2)
    x, y = case.x
    T = 0.5 * x * (1 + x) + 0.2 * cos(2 * pi * y)
    c_exact = 1.2 + 0.4 * sin(2 * x) * cos(2 * pi * y)
    c_before = 1.0 + 0.3 * x
    phi_exact = 0.6 * x * (2 - x) * (1 + 0.4 * sin(2 * pi * y))

    hot = 1 + RISE * T
    D_L = 0.9 * exp(1.5 * (1 - 1 / hot))
    D_A = 1.6 * exp(0.7 * (1 - 1 / hot))
    grad_c, grad_phi = grad(c_exact), grad(phi_exact)
    species = -dot(matrix(), D_L * grad_c + LAMBDA * D_L / hot * c_exact * grad_phi)
    anions = -dot(matrix(), D_A * grad_c - LAMBDA * D_A / hot * c_exact * grad_phi)
    charge = species - anions  # Li+ carries charge +1, A- charge -1

    c, phi = case.field
    v, w = case.test
    weak_L = temperature.arrhenius(0.9, 1.5, RISE, T)
    weak_A = temperature.arrhenius(1.6, 0.7, RISE, T)
    mu_L, mu_A = (temperature.einstein_mobility(D, RISE, T) for D in (weak_L, weak_A))
    N = transport.species_flux(weak_L, mu_L, LAMBDA, c, phi, matrix())
    i = transport.electrolyte_current(weak_L, weak_A, mu_L, mu_A, LAMBDA, c, phi, matrix())
    case.fix_low_end(1)
    case.set(0, lambda p: 1.0 + 0 * p[:, 0])
    case.solve(
        transport.storage((c - c_before) / DT, v, case.dx)
        + transport.divergence(N, v, case.dx)
        + transport.divergence(i, w, case.dx),
        case.source((c_exact - c_before) / DT + div(species), species, v, (LOW, HIGH))
        + case.source(div(charge), charge, w, (HIGH,)),
    )
    return case.result([c_exact, phi_exact])


def solve_heat(radius: float, h: float, order: int) -> tuple[float, list[float]]:
    """Conduction, storage, Robin cooling at both ends and the Joule heat of a potential that is solved for, too."""
    case = Disk(radius, h, order, 2)
    x, y = case.x
    phi_exact = sin(2 * x) * (1 + 0.3 * cos(2 * pi * y))
    T_exact = 0.3 + x * x + 0.4 * exp(-x) * sin(2 * pi * y)
    T_before = 0.2 * cos(2 * pi * y)
    sigma = 1.3 * exp(-0.8 * RISE * T_exact / (1 + RISE * T_exact))
    current, conduction = -sigma * grad(phi_exact), -dot(matrix(), grad(T_exact))
    power = LAMBDA * sigma * dot(grad(phi_exact), grad(phi_exact))
    rho_cp, cooling, ambient = 1.5, 0.7, 0.1

    phi, T = case.field
    v, w = case.test
    i = transport.ohmic_current(temperature.arrhenius(1.3, -0.8, RISE, T), phi)
    weak = (
        transport.divergence(i, v, case.dx)
        + transport.storage(rho_cp * (T - T_before) / DT, w, case.dx)
        + transport.divergence(heat.conduction(matrix(), T), w, case.dx)
        - heat.joule(LAMBDA, i, phi) * w * case.dx
    )
    strong = rho_cp * (T_exact - T_before) / DT + div(conduction) - power
    source = case.source(div(current), current, v, (HIGH,)) + case.source(strong, conduction, w, (LOW, HIGH))
    for end in (LOW, HIGH):
        weak += transport.outflow(cooling * (T - ambient), w, case.ds(end))
        source += cooling * (T_exact - ambient) * w * case.ds_exact(end)
    case.fix_low_end(0)
    case.solve(weak, source)
    return case.result([phi_exact, T_exact])


def solve_particle(radius: float, h: float, order: int, R_f: float) -> tuple[float, list[float]]:
    """d_t c = div(delta^2 D_s(c) grad c) in a disk; Butler-Volmer, film and double layer on the circle."""
    beta, c_max, delta, G, GC = 0.4, 1.3, 0.5, 1.5, 0.2
    case = Disk(radius, h, order, 1, solid_only=True)
    x, y = case.x
    exact = 0.6 + 0.3 * sin(3 * x) * cos(2 * y)
    before = 0.5 + 0.2 * x * y
    c_e, T = 1 + 0.3 * sin(2 * pi * y), 0.4 * x
    phi_e, jump_rate = -0.1 * y, 0.4 * cos(x)

    flux = -(delta**2) * (1 + 0.5 * exact) * grad(exact)
    eta = 0.1 + 0.2 * x + 0.1 * y
    f = LAMBDA * eta / (1 + RISE * T)
    g = exact**beta * ((1 - exact / c_max) * c_e) ** (1 - beta) * (exp(f) - 1) * exp(-beta * f)
    reaction = delta * (G * g + GC * jump_rate)
    # the potential of the solid with which the film's drop leaves this overpotential
    phi_s = phi_e + 0.25 - 0.4 * exact / c_max + eta + R_f * G * g

    c = case.u
    weak_eta = kinetics.overpotential(phi_s, phi_e, 0.25 - 0.4 * c / c_max)
    if R_f:

        def state(c: Any) -> tuple[Any, Any]:
            slope = LAMBDA / (1 + RISE * T)
            driving = kinetics.overpotential(phi_s, phi_e, 0.25 - 0.4 * c / c_max)
            return slope * driving, slope * R_f * G * kinetics.exchange_rate(c, c_e, beta, c_max)

        frozen = fem.Function(case.space, case.u.x)
        s = kinetics.through_film(*state(c), beta, *state(frozen))
        weak_eta = s * (1 + RISE * T) / LAMBDA
    weak_g = kinetics.butler_volmer(c, c_e, weak_eta, T, beta, c_max, LAMBDA, RISE)
    case.set(0, lambda p: 0.5 + 0 * p[:, 0])
    case.solve(
        transport.storage((c - before) / DT, case.v, case.dx)
        + transport.divergence(transport.particle_flux(1 + 0.5 * c, c, delta), case.v, case.dx)
        + delta
        * transport.outflow(kinetics.interface_flux(G, weak_g, GC, jump_rate), case.v, case.ds(GAMMA)),
        case.source((exact - before) / DT + div(flux), flux, case.v, (GAMMA,))
        + reaction * case.v * case.ds_exact(GAMMA),
    )
    return case.result([exact])


def _studies(run: Run, name: str, fields: tuple[str, ...], solve: Solve) -> dict[str, orders.Study]:
    """Elements of first and second order, on the mesh sizes that the case has for them."""
    disk = run.microstructure["disk"]
    assert isinstance(disk, Disks) and disk.radius is not None
    found = {}
    for order in (1, 2):
        results = [solve(disk.radius, h, order) for h in run.case.numbers(f"sizes_P{order}")]
        sizes, errors = zip(*results, strict=True)
        title = f"{name}, P{order}".removeprefix(", ")
        found[f"P{order}"] = orders.Study(title, fields, sizes, errors, order + 1)
    return found


def _outcome(studies: Mapping[str, orders.Study]) -> Outcome:
    return orders.outcome(studies, "$h$", "Errors in $L^2$ against the mean edge length of the cells.")


def ohm(run: Run, comm: MPI.Intracomm) -> Outcome:
    """Ohm's law with a number and with a tensor for the conductivity; studies number_P1 … tensor_P2."""
    studies = {}
    for kind, tensor in (("number", False), ("tensor", True)):
        found = _studies(run, kind, ("Phi_s",), partial(solve_ohm, tensor=tensor))
        studies.update({f"{kind}_{key}": study for key, study in found.items()})
    return _outcome(studies)


def nernst_planck(run: Run, comm: MPI.Intracomm) -> Outcome:
    """Species and charge in the electrolyte; studies P1, P2."""
    return _outcome(_studies(run, "", ("c_e", "Phi_e"), solve_nernst_planck))


def heat_equation(run: Run, comm: MPI.Intracomm) -> Outcome:
    """Heat with Joule heat; studies P1, P2."""
    return _outcome(_studies(run, "", ("Phi_s", "T"), solve_heat))


def particle(run: Run, comm: MPI.Intracomm) -> Outcome:
    """A particle with Butler-Volmer kinetics and double layer, without and with a film; studies bare_P1 … film_P2."""
    (R_f,) = run.case.numbers("film_resistance")
    studies = {}
    for kind, value in (("bare", 0.0), ("film", R_f)):
        found = _studies(run, kind, ("c_s",), partial(solve_particle, R_f=value))
        studies.update({f"{kind}_{key}": study for key, study in found.items()})
    return _outcome(studies)
