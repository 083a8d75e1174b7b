"""Metrics by name: what is taken for them, what is refused, and what follows in tasks."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch import Tensor, nn

import lanewise as lw
from lanewise.data import hold_out
from lanewise.errors import InputError
from lanewise.metrics import METRICS, find_metric
from lanewise.train import TrainedModel, train

RECIPE = lw.Recipe(optimizer=lw.SGD(lr=0.05), batch_size=16, epochs=2)


def rows(seed: int = 0) -> tuple[Tensor, Tensor]:
    """160 rows of three inputs and a number that grows with the row, far from zero."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(160, 3, generator=draw)
    return x, 40 + x[:, 0] + 0.1 * torch.arange(160) + 0.2 * torch.randn(160, generator=draw)


def classes(count: int = 3) -> tuple[Tensor, Tensor]:
    """160 rows of three inputs, in classes of unlike size."""
    x = rows()[0]
    return x, (x[:, 0] > 0.8).long() if count == 2 else (x[:, 0] > 0.3).long() + (x[:, 1] > 0.7).long()


def network(outputs: int = 1) -> nn.Module:
    return nn.Linear(3, outputs)


def predictions(task: lw.Task, trained: TrainedModel, test: bool) -> tuple[np.ndarray, np.ndarray]:
    """(targets as stored, outputs in the unit of the data) of the test or of the validation rows."""
    held = hold_out(task.source, 0)
    at = torch.arange(len(held.test)) if test else held.split(0, lambda repeat: 0).valid
    x, y = (held.test if test else held.pool).take(at)
    with torch.no_grad():
        outputs = trained.model(trained.scale.apply(x, torch.float64))
    assert y is not None
    return y.numpy(), (trained.target_scale.invert(outputs) if trained.target_scale else outputs.softmax(1)).numpy()


@pytest.mark.parametrize(
    ("said", "objective", "name"),
    [
        ("Balanced_Accuracy", "classification", "balanced accuracy"),
        ("balanced-accuracy", "classification", "balanced accuracy"),
        ("f1", "classification", "F1"),
        ("macro F1", "classification", "macro F1"),
        ("Log-Loss", "classification", "log loss"),
        ("cross_entropy", "classification", "cross entropy"),
        ("Top 5 Accuracy", "classification", "top-5 accuracy"),
        ("roc_auc", "classification", "ROC AUC"),
        ("r2", "regression", "R2"),
        ("absolute-error", "regression", "absolute error"),
        ("mse", "regression", "MSE"),
        ("Quantile-0.90", "regression", "quantile 0.9"),
        ("pinball=.5", "regression", "quantile 0.5"),
        ("Log loss", "next token", "log loss"),
    ],
)
def test_a_metric_has_several_spellings(said: str, objective: str, name: str) -> None:
    assert find_metric(objective, said).name == name


def test_other_names_are_the_same_metric() -> None:
    x, y = rows()
    tasks = [lw.Task(network, (x, y), metric=name) for name in ("MAE", "absolute error")]
    assert tasks[0].objective.metric.function is tasks[1].objective.metric.function
    assert [task.aims["metric"] for task in tasks] == ["MAE", "absolute error"]
    assert [task.aims["function"] for task in tasks] == [None, None]


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("accuracy", r"metric = 'accuracy': must be R2, RMSE, MAE, squared error, MAPE, quantile 0.9, or a function"),
        ("quantile", r"metric = quantile : must be a number in \(0, 1\) after the name, such as quantile 0.9"),
        ("quantile 1", r"metric = quantile 1: must be a number in \(0, 1\)"),
        (3, r"metric: is an int; must be R2"),
    ],
)
def test_what_is_no_metric_is_refused(metric: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        lw.Task(network, rows(), metric=metric)  # type: ignore[arg-type]


def test_shares_of_zero_are_refused() -> None:
    x, y = rows()
    y[3] = 0.0
    with pytest.raises(InputError, match=r"'MAPE': 1 of 160 rows have a target of 0, .* another metric, such as MAE"):
        lw.Task(network, (x, y), metric="MAPE")


def test_balanced_weights_ask_for_balanced_accuracy() -> None:
    def make() -> nn.Module:
        return network(3)

    assert lw.Task(make, classes(), class_weights="balanced").objective.metric.name == "balanced accuracy"
    assert lw.Task(make, classes(), class_weights=[1, 1, 2]).objective.metric.name == "accuracy"
    assert lw.Task(make, classes(), class_weights="balanced", metric="F1").objective.metric.name == "F1"
    numbers = (torch.randn(20, 4), torch.randn(20))
    with pytest.raises(InputError, match="class_weights = 'balanced': must not be given for regression"):
        lw.Task("mlp:4", numbers, class_weights="balanced")


@pytest.mark.parametrize("metric", ["R2", "RMSE", "MAE", "squared error", "MAPE", "quantile 0.9"])
def test_training_alone_scores_numbers_as_scikit_learn_does(metric: str) -> None:
    task = lw.Task(network, lw.load(rows(), split="time"), metric=metric)
    trained = train(task, RECIPE, dtype=torch.float64)
    score = {
        "R2": sk.r2_score, "RMSE": sk.root_mean_squared_error, "MAE": sk.mean_absolute_error,
        "squared error": sk.mean_squared_error, "MAPE": sk.mean_absolute_percentage_error,
        "quantile 0.9": lambda y, said: sk.mean_pinball_loss(y, said, alpha=0.9),
    }[metric]  # fmt: skip
    assert trained.validation is not None
    for found, test in ((trained.validation[1], False), (trained.test[1], True)):
        y, said = predictions(task, trained, test)
        assert found == pytest.approx(score(y, said[:, 0]), rel=1e-5)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("metric", ["balanced accuracy", "F1", "AUC", "log loss"])
def test_training_alone_scores_classes_as_scikit_learn_does(metric: str, count: int) -> None:
    task = lw.Task(lambda: network(count), classes(count), metric=metric)
    trained = train(task, RECIPE, dtype=torch.float64)
    y, p = predictions(task, trained, True)
    score = {
        "balanced accuracy": lambda: sk.balanced_accuracy_score(y, p.argmax(1)),
        "F1": lambda: sk.f1_score(y, p.argmax(1), average="macro"),
        "AUC": lambda: sk.roc_auc_score(y, p[:, 1] if count == 2 else p, multi_class="ovr"),
        "log loss": lambda: sk.log_loss(y, p, labels=range(count)),
    }[metric]()
    assert trained.test[1] == pytest.approx(score, rel=1e-6)


@pytest.mark.parametrize("metric", ["R2", "RMSE"])
def test_a_race_scores_lanes_as_training_alone_does(metric: str) -> None:
    task = lw.Task(network, lw.load(rows(), split="time"), metric=metric)
    space = lw.Recipe(optimizer=lw.SGD(lr=lw.choice(0.02, 0.05)), batch_size=16, epochs=2)
    race = lw.race(task, space, candidates=2, repeats=2, generations=1, finalists=2, confirm=2, threads=1)
    alone = [train(task, race.winner, repeat=repeat) for repeat in (2, 3)]
    validation = [one.validation[1] for one in alone if one.validation]
    assert race.verdict.finalists[0].scores.tolist() == pytest.approx(validation, rel=1e-4)
    assert race.verdict.test.mean == pytest.approx(np.mean([one.test[1] for one in alone]), rel=1e-4)
    assert race.verdict.kind.greater_is_better == (metric == "R2")


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("AUC", r"metric = 'AUC': has no value for the validation rows of repeat 0: class 0 has no row there"),
        ("R2", r"metric = 'R2': has no value for the validation rows of repeat 0: all 24 targets are the same"),
    ],
)
def test_sets_without_a_value_are_refused_before_anything_is_trained(metric: str, words: str) -> None:
    x, labels = classes()
    valid = torch.arange(24)
    y = labels if metric == "AUC" else x[:, 0].clone()
    y[valid] = 1 if metric == "AUC" else 0.25
    data = lw.load((x, y), splits=[(torch.arange(24, 128), valid)], test=torch.arange(128, 160))
    task = lw.Task(lambda: network(3 if metric == "AUC" else 1), data, metric=metric)
    space = lw.Recipe(optimizer=lw.SGD(lr=lw.choice(0.02, 0.05)), batch_size=16, epochs=1)
    with pytest.raises(InputError, match=words):
        lw.race(task, space, candidates=2, repeats=1, finalists=2, confirm=2, threads=1)
    with pytest.raises(InputError, match=words.replace("repeat 0", r"repeat \d+")):
        lw.compare(task, {"one": RECIPE, "other": replace(RECIPE, l2=0.1)}, repeats=2)


def test_every_metric_of_the_table_scores_rows_or_sets() -> None:
    for known in METRICS.values():
        assert len({metric.name for metric in known}) == len(known)
        assert all(metric.of_set is None or callable(metric.of_set) for metric in known)
    assert math.isnan(float(find_metric("classification", "AUC").contributions(np.ones(2), np.ones(2), None)[0]))


def test_faults_of_data_and_of_model_are_said_at_once():
    with pytest.raises(InputError, match=r"no-such\.csv.*; model 'nothing' is unknown"):
        lw.Task("nothing", "no-such.csv")
