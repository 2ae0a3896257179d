"""The picture of a convergence study for a front page: `python -m dfx_homog.report.figure DIR PATH.png|svg`.

Voltage of all models, error of the fields and of V against delta, and error of their gradients with slope triangles.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from dfx_homog.errors import BadInput

INCHES, DPI = 10.0, 160  # 1600 pixels wide


def write_figure(directory: Path, path: Path) -> Path:
    """Draw the study in `directory` to `path` (.png or .svg). Raises BadInput if it has no errors to draw."""
    from dfx_homog.report.data import load
    from dfx_homog.report.style import style

    if path.suffix not in (".png", ".svg"):
        raise BadInput(f"{path}: must end in .png or .svg")
    study = load(directory)
    if not any(level.result.get("errors") for level in study.levels):
        raise BadInput(
            f"{directory}: no errors against delta (needed: result.json of a finished convergence study)"
        )
    with style():
        fig = _draw(study)
        fig.savefig(path, dpi=DPI, metadata={"Date": None} if path.suffix == ".svg" else None)
    return path


def _draw(study: Any) -> Any:
    from dfx_homog.report import plots_error, plots_time
    from dfx_homog.report.data import FIELDS
    from dfx_homog.report.style import figure

    fig = figure(INCHES, 4.0)
    left, middle, right = fig.subplots(1, 3)
    plots_time.voltage_panel(left, study)
    left.set_title("Voltage")
    plots_error.error_panel(middle, study, "l2")
    middle.set_title("Fields and voltage, leading order")
    plots_error.error_panel(right, study, "h1_corrected", ("Phi_s", "Phi_e", "c_e", "T"))
    right.set_title("Gradients, with corrector")
    handles = plots_error.field_handles(["voltage", *FIELDS])
    fig.legend(handles=handles, loc="outside lower right", ncols=len(handles))
    return fig


def main(words: list[str]) -> int:
    """Command line. Exit status 2 on bad input."""
    if len(words) != 2:
        print("usage: python -m dfx_homog.report.figure DIR PATH.png|svg", file=sys.stderr)
        return 2
    try:
        write_figure(Path(words[0]), Path(words[1]))
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
