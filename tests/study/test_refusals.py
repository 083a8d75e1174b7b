"""What a race is not given, or cannot do: refused in one line that says what is allowed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import lanewise as lw
from lanewise.data import load
from lanewise.data.splitting.partition import validating_rows
from lanewise.errors import InputError
from lanewise.parts.optimizers import SGD
from lanewise.recipe.language import parse
from lanewise.recipe.ranges import choice, log, uniform
from lanewise.recipe.recipe import Recipe
from lanewise.record.folder import RunFolder
from lanewise.study.progress import Observer
from lanewise.task.task import Task
from tests.record.records import SPACE, eager_plans, model, rows

SMALL = {"candidates": 2, "repeats": 1, "confirm": 2, "threads": 1}
SHARED = nn.Linear(6, 3)


class Notes(Observer):
    """Remembers what was noted."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            (Task("mlp", "digits"), None),
            r"space is a NoneType: must be a recipe with ranges, auto, classic, .* or a YAML file",
        ),
        (("mlp", "classic"), r"task is a str: must be a lanewise.Task\(model, data\)"),
    ],
)
def test_what_is_no_task_or_space(given: tuple[Any, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        lw.race(*given)


@pytest.mark.parametrize("factory", [lambda: SHARED, lambda: nn.Sequential(SHARED)], ids=["module", "weights"])
def test_a_function_that_gives_the_same_weights_again(factory: Any) -> None:
    with pytest.raises(InputError, match="two calls of the function give the same weights"):
        Task(factory, rows()).check_model()


def test_frozen_weights_may_be_shared() -> None:
    frozen = nn.Linear(6, 6).requires_grad_(False)
    Task(lambda: nn.Sequential(frozen, nn.Linear(6, 3)), rows()).check_model()


@pytest.mark.parametrize("given", [{"finalists": 99}, {"candidates": 4, "finalists": 5}])
def test_more_finalists_than_candidates(given: dict[str, int], tmp_path: Path) -> None:
    most = given.get("candidates", 2)
    with pytest.raises(InputError, match=rf"finalists = {given['finalists']}: must be an integer in \[2, {most}\]"):
        lw.race(Task(model, rows()), SPACE, out=tmp_path / "run", **SMALL | given)
    assert not (tmp_path / "run").exists()


def test_a_race_in_which_all_diverge_names_its_record_and_notes_missing_generations(tmp_path: Path) -> None:
    space = Recipe(optimizer=SGD(lr=log(1e10, 1e30)), batch_size=16, epochs=1)
    notes = Notes()
    RunFolder(tmp_path / "plans").write_plans(eager_plans(space))
    engine = tmp_path / "plans" / "engine.json"
    with pytest.raises(InputError, match=r"diverged.*\(what was tried is on record in .*run\)$"):
        lw.race(Task(model, rows()), space, out=tmp_path / "run", engine=engine, observer=notes, generations=5, **SMALL)
    assert (tmp_path / "run" / "study.db").exists()
    assert "2 candidates are drawn in 2 generations, not 5: there are too few for more" in notes.lines


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (uniform(16, 64), r"Recipe.batch_size = uniform\(16, 64\): draws fractions; .*, such as integer\(16, 64\)"),
        (log(15.5, 64.5), r"such as integer\(16, 64\)"),
        (uniform(1.2, 1.8), r"Recipe.batch_size = 1.2: must be an integer"),
        (choice(16, 32.5), r"Recipe.batch_size = 32.5: must be an integer"),
    ],
)
def test_a_range_of_fractions_where_whole_numbers_are_needed(size: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recipe(optimizer=SGD(lr=0.1), batch_size=size)


def test_no_norm_is_called_identity() -> None:
    with pytest.raises(InputError, match=r"Recipe.norm = None: must be one of .* \(identity is what switches it off\)"):
        Recipe(optimizer=SGD(lr=0.1), norm=None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sgd(lr=log(0.1,1)", "1 closing parenthesis is missing"),
        ("0.1 * cosine))", "2 opening parentheses are missing"),
        ("0.1 *", "an expression is a number or a call"),
    ],
)
def test_a_parenthesis_that_is_missing(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(text)


@pytest.mark.parametrize(("fraction", "least"), [(0.2, 3), (0.5, 2), (0.9, 5)])
def test_too_few_rows_say_how_many_it_takes(fraction: float, least: int) -> None:
    with pytest.raises(InputError, match=f"{least - 1} rows are too few .* must be at least {least}$"):
        validating_rows(least - 1, fraction)
    assert 0 < validating_rows(least, fraction) < least


def test_garbage_is_not_advised_to_be_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "garbage.npz"
    path.write_bytes(np.random.default_rng(0).bytes(300))
    with pytest.raises(InputError, match=r"is no \.npz archive, or a damaged one$"):
        load(str(path))
