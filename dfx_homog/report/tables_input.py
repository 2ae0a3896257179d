"""Tables of the input: parameters of the run file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import zip_longest
from typing import Any

from dfx_homog.report.data import REGIONS, Json, Study
from dfx_homog.report.html import Cells, Numbered, Rows, table
from dfx_homog.report.style import short

REGION_KEYS = {
    "geometry": "geometry",
    "mesh_size": "mesh size (unit-cell lengths)",
    "order": "polynomial order",
    "sigma_s": "conductivity of the solid, σ<sub>s</sub>",
    "k_s": "thermal conductivity of the solid, <i>k</i><sub>s</sub>",
    "k_e": "thermal conductivity of the electrolyte, <i>k</i><sub>e</sub>",
    "rho_cp_s": "heat capacity of the solid, (ρ<i>c</i><sub>p</sub>)<sub>s</sub>",
    "rho_cp_e": "heat capacity of the electrolyte, (ρ<i>c</i><sub>p</sub>)<sub>e</sub>",
    "phi_e": "porosity, φ<sub>e</sub>",
    "radius": "radius of the particles",
    "a": "surface of the particles per volume, <i>a</i>",
    "S": "effective conductivity, <i>S</i>",
    "B": "geometry of the electrolyte, <i>B</i>",
    "K": "effective thermal conductivity, <i>K</i>",
    "theta": "effective heat capacity, θ",
    "D_s": "diffusivity in the solid, <i>D</i><sub>s</sub>",
    "G": "exchange over applied current, <i>G</i>",
    "C": "double-layer capacitance, <i>C</i>",
    "rate constant": "reaction rate constant, <i>K</i>",
    "C_dl": "double-layer capacitance, <i>C</i><sub>dl</sub>",
    "dUdT": "entropy change, d<i>U</i>/d<i>T</i>",
    "unit_cell_length": "length of the unit cell, <i>l</i>",
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
    "T0": "reference temperature, <i>T</i>₀",
    "lambda": "potential over thermal voltage, λ",
    "gamma": "scaled temperature rise, γ",
    "h": "heat exchange at the collectors, <i>h</i>",
    "h_negative": "heat exchange, negative collector",
    "h_positive": "heat exchange, positive collector",
    "T_ambient": "ambient temperature",
    "T_initial": "initial temperature",
    "isothermal": "isothermal",
    "c_e0": "initial concentration, <i>c</i><sub>e</sub>(0)",
    "overpotential": "overpotential",
}
SCALES = {
    "L": "length of the cell, <i>L</i> (m)",
    "l_n": "unit cell or radius, negative electrode, <i>l</i> (m)",
    "l_p": "unit cell or radius, positive electrode, <i>l</i> (m)",
    "c0": "concentration, <i>c</i>₀ (mol/m³)",
    "Phi0": "potential, Φ₀ (V)",
    "i0": "current density, <i>i</i>₀ (A/m²)",
    "T0": "temperature, <i>T</i>₀ (K)",
    "rho_cp0": "heat capacity, ρ₀<i>c</i><sub>p0</sub> (J/(m³ K))",
    "t0": "time, <i>t</i>₀ = F<i>c</i>₀<i>L</i>/<i>i</i>₀ (s)",
    "DeltaT": "temperature rise, Δ<i>T</i> (K)",
}
COLUMNS = 4  # of regions or microstructures in one table


def _value(value: Any) -> str:
    """An input value of any TOML type as escaped text."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return short(float(value), 6)
    if isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
        return "<br>".join(_step(v) for v in value)
    if isinstance(value, str):
        return f"<code>{escape(value)}</code>" if any(c in value for c in "()*+") else escape(value)
    return f"<code>{escape(str(value))}</code>"


def _step(table: Mapping[str, Any]) -> str:
    """A table in a list, as "name: key value, …"."""
    words = ", ".join(f"{escape(str(k))} {_value(v)}" for k, v in table.items() if k != "step")
    name = escape(str(table.get("step", "")))
    return f"{name}: {words}" if name and words else name or words


def _tables_of(data: Any, names: Sequence[str]) -> dict[str, Json]:
    return {n: data[n] for n in names if isinstance(data, Mapping) and isinstance(data.get(n), Mapping)}


def chunks(data: dict[str, Json], columns: int = COLUMNS) -> list[dict[str, Json]]:
    """Columns of tables, so many at a time."""
    items = list(data.items())
    return [dict(items[k : k + columns]) for k in range(0, len(items), columns)]


def parameters(study: Study, numbers: Numbered) -> str:
    """Coefficients by region, and those of the cell as a whole."""
    micro = study.run.get("microstructure", {})
    names = list(micro) if isinstance(micro, Mapping) else []
    names = [n for n in REGIONS if n in names] + [n for n in names if n not in REGIONS]
    columns = _tables_of(micro, names)
    physics = study.run.get("parameters", {})
    for name, extra in _tables_of(physics, names).items():
        # the microstructure has a K too
        own = {"rate constant" if key == "K" else key: value for key, value in extra.items()}
        columns[name] = {**columns.get(name, {}), **own}
    units = "as given in the run file (SI)" if physics.get("units") == "SI" else "dimensionless"
    caption = numbers.caption(f"Microstructures and coefficients; all values are {units}.") if columns else ""
    parts = []
    for chunk in chunks(columns):
        keys = [k for k in REGION_KEYS if any(k in c for c in chunk.values())]
        other = {k: None for c in chunk.values() for k in c if k not in REGION_KEYS}
        rows: Rows = [[REGION_KEYS[k], *[_value(c.get(k)) for c in chunk.values()]] for k in keys]
        rows[1:1] = [
            [f"geometry’s <code>{escape(k)}</code>", *[_value(c.get(k)) for c in chunk.values()]]
            for k in other
        ]
        parts.append(table(["", *[escape(n) for n in chunk]], rows, caption=caption))
        caption = ""
    return "".join(parts) + (_whole(study, numbers) if study.kind not in ("cell", "rve") else "")


def groups(study: Study, numbers: Numbered) -> str:
    """Scales of a run in SI, and the dimensionless groups that the models see; empty for other runs."""
    result = study.result or {}
    scales, found = result.get("scales", {}), result.get("groups", {})
    if not scales or not found:
        return ""
    rows: Rows = ["scales"]
    rows += [[SCALES[key], _value(value), ""] for key, value in scales.items() if key in SCALES]
    rows += ["groups of the cell"]
    rows += [[GLOBAL_KEYS[key], _value(value), ""] for key, value in found.items() if key in GLOBAL_KEYS]
    both = [found.get(name, {}) for name in ("negative", "positive")]
    rows += ["groups of the electrodes"]
    keys = {"delta": "unit cell or particle over cell, δ", **REGION_KEYS}
    rows += [[keys[key], *[_value(e.get(key)) for e in both]] for key in both[0] if key in keys]
    caption = numbers.caption(
        "Scales of the run, and the dimensionless groups that the models are solved with. Results in SI do not "
        "depend on the choice of the scales."
    )
    return table(["", "value, or negative electrode", "positive electrode"], rows, caption=caption)


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
