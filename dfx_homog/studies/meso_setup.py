"""The meso domain of a run, and how many dimensions it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from dfx_homog._compat import FloatArray
from dfx_homog.models.meso_domain import Box, MesoBox, MesoDomain, MesoLine, Side
from dfx_homog.models.meso_mesh import MesoMesh
from dfx_homog.parameters.expression import Expression
from dfx_homog.runfile import ELECTRODES, REGIONS, Run
from dfx_homog.runfile.meso import LATERAL_ELEMENTS, lateral_size, meso_dimension, microstructure_dimension
from dfx_homog.runfile.place import TIMES, check_cooling
from dfx_homog.runfile.require import check_places
from dfx_homog.timing import timed


def tensors(run: Run, media: dict[str, Any]) -> dict[tuple[str, str], FloatArray]:
    """Effective tensors by region and name, computed or given; numbers are left out."""
    found: dict[tuple[str, str], FloatArray] = {}
    for region in REGIONS:
        spec = run.microstructure[region]
        if spec.is_given:
            given = {n: getattr(spec, n, None) for n in ("S", "B", "K")}
            named = {n: np.asarray(v) for n, v in given.items() if isinstance(v, tuple)}
        else:
            named = {n: problem.tensor for n, problem in media[region].problems.items()}
        found |= {(region, n): t for n, t in named.items() if not (n == "S" and region == "separator")}
    return found


def dimension(run: Run, media: dict[str, Any]) -> int:
    """Meso dimensions: one is exact for periodic sides, or insulated ones without off-diagonal terms in direction 1.

    Raises BadInput where fewer are given than needed, or more than the microstructures have.
    """
    dim, known = meso_dimension(run), microstructure_dimension(run)
    named = tensors(run, media)
    if named:
        known = min(len(t) for t in named.values())
    if dim > 1 and named and dim > known:
        raise run.problem(
            "homogenised.dim",
            f"is {dim}, but the effective tensors have {known} dimensions (allowed: {known} or less)",
        )
    if run.cell.lateral == "insulated" and run.homogenised.dim != known:
        for (region, name), tensor in named.items():
            beyond = tensor[:dim, dim:]
            if beyond.size and np.abs(beyond).max() > 1e-8 * np.abs(tensor).max():
                if run.homogenised.dim is None:
                    return known
                raise run.problem(
                    "cell.lateral",
                    f'"insulated" with off-diagonal {name}_1j in {region} needs more than {dim} meso dimension'
                    f'{"s" * (dim > 1)} (allowed: "periodic", or homogenised.dim = {known})',
                )
    return dim


@timed("mesh")
def meso_domain(comm: MPI.Intracomm, run: Run, media: dict[str, Any]) -> MesoDomain:
    """Line, box or mesh of the run. Collective. Raises BadInput."""
    if run.homogenised.mesh is not None:
        mesh = MesoMesh(comm, Path(run.homogenised.mesh))
        check_mesh(run, media, mesh)
        return mesh
    dim = dimension(run, media)
    thickness = run.cell.widths
    if dim == 1:
        return MesoLine(comm, thickness, run.homogenised.elements)
    tabs = run.cell.tab_negative, run.cell.tab_positive
    check_lateral_conduction(run, media, tabs, dim)
    size = lateral_size(run, dim)
    elements = run.homogenised.lateral_elements or (LATERAL_ELEMENTS,)
    edges = [tuple(v for tab in tabs if tab for v in tab[d]) for d in range(dim - 1)]
    sides = tuple(
        Side(length, count, run.homogenised.lateral_grading, ends)
        for length, count, ends in zip(
            size, elements * (dim - 1) if len(elements) == 1 else elements, edges, strict=True
        )
    )
    return MesoBox(
        comm,
        thickness,
        run.homogenised.elements,
        sides,
        order=run.homogenised.order or 2,
        periodic=run.cell.lateral == "periodic",
        tabs=tabs,
    )


def check_lateral_conduction(
    run: Run, media: dict[str, Any], tabs: tuple[Box | None, Box | None], dim: int
) -> None:
    """Current reaches all of an electrode from a tab only if its solid conducts across. Raises BadInput."""
    for name, tab in zip(ELECTRODES, tabs, strict=True):
        S = tensors(run, media).get((name, "S"))
        if (
            tab is not None
            and S is not None
            and np.linalg.eigvalsh(S[:dim, :dim])[0] <= 1e-12 * np.abs(S).max()
        ):
            raise run.problem(
                f"cell.tab_{name}",
                "the solid of its unit cell does not percolate across: no current gets from the tab to the rest of "
                "the electrode (allowed: leave it out, or another geometry)",
            )


def check_mesh(run: Run, media: dict[str, Any], mesh: MesoMesh) -> None:
    """A meso mesh has no more dimensions than the tensors, conducts across, and h is >= 0 at its nodes.

    Raises BadInput on all ranks. Collective.
    """
    dim, known = mesh.dim, min((len(t) for t in tensors(run, media).values()), default=3)
    if dim > known or run.homogenised.dim not in (None, dim):
        raise run.problem(
            "homogenised.mesh",
            f"has {dim} dimensions, the effective tensors {known}, homogenised.dim is to be the same",
        )
    check_lateral_conduction(run, media, (((0.0, 0.0),), ((0.0, 0.0),)), dim)
    check_places(run, "homogenised", dim)
    check_cooling(run, "homogenised", dim)
    points = mesh.mesh.geometry.x
    places = {f"y{i + 1}": points[:, i] for i in range(dim)}
    for key in ("h_negative", "h_positive", "h_lateral"):
        value = getattr(run.parameters, key)
        h = Expression.of_time_and_place(run.parameters.h if value is None else value)
        with np.errstate(all="ignore"):
            bad = any(
                not ((v := h.numpy(t=t, **places)) >= 0.0).all() or not np.isfinite(v).all()
                for t in np.linspace(0.0, sum(step.longest or 0.0 for step in run.protocol.steps), TIMES)
            )
        if mesh.comm.allreduce(bad, op=MPI.LOR):
            raise run.problem(
                f"parameters.{'h' if value is None else key}",
                "is negative or not finite on the mesh (allowed: values >= 0)",
            )
