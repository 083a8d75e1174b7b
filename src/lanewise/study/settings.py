"""What a race is to do."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lanewise.errors import InputError, together
from lanewise.parts.part import Allowed, check_number
from lanewise.racing import DEFAULT, PRUNERS
from lanewise.racing.own_pruner import OWN
from lanewise.recipe.recipe import Recipe
from lanewise.study.budget import Budget

CANDIDATES = 48
MOST_FINALISTS = 6
OPTIONAL = ("candidates", "finalists")


@dataclass(frozen=True)
class RaceSettings:
    """What a race is to do; every field is checked.

    Args:
        candidates: recipes drawn, 48 by default; with a budget as many as it is enough for.
        repeats: of each in the race. generations: the sampler learns from one for the next; with a budget there may be
            more, or fewer where it is small.
        pruner: name in `lanewise.racing.PRUNERS`. finalists: how many are confirmed, at most;
            by default a quarter of the candidates, but 2 to 6.
        confirm: new training runs in which they are confirmed; with a budget, at most. seed: of the whole study.
        budget: "500ep", epochs of all lanes together, or a time such as "10m"; see `lanewise.study.budget`.
    """

    candidates: int | None = None
    repeats: int = 3
    generations: int = 3
    pruner: str = DEFAULT
    finalists: int | None = None
    confirm: int = 8
    seed: int = 0
    budget: str | None = None

    def __post_init__(self) -> None:
        least = {"candidates": 2, "repeats": 1, "generations": 1, "finalists": 2, "confirm": 2, "seed": 0}
        numbers = [
            partial(check_number, name, getattr(self, name), Allowed(low, integer=True, optional=name in OPTIONAL))
            for name, low in least.items()
        ]
        together(self._check_budget, *numbers, self._check_pruner)
        if self.candidates is None and self.budget is None:
            object.__setattr__(self, "candidates", CANDIDATES)

    def _check_budget(self) -> None:
        if self.budget is not None:
            Budget.of(self.budget)
            if self.candidates is not None:
                raise InputError(
                    f"candidates = {self.candidates} and budget = {self.budget!r}: must not be given both; a budget "
                    "says how many candidates there are"
                )

    def _check_pruner(self) -> None:
        if not isinstance(self.pruner, str) or self.pruner not in PRUNERS:
            names = ", ".join(name for name in PRUNERS if not name.startswith(OWN))
            raise InputError(f"pruner = {self.pruner!r}: must be one of {names}, or a function")

    @property
    def most_finalists(self) -> int:
        """How many candidates are confirmed, at most."""
        return self.most_finalists_of(self.candidates)

    def most_finalists_of(self, drawn: int | None) -> int:
        """How many of `drawn` candidates are confirmed, at most; None where it is not known yet how many there are."""
        if self.finalists is not None:
            return self.finalists
        return MOST_FINALISTS if drawn is None else min(MOST_FINALISTS, max(2, drawn // 4))

    @classmethod
    def of_task(cls, folds: int | None, given: Mapping[str, Any]) -> "RaceSettings":
        """The settings `given`, with defaults that suit data that is split into `folds`, or into none (None).

        Raises:
            InputError: numbers of repeats that do not make whole rounds of folds.
        """
        if folds is None:
            return cls(**given)
        rounds = {"repeats": folds, "confirm": folds * math.ceil(cls.confirm / folds)}
        settings = cls(**{**rounds, **given})
        settings.check_folds(folds)
        return settings

    def check_folds(self, folds: int | None) -> None:
        """Raise `InputError` unless all repeats are whole rounds of `folds`."""

        def check(name: str) -> None:
            count = getattr(self, name)
            if folds is not None and count % folds:
                raise InputError(
                    f"{name} = {count}: must be a multiple of folds = {folds}, such as "
                    f"{folds * math.ceil(count / folds)}, for every row to validate equally often"
                )

        together(partial(check, "repeats"), partial(check, "confirm"))


def with_overrides(space: Recipe, epochs: int | None, batch_size: int | None) -> Recipe:
    """The space with its length or batch size replaced where they are given."""
    if epochs is not None:
        space = replace(space, epochs=epochs)
    return space if batch_size is None else replace(space, batch_size=batch_size)


def check_overrides(epochs: int | None, batch_size: int | None) -> None:
    """Raise one `InputError` of all that is wrong with what is to replace a recipe's own length and batch size."""

    def check(epochs: int | None, batch_size: int | None) -> None:
        try:
            with_overrides(Recipe(), epochs, batch_size)
        except InputError as error:
            raise InputError(str(error).removeprefix("Recipe.")) from None

    together(partial(check, epochs, None), partial(check, None, batch_size))
