"""One field at several values: what is taken, what is refused, and which value the optimizers choose."""

from typing import Any

import numpy as np
import pytest

import lanewise as lw
from lanewise.errors import InputError
from lanewise.parts.optimizers import SGD
from lanewise.parts.schedules import Constant, Cosine
from lanewise.questions.sweep import Sweep, largest_within, values_of
from lanewise.recipe.recipe import Recipe
from lanewise.verdict.sweep import SweepAnswer
from tests.questions.side_by_side import RECIPE, run_of, task


@pytest.mark.parametrize(
    ("given", "points", "expected"),
    [
        ("0,1e-5,1e-4", None, (0, 1e-5, 1e-4)),
        ("log(1e-4, 1)", 5, (1e-4, 1e-3, 1e-2, 1e-1, 1)),
        (lw.uniform(0, 1), 3, (0, 0.5, 1)),
        (lw.integer(1, 4), 9, (1, 2, 3, 4)),
        ("constant(), cosine(warmup=5%)", None, (Constant(), Cosine(warmup="5%"))),
        (lw.choice("batch", "layer"), None, ("batch", "layer")),
        ([0.1, 0.2], None, (0.1, 0.2)),
    ],
)
def test_values_are_listed_or_spread_over_a_range(given: Any, points: int | None, expected: Any) -> None:
    assert values_of(given, points)[0] == expected


@pytest.mark.parametrize(
    ("field", "values", "points", "message"),
    [
        ("l2", "0", None, "values: 1 given; must be 2 to 200"),
        ("l2", "0, 0.1, 0", None, "values: 0: is given twice"),
        ("l2", "0.1, -1", None, r"values: -1: Recipe.l2 = -1: must be a number in \[0, inf\)"),
        ("momentum", "0.5, 1.0", None, r"values: 1.0: SGD.momentum = 1.0: must be a number in \[0, 1\)"),
        ("l3", "0, 1", None, "field 'l3': unknown in this recipe"),
        ("l2", "0, 1", 5, "points = 5: must be left out where values are listed"),
        ("l2", "log(1e-3, 1)", 1, "points = 1: must be an integer in"),
        ("l2", "log(1e-3, 1), 5", None, "values: log.* is a range; must be the only one"),
        ("l2", "1, 2 3", None, "cannot read"),
        ("l2", 5, None, "values = 5: must be a list of values or a range"),
    ],
)
def test_what_cannot_be_swept_is_refused(field: str, values: Any, points: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Sweep(RECIPE, field, values, points)


def test_a_space_is_refused() -> None:
    with pytest.raises(InputError, match="recipe: has ranges in it, so it is a space"):
        Sweep(Recipe(optimizer=SGD(lr=lw.log(0.1, 1))), "l2", "0, 1")


def test_a_value_that_cannot_be_trained_is_named() -> None:
    question = Sweep(RECIPE, "batch_size", "12, 500")
    with pytest.raises(InputError, match="values: 500: batch_size = 500: there are 72 training rows"):
        run_of(question, [RECIPE])


def test_the_largest_within_one_standard_error_is_taken_by_its_value_not_its_place() -> None:
    scores = np.array([[0.86, 0.92], [0.90, 0.94], [0.89, 0.93], [0.5, 0.5]])
    assert largest_within(scores, [0.1, 0.001, 0.01, 1.0])[0] == 0.01
    # The best by itself, where no larger value comes close.
    assert largest_within(scores[[1, 3]], [0.001, 1.0])[0] == 0.001


@pytest.mark.parametrize(("least", "said"), [(0.0, False), (1e-4, True)])
def test_a_best_value_at_the_end_is_pointed_out_where_some_lie_beyond(least: float, said: bool) -> None:
    answer = run_of(Sweep(RECIPE, "l2", [least, 10.0]), [RECIPE]).run()
    assert float(answer.compared[0].scored.name) == least  # type: ignore[attr-defined]
    assert ("The best value is the smallest one tried" in str(answer)) == said


def test_folds_validate_on_every_row_once() -> None:
    data = lw.load((task().source.x, task().source.y), folds=3)
    folded = lw.Task(task().factory, data)
    run = run_of(Sweep(RECIPE, "l2", [0.0, 10.0]), [RECIPE], task=folded, repeats=3)
    answer = run.run()
    assert isinstance(answer, SweepAnswer)
    rows = run.done[0].rows
    assert rows is not None
    assert sorted(rows.row.tolist()) == list(range(len(run.engine.holdout.pool)))
    # A penalty of 10 leaves nothing to tell classes by.
    assert answer.compared[0].scored.name == "0.0"
    assert answer.compared[1].significant
    assert answer.within == "0.0"
    assert SweepAnswer.from_dict(answer.to_dict(), "here").sentences() == answer.sentences()


def test_an_unfinished_round_of_folds_is_refused() -> None:
    data = lw.load((task().source.x, task().source.y), folds=3)
    with pytest.raises(InputError, match="repeats = 4: must be a multiple of the 3 folds"):
        run_of(Sweep(RECIPE, "l2", [0.0, 0.1]), [RECIPE], task=lw.Task(task().factory, data), repeats=4)
