"""Which structures a race draws its candidates from: a few at first, then the best of them and variations.

Every structure costs a program. A space of many structural choices would give each candidate a program of its own, so
the structures are drawn first and the numbers within them.
"""

import math
from collections.abc import Sequence

from lanewise.lanes.machine.streams import stream_seed
from lanewise.recipe.recipe import Recipe
from lanewise.recipe.structures import Structure, Structures

FREE = 8
"""Combinations that a space may have for the sampler itself to choose among them."""

Standing = tuple[int, int, float]
"""How far a candidate came: (1 where it did not finish, minus the rungs it passed, its last loss); least is best."""
NOWHERE: Standing = (2, 0, math.inf)


def structures_for(size: int) -> int:
    """How many structures a generation of `size` candidates is drawn from.

    >>> [structures_for(size) for size in (1, 2, 6, 11, 16, 50, 333)]
    [1, 2, 2, 3, 3, 4, 8]
    """
    return min(size, max(2, min(size * 3 // 8, 2 + math.isqrt(size) // 3)))


class Combinations:
    """The structures of one race's candidates.

    Args:
        space: a recipe with ranges. seed: of the study.

    Attributes:
        bounded: whether there are so many structures that only some are drawn from.
    """

    def __init__(self, space: Recipe, seed: int) -> None:
        self.structures, self._seed = Structures(space), seed
        self.bounded = self.structures.count > FREE
        self._known: list[Structure] = []
        self._of: dict[int, int] = {}

    def assigned(self, numbers: Sequence[int], size: int, standings: Sequence[Standing]) -> list[Structure]:
        """The structure of each of the candidates `numbers`, which are drawn next, in turn.

        Args:
            size: of the generation that they belong to. standings: of all candidates before.
        """
        found = self._next(structures_for(size), standings)
        for at, number in enumerate(numbers):
            self._of[number] = self._known.index(found[at % len(found)])
        return [self._known[self._of[number]] for number in numbers]

    def _next(self, count: int, standings: Sequence[Standing]) -> list[Structure]:
        if not self._known:
            self._known = self.structures.first(count, stream_seed(self._seed, "structures"))
            return self._known
        best = [NOWHERE] * len(self._known)
        for number, at in self._of.items():
            best[at] = min(best[at], standings[number])
        ranked = [self._known[at] for at in sorted(range(len(best)), key=lambda at: (best[at], at))]
        kept = ranked[: (count + 1) // 2]
        for _ in range(min(max(1, count // 4), count - 1)):
            new = self._untried() or self._variation(ranked)
            if new is not None:
                self._known.append(new)
                kept.append(new)
        return kept

    def _untried(self) -> Structure | None:
        """The next option of the first choice that no structure has, with the usual options of all others."""
        options = self.structures.options_of_first()
        every = self.structures.first(options, 0)[:options]
        first = self.structures.names[0]
        tried = {str(structure[first]) for structure in self._known}
        return next((one for one in every if str(one[first]) not in tried), None)

    def _variation(self, ranked: Sequence[Structure]) -> Structure | None:
        seed = stream_seed(self._seed, "structures", len(self._known))
        varied = (self.structures.varied(one, seed, self._known) for one in ranked)
        return next((one for one in varied if one is not None), None)

    def words(self, sizes: Sequence[int] | None) -> str:
        """How many structures the candidates are drawn from, in one line.

        Args:
            sizes: candidates of each generation, where that is known.
        """
        every = f"{self.structures.count:,} combinations of {', '.join(self.structures.words)}"
        if sizes is None:
            return f"candidates come from a few of the {every}: some at first, then the best of them and variations"
        first = structures_for(sizes[0])
        most = first + sum(max(1, structures_for(size) // 4) for size in sizes[1:])
        return (
            f"candidates come from at most {min(most, self.structures.count)} of the {every}: {first} at first, then "
            "the best of them and variations"
        )
