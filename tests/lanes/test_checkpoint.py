"""A cohort that is written down in the middle and read back trains on bit for bit."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import safetensors.torch
import torch

from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.checkpoint import kept, laid_out, restore, state_of
from lanewise.lanes.training.checkpointer import Checkpointer
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import AdamW, Muon, ScheduleFreeSGD
from lanewise.parts.schedules import Plateau
from tests.lanes.cases import CASES, CNN_SGD, HOW, MLP_SGD, MODELS, Case, all_bits, engine_for, plan, rows

EngineOf = Callable[..., Engine]
REPEATS = (0, 3)


class SavesAt(Checkpointer):
    """Keeps the state after so many chunks, as a file holds it."""

    def __init__(self, cohort: Cohort, chunk: int) -> None:
        self.cohort, self.left = cohort, chunk
        self.content = b""

    def due(self) -> bool:
        self.left -= 1
        return self.left == 0

    def save(self) -> None:
        tensors, data = state_of(self.cohort)
        self.content = safetensors.torch.save(tensors, {"data": json.dumps(data)})
        self.text = json.dumps(data)

    def read_into(self, cohort: Cohort) -> None:
        restore(cohort, safetensors.torch.load(self.content), json.loads(self.text))


def goes_on_alike(engine: Engine, recipes: list[object], chunk: int) -> None:
    """Train, be written down in the middle, and compare with a cohort made of what was written."""
    cohort = Cohort(engine, recipes, REPEATS)  # type: ignore[arg-type]
    cohort.advance(0.25)
    cohort.evaluate()
    cohort.keep(range(len(recipes) - 1))
    cohort.checkpointer = checkpointer = SavesAt(cohort, chunk)
    before = engine.costs.lane_steps
    cohort.advance(0.5)
    spent = engine.costs.lane_steps - before
    again = Cohort(engine, recipes, REPEATS)  # type: ignore[arg-type]
    checkpointer.read_into(again)
    steps = [(pack.step, group.total_steps) for group in again.groups for pack in group.packs]
    assert all(total // 4 < step <= total // 2 for step, total in steps)
    before = engine.costs.lane_steps
    again.advance(0.5)
    assert engine.costs.lane_steps - before < spent, "what was done before is not done again"
    assert again.live == cohort.live
    assert all_bits(again) == all_bits(cohort)
    assert same_scores_of_live(again, cohort)
    assert again.curves == cohort.curves
    for each in (cohort, again):
        each.advance(0.6)
    assert all_bits(again) == all_bits(cohort)


def same_scores_of_live(mine: Cohort, theirs: Cohort) -> bool:
    """Whether both are evaluated alike; who left has no score."""
    first, second = mine.evaluate(), theirs.evaluate()
    return all(
        a[mine.live].tobytes() == b[mine.live].tobytes()
        for a, b in ((first.loss, second.loss), (first.metric, second.metric))
    )


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_cohort_written_down_between_chunks_goes_on_alike(case: Case, how: str, engine_of: EngineOf) -> None:
    goes_on_alike(engine_of(case, how), list(case.recipes()), chunk=2)


@pytest.mark.parametrize(
    "optimizer",
    [Muon(lr=0.02, adam_lr=0.01), ScheduleFreeSGD(lr=0.1), AdamW(lr=0.01 * Plateau(patience=0, threshold=0.5))],
    ids=str,
)
@pytest.mark.parametrize("kind", MODELS)
def test_optimizers_with_slots_of_their_own_and_plateaus_go_on_alike(optimizer: object, kind: str) -> None:
    case = MLP_SGD if kind == "mlp" else CNN_SGD
    recipe = replace(case.recipes()[0], optimizer=optimizer)
    engine = engine_for(MODELS[kind], rows(kind), recipe, plan("packed"), torch.float32)
    goes_on_alike(engine, [recipe, recipe, recipe], chunk=1)
    engine.close()


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6.0).view(2, 3).t(),
        torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
        torch.tensor(3).expand(4),
        torch.rand(3, 1).expand(3, 5),
        torch.rand(4, 6)[:, 1:3],
        torch.tensor(True),
        torch.rand(0, 3),
        torch.rand(2, 3).bfloat16(),
    ],
    ids=["transposed", "channels last", "one for all", "a row for all", "a part", "a flag", "empty", "bfloat16"],
)
def test_a_tensor_comes_back_as_it_lay_in_memory(tensor: torch.Tensor) -> None:
    back = laid_out(kept(tensor), list(tensor.stride()))
    assert torch.equal(back, tensor)
    assert (back.dtype, back.stride()) == (tensor.dtype, tensor.stride())


def test_the_state_of_another_model_is_refused(engine_of: EngineOf) -> None:
    cohort = Cohort(engine_of(MLP_SGD, "packed"), MLP_SGD.recipes(), (0,))
    tensors, data = state_of(cohort)
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 3)
    tensors[name] = tensors[name][:, :-1].contiguous()
    with pytest.raises(InputError, match="do not fit the model"):
        restore(cohort, tensors, data)
