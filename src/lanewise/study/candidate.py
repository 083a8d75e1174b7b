"""What became of each candidate, and how candidates are ranked."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lanewise.lanes.cohort import Scores
from lanewise.recipe import Recipe

TIE = 0.01
"""Weight of the loss beside the error where candidates are ranked during the race."""


@dataclass
class Candidate:
    """What became of one candidate.

    Attributes:
        left_at: the progress at which it left the race, or None. loss, score: mean over repeats when last evaluated.
        diverged: repeat -> step at which the loss was no longer finite.
        curves: repeat -> points (progress, training loss, validation loss, metric).
    """

    number: int
    recipe: Recipe
    generation: int
    left_at: float | None = None
    loss: float = np.nan
    score: float = np.nan
    diverged: dict[int, int] = field(default_factory=dict)
    curves: dict[int, list[tuple[float, float, float, float]]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint: all but the recipe."""
        return {
            "number": self.number,
            "generation": self.generation,
            "left_at": self.left_at,
            "loss": self.loss,
            "score": self.score,
            "diverged": list(self.diverged.items()),
            "curves": list(self.curves.items()),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], recipe: Recipe) -> "Candidate":
        """The candidate that `to_dict` gave, with its recipe."""
        values = {name: data[name] for name in ("number", "generation", "left_at", "loss", "score")}
        curves = {repeat: [(a, b, c, d) for a, b, c, d in points] for repeat, points in data["curves"]}
        return cls(recipe=recipe, diverged=dict(data["diverged"]), curves=curves, **values)


def rung_scores(scores: Scores) -> np.ndarray:
    """One number for each score, lower is better: the error, with the loss to tell ties.

    The loss alone would punish recipes with label smoothing or mixup, whose outputs are less sure and as often right.
    """
    found: np.ndarray = 1 - scores.metric + TIE * scores.loss / (1 + scores.loss)
    return found


def standing(candidate: Candidate) -> tuple[float, float]:
    """What candidates are ranked by, lowest first: the metric counts, and ties are told by the loss."""
    return (-candidate.score, candidate.loss)
