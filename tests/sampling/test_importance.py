"""What mattered is found, chance is called chance, and too few candidates say nothing."""

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest

from lanewise.errors import InputError
from lanewise.recipe.ranges import integer, log, uniform
from lanewise.recipe.recipe import Recipe
from lanewise.recipe.spaces import classic
from lanewise.sampling.importance import LEAST, Importance, explained, importance, place
from lanewise.sampling.sampler import Sampler
from lanewise.verdict.verdict import Verdict
from tests.sampling.importance_races import MATTERS, race
from tests.sampling.test_sampler import SPACE
from tests.verdict.test_verdict import finalists

PLAIN = Recipe(l2=log(1e-6, 1e-2), dropout=uniform(0.0, 0.5), batch_size=integer(16, 64))


def raced(effect: float, count: int = 64, seed: int = 0) -> Sampler:
    """A race in which l2 has so much effect beside noise: a quarter finishes, the highest rates of dropout diverge."""
    sampler, noise = Sampler(PLAIN, seed, None, "random"), random.Random(seed)
    recipes = sampler.ask(count, 0)
    losses = [effect * abs(math.log10(recipe.l2) + 4) + noise.gauss(0, 1) for recipe in recipes]
    bar = sorted(losses)[count // 4]
    for candidate, loss in enumerate(losses):
        diverged = recipes[candidate].dropout > 0.49
        if not diverged:
            sampler.report(candidate, 1, loss)
        sampler.tell(candidate, loss if loss < bar and not diverged else None, diverged)
    return sampler


def test_what_matters_is_named_first_and_told_from_chance() -> None:
    found = importance(raced(4.0).study.trials, 0)
    assert found[0].name == "l2"
    assert [one.beyond_chance for one in found] == [True, False, False]
    assert math.isclose(sum(one.share for one in found), 1)
    assert importance(raced(4.0).study.trials, 0) == found


def test_where_nothing_matters_little_is_beyond_chance() -> None:
    found = [one for seed in range(4) for one in importance(raced(0.0, seed=seed).study.trials, seed)]
    # One in 20 on average: three or more of twelve happen once in 50 times.
    assert len(found) == 12
    assert sum(one.beyond_chance for one in found) <= 2


def test_the_one_setting_that_matters_is_found_in_races_with_rungs_and_a_sampler_that_learns() -> None:
    # `python -m bench importance` has the figures of many races, with TPE and smaller effects.
    hits, alarms = 0, []
    for shape in ("valley", "slope"):
        name, effect = MATTERS[shape]
        for seed in range(3):
            trials, generations = race(classic(), effect, 0.7, seed, kind="random")
            clear = {one.name for one in importance(trials, seed, generations) if one.beyond_chance}
            hits += name in clear
            alarms += [other in clear for other in trials[0].params if other != name]
    assert hits >= 5
    # Of 36 settings without influence two are named on average, six or more once in 100 times.
    assert sum(alarms) <= 5


def test_what_drifts_with_the_generations_does_not_seem_to_matter() -> None:
    # A sampler that learns draws better candidates later, and other values of a setting without influence as well.
    draw = random.Random(1)
    sampler = Sampler(PLAIN, 0, None, "random")
    drawn = sampler.ask(200, 0)
    early = [at for at, recipe in enumerate(drawn) if recipe.dropout < 0.25][:30]
    late = [at for at, recipe in enumerate(drawn) if recipe.dropout >= 0.25][:30]
    for at in range(200):
        sampler.tell(at, draw.gauss(0, 1) - 3 * (at in late), diverged=False)
    trials = [sampler.study.trials[at] for at in early + late]
    apart = {one.name: one for one in importance(trials, 0, [0] * 30 + [1] * 30)}
    together = {one.name: one for one in importance(trials, 0)}
    assert together["dropout"].beyond_chance
    assert not apart["dropout"].beyond_chance


def test_a_setting_that_never_differs_explains_nothing() -> None:
    scores, generations = np.arange(30.0), np.zeros(30, int)
    for value in (0.1, "a", True, None):
        assert explained([value] * 30, scores, generations, np.random.default_rng(0)) == (0.0, False)
    assert explained(list(range(30)), np.zeros(30), generations, np.random.default_rng(0)) == (0.0, False)
    share, clear = explained(["a", "b", None] * 10, np.tile([1.0, 2.0, 3.0], 10), generations, np.random.default_rng(0))
    assert clear
    assert share > 0.8


def test_a_setting_inside_an_option_counts_those_that_had_it() -> None:
    sampler = Sampler(SPACE, 0, None, "random")
    recipes = sampler.ask(40, 0)
    sgd = [recipe.optimizer.name == "sgd" for recipe in recipes]
    noise = random.Random(0)
    for candidate in range(40):
        sampler.tell(candidate, noise.random() - float(sgd[candidate]), diverged=False)
    found = {one.name: one for one in importance(sampler.study.trials, 0)}
    assert found["optimizer"].candidates == 40
    assert found["optimizer.sgd.lr"].candidates == sum(sgd)
    assert found["optimizer.adam.lr"].candidates == 40 - sum(sgd)
    assert max(found.values(), key=lambda one: one.share).name == "optimizer"
    assert found["optimizer"].beyond_chance


def test_too_few_say_nothing() -> None:
    assert importance(raced(4.0, LEAST - 1).study.trials, 0) == ()
    assert importance(raced(4.0, LEAST).study.trials, 0)
    untold = Sampler(PLAIN, 0, None)
    untold.ask(LEAST, 0)
    assert importance(untold.study.trials, 0) == ()
    for candidate in range(LEAST):
        untold.tell(candidate, 1.0, diverged=False)
    assert importance(untold.study.trials, 0) == ()


def test_places_go_from_finished_to_diverged() -> None:
    sampler = Sampler(PLAIN, 0, None)
    sampler.ask(6, 0)
    sampler.report(1, 2, 0.9)
    sampler.report(2, 1, 0.1)
    for candidate, (loss, diverged) in enumerate([(5.0, False), (None, False), (None, False), (None, True)]):
        sampler.tell(candidate, loss, diverged)
    sampler.tell(4, None, diverged=False)
    trials = sampler.study.trials
    places = [place(trial) for trial in trials[:4]]
    assert places == sorted(places)  # type: ignore[type-var]
    assert place(trials[4]) is None


def test_the_verdict_holds_it() -> None:
    known = (Importance("l2", 0.75, True, 40), Importance("dropout", 0.25, False, 40))
    verdict = replace(any_verdict(), importance=known)
    data = json.loads(json.dumps(verdict.to_dict()))
    assert data["importance"][0] == {"name": "l2", "share": 0.75, "beyond_chance": True, "candidates": 40}
    assert Verdict.from_dict(data, "x").importance == known
    data["importance"] = [{"nonsense": 1}]
    with pytest.raises(InputError, match="x: does not hold a verdict"):
        Verdict.from_dict(data, "x")


def any_verdict() -> Verdict:
    found = finalists()
    test = found[1].difference
    assert test is not None
    return Verdict(found, test, None, "accuracy", 3, 10, {"total": 1.0, "train": 1.0, "compile": 0.0, "trials": 0.0})
