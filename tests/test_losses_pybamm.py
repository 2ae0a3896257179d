"""Each loss of voltage of the DFN limit against PyBaMM's own, which are averages through the electrodes as ours are."""

from __future__ import annotations

from pathlib import Path

import pytest
from pybamm_venv import run_in_pybamm
from si import solve

from dfx_homog.models.history import Row
from dfx_homog.parameters.scaling import FARADAY, GAS_CONSTANT
from dfx_homog.runfile import load

FILE = Path(__file__).resolve().parents[1] / "runs" / "dfn-lgm50.toml"
TIMES = (600.0, 1800.0, 3000.0)
#: PyBaMM's name of a loss, which has the other sign, and words in the names of ours.
NAMES = {
    "Battery particle concentration overpotential [V]": ("particle", "uneven"),
    "X-averaged battery reaction overpotential [V]": ("reaction",),
    "X-averaged battery concentration overpotential [V]": ("electrolyte_diffusion",),
    "X-averaged battery electrolyte ohmic losses [V]": ("electrolyte_ohmic",),
    "X-averaged battery solid phase ohmic losses [V]": ("electronic",),
}
SCRIPT = """
import pybamm

D_L, D_A, F, R, T = (data[k] for k in ("D_L", "D_A", "F", "R", "T"))
p = pybamm.ParameterValues("Chen2020")


def exchange(K):
    return lambda c_e, c_s, c_max, T: F * K * (c_s * (1 - c_s / c_max) * c_e) ** 0.5


p.update({
    "Electrolyte diffusivity [m2.s-1]": 2 * D_L * D_A / (D_L + D_A),
    "Electrolyte conductivity [S.m-1]": lambda c_e, T: F**2 * (D_L + D_A) * c_e / (R * T),
    "Cation transference number": D_L / (D_L + D_A),
    "Thermodynamic factor": data["factor"],
    "Negative electrode exchange-current density [A.m-2]": exchange(data["K_n"]),
    "Positive electrode exchange-current density [A.m-2]": exchange(data["K_p"]),
})
p["Current function [A]"] = data["i"] * p["Electrode height [m]"] * p["Electrode width [m]"]
simulation = pybamm.Simulation(
    pybamm.lithium_ion.DFN(),
    parameter_values=p,
    var_pts={"x_n": 40, "x_s": 20, "x_p": 40, "r_n": 40, "r_p": 40},
    solver=pybamm.IDAKLUSolver(rtol=1e-7, atol=1e-8),
)
found = simulation.solve([0, data["times"][-1]])
names = ["Bulk open-circuit voltage [V]", *data["names"]]
result = {name: found[name](t=data["times"]).tolist() for name in names}
"""


@pytest.mark.slow
@pytest.mark.parametrize("overpotential", ["paper", "lithium-electrode"])
def test_the_losses_of_pybamm(overpotential: str) -> None:
    """Within the discretisation error of PyBaMM in space, of first order."""
    run = load(FILE, [f'parameters.overpotential="{overpotential}"'])
    rows = solve(run, "homogenised")[0].rows
    p = run.parameters
    data = {
        "D_L": p.D_L,
        "D_A": p.D_A,
        "K_n": p.negative.K,  # type: ignore[union-attr]
        "K_p": p.positive.K,  # type: ignore[union-attr]
        "factor": (1 - p.D_L / p.D_A) / 2 if overpotential == "paper" else 1.0,
        "i": run.protocol.steps[0].current,
        "F": FARADAY,
        "R": GAS_CONSTANT,
        "T": 298.15,
        "times": TIMES,
        "names": list(NAMES),
    }
    theirs = run_in_pybamm(SCRIPT, data)
    for k, t in enumerate(TIMES):
        row: Row = min(rows, key=lambda r: abs(r["time"] - t))
        assert row["open_circuit"] == pytest.approx(theirs["Bulk open-circuit voltage [V]"][k], abs=1e-5)
        for name, words in NAMES.items():
            ours = sum(v for c, v in row.items() if c.startswith("loss_") and any(w in c for w in words))
            assert ours == pytest.approx(-theirs[name][k], abs=2e-4), name
            assert abs(ours) > 5e-3
