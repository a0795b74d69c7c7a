"""Arithmetic on a parsed expression: nothing is evaluated but numbers, operators and a few functions."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

from ossa.agent.tools import tool

_LENGTH_MAX = 1000
_DEPTH_MAX = 60
_DIGITS_MAX = 4000
"""Integers beyond this many bits are refused before they are computed."""

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(math, name) for name in ("sqrt", "exp", "log", "log2", "log10", "sin", "cos", "tan")},
    **{"floor": math.floor, "ceil": math.ceil, "abs": abs, "round": round, "min": min, "max": max},
}
_NAMES = {"pi": math.pi, "e": math.e, "tau": math.tau}


@tool(effects="none")
async def calculator(expression: str) -> str:
    """Evaluate an arithmetic expression such as (3 + 4) * 2 ** 5 / sqrt(2). Operators: + - * / // % **."""
    if len(expression) > _LENGTH_MAX:
        raise ValueError(f"the expression is longer than {_LENGTH_MAX} characters")
    try:
        tree = ast.parse(expression.strip().replace("^", "**"), mode="eval")
        value = _value(tree.body, 0)
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError("this is not an arithmetic expression") from None
    except ZeroDivisionError:
        raise ValueError("division by zero") from None
    except OverflowError:
        raise ValueError("the result is too large") from None
    if isinstance(value, complex):
        raise ValueError("the result is not a real number")
    return repr(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else repr(value)


def _value(node: ast.expr, depth: int) -> Any:
    if depth > _DEPTH_MAX:
        raise ValueError("the expression is nested too deeply")
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_value(operand, depth + 1))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _binary(op, _value(left, depth + 1), _value(right, depth + 1))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _function(name, [_value(argument, depth + 1) for argument in args])
    raise ValueError(f"not allowed in arithmetic: {ast.unparse(node)[:80]}")


def _binary(op: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * abs(right) if isinstance(op, ast.Pow) else left.bit_length() + right.bit_length()
        if bits > _DIGITS_MAX:
            raise ValueError("the result is too large")
    return _BINARY[type(op)](left, right)


def _function(name: str, arguments: list[Any]) -> Any:
    try:
        return _FUNCTIONS[name](*arguments)
    except TypeError:
        raise ValueError(f"{name} takes other arguments") from None
