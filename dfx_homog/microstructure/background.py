"""Background mesh of the cut cells: body-centred cubic tetrahedra of the unit cube, periodic, with planar faces.

The vertices are the corners and the centres of n^3 cubes. Every face between two cubes carries four tetrahedra,
each of the two centres and one edge of the face: all congruent, dihedral angles 60 and 90 degrees, edges h and
sqrt(3)/2 h with h = 1/n. Those that the faces of the unit cell would cut are halved there at the centre of the
cube's face, which is a vertex too. The mesh is the same under translations by h and, apart from the numbering,
under all symmetries of the cube.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfx_homog.microstructure.unitcell import Floats, Ints

#: Fewest cubes along an edge: two different edges of the torus then never have the same two ends.
FEWEST = 3


@dataclass(frozen=True)
class Background:
    """Vertices, tetrahedra and the periodic representative of each vertex (on the lower faces).

    points (v, 3) in unit-cell lengths, cells (m, 4) of any orientation, canonical (v,)
    """

    points: Floats
    cells: Ints
    canonical: Ints


def background(n: int) -> Background:
    """The body-centred mesh of n^3 cubes, n >= 3: 12 n^3 + 12 n^2 tetrahedra."""
    corner = np.arange((n + 1) ** 3).reshape(n + 1, n + 1, n + 1)
    centre = corner.size + np.arange(n**3).reshape(n, n, n)
    line, middle = np.arange(n + 1) / n, (np.arange(n) + 0.5) / n
    points = [_grid(line, line, line), _grid(middle, middle, middle)]
    low = corner[tuple(np.ix_(*[np.arange(n + 1) % n] * 3))]
    canonical = [low.ravel(), centre.ravel()]
    count = corner.size + centre.size
    cells = []
    for axis in range(3):
        square = np.moveaxis(corner, axis, 0)
        ring = [square[:, :-1, :-1], square[:, 1:, :-1], square[:, 1:, 1:], square[:, :-1, 1:]]
        across = np.moveaxis(centre, axis, 0)
        face = count + np.arange(2 * n * n).reshape(2, n, n)
        count += 2 * n * n
        for side in (0, 1):
            axes = [middle] * 3
            axes[axis] = np.array([float(side)])
            points.append(np.moveaxis(_grid_array(*axes), axis, 0).reshape(-1, 3))
            canonical.append(face[0].ravel())
        below = np.concatenate([face[:1], across])
        above = np.concatenate([across, face[1:]])
        for k in range(4):
            four = below, above, ring[k], ring[(k + 1) % 4]
            cells.append(np.stack([v.ravel() for v in four], axis=1))
    return Background(np.concatenate(points), np.concatenate(cells), np.concatenate(canonical))


def _grid_array(x: Floats, y: Floats, z: Floats) -> Floats:
    return np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1)


def _grid(x: Floats, y: Floats, z: Floats) -> Floats:
    return _grid_array(x, y, z).reshape(-1, 3)
