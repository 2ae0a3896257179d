"""The pages of the documentation as files of Markdown: prose and code, links, anchors, commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
DOCS = TOP / "docs"
LINK = re.compile(r"(?<!\\)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
_CODE_SPAN = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
_FENCE = re.compile(r" *(```+|~~~+) *([\w{}.-]*)")


@dataclass(frozen=True)
class Line:
    """A line of a page: its number from 1, its text, whether it is code; in a fence also the language."""

    number: int
    text: str
    code: bool
    language: str = ""


def all_pages() -> list[Path]:
    """Every page of the documentation, the first one being the front page of the repository."""
    return [TOP / "README.md", *sorted(DOCS.rglob("*.md"))]


def lines_of(text: str) -> Iterator[Line]:
    """The lines of a page. Code are fences with their content, and indented blocks after an empty line."""
    fence, language, indented, empty, in_list = "", "", False, True, False
    for number, line in enumerate(text.splitlines(), 1):
        found = _FENCE.match(line)
        if fence:
            yield Line(number, line, True, language)
            if found and found[1].startswith(fence) and not found[2]:
                fence = ""
            continue
        if found:
            fence, language = found[1], found[2]
            yield Line(number, line, True, language)
            continue
        blank = not line.strip()
        deep = line.startswith("      " if in_list else "    ")
        indented = (indented and (blank or deep)) or (empty and deep)
        if not blank and not line.startswith(" "):
            in_list = bool(re.match(r"[*-] |\d+\. ", line))
        yield Line(number, line, indented)
        empty = blank


def without_code_spans(line: str) -> str:
    """The line with what is between backticks blanked, every other character at its place."""
    return _CODE_SPAN.sub(lambda match: " " * len(match[0]), line)


def links(text: str) -> Iterator[tuple[int, str]]:
    """Number of the line and target of every link and picture of a page."""
    for line in lines_of(text):
        if not line.code:
            yield from ((line.number, match[2]) for match in LINK.finditer(without_code_spans(line.text)))


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub and MyST make it."""
    words = re.sub(r"[`*]|\$", "", LINK.sub(r"\1", heading)).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def headings(text: str) -> list[tuple[int, str]]:
    """Level and text of every heading of a page."""
    found = [re.match(r"(#+) +(.*?) *#*$", line.text) for line in lines_of(text) if not line.code]
    return [(len(match[1]), match[2]) for match in found if match]


def anchors(text: str) -> set[str]:
    """Every anchor of a page; of headings that are equal the later ones get a number."""
    count: dict[str, int] = {}
    found = set()
    for _, heading in headings(text):
        name = slug(heading)
        found.add(f"{name}-{count[name]}" if name in count else name)
        count[name] = count.get(name, 0) + 1
    return found


def broken_links(page: Path) -> list[str]:
    """What is wrong with the links of a page to files of the repository and to anchors in its pages."""
    wrong = []
    for number, target in links(page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        place = f"{page.relative_to(TOP)}:{number}: {target}"
        if not file.exists() or not file.is_relative_to(TOP):
            wrong.append(f"{place}: no such file")
        elif anchor and (file.suffix != ".md" or anchor not in anchors(file.read_text())):
            wrong.append(f"{place}: no such anchor")
    return wrong


def commands(text: str) -> Iterator[tuple[int, str, str]]:
    """Every command line that starts with ./dfx, in blocks and spans of code: its line number, text, and the next line.

    Only after a prompt is the next line what the command prints; else it is empty.
    """
    whole = list(lines_of(text))
    for at, line in enumerate(whole):
        if line.code:
            match = re.match(r"[ $]*(\./dfx .*)", line.text)
            if match and line.language in ("", "sh", "bash", "console"):
                words = match[1]
                following = iter(whole[at + 1 :])
                while words.endswith("\\"):
                    words = words[:-1] + next(following).text.strip()
                printed = next(following, line).text.strip() if line.text.lstrip().startswith("$") else ""
                yield line.number, words, printed
        else:
            yield from ((line.number, span, "") for span in re.findall(r"`(\./dfx [^`]+)`", line.text))


def saved_files(text: str) -> dict[str, str]:
    """Names and content of the files that a page tells to save.

    They are blocks of code after "Save this as `NAME`", and blocks whose first line is a comment "# NAME: …".
    """
    found, blocks, said = {}, code_blocks(text), ""
    for before, _, content in blocks:
        match = re.search(r"[Ss]ave this as `([^`]+)`", before)
        said = match[1] if match else ""
        first = re.match(r"# ([\w.-]+\.(?:toml|py)):", content)
        name = said or (first[1] if first else "")
        if name:
            found[name] = content
    return found


def code_blocks(text: str) -> list[tuple[str, str, str]]:
    """The paragraph before, the language and the content of every fenced block of a page."""
    found: list[tuple[str, str, str]] = []
    paragraph: list[str] = []
    content: list[str] | None = None
    language, before, ended = "", "", False
    for line in lines_of(text):
        fence = line.code and _FENCE.match(line.text)
        if content is None and fence and line.language == fence[2]:
            content, language, before = [], line.language, " ".join(paragraph)
        elif content is not None and fence and not fence[2]:
            found.append((before, language, "\n".join(content) + "\n"))
            content, paragraph = None, []
        elif content is not None:
            content.append(line.text)
        elif line.text.strip():
            paragraph = [*paragraph, line.text.strip()] if not ended else [line.text.strip()]
            ended = False
        else:
            ended = True
    return found


def variables(text: str) -> dict[str, str]:
    """Variables of the shell that a page sets, NAME=… or for NAME in …: of a loop the first value."""
    found = {}
    for line in lines_of(text):
        if not line.code:
            continue
        if match := re.match(r"\s*(\w+)=(\S.*)$", line.text):
            words = shlex.split(match[2])
            found[match[1]] = words[0] if words else ""
        elif match := re.match(r"\s*for (\w+) in (\S+)", line.text):
            found[match[1]] = match[2]
    return found


def tables_of_figures(text: str) -> list[tuple[int, str]]:
    """Where a table of measured numbers begins, and the section around it, headings of its own level included.

    A table counts if a third of its cells at least are numbers and there are six of them.
    """
    lines = list(lines_of(text))
    starts = [n for n, line in enumerate(lines) if not line.code and line.text.lstrip().startswith("| ---")]
    found = []
    for start in starts:
        rows = []
        for line in lines[start + 1 :]:
            if not line.text.lstrip().startswith("|"):
                break
            rows.append(line.text)
        cells = [cell.strip() for row in rows for cell in row.strip().strip("|").split("|")]
        numbers = [cell for cell in cells if re.match(r"[-+±<$]?\d[\d .,e+-]*\b", cell)]
        if len(numbers) < 6 or 3 * len(numbers) < len(cells):
            continue
        begin = max((n for n in range(start) if _heading(lines[n])), default=0)
        end = min((n for n in range(start, len(lines)) if _heading(lines[n])), default=len(lines))
        found.append((lines[start].number - 1, "\n".join(line.text for line in lines[begin:end])))
    return found


def _heading(line: Line) -> bool:
    return not line.code and line.text.startswith("#")
