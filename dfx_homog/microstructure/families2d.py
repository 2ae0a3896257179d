"""The two-dimensional families: where the interface is, exactly, and how gmsh draws it.

Every family becomes a PlaneGeometry. Coordinates are unit-cell lengths.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gmsh
import numpy as np
from numpy.typing import NDArray

from dfx_homog.errors import BadInput
from dfx_homog.microstructure.gmsh_model import DimTags, Draw
from dfx_homog.microstructure.inclusions import MIN_GAP, Inclusion, Packing
from dfx_homog.microstructure.unitcell import Floats

Breaks = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class PlaneGeometry:
    """A periodic two-phase geometry of the unit square.

    breaks          positions on the faces where the interface meets them: values of z2 on z1 = 0, of z1 on
                    z2 = 0; also 1/2 where the geometry is its own mirror image
    is_solid        indicator of the solid at points (n, 2)
    to_interface    (p0, p1) -> the point of the interface half-way between its points p0 and p1; with p0 = p1
                    the projection of a point onto the interface
    draw            adds the interface to gmsh's OpenCASCADE model inside a given box
    mirror          whether the geometry is its own image under z1 -> 1 - z1, z2 -> 1 - z2
    solid_fraction  exact, or None
    narrow          passages (x, y, width) near which the mesh must be finer
    """

    breaks: Breaks
    is_solid: Callable[[Floats], NDArray[np.bool_]]
    to_interface: Callable[[Floats, Floats], Floats]
    draw: Draw
    mirror: tuple[bool, bool] = (False, False)
    solid_fraction: float | None = None
    narrow: tuple[tuple[float, float, float], ...] = ()


def _straight(p0: Floats, p1: Floats) -> Floats:
    return 0.5 * (p0 + p1)


def _add_line(p: tuple[float, float], q: tuple[float, float]) -> tuple[int, int]:
    occ = gmsh.model.occ
    return 1, occ.addLine(occ.addPoint(*p, 0.0), occ.addPoint(*q, 0.0))


def electrolyte(_spec: Any) -> PlaneGeometry:
    """No solid at all."""
    return PlaneGeometry(
        breaks=((), (0.5,)),
        is_solid=lambda p: np.zeros(len(p), dtype=bool),
        to_interface=_straight,
        draw=lambda _width, _height: [],
        mirror=(True, True),
        solid_fraction=0.0,
    )


def _inside(values: list[float]) -> tuple[float, ...]:
    return tuple(sorted({v for v in values if 1e-9 < v < 1.0 - 1e-9}))


def _clip(n: tuple[int, int], c: float) -> list[tuple[float, float]]:
    """End points of the line n.z = c in the unit square; none on a face or at a corner only."""
    ends: list[tuple[float, float]] = []
    for side in (0.0, 1.0):
        if n[1] != 0 and -1e-9 <= (v := (c - n[0] * side) / n[1]) <= 1.0 + 1e-9:
            ends.append((side, min(max(v, 0.0), 1.0)))
        if n[0] != 0 and -1e-9 <= (v := (c - n[1] * side) / n[0]) <= 1.0 + 1e-9:
            ends.append((min(max(v, 0.0), 1.0), side))
    if not ends:
        return []
    p, q = min(ends), max(ends)
    on_face = any(p[i] == q[i] and p[i] in (0.0, 1.0) for i in (0, 1))
    return [] if on_face or math.dist(p, q) < 1e-8 else [p, q]


def laminate(spec: Any) -> PlaneGeometry:
    """Solid where frac(n.z) < f; interfaces are the lines n.z = k and n.z = k + f."""
    n, f = (int(spec.normal[0]), int(spec.normal[1])), float(spec.solid_fraction)
    if n == (0, 0):
        raise BadInput("normal: needs an integer vector that is not zero")
    if min(f, 1.0 - f) < MIN_GAP * math.hypot(*n):
        raise BadInput(f"solid_fraction: layers of {f}, 1 - {f} over |normal| are thinner than {MIN_GAP}")
    lowest, highest = min(n[0], 0) + min(n[1], 0), max(n[0], 0) + max(n[1], 0)
    levels = [k + s for k in range(lowest - 1, highest + 1) for s in (0.0, f)]
    lines = [ends for c in levels if (ends := _clip(n, c))]
    normal = np.array(n, dtype=float)

    def breaks(step: int) -> tuple[float, ...]:
        offsets = (0.0, math.copysign(f, step))
        return _inside([(k + s) / abs(step) for k in range(abs(step) + 1) for s in offsets] if step else [])

    return PlaneGeometry(
        breaks=(breaks(n[1]), breaks(n[0])),
        is_solid=lambda p: np.mod(p @ normal, 1.0) < f,
        to_interface=_straight,
        draw=lambda _width, _height: [_add_line(*ends) for ends in lines],
        solid_fraction=f,
    )


def checkerboard(_spec: Any) -> PlaneGeometry:
    """Solid in [0, 1/2]^2 and [1/2, 1]^2."""
    return PlaneGeometry(
        breaks=((0.5,), (0.5,)),
        is_solid=lambda p: (p[:, 0] < 0.5) == (p[:, 1] < 0.5),
        to_interface=_straight,
        draw=lambda _width, _height: [_add_line((0.5, 0.0), (0.5, 1.0)), _add_line((0.0, 0.5), (1.0, 0.5))],
        solid_fraction=0.5,
    )


def wavy(spec: Any) -> PlaneGeometry:
    """Solid where |z2 - 1/2| < w(z1) = w0 + w1 cos(2 pi z1) + w2 sin(4 pi z1): a strip percolating in z1."""
    w0, w1, w2 = float(spec.w0), float(spec.w1), float(spec.w2)

    def w(x: Any) -> Any:
        return w0 + w1 * np.cos(2.0 * np.pi * x) + w2 * np.sin(4.0 * np.pi * x)

    sample = np.linspace(0.0, 1.0, 2001)
    half = w(sample)
    solid, pore = 2.0 * half.min(), 1.0 - 2.0 * half.max()
    if solid < MIN_GAP or pore < MIN_GAP:
        raise BadInput(
            f"w0, w1, w2: the strip is {solid:.4g} wide at its neck and leaves {pore:.4g} of electrolyte at "
            f"its widest; both must be at least {MIN_GAP}"
        )

    def to_interface(p0: Floats, p1: Floats) -> Floats:
        middle = 0.5 * (p0 + p1)
        middle[:, 1] = 0.5 + np.sign(middle[:, 1] - 0.5) * w(middle[:, 0])
        return middle

    def draw(width: float, height: float) -> DimTags:
        occ = gmsh.model.occ
        xs = np.linspace(0.0, width, int(160 * width) + 1)
        curves = []
        for sign in (-1.0, 1.0) if height == 1.0 else (-1.0,):
            curves.append((1, occ.addSpline([occ.addPoint(x, 0.5 + sign * w(x), 0.0) for x in xs])))
        return curves

    edge = float(w(0.0))
    return PlaneGeometry(
        breaks=((0.5 - edge, 0.5, 0.5 + edge), (0.5,) if w2 == 0.0 else ()),
        is_solid=lambda p: np.abs(p[:, 1] - 0.5) < w(p[:, 0]),
        to_interface=to_interface,
        draw=draw,
        mirror=(w2 == 0.0, True),
        solid_fraction=2.0 * w0,
        narrow=(
            (float(sample[half.argmin()]), 0.5, float(solid)),
            *((float(sample[half.argmax()]), side, float(pore)) for side in (0.0, 1.0)),
        ),
    )


def _packed(inclusions: list[Inclusion], symmetric: bool) -> PlaneGeometry:
    """Geometry of inclusions and their copies; `symmetric` if it is its own mirror image both ways."""
    packing = Packing.of(inclusions)
    middle = (0.5,) if symmetric else ()
    return PlaneGeometry(
        breaks=tuple(_inside([*packing.face_crossings(axis), *middle]) for axis in (0, 1)),  # type: ignore[arg-type]
        is_solid=packing.is_solid,
        to_interface=packing.to_interface,
        draw=packing.draw,
        mirror=(symmetric, symmetric),
        solid_fraction=packing.solid_fraction,
        narrow=packing.narrow,
    )


def disks(spec: Any) -> PlaneGeometry:
    """Disks and their periodic copies: one in the middle (square lattice), or lists of centres and radii."""
    centres, radii = getattr(spec, "centres", None), getattr(spec, "radii", None)
    if centres is None or len(centres) == 0:
        if getattr(spec, "lattice", None) not in (None, "square"):
            raise BadInput(
                f"lattice: {spec.lattice!r} does not fit the square unit cell; allowed: 'square', or centres "
                "and radii"
            )
        return _packed([Inclusion(0.5, 0.5, float(spec.radius), float(spec.radius), 0.0)], symmetric=True)
    sizes = [float(r) for r in radii] if radii is not None else [float(spec.radius)] * len(centres)
    if len(sizes) != len(centres):
        raise BadInput(f"radii: needs one radius per centre, has {len(sizes)} for {len(centres)}")
    placed = [
        Inclusion(float(x) % 1.0, float(y) % 1.0, r, r, 0.0) for (x, y), r in zip(centres, sizes, strict=True)
    ]
    return _packed(placed, symmetric=False)


def ellipse(spec: Any) -> PlaneGeometry:
    """One ellipse in the middle of the cell, its first semi-axis at `angle` degrees to z1."""
    a, b = (float(s) for s in spec.semi_axes)
    angle = float(getattr(spec, "angle", 0.0) or 0.0)
    symmetric = angle % 90.0 == 0.0
    if a < b:
        a, b, angle = b, a, angle + 90.0
    return _packed([Inclusion(0.5, 0.5, a, b, math.radians(angle % 180.0))], symmetric)


FAMILIES: dict[str, Callable[[Any], PlaneGeometry]] = {
    "electrolyte": electrolyte,
    "laminate": laminate,
    "checkerboard": checkerboard,
    "disks": disks,
    "ellipse": ellipse,
    "wavy": wavy,
}
