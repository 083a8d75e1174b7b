"""bfloat16 where it is asked for: packed, looped and compiled lanes are the plain autocast loop, in its tolerance."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lanewise as lw
from lanewise.errors import InputError
from lanewise.lanes.model.precision import check_precision
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.plan import Plan
from lanewise.lanes.training.cohort import Cohort
from lanewise.task.task import Task
from lanewise.train import train
from tests.lanes.cases import group_of, lane_of, plan, rows

STEPS = 12
CLASSES, TOKENS, WIDTH = 4, 8, 16


class Attention(nn.Module):
    """One layer of a transformer on sequences of numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm, self.qkv = nn.Linear(2, WIDTH), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH)
        self.wide, self.head = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (2, -1)).transpose(1, 2).chunk(3, -1)
        x = x + F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.head(F.gelu(self.wide(x)).mean(1))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, CLASSES))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(128, CLASSES),
    )  # fmt: skip


def sequences() -> tuple[Tensor, Tensor]:
    x, y = rows("mlp")
    return F.pad(x, (0, 2 * TOKENS - 12)).unflatten(-1, (TOKENS, 2)), y


KINDS: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, Tensor]]] = {
    "mlp": (mlp, rows("mlp")),
    "cnn": (cnn, rows("cnn")),
    "transformer": (Attention, sequences()),
}
RECIPE = lw.Recipe(optimizer=lw.SGD(lr=0.1, momentum=0.9), batch_size=16, epochs=2)
assert RECIPE.epochs * (99 // 16) == STEPS


def engine(kind: str, how: Plan, precision: str) -> Engine:
    model, data = KINDS[kind]
    return Engine(Task(model, data), 7, threads=1, precision=precision, plans={str(RECIPE.structure()): how})


def lanes(kind: str, how: Plan, precision: str) -> tuple[dict[str, Tensor], float]:
    """(weights, validation loss) of one of three lanes after the run."""
    run = engine(kind, how, precision)
    cohort = Cohort(run, [RECIPE] * 3, [0])
    cohort.advance(1.0)
    step, lane = group_of(cohort).prepared.step, lane_of(cohort, 1)
    numbers = lane.block.table[-1][:, lane.at]
    assert all(leaf.dtype != torch.bfloat16 for leaf in lane.state)
    loss = float(cohort.evaluate().loss[1, 0])
    run.close()
    return step.weights(lane.state, numbers), loss


def alone(kind: str, precision: str) -> dict[str, Tensor]:
    """The weights of a plain loop under `torch.autocast` after the run."""
    run = engine(kind, plan("looped"), precision)
    model, feed = run.new_model(0).train(), run.feed(RECIPE, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for start, stop in feed.spans(0, STEPS):
        chunk = feed.chunk(start, stop)
        for at in range(stop - start):
            x, y = chunk.step(at)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                outputs = model(x)
            optimizer.zero_grad()
            F.cross_entropy(outputs.float(), y).backward()
            optimizer.step()
    run.close()
    return model.state_dict()


def distance(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """How far apart all weights together are, as a share of the length of `theirs`."""
    names = [name for name, value in theirs.items() if value.is_floating_point()]
    gap = sum(float((mine[name] - theirs[name]).square().sum()) for name in names)
    return float((gap / sum(float(theirs[name].square().sum()) for name in names)) ** 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_looped_lanes_are_the_plain_autocast_loop(kind: str) -> None:
    weights, loss = lanes(kind, plan("looped"), "bfloat16")
    assert distance(weights, alone(kind, "bfloat16")) < 1e-5
    assert distance(weights, alone(kind, "float32")) > 1e-4, "what is computed in bfloat16 differs"
    assert loss == pytest.approx(lanes(kind, plan("looped"), "float32")[1], rel=0.1)


@pytest.mark.parametrize(
    ("kind", "how"), [*((kind, "packed") for kind in KINDS), pytest.param("cnn", "compiled", marks=pytest.mark.slow)]
)
def test_packs_are_the_plain_autocast_loop_within_its_rounding(kind: str, how: str) -> None:
    weights, _ = lanes(kind, plan(how), "bfloat16")
    assert distance(weights, alone(kind, "bfloat16")) < 0.02
    assert distance(weights, alone(kind, "float32")) > 1e-4


def test_what_cannot_be_packed_in_bfloat16_is_looped_with_one_line() -> None:
    def instance_normed() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 8, 3), nn.InstanceNorm2d(8, affine=True), nn.Flatten(), nn.Linear(288, 4))

    notes: list[str] = []
    run = Engine(Task(instance_normed, rows("cnn")), 7, threads=1, precision="bfloat16", note=notes.append)
    Cohort(run, [RECIPE] * 3, [0]).advance(0.5)
    (chosen,) = run.plans.values()
    assert not chosen.packed
    assert notes[0].startswith("lanes run one after another, because the model cannot be packed")
    assert len(notes) == 2, "the other is the plan"
    run.close()


def test_one_recipe_trained_natively_is_its_lane() -> None:
    found = train(Task(*KINDS["mlp"]), RECIPE, seed=7, precision="bfloat16")
    assert distance(found.model.state_dict(), alone("mlp", "bfloat16")) < 1e-5
    assert found.validation is not None
    assert found.validation[0] == pytest.approx(lanes("mlp", plan("looped"), "bfloat16")[1], rel=1e-4)
    assert found.model(KINDS["mlp"][1][0]).dtype == torch.float32


@pytest.mark.parametrize("wrong", ["float16", "bf16", "", None, 32])
def test_an_unknown_precision_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match=r"^precision = .*: must be one of float32, bfloat16$"):
        lw.race(Task(*KINDS["mlp"]), lw.Recipe(optimizer=lw.SGD(lr=lw.log(0.01, 1.0))), precision=wrong)
    with pytest.raises(InputError, match=r"^precision = "):
        train(Task(*KINDS["mlp"]), RECIPE, precision=wrong)


def test_a_device_that_cannot_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    with pytest.raises(InputError, match=r"precision = 'bfloat16': cuda:0 cannot compute in it; must be float32 there"):
        check_precision("bfloat16", torch.device("cuda:0"))
    assert check_precision("float32", torch.device("cuda:0")) == "float32"


def test_a_race_records_its_precision_and_resumes_in_it(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    space = lw.Recipe(optimizer=lw.SGD(lr=lw.log(0.01, 1.0)), batch_size=16, epochs=1)
    folder = tmp_path / "run"

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    asked = {"precision": "bfloat16", "candidates": 2, "repeats": 1, "confirm": 2, "threads": 1, "out": folder}
    with monkeypatch.context() as patched:
        patched.setattr(Cohort, "evaluate", stopped)
        with pytest.raises(KeyboardInterrupt):
            lw.race(Task(*KINDS["mlp"]), space, **asked)
    assert json.loads((folder / "run.json").read_text())["precision"] == "bfloat16"
    assert lw.resume(folder, Task(*KINDS["mlp"])).study.engine.precision == "bfloat16"
