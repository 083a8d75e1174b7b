"""Parts of a user's own from Python: they are known by name, and train as the built-in ones do."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lanewise as lw
import lanewise.study.race
from lanewise.base import registry
from lanewise.metrics.names import REGISTERED
from lanewise.parts.optimizers.optimizer import Numbers, State
from lanewise.racing import PRUNERS
from lanewise.racing.own_pruner import OwnPruner
from lanewise.recipe.file import dump, load
from lanewise.recipe.language import WORDS, parse
from lanewise.train import train


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Leave the tables of parts as they were."""
    tables: list[dict[Any, Any]] = [WORDS, PRUNERS, REGISTERED, registry._known]
    before = [dict(table) for table in tables]
    yield
    for table, was in zip(tables, before, strict=True):
        table.clear()
        table.update(was)


@dataclass(frozen=True)
class Sawtooth(lw.Schedule):
    """Rises from `low` to 1, ten times."""

    low: float = lw.numeric(0.5, low=0.0, high=1.0)

    def factor(self, step: Any, steps: int, run: Any) -> Any:
        """The factor."""
        return self.low + (1 - self.low) * (10 * step / steps % 1)


@dataclass(frozen=True)
class Momentum(lw.Optimizer):
    """Along an averaged gradient."""

    lr: Any = lw.numeric(0.01, low=0.0, timed=True)
    beta: Any = lw.numeric(0.9, low=0.0, high=1.0, high_open=True, timed=True)

    def init(self, param: Tensor) -> State:
        """The average."""
        return {"average": torch.zeros_like(param)}

    def update(self, param: Tensor, grad: Tensor, state: State, n: Numbers, t: Tensor | int) -> tuple[Tensor, State]:
        """One step."""
        average = n["beta"] * state["average"] + (1 - n["beta"]) * grad
        return param - n["lr"] * average, {"average": average}


def keep_one(scores: np.ndarray, progress: np.ndarray, live: np.ndarray, compute: float) -> np.ndarray:
    """The best alone."""
    return live[[int(np.argmin(scores[-1][live].mean(axis=1)))]]


def margin(outputs: Tensor, targets: Tensor) -> Tensor:
    """By how much the right score is above the mean one."""
    return outputs.gather(-1, targets[:, None])[:, 0] - outputs.mean(-1)


def digits(metric: Any = None) -> lw.Task:
    """A small task."""
    return lw.Task("mlp:8", "digits", metric=metric)


def small_race(task: lw.Task, space: lw.Recipe, **more: Any) -> lw.Race:
    """A race of a second."""
    few = {"candidates": 4, "repeats": 1, "generations": 1, "finalists": 2, "confirm": 2, "progress": False}
    return lw.race(task, space, **few, **more)


def test_a_schedule_is_a_word_of_expressions_and_files() -> None:
    assert lw.register(Sawtooth) is Sawtooth
    value = parse("0.1 * sawtooth(low=0.2)")
    assert value == 0.1 * Sawtooth(low=0.2)
    assert str(value) == "0.1 * sawtooth(low=0.2)"
    assert value.table(20)[:3].tolist() == pytest.approx([0.02, 0.06, 0.02])
    recipe = lw.Recipe(optimizer=lw.SGD(lr=lw.log(0.01, 0.1) * lw.choice(Sawtooth(), lw.Cosine())))
    text = dump(recipe)
    assert f"imports:\n  sawtooth: {__name__}\n" in text
    assert load(text)[0] == recipe
    with pytest.raises(lw.InputError, match=r"Sawtooth\.low = 2: must be a number in \[0, 1\]"):
        parse("sawtooth(low=2)")


def test_a_file_whose_parts_are_not_there_names_their_module() -> None:
    lw.register(Sawtooth)
    text = dump(lw.Recipe(optimizer=lw.SGD(lr=0.1 * Sawtooth())))
    registry.forget("schedule", "sawtooth")
    del WORDS["sawtooth"]
    with pytest.raises(lw.InputError) as caught:
        load(text, "best.yaml")
    assert str(caught.value) == (
        f"best.yaml: uses sawtooth of {__name__}, which is not registered; import {__name__} first"
    )


def test_an_optimizer_trains_in_a_pack_as_it_does_alone_and_in_a_plain_loop() -> None:
    lw.register(name="heavy_ball")(Momentum)
    recipe = lw.Recipe(optimizer=Momentum(lr=0.2 * lw.Linear(), beta=0.8), batch_size=128, epochs=2)
    assert load(dump(recipe))[0] == recipe
    task = digits("log loss")
    alone = train(task, recipe)
    others = [lw.Recipe(optimizer=Momentum(lr=lr), batch_size=128, epochs=2) for lr in (0.1, 0.5)]
    found = lw.compare(task, {"it": recipe, "a": others[0], "b": others[1]}, repeats=2, progress=False)
    lane = next(entry for entry in found.run.done[0].candidates if entry.recipe == recipe)
    assert alone.validation is not None
    theirs = train(task, recipe, repeat=found.run.repeats[0]).validation
    assert theirs is not None
    assert lane.curves[found.run.repeats[0]][-1][2] == pytest.approx(theirs[0], rel=1e-3)
    model = nn.Linear(3, 2)
    weight, grad = model.weight.detach().clone(), torch.arange(6.0).reshape(2, 3) - 2.5
    optimizer = lw.TorchOptimizer(model.parameters(), Momentum(lr=0.1))
    model.weight.grad, model.bias.grad = grad, torch.ones(2)
    optimizer.step()
    assert torch.allclose(model.weight, weight - 0.1 * 0.1 * grad)


def test_a_pruner_is_taken_by_name_and_as_a_function() -> None:
    space = lw.Recipe(optimizer=lw.SGD(lr=lw.log(0.01, 0.5)), batch_size=128, epochs=8)
    plain = small_race(digits(), space, pruner=keep_one)
    lw.register(keep_one)
    named = small_race(digits(), space, pruner="keep_one")
    assert named.study.settings.pruner == "keep_one"
    for race in (plain, named):
        left = [one.stopped_at for one in race.study.candidates]
        # One is kept by the pruner, one more because two finalists were asked for.
        assert sum(at is None for at in left) == 2
        assert {at for at in left if at is not None} == {0.125}
    assert plain.verdict.to_dict()["finalists"] == named.verdict.to_dict()["finalists"]


def test_a_race_by_a_function_goes_on_with_the_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = lw.Recipe(optimizer=lw.SGD(lr=lw.log(0.01, 0.5)), batch_size=128, epochs=8)
    keep = lanewise.study.race.leave_at_rung

    def stopped(*given: Any) -> None:
        keep(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(lanewise.study.race, "leave_at_rung", stopped)
        with pytest.raises(KeyboardInterrupt):
            small_race(digits(), space, pruner=keep_one, out=tmp_path / "cut", checkpoint_every=0)
    with pytest.raises(lw.InputError, match=r"its pruner, keep_one, is your own.*pruner=\.\.\.\)"):
        lw.resume(tmp_path / "cut", progress=False)

    def keep_all(scores: np.ndarray, progress: np.ndarray, live: np.ndarray, compute: float) -> np.ndarray:
        return live

    with pytest.raises(lw.InputError, match=r"pruner was own: keep_one when the race began, and is own: keep_all"):
        lw.resume(tmp_path / "cut", pruner=keep_all, progress=False)
    again = lw.resume(tmp_path / "cut", pruner=keep_one, progress=False)
    whole = small_race(digits(), space, pruner=keep_one)
    assert isinstance(again, lw.Race)
    assert again.verdict.to_dict()["finalists"] == whole.verdict.to_dict()["finalists"]


@pytest.mark.parametrize(
    ("imports", "why"),
    [
        ([1], r"imports = \[1\]: must name parts"),
        ({"x": {"kind": ["a"], "module": "m", "digest": ""}}, "must name parts with their kind, module and digest"),
        ({"x": {"kind": "pruner", "module": "m", "digest": ""}}, "run: uses x of m, which is not registered; import m"),
    ],
)
def test_damaged_origins_are_refused(imports: Any, why: str) -> None:
    with pytest.raises(lw.InputError, match=why):
        registry.check_origins(imports, "run")


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        (lambda s, p, live, c: live[:0], r"returned \[\]: must be an array of candidates out of live"),
        (lambda s, p, live, c: np.array([99]), r"returned \[99\]: must be"),
        (lambda s, p, live, c: [True] * len(live), r"returned \[True, .*: must be"),
        (lambda s, p, live, c: 1 // 0, "raised ZeroDivisionError: integer"),
    ],
)
def test_what_a_pruner_returns_is_checked(kept: Any, why: str) -> None:
    pruner = OwnPruner("mine", kept)
    with pytest.raises(lw.InputError, match=f"^pruner 'mine': {why}"):
        pruner(np.zeros((1, 3, 1)), np.array([0.5]), np.arange(3), 0.5)


def test_a_metric_is_taken_by_name(tmp_path: Path) -> None:
    lw.register(margin)
    task = digits("margin")
    assert task.aims["function"] is None, "a record can name it"
    space = lw.Recipe(optimizer=lw.SGD(lr=lw.log(0.01, 0.5)), batch_size=128, epochs=2)
    race = small_race(task, space, out=tmp_path / "run")
    assert race.verdict.metric == "margin"
    assert "margin" in str(race.verdict)
    assert "margin" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    with pytest.raises(lw.InputError, match=r"metric = 'margins': must be accuracy, .*, margin, or a function"):
        digits("margins")


def test_a_metric_object_keeps_its_direction() -> None:
    lw.register(lw.Metric("shortfall", lambda o, t: -margin(o, t), greater_is_better=False))
    assert not digits("shortfall").objective.metric.greater_is_better
    lw.register(margin, name="loss_like", greater_is_better=False)
    assert not digits("loss_like").objective.metric.greater_is_better


class Bare(lw.Schedule):
    """No dataclass."""


@dataclass(frozen=True)
class Shapeless(lw.Schedule):
    """No formula."""


@dataclass(frozen=True)
class Still(lw.Optimizer):
    """No formula."""


@dataclass(frozen=True)
class Broken(lw.Schedule):
    """A formula that fails."""

    def factor(self, step: Any, steps: int, run: Any) -> Any:
        """Fails."""
        raise RuntimeError("no")


@dataclass(frozen=True)
class Widening(lw.Optimizer):
    """A formula that returns another shape."""

    def update(self, param: Tensor, grad: Tensor, state: State, n: Numbers, t: Tensor | int) -> tuple[Tensor, State]:
        """Flat."""
        return param.flatten(), {}


@dataclass(frozen=True)
class Demanding(lw.Schedule):
    """A field without default."""

    base: float

    def factor(self, step: Any, steps: int, run: Any) -> Any:
        """Constant."""
        return step * 0 + 1


@pytest.mark.parametrize(
    ("part", "options", "why"),
    [
        (Sawtooth, {"name": "cosine"}, "name = 'cosine': is taken"),
        (Sawtooth, {"name": "true"}, "name = 'true': is taken"),
        (Sawtooth, {"name": "saw tooth"}, "name = 'saw tooth': must be a Python identifier"),
        (Sawtooth, {"name": "for"}, "name = 'for': must be a Python identifier"),
        (keep_one, {"name": "halving"}, "name = 'halving': is taken"),
        (margin, {"name": "roc_auc"}, "name = 'roc_auc': is taken"),
        (lambda scores, progress, live, compute: live, {}, "name = '<lambda>': must be a Python identifier"),
        (lambda one: one, {}, "<lambda> takes 1 arguments: must be a pruner"),
        (margin, {"kind": "loss"}, "kind = 'loss': margin must be pruner or metric"),
        (Sawtooth, {"kind": "metric"}, "kind = 'metric': sawtooth is a schedule"),
        (Sawtooth, {"fraction": True}, "fraction = True: must be given for a metric that is a function only"),
        (3, {}, "an int: must be a subclass of lanewise.Schedule"),
        (dict, {}, "dict: must be a subclass of lanewise.Schedule"),
        (Sawtooth(), {}, "a Sawtooth: must be a subclass"),
        (Bare, {}, "Bare: must be a frozen dataclass"),
        (Shapeless, {}, "Shapeless: has no factor"),
        (Still, {}, "Still: has no update"),
        (Broken, {}, "Broken: its formula raised RuntimeError: no"),
        (Widening, {}, r"Widening\.update: returned a tensor of shape \[6\]"),
        (Demanding, {}, r"Demanding\.base: has no default"),
    ],
)
def test_what_cannot_be_registered_is_refused(part: Any, options: dict[str, Any], why: str) -> None:
    with pytest.raises(lw.InputError, match=f"^register: {why}"):
        lw.register(part, **options)


def test_a_name_is_free_again_for_the_same_code_only() -> None:
    lw.register(Sawtooth)
    lw.register(Sawtooth)
    other = type("Other", (Sawtooth,), {"__module__": __name__, "__qualname__": "Other"})
    with pytest.raises(lw.InputError, match="name = 'sawtooth': is taken"):
        lw.register(dataclass(frozen=True)(other), name="sawtooth")
