"""What each command needs beyond a run file that is right in itself."""

from __future__ import annotations

from collections.abc import Iterator

from dfx_homog.errors import BadInput
from dfx_homog.parameters.expression import Expression
from dfx_homog.runfile.given import Effective, Particle
from dfx_homog.runfile.lengths import require_lengths
from dfx_homog.runfile.meso import check_meso, meso_dimension, refuse_meso_keys
from dfx_homog.runfile.microstructure import Microstructure
from dfx_homog.runfile.models import ELECTRODES, REGIONS, Run
from dfx_homog.runfile.place import check_cooling, check_diffusivity
from dfx_homog.runfile.plane import Electrolyte
from dfx_homog.runfile.protocol import PLACES
from dfx_homog.runfile.solid3d import RandomSpheres
from dfx_homog.runfile.voxels import GaussianField, Image

MODELS = ("resolved", "homogenised", "convergence")
COMMANDS = ("cell", "rve", *MODELS, "case")


def require(run: Run, command: str) -> None:
    """Raises BadInput unless `run` has all that `command` (one of COMMANDS) needs.

    `cell` needs microstructures only; a coefficient that is missing leaves its tensor undefined. `case` needs a table
    [case]; what its check needs it says itself.
    """
    if command == "case":
        _require_check(run)
        return
    if command == "convergence" and run.battery is not None and run.battery.levels is not None:
        require(run, "homogenised")
        if run.homogenised.wall_law:
            raise run.problem("homogenised.wall_law", "true is not for stacks of cells (allowed: false)")
        return
    if command != "homogenised":
        _require_geometries(run, command)
    if command == "rve":
        _require_samples(run)
    if command in MODELS:
        _require_tables(run, command)
        _require_regions(run, command)
        require_lengths(run, command)
        dims = [spec.dim for spec in run.microstructure.values() if spec.dim is not None]
        if command != "homogenised":
            refuse_meso_keys(run, command)
        dim = (dims[0] if dims else 3) if command == "resolved" else meso_dimension(run)
        check_meso(run, dim)
        check_cooling(run, command, dim)
        check_places(run, command, dim)
        if dims:
            check_diffusivity(run, dims[0])
    if command == "homogenised" and run.battery is not None:
        _require_battery(run)
    if command in ("homogenised", "convergence"):
        _require_scalar_diffusivity(run)
        if run.homogenised.wall_law:
            _require_walls(run)


def _require_check(run: Run) -> None:
    """A case whose check is in Python."""
    if run.case is None:
        raise run.problem("[case]", "required by case (allowed: a table [case])")
    if run.case.is_study:
        raise run.problem(
            "case.command",
            f'"{run.case.command}" is no check in Python (allowed: the command {run.case.command} itself, or verify)',
        )


def _require_battery(run: Run) -> None:
    """Cells of a battery are lines at a temperature that the battery gives them."""
    if run.parameters.isothermal:
        raise run.problem("parameters.isothermal", "true leaves [battery] nothing to do (allowed: false)")
    if meso_dimension(run) != 1:
        raise run.problem("homogenised.dim", "the cells of [battery] have one meso dimension (allowed: 1)")


def _require_walls(run: Run) -> None:
    """Wall laws come from strips of unit cells, and are jumps along a line."""
    if (dim := meso_dimension(run)) > 1:
        raise run.problem(
            "homogenised.wall_law",
            f"true with {dim} meso dimensions (allowed: false, or homogenised.dim = 1)",
        )
    if run.cell.thickness is not None:
        raise run.problem(
            "homogenised.wall_law",
            "needs delta, which cell.thickness does not give (allowed: false, or cell.periods in place of thickness)",
        )
    for name in REGIONS:
        if run.microstructure[name].is_given:
            raise run.problem(
                "homogenised.wall_law",
                f"{name} has no unit cell that a strip could be made of (allowed: false, or a geometry that is "
                "meshed)",
            )


def suited_to(run: Run) -> dict[str, str]:
    """For each command "" if the run file has all it needs, else the reason why not."""

    def reason(command: str) -> str:
        try:
            require(run, command)
        except BadInput as error:
            return str(error)
        return ""

    return {command: reason(command) for command in COMMANDS}


def _require_geometries(run: Run, command: str) -> None:
    """Only the homogenised model can do with effective numbers alone; `cell` passes over them."""
    specs = run.microstructure.values()
    for name, spec in run.microstructure.items():
        if spec.is_given and (command != "cell" or all(other.is_given for other in specs)):
            raise run.problem(
                f"microstructure.{name}.geometry",
                f'"{spec.geometry}" has no unit cell, which {command} needs (allowed: every other geometry)',
            )


def _require_samples(run: Run) -> None:
    """[rve] fits every microstructure: the coefficient of its quantity, and sizes that its samples can have."""
    if run.rve is None:
        raise run.problem("[rve]", "required by rve (allowed: a table [rve])")
    for name, spec in run.microstructure.items():
        for key in {"S": ("sigma_s",), "B": (), "K": ("k_s", "k_e")}[run.rve.quantity]:
            if isinstance(spec, Electrolyte) and key != "k_e":
                if run.rve.quantity == "K":
                    continue
                raise run.problem("rve.quantity", f'"S" does not exist in {name}, which has no solid')
            if getattr(spec, key) is None:
                raise run.problem(
                    f"microstructure.{name}.{key}",
                    f"required by rve of {run.rve.quantity} (allowed: a number > 0)",
                )
        for size in run.rve.sizes:
            if isinstance(spec, Image) and size > 1.0:
                raise run.problem(
                    "rve.sizes",
                    f"{size:g} is more than {name}, an image, has (allowed: fractions of its edge, <= 1)",
                )
            if not isinstance(spec, Image | GaussianField | RandomSpheres) and size != int(size):
                raise run.problem(
                    "rve.sizes", f"{size:g} unit cells of {name} do not exist (allowed: whole numbers)"
                )


def _require_meshes(run: Run, command: str) -> None:
    """The models know unit cells of one dimension, each phase of one material. Files tell theirs later."""
    for name, spec in run.microstructure.items():
        for key in ("sigma_s", "k_s"):
            if isinstance(getattr(spec, key), dict):
                raise run.problem(
                    f"microstructure.{name}.{key}",
                    f"one for each label is not in this version of {command} (allowed: a number > 0)",
                )
    dims = {name: spec.dim for name, spec in run.microstructure.items() if spec.dim is not None}
    for name, dim in dims.items():
        first, other = next(iter(dims.items()))
        if dim != other:
            raise run.problem(
                f"microstructure.{name}.geometry",
                f"has {dim} dimensions, that of {first} {other}: the regions make one mesh in {command}",
            )
    if not dims:
        return
    sides, given = next(iter(dims.values())) - 1, len(run.cell.lateral_periods)
    if given not in (1, sides):
        allowed = "one positive whole number" if sides == 1 else "one or two positive whole numbers"
        raise run.problem(
            "cell.lateral_periods",
            f"{given} entries for {sides} lateral directions (allowed: a list of {allowed})",
        )


def _require_tables(run: Run, command: str) -> None:
    tables = ["cell", "parameters", "protocol", "time"] + ["convergence"] * (command == "convergence")
    for table in tables:
        if getattr(run, table) is None:
            raise run.problem(f"[{table}]", f"required by {command} (allowed: a table [{table}])")


def _require_regions(run: Run, command: str) -> None:
    for name in REGIONS:
        if name not in run.microstructure:
            raise run.problem(
                f"microstructure.{name}", f"required by {command} (allowed: a table [microstructure.{name}])"
            )
    _require_meshes(run, command)
    cells = run.microstructure
    for name in cells:
        if name not in REGIONS:
            raise run.problem(
                f"microstructure.{name}", f"not used by {command} (allowed: {', '.join(REGIONS)})"
            )
    for name in ELECTRODES:
        if isinstance(cells[name], Electrolyte | Effective):
            raise run.problem(
                f"microstructure.{name}.geometry",
                f'an electrode needs solid, {command} cannot use "{cells[name].geometry}" here',
            )
    if isinstance(cells["separator"], Particle):
        raise run.problem(
            "microstructure.separator.geometry",
            'a separator has no reaction (allowed: every other geometry, for given numbers "effective")',
        )
    for name in REGIONS:
        for key in _coefficients(name, cells[name]):
            if getattr(cells[name], key) is None:
                raise run.problem(
                    f"microstructure.{name}.{key}", f"required by {command} (allowed: a number > 0)"
                )
    orders = {getattr(cells[name], "order", 0) for name in REGIONS if not cells[name].is_given}
    if len(orders) > 1:
        raise run.problem(
            "microstructure.separator.order", "the three regions make one mesh and need the same order"
        )
    for name in ELECTRODES:
        if cells[name].solid_inside:
            raise run.problem(
                f"microstructure.{name}.geometry",
                "the solid touches no face of the unit cell, no current can flow through it",
            )


def _coefficients(name: str, spec: Microstructure) -> Iterator[str]:
    """Material keys that the models need in a region; solid in the separator carries heat only."""
    if spec.is_given:
        return
    yield from ("k_e", "rho_cp_e")
    if not isinstance(spec, Electrolyte):
        yield from ("k_s", "rho_cp_s")
        if name in ELECTRODES:
            yield "sigma_s"


def check_places(run: Run, command: str, dim: int) -> None:
    """Currents may vary over the collector, in the coordinates that the model has. Raises BadInput."""
    for number, step in enumerate(run.protocol.steps):
        for unknown in PLACES[dim:]:
            if isinstance(step.applied, Expression) and step.applied.depends_on(unknown):
                known = ", ".join(PLACES[:dim])
                raise run.problem(
                    f"protocol.steps[{number}].current",
                    f"{command} does not know {unknown} here (allowed: t, {known})",
                )


def _require_scalar_diffusivity(run: Run) -> None:
    """A sphere with radial symmetry has a number or a formula."""
    for name in ELECTRODES:
        given = getattr(run.parameters, name).D_s
        if isinstance(given, tuple) and isinstance(run.microstructure[name], Particle):
            raise run.problem(
                f"parameters.{name}.D_s",
                'a "particle" is radially symmetric, its diffusivity no tensor (allowed: a number > 0, or a formula)',
            )
