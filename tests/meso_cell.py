"""Cells whose electrodes are spheres of given effective tensors, for the meso model in two and three dimensions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from wavy import QUICKSTART

from dfx_homog.runfile import Run, load

#: Full tensors that differ between regions.
S = ([[4.0, 1.5], [1.5, 3.0]], [[2.0, -0.6], [-0.6, 1.5]])
B = [[0.4, 0.12], [0.12, 0.3]]
K = [[1.2, 0.4], [0.4, 0.8]]
#: A box with sides, 1 x 0.8, its tabs at opposite ends.
TABS = (
    'cell.lateral="insulated"',
    "cell.lateral_size=[0.8]",
    "homogenised.lateral_elements=[4]",
    "cell.tab_negative=[[0.0, 0.4]]",
    "cell.tab_positive=[[0.4, 0.8]]",
)


def toml(tensor: ArrayLike) -> str:
    """A number or a tensor in TOML."""
    return repr(np.asarray(tensor).tolist())


def meso_run(
    *overrides: str,
    S: tuple[ArrayLike, ArrayLike] = (4.0, 2.0),
    B: ArrayLike = 0.4,
    K: ArrayLike = 1.2,
    elements: int = 3,
    steps: int = 3,
    current: float = 0.4,
) -> Run:
    """The conditions of `wavy-2d` with given S of both electrodes, and B and K of all regions."""
    common = f"B={toml(B)}, K={toml(K)}"
    regions = {
        "negative": f"geometry='particle', phi_e=0.4, S={toml(S[0])}, theta=1.2, {common}",
        "separator": f"geometry='effective', phi_e=0.6, theta=1.0, {common}",
        "positive": f"geometry='particle', phi_e=0.5, S={toml(S[1])}, theta=1.1, {common}",
    }
    given = [f"microstructure.{name}={{{keys}}}" for name, keys in regions.items()]
    protocol = f"protocol.steps=[{{current={current!r}, duration={0.02 * steps!r}}}]"
    return load(QUICKSTART, [*given, protocol, f"homogenised.elements={elements}", *overrides])
