"""What comparisons, sweeps and ablations say, sentence by sentence."""

from collections.abc import Sequence

from lanewise.statistics.intervals import Interval
from lanewise.verdict.answer import ComparedRecipe, Setup
from lanewise.verdict.phrases import (
    TOO_CLOSE,
    chance_sentences,
    difference_words,
    diverged_sentences,
    lead_sentence,
    listed,
    metric_words,
    needed_sentence,
    references_words,
    runs_words,
    score_words,
    unbeaten_words,
)
from lanewise.verdict.techniques import NO_EFFECT, Interaction, Tried, Worth

MOST_TOLD = 4
"""Pairs that are named in sentences; the table has all."""


def headline(best: str, score: float, setup: Setup) -> str:
    """What is best and its validation score: `Best recipe: slow - 97.6% validation accuracy`."""
    words = f"{setup.kind.words(score)} validation {metric_words(setup.metric)}"
    return f"{best} - {words}{unbeaten_words(score, setup.references, setup.kind)}"


def on_score(of: str, score: Interval, setup: Setup) -> str:
    """A validation score, and how often it was measured on what."""
    runs = runs_words(setup.repeats, "")
    if setup.folds:
        rounds = setup.repeats // setup.folds
        runs += f" ({setup.folds} folds{f', drawn {rounds} times' if rounds > 1 else ''})"
    direction = "" if setup.kind.greater_is_better else "; lower is better"
    return (
        f"Validation {metric_words(setup.metric)} of {of} is {score_words(score, setup.kind)}, from {runs} on "
        f"{setup.rows[1]:,} validation examples each{direction}."
    )


def on_ranked(
    setup: Setup, compared: Sequence[ComparedRecipe], what: str, in_order: Sequence[str] | None = None
) -> list[str]:
    """How sure the best of recipes or values is, and how well it does.

    Args:
        compared: the best first. what: one of them is called. in_order: their names as a list of them should go.
    """
    first, second, kind = compared[0], compared[1], setup.kind
    tied = [one for one in compared[1:] if not one.significant]
    names = [one.scored.name for one in tied]
    if in_order is not None:
        names = [name for name in in_order if name in names]
    count, name = len(compared), first.scored.name
    lines = chance_sentences(first.chance, f"{count} {what}s", names, count - 1, what)
    lines.append(on_score(name, first.score, setup))
    gap = second.difference
    assert gap is not None
    lines.append(lead_sentence(gap, kind, name, second.scored.name, second.scored.name))
    if tied and (advice := tied[0].needed) is not None:
        same = tied[0] is second and gap.mean >= 0
        lines.append(needed_sentence(advice, "them" if same else f"{name} and {tied[0].scored.name}"))
    lost = {one.scored.name: one.scored.diverged for one in compared}
    return [*lines, *diverged_sentences(lost, runs_words(setup.repeats, ""), kind)]


def on_references(setup: Setup) -> list[str]:
    """What simple models score on the examples that the recipes were scored on."""
    return [*references_words(setup.references, setup.kind, "validation"), *setup.reference_notes]


def on_standard_error(within: str, error: float, setup: Setup) -> str:
    """Which value the one-standard-error rule takes."""
    unit = setup.kind.difference_words([error])[0] + " points" * setup.kind.fraction
    return (
        f"The largest value within one standard error ({unit}) of the best is {within}: take it if you prefer more "
        "regularisation at the same score (one-standard-error rule, Breiman et al., 1984)."
    )


def on_edge(best: float, numbers: Sequence[float]) -> list[str]:
    """That the best value is the first or the last one tried, where others lie beyond it; below 0 none does.

    >>> on_edge(0.1, [0.1, 0.2]), on_edge(0.0, [0.0, 0.1])
    (['The best value is the smallest one tried, so a smaller one may be better still.'], [])
    """
    if best not in (min(numbers), max(numbers)) or best == 0:
        return []
    end, beyond = ("smallest", "smaller") if best == min(numbers) else ("largest", "larger")
    return [f"The best value is the {end} one tried, so a {beyond} one may be better still."]


def ablation_headline(worths: Sequence[Worth], score: float, setup: Setup) -> str:
    """Which techniques are proven to help: `Proven to help: schedule and momentum - 97.6% validation accuracy`."""
    helps = list(dict.fromkeys(worth.technique for worth in worths if worth.verdict == "helps"))
    return headline(f"Proven to help: {listed(helps)}" if helps else "No technique is proven to help", score, setup)


def on_worths(worths: Sequence[Worth], setup: Setup) -> list[str]:
    """What each technique is worth, those that are proven to help first."""
    lines = []
    for words, verdict in (("Proven to help", "helps"), ("Proven to hurt", "hurts")):
        told = [
            f"{one.name} {difference_words(one.difference, setup.kind)}" for one in worths if one.verdict == verdict
        ]
        if told:
            lines.append(f"{words}: {'; '.join(told)}.")
    unclear = [one.name for one in worths if one.verdict == TOO_CLOSE]
    if unclear:
        lines.append(f"Too close to call: {listed(unclear)}.")
    idle = [one.name for one in worths if one.verdict == NO_EFFECT]
    if idle:
        lines.append(f"No effect: without {listed(idle, 'or')}, every validation example gets the same score.")
    return lines


def on_pairs(interactions: Sequence[Interaction], setup: Setup) -> list[str]:
    """Which techniques depend on each other."""
    if not interactions:
        return []
    clear = [one for one in interactions if one.difference.excludes_zero]
    if not clear:
        return ["No pair of techniques clearly depends on each other."]
    told = [
        f"{one.first} and {one.second} {one.verdict}, {difference_words(one.difference, setup.kind)}"
        for one in clear[:MOST_TOLD]
    ]
    more = f"; {len(clear) - MOST_TOLD} more in the table" if len(clear) > MOST_TOLD else ""
    return [f"Pairs: {'; '.join(told)}{more}."]


def on_tried(tried: Tried) -> str:
    """Which learning rate is best without a technique."""
    low, high = min(tried.factors), max(tried.factors)
    edge = ""
    if tried.at_the_edge and tried.best != 1:
        edge = f"; a {'lower' if tried.best == low else 'higher'} one may be better still"
    best = "the recipe's own" if tried.best == 1 else f"{tried.best:g} times the recipe's"
    rates = f"{len(tried.factors)} learning rates ({low:g} to {high:g} times the recipe's)"
    return f"Without {tried.technique}, the best of {rates} is {best}{edge}."
