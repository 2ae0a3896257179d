"""The three-dimensional families that gmsh's OpenCASCADE meshes: where the interface is, and how it is drawn.

Every family becomes a SpaceGeometry. Coordinates are unit-cell lengths.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import gmsh
import numpy as np
from numpy.typing import NDArray

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.bodies import Body, Union, ball
from dfx_homog.microstructure.gmsh_model import DimTags
from dfx_homog.microstructure.gmsh_model3d import Draw
from dfx_homog.microstructure.inclusions import MIN_GAP
from dfx_homog.microstructure.unitcell import Floats

# Centres of the lattices' balls: sc in the middle of the cell, so that overlapping balls meet in its faces; bcc and
# fcc also at the corners. All are their own mirror images in the faces z_d = 0 and in z_d = 1/2.
LATTICES = {
    "sc": ((0.5, 0.5, 0.5),),
    "bcc": ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5)),
    "fcc": ((0.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.5, 0.0, 0.5), (0.0, 0.5, 0.5)),
}
# Near the neck edges of overlapping balls the potential's gradient behaves like r^(lambda - 1), lambda > 1/2: mesh
# sizes that grow like r^GRADING up to the distance GRADED keep the order of convergence.
GRADING = {1: 0.55, 2: 0.7}
GRADED = 0.5


@dataclass(frozen=True, eq=False)
class SpaceGeometry:
    """A periodic two-phase geometry of the unit cube.

    is_solid  indicator of the solid at points (n, 3)
    draw      adds the solid's volumes, or the interface's surfaces, to gmsh's OpenCASCADE model
    mirror    whether the geometry is its own image in z_d = 1/2 for all d: then an octant is meshed
    curved    the bodies whose surface the interface is, None where it is flat
    """

    is_solid: Callable[[Floats], NDArray[np.bool_]]
    draw: Draw
    mirror: bool = False
    curved: Union | None = None

    def sizes(self, mesh_size: float, order: int) -> list[str]:
        """Local mesh sizes as gmsh expressions: narrow passages, and graded towards necks, inside the box meshed."""
        if self.curved is None:
            return []
        out, side = [], 0.5 if self.mirror else 1.0
        for p, gap in self.curved.gaps:
            if gap < mesh_size and np.all(p < side + gap):
                out.append(f"{gap!r} + 0.4*{_distance(p)}")
        power = GRADING[order]
        floor = (mesh_size / GRADED) ** (power / (1.0 - power)) if mesh_size < GRADED else 1.0
        for circle in self.curved.circles:
            if np.any(circle.centre > side + circle.radius):
                continue
            along = "+".join(
                f"({n!r})*({v}-({c!r}))"
                for v, n, c in zip("xyz", map(float, circle.normal), map(float, circle.centre), strict=True)
            )
            radial = f"(Sqrt(Fabs({_distance(circle.centre)}^2-({along})^2))-({circle.radius!r}))"
            distance = f"Sqrt({radial}^2+({along})^2)"
            out.append(f"{mesh_size!r}*Max({floor!r}, Min(1, ({distance}/{GRADED!r})^{power!r}))")
        return list(dict.fromkeys(out))


def _distance(p: Floats) -> str:
    return "Sqrt(" + "+".join(f"({v}-({float(c)!r}))^2" for v, c in zip("xyz", p, strict=True)) + ")"


def electrolyte(_spec: Any) -> SpaceGeometry:
    """No solid at all."""
    return SpaceGeometry(is_solid=lambda p: np.zeros(len(p), dtype=bool), draw=lambda _side: [], mirror=True)


def _polygon(n: Floats, c: float) -> Floats:
    """Corners (k, 3), in order, of the unit cube's section with the plane n.z = c; none on a face or an edge only."""
    corners = np.array(list(product((0.0, 1.0), repeat=3)))
    found: list[Floats] = []
    for p, q in product(corners, corners):
        if np.abs(p - q).sum() == 1.0 and p.sum() < q.sum() and (rise := n @ (q - p)) != 0.0:
            t = float((c - n @ p) / rise)
            if -1e-9 <= t <= 1.0 + 1e-9:
                found.append(p + min(max(t, 0.0), 1.0) * (q - p))
    if not found:
        return np.zeros((0, 3))
    points = np.unique(np.round(found, 12), axis=0)
    on_face = any(np.all(points[:, d] == side) for d in range(3) for side in (0.0, 1.0))
    if len(points) < 3 or on_face:
        return np.zeros((0, 3))
    middle = points.mean(axis=0)
    u = points[0] - middle
    v = np.cross(n, u)
    order = np.argsort(np.arctan2((points - middle) @ v / np.linalg.norm(v), (points - middle) @ u))
    return np.asarray(points[order])


def laminate(spec: Any) -> SpaceGeometry:
    """Solid where frac(n.z) < f; interfaces are the planes n.z = k and n.z = k + f."""
    normal = np.array([float(int(v)) for v in spec.normal])
    f = float(spec.solid_fraction)
    if len(normal) != 3 or not normal.any():
        raise BadInput("normal: needs three integers that are not all zero")
    if min(f, 1.0 - f) < MIN_GAP * math.sqrt(float(normal @ normal)):
        raise BadInput(f"solid_fraction: layers of {f}, 1 - {f} over |normal| are thinner than {MIN_GAP}")
    lowest, highest = int(np.minimum(normal, 0.0).sum()), int(np.maximum(normal, 0.0).sum())
    levels = [k + s for k in range(lowest - 1, highest + 1) for s in (0.0, f)]
    sections = [p for c in levels if len(p := _polygon(normal, c))]

    def draw(_side: float) -> DimTags:
        occ = gmsh.model.occ
        surfaces = []
        for corners in sections:
            tags = [occ.addPoint(x, y, z) for x, y, z in corners]
            lines = [occ.addLine(a, b) for a, b in zip(tags, tags[1:] + tags[:1], strict=True)]
            surfaces.append((2, occ.addPlaneSurface([occ.addCurveLoop(lines)])))
        return surfaces

    return SpaceGeometry(is_solid=lambda p: np.mod(p @ normal, 1.0) < f, draw=draw)


def _union(bodies: list[Body], mirror: bool) -> SpaceGeometry:
    union = Union.of(bodies)
    grid = (np.stack(np.meshgrid(*[np.arange(40)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) + 0.5) / 40
    if np.all(union.is_solid(grid)):
        raise BadInput("radius: the balls fill the cell; allowed: sizes that leave some electrolyte")
    return SpaceGeometry(is_solid=union.is_solid, draw=union.draw, mirror=mirror, curved=union)


def spheres(spec: Any) -> SpaceGeometry:
    """Balls and their periodic copies: a lattice of equal ones, or lists of centres and radii; they may overlap."""
    centres, radii = getattr(spec, "centres", None), getattr(spec, "radii", None)
    if centres is None or len(centres) == 0:
        lattice = getattr(spec, "lattice", None) or "sc"
        if lattice not in LATTICES:
            raise BadInput(f"lattice: {lattice!r}; allowed: {', '.join(LATTICES)}, or centres and radii")
        return _union([ball(c, spec.radius) for c in LATTICES[lattice]], mirror=True)
    sizes = [float(r) for r in radii] if radii is not None else [float(spec.radius)] * len(centres)
    if len(sizes) != len(centres):
        raise BadInput(f"radii: needs one radius per centre, has {len(sizes)} for {len(centres)}")
    return _union([ball(np.mod(c, 1.0), r) for c, r in zip(centres, sizes, strict=True)], mirror=False)


def rotation(angles: Any) -> Floats:
    """Rz Ry Rx: turned by angles[0] degrees about z1, then angles[1] about z2, then angles[2] about z3."""
    out = np.eye(3)
    for axis, angle in enumerate(angles):
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
        out = turn @ out
    return out


def ellipsoid(spec: Any) -> SpaceGeometry:
    """One ellipsoid in the middle of the cell, its axes turned by `angle` degrees about z1, z2, z3 in that order."""
    semi_axes = np.array([float(s) for s in spec.semi_axes])
    angles = [float(v) for v in getattr(spec, "angle", (0.0, 0.0, 0.0))]
    body = Body(np.full(3, 0.5), semi_axes, rotation(angles))
    if float(body.reach.max()) > 0.5 - MIN_GAP:
        raise BadInput(
            f"semi_axes: the ellipsoid reaches {body.reach.max():.4g} from the centre; allowed: at most {0.5 - MIN_GAP}"
        )
    return _union([body], mirror=all(v % 90.0 == 0.0 for v in angles))


FAMILIES: dict[str, Callable[[Any], SpaceGeometry]] = {
    "electrolyte": electrolyte,
    "laminate": laminate,
    "spheres": spheres,
    "ellipsoid": ellipsoid,
}
