"""The parts of an ablation's answer: techniques, pairs of them, and the learning rates tried without them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lanewise.statistics.intervals import Interval
from lanewise.verdict.answer import Scored
from lanewise.verdict.phrases import TOO_CLOSE

NO_EFFECT = "no effect"
"""Of a technique without which not a single row is scored differently."""


@dataclass(frozen=True, eq=False)
class Worth:
    """What one technique is worth.

    Attributes:
        technique: its name. scored: the recipe without it. factor: of the learning rate, where a better one was looked
            for without it; None at the recipe's own. difference: the recipe minus the one without, above zero
            where the technique helps.
    """

    technique: str
    scored: Scored
    factor: float | None
    difference: Interval

    @property
    def name(self) -> str:
        """The technique, and whether the recipe without it was given another learning rate."""
        return self.technique if self.factor is None else f"{self.technique} (re-tuned)"

    @property
    def verdict(self) -> str:
        """`helps`, `hurts`, `too close to call`, or `no effect` where no row is scored differently without it."""
        if self.difference.low == self.difference.high == 0:
            return NO_EFFECT
        if not self.difference.excludes_zero:
            return TOO_CLOSE
        return "helps" if self.difference.mean > 0 else "hurts"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "technique": self.technique,
            "rate_factor_without": self.factor,
            "worth": self.difference.to_dict(),
            "verdict": self.verdict,
            "without": self.scored.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> "Worth":
        """What `to_dict` gave."""
        factor, worth = data["rate_factor_without"], Interval(**data["worth"])
        return cls(data["technique"], Scored.from_dict(data["without"], where), factor, worth)


@dataclass(frozen=True)
class Interaction:
    """How two techniques act together: what the first is worth beside the second, minus what it is worth alone.

    Above zero they help each other; below, they overlap: one does part of the other's work.
    """

    first: str
    second: str
    difference: Interval

    @property
    def verdict(self) -> str:
        """`help each other`, `overlap` or `too close to call`."""
        if not self.difference.excludes_zero:
            return TOO_CLOSE
        return "help each other" if self.difference.mean > 0 else "overlap"


@dataclass(frozen=True)
class Tried:
    """The learning rates tried without a technique, on repeats of their own.

    Attributes:
        factors: of the recipe's own learning rate. scores: mean scores, greater is better,
            minus infinity where a run diverged. chosen: the place of the best.
    """

    technique: str
    factors: tuple[float, ...]
    scores: tuple[float, ...]
    chosen: int

    @property
    def best(self) -> float:
        """The best factor."""
        return self.factors[self.chosen]

    @property
    def at_the_edge(self) -> bool:
        """Whether one beyond those tried may be better still."""
        return self.best in (min(self.factors), max(self.factors))
