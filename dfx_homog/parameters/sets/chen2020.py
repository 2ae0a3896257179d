"""LG M50 (INR21700), graphite with silicon against NMC 811, 5 A h.

C.-H. Chen, F. Brosa Planella, K. O'Regan, D. Gastol, W. D. Widanage, E. Kendrick: Development of experimental
techniques for parameterization of multi-scale lithium-ion battery models. Journal of the Electrochemical Society 167
(2020) 080534, doi 10.1149/1945-7111/ab9050. Electrolyte: A. Nyman, M. Behm, G. Lindbergh, Electrochimica Acta 53
(2008) 6356, as the paper uses it. The paper has no thermal data: heat conductivities, densities
and specific heats are those of Marquis et al. (2019).
"""

from __future__ import annotations

from math import sqrt

from dfx_homog.parameters.scaling import FARADAY
from dfx_homog.parameters.sets.base import ParameterSet
from dfx_homog.parameters.sets.electrolyte import Electrolyte

AREA = 0.065 * 1.58  # of the electrode, m2
C_MAX_N, C_MAX_P = 33133.0, 63104.0  # mol/m3

CHEN2020 = ParameterSet(
    microstructure={
        "negative": {
            "geometry": "particle",
            "radius": 5.86e-6,
            "phi_e": 0.25,
            "a": 3 * 0.75 / 5.86e-6,  # active fraction 0.75
            "B": 0.25**1.5,
            "S": 215.0,
            "K": 1.7,
            "theta": 1657.0 * 700.0,
        },
        "separator": {
            "geometry": "effective",
            "phi_e": 0.47,
            "B": 0.47**1.5,
            "K": 0.16,
            "theta": 397.0 * 700.0,
        },
        "positive": {
            "geometry": "particle",
            "radius": 5.22e-6,
            "phi_e": 0.335,
            "a": 3 * 0.665 / 5.22e-6,  # active fraction 0.665
            "B": 0.335**1.5,
            "S": 0.18,
            "K": 2.1,
            "theta": 3262.0 * 700.0,
        },
    },
    thickness=(85.2e-6, 12e-6, 75.6e-6),
    parameters={
        "isothermal": True,
        "negative": {
            "D_s": 3.3e-14,
            "K": 6.48e-7 * sqrt(C_MAX_N) / FARADAY,  # j0 = 6.48e-7 sqrt(c_e c_s (c_max - c_s)) A/m2
            "c_max": C_MAX_N,
            "c_s0": 29866.0,
            "ocp": "1.9793*exp(-39.3631*c) + 0.2482 - 0.0909*tanh(29.8538*(c - 0.1234)) "
            "- 0.04478*tanh(14.9159*(c - 0.2769)) - 0.0205*tanh(30.4444*(c - 0.6103))",
        },
        "positive": {
            "D_s": 4e-15,
            "K": 3.42e-6 * sqrt(C_MAX_P) / FARADAY,  # j0 = 3.42e-6 sqrt(c_e c_s (c_max - c_s)) A/m2
            "c_max": C_MAX_P,
            "c_s0": 17038.0,
            "ocp": "-0.8090*c + 4.4875 - 0.0428*tanh(18.5138*(c - 0.5542)) "
            "- 17.7326*tanh(15.7890*(c - 0.3117)) + 17.5842*tanh(15.9308*(c - 0.3120))",
        },
        "activation": {"G_n": 35000.0, "G_p": 17800.0},
    },
    electrolyte=Electrolyte(
        diffusivity="8.794e-11*(x/1000)**2 - 3.972e-10*(x/1000) + 4.862e-10",
        t_plus=0.2594,
        conductivity="0.1297*(x/1000)**3 - 2.51*(x/1000)**1.5 + 3.329*(x/1000)",
        c_e0=1000.0,
        T0=298.15,
    ),
    v_min=2.5,
    v_max=4.2,
    capacity=5.0 / AREA,
    area=AREA,
)
