"""Colours, symbols and number formats, the same in every picture and table; pictures as data URIs.

Fields have the colours of Okabe & Ito (2008), levels run through `plasma` from coarse (light) to fine (dark), and the
homogenised model is black: told apart by any colour vision and in grey.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

FIELD_COLOUR = {
    "Phi_s": "#D55E00",
    "Phi_e": "#0072B2",
    "c_e": "#009E73",
    "T": "#E69F00",
    "c_s": "#CC79A7",
    "voltage": "#000000",
}
FIELD_MARKER = {"Phi_s": "s", "Phi_e": "o", "c_e": "^", "T": "D", "c_s": "v", "voltage": "X"}
FIELD_TEX = {
    "Phi_s": r"$\Phi_s$",
    "Phi_e": r"$\Phi_e$",
    "c_e": r"$c_e$",
    "T": r"$T$",
    "c_s": r"$c_s$",
    "voltage": r"$V$",
}
FIELD_HTML = {
    "Phi_s": "Φ<sub>s</sub>",
    "Phi_e": "Φ<sub>e</sub>",
    "c_e": "<i>c</i><sub>e</sub>",
    "T": "<i>T</i>",
    "c_s": "<i>c</i><sub>s</sub>",
    "voltage": "<i>V</i>",
}
FIELD_NAME = {
    "Phi_s": "potential of the solid",
    "Phi_e": "potential of the electrolyte",
    "c_e": "concentration in the electrolyte",
    "T": "temperature",
    "c_s": "concentration in the solid",
}
FIELD_MAP = {"Phi_s": "cividis", "Phi_e": "cividis", "c_e": "viridis", "T": "inferno", "c_s": "viridis"}
NORM_NAME = {
    "l2": "L²",
    "l2_corrected": "L², with corrector",
    "h1": "H¹",
    "h1_corrected": "H¹, with corrector",
    "h1_corrected_interior": "H¹, with corrector, interior",
}
SOLID_COLOUR, ELECTROLYTE_COLOUR, EDGE_COLOUR = "#5B6B84", "#C9E0F0", "#2F3B4C"
HOMOGENISED_COLOUR = "#000000"
EMPTY_COLOUR = "#EDEDED"

WIDTH = 9.4  # inches, a picture as wide as the text

RC: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#444444",
    "axes.formatter.use_mathtext": True,
    "axes.formatter.limits": (-3, 4),
    "axes.grid": True,
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9.5,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "mathtext.fontset": "dejavusans",
    "svg.fonttype": "path",
    "svg.hashsalt": "dfx_homog",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


@contextmanager
def style() -> Iterator[None]:
    """The look of all pictures."""
    import matplotlib

    with matplotlib.rc_context(RC):
        yield


def figure(width: float = WIDTH, height: float = 3.0) -> Any:
    """An empty matplotlib figure, without any global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def data_uri(fig: Any, kind: str = "svg", dpi: int = 170, colours: int = 0) -> str:
    """The figure as data URI; `kind` is svg (lines; what is marked as rasterised has `dpi`) or png.

    colours: number of colours to which a png of flat areas and lines is reduced, 0 for all
    """
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else None
    fig.savefig(buffer, format=kind, dpi=dpi, metadata=metadata)
    if colours:
        from PIL import Image

        image = Image.open(buffer).convert("RGB").quantize(colours, dither=Image.Dither.NONE)
        buffer = io.BytesIO()
        image.save(buffer, format="png", optimize=True)
    media = "svg+xml" if kind == "svg" else kind
    return f"data:image/{media};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def level_colours(count: int) -> list[Any]:
    """One colour per level, light (coarse) to dark (fine)."""
    import matplotlib

    table = matplotlib.colormaps["plasma"]
    return [table(0.78 - 0.66 * k / max(count - 1, 1)) for k in range(count)]


def tex_power(value: float, digits: int = 1) -> str:
    """Scientific notation for the text of a picture."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return rf"${mantissa}\times 10^{{{int(exponent)}}}$"


def fixed(value: float | None, digits: int = 5) -> str:
    """Fixed-point number with a true minus sign, an en dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def short(value: float | None, digits: int = 4) -> str:
    """`digits` significant digits, as an HTML power of ten where that is shorter."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if -4 < size < 6:
        text = f"{value:.{max(digits - 1 - size, 0)}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return text.replace("-", "−")
    return power(value, digits - 1)


def power(value: float | None, digits: int = 1) -> str:
    """Scientific notation in HTML: 1.2 × 10⁻⁵."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    sign = "−" if exponent.startswith("-") else ""
    mantissa = mantissa.replace("-", "−")
    return f"{mantissa}&thinsp;×&thinsp;10<sup>{sign}{exponent.lstrip('+-0') or '0'}</sup>"


def integer(value: float | None) -> str:
    """Whole number with thin spaces between thousands."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{round(value):,}".replace(",", "\u2009").replace("-", "−")


def duration(seconds: float | None) -> str:
    """Wall time: 4.2 s, 3 min 12 s, 2 h 5 min."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
