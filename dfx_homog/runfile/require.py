"""What each command needs beyond a run file that is right in itself."""

from __future__ import annotations

from collections.abc import Iterator

from dfx_homog.errors import BadInput
from dfx_homog.parameters.expression import Expression
from dfx_homog.runfile.geometry import Electrolyte, Geometry, WithSolid
from dfx_homog.runfile.models import ELECTRODES, REGIONS, Run

MODELS = ("resolved", "homogenised", "convergence")
COMMANDS = ("cell", *MODELS)
#: Commands of the interface that this version does not offer.
LATER_COMMANDS = ("rve", "scaling", "citations")


def require(run: Run, command: str) -> None:
    """Raises BadInput unless `run` has all that `command` (cell, resolved, homogenised, convergence) needs.

    `cell` needs microstructures only; a coefficient that is missing leaves its tensor undefined.
    """
    if command in MODELS:
        _require_tables(run, command)
        _require_regions(run, command)
    if command in ("homogenised", "convergence"):
        _require_constant_diffusivity(run, command)


def suited_to(run: Run) -> dict[str, str]:
    """For each command "" if the run file has all it needs, else the reason why not."""

    def reason(command: str) -> str:
        try:
            require(run, command)
        except BadInput as error:
            return str(error)
        return ""

    return {command: reason(command) for command in COMMANDS}


def _require_tables(run: Run, command: str) -> None:
    tables = ["cell", "parameters", "protocol", "time"] + ["convergence"] * (command == "convergence")
    for table in tables:
        if getattr(run, table) is None:
            raise run.problem(f"[{table}]", f"required by {command} (allowed: a table [{table}])")


def _require_regions(run: Run, command: str) -> None:
    cells = run.microstructure
    for name in REGIONS:
        if name not in cells:
            raise run.problem(
                f"microstructure.{name}", f"required by {command} (allowed: a table [microstructure.{name}])"
            )
    for name in cells:
        if name not in REGIONS:
            raise run.problem(
                f"microstructure.{name}", f"not used by {command} (allowed: {', '.join(REGIONS)})"
            )
    for name in ELECTRODES:
        if isinstance(cells[name], Electrolyte):
            raise run.problem(
                f"microstructure.{name}.geometry",
                f'an electrode needs solid, {command} cannot use "electrolyte" here',
            )
    for name in REGIONS:
        for key in _coefficients(name, cells[name]):
            if getattr(cells[name], key) is None:
                raise run.problem(
                    f"microstructure.{name}.{key}", f"required by {command} (allowed: a number > 0)"
                )
    orders = {cells[name].order for name in REGIONS}
    if len(orders) > 1:
        raise run.problem(
            "microstructure.separator.order", "the three regions make one mesh and need the same order"
        )
    for name in ELECTRODES:
        spec = cells[name]
        if isinstance(spec, WithSolid) and spec.solid_inside:
            raise run.problem(
                f"microstructure.{name}.geometry",
                "the solid touches no face of the unit cell, no current can flow through it",
            )


def _coefficients(name: str, spec: Geometry) -> Iterator[str]:
    """Material keys that the models need in a region; solid in the separator carries heat only."""
    yield from ("k_e", "rho_cp_e")
    if isinstance(spec, WithSolid):
        yield from ("k_s", "rho_cp_s")
        if name in ELECTRODES:
            yield "sigma_s"


def _require_constant_diffusivity(run: Run, command: str) -> None:
    """The homogenised model's particle problems share one factorisation, so D_s must be the same at all points."""
    for name in ELECTRODES:
        D_s = Expression.parse(getattr(run.parameters, name).D_s)
        if D_s.depends_on("c") or D_s.depends_on("T"):
            raise run.problem(
                f"parameters.{name}.D_s",
                f"{command} cannot use a formula in c or T yet (allowed: a number > 0)",
            )
        key = f"D_s_{name[0]}"
        if getattr(run.parameters.activation, key) != 0.0:
            raise run.problem(
                f"parameters.activation.{key}", f"{command} cannot use it yet (allowed: 0, or leave it out)"
            )
