"""One picture of a study, for a front page: `python -m dfx_homog.report.figure DIR PATH.png|svg [PICTURE]`.

PICTURE, by default the first that suits the study:
convergence   voltage of all models, error of the fields and of V against delta, and error of their gradients
slices        mid-planes of the first voxel image of `cell` or `rve`
segmentation  from grey values to phases, of the first image that was segmented
scaling       speed-up and efficiency against the ranks
phases        wall time by phase of every point of `scaling`
rve           first diagonal entry against the size of the samples, and the error of one sample
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dfx_homog.errors import BadInput

INCHES, DPI = 10.0, 160  # 1600 pixels wide
COLOURS = 200  # of a png


def write_figure(directory: Path, path: Path, picture: str = "") -> Path:
    """Draw the study in `directory` to `path` (.png or .svg).

    Raises BadInput if there is no such picture, or nothing for it to show.
    """
    from dfx_homog.report.data import load
    from dfx_homog.report.style import style

    if path.suffix not in (".png", ".svg"):
        raise BadInput(f"{path}: must end in .png or .svg")
    if picture and picture not in PICTURES:
        raise BadInput(f"{picture}: no such picture (allowed: {', '.join(PICTURES)})")
    study = load(directory)
    with style():
        for name, draw in PICTURES.items():
            fig = draw(study) if picture in ("", name) else None
            if fig is not None:
                save(fig, path)
                return path
    raise BadInput(
        f"{directory}: nothing to draw (needed for {picture or 'any picture'}: a finished study that suits)"
    )


def save(fig: Any, path: Path) -> None:
    """Write a figure to a .png or .svg. A png has few colours, so that it stays small."""
    if path.suffix == ".svg":
        fig.savefig(path, metadata={"Date": None})
        return
    from PIL import Image

    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=DPI * INCHES / fig.get_figwidth())
    # the method that keeps rare colours, such as those of thin lines
    image = Image.open(buffer).convert("RGB")
    image = image.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    image.save(path, optimize=True)


def _convergence(study: Any) -> Any:
    from dfx_homog.report import plots_error, plots_time
    from dfx_homog.report.data import FIELDS
    from dfx_homog.report.style import figure

    if not any(level.result.get("errors") for level in study.levels):
        return None
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


def _rve(study: Any) -> Any:
    from dfx_homog.report import plots_rve, rve
    from dfx_homog.report.style import figure

    names = [name for name in rve.microstructures(study) if plots_rve.scattered(study, name)]
    if not names:
        return None
    fig = figure(INCHES, 3.9)
    left, right = fig.subplots(1, 2)
    plots_rve.size_panel(left, rve.series(study, names[0]), 0, rve.quantity(study))
    left.legend()
    plots_rve.error_panel(right, study, names[0])
    return fig


def _segmentation(study: Any) -> Any:
    from dfx_homog.report import plots_slices

    names = plots_slices.names(study, "segmentation", "step")
    return plots_slices.segmentation_figure(study, names[0]) if names else None


def _slices(study: Any) -> Any:
    from dfx_homog.report import plots_slices

    names = plots_slices.names(study, "slice", "shape")
    return plots_slices.slices_figure(study, names[0]) if names else None


def _scaling(study: Any) -> Any:
    from dfx_homog.report import plots_scaling

    return plots_scaling.speed_figure(study) if study.kind == "scaling" else None


def _phases(study: Any) -> Any:
    from dfx_homog.report import plots_scaling

    return plots_scaling.phases_figure(study) if study.kind == "scaling" else None


PICTURES: dict[str, Callable[[Any], Any]] = {
    "convergence": _convergence,
    "rve": _rve,
    "slices": _slices,
    "segmentation": _segmentation,
    "scaling": _scaling,
    "phases": _phases,
}


def main(words: list[str]) -> int:
    """Command line. Exit status 2 on bad input."""
    if len(words) not in (2, 3):
        print("usage: python -m dfx_homog.report.figure DIR PATH.png|svg [PICTURE]", file=sys.stderr)
        return 2
    try:
        write_figure(Path(words[0]), Path(words[1]), *words[2:])
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
