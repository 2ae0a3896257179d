"""Effective numbers as parameters of PyBaMM: porosity and Bruggeman coefficients, as Python to paste.

PyBaMM multiplies the bulk conductivity and diffusivity of the electrolyte by porosity**b_e and the conductivity of the
electrode by (1 - porosity)**b_s (its submodel `transport_efficiency.Bruggeman`), so that

    b_e = ln(B_ii)/ln(phi_e),    b_s = ln(S_ii/sigma_s)/ln(1 - phi_e)

make it use the tensors computed here exactly, in direction i.
"""

from __future__ import annotations

import math
import re

from dfx_homog.report.data import Json, Study, number

DOMAINS = {"negative": "Negative electrode", "separator": "Separator", "positive": "Positive electrode"}
OTHER = "Positive electrode"  # a microstructure of another name


def parameters(study: Study) -> str:
    """One dict for each microstructure and direction; empty if nothing percolates."""
    blocks = []
    for name, entry in study.tensors.items():
        sigma = number(study.run.get("microstructure", {}).get(name, {}).get("sigma_s"))
        for direction in range(int(entry.get("dim", 0))):
            found = coefficients(name, entry, direction, sigma)
            if found:
                variable = re.sub(r"\W", "_", name, flags=re.ASCII)
                variable = f"{variable if not variable[:1].isdigit() else '_' + variable}_{direction + 1}"
                lines = "".join(f'    "{key}": {value:.6g},\n' for key, value in found.items())
                blocks.append(f"{variable} = {{\n{lines}}}\n")
    return "".join(blocks)


def coefficients(name: str, entry: Json, direction: int, sigma: float | None) -> dict[str, float]:
    """Parameters by PyBaMM's names for transport along a direction; sigma: conductivity of the bulk solid."""
    porosity, along = number(entry.get("phi_e")), _diagonal(entry, "B", direction)
    if porosity is None or along is None or along <= 0:
        return {}
    domain = DOMAINS.get(name, OTHER)
    found = {f"{domain} porosity": porosity}
    exponent = f"{domain} Bruggeman coefficient (electrolyte)"
    found[exponent] = math.log(along) / math.log(porosity) if porosity < 1 else 1.0
    solid = _diagonal(entry, "S", direction)
    if solid and sigma and domain != "Separator" and 0 < porosity < 1:
        found[f"{domain} Bruggeman coefficient (electrode)"] = math.log(solid / sigma) / math.log(
            1 - porosity
        )
    return found


def _diagonal(entry: Json, tensor: str, direction: int) -> float | None:
    rows = entry.get(tensor)
    if not isinstance(rows, list) or direction >= len(rows):
        return None
    return number(rows[direction][direction])
