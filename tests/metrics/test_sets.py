"""Metrics of sets of rows against scikit-learn's, and what their contributions say of their variance."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch import Tensor

from lanewise.metrics import METRICS, Metric, Unit, find_metric

ROWS = 300
NAMES = ["R2", "RMSE", "MAE", "squared error", "MAPE", "quantile 0.9", "quantile 0.25"]
REFERENCES: dict[str, Callable[[Any, Any], float]] = {
    "R2": sk.r2_score,
    "RMSE": sk.root_mean_squared_error,
    "MAE": sk.mean_absolute_error,
    "squared error": sk.mean_squared_error,
    "MAPE": sk.mean_absolute_percentage_error,
    "quantile 0.9": lambda y, said: float(sk.mean_pinball_loss(y, said, alpha=0.9)),
    "quantile 0.25": lambda y, said: float(sk.mean_pinball_loss(y, said, alpha=0.25)),
}


def numbers(seed: int, columns: int | None) -> tuple[np.ndarray, np.ndarray, Unit]:
    """(targets, predictions, unit) of which the mean and spread are not those of the rows."""
    draw = np.random.default_rng(seed)
    shape = (ROWS,) if columns is None else (ROWS, columns)
    y = 3.0 + 2.0 * draw.standard_normal(shape)
    unit = Unit(draw.uniform(-5, 5, shape[1:]), draw.uniform(0.5, 9, shape[1:]))
    return y, y + draw.standard_normal(shape) + 0.5, unit


def of_numbers(name: str, y: np.ndarray, said: np.ndarray, unit: Unit) -> np.ndarray:
    """Contributions in the metric's own direction, of outputs in the unit that is trained on."""
    metric = find_metric("regression", name)
    outputs, targets = (torch.from_numpy((values - unit.mean) / unit.std) for values in (said, y))
    found = metric.contributions(metric.function(outputs, targets).numpy(), y, unit)
    return found if metric.greater_is_better else -found


def of_classes(name: str, y: np.ndarray, outputs: Tensor) -> np.ndarray:
    """Contributions of scores [rows, classes]."""
    metric = find_metric("classification", name)
    return metric.contributions(metric.function(outputs, torch.from_numpy(y)).numpy(), y, None)


def labels(seed: int, classes: int) -> tuple[np.ndarray, Tensor]:
    """(labels of unlike frequency, scores that tell something of them)."""
    draw = np.random.default_rng(seed)
    shares = np.arange(1.0, classes + 1)
    y = draw.choice(classes, ROWS, p=shares / shares.sum())
    # In eighths, so that there are ties, and exact ones.
    scores = draw.standard_normal((ROWS, classes)) + 1.2 * np.eye(classes)[y]
    return y, torch.from_numpy((8 * scores).round() / 8)


def reference_of_classes(name: str, y: np.ndarray, outputs: Tensor) -> float:
    p, said = outputs.softmax(1).numpy(), outputs.argmax(1).numpy()
    if name == "AUC":
        return float(sk.roc_auc_score(y, p[:, 1] if p.shape[1] == 2 else p, multi_class="ovr"))
    if name == "F1":
        return float(sk.f1_score(y, said, average="macro"))
    if name == "log loss":
        return float(sk.log_loss(y, p))
    score = sk.accuracy_score if name == "accuracy" else sk.balanced_accuracy_score
    return float(score(y, said))


@pytest.mark.parametrize("columns", [None, 1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_scored_as_scikit_learn_scores_them(name: str, columns: int | None) -> None:
    y, said, unit = numbers(len(name), columns)
    assert of_numbers(name, y, said, unit).mean() == pytest.approx(REFERENCES[name](y, said), rel=1e-9)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("name", ["accuracy", "balanced accuracy", "F1", "AUC", "log loss"])
def test_classes_are_scored_as_scikit_learn_scores_them(name: str, classes: int) -> None:
    y, outputs = labels(classes, classes)
    assert of_classes(name, y, outputs).mean() == pytest.approx(reference_of_classes(name, y, outputs), rel=1e-9)


@pytest.mark.parametrize("name", ["R2", "RMSE", "balanced accuracy", "F1", "AUC"])
def test_the_variance_of_contributions_is_that_of_the_jackknife(name: str) -> None:
    if name in REFERENCES:
        y, said, unit = numbers(1, 2)

        def score(at: np.ndarray) -> np.ndarray:
            return of_numbers(name, y[at], said[at], unit)
    else:
        y, outputs = labels(1, 3)

        def score(at: np.ndarray) -> np.ndarray:
            return of_classes(name, y[at], outputs[at])

    everything = np.arange(ROWS)
    left_out = np.array([score(np.delete(everything, row)).mean() for row in everything])
    jackknife = (ROWS - 1) / ROWS * ((left_out - left_out.mean()) ** 2).sum()
    assert score(everything).var(ddof=1) / ROWS == pytest.approx(jackknife, rel=0.1)


def test_a_constant_column_counts_as_scikit_learn_counts_it() -> None:
    y, said, unit = numbers(4, 3)
    y[:, 1] = 7.25
    assert of_numbers("R2", y, said, unit).mean() == pytest.approx(sk.r2_score(y, said), rel=1e-9)
    said[:, 1] = 7.25
    assert of_numbers("R2", y, said, unit).mean() == pytest.approx(sk.r2_score(y, said), rel=1e-9)


def test_sets_without_a_value_have_none() -> None:
    unit = Unit(np.array(0.0), np.array(1.0))
    assert np.isnan(of_numbers("R2", np.full(9, 0.1), np.arange(9.0), unit)).all()
    assert np.isnan(of_numbers("R2", np.array([1.0]), np.array([2.0]), unit)).all()
    outputs = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    assert np.isnan(of_classes("AUC", np.array([0, 1, 1, 0, 1, 0]), outputs)).all()


def test_a_class_that_is_not_there_is_left_out_as_scikit_learn_leaves_it_out() -> None:
    y, outputs = labels(2, 4)
    rows = y != 1
    of_three, scores = y[rows], outputs[torch.from_numpy(rows)].clone()
    scores[:, 1] = -9.0  # nor is any row taken for it
    for name in ("balanced accuracy", "F1"):
        want = reference_of_classes(name, of_three, scores)
        assert of_classes(name, of_three, scores).mean() == pytest.approx(want, rel=1e-9)


def test_perfect_and_hopeless_scores_are_exact() -> None:
    y = np.repeat([0, 1, 2], [5, 2, 9])
    right, wrong = torch.eye(3)[torch.from_numpy(y)], torch.eye(3)[torch.from_numpy((y + 1) % 3)]
    for name in ("balanced accuracy", "F1", "AUC"):
        assert of_classes(name, y, right).tolist() == [1.0] * 16
    for name in ("balanced accuracy", "F1"):
        assert of_classes(name, y, wrong).tolist() == [0.0] * 16
    unit = Unit(np.array(0.0), np.array(1.0))
    assert of_numbers("R2", np.arange(4.0), np.arange(4.0), unit).tolist() == [1.0] * 4
    assert of_numbers("RMSE", np.arange(4.0), np.arange(4.0), unit).tolist() == [0.0] * 4


def test_errors_are_turned_so_that_greater_is_better() -> None:
    y, said, unit = numbers(0, None)
    metric: Metric = next(one for one in METRICS["regression"] if one.name == "MAE")
    errors = metric.function(torch.from_numpy(said / unit.std), torch.from_numpy(y / unit.std)).numpy()
    assert metric.contributions(errors, y, unit).max() < 0
