"""The formula parser against Python and numpy, its derivatives, its refusals, and its three ways out."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import ufl
from hypothesis import given, settings
from hypothesis import strategies as st
from ufl.algorithms.apply_derivatives import apply_derivatives

from dfx_homog.parameters.expression import FUNCTIONS, OPCODES, SELECTIONS, Expression

# away from the random formulas' numbers, at which min and max have two slopes
C = np.linspace(0.05012345, 0.95012345, 7)
T = np.linspace(-0.30023456, 0.39976543, 7)
NAMES: dict[str, Any] = {f: getattr(np, f) for f in FUNCTIONS} | {
    # of integers these would be integers, which have no negative powers in numpy
    "sign": lambda a: np.sign(1.0 * a),
    "min": lambda a, b: np.minimum(1.0 * a, b),
    "max": lambda a, b: np.maximum(1.0 * a, b),
}


def python(text: str) -> Any:
    """What Python and numpy make of the same text; the tests' texts only."""
    with np.errstate(all="ignore"):
        return np.broadcast_to(eval(text, {"__builtins__": {}}, {**NAMES, "c": C, "T": T}), C.shape)


def run_program(e: Expression, c: float, T: float) -> float:
    """The stack machine that native code implements."""
    stack: list[float] = []
    names = {code: op for op, code in OPCODES.items()}
    for op, arg in zip(*e.program(), strict=True):
        name = names[int(op)]
        if name == "const":
            stack.append(float(arg))
        elif name == "var":
            stack.append((c, T)[int(arg)])
        elif name in FUNCTIONS or name == "neg":
            a = stack.pop()
            stack.append(-a if name == "neg" else float(NAMES[name](a)))
        else:
            b, a = stack.pop(), stack.pop()
            stack.append(
                {"+": a + b, "-": a - b, "*": a * b}[name]
                if name in "+-*"
                else a / b
                if name == "/"
                else float(NAMES[name](a, b))
                if name in SELECTIONS
                else a**b
            )
    assert len(stack) == 1
    return stack[0]


@pytest.mark.parametrize(
    "text",
    [
        "0.25 - 0.3*(c - 0.5)",
        "1.0 - 0.4*(c - 0.5) - 0.1*tanh(4*(c - 0.5))",
        "c - T - 1 - 2",
        "c/T/3*2",
        "2**-1 + -c**2 + (-c)**2 - -c",
        "2**3**0.5 * c**T",
        "+c - +-+T",
        "1e-3 + .5 + 3. + 2E+1*c",
        "log(c) + sqrt(exp(sin(T)*cos(c)))",
        "c**2/(1+c)**3",
        "min(max(c, 0.2), T) - max(-c, min(T, 1)) + sign(c - 0.4)*c",
        "  ( ( c ) )\n",
    ],
)
def test_agrees_with_python(text: str) -> None:
    assert Expression.parse(text).numpy(c=C, T=T) == pytest.approx(python(text), rel=1e-14, nan_ok=True)


@pytest.mark.parametrize("value", [0, 3, -2.5, 1e-300])
def test_plain_numbers(value: float) -> None:
    e = Expression.parse(value)
    assert e.numpy(c=C).shape == C.shape
    assert e.numpy() == value
    assert not e.depends_on("c")


REFUSED = [
    *(
        "",
        "   ",
        "c c",
        "2c",
        "(c",
        "c)",
        "()",
        "sin",
        "sin c",
        "sin()",
        "sin(c, T)",
        "min(c)",
        "max(c, T, 1)",
        "min c, T",
        "c, T",
        "c +",
        "* c",
        "c ** ",
        "c^2",
    ),
    *(
        "__import__('os').system('id')",
        "c.__class__",
        "c[0]",
        "lambda: c",
        "x",
        "C",
        "pi",
        "abs(c)",
        "eval(c)",
        "'c'",
    ),
    *(
        '"c"',
        "c = 1",
        "c; T",
        "c == 1",
        "c if T else 1",
        "`c`",
        "c\\",
        "c\0",
        "0x10",
        "1_000",
        "1j",
        "c//2",
        "c % 2",
    ),
    *(
        "nan",
        "inf",
        "1e999",
        "1/0",
        "log(0)",
        "sqrt(-1)",
        "(-8)**0.5",
        "9**9**9",
        "c**101",
        "c**-1e9",
        "exp(1000)",
    ),
    *("\u0663", "\uff43", "c\u00b2", "\u00e9"),  # digits and letters of other alphabets
]


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Expression.parse(text)


HUGE = {
    "open brackets": "(" * 9000 + "c",
    "brackets": "(" * 4000 + "c" + ")" * 4000,
    "signs and powers": "-" * 9000 + "c" + "**-c" * 200,
    "powers": "c**" * 3000 + "c",
    "sum": "c+" * 4000 + "c",
    "functions": "sin(" * 1500 + "c" + ")" * 1500,
    "product": "c*" * 4000,
    "long name": "c" * 10**6,
    "long number": "1" * 9999,
    "long text": "+" * 10**7,
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE.keys())
def test_huge_formulas_are_refused_not_crashed(text: str) -> None:
    with pytest.raises(ValueError, match=r"too|finite|ends"):
        Expression.parse(text)


@pytest.mark.parametrize("value", [True, None, [1.0], {"c": 1}, float("nan"), float("inf"), 10**400])
def test_refused_values(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        Expression.parse(value)


def test_long_sum_at_the_limit_has_derivative_program_and_ufl() -> None:
    e = Expression.parse("+".join(["sin(c*T)/(1+c**2)"] * 90))
    assert e.diff("c").numpy(c=C, T=T) == pytest.approx(
        90 * Expression.parse("sin(c*T)/(1+c**2)").diff("c").numpy(c=C, T=T)
    )
    assert len(e.program()[0]) > 900
    e.diff("T").ufl(c=0.5, T=0.1)


def texts() -> st.SearchStrategy[str]:
    """Random formulas."""
    number = st.floats(0.1, 5.0, allow_nan=False).map(lambda x: f"{x:.3g}")
    leaf = st.one_of(number, st.sampled_from(["c", "T"]))

    def extend(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        binary = st.tuples(inner, st.sampled_from(["+", "-", "*", "/", " - "]), inner).map("".join)
        return st.one_of(
            binary,
            st.tuples(st.sampled_from([*FUNCTIONS, ""]), inner).map(lambda p: f"{p[0]}({p[1]})"),
            inner.map(lambda s: f"-{s}"),
            st.tuples(st.sampled_from(SELECTIONS), inner, inner).map(lambda p: f"{p[0]}({p[1]}, {p[2]})"),
            st.tuples(inner, st.sampled_from(["2", "3", "0.5", "-1"])).map(lambda p: f"({p[0]})**{p[1]}"),
        )

    return st.recursive(leaf, extend, max_leaves=12)


def parse_or_none(text: str) -> Expression | None:
    """None where a constant part has no finite value (1/0, log(-1)): such formulas are refused."""
    try:
        return Expression.parse(text)
    except ValueError as error:
        assert "finite" in str(error)  # noqa: PT017
        return None


@given(texts())
@settings(max_examples=300, deadline=None)
def test_random_formulas(text: str) -> None:
    e = parse_or_none(text)
    if e is None:
        return
    with np.errstate(all="ignore"):
        mine, theirs = e.numpy(c=C, T=T), python(text)
    good = np.isfinite(theirs)
    assert mine[good] == pytest.approx(theirs[good], rel=1e-9, abs=1e-12)
    assert Expression.parse(str(e)) == e


@given(texts())
@settings(max_examples=200, deadline=None)
def test_random_derivatives_and_programs(text: str) -> None:
    e = parse_or_none(text)
    if e is None:
        return
    step = 1e-6
    with np.errstate(all="ignore"):
        slope, reference = e.diff("c").numpy(c=C, T=T), e.numpy(c=C, T=T)
        values = [e.numpy(c=C + k * step, T=T) for k in (-2, -1, 1, 2)]
        difference = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
        smooth = np.all(np.abs(values) < 1e3, axis=0) & (np.abs(slope) < 1e3) & np.isfinite(difference)
        # where the function is rough at the scale of the step, the difference quotient is no reference
        half = (e.numpy(c=C + 0.5 * step, T=T) - e.numpy(c=C - 0.5 * step, T=T)) / step
    smooth &= np.abs(half - difference) < 1e-5
    assert slope[smooth] == pytest.approx(difference[smooth], rel=1e-4, abs=1e-4)
    for c, t, value in zip(C, T, reference, strict=True):
        if np.isfinite(value):
            assert run_program(e, c, t) == pytest.approx(value, rel=1e-12, abs=1e-300)


@given(st.text(alphabet="cT0123456789.eE+-*/()sincoexplgtahqr_ \n'\"[]", max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_text_ends_in_a_tree_or_a_value_error(text: str) -> None:
    try:
        e = Expression.parse(text)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert Expression.parse(str(e)) == e


def test_derivatives() -> None:
    e = Expression.parse("c**2*T + tanh(c) - log(c)/T + c**T")
    in_c = 2 * C * T + 1 / np.cosh(C) ** 2 - 1 / (C * T) + T * C ** (T - 1)
    assert e.diff("c").numpy(c=C, T=T) == pytest.approx(in_c)
    assert e.diff("T").numpy(c=C, T=T) == pytest.approx(C**2 + np.log(C) / T**2 + C**T * np.log(C))
    assert Expression.parse("0*T + c").diff("T") == Expression.parse(0.0)
    assert not Expression.parse("0*T + c").depends_on("T")


@pytest.mark.parametrize("x", [0.1, 0.3, 0.5])
def test_pieces_side_by_side_have_one_slope_everywhere(x: float) -> None:
    """min(max(c, 0.2), 0.3) and so on: also where two pieces meet, in numpy, UFL and by the tree's derivative."""
    knots = [0.1, 0.3, 0.5, 0.9]
    pieces = [f"min(max(c, {a}), {b})" for a, b in pairwise(knots)]
    e = Expression.parse(" + ".join(pieces))
    assert e.numpy(c=x) == pytest.approx(x + 0.8)
    slope = 0.5 if x == 0.1 else 1.0  # the mean of both sides at the first knot
    assert e.diff("c").numpy(c=x) == pytest.approx(slope)
    c = ufl.variable(ufl.as_ufl(x))
    assert float(apply_derivatives(ufl.diff(e.ufl(c=c), c))) == 1.0


def test_arithmetic() -> None:
    c, two = Expression.parse("c"), Expression.parse(2)
    e = -(1 - c) / (3 + c) * two - 1 / (c * 2 - 5)
    assert e.numpy(c=C) == pytest.approx(-(1 - C) / (3 + C) * 2 - 1 / (C * 2 - 5))


def test_ufl_is_the_same_function() -> None:
    text = "1.0 - 0.1*tanh(4*(c - 0.5)) + T*log(c) + c**3/sqrt(1 + T) + exp(-c)*sin(T)*cos(c) + -c"
    e = Expression.parse(text)
    for c, t in zip(C, T, strict=True):
        assert float(e.ufl(c=c, T=t)) == pytest.approx(float(e.numpy(c=c, T=t)), rel=1e-14)
    assert float(Expression.parse(2.5).ufl(c=0.1, T=0.2)) == 2.5


def test_program_of_variables_in_another_order() -> None:
    ops, args = Expression.parse("c - 2*T").program(("T", "c"))
    assert ops.tolist() == [1, 0, 1, 4, 3]
    assert args.tolist() == [1.0, 2.0, 0.0, 0.0, 0.0]
    assert ops.dtype == np.int32
    assert args.dtype == np.float64
