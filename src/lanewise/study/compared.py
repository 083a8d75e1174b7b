"""`compare`: which of given recipes is best, and which others cannot be told from it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from lanewise.errors import InputError, one_line
from lanewise.lanes.engine import Engine
from lanewise.recipe import Recipe
from lanewise.recipe_file import dump, load
from lanewise.study.comparison import Settling
from lanewise.study.paired import Sample, score_intervals
from lanewise.study.phase import Entry, Phase, Trained, check_names, check_recipe
from lanewise.study.question import Answer, Ground, Question, Scored, check_trainable, scored
from lanewise.study.ranking import rank_finalists
from lanewise.study.statistics import Interval
from lanewise.study.verdict import chance_words, percent, plain, plain_difference, points


@dataclass(frozen=True, eq=False)
class Compared:
    """A recipe beside the best.

    Attributes:
        score: its expected score, in the metric's own direction, with an interval for it alone.
        chance: that it is the best of all. difference: best minus this one, above zero where the best is better; None
            for the best. settling: what would tell it from the best, where it cannot be told.
    """

    scored: Scored
    score: Interval
    chance: float
    difference: Interval | None
    settling: Settling | None

    @property
    def told_apart(self) -> bool:
        """Whether the best is better than this recipe beyond the error rate."""
        return self.difference is not None and self.difference.low > 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            **self.scored.to_dict(),
            "score": self.score.to_dict(),
            "chance_of_best": self.chance,
            "difference": self.difference.to_dict() if self.difference else None,
            "to_settle": asdict(self.settling) if self.settling else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> "Compared":
        """What `to_dict` gave."""
        difference = Interval(**data["difference"]) if data["difference"] else None
        more = Settling(**data["to_settle"]) if data["to_settle"] else None
        scored = Scored.from_dict(data, where)
        return cls(scored, Interval(**data["score"]), data["chance_of_best"], difference, more)


@dataclass(frozen=True, eq=False)
class ComparisonAnswer(Answer):
    """Which recipe is best; `compared` is ranked, the best first."""

    asked: ClassVar[str] = "compare"
    ground: Ground
    compared: tuple[Compared, ...]

    @property
    def best(self) -> Recipe:
        return self.compared[0].scored.recipe

    @property
    def equals(self) -> list[Compared]:
        """The other recipes that cannot be told from the best."""
        return [one for one in self.compared[1:] if not one.told_apart]

    def sentences(self) -> list[str]:
        first, second, ground = self.compared[0], self.compared[1], self.ground
        kind, runs = ground.kind, f"{ground.repeats} repeats"
        lines = [
            f"{first.scored.name} is {'best' if not self.equals else 'ahead'}: {ground.metric} "
            f"{score_words(first.score, ground)} on validation rows, over {runs} "
            f"(in brackets: 95% interval{'' if kind.greater_is_better else '; less is better'})."
        ]
        gap = second.difference
        assert gap is not None
        size = difference_words(gap, ground)
        told = "more than chance explains" if second.told_apart else "too close to tell them apart"
        lines.append(f"It is {size} {'ahead of' if gap.mean >= 0 else 'behind'} {second.scored.name}: {told}.")
        lines.append(f"The chance that it is the best of the {len(self.compared)}: {chance_words(first.chance)}.")
        same = [one.scored.name for one in self.equals]
        if same:
            lines.append(f"{listed(same)} cannot be told from {first.scored.name}, and may be as good.")
            if second.settling is not None:
                lines.append(settling_words(second.settling, first.scored.name, second.scored.name))
        else:
            lines.append("All others are worse, beyond the 5% error rate.")
        return lines

    def to_dict(self) -> dict[str, Any]:
        return {
            "asked": self.asked,
            **self.ground.to_dict(),
            "best": self.compared[0].scored.name,
            "equals": [one.scored.name for one in self.equals],
            "recipes": [one.to_dict() for one in self.compared],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> "ComparisonAnswer":
        """What `to_dict` gave; `InputError` naming `where` if something else stands there."""
        try:
            compared = tuple(Compared.from_dict(one, where) for one in data["recipes"])
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
            twin = seen.setdefault(str(entry.recipe), entry.name)
            if twin != entry.name:
                raise InputError(f"{entry.name}: is the same recipe as {twin}; every recipe must be another")
        self.base = self.entries[0].recipe

    def prepare(self, engine: Engine, repeats: tuple[int, ...]) -> list[str]:
        self._repeats = repeats
        check_trainable(self.entries, engine)
        return []

    def phase(self, done: Sequence[Trained]) -> Phase | None:
        return None if done else Phase(f"comparing {len(self.entries)} recipes", self.entries, self._repeats)

    def expected(self) -> list[tuple[Recipe, int]]:
        return [(entry.recipe, len(self._repeats)) for entry in self.entries]

    def answer(self, done: Sequence[Trained], ground: Ground) -> ComparisonAnswer:
        return ComparisonAnswer(ground, compared_with_best(done[0], ground))

    def to_dict(self) -> dict[str, Any]:
        return {"recipes": {entry.name: dump(entry.recipe) for entry in self.entries}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> "Comparison":
        """The question that `to_dict` gave."""
        return cls({name: load(text, where)[0] for name, text in data["recipes"].items()})


def compared_with_best(trained: Trained, ground: Ground) -> tuple[Compared, ...]:
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
    return tuple(
        Compared(every[one.candidate], scores[one.candidate], one.chance or 0.0, one.difference, one.settling)
        for one in ranked
    )


def settling_words(more: Settling, one: str, other: str) -> str:
    """What would tell two recipes apart."""
    if more.repeats is not None:
        count = "1 more repeat" if more.repeats == 1 else f"{more.repeats:,} more repeats"
        return (
            f"If the difference is as large as it seems, about {count} would more likely than not tell {other} from "
            f"{one}."
        )
    if more.rows is not None:
        rows = float(f"{more.rows:.2g}")
        return (
            f"More repeats will not tell {other} from {one}: the rows limit it; about {rows:,.0f} more would more "
            "likely than not."
        )
    return f"No reasonable number of repeats or rows would tell {other} from {one}: they are too much alike."


def score_words(interval: Interval, ground: Ground) -> str:
    """A score with its interval."""
    return percent(interval) if ground.kind.fraction else plain(interval)


def difference_words(interval: Interval, ground: Ground) -> str:
    """The size of a difference with its interval, seen from its own side."""
    return points(interval) if ground.kind.fraction else plain_difference(interval)


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
