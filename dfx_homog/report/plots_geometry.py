"""Pictures of unit cells, of the resolved mesh, and of effective tensors between their bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from dfx_homog.report.data import MICROMETRES, REGIONS, Array, Json, Study, number
from dfx_homog.report.geometry import SOLID, outlines
from dfx_homog.report.style import (
    EDGE_COLOUR,
    ELECTROLYTE_COLOUR,
    SOLID_COLOUR,
    WIDTH,
    data_uri,
    figure,
)

VECTOR_LIMIT = 2500  # cells drawn as vectors; more are rasterised


def _phases(ax: Any, corners: Array, phase: Array, edge: float, *, raster: bool) -> None:
    from matplotlib.collections import PolyCollection

    colours = np.where(np.asarray(phase) == SOLID, SOLID_COLOUR, ELECTROLYTE_COLOUR)
    ax.add_collection(
        PolyCollection(
            outlines(corners), facecolors=colours, edgecolors=EDGE_COLOUR, linewidths=edge, rasterized=raster
        )
    )
    ax.set_aspect("equal")
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _phase_legend(fig: Any) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=SOLID_COLOUR, edgecolor=EDGE_COLOUR, linewidth=0.5, label="solid"),
        Patch(facecolor=ELECTROLYTE_COLOUR, edgecolor=EDGE_COLOUR, linewidth=0.5, label="electrolyte"),
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=2)


def unit_cells(study: Study) -> str | None:
    """Unit cells of all microstructures with phases and mesh."""
    fig = cells_figure(study, 3)
    return None if fig is None else data_uri(fig, dpi=220)


def cells_figure(study: Study, least: int = 1) -> Any:
    """The figure of `unit_cells`, in a row with room for `least` of them; None if there are none."""
    arrays = study.arrays
    names = [
        n.removeprefix("cell_").removesuffix("_points")
        for n in arrays
        if n.endswith("_points") and "cell_" in n
    ]
    if not names:
        return None
    columns = max(len(names), least)
    fig = figure(WIDTH * columns / max(columns, 3), 3.6)
    for ax, name in zip(np.atleast_1d(fig.subplots(1, columns)), names + [None] * least, strict=False):
        if name is None:
            ax.set_visible(False)
            continue
        cells = np.asarray(arrays[f"cell_{name}_cells"], dtype=int)
        corners = arrays[f"cell_{name}_points"][cells]
        _phases(ax, corners, arrays[f"cell_{name}_phase"], 0.45, raster=len(cells) > VECTOR_LIMIT)
        ax.set(xlim=(-0.005, 1.005), ylim=(-0.005, 1.005), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        ax.set_xlabel("$z_1$")
        ax.set_ylabel("$z_2$")
        ax.set_title(f"{name}: {len(cells)} triangles")
    _phase_legend(fig)
    return fig


def resolved_mesh(study: Study) -> str | None:
    """The coarsest resolved mesh with its phases."""
    if "mesh_points" not in study.arrays or not len(study.arrays["mesh_points"]):
        return None
    corners = study.arrays["mesh_points"]
    (left, bottom), (right, top) = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    height = WIDTH * (top - bottom) / (right - left)
    fig = figure(WIDTH, min(height, 6.0) + 0.95)
    ax = fig.add_subplot()
    _phases(ax, corners, study.arrays["mesh_phase"], 0.3, raster=True)
    ax.set(xlim=(left, right), ylim=(bottom, top), xlabel=study.label("$y_1$", "length"))
    ax.set_ylabel(study.with_unit("$y_2$", "length"))
    few_ticks(ax)
    region_names(ax, study)
    _phase_legend(fig)
    return data_uri(fig, "png", dpi=210, colours=64)


def few_ticks(ax: Any) -> None:
    """Two or three round numbers on the y axis of a flat picture."""
    from matplotlib.ticker import MaxNLocator

    ax.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))


def region_ends(study: Study) -> list[float]:
    """Positions in y1 of collectors and separator faces, empty if not known."""
    ends = study.arrays.get("meso_ends")
    if ends is not None and len(ends) == 4:
        return [float(e) for e in ends]
    cell = study.run.get("cell", {})
    widths = cell.get("periods", cell.get("thickness", []))
    if len(widths) != 3 or not sum(widths) > 0:
        return []
    whole = 1.0
    if study.in_si:
        length = number((study.result or {}).get("scales", {}).get("L"))
        if length is None:
            return []  # there is no result yet
        whole = MICROMETRES * length
    return [float(e) for e in whole * np.concatenate([[0], np.cumsum(widths)]) / sum(widths)]


def region_faces(ax: Any, study: Study) -> None:
    """Thin dashed lines at the separator faces."""
    for face in region_ends(study)[1:-1]:
        ax.axvline(face, color="#555555", linewidth=0.7, linestyle=(0, (4, 3)), zorder=0.5)


def region_names(ax: Any, study: Study) -> None:
    """Names of the regions along the upper edge."""
    ends = region_ends(study)
    for name, low, high in zip(REGIONS, ends[:-1], ends[1:], strict=False):
        ax.annotate(
            name,
            (0.5 * (low + high), 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
            color="#555555",
        )


def tensor_bounds(tensors: Json) -> str | None:
    """Diagonal entries of S, B, K relative to the Voigt bound, between the bounds of Hashin and Shtrikman."""
    entries = [(m, t) for m, e in tensors.items() for t in ("S", "B", "K") if _drawable(e, t)]
    if not entries:
        return None
    fig = figure(WIDTH, 0.75 + 0.27 * len(entries))
    ax = fig.add_subplot()
    for row, (name, tensor) in enumerate(entries):
        entry, limits = tensors[name], tensors[name]["bounds"][tensor]
        scale = limits["voigt"]
        low, high = (number(limits.get(k)) for k in ("hs_lower", "hs_upper"))
        reuss = number(limits.get("reuss")) or 0.0
        ax.barh(row, 1 - reuss / scale, left=reuss / scale, height=0.52, color="#E6E6E6", zorder=1)
        if low is not None and high is not None:
            ax.barh(row, (high - low) / scale, left=low / scale, height=0.52, color="#B9C6D6", zorder=2)
        for axis, marker in enumerate("o^s"[: len(entry[tensor])]):
            ax.plot(entry[tensor][axis][axis] / scale, row, marker, color="#0072B2", markersize=5.5, zorder=3)
    ax.set_yticks(range(len(entries)), [f"{name}  ${tensor}$" for name, tensor in entries])
    ax.set(xlim=(-0.02, 1.04), ylim=(len(entries) - 0.4, -0.6), xlabel="value over its Voigt bound")
    ax.grid(axis="y", visible=False)
    fig.legend(handles=_bound_legend(tensors), loc="outside upper center", ncols=5)
    return data_uri(fig)


def two_phases(entry: Json) -> bool:
    """Is there solid and electrolyte? Bounds and Bruggeman's exponent mean nothing otherwise."""
    porosity = number(entry.get("phi_e"))
    return porosity is None or 1e-9 < porosity < 1 - 1e-9


def _drawable(entry: Json, tensor: str) -> bool:
    limits = entry.get("bounds", {}).get(tensor, {})
    voigt, reuss = number(limits.get("voigt")), number(limits.get("reuss"))
    return (
        two_phases(entry)
        and bool(entry.get(tensor))
        and voigt is not None
        and voigt > 0
        and reuss is not None
        and reuss < voigt
    )


def _bound_legend(tensors: Json) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    dim = max((int(e.get("dim", 2)) for e in tensors.values()), default=2)
    points = [
        Line2D([], [], linestyle="", marker="o^s"[i], color="#0072B2", label=f"direction {i + 1}")
        for i in range(dim)
    ]
    bars = (("#E6E6E6", "Reuss to Voigt"), ("#B9C6D6", "Hashin–Shtrikman"))
    return [*points, *[Patch(facecolor=colour, label=text) for colour, text in bars]]
