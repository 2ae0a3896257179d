"""[battery]: the macro level, a stack or winding of many cells with one heat equation through all of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, model_validator

from dfx_homog.runfile.base import Table, wrong
from dfx_homog.runfile.types import (
    LARGEST_COUNT,
    Allowed,
    Count,
    Positive,
    list_of,
    number_in,
    one_of,
    whole_number_in,
)
from dfx_homog.runfile.types_cells import Conductivity, MeshFileName

BOX_FACES = tuple(f"x{i}_{side}" for i in (1, 2, 3) for side in ("low", "high"))
CYLINDER_FACES = ("inner", "outer", "low", "high")


def _faces(value: Any, check: Any) -> Any:
    """A number for all faces, or a table of numbers by face."""
    if not isinstance(value, dict):
        return check(value)
    return {str(name): check(entry) for name, entry in value.items()}


def _exchange(value: Any) -> Any:
    return _faces(value, lambda v: number_in(v, least=0.0))


def _ambient(value: Any) -> Any:
    return _faces(value, number_in)


def _three(value: Any) -> tuple[int, ...]:
    return list_of(value, lambda v: whole_number_in(v, 1, LARGEST_COUNT), 3)


def _doubling(value: Any) -> tuple[int, ...]:
    levels: tuple[int, ...] = list_of(value, lambda v: whole_number_in(v, 1, LARGEST_COUNT))
    if len(levels) < 2:
        raise ValueError("one level has no order of convergence")
    for coarse, fine in pairwise(levels):
        if fine != 2 * coarse:
            raise ValueError(f"{fine} is not twice {coarse}: eps must halve")
    return levels


Shape = Annotated[
    Literal["box", "cylinder", "mesh"],
    Allowed('"box", "cylinder" or "mesh"'),
    one_of(["box", "cylinder", "mesh"]),
]
Connection = Annotated[
    Literal["prescribed", "parallel"],
    Allowed('"prescribed" or "parallel"'),
    one_of(["prescribed", "parallel"]),
]
Frame = Annotated[
    Literal["cartesian", "cylindrical"],
    Allowed('"cartesian" or "cylindrical"'),
    one_of(["cartesian", "cylindrical"]),
]
Lengths = Annotated[
    tuple[float, ...],
    Allowed("a list of one or two numbers > 0"),
    PlainValidator(lambda v: list_of(v, lambda x: number_in(x, above=0.0), 1, 2)),
]
Three = Annotated[tuple[int, int, int], Allowed("a list of 3 positive whole numbers"), PlainValidator(_three)]
Exchange = Annotated[
    float | dict[str, float],
    Allowed("a number >= 0 for all faces, or a table of them by face, the others being insulated"),
    PlainValidator(_exchange),
]
Ambient = Annotated[
    float | dict[str, float],
    Allowed("a number for all faces, or a table of them by face"),
    PlainValidator(_ambient),
]


StackLevels = Annotated[
    tuple[int, ...],
    Allowed("a list of at least two whole numbers, each twice the one before"),
    PlainValidator(_doubling),
]


class Layer(Table):
    """Entries of battery.layers: what a cell has besides electrodes and separator, such as collectors."""

    thickness: Positive = Field(description="in thicknesses of the cell without such layers")
    k: Conductivity = Field(description="heat conductivity, a number or a tensor")
    rho_cp: Positive = Field(description="heat capacity per volume")


class Battery(Table):
    """[battery]: shape and cooling of the battery, how its cells are connected, and where cell models are."""

    shape: Shape = Field(
        default="box", description="cells stacked in x1; wound about x3, in concentric layers; a given mesh"
    )
    cells: Count = Field(
        description="cells N through a box along x1 or a cylinder along its radius, which is as thick as they are; a "
        "mesh has its own size, and its number of cells is for the report; eps = 1/N"
    )
    size: Lengths | None = Field(
        default=None,
        description="box: lengths along x2 and x3; cylinder: height; mesh: the length that its coordinates are in "
        "(default 1); in thicknesses L of the cell without extra layers",
    )
    inner_radius: Positive | None = Field(default=None, description="cylinder: radius of the hollow core")
    file: MeshFileName | None = Field(
        default=None, description="mesh: tetrahedra; physical groups of triangles name the faces"
    )
    frame: Frame = Field(
        default="cartesian",
        description="mesh: cells stacked in x1, or wound about the axis x1 = x2 = 0",
    )
    elements: Three = Field(
        default=(8, 8, 8),
        description="of the heat equation: along x1, x2, x3 of a box, radius, circumference and axis of a cylinder",
    )
    groups: Three = Field(
        default=(2, 2, 2),
        description="groups of elements in the same directions, each with one cell model; of a mesh, bins of its "
        "bounding box",
    )
    h: Exchange = Field(
        default=0.0,
        description="heat exchange; faces are x1_low to x3_high (box), inner, outer, low, high (cylinder), or those of "
        "the mesh",
    )
    T_ambient: Ambient | None = Field(
        default=None, description="ambient temperature; default: parameters.T_ambient"
    )
    connection: Connection = Field(
        default="prescribed",
        description="the same current in every cell (in series), or the same voltage (in parallel)",
    )
    layers: tuple[Layer, ...] = Field(
        default=(), description="layers of the repeating unit besides n, sep, p"
    )
    levels: StackLevels | None = Field(
        default=None,
        description="`convergence`: numbers of cells of stacks with every cell resolved on the meso scale, which are "
        "compared with the battery equation in direction 1",
    )
    tolerance: Positive = Field(
        default=1e-10,
        description="relative change of T and of the electrical unknown in the last iteration of a step",
    )
    iterations: Count = Field(default=30, description="iterations of the coupling in one step at most")

    @model_validator(mode="after")
    def _fits(self) -> Battery:
        wanted = {"box": ("size",), "cylinder": ("size", "inner_radius"), "mesh": ("file",)}[self.shape]
        for key in ("size", "inner_radius", "file"):
            given = getattr(self, key) is not None
            if key in wanted and not given:
                raise wrong(key, f'missing, shape "{self.shape}" needs it')
            if key not in wanted and given and (key, self.shape) != ("size", "mesh"):
                raise wrong(key, f'has no meaning for shape "{self.shape}"')
        if self.size is not None and len(self.size) != (2 if self.shape == "box" else 1):
            count = "two lengths" if self.shape == "box" else "one length"
            raise wrong("size", f'has {len(self.size)} entries, shape "{self.shape}" has {count}')
        if self.shape != "mesh":
            if self.frame != "cartesian":
                raise wrong("frame", 'is for shape "mesh"; a cylinder is wound, a box is stacked')
            for name, few, many in zip(range(3), self.groups, self.elements, strict=True):
                if few > many:
                    raise wrong(
                        f"groups.{name}", f"{few} groups of {many} elements (allowed: one element each)"
                    )
            if self.shape == "cylinder" and self.elements[1] < 3:
                raise wrong("elements.1", "a circumference has at least 3 elements")
            self._known_faces(BOX_FACES if self.shape == "box" else CYLINDER_FACES)
        if self.levels is not None:
            self._one_dimensional()
        return self

    def _one_dimensional(self) -> None:
        """The stacks of `levels` vary in direction 1 only."""
        if self.shape != "box" or self.connection != "prescribed":
            raise wrong(
                "levels", 'are stacks of cells that carry the same current (allowed: "box", "prescribed")'
            )
        if not isinstance(self.h, dict) or any(self.h.get(face, 0.0) > 0.0 for face in BOX_FACES[2:]):
            raise wrong("h", "stacks of `levels` are cooled at x1_low and x1_high only")

    def _known_faces(self, names: tuple[str, ...]) -> None:
        for key in ("h", "T_ambient"):
            given = getattr(self, key)
            for name in given if isinstance(given, dict) else ():
                if name not in names:
                    raise wrong(f"{key}.{name}", f"no face of a {self.shape} (allowed: {', '.join(names)})")
