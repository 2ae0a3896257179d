"""First page and badge of the book, from cases and their results alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dfx_homog.verification import verdict
from dfx_homog.verification.pages import mark, seconds, table
from dfx_homog.verification.store import BookCase, Json, label, lanes_of
from dfx_homog.verification.verdict import FAILED, PASSED, SKIPPED

Results = Mapping[str, Mapping[str, Json]]
GREEN, YELLOW, RED = "#2e7d32", "#b58900", "#c62828"
INTRODUCTION = """\
<!-- made by dfx-homog verify from runs/verification/ and results/; do not edit -->

# The verification book

Every case is a run file in [runs/verification](../../runs/verification): a test, an example and a page of this book at
once. What it has to give, from where that is known, on how many ranks it runs and how long it takes is written in the
table `[case]` of the run file ([all keys](../runfile.md#case)); what it gave is in `results/`, and these pages are made
from both.

![verification](badge.svg)

```sh
./dfx verify                                  # all cases, in this environment; writes these pages
./dfx verify runs/verification/laminates.toml # some
DFX_SUITE=sid ./dfx verify                    # in the other lane, DOLFINx 0.11
./dfx verify --pages-only                     # the pages from the results, without running anything
./dfx test -k case                            # cases of a few seconds as tests; ./dfx test -m slow -k case: the others
```

The exit status is 0 if all cases passed, and 4 if one failed. A case whose data is not in the repository and not on the
machine is skipped, and says so. Results that do not belong to the present run file are out of date, and shown as that.
Seconds are wall times of all runs of a case, on a machine of 2 cores that had other work.
[Further tests](further.md), of smaller things, are in `tests/`.
"""


def overall(case: BookCase, results: Mapping[str, Json], lanes: Sequence[str]) -> str:
    """The verdict over all lanes: failed if one did, or is out of date; passed if one did and none failed."""
    found = [verdict.outcome(case.case, case.identity, results.get(lane)) for lane in lanes]
    for outcome in (FAILED, verdict.STALE, PASSED, SKIPPED):
        if outcome in found:
            return outcome
    return verdict.NOT_RUN


def first_page(cases: Sequence[BookCase], results: Results, book: Path) -> str:
    """README.md of the book: all cases by group, with a column for each lane."""
    lanes = lanes_of(book)
    parts = [INTRODUCTION, counts(cases, results, lanes)]
    for group in dict.fromkeys(case.case.group for case in cases):
        parts += [f"## {group}", _group([case for case in cases if case.case.group == group], results, lanes)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def counts(cases: Sequence[BookCase], results: Results, lanes: Sequence[str]) -> str:
    """How many cases passed in each lane."""
    rows = []
    for lane in lanes:
        found = [verdict.outcome(c.case, c.identity, results[c.name].get(lane)) for c in cases]
        took = sum(seconds(results[c.name].get(lane)) or 0.0 for c in cases)
        states = (PASSED, FAILED, SKIPPED, verdict.STALE, verdict.NOT_RUN)
        rows.append([label(lane), *(str(found.count(state)) for state in states), f"{took / 60:.1f}"])
    columns = ["lane", "passed", "failed", "skipped", "out of date", "not run", "minutes"]
    return table(columns, rows)


def _group(cases: Sequence[BookCase], results: Results, lanes: Sequence[str]) -> str:
    columns = ["case"]
    for lane in lanes:
        columns += [label(lane), "s"]
    rows = []
    for case in cases:
        row = [f"[{case.case.title}]({case.name}.md)"]
        dates = []
        for lane in lanes:
            result = results[case.name].get(lane)
            took = seconds(result)
            row += [mark(case, result), "" if took is None else f"{took:.0f}"]
            dates += [result["measured"]] if result else []
        rows.append([*row, ", ".join(sorted(set(dates)))])
    return table([*columns, "measured"], rows)


def badge(cases: Sequence[BookCase], results: Results, book: Path) -> str:
    """An SVG badge: how many cases passed, in all lanes in which they were run."""
    found = [overall(case, results[case.name], lanes_of(book)) for case in cases]
    passed, skipped = found.count(PASSED), found.count(SKIPPED)
    text = f"{passed} of {len(cases)} cases passed" + (f", {skipped} skipped" if skipped else "")
    bad = FAILED in found or verdict.STALE in found
    colour = RED if bad else GREEN if passed + skipped == len(cases) else YELLOW
    left, right = 80, 14 + 7 * len(text)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="verification: {text}"><title>verification: {text}</title>'
        f'<rect width="{left}" height="20" fill="#444"/><rect x="{left}" width="{right}" height="20" fill="{colour}"/>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{left / 2:g}" y="14">verification</text>'
        f'<text x="{left + right / 2:g}" y="14">{text}</text></g></svg>\n'
    )
