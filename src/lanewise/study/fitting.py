"""How a race is made small enough for its budget: fewer repeats first, then fewer candidates, then shorter runs."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.step.numbers import tabulate_recipe
from lanewise.recipe.ranges import Choice, Integer
from lanewise.recipe.recipe import Recipe
from lanewise.study.budget import LEAST_CANDIDATES

WANTED, FEW = 8, 4
"""Candidates that a race should have before repeats, and then length, are spent on anything else."""


@dataclass(frozen=True)
class Size:
    """Repeats of each candidate in the race, and the epochs of the longest run."""

    repeats: int
    epochs: int

    def instead_of(self, whole: "Size") -> str:
        """What is less than in `whole`, in words; empty where nothing is.

        >>> Size(1, 5).instead_of(Size(3, 20)), Size(3, 20).instead_of(Size(3, 20))
        ('1 repeat instead of 3, 5 epochs instead of 20', '')
        """
        parts = [
            f"{mine} {word}{'s' * (mine > 1)} instead of {all_of}"
            for word, mine, all_of in (("repeat", self.repeats, whole.repeats), ("epoch", self.epochs, whole.epochs))
            if mine < all_of
        ]
        return ", ".join(parts)


Cost = Callable[[Size, int], float]
"""(size, candidates of the first generation) -> what the smallest race of that size costs, its confirmation too."""


def sizes(whole: Size, step: int, least_epochs: int) -> Iterator[tuple[Size, int]]:
    """(size, candidates there must be room for), from the one that is best if it fits to the smallest there is.

    Args:
        step: repeats are a multiple of it, the number of folds. least_epochs: of the longest run.

    >>> [(size.repeats, size.epochs, candidates) for size, candidates in sizes(Size(3, 3), 1, 1)]
    [(3, 3, 8), (2, 3, 8), (1, 3, 8), (1, 3, 4), (1, 2, 4), (1, 1, 4), (1, 1, 2)]
    """
    for repeats in range(whole.repeats, 0, -step):
        yield Size(repeats, whole.epochs), WANTED
    least = min(step, whole.repeats)
    for epochs in range(whole.epochs, least_epochs - 1, -1):
        yield Size(least, epochs), FEW
    yield Size(least, least_epochs), LEAST_CANDIDATES


def fitting_size(whole: Size, step: int, least_epochs: int, cost: Cost, left: float) -> Size:
    """The best size for which `left` is enough; the smallest there is where it is enough for none.

    >>> fitting_size(Size(3, 20), 1, 1, lambda size, candidates: size.repeats * size.epochs * candidates, 40)
    Size(repeats=1, epochs=10)
    """
    found = Size(min(step, whole.repeats), least_epochs)
    return next(
        (size for size, candidates in sizes(whole, step, least_epochs) if cost(size, candidates) <= left), found
    )


def with_shorter_runs(space: Recipe, epochs: int, longest: int) -> Recipe:
    """`space` with all its lengths brought down alike, so that `longest` becomes `epochs`.

    >>> from lanewise.parts.optimizers import SGD
    >>> with_shorter_runs(Recipe(optimizer=SGD(lr=0.1), epochs=20), 5, 20).epochs
    5
    """

    def shorter(length: Any) -> Any:
        if isinstance(length, Choice):
            options = list(dict.fromkeys(map(shorter, length.options)))
            return Choice(tuple(options)) if len(options) > 1 else options[0]
        if isinstance(length, Integer):
            low, high = shorter(length.low), shorter(length.high)
            return Integer(low, high) if low < high else high
        return max(1, round(length * epochs / longest))

    return space if epochs == longest else replace(space, epochs=shorter(space.epochs))


def least_epochs(recipes: Sequence[Recipe], longest: int, engine: Engine) -> int:
    """The fewest epochs that the longest run can be brought down to: durations such as `3ep` must still fit in.

    Args:
        recipes: some of a race; those that cannot be trained at their own length do not count.
    """

    def fits(recipe: Recipe) -> bool:
        feed = engine.feed(recipe, 0)
        rows = len(feed.repeat.split.train)
        with contextlib.suppress(InputError):
            tabulate_recipe(recipe, recipe.epochs * feed.steps_per_epoch, feed.steps_per_epoch, rows)
            return True
        return False

    low, high = 1, longest
    while low < high:
        middle = (low + high) // 2 if low > 1 else low
        short = [recipe for recipe in recipes if not fits(with_shorter_runs(recipe, middle, longest))]
        if any(map(fits, short)):
            low = middle + 1
        else:
            high = middle
    return low
