"""`dfx-homog verify [FILES…]`: runs cases, keeps their results, writes the book. Starts its own ranks."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from dfx_homog.errors import BadInput
from dfx_homog.launch import parent_ranks
from dfx_homog.verification import pages, running, store, summary, verdict
from dfx_homog.verification.store import BookCase

BAD_INPUT, CASE_FAILED = 2, 4
CASES, BOOK = Path("runs/verification"), Path("docs/verification")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(f"dfx-homog verify: {message} (dfx-homog verify --help says what is allowed)")


def _parser() -> _Parser:
    parser = _Parser(
        "dfx-homog verify",
        description="Runs cases of the verification book, compares, and writes the book's pages. "
        f"Exit status: 0 all passed or were skipped, {CASE_FAILED} a case failed, 2 bad input.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "files", metavar="FILE", nargs="*", type=Path, help=f"run files with [case] (default: {CASES}/*.toml)"
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help=f"folder of the book (default: {BOOK}, beside runs/)"
    )
    parser.add_argument("--keep", metavar="DIR", type=Path, help="keep all directories of results there")
    parser.add_argument(
        "--launcher", metavar="WORDS", help='how ranks are started, such as "srun -n {ranks}"'
    )
    parser.add_argument(
        "--pages-only", action="store_true", help="run nothing, only write the pages from the results"
    )
    return parser


def main(words: Sequence[str]) -> int:
    """The command; returns the exit status. Raises BadInput. MPI must not have been started in this process."""
    size, rank = parent_ranks()
    if size > 1:
        if rank > 0:
            return BAD_INPUT
        raise BadInput(
            f"verify: starts its ranks itself, and is on {size} (allowed: without -n, without mpirun)"
        )
    try:
        arguments = _parser().parse_args(words)
    except SystemExit:  # argparse has printed its help
        return 0
    files = arguments.files or sorted(CASES.glob("*.toml"))
    if not files:
        raise BadInput(
            f"verify: no run files in {CASES} (allowed: FILES, or a checkout as working directory)"
        )
    cases = [store.read_case(path) for path in files]
    book = arguments.out or _beside(files[0])
    if not arguments.pages_only:
        with contextlib.ExitStack() as stack:
            folder = arguments.keep or Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="verify-"))
            )
            for case in cases:
                _run(case, folder, book, arguments.launcher)
    write(book, _all_cases(files, book))
    lane = store.lane()
    found = {case.name: _verdict(case, book, lane) for case in cases}
    for name, outcome in found.items():
        if outcome == verdict.FAILED:
            print(f"{name}: failed, see {book / f'{name}.md'}", file=sys.stderr)
    return CASE_FAILED if verdict.FAILED in found.values() else 0


def write(book: Path, cases: Sequence[BookCase]) -> None:
    """Writes all pages, the first page and the badge."""
    for name, text in contents(book, cases).items():
        (book / name).write_text(text, encoding="utf-8")


def contents(book: Path, cases: Sequence[BookCase]) -> dict[str, str]:
    """What the files of the book hold, by name, as cases and results have it."""
    results = {case.name: store.read_results(book, case) for case in cases}
    texts = {f"{case.name}.md": pages.page(case, results[case.name], book) for case in cases}
    return {
        **texts,
        "README.md": summary.first_page(cases, results, book),
        "badge.svg": summary.badge(cases, results, book),
    }


def book_cases(folder: Path) -> list[BookCase]:
    """All cases in a folder, by group and name. Raises BadInput."""
    cases = [store.read_case(path) for path in sorted(folder.glob("*.toml"))]
    return sorted(cases, key=lambda case: (case.case.group, case.name))


def _beside(file: Path) -> Path:
    """docs/verification of the checkout that the file lies in. Raises BadInput."""
    for folder in file.resolve().parents:
        if folder.name == "verification" and folder.parent.name == "runs":
            return folder.parent.parent / BOOK
    raise BadInput(f"{file}: --out: required for files that are not in {CASES} (allowed: a folder)")


def _all_cases(files: Sequence[Path], book: Path) -> list[BookCase]:
    """Those of the folder that the book is of; for a book elsewhere those that were asked for."""
    folder = files[0].resolve().parent
    if book.resolve() == (folder.parent.parent / BOOK).resolve():
        return book_cases(folder)
    cases = [store.read_case(path) for path in files]
    return sorted(cases, key=lambda case: (case.case.group, case.name))


def _run(case: BookCase, folder: Path, book: Path, launcher: str | None) -> None:
    print(f"{case.name} …", end=" ", file=sys.stderr, flush=True)
    result = running.run(case, folder, book, launcher)
    store.save(book, store.lane(), case.name, result)
    outcome = verdict.outcome(case.case, case.identity, result)
    took = pages.seconds(result)
    print(f"{outcome}{'' if took is None else f', {took:.1f} s'}", file=sys.stderr, flush=True)


def _verdict(case: BookCase, book: Path, lane: str) -> str:
    return verdict.outcome(case.case, case.identity, store.read_results(book, case).get(lane))
