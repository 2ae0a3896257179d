"""Named parameter sets, `set = "chen2020"` in a run file. Each module has the numbers of one paper in SI run-file keys.

Where a paper gives a conductivity of the whole porous electrode, S is that number. Heat conductivities K and heat
capacities theta are lumped; they count only with isothermal = false, which the sets leave to the user, with h.
"""

from dfx_homog.parameters.sets.base import ParameterSet
from dfx_homog.parameters.sets.chen2020 import CHEN2020
from dfx_homog.parameters.sets.ecker2015 import ECKER2015
from dfx_homog.parameters.sets.marquis2019 import MARQUIS2019

SETS: dict[str, ParameterSet] = {"chen2020": CHEN2020, "ecker2015": ECKER2015, "marquis2019": MARQUIS2019}

__all__ = ["SETS", "ParameterSet"]
