"""The packages of dfx_homog and who imports whom, drawn: ./dfx exec python docs/packages.py [FILE.svg]

Takes seconds. `tests/test_structure.py` asserts that every arrow points the same way.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path

TOP = Path(__file__).resolve().parents[1] / "dfx_homog"
PICTURE = TOP.parent / "docs" / "pictures" / "packages.svg"


def _imported(tree: ast.Module) -> list[str]:
    """Names below dfx_homog that a module imports anywhere in it, inside functions too."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == TOP.name:
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(TOP.name + "."):
            found.append(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            found += [
                alias.name.split(".")[1] for alias in node.names if alias.name.startswith(TOP.name + ".")
            ]
    return found


def arrows() -> Counter[tuple[str, str]]:
    """(importing, imported) package or module of the top level: number of import statements."""
    found: Counter[tuple[str, str]] = Counter()
    for path in sorted(TOP.rglob("*.py")):
        own = path.relative_to(TOP).with_suffix("").parts[0]
        if own == "__init__":
            continue
        for other in _imported(ast.parse(path.read_text(encoding="utf-8"))):
            if other != own:
                found[own, other] += 1
    return found


def levels(graph: Counter[tuple[str, str]]) -> dict[str, int]:
    """Longest way down to a package that imports nothing. Raises ValueError for imports in a circle."""
    names = {name for pair in graph for name in pair}
    below = {name: {b for a, b in graph if a == name} for name in names}
    level: dict[str, int] = {}
    while len(level) < len(names):
        ready = [n for n in names if n not in level and below[n] <= level.keys()]
        if not ready:
            raise ValueError(f"imports go round in a circle among: {', '.join(sorted(names - level.keys()))}")
        level |= {n: 1 + max((level[m] for m in below[n]), default=-1) for n in ready}
    return level


def draw(path: Path) -> None:
    """Packages, each below the lowest that imports it; without single files, and arrows that others imply."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "packages"
    import matplotlib.pyplot as plt

    drawn = {"cli", *(path.parent.name for path in TOP.glob("*/__init__.py"))}
    graph = Counter({pair: n for pair, n in arrows().items() if drawn.issuperset(pair)})
    below = {name: {b for a, b in graph if a == name} for name in drawn}

    def reach(name: str) -> set[str]:
        return below[name].union(*(reach(other) for other in below[name]))

    height = levels(graph)
    for name in sorted(drawn, key=lambda n: -height[n]):
        height[name] = min((height[a] - 1 for a, b in graph if b == name), default=height[name])
    rows: dict[int, list[str]] = {}
    for name in sorted(drawn):
        rows.setdefault(height[name], []).append(name)
    place = {
        name: ((i + 1) / (len(row) + 1) + 0.08 * (level % 2), float(level))
        for level, row in rows.items()
        for i, name in enumerate(row)
    }
    figure, axes = plt.subplots(figsize=(8, 0.75 * len(rows) + 0.5))
    style = {
        "arrowstyle": "->",
        "color": "0.55",
        "shrinkA": 11,
        "shrinkB": 11,
        "connectionstyle": "arc3,rad=0.12",
    }
    for a, b in sorted(graph):
        if not any(b in reach(other) for other in below[a] - {b}):
            axes.annotate("", place[b], place[a], arrowprops=style)
    for name, (x, y) in place.items():
        box = {"boxstyle": "round", "facecolor": "#e8f0f7", "edgecolor": "#2a5c8a"}
        axes.text(x, y, name, ha="center", va="center", fontsize=9, bbox=box)
    axes.set(xlim=(0, 1.05), ylim=(min(rows) - 0.5, max(rows) + 0.5))
    axes.axis("off")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
