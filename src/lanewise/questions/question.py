"""Questions about recipes trained side by side, and what all answers have in common."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.questions.phase import NamedRecipe, Phase, PhaseResult
from lanewise.recipe.recipe import Recipe
from lanewise.statistics.score_kind import ScoreKind
from lanewise.verdict.answer import Answer, Scored, Setup


class Question(ABC):
    """A question about recipes: which of them are trained in which phases, and what follows from their scores.

    Attributes:
        asked: names the command, the folder and the record. base: a recipe of the question, whose batch size and length
            stand for it in messages.
    """

    asked: ClassVar[str]
    place: ClassVar[int]
    """See `repeats_of`."""
    base: Recipe

    @abstractmethod
    def prepare(self, engine: Engine, repeats: tuple[int, ...]) -> list[str]:
        """Settle what is to be trained, and check that it can be; returns lines to tell the user.

        Raises:
            InputError: it cannot.
        """

    @abstractmethod
    def phase(self, done: Sequence[PhaseResult]) -> Phase | None:
        """What to train after the phases `done`, or None where all is known."""

    @abstractmethod
    def expected(self) -> list[tuple[Recipe, int]]:
        """Every recipe of all phases, with the number of its repeats, as far as is known before the first."""

    @abstractmethod
    def answer(self, done: Sequence[PhaseResult], setup: Setup) -> Answer:
        """What follows from the scores."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The question as plain data for `run.json`."""


def scored(trained: PhaseResult, kind: ScoreKind) -> tuple[Scored, ...]:
    """The entries of a phase with their scores."""
    return tuple(
        Scored(entry.name, entry.recipe, kind.turned(metric), loss, zeros)
        for entry, metric, loss, zeros in zip(
            trained.phase.entries, trained.scores.metric, trained.scores.loss, trained.zeros, strict=True
        )
    )


def check_trainable(entries: Sequence[NamedRecipe], engine: Engine) -> None:
    """Raise `InputError`, which names the entry, unless all of them can be trained."""
    for entry in entries:
        try:
            engine.check(entry.recipe)
        except InputError as error:
            raise InputError(f"{entry.name}: {error}") from None
