"""Parts of pages that commands make, between two lines of Markdown that readers do not see:

    <!-- made by: ./dfx exec python docs/benchmarks/choices.py dt -->
    …
    <!-- end -->

./dfx exec python docs/tools/made.py [PAGE …]           makes them all anew
./dfx exec python docs/tools/made.py --check [PAGE …]   says what has changed; exit status 1 then
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import pages  # this folder's

_BLOCK = re.compile(r"(?ms)^(<!-- made by: (.+?) -->\n)(.*?)(^<!-- end -->$)")
_NUMBER = re.compile(r"\d+\.?\d*(?:e[+-]?\d+)?")
LAST_DIGIT = 1.5  # units of the last digit by which a number may differ


@dataclass(frozen=True)
class Block:
    """A part of a page that a command makes."""

    page: Path
    command: str
    text: str

    def made(self) -> str:
        """What the command prints now. CalledProcessError if it fails."""
        words = shlex.split(self.command)
        if words[:2] == ["./dfx", "exec"]:  # this is the environment already
            words = words[2:]
        done = subprocess.run(words, cwd=pages.TOP, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout.strip() + "\n"


def blocks(page: Path) -> Iterator[Block]:
    """Those of a page."""
    for match in _BLOCK.finditer(page.read_text()):
        yield Block(page, match[2], match[3])


def alike(one: str, other: str) -> bool:
    """Whether two texts are the same but for rounding: numbers may differ in their last digit."""
    if _NUMBER.sub("0", one) != _NUMBER.sub("0", other):
        return False
    pairs = zip(_NUMBER.findall(one), _NUMBER.findall(other), strict=True)
    return all(abs(float(a) - float(b)) <= LAST_DIGIT * max(_unit(a), _unit(b)) for a, b in pairs)


def _unit(number: str) -> float:
    """Of the last digit; whole numbers are exact."""
    mantissa, _, exponent = number.partition("e")
    decimals = len(mantissa.partition(".")[2])
    if not decimals and not exponent:
        return 0.0
    return 10.0 ** (int(exponent or 0) - decimals)


def remake(page: Path) -> None:
    """All blocks of a page anew."""
    text = page.read_text()
    for block in blocks(page):
        start = f"<!-- made by: {block.command} -->\n"
        text = text.replace(start + block.text + "<!-- end -->", start + block.made() + "<!-- end -->")
    page.write_text(text)


def main(words: list[str]) -> int:
    """Command line."""
    chosen = [Path(word).resolve() for word in words if word != "--check"] or pages.all_pages()
    if "--check" not in words:
        for page in chosen:
            remake(page)
        return 0
    changed = [block for page in chosen for block in blocks(page) if not alike(block.text, block.made())]
    for block in changed:
        print(f"{block.page.relative_to(pages.TOP)}: {block.command}: prints something else now")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
