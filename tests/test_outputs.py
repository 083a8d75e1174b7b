"""Models that return a dict, tuple or dataclass: which part is taken, and that it is said."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

import lanewise as lw
from lanewise.predictor import save_model
from lanewise.train import train


@dataclass
class Output:
    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    hidden: torch.Tensor | None = None


class Pair(NamedTuple):
    hidden: torch.Tensor
    logits: torch.Tensor


FORMS: dict[str, tuple[Any, str]] = {
    "dataclass": (lambda h, s: Output(None, s, h), ".logits of the Output"),
    "dict": (lambda h, s: {"hidden": h, "logits": s}, "['logits'] of the dict"),
    "dict without the name": (lambda h, s: {"loss": h.mean(1), "scores": s}, "['scores'] of the dict"),
    "named tuple": (lambda h, s: Pair(h, s), ".logits of the Pair"),
    "tuple of one": (lambda h, s: (s,), "[0] of the tuple"),
    "loss first": (lambda h, s: (h.mean(), s, h), "[1] of the tuple"),
}
X = torch.randn(80, 6, generator=torch.Generator().manual_seed(0))
RECIPE = lw.Recipe(optimizer=lw.SGD(lr=lw.log(0.1, 1)), batch_size=16, epochs=1)


class Returns(nn.Module):
    def __init__(self, form: Any, outputs: int = 2, axis: int = 1) -> None:
        super().__init__()
        self.form, self.hidden, self.out = form, nn.Linear(6, 5), nn.Linear(5, outputs)

    def forward(self, x: torch.Tensor) -> Any:
        hidden = torch.tanh(self.hidden(x))
        return self.form(hidden, self.out(hidden))


@pytest.mark.parametrize("form", FORMS)
def test_scores_are_found_raced_trained_and_predicted(form: str, tmp_path: Path) -> None:
    make, said = FORMS[form]
    targets = (X[:, 0] > 0).long()
    task = lw.Task(lambda: Returns(make), (X, targets))
    assert f"its scores are {said}" in task.check_model()
    recipe = lw.Recipe(optimizer=lw.SGD(lr=0.5), batch_size=16, epochs=1)
    if form in ("dataclass", "loss first"):
        recipe = lw.race(task, RECIPE, candidates=2, repeats=2, generations=1, finalists=2, confirm=2).winner
    trained = train(task, recipe)
    bare = train(lw.Task(lambda: Returns(lambda h, s: s), (X, targets)), recipe)
    assert trained.test == bare.test
    save_model(trained, tmp_path / "m.safetensors")
    assert lw.load_model(tmp_path / "m.safetensors", lambda: Returns(make))(X).shape == (80, 2)


def test_numbers_and_tokens() -> None:
    numbers = lw.Task(lambda: Returns(lambda h, s: {"logits": s}, 1), (X, X[:, 0] * 2))
    assert train(numbers, lw.Recipe(optimizer=lw.SGD(lr=0.1), batch_size=16, epochs=1)).validation is not None

    class Next(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.out = nn.Embedding(7, 4), nn.Linear(4, 7)

        def forward(self, tokens: torch.Tensor) -> Any:
            return Output(logits=self.out(self.embed(tokens)))

    tokens = torch.randint(7, (60, 5), generator=torch.Generator().manual_seed(0))
    task = lw.Task(Next, (tokens, tokens.roll(-1, 1)))
    lw.race(task, RECIPE, candidates=2, repeats=2, generations=1, finalists=2, confirm=2)


class Labelled(nn.Module):
    """As Transformers' models: with labels it gives its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> Output:
        scores = self.out(x)
        return Output(None if labels is None else nn.functional.cross_entropy(scores, labels), scores)


def test_labels_among_the_inputs_train_for_the_models_own_loss(tmp_path: Path) -> None:
    labels = (X[:, 0] > 0).long()
    task = lw.Task(Labelled, ({"x": X, "labels": labels}, None))
    assert task.objective.metric.name == "accuracy"
    assert "trained for the loss that the model returns" in task.check_model()
    found = lw.race(task, RECIPE, candidates=2, repeats=2, generations=1, finalists=2, confirm=2)
    trained = train(task, found.winner)
    save_model(trained, tmp_path / "m.safetensors")
    assert lw.load_model(tmp_path / "m.safetensors", Labelled)({"x": X}).shape == (80, 2)


def test_what_cannot_be_told_is_refused() -> None:
    with pytest.raises(lw.InputError, match=r"labels: are numbers, .* give them as targets y"):
        lw.Task(Labelled, ({"x": X, "labels": X[:, 0]}, None))
    with pytest.raises(lw.InputError, match=r"without a 0-d loss, though 'labels' is among its inputs"):
        lw.Task(lambda: Takes(), ({"x": X, "labels": (X[:, 0] > 0).long()}, None))
    with pytest.raises(lw.InputError, match=r"model returns tuple whose \[0\] is torch.float32 of shape \[2, 5\]"):
        lw.Task(lambda: Returns(lambda h, s: (h, s)), (X, (X[:, 0] > 0).long())).check_model()
    with pytest.raises(lw.InputError, match=r"model returns a dict on inputs"):
        lw.Task(lambda: Returns(lambda h, s: {"note": 1}), (X, (X[:, 0] > 0).long())).check_model()


class Takes(Labelled):
    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> Any:
        return {"logits": self.out(x)}
