"""What is found about given recipes: their scores, what those stand on, and an answer in words and as data."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from lanewise.printable import printable
from lanewise.recipe.file import from_dict, to_dict
from lanewise.recipe.recipe import Recipe
from lanewise.statistics.score_kind import ScoreKind
from lanewise.verdict import phrases


@dataclass(frozen=True, eq=False)
class Scored:
    """A recipe with its scores.

    Attributes:
        scores: the metric in its own direction on the validation rows of each repeat [repeats], NaN where the run
            diverged. losses: of the same. zeros: share of the penalised weights that are exactly zero.
    """

    name: str
    recipe: Recipe
    scores: np.ndarray
    losses: np.ndarray
    zeros: float = 0.0

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
        scores, losses = (np.array(data[key], dtype=np.float64) for key in ("validation", "validation_loss"))
        return cls(data["name"], from_dict(data["recipe"], where), scores, losses, data["zeros"])


def _numbers(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


@dataclass(frozen=True)
class Ground:
    """What was measured, on what, and what it cost.

    Attributes:
        model, data: their names. repeats: how many runs of each recipe; `folds` of them validate on all rows once.
        rows: of a repeat, (training, validation). lane_steps, seconds, engine: as a verdict has them. bounds: of the
            metric, beyond which no interval of a score goes; not on record, since the intervals are.
        references: name -> the metric of a simple model on the same validation rows, see `references_of`.
        reference_notes: a sentence each on what was left out or cut short there.
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

    def unbeaten_words(self, score: float) -> str:
        """Which simple models a `score` does not beat, as the end of a sentence; nothing where it beats all."""
        return phrases.unbeaten_words(score, self.references, self.kind)

    def reference_sentences(self) -> list[str]:
        """What simple models score on the rows that the recipes were scored on."""
        return [*phrases.references_words(self.references, self.kind, "validation"), *self.reference_notes]

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
    def from_dict(cls, data: Mapping[str, Any]) -> "Ground":
        """What `to_dict` gave; `data` may hold more."""
        kind = ScoreKind(data["greater_is_better"], data["fraction"])
        names = ("repeats", "folds", "lane_steps", "seconds", "engine")
        rows = (data["training_rows"], data["validation_rows"])
        known = {name: data[name] for name in names}
        # Records without these are older than they.
        known |= {"references": dict(data.get("references", {}))}
        known |= {"reference_notes": tuple(data.get("reference_notes", ()))}
        return cls(data["model"], data["data"], data["metric"], kind, rows=rows, **known)


class Answer(ABC):
    """What was found; `ground` is what it stands on, and `best` the recipe to go on with."""

    asked: ClassVar[str]
    ground: Ground

    @property
    @abstractmethod
    def best(self) -> Recipe:
        """The recipe that goes into `best.yaml`."""

    @abstractmethod
    def sentences(self) -> list[str]:
        """The answer in words."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain data for `verdict.json` and `--json`."""

    def __str__(self) -> str:
        return printable("\n".join(self.sentences()))
