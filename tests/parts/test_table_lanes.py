"""Every part in a pack: it does something, and each lane is what the recipe gives alone in plain PyTorch."""

import pytest
import torch

from tests.parts.table import TABLE
from tests.parts.table_row import Row
from tests.parts.table_runs import alone, distance, lane

TOLERANCE = 1e-9

every_row = pytest.mark.parametrize("row", TABLE, ids=str)


@every_row
def test_the_part_changes_something(row: Row) -> None:
    mine, without = (lane("packed", row.model, recipe) for recipe in (row.lanes[0], row.without))
    assert mine.scores.isfinite().all()
    assert float((mine.scores - without.scores).abs().max()) > 1e-3


@every_row
def test_lanes_differ(row: Row) -> None:
    scores = [lane("packed", row.model, recipe).scores for recipe in row.lanes]
    assert len(scores) >= 3
    assert all(not torch.allclose(a, b, atol=1e-4) for at, a in enumerate(scores) for b in scores[:at])


@every_row
def test_each_lane_of_a_pack_is_the_recipe_alone_in_plain_pytorch(row: Row) -> None:
    for recipe in row.lanes:
        plain = alone(row.model, recipe)
        assert len(plain.losses) >= 60
        assert distance(lane("packed", row.model, recipe), plain) < TOLERANCE


@every_row
def test_a_lane_in_the_loop_is_the_recipe_alone_in_plain_pytorch(row: Row) -> None:
    assert distance(lane("looped", row.model, row.lanes[-1]), alone(row.model, row.lanes[-1])) < TOLERANCE
