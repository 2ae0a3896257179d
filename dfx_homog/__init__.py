"""dfx_homog: thermal-electrochemical models of porous electrodes, resolved and homogenised, on DOLFINx.

    import dfx_homog

    run = dfx_homog.load("runs/cells-2d.toml", {"microstructure.wavy.mesh_size": 0.05})
    result = dfx_homog.cell(run)
    result["wavy"].K

Every command is a function; docs/how-to-python.md shows each. Importing this package loads neither DOLFINx nor MPI.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfx_homog.api.commands import (
        Options,
        Source,
        cell,
        check,
        cite,
        convergence,
        homogenised,
        resolved,
        rve,
        stepper,
        write_report,
    )
    from dfx_homog.citations import Citation
    from dfx_homog.errors import BadInput, SolverFailure, StoppedEarly
    from dfx_homog.runfile import Run, load
    from dfx_homog.studies.image_cell import cell_of_image
    from dfx_homog.studies.results import (
        CellResult,
        ConvergenceResult,
        EffectiveCoefficients,
        Level,
        ModelResult,
        RveResult,
        Sample,
        SampleMean,
    )
    from dfx_homog.studies.stepping import Stepper

__all__ = [
    "BadInput",
    "CellResult",
    "Citation",
    "ConvergenceResult",
    "EffectiveCoefficients",
    "Level",
    "ModelResult",
    "Options",
    "Run",
    "RveResult",
    "Sample",
    "SampleMean",
    "SolverFailure",
    "Source",
    "Stepper",
    "StoppedEarly",
    "cell",
    "cell_of_image",
    "check",
    "cite",
    "convergence",
    "homogenised",
    "load",
    "resolved",
    "rve",
    "stepper",
    "write_report",
]

#: Where each name is; loaded when it is first asked for.
_PLACES = {
    "api.commands": (
        "Options",
        "Source",
        "cell",
        "check",
        "cite",
        "convergence",
        "homogenised",
        "resolved",
        "rve",
        "stepper",
        "write_report",
    ),
    "citations": ("Citation",),
    "errors": ("BadInput", "SolverFailure", "StoppedEarly"),
    "runfile": ("Run", "load"),
    "studies.image_cell": ("cell_of_image",),
    "studies.stepping": ("Stepper",),
    "studies.results": (
        "CellResult",
        "ConvergenceResult",
        "EffectiveCoefficients",
        "Level",
        "ModelResult",
        "RveResult",
        "Sample",
        "SampleMean",
    ),
}


def __getattr__(name: str) -> Any:
    for module, names in _PLACES.items():
        if name in names:
            value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
