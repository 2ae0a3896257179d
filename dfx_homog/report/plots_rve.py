"""Pictures of a study of representative volumes."""

from __future__ import annotations

from typing import Any

import numpy as np

from dfx_homog.report import rve
from dfx_homog.report.data import Json, Study, number
from dfx_homog.report.rve import CONDITIONS, Series
from dfx_homog.report.style import WIDTH, data_uri, figure

PHASES = {"electrolyte": "#0072B2", "solid": "#5B6B84"}
STYLES = ("-", "--", ":")  # of the directions


def convergence(study: Study, name: str) -> str | None:
    """Diagonal entries against the size of the samples."""
    parts = rve.series(study, name)
    if not parts:
        return None
    fig = figure(WIDTH, 3.6)
    axes = fig.subplots(1, parts[0].dim, sharey=True)
    for entry, ax in enumerate(axes):
        size_panel(ax, parts, entry, rve.quantity(study))
        if entry:
            ax.set_ylabel("")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return data_uri(fig)


def size_panel(ax: Any, parts: list[Series], entry: int, letter: str) -> None:
    """One diagonal entry: single samples as dots, means with their 95 % intervals as bars, side by side."""
    sizes = np.unique(np.concatenate([p.sizes for p in parts]))
    place = {float(size): i for i, size in enumerate(sizes)}
    width = 0.62 / len(parts)
    for k, part in enumerate(parts):
        label, colour, marker = CONDITIONS[part.condition]
        shift = (k - 0.5 * (len(parts) - 1)) * width
        at = np.array([place[float(s)] for s in part.sizes]) + shift
        ax.plot(at, part.samples[:, entry], ".", color=colour, markersize=3, alpha=0.45, zorder=2)
        order = np.argsort(part.at)
        x = np.array([place[float(s)] for s in part.at[order]]) + shift
        half = np.nan_to_num(part.half[order, entry])
        ax.errorbar(
            x,
            part.mean[order, entry],
            half,
            color=colour,
            marker=marker,
            markersize=5,
            linewidth=1.1,
            capsize=2.5,
            markeredgecolor="white",
            markeredgewidth=0.5,
            label=label,
            zorder=3,
        )
    ax.set_xticks(range(len(sizes)), [f"{size:g}" for size in sizes])
    ax.set(xlim=(-0.6, len(sizes) - 0.4), xlabel="size of the samples", ylabel="apparent value")
    ax.set_title(f"${letter}_{{{entry + 1}{entry + 1}}}$")
    ax.grid(axis="x", visible=False)


def variance(study: Study, name: str) -> str | None:
    """Variance of the samples against their volume, with the fitted power law; the error of one sample."""
    if not scattered(study, name):
        return None
    fig = figure(WIDTH, 3.5)
    left, right = fig.subplots(1, 2)
    variance_panel(left, study, name)
    error_panel(right, study, name)
    return data_uri(fig)


def scattered(study: Study, name: str) -> list[Series]:
    """Conditions under which samples of two sizes at least tell a variance."""
    found = [(part, rve.scatter(part)) for part in rve.series(study, name)]
    return [part for part, (volume, variance, _) in found if len(volume) >= 2 and variance.min() > 0]


def variance_panel(ax: Any, study: Study, name: str) -> None:
    """Variance against volume."""
    laws = {str(row.get("condition")): row for row in rve.estimates(study, name)}
    for part in scattered(study, name):
        _variance_of(ax, part, laws.get(part.condition, {}))
    ax.set(xscale="log", yscale="log", xlabel="volume of the samples", ylabel="variance of the samples")
    ax.set_title("scatter of single samples")
    ax.legend()
    _plain(ax.xaxis)


def error_panel(ax: Any, study: Study, name: str) -> None:
    """Relative error of one sample against its size."""
    laws = {str(row.get("condition")): row for row in rve.estimates(study, name)}
    for part in scattered(study, name):
        _needed(ax, part, laws.get(part.condition, {}))
    accuracy = next((a for a in (number(e.get("accuracy")) for e in laws.values()) if a), None)
    if accuracy:
        ax.axhline(100 * accuracy, color="#444444", linewidth=0.8, linestyle=":", label="wanted")
    ax.set(xscale="log", yscale="log", xlabel="size of the samples", ylabel="error with 95 % confidence, %")
    ax.set_title("error of one sample")
    ax.legend()
    _plain(ax.xaxis, ax.yaxis)


def _plain(*axes: Any) -> None:
    """Few numbers, none of them a power of ten, on logarithmic axes that span little."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in axes:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axis.set_minor_formatter(NullFormatter())


def _law(row: Json) -> tuple[float, float] | None:
    factor, alpha = number(row.get("factor")), number(row.get("alpha"))
    return None if not factor or alpha is None else (factor, alpha)


def _variance_of(ax: Any, part: Series, row: Json) -> None:
    label, colour, marker = CONDITIONS[part.condition]
    volume, values, count = rve.scatter(part)
    # a sample variance of n values scatters by sqrt(2/(n - 1)) of itself
    bars = values * np.sqrt(2 / (count - 1))
    law = _law(row)
    text = f"{label}: slope −{law[1]:.2f}".replace("−-", "") if law else label
    low = np.minimum(bars, 0.9 * values)
    ax.errorbar(
        volume, values, [low, bars], color=colour, marker=marker, linestyle="", capsize=2.5, label=text
    )
    if law:
        x = np.geomspace(volume.min() / 1.3, volume.max() * 1.3, 2)
        ax.plot(x, law[0] / x ** law[1], color=colour, linewidth=1.1)


def _needed(ax: Any, part: Series, row: Json) -> None:
    """1.96 standard deviations over the mean, and the fitted law up to the size that is wanted."""
    label, colour, marker = CONDITIONS[part.condition]
    volume, values, _ = rve.scatter(part)
    mean = float(np.nanmean(part.samples[part.sizes == part.sizes.max()]))
    if mean <= 0:
        return
    size = volume ** (1 / part.dim)
    ax.plot(size, 196 * np.sqrt(values) / mean, marker, color=colour, label=label)
    law, wanted = _law(row), number(row.get("size"))
    if law:
        end = max(size.max(), min(wanted or 0.0, 20 * size.max())) * 1.15
        x = np.geomspace(size.min() / 1.1, end, 30)
        ax.plot(x, 196 * np.sqrt(law[0] / x ** (part.dim * law[1])) / mean, color=colour, linewidth=1.1)
        if wanted and size.min() / 1.1 <= wanted <= end:
            ax.axvline(wanted, color=colour, linewidth=0.8, linestyle="--")


def phases(study: Study, name: str) -> str | None:
    """Two-point correlation and chord lengths of the phases."""
    found = [phase for phase in PHASES if f"s2_{name}_{phase}_1" in study.arrays]
    if not found:
        return None
    fig = figure(WIDTH, 3.4)
    left, right = fig.subplots(1, 2)
    for phase in found:
        _correlation(left, study, name, phase)
        _chords(right, study, name, phase)
    left.set(xlabel="distance, edges of the sample", ylabel="$S_2$", title="two-point correlation")
    right.set(xlabel="length, edges of the sample", ylabel="density", title="chord lengths")
    for ax in (left, right):
        ax.set_xlim(0, None)
        ax.set_ylim(0, None)
        ax.legend(ncols=2)
    return data_uri(fig)


def _correlation(ax: Any, study: Study, name: str, phase: str) -> None:
    """S2 along each direction, the mean over all directions thick, and the square of the share it tends to."""
    arrays, colour = study.arrays, PHASES[phase]
    for axis, line in enumerate(STYLES):
        values = arrays.get(f"s2_{name}_{phase}_{axis + 1}")
        if values is not None:
            lags = arrays[f"s2_{name}_lags_{axis + 1}"]
            ax.plot(lags, values, line, color=colour, linewidth=0.9, label=f"{phase}, direction {axis + 1}")
    radial = arrays.get(f"s2_{name}_{phase}_radial")
    if radial is not None:
        lags = arrays[f"s2_{name}_lags_radial"]
        ax.plot(lags, radial, color=colour, linewidth=2.2, alpha=0.5, label=f"{phase}, all directions")
    share = float(arrays[f"s2_{name}_{phase}_1"][0])
    ax.axhline(share**2, color=colour, linewidth=0.7, linestyle=(0, (1, 2)))


def _chords(ax: Any, study: Study, name: str, phase: str) -> None:
    """Density of the chord lengths along each direction, in classes of a few voxels."""
    spacing = study.arrays[f"chords_{name}_spacing"]
    for axis, line in enumerate(STYLES[: len(spacing)]):
        counts = np.asarray(study.arrays[f"chords_{name}_{phase}_{axis + 1}"], dtype=float)
        total = counts.sum()
        if not total:
            continue
        longest = int(np.searchsorted(np.cumsum(counts), 0.998 * total)) + 1
        width = max(1, longest // 40)
        padded = np.append(counts[1:], np.zeros(-(len(counts) - 1) % width))
        classes = padded.reshape(-1, width).sum(axis=1)[: -(-longest // width)]
        edges = (0.5 + width * np.arange(len(classes) + 1)) * float(spacing[axis])
        density = classes / total / (width * float(spacing[axis]))
        ax.stairs(density, edges, color=PHASES[phase], linestyle=line, label=f"{phase}, direction {axis + 1}")
