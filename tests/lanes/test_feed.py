"""Batches and draws: a function of (seed, repeat, step) alone, readable at any step."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lanewise.data import hold_out, load
from lanewise.errors import InputError
from lanewise.lanes.machine.streams import stream, stream_seed
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.feed import Chunk, Feed, Repeat
from lanewise.lanes.training.cohort import Cohort
from tests.lanes.cases import MLP_SGD, STEPS, rows

SHAPES = {"4.lane_uniform0": (16, 13), "6.lane_uniform0": (16, 2, 1)}
FIRST_ROWS = torch.arange(165.0).unsqueeze(1).repeat(1, 2)
"""Inputs that say which row they are."""


def repeat(seed: int = 3, index: int = 0) -> Repeat:
    held = hold_out(load((FIRST_ROWS, torch.arange(165) % 4)), 0)
    return Repeat.draw(held, seed, index)


def feed(seed: int = 3, index: int = 0, batch_size: int = 16, shapes: dict[str, tuple[int, ...]] = SHAPES) -> Feed:
    return Feed(repeat(seed, index), batch_size, shapes, torch.float32, torch.device("cpu"))


def read(source: Feed, start: int, stop: int) -> list[Tensor]:
    """x, y and every draw of the steps `start` to `stop`, each [steps, ...]."""
    chunks = [source.chunk(*span) for span in source.spans(start, stop)]
    parts = [(chunk.x, chunk.y, *chunk.draws) for chunk in chunks]
    return [torch.cat(column) for column in zip(*parts, strict=True)]


def row_numbers(source: Feed, x: Tensor) -> Tensor:
    """Which rows of the pool the inputs `x` are."""
    scale = source.repeat.scale
    numbers = (x.double() * scale.std + scale.mean)[..., 0]
    pool = source.repeat.holdout.pool.x[:, 0].double()
    return torch.searchsorted(pool.sort().values, numbers - 0.5)


def same(mine: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_spans_meet_no_boundary() -> None:
    source = feed(batch_size=4)
    assert (source.steps_per_epoch, source.length) == (24, 16)
    assert list(source.spans(0, 60)) == [(0, 16), (16, 24), (24, 40), (40, 48), (48, 60)]
    assert list(source.spans(5, 9)) == [(5, 9)]
    assert list(source.spans(15, 41)) == [(15, 16), (16, 24), (24, 40), (40, 41)]
    assert list(source.spans(7, 7)) == []


@pytest.mark.parametrize(("start", "stop"), [(5, 9), (0, 1), (15, 17), (23, 25), (30, 60), (59, 60)])
def test_steps_read_alone_equal_the_steps_of_a_whole_run(start: int, stop: int) -> None:
    whole = read(feed(batch_size=4), 0, 60)
    assert same(read(feed(batch_size=4), start, stop), [column[start:stop] for column in whole])


def test_reading_backwards_changes_nothing() -> None:
    whole, source = read(feed(), 0, 18), feed()
    for step in reversed(range(18)):
        assert same(read(source, step, step + 1), [column[step : step + 1] for column in whole])


def test_steps_do_not_depend_on_where_a_rung_cuts_the_run() -> None:
    source = feed(batch_size=4)
    pieces = [read(source, start, stop) for start, stop in ((0, 3), (3, 20), (20, 21), (21, 60))]
    assert same([torch.cat(column) for column in zip(*pieces, strict=True)], read(source, 0, 60))


def test_the_same_seed_gives_the_same_everything() -> None:
    first, second = repeat(), repeat()
    assert torch.equal(first.split.train, second.split.train)
    assert torch.equal(first.split.valid, second.split.valid)
    assert first.weight_seed == second.weight_seed
    assert same(read(feed(), 0, 12), read(feed(), 0, 12))


@pytest.mark.parametrize("other", [{"index": 1}, {"seed": 4}], ids=["repeat", "seed"])
def test_another_repeat_or_seed_gives_another_everything(other: dict[str, int]) -> None:
    first, second = repeat(), repeat(**other)
    assert not torch.equal(first.split.train, second.split.train)
    assert first.weight_seed != second.weight_seed
    # On the same rows, so that it is the order that differs.
    mine, theirs = feed(), feed()
    theirs.repeat = theirs.reading.repeat = replace(second, split=first.split, scale=first.scale)
    x, _, *draws = read(mine, 0, 6)
    other_x, _, *other_draws = read(theirs, 0, 6)
    assert not torch.equal(x, other_x)
    assert all(not torch.equal(draw, other_draw) for draw, other_draw in zip(draws, other_draws, strict=True))


def test_each_epoch_shows_every_row_once_at_most_in_an_order_of_its_own() -> None:
    source = feed()
    train = set(source.repeat.split.train.tolist())
    pool = source.repeat.holdout.pool.x[:, 0]
    rank = pool.argsort()
    epochs = []
    for epoch in range(3):
        x, y, *_ = read(source, 6 * epoch, 6 * epoch + 6)
        shown = rank[row_numbers(source, x).flatten()]
        assert len(set(shown.tolist())) == 96, "99 rows, 3 left out"
        assert set(shown.tolist()) <= train
        assert torch.equal(source.repeat.holdout.pool_y[shown], y.flatten())
        epochs.append(shown.tolist())
    assert epochs[0] != epochs[1] != epochs[2]
    assert len({tuple(sorted(shown)) for shown in epochs}) > 1, "the rows left out change from epoch to epoch"


def test_inputs_are_standardised_by_the_training_rows() -> None:
    source = feed(batch_size=99)
    x, *_ = read(source, 0, 1)
    assert x.mean().abs() < 1e-5
    assert abs(x.std(correction=0).item() - 1) < 1e-5


def test_draws_of_all_steps_and_layers_differ_and_are_uniform() -> None:
    # Batches of 4: an epoch has two chunks, each with a seed of its own.
    _, _, *draws = read(feed(batch_size=4), 0, 60)
    for draw, shape in zip(draws, SHAPES.values(), strict=True):
        assert draw.shape == (60, *shape)
        assert len({step.numpy().tobytes() for step in draw}) == 60
        assert 0 <= draw.min() < 0.02
        assert 0.98 < draw.max() < 1
        assert abs(draw.mean() - 0.5) < 0.03
    assert not torch.equal(draws[0][:, :, 0], draws[1][:, :, 0, 0])


def test_a_feed_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    read(feed(), 0, 6)
    assert torch.equal(torch.get_rng_state(), before)


def test_draws_do_not_depend_on_the_lanes(engine_of: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Chunk] = []
    runs = []
    chunk = Feed.chunk
    monkeypatch.setattr(Feed, "chunk", lambda self, *span: given.append(chunk(self, *span)) or given[-1])
    for count in (1, 2, 9):
        cohort = Cohort(engine_of(MLP_SGD, "packed"), [MLP_SGD.recipes()[0]] * count, (0,))
        given.clear()
        cohort.advance(10 / STEPS)
        runs.append([[step.x, step.y, *step.draws] for step in given])
    assert len(runs[0]) == 2
    for run in runs[1:]:
        assert all(same(mine, theirs) for mine, theirs in zip(run, runs[0], strict=True))


def test_a_long_row_shortens_the_chunks() -> None:
    x = torch.zeros(20, 300_000, dtype=torch.uint8)
    x[:, 0] = torch.arange(20)
    source = Repeat.draw(hold_out(load((x, torch.arange(20) % 2)), 0), 3, 0)
    long = Feed(source, 5, {"uniform": (5,)}, torch.float32, torch.device("cpu"))
    assert long.length == 2, "16 MiB hold two batches of 5 rows of 1.2 MB"


def test_a_batch_larger_than_the_rows_is_refused() -> None:
    with pytest.raises(InputError, match=r"batch_size = 100: there are 99 training rows; must be in \[1, 99\]"):
        feed(batch_size=100)


def test_streams_are_named() -> None:
    seeds = [stream_seed(1, 2, "order", 3), stream_seed(1, 2, "masks", 3), stream_seed(1, 23), stream_seed(12, 3)]
    assert len(set(seeds)) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)
    first, second = (torch.rand(4, generator=stream(1, "a")) for _ in range(2))
    assert torch.equal(first, second)


def test_the_engine_splits_the_test_rows_off_by_its_seed(engine_of: Callable[..., Engine]) -> None:
    engine = engine_of(MLP_SGD, "packed")
    x, _ = rows("mlp")
    assert (len(engine.holdout.test_y), len(engine.holdout.pool_y)) == (33, 132)
    seen = torch.cat([engine.holdout.test.x, engine.holdout.pool.x])
    assert torch.equal(seen.sort(0).values, x.sort(0).values)
    assert engine.repeat(0) is engine.repeat(0)
    assert not torch.equal(engine.repeat(0).split.valid, engine.repeat(1).split.valid)
    weights = [engine.new_model(index).state_dict()["1.weight"] for index in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
