"""docs/gallery.md: a picture out of the report of each run file.

./dfx exec python docs/tools/gallery.py             run every run file that has no results in runs/out/gallery yet
./dfx exec python docs/tools/gallery.py NAME …      only these, anew
./dfx exec python docs/tools/gallery.py --page      print the page; nothing is run

A run file's first line says what it shows; that line is the text of its entry.
"""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
RUNS, RESULTS, PICTURES = (
    TOP / "runs",
    TOP / "runs" / "out" / "gallery",
    TOP / "docs" / "pictures" / "gallery",
)
WIDTH, COLOURS = 1000, 96  # of a png


@dataclass(frozen=True)
class Entry:
    """A run file, how it is run, which picture of its report is taken, and where a page tells more.

    picture: the beginning of the picture's words for those who do not see it (alt); guide: page and anchor in docs/
    """

    name: str
    command: str
    picture: str
    guide: str
    ranks: int = 1

    @property
    def call(self) -> str:
        """The call as a user types it."""
        ranks = f"-n {self.ranks} " if self.ranks > 1 else ""
        return f"./dfx {ranks}{self.command} runs/{self.name}.toml --out runs/out/gallery/{self.name}"

    @property
    def about(self) -> str:
        """What the run file shows, its first line."""
        return (RUNS / f"{self.name}.toml").read_text().splitlines()[0].lstrip("# ")

    @property
    def file(self) -> Path:
        """The picture in the documentation."""
        found = sorted(PICTURES.glob(f"{self.name}.*"))
        if not found:
            raise FileNotFoundError(
                f"no picture of {self.name}: ./dfx exec python docs/tools/gallery.py {self.name}"
            )
        return found[0]


IN_SPACE = "how-to.md#compute-a-unit-cell-in-three-dimensions"
SETS = "how-to.md#use-parameters-of-a-published-cell-or-of-a-bpx-file"
DELTA = "how-to.md#do-a-delta-convergence-study"
#: Headings of the page with their entries.
GALLERY: dict[str, tuple[Entry, ...]] = {
    "The homogenised model against the resolved one": (
        Entry("quickstart", "convergence", "error against delta on logarithmic axes", DELTA),
        Entry(
            "wall-law",
            "convergence",
            "errors with and without wall laws",
            "how-to.md#make-the-homogenised-model-second-order-accurate",
        ),
        Entry(
            "image-2d", "convergence", "coarsest resolved mesh", "how-to-image.md#7-the-image-as-an-electrode"
        ),
        Entry("delta-3d", "resolved", "reaction current density on the particle surfaces", DELTA, 2),
        Entry("wavy-2d", "homogenised", "fields along the cell", "how-to.md#look-at-fields"),
        Entry(
            "stack",
            "convergence",
            "temperature through the stacks and errors against eps",
            "how-to.md#run-a-battery-of-many-cells",
        ),
    ),
    "Cells and batteries": (
        Entry("dfn-lgm50", "homogenised", "voltage over time", "how-to.md#run-a-cell-in-si-units"),
        Entry(
            "dfn-lgm50-heat",
            "homogenised",
            "temperature, concentration and state of charge over time",
            "how-to.md#run-a-cell-in-si-units",
        ),
        Entry(
            "chen2020",
            "homogenised",
            "losses of voltage by mechanism over time",
            "how-to.md#see-where-the-volts-go",
        ),
        Entry(
            "ecker2015",
            "homogenised",
            "reaction current density, overpotential and heterogeneity index over time",
            SETS,
        ),
        Entry("marquis2019", "homogenised", "voltage over time", SETS),
        Entry("flakes", "homogenised", "heat by mechanism over time", "how-to-design.md#4-what-limits"),
        Entry(
            "tab-2d",
            "homogenised",
            "homogenised fields",
            "how-to.md#solve-two-or-three-meso-dimensions-with-tabs",
        ),
        Entry(
            "battery",
            "homogenised",
            "temperature in planes through the hot spot",
            "how-to.md#run-a-battery-of-many-cells",
        ),
    ),
    "Microstructures": (
        Entry(
            "cells-2d",
            "cell",
            "effective tensors and bounds",
            "how-to.md#compute-effective-tensors-of-a-microstructure",
        ),
        Entry(
            "lgm50-wavy",
            "cell",
            "unit cells with phases and mesh",
            "how-to.md#take-a-computed-microstructure-to-pybamm-or-bpx",
        ),
        Entry("spheres-3d", "cell", "mid-planes", IN_SPACE),
        Entry("schwarz-p", "cell", "mid-planes", IN_SPACE),
        Entry("flakes-cell", "cell", "mid-planes", "how-to-design.md#1-two-microstructures"),
        Entry("random-spheres", "cell", "mid-planes", IN_SPACE),
        Entry(
            "rve-gaussian", "rve", "apparent tensors", "how-to.md#find-the-size-of-a-representative-volume"
        ),
        Entry("rve-spheres", "rve", "phases of", "how-to.md#find-the-size-of-a-representative-volume"),
    ),
}
INTRODUCTION = """\
<!-- made by ./dfx exec python docs/tools/gallery.py -->

# Gallery

One picture out of the report of every run file in `runs/`: what the code can do, and where to begin. The sentence
is the run file's own, with the time that it takes. `./dfx exec python docs/tools/gallery.py` runs them all and makes
this page again, with a name after it only that one.
"""


def pictures_of(report: str) -> dict[str, tuple[str, bytes]]:
    """Text, suffix and content of every picture in a report."""
    found = {}
    for alt, kind, data in re.findall(
        r'<img alt="([^"]*)" src="data:image/([a-z+]+);base64,([^"]+)"', report
    ):
        found.setdefault(alt, ({"svg+xml": ".svg", "png": ".png"}[kind], base64.b64decode(data)))
    return found


def take(entry: Entry) -> Path:
    """The entry's picture from its report into the documentation. LookupError if the report has none like it."""
    found = pictures_of((RESULTS / entry.name / "report.html").read_text())
    names = [name for name in found if name.startswith(entry.picture)]
    if not names:
        raise LookupError(
            f"{entry.name}: no picture '{entry.picture}…' in the report, only {', '.join(found)}"
        )
    suffix, content = found[names[0]]
    PICTURES.mkdir(parents=True, exist_ok=True)
    for old in PICTURES.glob(f"{entry.name}.*"):
        old.unlink()
    path = PICTURES / (entry.name + suffix)
    path.write_bytes(_small(content) if suffix == ".png" else _rounded(content))
    return path


def _rounded(content: bytes) -> bytes:
    """An svg whose curves are known to a tenth of a point, which makes it half as large."""
    text = content.decode()
    return re.sub(r' d="[^"]*"', lambda curve: re.sub(r"(\.\d)\d+", r"\1", curve[0]), text).encode()


def _small(content: bytes) -> bytes:
    from PIL import Image

    image = Image.open(io.BytesIO(content)).convert("RGB")
    if image.width > WIDTH:
        image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    image = image.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for heading, entries in GALLERY.items():
        parts.append(f"## {heading}\n")
        parts += [_entry(entry) for entry in entries]
    return "\n".join(parts)


def _entry(entry: Entry) -> str:
    picture = entry.file
    return (
        f"### {entry.name}\n\n{entry.about}\n\n"
        f"![{entry.name}: {entry.picture}](pictures/gallery/{picture.name})\n\n"
        f"[runs/{entry.name}.toml](../runs/{entry.name}.toml) · [how to]({entry.guide})\n\n    {entry.call}\n"
    )


def run(entry: Entry) -> None:
    """The run, by the command line; CalledProcessError if it fails."""
    words = entry.call.split()[1:]
    if words[0] == "-n":
        words = ["bash", str(TOP / "env" / "mpirun.sh"), words[1], "dfx-homog", *words[2:]]
    else:
        words = ["dfx-homog", *words]
    subprocess.run([*words, "--quiet"], cwd=TOP, check=True)


def main(words: list[str]) -> int:
    """Command line."""
    entries = {entry.name: entry for group in GALLERY.values() for entry in group}
    if words != ["--page"]:
        if unknown := set(words) - set(entries):
            print(f"no entry {', '.join(sorted(unknown))} (allowed: {', '.join(entries)})", file=sys.stderr)
            return 2
        for entry in [entries[name] for name in words] or entries.values():
            if words or not (RESULTS / entry.name / "report.html").exists():
                run(entry)
            print(take(entry).relative_to(TOP), flush=True)
    try:
        text = page()
    except FileNotFoundError as error:  # some are still to be run
        print(error, file=sys.stderr)
        return 1
    if words == ["--page"]:
        sys.stdout.write(text)
    else:
        (TOP / "docs" / "gallery.md").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
