"""What came out beside what was expected: every row of a page, and whether a case passes. Pure functions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from dfx_homog.runfile.case import Case, Expectation
from dfx_homog.verification.quantities import leaves

Numbers = Mapping[str, float | None]
ROUNDING = 1e-11
PASSED, FAILED, SKIPPED, STALE, NOT_RUN = "passed", "failed", "skipped", "stale", "not run"


@dataclass(frozen=True)
class Row:
    """One demand on one quantity of one lane.

    obtained: the numbers; difference: the largest, or what a bound leaves; asked: in words
    """

    name: str
    expected: str
    asked: str
    obtained: tuple[float | None, ...]
    difference: float | None
    passed: bool


def rows(case: Case, result: Mapping[str, Any]) -> list[Row]:
    """All rows of a case in one lane, in the order of case.expect."""
    runs: Sequence[Mapping[str, Any]] = result.get("runs", [])
    found: list[Row] = []
    sizes = level_sizes(case, result)
    for entry in case.expect:
        levels = [run["quantities"].get(entry.quantity, {}) for run in runs if run["ranks"] == case.ranks[0]]
        by_ranks = {
            run["ranks"]: run["quantities"].get(entry.quantity, {}) for run in runs if run["level"] == 0
        }
        found += _rows_of(case, entry, levels, by_ranks, sizes)
    return found


def _rows_of(
    case: Case,
    entry: Expectation,
    levels: Sequence[Numbers],
    by_ranks: Mapping[int, Numbers],
    sizes: Sequence[float] | None,
) -> list[Row]:
    name = entry.name or f"`{entry.quantity}`"
    finest = tuple(levels[-1].values()) if levels else ()
    found = []
    if entry.value is not None and entry.tolerance is not None:
        found.append(_value_row(name, entry, finest))
    if entry.at_least is not None or entry.at_most is not None:
        found.append(_bounds_row(name, finest, entry.at_least, entry.at_most))
    if entry.has_order:
        assert case.levels is not None
        order = fitted_order(sizes, [error(entry, tuple(level.values())) for level in levels])
        found.append(
            _bounds_row(
                f"{name}, order in {case.levels.name}", (order,), entry.order_at_least, entry.order_at_most
            )
        )
    if entry.across_ranks is not None:
        found.append(_ranks_row(name, case, entry, by_ranks))
    return found


def level_sizes(case: Case, result: Mapping[str, Any]) -> list[float] | None:
    """h of each level, from coarse to fine, up to a factor; None if they are not known.

    The values of the levels or, if these rise, their inverses; of levels with `unknowns` n that is n^(-1/dim).
    """
    levels = case.levels
    if levels is None:
        return None
    if levels.unknowns is None:
        falls = levels.values[0] > levels.values[-1]
        return [float(v) if falls else 1.0 / v for v in levels.values]
    runs = [run for run in result.get("runs", []) if run["ranks"] == case.ranks[0]]
    counts = [list(run["quantities"].get(levels.unknowns, {}).values()) for run in runs]
    known = [count[0] for count in counts if len(count) == 1 and count[0]]
    return [n ** (-1.0 / levels.dim) for n in known] if len(known) == len(levels.values) else None


def expected_values(entry: Expectation) -> list[float]:
    """The expected numbers as a flat list."""
    return [float(value) for _, value in leaves(entry.value) if value is not None]


def error(entry: Expectation, obtained: Sequence[float | None]) -> float | None:
    """Largest difference from the expected value or values; None where a number is missing."""
    values = expected_values(entry)
    if len(values) == 1:
        values = values * len(obtained)
    if not obtained or len(values) != len(obtained) or None in obtained:
        return None
    pairs = [(float(x), v) for x, v in zip(obtained, values, strict=True) if x is not None]
    return max(abs(x - v) / (abs(v) if entry.relative and v else 1.0) for x, v in pairs)


def fitted_order(sizes: Sequence[float] | None, errors: Sequence[float | None]) -> float | None:
    """Slope of log(error) over log(h), least squares."""
    known = [e for e in errors if e is not None and e > 0.0]
    if sizes is None or len(known) != len(sizes) or len(errors) != len(sizes):
        return None
    x, y = [math.log(h) for h in sizes], [math.log(e) for e in known]
    middle, height = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - middle) * (b - height) for a, b in zip(x, y, strict=True))
    return slope / sum((a - middle) ** 2 for a in x)


def orders(sizes: Sequence[float] | None, errors: Sequence[float | None]) -> list[float | None]:
    """The slope between each level and the one before."""
    if sizes is None or len(sizes) != len(errors):
        return []
    pairs = zip(pairwise(sizes), pairwise(errors), strict=True)
    return [fitted_order(two, errors_of_two) for two, errors_of_two in pairs]


def _value_row(name: str, entry: Expectation, obtained: tuple[float | None, ...]) -> Row:
    assert entry.tolerance is not None
    difference = error(entry, obtained)
    asked = f"{entry.tolerance:g}{' (relative)' if entry.relative else ''}"
    passed = difference is not None and difference <= entry.tolerance
    return Row(name, written(expected_values(entry)), asked, obtained, difference, passed)


def _bounds_row(
    name: str, obtained: tuple[float | None, ...], least: float | None, most: float | None
) -> Row:
    passed = bool(obtained) and all(
        x is not None and (least is None or x >= least) and (most is None or x <= most) for x in obtained
    )
    parts = [f"{sign} {number(bound)}" for sign, bound in (("≥", least), ("≤", most)) if bound is not None]
    return Row(name, ", ".join(parts), "bound", obtained, None, passed)


def _ranks_row(name: str, case: Case, entry: Expectation, by_ranks: Mapping[int, Numbers]) -> Row:
    assert entry.across_ranks is not None
    lists = [tuple(by_ranks.get(ranks, {}).values()) for ranks in case.ranks]
    difference = _largest_difference(lists)
    passed = difference is not None and difference <= entry.across_ranks
    ranks = ", ".join(map(str, case.ranks))
    return Row(f"{name}, on {ranks} ranks", "the same", f"{entry.across_ranks:g}", (), difference, passed)


def _largest_difference(lists: Sequence[tuple[float | None, ...]]) -> float | None:
    """Between any two of the lists, entry by entry, relative where an entry is above 1."""
    if len({len(values) for values in lists}) != 1 or not lists[0]:
        return None
    worst = 0.0
    for column in zip(*lists, strict=True):
        numbers = [x for x in column if x is not None]
        if len(numbers) != len(column):
            return None
        worst = max(worst, (max(numbers) - min(numbers)) / max(1.0, *map(abs, numbers)))
    return worst


def outcome(case: Case, identity: str, result: Mapping[str, Any] | None) -> str:
    """PASSED, FAILED, SKIPPED (with the reason in result["skipped"]), STALE or NOT_RUN."""
    if result is None:
        return NOT_RUN
    if result.get("identity") != identity:
        return STALE
    if result.get("skipped"):
        return SKIPPED
    runs = result.get("runs", [])
    complete = bool(runs) and all(run["status"] == 0 and not run.get("error") for run in runs)
    return PASSED if complete and all(row.passed for row in rows(case, result)) else FAILED


def written(values: Sequence[float | None], digits: int = 9) -> str:
    """Numbers as a page has them, rounding beside the largest as 0; many numbers counted, or their range."""
    largest = max((abs(v) for v in values if v is not None), default=0.0)
    texts = ["≈ 0" if v and abs(v) < ROUNDING * largest else number(v, digits) for v in values]
    if len(set(texts)) == 1:
        return texts[0]
    if len(texts) <= 4 or any(v is None for v in values):
        return ", ".join(texts)
    counts = Counter(texts)
    if len(counts) <= 4:
        return ", ".join(f"{text} ({count} times)" if count > 1 else text for text, count in counts.items())
    known = [v for v in values if v is not None]
    return f"{number(min(known), digits)} … {number(max(known), digits)} ({len(values)} numbers)"


def number(value: float | None, digits: int = 9) -> str:
    """A number in `digits` significant digits, – for none."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if abs(value) < 1e-4:
        return f"{value:.2e}"
    return f"{value:.{digits}g}"
