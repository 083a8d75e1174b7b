"""Numbers, names and short sentences that the verdict of a race and the answers about given recipes share.

A difference is the winner, or the best, minus the other: above zero the winner is better, also where less of a metric
is better. Where the other is ahead, a sentence says by how much, and gives the interval of that number.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from lanewise.statistics.intervals import Interval, middle_of
from lanewise.statistics.power import Needed
from lanewise.statistics.score_kind import ScoreKind

LEVEL = 0.95
TOO_CLOSE, BETTER = "too close to call", "significantly better"
"""What the interval of a difference says, in a table and in a sentence."""
REFERENCES = {
    "majority class": "always guessing the majority class",
    "majority token": "always guessing the most frequent token",
    "mean": "always guessing the mean",
    "median": "always guessing the median",
    "quantile": "always guessing the quantile",
    "linear model": "a linear model",
}
"""Simple models by name, in a sentence."""


def metric_words(name: str) -> str:
    """The name of a metric, such that a number can stand before or behind it.

    >>> metric_words("accuracy"), metric_words("quantile 0.9")
    ('accuracy', 'quantile-0.9 loss')
    """
    return re.sub(r"^quantile (?=[\d.]+$)(.*)", r"quantile-\1 loss", name)


def signed(number: str) -> str:
    """A number that is written without a plus, with its sign; zero has none."""
    return number if float(number) <= 0 else f"+{number}"


def lead_words(lead: Interval, kind: ScoreKind) -> tuple[str, str, str]:
    """(mean, low, high) of a difference with their signs.

    >>> lead_words(Interval(0.001, -0.0007, 0.00001, 8), ScoreKind())
    ('+0.100', '-0.070', '+0.001')
    """
    mean, low, high = map(signed, kind.difference_words([lead.mean, lead.low, lead.high]))
    return mean, low, high


def difference_words(lead: Interval, kind: ScoreKind) -> str:
    """A difference with its sign and its interval.

    >>> difference_words(Interval(0.003, -0.002, 0.004, 8), ScoreKind())
    '+0.30 points (95% CI -0.20 to +0.40)'
    """
    mean, low, high = lead_words(lead, kind)
    return f"{mean}{' points' if kind.fraction else ''} (95% CI {low} to {high})"


def score_words(score: Interval, kind: ScoreKind) -> str:
    """A score with its interval.

    >>> score_words(Interval(0.97777, 0.9712, 0.98444, 3), ScoreKind())
    '97.8% (95% CI 97.1 to 98.4)'
    """
    mean, low, high = kind.interval_words([score.mean, score.low, score.high])
    return f"{mean} (95% CI {low.removesuffix('%')} to {high.removesuffix('%')})"


def compared_words(lead: Interval) -> str:
    """What the interval of a difference says about the recipe that is ahead.

    >>> compared_words(Interval(0.1, -0.1, 0.3, 8)), compared_words(Interval(-0.2, -0.3, -0.1, 8))
    ('too close to call', 'significantly better')
    """
    return BETTER if lead.excludes_zero else TOO_CLOSE


def lead_sentence(lead: Interval, kind: ScoreKind, best: str, other: str, behind: str = "") -> str:
    """Who leads by how much, and whether that is more than chance.

    Args:
        behind: what the other is called where it is ahead, such as "On test the runner-up".

    >>> lead_sentence(Interval(0.0003, -0.0032, 0.0039, 8), ScoreKind(), "The winner", "the runner-up (14)")
    'The winner leads the runner-up (14) by 0.03 points (95% CI -0.32 to +0.39): too close to call.'
    >>> behind = Interval(-0.0107, -0.0384, 0.0170, 8)
    >>> lead_sentence(behind, ScoreKind(fraction=False), "", "", "On test the runner-up")
    'On test the runner-up scored 0.0107 higher (95% CI -0.0170 to +0.0384): too close to call.'
    """
    unit = " points" if kind.fraction else ""
    if lead.mean == 0:
        _, low, high = lead_words(lead, kind)
        return f"{best} and {other} have the same score (95% CI of the difference {low} to {high}{unit}): {TOO_CLOSE}."
    if lead.mean > 0:
        mean, low, high = lead_words(lead, kind)
        return f"{best} leads {other} by {mean[1:]}{unit} (95% CI {low} to {high}): {compared_words(lead)}."
    mean, low, high = lead_words(lead.negated, kind)
    way, note = ("higher", "") if kind.greater_is_better else ("lower", "; lower is better")
    return f"{behind} scored {mean[1:]}{unit} {way} (95% CI {low} to {high}{note}): {compared_words(lead)}."


def chance_words(chance: float) -> str:
    """A probability for people; never as if it were certain.

    >>> chance_words(0.624), chance_words(0.9991), chance_words(0.001)
    ('62%', 'over 99%', 'under 1%')
    """
    if chance > 0.99:
        return "over 99%"
    return f"{chance:.0%}" if chance >= 0.01 else "under 1%"


def chance_sentences(chance: float, of: str, tied: Sequence[str], others: int, other: str) -> list[str]:
    """How likely it is that the best is the best, and which others could be as good.

    Args:
        of: those compared, such as "6 finalists". tied: names of those too close to call, the first with what all of
            them are called in front, if anything. others: how many were compared with the best. other: what one is.

    >>> chance_sentences(0.61, "3 finalists", ["candidate 14"], 2, "finalist")[-1]
    'Candidate 14 is too close to call, so it could be as good.'
    >>> chance_sentences(0.999, "3 finalists", [], 2, "finalist")
    ['Its chance of being the best of the 3 finalists is over 99%.', 'It clearly beat every other finalist.']
    """
    lines = [f"Its chance of being the best of the {of} is {chance_words(chance)}."]
    if not tied:
        lines.append(f"It clearly beat {'the' if others == 1 else 'every'} other {other}.")
        if chance < LEVEL:
            lines.append(
                "The chance is below 95% all the same: it also allows for luck, and the best of several is often a "
                "lucky one."
            )
        return lines
    which, verb = ("it", "is") if len(tied) == 1 else ("any of them", "are")
    lines.append(f"{sentence_start(listed(tied))} {verb} {TOO_CLOSE}, so {which} could be as good.")
    if chance >= LEVEL:
        lines.append(
            "The chance is that high all the same: the comparisons are made together, so each needs a wider margin "
            "than it would alone."
        )
    return lines


def needed_sentence(advice: Needed, them: str = "them") -> str:
    """What would probably separate two recipes that are too close to call.

    >>> needed_sentence(Needed(rows=25_300))[:60]
    'More training runs would not separate them; about 25,000 mor'
    """
    runs = "" if advice.repeats is None else counted_runs(advice.repeats)
    rows = "" if advice.rows is None else f"{float(f'{advice.rows:.2g}'):,.0f} more examples"
    if runs and rows:
        return f"About {runs} and {rows} together would probably separate {them}, if the lead is real."
    if runs:
        return f"About {runs} would probably separate {them}, if the lead is real."
    if rows:
        return f"More training runs would not separate {them}; about {rows} probably would, if the lead is real."
    return f"No reasonable number of training runs or examples would separate {them}."


def counted_runs(repeats: int) -> str:
    """`12 more training runs`, of each recipe."""
    return "1 more training run of each" if repeats == 1 else f"{repeats:,} more training runs of each"


def runs_words(runs: int, new: str = "new ") -> str:
    """`8 new training runs`, or without `new`."""
    return f"{runs:,} {new}training run{'s' * (runs != 1)}"


def diverged_sentences(lost: Mapping[str, int], runs: str, kind: ScoreKind) -> list[str]:
    """Which recipes diverged in some of their `runs`, and what that counts as; `lost`: name -> in how many.

    >>> diverged_sentences({"candidate 18": 2}, "8 new training runs", ScoreKind())
    ['Candidate 18 diverged in 2 of 8 new training runs; a diverged run counts as the worst possible score.']
    """
    if not any(lost.values()):
        return []
    told = sentence_start(listed([f"{name} diverged in {count}" for name, count in lost.items() if count]))
    counts = "counts as the worst possible score" if kind.fraction else "ranks a recipe behind those with fewer"
    return [f"{told} of {runs}; a diverged run {counts}."]


def listed(names: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def sentence_start(text: str) -> str:
    """`text` with a capital where it begins with a word of ours, such as "candidate"."""
    return f"C{text[1:]}" if text.startswith("candidate") else text


def candidates_named(numbers: Sequence[int]) -> str:
    """`candidate 3`, `candidates 3 and 5`."""
    return f"candidate{'s' * (len(numbers) > 1)} {listed([str(number) for number in numbers])}"


def means_words(repeats: int, kind: ScoreKind, worths: bool = False) -> str:
    """Which means the scores and leads of a table are, as a note beside it; `worths`: of an ablation.

    >>> means_words(8, ScoreKind(fraction=False))[:35], means_words(8, ScoreKind())
    ('Scores and leads are trimmed means:', 'Leads are computed before scores are rounded.')
    """
    rounded = "Worth is computed" if worths else "Leads are computed"
    rounded += " before scores are rounded."
    cut = (repeats - len(middle_of(np.arange(repeats)))) // 2
    if kind.fraction or not cut:
        return rounded
    if worths:
        return f"Worth is a trimmed mean of paired differences, not a difference of the scores shown. {rounded}"
    most = "best and worst training run" if cut == 1 else f"{cut} best and {cut} worst training runs"
    return f"Scores and leads are trimmed means: each recipe's {most} are left out. {rounded}"


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


def references_words(references: Mapping[str, float], kind: ScoreKind, on: str = "test") -> list[str]:
    """What simple models score on the same test or validation examples, in a sentence; none where there are none.

    >>> references_words({"majority class": 0.343, "linear model": 0.52}, ScoreKind())
    ['Simple models on the same test examples: always guessing the majority class 34.3%, a linear model 52.0%.']
    """
    words = kind.interval_words(list(references.values()))
    told = [f"{REFERENCES.get(name, name)} {word}" for name, word in zip(references, words, strict=True)]
    return [f"Simple models on the same {on} examples: {', '.join(told)}."] if told else []


def unbeaten(score: float, references: Mapping[str, float], kind: ScoreKind) -> dict[str, float]:
    """Those of the `references` that a `score` is not better than."""
    return {name: one for name, one in references.items() if not kind.turned(score) > kind.turned(one)}


def unbeaten_words(score: float, references: Mapping[str, float], kind: ScoreKind) -> str:
    """Which simple models a `score` does not beat, as the end of a headline; nothing where it beats all.

    >>> unbeaten_words(0.112, {"majority class": 0.343, "linear model": 0.1}, ScoreKind())
    ', which does not beat always guessing the majority class (34.3%)'
    """
    ahead = unbeaten(score, references, kind)
    if not ahead:
        return ""
    # Rounded beside all others, as `references_words` does, so that a score is written in one way.
    words = kind.interval_words(list(references.values()))
    told = [
        f"{REFERENCES.get(name, name)} ({word})" for name, word in zip(references, words, strict=True) if name in ahead
    ]
    return f", which does not beat {listed(told, 'or')}"
