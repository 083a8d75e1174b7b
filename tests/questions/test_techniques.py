"""The techniques of a recipe: whatever it has, and only that; each is taken away by itself."""

from dataclasses import fields, replace
from itertools import combinations

import pytest
from torch import nn

from lanewise.parts.optimizers import SGD, Adam, ScheduleFreeSGD
from lanewise.parts.schedules import Constant, Cosine, Linear, Warmup, WarmupStableDecay, tabulate
from lanewise.questions.techniques import Technique, scaled_rate, techniques
from lanewise.recipe.recipe import Recipe
from lanewise.task.models import mlp

STEPS, PER_EPOCH = 100, 10
RICH = Recipe(
    optimizer=SGD(lr=0.3 * Cosine(warmup="5%"), momentum=0.9, nesterov=True),
    l2=1e-4, l1=1e-5, decay=0.1, dropout=0.2, mixup=0.1, label_smoothing=0.1, clip=1.0, ema=0.9, ghost=8,
)  # fmt: skip


def found(recipe: Recipe, model: nn.Module | None = None, idle: list[str] | None = None) -> dict[str, Technique]:
    every = techniques(recipe, model or mlp(4, [8], 3), idle or [], STEPS, PER_EPOCH)
    assert len({one.name for one in every}) == len(every)
    return {one.name: one for one in every}


def changed(before: Recipe, after: Recipe) -> set[str]:
    inside = {
        f.name
        for f in fields(before.optimizer)
        if getattr(before.optimizer, f.name) != getattr(after.optimizer, f.name)
    }
    own = {f.name for f in fields(Recipe) if getattr(before, f.name) != getattr(after, f.name)}
    return inside | own - {"optimizer"}


def test_each_is_taken_away_by_itself() -> None:
    every = found(RICH)
    assert {name: changed(RICH, one.without(RICH)) for name, one in every.items()} == {
        "schedule": {"lr"},
        "warm-up": {"lr"},
        "momentum": {"momentum", "nesterov"},
        "Nesterov": {"nesterov"},
        "batch norm": {"norm", "ghost"},
        "ghost batches": {"ghost"},
        "dropout": {"dropout"},
        "L2": {"l2"},
        "L1": {"l1"},
        "weight decay": {"decay"},
        "label smoothing": {"label_smoothing"},
        "mixup": {"mixup"},
        "averaged weights (ema)": {"ema"},
        "clipping": {"clip"},
    }


def test_two_are_taken_away_in_any_order() -> None:
    for one, other in combinations(found(RICH).values(), 2):
        assert one.without(other.without(RICH)) == other.without(one.without(RICH))


def test_a_plain_recipe_has_nothing_but_what_the_model_has() -> None:
    plain = Recipe(optimizer=SGD(lr=0.1))
    assert list(found(plain)) == ["batch norm"]
    assert list(found(plain, nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Dropout(0.1)))) == [
        "normalisation",
        "dropout",
    ]
    assert not found(plain, nn.Linear(4, 3))


def test_what_no_layer_reads_is_no_technique() -> None:
    assert "dropout" not in found(RICH, nn.Linear(4, 3), ["dropout"])


def test_optimizers_without_a_momentum_of_their_own() -> None:
    assert "momentum (beta1)" in found(Recipe(optimizer=Adam(lr=0.1)))
    assert "momentum" not in found(Recipe(optimizer=ScheduleFreeSGD(lr=0.1)))


@pytest.mark.parametrize(
    ("lr", "flat", "cold"),
    [
        (0.3 * Cosine(warmup="5%"), 0.3 * Constant(warmup="5%"), 0.3 * Cosine()),
        (0.3 * (Warmup("5%") >> Cosine()), 0.3 * (Warmup("5%") >> Constant()), 0.3 * Cosine()),
        (0.3 * WarmupStableDecay(warmup="5%"), 0.3 * Constant(warmup="5%"), 0.3 * WarmupStableDecay()),
    ],
)
def test_schedule_and_warm_up_are_two_techniques(lr: object, flat: object, cold: object) -> None:
    recipe = Recipe(optimizer=SGD(lr=lr))  # type: ignore[arg-type]
    every = found(recipe)
    for name, expected in (("schedule", flat), ("warm-up", cold)):
        without = tabulate(every[name].without(recipe).optimizer.lr, STEPS, PER_EPOCH)
        assert (without == tabulate(expected, STEPS, PER_EPOCH)).all()


def test_a_schedule_without_a_number_ends_at_its_own_top() -> None:
    recipe = Recipe(optimizer=SGD(lr=0.2 * Linear() * Linear(warmup="50%")))
    without = found(recipe)["schedule"].without(recipe)
    assert (
        tabulate(without.optimizer.lr, STEPS, PER_EPOCH).max() == tabulate(recipe.optimizer.lr, STEPS, PER_EPOCH).max()
    )


def test_a_rate_is_scaled_and_nothing_else() -> None:
    doubled = scaled_rate(RICH, 2.0)
    assert doubled == replace(RICH, optimizer=replace(RICH.optimizer, lr=0.6 * Cosine(warmup="5%")))
