"""Tables of effective coefficients: tensors with bounds, both discretisations of voxels, iterations and time."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from dfx_homog.report.data import Json, Study, number
from dfx_homog.report.html import Cells, Numbered, Rows, matrix, table
from dfx_homog.report.plots_geometry import two_phases
from dfx_homog.report.style import duration, fixed, integer, power, short
from dfx_homog.report.tables_input import COLUMNS, chunks

DIGITS = 6  # of a tensor's largest entry
COLUMNS_3D = 2  # of microstructures, whose matrices have three columns
EFFECTIVE_CAPTION = (
    "Effective coefficients from the cell problems. An en dash: not defined (a phase that is absent "
    "or does not percolate in that direction). The Hill–Mandel residual max |⟨<i>A</i> <b>F "
    "F</b><sup>T</sup>⟩ − <b>A</b><sub>eff</sub>| is zero for the discrete solution, up to the "
    "solver’s tolerance. An entry in one direction of an anisotropic medium may lie outside the "
    "Hashin–Shtrikman bounds, never outside Reuss–Voigt."
)


def _tensor(value: Any) -> str:
    """A tensor as matrix, with as many decimals as six digits of its largest entry need.

    Entries below rounding relative to the largest are 0, small ones powers of ten.
    """
    if not isinstance(value, list) or not value:
        return "–"
    rows = [[number(v) for v in row] for row in value if isinstance(row, list)]
    sizes = [abs(v) for row in rows for v in row if v]
    largest = max(sizes, default=1.0)
    places = min(max(DIGITS - 1 - math.floor(math.log10(largest)), 0), 12)
    texts = [f"{v:.{places}f}" for v in sizes if v >= 1e-4 * largest]
    places = max((len(t.rstrip("0").partition(".")[2]) for t in texts), default=0)

    def entry(v: float | None) -> str:
        if v is not None and abs(v) < 1e-12 * largest:
            return "0"
        return power(v, 1) if v and abs(v) < 1e-4 * largest else fixed(v, places)

    return matrix([[entry(v) for v in row] for row in rows])


def _vector(value: Any) -> str:
    return ", ".join(short(number(v), 5) for v in value) if isinstance(value, list) else "–"


def _bounds(entry: Json, tensor: str, low: str, high: str) -> str:
    limits = entry.get("bounds", {}).get(tensor)
    if not limits or not two_phases(entry):
        return "–"
    return f"{short(number(limits.get(low)), 5)} to {short(number(limits.get(high)), 5)}"


def effective(study: Study, numbers: Numbered) -> str:
    """Effective tensors with bounds, tortuosity and the Hill-Mandel residual, one column per microstructure."""
    tensors = study.tensors
    surface = "1/(unit-cell length)" if study.kind == "cell" else "1/m"
    units = f" <b>S</b> is in S/m, <b>K</b> in W/(m K), θ in J/(m³ K), <i>a</i> in {surface}." * study.in_si
    caption = numbers.caption(EFFECTIVE_CAPTION + units)
    parts = []
    wide = any(e.get("dim") == 3 for e in tensors.values())
    for chunk in chunks(tensors, COLUMNS_3D if wide else COLUMNS):
        parts.append(
            table(["", *[escape(n) for n in chunk]], _effective_rows(list(chunk.values())), caption=caption)
        )
        caption = ""
    return "".join(parts)


def _effective_rows(entries: list[Json]) -> Rows:
    def row(text: str, cell: Any) -> Cells:
        return [text, *[cell(e) for e in entries]]

    rows: Rows = [
        row("porosity φ<sub>e</sub> (transporting)", lambda e: short(number(e.get("phi_e")), 6)),
        row("with closed pores", lambda e: short(number(e.get("phi_e_total")), 6)),
        row("specific surface <i>a</i>", lambda e: short(number(e.get("a")), 6)),
        row("as the faces of voxels add up", lambda e: short(number(e.get("a_faceted")), 6)),
        row("heat capacity θ", lambda e: short(number(e.get("theta")), 6)),
    ]
    for name, text in (("S", "electronic"), ("B", "electrolyte’s geometry"), ("K", "thermal")):
        rows += [
            f"{text} tensor <b>{name}</b>",
            row(f"<b>{name}</b>", lambda e, n=name: _tensor(e.get(n))),
            row("Reuss to Voigt", lambda e, n=name: _bounds(e, n, "reuss", "voigt")),
            row(
                "Hashin–Shtrikman (isotropic media)", lambda e, n=name: _bounds(e, n, "hs_lower", "hs_upper")
            ),
            row("Hill–Mandel residual", lambda e, n=name: power(number(e.get("hill_mandel", {}).get(n)))),
        ]
    rows += [
        "derived, by direction",
        row("tortuosity factor φ<sub>e</sub>/<i>B<sub>ii</sub></i>", lambda e: _vector(e.get("tortuosity"))),
        row("MacMullin number 1/<i>B<sub>ii</sub></i>", lambda e: _vector(e.get("macmullin"))),
        row("Bruggeman exponent", lambda e: _vector(e.get("bruggeman")) if two_phases(e) else "–"),
        row("solid percolates", lambda e: _percolates(e, "solid")),
        row("electrolyte percolates", lambda e: _percolates(e, "electrolyte")),
        "left out, in % of the phase",
        row("detached solid", lambda e: _share(e, "solid")),
        row("closed pores", lambda e: _share(e, "electrolyte")),
    ]
    return _without_gaps(rows)


def _without_gaps(rows: Rows) -> Rows:
    """Leave out rows that say nothing, and headings with nothing below."""
    kept = [row for row in rows if isinstance(row, str) or any(cell != "–" for cell in row[1:])]
    ends = [*kept[1:], ""]
    return [
        row
        for row, after in zip(kept, ends, strict=True)
        if not (isinstance(row, str) and isinstance(after, str))
    ]


def _percolates(entry: Json, phase: str) -> str:
    found = entry.get("percolates", {}).get(phase)
    if not isinstance(found, list):
        return "–"
    return ", ".join("yes" if f else "no" for f in found)


def _share(entry: Json, phase: str) -> str:
    found = number(entry.get("islands", {}).get(phase))
    return "–" if found is None else short(100 * found, 3)


def solver(tensors: Json, numbers: Numbered) -> str:
    """Discretisation, unknowns, iterations and wall time, one row per tensor."""
    rows: Rows = []
    for name, entry in tensors.items():
        rows.append(f"{escape(name)}: {_method(entry)}")
        for tensor in ("S", "B", "K"):
            unknowns = number(entry.get("dofs", {}).get(tensor))
            if unknowns is None or not entry.get(tensor):
                continue
            iterations = entry.get("iterations", {}).get(tensor)
            counts = (
                ", ".join(integer(number(i)) for i in iterations) if isinstance(iterations, list) else "–"
            )
            residual = power(number(entry.get("hill_mandel", {}).get(tensor)))
            rows.append([f"<b>{tensor}</b>", integer(unknowns), counts, residual])
        if not isinstance(rows[-1], str):
            rows.append(["wall time, all tensors", duration(_seconds(entry)), "", ""])
            memory = number(entry.get("memory"))
            if memory is not None:
                rows.append(["memory at most, all ranks", f"{short(memory / 2**30, 3)} GiB", "", ""])
    if not any(not isinstance(row, str) for row in rows):
        return ""
    text = (
        "Unknowns of each cell problem, iterations of the conjugate gradients for each direction, and the "
        "Hill–Mandel residual, which measures how well they have converged."
    )
    rows = [
        row
        for row, after in zip(rows, [*rows[1:], ""], strict=True)
        if not isinstance(row, str) or row != after
    ]
    return table(["", "unknowns", "iterations", "Hill–Mandel"], rows, caption=numbers.caption(text))


def _seconds(entry: Json) -> float | None:
    """Wall time of a microstructure, which may be given in parts."""
    found = entry.get("seconds")
    if not isinstance(found, dict):
        return number(found)
    parts = [number(v) for v in found.values()]
    return sum(v for v in parts if v is not None)


def _method(entry: Json) -> str:
    """How a cell problem is discretised, in words."""
    shape = entry.get("shape")
    if not isinstance(shape, list):
        return "finite elements on a mesh that follows the interface"
    voxels = " × ".join(integer(number(n)) for n in shape if n != 1)
    kind = {
        "fv": "finite volumes",
        "q1": "trilinear finite elements",
        "both": "finite volumes and trilinear elements",
    }
    return f"{kind.get(str(entry.get('discretisation')), '')} on {voxels} voxels"


def brackets(tensors: Json, numbers: Numbered) -> str:
    """Both discretisations of voxel images side by side, with the bracket that they make; empty without."""
    rows: Rows = []
    for name, entry in tensors.items():
        both = entry.get("discretisations", {})
        values = {
            (tensor, kind): [number(row[i]) for i, row in enumerate(both.get(kind, {}).get(tensor) or [])]
            for tensor in ("S", "B", "K")
            for kind in ("fv", "q1")
        }
        lines = []
        for tensor in ("S", "B", "K"):
            for i, (low, high) in enumerate(zip(values[tensor, "fv"], values[tensor, "q1"], strict=False)):
                width = None if not low or not high else 200 * abs(high - low) / abs(high + low)
                mean = None if low is None or high is None else 0.5 * (low + high)
                cell = [
                    f"<i>{tensor}</i><sub>{i + 1}{i + 1}</sub>",
                    short(low, 6),
                    short(high, 6),
                    short(mean, 5),
                ]
                lines.append([*cell, "–" if width is None else f"{short(width, 3)} %"])
        if lines:
            rows += [escape(name), *lines]
    if not rows:
        return ""
    text = (
        "The same image with both discretisations. Finite volumes let less through than the image does, since voxels "
        "that touch in an edge or a corner are not joined; trilinear elements let more through. The exact value for "
        "these voxels lies between the two, so half the width bounds the error of the mean. What the voxels "
        "themselves miss of the real structure is not part of it."
    )
    head = ["", "finite volumes", "trilinear elements", "mean", "width"]
    return table(head, rows, caption=numbers.caption(text))
