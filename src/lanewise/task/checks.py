"""Whether model, data and objective fit each other."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.data import BUILT_IN, Source, balanced_weights
from lanewise.data.arrays.large import is_large
from lanewise.data.rows.rows import TensorRows
from lanewise.data.source.measured import input_notes
from lanewise.data.source.standardise import is_tokens
from lanewise.errors import InputError, a_type
from lanewise.metrics import METRICS, Metric, find_metric, metric_names
from lanewise.task import models
from lanewise.task.libraries import check_library_name, is_from_library


def check_model_kind(model: Any) -> None:
    """Raise `InputError` for what is no model whatever the data."""
    if isinstance(model, nn.Module):
        raise InputError(
            "model: is a module already; give a function that returns a new one, so that every repeat "
            "can start from weights of its own"
        )
    if isinstance(model, str):
        if is_from_library(model):
            check_library_name(model)
        elif model.partition(":")[0] not in models.BUILT_IN:
            models.build(model, (), 0)
    elif not callable(model):
        raise InputError(f"model: {model!r}: must be a name or a function that returns a torch.nn.Module")


def with_features(source: Source) -> Source:
    """`source` with whole numbers as features: models by name embed no tokens."""
    if not isinstance(source.x, Tensor) or not is_tokens(source.x):
        return source

    def features(x: Tensor) -> Tensor:
        # Three axes of whole numbers are pictures to such a model, if the user does not say otherwise.
        is_picture = x.ndim == 3 and (source.asked or {}).get("images") is not False
        # Whole numbers of four axes are pictures as they are; features are, once it is said that they are no tokens.
        found = x if in_place and (is_picture or x.ndim == 2) else x.double()
        return found.unsqueeze(1) if is_picture else found

    in_place = is_large(source.x) and source.standardise is None
    x, test_rows = features(source.x), source.test_rows
    if isinstance(test_rows, TensorRows):
        test_rows = replace(test_rows, x=features(test_rows.x))
    where, wanted = f"data {source.name}:", source.standardise
    told = input_notes(where, source.x, wanted, source.feature_names)
    if is_tokens(x):
        wanted = torch.full(x.shape[1:], -1, dtype=torch.int8)
    notes = (*(note for note in source.notes if note not in told), *input_notes(where, x, wanted, source.feature_names))
    rows = TensorRows(x, source.y, files=source.rows.files if isinstance(source.rows, TensorRows) else ())
    return replace(source, rows=rows, test_rows=test_rows, notes=notes, standardise=wanted)


def chosen_metric(objective: str, metric: Any, greater: bool | None) -> Metric:
    """The metric called `metric`, or one made of the user's function."""
    if metric is None:
        return METRICS[objective][0]
    if isinstance(metric, Metric):
        if greater is not None and greater != metric.greater_is_better:
            raise InputError(f"greater_is_better = {greater}: must be {metric.greater_is_better} as in {metric.name!r}")
        return metric
    if callable(metric):
        return Metric(getattr(metric, "__name__", "metric"), metric, True if greater is None else greater)
    if not isinstance(metric, str):
        raise InputError(f"metric: is {a_type(metric)}; must be {', '.join(metric_names(objective))}, or a function")
    found = find_metric(objective, metric)
    if greater is not None and greater != found.greater_is_better:
        raise InputError(f"greater_is_better = {greater}: must be {found.greater_is_better} for {metric}")
    return found


def check_metric_of(metric: Metric, source: Source) -> None:
    """Raise `InputError` where a single target of the data leaves `metric` without a value."""
    if not metric.of_data or metric.check is None:
        return
    for y in (source.y, source.y_test):
        if isinstance(y, Tensor) and (why := metric.check(y.numpy())):
            raise InputError(f"metric = {metric.name!r}: {why}; must be another metric, such as MAE")


def weights_of(given: Any, source: Source, objective: str) -> tuple[float, ...]:
    """The weight of every class."""
    if objective != "classification" or source.classes is None:
        raise InputError(f"class_weights = {given!r}: must not be given for {objective}, which has no classes")
    if isinstance(given, str):
        if given != "balanced":
            raise InputError(f"class_weights = {given!r}: must be balanced or one number > 0 for each class")
        return balanced_weights(source.y, source.classes)
    try:
        weights = tuple(float(weight) for weight in given)
    except (TypeError, ValueError):
        weights = ()
    if len(weights) != source.classes or not all(0 < weight < float("inf") for weight in weights):
        raise InputError(
            f"class_weights = {given!r}: must be balanced or {source.classes} numbers > 0, one for each class"
        )
    return weights


def check_recorded(names: Mapping[str, str], where: str) -> None:
    """Raise `InputError` unless the task that the recipe file `where` names is built in: files import no code."""
    data, model = names.get("data"), names.get("model")
    if data is not None and data not in BUILT_IN:
        raise InputError(
            f"{where}: task: data {data!r}: must be built in ({', '.join(BUILT_IN)}); pass others to lanewise.Task"
        )
    if model is not None and model.partition(":")[0] not in models.BUILT_IN:
        allowed = ", ".join(models.BUILT_IN)
        raise InputError(
            f"{where}: task: model {model!r}: must be built in ({allowed}); pass your own to lanewise.Task"
        )


def check_cache(cache: Any) -> str:
    """`cache` as text: auto, off, or a folder; `InputError` where it is none of them."""
    if cache in ("auto", "off"):
        return str(cache)
    if isinstance(cache, (str, Path)) and Path(cache).is_dir():
        return str(cache)
    raise InputError(f"cache = {str(cache)!r}: must be auto, off, or a folder that is there")
