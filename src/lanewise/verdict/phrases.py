"""Phrases that the verdict of a race and the answers about given recipes have in common.

A difference is always that of the winner, or the best, minus the other: above zero the winner is better, also where
less of the metric is. Prose, tables, figures and JSON all give it with that sign.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from lanewise.statistics.differences import Needed
from lanewise.statistics.intervals import Interval, middle_of
from lanewise.statistics.score_kind import ScoreKind

MINUS = "\N{MINUS SIGN}"
LEVEL = 0.95
TOO_CLOSE = "too close to call"
"""Of two whose comparison does not say which is better; in a cell of a table and in a sentence."""
FRACTION, PLAIN = ScoreKind(), ScoreKind(fraction=False)


def signed(number: str) -> str:
    """A number that is written without a plus, with its sign; zero has none, and minus is written as printers do."""
    return number.replace("-", MINUS, 1) if float(number) <= 0 else f"+{number}"


def lead_words(lead: Interval, kind: ScoreKind) -> tuple[str, str, str]:
    """(mean, low, high) of a difference with their signs.

    >>> lead_words(Interval(0.001, -0.0007, 0.00001, 8), ScoreKind()) == ("+0.100", f"{MINUS}0.070", "+0.001")
    True
    """
    mean, low, high = map(signed, kind.difference_words([lead.mean, lead.low, lead.high]))
    return mean, low, high


def difference_words(lead: Interval, kind: ScoreKind) -> str:
    """A difference with its interval, in a sentence.

    >>> print(difference_words(Interval(0.003, 0.002, 0.004, 8), ScoreKind()))
    +0.30 points (95% CI +0.20 to +0.40)
    """
    mean, low, high = lead_words(lead, kind)
    return f"{mean}{' points' if kind.fraction else ''} (95% CI {low} to {high})"


def score_words(score: Interval, kind: ScoreKind) -> str:
    """A score with its interval, in a sentence.

    >>> score_words(Interval(0.97777, 0.9712, 0.98444, 3), ScoreKind())
    '97.8% (95% CI 97.1% to 98.4%)'
    """
    mean, low, high = printed(kind.interval_words([score.mean, score.low, score.high]))
    return f"{mean} (95% CI {low} to {high})"


def percent(interval: Interval) -> str:
    """The interval of a score as percentages: `97.8% (95% CI 97.1% to 98.4%)`."""
    return score_words(interval, FRACTION)


def points(interval: Interval) -> str:
    """The interval of a difference in percentage points: `+0.30 points (95% CI -0.20 to +0.80)`."""
    return difference_words(interval, FRACTION)


def plain(interval: Interval) -> str:
    """The interval of a score as plain numbers: `0.1234 (95% CI 0.1102 to 0.1366)`."""
    return score_words(interval, PLAIN)


def plain_difference(interval: Interval) -> str:
    """The interval of a difference as plain numbers: `+0.012 (95% CI -0.004 to +0.028)`."""
    return difference_words(interval, PLAIN)


def compared_words(lead: Interval, other: str) -> str:
    """What the interval of a lead over `other` says, after a colon.

    >>> compared_words(Interval(0.1, -0.1, 0.3, 8), "the runner-up"), compared_words(Interval(0.2, 0.1, 0.3, 8), "")
    ('too close to call', 'significantly better')
    """
    if lead.excludes_zero:
        return "significantly better" if lead.mean > 0 else f"there {other} is significantly better"
    return TOO_CLOSE if lead.mean >= 0 else f"there {other} is ahead, but it is {TOO_CLOSE}"


def chance_words(chance: float) -> str:
    """A probability for people; never as if it were certain.

    >>> chance_words(0.624), chance_words(0.9991), chance_words(0.001)
    ('62%', 'over 99%', 'under 1%')
    """
    if chance > 0.99:
        return "over 99%"
    return f"{chance:.0%}" if chance >= 0.01 else "under 1%"


def clear_but_not_sure(chance: float) -> list[str]:
    """Why the chance of one that is significantly better than all others can be below 95%; nothing where it is not.

    >>> clear_but_not_sure(0.97)
    []
    """
    if chance >= LEVEL:
        return []
    return [
        "That is below 95% although every interval excludes zero: the chance also allows for luck, since the best of "
        "several is usually a lucky one, and the intervals do not."
    ]


def sure_but_not_clear(chance: float) -> list[str]:
    """Why the chance of one that is not significantly better than all others can be 95% and more; nothing where less.

    >>> sure_but_not_clear(0.9)
    []
    """
    if chance < LEVEL:
        return []
    return [
        "That is 95% or more although an interval includes zero: the intervals hold for all comparisons at once, so "
        "they are wider than a single one would be."
    ]


def needed_words(advice: Needed, one: str, other: str, many: str) -> str:
    """What would probably separate `one` from `other`; `many`: both together, such as "candidates 3 and 5"."""
    real = "if the lead is as large as it seems"
    runs = counted_runs(advice.repeats) if advice.repeats is not None else ""
    rows = "" if advice.rows is None else f"{float(f'{advice.rows:.2g}'):,.0f} more examples"
    if runs and rows:
        return (
            f"To separate {many} would take both more training runs and more examples: about {runs} and about {rows} "
            f"probably would, {real}."
        )
    if runs:
        return f"About {runs} would probably separate {many}, {real}."
    if rows:
        return f"More training runs alone would not separate {many}; about {rows} probably would, {real}."
    return f"Neither more training runs nor more examples, in reasonable numbers, are known to separate {many}."


def counted_runs(repeats: int) -> str:
    """`12 more training runs`, of each recipe."""
    return "1 more training run of each" if repeats == 1 else f"{repeats:,} more training runs of each"


def listed(names: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def candidates_named(numbers: Sequence[int]) -> str:
    """`candidate 3`, `candidates 3 and 5`."""
    return f"candidate{'s' * (len(numbers) > 1)} {listed([str(number) for number in numbers])}"


def means_words(repeats: int, kind: ScoreKind, worths: bool = False) -> str:
    """Which means the scores and leads of a table are, as a note beside it; `worths`: of an ablation.

    >>> means_words(8, PLAIN)[:35], means_words(8, FRACTION)
    ('Scores and leads are trimmed means,', 'Leads are worked out before scores are rounded.')
    """
    rounded = f"{'Worths' if worths else 'Leads'} are worked out before scores are rounded."
    cut = (repeats - len(middle_of(np.arange(repeats)))) // 2
    if kind.fraction or not cut:
        return rounded
    most = "best and the worst training run" if cut == 1 else f"{cut} best and {cut} worst training runs"
    if worths:
        return f"Worths are trimmed means of paired differences, not differences of the scores shown. {rounded}"
    return f"Scores and leads are trimmed means, without the {most} of each recipe, compared with the others. {rounded}"


def far_out(scores: np.ndarray) -> bool:
    """Whether the mean of all repeats lies beyond all those that count in `middle_mean`.

    >>> far_out(np.array([-3.5, -1e7, -3.4, -3.6, -3.5])), far_out(np.array([-3.5, -3.7, -3.4, -3.6, -3.5]))
    (True, False)
    """
    sound = np.sort(scores[np.isfinite(scores)])
    cut = len(sound) - len(middle_of(sound))
    if not cut:
        return False
    kept = middle_of(sound)
    return not kept[0] - np.ptp(kept) <= sound.mean() <= kept[-1] + np.ptp(kept)


REFERENCES = {
    "majority class": "always guessing the majority class",
    "majority token": "always guessing the most frequent token",
    "mean": "always guessing the mean",
    "median": "always guessing the median",
    "quantile": "always guessing the quantile",
    "linear model": "a linear model",
}
"""Simple models by name, in a sentence."""


def references_words(references: Mapping[str, float], kind: ScoreKind, on: str = "test") -> list[str]:
    """What simple models score on the test or validation examples, in a sentence; none where there are none.

    >>> references_words({"majority class": 0.343, "linear model": 0.52}, FRACTION)
    ['For reference, on the same test examples: always guessing the majority class 34.3%, a linear model 52.0%.']
    """
    words = printed(kind.interval_words(list(references.values())))
    told = [f"{REFERENCES.get(name, name)} {word}" for name, word in zip(references, words, strict=True)]
    return [f"For reference, on the same {on} examples: {', '.join(told)}."] if told else []


def unbeaten(score: float, references: Mapping[str, float], kind: ScoreKind) -> dict[str, float]:
    """Those of the `references` that a `score` is not better than."""
    return {name: one for name, one in references.items() if not kind.turned(score) > kind.turned(one)}


def unbeaten_words(score: float, references: Mapping[str, float], kind: ScoreKind) -> str:
    """Which simple models a `score` does not beat, as the end of a sentence; nothing where it beats all.

    >>> unbeaten_words(0.112, {"majority class": 0.343, "linear model": 0.1}, FRACTION)
    ', but does not beat always guessing the majority class (34.3%)'
    """
    ahead = unbeaten(score, references, kind)
    if not ahead:
        return ""
    # Rounded beside all others, as `references_words` does, so that a score is written in one way.
    words = printed(kind.interval_words(list(references.values())))
    told = [
        f"{REFERENCES.get(name, name)} ({word})" for name, word in zip(references, words, strict=True) if name in ahead
    ]
    return f", but does not beat {listed(told, 'or')}"


def printed(numbers: Sequence[str]) -> list[str]:
    """Numbers with the minus that printers use."""
    return [MINUS + number[1:] if number.startswith("-") else number for number in numbers]
