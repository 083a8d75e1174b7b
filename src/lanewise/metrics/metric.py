"""What a metric is: what a model's outputs give for each row, and what a set of rows makes of that."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from lanewise.errors import InputError, a_type


@dataclass(frozen=True, eq=False)
class Unit:
    """The unit in which numeric targets are trained on: the data's own is mean + std times it.

    Attributes:
        mean: float64, [] or shaped as the target of one row. std: shaped as `mean`, above 0.
    """

    mean: np.ndarray
    std: np.ndarray

    def stds(self, rows: np.ndarray) -> np.ndarray:
        """The standard deviation of every number of a row's target, [numbers], of `rows` [rows, ...]."""
        return np.broadcast_to(self.std, rows.shape[1:]).reshape(-1)


OfSet = Callable[[np.ndarray, np.ndarray, Unit | None], np.ndarray]
"""(components [rows, ...], targets [rows, ...] as stored, unit of numeric targets) -> contributions, float64 [rows]."""


@dataclass(frozen=True)
class Metric:
    """A score by which recipes are compared.

    Args:
        name: for people. function: (outputs, targets) -> one score a row [rows], or one for them all (0-d); with
            `of_set` the components of each row instead, [rows, ...], of which the set's score is made.
        greater_is_better: the direction. fraction: whether every score is in [0, 1], as accuracy is.
        of_set: for metrics of a set of rows, such as R2: the contribution of each row. Their mean is the metric of the
            set, and their variance divided by the number of rows is its variance, to first order. None where the score
            of a set is the mean over its rows.
        bounds: the least and the greatest value that the score of a set can have; no interval goes beyond them.
        check: (targets of the set) -> why the metric has no value there, or None. of_data: whether that concerns every
            single target, so that a batch is not confused with the whole data.

    Raises:
        InputError: no name or function, or bounds that are not two numbers, the lower first.
    """

    name: str
    function: Callable[[Any, Any], Tensor] = field(repr=False)
    greater_is_better: bool = True
    fraction: bool = False
    of_set: OfSet | None = field(default=None, repr=False)
    check: Callable[[np.ndarray], str | None] | None = field(default=None, repr=False)
    of_data: bool = False
    bounds: tuple[float, float] = (-math.inf, math.inf)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not callable(self.function):
            raise InputError(
                f"metric: is given {self.name!r} and {a_type(self.function)}: must be a name and a function (outputs, "
                "targets)"
            )
        try:
            low, high = map(float, self.bounds)
            fine = low < high
        except (TypeError, ValueError):
            fine = False
        if not fine:
            raise InputError(
                f"metric {self.name!r}: bounds = {self.bounds!r}: must be the least and the greatest score, such as "
                "(0, 1)"
            )

    def contributions(self, scores: np.ndarray, targets: Any, unit: Unit | None) -> np.ndarray:
        """The contribution of each row, float64 [rows], turned so that greater is better.

        Args:
            scores: what `Objective.scores` gave, one a row: turned already, or the components of `of_set`.
            targets: of the same rows, as stored.
        """
        if self.of_set is None:
            return scores
        found = self.of_set(np.asarray(scores, dtype=np.float64), np.asarray(targets), unit)
        return found if self.greater_is_better else 0.0 - found
