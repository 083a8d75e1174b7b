"""What the verdict of a race says, sentence by sentence: short, each about one thing, in the order that people ask."""

import numpy as np

from lanewise.statistics.heavy_tails import HeavyTails
from lanewise.statistics.intervals import Interval
from lanewise.statistics.score_kind import plain_numbers
from lanewise.verdict.findings import Finalist, Findings
from lanewise.verdict.phrases import (
    candidates_named,
    chance_sentences,
    difference_words,
    diverged_sentences,
    far_out,
    lead_sentence,
    metric_words,
    needed_sentence,
    references_words,
    runs_words,
    score_words,
    unbeaten_words,
)
from lanewise.verdict.recipe_words import brief, headline_words


def headline(found: Findings) -> str:
    """The best recipe and its test score: `Best recipe: SGD, cosine learning rate from 0.79 - 97.6% test accuracy`."""
    score = f"{found.kind.words(found.test.mean)} test {metric_words(found.metric)}"
    beaten = unbeaten_words(found.test.mean, found.references, found.kind)
    return f"Best recipe: {headline_words(found.winner)} - {score}{beaten}"


def sentences(found: Findings) -> list[str]:
    """All that there is to say after the headline."""
    return [
        *on_others_diverged(found),
        *on_finalists(found),
        on_test_score(found),
        *(tails_sentences(found.heavy_tails) if found.heavy_tails else []),
        *on_runner_up(found),
        *on_baseline(found),
        *references_words(found.references, found.kind),
        *found.reference_notes,
        *on_candidates(found),
        *on_diverged(found),
        *on_far_out(found),
        *on_zeros(found),
    ]


def on_others_diverged(found: Findings) -> list[str]:
    """That the winner won because all others diverged, where that is why."""
    lost = found.others_diverged
    if not lost:
        return []
    if len(found.finalists) == 1:
        others = "the other candidate" if lost == 1 else f"{lost} other candidates"
        return [f"It won only because {others} that came as far diverged before the end of training."]
    others = {1: "the other finalist", 2: "both other finalists"}.get(lost, f"all {lost} other finalists")
    return [f"It won only because {others} diverged in all {runs_words(len(found.finalists[0].scores))}."]


def on_finalists(found: Findings) -> list[str]:
    """How likely it is that the winner is the best of the finalists, and which others could be as good."""
    others = len(found.finalists) - 1
    if not others:
        return ["It is the only finalist, so there is nothing to compare it with."]
    tied = [one.label for one in found.tied]
    if tied:
        tied[0] = f"candidate{'s' * (len(tied) > 1)} {tied[0]}"
    return chance_sentences(found.finalists[0].chance, f"{others + 1} finalists", tied, others, "finalist")


def on_test_score(found: Findings) -> str:
    """How well the winner does on examples that it never saw."""
    rows = f" on {found.test_rows:,} held-out examples" if found.test_rows else " on held-out examples"
    direction = "" if found.kind.greater_is_better else "; lower is better"
    return (
        f"Test {metric_words(found.metric)} is {score_words(found.test, found.kind)}, from "
        f"{runs_words(found.test.repeats)}{rows}{direction}."
    )


def tails_sentences(tails: HeavyTails) -> list[str]:
    """That few test examples decide the score.

    >>> tails_sentences(HeavyTails(4, 400, 0.31))[0]
    'Few test examples decide this score: the 4 most extreme of 400 make up 31% of all deviation from the median.'
    """
    few = "a single example makes up" if tails.rows == 1 else f"the {tails.rows} most extreme of {tails.of:,} make up"
    return [
        f"Few test examples decide this score: {few} {tails.share:.0%} of all deviation from the median.",
        "Others like them may be missing from the sample, so the interval can be too narrow.",
    ]


def on_runner_up(found: Findings) -> list[str]:
    """The lead over the runner-up on the test examples, and what would separate the winner from the first tied one."""
    if len(found.finalists) == 1:
        return []
    second, lead = found.finalists[1], found.difference
    named = f"the runner-up ({second.label})"
    if lead is None:
        lines = [f"On test it cannot be compared with {named}: too few training runs of both finished with a score."]
    else:
        lines = [lead_sentence(lead, found.kind, "The winner", named, "On test the runner-up")]
    agree = lead is None or (lead.mean >= 0 and (lead.excludes_zero == second.significant))
    if not agree:
        lines.append(
            "The finalists are compared on validation examples; test examples are others, so the two can differ."
        )
    if found.tied and (advice := found.tied[0].needed) is not None:
        same = agree and lead is not None and found.tied[0] is second
        pair = [found.finalists[0].candidate, found.tied[0].candidate]
        lines.append(needed_sentence(advice, "them" if same else candidates_named(pair)))
    return lines


def on_baseline(found: Findings) -> list[str]:
    """Whether the race found something better than the recipe that the user gave."""
    if found.baseline is None:
        return []
    own = next(one for one in found.finalists if one.candidate == found.baseline.candidate)
    named = f"the baseline {own.name} ({brief(own.recipe)})" if own.name else f"your baseline ({brief(own.recipe)})"
    if own is found.finalists[0]:
        return [f"The best recipe is {named}: the race found nothing better."]
    test, validation = found.baseline.difference, own.difference
    assert validation is not None
    if test is None:
        return [f"{_gain(validation, named, found)[:-1]}, on validation examples."]
    lines = [_gain(test, named, found)]
    if (test.low > 0) != own.significant:
        what = "is proven" if own.significant else "is too close to call"
        lines.append(f"On validation examples the gain {what}: {difference_words(validation, found.kind)}.")
    return lines


def _gain(lead: Interval, named: str, found: Findings) -> str:
    """The gain over a baseline that is `named` so."""
    if lead.high < 0:
        return f"On test {named} is significantly better than the winner: {difference_words(lead.negated, found.kind)}."
    proven = "Proven gain" if lead.low > 0 else "No proven gain"
    return f"{proven} over {named}: {difference_words(lead, found.kind)}."


def on_candidates(found: Findings) -> list[str]:
    """How many of the candidates counted for nothing."""
    told = [f"{found.diverged} diverged in the race"] if found.diverged else []
    told += [f"{found.duplicates} had the same recipe as another"] if found.duplicates else []
    return [f"Of the {found.candidates} candidates, {' and '.join(told)}."] if told else []


def on_diverged(found: Findings) -> list[str]:
    """Which of the finalists diverged in the confirmation."""
    lost = {candidates_named([one.candidate]): one.diverged for one in found.finalists}
    return diverged_sentences(lost, runs_words(len(found.finalists[0].scores)), found.kind)


def on_far_out(found: Findings) -> list[str]:
    """That one run would have outweighed all others, where it would have."""
    far: list[Finalist] = [] if found.kind.fraction else [one for one in found.finalists if far_out(one.scores)]
    if not far:
        return []
    worst = found.kind.turned(min(float(np.nanmin(found.kind.turned(one.scores))) for one in far))
    return [
        f"Single training runs of {candidates_named([one.candidate for one in far])} scored far worse than the rest "
        f"(the worst: {plain_numbers([worst])[0]}), so means and comparisons leave out each recipe's best and worst "
        "runs."
    ]


def on_zeros(found: Findings) -> list[str]:
    """How sparse the winner's weights are."""
    zeros = found.finalists[0].zeros
    return [f"{zeros:.1%} of the winner's penalised weights are exactly zero."] if zeros else []
