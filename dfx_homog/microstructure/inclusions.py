"""Disks and ellipses with their periodic copies: their curves, where these meet, and what is too close.

What is refused, and why, is stated by the two tolerances: such geometries give slivers, or a mesh that is
silently wrong. Coordinates are unit-cell lengths.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import gmsh
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.spatial import cKDTree

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.gmsh_model import DimTags
from dfx_homog.microstructure.unitcell import Floats

# Narrowest passage between interfaces, or between an interface and a face of the cell (unit-cell lengths).
MIN_GAP = 0.01
# Smallest angle at which curved interfaces may meet each other or a face of the cell (degrees).
MIN_CROSSING = 15.0


class Inclusion(NamedTuple):
    """An ellipse (a disk where a = b): centre, semi-axes, angle of the first axis to z1 in radians."""

    x: float
    y: float
    a: float
    b: float
    angle: float

    def moved(self, dx: float, dy: float) -> Inclusion:
        return self._replace(x=self.x + dx, y=self.y + dy)

    def local(self, p: Floats) -> Floats:
        """Coordinates in which the ellipse is the unit circle."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        d = p - (self.x, self.y)
        return np.column_stack([(c * d[:, 0] + s * d[:, 1]) / self.a, (c * d[:, 1] - s * d[:, 0]) / self.b])

    def world(self, q: Floats) -> Floats:
        """Inverse of `local`."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        u, v = self.a * q[:, 0], self.b * q[:, 1]
        return np.column_stack([self.x + c * u - s * v, self.y + s * u + c * v])

    def level(self, p: Floats) -> Floats:
        """Below 0 inside, 0 on the curve, above 0 outside."""
        level: Floats = np.linalg.norm(self.local(p), axis=1) - 1.0
        return level

    def at(self, t: Any) -> Floats:
        """Points of the curve at parameters t (radians from the first axis)."""
        t = np.atleast_1d(t)
        return self.world(np.column_stack([np.cos(t), np.sin(t)]))

    def normal(self, p: Floats) -> Floats:
        """Unit normals of the level curves at points p."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        q = self.local(p) / (self.a, self.b)
        g = np.column_stack([c * q[:, 0] - s * q[:, 1], s * q[:, 0] + c * q[:, 1]])
        unit: Floats = g / np.linalg.norm(g, axis=1)[:, None]
        return unit

    def extent(self, axis: int) -> float:
        """Half of its width along z1 or z2."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        return math.hypot(self.a * c, self.b * s) if axis == 0 else math.hypot(self.a * s, self.b * c)


# Parameters at which closed curves are sampled for crossings and distances; the odd start keeps the samples
# off the axes, where crossings with the cell's faces tend to lie.
SAMPLES = 0.1357 + np.linspace(0.0, 2.0 * np.pi, 1441)
# Passages narrower than this are kept for refinement; meshes of useful size see no narrowness beyond it.
NARROW = 0.3


def _roots(f: Callable[[Any], Floats]) -> list[float]:
    """Parameters t of a closed curve where f(t) changes sign."""
    negative = f(SAMPLES) < 0.0
    negative[-1] = negative[0]
    found = []
    for i in np.flatnonzero(negative[:-1] != negative[1:]):
        ends = SAMPLES[i], SAMPLES[i + 1]
        values = np.abs(f(np.array(ends)))
        if values.min() < 1e-14:
            found.append(float(ends[values.argmin()]))
        else:
            found.append(float(brentq(lambda t: float(f(t)[0]), *ends, xtol=1e-15)))
    return found


def _refuse(what: str) -> BadInput:
    return BadInput(
        f"{what}; allowed: passages of at least {MIN_GAP} and crossings at {MIN_CROSSING:g} degrees or more "
        "(change a size or shift the centres)"
    )


def _face_crossings(one: Inclusion, axis: int) -> tuple[list[float], list[tuple[float, float, float]]]:
    """Parameters where the curve meets lines z_axis = integer, and its narrow passages to them."""
    e = np.eye(2)[axis]
    centre, extent = (one.x, one.y)[axis], one.extent(axis)
    crossings: list[float] = []
    narrow: list[tuple[float, float, float]] = []
    for line in range(math.floor(centre - extent) - 1, math.ceil(centre + extent) + 2):
        gap = abs(line - centre) - extent
        if abs(gap) < MIN_GAP:
            raise _refuse(f"an inclusion comes within {abs(gap):.3g} of touching the face z{axis + 1} = 0")
        if gap > 0.0:
            curve = one.at(SAMPLES)
            x, y = curve[np.abs(curve[:, axis] - line).argmin()]
            narrow.append((float(x), float(y), gap))
            continue
        found = _roots(lambda t, line=line: one.at(t)[:, axis] - line)  # type: ignore[misc]
        angle = np.degrees(np.arccos(np.minimum(1.0, np.abs(one.normal(one.at(found)) @ e)))).min()
        if angle < MIN_CROSSING:
            raise _refuse(f"an inclusion crosses the face z{axis + 1} = 0 at {angle:.3g} degrees")
        crossings += found
    return crossings, narrow


def _meet(one: Inclusion, two: Inclusion) -> tuple[list[float], tuple[float, float, float] | None]:
    """Parameters of `one` where it meets `two`, or else the narrow passage (x, y, width) between them."""
    if math.dist(one[:2], two[:2]) > one.a + two.a + NARROW:
        return [], None
    found = _roots(lambda t: two.level(one.at(t)))
    if found:
        p = one.at(found)
        cosine = np.abs((one.normal(p) * two.normal(p)).sum(axis=1))
        angle = np.degrees(np.arccos(np.minimum(1.0, cosine))).min()
        if angle < MIN_CROSSING:
            raise _refuse(f"two inclusions meet at {angle:.3g} degrees, nearly tangent")
        return found, None
    p, q = one.at(SAMPLES), two.at(SAMPLES)
    distances, partners = (np.asarray(found) for found in cKDTree(q).query(p))
    i = int(distances.argmin())
    gap = float(distances[i])
    if gap < MIN_GAP:
        raise _refuse(f"two inclusions come within {gap:.3g} of each other")
    x, y = 0.5 * (p[i] + q[partners[i]])
    return [], (float(x), float(y), gap)


@dataclass(frozen=True)
class Packing:
    """Inclusions with all periodic copies that reach the unit cell, and where their curves may start.

    copies          the inclusions that reach [0, 1]^2
    starts          per copy, a parameter of its curve far from all crossings: gmsh puts a node there
    solid_fraction  exact, or None where inclusions overlap
    narrow          passages (x, y, width)
    """

    copies: tuple[Inclusion, ...]
    starts: tuple[float, ...]
    solid_fraction: float | None
    narrow: tuple[tuple[float, float, float], ...]

    @classmethod
    def of(cls, inclusions: list[Inclusion]) -> Packing:
        """Raises BadInput for sizes out of range, near-tangent curves and passages that are too narrow."""
        if any(min(one.a, one.b) < 2.0 * MIN_GAP or max(one.a, one.b) >= 1.0 for one in inclusions):
            raise BadInput(f"radius, radii, semi_axes: allowed are sizes from {2.0 * MIN_GAP} to below 1")
        copies: list[Inclusion] = []
        starts: list[float] = []
        narrow: list[tuple[float, float, float]] = []
        overlap = False
        shifts = list(product((-2.0, -1.0, 0.0, 1.0, 2.0), repeat=2))
        for i, one in enumerate(inclusions):
            crossings: list[float] = []
            passages: list[tuple[float, float, float]] = []
            for axis in (0, 1):
                found, near = _face_crossings(one, axis)
                crossings += found
                passages += near
            for j, other in enumerate(inclusions):
                for shift in shifts:
                    if i == j and shift == (0.0, 0.0):
                        continue
                    two = other.moved(*shift)
                    found, passage = _meet(one, two)
                    overlap |= bool(found) or bool(one.level(np.array([two[:2]]))[0] < 0.0)
                    crossings += found
                    passages += [passage] if passage is not None else []
            own = [one.moved(*s) for s in shifts]
            reach = [c for c in own if all(-c.extent(k) < c[k] < 1.0 + c.extent(k) for k in (0, 1))]
            copies += reach
            starts += [_farthest(crossings)] * len(reach)
            narrow += [(x + sx, y + sy, gap) for x, y, gap in passages if gap < NARROW for sx, sy in shifts]
        area = sum(math.pi * one.a * one.b for one in inclusions)
        near = [p for p in narrow if all(-NARROW < v < 1.0 + NARROW for v in p[:2])]
        return cls(tuple(copies), tuple(starts), None if overlap else area, tuple(sorted(set(near))))

    def face_crossings(self, axis: int) -> list[float]:
        """Where the boundary of the solid meets the face z_axis = 0: values of the other coordinate."""
        found = []
        for one in self.copies:
            if abs(one[axis]) < one.extent(axis):
                points = one.at(_roots(lambda t, one=one: one.at(t)[:, axis]))  # type: ignore[misc]
                points[:, axis] = 0.0
                covered = np.any([c.level(points) < -1e-9 for c in self.copies], axis=0)
                found += [float(p[1 - axis]) for p in points[~covered]]
        return found

    def is_solid(self, points: Floats) -> NDArray[np.bool_]:
        """Indicator of the solid at points (n, 2) of the cell."""
        inside: NDArray[np.bool_] = np.any([c.level(points) < 0.0 for c in self.copies], axis=0)
        return inside

    def to_interface(self, p0: Floats, p1: Floats) -> Floats:
        """The point of the curve half-way (in the curve's parameter) between its points p0 and p1."""
        # The curve on which both ends lie: near a crossing the chord's midpoint alone does not tell.
        off = [np.maximum(np.abs(c.level(p0)), np.abs(c.level(p1))) for c in self.copies]
        nearest = np.argmin(off, axis=0)
        middle = 0.5 * (p0 + p1)
        for i in np.unique(nearest):
            mine, one = nearest == i, self.copies[i]
            q = one.local(middle[mine])
            middle[mine] = one.world(q / np.linalg.norm(q, axis=1)[:, None])
        return middle

    def draw(self, _width: float, _height: float) -> DimTags:
        """Adds the union of the copies to gmsh's OpenCASCADE model."""
        occ = gmsh.model.occ
        surfaces: DimTags = []
        for one, start in zip(self.copies, self.starts, strict=True):
            frame = {"zAxis": [0.0, 0.0, 1.0], "xAxis": [math.cos(one.angle), math.sin(one.angle), 0.0]}
            ends = {"angle1": start, "angle2": start + 2.0 * math.pi}
            if one.a == one.b:
                curve = occ.addCircle(one.x, one.y, 0.0, one.a, **ends, **frame)
            else:
                curve = occ.addEllipse(one.x, one.y, 0.0, one.a, one.b, **ends, **frame)
            surfaces.append((2, occ.addPlaneSurface([occ.addCurveLoop([curve])])))
        if len(surfaces) > 1:
            surfaces, _ = occ.fuse(surfaces[:1], surfaces[1:])
        return surfaces


def _farthest(crossings: list[float]) -> float:
    """The parameter in the middle of the longest arc between crossings."""
    if not crossings:
        return 0.25 * math.pi
    t = np.sort(np.mod(crossings, 2.0 * np.pi))
    arcs = np.diff(np.append(t, t[0] + 2.0 * np.pi))
    longest = int(arcs.argmax())
    return float(t[longest] + 0.5 * arcs[longest])
