"""The problem of a run file made larger by a whole number, so that weak scaling has something to scale."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from dfx_homog.errors import BadInput
from dfx_homog.runfile import Run
from dfx_homog.runfile.messages import describe
from dfx_homog.runfile.toml import to_toml

Json = dict[str, Any]

#: What may grow, by command; the first is the default.
GROWS = {
    "cell": ("mesh_size or voxels",),
    "rve": ("realisations",),
    "resolved": ("lateral_periods", "periods"),
    "homogenised": ("elements", "lateral_elements"),
    "convergence": ("lateral_periods",),
}


def what_grows(run: Run) -> str:
    """Name of the key. Raises BadInput if [scaling] asks for one that the command does not have."""
    command, asked = run.scaling.command, run.scaling.grow
    if asked is not None and asked not in GROWS[command]:
        allowed = ", ".join(GROWS[command])
        raise run.problem("scaling.grow", f'"{asked}" does not make {command} larger (allowed: {allowed})')
    return asked or GROWS[command][0]


def dimension(run: Run) -> int:
    """Of the domain that is divided among the ranks: what its surface scales with."""
    if run.scaling.command == "homogenised":
        return run.homogenised.dim or 1
    dims = [spec.dim for spec in run.microstructure.values() if spec.dim is not None]
    return dims[0] if dims else 3


def grown(run: Run, size: int) -> Run:
    """The run file with a problem `size` times as large (cell: about). Raises BadInput for what cannot grow."""
    if size == 1:
        return run
    key = what_grows(run)
    tables: Json = run.model_dump(by_alias=True, exclude_none=True)
    if key == "periods":
        tables["cell"]["periods"] = [size * n for n in run.cell.periods]
    elif key == "lateral_periods":
        tables["cell"]["lateral_periods"] = _wider(list(run.cell.lateral_periods), size, dimension(run))
    elif key == "elements":
        tables["homogenised"]["elements"] = size * _no_file(run).homogenised.elements
    elif key == "lateral_elements":
        given = list(_no_file(run).homogenised.lateral_elements or [])
        if not given:
            raise run.problem(
                "homogenised.lateral_elements", "required: they grow (allowed: one entry for each direction)"
            )
        tables["homogenised"]["lateral_elements"] = [size * given[0], *given[1:]]
    elif key == "realisations":
        tables["rve"]["realisations"] = size * run.rve.realisations
    else:
        for name, spec in run.microstructure.items():
            if not spec.is_given:
                tables["microstructure"][name] |= _finer(run, name, size)
    try:
        # without files: their names are absolute by now
        larger = Run.model_validate(tables, context={"folder": str(run.folder)})
    except ValidationError as error:
        raise BadInput(f"{run.source}: {size} times as large: {describe(error)}") from None
    larger._source, larger._given = run.source, run.given
    return larger


def text(run: Run) -> str:
    """The run file in TOML, without the table that only this command reads."""
    tables = run.model_dump(by_alias=True, exclude_none=True)
    return to_toml({name: table for name, table in tables.items() if name not in ("scaling", "case")})


def _wider(across: list[int], size: int, dim: int) -> list[int]:
    """One entry for all directions becomes one for each, of which the first grows."""
    each = across * (dim - 1) if len(across) == 1 else across
    return [size * each[0], *each[1:]]


def _no_file(run: Run) -> Run:
    if run.homogenised.mesh is not None:
        raise run.problem(
            "homogenised.mesh", "a mesh file cannot grow (allowed with it: scaling.weak = false, sizes = [1])"
        )
    return run


def _finer(run: Run, name: str, size: int) -> Json:
    """Keys of a unit cell with about `size` times as many elements or voxels."""
    spec: Any = run.microstructure[name]
    voxels, dim = getattr(spec, "voxels", None), spec.dim or 3
    if voxels is not None:
        return {"voxels": round(voxels * size ** (1 / dim))}
    if getattr(spec, "mesh_size", None) is not None:
        return {"mesh_size": spec.mesh_size * size ** (-1 / dim)}
    raise run.problem(
        f"microstructure.{name}.geometry",
        f'"{spec.geometry}" cannot grow (allowed with it: scaling.weak = false, sizes = [1])',
    )
