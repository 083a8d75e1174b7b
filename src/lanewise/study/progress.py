"""What a run reports to its observers while it goes on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lanewise.recipe.recipe import Recipe
from lanewise.record.candidate import Candidate, standing
from lanewise.statistics.score_kind import ScoreKind

LEADERS = 8


@dataclass(frozen=True)
class Standing:
    """A candidate's place at present.

    Attributes:
        score: mean metric over repeats at the last evaluation, in the metric's own direction. live: still training.
        name: of a recipe that has one, such as those of the portfolio; others are called by their number.
    """

    candidate: int
    recipe: Recipe
    progress: float
    loss: float
    score: float
    live: bool
    name: str = ""


@dataclass(frozen=True)
class Progress:
    """How far a study has come.

    Attributes:
        phase: what is going on, in words. done: share of the expected lane-steps, 0 to 1. seconds_left: an estimate,
        or None before there is one. standings: the leading candidates, best first. metric: the name of their scores.
        kind: of those scores. drops: whether recipes are stopped on the way. live: recipes still
        training, neither stopped nor diverged. diverged: how many did.
    """

    phase: str
    done: float
    seconds_left: float | None
    live: int
    drawn: int
    standings: list[Standing] = field(default_factory=list)
    metric: str = "score"
    kind: ScoreKind = field(default_factory=ScoreKind)
    drops: bool = True
    diverged: int = 0


class Observer:
    """Watches a run; this one ignores everything. Subclasses show it."""

    def note(self, line: str) -> None:
        """Something to know, in one line."""

    def show(self, progress: Progress) -> None:
        """The study has come further."""


def standings(pool: Iterable[Candidate], kind: ScoreKind, names: Sequence[str] = ()) -> list[Standing]:
    """The leading candidates of `pool`, best first; `names` are those of candidates 0, 1, ... in place of their own."""
    # Those that came furthest lead: a loss in the middle of a run says little beside one at its end.
    ranked = sorted((c for c in pool if c.scored), key=lambda c: (not c.in_race, *standing(c)))
    return [
        Standing(
            c.number,
            c.recipe,
            max(points[-1][0] for points in c.curves.values()),
            c.loss,
            kind.turned(c.score),
            c.in_race,
            names[c.number] if names else c.name and f"{c.number} {c.name}",
        )
        for c in ranked[:LEADERS]
    ]
