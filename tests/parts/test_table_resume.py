"""A run stopped at a step goes on bit for bit from what its lanes hold, in an engine that knows nothing else."""

import io
from functools import cache

import pytest
import torch

from lanewise.lanes.training.cohort import Cohort
from lanewise.recipe.recipe import Recipe
from tests.lanes.cases import group_of
from tests.parts.table import TABLE
from tests.parts.table_row import Row
from tests.parts.table_runs import STOP, Lane, everything, lane, lanes_of, new_engine, same_bits, structure, together


@cache
def resumed(model: str, of: str) -> dict[Recipe, Lane]:
    """The lanes of the structure `of`, taken up by another engine from a file with their state at `STOP`."""
    recipes = everything("packed", model)[of]
    file = io.BytesIO()
    torch.save(together("packed", model, of).stopped, file)
    file.seek(0)
    going_on = Cohort(new_engine("packed", model, recipes), recipes, [0])
    (pack,) = group_of(going_on).packs
    pack.step = STOP
    for block, state in zip(pack.blocks, torch.load(file), strict=True):
        block.state = state
    going_on.advance(1.0)
    return dict(zip(recipes, lanes_of(going_on), strict=True))


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_goes_on_from_the_state_alone(row: Row) -> None:
    for recipe in row.lanes:
        whole = lane("packed", row.model, recipe)
        after = resumed(row.model, structure(recipe))[recipe]
        assert len(after.losses) == len(whole.losses) - STOP
        assert same_bits([*after.state, after.losses], [*whole.state, whole.losses[STOP:]])
