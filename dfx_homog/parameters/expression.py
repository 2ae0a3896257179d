"""Formulas that a user types: OCP curves U(c, T), diffusivities D_s(c, T), level sets in x, y, z, cooling h(t, y).

An Expression is an immutable tree, read by parser.py; it becomes UFL for the resolved model, numpy for checks
and plots, and a postfix program for native code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

FUNCTIONS = ("sin", "cos", "exp", "log", "tanh", "sqrt", "sign", "cosh")
SELECTIONS = ("min", "max")  # functions of two arguments
POSITION = ("x", "y", "z")
TIME_AND_PLACE = ("t", "y1", "y2", "y3")

# Codes of the postfix program, shared with native/particle.cpp.
OPCODES = {
    "const": 0,
    "var": 1,
    "+": 2,
    "-": 3,
    "*": 4,
    "/": 5,
    "**": 6,
    "neg": 7,
    "sin": 8,
    "cos": 9,
    "exp": 10,
    "log": 11,
    "tanh": 12,
    "sqrt": 13,
    "sign": 14,
    "min": 15,
    "max": 16,
    "cosh": 17,
}
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "neg": 3, "**": 4}
_SCALAR: Mapping[str, Callable[..., float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": math.pow,
    "neg": lambda a: -a,
    **{f: getattr(math, f) for f in FUNCTIONS if f != "sign"},
    "sign": lambda a: float((a > 0.0) - (a < 0.0)),
    "min": min,
    "max": max,
}
_NUMPY: Mapping[str, Callable[..., Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "**": np.power,
    "neg": np.negative,
    **{f: getattr(np, f) for f in FUNCTIONS},
    "min": np.minimum,
    "max": np.maximum,
}

Operand = Union["Expression", float]


@dataclass(frozen=True)
class Expression:
    """A formula as a tree: op is "const" (value), "var" (name), an operator, "neg" or a function (args)."""

    op: str
    args: tuple[Expression, ...] = ()
    value: float = 0.0
    name: str = ""
    depth: int = 1

    @staticmethod
    def parse(
        text: str | float,
        variables: tuple[str, ...] = ("c", "T"),
        constants: Mapping[str, float] = MappingProxyType({}),
    ) -> Expression:
        """The expression that `text` (or a plain number) stands for. ValueError says what is allowed.

        `constants` are further names and what they stand for.
        """
        if isinstance(text, bool) or not isinstance(text, str | int | float):
            raise ValueError(f"{text!r} is neither a number nor a formula")
        if not isinstance(text, str):
            return constant(finite(text))
        from dfx_homog.parameters.parser import parse_formula

        return parse_formula(text, variables, constants)

    @staticmethod
    def of_position(text: str | float) -> Expression:
        """A formula in the coordinates x, y, z = z_1, z_2, z_3 of the unit cell and pi. ValueError as `parse`."""
        return Expression.parse(text, POSITION, {"pi": math.pi})

    @staticmethod
    def of_time_and_place(text: str | float) -> Expression:
        """A formula in t, in the meso coordinates y1, y2, y3 and pi. ValueError as `parse`."""
        return Expression.parse(text, TIME_AND_PLACE, {"pi": math.pi})

    def ufl(self, **variables: Any) -> Any:
        """The expression in UFL; `variables` are UFL expressions or numbers, one for each that occurs."""
        import ufl

        operations = {**_NUMPY, **{f: getattr(ufl, "ln" if f == "log" else f) for f in FUNCTIONS}}
        operations.update({k: _SCALAR[k] for k in ("+", "-", "*", "/", "neg")})
        operations["**"] = lambda a, b: a**b
        # of equal arguments, max takes the slope of the first, min that of the second: min(max(c, a), b) has that of c
        # from a on and until b, and of a sum of such pieces side by side there is always exactly one
        operations["max"] = lambda a, b: ufl.conditional(ufl.ge(a, b), a, b)
        operations["min"] = lambda a, b: ufl.conditional(ufl.lt(a, b), a, b)
        return self._map(operations, {k: ufl.as_ufl(v) for k, v in variables.items()}, ufl.as_ufl)

    def numpy(self, **variables: ArrayLike) -> NDArray[np.float64]:
        """Values at arrays of the variables, of their common shape; NaN or inf where undefined (as numpy)."""
        arrays = {k: np.asarray(v, dtype=np.float64) for k, v in variables.items()}
        shape = np.broadcast_shapes(*(a.shape for a in arrays.values()))
        return np.array(np.broadcast_to(self._map(_NUMPY, arrays, np.float64), shape))

    def _map(
        self,
        operations: Mapping[str, Callable[..., Any]],
        variables: Mapping[str, Any],
        number: Callable[[float], Any],
    ) -> Any:
        if self.op == "const":
            return number(self.value)
        if self.op == "var":
            return variables[self.name]
        return operations[self.op](*[a._map(operations, variables, number) for a in self.args])

    def diff(self, name: str) -> Expression:
        """The derivative in the variable `name`, with constants folded (0 where it does not occur)."""
        if not self.depends_on(name):
            return constant(0.0)
        if self.op == "var":
            return constant(1.0)
        a = self.args[0]
        da = a.diff(name)
        if self.op in ("+", "-"):
            return apply(self.op, da, self.args[1].diff(name))
        if self.op == "*":
            return da * self.args[1] + a * self.args[1].diff(name)
        if self.op == "/":
            b = self.args[1]
            return da / b - a * b.diff(name) / (b * b) if b.depends_on(name) else da / b
        if self.op == "**":
            return self._diff_power(name, da)
        if self.op in SELECTIONS:
            return self._diff_selection(name, da)
        if self.op == "neg":
            return -da
        outer = {
            "sin": lambda: apply("cos", a),
            "cos": lambda: -apply("sin", a),
            "exp": lambda: self,
            "log": lambda: constant(1.0) / a,
            "tanh": lambda: constant(1.0) - self * self,
            "sqrt": lambda: constant(0.5) / self,
            "sign": lambda: constant(0.0),
            "cosh": lambda: apply("tanh", a) * self,
        }
        return outer[self.op]() * da

    def _diff_power(self, name: str, da: Expression) -> Expression:
        a, b = self.args
        if not b.depends_on(name):
            return b * apply("**", a, b - 1.0) * da
        return self * (b.diff(name) * apply("log", a) + b * da / a)

    def _diff_selection(self, name: str, da: Expression) -> Expression:
        """The slope of the argument that is taken, and of both the mean where they are equal."""
        a, b = self.args
        first = apply("sign", a - b if self.op == "max" else b - a)
        return 0.5 * ((1.0 + first) * da + (1.0 - first) * b.diff(name))

    def substitute(self, name: str, by: Expression) -> Expression:
        """The formula with another one in place of a variable, constants folded."""
        if not self.depends_on(name):
            return self
        return by if self.op == "var" else apply(self.op, *(a.substitute(name, by) for a in self.args))

    def depends_on(self, name: str) -> bool:
        """Whether the variable occurs (after folding: 0*T does not depend on T)."""
        return self.name == name if self.op == "var" else any(a.depends_on(name) for a in self.args)

    def program(
        self, variables: tuple[str, ...] = ("c", "T")
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Postfix program (ops, args), both of length n: CONST carries its value, VAR its index.

        Codes are OPCODES; a stack machine that runs it ends with one number, the value.
        """
        ops: list[int] = []
        args: list[float] = []

        def emit(e: Expression) -> None:
            for a in e.args:
                emit(a)
            ops.append(OPCODES[e.op])
            args.append(
                e.value if e.op == "const" else float(variables.index(e.name)) if e.op == "var" else 0.0
            )

        emit(self)
        return np.array(ops, dtype=np.int32), np.array(args, dtype=np.float64)

    def __str__(self) -> str:
        """The formula in the grammar of parser.py: parse(str(e)) == e."""
        if self.op == "const":
            return repr(self.value)
        if self.op == "var":
            return self.name
        if self.op in (*FUNCTIONS, *SELECTIONS):
            return f"{self.op}({', '.join(str(a) for a in self.args)})"
        mine = _PRECEDENCE[self.op]
        if self.op == "neg":
            return f"-{self.args[0]._inside(mine)}"
        if self.op == "**":
            return f"{self.args[0]._inside(mine + 1)}**{self.args[1]._inside(mine)}"
        a, b = self.args
        separator = f" {self.op} " if mine == 1 else self.op
        return f"{a._inside(mine)}{separator}{b._inside(mine + 1)}"

    def _inside(self, precedence: int) -> str:
        """The formula, in brackets where it binds less tightly than its place asks for."""
        own = _PRECEDENCE.get(self.op, 5)
        if self.op == "const" and math.copysign(1.0, self.value) < 0:
            own = _PRECEDENCE["neg"]
        return f"({self})" if own < precedence else str(self)

    def __add__(self, other: Operand) -> Expression:
        return apply("+", self, _lift(other))

    def __radd__(self, other: Operand) -> Expression:
        return apply("+", _lift(other), self)

    def __sub__(self, other: Operand) -> Expression:
        return apply("-", self, _lift(other))

    def __rsub__(self, other: Operand) -> Expression:
        return apply("-", _lift(other), self)

    def __mul__(self, other: Operand) -> Expression:
        return apply("*", self, _lift(other))

    def __rmul__(self, other: Operand) -> Expression:
        return apply("*", _lift(other), self)

    def __truediv__(self, other: Operand) -> Expression:
        return apply("/", self, _lift(other))

    def __rtruediv__(self, other: Operand) -> Expression:
        return apply("/", _lift(other), self)

    def __neg__(self) -> Expression:
        return apply("neg", self)


def constant(value: float) -> Expression:
    """The constant expression."""
    return Expression("const", value=float(value))


def variable(name: str) -> Expression:
    """The expression that is one variable."""
    return Expression("var", name=name)


def apply(op: str, *args: Expression) -> Expression:
    """op(args), constants folded, neutral 0 and 1 removed. ValueError where a constant part is not finite."""
    if all(a.op == "const" for a in args):
        try:
            return constant(finite(_SCALAR[op](*(a.value for a in args))))
        except (ArithmeticError, ValueError) as error:
            raise ValueError(f"{Expression(op, args)} is not a finite number") from error
    if op in ("+", "-", "*", "/", "**"):
        neutral = _without_neutral(op, *args)
        if neutral is not None:
            return neutral
    if op == "neg" and args[0].op == "neg":
        return args[0].args[0]
    return Expression(op, args, depth=1 + max(a.depth for a in args))


def _without_neutral(op: str, a: Expression, b: Expression) -> Expression | None:
    def is_number(e: Expression, value: float) -> bool:
        return e.op == "const" and e.value == value

    if (op == "+" and is_number(a, 0.0)) or (op == "*" and is_number(a, 1.0)):
        return b
    if (op in "+-" and is_number(b, 0.0)) or (op in ("*", "/", "**") and is_number(b, 1.0)):
        return a
    if op == "-" and is_number(a, 0.0):
        return -b
    if (op in ("*", "/") and is_number(a, 0.0)) or (op == "*" and is_number(b, 0.0)):
        return constant(0.0)
    if op == "**" and is_number(b, 0.0):
        return constant(1.0)
    return None


def _lift(value: Operand) -> Expression:
    return value if isinstance(value, Expression) else constant(finite(value))


def finite(value: float) -> float:
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError("the number is too large") from error
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number")
    return number
