"""What kind of score a metric is: how it is compared inside a study, and how it is written for people."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, overload

import numpy as np

from lanewise.statistics.rounding import beside, exponential, fixed

SIGNIFICANT, SIGNIFICANT_DIFFERENCE = 4, 3
"""Digits of a score, and of a difference of scores, that are no fractions."""
POINT_DECIMALS = 2
"""Decimals of a difference in percentage points."""
MOST_DECIMALS = 6
MOST_DIGITS = 6


class Scored(Protocol):
    """What a metric says of its scores; see `lanewise.metrics.Metric`."""

    @property
    def greater_is_better(self) -> bool: ...
    @property
    def fraction(self) -> bool: ...


@dataclass(frozen=True)
class ScoreKind:
    """How the scores of a metric are read.

    Args:
        greater_is_better: the direction. fraction: whether every score is in [0, 1]: written in percent, and
            differences in percentage points; all others are plain numbers.
    """

    greater_is_better: bool = True
    fraction: bool = True

    @classmethod
    def of(cls, metric: Scored) -> "ScoreKind":
        """The kind of score that `metric` gives."""
        return cls(metric.greater_is_better, metric.fraction)

    @overload
    def turned(self, score: float) -> float: ...
    @overload
    def turned(self, score: np.ndarray) -> np.ndarray: ...
    def turned(self, score: Any) -> Any:
        """Scores or their differences as greater is better, and back: negated where less is better.

        >>> ScoreKind(greater_is_better=False).turned(0.25), ScoreKind().turned(0.25)
        (-0.25, 0.25)
        """
        # Taken from zero, so that zero does not become -0.0.
        return score if self.greater_is_better else 0.0 - score

    def words(self, score: float, decimals: int = 1) -> str:
        """A score for people; `decimals` of a percentage.

        >>> ScoreKind().words(0.9783), ScoreKind(fraction=False).words(0.9783)
        ('97.8%', '0.9783')
        """
        return f"{fixed(100 * score, decimals)}%" if self.fraction else plain_numbers([score])[0]

    def interval_words(self, values: Sequence[float], decimals: int = 1) -> list[str]:
        """Scores that stand beside each other, as the ends of an interval do; `decimals` of a percentage, or more.

        >>> ScoreKind().interval_words([0.978, 0.9712, 0.9846]), ScoreKind(fraction=False).interval_words([0.5, -0.25])
        (['97.8%', '97.1%', '98.5%'], ['0.5000', '-0.2500'])
        """
        if not self.fraction:
            return plain_numbers(values, signs=True)
        return [f"{word}%" for word in beside([100 * value for value in values], decimals)]

    def difference_words(self, values: Sequence[float]) -> list[str]:
        """Differences of scores that stand beside each other: percentage points, or plain numbers; signs are seen.

        >>> ScoreKind().difference_words([0.003, -0.002]), ScoreKind(fraction=False).difference_words([0.003, -0.02])
        (['0.30', '-0.20'], ['0.0030', '-0.0200'])
        >>> ScoreKind().difference_words([0.0052, 0.00003, 0.0104])
        ['0.520', '0.003', '1.040']
        """
        if not self.fraction:
            return plain_numbers(values, SIGNIFICANT_DIFFERENCE, signs=True)
        return beside([100 * value for value in values], POINT_DECIMALS)


def plain_numbers(values: Sequence[float], significant: int = SIGNIFICANT, signs: bool = False) -> list[str]:
    """Numbers with as many decimals as give the largest of them its `significant` digits; exponents where need be.

    Args:
        signs: whether more decimals are taken where a number that is not zero would be printed as zero.

    >>> plain_numbers([0.12345, 0.1, -0.00001]), plain_numbers([31.25]), plain_numbers([12345.6, 2.0])
    (['0.1235', '0.1000', '0.0000'], ['31.25'], ['12346', '2'])
    >>> plain_numbers([0.0]), plain_numbers([1.5e-7, 0.0]), plain_numbers([2.5e9])
    (['0.000'], ['1.500e-07', '0.000e+00'], ['2.500e+09'])
    """
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    power = math.floor(math.log10(largest)) if largest > 0 else 0
    if power >= MOST_DIGITS or power < significant - 1 - MOST_DECIMALS:
        return [exponential(value, significant - 1) for value in values]
    decimals = max(0, significant - 1 - power)
    return beside(values, decimals) if signs else [fixed(value, decimals) for value in values]
