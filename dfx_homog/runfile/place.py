"""Checks that need the number of dimensions: heat exchange as a formula in time and place, tensor-valued D_s."""

from __future__ import annotations

import numpy as np

from dfx_homog.parameters.expression import Expression
from dfx_homog.runfile.lengths import cell_length
from dfx_homog.runfile.meso import lateral_size
from dfx_homog.runfile.models import ELECTRODES, Run

TIMES, PLACES = 101, 21  # of the grid on which h >= 0 is checked: over the protocol, and along each side


def check_cooling(run: Run, command: str, dim: int) -> None:
    """Raises BadInput unless h is finite and >= 0 over all faces at all times, in the coordinates of `dim`.

    On a meso mesh from a file it is looked at where the nodes are, once they are known.
    """
    p = run.parameters
    mesh = command == "homogenised" and run.homogenised.mesh is not None
    widths = () if mesh else _widths(run, command, dim)
    for y1, own in ((0.0, "h_negative"), (1.0, "h_positive"), (None, "h_lateral")):
        value = getattr(p, own)
        key = f"parameters.{'h' if value is None else own}"
        h = Expression.of_time_and_place(p.h if value is None else value)
        for unknown in (f"y{i}" for i in range(dim + 1, 4)):
            if h.depends_on(unknown):
                known = ", ".join(f"y{i}" for i in range(1, dim + 1))
                raise run.problem(key, f"{command} does not know {unknown} here (allowed: t, {known})")
        if mesh:
            continue
        times = np.linspace(0.0, sum(step.longest or 0.0 for step in run.protocol.steps), TIMES)
        through = np.linspace(0.0, 1.0, PLACES) if y1 is None else np.array([y1])
        t, *y = np.meshgrid(times, through, *(np.linspace(0.0, width, PLACES) for width in widths))
        with np.errstate(all="ignore"):
            values = h.numpy(t=t, **{f"y{i + 1}": v for i, v in enumerate(y)})
        if not (np.isfinite(values) & (values >= 0.0)).all():
            at = np.unravel_index(np.argmin(np.where(np.isfinite(values), values, -np.inf)), values.shape)
            raise run.problem(
                key, f"is {values[at]:g} at t = {t[at]:g}, y1 = {y[0][at]:g} (allowed: finite values >= 0)"
            )


def _widths(run: Run, command: str, dim: int) -> tuple[float, ...]:
    """Lengths across of the domain of a command."""
    if command == "homogenised" and dim > 1:
        length = cell_length(run) if run.in_si else 1.0
        return tuple(size / length for size in lateral_size(run, dim))
    given = run.cell.lateral_periods
    across = (given * dim)[: dim - 1] if len(given) == 1 else given[: dim - 1]
    return tuple(n / sum(run.cell.widths) for n in across)


def check_diffusivity(run: Run, dim: int) -> None:
    """Raises BadInput unless tensor-valued D_s are dim x dim."""
    for name in ELECTRODES:
        D_s = getattr(run.parameters, name).D_s
        if isinstance(D_s, tuple) and len(D_s) != dim:
            raise run.problem(
                f"parameters.{name}.D_s",
                f"is not a {dim} x {dim} tensor, but the unit cells have {dim} dimensions",
            )
