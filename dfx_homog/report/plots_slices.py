"""Pictures of what has three dimensions, or was segmented: mid-planes, steps of the segmentation, its histogram."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfx_homog.report.data import Array, Study
from dfx_homog.report.geometry import SOLID
from dfx_homog.report.style import (
    EDGE_COLOUR,
    ELECTROLYTE_COLOUR,
    SOLID_COLOUR,
    WIDTH,
    data_uri,
    figure,
)

#: Solid phases of one image, from the first label on; the electrolyte is always light blue.
SOLIDS = (SOLID_COLOUR, "#A9865B", "#7A4B52", "#4F7A5C", "#2E2E3A", "#B8A9C9", "#8C8C4A")
#: Components of a mixture, from dark to bright grey values.
COMPONENTS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C4A", "#4F7A5C")
COLOURS = 96  # of a picture with flat areas
HISTOGRAM = 3.0  # inches, its least width


def names(study: Study, kind: str, last: str) -> list[str]:
    """Microstructures of which there are arrays KIND_NAME_LAST."""
    return [
        key.removeprefix(f"{kind}_").removesuffix(f"_{last}")
        for key in study.arrays
        if key.startswith(f"{kind}_") and key.endswith(f"_{last}")
    ]


def in_three_dimensions(study: Study) -> list[str]:
    """Unit cells of tetrahedra of which there are cuts."""
    return [name for name in names(study, "cell", "elements") if f"cell_{name}_cut_1" in study.arrays]


def cuts(study: Study, name: str) -> str | None:
    """The mid-planes of a tetrahedral unit cell, with its mesh."""
    from matplotlib.collections import PolyCollection

    fig = figure(WIDTH, 3.55)
    for axis, ax in enumerate(fig.subplots(1, 3)):
        polygons = study.arrays.get(f"cell_{name}_cut_{axis + 1}")
        if polygons is None:
            ax.set_visible(False)
            continue
        solid = np.asarray(study.arrays[f"cell_{name}_cut_{axis + 1}_phase"]) == SOLID
        width = float(np.clip(12 / np.sqrt(max(len(polygons), 1)), 0.08, 0.4))
        ax.add_collection(
            PolyCollection(
                list(polygons),
                facecolors=np.where(solid, SOLID_COLOUR, ELECTROLYTE_COLOUR),
                edgecolors=EDGE_COLOUR,
                linewidths=width,
            )
        )
        ax.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        _plane_labels(ax, axis)
    _legend(fig, [("solid", SOLID_COLOUR), ("electrolyte", ELECTROLYTE_COLOUR)])
    return data_uri(fig, "png", dpi=210, colours=COLOURS)


def _plane_labels(ax: Any, axis: int) -> None:
    """Axes of the plane normal to array axis `axis`."""
    first, second = (other + 1 for other in range(3) if other != axis)
    ax.set(
        aspect="equal", xlabel=f"$z_{first}$", ylabel=f"$z_{second}$", title=f"middle of direction {axis + 1}"
    )
    ax.grid(False)


def _legend(fig: Any, entries: list[tuple[str, str]]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=c, edgecolor=EDGE_COLOUR, linewidth=0.5, label=text) for text, c in entries]
    fig.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6))


def phase_colours(solid: Array) -> list[str]:
    """A colour for each code, given whether it is solid."""
    order = np.cumsum(solid) - 1
    return [
        SOLIDS[int(k) % len(SOLIDS)] if s else ELECTROLYTE_COLOUR for k, s in zip(order, solid, strict=True)
    ]


def _show_codes(
    ax: Any, codes: NDArray[Any], colours: list[str], extent: tuple[float, ...] | None = None
) -> None:
    from matplotlib.colors import BoundaryNorm, ListedColormap

    ax.imshow(
        codes.T,
        cmap=ListedColormap(colours),
        norm=BoundaryNorm(np.arange(len(colours) + 1) - 0.5, len(colours)),
        origin="lower",
        extent=extent,
        interpolation="nearest",
    )


def _extent(edges: Array, normal: int) -> tuple[float, float, float, float]:
    """Left, right, bottom, top of the plane normal to an axis, or of the whole in two dimensions."""
    rest = [float(e) for axis, e in enumerate(edges) if len(edges) == 2 or axis != normal]
    return (0.0, rest[0], 0.0, rest[1])


def _planes(edges: list[float]) -> tuple[Any, list[Any]]:
    """A figure with a panel for each mid-plane, all on the same scale; in two dimensions one panel."""
    if len(edges) == 2:
        height = float(np.clip(5.0 * edges[1] / edges[0], 1.5, 6.5))
        fig = figure(5.4, height + 0.7)
        ax = fig.add_subplot()
        ax.set(aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
        ax.grid(False)
        return fig, [ax]
    sizes = [_extent(np.array(edges), normal) for normal in range(3)]
    widths, tallest = [size[1] for size in sizes], max(size[3] for size in sizes)
    height = float(np.clip((WIDTH - 2.1) * tallest / sum(widths), 1.2, 5.0))
    fig = figure(WIDTH, height + 1.05)
    axes = list(fig.subplots(1, 3, width_ratios=widths))
    for normal, ax in enumerate(axes):
        _plane_labels(ax, normal)
    return fig, axes


def slices(study: Study, name: str) -> str | None:
    """The mid-planes of a voxel image with its phases."""
    return data_uri(slices_figure(study, name), "png", dpi=200, colours=COLOURS)


def slices_figure(study: Study, name: str) -> Any:
    """The same as a figure."""
    arrays = study.arrays
    solid = np.asarray(arrays[f"slice_{name}_solid"], dtype=bool)
    values, edges = arrays[f"slice_{name}_values"], arrays[f"slice_{name}_edges"]
    colours = phase_colours(solid)
    fig, axes = _planes([float(e) for e in edges])
    for axis, ax in enumerate(axes):
        _show_codes(ax, arrays[f"slice_{name}_{axis + 1}"], colours, _extent(edges, axis))
    kinds = ["solid" if s else "electrolyte" for s in solid]
    _legend(fig, [(f"{kind}: label {v}", c) for kind, v, c in zip(kinds, values, colours, strict=True)])
    return fig


def segmentation(study: Study, name: str) -> str | None:
    """The same slice before and after every step, and the histogram with the fitted mixture."""
    return data_uri(segmentation_figure(study, name), "png", dpi=170)


def segmentation_figure(study: Study, name: str) -> Any:
    """The same as a figure."""
    panels = panels_of(study, name)
    count = len(panels["step"])
    columns = count if count <= 4 else 3 if count <= 6 else 4
    rows = -(-count // columns)
    with_histogram = "counts" in panels
    first = panels["picture_0"]
    side = WIDTH / columns * min(first.shape[1] / first.shape[0], 1.6)
    blank = rows * columns - count
    beside = blank / columns * WIDTH >= HISTOGRAM  # in the last row there is room for it
    heights = [side + 0.42] * rows + ([2.5] if with_histogram and not beside else [])
    fig = figure(WIDTH, sum(heights))
    grid = fig.add_gridspec(len(heights), columns, height_ratios=heights)
    for k in range(count):
        segmentation_step(fig.add_subplot(grid[k // columns, k % columns]), study, name, k)
    if with_histogram:
        place = grid[rows - 1, columns - blank :] if beside else grid[rows, :]
        histogram(fig.add_subplot(place), panels, narrow=beside)
    return fig


def panels_of(study: Study, name: str) -> dict[str, Any]:
    """What the segmentation of a microstructure left for the report."""
    start = f"segmentation_{name}_"
    return {key.removeprefix(start): value for key, value in study.arrays.items() if key.startswith(start)}


def segmentation_step(ax: Any, study: Study, name: str, k: int) -> None:
    """The slice after step k (0: the image itself)."""
    panels = panels_of(study, name)
    steps = [str(step) for step in panels["step"]]
    picture = panels[f"picture_{k}"]
    segmented = k >= steps.index("segment") if "segment" in steps else True
    if segmented:
        codes, colours = _codes(study, name, picture)
        _show_codes(ax, codes, colours)
    else:
        low, high = np.percentile(panels["picture_0"], [0.5, 99.5])
        ax.imshow(picture.T, cmap="gray", vmin=low, vmax=high, origin="lower", interpolation="nearest")
    changed = float(panels["changed"][k])
    note = f"\n{100 * changed:.2g} % of the voxels changed" if np.isfinite(changed) else ""
    words = str(panels["parameters"][k])
    half = words.find(", ", len(words) // 2) if len(words) > 34 else -1
    words = words[: half + 1] + "\n" + words[half + 2 :] if half > 0 else words
    ax.set_title(f"{f'{k}. ' if k else ''}{steps[k]}", fontsize=9.5)
    ax.set_xlabel(words + note, fontsize=7.5)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _codes(study: Study, name: str, labels: Array) -> tuple[NDArray[Any], list[str]]:
    """Labels as positions in a list of colours."""
    values = study.arrays.get(f"slice_{name}_values")
    solid = study.arrays.get(f"slice_{name}_solid")
    if values is None or solid is None or not np.isin(labels, values).all():
        values = np.unique(labels)
        solid = values > values.min()  # pores are dark in absorption images
    order = np.argsort(values)
    colours = [phase_colours(np.asarray(solid, dtype=bool))[k] for k in order]
    return np.searchsorted(np.asarray(values)[order], labels), colours


def histogram(ax: Any, panels: dict[str, Any], *, narrow: bool = False) -> None:
    """Grey values that were segmented, the mixture and its components, and the thresholds."""
    edges, counts = panels["edges"], panels["counts"]
    width = np.diff(edges)
    density = counts / counts.sum() / width
    ax.stairs(density, edges, fill=True, color="#D5D9DE", label="voxels")
    x = np.linspace(edges[0], edges[-1], 1200)
    total = np.zeros_like(x)
    for k, (mean, sigma, weight) in enumerate(
        zip(panels["means"], panels["sigmas"], panels["weights"], strict=True)
    ):
        part = weight / (sigma * np.sqrt(2 * np.pi)) * np.exp(-0.5 * ((x - mean) / sigma) ** 2)
        total += part
        ax.plot(x, part, color=COMPONENTS[k % len(COMPONENTS)], label=f"phase {k}: {100 * weight:.1f} %")
    ax.plot(x, total, color="black", linewidth=0.9, linestyle="--", label="mixture")
    for k, threshold in enumerate(panels["thresholds"]):
        ax.axvline(threshold, color="#444444", linewidth=0.8, linestyle=":", label="" if k else "threshold")
    ax.set(xlabel="grey value", ylabel="density", xlim=(edges[0], edges[-1]))
    ax.set_ylim(0, 1.08 * max(total.max(), np.percentile(density, 99.5)))
    place = {"loc": "upper center", "ncols": 1} if narrow else {"loc": "best", "ncols": 2}
    ax.legend(**place, frameon=True, framealpha=0.85, edgecolor="none")
