"""Tables of the input: parameters of the run file, effective coefficients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import zip_longest
from typing import Any

from dfx_homog.report.data import REGIONS, Json, Study, number
from dfx_homog.report.html import Cells, Numbered, Rows, matrix, table
from dfx_homog.report.plots_geometry import two_phases
from dfx_homog.report.style import integer, power, short

REGION_KEYS = {
    "geometry": "geometry",
    "mesh_size": "mesh size (unit-cell lengths)",
    "order": "polynomial order",
    "sigma_s": "conductivity of the solid, σ<sub>s</sub>",
    "k_s": "thermal conductivity of the solid, <i>k</i><sub>s</sub>",
    "k_e": "thermal conductivity of the electrolyte, <i>k</i><sub>e</sub>",
    "rho_cp_s": "heat capacity of the solid, (ρ<i>c</i><sub>p</sub>)<sub>s</sub>",
    "rho_cp_e": "heat capacity of the electrolyte, (ρ<i>c</i><sub>p</sub>)<sub>e</sub>",
    "D_s": "diffusivity in the solid, <i>D</i><sub>s</sub>",
    "G": "exchange over applied current, <i>G</i>",
    "C": "double-layer capacitance, <i>C</i>",
    "beta": "symmetry factor, β",
    "c_max": "largest concentration, <i>c</i><sub>max</sub>",
    "c_s0": "initial concentration, <i>c</i><sub>s</sub>(0)",
    "ocp": "open-circuit potential, <i>U</i>(<i>c</i>, <i>T</i>)",
    "Pi": "Peltier coefficient, Π",
    "film_resistance": "film resistance, <i>R</i><sub>f</sub>",
}
GLOBAL_KEYS = {
    "units": "units",
    "D_L": "diffusivity of lithium ions, <i>D</i><sub>L</sub>",
    "D_A": "diffusivity of anions, <i>D</i><sub>A</sub>",
    "mu_L": "mobility of lithium ions, μ<sub>L</sub>",
    "mu_A": "mobility of anions, μ<sub>A</sub>",
    "lambda": "potential over thermal voltage, λ",
    "gamma": "scaled temperature rise, γ",
    "h": "heat exchange at the collectors, <i>h</i>",
    "h_negative": "heat exchange, negative collector",
    "h_positive": "heat exchange, positive collector",
    "T_ambient": "ambient temperature",
    "T_initial": "initial temperature",
    "isothermal": "isothermal",
    "c_e0": "initial concentration, <i>c</i><sub>e</sub>(0)",
}
EFFECTIVE_CAPTION = (
    "Effective coefficients from the cell problems. An en dash: not defined (a phase that is absent "
    "or does not percolate in that direction). The Hill–Mandel residual max |⟨<i>A</i> <b>F "
    "F</b><sup>T</sup>⟩ − <b>A</b><sub>eff</sub>| is zero for the discrete solution, up to the "
    "solver’s tolerance. An entry in one direction of an anisotropic medium may lie outside the "
    "Hashin–Shtrikman bounds, never outside Reuss–Voigt."
)
COLUMNS = 4  # of regions or microstructures in one table


def _value(value: Any) -> str:
    """An input value of any TOML type as escaped text."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return short(float(value), 6)
    if isinstance(value, str):
        return f"<code>{escape(value)}</code>" if any(c in value for c in "()*+") else escape(value)
    return f"<code>{escape(str(value))}</code>"


def _tables_of(data: Any, names: Sequence[str]) -> dict[str, Json]:
    return {n: data[n] for n in names if isinstance(data, Mapping) and isinstance(data.get(n), Mapping)}


def _chunks(data: dict[str, Json]) -> list[dict[str, Json]]:
    """Columns of tables, COLUMNS at a time."""
    items = list(data.items())
    return [dict(items[k : k + COLUMNS]) for k in range(0, len(items), COLUMNS)]


def parameters(study: Study, numbers: Numbered) -> str:
    """Coefficients by region, and those of the cell as a whole."""
    micro = study.run.get("microstructure", {})
    names = list(micro) if isinstance(micro, Mapping) else []
    names = [n for n in REGIONS if n in names] + [n for n in names if n not in REGIONS]
    columns = _tables_of(micro, names)
    physics = study.run.get("parameters", {})
    for name, extra in _tables_of(physics, names).items():
        columns[name] = {**columns.get(name, {}), **extra}
    units = "as given in the run file (SI)" if physics.get("units") == "SI" else "dimensionless"
    caption = numbers.caption(f"Microstructures and coefficients; all values are {units}.") if columns else ""
    parts = []
    for chunk in _chunks(columns):
        keys = [k for k in REGION_KEYS if any(k in c for c in chunk.values())]
        other = {k: None for c in chunk.values() for k in c if k not in REGION_KEYS}
        rows: Rows = [[REGION_KEYS[k], *[_value(c.get(k)) for c in chunk.values()]] for k in keys]
        rows[1:1] = [
            [f"geometry’s <code>{escape(k)}</code>", *[_value(c.get(k)) for c in chunk.values()]]
            for k in other
        ]
        parts.append(table(["", *[escape(n) for n in chunk]], rows, caption=caption))
        caption = ""
    return "".join(parts) + (_whole(study, numbers) if study.kind != "cell" else "")


def _whole(study: Study, numbers: Numbered) -> str:
    """What belongs to no region, in two columns of names and values."""
    physics = study.run.get("parameters", {})
    rows = [
        [GLOBAL_KEYS.get(k, f"<code>{escape(k)}</code>"), _value(v)]
        for k, v in physics.items()
        if not isinstance(v, Mapping)
    ]
    rows += _operation(study)
    if not rows:
        return ""
    half = (len(rows) + 1) // 2
    pairs = [[*a, *b] for a, b in zip_longest(rows[:half], rows[half:], fillvalue=["", ""])]
    caption = numbers.caption("Electrolyte, heat, protocol and numerics.")
    return table(["", "value", "", "value"], pairs, caption=caption, classes="pairs")


def _operation(study: Study) -> list[Cells]:
    """Protocol, time stepping and solver in words."""
    run = study.run
    rows: list[Cells] = []
    steps = run.get("protocol", {}).get("steps", [])
    for index, step in enumerate(s for s in steps if isinstance(s, Mapping)):
        words = ", ".join(f"{escape(str(k))} {_value(v)}" for k, v in step.items())
        rows.append([f"protocol, step {index + 1}" if len(steps) > 1 else "protocol", words])
    time = run.get("time", {})
    if time:
        scheme = f"{escape(str(time.get('scheme', '')))}, Δ<i>t</i> = {_value(time.get('dt'))}"
        rows.append(["time stepping", scheme + (", adaptive" if time.get("adaptive") else "")])
    cell = run.get("cell", {})
    if cell:
        rows.append(["lateral boundary", escape(str(cell.get("lateral", "–")))])
    if run.get("homogenised"):
        rows.append(["meso elements a region", _value(run["homogenised"].get("elements"))])
    if run.get("solver"):
        rows.append(["solver", escape(str(run["solver"].get("preset", "–")))])
    return rows


def _tensor(value: Any) -> str:
    """A tensor as matrix; entries below rounding relative to the largest are 0."""
    if not isinstance(value, list) or not value:
        return "–"
    rows = [[number(v) for v in row] for row in value if isinstance(row, list)]
    largest = max((abs(v) for row in rows for v in row if v is not None), default=0.0)
    clean = [[0.0 if v is not None and abs(v) < 1e-12 * largest else v for v in row] for row in rows]

    def entry(v: float | None) -> str:
        return power(v, 1) if v and abs(v) < 1e-4 * largest else short(v, 6)

    return matrix([[entry(v) for v in row] for row in clean])


def _vector(value: Any) -> str:
    return ", ".join(short(number(v), 5) for v in value) if isinstance(value, list) else "–"


def _bounds(entry: Json, tensor: str, low: str, high: str) -> str:
    limits = entry.get("bounds", {}).get(tensor)
    if not limits or not two_phases(entry):
        return "–"
    return f"{short(number(limits.get(low)), 5)} to {short(number(limits.get(high)), 5)}"


def effective(tensors: Json, numbers: Numbered) -> str:
    """Effective tensors with bounds, tortuosity and the Hill-Mandel residual, one column per microstructure."""
    caption = numbers.caption(EFFECTIVE_CAPTION)
    parts = []
    for chunk in _chunks(tensors):
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
        row("specific surface <i>a</i>", lambda e: short(number(e.get("a")), 6)),
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
            row(
                "unknowns of the cell problem",
                lambda e, n=name: integer(number(e.get("dofs", {}).get(n))) if e.get("dofs") else "–",
            ),
        ]
    rows += [
        "derived, by direction",
        row("tortuosity factor φ<sub>e</sub>/<i>B<sub>ii</sub></i>", lambda e: _vector(e.get("tortuosity"))),
        row("MacMullin number 1/<i>B<sub>ii</sub></i>", lambda e: _vector(e.get("macmullin"))),
        row("Bruggeman exponent", lambda e: _vector(e.get("bruggeman")) if two_phases(e) else "–"),
        row("solid percolates", lambda e: _percolates(e, "solid")),
        row("electrolyte percolates", lambda e: _percolates(e, "electrolyte")),
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
