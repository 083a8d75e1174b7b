"""Loops in channels-last format: the same numbers, the format kept from step to step, chosen where it is faster."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lanewise as lw
from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.plan import Plan
from lanewise.lanes.packs.trials import Trial
from lanewise.lanes.step.channels_last import channels_last
from lanewise.lanes.training.checkpoint import restore, state_of
from lanewise.lanes.training.cohort import Cohort
from lanewise.task.task import Task
from tests.lanes.cases import bits_of, group_of, lane_of, pack_of, plan, rows, same_scores

LOOPED = plan("looped")
LAST = replace(LOOPED, channels_last=True)
RECIPE = lw.Recipe(optimizer=lw.SGD(lr=0.1, momentum=0.9), batch_size=8, epochs=2, dropout=0.2, clip=1.0)
LEFT, RIGHT = 0.5, 1.0


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout2d(), nn.MaxPool2d(3, 1),
        nn.Flatten(), nn.Linear(24, 4),
    )  # fmt: skip


def cohort(how: Plan, dtype: torch.dtype = torch.float32) -> Cohort:
    engine = Engine(Task(cnn, rows("cnn")), 7, threads=1, dtype=dtype, plans={str(RECIPE.structure()): how})
    return Cohort(engine, [RECIPE, replace(RECIPE, optimizer=replace(RECIPE.optimizer, lr=0.05))], [0])


def is_last(value: Tensor) -> bool:
    """By strides: torch calls a tensor with one channel contiguous in either format."""
    _, channels, height, width = value.shape
    return value.stride() == (channels * height * width, 1, width * channels, channels)


def test_only_images_are_turned_and_a_single_channel_counts() -> None:
    one = channels_last(torch.zeros(2, 5, 1, 3, 3))
    assert is_last(one[0])
    assert channels_last(one) is one
    for other in (torch.zeros(2, 5), torch.zeros(2, 5, 3, 3), torch.zeros(2, 5, 1, 3, 3, dtype=torch.int64)):
        assert channels_last(other) is other


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_format_changes_no_number(compiled: bool) -> None:
    how = replace(LAST, compiled=plan("compiled").compiled) if compiled else LAST
    mine, theirs = cohort(how, torch.float64), cohort(LOOPED, torch.float64)
    for each in (mine, theirs):
        each.advance(RIGHT)
    for ours, plain in zip(lane_of(mine, 1).state, lane_of(theirs, 1).state, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(*(torch.tensor(each.evaluate().loss) for each in (mine, theirs)), rtol=1e-9, atol=1e-9)


def test_every_layer_meets_images_in_the_format_at_every_step() -> None:
    trained = cohort(LAST)
    seen: list[tuple[str, bool]] = []
    step = group_of(trained).prepared.step
    params, buffers, *_ = step.unflattened([leaf[0] for leaf in pack_of(trained).blocks[0].state])
    # In this thread, where the model with the hooks is.
    model = step.form_of(params | buffers).model
    for layer in model[:9]:
        layer.register_forward_hook(lambda layer, _, out: seen.append((type(layer).__name__, is_last(out.detach()))))
    chunk = pack_of(trained).feed.chunk(0, 4)
    assert all(is_last(image) for image in chunk.x)
    block = pack_of(trained).blocks[0]
    block.run(group_of(trained).prepared.train, chunk, block.table[:4])
    assert len(seen) == 4 * 9
    assert all(last for _, last in seen), seen


def test_a_restored_lane_lies_in_memory_as_before_and_goes_on_bit_for_bit() -> None:
    whole = cohort(LAST)
    whole.advance(LEFT)
    tensors, data = state_of(whole)
    again = cohort(LAST)
    restore(again, tensors, json.loads(json.dumps(data)))
    strides = [[leaf.stride() for leaf in lane_of(each, 0).block.state] for each in (whole, again)]
    assert strides[0] == strides[1]
    for each in (whole, again):
        each.advance(RIGHT)
    assert [bits_of(whole, at) for at in (0, 1)] == [bits_of(again, at) for at in (0, 1)]
    assert same_scores(whole.evaluate(), again.evaluate())


@pytest.mark.parametrize(("share", "last"), [(0.5, True), (2.0, False)])
def test_the_faster_format_is_taken(monkeypatch: pytest.MonkeyPatch, share: float, last: bool) -> None:
    monkeypatch.setattr(
        Trial,
        "microseconds",
        lambda self, program, width, *_: 100.0 * (share if self.channels_last else 1.0) * (3 if width > 1 else 1),
    )
    engine = Engine(Task(cnn, rows("cnn")), 7, threads=1)
    chosen = engine.prepare(RECIPE, 0, 2, 1, 1).plan
    assert (chosen.packed, chosen.compiled, chosen.channels_last) == (False, False, last)
    assert ("channels last" in str(chosen)) is last
    assert engine.prepare(RECIPE, 0, 2, 1, 1).trial.laid_for(chosen).channels_last is last


def test_a_perceptron_is_not_tried_in_it() -> None:
    engine = Engine(Task("mlp:8", rows("mlp")), 7, threads=1)
    assert not any("channels" in way for way in engine.prepare(RECIPE, 0, 2, 1, 1).plan.timings)


def test_a_plan_holds_the_format_and_plans_without_it_are_read() -> None:
    written = json.loads(json.dumps(LAST.to_dict()))
    assert Plan.from_dict(written, "engine.json") == LAST
    assert str(LAST) == "eager loop over lanes, channels last, 1 worker(s) of 1 thread(s)"
    assert Plan.from_dict({key: value for key, value in written.items() if key != "channels_last"}, "x") == LOOPED


@pytest.mark.parametrize("wrong", [{"channels_last": 1}, {"channels_last": None}, {"packed": True, "width": 4}])
def test_what_is_no_such_plan_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^engine\.json: .*channels_last"):
        Plan.from_dict({**LAST.to_dict(), **wrong}, "engine.json")
