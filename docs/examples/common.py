"""A small problem that the examples share: the wavy electrodes of runs/quickstart.toml on coarse meshes."""

from __future__ import annotations

from pathlib import Path

import dfx_homog

QUICKSTART = Path(__file__).resolve().parents[2] / "runs" / "quickstart.toml"
COARSE = {
    f"microstructure.{region}.{key}": value
    for region in ("negative", "separator", "positive")
    for key, value in (("mesh_size", 0.2), ("order", 1))
}


def problem(**changes: object) -> dfx_homog.Run:
    """The run file with coarse meshes; changes: keys with __ for dots, protocol__steps=…"""
    return dfx_homog.load(QUICKSTART, {**COARSE, **{k.replace("__", "."): v for k, v in changes.items()}})
