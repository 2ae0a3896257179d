"""Leaf types of [microstructure.NAME]; see types.py for their rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import PlainValidator, ValidationInfo

from dfx_homog.runfile.types import Allowed, formula, list_of, number_in, one_of, show, whole_number_in

LARGEST_EDGE = 100_000  # voxels along an edge of an image
LARGEST_SEED = 2**63 - 1
LARGEST_LABEL = 2**32 - 1
#: Names of raw files' number types, the second half big-endian, as numpy reads them.
RAW_TYPES = (
    *("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"),
    *(">u2", ">i2", ">u4", ">i4", ">f4", ">f8"),
)
IMAGE_FILES = (".tif", ".tiff", ".npy", ".raw")
MESH_FILES = (".msh",)


def _symmetric_positive(rows: tuple[tuple[float, ...], ...]) -> bool:
    """Whether a matrix is symmetric positive definite (Cholesky's algorithm gets to its end)."""
    n = len(rows)
    lower = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            if rows[i][j] != rows[j][i]:
                return False
            rest = rows[i][j] - sum(lower[i][k] * lower[j][k] for k in range(j))
            if i == j and rest <= 0.0:
                return False
            lower[i][j] = math.sqrt(rest) if i == j else rest / lower[j][j]
    return True


def _conductivity(value: Any) -> float | tuple[tuple[float, ...], ...]:
    if not isinstance(value, list | tuple):
        return number_in(value, above=0.0)
    if len(value) not in (2, 3):
        raise ValueError(f"{show(value)} has {len(value)} entries, not 2 or 3")
    rows: tuple[tuple[float, ...], ...] = list_of(value, lambda row: list_of(row, number_in, len(value)))
    if not _symmetric_positive(rows):
        raise ValueError(f"{show(value)} is not symmetric and positive definite")
    return rows


def _one_or_more(value: Any) -> float | tuple[float, ...]:
    if isinstance(value, list | tuple):
        return list_of(value, lambda x: number_in(x, above=0.0))
    return number_in(value, above=0.0)


def _conductivity_or_table(value: Any) -> float | dict[int, float]:
    """A number > 0, or label -> number >= 0 that is not 0 throughout."""
    if not isinstance(value, dict):
        return number_in(value, above=0.0)
    table = {_label_key(key): number_in(entry, least=0.0) for key, entry in value.items()}
    if not any(table.values()):
        raise ValueError(f"{show(value)} has no entry > 0")
    return table


def _label_key(key: Any) -> int:
    """A label as key of a table: TOML's keys are text."""
    text = str(key)
    if not (text.removeprefix("-").isascii() and text.removeprefix("-").isdecimal() and len(text) < 12):
        raise ValueError(f"{show(key)} is not a label of the image")
    return _label(int(text))


def _label(value: Any) -> int:
    return whole_number_in(value, -LARGEST_LABEL, LARGEST_LABEL)


def _labels(value: Any) -> tuple[int, ...]:
    labels = list_of(value, _label)
    if len(set(labels)) < len(labels):
        raise ValueError(f"{show(list(labels))} has a label twice")
    return labels


def _interval(value: Any) -> tuple[int, int]:
    first, end = list_of(value, lambda v: whole_number_in(v, 0, LARGEST_EDGE), 2)
    if not first < end:
        raise ValueError(f"{show([first, end])} is empty")
    return first, end


def existing_file(value: Any, info: ValidationInfo, suffixes: tuple[str, ...]) -> str:
    """The absolute path of a file that the run file names, relative to its folder or else to the working directory.

    Absolute, so that the run file that a study writes into its results leads to the same file.
    """
    if not isinstance(value, str):
        raise ValueError(f"{show(value)} is not a file name")
    if not value or "\0" in value or Path(value).suffix.lower() not in suffixes:
        raise ValueError(f"{show(value)} does not end in {', '.join(suffixes)}")
    folder = Path((info.context or {}).get("folder", "."))
    found = [place for place in (folder / value, Path(value)) if place.is_file()]
    path = str((found or [folder / value])[0].absolute())
    if not path.isprintable():  # run.toml and the report have to tell it
        raise ValueError(f"{show(path)} has characters that cannot be shown")
    return path


def _not_all_zero(value: tuple[int, ...]) -> tuple[int, ...]:
    if not any(value):
        raise ValueError(f"{show(list(value))} is no direction")
    return value


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"{value} is even")
    return value


def _position_formula(value: Any) -> str:
    from dfx_homog.parameters.expression import Expression

    if not isinstance(value, str):
        raise ValueError(f"{show(value)} is not a formula")
    Expression.of_position(value)
    return value


def _numbers(*lengths: int, **limits: float) -> Callable[[Any], tuple[float, ...]]:
    return lambda value: list_of(value, lambda x: number_in(x, **limits), *lengths)


MeshSize = Annotated[
    float,
    Allowed("a number > 0 and <= 0.5, in unit-cell lengths"),
    PlainValidator(lambda v: number_in(v, above=0.0, most=0.5)),
]
Order = Annotated[Literal[1, 2], Allowed("1 or 2"), one_of((1, 2))]
Dimension = Annotated[Literal[2, 3], Allowed("2 or 3"), one_of((2, 3))]
PlaneOnly = Annotated[Literal[2], Allowed("2"), one_of((2,))]
Conductivity = Annotated[
    float | tuple[tuple[float, ...], ...],
    Allowed("a number > 0, or a symmetric positive definite 2 x 2 (in 3D 3 x 3) tensor as nested lists"),
    PlainValidator(_conductivity),
]
Diffusivity = Annotated[
    float | str | tuple[tuple[float, ...], ...],
    Allowed(
        "a number, a formula in c = c_s/c_max and T: + - * / **, brackets, sin, cos, exp, log, tanh, sqrt, sign, cosh, "
        "min, max; or a symmetric positive definite 2 x 2 (in 3D 3 x 3) tensor as nested lists"
    ),
    PlainValidator(lambda v: _conductivity(v) if isinstance(v, list | tuple) else formula(v)),
]
LabelConductivity = Annotated[
    float | dict[int, float],
    Allowed("a number > 0, or a table of numbers >= 0, not all 0, one for each label of the solid"),
    PlainValidator(_conductivity_or_table),
]
Normal = Annotated[
    tuple[int, ...],
    Allowed("a list of dim whole numbers from -100 to 100, not all 0"),
    PlainValidator(lambda v: _not_all_zero(list_of(v, lambda n: whole_number_in(n, -100, 100), 2, 3))),
]
SemiAxes = Annotated[
    tuple[float, float],
    Allowed("a list of 2 numbers > 0 such that the turned ellipse lies inside the unit cell"),
    PlainValidator(_numbers(2, above=0.0)),
]
SemiAxes3 = Annotated[
    tuple[float, float, float],
    Allowed("a list of 3 numbers > 0 such that the turned ellipsoid lies inside the unit cell"),
    PlainValidator(_numbers(3, above=0.0)),
]
Angles = Annotated[
    tuple[float, float, float], Allowed("a list of 3 numbers, degrees"), PlainValidator(_numbers(3))
]
Points = Annotated[
    tuple[tuple[float, float], ...],
    Allowed("a list of points [z1, z2] with coordinates from 0 to 1"),
    PlainValidator(lambda v: list_of(v, _numbers(2, least=0.0, most=1.0))),
]
Points3 = Annotated[
    tuple[tuple[float, float, float], ...],
    Allowed("a list of points [z1, z2, z3] with coordinates from 0 to 1"),
    PlainValidator(lambda v: list_of(v, _numbers(3, least=0.0, most=1.0))),
]
OneOrMore = Annotated[
    float | tuple[float, ...],
    Allowed("a number > 0, or a list of them, one for each size"),
    PlainValidator(_one_or_more),
]
Fractions = Annotated[
    tuple[float, ...],
    Allowed("a list of numbers > 0, one for each size, of sum 1"),
    PlainValidator(lambda v: list_of(v, lambda x: number_in(x, above=0.0))),
]
SizeCount = Annotated[
    int, Allowed("a whole number from 1 to 100"), PlainValidator(lambda v: whole_number_in(v, 1, 100))
]
Radii = Annotated[
    tuple[float, ...],
    Allowed("a list of numbers > 0, one for each centre"),
    PlainValidator(_numbers(above=0.0)),
]
Lattice = Annotated[
    Literal["square"],
    Allowed('"square"; others as centres and radii'),
    one_of(["square"], later=["hexagonal"]),
]
CubicLattice = Annotated[
    Literal["sc", "bcc", "fcc"],
    Allowed('"sc", "bcc" or "fcc"; others as centres and radii'),
    one_of(["sc", "bcc", "fcc"]),
]
PositionFormula = Annotated[
    str,
    Allowed(
        "a formula in x, y, z and pi: + - * / **, brackets, sin, cos, exp, log, tanh, sqrt, sign, cosh, min, max"
    ),
    PlainValidator(_position_formula),
]
CellsInRadii = Annotated[
    float,
    Allowed("a number from 4 to 1000"),
    PlainValidator(lambda v: number_in(v, least=4.0, most=1000.0)),
]
Overlap = Annotated[
    float,
    Allowed("a number >= 0 and < 1"),
    PlainValidator(lambda v: number_in(v, least=0.0, below=1.0)),
]
Seed = Annotated[
    int,
    Allowed("a whole number >= 0"),
    PlainValidator(lambda v: whole_number_in(v, 0, LARGEST_SEED)),
]
Edge = Annotated[
    int,
    Allowed(f"a whole number from 2 to {LARGEST_EDGE}"),
    PlainValidator(lambda v: whole_number_in(v, 2, LARGEST_EDGE)),
]
Discretisation = Annotated[
    Literal["fv", "q1", "both"], Allowed('"fv", "q1" or "both"'), one_of(["fv", "q1", "both"])
]
MeshFileName = Annotated[
    str,
    Allowed(f"name of a file that ends in {', '.join(MESH_FILES)}"),
    PlainValidator(lambda v, info: existing_file(v, info, MESH_FILES)),
]
ImageFileName = Annotated[
    str,
    Allowed(f"name of a file that ends in {', '.join(IMAGE_FILES)}"),
    PlainValidator(lambda v, info: existing_file(v, info, IMAGE_FILES)),
]
Labels = Annotated[
    tuple[int, ...],
    Allowed("a list of different whole numbers, at least one"),
    PlainValidator(_labels),
]
Shape = Annotated[
    tuple[int, ...],
    Allowed("a list of 2 or 3 positive whole numbers"),
    PlainValidator(lambda v: list_of(v, lambda n: whole_number_in(n, 1, LARGEST_EDGE), 2, 3)),
]
RawType = Annotated[str, Allowed(", ".join(f'"{name}"' for name in RAW_TYPES)), one_of(RAW_TYPES)]
Crop = Annotated[
    tuple[tuple[int, int], ...],
    Allowed("a list [first, end] of voxels 0 <= first < end for each axis of the image"),
    PlainValidator(lambda v: list_of(v, _interval, 2, 3)),
]
VoxelSize = Annotated[
    tuple[float, ...],
    Allowed("a list of numbers > 0, one for each axis of the image"),
    PlainValidator(_numbers(2, 3, above=0.0)),
]
OddEdge = Annotated[
    int,
    Allowed("an odd whole number from 1 to 99"),
    PlainValidator(lambda v: _odd(whole_number_in(v, 1, 99))),
]
Distance = Annotated[
    int, Allowed("a whole number from 1 to 100"), PlainValidator(lambda v: whole_number_in(v, 1, 100))
]
PhaseCount = Annotated[
    int, Allowed("a whole number from 2 to 8"), PlainValidator(lambda v: whole_number_in(v, 2, 8))
]
Label8 = Annotated[
    int, Allowed("a whole number from 0 to 255"), PlainValidator(lambda v: whole_number_in(v, 0, 255))
]
VoxelCount = Annotated[
    int, Allowed("a positive whole number"), PlainValidator(lambda v: whole_number_in(v, 1, LARGEST_EDGE**3))
]
Connectivity = Annotated[Literal[6, 18, 26], Allowed("6, 18 or 26"), one_of((6, 18, 26))]
Spread = Annotated[Literal["common", "own"], Allowed('"common" or "own"'), one_of(["common", "own"])]
