"""Sections of `cell`: three-dimensional microstructures, from grey values to phases, numbers for other programs."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from dfx_homog.report import plots_slices, pybamm, tables_effective
from dfx_homog.report.data import Study, number
from dfx_homog.report.html import Numbered, Rows, section, table
from dfx_homog.report.style import integer, power, short


def microstructures(study: Study, numbers: Numbered) -> str:
    """Mid-planes of unit cells of tetrahedra and of voxels."""
    parts = []
    for name in plots_slices.in_three_dimensions(study):
        count = number(int(study.arrays[f"cell_{name}_elements"]))
        parts.append(
            numbers.figure(
                plots_slices.cuts(study, name),
                f"mid-planes of {name}",
                f"The unit cell of {escape(name)}, {integer(count)} tetrahedra, in the three planes through its "
                "middle. Lines are where the planes cut the mesh: it follows the interface between solid and "
                "electrolyte, and opposite faces have the same nodes.",
            )
        )
    for name in plots_slices.names(study, "slice", "shape"):
        shape = [int(n) for n in study.arrays[f"slice_{name}_shape"]]
        voxels = " × ".join(integer(n) for n in shape)
        where = "in the three planes through its middle" if len(shape) == 3 else "as a whole"
        thinned = ", thinned to at most 400 pixels along an edge" if max(shape) > 400 else ""
        parts.append(
            numbers.figure(
                plots_slices.slices(study, name),
                f"phases of {name}",
                f"The image of {escape(name)}, {voxels} voxels, {where}{thinned}. Every voxel is what the solver "
                "sees: pores in light blue, and a colour for each label of the solid.",
                narrow=len(shape) == 2,
            )
        )
    return "".join(parts)


def segmentation(study: Study, numbers: Numbered) -> str:
    """From grey values to phases, step by step; empty for images that came as labels."""
    parts = []
    for name in plots_slices.names(study, "segmentation", "step"):
        panels = plots_slices.panels_of(study, name)
        steps = [str(step) for step in panels["step"]]
        text = (
            f"The middle slice of {escape(name)} as it came and after each step of the run file, with the step’s "
            "parameters below."
        )
        if "counts" in panels:
            denoised = "after denoising, " if "denoise" in steps else ""
            text += (
                f" Bottom: histogram of the grey values ({denoised}all voxels), the fitted mixture of Gaussians and "
                "the thresholds between its phases. Peaks that stand apart, with thresholds in the valleys between "
                "them, make a segmentation that can be trusted; voxels that two phases share fill the valleys and "
                "widen the fitted curves."
            )
        picture = plots_slices.segmentation(study, name)
        parts.append(numbers.figure(picture, f"segmentation of {name}", text))
        if "means" in panels:
            parts.append(_mixture(name, panels, numbers))
    return section("segmentation", "From grey values to phases", *parts) if parts else ""


def _mixture(name: str, panels: dict[str, Any], numbers: Numbered) -> str:
    columns = ("means", "sigmas", "weights", "misclassified")
    rows: Rows = [
        [
            f"phase {k}",
            short(mean, 5),
            short(sigma, 4),
            f"{short(100 * weight, 4)} %",
            f"{short(100 * wrong, 3)} %",
        ]
        for k, (mean, sigma, weight, wrong) in enumerate(zip(*(panels[c] for c in columns), strict=True))
    ]
    noise = f" Noise of the image: {short(float(panels['noise']), 4)}." if "noise" in panels else ""
    wrong = float(np.sum(panels["weights"] * panels["misclassified"]))
    limits = ", ".join(short(float(t), 5) for t in panels["thresholds"])
    caption = (
        f"The mixture fitted to the grey values of {escape(name)}; thresholds at {limits}.{noise} As far as the "
        f"mixture is right, {short(100 * wrong, 3)} % of all voxels get the wrong phase in this step."
    )
    head = ["", "mean", "standard deviation", "share", "wrongly assigned"]
    return table(head, rows, caption=numbers.caption(caption))


def further(study: Study, numbers: Numbered) -> str:
    """Both discretisations, iterations and time."""
    return tables_effective.brackets(study.tensors, numbers) + tables_effective.solver(study.tensors, numbers)


def for_pybamm(study: Study) -> str:
    """Porosities and Bruggeman coefficients as Python to paste."""
    text = pybamm.parameters(study)
    if not text:
        return ""
    other = [escape(name) for name in study.tensors if name not in pybamm.DOMAINS]
    rename = (
        f" PyBaMM knows the domains Negative electrode, Separator and Positive electrode: {', '.join(other)} stand"
        f"{'s' if len(other) == 1 else ''} under {pybamm.OTHER}, to be renamed as needed."
        if other
        else ""
    )
    return section(
        "pybamm",
        "To paste into PyBaMM",
        "<p>One dict for each microstructure and direction of transport; take that of the direction through the "
        "thickness and pass it to <code>parameter_values.update(…)</code>. PyBaMM multiplies bulk conductivities by "
        "porosity<sup><i>b</i></sup> in the electrolyte and by (1 − porosity)<sup><i>b</i></sup> in the "
        "electrode; with these coefficients the products are the tensors’ entries above. Conductivities and "
        f"diffusivities stay those of the bulk.{rename}</p>",
        f"<pre>{escape(text)}</pre>",
    )


def limits(study: Study) -> list[str]:
    """What the tensors do not say."""
    voxels = any(isinstance(e.get("shape"), list) for e in study.tensors.values())
    meshes = any(not isinstance(e.get("shape"), list) for e in study.tensors.values())
    worst = [number(w) for e in study.tensors.values() for w in e.get("hill_mandel", {}).values()]
    found = ["Bounds are given for scalar coefficients only."]
    if meshes:
        found.insert(
            0,
            "Tensors carry the discretisation error of the mesh given above; refine it before believing "
            "the last digit.",
        )
    if voxels:
        found.append(
            "An image is taken as it is: what is thinner than a voxel is not there, and a segmentation that moves the "
            "interface by half a voxel changes porosity and tensors by more than either discretisation’s error."
        )
        found.append(
            "One image is one sample. Whether it is large enough to stand for the material is what <code>rve</code> "
            "tells."
        )
    if any(w is not None and w > 1e-4 for w in worst):
        found.append(
            f"The largest Hill–Mandel residual, {power(max(w for w in worst if w is not None))}, is high."
        )
    return found
