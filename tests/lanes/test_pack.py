"""Blocks: how lanes are filled in, padded, closed up, and what is remembered of their losses."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from lanewise.data import hold_out, load
from lanewise.lanes.packs.feed import Chunk, Feed
from lanewise.lanes.packs.pack import Pack, advance, grouped, padded
from lanewise.lanes.packs.repeat import Repeat

STEPS = 6
ROWS = (torch.arange(40.0).unsqueeze(1), torch.arange(40) % 2)


def feed() -> Feed:
    repeat = Repeat.draw(hold_out(load(ROWS), 0), 0, 0)
    return Feed(repeat, 4, {}, torch.float64, torch.device("cpu"))


def table(candidate: int) -> np.ndarray:
    """Two numbers a step: one that names the candidate, and the step."""
    return np.stack([np.full(STEPS, float(candidate)), np.arange(float(STEPS))], axis=1)


def counting(*flat: Tensor) -> list[Tensor]:
    """A program whose lanes count steps and sum up their first number; the loss is 10 times it plus the second."""
    steps, sums, numbers, *_ = flat
    return [steps + 1, sums + numbers[0], 10 * numbers[0] + numbers[1]]


def pack(candidates: Sequence[int], width: int, least: int | None = None) -> Pack:
    start = [torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)]
    return Pack(feed(), {candidate: table(candidate) for candidate in candidates}, start, width, least)


def train(trained: Pack, steps: int, program: object = counting) -> None:
    for first, stop in trained.feed.spans(trained.step, trained.step + steps):
        chunk = trained.feed.chunk(first, stop)
        for block in trained.blocks:
            block.run(program, chunk, block.table[first:stop])
        trained.step = stop


def widths(of: Pack) -> list[int]:
    return [len(block.state[0]) for block in of.blocks]


def test_groups_and_padding() -> None:
    assert grouped([3, 1, 4, 1, 5], 2) == [(3, 1), (4, 1), (5,)]
    assert grouped([], 2) == []
    assert padded([7, 8], 4) == [7, 8, 7, 7]
    assert padded([7, 8, 9], 2) == [7, 8, 9]


def test_a_block_of_one_width_is_padded_by_its_first_lane() -> None:
    made = pack([5, 6, 7], 2)
    assert [block.candidates for block in made.blocks] == [(5, 6), (7,)]
    assert widths(made) == [2, 2]
    assert made.blocks[1].table[0, 0].tolist() == [7.0, 7.0]
    assert made.candidates == [5, 6, 7]


def test_an_eager_block_is_as_wide_as_its_lanes_but_two_at_least() -> None:
    assert widths(pack([5, 6, 7], 8, least=2)) == [3]
    assert widths(pack([5], 8, least=2)) == [2]
    assert widths(pack([5, 6, 7], 1, least=1)) == [1, 1, 1]


def test_lanes_start_alike_and_share_no_memory() -> None:
    made = pack([5, 6], 2)
    state = made.blocks[0].state[0]
    state[0] = 9.0
    assert state[1] == 0.0
    assert made.blocks[0].state[1].tolist() == [0.0, 0.0]


def test_each_lane_is_given_its_own_numbers() -> None:
    made = pack([5, 6, 7], 2)
    train(made, 4)
    sums = {c: float(b.state[1][at]) for b in made.blocks for at, c in enumerate(b.candidates)}
    assert sums == {5: 20.0, 6: 24.0, 7: 28.0}
    assert made.mean_loss() == {5: 51.5, 6: 61.5, 7: 71.5}


def test_the_mean_loss_is_that_of_the_steps_since_the_last_call() -> None:
    made = pack([5], 2)
    train(made, 2)
    assert made.mean_loss() == {5: 50.5}
    assert made.mean_loss() == {}
    train(made, 3)
    assert made.mean_loss() == {5: 53.0}


@pytest.mark.parametrize("least", [None, 2])
def test_survivors_close_up_with_state_and_numbers(least: int | None) -> None:
    made = pack([1, 2, 3, 4, 5], 2, least)
    train(made, 3)
    made.mean_loss()
    made.keep({5, 4, 1})
    assert [block.candidates for block in made.blocks] == [(1, 4), (5,)]
    assert widths(made) == [2, 2]
    train(made, 1)
    assert [block.state[1].tolist() for block in made.blocks] == [[4.0, 16.0], [20.0, 20.0]]
    assert made.mean_loss() == {1: 13.0, 4: 43.0, 5: 53.0}
    made.keep({4})
    made.keep({4})
    train(made, 1)
    assert made.candidates == [4]
    assert made.blocks[0].state[1][0] == 20.0


def test_eager_blocks_shrink_with_their_lanes() -> None:
    made = pack([1, 2, 3, 4, 5], 8, least=2)
    made.keep([2, 3, 5])
    assert widths(made) == [3]
    made.keep([3])
    assert widths(made) == [2]


def test_a_pack_may_become_empty() -> None:
    made = pack([1, 2], 2)
    made.keep([])
    assert (made.blocks, made.candidates, made.mean_loss()) == ([], [], {})


def test_replaced_numbers_hold_from_then_on_for_their_candidate_alone() -> None:
    made = pack([1, 2], 2)
    train(made, 2)
    other = table(2)
    other[2:, 0] = 100.0
    made.replace_tables({2: other})
    train(made, 2)
    assert made.blocks[0].state[1].tolist() == [4.0, 204.0]
    made.keep([2])
    train(made, 1)
    assert made.blocks[0].state[1][0] == 304.0, "what was replaced stays replaced when the pack closes up"


def test_the_first_step_without_a_finite_loss_is_noted_once() -> None:
    def program(*flat: Tensor) -> list[Tensor]:
        steps, sums, loss = counting(*flat)
        bad = (flat[2][0] == 2) & (flat[2][1] >= 3)
        return [steps, sums, torch.where(bad, torch.inf, loss)]

    made = pack([1, 2, 3], 2)
    for _ in range(3):
        train(made, 2, program)
        made.mean_loss()
    assert made.diverged == {2: 3}


def test_advancing_leaves_the_state_it_started_from() -> None:
    made = pack([1, 2], 2)
    block = made.blocks[0]
    chunk: Chunk = made.feed.chunk(0, 4)
    before = [leaf.clone() for leaf in block.state]
    state, losses = advance(counting, block.state, chunk, block.table[:4])
    assert losses.shape == (4, 2)
    assert state[1].tolist() == [4.0, 8.0]
    assert all(torch.equal(mine, old) for mine, old in zip(block.state, before, strict=True))
