"""What the run file says of the meso domain: its dimensions, its size across, and checks of both."""

from __future__ import annotations

from dfx_homog.parameters.expression import Expression
from dfx_homog.runfile.lengths import cell_length
from dfx_homog.runfile.models import REGIONS, Run

PLACES = ("y1", "y2", "y3")
LATERAL_ELEMENTS = 10  # in each lateral direction where none are given


def varies_across(run: Run) -> str | None:
    """The first key for which one meso dimension is not enough, None if there is none."""
    for key in ("tab_negative", "tab_positive"):
        if getattr(run.cell, key) is not None:
            return f"cell.{key}"
    p = run.parameters
    for key in ("h", "h_negative", "h_positive", "h_lateral"):
        value = getattr(p, key, None)
        if value is None:
            continue
        formula = Expression.of_time_and_place(value)
        if any(formula.depends_on(y) for y in PLACES[1:]):
            return f"parameters.{key}"
        if key == "h_lateral" and (formula.op, formula.value) != ("const", 0.0):
            return "parameters.h_lateral"
    for number, step in enumerate(run.protocol.steps):
        if step.varies_in_place:
            return f"protocol.steps[{number}].current"
    return None


def microstructure_dimension(run: Run) -> int:
    """Dimensions of the unit cells, or of given tensors, or of the box across if nothing else tells; 1: unknown."""
    specs = [run.microstructure[name] for name in REGIONS]
    dims = [spec.dim for spec in specs if spec.dim is not None]
    for spec in specs:
        tensors = (getattr(spec, key, None) for key in ("S", "B", "K"))
        dims += [len(t) for t in tensors if isinstance(t, tuple)] if spec.is_given else []
    if dims:
        return min(dims)
    across = run.cell.lateral_size or run.cell.tab_positive or run.cell.tab_negative or ()
    return 1 + len(across)


def meso_dimension(run: Run) -> int:
    """Dimensions of the meso model as far as the run file tells; off-diagonal terms may ask for more.

    Raises BadInput where fewer are given than needed.
    """
    given, reason = run.homogenised.dim, varies_across(run)
    if run.homogenised.mesh is not None:
        return given or 3
    if reason and given == 1:
        raise run.problem(reason, "needs more than one meso dimension (allowed: homogenised.dim = 2 or 3)")
    if given is not None or reason is None:
        return given or 1
    dim = microstructure_dimension(run)
    if dim == 1:
        raise run.problem("homogenised.dim", f"required with {reason} (allowed: 2 or 3)")
    return dim


def lateral_size(run: Run, dim: int) -> tuple[float, ...]:
    """Lengths across, in cell thicknesses or in m: cell.lateral_size, or that of lateral_periods unit cells.

    Raises BadInput.
    """
    cell = run.cell
    if cell.lateral_size is not None:
        given, key = cell.lateral_size, "cell.lateral_size"
    elif cell.thickness is not None:
        raise run.problem(
            "cell.lateral_size", f"required in {dim} dimensions with thickness (allowed: numbers > 0)"
        )
    else:
        length = cell_length(run) if run.in_si else 1.0
        given, key = (
            tuple(length * n / sum(cell.periods) for n in cell.lateral_periods),
            "cell.lateral_periods",
        )
    if len(given) not in (1, dim - 1):
        raise run.problem(
            key, f"{len(given)} entries for {dim - 1} lateral directions (allowed: one, or one each)"
        )
    return given * (dim - 1) if len(given) == 1 else given


def check_meso(run: Run, dim: int) -> None:
    """Keys of the meso domain fit together. Raises BadInput."""
    h, cell = run.homogenised, run.cell
    if h.mesh is not None:
        for table, keys in (("cell", ("lateral_size", "tab_negative", "tab_positive")),):
            for key in keys:
                if getattr(cell, key) is not None:
                    raise run.problem(f"{table}.{key}", "homogenised.mesh has it (allowed: leave it out)")
        for key in ("lateral_elements", "order"):
            if getattr(h, key) is not None:
                raise run.problem(f"homogenised.{key}", "a mesh file has it (allowed: leave it out)")
        return
    if dim == 1:
        return
    size = lateral_size(run, dim)
    for key in ("tab_negative", "tab_positive"):
        box = getattr(cell, key)
        if box is None:
            continue
        if len(box) != dim - 1:
            raise run.problem(
                f"cell.{key}", f"{len(box)} intervals for {dim - 1} lateral directions (allowed: one each)"
            )
        for (low, high), length in zip(box, size, strict=True):
            if high > length * (1 + 1e-12):
                raise run.problem(
                    f"cell.{key}",
                    f"[{low:g}, {high:g}] reaches beyond the cell's {length:g} (allowed: within it)",
                )
        if cell.lateral == "periodic":
            raise run.problem("cell.lateral", f'cell.{key} needs a cell with sides (allowed: "insulated")')
    h_lateral = Expression.of_time_and_place(run.parameters.h_lateral)
    if cell.lateral == "periodic" and (h_lateral.op, h_lateral.value) != ("const", 0.0):
        raise run.problem(
            "cell.lateral", 'parameters.h_lateral needs a cell with sides (allowed: "insulated", for current)'
        )
    if h.lateral_elements is not None and len(h.lateral_elements) not in (1, dim - 1):
        raise run.problem(
            "homogenised.lateral_elements",
            f"{len(h.lateral_elements)} entries for {dim - 1} lateral directions (allowed: one, or one each)",
        )


def refuse_meso_keys(run: Run, command: str) -> None:
    """Raises BadInput for keys that only the homogenised model knows."""
    if run.homogenised.mesh is not None and command == "convergence":
        raise run.problem("homogenised.mesh", "convergence cannot compare on it (allowed: leave it out)")
    for key in ("lateral_size", "tab_negative", "tab_positive"):
        if getattr(run.cell, key) is not None:
            raise run.problem(f"cell.{key}", f"{command} does not know it (allowed: in homogenised only)")
    formula = Expression.of_time_and_place(run.parameters.h_lateral)
    if (formula.op, formula.value) != ("const", 0.0):
        raise run.problem(
            "parameters.h_lateral", f"{command} does not know it (allowed: in homogenised only)"
        )
