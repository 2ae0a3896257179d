"""Cases of the verification book, and that its pages are what the results give."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dfx_homog import cli
from dfx_homog.errors import BadInput
from dfx_homog.runfile import load
from dfx_homog.runfile.identity import file_digest
from dfx_homog.verification import NotHere, command, quantities, running, store, verdict

TOP = Path(__file__).resolve().parents[1]
BOOK = TOP / command.BOOK
CASES = command.book_cases(TOP / command.CASES)
FAST = 0.15  # minutes: cases that take no longer are tests of the ordinary suite
SIZE = int(os.environ.get("OMPI_COMM_WORLD_SIZE", os.environ.get("PMI_SIZE", "1")))


def marked(case: store.BookCase) -> Any:
    marks = [pytest.mark.slow] if case.case.minutes > FAST else []
    return pytest.param(case, id=f"case-{case.name}", marks=marks)


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_case(case: store.BookCase, tmp_path: Path) -> None:
    """Every level on one rank, in this process; `verify` runs them on all their numbers of ranks."""
    if case.missing:
        pytest.skip(f"data not here: {case.missing}")
    runs = []
    for part in running.parts(case):
        if part.ranks != case.case.ranks[0]:
            continue
        out = tmp_path / part.folder
        assert cli.main(running.words(case, part, out)) == 0
        if reason := running.not_here(case, out):
            pytest.skip(reason)
        found, problem = running.quantities(case, out)
        assert not problem
        runs.append({"ranks": part.ranks, "level": part.level, "quantities": found})
    rows = [row for row in verdict.rows(case.case, {"runs": runs}) if " ranks" not in row.name]
    assert rows
    assert [row for row in rows if not row.passed] == []


def test_pages_are_those_of_the_results() -> None:
    """Nobody edits a number: pages, first page and badge from the results, results from the present run files."""
    wanted = command.contents(BOOK, CASES)
    for name, text in wanted.items():
        assert (BOOK / name).read_text() == text, f"{name}: run dfx-homog verify, or verify --pages-only"
    kept = {path.relative_to(BOOK).as_posix() for path in BOOK.glob("**/*") if path.is_file()}
    results = {f"results/{lane}/{c.name}.json" for lane in store.lanes_of(BOOK) for c in CASES}
    pictures = {f"pictures/{name}" for name in pictures_of_results()}
    assert kept - set(wanted) - results - pictures - {"further.md"} == set()


def pictures_of_results() -> dict[str, str]:
    """Checksums of the pictures that the results name; they are drawn where the case was run last."""
    found = {}
    for case in CASES:
        for result in store.read_results(BOOK, case).values():
            if result.get("picture"):
                found[result["picture"]["file"]] = result["picture"]["sha256"]
                break
    return found


def test_pictures_are_those_of_the_results() -> None:
    for name, checksum in pictures_of_results().items():
        assert file_digest(BOOK / "pictures" / name) == checksum, name


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in CASES])
def test_results_belong_to_the_run_file(case: store.BookCase) -> None:
    """Of every lane that has results; a file changed by hand has another checksum."""
    for lane in store.lanes_of(BOOK):
        path = store.results_path(BOOK, lane, case.name)
        if path.exists():
            result = json.loads(path.read_text())
            assert result["checksum"] == store.checksum(result), path
            assert result["keys"] == case.keys, f"{path}: run dfx-homog verify {case.path.name}"
            if not case.missing:
                assert result["identity"] == case.identity, f"{path}: run dfx-homog verify {case.path.name}"


# what compares ------------------------------------------------------------

TEXT = """
[case]
title = "One"
group = "Group"
checks = "Something."
source = ["Somebody"]
command = "cell"
ranks = [1, 2]
minutes = 1
expect = [EXPECT]
LEVELS
[microstructure.one]
geometry = "laminate"
solid_fraction = 0.5
normal = [1, 0]
mesh_size = 0.25
k_s = 1.0
k_e = 1.0
"""
LEVELS = '[case.levels]\nkeys = ["microstructure.one.mesh_size"]\nvalues = [0.4, 0.2, 0.1]\n'


def made(folder: Path, expect: str, levels: str = "") -> store.BookCase:
    path = folder / "one.toml"
    path.write_text(TEXT.replace("EXPECT", expect).replace("LEVELS", levels))
    return store.read_case(path)


def result(case: store.BookCase, *runs: tuple[int, int, list[float | None]]) -> dict[str, Any]:
    """A result with (ranks, level, numbers of `x`)."""
    return {
        "identity": case.identity,
        "measured": "2026-01-01",
        "cores": 2,
        "skipped": "",
        "runs": [
            {
                "ranks": ranks,
                "level": level,
                "status": 0,
                "seconds": 1.0,
                "error": "",
                "quantities": {"x": {f"x.{i}": v for i, v in enumerate(values)}},
            }
            for ranks, level, values in runs
        ],
    }


@pytest.mark.parametrize(
    ("expect", "values", "passes"),
    [
        ("value = 1.0, tolerance = 0.1", [1.05], True),
        ("value = 1.0, tolerance = 0.1", [1.05, 1.2], False),
        ("value = 1.0, tolerance = 0.1", [None], False),
        ("value = 1.0, tolerance = 0.1", [], False),
        ("value = 100.0, tolerance = 0.1, relative = true", [105.0], True),
        ("value = [[1.0, 2.0], [3.0, 4.0]], tolerance = 0.0", [1.0, 2.0, 3.0, 4.0], True),
        ("value = [[1.0, 2.0], [3.0, 4.0]], tolerance = 0.0", [1.0, 2.0, 3.0], False),
        ("at_least = 0.9, at_most = 1.1", [1.0, 0.9, 1.1], True),
        ("at_least = 0.9, at_most = 1.1", [1.0, 1.2], False),
        ("at_most = 1.1", [None], False),
    ],
)
def test_verdicts(tmp_path: Path, expect: str, values: list[float | None], passes: bool) -> None:
    case = made(tmp_path, f"{{ quantity = 'x', {expect} }}")
    found = verdict.outcome(case.case, case.identity, result(case, (1, 0, values)))
    assert found == (verdict.PASSED if passes else verdict.FAILED)
    assert verdict.outcome(case.case, "another", result(case, (1, 0, values))) == verdict.STALE


@pytest.mark.parametrize(("least", "passes"), [(1.9, True), (2.1, False)])
def test_order(tmp_path: Path, least: float, passes: bool) -> None:
    """Differences 0.16, 0.04, 0.01 over 0.4, 0.2, 0.1: order 2."""
    case = made(tmp_path, f"{{ quantity = 'x', value = 1.0, order_at_least = {least} }}", LEVELS)
    runs = [(1, level, [1.0 + error]) for level, error in enumerate((0.16, 0.04, 0.01))]
    (row,) = verdict.rows(case.case, result(case, *runs))
    assert row.obtained == pytest.approx((2.0,), rel=1e-12)
    assert row.passed == passes


def test_across_ranks(tmp_path: Path) -> None:
    case = made(tmp_path, "{ quantity = 'x', across_ranks = 1e-9 }")
    for other, passes in ((5.0 + 1e-9, True), (5.0 + 1e-7, False), (None, False)):
        (row,) = verdict.rows(case.case, result(case, (1, 0, [5.0]), (2, 0, [other])))
        assert row.passed == passes
    (row,) = verdict.rows(case.case, result(case, (1, 0, [5.0])))
    assert not row.passed


@pytest.mark.parametrize(
    ("expect", "levels", "says"),
    [
        ("{ quantity = 'x' }", "", "nothing is expected"),
        ("{ quantity = 'x', value = 1.0 }", "", "compared with nothing"),
        ("{ quantity = 'x', tolerance = 1.0 }", "", "required by tolerance"),
        ("{ quantity = 'x', value = 1.0, order_at_least = 1.0 }", "", "needs .case.levels."),
        ("{ quantity = 'x', at_most = 1.0, tolerence = 1.0 }", "", "tolerence"),
        ("{ quantity = 'x', at_most = 1.0 }", LEVELS.replace("0.1]", "0.3]"), "neither rises nor falls"),
    ],
)
def test_refused(tmp_path: Path, expect: str, levels: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        made(tmp_path, expect, levels)


def test_results_count_where_their_data_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other contents make a result out of date; no contents do not, but another run file does."""
    data, lane = tmp_path / "image.raw", store.LANES[0]
    data.write_bytes(b"one")
    monkeypatch.setattr(store, "named_files", lambda run: [data])
    case = made(tmp_path, "{ quantity = 'x', at_most = 1.0 }")
    store.save(tmp_path, lane, case.name, {"identity": case.identity, "keys": case.keys})

    def current() -> bool:
        again = store.read_case(case.path)
        return bool(store.read_results(tmp_path, again)[lane]["identity"] == again.identity)

    assert current()
    data.write_bytes(b"two")
    assert not current()
    data.unlink()
    assert current()
    case.path.write_text(case.path.read_text().replace("'x'", "'y'"))
    assert not current()


def test_identity_is_of_what_is_run(tmp_path: Path) -> None:
    """Words and expected values may change, keys of the run and quantities not."""
    one = made(tmp_path, "{ quantity = 'x', at_most = 1.0 }").identity
    text = (tmp_path / "one.toml").read_text()
    for old, new, same in (
        ("Something.", "Something else.", True),
        ("at_most = 1.0", "at_most = 2.0", True),
        ("'x'", "'y'", False),
        ("k_s = 1.0", "k_s = 2.0", False),
        ("ranks = [1, 2]", "ranks = [1, 3]", False),
    ):
        (tmp_path / "one.toml").write_text(text.replace(old, new))
        assert (store.read_case(tmp_path / "one.toml").identity == one) == same, new


def test_changed_numbers_are_no_results(tmp_path: Path) -> None:
    case = made(tmp_path, "{ quantity = 'x', at_most = 1.0 }")
    store.save(tmp_path, store.LANES[0], "one", result(case, (1, 0, [0.5])))
    assert list(store.read_results(tmp_path, case)) == [store.LANES[0]]
    path = store.results_path(tmp_path, store.LANES[0], "one")
    path.write_text(path.read_text().replace("0.5", "0.6"))
    assert store.read_results(tmp_path, case) == {}


def test_paths() -> None:
    tree = {"a": {"b": [1.0, [2, 3]], "c": None}, "d": [{"e": 4}, {"e": 5}]}
    assert quantities.find(tree, "a.b") == {"a.b.0": 1.0, "a.b.1.0": 2.0, "a.b.1.1": 3.0}
    assert quantities.find(tree, "a.c") == {"a.c": None}
    assert quantities.find(tree, "d.*.e") == {"d.0.e": 4.0, "d.1.e": 5.0}
    assert quantities.find(tree, "d.-1.e") == {"d.-1.e": 5.0}
    with pytest.raises(quantities.Missing, match=r"a.x: not there \(b, c is"):
        quantities.find(tree, "a.x")


def test_history(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("time,voltage\n0.0,1.0\n0.5,-3.0\n1.0,2.0\n")
    for when, value in (("0.5", -3.0), ("end", 2.0), ("max", 3.0)):
        assert quantities.read(tmp_path, f"history.voltage@{when}") == {f"history.voltage@{when}": value}
    for path in ("history.voltage@0.6", "history.power@end", "other/history.voltage@end"):
        with pytest.raises(quantities.Missing):
            quantities.read(tmp_path, path)


def test_missing_data_is_skipped(tmp_path: Path) -> None:
    """An image that is not here: skipped with its name, and no failure."""
    path = tmp_path / "one.toml"
    head = TEXT.partition("[microstructure")[0].replace("EXPECT", "{ quantity = 'x', at_most = 1.0 }")
    path.write_text(
        head.replace("LEVELS", "")
        + '[microstructure.one]\ngeometry = "image"\nfile = "no.tif"\nsolid = [1]\n'
    )
    case = store.read_case(path)
    kept = running.run(case, tmp_path / "work", tmp_path, None)
    assert kept["skipped"] == "data not here: no.tif"
    assert verdict.outcome(case.case, case.identity, kept) == verdict.SKIPPED


def test_a_case_of_another_run_file(tmp_path: Path) -> None:
    """Its tables stand under those of the case, and are written out in run.toml."""
    made(tmp_path, "{ quantity = 'x', at_most = 1.0 }")
    head, _, tail = (tmp_path / "one.toml").read_text().partition("[microstructure.one]")
    (tmp_path / "base.toml").write_text("[microstructure.one]" + tail + "\n[solver]\npreset = 'direct'\n")
    (tmp_path / "one.toml").write_text(head.replace("[case]", "[case]\nof = 'base.toml'"))
    run = load(tmp_path / "one.toml")
    assert run.solver.preset == "direct"
    assert run.microstructure["one"].dim == 2
    (tmp_path / "again.toml").write_text(run.to_toml())
    assert load(tmp_path / "again.toml").to_toml() == run.to_toml()
    (tmp_path / "two.toml").write_text(head.replace("[case]", "[case]\nof = 'one.toml'"))
    for name, says in (("two.toml", "is a case itself"), ("none.toml", "no such file")):
        (tmp_path / "two.toml").write_text(
            head.replace("[case]", f"[case]\nof = '{name.replace('two', 'one')}'")
        )
        with pytest.raises(BadInput, match=says):
            load(tmp_path / "two.toml")


def test_a_check_that_cannot_run_here_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TEXT.replace("EXPECT", "{ quantity = 'x', at_most = 1.0 }").replace("LEVELS", "")
    (tmp_path / "one.toml").write_text(text.replace('"cell"', '"outcome.loglog"'))
    case = store.read_case(tmp_path / "one.toml")

    def check(*_: Any) -> Any:
        raise NotHere("no such program")

    monkeypatch.setattr("dfx_homog.verification.outcome.loglog", check)
    monkeypatch.setattr(check, "__module__", "dfx_homog.verification.outcome")
    assert cli.main(["case", str(case.path), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert running.not_here(case, tmp_path / "out") == "no such program"


def test_run_files_of_cases_are_complete() -> None:
    """Every case names a command that its run file suits; pages have sources."""
    for case in CASES:
        run = load(case.path)
        assert run.case.source
        assert case.path.stem == case.name
