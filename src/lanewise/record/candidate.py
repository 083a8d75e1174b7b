"""What became of each candidate, and how candidates are ranked."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lanewise.base.plain_data import checked, number, several
from lanewise.lanes.training.groups import Scores
from lanewise.recipe.recipe import Recipe

TIE = 0.01
"""Weight of the loss beside the error, a fraction, where candidates are ranked during the race."""
EXACT_TIE = 1e-9
"""The same beside other scores, as a share of the score: their unit is arbitrary, so it only breaks exact ties."""


@dataclass
class Candidate:
    """What became of one candidate.

    Attributes:
        stopped_at: the progress at which it left the race, or None. loss, score: mean over repeats when last evaluated;
            a score is the metric turned so that greater is better, here and in the curves.
        name: of a recipe of the portfolio; others are called by their number.
        diverged: repeat -> step at which the loss was no longer finite.
        curves: repeat -> points (progress, training loss, validation loss, metric).
    """

    number: int
    recipe: Recipe
    generation: int
    stopped_at: float | None = None
    loss: float = np.nan
    score: float = np.nan
    diverged: dict[int, int] = field(default_factory=dict)
    curves: dict[int, list[tuple[float, float, float, float]]] = field(default_factory=dict)
    name: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint: all but the recipe."""
        return {
            "number": self.number,
            "generation": self.generation,
            "name": self.name,
            "stopped_at": self.stopped_at,
            "loss": self.loss,
            "score": self.score,
            "diverged": list(self.diverged.items()),
            "curves": list(self.curves.items()),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], recipe: Recipe) -> "Candidate":
        """The candidate that `to_dict` gave, with its recipe."""
        values = {name: data[name] for name in ("number", "generation", "name", "stopped_at")}
        values |= {name: number(name, data[name]) for name in ("loss", "score")}
        curves = {repeat: curve_of(points) for repeat, points in data["curves"]}
        return checked(cls(recipe=recipe, diverged=dict(data["diverged"]), curves=curves, **values))

    @property
    def in_race(self) -> bool:
        """Whether it is still training: it was not stopped, nor did it diverge in any repeat."""
        return self.stopped_at is None and not self.diverged

    @property
    def scored(self) -> bool:
        """Whether it was evaluated, with a loss and a score that are finite."""
        return bool(np.isfinite(self.loss) and np.isfinite(self.score))


def curve_of(points: Any) -> list[tuple[float, float, float, float]]:
    """The points of a curve in a record: one or more of (progress, training loss, validation loss, metric)."""
    found = [tuple(number("curve", value) for value in point) for point in several("curve", points)]
    if not found or {len(point) for point in found} != {4}:
        raise ValueError("curve: must be points of four numbers, one or more")
    return [(a, b, c, d) for a, b, c, d in found]


def rung_scores(scores: Scores, fraction: bool = True) -> np.ndarray:
    """One number for each score, lower is better: the error, plus a little of the loss.

    Of a fraction the loss decides between errors that differ by less than a point or two; of other metrics it only
    breaks ties.

    The loss alone would punish recipes with label smoothing or mixup, whose outputs are less sure and as often right.
    The loss L counts as L / (1 + |L|), in (-1, 1), so that no loss, however large or negative, outweighs the metric.

    Args:
        fraction: whether the metric is in [0, 1], as accuracy is: then the error is 1 - metric, else -metric.
    """
    # An infinite score would beat or spoil all means; what is no finite number is not scored.
    loss, metric = (np.where(np.isfinite(given), given, np.nan) for given in (scores.loss, scores.metric))
    error = 1 - metric if fraction else 0.0 - metric
    # A metric of exactly 0 has no size of its own to take a share of.
    weight = TIE if fraction else EXACT_TIE * np.maximum(np.abs(metric), np.finfo(np.float64).tiny)
    found: np.ndarray = error + weight * loss / (1 + np.abs(loss))
    return found


def standing(candidate: Candidate) -> tuple[float, float]:
    """What candidates are ranked by, lowest first: by the metric, exact ties by the loss; NaN comes last."""
    return (float(np.nan_to_num(-candidate.score, nan=np.inf)), float(np.nan_to_num(candidate.loss, nan=np.inf)))
