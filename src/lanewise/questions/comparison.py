"""`compare`: which of given recipes is best, and which others are too close to call."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from lanewise.errors import InputError, one_line
from lanewise.lanes.packs.engine import Engine
from lanewise.questions.paired_scores import Sample, score_intervals
from lanewise.questions.phase import Entry, Phase, PhaseResult, check_names, check_recipe
from lanewise.questions.question import Question, check_trainable, scored
from lanewise.recipe.file import dump, load
from lanewise.recipe.recipe import Recipe
from lanewise.statistics.differences import Needed
from lanewise.statistics.intervals import Interval
from lanewise.verdict import phrases
from lanewise.verdict.answer import Answer, Ground, Scored
from lanewise.verdict.phrases import chance_words, clear_but_not_sure, compared_words, listed, sure_but_not_clear
from lanewise.verdict.ranking import rank_finalists
from lanewise.verdict.verdict import Finalist

__all__ = [
    "ComparedRecipe",
    "Comparison",
    "ComparisonAnswer",
    "compared_with_best",
    "difference_words",
    "listed",
    "needed_words",
    "score_words",
]


@dataclass(frozen=True, eq=False)
class ComparedRecipe:
    """A recipe beside the best.

    Attributes:
        score: its expected score, in the metric's own direction, with an interval for it alone.
        chance: that it is the best of all, never above that of one before it. difference: best minus this one, above
            zero where the best is better; None for the best. Differences are differences of the scores' means.
        needed: what would separate it from the best, where it is too close to call.
    """

    scored: Scored
    score: Interval
    chance: float
    difference: Interval | None
    needed: Needed | None

    @property
    def significant(self) -> bool:
        """Whether the best is better than this recipe beyond the error rate."""
        return self.difference is not None and self.difference.low > 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            **self.scored.to_dict(),
            "score": self.score.to_dict(),
            "chance_of_best": self.chance,
            "difference": self.difference.to_dict() if self.difference else None,
            "needed_to_separate": asdict(self.needed) if self.needed else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> "ComparedRecipe":
        """What `to_dict` gave."""
        difference = Interval(**data["difference"]) if data["difference"] else None
        more = Needed(**data["needed_to_separate"]) if data["needed_to_separate"] else None
        scored = Scored.from_dict(data, where)
        return cls(scored, Interval(**data["score"]), data["chance_of_best"], difference, more)


@dataclass(frozen=True, eq=False)
class ComparisonAnswer(Answer):
    """Which recipe is best; `compared` is ranked, the best first."""

    asked: ClassVar[str] = "compare"
    ground: Ground
    compared: tuple[ComparedRecipe, ...]

    @property
    def best(self) -> Recipe:
        return self.compared[0].scored.recipe

    @property
    def tied(self) -> list[ComparedRecipe]:
        """The other recipes that are too close to the best to call."""
        return [one for one in self.compared[1:] if not one.significant]

    def sentences(self) -> list[str]:
        first, second, ground = self.compared[0], self.compared[1], self.ground
        kind, same = ground.kind, self.tied
        direction = "" if kind.greater_is_better else "; less is better"
        lines = [
            f"{first.scored.name} is {'ahead' if same else 'best'}: {ground.metric} "
            f"{score_words(first.score, ground)} on validation examples, over {ground.repeats} repeats"
            f"{ground.unbeaten_words(first.score.mean)}{direction}."
        ]
        gap = second.difference
        assert gap is not None
        told = compared_words(gap, second.scored.name)
        lines.append(f"Its lead over {second.scored.name} is {difference_words(gap, ground)}: {told}.")
        lines.append(f"The chance that it is the best of the {len(self.compared)} is {chance_words(first.chance)}.")
        if not same:
            lines += clear_but_not_sure(first.chance)
            lines.append("It is significantly better than every other recipe.")
            return [*lines, *ground.reference_sentences()]
        lines += sure_but_not_clear(first.chance)
        verb, which = ("is", "it") if len(same) == 1 else ("are", "any of them")
        names = listed([one.scored.name for one in same])
        lines.append(f"{names} {verb} too close to call, so {which} may be as good.")
        if (advice := same[0].needed) is not None:
            lines.append(needed_words(advice, first.scored.name, same[0].scored.name))
        return [*lines, *ground.reference_sentences()]

    def to_dict(self) -> dict[str, Any]:
        return {
            "asked": self.asked,
            **self.ground.to_dict(),
            "best": self.compared[0].scored.name,
            "tied": [one.scored.name for one in self.tied],
            "recipes": [one.to_dict() for one in self.compared],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> "ComparisonAnswer":
        """What `to_dict` gave; `InputError` naming `where` if something else stands there."""
        try:
            compared = tuple(ComparedRecipe.from_dict(one, where) for one in data["recipes"])
            return cls(Ground.from_dict(data), compared)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where}: does not hold a comparison: {one_line(error)}") from None


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
        self.entries = tuple(Entry(name, check_recipe(name, recipe)) for name, recipe in pairs)
        seen: dict[str, str] = {}
        for entry in self.entries:
            lane_layer = seen.setdefault(str(entry.recipe), entry.name)
            if lane_layer != entry.name:
                raise InputError(f"{entry.name}: is the same recipe as {lane_layer}; all recipes must differ")
        self.base = self.entries[0].recipe

    def prepare(self, engine: Engine, repeats: tuple[int, ...]) -> list[str]:
        self._repeats = repeats
        check_trainable(self.entries, engine)
        return []

    def phase(self, done: Sequence[PhaseResult]) -> Phase | None:
        return None if done else Phase(f"comparing {len(self.entries)} recipes", self.entries, self._repeats)

    def expected(self) -> list[tuple[Recipe, int]]:
        return [(entry.recipe, len(self._repeats)) for entry in self.entries]

    def answer(self, done: Sequence[PhaseResult], ground: Ground) -> ComparisonAnswer:
        return ComparisonAnswer(ground, compared_with_best(done[0], ground))

    def to_dict(self) -> dict[str, Any]:
        return {"recipes": {entry.name: dump(entry.recipe) for entry in self.entries}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> "Comparison":
        """The question that `to_dict` gave."""
        return cls({name: load(text, where)[0] for name, text in data["recipes"].items()})


def compared_with_best(trained: PhaseResult, ground: Ground) -> tuple[ComparedRecipe, ...]:
    """The recipes of a phase, ranked and compared as the finalists of a race are: see `rank_finalists`."""
    sample, every = Sample.of(trained, ground), scored(trained, ground.kind)
    scores = score_intervals(sample)
    train, valid = ground.rows
    ranked = rank_finalists(
        list(range(len(every))),
        [one.recipe for one in every],
        trained.scores.metric,
        trained.scores.loss,
        valid / train,
        valid,
        ground.kind,
        trained.rows,
    )

    def shown(one: Finalist) -> Interval:
        """The score's own interval, about the mean that it is compared by."""
        own = scores[one.candidate]
        away = 0.0 if one.mean is None or ground.kind.fraction else one.mean - own.mean
        moved = replace(own, mean=own.mean + away, low=own.low + away, high=own.high + away)
        return moved.within(*ground.bounds)

    return tuple(
        ComparedRecipe(every[one.candidate], shown(one), one.chance or 0.0, one.difference, one.needed)
        for one in ranked
    )


def needed_words(more: Needed, one: str, other: str) -> str:
    """What would separate two recipes."""
    return phrases.needed_words(more, one, other, f"{one} and {other}")


def score_words(interval: Interval, ground: Ground) -> str:
    """A score with its interval."""
    return phrases.score_words(interval, ground.kind)


def difference_words(interval: Interval, ground: Ground) -> str:
    """A difference with its interval, above zero where the first is better."""
    return phrases.difference_words(interval, ground.kind)
