"""docs/runfile.md from the models of the run file:  python -m dfx_homog.runfile.docs > docs/runfile.md"""

from __future__ import annotations

import sys
from typing import Any

from pydantic.fields import FieldInfo

from dfx_homog.runfile.base import Table
from dfx_homog.runfile.battery import Battery, Layer
from dfx_homog.runfile.case import Case, CaseLevels, Expectation
from dfx_homog.runfile.geometry import FAMILIES
from dfx_homog.runfile.given import Given
from dfx_homog.runfile.materials import Activation
from dfx_homog.runfile.messages import allowed, keys_of, tables_of
from dfx_homog.runfile.microstructure import Meshed, Microstructure, OnMesh, OnVoxels, SolidOnMesh
from dfx_homog.runfile.models import Cell, Electrode, Parameters, Run
from dfx_homog.runfile.parameters_si import ActivationSI, ElectrodeSI, ParametersSI
from dfx_homog.runfile.protocol import Output, Protocol, Step, Time
from dfx_homog.runfile.scaling import Scaling
from dfx_homog.runfile.source import Source
from dfx_homog.runfile.studies import Checkpoint, Convergence, Homogenised, Rve, Solver
from dfx_homog.runfile.toml import to_toml
from dfx_homog.runfile.voxels import STEPS

SECTIONS: tuple[tuple[str, type[Table]], ...] = (
    ("[cell]", Cell),
    ("[parameters]", Parameters),
    ("[parameters.negative] and [parameters.positive]", Electrode),
    ("[parameters.activation]", Activation),
    ("[parameters] from a named set or a BPX file", Source),
    ('[parameters] with units = "SI"', ParametersSI),
    ('[parameters.negative] and [parameters.positive] with units = "SI"', ElectrodeSI),
    ('[parameters.activation] with units = "SI"', ActivationSI),
    ("[protocol]", Protocol),
    ("entries of protocol.steps", Step),
    ("[time]", Time),
    ("[output]", Output),
    ("[solver]", Solver),
    ("[homogenised]", Homogenised),
    ("[battery]", Battery),
    ("entries of battery.layers", Layer),
    ("[convergence]", Convergence),
    ("[rve]", Rve),
    ("[checkpoint]", Checkpoint),
    ("[scaling]", Scaling),
    ("[case]", Case),
    ("[case.levels]", CaseLevels),
    ("entries of case.expect", Expectation),
)
#: Keys that families share: heading, the table that has them, and which families it is for.
GROUPS: tuple[tuple[str, type[Table], type[Table]], ...] = (
    ("Keys of every geometry", Microstructure, Microstructure),
    ("Keys of every mesh", OnMesh, OnMesh),
    ("Keys of every mesh that is made here", Meshed, Meshed),
    ("Keys of every mesh with solid", SolidOnMesh, SolidOnMesh),
    ("Keys of voxels", OnVoxels, OnVoxels),
    ("Keys of media that are given", Given, Given),
)

INTRODUCTION = """\
<!-- made by python -m dfx_homog.runfile.docs; edit the models in dfx_homog/runfile/ instead -->

# The run file: every key

A run file is TOML. Everything in it is dimensionless, or with `units = "SI"` in `[parameters]` everything is in SI
units, results too; lengths inside unit cells are in unit-cell lengths in both cases.
Unknown keys, wrong types and impossible values are refused before anything is computed, with exit status 2
and one line that names file, key and what is allowed. `dfx-homog check FILE` validates and shows what would
run. `--set key.path=value` overrides a key from the command line; the value is TOML, a plain word needs no
quotes, and entries of lists are addressed by position (`--set protocol.steps.0.current=0.1`). The directory
of results holds `run.toml`, the complete input with all defaults, which is a run file itself.

Files that a run file names are looked for in its own folder, then in the working directory; `run.toml` has
their absolute paths.

`cell` needs `[microstructure.NAME]` only, under any names, and leaves a tensor out (null) when its
coefficient is missing; `rve` needs `[rve]` too. `resolved` and `homogenised` need the microstructures
`negative`, `separator`, `positive` with all their coefficients (an electrolyte separator: k_e and rho_cp_e),
`[cell]`, `[parameters]`, `[protocol]` and `[time]`; `convergence` needs `[convergence]` too. The three
microstructures must have the same order and as many dimensions. An image (`image`, `gaussian_field`, or
`random_spheres` with `voxels`) with equal edges is the mesh of its voxels there, each divided into triangles or
tetrahedra: the reaction takes place on the voxels' faces, whose area is too large (`correct_area`).

Formulas (D_s, ocp) are in c = c_s/c_max and the scaled temperature rise T (in SI: kelvin), with numbers,
`+ - * / **`, brackets and `sin cos exp log tanh sqrt sign cosh`, `min(a, b)`, `max(a, b)`; level sets are in x, y, z
and pi instead, heat exchange (h) in the time t, the place y1 (through the cell, from 0 to 1), y2, y3 (across) and pi.
`homogenised` in one dimension and `convergence` know t and y1 only. In SI t is in s; y1, y2, y3 stay in lengths
of the cell.

With `units = "SI"`: conductivities sigma_s, S in S/m, k_s, k_e, K in W/(m K), heat capacities rho_cp_s,
rho_cp_e, theta in J/(m3 K), a `particle`'s radius in m and its a in 1/m; currents (also in CSV files) in A/m2 of
the collector, voltages in V, power in W/m2, temperatures in K, times in s, lengths
of `[cell]` and `[battery]` in m. B, phi_e, beta
and tolerances have no unit. The length of the cell is the sum of `cell.thickness`, or as many `unit_cell_length`
as `cell.periods` says; with `thickness` each electrode may have its own unit_cell_length. `resolved` and
`convergence` need `periods` and one common unit_cell_length (the levels of `convergence` keep the dimensionless
groups of `cell.periods`).

Keys of the interface that this version does not offer are refused by name: {later}.
"""


def document() -> str:
    """The whole page."""
    tables: list[type[Table]] = [*FAMILIES.values(), *STEPS.values(), Run, *(table for _, table in SECTIONS)]
    later = sorted({key for table in tables for key in table.LATER})
    parts = [INTRODUCTION.format(later=", ".join(f"`{key}`" for key in later)), "## [microstructure.NAME]\n"]
    parts.append(f"`geometry` is one of {', '.join(FAMILIES)}.\n")
    for title, base, members in GROUPS:
        families = f" ({', '.join(name for name, family in FAMILIES.items() if issubclass(family, members))})"
        known = families if members is not Microstructure else ""
        parts.append(f"{title}{known}:\n\n{_table(base, set(keys_of(base)) - _inherited(base))}\n")
    for name, family in FAMILIES.items():
        own = set(keys_of(family)) - _inherited(family) - {"geometry"}
        keys = f"\n\n{_table(family, own)}" if own else ""
        parts.append(f"### {name}\n\n{family.__doc__}{keys}\n")
    parts.append("### entries of image.steps\n")
    for name, step in STEPS.items():
        parts.append(f'`step = "{name}"`: {step.__doc__}\n\n{_table(step, set(keys_of(step)) - {"step"})}\n')
    for title, table in SECTIONS:
        keys_here = {
            k
            for k, field in keys_of(table).items()
            if table not in (Parameters, ParametersSI) or not tables_of(field)
        }
        meaning = (table.__doc__ or "").partition(": ")[2]
        text = f"{meaning[:1].upper()}{meaning[1:]}\n\n" if meaning else ""
        parts.append(f"## {title}\n\n{text}{_table(table, keys_here)}\n")
    return "\n".join(parts).rstrip() + "\n"


def _inherited(table: type[Table]) -> set[str]:
    """Keys that another one of GROUPS lists already, in the same words."""
    bases = [base for _, base, _ in GROUPS if base is not table and issubclass(table, base)]
    return {
        key
        for key, field in keys_of(table).items()
        for base in bases
        if key in (theirs := keys_of(base)) and theirs[key].description == field.description
    }


def _table(table: type[Table], keys: set[str]) -> str:
    rows = ["| key | allowed | default | meaning |", "| --- | --- | --- | --- |"]
    rows += [_row(key, field) for key, field in keys_of(table).items() if key in keys]
    return "\n".join(rows)


def _row(key: str, field: FieldInfo) -> str:
    cells = [
        f"`{key}`",
        allowed(field),
        "required" if field.is_required() else _default(field),
        field.description or "",
    ]
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def _default(field: FieldInfo) -> str:
    default: Any = field.get_default(call_default_factory=True)
    return "" if default is None else f"`{to_toml({'x': default}).strip().removeprefix('x = ')}`"


if __name__ == "__main__":
    sys.stdout.write(document())
