"""The expression language: the inverse of `str`, which reads everything and executes nothing."""

import math
import string
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lanewise.errors import InputError
from lanewise.parts.optimizers import SGD, Adam
from lanewise.parts.part import expression
from lanewise.parts.schedules import Constant, Cosine, Exponential, Linear, Piecewise, Staircase, Warmup
from lanewise.recipe.language import CONSTANTS, WORDS, parse
from lanewise.recipe.ranges import choice, integer, log, uniform
from lanewise.recipe.recipe import Recipe
from tests.recipe.recipe_draws import PARTS, complaint, named, optimizers, parts, timed, values


def refusal(text: str) -> str:
    """The message with which `text` is refused: one line, and not much longer than what it is about."""
    with pytest.raises(InputError) as caught:
        parse(text)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 800
    return message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-1e-300", -1e-300),
        (" 0.1\n", 0.1),
        ("1/4", 0.25),
        ("2 * 3", 6),
        ("true", True),
        ("none", None),
        ("pi", math.pi),
        ("proximal", "proximal"),
        ("5%", "5%"),
        ("1.5ep", "1.5ep"),
        ("[1, 2.5]", (1, 2.5)),
        ("(10%, 3ep)", ("10%", "3ep")),
        ("cosine()", Cosine()),
        ("cosine(arc=pi/2)", Cosine(arc=math.pi / 2)),
        ("linear(0.1, warmup=5%)", Linear(to=0.1, warmup="5%")),
        ("0.1 * cosine(warmup=5%)", 0.1 * Cosine(warmup="5%")),
        ("cosine() * 0.1", 0.1 * Cosine()),
        ("0.5 * (warmup(5%) >> cosine())", 0.5 * (Warmup("5%") >> Cosine())),
        ("0.5 * linear(duration=5%) >> cosine()", (0.5 * Linear(duration="5%")) >> Cosine()),
        ("staircase(beta=0.5, period=3ep)", Staircase(beta=0.5, period="3ep")),
        ("piecewise(at=[10%, 20st], values=(1, 0.5, 0))", Piecewise(at=("10%", "20st"), values=(1, 0.5, 0))),
        ("sgd(lr=0.1, nesterov=true, momentum=0.9)", SGD(lr=0.1, nesterov=True, momentum=0.9)),
        ("log(1e-3, 1)", log(1e-3, 1)),
        ("integer(1, 8)", integer(1, 8)),
        ("log(1e-3, 1) * choice(constant(), linear())", log(1e-3, 1) * choice(Constant(), Linear())),
        ("choice(sgd(), adam(lr=uniform(0, 1)))", choice(SGD(), Adam(lr=uniform(0, 1)))),
        ("choice(5%, none)", choice("5%", None)),
    ],
)
def test_reads(text: str, value: object) -> None:
    found = parse(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("kind", PARTS, ids=named)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_reads_what_a_part_is_written_as(kind: type, data: st.DataObject) -> None:
    part = data.draw(parts(kind, depth=1, space=True))
    found = parse(str(part))
    assert found == part
    assert repr(found) == repr(part)


@pytest.mark.parametrize("kind", PARTS, ids=named)
def test_every_part_has_its_word(kind: type) -> None:
    assert WORDS[kind.name] is kind


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(value=timed(depth=1, space=True))
def test_reads_what_products_and_sequences_are_written_as(value: object) -> None:
    assert parse(expression(value)) == value


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
@pytest.mark.parametrize("item", [item for item in fields(Recipe) if "allowed" in item.metadata], ids=lambda i: i.name)
def test_reads_what_a_range_is_written_as(item: object, data: st.DataObject) -> None:
    value = data.draw(values(item.metadata["allowed"], depth=0, space=True))  # type: ignore[attr-defined]
    found = parse(expression(value))
    assert found == value
    assert type(found) is type(value)


TOKENS = [
    *(
        *WORDS,
        *CONSTANTS,
        *"()[]{},=*/+->.:@#'\"\\ \n",
        "(",
        ")",
        "(",
        ")",
        "1",
        "0.5",
        "5%",
        "3ep",
        ">>",
        "**",
        "1e999",
    ),
    *("lr=", "to=", "warmup=", "é", "\0", "\ud800", "0" * 400, "not ", "lambda ", " if ", " for ", "f'"),
]


@settings(max_examples=1000)
@given(st.lists(st.sampled_from(TOKENS), max_size=12).map("".join) | st.text(max_size=30))
def test_random_text_is_read_or_refused_in_one_line(text: str) -> None:
    assert "\n" not in complaint(parse, text)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(optimizers(space=True), st.data())
def test_a_damaged_expression_is_read_or_refused_in_one_line(optimizer: object, data: st.DataObject) -> None:
    text = expression(optimizer)
    place = data.draw(st.integers(0, len(text)))
    put = data.draw(st.sampled_from(["", *string.punctuation, "0", "x", " "]))
    damaged = text[:place] + put + text[place + data.draw(st.integers(0, 3)) :]
    assert "\n" not in complaint(parse, damaged)


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("", "an expression is a number or a call"),
        ("1and 2", "not part of the language"),
        (r"'\d' * 2", "only numbers, ranges and schedules can be multiplied"),
        ("1 +", "an expression is a number or a call"),
        ("cosin()", "did you mean cosine?"),
        ("cosine", "cosine needs parentheses: cosine()"),
        ("cosine(warmpu=5%)", "unknown field 'warmpu' (did you mean warmup?); allowed: arc, to, warmup, duration"),
        ("cosine(to=1, to=2)", "to is given twice"),
        ("cosine(5%)", "Cosine.arc = '5%': must be a number in (0, 6.28319]"),
        ("sgd(1, 2, 3, 4, 5)", "too many positional arguments; allowed: lr, momentum, dampening, nesterov"),
        ("uniform(1)", "missing a required argument: 'high'; allowed: low, high"),
        ("log(1, 0.1)", "upside down"),
        ("sgd(lr=-1)", "SGD.lr = -1: must be a number in [0, inf)"),
        ("5% * 2", "only numbers, ranges and schedules can be multiplied"),
        ("true * 2", "only numbers, ranges and schedules can be multiplied"),
        ("1 / 0", "division by zero"),
        ("1e999", "numbers must be in [-1.8e+308, 1.8e+308]"),
        ("1e300 * 1e300", "numbers must be in"),
        ("1 / 5e-324", "numbers must be in"),
        ("1" + 400 * "0", "numbers must be in"),
        ("log(1, 1" + 400 * "0" + ")", "numbers must be in"),
        ("1" + 5000 * "0", "an expression is a number or a call"),
        ("constant() >> linear()", "must have a duration"),
        ("5 >> linear()", "must have a duration"),
        ("cosine() + linear()", "not part of the language"),
        ("2 ** 3", "not part of the language"),
        ("1j", "not part of the language"),
        ("None", "not part of the language"),
        ("choice(*[1, 2])", "stars are not part of the language"),
        ("cosine(**{})", "stars are not part of the language"),
    ],
)
def test_says_what_cannot_be_read_and_why(text: str, because: str) -> None:
    assert because in refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000,
        "-" * 5000 + "1",
        "-" * 900 + "1",
        "1*" * 5000 + "1",
        "[" * 90 + "choice" + "]" * 90,
        "f(" * 80 + ")" * 80,
        "warmup(1%) >> " * 3000 + "linear()",
    ],
    ids=lambda text: text[:8],
)
def test_deep_nesting_is_refused(text: str) -> None:
    assert refusal(text).startswith("cannot read ")


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch executed')",
        "open('executed', 'w')",
        "(lambda: open('executed', 'w'))()",
        "[open('executed', 'w') for x in [1]]",
        "f\"{open('executed', 'w')}\"",
        "cosine.__init__.__globals__",
        "WORDS['cosine']",
        "(x := 1)",
        "cosine(to=open('executed', 'w'))",
        "1 if open('executed', 'w') else 2",
        "{'a': open('executed', 'w')}",
    ],
)
def test_executes_nothing(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refusal(text)
    assert not list(tmp_path.iterdir())


def test_numbers_are_multiplied_from_left_to_right() -> None:
    assert parse("1e300 * 1e-300 * exponential(to=1e-300)") == 1.0 * Exponential(to=1e-300)
