"""Train one recipe alone in plain PyTorch: `torch.optim`, `nn.BatchNorm`, `nn.Dropout` and a plain loop.

Batches, initial weights and numbers are those of the recipe's lane; dropout masks come from torch's own generator.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lanewise.bridges.torch_optimizer import TorchOptimizer
from lanewise.bridges.torch_recipe import NativeRecipe
from lanewise.data import Standardise, TargetScale, hold_out
from lanewise.data.arrays.nested import Inputs, Targets, leaves, row_count, take
from lanewise.data.encoding.schema import TableSchema
from lanewise.errors import InputError
from lanewise.lanes.attributes.attributes import Attributes
from lanewise.lanes.attributes.plain_values import Plain
from lanewise.lanes.machine.devices import usable_device
from lanewise.lanes.machine.streams import stream_seed
from lanewise.lanes.model.adapt import adapted
from lanewise.lanes.model.changed_attributes import ChangedAttributes
from lanewise.lanes.model.precision import autocast, check_precision, widen_outputs
from lanewise.lanes.packs.engine import TEST_SEED
from lanewise.lanes.packs.feed import Feed, rows_per_step
from lanewise.lanes.packs.repeat import Repeat
from lanewise.lanes.step.numbers import AVERAGING, tabulate_recipe
from lanewise.lanes.step.step import LaneStep
from lanewise.lanes.training.early_stopping import patience_of
from lanewise.lanes.training.feedback import Plateaus
from lanewise.lanes.training.groups import evaluation_points
from lanewise.lanes.training.reestimation import PASSED_BATCHES, rows_to_take
from lanewise.lanes.training.scoring import contributions, evaluated_parts
from lanewise.parts.early_stopping import StoppingState, early_stopping
from lanewise.parts.mixup import mixing_weight
from lanewise.parts.norm import reestimate
from lanewise.parts.reals import has_mean
from lanewise.recipe.recipe import Recipe
from lanewise.report.terminal.watching import step_lines
from lanewise.statistics.score_kind import ScoreKind
from lanewise.task.models import describe, passing_buffers, seeded
from lanewise.task.task import Task

EVALUATED_ROWS = 1024

Cast: TypeAlias = Callable[[], contextlib.AbstractContextManager[Any]]


@dataclass(frozen=True)
class TrainedModel:
    """A model trained alone.

    Attributes:
        model: in evaluation mode. validation, test: (loss, metric as defined); None if all rows trained. zeros: weights
            that are exactly zero, and how many there are.
        recipe: what it was trained by. scale, target_scale: of inputs, and of numeric targets. example: two rows of
            inputs, as the model was given them. weights_of: how many steps the weights are of: all, or with early
            stopping those up to the best evaluation. weight_seed: the generators', when the model was made.
    """

    model: nn.Module
    validation: tuple[float, float] | None
    test: tuple[float, float]
    zeros: tuple[int, int]
    recipe: Recipe
    scale: Standardise
    target_scale: TargetScale | None
    example: Inputs
    weights_of: int
    weight_seed: int = 0
    classes: int | None = None
    class_names: tuple[str, ...] | None = None
    schema: TableSchema | None = None
    model_name: str | None = None
    attributes: dict[str, Plain] | None = field(default_factory=dict)

    def __repr__(self) -> str:
        scores = {"validation": self.validation, "test": self.test}
        told = [f"{name} loss {of[0]:.4f}, metric {of[1]:.4f}" for name, of in scores.items() if of]
        parts = (describe(self.model), f"weights of step {self.weights_of:,}", *told, str(self.recipe))
        return f"TrainedModel({'; '.join(parts)})"


def train(
    task: Task,
    recipe: Recipe,
    *,
    seed: int = 0,
    repeat: int = 0,
    all_rows: bool = False,
    device: str = "cpu",
    precision: str = "float32",
    dtype: torch.dtype = torch.float32,
    show: Callable[[int, int, float], None] | None = None,
    progress: bool | None = None,
) -> TrainedModel:
    """Train `recipe` on `task` as the lane of repeat `repeat` of the study `seed` would be.

    Args:
        all_rows: train on the validation rows too; nothing is left to validate on.
        precision: of the forward pass: float32, or bfloat16 by `torch.autocast`; weights and losses stay float32.
        show: called with (steps done, total steps, training loss) after every epoch and when training stops,
            instead of printing to standard error.
        progress: whether to show that on standard error; by default where that is a terminal or a notebook.

    Raises:
        InputError: a space instead of a recipe, a batch larger than the data, a number out of range.
    """
    if recipe.is_space:
        raise InputError("recipe: has ranges in it, so it is a space; find its best with lanewise.race(task, space)")
    show = show or step_lines(progress)
    task.check_model()
    where = usable_device(device)
    check_precision(precision, where)
    rows = Repeat.draw(hold_out(task.source, TEST_SEED), seed, repeat)
    rows = rows.of_all_rows() if all_rows else rows
    count = len(rows.split.train)
    feed = Feed(rows, rows_per_step(recipe, count), {}, dtype, where)
    steps = recipe.epochs * feed.steps_per_epoch
    table = tabulate_recipe(recipe, steps, feed.steps_per_epoch, count)
    task.check_recipe(recipe)
    first = feed.example()

    def new(_: int = 0) -> nn.Module:
        return task.new_model(rows.weight_seed, dtype, **recipe.sizes)

    # Refuses what a lane of this recipe would be refused for. With a model of its own: what it refers to by closures
    # is not copied with it.
    step = LaneStep(new(), recipe, task.objective, take(first.x, 0), take(first.y, 0), new=new)
    step.check_rows(validation=len(rows.split.valid), test=len(rows.holdout.test))
    size = step.batch_rows if step.batchwise else EVALUATED_ROWS
    model = adapted(new(), recipe, step.example).to(where).train()
    native = NativeRecipe(recipe, model)
    optimizer = native.optimizer
    average = None
    if step.averages:
        # Not a copy: what a model refers to by closures is not copied with it.
        average = adapted(new(), recipe, step.example).to(where).train()
    cast = partial(autocast, precision, where)
    hooks = [widen_outputs(one) for one in (model, average) if one is not None and precision != "float32"]
    valid = rows.split.valid
    plateaus = Plateaus.of(recipe, steps, feed.steps_per_epoch)
    patience = patience_of(recipe, steps, feed.steps_per_epoch)
    for active, who in ((plateaus.active, "a plateau"), (patience, "early stopping")):
        if active and not len(valid):
            raise InputError(f"all_rows: {who} needs validation rows to watch, and all rows are to train")
    measured = {round(progress * steps) for progress in evaluation_points(recipe.epochs)}
    waiting = StoppingState()
    best: tuple[Any, ...] = ()
    evaluated = model if average is None else average
    attributes = ChangedAttributes(model, evaluated, restored=average is not None or patience is not None)

    with seeded(stream_seed(seed, repeat, "masks")):
        for done, batch in enumerate(batches(feed, steps), start=1):
            numbers = dict(zip(step.numbers, table[done - 1].tolist(), strict=True))
            native.set_numbers(numbers)
            optimizer.zero_grad()
            loss = batch_gradient(model, task, recipe.accumulate, batch, numbers, cast)
            native.drop_frozen(numbers)
            if "clip" in numbers:
                nn.utils.clip_grad_norm_(model.parameters(), numbers["clip"])
            optimizer.step()
            if average is not None:
                with evaluated_weights(optimizer):
                    average_in(average, model, numbers[AVERAGING])
            if done in measured and (plateaus.active or patience):
                attributes.take()
                if average is not None:
                    take_statistics(average, task, feed, step.batch_rows, recipe.epochs, cast, attributes)
                with evaluated_weights(optimizer):
                    last = mean_scores(evaluated, task, feed, valid, cast, size=size, attributes=attributes)
                    if patience:
                        waiting = early_stopping(waiting, done, last[0], patience)
                    if patience and waiting.best and waiting.step == done:
                        best = kept(evaluated), attributes.values
                table = plateaus.observe(done, *last, table)
            if done % feed.steps_per_epoch == 0 or waiting.stopped:
                show(done, steps, loss)
            if waiting.stopped:
                break
    if isinstance(optimizer, TorchOptimizer):
        optimizer.eval()
    attributes.take()
    final = evaluated
    if waiting.best:
        state, attributes.values = best
        put_back(final, state)
    elif average is not None:
        take_statistics(average, task, feed, step.batch_rows, recipe.epochs, cast, attributes)
    zeros = native.zeros(final)

    def given(of: Tensor, tested: bool = False) -> tuple[float, float]:
        loss, metric = mean_scores(final, task, feed, of, cast, tested, size, attributes)
        return loss, ScoreKind.of(task.objective.metric).turned(metric)

    validation = given(valid) if len(valid) else None
    test = given(torch.arange(len(rows.holdout.test)), tested=True)
    final.eval()
    for hook in hooks:
        hook.remove()
    scales_of = (rows.scale, rows.target_scale)
    weights_of = waiting.step if waiting.best else steps
    data = task.source
    return TrainedModel(
        final, validation, test, (zeros.zeros, zeros.total), recipe, *scales_of, step.example, weights_of,
        weight_seed=rows.weight_seed, classes=data.classes, class_names=data.class_names, schema=data.schema,
        model_name=task.names.get("model"), attributes=attributes.values,
    )  # fmt: skip


def batches(feed: Feed, steps: int) -> Iterator[tuple[Inputs, Targets]]:
    """The batches of the first `steps` steps."""
    for start, stop in feed.spans(0, steps):
        chunk = feed.chunk(start, stop)
        for number in range(stop - start):
            yield take(chunk.x, number), take(chunk.y, number)


@contextlib.contextmanager
def evaluated_weights(optimizer: Optimizer) -> Iterator[None]:
    """For a while the model holds the weights to evaluate: schedule-free optimizers train others."""
    if isinstance(optimizer, TorchOptimizer):
        optimizer.eval()
    yield
    if isinstance(optimizer, TorchOptimizer):
        optimizer.train()


def batch_gradient(
    model: nn.Module, task: Task, count: int, batch: tuple[Inputs, Targets], numbers: dict[str, float], cast: Cast
) -> float:
    """Leave the mean gradient of `count` batches in the parameters; returns their mean loss."""
    x, y = batch
    rows = row_count(x) // count
    total = 0.0
    for number in range(count):
        part = slice(number * rows, (number + 1) * rows)
        blend = blend_of(numbers["mixup"], rows, take(x, part)) if "mixup" in numbers else None
        inputs, targets = take(x, part), take(y, part)
        with cast():
            loss = task.objective.training_loss(model, inputs, targets, numbers["label_smoothing"], blend) / count
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    for param in model.parameters():
        if param.grad is not None and param.grad.layout != torch.strided:
            # As in a lane: most optimizers, penalties and clipping take dense gradients alone.
            param.grad = param.grad.to_dense()
    return total


def blend_of(strength: float, rows: int, x: Inputs) -> tuple[Tensor, Tensor]:
    """Mixup's partners and weight for a batch."""
    like = leaves(x)[0]
    partners, uniform = torch.randperm(rows), torch.rand(2, dtype=like.dtype)
    return partners.to(like.device), mixing_weight(strength, *uniform.unbind()).to(like.device)


def kept(model: nn.Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A copy of what `model` holds: its `state_dict`, and the buffers that are not in it."""
    return copy.deepcopy((model.state_dict(), passing_buffers(model)))


@torch.no_grad()
def put_back(model: nn.Module, state: tuple[dict[str, Any], dict[str, Tensor]]) -> None:
    """Let `model` hold again what `kept` gave."""
    model.load_state_dict(state[0])
    for name, buffer in passing_buffers(model).items():
        buffer.copy_(state[1][name])


@torch.no_grad()
def average_in(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move `average` towards `model`: its weights and its buffers of numbers; other buffers are copied."""
    # Not by `state_dict`, which has tied weights once for each of their names.
    now = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, kept in (*average.named_parameters(), *average.named_buffers()):
        if has_mean(kept):
            kept.lerp_(now[name], 1 - decay)
        else:
            kept.copy_(now[name])


def take_statistics(
    average: nn.Module, task: Task, feed: Feed, size: int, epochs: int, cast: Cast, attributes: ChangedAttributes
) -> None:
    """Give averaged weights the batch norm statistics that they have on training rows, as a lane does."""
    rows = rows_to_take(epochs, len(feed.repeat.split.train), len(evaluation_points(epochs)))

    before: list[Attributes] = []

    def forward(model: nn.Module, batch: tuple[Inputs, Targets]) -> None:
        # Not by `attributes`: what the layers record statistics by is among these.
        if before:
            before[0].put({})
        else:
            before.append(Attributes(model))
        with cast():
            task.objective.one_pass(model, *batch)

    attributes.put()
    # Weights that diverged have none that are finite, and the scores will show it.
    with contextlib.suppress(InputError):
        reestimate(average, feed.first_rows(size, rows, PASSED_BATCHES), forward)
    attributes.put()


def mean_scores(
    model: nn.Module,
    task: Task,
    feed: Feed,
    rows: Tensor,
    cast: Cast,
    test: bool = False,
    size: int = EVALUATED_ROWS,
    attributes: ChangedAttributes | None = None,
) -> tuple[float, float]:
    """(mean loss, metric) of `model` on `rows` of the pool, or of the test data, in parts of about `size`.

    Each part is scored with the `attributes`, which the model has afterwards.

    The metric is turned so that greater is better, as plateaus get it in a lane.
    """
    found: list[Any] = []
    was_training = model.training
    parts = evaluated_parts(rows, size, task.objective.by_row)
    for batch in feed.repeat.evaluated(parts, feed.dtype, feed.device, test):
        if attributes is not None:
            attributes.put()
        model.eval()
        with torch.no_grad(), cast():
            scores = task.objective.scores(model, *batch)
        found.append([score.double().cpu().numpy() for score in scores])
    if attributes is not None:
        attributes.put()
    model.train(was_training)
    losses, metrics = (np.concatenate(column) for column in zip(*found, strict=True))
    metrics = contributions(task.objective.metric, feed.repeat, rows, test, losses, metrics)
    return float(losses.mean()), float(metrics.mean())
