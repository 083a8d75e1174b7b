"""`compare`: which of given recipes is best, and which others are too close to call."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.questions.paired_scores import sample_of, score_intervals
from lanewise.questions.phase import NamedRecipe, Phase, PhaseResult, check_names, check_recipe
from lanewise.questions.question import Question, check_trainable, scored
from lanewise.recipe.file import dump, load
from lanewise.recipe.recipe import Recipe
from lanewise.statistics.intervals import Interval
from lanewise.verdict.answer import ComparedRecipe, Setup
from lanewise.verdict.comparison import ComparisonAnswer
from lanewise.verdict.findings import Finalist
from lanewise.verdict.ranking import rank_finalists


class Comparison(Question):
    """Which of the recipes `named` is best?

    Raises:
        InputError: fewer than two recipes, two of one name, two that are the same, or a space among them.
    """

    asked = "compare"
    place = 1

    def __init__(self, named: Mapping[str, Recipe] | Sequence[tuple[str, Recipe]]) -> None:
        pairs = list(named.items()) if isinstance(named, Mapping) else list(named)
        if len(pairs) < 2:
            raise InputError(f"compare: {len(pairs)} recipe given; must be at least 2 to be compared")
        check_names(name for name, _ in pairs)
        self.entries = tuple(NamedRecipe(name, check_recipe(name, recipe)) for name, recipe in pairs)
        seen: dict[str, str] = {}
        for entry in self.entries:
            first = seen.setdefault(str(entry.recipe), entry.name)
            if first != entry.name:
                raise InputError(f"{entry.name}: is the same recipe as {first}; all recipes must differ")
        self.base = self.entries[0].recipe

    def prepare(self, engine: Engine, repeats: tuple[int, ...]) -> list[str]:
        self._repeats = repeats
        check_trainable(self.entries, engine)
        return []

    def phase(self, done: Sequence[PhaseResult]) -> Phase | None:
        return None if done else Phase(f"comparing {len(self.entries)} recipes", self.entries, self._repeats)

    def expected(self) -> list[tuple[Recipe, int]]:
        return [(entry.recipe, len(self._repeats)) for entry in self.entries]

    def answer(self, done: Sequence[PhaseResult], setup: Setup) -> ComparisonAnswer:
        return ComparisonAnswer(setup, compared_with_best(done[0], setup))

    def to_dict(self) -> dict[str, Any]:
        return {"recipes": {entry.name: dump(entry.recipe) for entry in self.entries}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> "Comparison":
        """The question that `to_dict` gave."""
        return cls({name: load(text, where)[0] for name, text in data["recipes"].items()})


def compared_with_best(trained: PhaseResult, setup: Setup) -> tuple[ComparedRecipe, ...]:
    """The recipes of a phase, ranked and compared as the finalists of a race are: see `rank_finalists`."""
    sample, every = sample_of(trained, setup), scored(trained, setup.kind)
    scores = score_intervals(sample)
    ranked = rank_finalists(range(len(every)), [one.recipe for one in every], sample)

    def shown(one: Finalist) -> Interval:
        """The score's own interval, about the mean that it is compared by."""
        own = scores[one.candidate]
        away = 0.0 if setup.kind.fraction else one.mean - own.mean
        moved = replace(own, mean=own.mean + away, low=own.low + away, high=own.high + away)
        return moved.within(*setup.bounds)

    return tuple(
        ComparedRecipe(every[one.candidate], shown(one), one.chance, one.difference, one.needed) for one in ranked
    )
