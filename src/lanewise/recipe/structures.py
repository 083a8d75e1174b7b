"""Structural choices of a space: those whose options need programs of their own.

Lanes are packed by structure (optimizer, batch size, norm, whether there is mixup ...), and every structure costs a
program. Other choices (a schedule, a rate, a momentum) are numbers of a lane and cost nothing.
"""

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

from lanewise.parts.optimizers import Optimizer
from lanewise.parts.part import Variable, extremes
from lanewise.recipe.ranges import Choice, Integer
from lanewise.recipe.recipe import Recipe, timed_fields
from lanewise.recipe.tree import Path, children

Structure = dict[str, Any]
"""Structural choice by name -> the option taken; only those that apply."""
WHOLE_RUN = ("average_from", "early_stopping", "gradual_unfreezing")
"""Fields that are numbers of a lane though they do not change with the step."""
ATTEMPTS = 32
"""Draws for one more structure before it is taken that there is none."""


class Structures:
    """The structural choices of `space`.

    Attributes:
        names: what the sampler calls them, in the order of the recipe. count: how many combinations there are.
    """

    def __init__(self, space: Recipe) -> None:
        self.space = space
        self._named = space.named
        self._timed = {item.name for item in timed_fields(space)}
        self.names = [name for path, (name, variable) in self._named.items() if self._is_structural(path, variable)]
        self.count = self._count(space, ())

    @property
    def words(self) -> list[str]:
        """The structural fields, for a sentence."""
        return list(dict.fromkeys(name.split(".")[0].split("#")[0].replace("_", " ") for name in self.names))

    def first(self, count: int, seed: int) -> list[Structure]:
        """Up to `count` different structures to begin with.

        First every option of the first choice, with the first options of all others; then options that were taken
        least so far.
        """
        source, used, found = random.Random(seed), Counter[tuple[str, str]](), list[Structure]()
        options = self.options_of_first()
        for _ in range(count * ATTEMPTS):
            if len(found) == min(count, self.count):
                break
            structure = self._drawn(source, used, usual=len(found) < options)
            if structure in found:
                # Counted as taken, so that the next draw is another.
                used.update((name, str(value)) for name, value in structure.items())
                structure = self._drawn(source, Counter(), usual=False, anything=True)
            if structure not in found:
                found.append(structure)
                used.update((name, str(value)) for name, value in structure.items())
        return found

    def varied(self, structure: Structure, seed: int, known: list[Structure]) -> Structure | None:
        """`structure` with another option of one choice behind the first; None if all such are known."""
        source = random.Random(seed)
        later = [name for name in structure if name != next(iter(structure))]
        source.shuffle(later)
        variables = dict(self._named.values())
        for name in later:
            for option in self._options(variables[name], source):
                other = self._completed({**structure, name: option})
                if other not in known and other != structure:
                    return other
        return None

    def _completed(self, wanted: Structure) -> Structure:
        """`wanted` without the choices that no longer apply, and with the usual option of those that now do."""
        found: Structure = {}
        self._walk(self.space, (), lambda name, variable: wanted.get(name, self._usual(variable)), found)
        return found

    def _drawn(
        self, source: random.Random, used: Counter[tuple[str, str]], usual: bool, anything: bool = False
    ) -> Structure:
        found: Structure = {}

        def pick(name: str, variable: Any) -> Any:
            options = self._options(variable, source)
            if anything:
                return options[0]
            if usual and found:
                return self._usual(variable)
            if not found:
                # In the order that they are given.
                options = self._options(variable, None) or options
            return min(options, key=lambda option: used[name, str(option)])

        self._walk(self.space, (), pick, found)
        return found

    def _walk(self, value: Any, path: Path, pick: Any, found: Structure) -> None:
        """Pick every structural choice that applies, parents first."""
        if path in self._named and self._is_structural(path, self._named[path][1]):
            name, variable = self._named[path]
            found[name] = taken = pick(name, variable)
            if isinstance(variable, Choice):
                at = next(i for i, option in enumerate(variable.options) if option is taken or option == taken)
                self._walk(variable.options[at], (*path, at), pick, found)
            return
        for key, child in children(value):
            self._walk(child, (*path, *key), pick, found)

    def options_of_first(self) -> int:
        """How many options the first structural choice has; 0 where it is a whole number."""
        first = next((variable for name, variable in self._named.values() if name in self.names[:1]), None)
        return len(first.options) if isinstance(first, Choice) else 0

    @staticmethod
    def _usual(variable: Any) -> Any:
        return variable.options[0] if isinstance(variable, Choice) else int((variable.low + variable.high) // 2)

    @staticmethod
    def _options(variable: Any, source: random.Random | None) -> list[Any]:
        """The options in the order given, or shuffled; of an integer a few, at random."""
        if isinstance(variable, Choice):
            options = list(variable.options)
        elif source is None:
            return []
        else:
            low, high = int(variable.low), int(variable.high)
            options = sorted({source.randint(low, high) for _ in range(ATTEMPTS)})
        if source is not None:
            source.shuffle(options)
        return options

    def _count(self, value: Any, path: Path) -> int:
        if isinstance(value, Variable) and self._is_structural(path, value):
            if isinstance(value, Choice):
                return sum(self._count(option, (*path, at)) for at, option in enumerate(value.options))
            return int(value.high) - int(value.low) + 1 if isinstance(value, Integer) else 1
        found = 1
        for key, child in children(value):
            found *= self._count(child, (*path, *key))
        return found

    def _is_structural(self, path: Path, variable: Variable) -> bool:
        field = path[0]
        if field == "optimizer":
            return (
                isinstance(variable, Choice)
                and not self._inside_schedule(path)
                and any(isinstance(option, (Optimizer, bool, str)) for option in extremes(variable))
            )
        if field == "groups":
            return False
        if field in self._timed or field in WHOLE_RUN:
            options = extremes(variable) if isinstance(variable, Choice) else ()
            return field != "early_stopping" and None in options and any(option is not None for option in options)
        return isinstance(variable, (Choice, Integer))

    def _inside_schedule(self, path: Path) -> bool:
        """Whether `path` leads into a number of an optimizer, whose choices are no structure."""
        timed = {item.name for node in self._optimizers() for item in timed_fields(node)}
        return any(key in timed for key in path if isinstance(key, str))

    def _optimizers(self) -> Iterator[Optimizer]:
        return (one for one in extremes(self.space.optimizer) if isinstance(one, Optimizer))
