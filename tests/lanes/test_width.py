"""The width of the model as part of a recipe: a pack of lanes for each, alone as in a race, and back from its file."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import lanewise as lw
from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.checkpoint import restore, state_of
from lanewise.lanes.training.cohort import Cohort
from lanewise.predictor import load_model, save_model
from lanewise.sampling.sampler import Sampler
from lanewise.study.race import Study
from lanewise.study.settings import RaceSettings
from lanewise.task.models import build
from lanewise.train import train
from tests.lanes.cases import plan, rows

BASE = lw.Recipe(optimizer=lw.SGD(lr=0.1 * lw.Cosine(), momentum=0.9), l2=1e-3, batch_size=16, epochs=3)
WIDTHS = (None, 5, 9, 9)
RECIPES = [replace(BASE, width=width, l2=1e-3 * (at + 1)) for at, width in enumerate(WIDTHS)]


def perceptron(width: int = 7) -> nn.Module:
    return nn.Sequential(nn.Linear(12, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 4))


def engine(recipes: list[lw.Recipe] = RECIPES) -> Engine:
    """An engine that runs lanes of every width packed and eager."""
    plans = {str(recipe.structure()): plan("packed") for recipe in recipes}
    return Engine(lw.Task(perceptron, rows("mlp")), 7, threads=1, dtype=torch.float64, plans=plans)


def test_candidates_of_one_width_are_one_pack() -> None:
    cohort = Cohort(engine(), RECIPES, [0, 1])
    assert [[sorted(pack.tables) for pack in group.packs] for group in cohort.groups] == [
        [[0], [0]],
        [[1], [1]],
        [[2, 3], [2, 3]],
    ]
    assert [group.prepared.step.state_size > 0 for group in cohort.groups] == [True] * 3
    cohort.advance(1.0)
    assert cohort.evaluate().loss.shape == (4, 2)


@pytest.mark.parametrize("at", range(len(RECIPES)))
def test_a_lane_of_any_width_agrees_with_the_plain_loop(at: int) -> None:
    cohort = Cohort(engine(), RECIPES, [0])
    cohort.advance(1.0)
    scores = cohort.evaluate()
    alone = train(lw.Task(perceptron, rows("mlp")), RECIPES[at], seed=7, dtype=torch.float64)
    assert alone.model[0].out_features == (RECIPES[at].width or 7)  # type: ignore[index,union-attr]
    assert alone.validation is not None
    assert float(scores.loss[at, 0]) == pytest.approx(alone.validation[0], rel=1e-9)


def test_packs_of_different_widths_are_written_down_and_read_back() -> None:
    first, again = Cohort(engine(), RECIPES, [0]), Cohort(engine(), RECIPES, [0])
    first.advance(0.5)
    tensors, data = state_of(first)
    restore(again, tensors, json.loads(json.dumps(data)))
    for cohort in (first, again):
        cohort.advance(1.0)
    assert first.evaluate().loss.tobytes() == again.evaluate().loss.tobytes()


def test_a_trained_model_comes_back_in_its_width(tmp_path: Path) -> None:
    task = lw.Task("mlp:8,4", rows("mlp"))
    trained = train(task, replace(BASE, width=6))
    assert [layer.out_features for layer in trained.model.modules() if isinstance(layer, nn.Linear)] == [6, 3, 4]
    save_model(trained, tmp_path / "m.safetensors")
    found = load_model(tmp_path / "m.safetensors", task.factory)(task.source.x)
    with torch.no_grad():
        assert torch.equal(found, trained.model(trained.scale.apply(task.source.x)))


def test_a_race_chooses_the_width() -> None:
    space = replace(BASE, width=lw.choice(1, 9), l2=lw.log(1e-5, 1e-3), epochs=6)
    plans = {str(recipe.structure()): plan("packed") for recipe in Sampler(space, 0).ask(20, 0)}
    settings = RaceSettings(candidates=6, repeats=2, generations=2, finalists=2, confirm=2)
    study = Study(lw.Task(perceptron, rows("mlp")), space, settings, threads=1, plans=plans)
    verdict = study.run()
    assert {candidate.recipe.width for candidate in study.candidates} == {1, 9}
    assert verdict.winner.width == 9


@pytest.mark.parametrize(("name", "sizes"), [("mlp:32,16", [8, 4, 3]), ("mlp:8,32", [8, 32, 3]), ("mlp", [8, 3])])
def test_hidden_layers_keep_their_proportion(name: str, sizes: list[int]) -> None:
    layers = build(name, (5,), 3)(width=8).modules()
    assert [layer.out_features for layer in layers if isinstance(layer, nn.Linear)] == sizes


def test_channels_keep_their_proportion() -> None:
    layers = build("cnn", (1, 8, 8), 3)(width=3).modules()
    assert [layer.out_channels for layer in layers if isinstance(layer, nn.Conv2d)] == [3, 6]


def test_no_layer_is_empty() -> None:
    layers = build("mlp:64,1", (5,), 3)(width=2).modules()
    assert [layer.out_features for layer in layers if isinstance(layer, nn.Linear)] == [2, 1, 3]


def test_a_model_that_takes_no_width_says_what_to_do() -> None:
    def fixed() -> nn.Module:
        return perceptron()

    task = lw.Task(fixed, rows("mlp"))
    message = r"width = 5: the model 'fixed' takes none; its function must have an argument .* def make_net\(width=64\)"
    with pytest.raises(InputError, match=message):
        Engine(task, 0).check(RECIPES[1])
    Engine(task, 0).check(RECIPES[0])
    with pytest.raises(InputError, match=message):
        train(task, RECIPES[1])


def test_a_width_that_the_model_cannot_have_is_named() -> None:
    def even(width: int = 4) -> nn.Module:
        if width % 2:
            raise ValueError("two heads need an even width")
        return perceptron(width)

    with pytest.raises(InputError, match="'even': called with width=5, it raised ValueError: two heads need an even"):
        Engine(lw.Task(even, rows("mlp")), 0).check(RECIPES[1])
