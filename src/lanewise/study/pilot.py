"""A recipe on which steps are timed before the first generation of a race by time."""

import contextlib
from collections.abc import Sequence

from lanewise.data.arrays.nested import take
from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.first_steps import SMALL_SECONDS, seconds_by_rows, seconds_of_a_step
from lanewise.recipe.recipe import Recipe
from lanewise.record.candidate import Candidate
from lanewise.sampling.sampler import Sampler
from lanewise.study.generation import trainable

PILOTS = 8
"""Recipes drawn to find one whose steps can be timed."""


def first_drawn(space: Recipe, seed: int) -> Sequence[Recipe]:
    """The first recipes that a study of `space` draws at random."""
    return Sampler(space, seed, None).ask(PILOTS, 0)


def pilot(space: Recipe, seed: int, engine: Engine) -> Recipe:
    """The first recipe that can be trained of the first that would be drawn.

    It has the structure of most candidates, or of many.

    Raises:
        InputError: none of them can be trained.
    """
    pilots = [Candidate(number, recipe, 0) for number, recipe in enumerate(first_drawn(space, seed))]
    for one in pilots:
        with contextlib.suppress(InputError):
            return trainable([one], engine)[0].recipe
    return trainable(pilots, engine)[0].recipe


def seconds_of_a_lane_epoch(space: Recipe, seed: int, engine: Engine) -> float:
    """Seconds of an epoch of a lane on one worker, by a few eager steps."""
    recipe = first_drawn(space, seed)[0]
    with contextlib.suppress(Exception):
        feed = engine.feed(recipe, 0)
        batch = feed.example()
        model = engine.new_model(0, **recipe.sizes).to(engine.device)
        passed = seconds_by_rows(engine.task, model, take(batch.x, 0), take(batch.y, 0))
        if passed > SMALL_SECONDS:
            return passed * feed.steps_per_epoch
    # Short ones are timed as lanes run them. A recipe that fails is reported there, with its cause.
    recipe = pilot(space, seed, engine)
    return seconds_of_a_step(engine.trial(recipe, 0, 1)) * engine.feed(recipe, 0).steps_per_epoch
