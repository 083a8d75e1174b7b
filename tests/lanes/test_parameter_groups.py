"""Parameters with numbers of their own: a recipe trained alone gives what its lane gives, packed, looped or real."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lanewise.errors import InputError
from lanewise.lanes.training.cohort import Cohort
from lanewise.lanes.training.groups import evaluation_points
from lanewise.parts.groups import times
from lanewise.parts.lora import lora
from lanewise.parts.optimizers import SGD, AdamW, Lion, Muon, Optimizer, ScheduleFreeAdamW
from lanewise.parts.schedules import Cosine, Linear, Plateau
from lanewise.recipe.recipe import Recipe
from lanewise.task.task import Task
from lanewise.train import train
from tests.lanes.cases import engine_for, plan, rows

SHORT = {"batch_size": 16, "epochs": 6, "label_smoothing": 0.1}
FREEZE = {"0.*": {"freeze": "30%", "lr": "x0.5"}, "4.*": {"lr": times(2.0 * Linear()), "decay": 0}}


def perceptron() -> nn.Module:
    # Without a bias in front of batch norm: its gradient would be rounding, whose sign Lion takes.
    return nn.Sequential(nn.Linear(12, 9, bias=False), nn.BatchNorm1d(9), nn.Tanh(), nn.Linear(9, 9), nn.Linear(9, 4))


class Sized(nn.Sequential):
    """Divides by the largest value, as a Python number: no pack can hold it."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = self[0](x)
        found: Tensor = self[2](self[1](hidden / max(hidden.abs().max().item(), 1.0)))
        return found


def sized() -> nn.Module:
    return Sized(nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, 4))


def adapters() -> nn.Module:
    return lora(perceptron(), rank=2, targets=["0", "3"], train="4.*")


RECIPES: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "sgd": (perceptron, {"optimizer": SGD(lr=0.1 * Cosine(), momentum=0.9), "l2": 0.01, "groups": FREEZE}),
    "adamw": (perceptron, {"optimizer": AdamW(lr=0.02, weight_decay=0.5), "groups": FREEZE, "clip": 0.5}),
    "lion": (perceptron, {"optimizer": Lion(lr=0.003), "groups": {"3.weight": {"decay": 0.5}}, "layer_decay": 0.5}),
    "muon": (
        perceptron,
        {"optimizer": Muon(lr=0.02), "groups": {"4.*": {"lr": "x0.1"}}, "layer_decay": 0.9 * Linear(to=0.5)},
    ),
    "schedule-free": (
        perceptron,
        {"optimizer": ScheduleFreeAdamW(lr=0.02), "gradual_unfreezing": "50%", "layer_decay": 0.7, "l1": 0.01},
    ),
    "averages": (perceptron, {"optimizer": SGD(lr=0.1), "gradual_unfreezing": "2ep", "ema": 0.9, "decay": 0.1,
                              "groups": {"*.bias": {"lr": "x2"}}}),
    "proximal": (perceptron, {"optimizer": SGD(lr=0.1), "l1": 0.02, "l1_step": "proximal", "groups":
                              {"0.weight": {"l1": "x3", "freeze": "20%"}, "3.*": {"l1": 0}}}),
    "plateau": (perceptron, {"optimizer": SGD(lr=0.3 * Plateau(beta=0.5, patience=0)), "groups":
                             {"0.*": {"lr": "x0.5"}, "4.*": {"lr": times(Plateau(beta=0.1, patience=0))}}}),
    "no pack": (sized, {"optimizer": AdamW(lr=0.02), "groups": {"0.*": {"freeze": "30%"}}, "layer_decay": 0.5}),
    "adapters": (adapters, {"optimizer": SGD(lr=0.3), "groups": {"*.lora_B": {"lr": "x4"}}, "layer_decay": 0.5}),
}  # fmt: skip


@pytest.mark.parametrize("how", ["packed", "looped"])
@pytest.mark.parametrize("name", RECIPES)
def test_trained_alone_a_recipe_scores_as_its_lane(name: str, how: str) -> None:
    model, fields = RECIPES[name]
    recipe = Recipe(**SHORT, **fields)
    task = Task(model, rows("mlp"))
    engine = engine_for(model, rows("mlp"), recipe, plan(how, 2 if how == "packed" else 1), torch.float64)
    cohort = Cohort(engine, [recipe, recipe], [0])
    for point in evaluation_points(recipe.epochs):
        cohort.advance(point)
        last = cohort.evaluate()
    mine = last.loss[0, 0], last.metric[0, 0]
    engine.close()
    alone = train(task, recipe, seed=7, dtype=torch.float64, progress=False)
    assert alone.validation == pytest.approx(mine, abs=1e-9)
    without = Recipe(**SHORT, **{**fields, "groups": (), "layer_decay": None, "gradual_unfreezing": None})
    plain = train(task, without, seed=7, dtype=torch.float64, progress=False)
    assert plain.validation is not None
    assert abs(plain.validation[0] - mine[0]) > 1e-4


@pytest.mark.parametrize("optimizer", [SGD(lr=0.1, momentum=0.9), AdamW(lr=0.01, weight_decay=0.1)], ids=str)
def test_what_is_frozen_throughout_stays_and_the_rest_trains(optimizer: Optimizer) -> None:
    task = Task(perceptron, rows("mlp"))
    recipe = Recipe(optimizer=optimizer, l2=0.01, groups={"0.*": {"freeze": True}, "1.*": {"freeze": "100%"}}, **SHORT)
    after = train(task, recipe, seed=7, progress=False)
    before = dict(task.new_model(after.weight_seed).named_parameters())
    for name, param in after.model.named_parameters():
        assert torch.equal(param, before[name]) == name.startswith(("0.", "1.")), name


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"hed.*": {"lr": 1}}, "groups: 'hed.*' fits no parameter; must fit some of 0.weight, 1.weight"),
        ({"4.*": {"lr": 1}, "*.bias": {"lr": 1}}, "groups: '4.*' and '*.bias' both fit 4.bias; one group at most may"),
        ({"*": {"freeze": True}}, "groups: freeze all parameters for the whole run; some must train"),
        ({"*.bias": {"l1": 0.1}}, "groups['*.bias'].l1 = 0.1: penalties apply to none of its parameters"),
        ({"*.bias": {"decay": "x2"}}, "groups['*.bias'].decay = x2: penalties apply to none of its parameters"),
    ],
)
def test_groups_that_fit_the_model_badly_are_refused(groups: Any, message: str) -> None:
    recipe = Recipe(optimizer=SGD(lr=0.1), groups=groups, **SHORT)
    task = Task(perceptron, rows("mlp"))
    with pytest.raises(InputError) as caught:
        train(task, recipe, progress=False)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    engine = engine_for(perceptron, rows("mlp"), recipe, plan("packed"))
    with pytest.raises(InputError) as raced:
        Cohort(engine, [recipe, recipe], [0])
    engine.close()
    assert str(raced.value) == str(caught.value)


def test_a_group_of_frozen_parameters_is_refused() -> None:
    task = Task(adapters, rows("mlp"))
    with pytest.raises(InputError, match=r"groups: '0.weight' fits frozen parameters only; must fit some of 0.lora_A"):
        train(task, Recipe(groups={"0.weight": {"lr": 0.1}}, **SHORT), progress=False)
