"""What a race is to do."""

from dataclasses import dataclass, replace

from lanewise.errors import InputError
from lanewise.parts.part import Allowed, check_number
from lanewise.recipe import Recipe
from lanewise.study.racing import RULES


@dataclass(frozen=True)
class RaceSettings:
    """What a race is to do; every field is checked.

    Args:
        candidates: recipes drawn. repeats: of each in the race. generations: the sampler learns from one for the next.
        rule: name in `lanewise.study.racing.RULES`. finalists: how many are confirmed, at most;
            by default a quarter of the candidates, but 2 to 6.
        confirm: fresh repeats they are confirmed on. seed: of the whole study.
    """

    candidates: int = 48
    repeats: int = 3
    generations: int = 3
    rule: str = "halving"
    finalists: int | None = None
    confirm: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"candidates": 2, "repeats": 1, "generations": 1, "finalists": 2, "confirm": 2, "seed": 0}
        for name, low in least.items():
            check_number(name, getattr(self, name), Allowed(low, integer=True, optional=name == "finalists"))
        if not isinstance(self.rule, str) or self.rule not in RULES:
            raise InputError(f"rule = {self.rule!r}: must be one of {', '.join(RULES)}")

    @property
    def most_finalists(self) -> int:
        """How many candidates are confirmed, at most."""
        return self.finalists if self.finalists is not None else min(6, max(2, self.candidates // 4))


def with_overrides(space: Recipe, epochs: int | None, batch_size: int | None) -> Recipe:
    """The space with its length or batch size replaced where they are given."""
    if epochs is not None:
        space = replace(space, epochs=epochs)
    return space if batch_size is None else replace(space, batch_size=batch_size)
