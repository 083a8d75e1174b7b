"""The task: what is learnt (model), from what (data), and what counts (objective)."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from lanewise.base.lane_process import prepare_process
from lanewise.data import BUILT_IN, Source, load
from lanewise.data.arrays.nested import Inputs, Targets, leaves, mapped, shapes
from lanewise.data.source.standardise import as_given, is_tokens
from lanewise.errors import InputError, one_line, together
from lanewise.metrics import for_classes, is_known
from lanewise.recipe.recipe import Recipe
from lanewise.task import models
from lanewise.task.checks import (
    check_cache,
    check_metric_of,
    check_model_kind,
    chosen_metric,
    weights_of,
    with_features,
)
from lanewise.task.libraries import Fit, build_from_library, is_from_library
from lanewise.task.objectives import (
    Classification,
    NextToken,
    Objective,
    Regression,
    custom,
)
from lanewise.task.outputs import LABELS, chosen, own_loss, run_model

OBJECTIVES: dict[str, type[Objective]] = {
    "classification": Classification,
    "regression": Regression,
    "next token": NextToken,
}
BALANCED = "balanced accuracy"
"""The default metric where the classes are weighed to count alike."""
OF_TARGET = {"class": "classification", "number": "regression", "tokens": "next token"}
"""The objective for each kind of targets."""


class Task:
    """A model, its data and the objective.

    Args:
        model: built-in name (`mlp`, `mlp:256,256`, `cnn`, `cnn:32,64`), `timm:resnet18`, `transformers:bert` (see
            `lanewise.task.libraries`), `package.module:factory`, or a function
            that returns a new `nn.Module`; it is called without arguments, or with the `width` and `rank` of a recipe
            that has them, after the global generators of torch, NumPy and Python are seeded. A batch whose inputs are a
            tuple or a dict gives it several arguments.
        data: whatever `lanewise.data.load` takes: `"digits"`, a path, or arrays `(x, y)`.
        objective: `classification`, `regression`, `next token`, or a function `objective(model, batch)` that returns
            the loss, or (loss, {name: metric}), each 0-d or one a row; by default what suits the targets. The batch
            is (inputs, targets), or the inputs where there are no targets. A model that returns a dict, tuple or
            dataclass gives its `logits`, or the first tensor in it; data without targets whose inputs include `labels`
            is trained for the `loss` that the model returns.
        metric: what recipes are compared by: a name of `lanewise.metrics.METRICS`, a name among those that your
            objective returns, or a function (outputs, targets) -> one score a row, or one for the batch; as
            `lanewise.Metric(name, function, bounds=(0, 1))` no interval goes beyond the bounds. By default the first
            for the objective; with `class_weights="balanced"` it is balanced accuracy.
        greater_is_better: the direction of a metric of your own; by default it is, but for a loss.
        class_weights: weight of each class in the loss, or `balanced`: rows / (classes * rows of the class).
        cache: where what frozen layers return for each row is kept: `auto` (memory, while there is room), `off`, or a
            folder that is there.

    Raises:
        InputError: unknown names, unusable data, or a model whose output does not fit the targets.
    """

    def __init__(
        self,
        model: str | Callable[..., nn.Module],
        data: Any,
        objective: str | Callable[..., Any] | None = None,
        *,
        metric: str | Callable[..., Any] | None = None,
        greater_is_better: bool | None = None,
        class_weights: Any = None,
        cache: str | Path = "auto",
    ) -> None:
        self.cache = check_cache(cache)
        prepare_process()
        found, _ = together(lambda: load(data), lambda: check_model_kind(model))
        self.source: Source = found
        if isinstance(model, str):
            if model.partition(":")[0] in (*models.BUILT_IN, "timm"):
                self.source = with_features(self.source)
            self.factory = self._named(model)
        else:
            name = getattr(model, "__name__", type(model).__name__)
            self.factory = partial(models.call, name, model)
        built_in = isinstance(model, str) and model.partition(":")[0] in models.BUILT_IN
        self.model_name = model if isinstance(model, str) else getattr(model, "__name__", type(model).__name__)
        self.names = {"data": self.source.name} if self.source.name in BUILT_IN else {}
        if built_in:
            self.names["model"] = str(model)
        self.objective = self._objective(objective, metric, greater_is_better, class_weights)

    def __repr__(self) -> str:
        source, objective = self.source, self.objective
        targets = f"{source.classes} classes" if source.classes else f"targets: {source.target}"
        row = mapped(lambda leaf: list(leaf.shape[1:]), source.sample)
        return (
            f"Task(model {self.model_name}, data {source.name}: {len(source):,} rows of {row}, {targets}; "
            f"{objective.name}, by {objective.metric.name})"
        )

    def _named(self, model: str) -> models.Factory:
        """What makes the model of that name, fitted to the data."""
        source = self.source
        if not is_from_library(model):
            return models.build(model, *self._shapes(model))
        if not isinstance(source.sample, Tensor):
            raise InputError(
                f"model {model!r}: takes one tensor; this data has inputs {shapes(source.sample)}: give a function of "
                "your own"
            )
        outputs = source.classes or (source.y[0].numel() if source.target == "number" else 0)
        return build_from_library(model, Fit(source.input_shape, is_tokens(source.sample), outputs, source.target))

    def _shapes(self, model: str) -> tuple[tuple[int, ...], int]:
        """(shape of one input row, number of outputs) for a model by name."""
        source = self.source
        if model.partition(":")[0] not in models.BUILT_IN:
            return (), 0
        if not isinstance(source.sample, Tensor) or source.target not in ("class", "number"):
            raise InputError(
                f"model {model!r}: takes one tensor and gives classes or numbers; this data has inputs "
                f"{shapes(source.sample)} and targets of kind {source.target!r}: give a model of your own"
            )
        return source.input_shape, source.classes or max(1, source.y[0].numel())

    def sample(self, rows: int = 2) -> tuple[Inputs, Targets]:
        """(inputs, targets) of the first rows, in the types that lanes are given, but not standardised."""
        every = self.source.rows
        x, y = every.take(torch.arange(min(rows, len(every))))

        return as_given(x, self.source.standardise), y.float() if y is not None and y.is_floating_point() else y

    def _objective(self, given: Any, metric: Any, greater: bool | None, class_weights: Any) -> Objective:
        if callable(given):
            if metric is not None and not isinstance(metric, str):
                raise InputError("metric: your objective computes its metrics itself; name one of those it returns")
            if class_weights is not None:
                raise InputError("class_weights: an objective of your own weighs its classes itself")
            with models.evaluated(self.new_model(0)) as model:
                return custom(given, model, *self.sample(), metric, greater)
        self._check_maps()
        name = given if given is not None else OF_TARGET.get(self.source.target)
        if name is None and isinstance(self.source.sample, dict) and LABELS in self.source.sample:
            if self.source.sample[LABELS].is_floating_point():
                raise InputError(
                    f"{LABELS}: are numbers, which would be standardised as inputs; give them as targets y"
                )
            return self._objective(own_loss, metric, greater, class_weights)
        if name is None:
            raise InputError("objective: data without targets needs a function objective(model, batch)")
        kinds = [kind for target, kind in OF_TARGET.items() if target == self.source.target]
        if name not in kinds:
            raise InputError(
                f"objective = {name!r}: must be {', '.join(map(repr, kinds)) or 'a function'} for targets of kind "
                f"{self.source.target!r}, or a function objective(model, batch)"
            )
        if (
            metric is None
            and name == "classification"
            and isinstance(class_weights, str)
            and class_weights == "balanced"
        ):
            metric = BALANCED
        names = self.source.class_names or [str(label) for label in range(self.source.classes or 0)]
        chosen = for_classes(chosen_metric(name, metric, greater), names)
        check_metric_of(chosen, self.source)
        objective = OBJECTIVES[name](metric=chosen)
        if class_weights is not None:
            weights = weights_of(class_weights, self.source, name)
            return replace(objective, weights=weights)  # type: ignore[call-arg]
        return objective

    def _check_maps(self) -> None:
        """Raise `InputError` for targets that no objective known by name takes: maps of whole numbers."""
        if self.source.target == "tokens" and (y := self.sample()[1]) is not None and y.ndim > 2:
            raise InputError(
                f"objective: y holds whole numbers of shape {['rows', *y.shape[1:]]}: must be a function"
                " objective(model, batch) for such maps, such as the cross entropy of scores [rows, classes, ...]"
            )

    @property
    def aims(self) -> dict[str, Any]:
        """What is trained for and compared, as plain data."""
        objective, metric = self.objective, self.objective.metric
        # What the user wrote, as objective or as metric, and no record can name.
        own = None if is_known(metric) else metric.function
        function = getattr(objective, "function", own)
        return {
            "objective": objective.name,
            "function": None if function is None else getattr(function, "__name__", type(function).__name__),
            "metric": metric.name,
            "greater_is_better": metric.greater_is_better,
            "class_weights": getattr(objective, "weights", None) and list(getattr(objective, "weights", ())),
        }

    def new_model(self, seed: int, dtype: torch.dtype = torch.float32, **sizes: int) -> nn.Module:
        """A new model with the initial weights that follow from `seed`; all generators are left as they were.

        Args:
            sizes: of a recipe, `width=64` or `rank=8`.

        Raises:
            InputError: the user's function fails, takes no such size, or returns no module.
        """
        with models.seeded(seed):
            return models.converted(self.factory(**sizes), dtype)

    def check_model(self) -> str:
        """Build the model once and raise `InputError` unless its output fits the targets; returns its description."""
        model = self.new_model(0)
        trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
        again = self.new_model(0)
        if again is model or any(id(parameter) in trained for parameter in again.parameters()):
            raise InputError(
                "model: two calls of the function give the same weights; it must make a new module at every call, so "
                "that every repeat can start from weights of its own"
            )
        if any(isinstance(module, LazyModuleMixin) for module in model.modules()):
            raise InputError("model: has lazy layers; run it once on an input before it is returned")
        models.check_memory(model)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise InputError("model: has no parameter that trains")
        if self.objective.name != "custom":
            inputs, targets = self.sample()
            outputs = models.check_output(model, self.objective, inputs, targets, self.source.classes)
            self._check_metric(outputs, targets)
        return models.describe(model) + self._taken(model)

    def _taken(self, model: nn.Module) -> str:
        """What of the model's outputs is taken, in words, unless it is all of them."""
        if getattr(self.objective, "function", None) is own_loss:
            return "; trained for the loss that the model returns"
        if self.objective.name == "custom":
            return ""
        with models.evaluated(model):
            returned = run_model(model, self.sample()[0])
        part, _ = chosen(returned)
        return f"; its scores are {part} of the {type(returned).__name__} that it returns" if part else ""

    def _check_metric(self, outputs: Any, targets: Any) -> None:
        """Try the metric, which may be the user's, and learn whether it scores rows or batches."""
        metric, objective = self.objective.metric, self.objective
        try:
            score = metric.function(objective.fitted(outputs, targets), targets)
            shape = list(score.shape)[: 1 if metric.of_set else None]
        except Exception as error:
            raise InputError(
                f"metric {metric.name!r} fails on outputs {list(outputs.shape)}: {one_line(error)}"
            ) from error
        if shape not in ([], [len(targets)]):
            raise InputError(
                f"metric {metric.name!r} returns a tensor of shape {shape} for {len(targets)} rows: must be 0-d or "
                f"[{len(targets)}], one score a row"
            )
        least, most = metric.bounds
        found = float(score.double().mean()) if metric.of_set is None else least
        if found < least or found > most:
            raise InputError(f"metric {metric.name!r} returns {found:g}: must be in its bounds {least:g} to {most:g}")
        self.objective = replace(objective, by_row=bool(shape))

    def check_recipe(self, recipe: Recipe) -> None:
        """Raise `InputError` if `recipe` needs what the objective cannot give."""
        objective = self.objective
        if recipe.label_smoothing != 0 and not objective.smooths:
            raise InputError(
                f"label_smoothing = {recipe.label_smoothing}: must be 0, since {objective.name} has no labels to smooth"
            )
        if recipe.mixup is None:
            return
        if not objective.mixes or not all(leaf.is_floating_point() for leaf in leaves(self.sample()[0])):
            raise InputError(
                f"mixup = {recipe.mixup}: must be none, since inputs that are no numbers, and objectives of one's own, "
                "cannot be blended"
            )
