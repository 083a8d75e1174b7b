"""Every message for a bad input has one form: field, value, what is allowed; one line, in the user's words.

The bad inputs are made from what the library says of itself (every number of every part and of a recipe, out of
its range and of a wrong type), and from a table for each other way in: recipe files, data, tasks,
races, the command line.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset
from typer.testing import CliRunner

import lanewise as lw
from lanewise.cli import app
from lanewise.parts.optimizers import OPTIMIZERS
from lanewise.parts.schedules import SCHEDULES
from lanewise.recipe import file, spaces
from lanewise.recipe.language import parse
from lanewise.task.task import Task

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = np.arange(40) % 2
TABLE = pd.DataFrame({"a": np.arange(40.0), "b": X[:, 0], "class": np.where(Y == 1, "yes", "no")})
LEAST = 150

LONGEST = 600  # characters; the words of the language alone are 330
ALLOWED = re.compile(
    r"must |allowed|such as|need|has no |have no|unknown|no such|give |give$|choose|write|cannot|only|already|is not |"
    r"leave|call |take |say |missing|too few|same|one of|expected|there is|holds|option|pip install|differ|not readable"
)
INTERNAL = re.compile(
    r"Traceback|Error\b(?!:)|Exception|<(?:function|class|object|module)|object at 0x|lanewise\.\w+\.\w+\.\w+|"
    r"\bself\b|NoneType|(?<![\x22'])__\w+__|\b_[a-z]\w+\b|\bdtype\('|line \d+, in "
)


def faults(message: str) -> Iterator[str]:
    """What is wrong with the form of a message."""
    if not message.strip():
        yield "is empty"
    if "\n" in message or "\t" in message:
        yield "has more than one line"
    if len(message) > LONGEST:
        yield f"is longer than {LONGEST} characters"
    if found := INTERNAL.search(message):
        yield f"has words of the inside: {found.group()!r}"
    if not re.match(r"[\w./'\"`~\[({*-]", message):
        yield "does not begin with the field"
    if not ALLOWED.search(message):
        yield "does not say what is allowed"
    if message.rstrip().endswith((".", "!", ",", ":", ";")) and not message.endswith("..."):
        yield f"ends in {message[-1]!r}"


# Values that no number accepts, and those at which some ranges end.
BAD_NUMBERS: list[Any] = [-1, -0.5, 1e9, float("nan"), float("inf"), "text", [1, 2], None, True, {"a": 1}]


def message_of(call: Callable[[], Any]) -> str | None:
    """The message with which a call refuses its input; None where it does not."""
    try:
        call()
    except lw.InputError as error:
        return str(error)
    except Exception as error:  # a fault: the user would see a traceback
        return f"Traceback: {type(error).__name__}: {error}"
    return None


def of_parts() -> Iterator[tuple[str, str | None]]:
    """Every number of every schedule and optimizer, with every bad value."""
    for part in (*SCHEDULES, *OPTIMIZERS):
        for field in dataclasses.fields(part):
            if not field.init:
                continue
            for bad in BAD_NUMBERS:
                yield (
                    f"{part.__name__}({field.name}={bad!r})",
                    message_of(partial(part, **{field.name: bad})),
                )


def of_recipes() -> Iterator[tuple[str, str | None]]:
    """Every field of a recipe, with every bad value, in Python and in a file."""
    for field in dataclasses.fields(lw.Recipe):
        for bad in BAD_NUMBERS:
            yield f"Recipe({field.name}={bad!r})", message_of(partial(lw.Recipe, **{field.name: bad}))
        for text in ("-1", "[", "nonsense", "sgd(", "log(1, 0)", "{a: 1}", "uniform(0, 1, 2)", "sgd(momentum=2)"):
            made = f"lanewise: 1\n{field.name}: {text}\n"
            yield f"file {field.name}: {text}", message_of(partial(file.load, made))


def any_of(*values: Any) -> tuple[Any, ...]:
    """Bad inputs of any type."""
    return values


FILES = [
    "",
    "[]",
    "a: 1",
    "lanewise: 2",
    "lanewise: 1\nfoo: 1",
    "lanewise: 1\nrule: sgd()",
    "lanewise: 1\nl2: [1]",
    "lanewise: 1\ntask: 3",
    "lanewise: 1\ntask: {data: 3}",
    "lanewise: 1\nl2: 1\nl2: 2",
    "lanewise: 1\n  : x: [",
    "lanewise: one",
    "lanewise: 1\noptimizer: sgd(lr=)",
    "lanewise: 1\noptimizer: sdg()",
    "lanewise: 1\nl1: log(0, 1)",
    "lanewise: 1\nl1: choice(1)",
    "lanewise: 1\nl1: choice(1, 1)",
    "lanewise: 1\nl1: integer(0.5, 2)",
    "lanewise: 1\nl2: coupled()",
    "lanewise: 1\nepochs: 0",
    "lanewise: 1\nema: 0.9\naverage_from: 50%",
]
EXPRESSIONS = [
    "",
    "1 +",
    "cosine(",
    "cosine(5)",
    "cosine(warm=5%)",
    "cosine(warmup=5)",
    "cosine(warmup=5days)",
    "sgd() * sgd()",
    "cosine() >> linear()",
    "0.1 * (",
    "import os",
    "__import__('os')",
    "a.b",
    "lambda: 1",
    "'x'",
    "1 / 0",
    "log(2, 1)",
    "choice()",
    "uniform(1)",
    "1e999",
    "piecewise(at=[50%], values=[1])",
    "milestones(at=[])",
    "restarts(shape=3)",
]


LOADS: dict[str, Callable[[], Any]] = {
    f"load({source!r})"[:60]: partial(lw.load, source)
    for source in any_of(
        "nothing.npz",
        "no-such-data",
        3,
        None,
        [],
        (X,),
        (X, Y, X),
        (X, Y, X, Y, X),
        {"x": X, "z": Y},
        {"x": X, "x_test": X},
        (X, Y[:-1]),
        (X[:0], Y[:0]),
        (X, np.full(40, 0)),
        (X, Y + 5),
        (X, Y - 1),
        (np.where(X > 2, np.nan, X), Y),
        (X.astype(object), Y),
        (X.astype(str), Y),
        (X.astype(complex), Y),
        (X, [[1], [2, 3]]),
        ({}, Y),
        ((), Y),
        ({1: X}, Y),
        (X, Y, X[:, :2], Y),
        (X, Y, X, Y + 1),
        (X, np.full(40, 2.5)),
        (X, X * np.inf),
        (X, np.datetime64("2020-01-01")),
        TABLE,
        pd.DataFrame(),
        TABLE["a"],
        {"train": 3},
        {"valid": TensorDataset(torch.tensor(X))},
        iter([1]),
        TensorDataset(torch.tensor(X)),
        "openml:",
        "openml:no such data",
    )
    if not (isinstance(source, str) and source.startswith("openml:n"))
}
LOADS |= {
    f"load({options})"[:80]: partial(lw.load, (X, Y), **options)
    for options in any_of(
        {"split": "often"},
        {"split": 3},
        {"folds": 1},
        {"folds": 41},
        {"folds": "x"},
        {"groups": Y[:3]},
        {"groups": np.zeros(40)},
        {"time": np.zeros(40)},
        {"time": ["x"] * 40},
        {"time": "a"},
        {"groups": "a"},
        {"target": "nothing"},
        {"standardise": 3},
        {"splits": []},
        {"splits": [(1, 2, 3)]},
        {"splits": [([0], [0])]},
        {"splits": [([0], [99])]},
        {"test": [99]},
        {"test": list(range(40))},
        {"test": []},
        {"splits": [([0], [1])], "folds": 2},
        {"size": 3},
        {"encoding": "utf-8"},
        {"categories": ["a"]},
        {"drop": ["a"]},
        {"target_column": "a"},
        {"split": "time", "groups": Y},
        {"cache": True},
    )
}
LOADS |= {
    f"load(table, {options})"[:80]: partial(lw.load, TABLE, **options)
    for options in any_of(
        {"target": "clas"},
        {"target": "class", "drop": ["nothing"]},
        {"target": "class", "drop": ["a", "b"]},
        {"target": "class", "categories": ["nothing"]},
        {"target": "class", "groups": "nothing"},
        {"target": "class", "drop": ["class"]},
        {"target": "class", "time": "b", "split": "class"},
        {"target": "a", "groups": "a"},
        {"target_column": "class", "target": "number"},
    )
}


def net() -> nn.Module:
    return nn.Linear(3, 2)


TASKS: dict[str, Callable[[], Any]] = {
    f"Task({model!r}, {options})"[:80]: partial(Task, model, (X, Y), **options)
    for model, options in any_of(
        ("mpl", {}),
        ("mlp:x", {}),
        ("mlp:0", {}),
        ("cnn", {}),
        ("nothing:here", {}),
        ("os:nothing", {}),
        ("os:path", {}),
        (3, {}),
        (net(), {}),
        (lambda: 3, {}),
        (lambda: nn.Linear(4, 2), {}),
        (lambda: nn.Linear(3, 5), {}),
        (lambda: nn.Identity(), {}),
        (net, {"metric": "acc"}),
        (net, {"metric": 3}),
        (net, {"metric": "quantile 2"}),
        (net, {"objective": "ranking"}),
        (net, {"objective": "regression"}),
        (net, {"greater_is_better": False}),
        (net, {"class_weights": "even"}),
        (net, {"class_weights": [1]}),
        (net, {"class_weights": [1, -1]}),
        (net, {"class_weights": 3}),
    )
}
TASKS |= {
    f"regression {options}": partial(Task, lambda: nn.Linear(3, 1), (X, X[:, :1] * 1.5), **options)
    for options in any_of({"class_weights": "balanced"}, {"metric": "accuracy"}, {"objective": "classification"})
}


def raced(**options: Any) -> Any:
    return lw.race(Task("mlp:4", "digits"), options.pop("space", spaces.classic()), **options)


RACES: dict[str, Callable[[], Any]] = {
    f"race({options})"[:80]: partial(raced, **options)
    for options in any_of(
        {"candidates": 0},
        {"candidates": "x"},
        {"repeats": 0},
        {"repeats": 1.5},
        {"generations": 0},
        {"finalists": 0},
        {"confirm": 0},
        {"pruner": "often"},
        {"sampler": "dice"},
        {"sampler": 3},
        {"budget": "soon"},
        {"budget": "1ep"},
        {"candidates": 2, "budget": "1m"},
        {"seed": -1},
        {"space": lw.Recipe()},
        {"space": "nothing"},
        {"space": 3},
        {"enqueue": 3},
        {"enqueue": [3]},
        {"enqueue": ["nothing.yaml"]},
        {"baseline": 3},
        {"baseline": "nothing.yaml"},
        {"baseline": spaces.classic()},
        {"progress": 3},
        {"storage": 3},
        {"storage": "nothing"},
        {"storage": "env:NO_SUCH_NAME"},
        {"storage": "file:/nothing"},
        {"device": "abacus"},
        {"precision": "float8"},
        {"candidate": 3},
    )
}

COMMANDS = [
    ["race", "--data", "nothing.npz"],
    ["race", "--model", "mpl"],
    ["race", "--space", "nothing.yaml"],
    ["race", "--folds", "1"],
    ["race", "--pruner", "often"],
    ["race", "--sampler", "dice"],
    ["race", "--budget", "soon"],
    ["race", "--target", "x"],
    ["race", "--class-weights", "even"],
    ["race", "--metric", "acc"],
    ["race", "--engine", "nothing.json"],
    ["resume", "nothing"],
    ["train", "nothing.yaml"],
    ["train", "nothing", "--candidate", "1"],
    ["list", "nothing"],
    ["show", "cosine("],
    ["show", "cosine(", "--steps", "0"],
    ["show", "sgd()"],
    ["predict", "nothing", "x.csv"],
    ["compare", "nothing.yaml", "nothing.yaml"],
    ["ablate", "nothing.yaml"],
    ["sweep", "nothing.yaml", "--field", "lr", "--values", "1"],
]


def of_commands() -> Iterator[tuple[str, str | None]]:
    for command in COMMANDS:
        done = CliRunner().invoke(app, command)
        said = " ".join(done.stderr.split()) if done.exit_code else None
        yield " ".join(command), said


def collected() -> list[tuple[str, str | None]]:
    cases = [
        *((f"file {text!r}", partial(file.load, text)) for text in FILES),
        *((f"expression {text!r}", partial(parse, text)) for text in EXPRESSIONS),
        *LOADS.items(),
        *TASKS.items(),
        *RACES.items(),
    ]
    return [*of_parts(), *of_recipes(), *((name, message_of(call)) for name, call in cases)]


def report(found: list[tuple[str, str]]) -> str:
    return "\n".join(f"{name}\n    {message}\n    {fault}" for name, message in found for fault in faults(message))


def test_the_messages_have_the_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = {message: name for name, message in collected() if message is not None}
    if wrong := report([(name, message) for message, name in found.items()]):
        pytest.fail(wrong, pytrace=False)
    assert len(found) >= LEAST, "different messages"


def test_the_command_line_has_the_same_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = list(of_commands())
    assert [name for name, message in found if message is None] == [], "accepted"
    traced = re.compile(r"Traceback|, line \d")
    if wrong := [f"{name}: {message}" for name, message in found if message and traced.search(message)]:
        pytest.fail("\n".join(wrong), pytrace=False)


@pytest.mark.parametrize(
    "message",
    ["", "a = 1: must be\n2", "a = <function f at 0x1>: must be 2", "a = 1", "a = 1: must be 2.", " a must be 2"],
)
def test_a_message_in_another_form_is_found(message: str) -> None:
    assert list(faults(message))
