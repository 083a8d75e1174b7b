"""Early stopping in the table's way: each lane is the recipe alone in plain PyTorch, however lanes run and go on."""

import copy
from functools import cache

import pytest
import torch

from lanewise.lanes.training.checkpoint import restore, state_of
from lanewise.lanes.training.cohort import Cohort
from lanewise.lanes.training.groups import evaluation_points
from lanewise.recipe.recipe import Recipe
from tests.parts.table import HEARING_ROWS
from tests.parts.table_row import EPOCHS, Row
from tests.parts.table_runs import Alone, Lane, distance, given_rows, new_engine

STEPS, POINTS = 60, evaluation_points(EPOCHS)
PATIENCE = {"15%": 9, "9st": 9, "2ep": 12}
"""In steps, 6 of which are an epoch."""
every_row = pytest.mark.parametrize("row", HEARING_ROWS, ids=str)
TOLERANCE = 1e-9


@cache
def in_lanes(how: str, row: Row, cut: int = 0) -> Cohort:
    """All recipes of the row, evaluated at every point; with a `cut` another cohort goes on from there."""
    recipes = [*row.lanes, row.without]
    cohort = Cohort(new_engine(how, row.model, recipes), recipes, [0])
    for number, point in enumerate(POINTS):
        if cut and number == cut:
            written, cohort = state_of(cohort), Cohort(new_engine(how, row.model, recipes), recipes, [0])
            restore(cohort, *copy.deepcopy(written))
        cohort.advance(point)
        cohort.evaluate()
    return cohort


def counted(cohort: Cohort, candidate: int) -> Lane:
    """What counts of a lane with early stopping."""
    (group,) = cohort.groups
    lane, (x, y) = group.stopping[0][candidate], given_rows(group)
    assert lane.row is not None
    lanes = group.prepared.least
    state = [leaf.expand(lanes, *leaf.shape).clone() for leaf in lane.state]
    row = lane.row[:, None].expand(-1, lanes).contiguous()
    scores, _ = group.prepared.evaluate(*state, row, x, y)
    losses = torch.tensor([point[1] for point in cohort.curves[candidate, 0]], dtype=torch.float64)
    return Lane(group.prepared.step.weights(lane.state, lane.row), losses, scores[0].detach(), tuple(lane.state))


@cache
def in_a_plain_loop(row: Row, recipe: Recipe) -> Lane:
    """The recipe in plain PyTorch with the optimizer by hand; its losses are the means between two evaluations."""
    run = Alone(row.model, recipe)
    repeat = run.feed.repeat
    pool, y = repeat.scale.apply(repeat.holdout.pool.x, torch.float64), repeat.holdout.pool_y
    valid, means, best, since = repeat.split.valid, [], (0, float("inf")), 0
    for point in POINTS:
        run.advance(round(point * STEPS))
        means.append(sum(run.losses[since:]) / (len(run.losses) - since))
        since = len(run.losses)
        run.run.model.eval()
        loss = run.scores(pool[valid], y[valid]).mean().item()
        if loss < best[1]:
            best, weights, scores = (since, loss), run.run.weights(), run.scores(pool, y)
        run.run.model.train()
        if since - best[0] >= PATIENCE[recipe.early_stopping]:
            break
    return Lane(weights, torch.tensor(means, dtype=torch.float64), scores)


@every_row
def test_the_part_changes_something_and_lanes_differ(row: Row) -> None:
    cohort = in_lanes("packed", row)
    ends = [len(cohort.curves[candidate, 0]) for candidate in range(len(row.lanes) + 1)]
    assert ends[-1] == len(POINTS) > max(ends[:-1]), "all stop but the one without"
    best = [counted(cohort, candidate).scores for candidate in range(len(row.lanes))]
    assert len({ends[at] for at in range(len(row.lanes))} | {round(float(found.sum()), 6) for found in best}) > 2


@every_row
@pytest.mark.parametrize("how", ["packed", "looped"])
def test_each_lane_is_the_recipe_alone_in_plain_pytorch(row: Row, how: str) -> None:
    for candidate, recipe in enumerate(row.lanes):
        assert distance(counted(in_lanes(how, row), candidate), in_a_plain_loop(row, recipe)) < TOLERANCE


@every_row
@pytest.mark.parametrize("cut", [2, 4, 6])
def test_goes_on_from_what_is_written_down(row: Row, cut: int) -> None:
    whole, again = in_lanes("packed", row), in_lanes("packed", row, cut)
    assert again.curves == whole.curves
    for candidate in range(len(row.lanes)):
        mine, theirs = (counted(cohort, candidate).state for cohort in (again, whole))
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
