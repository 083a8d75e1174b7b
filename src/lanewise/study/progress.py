"""What a study tells whoever watches it."""

from dataclasses import dataclass, field

from lanewise.recipe import Recipe
from lanewise.study.score_kind import ScoreKind


@dataclass(frozen=True)
class Standing:
    """A candidate's place at present.

    Attributes:
        score: mean metric over repeats at the last evaluation, in the metric's own direction. live: still in the race.
    """

    candidate: int
    recipe: Recipe
    progress: float
    loss: float
    score: float
    live: bool


@dataclass(frozen=True)
class Progress:
    """How far a study has come.

    Attributes:
        phase: what is going on, in words. done: share of the expected lane-steps, 0 to 1. seconds_left: an estimate,
        or None before there is one. standings: the leading candidates, best first. metric: the name of their scores.
        kind: of those scores.
    """

    phase: str
    done: float
    seconds_left: float | None
    live: int
    drawn: int
    standings: list[Standing] = field(default_factory=list)
    metric: str = "score"
    kind: ScoreKind = field(default_factory=ScoreKind)


class Observer:
    """Watches a study; this one does not care. Subclasses show things."""

    def note(self, line: str) -> None:
        """Something to know, in one line."""

    def show(self, progress: Progress) -> None:
        """The study has come further."""
