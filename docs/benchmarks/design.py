"""Pictures of docs/how-to-design.md from the runs that the page has made.

./dfx exec python docs/benchmarks/design.py runs/out/flakes docs/pictures

Reads DIR/cell, and DIR/lying-CURRENT and DIR/standing-CURRENT for every current (A/m2), and prints the page's table.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from dfx_homog.parameters.expression import Expression
from dfx_homog.report.data import History, load
from dfx_homog.report.plots_losses import charge, stack
from dfx_homog.report.style import figure, style

COLOUR = {"lying": "#0072B2", "standing": "#D55E00"}
HOUR, DPI = 3600.0, 160.0


def runs(directory: Path, name: str) -> dict[float, tuple[History, dict[str, Any]]]:
    """By current: history and result of every run of one microstructure."""
    found = {}
    for folder in directory.glob(f"{name}-*"):
        study = load(folder)
        assert study.homogenised is not None and study.result is not None
        found[float(folder.name.rpartition("-")[2])] = study.homogenised, study.result
    return dict(sorted(found.items()))


def delivered(history: History) -> np.ndarray:
    """Charge passed, A h/m2."""
    return charge(history) / HOUR


def rate_picture(directory: Path, path: Path) -> None:
    """Capacity against current, and the losses of both microstructures over the charge at the largest one."""
    by_name = {name: runs(directory, name) for name in COLOUR}
    fig = figure(10.0, 3.9)
    rate, *both = fig.subplots(1, 3, width_ratios=(1.0, 1.15, 1.15))
    for name, found in by_name.items():
        capacity = [delivered(history)[-1] for history, _ in found.values()]
        rate.plot(list(found), capacity, "o-", color=COLOUR[name], label=name)
    rate.set(xlabel="current (A/m²)", ylabel="capacity (A h/m²)", title="Capacity to 2.5 V")
    rate.set_ylim(bottom=0)
    rate.legend(loc="lower left")
    top, right = 0.0, 0.0
    for ax, (name, found) in zip(both, by_name.items(), strict=True):
        current, (history, _) = list(found.items())[-1]
        passed = delivered(history)
        stack(ax, history, passed)
        ax.set(title=f"{name}, {current:g} A/m²", xlabel="charge passed (A h/m²)")
        top, right = max(top, ax.get_ylim()[1]), max(right, float(passed[-1]))
    both[0].set_ylabel("loss of voltage (V)")
    for ax in both:
        ax.set(ylim=(0, top), xlim=(0, right))
    fig.legend(
        *both[1].get_legend_handles_labels(), loc="outside lower center", ncols=5, reverse=True, fontsize=7.5
    )
    fig.savefig(path, dpi=DPI)


def cell_picture(directory: Path, path: Path) -> None:
    """Both microstructures cut through the middle of a unit cell, 3 x 3 cells; direction 1 to the right."""
    grid = np.linspace(0.0, 3.0, 361)
    x, z = np.meshgrid(grid, grid)
    study = load(directory / "cell")
    fig = figure(7.0, 3.4)
    for ax, name in zip(fig.subplots(1, 2), COLOUR, strict=True):
        spec = study.run["microstructure"][name]
        value = Expression.of_position(spec["expression"]).numpy(x=x, y=0.5, z=z) - spec["threshold"]
        ax.contourf(x, z, value < 0, levels=[-0.5, 0.5, 1.5], colors=["#C9E0F0", "#5B6B84"])
        ax.set_title(f"{name}: $B_{{11}}$ = {study.tensors[name]['B'][0][0]:.3f}")
        ax.set(xlabel="$z_1$, direction of the current", xticks=range(4), yticks=range(4))
        ax.set_aspect("equal")
        ax.grid(False)
    fig.axes[0].set_ylabel("$z_3$")
    fig.savefig(path, dpi=DPI)


def table(directory: Path) -> None:
    """Capacity, largest loss and what limited the run, as rows of the page's table."""
    for name in COLOUR:
        for current, (history, result) in runs(directory, name).items():
            lost = result["losses"]
            print(
                f"| {name} | {current:g} | {delivered(history)[-1]:.2f} | {lost['total']:.3f} "
                f"| {lost['largest']} | {lost['limiting']} ({lost['limiting_percent']:.0f} %) "
                f"| {history['c_e_min'].min():.2g} |"
            )


def main(words: list[str]) -> None:
    directory, pictures = map(Path, words)
    with style():
        rate_picture(directory, pictures / "design-rates.png")
        cell_picture(directory, pictures / "design-cells.png")
    table(directory)


if __name__ == "__main__":
    main(sys.argv[1:])
