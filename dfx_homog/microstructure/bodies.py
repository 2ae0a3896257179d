"""Balls and ellipsoids with their periodic copies: where a point lies, projections, and what is too close.

Coordinates are unit-cell lengths. The solid is the union of the bodies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import gmsh
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.gmsh_model import DimTags
from dfx_homog.microstructure.inclusions import MIN_CROSSING, MIN_GAP, NARROW
from dfx_homog.microstructure.unitcell import Floats, Ints

# A node belongs to a surface that is nearer than this; OpenCASCADE's own tolerance is 1e-7.
ON_SURFACE = 1e-6
# Planes z_d = value of the cell's faces and, in an octant, its mirror planes.
PLANES = (0.0, 0.5, 1.0)
# Orientations of a ball's poles and seam (vertices and edges of gmsh's) that are tried, and points on a seam.
TURNS = 100
SEAM = 181


@dataclass(frozen=True, eq=False)
class Body:
    """An ellipsoid: centre (3,), semi-axes (3,), columns of `axes` (3, 3) are its axes. A ball has equal ones."""

    centre: Floats
    semi_axes: Floats
    axes: Floats

    @property
    def is_ball(self) -> bool:
        return bool(np.all(self.semi_axes == self.semi_axes[0]))

    @property
    def radius(self) -> float:
        """Largest semi-axis."""
        return float(self.semi_axes.max())

    @property
    def reach(self) -> Floats:
        """(3,) half its extent along z1, z2, z3."""
        return np.asarray(np.linalg.norm(self.axes * self.semi_axes, axis=1))

    def moved(self, step: Floats) -> Body:
        return Body(self.centre + step, self.semi_axes, self.axes)

    def local(self, p: Floats) -> Floats:
        """Coordinates in which the surface is the unit sphere."""
        return (p - self.centre) @ self.axes / self.semi_axes

    def distance(self, p: Floats) -> Floats:
        """Signed distance of points near the surface to first order (exact for balls), negative inside."""
        q = self.local(p)
        norm = np.linalg.norm(q, axis=1)
        if self.is_ball:
            return np.asarray((norm - 1.0) * self.radius)
        slope = np.linalg.norm(q / self.semi_axes, axis=1) / np.maximum(norm, 1e-300)
        return np.asarray((norm - 1.0) / np.maximum(slope, 1.0 / self.radius))

    def project(self, p: Floats, planes: Sequence[tuple[Floats, float]]) -> Floats:
        """Points of the surface on the given planes n.z = c (at most two) that are radially nearest to p.

        In local coordinates the planes cut a sphere (none), circle or pair of points out of the unit sphere.
        """
        q = self.local(p)
        foot = np.zeros(3)
        if planes:
            # n.z = c becomes m.q = c - n.centre with m = diag(semi-axes) axes^T n
            m = np.array([self.semi_axes * (self.axes.T @ n) for n, _ in planes])
            c = np.array([value - n @ self.centre for n, value in planes])
            inverse = np.linalg.pinv(m)
            foot = inverse @ c
            q = q - (q @ m.T - c) @ inverse.T
        q = q - foot
        radius = math.sqrt(max(1.0 - float(foot @ foot), 0.0))
        q *= radius / np.maximum(np.linalg.norm(q, axis=1), 1e-300)[:, None]
        return np.asarray(self.centre + ((q + foot) * self.semi_axes) @ self.axes.T)

    def draw(self, frame: Floats) -> tuple[int, int]:
        """Adds it to gmsh; a ball's poles lie at +-frame[:, 2], its seam runs between them through frame[:, 0]."""
        occ = gmsh.model.occ
        if self.is_ball:
            tag = (3, occ.addSphere(*self.centre, self.radius))
            turn = Rotation.from_matrix(frame).as_rotvec()
            occ.rotate([tag], *self.centre, *turn, float(np.linalg.norm(turn)))
            return tag
        tag = (3, occ.addSphere(0.0, 0.0, 0.0, 1.0))
        stretch = np.eye(4)
        stretch[:3, :3] = self.axes * self.semi_axes
        stretch[:3, 3] = self.centre
        occ.affineTransform([tag], stretch.ravel().tolist())
        return tag


def ball(centre: Sequence[float], radius: float) -> Body:
    return Body(np.array(centre, dtype=np.float64), np.full(3, float(radius)), np.eye(3))


@dataclass(frozen=True, eq=False)
class Circle:
    """Neck of two overlapping balls: centre, unit normal, radius."""

    centre: Floats
    normal: Floats
    radius: float


def radical_plane(a: Body, b: Body) -> tuple[Floats, float]:
    """Plane n.z = c in which the surfaces of two balls meet."""
    d = b.centre - a.centre
    length = float(np.linalg.norm(d))
    n: Floats = np.asarray(d / length, dtype=np.float64)
    along = 0.5 * (length + (a.radius**2 - b.radius**2) / length)
    return n, float(n @ a.centre + along)


def neck(a: Body, b: Body) -> Circle | None:
    """The circle in which two balls meet, None where they are apart or one lies in the other."""
    n, c = radical_plane(a, b)
    along = c - float(n @ a.centre)
    square = a.radius**2 - along**2
    return Circle(a.centre + along * n, n, math.sqrt(square)) if square > 0.0 else None


def _refuse(what: str) -> BadInput:
    return BadInput(
        f"{what}; allowed: passages of at least {MIN_GAP} and crossings at {MIN_CROSSING:g} degrees or more "
        "(change a size or shift the centres)"
    )


def _check_gap(distance: float, radius: float, what: str) -> None:
    """A curved surface of this radius and a plane, line or point at this distance from its centre."""
    if abs(distance - radius) < MIN_GAP:
        raise _refuse(f"{what} within {abs(distance - radius):.3g}")
    if distance < radius and math.degrees(math.acos(distance / radius)) < MIN_CROSSING:
        raise _refuse(f"{what}, nearly tangent")


def _check_pair(a: Body, b: Body) -> None:
    """Two balls: apart, or crossing at an angle; internal tangency included."""
    d = float(np.linalg.norm(a.centre - b.centre))
    gap = min(abs(d - a.radius - b.radius), abs(d - abs(a.radius - b.radius)))
    if gap < MIN_GAP:
        raise _refuse(f"two balls come within {gap:.3g} of touching")
    cosine = (a.radius**2 + b.radius**2 - d * d) / (2.0 * a.radius * b.radius)
    if abs(cosine) < 1.0:
        angle = math.degrees(math.acos(cosine))
        if min(angle, 180.0 - angle) < MIN_CROSSING:
            raise _refuse("two balls are nearly tangent")


def _check_faces(body: Body) -> None:
    """A body and the faces, edges and corners of the cells of the lattice."""
    centre, reach = body.centre, body.reach
    for d in range(3):
        for plane in range(math.floor(centre[d] - reach[d]) - 1, math.ceil(centre[d] + reach[d]) + 2):
            _check_gap(abs(plane - centre[d]), float(reach[d]), f"an inclusion touches the face z{d + 1} = 0")
    if not body.is_ball:
        return
    offset = centre - np.round(centre)
    for corner in product(*[(o, o - math.copysign(1.0, o)) for o in offset]):
        for d in range(3):
            rest = [abs(corner[i]) for i in range(3) if i != d]
            _check_gap(math.hypot(*rest), body.radius, "a ball touches an edge of the cell")
        if abs(float(np.linalg.norm(corner)) - body.radius) < 0.5 * MIN_GAP:
            raise _refuse("a ball touches a corner of the cell")


@dataclass(frozen=True, eq=False)
class Union:
    """All bodies (copies included) that reach into the unit cube, and those of the cell itself."""

    own: tuple[Body, ...]
    bodies: tuple[Body, ...]
    circles: tuple[Circle, ...]
    gaps: tuple[tuple[Floats, float], ...]

    @classmethod
    def of(cls, own: Sequence[Body]) -> Union:
        """With the copies; raises BadInput for what gives slivers."""
        if any(b.radius < MIN_GAP for b in own):
            raise BadInput(f"radii, semi_axes: sizes from {MIN_GAP} on are allowed")
        own = tuple(_without_hidden(own))
        near = [b.moved(s) for b in own for s in _steps(2)]
        for body in own:
            _check_faces(body)
        circles: dict[tuple[float, ...], Circle] = {}
        gaps: dict[tuple[float, ...], tuple[Floats, float]] = {}
        for a, b in _close_pairs(own, near):
            d = float(np.linalg.norm(a.centre - b.centre))
            _check_pair(a, b)
            circle, gap = neck(a, b), d - a.radius - b.radius
            for step in _steps(1):
                if circle is not None:
                    moved = Circle(circle.centre + step, circle.normal, circle.radius)
                    if np.all(np.abs(moved.centre - 0.5) < 0.5 + moved.radius):
                        circles[(*np.round(moved.centre, 9), round(moved.radius, 9))] = moved
                elif gap > 0.0:
                    place = a.centre + (b.centre - a.centre) * (a.radius + 0.5 * gap) / d + step
                    if np.all(np.abs(place - 0.5) < 0.5 + gap):
                        gaps[(*np.round(place, 9),)] = place, gap
        inside = [b for b in near if np.all(b.centre + b.reach > 0.0) and np.all(b.centre - b.reach < 1.0)]
        return cls(own, tuple(inside), tuple(circles.values()), tuple(gaps.values()))

    def is_solid(self, p: Floats) -> NDArray[np.bool_]:
        solid = np.zeros(len(p), dtype=bool)
        for body in self.bodies:
            solid |= np.einsum("ij,ij->i", q := body.local(p), q) < 1.0
        return solid

    def draw(self, side: float) -> DimTags:
        """Bodies that reach into [0, side]^3, fused, as gmsh volumes."""
        near = [b for b in self.bodies if np.all(b.centre - b.reach < side)]
        if side < 1.0:
            frames = [_frame(np.where(b.centre < 0.5 * side, 1.0, -1.0)) for b in near]
        else:
            frames = self._frames(near)
        tags = [b.draw(f) for b, f in zip(near, frames, strict=True)]
        return gmsh.model.occ.fuse(tags[:1], tags[1:])[0] if len(tags) > 1 else tags

    def _frames(self, bodies: Sequence[Body]) -> list[Floats]:
        """One frame for a body and its copies: poles and seam cross faces and other balls, but do not graze them."""
        frames = []
        turns = Rotation.random(TURNS, random_state=1).as_matrix()
        for own in self.own:
            others = [
                b.moved(s)
                for b in self.own
                for s in _steps(1)
                if 0.0 < np.linalg.norm(b.centre + s - own.centre) < own.radius + b.radius
            ]
            frames.append(turns[int(np.argmax([_clearance(own, turn, others) for turn in turns]))])
        return [frames[self._source(body)] for body in bodies]

    def _source(self, copy: Body) -> int:
        """Which of the own bodies this is a copy of."""
        steps = [copy.centre - own.centre for own in self.own]
        return int(np.argmin([np.abs(s - np.round(s)).max() for s in steps]))

    def membership(self, p: Floats) -> NDArray[np.bool_]:
        """(n, bodies): whether a point lies on a body's surface."""
        return np.column_stack([np.abs(body.distance(p)) < ON_SURFACE for body in self.bodies])

    def _project(self, p: Floats, members: NDArray[np.bool_], on_plane: NDArray[np.bool_]) -> Floats:
        """Points p on the surfaces of their bodies (n, bodies) and planes (n, 3 * len(PLANES))."""
        out = p.copy()
        groups, which = np.unique(np.hstack([members, on_plane]), axis=0, return_inverse=True)
        for number, group in enumerate(groups):
            bodies = np.flatnonzero(group[: members.shape[1]])
            if len(bodies) == 0:
                continue
            planes = [
                (np.eye(3)[i // len(PLANES)], PLANES[i % len(PLANES)])
                for i in np.flatnonzero(group[members.shape[1] :])
            ]
            first = self.bodies[bodies[0]]
            for other in bodies[1:]:
                plane = radical_plane(first, self.bodies[other])
                if not any(np.allclose(abs(n @ plane[0]), 1.0) for n, _ in planes):
                    planes.append(plane)
            if len(planes) <= 2:
                here = which.ravel() == number
                out[here] = first.project(p[here], planes)
        fixed = on_plane.reshape(len(p), 3, len(PLANES))
        for k, value in enumerate(PLANES):
            out[fixed[:, :, k]] = value
        return out

    def to_nodes(self, p: Floats) -> Floats:
        """Vertices on the interface, moved onto it exactly; those on planes stay there."""
        return self._project(p, self.membership(p), _on_planes(p, p))

    def to_midpoints(self, points: Floats, facets: Ints, facet_edges: Ints, edges: Ints) -> Floats:
        """Midpoints of the interface's edges (e, 2) on the exact surface, on a circle along necks.

        facets (f, 3) are the interface's triangles, facet_edges (f, 3) their positions in `edges`.
        """
        nodes, number = np.unique(facets, return_inverse=True)
        number = number.reshape(facets.shape)
        members = self.membership(points[nodes])
        on = members[number[:, 0]] & members[number[:, 1]] & members[number[:, 2]]
        body = on.argmax(axis=1)
        several = np.flatnonzero(on.sum(axis=1) > 1)
        if len(several):  # three nodes on a neck: the body whose surface is nearest to the middle
            middle = points[facets[several]].mean(axis=1)
            distance = np.abs(np.column_stack([b.distance(middle) for b in self.bodies]))
            body[several] = np.where(on[several], distance, np.inf).argmin(axis=1)
        of_edge = np.zeros((len(edges), len(self.bodies)), dtype=bool)
        of_edge[facet_edges.ravel(), np.repeat(body, 3)] = on.any(axis=1).repeat(3)
        ends = points[edges]
        return self._project(ends.mean(axis=1), of_edge, _on_planes(ends[:, 0], ends[:, 1]))


def _close_pairs(own: Sequence[Body], near: Sequence[Body]) -> Iterator[tuple[Body, Body]]:
    """Balls (a, b), a of the cell, that overlap or are less than NARROW apart."""
    tree = cKDTree([b.centre for b in near])
    largest = max(b.radius for b in near)
    for a in own:
        for i in tree.query_ball_point(a.centre, a.radius + largest + NARROW):
            b = near[i]
            d = float(np.linalg.norm(a.centre - b.centre))
            if a.is_ball and b.is_ball and 1e-12 < d < a.radius + b.radius + NARROW:
                yield a, b


def _steps(reach: int) -> list[Floats]:
    """Lattice vectors with components up to `reach`."""
    return [np.array(s, dtype=np.float64) for s in product(range(-reach, reach + 1), repeat=3)]


def _frame(towards: Floats) -> Floats:
    """Frame of a ball in the corner of an octant that lies towards the given signs: poles and seam outside of it."""
    # (1, 1, -2) lies in no octant of equal signs
    x, z = -towards / math.sqrt(3.0), towards * (1.0, 1.0, -2.0) / math.sqrt(6.0)
    return np.column_stack([x, np.cross(z, x), z])


def _clearance(body: Body, frame: Floats, others: Sequence[Body]) -> float:
    """How far a ball's poles, and places where its seam turns back or crosses twice, keep from faces and others."""
    t = np.linspace(0.0, np.pi, SEAM)
    seam = body.centre + body.radius * (np.outer(np.sin(t), frame[:, 0]) + np.outer(np.cos(t), frame[:, 2]))
    levels = [seam[:, d] - np.round(plane) for d in range(3) for plane in (body.centre[d] + np.arange(-1, 2))]
    levels += [other.distance(seam) for other in others]
    nearest, crossings = np.inf, []
    for f in levels:
        turning = np.append(np.flatnonzero((f[1:-1] - f[:-2]) * (f[2:] - f[1:-1]) <= 0.0) + 1, [0, SEAM - 1])
        nearest = min(nearest, float(np.abs(f[turning]).min()))
        crossings.append(np.flatnonzero(f[1:] * f[:-1] <= 0.0))
    places = np.sort(np.concatenate(crossings))
    if len(places) > 1:
        nearest = min(nearest, float(np.diff(places).min()) * body.radius * np.pi / SEAM)
    return nearest


def _on_planes(p: Floats, q: Floats) -> NDArray[np.bool_]:
    """(n, 3 * len(PLANES)): whether both points lie on the plane z_d = value, ordered by d, then value."""
    return np.stack([(p == v) & (q == v) for v in PLANES], axis=2).reshape(len(p), -1)


def _without_hidden(bodies: Sequence[Body]) -> list[Body]:
    """Without balls that lie inside another one (or a copy of it): they have no surface."""
    hidden: set[int] = set()
    for i, j in combinations(range(len(bodies)), 2):
        for a, b in ((i, j), (j, i)):
            step = bodies[a].centre - bodies[b].centre
            step -= np.round(step)
            inside = float(np.linalg.norm(step)) + bodies[a].radius <= bodies[b].radius - MIN_GAP
            if inside and bodies[b].is_ball and b not in hidden:
                hidden.add(a)
    return [body for i, body in enumerate(bodies) if i not in hidden]
