"""Reference scores beside the winner's: the same rows, the same metric, and what the verdict says of them."""

import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import mean_absolute_error, r2_score
from torch import Tensor, nn

import lanewise as lw
from lanewise.api.questions import read_answer
from lanewise.lanes.packs.engine import Engine
from lanewise.questions.ablation import Ablation
from lanewise.questions.comparison import Comparison
from lanewise.questions.sweep import Sweep
from lanewise.record.folder import RunFolder
from lanewise.report.page import answers
from lanewise.report.terminal import race as terminal
from lanewise.statistics.score_kind import ScoreKind
from lanewise.verdict import references
from lanewise.verdict.phrases import unbeaten_words
from lanewise.verdict.references import references_of
from lanewise.verdict.verdict import Verdict
from tests.questions.side_by_side import run_of

HOPELESS = lw.Recipe(optimizer=lw.SGD(lr=lw.choice(1e-6, 1e-7)), batch_size=16, epochs=1)
SETTINGS: dict[str, Any] = {
    "candidates": 2, "repeats": 2, "generations": 1, "finalists": 2, "confirm": 2, "threads": 1,
}  # fmt: skip


def rows() -> tuple[Tensor, Tensor]:
    """200 rows of four inputs with a number that is a product and a sum of them."""
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(200, 4, generator=draw)
    return x, 50 + 4 * x[:, 0] + 6 * x[:, 1] * x[:, 2] + torch.randn(200, generator=draw)


def classes() -> tuple[Tensor, Tensor]:
    """The same rows in three classes of unlike size."""
    x, y = rows()
    return x, torch.bucketize(y, torch.tensor([44.0, 52.0]))


def fixed(outputs: int, guess: int = 0) -> nn.Module:
    """A model that starts as sure of one output."""
    model = nn.Linear(4, outputs)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    with torch.no_grad():
        model.bias[guess] = 5.0
    return model


def test_constants_and_models_score_as_scikit_learn_has_them() -> None:
    task = lw.Task(lambda: nn.Linear(4, 1), rows())
    engine = Engine(task, 1, threads=1)
    found = references_of(engine, [2, 3])
    pool_x, pool_y, test_x, test_y = (
        part.numpy()
        for part in (*engine.holdout.pool.take(torch.arange(160)), *engine.holdout.test.take(torch.arange(40)))
        if part is not None
    )
    want: dict[str, list[float]] = {"mean": [], "linear model": [], "gradient-boosted trees": []}
    for index in (2, 3):
        at = engine.repeat(index).split.train.numpy()
        x, y = pool_x[at].astype(np.float64), pool_y[at].astype(np.float64)
        scaled = (x - x.mean(0)) / x.std(0)
        want["mean"].append(r2_score(test_y, np.full(40, y.mean())))
        ridge = Ridge(alpha=1.0).fit(scaled, y)
        want["linear model"].append(r2_score(test_y, ridge.predict((test_x - x.mean(0)) / x.std(0))))
        trees = HistGradientBoostingRegressor(early_stopping=False, random_state=0).fit(x, y)
        want["gradient-boosted trees"].append(r2_score(test_y, trees.predict(test_x)))
    for name, tolerance in (("mean", 1e-6), ("linear model", 1e-6), ("gradient-boosted trees", 0.02)):
        assert found.scores[name] == pytest.approx(np.mean(want[name]), abs=tolerance)
    assert found.notes == ()


def test_the_constant_suits_the_metric() -> None:
    x, y = rows()
    engine = Engine(lw.Task(lambda: nn.Linear(4, 1), (x, y), metric="absolute error"), 0, threads=1)
    found = references_of(engine, [0])
    run = engine.repeat(0)
    median = np.median(run.targets(run.split.train))  # type: ignore[arg-type]
    want = mean_absolute_error(engine.holdout.test_y, np.full(40, median))
    assert found.scores["median"] == pytest.approx(want, rel=1e-6)
    engine = Engine(lw.Task(lambda: nn.Linear(4, 1), (x, y), metric="quantile 0.9"), 0, threads=1)
    assert next(iter(references_of(engine, [0]).scores)) == "quantile"


def test_classes_are_guessed_by_their_frequency() -> None:
    x, y = classes()
    task = lw.Task(lambda: nn.Linear(4, 3), (x, y))
    engine = Engine(task, 0, threads=1)
    found = references_of(engine, [0])
    test_y = engine.holdout.test_y
    assert isinstance(test_y, Tensor)
    commonest = int(torch.bincount(y).argmax())
    assert found.scores["majority class"] == pytest.approx(float((test_y == commonest).double().mean()))
    run = engine.repeat(0)
    train_x, train_y = run.rows(run.split.train, torch.float64, torch.device("cpu"))
    (test_x, _), *_ = run.evaluated([torch.arange(len(test_y))], torch.float64, torch.device("cpu"), test=True)
    assert isinstance(train_x, Tensor)
    assert isinstance(train_y, Tensor)
    model = LogisticRegression(max_iter=100).fit(train_x.numpy(), train_y.numpy())
    assert found.scores["linear model"] == pytest.approx(model.score(test_x, test_y.numpy()))
    for metric, score in (("AUC", 0.5), ("balanced accuracy", 1 / 3)):
        task = lw.Task(lambda: nn.Linear(4, 3), (x, y), metric=metric)
        assert references_of(Engine(task, 0, threads=1), [0]).scores["majority class"] == pytest.approx(score)


def test_a_winner_that_beats_none_is_told_so_in_the_first_sentence(tmp_path: Path) -> None:
    x, y = classes()
    rare = int(torch.bincount(y).argmin())
    task = lw.Task(lambda: fixed(3, rare), (x, y))
    race = lw.race(task, HOPELESS, out=tmp_path / "run", **SETTINGS)
    found = race.verdict.references
    assert list(found) == ["majority class", "linear model", "gradient-boosted trees"]
    first = race.verdict.headline
    assert f", which does not beat always guessing the majority class ({found['majority class']:.1%})" in first
    assert any(line.startswith("Simple models on the same test examples:") for line in race.verdict.sentences())
    data = json.loads((tmp_path / "run" / "verdict.json").read_text())
    assert data["references"] == found
    assert Verdict.from_dict(data, "").sentences() == race.verdict.sentences()
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Simple models on the same test examples" in page
    assert "does not beat always guessing the majority class" in page
    console = Console(record=True, width=300, file=io.StringIO())
    terminal.print_verdict(race.verdict, console)
    assert "Simple models on the same test examples" in console.export_text()


def test_a_winner_that_beats_all_is_not_told_so() -> None:
    kind = ScoreKind(greater_is_better=False, fraction=False)
    known = {"mean": 2.0, "linear model": 1.5}
    assert unbeaten_words(1.4, known, kind) == ""
    assert unbeaten_words(1.7, known, kind) == ", which does not beat a linear model (1.500)"
    assert unbeaten_words(1.5, known, kind) == ", which does not beat a linear model (1.500)"
    told = unbeaten_words(2.5, known, kind)
    assert told == ", which does not beat always guessing the mean (2.000) or a linear model (1.500)"


def own(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """The squared error of every row."""
    return (model(batch[0])[:, 0] - batch[1]).square()


def test_objectives_of_ones_own_have_none_and_say_so() -> None:
    engine = Engine(lw.Task(lambda: nn.Linear(4, 1), rows(), objective=own), 0, threads=1)
    found = references_of(engine, [0])
    assert found.scores == {}
    assert found.notes == ("There is no simple model to compare with, because the objective is your own.",)


def test_inputs_that_are_no_measurements_have_the_constant_alone() -> None:
    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = nn.EmbeddingBag(7, 4), nn.Linear(4, 2)

        def forward(self, tokens: Tensor) -> Tensor:
            found: Tensor = self.head(self.embedding(tokens))
            return found

    draw = torch.Generator().manual_seed(0)
    x = torch.randint(0, 7, (80, 5), generator=draw)
    engine = Engine(lw.Task(Bag, (x, (x[:, 0] > 3).long())), 0, threads=1)
    found = references_of(engine, [0])
    assert list(found.scores) == ["majority class"]
    assert found.notes == ("A linear model was not fitted, because the inputs are not one array of measurements.",)


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(5, 4), nn.Linear(4, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.head(self.embedding(tokens))
        return found


def test_the_most_frequent_token_is_guessed() -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randint(0, 5, (60, 6), generator=draw)
    y = torch.where(torch.rand(60, 6, generator=draw) < 0.7, 3, x)
    engine = Engine(lw.Task(Tokens, (x, y)), 0, threads=1)
    found = references_of(engine, [0])
    test_y = engine.holdout.test_y
    assert isinstance(test_y, Tensor)
    assert found.scores == {"majority token": pytest.approx(float((test_y == 3).double().mean()))}


def test_what_was_cut_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "MOST_ROWS", 50)
    engine = Engine(lw.Task(lambda: nn.Linear(4, 1), rows()), 0, threads=1)
    assert references_of(engine, [0, 1, 2, 3]).notes == (
        "To save time, the linear model and the gradient-boosted trees were fitted in 3 of the 4 training runs, on 50 "
        "of the 120 training examples.",
    )


def test_a_model_that_fails_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: object) -> Any:
        warnings.warn("not shown", stacklevel=1)
        raise ValueError("no solver converged")

    monkeypatch.setattr(references, "linear", fails)
    found = references_of(Engine(lw.Task(lambda: nn.Linear(4, 1), rows()), 0, threads=1), [0])
    assert "linear model" not in found.scores
    assert found.notes == ("The linear model could not be fitted or scored: ValueError: no solver converged.",)


def test_a_metric_of_ones_own_scores_references_too() -> None:
    def within(outputs: Tensor, targets: Tensor) -> Tensor:
        return ((outputs - targets).abs() < 0.5).float().mean()

    engine = Engine(lw.Task(lambda: nn.Linear(4, 1), rows(), metric=within), 0, threads=1)
    found = references_of(engine, [0]).scores
    assert set(found) == {"mean", "linear model", "gradient-boosted trees"}
    assert all(0 <= score <= 1 for score in found.values())


def test_a_table_too_wide_for_trees_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    x, y = rows()
    table = tmp_path / "table.csv"
    lines = [",".join(f"{value:.5f}" for value in (*row, target)) for row, target in zip(x.tolist(), y, strict=True)]
    table.write_text("\n".join(["a,b,c,d,price", *lines]))
    task = lw.Task("mlp:4", lw.load(table, target="price"))
    assert list(references_of(Engine(task, 0, threads=1), [0]).scores)[1:] == ["linear model", "gradient-boosted trees"]
    monkeypatch.setattr(references, "MOST_TABLE", 3)
    found = references_of(Engine(task, 0, threads=1), [0])
    assert list(found.scores) == ["mean", "linear model"]
    assert found.notes == ("Gradient-boosted trees were not fitted: 4 inputs and 1 output(s) take too long.",)


@pytest.mark.parametrize("metric", ["accuracy", "AUC"])
def test_a_comparison_has_them_on_its_validation_rows(tmp_path: Path, metric: str) -> None:
    x, y = classes()
    task = lw.Task(lambda: fixed(3, int(torch.bincount(y).argmin())), (x, y), metric=metric)
    slow, slower = (lw.Recipe(optimizer=lw.SGD(lr=lr), batch_size=16, epochs=1) for lr in (1e-6, 1e-7))
    folder = RunFolder(tmp_path / "run")
    run = run_of(Comparison({"slow": slow, "slower": slower}), [slow], folder, task=task)
    answer = run.run(lambda path: answers.write(run, path))
    known = answer.setup.references
    assert list(known) == ["majority class", "linear model", "gradient-boosted trees"]
    if metric == "accuracy":
        want = []
        for index in run.repeats:
            repeat = run.engine.repeat(index)
            train, valid = (repeat.targets(part) for part in (repeat.split.train, repeat.split.valid))
            assert isinstance(train, Tensor)
            assert isinstance(valid, Tensor)
            want.append(float((valid == torch.bincount(train).argmax()).double().mean()))
        assert known["majority class"] == pytest.approx(np.mean(want))
        assert ", which does not beat always guessing the majority class" in answer.headline
    assert answer.sentences()[-1].startswith("Simple models on the same validation examples: always guessing")
    assert json.loads(folder.verdict.read_text())["references"] == known
    assert read_answer(folder).setup == answer.setup
    assert "scored on the same validation examples" in folder.report.read_text()


@pytest.mark.parametrize("objective", [None, own])
def test_an_ablation_and_a_sweep_have_them_or_say_why_not(objective: Any) -> None:
    recipe = lw.Recipe(optimizer=lw.SGD(lr=0.1, momentum=0.9), batch_size=16, epochs=1)
    plain = lw.Recipe(optimizer=lw.SGD(lr=0.1), batch_size=16, epochs=1)
    why = "There is no simple model to compare with, because the objective is your own."
    for question in (Ablation(recipe, pairs=False), Sweep(recipe, "lr", [0.1, 0.2])):
        task = lw.Task(lambda: nn.Linear(4, 1), rows(), objective=objective)
        found = run_of(question, [recipe, plain], task=task).run().sentences()[-1]
        assert found.startswith("Simple models on the same validation") if objective is None else found == why
