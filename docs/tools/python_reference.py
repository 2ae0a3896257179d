"""docs/python.md, the reference of the Python interface, from the docstrings of what dfx_homog exports.

./dfx exec python docs/tools/python_reference.py > docs/python.md
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

import dfx_homog

INTRODUCTION = """\
<!-- made by ./dfx exec python docs/tools/python_reference.py; edit the docstrings instead -->

# Python reference

Every public name of `dfx_homog`, as `from dfx_homog import …` has it, from its docstring. The functions do what the
commands of the same names do.
"""
#: Headings and what belongs below them.
GROUPS = {
    "Functions": inspect.isfunction,
    "Errors": lambda thing: inspect.isclass(thing) and issubclass(thing, Exception),
    "Classes": inspect.isclass,
    "Other names": lambda _thing: True,
}


def document() -> str:
    """The whole page."""
    left = {name: getattr(dfx_homog, name) for name in dfx_homog.__all__}
    parts = [INTRODUCTION]
    for heading, belongs in GROUPS.items():
        names = [name for name, thing in left.items() if belongs(thing)]
        if names:
            parts.append(f"## {heading}\n")
            parts += [_entry(name, left.pop(name)) for name in names]
    return "\n".join(parts)


def _entry(name: str, thing: Any) -> str:
    documented = inspect.isfunction(thing) or inspect.isclass(thing)
    lines = [f"### {name}\n"]
    if not documented:
        return "\n".join([*lines, f"```python\n{name} = {_plain(thing)}\n```\n"])
    summary, _, rest = (inspect.getdoc(thing) or "").partition("\n\n")
    if not inspect.isclass(thing):
        lines.append(f"```text\n{name}{_signature(thing)}\n```\n")
    lines.append(_escaped(summary) + "\n")
    if rest:
        lines.append(f"```text\n{rest}\n```\n")
    members = list(_members(thing)) if inspect.isclass(thing) else []
    if members:
        lines += ["| member | |", "| --- | --- |", *members, ""]
    return "\n".join(lines)


def _signature(function: Any) -> str:
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(function)))


def _plain(thing: Any) -> str:
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", str(thing))


def _members(thing: type) -> Iterator[str]:
    """Public methods and properties with a docstring that are the project's own."""
    for name, member in vars(thing).items():
        inner = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        text = inspect.getdoc(inner)
        if (
            name.startswith(("_", "model_"))
            or not text
            or not (inspect.isfunction(inner) or isinstance(inner, property))
        ):
            continue
        brackets = (
            _signature(inner).replace("(self, ", "(").replace("(self)", "()").replace("(cls, ", "(")
            if inspect.isfunction(inner)
            else ""
        )
        first = text.split("\n\n", 1)[0]
        yield f"| `{name}{brackets}` | {_escaped(' '.join(first.split()))} |".replace(" | None", " or None")


def _escaped(text: str) -> str:
    """As prose of Markdown."""
    out = []
    for part in text.split("`"):
        out.append(part.replace("*", "\\*").replace("_", "\\_").replace("<", "\\<").replace("|", "\\|"))
    return "`".join(p if n % 2 == 0 else text.split("`")[n] for n, p in enumerate(out))


if __name__ == "__main__":
    sys.stdout.write(document())
