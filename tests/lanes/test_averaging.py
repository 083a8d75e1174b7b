"""What a lane would be worth if it stopped now: the mean of its last states, with batch norm taken anew."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F

from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.averaging import STATES, WINDOW, averaged_steps
from lanewise.lanes.training.checkpoint import restore, state_of
from lanewise.lanes.training.cohort import Cohort
from lanewise.lanes.training.groups import Scores
from lanewise.parts.norm import reestimate
from tests.lanes.cases import CNN_SGD, MLP_SGD, STEPS, Case, all_bits, group_of, lane_of, pack_of, same_scores, trained

EngineOf = Callable[..., Engine]
REPEATS = (0, 3)
RUNG = 0.5
MARKS = averaged_steps([RUNG], STEPS)
NOWHERE = Scores(np.zeros((4, 2)), np.zeros((4, 2)))
"""A last evaluation to be mixed with."""


def raced(engine: Engine, case: Case, progress: float = RUNG) -> Cohort:
    """A cohort on its way to the rung."""
    cohort = Cohort(engine, case.recipes(), REPEATS, rungs=(RUNG,))
    cohort.advance(progress)
    return cohort


def weights(cohort: Cohort, candidate: int, repeat: int) -> dict[str, Tensor]:
    lane = lane_of(cohort, candidate, repeat)
    return group_of(cohort).prepared.step.weights(lane.state, lane.block.table[lane.pack.step - 1, :, lane.at])


def by_hand(cohort: Cohort, seen: list[dict[str, Tensor]], repeat: int) -> tuple[float, float]:
    """(loss, accuracy) on validation rows of the mean of `seen` in a plain model, its batch norms re-estimated."""
    feed, engine = lane_of(cohort, 0, repeat).pack.feed, cohort.engine
    model = engine.new_model(cohort.repeats[repeat])
    mean = {name: torch.stack([one[name].double() for one in seen]).mean(0) for name in seen[0]}
    model.load_state_dict(mean)
    reestimate(model, [x for x, _ in feed.first_rows(feed.batch_size, 512, 4)])
    x, y = feed.repeat.rows(feed.repeat.split.valid, torch.float64, torch.device("cpu"))
    with torch.no_grad():
        outputs = model.eval()(x)
    return F.cross_entropy(outputs, y).item(), (outputs.argmax(1) == y).double().mean().item()


@pytest.mark.parametrize("how", ["packed", "looped"])
@pytest.mark.parametrize("case", [MLP_SGD, CNN_SGD], ids=str)
def test_it_is_the_score_of_the_mean_of_states_evenly_spread_before_the_rung(
    case: Case, how: str, engine_of: EngineOf
) -> None:
    engine = engine_of(case, how)
    assert list(MARKS.values()) == list(range(STATES))
    assert min(MARKS) > STEPS * (RUNG - WINDOW)
    assert max(MARKS) == RUNG * STEPS
    last = Scores(np.full((4, 2), 2.0), np.full((4, 2), 0.5))
    found, shares = raced(engine, case).projected_scores(last), set()
    plain, seen = Cohort(engine, case.recipes(), REPEATS), {}
    for step in MARKS:
        plain.advance(step / STEPS)
        seen[step] = {(c, at): weights(plain, c, at) for c in range(4) for at in (0, 1)}
    for candidate in range(4):
        for at in (0, 1):
            loss, accuracy = by_hand(plain, [seen[step][candidate, at] for step in MARKS], at)
            table = pack_of(plain, at).tables[candidate]
            share = 1 - min(1, table[-1, 0] / table[max(MARKS) - 1, 0])
            assert found.loss[candidate, at] == pytest.approx(share * loss + (1 - share) * 2, rel=1e-9)
            assert found.metric[candidate, at] == pytest.approx(share * accuracy + (1 - share) * 0.5, abs=1e-12)
            shares.add(round(share, 2))
    assert len(shares) > 1, "of the mean alone, of the last evaluation alone, or of both"


@pytest.mark.parametrize("how", ["packed", "looped"])
def test_the_lanes_are_left_as_they_were(how: str, engine_of: EngineOf) -> None:
    engine = engine_of(MLP_SGD, how)
    untouched, cohort = trained(engine, MLP_SGD.recipes(), RUNG, REPEATS), raced(engine, MLP_SGD)
    assert all_bits(cohort) == all_bits(untouched), "that states are averaged changes nothing"
    first = cohort.projected_scores(NOWHERE)
    assert same_scores(cohort.projected_scores(NOWHERE), first)
    for each in (untouched, cohort):
        each.advance(0.7)
    assert all_bits(cohort) == all_bits(untouched)
    assert same_scores(cohort.evaluate(), untouched.evaluate())


@pytest.mark.parametrize("between", [(0, 1), (1, 2), (STATES - 2, STATES - 1)], ids=str)
def test_written_down_between_two_of_the_states_it_comes_to_the_same(
    between: tuple[int, int], engine_of: EngineOf
) -> None:
    engine = engine_of(MLP_SGD, "packed")
    whole = raced(engine, MLP_SGD)
    first, second = (list(MARKS)[number] for number in between)
    cohort, again = raced(engine, MLP_SGD, (first + second) // 2 / STEPS), raced(engine, MLP_SGD, 0.1)
    tensors, data = state_of(cohort)
    restore(again, safetensors.torch.load(safetensors.torch.save(tensors)), json.loads(json.dumps(data)))
    again.advance(RUNG)
    assert same_scores(again.projected_scores(NOWHERE), whole.projected_scores(NOWHERE))


def test_lanes_that_leave_or_change_their_block_take_their_states_along(engine_of: EngineOf) -> None:
    engine = engine_of(MLP_SGD, "packed")
    whole = raced(engine, MLP_SGD).projected_scores(NOWHERE)
    middle = list(MARKS)[1] / STEPS
    left, cut = (raced(engine, MLP_SGD, middle) for _ in range(2))
    left.keep({1, 3})
    for pack in group_of(cut).packs:
        pack.narrow(2, 2)
    for each in (left, cut):
        each.advance(RUNG)
    assert left.projected_scores(NOWHERE).loss[[1, 3]].tobytes() == whole.loss[[1, 3]].tobytes()
    assert np.isnan(left.projected_scores(NOWHERE).loss[[0, 2]]).all()
    assert cut.projected_scores(NOWHERE).loss.tobytes() == whole.loss.tobytes()


def test_asked_again_for_the_same_state_a_block_takes_it_in_once(engine_of: EngineOf) -> None:
    cohort = raced(engine_of(MLP_SGD, "packed"), MLP_SGD)
    block = pack_of(cohort).blocks[0]
    before = [leaf.clone() for leaf in block.mean]
    block.take_in(STATES - 1)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(block.mean, before, strict=True))
    assert block.taken == STATES


def test_rungs_that_are_close_share_no_states_and_begin_anew() -> None:
    found = averaged_steps([0.5, 0.53125], 64)
    assert found == {29: 0, 30: 1, 31: 2, 32: 3, 33: 0, 34: 1}
    assert averaged_steps([], 64) == {}
