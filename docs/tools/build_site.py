"""The documentation as a site, without network: `./dfx docs` writes build/docs/html/index.html.

Pages are the Markdown files of docs/ as they are; their copies in build/docs/pages have the same text with links of the
site: README.md at the top is the front page, docs/README.md says what stands in the navigation and in which order, and
a file of the repository that a page links to (a run file, a script) becomes a page of its own. Warnings are errors.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import pages  # this folder's

BUILD = pages.TOP / "build" / "docs"
CONTENTS = pages.DOCS / "README.md"
#: Where Debian's libjs-mathjax is, and the parts of it that formulas drawn as SVG need.
MATHJAX = Path("/usr/share/javascript/mathjax")
MATHJAX_PARTS = (
    "MathJax.js",
    "config/TeX-AMS_SVG.js",
    "extensions",
    "jax/element",
    "jax/input/TeX",
    "jax/output/SVG",
    "localization/en",
)
LANGUAGES = {
    ".py": "python",
    ".toml": "toml",
    ".sh": "bash",
    ".sbatch": "bash",
    ".cff": "yaml",
    ".yml": "yaml",
}


class Staging:
    """Copies pages to a folder from which Sphinx makes the site, and what they link to."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._waiting: list[Path] = []
        self._done: dict[Path, Path] = {}

    def run(self) -> None:
        """Everything, starting with the pages of the documentation."""
        for page in pages.all_pages():
            self._name(page)
        while self._waiting:
            self._copy(self._waiting.pop())

    def _name(self, file: Path) -> Path:
        """The file's path in the folder; the file will be copied."""
        if file not in self._done:
            if file == pages.TOP / "README.md":
                name = Path("index.md")
            elif file == CONTENTS:
                name = Path("contents.md")
            elif file.is_relative_to(pages.DOCS) and file.suffix in (".md", ".png", ".svg"):
                name = file.relative_to(pages.DOCS)
            else:
                name = Path("files") / file.relative_to(pages.TOP)
                name = name if file.suffix == ".md" else name.with_name(name.name + ".md")
            self._done[file] = name
            self._waiting.append(file)
        return self._done[file]

    def _copy(self, file: Path) -> None:
        target = self._folder / self._done[file]
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix in (".png", ".svg"):
            shutil.copy(file, target)
        elif file.suffix == ".md":
            target.write_text(self._head(file) + self._linked(file) + self._navigation(file))
        else:
            language = LANGUAGES.get(file.suffix, "text")
            text = file.read_text().rstrip("\n")
            fence = "`" * 3 if "```" not in text else "`" * 5
            target.write_text(
                f"---\norphan: true\n---\n\n# {file.relative_to(pages.TOP)}\n\n{fence}{language}\n{text}\n{fence}\n"
            )

    def _head(self, file: Path) -> str:
        """Pages that nothing puts into the navigation say so."""
        listed = file.is_relative_to(pages.DOCS) or file == pages.TOP / "README.md"
        return "" if listed else "---\norphan: true\n---\n\n"

    def _linked(self, page: Path) -> str:
        """The page's text with the links of the site."""
        here = self._done[page].parent

        def changed(match: re.Match[str]) -> str:
            text, target = match[1], match[2]
            if re.match(r"[a-z]+:|#", target):
                return match[0]
            name, _, anchor = target.partition("#")
            file = (page.parent / name).resolve()
            if file.is_dir():
                if not (file / "README.md").exists():
                    return text
                file = file / "README.md"
            relative = os.path.relpath(self._name(file), here)
            return f"[{self._text(text, changed)}]({relative}{'#' if anchor else ''}{anchor})"

        out = []
        for line in pages.lines_of(page.read_text()):
            out.append(line.text if line.code else self._text(line.text, changed))
        return "\n".join(out) + "\n"

    @staticmethod
    def _text(text: str, changed: object) -> str:
        """A line with its links changed; what is between backticks stays."""
        blanked, parts, at = pages.without_code_spans(text), [], 0
        for match in pages.LINK.finditer(blanked):
            whole = pages.LINK.match(text, match.start())
            if whole is None or not callable(changed):
                continue
            parts += [text[at : match.start()], str(changed(whole))]
            at = whole.end()
        return "".join([*parts, text[at:]])

    def _navigation(self, page: Path) -> str:
        """Trees of contents: for the front page from docs/README.md, for a folder's README.md its other pages."""
        if page == pages.TOP / "README.md":
            trees = [_tree("", ["contents.md"])]
            trees += [
                _tree(title, [str(self._name(file)) for file in listed]) for title, listed in contents()
            ]
            return "\n" + "\n".join(trees)
        if page.name == "README.md" and page.parent != pages.DOCS and page.is_relative_to(pages.DOCS):
            named = {file for _, listed in contents() for file in listed}
            rest = [
                file.name for file in sorted(page.parent.glob("*.md")) if file != page and file not in named
            ]
            return "\n" + _tree("", rest) if rest else ""
        return ""


def contents() -> list[tuple[str, list[Path]]]:
    """Headings of docs/README.md with the pages that the tables below them list, in order."""
    found: list[tuple[str, list[Path]]] = []
    for line in pages.lines_of(CONTENTS.read_text()):
        if line.text.startswith("## "):
            found.append((line.text[3:].strip(), []))
        elif line.text.startswith("| [") and found:
            match = pages.LINK.search(line.text)
            assert match is not None
            found[-1][1].append((CONTENTS.parent / match[2]).resolve())
    return [(title, listed) for title, listed in found if listed]


def _tree(title: str, names: list[str]) -> str:
    caption = f":caption: {title}\n" if title else ""
    return f"```{{toctree}}\n:hidden:\n:maxdepth: 1\n{caption}\n" + "\n".join(names) + "\n```\n"


def settings(static: Path) -> dict[str, object]:
    """What conf.py would say."""
    local = "mathjax/MathJax.js?config=TeX-AMS_SVG"
    found: dict[str, object] = {
        "project": "dfx_homog",
        "author": "The dfx_homog authors",
        "copyright": "the dfx_homog authors",
        "html_title": "dfx_homog",
        "extensions": ["myst_parser", "sphinx.ext.mathjax"],
        "html_theme": "furo",
        "html_static_path": [str(static)],
        "html_css_files": ["tables.css"],
        "html_show_sphinx": False,
        "html_copy_source": False,
        "myst_enable_extensions": ["dollarmath", "amsmath"],
        "myst_fence_as_directive": ["math"],
        "myst_heading_anchors": 5,
        "myst_update_mathjax": False,
        "suppress_warnings": ["misc.highlighting_failure"],  # shortened output in blocks of code
    }
    if (static / "mathjax").exists():
        found["mathjax_path"] = local
        delimiters = {"inlineMath": [["\\(", "\\)"]], "displayMath": [["\\[", "\\]"]]}
        classes = {"processClass": "math|tex2jax_process", "ignoreClass": "document"}
        found["mathjax2_config"] = {"tex2jax": {**delimiters, **classes}, "showMathMenu": False}
    return found


#: Wide tables scroll by themselves; pictures keep their white paper in the dark theme.
STYLE = """\
article table.docutils { font-size: 0.86rem; }
article table.docutils td, article table.docutils th { white-space: normal; vertical-align: top; }
article table.docutils code { overflow-wrap: anywhere; }
article img { background: white; }
"""


def _static(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "tables.css").write_text(STYLE)
    if MATHJAX.exists():
        for part in MATHJAX_PARTS:
            source, target = MATHJAX / part, folder / "mathjax" / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copy(source, target)
    else:
        print(f"no {MATHJAX}: formulas of this site need a network", file=sys.stderr)
    return folder


def build(folder: Path = BUILD) -> Path:
    """Make the site in `folder` anew and return its first page. Raises RuntimeError where Sphinx warns."""
    from sphinx.application import Sphinx

    shutil.rmtree(folder, ignore_errors=True)
    Staging(folder / "pages").run()
    application = Sphinx(
        folder / "pages",
        None,
        folder / "html",
        folder / "doctrees",
        "html",
        confoverrides=settings(_static(folder / "static")),
        status=None,
        warning=sys.stderr,
        warningiserror=True,
    )
    application.build()
    if application.statuscode:
        raise RuntimeError("the documentation has warnings, see above")
    return folder / "html" / "index.html"


def main() -> int:
    """Command line: check links, then build."""
    wrong = [text for page in pages.all_pages() for text in pages.broken_links(page)]
    if wrong:
        print(*wrong, sep="\n", file=sys.stderr)
        return 1
    try:
        print(build())
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
