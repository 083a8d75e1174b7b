"""Objectives: what a model is trained for, and the metric by which recipes are compared.

Inputs are one tensor [rows, ...], a tuple of them (the model's arguments in order) or a dict (its named arguments).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from lanewise.data.arrays.nested import Inputs, mapped, row_count
from lanewise.data.arrays.targets import IGNORED
from lanewise.errors import InputError, one_line
from lanewise.metrics import METRICS, Metric
from lanewise.metrics.rows import cross_entropies, squared_error, token_losses
from lanewise.parts.mixup import mix, mixed_loss
from lanewise.parts.smoothing import smoothed_cross_entropy
from lanewise.task.outputs import outputs_of, run_model


@dataclass(frozen=True)
class Objective:
    """What a model is trained for.

    Args:
        metric: what recipes are compared by. by_row: whether the metric is one score a row, or one for a batch.

    Attributes:
        name: for people. smooths: whether label smoothing means something. mixes: whether mixup does.
    """

    metric: Metric
    by_row: bool = True
    name: ClassVar[str] = ""
    smooths: ClassVar[bool] = False
    mixes: ClassVar[bool] = True

    def loss(self, outputs: Any, targets: Any, smoothing: Tensor | float) -> Tensor:
        """The training loss of a batch, 0-d."""
        raise NotImplementedError

    def row_losses(self, outputs: Any, targets: Any) -> Tensor:
        """The loss of every row [rows], without label smoothing."""
        raise NotImplementedError

    def check(self, outputs: Any, targets: Any, classes: int | None) -> str | None:
        """What the model's outputs must be, if they are not."""
        raise NotImplementedError

    def one_pass(self, model: nn.Module, inputs: Inputs, targets: Any) -> Any:
        """Run `model` as in training, for what it draws and whether it works."""
        return run_model(model, inputs)

    def training_loss(
        self,
        model: nn.Module,
        inputs: Inputs,
        targets: Any,
        smoothing: Tensor | float,
        blend: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """The loss of a batch, 0-d; `blend` holds mixup's partners [rows] and weight."""
        if blend is None:
            return self.loss(outputs_of(model, inputs), targets, smoothing)
        partners, weight = blend
        mixed = mapped(lambda leaf: mix(leaf, partners, weight), inputs)

        def plain(outputs: Any, of: Any) -> Tensor:
            return self.loss(outputs, of, smoothing)

        return mixed_loss(plain, outputs_of(model, mixed), targets, partners, weight)

    def scores(self, model: nn.Module, inputs: Inputs, targets: Any) -> tuple[Tensor, Tensor]:
        """(losses, metric) of a batch, one a row, or one for all [1]; the metric turned so that greater is better.

        Of a metric of sets the components of each row, [rows, ...], see `Metric.of_set`; they are not turned.
        """
        outputs = self.fitted(outputs_of(model, inputs), targets)
        return self.shaped(self.row_losses(outputs, targets), self.metric.function(outputs, targets))

    def fitted(self, outputs: Any, targets: Any) -> Any:
        """The outputs in the shape that losses and metrics take."""
        return outputs

    def shaped(self, losses: Tensor, metric: Tensor) -> tuple[Tensor, Tensor]:
        """(losses, metric) as `scores` gives them."""
        metric = metric.to(losses.dtype)
        metric = metric if self.metric.of_set else self.turned(metric)
        return (losses, metric) if self.by_row else (losses.mean().reshape(1), metric.mean().reshape(1))

    def turned(self, score: Any) -> Any:
        """`score` as greater is better, and back: negated where less is better."""
        return score if self.metric.greater_is_better else -score


@dataclass(frozen=True)
class Classification(Objective):
    """Cross entropy of [rows, classes] scores against labels [rows].

    Args:
        metric: see `METRICS`. weights: of each class in the training loss, or None for 1; the loss is divided by the
            weights of the batch's rows, as `torch.nn.CrossEntropyLoss` does.
    """

    metric: Metric = METRICS["classification"][0]
    weights: tuple[float, ...] | None = None
    name: ClassVar[str] = "classification"
    smooths: ClassVar[bool] = True

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: Tensor | float) -> Tensor:
        """Mean cross entropy, with label smoothing."""
        weights = None if self.weights is None else outputs.new_tensor(self.weights)
        return smoothed_cross_entropy(outputs, targets, smoothing, weights)

    def row_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy of every row, each class counting alike."""
        return cross_entropies(outputs, targets)

    def check(self, outputs: Any, targets: Any, classes: int | None) -> str | None:
        """Scores [rows, classes]."""
        fits = isinstance(outputs, Tensor) and outputs.is_floating_point()
        if fits and list(outputs.shape) == [len(targets), classes]:
            return None
        return f"floating-point scores of shape [{len(targets)}, {classes}], one for each class"


@dataclass(frozen=True)
class Regression(Objective):
    """Mean squared error against numbers [rows] or [rows, k], which are standardised by the training rows."""

    metric: Metric = METRICS["regression"][0]
    name: ClassVar[str] = "regression"

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: Tensor | float) -> Tensor:
        """Mean squared error."""
        errors: Tensor = self.fitted(outputs, targets) - targets
        return errors.square().mean()

    def row_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Squared error of every row, the mean over its numbers."""
        return squared_error(outputs, targets)

    def fitted(self, outputs: Any, targets: Any) -> Any:
        """Outputs [rows, 1] are as good as [rows]."""
        return outputs.reshape(targets.shape)

    def check(self, outputs: Any, targets: Any, classes: int | None) -> str | None:
        """Numbers [rows], [rows, 1] or [rows, k]."""
        allowed = {tuple(targets.shape), (*targets.shape, 1)} | (
            {(len(targets),)} if targets[0].numel() == 1 else set()
        )
        if isinstance(outputs, Tensor) and outputs.is_floating_point() and tuple(outputs.shape) in allowed:
            return None
        return f"floating-point numbers of shape {list(targets.shape)}, one for each target"


@dataclass(frozen=True)
class NextToken(Objective):
    """Cross entropy of [rows, tokens, vocabulary] scores against tokens [rows, tokens]; -100 counts for nothing."""

    metric: Metric = METRICS["next token"][0]
    name: ClassVar[str] = "next token"
    smooths: ClassVar[bool] = True

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: Tensor | float) -> Tensor:
        """Mean over the tokens that count, with label smoothing."""
        counted = (targets != IGNORED).to(outputs.dtype)
        log_p = F.log_softmax(outputs, -1)
        of_target = log_p.gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        each = (1 - smoothing) * of_target + smoothing * log_p.mean(-1)
        return -(each * counted).sum() / counted.sum().clamp(min=1)

    def row_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross entropy of every row's tokens."""
        return token_losses(outputs, targets)

    def check(self, outputs: Any, targets: Any, classes: int | None) -> str | None:
        """Scores [rows, tokens, vocabulary]."""
        if isinstance(outputs, Tensor) and outputs.is_floating_point() and outputs.shape[:-1] == targets.shape:
            highest = int(targets.max())
            return None if highest < outputs.shape[-1] else f"scores of more than {highest} tokens, the highest target"
        return f"floating-point scores of shape {[*targets.shape, 'vocabulary']}, one for each token"


@dataclass(frozen=True)
class Custom(Objective):
    """The user's own: `function(model, batch)` returns the loss, or (loss, {name: metric}).

    The batch is (inputs, targets), or the inputs alone where the data has no targets. The loss and the metric are 0-d,
    or one for each row. Training takes the mean. Scores of whole batches are compared batch by batch.

    Args:
        metric: which of its metrics recipes are compared by; its loss where it returns no metrics.
        by_row: whether loss and metric come one for each row.
        function: does the work, in training and in evaluation mode.
    """

    function: Callable[..., Any] = field(kw_only=True, repr=False)
    name: ClassVar[str] = "custom"
    mixes: ClassVar[bool] = False

    def loss_and_metric(self, model: nn.Module, inputs: Inputs, targets: Any) -> tuple[Tensor, Tensor]:
        """What the function returns for a batch."""
        found = self.function(model, inputs if targets is None else (inputs, targets))
        loss, metrics = found if isinstance(found, tuple) else (found, {})
        return loss, metrics.get(self.metric.name, loss)

    def one_pass(self, model: nn.Module, inputs: Inputs, targets: Any) -> Any:
        """Run the function."""
        return self.loss_and_metric(model, inputs, targets)

    def training_loss(
        self,
        model: nn.Module,
        inputs: Inputs,
        targets: Any,
        smoothing: Tensor | float,
        blend: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """The mean of the function's loss."""
        return self.loss_and_metric(model, inputs, targets)[0].mean()

    def scores(self, model: nn.Module, inputs: Inputs, targets: Any) -> tuple[Tensor, Tensor]:
        """(losses, metric), [rows] each, or [1] each where they are of the whole batch."""
        return self.shaped(*self.loss_and_metric(model, inputs, targets))


def custom(
    function: Callable[..., Any],
    model: nn.Module,
    inputs: Inputs,
    targets: Any,
    metric: str | None,
    greater: bool | None,
) -> Custom:
    """The objective of the user's `function`, tried on a few rows to learn what it returns.

    Args:
        model: in evaluation mode, with its generators seeded, see `lanewise.task.models.evaluated`.

    Raises:
        InputError: it fails, returns something else, or has no metric of that name.
    """
    name = getattr(function, "__name__", type(function).__name__)
    wanted = "must be the loss (a floating-point tensor, 0-d or one a row) or (loss, {name: metric})"
    rows = row_count(inputs)
    try:
        found = function(model, inputs if targets is None else (inputs, targets))
    except Exception as error:
        raise InputError(f"objective {name!r} fails on a batch of {rows} rows: {one_line(error)}") from error
    loss, metrics = found if isinstance(found, tuple) and len(found) == 2 else (found, {})
    if not isinstance(loss, Tensor) or not loss.is_floating_point() or not isinstance(metrics, dict):
        kind = (
            type(found).__name__ if not isinstance(found, tuple) else f"({', '.join(type(f).__name__ for f in found)})"
        )
        raise InputError(f"objective {name!r} returns {kind}: {wanted}")
    if metric is None:
        metric = next(iter(metrics), "loss")
    elif metric != "loss" and metric not in metrics:
        raise InputError(f"metric = {metric!r}: objective {name!r} returns {', '.join(['loss', *metrics])}")
    decisive = metrics.get(metric, loss)
    shapes = {tuple(value.shape) if isinstance(value, Tensor) else None for value in (loss, decisive)}
    if not shapes <= {(), (rows,)}:
        raise InputError(f"objective {name!r} returns a loss or metric of shape {shapes}: {wanted}")
    if greater is None:
        greater = metric in metrics
    return Custom(Metric(metric, unused, greater), shapes == {(rows,)}, function=function)


def unused(outputs: Any, targets: Any) -> Tensor:
    """A custom objective computes its metric itself."""
    raise AssertionError("a custom objective computes its metric itself")
