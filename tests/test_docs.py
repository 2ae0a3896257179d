"""What the documentation says is there: links, files, commands, keys; and it becomes a site without a warning."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from dfx_homog import cli
from dfx_homog.errors import BadInput
from dfx_homog.runfile import COMMANDS, load, require

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "docs" / "tools"))
import build_site  # noqa: E402
import gallery  # noqa: E402
import made  # noqa: E402
import pages  # noqa: E402
import python_reference  # noqa: E402

PAGES = pages.all_pages()
#: Adds what its commands are about; test_docs_extend.py carries it out.
EXTENDS = TOP / "docs" / "how-to-extend.md"
#: Stand for something that a reader puts in.
PLACEHOLDERS = ("FILE", "DIR", "ARGS", "COMMAND", "…", "P")
WRAPPER = ("test", "shell", "docs", "exec")


def name_of(page: Path) -> str:
    return str(page.relative_to(TOP))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert pages.broken_links(page) == []


def test_a_broken_link_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "TOP", tmp_path)
    (tmp_path / "there.md").write_text("# A title: `x` and $y$\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#a-title-x-and-y) [c](https://x.org)\n\n"
        "[d](gone.md) ![e](there.md#no) `[f](g.md)`\n\n    [h](i.md)\n"
    )
    wrong = [text.split(": ", 1)[1] for text in pages.broken_links(page)]
    assert wrong == ["gone.md: no such file", "there.md#no: no such anchor"]


@pytest.mark.parametrize("page", [page for page in PAGES if page != EXTENDS], ids=name_of)
def test_commands_are_those_of_this_version(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every ./dfx line parses, its run file exists or stands on the page, and its --set are keys of that file."""
    text = page.read_text()
    for source in (*PAGES, page):  # of two files with the same name that of this page counts
        for name, content in pages.saved_files(source.read_text()).items():
            (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    for number, line, printed in pages.commands(text):
        try:
            check_command(line, pages.variables(text))
        except (BadInput, ValueError) as error:
            if str(error).replace(f"{TOP}/", "") != printed:  # a page may show what a mistake gives
                pytest.fail(f"{name_of(page)}:{number}: {line}: {error}")


def check_command(line: str, variables: dict[str, str]) -> None:
    """Raises BadInput or ValueError for a line that ./dfx would not take."""
    for name, value in variables.items():
        line = line.replace(f'"${name}"', shlex.quote(value)).replace(f"${name}", value)
    words = shlex.split(re.split(r" (?:\|\|?|&&) | \) ", line)[0], comments=True)[1:]
    if words and words[0] == "-n":
        if words[1] != "P" and int(words[1]) < 1:
            raise ValueError("ranks")
        words = words[2:]
    command = words[0] if words else "…"
    if command in PLACEHOLDERS or command == "--version":
        return
    if command in WRAPPER:
        scripts = [word for word in words if word.endswith(".py")]
        named = [script for script in scripts if script != "SCRIPT.py"]
        missing = [script for script in named if not (TOP / script).exists() and not Path(script).exists()]
        if missing:
            raise ValueError(f"no such script {missing}")
        return
    if command not in re.findall(r"(?m)^  (\w+) ", cli.HELP):
        raise ValueError(f"no command {command}")
    at = words.index("--") if "--" in words else len(words)
    if command not in (*cli.STUDIES, "check", *cli.FINISHED):  # those that have words of their own
        missing = [word for word in words[:at] if word.startswith("runs/") and not (TOP / word).exists()]
        if missing:
            raise ValueError(f"no such run file {missing}")
        return
    arguments = cli._parser().parse_intermixed_args(words[:at])
    if arguments.target in PLACEHOLDERS or command in cli.FINISHED:
        return
    file = TOP / arguments.target
    run = load(file if file.exists() else arguments.target, arguments.set)
    if command in COMMANDS:
        require(run, command)


@pytest.mark.parametrize(
    "line",
    [
        "./dfx celll FILE",
        "./dfx cell runs/gone.toml",
        "./dfx exec python docs/gone.py",
        "./dfx cell FILE --sett a=b",
    ],
)
def test_a_wrong_command_is_noticed(line: str) -> None:
    with pytest.raises((BadInput, ValueError)):
        check_command(line, {})


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_are_named_exist(page: Path) -> None:
    """Run files, tests, scripts and modules that a page names are there."""
    text = page.read_text()
    named = set(re.findall(r"(?<![\w/.-])((?:runs|docs|env|slurm|tests|dfx_homog)/[\w./-]+\.\w+)", text))
    named -= set(re.findall(r"A new file `([^`]+)`", text))
    missing = sorted(name for name in named if not name.startswith("runs/out/") and not (TOP / name).exists())
    assert missing == []


def test_gallery_has_every_run_file() -> None:
    """The page is that of the run files, with a picture each, and all of them stay small."""
    entries = [entry for group in gallery.GALLERY.values() for entry in group]
    assert {entry.name for entry in entries} == {path.stem for path in (TOP / "runs").glob("*.toml")}
    how = "run: ./dfx exec python docs/tools/gallery.py --page > docs/gallery.md"
    assert (TOP / "docs" / "gallery.md").read_text() == gallery.page(), how
    pictures = set(gallery.PICTURES.iterdir())
    assert pictures == {entry.file for entry in entries}
    assert sum(path.stat().st_size for path in pictures) < 3e6


def test_gallery_takes_the_picture_from_the_report() -> None:
    report = '<p><img alt="voltage over time" src="data:image/png;base64,aGVsbG8="></p>'
    assert gallery.pictures_of(report) == {"voltage over time": (".png", b"hello")}


def test_python_reference_is_that_of_the_docstrings() -> None:
    how = "run: ./dfx exec python docs/tools/python_reference.py > docs/python.md"
    assert (TOP / "docs" / "python.md").read_text() == python_reference.document(), how


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tables_of_figures_name_their_command(page: Path) -> None:
    """In the section around a table of measured numbers stands what makes them: a command, a script or a test."""
    if "<!-- made by" in page.read_text()[:20]:
        return
    source = re.compile(r"\./dfx |docs/\w+/\w+\.py|tests/test_\w+|dfx-homog ")
    missing = [
        line for line, section in pages.tables_of_figures(page.read_text()) if not source.search(section)
    ]
    assert missing == [], f"tables in lines {missing} of {name_of(page)} do not say what makes them"


def test_figures_made_by_cheap_commands_are_current() -> None:
    """Those of seconds; docs/tools/made.py --check does all."""
    found = [block for page in PAGES for block in made.blocks(page)]
    assert len(found) >= 5
    (block,) = [block for block in found if block.command.endswith("choices.py split")]
    assert made.alike(block.text, block.made())
    assert not made.alike(block.text, block.text.replace("2.6325", "2.6335"))


@pytest.mark.slow
def test_figures_made_by_commands_are_current() -> None:
    assert made.main(["--check"]) == 0


def test_every_page_is_listed() -> None:
    """docs/README.md leads to every page, or to the README.md of its folder."""
    listed = {page for _, group in build_site.contents() for page in group}
    for page in PAGES:
        of_folder = page.parent / "README.md"
        assert page in (TOP / "README.md", build_site.CONTENTS) or page in listed or of_folder in listed, page


def test_every_page_says_what_it_is_for() -> None:
    """A heading, then at least a sentence before the next one."""
    for page in PAGES:
        text = re.sub(r"(?s)^<!--.*?-->\s*", "", page.read_text())
        head, _, rest = text.strip().partition("\n")
        assert head.startswith("# "), page
        first = rest.strip().split("\n\n", 1)[0]
        assert len(first) > 40 and not first.startswith("#"), page


@pytest.mark.filterwarnings("ignore")
def test_site_is_built_without_warnings(tmp_path: Path) -> None:
    """Sphinx takes a broken reference, a page outside the navigation or a wrong heading for an error."""
    pytest.importorskip("myst_parser")
    pytest.importorskip("furo")
    first = build_site.build(tmp_path / "site")
    theory = (first.parent / "theory.html").read_text()
    assert 'class="math' in theory and "```" not in theory
    for page in PAGES:
        name = (
            page.relative_to(TOP / "docs").with_suffix(".html") if page.is_relative_to(TOP / "docs") else None
        )
        expected = {None: "index.html", Path("README.html"): "contents.html"}.get(name, name)
        assert (first.parent / str(expected)).exists()
    assert "https://cdn" not in theory or not build_site.MATHJAX.exists()
