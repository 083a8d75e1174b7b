"""Scores, counts and times in words short enough for a cell of a table."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lanewise.statistics.intervals import middle_of
from lanewise.statistics.rounding import mean_of
from lanewise.statistics.score_kind import ScoreKind, plain_numbers

NOTHING = "\N{EN DASH}"


def loss_words(loss: float) -> str:
    """A loss with the same number of decimals as others of its size, so that a column of them can be compared.

    >>> loss_words(0.07871), loss_words(2.3), loss_words(31622.8)
    ('0.0787', '2.3000', '3.16e+04')
    """
    return f"{loss:.4f}" if abs(loss) < 100 else f"{loss:.3g}"


def score_words(scores: NDArray[np.float64], kind: ScoreKind, mean: float | None = None) -> str:
    """The mean of scores over repeats, or how many of the repeats diverged.

    Args:
        mean: by which the scores are compared, if it is known; else the mean of the runs that count, see `middle_of`.

    >>> score_words(np.array([0.97, 0.98]), ScoreKind()), score_words(np.array([0.97, np.nan]), ScoreKind())
    ('97.50%', '1 of 2 diverged')
    """
    lost = int(np.isnan(scores).sum())
    if lost:
        return f"{lost} of {len(scores)} diverged"
    return kind.words(mean_of(scores if kind.fraction else middle_of(scores)) if mean is None else mean, 2)


def score_column(rows: Sequence[tuple[NDArray[np.float64], float | None]], kind: ScoreKind) -> list[str]:
    """`score_words` of several recipes below each other, all with the same decimals.

    Args:
        rows: the scores of each over repeats [repeats], and the mean that they are compared by, if it is known.
    """
    if kind.fraction:
        return [score_words(scores, kind, mean) for scores, mean in rows]
    means = [mean_of(middle_of(scores)) if mean is None else mean for scores, mean in rows]
    sound = [bool(np.isfinite(scores).all()) for scores, _ in rows]
    shown = iter(plain_numbers([mean for mean, whole in zip(means, sound, strict=True) if whole]))
    return [next(shown) if whole else score_words(scores, kind) for (scores, _), whole in zip(rows, sound, strict=True)]


def lead_unit(kind: ScoreKind) -> str:
    """What follows the word `lead` in the head of a column."""
    return ", points" if kind.fraction else ""


def time_words(seconds: float) -> str:
    """A time for people: `4 s`, `2 min 05 s`, `3 h 07 min`.

    >>> time_words(4.2), time_words(125), time_words(3600 * 3 + 400)
    ('4 s', '2 min 05 s', '3 h 06 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def counted(count: int, singular: str, plural: str = "") -> str:
    """`1 recipe`, `2 recipes`; thousands are set apart.

    >>> counted(1, "recipe"), counted(40560, "lane-step")
    ('1 recipe', '40,560 lane-steps')
    """
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"
