"""The sections of the report, each a string of HTML, empty if the data for it are not there."""

from __future__ import annotations

import shlex
from html import escape

from dfx_homog.report import (
    plots_error,
    plots_fields,
    plots_geometry,
    plots_meso,
    plots_time,
    sections_cell,
    sections_rve,
    sections_scaling,
    tables,
    tables_effective,
    tables_input,
)
from dfx_homog.report.data import Study
from dfx_homog.report.html import Numbered, section, table
from dfx_homog.report.style import short
from dfx_homog.report.theory import SLACK, order_rows, symmetric_cells


def problem(study: Study, numbers: Numbered) -> str:
    """Microstructure, mesh, parameters, effective tensors."""
    parts = [
        numbers.figure(
            plots_geometry.unit_cells(study),
            "unit cells with phases and mesh",
            "Unit cells Ω = [0, 1]² with solid Ω<sub>s</sub>, electrolyte Ω<sub>e</sub> and the mesh on "
            "which both the cell and particle problems and, tiled, the resolved model are solved.",
        ),
        sections_cell.microstructures(study, numbers),
        numbers.figure(
            plots_geometry.resolved_mesh(study),
            "coarsest resolved mesh",
            f"The coarsest resolved mesh{_coarsest(study)}: every particle is meshed, by tiling of the "
            "unit cells. Collectors at the left (negative) and the right (positive); no flux "
            "passes the ends of the solid at the separator.",
        ),
        tables_input.parameters(study, numbers),
        tables_input.groups(study, numbers),
    ]
    return section(
        "problem", "The problem" if study.kind not in ("cell", "rve") else "Microstructures", *parts
    )


def coefficients(study: Study, numbers: Numbered) -> str:
    """Effective tensors and their bounds; empty before the cell problems are known."""
    if not study.tensors:
        return ""
    return section(
        "coefficients",
        "Effective coefficients",
        tables_effective.effective(study, numbers),
        numbers.figure(
            plots_geometry.tensor_bounds(study.tensors),
            "effective tensors and bounds",
            "Diagonal entries of the effective tensors between their bounds. Straight channels reach the Voigt "
            "bound; an entry at zero belongs to a direction in which the phase does not percolate.",
        ),
        sections_cell.further(study, numbers) if study.kind == "cell" else "",
    )


def _coarsest(study: Study) -> str:
    return f", {study.levels[0].label}" if study.levels else ""


def voltage(study: Study, numbers: Numbered) -> str:
    """V(t), and the state over time."""
    several = len(study.histories) > 1
    text = (
        "Left: voltage of the resolved levels and of the homogenised model, the last time steps enlarged. "
        "Middle: resolved minus homogenised, from the first time step on. Right: the same divided by δ; "
        "curves that fall together show that the difference is of first order at all times, not only at "
        "the end."
        if several
        else "Voltage over time. The first point is the state just after switching on (<i>C</i> = 0) or the initial "
        "equilibrium (<i>C</i> &gt; 0)."
    )
    return section(
        "voltage",
        "Voltage over time",
        numbers.figure(plots_time.voltage(study), "voltage over time", text, narrow=not several),
        numbers.figure(
            plots_time.state(study),
            "temperature, concentration and state of charge over time",
            "Left: mean temperature (thick) and its extremes. Middle: extremes of the electrolyte’s "
            "concentration. Right: mean concentration in the electrodes; it follows from the charge "
            "passed" + (", hence all models agree." if several else "."),
        ),
        tables.final_state(study, numbers) if study.kind == "single" else "",
    )


def fields(study: Study, numbers: Numbered) -> str:
    """Profiles, maps and particles at the final time; empty without arrays."""
    last = short(max((float(h["time"][-1]) for h in study.histories), default=None))
    moment = f"<i>t</i> = {study.quantity(last, 'time')}"
    line = "the black line is the homogenised model. The clouds close in on the line as δ falls."
    if "meso_y" not in study.arrays:
        line = "the homogenised model’s fields come with the result."
    parts = [
        numbers.figure(
            plots_fields.profiles(study),
            "fields along the cell",
            f"Fields along the cell at {moment}: dots are nodal values of the resolved model (a sample of "
            f"all nodes, hence the vertical spread of a cross-section); {line}",
        ),
        *(
            numbers.figure(
                plots_meso.maps(study, name),
                f"homogenised fields{plots_meso.PLACES[name]}",
                f"The homogenised fields{plots_meso.PLACES[name]} at {moment}; grey: the field does not live there.",
            )
            for name in plots_meso.names(study)
        ),
        numbers.figure(
            plots_fields.maps(study),
            "fields on the coarsest resolved mesh",
            f"The resolved fields at {moment} on the coarsest mesh{_coarsest(study)}; grey: the field does "
            "not live there. Φ<sub>s</sub> and <i>c</i><sub>s</sub> have a colour scale for each "
            "electrode.",
        ),
        numbers.figure(
            plots_fields.particles(study),
            "concentration in one particle of each electrode",
            "<i>c</i><sub>s</sub> in the solid of one unit cell in the middle of each electrode at "
            f"{moment}: the finest resolved level and the two-scale solution "
            "<i>c</i><sub>s</sub>(<i>y</i>, <i>z</i> = <i>y</i>/δ) on the same colour scale, then their "
            "difference on every level, again on one scale. On a coarse level the middle of an electrode "
            "may be the unit cell next to the separator, where the boundary layer is seen.",
        ),
    ]
    return section("fields", "Fields at the final time", *parts) if any(parts) else ""


def errors(study: Study, numbers: Numbered) -> str:
    """Error against delta, table of orders, Richardson table; empty before the first level is finished."""
    rows = order_rows(study)
    if not rows:
        return ""
    shape = "mirror symmetric in <i>z</i>₁" if symmetric_cells(study) else "not mirror symmetric in <i>z</i>₁"
    text = (
        "Relative errors ‖resolved − homogenised‖/‖homogenised‖ over the field’s own domain at the final "
        "time, and the observed orders in δ. Expected orders are those of periodic homogenisation with "
        f"boundary layers at the separator faces; the unit cells are {shape}. The order of the finest pair "
        f"counts as met if it is at most {SLACK} below the expected one. Correctors leave the order in L² "
        "at 1: the layers shift the macroscopic solution itself. Interior: one tenth of the thickness "
        "away from collectors and separator faces."
    )
    later = order_rows(study, "errors_max_over_time")
    caption = (
        "As above, with the largest error over the times of comparison. At early times the gradient of "
        "<i>T</i> is nearly zero, hence large relative errors of it."
    )
    parts = [
        numbers.figure(
            plots_error.errors(study),
            "error against delta on logarithmic axes",
            "Errors at the final time against δ on logarithmic axes; grey triangles have the slopes that "
            "theory expects (1, 1/2, 1). Without corrector the gradient does not converge: it oscillates "
            "on the scale of the cell.",
        ),
        tables.orders(study, rows, numbers, text),
        tables.richardson(study, numbers),
    ]
    if later:
        details = tables.orders(study, later, numbers, caption)
        parts.append(f"<details><summary>Largest errors over time</summary>{details}</details>")
    return section("errors", "Error against δ", *parts)


def conservation(study: Study, numbers: Numbered) -> str:
    """Conservation errors against time."""
    return section(
        "conservation",
        "Conservation",
        "<p>Lithium: largest drift of the inventories of solid and electrolyte over the initial ones. "
        "Charge: interfacial current of an electrode minus the applied one, over the largest so far. Energy: "
        "residual of the identity between stored, lost, electrical and chemical power over its largest term so far. "
        "All three hold exactly for the discrete equations; what is left is the solver’s tolerance and "
        "rounding.</p>",
        numbers.figure(
            plots_time.conservation(study),
            "conservation errors over time",
            "Relative conservation errors at every time step (the initial state left out; zeros at "
            "10<sup>−17</sup>); dotted: the limit that must not be passed.",
        ),
        tables.conservation(study, numbers),
    )


def solver(study: Study, numbers: Numbered) -> str:
    """Iterations and wall time."""
    several = len(study.levels) > 1
    more = (
        " Krylov counts that do not grow from level to level are what makes smaller δ affordable; right: "
        "mean wall time of a time step against unknowns."
        if several
        else " Right: wall time of each time step."
    )
    return section(
        "solver",
        "Solver",
        numbers.figure(
            plots_time.solver(study),
            "iterations and wall time",
            "Left: Newton iterations a time step. Middle: Krylov iterations a Newton step (1: a direct solver)."
            + more,
        ),
        tables.solver(study, numbers),
    )


LIMITS = (
    "The equilibrium potential in the kinetics does not depend on <i>c</i><sub>e</sub>, as in the source "
    "of the model (Hunt et al. 2020); it differs from the usual Doyle–Fuller–Newman kinetics measured "
    "against a lithium electrode.",
    "The heat of reaction counts <i>U</i> only on the faradaic current <i>g</i>, not on the capacitive "
    "current; the energy identity above is that of this form.",
    "Π is an input; given as a constant it need not be consistent with d<i>U</i>/d<i>T</i>.",
    "The error norms compare the two models on the same mesh and time step. The discretisation error in space and "
    "time, common to both, is not part of them.",
    "Sections other than the one on wall laws compare at leading order in δ with periodic first-order correctors. "
    "<code>homogenised.wall_law = true</code> adds the boundary layers at separator and collector faces, which are "
    "most of the first-order error of <i>V</i>.",
    "Observed orders are those of a finite sequence of δ; the slope of the error depends on the mesh "
    "(re-entrant corners at the separator), the limit does not.",
)


def limits(study: Study) -> str:
    """What the report does not show."""
    if study.kind == "rve":
        items = list(sections_rve.LIMITS)
    elif study.kind == "scaling":
        items = list(sections_scaling.LIMITS)
    elif study.kind == "cell":
        items = sections_cell.limits(study)
    else:
        items = list(LIMITS if study.kind == "convergence" else LIMITS[:3])
    return section(
        "limits", "What is not covered", "<ul>" + "".join(f"<li>{i}</li>" for i in items) + "</ul>"
    )


def command(study: Study) -> str:
    """The command that repeats the run from the complete input."""
    name = study.model if study.kind == "single" else study.kind
    ranks = study.facts.get("ranks", "1")
    if study.kind == "scaling":
        return "./dfx scaling run.toml"
    parallel = ["-n", ranks] if ranks.isdigit() and int(ranks) > 1 else []
    return shlex.join(["./dfx", *parallel, "resolved" if name == "single" else name, "run.toml"])


def provenance(study: Study, numbers: Numbered) -> str:
    """Versions, ranks, host, date, command, the complete input, the log."""
    names = {
        "dfx_homog": "dfx_homog",
        "dolfinx": "DOLFINx",
        "petsc": "PETSc",
        "python": "Python",
        "date": "started",
    }
    rows = [[names.get(k, escape(k)), escape(v)] for k, v in study.facts.items()]
    body = table(["", ""], rows, caption=numbers.caption("With what this was computed.")) if rows else ""
    if study.run_text:
        body += f"<h3>To repeat it</h3><pre>{escape(command(study))}</pre>"
        body += (
            '<p class="note"><code>run.toml</code> is the complete input below, with all defaults filled in.</p>'
            f"<details><summary>Complete run file</summary><pre>{escape(study.run_text)}</pre></details>"
        )
    if study.log:
        body += f"<details><summary>Log</summary><pre>{escape(study.log[-40_000:])}</pre></details>"
    return section("provenance", "Provenance", body)
