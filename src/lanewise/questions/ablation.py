"""`ablate`: what each technique of a recipe is worth, alone and in pairs."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.questions.paired_scores import expected, lost_without, sample_of, score_intervals
from lanewise.questions.phase import NamedRecipe, Phase, PhaseResult, check_recipe, repeats_of
from lanewise.questions.question import Question, scored
from lanewise.questions.techniques import Technique, scaled_rate, techniques
from lanewise.recipe.file import dump, load
from lanewise.recipe.recipe import Recipe
from lanewise.statistics.sample import Sample
from lanewise.verdict.ablation import AblationAnswer
from lanewise.verdict.answer import Scored, Setup
from lanewise.verdict.phrases import listed
from lanewise.verdict.techniques import Interaction, Tried, Worth

WHOLE = "the recipe"
RATES_PLACE = 3
MAIN, RATES, TUNED = range(3)


class Ablation(Question):
    """What is each technique of `recipe` worth?

    First the recipe, and the recipe without each technique and each pair of them, at its own learning rate.
    Then other learning rates, on repeats of their own, where the missing technique depends on the learning rate. Last
    the best of those, on the repeats of the first phase, so that no reported score was used to choose a learning rate.

    Args:
        pairs: whether pairs are taken away too.
    """

    asked = "ablate"
    place = 2

    def __init__(self, recipe: Recipe, pairs: bool = True) -> None:
        self.base = check_recipe("recipe", recipe)
        if not isinstance(pairs, bool):
            raise InputError(f"pairs = {pairs!r}: must be true or false")
        self.pairs = pairs
        self.techniques: list[Technique] = []

    def prepare(self, engine: Engine, repeats: tuple[int, ...]) -> list[str]:
        base = self.base
        engine.check(base)
        self._repeats = repeats
        source = engine.task.source
        # Half as many to choose by as to tell by.
        few = source.splitter.folds or max(2, len(repeats) // 2)
        self._rate_repeats = repeats_of(source, few, RATES_PLACE)
        per_epoch = engine.feed(base, repeats[0]).steps_per_epoch
        idle = engine.idle_numbers(base)
        found = techniques(base, engine.new_model(repeats[0], **base.sizes), idle, base.epochs * per_epoch, per_epoch)
        if not found:
            raise InputError("recipe: has no technique that can be taken away")
        self.techniques, notes = [], []
        for technique in found:
            try:
                engine.check(technique.without(base))
            except InputError as error:
                notes.append(f"without {technique.name} it cannot be trained: {error}")
            else:
                self.techniques.append(technique)
        if not self.techniques:
            raise InputError(f"recipe: none of its techniques can be taken away; {notes[0]}")
        self._pairs = []
        for pair in combinations(self.techniques, 2) if self.pairs else ():
            try:
                engine.check(self._without(*pair))
            except InputError as error:
                notes.append(f"without {pair[0].name} and {pair[1].name} it cannot be trained: {error}")
            else:
                self._pairs.append(pair)
        told = listed([technique.name for technique in self.techniques])
        return [f"techniques: {told}", *notes]

    def _without(self, *gone: Technique) -> Recipe:
        recipe = self.base
        for technique in gone:
            recipe = technique.without(recipe)
        return recipe

    def phase(self, done: Sequence[PhaseResult]) -> Phase | None:
        if len(done) == MAIN:
            count = len(self._pairs)
            words = f" and {count} pairs" if count else ""
            return Phase(f"taking away {len(self.techniques)} techniques{words}", self._main(), self._repeats)
        if len(done) == RATES and (entries := self._rates()):
            return Phase("looking for better learning rates without them", entries, self._rate_repeats)
        if len(done) == TUNED and (entries := self._tuned(done[RATES])):
            return Phase("without them, at better learning rates", entries, self._repeats)
        return None

    def _main(self) -> tuple[NamedRecipe, ...]:
        alone = [NamedRecipe(f"without {one.name}", self._without(one)) for one in self.techniques]
        both = [NamedRecipe(f"without {a.name} and {b.name}", self._without(a, b)) for a, b in self._pairs]
        return (NamedRecipe(WHOLE, self.base), *alone, *both)

    def _rates(self) -> tuple[NamedRecipe, ...]:
        return tuple(
            NamedRecipe(
                f"without {one.name}, {factor:g} times the learning rate", scaled_rate(self._without(one), factor)
            )
            for one in self.techniques
            for factor in one.rates
        )

    def _tried(self, rates: PhaseResult) -> list[Tried]:
        """The rates tried for each technique that has some."""
        loss = np.nan_to_num(rates.scores.loss.mean(axis=1), nan=np.inf)
        # One that diverged in any repeat is no choice.
        metric = np.where(np.isfinite(rates.scores.metric), rates.scores.metric, -np.inf).mean(axis=1)
        found, at = [], 0
        for one in self.techniques:
            if not one.rates:
                continue
            # The loss decides between equal scores, and a rate that stays as it is goes before one that does not.
            keys = [(-metric[at + n], loss[at + n], abs(math.log(rate))) for n, rate in enumerate(one.rates)]
            means = tuple(float(mean) for mean in metric[at : at + len(one.rates)])
            found.append(Tried(one.name, one.rates, means, keys.index(min(keys))))
            at += len(one.rates)
        return found

    def _tuned(self, rates: PhaseResult) -> tuple[NamedRecipe, ...]:
        by_name = {one.name: one for one in self.techniques}
        return tuple(
            NamedRecipe(
                f"without {each.technique}, re-tuned", scaled_rate(self._without(by_name[each.technique]), each.best)
            )
            for each in self._tried(rates)
            if each.best != 1
        )

    def expected(self) -> list[tuple[Recipe, int]]:
        main, rates = len(self._repeats), len(self._rate_repeats)
        tuned = [(self.base, main) for one in self.techniques if one.rates]
        return [
            *((entry.recipe, main) for entry in self._main()),
            *((entry.recipe, rates) for entry in self._rates()),
            *tuned,
        ]

    def answer(self, done: Sequence[PhaseResult], setup: Setup) -> AblationAnswer:
        sample, every = sample_of(done[MAIN], setup), scored(done[MAIN], setup.kind)
        count = len(self.techniques)
        tried = self._tried(done[RATES]) if len(done) > RATES else []
        rows: list[tuple[str, Scored, float | None]] = [
            (one.name, of_it, None) for one, of_it in zip(self.techniques, every[1 : 1 + count], strict=True)
        ]
        beside = sample.chosen(range(1 + count))
        if len(done) > TUNED:
            changed = [each for each in tried if each.best != 1]
            of_them = scored(done[TUNED], setup.kind)
            rows += [(each.technique, one, each.best) for each, one in zip(changed, of_them, strict=True)]
            beside = beside.beside(sample_of(done[TUNED], setup))
        worths = [Worth(*row, interval) for row, interval in zip(rows, lost_without(beside), strict=True)]
        worths.sort(key=lambda worth: -worth.difference.mean)
        score = score_intervals(sample.chosen([0]))[0]
        return AblationAnswer(setup, every[0], score, tuple(worths), self._interactions(sample), tuple(tried))

    def _interactions(self, sample: Sample) -> tuple[Interaction, ...]:
        """What the first of each pair is worth beside the second, minus without it: a difference of differences."""
        if not self._pairs:
            return ()
        place = {technique.name: at for at, technique in enumerate(self.techniques, start=1)}
        weights = np.zeros((len(self._pairs), len(sample.scores)))
        for number, (a, b) in enumerate(self._pairs):
            both = 1 + len(self.techniques) + number
            weights[number, [0, both]] = 1
            weights[number, [place[a.name], place[b.name]]] = -1
        intervals = expected(sample.combined(weights), together=True)
        found = [Interaction(a.name, b.name, one) for (a, b), one in zip(self._pairs, intervals, strict=True)]
        return tuple(sorted(found, key=lambda one: -abs(one.difference.mean)))

    def to_dict(self) -> dict[str, Any]:
        return {"recipe": dump(self.base), "pairs": self.pairs}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> "Ablation":
        """The question that `to_dict` gave."""
        return cls(load(data["recipe"], where)[0], data["pairs"])
