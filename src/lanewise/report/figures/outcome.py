"""What became of every candidate, and in which settings candidates differ: what leaderboard and figures are made of."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from lanewise.parts.schedules import Schedule
from lanewise.recipe.ranges import Log
from lanewise.recipe.recipe import Recipe, timed_fields, variables
from lanewise.record.candidate import Candidate, standing
from lanewise.report.words import NOTHING
from lanewise.study.race import Study
from lanewise.verdict.recipe_words import group_words, label, optimizer_words, peak, shape_words, short

WINNER, FINALIST, FINISHED, LEFT, DIVERGED = "winner", "finalist", "finished", "left", "diverged"
DECADES_APART = 1e3
"""Values this many times apart are read on a logarithmic axis, even where the space does not draw them so."""


@dataclass(frozen=True)
class CandidateOutcome:
    """A candidate's place when all is over.

    Attributes:
        place: 1 for the winner. state: one of the words above. words: the state in words, for a table.
        reached: share of its run that it was trained for in the race, 0 to 1.
    """

    candidate: Candidate
    place: int
    state: str
    words: str
    reached: float

    @property
    def number(self) -> int:
        """The candidate's number."""
        return self.candidate.number

    @property
    def recipe(self) -> Recipe:
        """The candidate's recipe."""
        return self.candidate.recipe


def outcomes(study: Study) -> list[CandidateOutcome]:
    """All candidates, best first.

    Winner and finalists stand in the order of the confirmation, then those that finished by their score, ties by their
    loss, then those that left, the longer they stayed the higher, and last those that diverged.
    """
    confirmed = [finalist.candidate for finalist in study.verdict.finalists]
    found = []
    for candidate in study.candidates:
        state, words = _state(candidate, confirmed, study.settings.repeats)
        reached = max((points[-1][0] for points in candidate.curves.values() if points), default=0.0)
        if state == DIVERGED:
            # Its lanes are carried on as NaN until the next rung, so their curves say nothing about how far it came.
            reached = (
                min(candidate.diverged.values()) / run_length(study, candidate.recipe)[0] if candidate.diverged else 1.0
            )
        rank = (WINNER, FINALIST, FINISHED, LEFT, DIVERGED).index(state)
        order = confirmed.index(candidate.number) if candidate.number in confirmed else 0
        found.append(((rank, order, -reached, *standing(candidate)), candidate, state, words, reached))
    found.sort(key=lambda entry: entry[0])
    return [CandidateOutcome(entry[1], place, *entry[2:]) for place, entry in enumerate(found, start=1)]


def run_length(study: Study, recipe: Recipe) -> tuple[int, int]:
    """(steps of the whole run, steps of an epoch) of a lane that trains by `recipe`."""
    per_epoch = study.engine.feed(recipe, 0).steps_per_epoch
    return recipe.epochs * per_epoch, per_epoch


def _state(candidate: Candidate, confirmed: Sequence[int], repeats: int) -> tuple[str, str]:
    if candidate.number == confirmed[0]:
        return WINNER, "winner"
    if candidate.number in confirmed:
        return FINALIST, "finalist"
    if candidate.diverged:
        lost, step = len(candidate.diverged), min(candidate.diverged.values())
        where = "" if lost == repeats else f" in {lost} of {repeats} repeats"
        return DIVERGED, f"diverged at step {step:,}{where}"
    if candidate.stopped_at is not None:
        return LEFT, f"stopped at {_share(candidate.stopped_at)}"
    return FINISHED, "finished" if candidate.scored else "finished without a score"


def _share(progress: float) -> str:
    """A share of the run: `12.5%`, `50%`."""
    return f"{100 * progress:.3g}%"


@dataclass(frozen=True)
class Setting:
    """One setting in which candidates differ.

    Attributes:
        name: what a column of it is called. values: one for each candidate, numbers or words; None where a recipe has
            no such setting. texts: the same for people. log: whether it is read on a logarithmic scale.
    """

    name: str
    values: list[float | str | None]
    texts: list[str]
    log: bool = False

    @property
    def is_number(self) -> bool:
        """Whether every value is a number or missing."""
        return not any(isinstance(value, str) for value in self.values)


def settings_that_differ(recipes: Sequence[Recipe], space: Recipe) -> list[Setting]:
    """Optimizer, schedule and learning rate first, then the other settings that differ among `recipes` of `space`.

    A number that follows a schedule gives two: the schedule's shape, and the number at its peak.
    """
    # The last word of "sgd.lr" or "dropout#2" is the field's name; of "lr * l2" both are.
    named = (name.split(".")[-1].split("#")[0] for name, variable in variables(space) if isinstance(variable, Log))
    log = {word for name in named for word in re.split(r" [*/] ", name)}
    found = [_words("optimizer", [optimizer_words(recipe.optimizer) for recipe in recipes])]
    for name in dict.fromkeys(item.name for recipe in recipes for item in timed_fields(recipe.optimizer)):
        found += _number(name, [getattr(recipe.optimizer, name, None) for recipe in recipes], name in log)
    for item in fields(Recipe):
        values = [getattr(recipe, item.name) for recipe in recipes]
        if item.metadata.get("allowed"):
            found += _number(item.name, values, item.name in log)
        elif item.name == "groups":
            found.append(_words(label(item.name), ["; ".join(map(group_words, own)) or NOTHING for own in values]))
        elif item.name != "optimizer":
            found.append(_words(label(item.name), [str(value) for value in values]))
    return [setting for setting in found if len(set(setting.values)) > 1]


def _number(name: str, values: list[Any], log: bool) -> list[Setting]:
    peaks = [None if value is None else peak(value) for value in values]
    texts = [NOTHING if value is None else short(value) for value in peaks]
    there = [value for value in peaks if value is not None]
    wide = min(there, default=0.0) > 0 and (log or max(there) > DECADES_APART * min(there))
    number = Setting(label(name), list(peaks), texts, wide)
    if not any(isinstance(value, Schedule) for value in values):
        return [number]
    shape = "schedule" if name == "lr" else f"{label(name)} schedule"
    return [_words(shape, [NOTHING if value is None else shape_words(value) for value in values]), number]


def _words(name: str, texts: list[str]) -> Setting:
    return Setting(name, list(texts), texts)
