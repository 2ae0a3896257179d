"""Kokam SLPB 75106100, graphite against Ni-Co oxide, 7.5 A h in 48 pairs of electrodes.

M. Ecker, T. K. D. Tran, P. Dechent, S. Käbitz, A. Warnecke, D. U. Sauer: Parameterization of a physico-chemical model
of a lithium-ion battery, I. Determination of parameters, and M. Ecker, S. Käbitz, I. Laresgoiti, D. U. Sauer: II. Model
validation. Journal of the Electrochemical Society 162 (2015) A1836, doi 10.1149/2.0551509jes, and A1849,
doi 10.1149/2.0541509jes. The measured curves (OCP, D_s, kappa) as formulas: G. Richardson, I. Korotkin, R. Ranom,
M. Castle, J. M. Foster, Electrochimica Acta 339 (2020) 135862. Heat conductivities, densities and specific heats of a
similar cell: Y. Zhao, Y. Patel, T. Zhang, G. J. Offer, Journal of the Electrochemical Society 165 (2018) A3169.

The electrolyte's D_e is Einstein's relation for its kappa at 296 K, D_e = R T kappa/(F^2 c_e).
"""

from __future__ import annotations

from math import sqrt

from dfx_homog.parameters.scaling import FARADAY, GAS_CONSTANT
from dfx_homog.parameters.sets.base import ParameterSet
from dfx_homog.parameters.sets.electrolyte import Electrolyte

AREA = 0.085 * 0.101  # of one pair of electrodes, m2
C_MAX_N, C_MAX_P = 31920.0, 48580.0  # mol/m3
T0 = 296.15
KAPPA = "0.2667*(x/1000)**3 - 1.2983*(x/1000)**2 + 1.7919*(x/1000) + 0.1726"  # S/m, at 296 K

ECKER2015 = ParameterSet(
    microstructure={
        "negative": {
            "geometry": "particle",
            "radius": 13.7e-6,
            "phi_e": 0.329,
            "a": 3 * 0.372403 / 13.7e-6,  # active fraction
            "B": 0.162,  # porosity over tortuosity
            "S": 14.0,
            "K": 1.58,
            "theta": 1555.0 * 1437.0,
        },
        "separator": {
            "geometry": "effective",
            "phi_e": 0.508,
            "B": 0.508**1.9804586773134945,  # as in PyBaMM's set of this name
            "K": 0.34,
            "theta": 1017.0 * 1978.0,
        },
        "positive": {
            "geometry": "particle",
            "radius": 6.5e-6,
            "phi_e": 0.296,
            "a": 3 * 0.40832 / 6.5e-6,  # active fraction
            "B": 0.1526,  # porosity over tortuosity
            "S": 68.1,
            "K": 1.04,
            "theta": 2895.0 * 1270.0,
        },
    },
    thickness=(74e-6, 20e-6, 54e-6),
    parameters={
        "isothermal": True,
        "negative": {
            "D_s": "8.4e-13*exp(-11.3*c) + 8.2e-15",
            "K": 1.11e-10 * sqrt(C_MAX_N),  # j0 = F 1.11e-10 sqrt(c_e c_s (c_max - c_s)) A/m2
            "c_max": C_MAX_N,
            "c_s0": 26120.05,
            "ocp": "0.716502*exp(-369.028*c) + 0.12193*exp(-35.6478*(c - 0.0530947)) "
            "- 0.0189193*tanh(21.1967*(c - 0.196176)) - 0.0169644*tanh(27.1365*(c - 0.312832)) "
            "- 0.0199313*tanh(28.5697*(c - 0.614221)) - 0.931153*exp(36.328*(c - 1.10743)) + 0.140031",
        },
        "positive": {
            "D_s": "3.7e-13 - 3.4e-13*exp(-12*(c - 0.62)**2)",
            "K": 3.01e-11 * sqrt(C_MAX_P),  # j0 = F 3.01e-11 sqrt(c_e c_s (c_max - c_s)) A/m2
            "c_max": C_MAX_P,
            "c_s0": 12630.8,
            "ocp": "-2.35211*c - 0.0747061*tanh(31.886*(c - 0.0219921)) + 6.34984*tanh(2.66395*(c - 0.174352)) "
            "- 0.640243*tanh(5.48623*(c - 0.439245)) - 3.82383*tanh(4.12167*(c - 0.176187)) "
            "- 0.0542123*tanh(18.2919*(c - 0.762272)) + 4.23285",
        },
        "activation": {
            "D_s_n": 30300.0,
            "D_s_p": 80600.0,
            "G_n": 53400.0,
            "G_p": 43600.0,
            "D_L": 17100.0,
            "D_A": 17100.0,
        },
    },
    electrolyte=Electrolyte(
        diffusivity=f"{GAS_CONSTANT * T0 / FARADAY**2!r}*({KAPPA})/x",
        t_plus=0.26,
        conductivity=KAPPA,
        c_e0=1000.0,
        T0=T0,
    ),
    v_min=2.5,
    v_max=4.2,
    capacity=7.5 / 48 / AREA,
    area=AREA,
)
