"""The expression language of recipe files and of the command line.

`0.1 * cosine(warmup=5%)`, `log(1e-3, 1) * choice(constant(), linear())`, `warmup(5%) >> cosine()`. The syntax is
that of Python calls, plus durations (`5%`, `3ep`, `200st`); nothing is ever executed. `parse` is the inverse of `str`.
"""

import ast
import difflib
import inspect
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

from lanewise.errors import InputError
from lanewise.parts.groups import times
from lanewise.parts.groups.group import FACTOR
from lanewise.parts.optimizers import OPTIMIZERS
from lanewise.parts.schedules import SCHEDULES, product, sequence
from lanewise.recipe.coupling import coupled
from lanewise.recipe.ranges import choice, integer, log, uniform
from lanewise.recipe.recipe import Recipe

WORDS: dict[str, Callable[..., Any]] = {
    **{part.name: part for part in SCHEDULES},
    **{optimizer.name: optimizer for optimizer in OPTIMIZERS},
    "uniform": uniform,
    "log": log,
    "integer": integer,
    "choice": choice,
    "coupled": coupled,
    "times": times,
}
CONSTANTS: dict[str, Any] = {
    **{option: option for item in fields(Recipe) for option in item.metadata.get("words", ())},
    "true": True,
    "false": False,
    "none": None,
    "pi": math.pi,
}
LONGEST_QUOTE = 200
"""Characters of an unreadable text that a message repeats."""
DEEPEST = 100
"""Levels of nesting; a sequence of so many schedules too."""
DURATION = re.compile(
    r"(?<![\w.'\"])(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![eE][+-]?\d)(%|(?!(?:and|or|if|in|is)\b)[A-Za-z]{2,})(?!\w)"
)
"""A number with a unit; which units there are, the part it is given to says."""
WRITTEN_FACTOR = re.compile(rf"(?<![\w.'\"]){FACTOR.pattern}(?![\w.])")
"""`x2`, which stands for `times(2)`."""


def parse(text: str) -> Any:
    """The value that the expression `text` names; `InputError` says what cannot be read and what is allowed."""
    reader = _Reader(text)
    try:
        with warnings.catch_warnings():
            # Python would tell the user what it thinks of `1and 2` before we do.
            warnings.simplefilter("ignore")
            written = WRITTEN_FACTOR.sub(r"times(\1)", text.strip())
            tree = ast.parse(DURATION.sub(r"'\1\2'", written), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        opened, closed = text.count("("), text.count(")")
        if opened != closed:
            missing, side = abs(opened - closed), "closing" if opened > closed else "opening"
            raise reader.error(f"{missing} {side} parenthes{'is is' if missing == 1 else 'es are'} missing") from None
        raise reader.error("an expression is a number or a call such as 0.1 * cosine(warmup=5%)") from None
    try:
        return reader.read(tree.body)
    except RecursionError:
        # Python's own parser takes more levels than its functions that read a tree.
        raise reader.error("it is nested too deeply") from None


def did_you_mean(word: Any, known: Iterable[str]) -> str:
    """` (did you mean cosine?)`, or nothing where no known word is like `word`."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


class _Reader:
    """Turns a syntax tree into values; keeps the text for the error messages."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.depth = 0

    def read(self, node: ast.expr) -> Any:
        # Not left to Python's own limit, which other libraries raise.
        if self.depth == DEEPEST:
            raise self.error("it is nested too deeply")
        self.depth += 1
        value = self.value(node)
        self.depth -= 1
        return value

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=bool() | str()):
                return node.value
            case ast.Constant(value=int() | float() as number):
                return self.finite(number)
            case ast.Name(id=word):
                return self.constant(word)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=str(duration))):
                return f"-{duration}"
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.number(operand)
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return self.times(self.read(left), self.read(right))
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return self.divided(self.number(left), self.number(right))
            case ast.BinOp(left=left, op=ast.RShift(), right=right):
                return sequence(self.read(left), self.read(right))
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return tuple(self.read(item) for item in items)
            case ast.Call(func=ast.Name(id=word)):
                return self.call(word, node)
        raise self.error(f"{ast.unparse(node)} is not part of the language")

    def number(self, node: ast.expr) -> float:
        value = self.read(node)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.error(f"{ast.unparse(node)} must be a number")
        return value

    def times(self, left: Any, right: Any) -> Any:
        if any(isinstance(side, (str, bool, tuple)) or side is None for side in (left, right)):
            raise self.error("only numbers, ranges and schedules can be multiplied")
        if isinstance(left, (int, float)) and isinstance(right, (int, float)):
            return self.finite(left * right)
        return product(left, right)

    def divided(self, left: float, right: float) -> float:
        if right == 0:
            raise self.error("division by zero")
        return self.finite(left / right)

    def finite(self, value: float) -> float:
        if not abs(value) <= sys.float_info.max:
            raise self.error(f"numbers must be in [-{sys.float_info.max:.2g}, {sys.float_info.max:.2g}]")
        return value

    def constant(self, word: str) -> Any:
        if word in CONSTANTS:
            return CONSTANTS[word]
        if word in WORDS:
            raise self.error(f"{word} needs parentheses: {word}()")
        raise self.unknown(word)

    def call(self, word: str, node: ast.Call) -> Any:
        if word not in WORDS:
            raise self.unknown(word)
        if any(keyword.arg is None for keyword in node.keywords) or any(isinstance(a, ast.Starred) for a in node.args):
            raise self.error("stars are not part of the language")
        signature = inspect.signature(WORDS[word])
        arguments = [self.read(argument) for argument in node.args]
        named: dict[str, Any] = {}
        for keyword in node.keywords:
            name = str(keyword.arg)
            if name not in signature.parameters:
                allowed = ", ".join(signature.parameters) or "nothing"
                hint = did_you_mean(name, signature.parameters)
                raise self.error(f"{word}: unknown field {name!r}{hint}; allowed: {allowed}")
            if name in named:
                raise self.error(f"{word}: {name} is given twice")
            named[name] = self.read(keyword.value)
        try:
            signature.bind(*arguments, **named)
        except TypeError as error:
            raise self.error(f"{word}: {error}; allowed: {', '.join(signature.parameters)}") from None
        return WORDS[word](*arguments, **named)

    def unknown(self, word: str) -> InputError:
        hint = did_you_mean(word, [*WORDS, *CONSTANTS])
        return self.error(
            f"unknown word {shortened(word)}{hint}; allowed: {', '.join(sorted(WORDS))}, and what you register"
        )

    def error(self, why: str) -> InputError:
        return InputError(f"cannot read {shortened(self.text)}: {' '.join(why.split())}")


def shortened(text: str) -> str:
    """`text` in quotes, its middle left out where it is long."""
    return repr(text if len(text) <= LONGEST_QUOTE else f"{text[: LONGEST_QUOTE // 2]} ... {text[-20:]}")
