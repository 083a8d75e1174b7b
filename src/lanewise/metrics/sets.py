"""Metrics of a set of rows, as the contributions of its rows: their mean is the metric as scikit-learn defines it.

A contribution is the metric plus the row's influence value, the derivative of the metric by the row's weight. So the
variance of the contributions, divided by the number of rows, is the variance of the metric to first order, and sets
are compared row by row, as means of scores are.

Source: Efron, "The Jackknife, the Bootstrap and Other Resampling Plans", 1982, chapter 6.
"""

from dataclasses import dataclass

import numpy as np
import scipy

from lanewise.metrics.metric import Unit

LEAST_SPREAD = 1e-28
"""Of the largest square: a variance below that is rounding of a constant."""


def r2(errors: np.ndarray, targets: np.ndarray, unit: Unit | None) -> np.ndarray:
    """Of each column 1 - S / V, the mean over columns: `sklearn.metrics.r2_score`.

    S is the mean squared error and V the variance of the targets of these very rows. A column that is constant in them
    counts 0, or 1 where it is predicted without error; where all are, or with one row, there is no value: NaN.
    """
    squares = in_unit(errors, targets, unit) ** 2
    columns = targets.reshape(len(targets), -1).astype(np.float64)
    deviations = (columns - columns.mean(axis=0)) ** 2
    variance, error = deviations.mean(axis=0), squares.mean(axis=0)
    varies = variance > LEAST_SPREAD * (columns**2).max(axis=0)
    if not varies.any():
        return np.full(len(targets), np.nan)
    found = np.zeros_like(squares)
    ratio = error[varies] / variance[varies]
    found[:, varies] = 1 - (squares[:, varies] - ratio * (deviations[:, varies] - variance[varies])) / variance[varies]
    found[:, ~varies & (error == 0)] = 1.0
    return np.asarray(found.mean(axis=1))


def mean_square(errors: np.ndarray, targets: np.ndarray, unit: Unit | None) -> np.ndarray:
    """The squared error of each row in the data's own unit, the mean over columns."""
    return np.asarray((in_unit(errors, targets, unit) ** 2).mean(axis=1))


def root_mean_square(errors: np.ndarray, targets: np.ndarray, unit: Unit | None) -> np.ndarray:
    """Of each column the root of its mean squared error, the mean over columns: `root_mean_squared_error`."""
    squares = in_unit(errors, targets, unit) ** 2
    root = np.sqrt(squares.mean(axis=0))
    slope = np.where(root > 0, (squares - root**2) / (2 * np.where(root > 0, root, 1.0)), 0.0)
    return np.asarray((root + slope).mean(axis=1))


def mean_size(errors: np.ndarray, targets: np.ndarray, unit: Unit | None) -> np.ndarray:
    """The size of each row's error in the data's own unit, the mean over columns."""
    return np.asarray(np.abs(in_unit(errors, targets, unit)).mean(axis=1))


def mean_share(errors: np.ndarray, targets: np.ndarray, unit: Unit | None) -> np.ndarray:
    """The size of each row's error as a share of its target's size, the mean over columns."""
    sizes = np.abs(targets.reshape(len(targets), -1).astype(np.float64))
    return np.asarray((np.abs(in_unit(errors, targets, unit)) / sizes).mean(axis=1))


@dataclass(frozen=True)
class QuantileLoss:
    """The pinball loss of the quantile `level`, in the data's own unit: `mean_pinball_loss`."""

    level: float

    def __call__(self, errors: np.ndarray, targets: np.ndarray, unit: Unit | None) -> np.ndarray:
        below = 0.0 - in_unit(errors, targets, unit)
        return np.asarray(np.maximum(self.level * below, (self.level - 1) * below).mean(axis=1))


def in_unit(errors: np.ndarray, targets: np.ndarray, unit: Unit | None) -> np.ndarray:
    """Errors [rows, numbers] in the data's own unit."""
    errors = errors.reshape(len(errors), -1)
    return errors if unit is None else errors * unit.stds(targets)


def balanced_accuracy(predicted: np.ndarray, targets: np.ndarray, unit: Unit | None) -> np.ndarray:
    """The accuracy within each class that these rows have, the mean over those classes."""
    found = np.zeros(len(targets))
    classes, place, counts = np.unique(targets, return_inverse=True, return_counts=True)
    right = (predicted == targets).astype(np.float64)
    accuracy = np.bincount(place, right) / counts
    found = accuracy.mean() + (right - accuracy[place]) * len(targets) / (len(classes) * counts[place])
    return np.asarray(found)


def f1_macro(predicted: np.ndarray, targets: np.ndarray, unit: Unit | None) -> np.ndarray:
    """2 TP / (2 TP + FP + FN) of each class that these rows have or are taken for, the mean over those classes."""
    classes = np.union1d(targets, predicted[np.isfinite(predicted)])
    found = np.zeros(len(targets))
    for label in classes:
        is_class, said = targets == label, predicted == label
        both, either = 2.0 * (is_class & said), is_class.astype(np.float64) + said
        score = both.sum() / either.sum()
        found += score + (both - score * either) / either.mean()
    return found / len(classes)


def auc(scores: np.ndarray, targets: np.ndarray, unit: Unit | None) -> np.ndarray:
    """The area under the ROC curve; of more than two classes that of each against the rest, the mean over classes.

    Ties count half. A set without rows of every class has none: NaN.

    Args:
        scores: as `lanewise.metrics.rows.class_scores`.

    Source: DeLong, DeLong, Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
    characteristic curves", 1988.
    """
    if not np.isfinite(scores).all():
        return np.full(len(targets), np.nan)
    if scores.ndim == 1:
        return one_auc(scores, targets == 1)
    classes = range(scores.shape[1])
    return np.asarray(sum(one_auc(scores[:, label], targets == label) for label in classes) / len(classes))


def one_auc(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Contributions to the area under the ROC curve of `scores` [rows] that are to be higher where `positive`."""
    rows, above = len(scores), int(positive.sum())
    below = rows - above
    if not above or not below:
        return np.full(rows, np.nan)
    ranks = scipy.stats.rankdata(scores)
    found = np.empty(rows)
    # The share of the other class's rows that each row is ranked on the right side of.
    found[positive] = (ranks[positive] - scipy.stats.rankdata(scores[positive])) / below
    found[~positive] = 1 - (ranks[~positive] - scipy.stats.rankdata(scores[~positive])) / above
    area = found[positive].mean()
    return np.asarray(area + (found - area) * rows / np.where(positive, above, below))
