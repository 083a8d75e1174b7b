"""What is found about given recipes: their scores, what was measured, and an answer in words and as data."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np

from lanewise.base.plain_data import vector, whole
from lanewise.printable import printable
from lanewise.recipe.file import from_dict, to_dict
from lanewise.recipe.recipe import Recipe
from lanewise.statistics.intervals import Interval
from lanewise.statistics.power import Needed
from lanewise.statistics.score_kind import ScoreKind

MOST_REPEATS = 10**6
"""What a record may say; a larger number is damage."""


@dataclass(frozen=True, eq=False)
class Scored:
    """A recipe with its scores.

    Attributes:
        scores: the metric, not negated, on the validation rows of each repeat [repeats], NaN where the run
            diverged. losses: of the same. zeros: share of the penalised weights that are exactly zero.
    """

    name: str
    recipe: Recipe
    scores: np.ndarray
    losses: np.ndarray
    zeros: float = 0.0

    @property
    def diverged(self) -> int:
        """How many of its training runs diverged."""
        return int(np.isnan(self.scores).sum())

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, which knows no NaN."""
        return {
            "name": self.name,
            "recipe": to_dict(self.recipe),
            "validation": _numbers(self.scores),
            "validation_loss": _numbers(self.losses),
            "zeros": self.zeros,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> "Scored":
        """What `to_dict` gave."""
        scores, losses = (vector(key, data[key]) for key in ("validation", "validation_loss"))
        return cls(data["name"], from_dict(data["recipe"], where), scores, losses, data["zeros"])


def _numbers(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


@dataclass(frozen=True)
class Setup:
    """What was measured, on what, and what it cost.

    Attributes:
        model, data: their names. repeats: how many runs of each recipe; `folds` of them validate on all rows once.
        rows: of a repeat, (training, validation). lane_steps, seconds, engine: as a verdict has them. bounds: of the
            metric, beyond which no interval of a score goes; not on record, since the intervals are.
        references: name -> the metric of a simple model on the same validation rows. reference_notes: a sentence each
            on what was left out or cut short there.
    """

    model: str
    data: str
    metric: str
    kind: ScoreKind
    repeats: int
    folds: int | None
    rows: tuple[int, int]
    lane_steps: int
    seconds: dict[str, float]
    engine: dict[str, Any] = field(default_factory=dict)
    bounds: tuple[float, float] = field(default=(-math.inf, math.inf), compare=False)
    references: dict[str, float] = field(default_factory=dict)
    reference_notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "model": self.model,
            "data": self.data,
            "metric": self.metric,
            "greater_is_better": self.kind.greater_is_better,
            "fraction": self.kind.fraction,
            "repeats": self.repeats,
            "folds": self.folds,
            "training_rows": self.rows[0],
            "validation_rows": self.rows[1],
            "lane_steps": self.lane_steps,
            "seconds": self.seconds,
            "engine": self.engine,
            "references": self.references,
            "reference_notes": list(self.reference_notes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Setup":
        """What `to_dict` gave; `data` may hold more."""
        kind = ScoreKind(data["greater_is_better"], data["fraction"])
        names = ("folds", "lane_steps", "seconds", "engine", "references")
        notes, rows = tuple(data["reference_notes"]), (data["training_rows"], data["validation_rows"])
        known = {name: data[name] for name in names} | {"repeats": whole("repeats", data["repeats"], 1, MOST_REPEATS)}
        return cls(data["model"], data["data"], data["metric"], kind, rows=rows, reference_notes=notes, **known)


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


class Answer(ABC):
    """What was found; `setup` is what was measured, and `best` the recipe to go on with."""

    asked: ClassVar[str]
    setup: Setup

    @property
    @abstractmethod
    def best(self) -> Recipe:
        """The recipe that goes into `best.yaml`."""

    @property
    @abstractmethod
    def headline(self) -> str:
        """The answer in one line."""

    @abstractmethod
    def details(self) -> list[str]:
        """All that there is to say after the headline, in sentences that make a paragraph."""

    @abstractmethod
    def data(self) -> dict[str, Any]:
        """Plain data, all but the words."""

    def sentences(self) -> list[str]:
        """The answer in words: the headline, then the details."""
        return [self.headline, *self.details()]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `verdict.json` and `--json`; the words that people read come first."""
        return {"asked": self.asked, "headline": self.headline, "sentences": self.details(), **self.data()}

    def __str__(self) -> str:
        return printable("\n".join(self.sentences()))
