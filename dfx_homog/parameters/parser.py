"""Reading formulas: a recursive-descent parser; nothing is ever evaluated as Python.

    sum     = product { ("+" | "-") product }
    product = unary { ("*" | "/") unary }
    unary   = ("+" | "-") unary | power
    power   = atom [ "**" unary ]               right associative: -a**b = -(a**b), a**-b is allowed
    atom    = number | variable | constant | function "(" sum ")" | selection "(" sum "," sum ")" | "(" sum ")"

with the functions sin, cos, exp, log, tanh, sqrt, sign, cosh and the selections min, max.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dfx_homog.parameters.expression import (
    FUNCTIONS,
    SELECTIONS,
    Expression,
    apply,
    constant,
    finite,
    variable,
)

MAX_LENGTH = 50_000  # characters; a table of measured values as a formula has up to 30,000
# Depth of the tree, hence also terms of one sum: recursions over it, its derivative and in UFL stay far from
# the limit of Python.
MAX_DEPTH = 100
MAX_BRACKETS = 50  # nested: the parser goes four calls deep for each
MAX_EXPONENT = 100.0  # a larger constant power overflows or vanishes for nearly every c

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<op>\*\*|[-+*/(),])|(?P<bad>\S))",
    re.ASCII,
)


def parse_formula(text: str, variables: tuple[str, ...], constants: Mapping[str, float]) -> Expression:
    """The expression that `text` stands for. Raises ValueError that says what is allowed."""
    return _Parser(text, variables, constants).parse()


class _Parser:
    """Recursive descent over the tokens; depth is bounded: any text ends in a tree or a ValueError."""

    def __init__(self, text: str, variables: tuple[str, ...], constants: Mapping[str, float]) -> None:
        self.variables, self.constants = variables, constants
        names = (*variables, *constants)
        self.allowed = (
            f"numbers, {', '.join(names)}, + - * / **, brackets, {', '.join((*FUNCTIONS, *SELECTIONS))}"
        )
        if len(text) > MAX_LENGTH:
            raise ValueError(
                f"a formula of {len(text)} characters is too long, at most {MAX_LENGTH} are allowed"
            )
        self.tokens = [(str(m.lastgroup), m.group(m.lastgroup or 0)) for m in _TOKEN.finditer(text)]
        self.at = 0
        self.nesting = 0
        # the first wrong character explains most mistakes (an attribute, a call, a string) best
        for kind, token in self.tokens:
            if kind == "bad":
                hint = ", a power is written **" if token == "^" else ""
                raise ValueError(f"{token!r} is not allowed in a formula{hint}; allowed are {self.allowed}")
            if kind == "name" and token not in (*names, *FUNCTIONS, *SELECTIONS):
                raise ValueError(f"{_short(token)} is not allowed in a formula; allowed are {self.allowed}")

    def parse(self) -> Expression:
        if not self.tokens:
            raise ValueError(f"the formula is empty; allowed are {self.allowed}")
        result = self._sum()
        if self.at < len(self.tokens):
            token = _short(self.tokens[self.at][1])
            raise ValueError(f"{token} is out of place in the formula; allowed are {self.allowed}")
        return result

    def _next(self) -> tuple[str, str]:
        token = self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")
        self.at += 1
        return token

    def _take(self, *operators: str) -> str | None:
        """The next token if it is one of the operators, else None and nothing is consumed."""
        if (
            self.at < len(self.tokens)
            and self.tokens[self.at][0] == "op"
            and self.tokens[self.at][1] in operators
        ):
            self.at += 1
            return self.tokens[self.at - 1][1]
        return None

    def _node(self, op: str, *args: Expression) -> Expression:
        if op == "**" and args[1].op == "const" and abs(args[1].value) > MAX_EXPONENT:
            raise ValueError(f"the power {args[1].value:g} is too large, at most {MAX_EXPONENT:g} is allowed")
        result = apply(op, *args)
        if result.depth > MAX_DEPTH:
            raise ValueError(
                f"the formula is too deep or has too many terms, at most {MAX_DEPTH} are allowed"
            )
        return result

    def _sum(self) -> Expression:
        result = self._product()
        while op := self._take("+", "-"):
            result = self._node(op, result, self._product())
        return result

    def _product(self) -> Expression:
        result = self._unary()
        while op := self._take("*", "/"):
            result = self._node(op, result, self._unary())
        return result

    def _unary(self) -> Expression:
        negative = False
        while sign := self._take("+", "-"):
            negative ^= sign == "-"
        self.nesting += 1  # every bracket and every further ** passes here
        if self.nesting > MAX_BRACKETS:
            raise ValueError(f"the formula is too deeply nested, at most {MAX_BRACKETS} levels are allowed")
        result = self._atom()
        if self._take("**"):
            result = self._node("**", result, self._unary())
        self.nesting -= 1
        return self._node("neg", result) if negative else result

    def _atom(self) -> Expression:
        kind, token = self._next()
        if kind == "number":
            return constant(finite(float(token)))
        if kind == "name" and token in self.variables:
            return variable(token)
        if kind == "name" and token in self.constants:
            return constant(self.constants[token])
        if kind == "name":
            if not self._take("("):
                raise ValueError(f"{token} is a function and needs brackets: {token}(…)")
            arguments = [self._sum()]
            if token in SELECTIONS:
                if not self._take(","):
                    raise ValueError(f"{token} needs two arguments: {token}(…, …)")
                arguments.append(self._sum())
            self._close()
            return self._node(token, *arguments)
        if (kind, token) == ("op", "("):
            inner = self._sum()
            self._close()
            return inner
        what = "the formula ends too early" if kind == "end" else f"{token!r} is out of place in the formula"
        raise ValueError(f"{what}; allowed are {self.allowed}")

    def _close(self) -> None:
        if not self._take(")"):
            raise ValueError("a closing bracket ) is missing in the formula")


def _short(token: str) -> str:
    return repr(token if len(token) <= 30 else token[:27] + "...")
