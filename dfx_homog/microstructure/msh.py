"""Files of gmsh, read as meshes and as nothing else.

gmsh takes a file that does not begin like a mesh for a script in its own language, which can run any command, and
reads such a script, NAME.opt beside a mesh, without being asked. So the file's beginning is looked at first, and gmsh
is shown the file in a folder that has nothing else.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import gmsh
import numpy as np
from numpy.typing import NDArray

from dfx_homog.errors import BadInput

BEGINNING = b"$MeshFormat"
Ints = NDArray[np.int64]


def merge(path: Path, key: str) -> None:
    """Reads a mesh into gmsh's current model. key: of the run file, for messages. Serial. Raises BadInput."""
    try:
        with path.open("rb") as file:
            start = file.read(len(BEGINNING))
    except OSError as error:
        raise BadInput(f"{key}: {path}: cannot be read: {error.strerror}") from None
    if start != BEGINNING:
        raise BadInput(
            f"{key}: {path} is not a mesh that gmsh reads (allowed: a file that begins with $MeshFormat)"
        )
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "mesh.msh"
        alone.symlink_to(path.absolute())
        try:
            gmsh.merge(str(alone))
        except Exception as error:  # gmsh raises plain Exception
            reason = str(error).replace(str(alone), "it") or "its numbers cannot be right"
            raise BadInput(f"{key}: {path} is not a mesh that gmsh reads ({reason})") from None
    if not np.isfinite(gmsh.model.mesh.getNodes()[1]).all():
        raise BadInput(f"{key}: {path} has nodes that are nowhere (allowed: finite coordinates)")


def positions(tags: NDArray[np.uint64], wanted: NDArray[np.integer[Any]], key: str) -> Ints:
    """Where in `tags`, of any size and order, the wanted ones are. Raises BadInput for one that is not there."""
    known, asked = tags.astype(np.int64), wanted.astype(np.int64)
    order = np.argsort(known, kind="stable")
    place = order[np.minimum(np.searchsorted(known, asked, sorter=order), len(known) - 1)]
    if not np.array_equal(known[place], asked):
        raise BadInput(f"{key}: has cells of nodes that it does not have")
    found: Ints = place.astype(np.int64)
    return found
