"""The page: one file, all style inside, pictures as data URIs, no scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

Cells = list[str]  # a row of a table
Rows = list[Cells | str]  # rows, or a heading over those that follow

CSS = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --line: #d5dae0; --back: #ffffff;
  --tint: #f4f6f8; --good: #116329; --goodback: #e3f3e6; --bad: #a40e26; --badback: #fde7e9; --link: #0b57a4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e7ec; --soft: #9aa5b1; --line: #3a424c; --back: #14181d;
  --tint: #1d232a; --good: #7ddc93; --goodback: #173420; --bad: #ff9aa6; --badback: #471820; --link: #80b8f5; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 16px/1.55 "Source Sans 3", "Segoe UI", system-ui, -apple-system, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: 36px 30px 80px; }
h1 { font-size: 2.05em; line-height: 1.2; margin: 0 0 .2em; letter-spacing: -.01em; }
h2 { font-size: 1.42em; margin: 2.2em 0 .5em; padding-top: .35em; border-top: 1px solid var(--line); }
h3 { font-size: 1.08em; margin: 1.7em 0 .5em; }
p { margin: .6em 0; max-width: 48em; }
p.lead { font-size: 1.1em; line-height: 1.55; max-width: 52em; }
body { counter-reset: part; } h2 { counter-increment: part; }
h2::before { content: counter(part); margin-right: .55em; color: var(--soft); font-weight: 400; }
p.by, .note { color: var(--soft); font-size: .93em; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
nav { margin: 1.2em 0 0; font-size: .95em; display: flex; flex-wrap: wrap; gap: .2em 1.3em; }
sub, sup { line-height: 0; font-size: .76em; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(212px, 1fr)); gap: 10px; margin: 1.3em 0; }
.tile { background: var(--tint); border-radius: 8px; padding: 11px 14px 9px; }
.tile b { display: block; font-size: 1.4em; font-weight: 600; line-height: 1.25; white-space: nowrap; }
.tile span { color: var(--soft); font-size: .84em; line-height: 1.35; display: block; }
figure { margin: 1.3em 0 1.7em; }
figure img { display: block; width: 100%; height: auto; background: #fff; border: 1px solid var(--line);
  border-radius: 8px; padding: 10px; }
figure.narrow img { max-width: 760px; margin: 0 auto; }
figcaption, caption { color: var(--soft); font-size: .93em; line-height: 1.45; }
figcaption { margin-top: .55em; max-width: 62em; }
figcaption b, caption b { color: var(--ink); }
.scroll { overflow-x: auto; margin: 1.1em 0 1.5em; }
table { border-collapse: collapse; font-size: .92em; font-variant-numeric: tabular-nums; }
table.pairs td:nth-child(2) { padding-right: 3.2em; } table.pairs td:nth-child(3) { text-align: left; }
table.wide { width: 100%; }
caption { text-align: left; padding-bottom: .5em; min-width: min(40em, 88vw); max-width: 62em; }
th, td { padding: 4px 9px 4px 0; text-align: right; vertical-align: baseline; white-space: nowrap; }
th:last-child, td:last-child { padding-right: 2px; }
th:first-child, td:first-child { text-align: left; }
td code { white-space: normal; display: inline-block; max-width: 15em; }
thead tr.over th { border-bottom: 0; padding-bottom: 0; text-align: center; color: var(--soft); font-weight: 400; }
thead th { border-bottom: 1.5px solid var(--ink); font-weight: 600; vertical-align: bottom; }
tbody td, tbody th { border-bottom: 1px solid var(--line); font-weight: 400; }
tbody tr.group th { padding-top: .9em; font-weight: 600; color: var(--soft); font-size: .94em; text-align: left; }
table.matrix { display: inline-table; font-size: 1em; border-left: 1.2px solid var(--soft);
  border-right: 1.2px solid var(--soft); border-radius: 5px; }
table.matrix td { border: 0; padding: 0 7px; text-align: right; line-height: 1.35; }
.ok { color: var(--good); } .no { color: var(--bad); } .dim { color: var(--soft); }
.badge { display: inline-block; border-radius: 999px; padding: 1px 11px; font-size: .86em; font-weight: 600; }
.badge.ok { background: var(--goodback); } .badge.no { background: var(--badback); }
.badge.run { background: var(--tint); color: var(--soft); }
pre, code { font-family: "SFMono-Regular", Consolas, "DejaVu Sans Mono", monospace; font-size: .88em; }
pre { background: var(--tint); border-radius: 8px; padding: 12px 16px; overflow-x: auto; line-height: 1.45; }
code { overflow-wrap: anywhere; }
details { margin: 1em 0; }
summary { cursor: pointer; color: var(--link); }
ul { padding-left: 1.25em; max-width: 48em; } li { margin: .3em 0; }
@media print { :root { --ink: #000; --soft: #444; --line: #bbb; --back: #fff; --tint: #f3f3f3; --good: #116329;
  --goodback: #fff; --bad: #a40e26; --badback: #fff; --link: #000; }
  body { font-size: 10.5pt; } main { max-width: none; padding: 0; } nav { display: none; }
  figure, .tiles, tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
  figure img { border: 0; padding: 0; } .scroll { overflow: visible; } th, td { padding-right: 8px; }
  pre { white-space: pre-wrap; } }
@page { margin: 16mm; }
"""


def page(title: str, body: str) -> str:
    """A complete HTML document. `title` is plain text, `body` HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )


def section(anchor: str, title: str, *parts: str) -> str:
    """A section with an anchor for the table of contents."""
    return f'<section id="{anchor}">\n<h2>{title}</h2>\n' + "\n".join(p for p in parts if p) + "\n</section>"


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str] | str],
    *,
    caption: str = "",
    wide: bool = False,
    over: Sequence[tuple[str, int]] = (),
    classes: str = "",
) -> str:
    """A table of HTML cells; a row given as one string is a heading over the rows that follow.

    over: a line above the head, (text, number of columns)
    """
    lines = []
    for row in rows:
        if isinstance(row, str):
            lines.append(f'<tr class="group"><th colspan="{len(head)}" scope="rowgroup">{row}</th></tr>')
        else:
            first, *rest = row
            cells = "".join(f"<td>{cell}</td>" for cell in rest)
            lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    above = "".join(f'<th colspan="{columns}">{text}</th>' for text, columns in over)
    groups = f'<tr class="over">{above}</tr>' if over else ""
    return (
        f'<div class="scroll"><table class="{classes}{" wide" if wide else ""}">'
        + (f"<caption>{caption}</caption>" if caption else "")
        + f"<thead>{groups}<tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def matrix(rows: Sequence[Sequence[str]]) -> str:
    """A small matrix inside a table cell; a 1 x 1 matrix is a plain number."""
    if len(rows) == 1 and len(rows[0]) == 1:
        return rows[0][0]
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table class="matrix">{lines}</table>'


def tiles(entries: Iterable[tuple[str, str]]) -> str:
    """Large numbers with what they mean below."""
    return (
        '<div class="tiles">'
        + "".join(f'<div class="tile"><b>{value}</b><span>{text}</span></div>' for value, text in entries)
        + "</div>"
    )


class Numbered:
    """Numbers figures and tables in the order in which they are asked for."""

    def __init__(self) -> None:
        self._figures = self._tables = 0

    def figure(self, uri: str | None, alt: str, caption: str, *, narrow: bool = False) -> str:
        """A picture with caption; empty if there is no picture."""
        if not uri:
            return ""
        self._figures += 1
        kind = ' class="narrow"' if narrow else ""
        return (
            f'<figure{kind}><img alt="{escape(alt)}" src="{uri}">'
            f"<figcaption><b>Figure {self._figures}.</b> {caption}</figcaption></figure>"
        )

    def caption(self, text: str) -> str:
        """The caption of a table."""
        self._tables += 1
        return f"<b>Table {self._tables}.</b> {text}"
