"""The metrics that are known by name."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from lanewise.errors import InputError
from lanewise.metrics import rows, sets
from lanewise.metrics.metric import Metric


def varies(targets: np.ndarray) -> str | None:
    """Why R2 has no value for these targets, if it has none."""
    if len(targets) < 2:
        return "it needs at least two rows"
    flat = targets.reshape(len(targets), -1)
    return None if (flat != flat[0]).any() else f"all {len(flat)} targets are the same"


def no_zeros(targets: np.ndarray) -> str | None:
    """Why MAPE has no value for these targets, if it has none."""
    zeros = int((targets.reshape(len(targets), -1) == 0).any(axis=1).sum())
    return f"{zeros:,} of {len(targets):,} rows have a target of 0, which no error is a share of" if zeros else None


def every_class(targets: np.ndarray, names: Sequence[str]) -> str | None:
    """Why AUC has no value for these targets, if it has none."""
    missing = sorted(set(range(len(names))) - set(np.unique(targets).tolist()))
    return (
        f"class {names[missing[0]]} has no row there, and AUC compares the rows of each class with the others"
        if missing
        else None
    )


PREDICTED = Metric("class", rows.predicted)
"""No metric to compare by, but the class that each row is taken for."""
LOG_LOSS, MAE = "log loss", "MAE"
FROM_ZERO, UP_TO_ONE = (0.0, math.inf), (-math.inf, 1.0)
SHARE: dict[str, Any] = {"fraction": True, "bounds": (0.0, 1.0)}
ERROR: dict[str, Any] = {"greater_is_better": False, "bounds": FROM_ZERO}
METRICS = {
    "classification": (
        Metric("accuracy", rows.correct, **SHARE),
        Metric("balanced accuracy", rows.predicted, **SHARE, of_set=sets.balanced_accuracy),
        Metric("F1", rows.predicted, **SHARE, of_set=sets.f1_macro),
        Metric("AUC", rows.class_scores, **SHARE, of_set=sets.auc),
        Metric("top-5 accuracy", rows.correct_in_five, **SHARE),
        Metric(LOG_LOSS, lambda o, t: rows.cross_entropies(o, t), **ERROR),
    ),
    "regression": (
        Metric("R2", rows.errors, of_set=sets.r2, check=varies, bounds=UP_TO_ONE),
        Metric("RMSE", rows.errors, **ERROR, of_set=sets.root_mean_square),
        Metric(MAE, rows.errors, **ERROR, of_set=sets.mean_size),
        Metric("squared error", rows.errors, **ERROR, of_set=sets.mean_square),
        Metric("MAPE", rows.errors, **ERROR, of_set=sets.mean_share, check=no_zeros, of_data=True),
    ),
    "next token": (
        Metric("token accuracy", rows.token_accuracy, **SHARE),
        Metric("cross entropy", rows.token_losses, **ERROR),
    ),
}
"""The metrics known by name for each kind of objective, the default first. Errors are in the data's own unit."""

ALIASES = {
    "classification": {"cross entropy": LOG_LOSS, "F1 macro": "F1", "macro F1": "F1", "ROC AUC": "AUC"},
    "regression": {
        "absolute error": MAE,
        "mean absolute error": MAE,
        "mean squared error": "squared error",
        "MSE": "squared error",
        "root mean squared error": "RMSE",
        "mean absolute percentage error": "MAPE",
        "R^2": "R2",
    },
    "next token": {"log loss": "cross entropy"},
}
"""Other names of the same metrics: a run uses the name that the user gave."""

REGISTERED: dict[str, Metric] = {}
"""Metrics of users' own by name, which every objective known by name takes; see `lanewise.register`."""

QUANTILE = re.compile(r"(?:quantile|pinball) ?=? ?(.*)")


def key_of(name: str) -> str:
    """`name` without what does not matter: capitals, and whether words are joined by spaces, `-` or `_`.

    >>> key_of("Balanced_Accuracy"), key_of("top-5  accuracy")
    ('balanced accuracy', 'top 5 accuracy')
    """
    return " ".join(re.split(r"[\s_-]+", name.strip().lower()))


def metric_names(objective: str) -> list[str]:
    """The names that `find_metric` takes for an objective, the default first."""
    known = [metric.name for metric in METRICS[objective]] + ["quantile 0.9"] * (objective == "regression")
    return [*known, *REGISTERED]


def register_metric(metric: Metric) -> None:
    """Make `metric` known by its name."""
    REGISTERED[metric.name] = metric


def taken_metric(name: str) -> bool:
    """Whether a metric of any objective is called `name`, or so much like it that `find_metric` takes it for that."""
    known = [metric.name for metrics in METRICS.values() for metric in metrics]
    known += [alias for aliases in ALIASES.values() for alias in aliases]
    return key_of(name) in map(key_of, [*known, *REGISTERED]) or QUANTILE.fullmatch(key_of(name)) is not None


def find_metric(objective: str, name: str) -> Metric:
    """The metric called `name`, for an objective by name.

    Raises:
        InputError: there is none, or a quantile outside (0, 1).
    """
    known = {metric.name: metric for metric in METRICS[objective]}
    aliases = {alias: replace(known[of], name=alias) for alias, of in ALIASES[objective].items()}
    for called, metric in (known | aliases | REGISTERED).items():
        if key_of(called) == key_of(name):
            return metric
    found = QUANTILE.fullmatch(key_of(name)) if objective == "regression" else None
    if found:
        return quantile(found[1])
    raise InputError(f"metric = {name!r}: must be {', '.join(metric_names(objective))}, or a function")


def quantile(text: str) -> Metric:
    """The pinball loss of the quantile that `text` says."""
    try:
        level = float(text)
    except ValueError:
        level = float("nan")
    if not 0 < level < 1:
        raise InputError(f"metric = quantile {text}: must be a number in (0, 1) after the name, such as quantile 0.9")
    return Metric(f"quantile {level:g}", rows.errors, **ERROR, of_set=sets.QuantileLoss(level))


def quantile_level(metric: Metric) -> float | None:
    """Which quantile the pinball loss `metric` is of; None for all other metrics.

    >>> quantile_level(quantile("0.9")), quantile_level(METRICS["regression"][0])
    (0.9, None)
    """
    return metric.of_set.level if isinstance(metric.of_set, sets.QuantileLoss) else None


def for_classes(metric: Metric, names: Sequence[str]) -> Metric:
    """`metric` with the check that needs to know which classes there are."""
    return replace(metric, check=partial(every_class, names=names)) if metric.of_set is sets.auc else metric


def is_known(metric: Metric) -> bool:
    """Whether `metric` is one of those known by name, under whatever name and of whatever quantile."""
    known = [one for metrics in METRICS.values() for one in metrics]
    return metric.function in [one.function for one in (*known, *REGISTERED.values())]
