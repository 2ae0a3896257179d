"""Kokam SLPB 78205130H, graphite against LiCoO2, as in a study of single particle models.

S. G. Marquis, V. Sulzer, R. Timms, C. P. Please, S. J. Chapman: An asymptotic derivation of a single particle model
with electrolyte. Journal of the Electrochemical Society 166 (2019) A3693, doi 10.1149/2.0341915jes. Most numbers are
there from S. Moura's code fastDFN and J. Newman's dualfoil, D_e and kappa from C. Capiglia et al., Journal of Power
Sources 81-82 (1999) 859. The entropy changes of fastDFN are left out (dUdT = 0): the paper's model is isothermal.
"""

from __future__ import annotations

from math import sqrt

from dfx_homog.parameters.scaling import FARADAY
from dfx_homog.parameters.sets.base import ParameterSet
from dfx_homog.parameters.sets.electrolyte import Electrolyte

AREA = 0.207 * 0.137  # of the electrode, m2
C_MAX_N, C_MAX_P = 24983.2619938437, 51217.9257309275  # mol/m3

MARQUIS2019 = ParameterSet(
    microstructure={
        "negative": {
            "geometry": "particle",
            "radius": 10e-6,
            "phi_e": 0.3,
            "a": 3 * 0.6 / 10e-6,  # active fraction 0.6
            "B": 0.3**1.5,
            "S": 100.0,
            "K": 1.7,
            "theta": 1657.0 * 700.0,
        },
        "separator": {"geometry": "effective", "phi_e": 1.0, "B": 1.0, "K": 0.16, "theta": 397.0 * 700.0},
        "positive": {
            "geometry": "particle",
            "radius": 10e-6,
            "phi_e": 0.3,
            "a": 3 * 0.5 / 10e-6,  # active fraction 0.5
            "B": 0.3**1.5,
            "S": 10.0,
            "K": 2.1,
            "theta": 3262.0 * 700.0,
        },
    },
    thickness=(100e-6, 25e-6, 100e-6),
    parameters={
        "isothermal": True,
        "negative": {
            "D_s": 3.9e-14,
            "K": 2e-5 * sqrt(C_MAX_N) / FARADAY,  # j0 = 2e-5 sqrt(c_e c_s (c_max - c_s)) A/m2
            "c_max": C_MAX_N,
            "c_s0": 0.8 * C_MAX_N,
            "ocp": "0.194 + 1.5*exp(-120*c) + 0.0351*tanh((c - 0.286)/0.083) - 0.0045*tanh((c - 0.849)/0.119) "
            "- 0.035*tanh((c - 0.9233)/0.05) - 0.0147*tanh((c - 0.5)/0.034) - 0.102*tanh((c - 0.194)/0.142) "
            "- 0.022*tanh((c - 0.9)/0.0164) - 0.011*tanh((c - 0.124)/0.0226) + 0.0155*tanh((c - 0.105)/0.029)",
        },
        "positive": {
            "D_s": 1e-13,
            "K": 6e-7 * sqrt(C_MAX_P) / FARADAY,  # j0 = 6e-7 sqrt(c_e c_s (c_max - c_s)) A/m2
            "c_max": C_MAX_P,
            "c_s0": 0.6 * C_MAX_P,
            # the curve is stretched: its argument is 1.062 c
            "ocp": "2.16216 + 0.07645*tanh(30.834 - 54.4806*1.062*c) + 2.1581*tanh(52.294 - 50.294*1.062*c) "
            "- 0.14169*tanh(11.0923 - 19.8543*1.062*c) + 0.2051*tanh(1.4684 - 5.4888*1.062*c) "
            "+ 0.2531*tanh((0.56478 - 1.062*c)/0.1316) - 0.02167*tanh((1.062*c - 0.525)/0.006)",
        },
        "activation": {
            "D_s_n": 42770.0,
            "D_s_p": 18550.0,
            "G_n": 37480.0,
            "G_p": 39570.0,
            "D_L": 37040.0,
            "D_A": 37040.0,
        },
    },
    electrolyte=Electrolyte(
        diffusivity="5.34e-10*exp(-0.65*x/1000)",
        t_plus=0.4,
        conductivity="0.0911 + 1.9101*(x/1000) - 1.052*(x/1000)**2 + 0.1554*(x/1000)**3",
        c_e0=1000.0,
        T0=298.15,
    ),
    v_min=3.105,
    v_max=4.1,
    capacity=0.680616 / AREA,
    area=AREA,
)
